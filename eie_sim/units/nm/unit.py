"""The door of the N:M unit: a shape, or a compressed matrix and its activations, in; a result out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, hold, require, require_int, require_type
from eie_sim.core.nm_pattern import (
    DENSE,
    Pattern,
    kept_of,
    meets,
    position_bits,
    require_pattern,
    said,
    sparsest,
    whole_groups,
)
from eie_sim.core.result import SimResult, config_hash, in_turn
from eie_sim.core.sparse import is_sparse
from eie_sim.core.steps import Steps
from eie_sim.units.nm import fast, invariants
from eie_sim.units.nm.config import MAX_SIDE, PRESETS, TensorCoreConfig
from eie_sim.units.nm.provenance import HELD_AGAINST, NOT_MEASURED
from eie_sim.units.nm.words import NmClass, NmEvent, NmPart, bound_of
from eie_sim.units.unit import require_engine

if TYPE_CHECKING:
    from eie_sim.units.nm.matrix import NmMatrix

ELEMENTS = {2: "float16", 1: "int8"}
"""Element type of a matrix by a design's `elem_bytes`."""

MOST = 2**63 - 1
"""Largest cycle or event count that a result's int64 arrays hold."""


def compress(weights: Any, config: TensorCoreConfig, *, bias: Any = None, pattern: Pattern | None = None) -> NmMatrix:
    """Pack weights [n_out, n_in] as the design's sparsest pattern that they satisfy, else dense.

    A design of int8 holds floats with one scale for all of them, and integers as they are.
    pattern : what they were pruned to: they are packed as what that runs as, whatever else they satisfy
    bias : must be None: an input column for it would break a group, so it is added to the outputs, outside the unit
    """
    require(bias is None, "bias", "given", "must be added to the outputs after the product; the N:M unit keeps weights")
    given = weights.toarray() if is_sparse(weights) else as_array("weights", weights)
    require(given.ndim == 2, "weights", f"shape {given.shape}", "must be (n_out, n_in)")
    return packed(given, config, sparsest_of(given, config) if pattern is None else config.runs_as(*pattern))


def packed(weights: Any, config: TensorCoreConfig, pattern: Pattern) -> NmMatrix:
    """Weights [n_out, n_in] that satisfy a pattern, in the design's element; see `compress`."""
    from eie_sim.units.nm.matrix import NmMatrix

    (n_keep, m_group), element = pattern, ELEMENTS[config.elem_bytes]
    if element == "int8" and weights.dtype.kind == "f":
        return NmMatrix.scaled(weights, n_keep=n_keep, m_group=m_group)
    return NmMatrix.from_dense(weights, n_keep=n_keep, m_group=m_group, element=element)


def stored(weights: NDArray[Any], config: TensorCoreConfig) -> NDArray[Any]:
    """Weights [n_out, n_in] rounded as the chip stores them, in their own type."""
    matrix = packed(weights, config, DENSE)
    return (matrix.decode() * matrix.weight_scale).astype(weights.dtype)


def check_product(matrix: NmMatrix, vectors: NDArray[Any]) -> None:
    """Raise InvariantError where the product with float [n_vector, n_in] is not exact (int8), or beyond its bound."""
    from eie_sim.units.nm.functional import wrong_outputs

    matrix = matrix.opened(vectors)
    wrong = wrong_outputs(matrix, matrix.words(vectors).T)
    hold(not wrong, "outputs", wrong, "must not differ from the dense product")


def simulate_gemm(
    m: int, k: int, n: int, config: TensorCoreConfig, *, n_keep: int = 2, m_group: int = 4, engine: str = "fast"
) -> SimResult:
    """Time the product of A [m, k], of which n_keep of every m_group along k are kept, and B [k, n]; without data.

    m, k, n : 1 to 2**31; k is padded with zeros to whole groups of the pattern that it runs as, dense not
    n_keep, m_group : 1, 1 for dense
    engine : "fast" (closed forms) or "reference" (SimPy processes); both return the same

    Raises InputError for sizes, patterns and engines that are none, and where a count does not fit 63 bits.
    """
    require_int("n", n, 1, MAX_SIDE)
    return simulate_gemms([(m, k, n)], config, n_keep=n_keep, m_group=m_group, engine=engine)


