"""The door of the EIE unit: a compressed layer and its activations in, a result out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.errors import as_array, require, unknown
from eie_sim.fixed import WORD_MAX, WORD_MIN, to_fixed
from eie_sim.result import BROADCAST_MEANINGS, EieClass, EieEvent, EieRun, SimResult, config_hash
from eie_sim.units.eie import fast, functional
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.encoding import require_finite
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.memories import memories

ENGINES = ("fast", "reference")
FIXED_BY_MATRIX = ("n_pe", "index_bits", "weight_bits")


def config_for(matrix: EieMatrix) -> EieConfig:
    """The default design with what the matrix fixes."""
    return EieConfig(**{name: getattr(matrix, name) for name in FIXED_BY_MATRIX})


def compress(weights: Any, config: EieConfig, *, bias: Any = None) -> EieMatrix:
    """Cluster and encode weights [n_out, n_in], and bias [n_out] with them, in the format of the design."""
    return EieMatrix.from_dense(
        weights, n_pe=config.n_pe, bias=bias, weight_bits=config.weight_bits, index_bits=config.index_bits
    )


def simulate(
    matrix: EieMatrix,
    activations: ArrayLike,
    config: EieConfig | None = None,
    *,
    engine: str = "fast",
    timeline: bool = False,
    inputs: str | None = None,
) -> SimResult:
    """Run one vector, or a batch one after the other. See `eie_sim.simulate`."""
    config = config or config_for(matrix)
    require_engine(engine)
    _require_agreement(matrix, config)
    given = _activations(matrix, activations)
    matrix = matrix.with_scales_for(given, active=config.active)
    raw = raw_activations(matrix, given)
    runs = [_run(matrix, vector, config, engine, timeline) for vector in np.atleast_2d(raw)]
    timelines = [run.timing.timeline for run in runs]
    single = raw.ndim == 1
    return SimResult(
        unit="eie",
        engine=engine,
        config=config,
        output=_outputs(runs, single, config, matrix.n_out),
        scales={name: int(bits or 0) for name, bits in matrix.scales.to_dict().items()},
        cycles=sum(run.timing.cycles for run in runs),
        cycles_per_vector=np.array([run.timing.cycles for run in runs], dtype=np.int64),
        n_unit=matrix.n_pe,
        event_names=tuple(event.name.lower() for event in EieEvent),
        counts=_total([run.timing.counts for run in runs], (matrix.n_pe + 1, len(EieEvent))),
        class_names=tuple(kind.name.lower() for kind in EieClass),
        classes=_total([run.timing.classes for run in runs], (matrix.n_pe, len(EieClass))),
        broadcast=_named(_total([run.timing.broadcast for run in runs], (len(BROADCAST_MEANINGS),))),
        dense_macs=matrix.n_out * matrix.n_in * len(runs),
        memories=memories(matrix, config),
        inputs=inputs or f"given, {len(runs)} vector{'' if len(runs) == 1 else 's'}",
        config_hash=config_hash("eie", config.to_dict()),
        timeline=None if not timeline else timelines[0] if single else timelines,  # type: ignore[arg-type]
    )


def require_engine(engine: object) -> None:
    """Raise InputError, did you mean, unless `engine` is the name of one."""
    if not isinstance(engine, str) or engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)


def raw_activations(matrix: EieMatrix, activations: NDArray[Any]) -> NDArray[np.int16]:
    """Floats quantised by the matrix's scales; integers are raw words already."""
    if activations.dtype.kind != "f":
        return activations.astype(np.int16)
    assert matrix.scales.activation is not None
    return to_fixed(activations, matrix.scales.activation)


def _run(matrix: EieMatrix, raw: NDArray[np.int16], config: EieConfig, engine: str, timeline: bool) -> EieRun:
    if engine == "reference":
        from eie_sim.units.eie import reference  # SimPy is loaded only where it is used

        return reference.run(matrix, raw, config)
    return EieRun(functional.accumulate(matrix, raw, config), fast.run(matrix, raw, config, timeline=timeline))


def _require_agreement(matrix: EieMatrix, config: EieConfig) -> None:
    for name in FIXED_BY_MATRIX:
        ours, theirs = getattr(matrix, name), getattr(config, name)
        require(ours == theirs, f"config.{name}", theirs, f"must be equal to the matrix's {name}={ours}")


def _activations(matrix: EieMatrix, activations: ArrayLike) -> NDArray[Any]:
    """A checked vector [n_in] or batch [n_vector, n_in]: floats, or integers within 16 bits."""
    given = as_array("activations", activations)
    require(given.dtype.kind in "fiu", "activations", f"dtype {given.dtype}", "must be floats or raw int16")
    rule = f"must be ({matrix.n_in},) or (n_vector, {matrix.n_in}) for a matrix of {matrix.n_in} inputs"
    require(given.ndim in (1, 2) and given.shape[-1] == matrix.n_in, "activations", f"shape {given.shape}", rule)
    if given.dtype.kind == "f":
        require_finite("activations", given)
    elif given.size:
        for extreme in (int(given.min()), int(given.max())):
            require(WORD_MIN <= extreme <= WORD_MAX, "activations", extreme, "raw words must fit int16")
    return given


def _outputs(runs: list[EieRun], single: bool, config: EieConfig, n_out: int) -> NDArray[np.integer]:
    dtype = np.int16 if config.accumulator_bits == 16 else np.int32
    outputs = np.array([run.output for run in runs], dtype=dtype).reshape(len(runs), n_out)
    return np.asarray(outputs[0] if single else outputs, dtype=dtype)


def _total(arrays: list[NDArray[np.int64]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Sum over vectors; zeros for an empty batch."""
    return np.sum(arrays, axis=0) if arrays else np.zeros(shape, dtype=np.int64)


def _named(broadcast: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(BROADCAST_MEANINGS, broadcast.tolist(), strict=True))
