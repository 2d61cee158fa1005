"""Rows of a sweep as people read them: which columns, headings with units, values as text beside the exact ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eie_sim.core.errors import is_number
from eie_sim.core.html import Cell, card, table
from eie_sim.study.axes import known_axes, text_of

Row = Mapping[str, Any]

SHARES = ("accuracy", "utilisation", "load_balance", "weight_density")
"""Figures from 0 to 1, shown in percent."""

FIGURES: tuple[tuple[str, str, str], ...] = (
    ("weight_density", "weights\nkept", ""),
    ("cycles", "cycles", ",d"),
    ("time_us", "time\nus", ",.3f"),
    ("energy_nj", "energy\nnJ", ",.1f"),
    ("board_nj", "board\nnJ", ",.1f"),
    ("area_mm2", "area\nmm2", ",.2f"),
    ("bytes", "weights\nkB", ""),
    ("accuracy", "accuracy", ""),
    ("utilisation", "useful\ncycles", ""),
    ("load_balance", "load\nbalance", ""),
    ("bound", "bound", "text"),
)
"""Column of a row, heading with its unit, and format."""

FIRST_ROWS = 10
"""Rows that a notebook shows."""


def row_cells(
    shown: Sequence[Row], axes: Iterable[str], more: Iterable[str] = ()
) -> tuple[list[str], list[list[Cell]]]:
    """Headings and cells: the axes that were given, then figures that any row has, then what is wrong with the row.

    more : figures besides those that are always shown
    """
    keys = [axis for axis in columns(shown, axes) if any(axis in row for row in shown)]
    usual = {name for name, _, _ in FIGURES}
    wanted = [*FIGURES, *((name, name, ",.4g") for name in more if name not in usual)]
    figures = [one for one in wanted if any(row.get(one[0]) is not None for row in shown)]
    headings = [*keys, *(heading for _, heading, _ in figures), ""]
    return headings, [
        [*(axis_cell(axis, row) for axis in keys), *(_figure(row, *one) for one in figures), mark(row)] for row in shown
    ]


def columns(shown: Sequence[Row], axes: Iterable[str]) -> list[str]:
    """Axes as columns are named; layer and unit where there are several, or where they were asked for."""
    axes = list(axes)
    several = [name for name in ("layer", "unit") if name in axes or len({row.get(name) for row in shown}) > 1]
    return [*several, *(axis for axis in axes if axis not in ("layer", "unit"))]


def varying(rows: Sequence[Row]) -> list[str]:
    """Axes that have more than one value in rows, in the order of help."""
    return [axis for axis in known_axes() if len({_hashable(row[axis]) for row in rows if axis in row}) > 1]


def axis_cell(axis: str, row: Row) -> Cell:
    """The value of an axis."""
    value = row.get(axis)
    if value is None:
        return Cell("")
    if isinstance(value, str):
        return Cell(value)
    try:
        text = text_of(axis, value)
    except (TypeError, ValueError, OverflowError):  # rows of others may hold what no axis takes
        text = str(value)
    return Cell(text, value if is_number(value) else None)


def mark(row: Row) -> Cell:
    """What is wrong with a point, if anything."""
    if row.get("error") is not None:
        return Cell(f"failed: {row['error']}", alarming=True)
    if row.get("verified") is False:
        return Cell("NOT VERIFIED", alarming=True)
    return Cell("") if row.get("fits", True) else Cell(f"does not fit: {row.get('misfit', '')}", alarming=True)


def rows_card(
    title: str, first: Sequence[Row], axes: Iterable[str], *, total: int, lines: Iterable[str], more: Iterable[str] = ()
) -> str:
    """What a notebook shows of rows: the first of `total`. more : as for `row_cells`"""
    headings, cells = row_cells(first, axes, more)
    cut = [f"the first {len(first):,} of {total:,} rows"] if total > len(first) else []
    return card(title, *([table(headings, cells)] if cells else []), lines=[*cut, *lines])


def counted(number: int, what: str) -> str:
    """A number and what it counts, in the plural where there is not one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _figure(row: Row, name: str, heading: str, form: str) -> Cell:
    value: Any = row.get(name)
    if value is None:
        return Cell("")
    if form == "text" or not is_number(value):
        return Cell(str(value))
    if name in SHARES:
        return Cell(f"{100 * value:.1f} %", value)
    return Cell(f"{value / 1e3:,.1f}" if name == "bytes" else format(value, form), value)


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, (list, dict)) else value
