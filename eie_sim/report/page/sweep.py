"""The report of a sweep: summary, fronts with their knees, what each axis does, all rows, failures, provenance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import eie_sim
from eie_sim.core.html import Cell, table
from eie_sim.core.numbers import counted
from eie_sim.network import drawn_preset
from eie_sim.report.network import Record
from eie_sim.report.page.frame import Fact, Page, Part, document
from eie_sim.report.page.pictures import Picture, sweep_pictures
from eie_sim.report.sweep import damaged_lines, default_objectives, error_counts, standing_lines, together_lines
from eie_sim.study import front, knee
from eie_sim.study.axes import known_axes
from eie_sim.study.pareto import Front
from eie_sim.study.reading import Progress, Stored
from eie_sim.study.showing import axis_cell, row_cells, varying
from eie_sim.study.table import Bools, Places, Rows, as_rows

MOST_ROWS = 2000
MOST_OF_FRONT = 200
MOST_GROUPS = 6
MOST_ERRORS = 50
MOST_VALUES = 12

_WHY = {"error": "failed", "fits": "does not fit the memories"}
_DIFFERS = re.compile("outputs.*: differ from the (golden|dense) product")


class Group(NamedTuple):
    """Rows that may be compared: of one workload, seed and layer."""

    name: str  # empty where there is no other
    best: Front
    knee: Record | None
    pictures: list[Picture]  # of the front first


def sweep_page(stored: Stored, store: str, progress: Progress = lambda step: None) -> Page:
    """The report of a sweep. stored : its rows; store : the name of the file they are from"""
    rows, damaged = as_rows(stored.rows), stored.damaged
    axes = varying(rows)
    order = _by_axes(rows, axes)
    groups = _groups(rows, order, progress)
    workloads = _values(rows, "workload")
    about = {
        "workload": workloads[0] if len(workloads) == 1 else workloads,
        "config_hash": _one_of(rows, "config_hash"),
        "seed": _one_of(rows, "seed"),
    }
    progress(f"{store}: writing the page")
    lines = [
        "; ".join([f"sweep over {', '.join(axes) or 'a single design'}", f"rows in {store}", *together_lines(rows)])
    ]
    wrong = int(_differing(rows).sum())
    alarm = f"NOT VERIFIED: {counted(wrong, 'point')} of {len(rows):,} differ from the golden product"
    alarms = [*([alarm] if wrong else []), *damaged_lines(damaged)]
    parts = _parts(rows, order, store, axes, groups)
    html = document(", ".join(workloads), "eie-sim sweep", lines, alarms, _facts(rows), parts)
    return Page(html, [picture for group in groups for picture in group.pictures], about, _verified(rows))


def _by_axes(rows: Rows, axes: Sequence[str]) -> Places:
    """Numbers of rows, sorted by axis: numbers, then words, then nothing."""
    keys = [np.zeros(len(rows))]
    for axis in reversed(axes):
        values, codes = rows.distinct(axis)
        ranks = np.full(len(values) + 1, len(values))  # the last is that of rows without the axis
        for rank, (at, value) in enumerate(sorted(enumerate(values), key=lambda each: _order(each[1]))):
            ranks[at] = len(values) if value is None else rank
        keys.append(ranks[codes])
    return np.lexsort(keys)


def _groups(rows: Rows, order: Places, progress: Progress) -> list[Group]:
    """The largest groups of rows without an error, in order."""
    done = rows.where("error", lambda error: error is None)
    ran = rows.take(order[done[order]])
    found = ran.groups(("workload", "seed", "layer", "energy_table"))
    largest = sorted(range(len(found)), key=lambda at: -len(found[at]))[:MOST_GROUPS]
    groups: list[Group] = []
    for own in [found[at] for at in sorted(largest)]:
        first, name, prefix = ran[int(own[0])], "", ""
        if len(found) > 1:
            table = first.get("energy_table")
            name = f"{first['workload']}, layer {first.get('layer')}, seed {first.get('seed')}"
            name += "" if table is None else f", energy table {table[:12]}"
            prefix = f"{len(groups) + 1}-"
        progress(f"{name or first['workload']}: drawing {counted(len(own), 'point')}")
        members = ran.take(own)
        best = front(members, default_objectives(members))
        named = knee(best.rows, best.objectives) if best.rows else None
        groups.append(Group(name, best, named, list(sweep_pictures(members, best, named, prefix))))
    return groups


def _parts(rows: Rows, order: Places, store: str, axes: Sequence[str], groups: Sequence[Group]) -> Iterator[Part]:
    if axes:
        which = [_axis_row(axis, rows) for axis in axes]
        yield Part("Axes", tables=[table(["axis", "values", "which", "meaning"], which)])
    yield from (_front_part(group, axes) for group in groups)
    for group in groups:
        if len(group.pictures) > 1:
            yield Part(f"What each axis does{_of(group)}", pictures=group.pictures[1:])
    yield _rows_part(rows, order, store, axes)
    errors = error_counts(rows)
    if errors:
        shown = [[error, Cell(f"{number:,}", number)] for error, number in errors.most_common(MOST_ERRORS)]
        more = [f"and {len(errors) - len(shown):,} other errors"] if len(errors) > len(shown) else []
        yield Part("Failures", tables=[table(["error", "points"], shown)], notes=more)
    yield _provenance(rows, store, axes)


def _of(group: Group) -> str:
    return f": {group.name}" if group.name else ""


def _facts(rows: Rows) -> Iterator[Fact]:
    done = rows.where("error", lambda error: error is None)
    failed = int((~done).sum())
    unfit = int((done & ~rows.where("fits", bool)).sum())
    yield Fact("points", f"{len(rows):,}", len(rows))
    yield Fact("failed", f"{failed:,}", failed, "alarm" if failed else "")
    yield Fact("do not fit memories", f"{unfit:,}", unfit, "alarm" if unfit else "")
    yield Fact("seed", ", ".join(dict.fromkeys(map(str, _values(rows, "seed")))))
    if any(map(drawn_preset, rows.values("workload"))):
        yield Fact("weights", "synthetic")
    verified = _verified(rows)
    word = {True: "verified", False: "NOT VERIFIED", None: "not asked for"}[verified]
    yield Fact("golden product", word, state={True: "good", False: "alarm", None: ""}[verified])


def _verified(rows: Rows) -> bool | None:
    """False where an output differs; True where all points that ran were compared."""
    if _differing(rows).any():
        return False
    compared = rows.where("verified", bool)[rows.where("error", lambda error: error is None)]
    return True if len(compared) and compared.all() else None


def _differing(rows: Rows) -> Bools:
    """Points whose outputs differ; of a sweep with --verify those are rows with an error."""
    said = rows.where("error", lambda error: _DIFFERS.search(error or "") is not None)
    return said | rows.where("verified", lambda verified: verified is False)


def _values(rows: Rows, name: str) -> list[Any]:
    """The values of a column, each once; None among them where a row has none."""
    found = list(dict.fromkeys(rows.values(name)))
    return found if None in found or rows.having(name).all() else [*found, None]


def _one_of(rows: Rows, name: str) -> Any:
    """The value that all rows have; None where they differ."""
    found = _values(rows, name)
    return found[0] if len(found) == 1 else None


def _axis_row(axis: str, rows: Rows) -> list[Any]:
    """An axis, how many values it has, and which; of many the first and the last."""
    values = sorted(_values(rows, axis), key=_order)
    shown = [*values[: MOST_VALUES - 2], values[-1]] if len(values) > MOST_VALUES else values
    texts = [axis_cell(axis, value).text or "none" for value in shown]
    if len(values) > MOST_VALUES:
        texts.insert(-1, "...")
    return [axis, Cell(f"{len(values):,}", len(values)), ", ".join(texts), known_axes()[axis].help]


def _front_part(group: Group, axes: Sequence[str]) -> Part:
    best = group.best
    notes = [
        f"{counted(number, 'point')} left out of the front: {_WHY.get(why, f'no {why}')}"
        for why, number in best.left_out.items()
    ]
    tables = []
    if group.knee is not None:
        shown = best.rows[:MOST_OF_FRONT]
        headings, cells = row_cells(shown, axes)
        marks = ["knee" if row["key"] == group.knee["key"] else "" for row in shown]
        rows = [[mark, *own] for mark, own in zip(marks, cells, strict=True)]
        title = f"Not beaten in {', '.join(best.objectives)}: {len(best.rows):,}"
        tables = [table(["", *headings], rows, title=title)]
        near = (
            "the knee is the nearest to the best value in every objective, each scaled from best to worst of the front"
        )
        cut = [f"the first {len(shown):,} of {len(best.rows):,}"] if len(best.rows) > len(shown) else []
        notes = [near, *cut, *notes]
    return Part(f"Front{_of(group)}", pictures=group.pictures[:1], tables=tables, notes=notes)


def _rows_part(rows: Rows, order: Places, store: str, axes: Sequence[str]) -> Part:
    shown = rows.listed(order[:MOST_ROWS])
    headings, cells = row_cells(shown, axes)
    if len(set(rows.values("workload"))) > 1:
        headings = ["workload", *headings]
        cells = [[Cell(row["workload"]), *own] for row, own in zip(shown, cells, strict=True)]
    cut = [f"the first {len(shown):,} of {len(rows):,} rows, by axis; all are in {store}", *standing_lines(rows)]
    return Part("All points", cut if len(rows) > len(shown) else [], tables=[table(headings, cells)])


def _provenance(rows: Rows, store: str, axes: Sequence[str]) -> Part:
    """Return what all rows have in common, and the version that read them."""
    line = f"{counted(len(rows), 'row')} of {store}, read by eie-sim {eie_sim.__version__}"
    known = known_axes()
    names = [name for name in ("workload", "seed", "energy_table", "config_hash", *known) if name not in axes]
    common = [name for name in names if rows.having(name).all() and len(set(rows.values(name))) == 1]
    cells = [axis_cell(name, rows[0][name]) if name in known else Cell(str(rows[0][name])) for name in common]
    shown = [
        [name, cell if cell.text else "none", known[name].help if name in known else ""]
        for name, cell in zip(common, cells, strict=True)
    ]
    return Part(
        "Provenance", [line], tables=[table(["field", "value", "meaning"], shown, title="The same in all rows")]
    )


def _order(value: Any) -> tuple[int, Any]:
    """Numbers, then words, then nothing."""
    return (2, 0) if value is None else (1, value) if isinstance(value, str) else (0, value)