def simulate_gemms(
    shapes: Sequence[tuple[int, int, int]],
    config: TensorCoreConfig,
    *,
    n_keep: int = 2,
    m_group: int = 4,
    engine: str = "fast",
    after: Steps | None = None,
) -> SimResult:
    """Time products of one launch, as the groups of a convolution or the heads of attention; see `simulate_gemm`.

    shapes : (m, k, n) of each; those without columns, n = 0, cost nothing, but not all may be
    after : the steps of which this is a later one, that finds in L2 what stays there; None for no such

    `n_vector` of the result is the largest n.
    """
    require_type("config", config, TensorCoreConfig)
    require_pattern((n_keep, m_group))
    listed = isinstance(shapes, (tuple, list)) and all(isinstance(s, (tuple, list)) and len(s) == 3 for s in shapes)
    require(listed, "shapes", shapes, "must be a list of (m, k, n)")
    sizes = [_shape(*shape) for shape in shapes]
    require(any(n for *_, n in sizes), "shapes", shapes, "must be at least one product with columns")
    inputs = f"none, {_said(sizes)} timed by shape"
    return _result(sizes, (int(n_keep), int(m_group)), config, engine, inputs, after)


def _shape(m: int, k: int, n: int) -> fast.Shape:
    for name, size, least in (("m", m, 1), ("k", k, 1), ("n", n, 0)):
        require_int(name, size, least, MAX_SIDE)
    return int(m), int(k), int(n)


def _said(shapes: Sequence[fast.Shape]) -> str:
    more = f" and {len(shapes) - 1} more" if len(shapes) > 1 else ""
    return " x ".join(map(str, shapes[0])) + more


def simulate(
    matrix: NmMatrix,
    activations: ArrayLike,
    config: TensorCoreConfig | None = None,
    *,
    engine: str = "fast",
    timeline: bool = False,
    inputs: str | None = None,
    outputs: NDArray[np.floating] | None = None,
    steps: Steps | None = None,
) -> SimResult:
    """Multiply by one vector [n_in], or by all of a batch [n_vector, n_in] at once. See `eie_sim.simulate`.

    outputs : what `output_of` made of these vectors, which is not computed again; None computes it
    steps : how vectors wait for each other, a launch for each step; None for all at once
    """
    config = config or config_for(matrix)
    require(not timeline, "timeline", timeline, "must be False: the N:M unit broadcasts nothing, it has no timeline")
    require_engine(engine)
    ours, theirs = matrix.element, ELEMENTS[config.elem_bytes]
    rule = f"is {theirs}, but the matrix's element is {ours}"
    require(ours == theirs, "config.elem_bytes", config.elem_bytes, rule)
    matrix = matrix.opened(as_array("activations", activations))
    given = _activations(matrix, activations)
    scales = {"weight": matrix.weight_scale, "activation": matrix.activation_scale or 1.0}
    scale = math.prod(scales.values())
    output = _sums(matrix, given) if outputs is None else _sums_of(matrix, outputs / scale)
    n_vector = len(output)
    said_inputs = inputs or f"given, {n_vector} vector{'' if n_vector == 1 else 's'}"
    pattern = (matrix.n_keep, matrix.m_group)
    if steps is None:
        done = _result([(matrix.n_out, matrix.n_in, n_vector)], pattern, config, engine, said_inputs)
    else:
        done = simulate_steps(matrix.n_out, matrix.n_in, steps, config, pattern, engine=engine)
    words = given if given.dtype.kind == "i" else given.view(np.int16) << 1  # without the sign: -0.0 is 0
    return replace(
        done,
        output=output if given.ndim == 2 else output[0],
        scales=scales if matrix.element == "int8" else {},
        output_scale=scale,
        active_inputs=int(np.count_nonzero(words)),
        active_per_vector=np.count_nonzero(np.atleast_2d(words), axis=1),
    )


def _sums(matrix: NmMatrix, given: NDArray[Any]) -> NDArray[Any]:
    from eie_sim.units.nm import functional

    return functional.product(matrix, np.ascontiguousarray(np.atleast_2d(given).T)).T


