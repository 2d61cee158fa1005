"""Loss and cost of each layer at each density, and densities for a budget beside those of plain magnitude pruning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import require, require_type
from eie_sim.core.nm_pattern import Pattern
from eie_sim.network import Network
from eie_sim.prune import Selection, magnitude, pattern, score
from eie_sim.prune.allocate import allocate
from eie_sim.prune.cost import cost_of
from eie_sim.prune.counts import fraction, fractions
from eie_sim.prune.measure import (
    Arrays,
    default_quality,
    dense,
    inputs_of,
    quality_of,
    training,
    weights_of,
)
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.score import as_finite
from eie_sim.prune.sensitivity import Progress, Sensitivity, scan
from eie_sim.units import unit_of

DENSITIES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)

NEARBY = (0.6, 0.8, 0.92, 1.08, 1.25, 1.6)
"""Factors of a chosen density that are tried next, the other layers at theirs."""

ROUNDS = 4
"""Most times that this is done; it ends where nothing gets better."""

GRAIN = 1000
"""Densities of the rivals are whole parts of it."""

Option = TypeVar("Option")
Made = TypeVar("Made", bound="Costed")
MaskOf = Callable[[NDArray[Any], float], NDArray[np.bool_]]


class Costed(Protocol):
    """Anything with a cost, in the unit of a budget."""

    @property
    def cost(self) -> float:
        """The cost that a budget limits."""


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

    __repr__ = shows("name", "densities", "cost", "quality", "warnings")


def scan_network(
    network: Network,
    densities: Sequence[float],
    quantity: str,
    config: Any,
    *,
    quality: str | None = None,
    progress: Progress = lambda step: None,
) -> list[Sensitivity]:
    """Prune one layer at a time by magnitude, from its weights before pruning, and measure quality and cost.

    densities : of a unit that runs N of M alone, those of its patterns
    quantity : what a layer costs on the design `config`: weights, bytes, cycles or energy; see `cost`
    quality : accuracy or loss on the held-back inputs, or outputs, see QUALITIES; left out, accuracy where inputs are
        labelled, else outputs

    Raises InputError.
    """
    require_type("network", network, Network)
    require(len(densities) > 0, "densities", "none", "must be at least one")
    densities = fractions("density", densities)
    measured = quality_of(default_quality(network, "accuracy") if quality is None else quality, network)
    before, biases = weights_of(network)
    costs = cost_of(quantity, config, inputs_of(network, before, biases), biases)
    grids = dict.fromkeys(before, densities)
    return scan(
        before, before, grids, mask_of=_masks_for(config), quality_of=measured, cost_of=costs, progress=progress
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
    densities : to choose from at first, of a unit that runs N of M alone those of its patterns; those near the best
        choice are tried next
    floor : least density of any layer
    quality : what the choice keeps most of, on the training inputs where the network has some; left out, loss where
        inputs are labelled, else outputs

    The choice is made layer by layer (see `prune.allocate`) and measured as a whole, beside magnitude pruning of the
    same budget. From the best of them on, layers are tried near their densities with the others at theirs, while that
    makes the whole better. Returns the choices budgeted, uniform and global; the last two are the largest densities, in
    thousandths, whose cost is within the budget, and are left out where there is none. A unit that runs N of M alone
    has densities only at its patterns, and no global. Raises InputError for a budget below the cheapest densities.
    """
    require_type("network", network, Network)
    require(len(densities) > 0, "densities", "none", "must be at least one")
    densities, floor = fractions("density", densities), float(fraction("floor", floor))
    budget = as_finite("budget", budget)
    measured = quality_of(default_quality(network, "loss") if quality is None else quality, network, training(network))
    before, biases = weights_of(network)
    costs = cost_of(quantity, config, inputs_of(network, before, biases), biases)
    mask_of = _masks_for(config)

    def scan_of(base: Arrays, grids: Mapping[str, Sequence[float]]) -> list[Sensitivity]:
        return scan(before, base, grids, mask_of=mask_of, quality_of=measured, cost_of=costs, progress=progress)

    def choice(name: str, pruned: tuple[Network, Selection]) -> Choice:
        weights = _weights(pruned[0])
        return Choice(
            name=name,
            densities={layer: result.achieved for layer, result in pruned[1].layers.items()},
            cost=sum(costs(layer, w) for layer, w in weights.items()),
            quality=measured(weights),
            network=pruned[0],
            warnings=pruned[1].warnings,
        )

    def allocated(scanned: Sequence[Sensitivity]) -> Choice:
        chosen = allocate(scanned, budget, floor=floor).densities
        return choice("budgeted", _pruned_to(chosen, network, config, floor))

    def plain(recipe: Recipe) -> Choice:
        return choice("plain", prune_network(network, recipe, config))

    best = allocated(scan_of(before, dict.fromkeys(before, densities)))
    rivals: list[Choice] = []
    for name, recipes in _rivals(config, floor).items():
        progress(f"{name}: searching the density")
        rival = largest_within(recipes, plain, budget)
        rivals += [] if rival is None else [replace(rival, name=name)]
    best = max([best, *rivals], key=lambda each: each.quality)
    for _ in range(ROUNDS if unit_of(config).patterns(config) is None else 0):  # patterns have their densities only
        grids = {name: _around(density, floor) for name, density in best.densities.items()}
        nearby = allocated(scan_of(_weights(best.network), grids))
        if nearby.quality <= best.quality:
            break
        best = nearby
    return [replace(best, name="budgeted"), *rivals]


