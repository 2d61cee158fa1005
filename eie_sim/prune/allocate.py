"""Densities for a budget: one per layer, the least loss for a total cost in weights, bytes, cycles or energy.

The loss of a choice is taken as the sum of what each layer loses alone. That is an assumption, good for small losses;
measure the network at the chosen densities before you trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eie_sim.core.errors import InputError, require
from eie_sim.prune.sensitivity import Sensitivity


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """A density per layer for a budget.

    chosen : the measured density of each layer
    budget, cost : asked and reached, in the unit of the cost function
    loss : sum of what each layer loses alone
    """

    chosen: tuple[Sensitivity, ...]
    budget: float
    cost: float
    loss: float

    @property
    def densities(self) -> dict[str, float]:
        """Density asked of each layer."""
        return {each.layer: each.asked for each in self.chosen}


def allocate(measured: Sequence[Sensitivity], budget: float, *, floor: float = 0.0) -> Allocation:
    """Choose a density per layer, least total loss first, then least cost, with a total cost of at most `budget`.

    measured : of a scan; every layer needs at least one density
    budget : in the unit of the costs
    floor : least density that any layer achieves

    Exact: keeps every combination that no other beats in both cost and loss (Kellerer et al. 2004, chapter 11, the
    multiple-choice knapsack by dominance). Raises InputError where even the cheapest choice is over the budget.
    """
    best_quality = max(each.quality for each in measured)
    layers = _by_layer(measured, floor)
    cheapest = sum(min(each.cost for each in choices) for choices in layers)
    if cheapest > budget:
        raise InputError(
            f"budget={budget:g}: must be at least {cheapest:g}, the cost of the cheapest allowed densities"
        )
    front: list[tuple[float, float, tuple[Sensitivity, ...]]] = [(0.0, 0.0, ())]
    remaining = cheapest
    for choices in layers:
        remaining -= min(each.cost for each in choices)
        grown = [
            (loss + best_quality - each.quality, cost + each.cost, (*chosen, each))
            for loss, cost, chosen in front
            for each in choices
            if cost + each.cost + remaining <= budget + 1e-12 * abs(budget)
        ]
        front = _undominated(grown)
    loss, cost, chosen = front[0]
    return Allocation(chosen=chosen, budget=budget, cost=cost, loss=loss)


def _by_layer(measured: Sequence[Sensitivity], floor: float) -> list[list[Sensitivity]]:
    """The densities of each layer that respect the floor."""
    names = list(dict.fromkeys(each.layer for each in measured))
    layers = [[each for each in measured if each.layer == name and each.achieved >= floor] for name in names]
    for name, choices in zip(names, layers, strict=True):
        require(bool(choices), "floor", floor, f"layer {name} has no density at or above it")
    return layers


def _undominated(
    states: list[tuple[float, float, tuple[Sensitivity, ...]]],
) -> list[tuple[float, float, tuple[Sensitivity, ...]]]:
    """States by rising loss, each cheaper than all before it."""
    states.sort(key=lambda state: (state[0], state[1]))
    kept, cheapest = [], np.inf
    for state in states:
        if state[1] < cheapest:
            kept.append(state)
            cheapest = state[1]
    return kept
