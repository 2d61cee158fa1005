"""simulate(): the one door; the type of the matrix picks the unit."""

from __future__ import annotations

from typing import Any

from eie_sim.core.errors import is_number, require, require_type
from eie_sim.core.nm_pattern import Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.units import unit_of


def compress(weights: Any, config: Any, *, bias: Any = None, pattern: Pattern | None = None) -> Any:
    """Compress pruned weights [n_out, n_in] (and bias [n_out]) for the unit that `config` belongs to.

    A unit that takes no bias refuses one: it is added to the outputs, outside the unit.
    pattern : of a unit with patterns, what they were pruned to; None for the sparsest of its own that they meet
    """
    unit = unit_of(config)
    if pattern is None:
        return unit.compress(weights, config, bias=bias)
    require(unit.runs_as is not None, "pattern", said(pattern), f"must be left out, {unit.title} runs no patterns")
    return unit.compress(weights, config, bias=bias, pattern=pattern)


def simulate(
    matrix: Any,
    activations: Any,
    config: Any = None,
    *,
    engine: str = "fast",
    timeline: bool = False,
    seed: int = 0,
) -> SimResult:
    """Run activations through a compressed layer and return output, cycles and counts.

    matrix : a compressed matrix of any unit
    activations : [n_in], or [n_vector, n_in], run one after the other or at once, as the unit does. In fixed point
        floats (quantised by the matrix's scales, which are chosen here where they are open) or integers, which are raw
        16-bit words whatever their type. A single number is a density: independent random activations, a lower-quality
        mode, which the result's `inputs` says
    config : a design of the matrix's unit; the default design with what the matrix fixes when left out
    engine : "fast" (completion times) or "reference" (SimPy processes); both return the same
    timeline : keep (T, L): the cycle of each broadcast, and of each PE's taking it, of a unit that keeps one
    seed : of the random activations, when a density is given

    Raises InputError for activations that do not fit the matrix, and for a config that disagrees with it.
    """
    unit = unit_of(matrix, "matrix")
    given = config is None or isinstance(config, unit.config)
    require(given, "config", type(config).__name__, f"must be {unit.config.__name__}")
    require_type("timeline", timeline, bool)
    inputs = None
    if is_number(activations):
        require(0 <= activations <= 1, "activation_density", activations, "must be in 0..1")
        from eie_sim.network import synthetic_activations

        activations, inputs = synthetic_activations(matrix.n_in, float(activations), seed=seed)
    return unit.simulate(matrix, activations, config, engine=engine, timeline=timeline, inputs=inputs)


def with_scales(layer: Any, matrix: Any, inputs: Any, config: Any) -> Any:
    """A compressed layer with its open scales chosen for inputs, float [n_vector, n_in], by its own weights in floats.

    layer : what the matrix was made from, as `network.Layer` has it
    """
    unit = unit_of(config)
    if unit.opened is None:
        return matrix
    return unit.opened(matrix, inputs, config, outputs=layer.outputs(inputs, bias=unit.takes_bias))
