"""A sweep as plain data and as tables: its points, or of many the best ones, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from eie_sim.report.record import versions
from eie_sim.report.text import Record, percent, rows
from eie_sim.sweep import Sweep, front
from eie_sim.sweep.axes import text_of

SHOWN = 40
"""Most rows of a table; all are in the store."""

FAILURES_SHOWN = 5

SHARES = ("accuracy", "utilisation", "load_balance", "weight_density")
_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("weight_density", "weights\nkept", ""),
    ("cycles", "cycles", ",d"),
    ("time_us", "time\nus", ",.3f"),
    ("energy_nj", "energy\nnJ", ",.1f"),
    ("area_mm2", "area\nmm2", ",.2f"),
    ("bytes", "weights\nkB", ""),
    ("accuracy", "accuracy", ""),
    ("utilisation", "useful\ncycles", ""),
    ("load_balance", "load\nbalance", ""),
    ("bound", "bound", "text"),
)
"""Column of a row, heading with its unit, and format."""


def sweep_record(found: Sweep, *, workload: str, objectives: Sequence[str], unfit: bool) -> Record:
    """All rows with what they come from, and those on the front of the objectives."""
    best = front_of(found, objectives, unfit=unfit)
    return {
        "workload": workload,
        "seed": found.seed,
        "axes": list(found.axes),
        "points": len(found.texts),
        "reused": found.reused,
        "failed": found.failed,
        "store": None if found.store is None else str(found.store),
        "damaged": found.damaged,
        "damaged_kept_in": None if found.aside is None else str(found.aside),
        "versions": versions(),
        "objectives": list(objectives),
        "front": [row["key"] for row in best],
        "rows": found.rows,
    }


def front_of(found: Sweep, objectives: Sequence[str], *, unfit: bool) -> list[Record]:
    """Rows that no other is better than; none for a single objective or no row."""
    return list(front(found.rows, objectives, all_rows=unfit)) if len(objectives) > 1 else []


def default_objectives(found: Sweep) -> tuple[str, ...]:
    """Cycles and energy, and accuracy where it differs from row to row."""
    accuracies = {row.get("accuracy") for row in found.rows} - {None}
    return ("cycles", "energy_nj", "accuracy") if len(accuracies) > 1 else ("cycles", "energy_nj")


def sweep_table(shown: Sequence[Record], axes: Sequence[str], title: str | None = None) -> Table:
    """A row for each point: the axes that were given, then figures that any of them has, then what does not fit."""
    keys = [axis for axis in _columns(axes) if any(axis in row for row in shown)]
    figures = [one for one in _FIGURES if any(row.get(one[0]) is not None for row in shown)]
    headings = [*keys, *(heading for _, heading, _ in figures), ""]
    cells = [
        [*(_value(axis, row) for axis in keys), *(_figure(row, *one) for one in figures), _mark(row)] for row in shown
    ]
    words = {at for at, axis in enumerate(keys) if any(isinstance(row.get(axis), str) for row in shown)}
    words |= {len(keys) + at for at, one in enumerate(figures) if one[2] == "text"} | {len(headings) - 1}
    return rows(headings, cells, text=words, wrapped={len(headings) - 1}, title=title)


def sweep_lines(record: Record) -> list[str]:
    """What was swept, what came of it, and where it is kept."""
    points, failed = record["points"], record["failed"]
    lines = [
        f"{record['workload']}: {points:,} points, {record['reused']:,} of them reused, {failed:,} failed; "
        f"seed {record['seed']}"
    ]
    if record["damaged"]:
        lines.append(f"! {record['damaged']} damaged lines of the store are kept in {record['damaged_kept_in']}")
    if record["store"] is not None:
        lines.append(f"rows in {record['store']}; the same command goes on from there")
    return lines


def failure_lines(shown: Sequence[Record]) -> list[str]:
    """The first errors, each once, with how many points they are of."""
    errors: dict[str, int] = {}
    for row in shown:
        if row["error"] is not None:
            errors[row["error"]] = errors.get(row["error"], 0) + 1
    lines = [f"! {count:,} failed: {error}" for error, count in list(errors.items())[:FAILURES_SHOWN]]
    more = len(errors) - FAILURES_SHOWN
    return lines + ([f"! and {more:,} other errors"] if more > 0 else [])


def _columns(axes: Sequence[str]) -> list[str]:
    """Axes as columns are named; a chip is told from others by its fields."""
    return ["layer", *(axis for axis in axes if axis not in ("layer", "n_keep", "m_group"))]


def _value(axis: str, row: Record) -> str:
    value = row.get(axis)
    if value is None:
        return ""
    return str(value) if isinstance(value, (str, bool)) else text_of(axis, value)


def _figure(row: Record, name: str, heading: str, form: str) -> str:
    value: Any = row.get(name)
    if value is None:
        return ""
    if name in SHARES:
        return percent(value)
    if name == "bytes":
        return f"{value / 1e3:,.1f}"
    return str(value) if form == "text" else format(value, form)


def _mark(row: Record) -> str:
    """What is wrong with a point, if anything."""
    if row["error"] is not None:
        return f"failed: {row['error']}"
    return "" if row["fits"] else f"does not fit: {row['misfit']}"
