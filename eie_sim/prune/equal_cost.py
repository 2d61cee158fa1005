"""Recipes compared at equal cost: each pruned as little as a budget allows, and what accuracy is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, is_number, require, require_type
from eie_sim.network import Network
from eie_sim.prune.budget import GRAIN, largest_within
from eie_sim.prune.cost import cost_of
from eie_sim.prune.measure import default_quality, dense, inputs_of, quality_of, weights_of
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe

Progress = Callable[[str], None]


class AtCost(NamedTuple):
    """A recipe at the largest density, in thousandths, whose cost is within a budget.

    density : asked for, of the weights; kept : achieved, over all layers
    cost : of all layers, in the unit of the quantity, on what the layers of the pruned network pass on
    quality : of the pruned network
    """

    name: str
    criterion: str
    pattern: str
    budget: float
    density: float
    kept: float
    cost: float
    quality: float


def at_equal_cost(
    network: Network,
    recipes: Mapping[str, Recipe],
    budgets: Sequence[float],
    quantity: str,
    config: Any,
    *,
    quality: str | None = None,
    progress: Progress = lambda step: None,
) -> list[AtCost]:
    """Prune by each recipe to the density that meets each budget on the design, and measure what is left.

    recipes : by name; their densities are searched, and nothing is trained again
    budgets : in the unit of the quantity, cycles and energy per vector; see `cost`
    quality : accuracy or loss on the held-back inputs, or outputs, see QUALITIES; left out, accuracy where inputs are
        labelled, else outputs

    At equal density criteria differ in cost, because they keep different weights: a column that is often active costs
    more than one that seldom is. Returns a row per budget and recipe, in order. Raises InputError for recipes without
    a density to search, and for a budget that a recipe cannot meet.
    """
    require_type("network", network, Network)
    _require_some(recipes, budgets)
    measured = quality_of(default_quality(network, "accuracy") if quality is None else quality, network)
    biases = weights_of(network)[1]

    def tried(name: str, density: float) -> AtCost:
        recipe = replace(recipes[name], density=density)
        pruned, selection = prune_network(network, recipe, config)
        weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
        costs = cost_of(quantity, config, inputs_of(pruned, weights, biases), biases)
        return AtCost(
            name=name,
            criterion=recipe.criterion,
            pattern=recipe.pattern,
            budget=0.0,
            density=density,
            kept=selection.achieved,
            cost=sum(costs(layer, w) for layer, w in weights.items()),
            quality=measured(weights),
        )

    rows: dict[tuple[int, str], AtCost] = {}
    for name, recipe in recipes.items():
        progress(f"{name}: searching the density")
        once = lru_cache(maxsize=None)(partial(tried, name))
        densities = [part / GRAIN for part in range(1, GRAIN + 1) if part / GRAIN >= recipe.floor]
        for at, budget in enumerate(budgets):
            best = largest_within(densities, once, budget)
            if best is None:
                least = f"must be at least {once(densities[0]).cost:g}, the cost of {name} at its least density"
                raise InputError(f"budget={budget}: {least}")
            rows[at, name] = best._replace(budget=float(budget))
    return [rows[at, name] for at in range(len(budgets)) for name in recipes]


def _require_some(recipes: Mapping[str, Recipe], budgets: Sequence[float]) -> None:
    require_type("recipes", recipes, dict)
    require(len(recipes) > 0, "recipes", "none", "must be at least one")
    require_type("budgets", budgets, list, tuple)
    require(len(budgets) > 0, "budgets", "none", "must be at least one")
    for budget in budgets:
        require(is_number(budget) and budget >= 0, "budget", budget, "must be a number >= 0")
    for name, recipe in recipes.items():
        require_type(f"recipe {name}", recipe, Recipe)
        rule = "must be one that has densities to search"
        require(recipe.n_of_m is None, f"recipe {name}: pattern", recipe.pattern, rule)
        require(recipe.epochs == 0, f"recipe {name}: epochs", recipe.epochs, "must be 0, nothing is trained again")
        require(not recipe.remove, f"recipe {name}: remove", recipe.remove, "must be False")
