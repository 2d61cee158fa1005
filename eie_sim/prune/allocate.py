"""Densities for a budget: one point per layer, the least loss for a total cost in weights, bytes, cycles or energy.

The loss of a choice is taken as the sum of what each layer loses alone. That is an assumption, good for small losses;
measure the network at the chosen densities before you trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eie_sim.core.errors import InputError, require, require_all, require_type
from eie_sim.prune.counts import fraction
from eie_sim.prune.score import as_finite
from eie_sim.prune.sensitivity import Point


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """A density per layer for a budget.

    points : the chosen point of each layer
    budget, cost : asked and reached, in the unit of the cost function
    loss : sum of what each layer loses alone
    """

    points: tuple[Point, ...]
    budget: float
    cost: float
    loss: float

    @property
    def densities(self) -> dict[str, float]:
        """Density asked of each layer."""
        return {point.layer: point.asked for point in self.points}


def allocate(points: Sequence[Point], budget: float, *, floor: float = 0.0) -> Allocation:
    """Choose one point per layer, least total loss first, then least cost, with a total cost of at most `budget`.

    points : of a scan; every layer needs at least one
    budget : in the unit of the points' costs
    floor : least density that any layer achieves

    Exact: keeps every combination that no other beats in both cost and loss (Kellerer et al. 2004, chapter 11, the
    multiple-choice knapsack by dominance). Raises InputError where even the cheapest choice is over the budget.
    """
    points, budget = _checked(points), as_finite("budget", budget)
    best_quality = max(point.quality for point in points)
    layers = _by_layer(points, float(fraction("floor", floor)))
    cheapest = sum(min(point.cost for point in choices) for choices in layers)
    if cheapest > budget:
        raise InputError(
            f"budget={budget:g}: must be at least {cheapest:g}, the cost of the cheapest allowed densities"
        )
    front: list[tuple[float, float, tuple[Point, ...]]] = [(0.0, 0.0, ())]
    remaining = cheapest
    for choices in layers:
        remaining -= min(point.cost for point in choices)
        grown = [
            (loss + best_quality - point.quality, cost + point.cost, (*chosen, point))
            for loss, cost, chosen in front
            for point in choices
            if cost + point.cost + remaining <= budget + 1e-12 * abs(budget)
        ]
        front = _undominated(grown)
    loss, cost, chosen = front[0]
    return Allocation(points=chosen, budget=budget, cost=cost, loss=loss)


def _checked(points: Sequence[Point]) -> list[Point]:
    """The points with plain numbers. Raises InputError where there is none, and for numbers that are not finite."""
    require_all("points", points, Point)
    require(len(points) > 0, "points", 0, "must be at least one")
    return [_plain(f"points[{at}]", point) for at, point in enumerate(points)]


def _plain(field: str, point: Point) -> Point:
    require_type(f"{field}.layer", point.layer, str)
    return point._replace(
        asked=as_finite(f"{field}.asked", point.asked),
        achieved=as_finite(f"{field}.achieved", point.achieved),
        quality=as_finite(f"{field}.quality", point.quality),
        cost=as_finite(f"{field}.cost", point.cost),
    )


def _by_layer(points: Sequence[Point], floor: float) -> list[list[Point]]:
    """The points of each layer that respect the floor."""
    names = list(dict.fromkeys(point.layer for point in points))
    layers = [[point for point in points if point.layer == name and point.achieved >= floor] for name in names]
    for name, choices in zip(names, layers, strict=True):
        require(bool(choices), "floor", floor, f"layer {name} has no density at or above it")
    return layers


def _undominated(
    states: list[tuple[float, float, tuple[Point, ...]]],
) -> list[tuple[float, float, tuple[Point, ...]]]:
    """States by rising loss, each cheaper than all before it."""
    states.sort(key=lambda state: (state[0], state[1]))
    kept, cheapest = [], np.inf
    for state in states:
        if state[1] < cheapest:
            kept.append(state)
            cheapest = state[1]
    return kept
