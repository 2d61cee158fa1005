"""An order of a layer's inputs in which N:M keeps more: the columns of pairs of stripes are shared out anew.

Pool, Yu 2021, Channel permutations for N:M sparsity. All readers of an axis share its order; `permuted` applies it to
every member of a group, so that the network computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, as_array, as_floats, require, require_int, require_seed, unknown
from eie_sim.core.jit import kernel
from eie_sim.network.floatrun import run
from eie_sim.network.graph import Graph
from eie_sim.network.layered import graph_of
from eie_sim.network.layers import Network
from eie_sim.prune.groups import Group, groups, readers_of
from eie_sim.prune.verifying import require_alike

Floats = NDArray[np.float64]
Order = NDArray[np.int64]

LEAST_GAIN = 1e-4
"""Splits that gain no more are left: rounding would make them go round in circles."""

EQUAL = 1e-12
"""Sums that differ by less, relative to them, are equal: their terms are the same in another order."""


def permute(
    ws: ArrayLike | Sequence[ArrayLike], m_group: int = 4, n_keep: int = 2, kicks: int = 0, seed: int = 0
) -> tuple[Order, float]:
    """Return an order of columns, int64 [in], and the sum of |w| that N:M keeps in it.

    ws : weights [out, in, *kernel], or a list of those that read the same axis
    m_group, n_keep : of each `m_group` columns in a row, `n_keep` are kept, the largest of each row
    kicks : how often two random columns of two stripes are exchanged and all is searched again; what is better stays
    seed : of the kicks

    Stripes are `m_group` columns in a row. In a round each pair of stripes, by gain and then in order, is split in the
    best way, unless one of the two was in this round, until a round gains nothing.
    Raise InputError for weights that are not finite, columns that differ in number, and those that m_group does not
    divide.
    """
    _require_settings(m_group, n_keep, kicks, seed)
    columns = _columns(ws)
    require(len(columns) % m_group == 0, "columns", len(columns), f"must be a multiple of m_group={m_group}")
    return _best_order(columns, m_group, n_keep, kicks, seed)


def _require_settings(m_group: int, n_keep: int, kicks: int, seed: int) -> None:
    require_int("m_group", m_group, 2, 4)
    require_int("n_keep", n_keep, 1, m_group - 1)
    require_int("kicks", kicks, 0)
    require_seed(seed)


def _best_order(columns: Floats, m_group: int, n_keep: int, kicks: int, seed: int) -> tuple[Order, float]:
    """Return the order of `permute` for columns |w| [in, rows], and the sum that is kept in it."""
    halves = _halves(m_group)
    order = np.arange(len(columns))
    kept = _search(columns, order, halves, n_keep)
    rng = np.random.default_rng(seed)
    for _ in range(kicks if len(columns) > m_group else 0):
        tried = order.copy()
        stripes = rng.choice(len(columns) // m_group, size=2, replace=False)
        first, second = stripes * m_group + rng.integers(m_group, size=2)
        tried[[first, second]] = tried[[second, first]]
        found = _search(columns, tried, halves, n_keep)
        if found > kept + EQUAL * kept:
            order, kept = tried, found
    return order, kept


def _columns(ws: Any) -> Floats:
    """|w| of all readers, column by column: float64 [in, rows of all]."""
    given = list(ws) if isinstance(ws, (list, tuple)) and len(ws) and np.ndim(ws[0]) > 1 else [ws]
    found: list[Floats] = []
    for at, one in enumerate(given):
        field = "weights" if len(given) == 1 else f"weights[{at}]"
        array = as_floats(field, one)
        rule = "must be (out, in, ..) with something in it"
        require(array.ndim >= 2 and array.size > 0, field, f"shape {array.shape}", rule)
        columns = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
        rule = f"must have {len(found[0]) if found else 0} columns, as weights[0] has"
        require(not found or len(columns) == len(found[0]), field, f"shape {array.shape}", rule)
        found.append(np.abs(columns))
    return np.ascontiguousarray(np.hstack(found))


def _halves(m_group: int) -> Order:
    """Ways to split two stripes, int64 [ways, 2 m]: places of the first half, which holds place 0, and the second."""
    places = range(2 * m_group)
    found = []
    for others in combinations(places[1:], m_group - 1):
        half = (0, *others)
        found.append((*half, *(place for place in places if place not in half)))
    return np.array(found, dtype=np.int64)


def _search(columns: Floats, order: Order, halves: Order, n_keep: int) -> float:
    """Better an order in place. Return what is kept."""
    m_group = halves.shape[1] // 2
    n = len(order) // m_group
    kept = np.array([stripe_kept(columns, order[s * m_group : (s + 1) * m_group], n_keep) for s in range(n)])
    pairs = np.array([*combinations(range(n), 2)], dtype=np.int64).reshape(-1, 2)
    gains, ways = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
    stale = np.ones(n, dtype=np.bool_)
    while stale.any():
        gain_pairs(columns, order, halves, n_keep, pairs, kept, stale, gains, ways)
        stale[:] = False
        for at in np.argsort(-gains, kind="stable"):
            if gains[at] <= LEAST_GAIN:
                break
            if not stale[pairs[at]].any():
                places = (pairs[at][:, None] * m_group + np.arange(m_group)).reshape(-1)
                order[places] = order[places][halves[ways[at]]]
                stale[pairs[at]] = True
                for s in pairs[at]:
                    kept[s] = stripe_kept(columns, order[s * m_group : (s + 1) * m_group], n_keep)
    return float(kept.sum())


@kernel
def stripe_kept(columns, chosen, n_keep):
    """Sum over rows of the n_keep largest of the chosen columns."""
    m_group, rows = len(chosen), columns.shape[1]
    total = 0.0
    if m_group == 4 and n_keep == 2:
        one, two, three, four = chosen
        for row in range(rows):
            a, b, c, d = columns[one, row], columns[two, row], columns[three, row], columns[four, row]
            high, other = max(a, b), max(c, d)
            total += max(high, other) + max(min(high, other), min(a, b), min(c, d))
        return total
    largest = np.zeros(n_keep)  # falling
    for row in range(rows):
        largest[:] = 0.0
        for place in range(m_group):
            value = columns[chosen[place], row]
            for k in range(n_keep):
                if value > largest[k]:
                    value, largest[k] = largest[k], value
        total += largest.sum()
    return total


@kernel
def gain_pairs(columns, order, halves, n_keep, pairs, kept, stale, gains, ways):
    """The first best way to split each pair of which a stripe is stale, and what it gains."""
    ways_of, m_group = len(halves), halves.shape[1] // 2
    both = np.empty(2 * m_group, dtype=np.int64)
    for at in range(len(pairs)):
        first, second = pairs[at]
        if not (stale[first] or stale[second]):
            continue
        both[:m_group] = order[first * m_group : (first + 1) * m_group]
        both[m_group:] = order[second * m_group : (second + 1) * m_group]
        best, gains[at], ways[at] = kept[first] + kept[second], 0.0, 0
        base = best
        for way in range(1, ways_of):
            half = both[halves[way]]
            found = stripe_kept(columns, half[:m_group], n_keep) + stripe_kept(columns, half[m_group:], n_keep)
            if found > best + EQUAL * base:
                best, gains[at], ways[at] = found, found - base, way


def readers(graph: Graph, group: Group) -> list[Floats]:
    """Return the weights that read a group's units, [rows, units] each: what `permute` searches an order for.

    Places outside the units, as heads, and of the kernel are rows. Raise InputError where a pinned group is given, no
    weights read its units, or units are not side by side, as channels before a flatten.
    """
    _require_free(graph, group)
    found = []
    for name, axis, positions in readers_of(graph, group):
        places = np.asarray(positions)
        beside = bool((np.diff(places, axis=0) == 1).all())
        require(beside, f"group {group.name}", f"axis {axis} of {name}", "must have its units side by side")
        taken = np.moveaxis(graph.parameters[name].array, axis, -1)[..., places]  # [.., units, places]
        found.append(as_floats(name, np.moveaxis(taken, -2, -1).reshape(-1, group.size)))
    require(len(found) > 0, f"group {group.name}", "no readers", "must have weights that read its units")
    return found


def permuted(graph: Graph, group: Group, order: ArrayLike) -> Graph:
    """Return the graph with the units of a group in another order, in all its members: it computes the same.

    order : int64 [units], which unit comes to each place

    Units of one dimension change places: inside heads, channels of all of them alike. Raise InputError for a pinned
    group, and for what is no order of its units.
    """
    _require_free(graph, group)
    given = as_array("order", order)
    ok = given.dtype.kind in "iu" and given.shape == (group.size,) and (np.sort(given) == np.arange(group.size)).all()
    require(bool(ok), "order", f"shape {given.shape}", f"must have each of 0..{group.size - 1} once")
    arrays: dict[str, NDArray[Any]] = {}
    for name, axis, positions in group.members:
        array = arrays.get(name, graph.parameters[name].array)
        index, places = np.arange(array.shape[axis]), np.asarray(positions)
        index[places] = places[given]
        arrays[name] = np.take(array, index, axis=axis)
    return graph.with_parameters(arrays)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reordered:
    """A graph whose channels are in another order.

    kept : by name of group, the sum of |w| of its readers that N:M keeps, before and after
    left : by name of group, why its order is as it was
    """

    graph: Graph
    kept: dict[str, tuple[float, float]]
    left: dict[str, str]

    __repr__ = shows(graph="graph.name", kept="kept", left="left")


def permute_graph(
    graph: Graph | Network,
    m_group: int = 4,
    n_keep: int = 2,
    kicks: int = 0,
    seed: int = 0,
    progress: Callable[[str], None] = lambda step: None,
) -> Reordered:
    """Return the graph with the units of every group that can move in the order that `permute` finds for its readers.

    The new network computes the same, which is checked on its examples. Groups are left whose units are no multiple of
    m_group, lie in a reader across its groups of M, or apart, or are read by no weights. Raise InputError as `permute`,
    and InvariantError where outputs differ.
    """
    _require_settings(m_group, n_keep, kicks, seed)
    graph = graph_of(graph) if isinstance(graph, Network) else graph
    now, kept, left = graph, dict[str, tuple[float, float]](), dict[str, str]()
    for group in groups(graph):
        if group.pinned is not None:
            continue
        try:
            weights = readers(now, group)
        except InputError as error:
            left[group.name] = str(error).partition(": ")[2]
            continue
        starts = np.concatenate([np.asarray(one.positions)[0] for one in readers_of(now, group)])
        if group.size % m_group or (starts % m_group).any():
            left[group.name] = f"has {group.size} units, or begins, at no multiple of {m_group}"
            continue
        progress(f"{graph.name}: order of {group.name}")
        columns = _columns(weights)
        stripes = np.arange(group.size).reshape(-1, m_group)
        before = float(sum(stripe_kept(columns, one, n_keep) for one in stripes))
        order, after = _best_order(columns, m_group, n_keep, kicks, seed)
        kept[group.name] = (before, after)
        now = permuted(now, group, order)
    require_alike(run(graph), run(now), "in another order")
    return Reordered(graph=now, kept=kept, left=left)


def _require_free(graph: Graph, group: Group) -> None:
    for name, *_ in group.members:
        if name not in graph.parameters:
            raise unknown(f"parameter of group {group.name}", name, graph.parameters)
    if group.pinned:
        raise InputError(f"group {group.name}: its order is fixed: {group.pinned}")
