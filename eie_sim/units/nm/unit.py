"""The door of the N:M unit: a shape, or a compressed matrix and its activations, in; a result out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.errors import InputError, as_array, require, require_int, require_type, unknown
from eie_sim.nm_pattern import DENSE, Pattern, kept_of, require_pattern, said, whole_groups
from eie_sim.result import NmEvent, NmPart, NmTiming, SimResult, bound_of, config_hash
from eie_sim.units.nm import fast, invariants
from eie_sim.units.nm.config import MAX_SIDE, TensorCoreConfig

if TYPE_CHECKING:
    from eie_sim.units.nm.matrix import NmMatrix

ENGINES = ("fast", "reference")
ELEMENTS = {2: "float16", 1: "int8"}
"""Element type of a matrix by a design's `elem_bytes`."""

MOST = 2**63 - 1
"""Largest cycle or event count that a result's int64 arrays hold."""


def compress(weights: Any, config: TensorCoreConfig, *, bias: Any = None) -> NmMatrix:
    """Pack weights [n_out, n_in] as the design's sparsest pattern (smallest a/b) that they satisfy, else dense.

    bias : must be None: an input column for it would break a group, so it is added to the outputs, outside the unit
    """
    require(bias is None, "bias", "given", "must be added to the outputs after the product; the N:M unit keeps weights")
    given = as_array("weights", weights)
    require(given.ndim == 2, "weights", f"shape {given.shape}", "must be (n_out, n_in)")
    from eie_sim.units.nm.matrix import NmMatrix

    n_keep, m_group = sparsest(given, config)
    return NmMatrix.from_dense(given, n_keep=n_keep, m_group=m_group, element=ELEMENTS[config.elem_bytes])


def simulate_gemm(
    m: int, k: int, n: int, config: TensorCoreConfig, *, n_keep: int = 2, m_group: int = 4, engine: str = "fast"
) -> SimResult:
    """Time the product of A [m, k], of which n_keep of every m_group along k are kept, and B [k, n]; without data.

    m, k, n : 1 to 2**31; k is padded with zeros to whole groups of the pattern that it runs as, dense not
    n_keep, m_group : 1, 1 for dense
    engine : "fast" (closed forms) or "reference" (SimPy processes); both return the same

    Raises InputError for sizes, patterns and engines that are none, and where a count does not fit 63 bits.
    """
    require_type("config", config, TensorCoreConfig)
    for name, size in (("m", m), ("k", k), ("n", n)):
        require_int(name, size, 1, MAX_SIDE)
    m, k, n = int(m), int(k), int(n)
    require_pattern((n_keep, m_group))
    return _result(m, k, n, (int(n_keep), int(m_group)), config, engine, inputs=f"none, {m} x {k} x {n} timed by shape")


def simulate(
    matrix: NmMatrix,
    activations: ArrayLike,
    config: TensorCoreConfig | None = None,
    *,
    engine: str = "fast",
    timeline: bool = False,
    inputs: str | None = None,
) -> SimResult:
    """Multiply by one vector [n_in], or by all of a batch [n_vector, n_in] at once. See `eie_sim.simulate`."""
    config = config or config_for(matrix)
    require(not timeline, "timeline", timeline, "must be False: the N:M unit broadcasts nothing, it has no timeline")
    require_engine(engine)
    ours, theirs = matrix.element, ELEMENTS[config.elem_bytes]
    rule = f"is {theirs}, but the matrix's element is {ours}"
    require(ours == theirs, "config.elem_bytes", config.elem_bytes, rule)
    given = _activations(matrix, activations)
    from eie_sim.units.nm import functional

    output = functional.multiply(matrix, np.atleast_2d(given).T).T
    n_vector = len(output)
    said_inputs = inputs or f"given, {n_vector} vector{'' if n_vector == 1 else 's'}"
    pattern = (matrix.n_keep, matrix.m_group)
    return _result(
        matrix.n_out,
        matrix.n_in,
        n_vector,
        pattern,
        config,
        engine,
        said_inputs,
        output if given.ndim == 2 else output[0],
    )


