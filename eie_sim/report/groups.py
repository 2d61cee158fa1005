"""Groups of a graph, and what removing units of them did, as plain data and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from eie_sim.core.arrays import shown
from eie_sim.core.errors import few
from eie_sim.core.numbers import percent
from eie_sim.network.graph import Graph
from eie_sim.prune.group_recipe import GroupRecipe
from eie_sim.prune.groups import Group, reads
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.removing import parameter_count, prunable_count, unit_count
from eie_sim.prune.shrinking import Shrunk
from eie_sim.report import graph as of_graph
from eie_sim.report.network import Record
from eie_sim.report.pruned_graph import SHARED, changes, changes_table, ending
from eie_sim.report.text import TextTable
from eie_sim.runs import Run


def groups_record(graph: Graph, groups: Sequence[Group]) -> Record:
    """All groups of a graph with what a unit takes along, and how much of the network can leave."""
    count, prunable = parameter_count(graph), prunable_count(graph, groups)
    return {
        "network": graph.name,
        "source": graph.source,
        "parameters": count,
        "groups": [_group(graph, group) for group in groups],
        "n_prunable": sum(group.pinned is None for group in groups),
        "prunable_parameters": prunable,
        "prunable_share": prunable / count if count else 0.0,
    }


def _group(graph: Graph, group: Group) -> Record:
    return {
        "name": group.name,
        "size": group.size,
        "unit_parameters": unit_count(graph, group),
        "members": [
            {
                "parameter": one.parameter,
                "axis": one.axis,
                "places_of_a_unit": one.positions.shape[1],
                "reads": reads(graph, one),
            }
            for one in group.members
        ],
        "normalised": group.normalised,
        "pinned": None if group.pinned is None else group.pinned._asdict(),
    }


def groups_tables(record: Record, *, pinned: bool) -> list[TextTable | str]:
    """A row for each group that units can leave. pinned : a table of the others too, each with its reason"""
    free, others = ([one for one in record["groups"] if (one["pinned"] is None) is of] for of in (True, False))
    cells = [
        [shown(one["name"]), f"{one['size']:,}", f"{one['unit_parameters']:,}", *_members(one["members"])]
        for one in free
    ]
    headings = ["group", "units", "parameters\nof a unit", "members", "read by"]
    found: list[TextTable | str] = []
    if free:
        rank = {"read by": 3}
        found.append(
            TextTable(headings, cells, text={0, 4}, wrapped={4}, rank=rank, title="Groups that units can leave")
        )
    if pinned and others:
        cells = [[shown(one["name"]), f"{one['size']:,}", _pin(one["pinned"])] for one in others]
        headings = ["group", "units", "why none can leave"]
        table = TextTable(headings, cells, text={0, 2}, wrapped={2}, rank={headings[2]: 1}, title="Pinned groups")
        found += ["", table] if found else [table]
    return found


def _members(members: Sequence[Record]) -> list[str]:
    """How many, and the parameters that read the units."""
    return [f"{len(members)}", few([shown(one["parameter"]) for one in members if one["reads"]], 2)]


def _pin(pin: Record) -> str:
    return f"axis {pin['axis']} of {shown(pin['tensor'])}: {pin['reason']}"


def groups_lines(record: Record) -> list[str]:
    """What is pinned by reason, groups whose values depend on all units, and how much can leave."""
    normalised = sum(one["normalised"] and one["pinned"] is None for one in record["groups"])
    return [
        f"{record['network']}: {record['source']}",
        *_pinned_line(record["groups"], "--pinned has all"),
        *([f"normalised, so that a unit that leaves moves the others: {normalised} groups"] if normalised else []),
        f"{record['n_prunable']} of {len(record['groups'])} groups are prunable; "
        f"{record['prunable_parameters']:,} of {record['parameters']:,} parameters are in them, "
        f"{percent(record['prunable_share'], 2)}",
    ]


def _pinned_line(groups: Sequence[Record], more: str) -> list[str]:
    counts = Counter(one["pinned"]["reason"] for one in groups if one["pinned"] is not None)
    said = ", ".join(f"{reason} ({count})" for reason, count in counts.most_common())
    return [f"pinned and left: {said}; {more}"] if counts else []


def shrunk_record(
    graph: Graph,
    shrunk: Shrunk,
    before: Run,
    after: Run,
    how: GroupRecipe,
    recipe: Recipe,
    ratios: Mapping[str, float],
    off: Mapping[str, float | None],
) -> Record:
    """Groups of a graph with what went, and its products before and after, both compressed and simulated.

    ratios : of groups that had one of their own
    off : distance of the float outputs to those before, by name of output
    """
    old, new = before.to_dict(), after.to_dict()
    shared = {name: getattr(recipe, name) for name in ("scope", "floor", "schedule", "seed")}
    steps = 1 if recipe.schedule == "one-shot" else recipe.steps
    units = shrunk.units
    return {
        **{name: old[name] for name in (*SHARED, "not_simulated", "coverage")},
        "notes": list(graph.notes),
        "recipe": {**how.to_dict(), **shared, "steps": steps, "group_ratio": dict(ratios)},
        "asked": units.asked,
        "achieved": units.achieved,
        "parameters": {"before": parameter_count(graph), "after": parameter_count(shrunk.graph)},
        "macs": {
            when: sum(one["macs"] for one in run["graph"]["macs"]) for when, run in (("before", old), ("after", new))
        },
        "groups": [
            {
                **_group(graph, group),
                "removed": units[group.name].tolist() if group.name in units else [],
                "kept": group.size - len(units.get(group.name, ())),
                "asked": ratios.get(group.name, how.ratio or 0.0) if group.name in units else None,
                "left": shrunk.left.get(group.name),
                "fit_errors": list(shrunk.errors[group.name]) if group.name in shrunk.errors else None,
            }
            for group in shrunk.groups
        ],
        "warnings": [*shrunk.warnings, *new["warnings"]],
        **changes(old, new, off),
    }


def shrunk_tables(record: Record) -> list[TextTable | str]:
    """What is kept of each group, then a row per product and one for the network, before => after."""
    chosen = [one for one in record["groups"] if one["asked"] is not None]
    groups, more = of_graph.largest(chosen, lambda one: one["size"] * one["unit_parameters"])
    fitted = any(one["fit_errors"] for one in chosen)
    cells = [
        [
            shown(one["name"]),
            f"{one['size']:,} => {one['kept']:,}",
            percent(one["asked"], 2),
            percent(1 - one["kept"] / one["size"], 2),
            f"{one['unit_parameters']:,}",
            *([_fit(one["fit_errors"])] if fitted else []),
        ]
        for one in groups
    ]
    headings = ["group", "units", "asked", "removed", "parameters\nof a unit"]
    headings += ["outputs off\n=> fitted"] if fitted else []
    rank = {headings[4]: 3, "units": 1}
    table = TextTable(headings, cells, text={0}, rank=rank, title="Groups")
    return [table, *([more] if more else []), "", *changes_table(record)]


def _fit(errors: Sequence[float] | None) -> str:
    return "" if errors is None else " => ".join(percent(error) for error in errors)


def shrunk_lines(record: Record) -> list[str]:
    """Counts, what is left and why, distances, accuracy, and where it comes from."""
    recipe, free = record["recipe"], [one for one in record["groups"] if one["pinned"] is None]
    by = recipe["select"]
    if by == "importance":
        by = f"{recipe['score']}, {recipe['aggregate']} over members, normalised by {recipe['normalise']}"
        by += f"; {recipe['scope']}" + (f", {recipe['steps']} steps" if recipe["steps"] > 1 else "")
    units = sum(one["size"] for one in free if one["asked"] is not None)
    gone = sum(len(one["removed"]) for one in free)
    return [
        f"{record['network']}: {record['source']}",
        f"structured, {by}; {gone:,} of {units:,} units removed, {percent(record['achieved'], 2)} "
        f"(asked {percent(record['asked'], 2)})",
        *(_from_to(record[of], words) for of, words in (("parameters", "parameters"), ("macs", "MACs"))),
        *_pinned_line(record["groups"], "see eie-sim groups --pinned"),
        *(f"not cut: {one['name']}: {one['left']}" for one in free if one["left"]),
        f"seed {record['seed']}, config {record['config_hash']}",
        *ending(record),
    ]


def _from_to(count: Record, words: str) -> str:
    old, new = count["before"], count["after"]
    return f"{words} {old:,} => {new:,}" + (f", {percent(new / old, 2)}" if old else "")
