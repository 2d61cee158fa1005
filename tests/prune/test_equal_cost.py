"""Recipes compared at equal cost."""

from itertools import product

import numpy as np
import pytest
from networks import chain, outputs

from eie_sim import EieConfig, InputError
from eie_sim.prune import Recipe, at_equal_cost, prune_network
from eie_sim.prune.budget import GRAIN
from eie_sim.prune.cost import cost
from eie_sim.prune.measure import dense

DESIGN = EieConfig(n_pe=4)
NETWORK = chain((16, 24, 12, 4))
RECIPES = {
    "l1": Recipe(),
    "random": Recipe(criterion="random", seed=3),
    "wanda": Recipe(criterion="wanda", pattern="per_row"),
    "obd": Recipe(criterion="obd", pattern="balanced", floor=0.05),
}


def cost_at(recipe, density, quantity):
    """What a network costs on what its own layers pass on, pruned by a recipe to a density."""
    pruned, _ = prune_network(NETWORK, Recipe(**{**recipe.to_dict(), "density": density}), DESIGN)
    read, total = NETWORK.calibration, 0.0
    for layer in pruned.layers:
        total += cost(quantity, dense(layer.weights), DESIGN, activations=read, bias=layer.bias)
        read = np.maximum(outputs([layer], read), 0)
    return total


@pytest.mark.parametrize("quantity", ["weights", "cycles"])
def test_every_recipe_gets_the_largest_density_within_every_budget(quantity):
    budgets = {"weights": (150, 300), "cycles": (90, 110)}[quantity]
    rows = at_equal_cost(NETWORK, RECIPES, budgets, quantity, DESIGN)
    assert [(row.budget, row.name) for row in rows] == list(product(budgets, RECIPES))
    for row in rows:
        recipe = RECIPES[row.name]
        assert (row.criterion, row.pattern) == (recipe.criterion, recipe.pattern)
        assert row.cost == pytest.approx(cost_at(recipe, row.density, quantity))
        assert row.cost <= row.budget < cost_at(recipe, round(row.density * GRAIN + 1) / GRAIN, quantity)


def test_quality_is_the_accuracy_of_the_pruned_network():
    for row in at_equal_cost(NETWORK, RECIPES, [250], "weights", DESIGN):
        recipe = Recipe(**{**RECIPES[row.name].to_dict(), "density": row.density})
        pruned, selection = prune_network(NETWORK, recipe, DESIGN)
        right = outputs(pruned.layers, NETWORK.test_inputs).argmax(axis=1) == NETWORK.test_labels
        assert row.quality == np.mean(right)
        assert row.kept == selection.achieved


def test_a_larger_budget_is_never_pruned_further():
    rows = at_equal_cost(NETWORK, {"l1": Recipe()}, (90, 110, 140, 300, 10**6), "cycles", DESIGN)
    densities = [row.density for row in rows]
    assert densities == sorted(densities)
    assert densities[-1] == 1


@pytest.mark.parametrize(
    ("recipes", "budgets", "message"),
    [
        ({}, [100], "recipes=none: must be at least one"),
        ([Recipe()], [100], "recipes=list: must be dict"),
        ({"a": "l1"}, [100], "recipe a=str: must be Recipe"),
        ({"a": Recipe(pattern="2:4")}, [100], "recipe a: pattern=2:4: must be one that has densities"),
        ({"a": Recipe(epochs=2)}, [100], "recipe a: epochs=2: must be 0"),
        ({"a": Recipe(remove=True)}, [100], "recipe a: remove=True: must be False"),
        ({"a": Recipe()}, [], "budgets=none: must be at least one"),
        ({"a": Recipe()}, 100, "budgets=int: must be list or tuple"),
        ({"a": Recipe()}, [float("nan")], "budget=nan: must be a number >= 0"),
        ({"a": Recipe()}, [1], r"budget=1: must be at least [0-9.]+, the cost of a at its least density"),
    ],
)
def test_what_cannot_be_compared_is_refused(recipes, budgets, message):
    with pytest.raises(InputError, match=message):
        at_equal_cost(NETWORK, recipes, budgets, "weights", DESIGN)