def config_for(matrix: NmMatrix) -> TensorCoreConfig:
    """The default design with elements of the matrix's size."""
    return TensorCoreConfig(elem_bytes={name: size for size, name in ELEMENTS.items()}[matrix.element])


def require_engine(engine: object) -> None:
    """Raise InputError, did you mean, unless `engine` is the name of one."""
    if not isinstance(engine, str) or engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)


def _result(
    m: int, k: int, n: int, given: Pattern, config: TensorCoreConfig, engine: str, inputs: str, output: Any = None
) -> SimResult:
    """Timing and counts of a checked product; `given` is the pattern of A, from which kept values are counted."""
    pattern = config.runs_as(*given)
    padded = whole_groups(k, pattern)
    timing, tile = fast.fewest_cycles(_engine(engine), m, padded, n, pattern, config)
    _require_countable(timing, m, padded, n)
    invariants.check(m, padded, n, pattern, tile, config, timing)
    tensor = timing.busy[NmPart.TENSOR]
    return SimResult(
        unit="nm",
        engine=engine,
        config=config,
        output=output,
        cycles=timing.cycles,
        cycles_per_vector=np.array([timing.cycles], dtype=np.int64),
        n_vector=n,
        n_unit=1,
        event_names=tuple(event.name.lower() for event in NmEvent),
        counts=np.array([timing.counts], dtype=np.int64),
        class_names=("tensor", "waiting"),
        classes=np.array([[tensor, timing.cycles - tensor]], dtype=np.int64),
        useful_class="tensor",
        busy_classes=("tensor",),
        extra={"busy": {part.name.lower(): timing.busy[part] for part in NmPart}},
        named={
            "tile": list(tile),
            "runs_as": said(pattern),
            "n_keep": given[0],
            "m_group": given[1],
            "bound": bound_of(timing.cycles, timing.busy),
        },
        effectual_macs=m * n * kept_of(k, given),
        dense_macs=m * k * n,
        inputs=inputs if padded == k else f"{inputs}; k padded with zeros to {padded}",
        config_hash=config_hash("nm", config.to_dict()),
    )


def _engine(name: str) -> fast.Run:
    require_engine(name)
    if name == "reference":
        from eie_sim.units.nm import reference  # SimPy is loaded only where it is used

        return reference.run
    return fast.run


def _require_countable(timing: NmTiming, m: int, k: int, n: int) -> None:
    most = max(timing.cycles, m * k * n, *timing.counts)  # no part is busy for longer than the cycles
    if most > MOST:
        raise InputError(f"m x k x n={m} x {k} x {n}: must be smaller, its counts exceed {MOST}")


def _activations(matrix: NmMatrix, activations: ArrayLike) -> NDArray[Any]:
    """A vector [n_in] or batch [n_vector, n_in] of at least one; the product checks the values."""
    given = as_array("activations", activations)
    rule = f"must be ({matrix.n_in},) or (n_vector, {matrix.n_in}) for a matrix of {matrix.n_in} inputs"
    fits = given.ndim in (1, 2) and given.shape[-1] == matrix.n_in and len(given) > 0
    require(fits, "activations", f"shape {given.shape}", rule)
    return given


def sparsest(weights: NDArray[Any], config: TensorCoreConfig) -> Pattern:
    """The listed pattern of the smallest a/b whose groups of b all have at most a non-zeros, first on a tie."""
    for kept, group in sorted(config.patterns, key=lambda each: each[0] / each[1]):
        filled = np.pad(weights != 0, ((0, 0), (0, -weights.shape[1] % group)))
        if (np.count_nonzero(filled.reshape(-1, group), axis=1) <= kept).all():
            return kept, group
    return DENSE
