"""Which units of groups go: each group on its own, all by one ranking, or those of a kind; at once or in steps.

Order is (score, group, index), stable: of equal scores the earlier goes first. Counts are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, as_floats, refused, require, require_int, require_one_of, unknown
from eie_sim.network.graph import Graph
from eie_sim.network.layered import graph_of
from eie_sim.network.layers import Network
from eie_sim.prune.counts import fraction, least_count, prune_count
from eie_sim.prune.groups import Group, groups
from eie_sim.prune.ranking import importance
from eie_sim.prune.removing import remove

Units = NDArray[np.int64]
Ratio = float | Fraction


class Chosen(dict[str, Units]):
    """Units that go, sorted, by name of group. asked, achieved : share of all units, of the initial ones in steps"""

    asked: float
    achieved: float

    def __init__(self, units: Mapping[str, Units], asked: float, achieved: float) -> None:
        super().__init__(units)
        self.asked, self.achieved = asked, achieved

    __repr__ = shows("asked", "achieved", units=lambda self: {name: len(one) for name, one in self.items()})


def select(
    importance: Mapping[str, Any],
    ratio: Ratio,
    scope: str = "local",
    floor: Ratio = 0,
    round_to: int = 1,
    ratios: Mapping[str, Ratio] | None = None,
    *,
    preset: str | None = None,
    alike: Mapping[str, Hashable] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Chosen:
    """Return which units go, sorted, by name of group.

    importance : scores of units by name of group
    ratio : share of units that goes, 0 to 1: local of each group, global of all by one ranking, isomorphic of each
        kind of groups by a ranking of its own
    floor : least share of a group that stays; one unit always does. A group that would be below it stays at it
    round_to : kept counts are rounded up to a multiple, at most to the group's size, by units of largest scores that
        stay; preset="torch_pruning" rounds them down, as that library does, unless that is below the floor
    ratios : of groups by name, which are then chosen from by themselves
    alike : what groups of a kind have in common, by name; left out, as `importance` found it
    sizes : initial sizes by name, which ratio, floor and round_to are of where units have gone before

    Raise InputError for unknown names, scores that are not finite, and a ratio that floors leave out of reach: of one
    ranking, of a group in ratios, or of every group.
    """
    require_one_of("scope", scope, ("local", "global", "isomorphic"))
    require_int("round_to", round_to, 1)
    require(preset in (None, "torch_pruning"), "preset", preset, "must be torch_pruning or left out")
    require(isinstance(importance, Mapping) and len(importance) > 0, "importance", "none", "must have scores by group")
    ratios, sizes, overall = ratios or {}, sizes or {}, fraction("ratio", ratio)
    for field, given in (("ratios", ratios), ("sizes", sizes)):
        for name in given:
            if name not in importance:
                raise unknown(field, name, importance)
    ranked = {name: _ranked(name, values, sizes.get(name), floor) for name, values in importance.items()}
    asked = {name: fraction(f"ratio of {name}", ratios[name]) for name in ratios}
    shared = {name: group for name, group in ranked.items() if name not in ratios}
    lost = {name: _lost_of_all({name: ranked[name]}, asked[name])[name] for name in ratios}
    if scope == "local":
        lost |= _lost_of_each(shared, overall)
    else:
        for pool in [shared] if scope == "global" else _pools(shared, alike or _alike(importance)):
            lost |= _lost_of_all(pool, overall)
    for name, group in ranked.items():
        kept = group.now - lost[name]
        rounded = kept // round_to * round_to
        if rounded < (group.least if preset else kept):
            rounded += round_to
        lost[name] = group.now - min(group.now, rounded)
    total = sum(group.initial for group in ranked.values())
    wanted = sum(asked.get(name, overall) * group.initial for name, group in ranked.items())
    gone = total - sum(group.now - lost[name] for name, group in ranked.items())
    units = {name: np.sort(group.order[: lost[name]]) for name, group in ranked.items()}
    return Chosen(units, float(wanted / total), gone / total)


class _Ranked(NamedTuple):
    """A group: scores in order, the units that have them, its initial size, and how few may stay."""

    scores: NDArray[np.float64]
    order: Units
    initial: int
    least: int

    @property
    def now(self) -> int:
        return len(self.order)

    @property
    def most(self) -> int:
        """How many can go."""
        return max(0, self.now - self.least)


def _ranked(name: str, values: Any, initial: int | None, floor: Ratio) -> _Ranked:
    scores = as_floats(f"importance of {name}", values)
    require(scores.ndim == 1 and scores.size > 0, f"importance of {name}", f"shape {scores.shape}", "must be (units,)")
    initial = scores.size if initial is None else initial
    require_int(f"size of {name}", initial, scores.size)
    order = np.argsort(scores, kind="stable")
    return _Ranked(scores[order], order, initial, max(1, least_count(floor, initial)))


def _lost_of_each(groups: Mapping[str, _Ranked], ratio: Fraction) -> dict[str, int]:
    """Every group by itself, at most down to its floor."""
    wanted = {
        name: max(0, prune_count(ratio, group.initial) - group.initial + group.now) for name, group in groups.items()
    }
    if groups and all(wanted[name] > group.most for name, group in groups.items()):
        raise _out_of_reach(
            ratio, max(Fraction(one.initial - one.now + one.most, one.initial) for one in groups.values())
        )
    return {name: min(wanted[name], group.most) for name, group in groups.items()}


def _lost_of_all(groups: Mapping[str, _Ranked], ratio: Fraction) -> dict[str, int]:
    """One ranking: the first in order, of each group at most as many as its floor lets go."""
    initial = sum(group.initial for group in groups.values())
    gone = initial - sum(group.now for group in groups.values())
    most = sum(group.most for group in groups.values())
    wanted = max(0, prune_count(ratio, initial) - gone)
    if wanted > most:
        raise _out_of_reach(ratio, Fraction(gone + most, initial))
    can_go = list(groups.values())
    scores = np.concatenate([group.scores[: group.most] for group in can_go] or [np.empty(0)])
    owners = np.repeat(np.arange(len(can_go)), [group.most for group in can_go])
    first = np.argsort(scores, kind="stable")[:wanted]  # they stand in order of (group, score, index)
    return dict(zip(groups, np.bincount(owners[first], minlength=len(can_go)).tolist(), strict=True))


def _out_of_reach(ratio: Fraction, reachable: Fraction) -> InputError:
    return refused("ratio", float(ratio), f"must be at most {float(reachable):.6g}, the largest that floors let reach")


def _alike(importance: Mapping[str, Any]) -> Mapping[str, Hashable]:
    return getattr(importance, "alike", {})


def _pools(groups: Mapping[str, _Ranked], alike: Mapping[str, Hashable]) -> list[dict[str, _Ranked]]:
    """Groups by kind."""
    found: dict[Hashable, dict[str, _Ranked]] = {}
    for name, group in groups.items():
        require(name in alike, "alike", f"{len(alike)} groups", f"must say of which kind {name} is")
        found.setdefault(alike[name], {})[name] = group
    return list(found.values())


class Pruned(NamedTuple):
    """A smaller graph, and the units that went, as they were numbered at first, by name of group."""

    graph: Graph
    units: Chosen

    def __repr__(self) -> str:
        return f"Pruned(graph={self.graph.name}, units={self.units!r})"


def structured(
    graph: Graph | Network,
    ratio: Ratio,
    *,
    steps: int = 1,
    callback: Callable[[Graph, int], Graph | None] | None = None,
    scored: Callable[[Graph, list[Group]], Mapping[str, Any]] = importance,
    only: Sequence[str] | None = None,
    ratios: Mapping[str, Ratio] | None = None,
    verify: bool = False,
    **how: Any,
) -> Pruned:
    """Remove units in steps: after step i of S as many are left as ratio i / S of the initial sizes leaves.

    callback : (graph, number of the step from 1) -> graph or None, between two steps, to train it
    scored : (graph, groups) -> scores by name of group, anew in each step: `importance`, or one with other settings
    only : names of the groups that are pruned; left out, all that can be
    verify : check each removal, see `remove`
    ratios, how : as `select` has them: scope, floor, round_to, preset

    Groups keep the names that they have at first. Raise InputError as `importance`, `select` and `remove`.
    """
    require_int("steps", steps, 1)
    graph = graph_of(graph) if isinstance(graph, Network) else graph
    present = _named(groups(graph), only)
    live: dict[str, Units] = {}
    for step in range(1, steps + 1):
        part = Fraction(step, steps)
        scores = scored(graph, [replace(group, name=name) for name, group in present.items()])
        if step == 1:
            live = {name: np.arange(len(values)) for name, values in scores.items()}
            gone = dict.fromkeys(live, np.empty(0, dtype=np.int64))
            initial = {"sizes": {name: len(units) for name, units in live.items()}, "alike": _alike(scores)}
            select(scores, ratio, ratios=ratios, **{**initial, **how})  # out of reach is said before anybody trains
        known = {name: scores.get(name, np.zeros(len(units))) for name, units in live.items()}  # one unit: no score
        of_step = {name: fraction(f"ratio of {name}", one) * part for name, one in (ratios or {}).items()}
        chosen = select(known, fraction("ratio", ratio) * part, ratios=of_step, **{**initial, **how})
        units = {present[name].name: one for name, one in chosen.items() if len(one)}
        graph = remove(graph, units, verify=verify)
        for name, one in chosen.items():
            gone[name] = np.sort(np.append(gone[name], live[name][one]))
            live[name] = np.delete(live[name], one)
        if step < steps:
            present = followed(present, chosen, groups(graph))
            graph = (callback(graph, step) if callback is not None else None) or graph
    return Pruned(graph, Chosen(gone, chosen.asked, chosen.achieved))


def _named(found: Sequence[Group], names: Sequence[str] | None) -> dict[str, Group]:
    """Groups by name, or all that units can leave. Raise InputError for unknown and for pinned ones."""
    known = {group.name: group for group in found}
    for name in names or ():
        if name not in known:
            raise unknown("only", name, known)
        require(known[name].pinned is None, "only", name, f"must not be pinned, as it is: {known[name].pinned}")
    return known if names is None else {name: known[name] for name in names}


def followed(before: Mapping[str, Group], chosen: Mapping[str, Units], now: Sequence[Group]) -> dict[str, Group]:
    """The same groups by the same names in the graph that units have left, those of one unit left out.

    Names say numbers of dimensions, which change where one has a single unit: it is none any more. So a group is known
    by where its units are now.
    """
    gone: dict[tuple[str, int], list[Units]] = {}
    for name, group in before.items():
        for parameter, axis, positions in group.members:
            gone.setdefault((parameter, axis), []).append(positions[chosen.get(name, [])].reshape(-1))
    places = {(*one.members[0][:2], one.members[0].positions.tobytes()): one for one in now}
    found = {}
    for name, group in before.items():
        parameter, axis, positions = group.members[0]
        left = np.delete(positions, chosen.get(name, []), axis=0)
        away = np.unique(np.concatenate(gone[parameter, axis]))
        where = left[~np.isin(left, away)].reshape(len(left), -1)
        if len(left) > 1:
            found[name] = places[parameter, axis, (where - np.searchsorted(away, where)).tobytes()]
    return found
