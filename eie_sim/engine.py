"""simulate(): the one door; the type of the matrix picks the unit. simulate_gemm() times a shape on N:M."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, is_number, require, require_type
from eie_sim.core.result import SimResult
from eie_sim.units.eie import unit as eie
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm import unit as nm
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.unit import simulate_gemm, simulate_gemms

__all__ = ["UNITS", "Unit", "compress", "simulate", "simulate_gemm", "simulate_gemms"]


class Unit(NamedTuple):
    """An accelerator: what it is configured by, how weights are compressed for it, and its door.

    matrix : full name of its type of matrix, which is loaded only by those who have one
    """

    matrix: str
    config: type
    compress: Callable[..., Any]
    simulate: Callable[..., SimResult]

    def takes(self, matrix: Any) -> bool:
        """True for this unit's matrix."""
        return any(f"{kind.__module__}.{kind.__qualname__}" == self.matrix for kind in type(matrix).__mro__)


UNITS = (
    Unit("eie_sim.units.eie.matrix.EieMatrix", EieConfig, eie.compress, eie.simulate),
    Unit("eie_sim.units.nm.matrix.NmMatrix", TensorCoreConfig, nm.compress, nm.simulate),
)


def compress(weights: Any, config: Any, *, bias: Any = None) -> Any:
    """Compress pruned weights [n_out, n_in] (and bias [n_out]) for the unit that `config` belongs to.

    The N:M unit takes no bias: it is added outside.
    """
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

    matrix : EieMatrix or NmMatrix
    activations : [n_in], or [n_vector, n_in], by EIE run one after the other and by the N:M unit at once; for EIE
        floats (quantised by the matrix's scales, which are chosen here where they are open) or integers, which are raw
        16-bit words whatever their type. A single number is a density: independent random activations, a lower-quality
        mode, which the result's `inputs` says
    config : EieConfig or TensorCoreConfig; the default design with what the matrix fixes when left out
    engine : "fast" (completion times) or "reference" (SimPy processes); both return the same
    timeline : keep (T, L): the cycle of each broadcast, and of each PE's taking it; EIE only
    seed : of the random activations, when a density is given

    Raises InputError for activations that do not fit the matrix, and for a config that disagrees with it.
    """
    unit = next((unit for unit in UNITS if unit.takes(matrix)), None)
    if unit is None:
        names = " or ".join(unit.matrix.rpartition(".")[2] for unit in UNITS)
        raise InputError(f"matrix={type(matrix).__name__}: must be {names}")
    given = config is None or isinstance(config, unit.config)
    require(given, "config", type(config).__name__, f"must be {unit.config.__name__}")
    require_type("timeline", timeline, bool)
    inputs = None
    if is_number(activations):
        require(0 <= activations <= 1, "activation_density", activations, "must be in 0..1")
        from eie_sim.workload import synthetic_activations

        activations, inputs = synthetic_activations(matrix.n_in, float(activations), seed=seed)
    return unit.simulate(matrix, activations, config, engine=engine, timeline=timeline, inputs=inputs)