def _pruned_to(densities: dict[str, float], network: Network, config: Any, floor: float) -> tuple[Network, Selection]:
    """The network with each layer at its density, by magnitude, in a pattern that the unit can make use of."""
    patterns = unit_of(config).patterns(config)
    if patterns is not None:
        shapes = {name: pattern.nm(*_pattern_of(density, patterns)) for name, density in densities.items()}
        return prune_network(network, Recipe(pattern="1:1"), config, shape=shapes)  # of which only the shapes count
    return prune_network(network, Recipe(floor=floor), config, layer_density=densities)


def _rivals(config: Any, floor: float) -> dict[str, list[Recipe]]:
    """Plain magnitude pruning, by name, from the fewest weights to the most."""
    patterns = unit_of(config).patterns(config)
    if patterns is not None:
        known = sorted(patterns, key=lambda each: Fraction(*each))
        return {"uniform": [Recipe(pattern=f"{a}:{b}") for a, b in known if a / b >= floor]}
    densities = [max(part / GRAIN, floor) for part in range(int(floor * GRAIN), GRAIN + 1)]
    scopes = {"uniform": "local", "global": "global"}
    return {
        name: [Recipe(density=density, scope=scope, floor=floor) for density in densities]
        for name, scope in scopes.items()
    }


def largest_within(choices: Sequence[Option], make: Callable[[Option], Made], budget: float) -> Made | None:
    """Return what is made of the last choice within the budget, by halving; cost rises along them, by and large."""
    low, high, best = 0, len(choices) - 1, None
    while low <= high:
        middle = (low + high) // 2
        tried = make(choices[middle])
        if tried.cost <= budget:
            best, low = tried, middle + 1
        else:
            high = middle - 1
    return best


def _weights(network: Network) -> Arrays:
    return {layer.name: dense(layer.weights) for layer in network.layers}


def _around(density: float, floor: float) -> list[float]:
    """Densities near one, itself among them."""
    near = {min(max(round(density * factor, 6), floor), 1.0) for factor in NEARBY}
    return sorted(near | {density})


def densities_of(config: Any) -> tuple[float, ...] | None:
    """Densities of the patterns that a unit can make use of, and 1; None where any weight may go."""
    patterns = unit_of(config).patterns(config)
    return None if patterns is None else tuple(sorted({n / m for n, m in ((1, 1), *patterns)}))


def _masks_for(config: Any) -> MaskOf:
    """Magnitude masks that a unit can make use of: N:M ones of its patterns, or single weights."""
    patterns = unit_of(config).patterns(config)
    if patterns is None:
        return lambda weights, density: magnitude(weights, density=density).mask
    return lambda weights, density: pattern.nm(*_pattern_of(density, patterns)).prune(score.l1(weights)).mask


def _pattern_of(density: float, patterns: Sequence[Pattern]) -> Pattern:
    """The listed pattern of a density, or dense."""
    known = {Fraction(*each): each for each in ((1, 1), *reversed(patterns))}
    exact = Fraction(str(density))
    rule = f"must be one of {', '.join(f'{float(each):g}' for each in sorted(known))}, the unit's patterns"
    require(exact in known, "density", density, rule)
    return known[exact]
