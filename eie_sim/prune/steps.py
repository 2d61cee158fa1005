"""Pruning step by step: what a recipe's words stand for, the densities on the way, and the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import is_number, require, unknown
from eie_sim.prune import Pattern, Schedule, Selection, pattern, schedule, score
from eie_sim.prune.measure import Arrays
from eie_sim.prune.recipe import Recipe

LayerDensities = dict[str, float | None]
Masks = dict[str, NDArray[np.bool_]]


def shape_of(recipe: Recipe, config: Any) -> Pattern:
    """The pattern that a recipe names."""
    if recipe.n_of_m is not None:
        return pattern.nm(*recipe.n_of_m)
    given: dict[str, dict[str, Any]] = {
        "per_row": {"rule": "wanda" if recipe.criterion == "wanda" else "torch"},
        "block": {"rows": recipe.block_rows, "cols": recipe.block_cols},
        "balanced": {"config": config, "window": recipe.window},
    }
    found: Pattern = getattr(pattern, recipe.pattern)(**given.get(recipe.pattern, {}))
    return found


def curve_of(name: str, density: float, steps: int) -> Schedule:
    """The schedule of a name in a recipe."""
    if name == "one-shot":
        return schedule.one_shot(density)
    found: Schedule = getattr(schedule, name)(density, steps=steps)
    return found


def scores_of_weights(criterion: str, weights: Arrays, seed: int) -> Arrays | None:
    """Scores by a criterion that looks at nothing but weights; None where it is another."""
    if criterion == "random":
        return {name: np.random.default_rng([seed, at]).random(w.shape) for at, (name, w) in enumerate(weights.items())}
    of_each = {"l1": score.l1, "l2": score.l2}.get(criterion)
    return None if of_each is None else {name: of_each(w) for name, w in weights.items()}


def densities_by_step(recipe: Recipe, names: Iterable[str], density_of: Mapping[str, float]) -> list[LayerDensities]:
    """The density of every layer, or parameter, at every step. density_of : of those that have one of their own"""
    known = list(names)
    for name, density in density_of.items():
        if name not in known:
            raise unknown("layer_density", name, known)
        field = f"layer_density of {name}"
        require(is_number(density) and 0 <= density <= 1, field, density, "must be in 0..1")
        iterable = density > 0 or recipe.schedule != "iterative"
        require(iterable, field, density, "must be above 0, iterative steps always leave some")
    local = not density_of or recipe.scope == "local"
    require(local, "scope", recipe.scope, "must be local with densities of layers")
    asked = {name: density_of.get(name, recipe.density) for name in known}
    if recipe.n_of_m is not None:
        return [asked]
    rule = "must be a fraction of the weights to keep, 0 to 1"
    require(None not in asked.values(), "density", recipe.density, rule)
    curves = {name: curve_of(recipe.schedule, density or 0.0, recipe.steps) for name, density in asked.items()}
    steps = max(curve.steps for curve in curves.values())
    return [{name: curve(step) for name, curve in curves.items()} for step in range(1, steps + 1)]


def in_steps(
    weights: Arrays,
    asked: Sequence[LayerDensities],
    select: Callable[[Arrays, LayerDensities, Selection | None], Selection],
    *,
    update: Callable[[Arrays, Masks], Arrays] = lambda weights, masks: weights,
    train: Callable[[int, Arrays, Masks], Arrays] = lambda step, weights, masks: weights,
    progress: Callable[[str], None] = lambda step: None,
) -> tuple[Arrays, Selection]:
    """Prune to each step's densities and train what is left; return the weights and what was kept.

    select : (weights, asked, what the step before kept) -> what to keep
    update : (weights, masks) -> weights, before those pruned become 0
    train : (number of the step from 0, weights, masks) -> weights, after that
    """
    kept: Selection | None = None
    for step, densities in enumerate(asked):
        progress(f"pruning, step {step + 1} of {len(asked)}")
        kept = select(weights, densities, kept)
        masks = kept.masks
        moved = update(weights, masks)
        weights = {name: np.where(mask, moved[name], moved[name].dtype.type(0)) for name, mask in masks.items()}
        weights = train(step, weights, masks)
    assert kept is not None  # a schedule has a step or more
    return weights, kept
