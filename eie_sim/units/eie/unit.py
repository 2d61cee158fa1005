"""The door of the EIE unit: a compressed layer and its activations in, a result out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.arrays import require_finite
from eie_sim.core.errors import as_array, require
from eie_sim.core.fixed import WORD_MAX, WORD_MIN, to_fixed
from eie_sim.core.result import SimResult, Timeline, config_hash
from eie_sim.core.steps import Steps
from eie_sim.units.eie import fast, functional, invariants
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.memories import memories
from eie_sim.units.eie.words import WORDS, EieBroadcast, EieClass, EieEvent, EieRun
from eie_sim.units.unit import Placed, require_engine

Engine = Callable[[EieMatrix, NDArray[np.int16], EieConfig], EieRun]
"""An engine, for one vector."""

FIXED_BY_MATRIX = ("n_pe", "index_bits", "weight_bits")

MOST_PES = 256
"""Most PEs of one array, the largest the paper studies (section VII)."""


class _Batch(NamedTuple):
    """Runs of several vectors, summed but for output, int16 or int32 [n_vector, n_out], and cycles [n_vector]."""

    output: NDArray[np.integer]
    cycles: NDArray[np.int64]
    counts: NDArray[np.int64]
    classes: NDArray[np.int64]
    broadcast: NDArray[np.int64]
    timelines: list[Timeline]


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
    outputs: NDArray[np.floating] | None = None,
    steps: Steps | None = None,
) -> SimResult:
    """Run one vector, or a batch one after the other. See `eie_sim.simulate`.

    outputs : what `output_of` made of these vectors, which the fast engine does not compute again; None computes it
    steps : of no matter, as each vector waits for the one before anyway
    """
    config = config or config_for(matrix)
    require_engine(engine)
    for name in FIXED_BY_MATRIX:
        ours, theirs = getattr(matrix, name), getattr(config, name)
        require(ours == theirs, f"config.{name}", theirs, f"must be equal to the matrix's {name}={ours}")
    given = checked_activations(matrix, activations)
    matrix = matrix.with_scales_for(given, active=config.active)
    raw = raw_activations(matrix, given)
    done = _run_all(matrix, np.atleast_2d(raw), config, engine, timeline, outputs)
    invariants.check(
        matrix.counts,
        np.atleast_2d(raw),
        config,
        cycles=done.cycles,
        counts=done.counts,
        classes=done.classes,
        broadcast=done.broadcast,
    )
    single, n_vector = raw.ndim == 1, len(done.cycles)
    part = raw > 0 if config.active == "positive" else raw != 0
    return SimResult(
        unit="eie",
        engine=engine,
        config=config,
        output=done.output[0] if single else done.output,
        scales={name: int(bits or 0) for name, bits in matrix.scales.to_dict().items()},
        output_scale=2.0 ** -int(matrix.scales.accumulator or 0),
        active_inputs=int(done.broadcast[EieBroadcast.SENT]) - n_vector * int(matrix.has_bias),
        active_per_vector=np.count_nonzero(np.atleast_2d(part), axis=1),
        cycles=int(done.cycles.sum()),
        cycles_per_vector=done.cycles,
        n_vector=n_vector,
        n_unit=matrix.n_pe,
        event_names=EieEvent.names(),
        counts=done.counts,
        class_names=EieClass.names(),
        classes=done.classes,
        useful_class=WORDS.useful.name.lower(),
        busy_classes=tuple(kind.name.lower() for kind in WORDS.busy),
        extra={"broadcast": dict(zip(EieBroadcast.names(), done.broadcast.tolist(), strict=True))},
        effectual_macs=int(done.counts[:, EieEvent.MACS].sum()),
        dense_macs=matrix.n_out * matrix.n_column * n_vector,
        memories=memories(matrix.counts, config),
        inputs=inputs or f"given, {n_vector} vector{'' if n_vector == 1 else 's'}",
        config_hash=config_hash("eie", config.to_dict()),
        timeline=None if not timeline else done.timelines[0] if single else done.timelines,
    )


def opened(
    matrix: EieMatrix, activations: NDArray[Any], config: EieConfig, *, outputs: NDArray[Any] | None = None
) -> EieMatrix:
    """The matrix with its open scales chosen for activations, floats or raw words [n_vector, n_in].

    outputs : their float product with the layer's own weights and bias, [n_vector, n_out]; None for the codebook's
    """
    return matrix.with_scales_for(activations, active=config.active, outputs=outputs)


def output_of(matrix: EieMatrix, activations: NDArray[Any], config: EieConfig) -> NDArray[np.float64]:
    """Outputs in real values float64[n_vector, n_out] alone: nothing is timed."""
    raw = functional.accumulate_all(matrix, np.atleast_2d(raw_activations(matrix, activations)), config)
    return np.asarray(raw * np.float64(2.0 ** -int(matrix.scales.accumulator or 0)))


def raw_activations(matrix: EieMatrix, activations: NDArray[Any]) -> NDArray[np.int16]:
    """Floats quantised by the matrix's scales; integers are raw words already."""
    if activations.dtype.kind != "f":
        return activations.astype(np.int16, copy=False)
    assert matrix.scales.activation is not None
    return to_fixed(activations, matrix.scales.activation)


def _run_all(
    matrix: EieMatrix,
    batch: NDArray[np.int16],
    config: EieConfig,
    engine: str,
    timeline: bool,
    outputs: NDArray[np.floating] | None,
) -> _Batch:
    if engine == "reference":
        from eie_sim.units.eie import reference  # SimPy is loaded only where it is used

        return _one_by_one(matrix, batch, config, reference.run)
    if timeline:
        return _one_by_one(matrix, batch, config, _run_with_timeline)
    found = fast.totals(matrix.counts, batch, config)
    if outputs is None:
        sums = sums_of(matrix, batch, config)
    else:
        sums = np.rint(outputs * 2.0 ** int(matrix.scales.accumulator or 0)).astype(_sum_type(config))
    return _Batch(
        output=sums,
        cycles=found.cycles[0],
        counts=fast.counts_of(found, matrix.n_pe, matrix.n_out),
        classes=fast.classes_of(found),
        broadcast=fast.broadcast_of(found),
        timelines=[],
    )


