"""What layers lose and cost at each density, and densities for a budget beside those of plain magnitude pruning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eie_sim.cost import cost_of
from eie_sim.errors import InputError, require
from eie_sim.prune import magnitude
from eie_sim.prune.allocate import allocate
from eie_sim.prune.sensitivity import Point, Progress, scan
from eie_sim.pruning.measure import Arrays, default_quality, dense, inputs_of, quality_of, weights_of
from eie_sim.pruning.network import prune_network
from eie_sim.recipe import Recipe
from eie_sim.workload import Network

DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
GRAIN = 1000
"""Densities of the rivals are whole parts of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A network pruned for a budget.

    name : budgeted (a density for each layer), uniform (one for all) or global (one threshold)
    densities : achieved, by layer
    cost : of all layers, in the unit of the quantity, on the inputs that the choice was made with
    """

    name: str
    densities: dict[str, float]
    cost: float
    network: Network


def scan_network(
    network: Network,
    densities: Sequence[float],
    quantity: str,
    config: Any,
    *,
    quality: str | None = None,
    progress: Progress = lambda step: None,
) -> list[Point]:
    """Prune one layer at a time by magnitude, from its weights before pruning, and measure quality and cost.

    quantity : what a layer costs on the design `config`: weights, bytes, cycles or energy; see `cost`
    quality : accuracy, loss or outputs, see QUALITIES; left out, accuracy where inputs are labelled, else outputs

    Raises InputError.
    """
    before, biases = weights_of(network)
    return scan(
        before,
        densities,
        mask_of=lambda w, density: magnitude(w, density=density).mask,
        quality_of=quality_of(quality or default_quality(network, "accuracy"), network),
        cost_of=cost_of(quantity, config, inputs_of(network, before, biases), biases),
        progress=progress,
    )


def allocate_network(
    network: Network,
    budget: float,
    quantity: str,
    config: Any,
    *,
    densities: Sequence[float] = DENSITIES,
    floor: float = 0.0,
    quality: str | None = None,
    progress: Progress = lambda step: None,
) -> list[Choice]:
    """Choose a density for each layer for a budget of the whole network, and magnitude pruning of the same budget.

    budget : in the unit of the quantity, cycles and energy per vector
    densities : to choose from; floor : least density of any layer
    quality : what the choice keeps most of; left out, loss where inputs are labelled, else outputs

    Returns the choices budgeted, uniform and global; the last two are the largest densities, in thousandths, whose
    cost is within the budget, and are left out where there is none. Raises InputError for a budget below the cheapest
    densities.
    """
    before, biases = weights_of(network)
    costs = cost_of(quantity, config, inputs_of(network, before, biases), biases)
    points = scan_network(
        network,
        densities,
        quantity,
        config,
        quality=quality or default_quality(network, "loss"),
        progress=progress,
    )
    chosen = allocate(points, budget, floor=floor)

    def choice(name: str, recipe: Recipe, of_layers: dict[str, float] | None = None) -> Choice:
        pruned, kept = prune_network(network, recipe, config, layer_density=of_layers)
        weights: Arrays = {layer.name: dense(layer.weights) for layer in pruned.layers}
        total = sum(costs(layer, w) for layer, w in weights.items())
        achieved = {layer: result.achieved for layer, result in kept.layers.items()}
        return Choice(name=name, densities=achieved, cost=total, network=pruned)

    def rival(scope: str, name: str) -> Choice | None:
        progress(f"{name}: searching the density")
        return _largest(lambda density: choice(name, Recipe(density=density, scope=scope, floor=floor)), budget, floor)

    rivals = (rival("local", "uniform"), rival("global", "global"))
    return [
        choice("budgeted", Recipe(floor=floor), chosen.densities),
        *(found for found in rivals if found is not None),
    ]


def _largest(make: Callable[[float], Choice], budget: float, floor: float) -> Choice | None:
    """The choice of the largest density within the budget, by halving; cost rises with density, by and large."""
    require(0 <= floor <= 1, "floor", floor, "must be in 0..1")
    low, high, best = int(floor * GRAIN), GRAIN, None
    while low <= high:
        middle = (low + high) // 2
        try:
            tried = make(max(middle / GRAIN, floor))
        except InputError:  # so few weights that a layer keeps none, which a unit may refuse
            low = middle + 1
            continue
        if tried.cost <= budget:
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best