def _sums_of(matrix: NmMatrix, outputs: NDArray[Any]) -> NDArray[Any]:
    """Outputs as they were summed: those of int8 are whole."""
    return np.rint(outputs).astype(np.int32) if matrix.element == "int8" else outputs.astype(np.float32)


def simulate_steps(
    m: int, k: int, steps: Steps, config: TensorCoreConfig, given: Pattern, *, engine: str = "fast"
) -> SimResult:
    """Time A [m, k] times the vectors of each step, a launch each; without data.

    The first step reads A from DRAM; those after it do unless all weights that a step reads fit L2.
    given : the pattern of A
    """
    n_keep, m_group = given

    def step(n: int, after: Steps | None) -> SimResult:
        return simulate_gemms([(m, k, n)], config, n_keep=n_keep, m_group=m_group, engine=engine, after=after)

    first, *rest = steps.sizes
    later = {n: step(n, steps) for n in set(rest)}
    done = in_turn([step(first, None), *(later[n] for n in rest)])
    launches = "one launch" if steps.persistent else f"{len(steps.sizes)} launches"
    read = (
        "once, they stay in L2" if _stay(steps, k, config.runs_as(*given), config) else "in each, L2 cannot hold them"
    )
    return replace(done, inputs=f"{len(steps.sizes)} steps in {launches}; weights are read {read}")


def launch(parts: Sequence[tuple[NmMatrix, SimResult]], config: TensorCoreConfig, *, engine: str = "fast") -> SimResult:
    """Time products of one launch, each of which has run alone: one sequence of waves, one pattern of all A.

    `scales` of the result are the largest of theirs.
    """
    matrices, results = [matrix for matrix, _ in parts], [result for _, result in parts]
    shapes = [(matrix.n_out, matrix.n_in, result.n_vector) for matrix, result in parts]
    patterns = list(dict.fromkeys((matrix.n_keep, matrix.m_group) for matrix in matrices))
    hold(len(patterns) == 1, "patterns", patterns, "must be one for all products of a launch")
    done = _result(shapes, patterns[0], config, engine, f"given, {_said(shapes)}")
    scales = {name: max(one.scales[name] for one in results) for name in results[0].scales}
    return replace(done, scales=scales, active_inputs=sum(one.active_inputs or 0 for one in results))


def output_of(matrix: NmMatrix, activations: NDArray[Any], config: TensorCoreConfig) -> NDArray[np.float64]:
    """Outputs in real values float64[n_vector, n_out] alone: nothing is timed."""
    scale = matrix.weight_scale * (matrix.activation_scale or 1.0)
    from eie_sim.units.nm import functional

    return functional.multiply(matrix, np.atleast_2d(matrix.words(activations)).T).T.astype(np.float64) * scale


def opened(
    matrix: NmMatrix, activations: NDArray[Any], config: TensorCoreConfig, *, outputs: NDArray[Any] | None = None
) -> NmMatrix:
    """The matrix, with the scale of int8 activations chosen for real ones [n_vector, n_in]; sums need none."""
    return matrix.opened(activations)


def repacked(matrix: NmMatrix, weights: NDArray[Any]) -> NmMatrix:
    """Activations [n_out, n_in] that stand for weights, dense, at the scales of the matrix."""
    return matrix.repacked(weights)


def describe(config: TensorCoreConfig) -> str:
    """The design in a line."""
    name, macs = _names().get(config, ""), config.tc_per_core * config.macs_per_cycle
    patterns = ", ".join(said(pattern) for pattern in config.patterns) or "none"
    cores = f"{config.n_core} core{'s' if config.n_core > 1 else ''}"
    memory = "no DRAM" if config.dram_bytes_per_cycle is None else f"DRAM {config.dram}"
    return (
        f"{name + ': ' if name else ''}{cores} of {macs} MACs a cycle at {config.clock_mhz:g} MHz, "
        f"{ELEMENTS[config.elem_bytes]}, patterns {patterns}, {memory}, {config.node_nm} nm; "
        f"times held against: {held_against(config)}"
    )


