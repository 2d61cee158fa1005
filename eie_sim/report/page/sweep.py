"""The report of a sweep: summary, fronts with their knees, what each axis does, all rows, failures, provenance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import eie_sim
from eie_sim.core.html import Cell, escape
from eie_sim.report.network import Record
from eie_sim.report.page.frame import Fact, Page, document, figures, paragraphs, section, summary, titled
from eie_sim.report.page.pictures import Picture, sweep_pictures
from eie_sim.report.sweep import default_objectives, standing_lines
from eie_sim.study import front, knee
from eie_sim.study.axes import known_axes
from eie_sim.study.pareto import Front
from eie_sim.study.reading import Stored
from eie_sim.study.showing import axis_cell, counted, row_cells, varying
from eie_sim.workload import drawn_preset

MOST_ROWS = 2000
MOST_OF_FRONT = 200
MOST_GROUPS = 6
MOST_ERRORS = 50
MOST_VALUES = 12

_WHY = {"error": "failed", "fits": "does not fit the memories"}
_DIFFERS = re.compile("outputs.*: differ from the (golden|dense) product")


class Group(NamedTuple):
    """Rows that may be compared: of one workload, seed and layer.

    name : empty where there is no other; pictures : of the front first
    """

    name: str
    rows: list[Record]
    best: Front
    knee: Record | None
    pictures: list[Picture]


def sweep_page(stored: Stored, store: str) -> Page:
    """The report of a sweep. stored : its rows; store : the name of the file they are from"""
    axes = varying(stored.rows)
    rows = sorted(stored.rows, key=lambda row: [_order(row.get(axis)) for axis in axes])
    groups = _groups(rows)
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    hashes = {row.get("config_hash") for row in rows}
    seeds = {row.get("seed") for row in rows}
    about = {
        "workload": workloads[0] if len(workloads) == 1 else workloads,
        "config_hash": hashes.pop() if len(hashes) == 1 else None,
        "seed": seeds.pop() if len(seeds) == 1 else None,
    }
    body = _body(Stored(rows, stored.damaged), store, axes, groups)
    pictures = [picture for group in groups for picture in group.pictures]
    return Page(document(f"{', '.join(workloads[:3])}: eie-sim sweep", body), pictures, about, _verified(rows))


def _said(workload: str, seed: Any, layer: Any, table_sha256: str | None) -> str:
    table = "" if table_sha256 is None else f", energy table {table_sha256[:12]}"
    return f"{workload}, layer {layer}, seed {seed}{table}"


def _groups(rows: Sequence[Record]) -> list[Group]:
    """The largest groups of rows without an error, in order."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        if row["error"] is None:
            found.setdefault((row["workload"], row.get("seed"), row.get("layer"), row.get("energy_table")), []).append(
                row
            )
    largest = sorted(found, key=lambda key: -len(found[key]))[:MOST_GROUPS]
    alone = len(found) == 1
    return [
        _group("" if alone else _said(*key), found[key], "" if alone else f"{at}-")
        for at, key in enumerate((key for key in found if key in largest), start=1)
    ]


def _group(name: str, rows: list[Record], prefix: str) -> Group:
    best = front(rows, default_objectives(rows))
    named = knee(best.rows, best.objectives) if best.rows else None
    return Group(name, rows, best, named, list(sweep_pictures(rows, best, named, prefix)))


def _body(stored: Stored, store: str, axes: Sequence[str], groups: Sequence[Group]) -> Iterator[str]:
    rows = stored.rows
    workloads = ", ".join(dict.fromkeys(row["workload"] for row in rows))
    yield f"<h1>{escape(workloads)}</h1>"
    vectors = max((row.get("n_vector") or 0 for row in rows), default=0)
    together = f"; cycles, time and energy are of all {vectors:,} input vectors together" if vectors > 1 else ""
    yield paragraphs([f"sweep over {', '.join(axes) or 'a single design'}; rows in {store}{together}"], "quiet")
    yield paragraphs(_alarms(stored), "alarm")
    yield summary(_facts(stored))
    if axes:
        yield titled("Axes", ["axis", "values", "which", "meaning"], [_axis_row(axis, rows) for axis in axes])
    for group in groups:
        yield _front_section(group, axes)
    for group in groups:
        if len(group.pictures) > 1:
            name = f": {group.name}" if group.name else ""
            yield section(f"What each axis does{name}", figures(group.pictures[1:]))
    yield _rows_section(rows, store, axes)
    yield _failures_section(rows)
    yield section("Provenance", *_provenance(stored, store, axes))


def _alarms(stored: Stored) -> list[str]:
    wrong = sum(_differs(row) for row in stored.rows)
    lines = [f"NOT VERIFIED: {counted(wrong, 'point')} of {len(stored.rows):,} differ from the golden product"]
    damaged = f"{counted(stored.damaged, 'line')} of the store left out: damaged, or not written to the end"
    return [*(lines if wrong else []), *([damaged] if stored.damaged else [])]