def sums_of(matrix: EieMatrix, batch: NDArray[np.int16], config: EieConfig) -> NDArray[np.integer]:
    """Raw accumulators int16 or int32 [n_vector, n_out], for raw activations int16[n_vector, n_in], and no timing."""
    return functional.accumulate_all(matrix, batch, config).astype(_sum_type(config), copy=False)


def _sum_type(config: EieConfig) -> type[np.integer]:
    return np.int16 if config.accumulator_bits == 16 else np.int32


def _run_with_timeline(matrix: EieMatrix, raw: NDArray[np.int16], config: EieConfig) -> EieRun:
    return EieRun(functional.accumulate(matrix, raw, config), fast.run(matrix.counts, raw, config, timeline=True))


def _one_by_one(matrix: EieMatrix, batch: NDArray[np.int16], config: EieConfig, run: Engine) -> _Batch:
    """Every vector after the other. Counts are added up at once: those of 65536 PEs take megabytes a vector."""
    done = _Batch(
        output=np.zeros((len(batch), matrix.n_out), dtype=_sum_type(config)),
        cycles=np.zeros(len(batch), dtype=np.int64),
        counts=np.zeros((matrix.n_pe + 1, len(EieEvent)), dtype=np.int64),
        classes=np.zeros((matrix.n_pe, len(EieClass)), dtype=np.int64),
        broadcast=np.zeros(len(EieBroadcast), dtype=np.int64),
        timelines=[],
    )
    for at, vector in enumerate(batch):
        output, timing = run(matrix, vector, config)
        done.output[at], done.cycles[at] = output, timing.cycles
        for name in ("counts", "classes", "broadcast"):
            getattr(done, name)[:] += getattr(timing, name)
        if timing.timeline is not None:
            columns = matrix.items(vector, config.active)
            entries = matrix.pointers[columns + 1] - matrix.pointers[columns]
            invariants.check_times(*timing.timeline, entries, timing.cycles)
            done.timelines.append(timing.timeline)
    return done


def checked_activations(matrix: EieMatrix, activations: ArrayLike) -> NDArray[Any]:
    """A vector [n_in] or batch [n_vector, n_in]: floats, or integers within 16 bits. Raises InputError."""
    given = as_array("activations", activations)
    require(given.dtype.kind in "fiu", "activations", f"dtype {given.dtype}", "must be floats or raw int16")
    rule = f"must be ({matrix.n_in},) or (n_vector, {matrix.n_in}) for a matrix of {matrix.n_in} inputs"
    require(given.ndim in (1, 2) and given.shape[-1] == matrix.n_in, "activations", f"shape {given.shape}", rule)
    matrix.require_outputs(1 if given.ndim == 1 else len(given))
    if given.dtype.kind == "f":
        require_finite("activations", given)
    elif given.size:
        for extreme in (int(given.min()), int(given.max())):
            require(WORD_MIN <= extreme <= WORD_MAX, "activations", extreme, "raw words must fit int16")
    return given


def placed(matrix: EieMatrix, n_out: int, n_in: int) -> Placed:
    """The first rows and columns, without decoding all of them."""
    stored = matrix.weights
    codes = np.zeros((n_out, n_in), dtype=np.uint8)
    ends = int(stored.starts[n_in])
    columns = np.repeat(np.arange(n_in), np.diff(stored.starts[: n_in + 1]))
    rows = stored.rows[:ends]
    inside = rows < n_out
    codes[rows[inside], columns[inside]] = stored.values[:ends][inside]
    owner = np.broadcast_to(np.arange(n_out)[:, None] % matrix.n_pe, codes.shape)
    return Placed(codes > 0, matrix.codebook[codes], owner, "row i on PE i mod n_pe")


def pack(matrix: EieMatrix) -> dict[str, Any]:
    """Return what an archive keeps: codes uint8[n_out, n_in], bias_codes uint8[n_out] or None, codebook, and scales."""
    columns = matrix.decode()
    return {
        "codes": np.ascontiguousarray(columns[:, : matrix.n_in]),
        "codebook": matrix.codebook,
        "scales": matrix.scales,
        "bias_codes": columns[:, -1].copy() if matrix.has_bias else None,
    }


def unpack(stored: Any, config: EieConfig) -> EieMatrix:
    """The matrix of a design from what `pack` gives, as attributes; nothing is clustered or scaled again."""
    return EieMatrix.from_codes(
        stored.codes,
        stored.codebook,
        n_pe=config.n_pe,
        bias_codes=stored.bias_codes,
        index_bits=config.index_bits,
        scales=stored.scales,
    )


def sized(lanes: int, clock_mhz: float, node_nm: int) -> tuple[EieConfig, int]:
    """A design of the largest equal arrays of `lanes` PEs together, and how many there are."""
    n_pe = next(n for n in range(min(MOST_PES, lanes), 0, -1) if lanes % n == 0)
    return EieConfig(n_pe=n_pe, clock_mhz=clock_mhz, node_nm=node_nm), lanes // n_pe


def held_against(design: EieConfig, number: int) -> str:
    """Name what times were held against: the paper's design, of which any other is an extrapolation."""
    paper = EieConfig()
    if (design, number) == (paper, 1):
        return "the nine layers of its paper"
    return f"its paper at {paper.n_pe} PEs and {paper.clock_mhz:g} MHz alone, another design"
