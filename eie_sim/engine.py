"""simulate(): the one door. The type of the matrix picks the unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from eie_sim.errors import InputError, is_number, require, require_type
from eie_sim.result import SimResult
from eie_sim.units.eie import unit as eie
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix


class Unit(NamedTuple):
    """An accelerator: what it is configured by, how weights are compressed for it, and its door."""

    matrix: type
    config: type
    compress: Callable[..., Any]
    simulate: Callable[..., SimResult]


UNITS = (Unit(EieMatrix, EieConfig, eie.compress, eie.simulate),)


def compress(weights: Any, config: Any, *, bias: Any = None) -> Any:
    """Compress pruned weights [n_out, n_in] (and bias [n_out]) for the unit that `config` belongs to."""
    known = ", ".join(unit.config.__name__ for unit in UNITS)
    for unit in UNITS:
        if isinstance(config, unit.config):
            return unit.compress(weights, config, bias=bias)
    raise InputError(f"config={type(config).__name__}: must be one of {known}")


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

    matrix : EieMatrix
    activations : [n_in], or [n_vector, n_in] run one after the other; floats (quantised by the matrix's scales, which
        are chosen here where they are open) or integers, which are raw 16-bit words whatever their type. A single
        number is a density: independent random activations, a lower-quality mode, which the result's `inputs` says
    config : EieConfig; the default design with the matrix's n_pe and bits when left out
    engine : "fast" (completion times) or "reference" (SimPy processes); both return the same
    timeline : keep (T, L): the cycle of each broadcast, and of each PE's taking it
    seed : of the random activations, when a density is given

    Raises InputError for activations that do not fit the matrix, and for a config that disagrees with it.
    """
    unit = next((unit for unit in UNITS if isinstance(matrix, unit.matrix)), None)
    if unit is None:
        raise InputError(f"matrix={type(matrix).__name__}: must be {' or '.join(u.matrix.__name__ for u in UNITS)}")
    given = config is None or isinstance(config, unit.config)
    require(given, "config", type(config).__name__, f"must be {unit.config.__name__}")
    require_type("timeline", timeline, bool)
    inputs = None
    if is_number(activations):
        require(0 <= activations <= 1, "activation_density", activations, "must be in 0..1")
        from eie_sim.workload import synthetic_activations

        activations, inputs = synthetic_activations(matrix.n_in, float(activations), seed=seed)
    return unit.simulate(matrix, activations, config, engine=engine, timeline=timeline, inputs=inputs)