def _facts(stored: Stored) -> Iterator[Fact]:
    rows = stored.rows
    failed = sum(row["error"] is not None for row in rows)
    unfit = sum(row["error"] is None and not row["fits"] for row in rows)
    yield Fact("points", f"{len(rows):,}", len(rows))
    yield Fact("failed", f"{failed:,}", failed, "alarm" if failed else "")
    yield Fact("do not fit memories", f"{unfit:,}", unfit, "alarm" if unfit else "")
    yield Fact("seed", ", ".join(dict.fromkeys(str(row.get("seed")) for row in rows)))
    if any(drawn_preset(workload) for workload in dict.fromkeys(row["workload"] for row in rows)):
        yield Fact("weights", "synthetic")
    verified = _verified(rows)
    word = {True: "verified", False: "NOT VERIFIED", None: "not asked for"}[verified]
    yield Fact("golden product", word, state={True: "good", False: "alarm", None: ""}[verified])


def _verified(rows: Sequence[Record]) -> bool | None:
    """False where an output differs; True where all points that ran were compared."""
    if any(_differs(row) for row in rows):
        return False
    compared = [row.get("verified") for row in rows if row["error"] is None]
    return True if compared and all(compared) else None


def _differs(row: Record) -> bool:
    """A point of a sweep with --verify that differs is a row with an error."""
    return row.get("verified") is False or _DIFFERS.search(row["error"] or "") is not None


def _axis_row(axis: str, rows: Sequence[Record]) -> list[Any]:
    """An axis, how many values it has, and which; of many the first and the last."""
    values = sorted({row.get(axis) for row in rows}, key=_order)
    texts = [axis_cell(axis, {axis: value}).text or "none" for value in values]
    if len(texts) > MOST_VALUES:
        texts = [*texts[: MOST_VALUES - 2], "...", texts[-1]]
    return [axis, Cell(f"{len(values):,}", len(values)), ", ".join(texts), known_axes()[axis].help]


def _front_section(group: Group, axes: Sequence[str]) -> str:
    best, name = group.best, f": {group.name}" if group.name else ""
    left = [
        f"{counted(number, 'point')} left out of the front: {_WHY.get(why, f'no {why}')}"
        for why, number in best.left_out.items()
    ]
    if not best.rows:
        return section(f"Front{name}", figures(group.pictures[:1]), paragraphs(left))
    shown = best.rows[:MOST_OF_FRONT]
    cut = [f"the first {len(shown):,} of {len(best.rows):,}"] if len(best.rows) > len(shown) else []
    headings, cells = row_cells(shown, axes)
    at_knee = [Cell("knee" if row is group.knee else "") for row in shown]
    title = f"Not beaten in {', '.join(best.objectives)}: {len(best.rows):,}"
    table = titled(title, ["", *headings], [[mark, *row] for mark, row in zip(at_knee, cells, strict=True)])
    near = "the knee is the nearest to the best value in every objective, each scaled from best to worst of the front"
    return section(f"Front{name}", figures(group.pictures[:1]), table, paragraphs([near, *cut, *left], "quiet"))


def _rows_section(rows: Sequence[Record], store: str, axes: Sequence[str]) -> str:
    shown = rows[:MOST_ROWS]
    several = len({row["workload"] for row in rows}) > 1
    headings, cells = row_cells(shown, axes)
    if several:
        headings, cells = (
            ["workload", *headings],
            [[Cell(row["workload"]), *own] for row, own in zip(shown, cells, strict=True)],
        )
    cut = [f"the first {len(shown):,} of {len(rows):,} rows, by axis; all are in {store}"]
    cut += standing_lines(rows)
    return section(
        "All points", paragraphs(cut if len(rows) > len(shown) else [], "quiet"), titled("", headings, cells)
    )


def _failures_section(rows: Sequence[Record]) -> str:
    errors = Counter(row["error"] for row in rows if row["error"] is not None)
    shown = [[error, Cell(f"{number:,}", number)] for error, number in errors.most_common(MOST_ERRORS)]
    more = len(errors) - len(shown)
    if not shown:
        return ""
    cut = [f"and {more:,} other errors"] if more else []
    return section("Failures", titled("", ["error", "points"], shown), paragraphs(cut))


def _provenance(stored: Stored, store: str, axes: Sequence[str]) -> Iterator[str]:
    """What all rows have in common, and what it was read with."""
    rows = stored.rows
    yield paragraphs([f"{counted(len(rows), 'row')} of {store}, read by eie-sim {eie_sim.__version__}"])
    common = [name for name in ("workload", "seed", "energy_table", "config_hash", *known_axes()) if name not in axes]
    shared = [
        [name, _shared(name, rows), known_axes()[name].help if name in known_axes() else ""]
        for name in common
        if _all(name, rows)
    ]
    yield titled("The same in all rows", ["field", "value", "meaning"], shared)


def _all(name: str, rows: Sequence[Record]) -> bool:
    return all(name in row for row in rows) and len({row[name] for row in rows}) == 1


def _shared(name: str, rows: Sequence[Record]) -> Cell:
    cell = axis_cell(name, rows[0]) if name in known_axes() else Cell(str(rows[0][name]))
    return cell if cell.text else Cell("none")


def _order(value: Any) -> tuple[int, Any]:
    """Numbers, then words, then nothing."""
    return (2, 0) if value is None else (1, value) if isinstance(value, str) else (0, value)
