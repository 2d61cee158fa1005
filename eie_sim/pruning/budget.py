"""What layers lose and cost at each density, and densities for a budget beside those of plain magnitude pruning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.cost import cost_of
from eie_sim.errors import require, require_type
from eie_sim.prune import magnitude, pattern, score
from eie_sim.prune.allocate import allocate
from eie_sim.prune.sensitivity import Point, Progress, scan
from eie_sim.pruning.measure import (
    Arrays,
    Quality,
    default_quality,
    dense,
    inputs_of,
    quality_of,
    training,
    weights_of,
)
from eie_sim.pruning.network import prune_network
from eie_sim.recipe import Recipe
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.workload import Network

DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)

NEARBY = (0.6, 0.8, 0.92, 1.08, 1.25, 1.6)
"""Factors of a chosen density that are tried next, the other layers at theirs."""

ROUNDS = 4
"""Most times that this is done; it ends where nothing gets better."""

GRAIN = 1000
"""Densities of the rivals are whole parts of it."""

MaskOf = Callable[[NDArray[Any], float], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """A network pruned for a budget.

    name : budgeted (a density for each layer), uniform (one for all) or global (one threshold)
    densities : achieved, by layer
    cost : of all layers, in the unit of the quantity, on the inputs that the choice was made with
    quality : of the whole network, on what the choice was made with
    warnings : layers that were pruned away, densities raised to a floor
    """

    name: str
    densities: dict[str, float]
    cost: float
    quality: float
    network: Network
    warnings: tuple[str, ...]


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

    densities : of an N:M unit, those of its patterns
    quantity : what a layer costs on the design `config`: weights, bytes, cycles or energy; see `cost`
    quality : accuracy or loss on the held-back inputs, or outputs, see QUALITIES; left out, accuracy where inputs are
        labelled, else outputs

    Raises InputError.
    """
    require_type("network", network, Network)
    require(len(densities) > 0, "densities", "none", "must be at least one")
    measured = quality_of(default_quality(network, "accuracy") if quality is None else quality, network)
    before, biases = weights_of(network)
    costs = cost_of(quantity, config, inputs_of(network, before, biases), biases)
    grids = dict.fromkeys(before, densities)
    return _scanned(before, before, grids, _masks_for(config), measured, costs, progress)


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
    densities : to choose from at first; those near the best choice are tried next
    floor : least density of any layer
    quality : what the choice keeps most of, on the training inputs where the network has some; left out, loss where
        inputs are labelled, else outputs

    The choice is made layer by layer (see `prune.allocate`) and measured as a whole, beside magnitude pruning of the
    same budget. From the best of them on, layers are tried near their densities with the others at theirs, while that
    makes the whole better. Returns the choices budgeted, uniform and global; the last two are the largest densities, in
    thousandths, whose cost is within the budget, and are left out where there is none. Raises InputError for a budget
    below the cheapest densities.
    """
    require_type("network", network, Network)
    require(len(densities) > 0, "densities", "none", "must be at least one")
    measured = quality_of(default_quality(network, "loss") if quality is None else quality, network, training(network))
    before, biases = weights_of(network)
    costs = cost_of(quantity, config, inputs_of(network, before, biases), biases)

    def scan_of(base: Arrays, grids: Mapping[str, Sequence[float]]) -> list[Point]:
        return _scanned(before, base, grids, _masks_for(config), measured, costs, progress)

    def choice(name: str, recipe: Recipe, of_layers: dict[str, float] | None = None) -> Choice:
        pruned, kept = prune_network(network, recipe, config, layer_density=of_layers)
        weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
        return Choice(
            name=name,
            densities={layer: result.achieved for layer, result in kept.layers.items()},
            cost=sum(costs(layer, w) for layer, w in weights.items()),
            quality=measured(weights),
            network=pruned,
            warnings=kept.warnings,
        )

    points = scan_of(before, dict.fromkeys(before, densities))
    chosen = choice("budgeted", Recipe(floor=floor), allocate(points, budget, floor=floor).densities)
    rivals = []
    for scope, name in (("local", "uniform"), ("global", "global")):
        progress(f"{name}: searching the density")
        found = _largest(name, scope, choice, budget, floor)
        rivals += [] if found is None else [found]
    best = max([chosen, *rivals], key=lambda each: each.quality)
    for _ in range(0 if isinstance(config, TensorCoreConfig) else ROUNDS):  # which has only its patterns' densities
        points = scan_of(_weights(best), {name: _around(density, floor) for name, density in best.densities.items()})
        nearby = choice("budgeted", Recipe(floor=floor), allocate(points, budget, floor=floor).densities)
        if nearby.quality <= best.quality:
            break
        best = nearby
    return [replace(best, name="budgeted"), *rivals]


def _weights(choice: Choice) -> Arrays:
    return {layer.name: dense(layer.weights) for layer in choice.network.layers}


def _around(density: float, floor: float) -> list[float]:
    """Densities near one, itself among them."""
    near = {min(max(round(density * factor, 6), floor), 1.0) for factor in NEARBY}
    return sorted(near | {density})


def _scanned(
    before: Arrays,
    base: Arrays,
    grids: Mapping[str, Sequence[float]],
    mask_of: MaskOf,
    measured: Quality,
    costs: Callable[[str, NDArray[Any]], float],
    progress: Progress,
) -> list[Point]:
    """Each layer alone at densities of its own, pruned from `before`, the others as in `base`."""
    points: list[Point] = []
    for name, grid in grids.items():
        points += scan(
            {name: before[name]},
            grid,
            mask_of=mask_of,
            quality_of=lambda pruned: measured({**base, **pruned}),
            cost_of=costs,
            progress=progress,
        )
    return points


def _masks_for(config: Any) -> MaskOf:
    """Magnitude masks that a unit can make use of: of an N:M unit its patterns, of any other single weights."""
    if not isinstance(config, TensorCoreConfig):
        return lambda weights, density: magnitude(weights, density=density).mask
    known = {Fraction(*each): each for each in ((1, 1), *config.patterns)}

    def mask_of(weights: NDArray[Any], density: float) -> NDArray[np.bool_]:
        exact = Fraction(str(density))
        rule = f"must be one of {', '.join(str(float(each)) for each in sorted(known))}, the unit's patterns"
        require(exact in known, "density", density, rule)
        return pattern.nm(*known[exact]).prune(score.l1(weights)).mask

    return mask_of


def _largest(
    name: str, scope: str, make: Callable[[str, Recipe], Choice], budget: float, floor: float
) -> Choice | None:
    """The choice of the largest density within the budget, by halving; cost rises with density, by and large."""
    low, high, best = int(floor * GRAIN), GRAIN, None
    while low <= high:
        middle = (low + high) // 2
        tried = make(name, Recipe(density=max(middle / GRAIN, floor), scope=scope, floor=floor))
        if tried.cost <= budget:
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best