def config_for(matrix: NmMatrix) -> TensorCoreConfig:
    """The default design with elements of the matrix's size."""
    return TensorCoreConfig(elem_bytes={name: size for size, name in ELEMENTS.items()}[matrix.element])


def held_against(config: TensorCoreConfig, number: int = 1) -> str:
    """Name what times of the design were held against: a preset's own phrase, else that it was not measured."""
    return HELD_AGAINST.get(_names().get(config, ""), NOT_MEASURED)


@cache
def _names() -> dict[TensorCoreConfig, str]:
    return {TensorCoreConfig.preset(name): name for name in PRESETS}


def _result(
    shapes: list[fast.Shape],
    given: Pattern,
    config: TensorCoreConfig,
    engine: str,
    inputs: str,
    after: Steps | None = None,
) -> SimResult:
    """Timing and counts of checked products; `given` is the pattern of each A, from which kept values are counted.

    after : the steps of which this is a later one
    """
    pattern = config.runs_as(*given)
    a_held = after is not None and _stay(after, shapes[0][1], pattern, config)
    timed = replace(config, launch=0) if after is not None and after.persistent else config
    dense_macs = sum(m * k * n for m, k, n in shapes)
    padded = [(m, whole_groups(k, pattern), n) for m, k, n in shapes]
    timing, tile = fast.fewest_cycles(_engine(engine), padded, pattern, timed, a_held)
    if max(timing.cycles, dense_macs, *timing.counts) > MOST:  # no part is busy for longer than the cycles
        raise InputError(f"m x k x n={_said(padded)}: must be smaller, its counts exceed {MOST}")
    invariants.check(padded, pattern, tile, timed, timing, a_held)
    if padded != shapes:
        inputs = f"{inputs}; k padded with zeros to {', '.join(str(k) for _, k, _ in padded[:3])}"
    tensor = timing.busy[NmPart.TENSOR]
    return SimResult(
        unit="nm",
        engine=engine,
        config=config,
        output=None,
        cycles=timing.cycles,
        cycles_per_vector=np.array([timing.cycles], dtype=np.int64),
        n_vector=max(n for *_, n in shapes),
        n_unit=1,
        event_names=NmEvent.names(),
        counts=np.array([timing.counts], dtype=np.int64),
        class_names=NmClass.names(),
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
            "held_against": held_against(config),
        },
        effectual_macs=sum(m * n * kept_of(k, given) for m, k, n in shapes),
        dense_macs=dense_macs,
        inputs=inputs,
        config_hash=config_hash("nm", config.to_dict()),
    )


def _stay(steps: Steps, k: int, pattern: Pattern, config: TensorCoreConfig) -> bool:
    """True if weights of k inputs stay in L2 from step to step: all that a step reads must fit."""
    kept = whole_groups(k, pattern) // pattern[1] * pattern[0]
    return steps.rows * kept * (8 * config.elem_bytes + position_bits(pattern)) <= 8 * config.l2_bytes


def _engine(name: str) -> fast.Engine:
    require_engine(name)
    if name == "reference":
        from eie_sim.units.nm import reference  # SimPy is loaded only where it is used

        return reference.run
    return fast.run


def _activations(matrix: NmMatrix, activations: ArrayLike) -> NDArray[Any]:
    """A vector [n_in] or batch [n_vector, n_in] of at least one, in the matrix's element; for int8 real values too."""
    given = as_array("activations", activations)
    rule = f"must be ({matrix.n_in},) or (n_vector, {matrix.n_in}) for a matrix of {matrix.n_in} inputs"
    fits = given.ndim in (1, 2) and given.shape[-1] == matrix.n_in and len(given) > 0
    require(fits, "activations", f"shape {given.shape}", rule)
    from eie_sim.units.nm.matrix import as_float16, as_int8

    if matrix.element == "float16":
        return as_float16("activations", given)
    return matrix.words(given) if given.dtype.kind == "f" else as_int8("activations", given)


def sparsest_of(weights: NDArray[Any], config: TensorCoreConfig) -> Pattern:
    """The listed pattern of which weights [n_out, n_in] keep the fewest, else dense."""
    return sparsest(config.patterns, lambda pattern: weights.shape[1:], lambda pattern: meets(weights, pattern))
