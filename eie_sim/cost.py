"""What a pruned layer costs on a unit: the simulator as the cost model of the pruner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eie_sim.energy import account
from eie_sim.engine import compress, simulate
from eie_sim.errors import unknown
from eie_sim.formats import encoded

QUANTITIES = {
    "weights": "non-zero weights, the bias included",
    "bytes": "compressed weights, index, padding, pointers and codebook",
    "cycles": "cycles per vector",
    "energy": "pJ per vector",
}


def cost(quantity: str, weights: Any, config: Any, *, activations: Any, bias: Any = None) -> float:
    """Cost of one pruned layer, in the unit that QUANTITIES states.

    weights : [n_out, n_in]; bias : [n_out], or None
    config : of the unit, such as EieConfig
    activations : float [n_vector, n_in], typical inputs; only cycles and energy depend on them

    Raises InputError for an unknown quantity, and for what the unit refuses.
    """
    if quantity not in QUANTITIES:
        raise unknown("quantity", quantity, QUANTITIES)
    matrix = compress(weights, config, bias=bias)
    if quantity == "weights":
        return float(matrix.n_weight)
    if quantity == "bytes":
        return encoded(matrix, pointer_bits=config.pointer_bits).total_bits / 8
    result = simulate(matrix, activations, config)
    total = result.cycles if quantity == "cycles" else account(result).total_pj
    return total / max(len(result.cycles_per_vector), 1)


def cost_of(quantity: str, config: Any, activations: dict[str, Any], biases: dict[str, Any]) -> Callable[..., float]:
    """A function (layer, pruned weights) -> cost, for a scan; activations and biases by layer."""

    def of(layer: str, weights: Any) -> float:
        return cost(quantity, weights, config, activations=activations[layer], bias=biases.get(layer))

    return of
