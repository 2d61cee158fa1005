"""Rows of a sweep as people read them: which columns, headings with units, values as text beside the exact ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from eie_sim.core.errors import is_number
from eie_sim.core.html import Cell, card, table
from eie_sim.core.numbers import number, percent, to
from eie_sim.study.axes import known_axes, text_of
from eie_sim.study.table import Row, as_rows

FIGURES = {
    "n_vector": "input vectors run, one after the other or at once, as the unit does",
    "cycles": "cycles of all vectors and layers of the point",
    "time_us": "microseconds at the design's clock",
    "energy_nj": "nanojoules of all vectors and layers",
    "power_mw": "mean power, milliwatts",
    "area_mm2": "area of the design, mm2; null of a unit whose area is not known",
    "bytes": "compressed weights with all that belongs to them, and a bias that is stored",
    "accuracy": "share of the held-back inputs classified as labelled by the compressed network; a labelled chain only",
    "n_weight": "weights stored, with those of a bias that is stored",
    "weight_density": "weights kept over all weights, the bias left out of both",
    "effectual_macs": "MACs that count: of kept weights, and where the unit skips zero inputs of the other inputs only",
    "dense_macs": "MACs of a dense unit, with the bias where effectual_macs have it",
    "utilisation": "cycles of useful work over all cycles of all PEs or cores",
    "load_balance": "mean busy over max busy PE; null of a unit without several",
    "effective_gops": "2 x effectual MACs over time, GOP/s",
    "fits": "whether every memory holds the layer in one pass",
    "passes": "passes the layer would take; cycles contain no cost for them",
    "misfit": "memories that do not hold it",
    "verified": "whether stored weights and outputs agree with the golden product; only where that was asked for",
}
"""Figures of every row, and what they mean; units have others besides, which their words explain."""

SHARES = ("accuracy", "utilisation", "load_balance", "weight_density")
"""Figures from 0 to 1, shown in percent."""

USUAL: dict[str, tuple[str, Callable[[Any], str]]] = {
    "weight_density": ("weights\nkept", percent),
    "cycles": ("cycles", "{:,d}".format),
    "time_us": ("time\nus", to(3)),
    "energy_nj": ("energy\nnJ", to(1)),
    "board_nj": ("board\nnJ", to(1)),
    "area_mm2": ("area\nmm2", to(2)),
    "bytes": ("weights\nkB", lambda size: number(size / 1e3, 1)),
    "accuracy": ("accuracy", percent),
    "utilisation": ("useful\ncycles", percent),
    "load_balance": ("load\nbalance", percent),
    "bound": ("bound", str),
}
"""Figures that are shown wherever they are, with heading, its unit, and how a number reads."""


def heading(name: str) -> str:
    """Return the heading of a figure in tables."""
    return USUAL[name][0] if name in USUAL else name


FIRST_ROWS = 10
"""Rows that a notebook shows."""


def row_cells(
    shown: Sequence[Row], axes: Iterable[str], more: Iterable[str] = ()
) -> tuple[list[str], list[list[Cell]]]:
    """Headings and cells: the axes that were given, then figures that any row has, then what is wrong with the row.

    axes : layer and unit come first, where they are among them, or where rows differ in them
    more : figures besides those that are always shown
    """
    axes = list(axes)
    first = [name for name in ("layer", "unit") if name in axes or len({row.get(name) for row in shown}) > 1]
    keys = [name for name in dict.fromkeys([*first, *axes]) if any(name in row for row in shown)]
    wanted = USUAL | {name: (name, "{:,.4g}".format) for name in more if name not in USUAL}
    figures = [name for name in wanted if any(row.get(name) is not None for row in shown)]
    return [*keys, *(wanted[name][0] for name in figures), ""], [
        [*(axis_cell(name, row.get(name)) for name in keys)]
        + [_figure(row.get(name), wanted[name][1]) for name in figures]
        + [_mark(row)]
        for row in shown
    ]


def varying(rows: Sequence[Row], *without: str) -> list[str]:
    """Axes of which rows that have them have several values, in the order of help, but for those named."""
    columns = as_rows(rows)
    return [name for name in known_axes() if name not in without and len(set(map(_hashable, columns.values(name)))) > 1]


def axis_cell(axis: str, value: Any) -> Cell:
    """The value of an axis."""
    if value is None:
        return Cell("")
    if isinstance(value, str):
        return Cell(value)
    try:
        text = text_of(axis, value)
    except (TypeError, ValueError, OverflowError):  # rows of others may hold what no axis takes
        text = str(value)
    return Cell(text, value if is_number(value) else None)


def rows_card(
    title: str, first: Sequence[Row], axes: Iterable[str], *, total: int, lines: Iterable[str], more: Iterable[str] = ()
) -> str:
    """Return the table of a notebook: the first of `total` rows. more : as for `row_cells`"""
    headings, cells = row_cells(first, axes, more)
    cut = [f"the first {len(first):,} of {total:,} rows"] if total > len(first) else []
    return card(title, *([table(headings, cells)] if cells else []), lines=[*cut, *lines])


def _mark(row: Row) -> Cell:
    """Return the fault of a point as a cell, empty without any."""
    if row.get("error") is not None:
        return Cell(f"failed: {row['error']}", alarming=True)
    if row.get("verified") is False:
        return Cell("NOT VERIFIED", alarming=True)
    return Cell("") if row.get("fits", True) else Cell(f"does not fit: {row.get('misfit', '')}", alarming=True)


def _figure(value: Any, form: Callable[[Any], str]) -> Cell:
    if not is_number(value):
        return Cell("" if value is None else str(value))
    return Cell(form(value), value)


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, (list, dict)) else value
