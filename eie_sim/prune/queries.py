"""Queries in order of importance inside their kv head, so that the last places hold the least of every kv head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.network.graph import Graph
from eie_sim.prune.groups import Group, Member
from eie_sim.prune.permuting import permuted
from eie_sim.prune.ranking import importance


def sorted_queries(
    graph: Graph,
    kv_heads: Group,
    places: Group,
    scored: Callable[[Graph, list[Group]], Mapping[str, Any]] = importance,
) -> tuple[Graph, NDArray[np.int64]]:
    """Return the graph with the queries of every kv head by falling score, and which query came to each place.

    kv_heads : the group whose units are kv heads with their queries; places : that whose units are one query of each
    scored : (graph, [group]) -> scores by name; of a group whose units are the queries, kv head after kv head

    The graph computes the same; places can then be chosen by their importance. The second is int64 [kv heads, places],
    numbers of queries inside their kv head before; of equal scores the lower number stays first.
    Raise InputError where one group is pinned, or where places are not inside kv heads.
    """
    of_heads = {(one.parameter, one.axis): one.positions for one in kv_heads.members}
    members = []
    for name, axis, positions in places.members:
        heads = of_heads.get((name, axis), np.empty((1, 0), dtype=np.int64))
        pairs = [np.intersect1d(one, other) for one in heads for other in positions]
        if min(map(len, pairs)) == 0:
            raise InputError(f"places={places.name}: axis {axis} of {name} has none of {kv_heads.name} around them")
        members.append(Member(name, axis, np.array(pairs)))
    size = kv_heads.size * places.size
    pinned = kv_heads.pinned or places.pinned
    queries = Group(name=f"queries of {places.name}", size=size, members=tuple(members), pinned=pinned)
    scores = np.asarray(scored(graph, [queries])[queries.name]).reshape(kv_heads.size, places.size)
    order = np.argsort(-scores, axis=1, kind="stable")
    return permuted(graph, queries, (order + np.arange(kv_heads.size)[:, None] * places.size).reshape(-1)), order
