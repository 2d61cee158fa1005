"""simulate(): the one door. The type of the matrix picks the unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eie_sim.errors import require
from eie_sim.result import SimResult
from eie_sim.units.eie import unit as eie
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix

UNITS: dict[type, tuple[type, Callable[..., SimResult]]] = {
    EieMatrix: (EieConfig, eie.simulate),
}
"""By type of matrix: the config that goes with it, and the unit's door."""


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
        are chosen here where they are open) or raw int16. A single number is a density: independent random activations
        of that density, a lower-quality mode, which the result's `inputs` says
    config : EieConfig; the default design with the matrix's n_pe and bits when left out
    engine : "fast" (completion times) or "reference" (SimPy processes); both return the same
    timeline : keep (T, L): the cycle of each broadcast, and of each PE's taking it
    seed : of the random activations, when a density is given

    Raises InputError for activations that do not fit the matrix, and for a config that disagrees with it.
    """
    require(
        type(matrix) in UNITS, "matrix", type(matrix).__name__, f"must be one of {', '.join(t.__name__ for t in UNITS)}"
    )
    config_type, unit = UNITS[type(matrix)]
    require(
        config is None or isinstance(config, config_type),
        "config",
        type(config).__name__,
        f"must be {config_type.__name__}",
    )
    inputs = None
    if isinstance(activations, (int, float)) and not isinstance(activations, bool):
        from eie_sim.workload import synthetic_activations

        activations, inputs = synthetic_activations(matrix.n_in, float(activations), seed=seed)
    return unit(matrix, activations, config, engine=engine, timeline=timeline, inputs=inputs)
