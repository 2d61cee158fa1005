"""Cost of a pruned layer on a unit: the simulator as the cost model of the pruner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eie_sim.core.errors import unknown
from eie_sim.energy import account
from eie_sim.engine import simulate
from eie_sim.units import unit_of

QUANTITIES = {
    "weights": "non-zero weights, the bias included",
    "bytes": "compressed weights with all that belongs to them, and a bias that is stored",
    "cycles": "cycles per vector",
    "energy": "pJ per vector",
}


def cost(quantity: str, weights: Any, config: Any, *, activations: Any, bias: Any = None) -> float:
    """Cost of one pruned layer, in the unit that QUANTITIES states.

    weights : [n_out, n_in]; bias : [n_out], or None
    config : a design of any unit; one that takes no bias has it added outside
    activations : float [n_vector, n_in], typical inputs; only cycles and energy depend on them

    Raises InputError for an unknown quantity, and for what the unit refuses.
    """
    if quantity not in QUANTITIES:
        raise unknown("quantity", quantity, QUANTITIES)
    if quantity == "weights":
        return float(np.count_nonzero(weights) + (0 if bias is None else np.count_nonzero(bias)))
    unit = unit_of(config)
    matrix = unit.compress(weights, config, bias=bias if unit.takes_bias else None)
    if quantity == "bytes":
        return unit.storage(matrix, config).total_bits / 8
    result = simulate(matrix, activations, unit.for_inputs(config, activations))
    total = result.cycles if quantity == "cycles" else account(result).total_pj
    return total / max(result.n_vector, 1)


def cost_of(quantity: str, config: Any, activations: dict[str, Any], biases: dict[str, Any]) -> Callable[..., float]:
    """A function (layer, pruned weights) -> cost, for a scan; activations and biases by layer."""

    def of(layer: str, weights: Any) -> float:
        return cost(quantity, weights, config, activations=activations[layer], bias=biases.get(layer))

    return of
