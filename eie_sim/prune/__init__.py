"""Pruning of a network: scores, patterns, schedules of arrays; recipes and budgets of networks.

A score is an array, a pattern turns scores into a mask, a schedule turns a step into a density:

    from eie_sim.prune import locally, pattern, schedule, score

    scores = score.l1(w)                                        # (out, in); or of gradients, activations, a BatchNorm
    pattern.element().prune(scores, 0.1).mask                   # True where a weight is kept
    pattern.nm(2, 4).prune(scores).mask                         # 2 of every 4 along the inputs are kept
    pattern.balanced(config).prune(scores, 0.1)                 # as many weights for every PE of a design
    locally({"fc1": scores, "fc2": others}, 0.1).achieved       # or globally, with one threshold
    schedule.cubic(0.1, steps=5).densities                      # what to prune to, step by step

Whole units, as channels and heads, leave a graph with all that is theirs:

    scores = importance(graph, es.groups(graph))                # by name of group, a number for each unit
    smaller = remove(graph, select(scores, 0.5))                # or in steps, structured(graph, 0.5, steps=4)

`prune_network` does it to a network as a `Recipe` says, `allocate_network` for a budget of cycles, energy or bytes.

Counts are exact and order is (score, index), stable: of equal scores the lower index is pruned first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eie_sim.prune import counts as counts
    from eie_sim.prune import normalise as normalise
    from eie_sim.prune import pattern as pattern
    from eie_sim.prune import schedule as schedule
    from eie_sim.prune import score as score
    from eie_sim.prune.budget import Choice as Choice
    from eie_sim.prune.budget import allocate_network as allocate_network
    from eie_sim.prune.budget import scan_network as scan_network
    from eie_sim.prune.choosing import select as select
    from eie_sim.prune.choosing import structured as structured
    from eie_sim.prune.counts import keep_count as keep_count
    from eie_sim.prune.counts import nearest_density as nearest_density
    from eie_sim.prune.counts import prune_count as prune_count
    from eie_sim.prune.equal_cost import AtCost as AtCost
    from eie_sim.prune.equal_cost import at_equal_cost as at_equal_cost
    from eie_sim.prune.fitting import lasso_graph as lasso_graph
    from eie_sim.prune.group_recipe import GroupRecipe as GroupRecipe
    from eie_sim.prune.kinds import Grouped as Grouped
    from eie_sim.prune.kinds import Pattern as Pattern
    from eie_sim.prune.kinds import Quota as Quota
    from eie_sim.prune.lasso import lasso_channels as lasso_channels
    from eie_sim.prune.layout import Layout as Layout
    from eie_sim.prune.measure import QUALITIES as QUALITIES
    from eie_sim.prune.measure import costed_on as costed_on
    from eie_sim.prune.measure import default_quality as default_quality
    from eie_sim.prune.measure import measured_on as measured_on
    from eie_sim.prune.measure import training as training
    from eie_sim.prune.network import prune_network as prune_network
    from eie_sim.prune.network import unpruned as unpruned
    from eie_sim.prune.pattern import check_nm as check_nm
    from eie_sim.prune.pattern import is_nm as is_nm
    from eie_sim.prune.permuting import permute as permute
    from eie_sim.prune.permuting import permute_graph as permute_graph
    from eie_sim.prune.permuting import permuted as permuted
    from eie_sim.prune.permuting import readers as readers
    from eie_sim.prune.queries import sorted_queries as sorted_queries
    from eie_sim.prune.ranking import importance as importance
    from eie_sim.prune.recipe import Recipe as Recipe
    from eie_sim.prune.removing import parameter_count as parameter_count
    from eie_sim.prune.removing import removal_count as removal_count
    from eie_sim.prune.removing import remove as remove
    from eie_sim.prune.result import PruneResult as PruneResult
    from eie_sim.prune.result import Selection as Selection
    from eie_sim.prune.schedule import Schedule as Schedule
    from eie_sim.prune.selection import globally as globally
    from eie_sim.prune.selection import locally as locally
    from eie_sim.prune.selection import magnitude as magnitude
    from eie_sim.prune.shared import with_trained_codebooks as with_trained_codebooks
    from eie_sim.prune.shrinking import shrink as shrink
    from eie_sim.prune.smaller import without_dead as without_dead
    from eie_sim.prune.table import table_of as table_of

_MODULES = ("counts", "normalise", "pattern", "schedule", "score")
_HOME = {
    "budget": ("Choice", "allocate_network", "scan_network"),
    "choosing": ("select", "structured"),
    "counts": ("keep_count", "nearest_density", "prune_count"),
    "equal_cost": ("AtCost", "at_equal_cost"),
    "fitting": ("lasso_graph",),
    "group_recipe": ("GroupRecipe",),
    "kinds": ("Grouped", "Pattern", "Quota"),
    "lasso": ("lasso_channels",),
    "layout": ("Layout",),
    "measure": ("QUALITIES", "costed_on", "default_quality", "measured_on", "training"),
    "network": ("prune_network", "unpruned"),
    "pattern": ("check_nm", "is_nm"),
    "permuting": ("permute", "permute_graph", "permuted", "readers"),
    "queries": ("sorted_queries",),
    "ranking": ("importance",),
    "recipe": ("Recipe",),
    "removing": ("parameter_count", "removal_count", "remove"),
    "result": ("PruneResult", "Selection"),
    "schedule": ("Schedule",),
    "selection": ("globally", "locally", "magnitude"),
    "shrinking": ("shrink",),
    "shared": ("with_trained_codebooks",),
    "smaller": ("without_dead",),
    "table": ("table_of",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [*_MODULES, *_MODULE_OF]  # noqa: PLE0604  all strings


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: a recipe needs no numpy, masks of arrays need no network."""
    if name in _MODULES:
        return importlib.import_module(f"eie_sim.prune.{name}")
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"eie_sim.prune.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'eie_sim.prune' has no attribute '{name}'")
