"""A graph made smaller as a recipe says: what the command line does, by importance or by LASSO."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from eie_sim.core.errors import InputError, require, unknown
from eie_sim.network.graph import Graph
from eie_sim.prune.choosing import Chosen, structured
from eie_sim.prune.fitting import lasso_graph
from eie_sim.prune.group_recipe import GroupRecipe, require_goes_with
from eie_sim.prune.groups import Group, groups
from eie_sim.prune.ranking import importance
from eie_sim.prune.recipe import Recipe

OF_IMPORTANCE = ("score", "aggregate", "normalise")


@dataclass(frozen=True, kw_only=True, eq=False)
class Shrunk:
    """A smaller graph.

    groups : those of the graph before; units : what went, by name of group
    errors, left : as LASSO has them, see `Fitted`
    warnings : of scores and samples, one line each
    """

    graph: Graph
    groups: tuple[Group, ...]
    units: Chosen
    errors: dict[str, tuple[float, float]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def shrink(
    graph: Graph,
    how: GroupRecipe,
    recipe: Recipe,
    ratios: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Shrunk:
    """Remove units of groups. ratios : of groups by name; where the recipe has none, only these are pruned.

    Raise InputError for options that do not go together, and as `structured` and `lasso_graph`.
    """
    require_goes_with(recipe)
    if how.ratio is None and not ratios:
        raise InputError("ratio=none: must be given with --structured, the share of the units that goes")
    found = groups(graph)
    known = {group.name: group for group in found}
    for name in ratios or {}:
        if name not in known:
            raise unknown("group_ratio", name, known)
        pin = known[name].pinned
        if pin is not None:
            raise InputError(f"group_ratio={name}: is pinned: {pin}")
    only = None if how.ratio is not None else tuple(ratios or ())
    ratio = 0.0 if how.ratio is None else how.ratio
    common: dict[str, Any] = {
        "only": only,
        "ratios": ratios,
        "floor": recipe.floor,
        "round_to": how.round_to,
        "verify": how.verify,
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if how.select == "lasso":
            for name, own in (*((one, how) for one in OF_IMPORTANCE), ("scope", recipe), ("schedule", recipe)):
                usual = getattr(type(own)(), name)
                rule = "must be left out with --select lasso: it is of importance"
                require(getattr(own, name) == usual, name, getattr(own, name), rule)
            fitted = lasso_graph(graph, ratio, seed=recipe.seed, progress=progress, **common)
            smaller, units, errors, left = fitted.graph, fitted.units, fitted.errors, fitted.left
        else:
            progress(f"{graph.name}: removing units")
            scored = partial(
                importance, score=how.score, aggregate=how.aggregate, normalise=how.normalise, seed=recipe.seed
            )
            steps = 1 if recipe.schedule == "one-shot" else recipe.steps
            smaller, units = structured(graph, ratio, steps=steps, scored=scored, scope=recipe.scope, **common)[:2]
            errors, left = {}, {}
    said = tuple(dict.fromkeys(str(one.message) for one in caught))
    return Shrunk(graph=smaller, groups=tuple(found), units=units, errors=errors, left=left, warnings=said)
