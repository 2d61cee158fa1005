"""Rows of a sweep as curves: which belong together, and what tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, require_type
from eie_sim.report.figures.style import joint_hash, named
from eie_sim.study import Sweep
from eie_sim.study.axes import known_axes, text_of
from eie_sim.study.reading import is_row, missing_from

Row = Mapping[str, Any]


class Series(NamedTuple):
    """Rows of one curve, in the order of its axis. named : what tells it from others, ", n_pe 4"; may be empty."""

    rows: list[Row]
    named: str


def as_rows(found: Any) -> list[Row]:
    """The rows of a sweep that have figures; those with an error have none. Raises InputError for anything else."""
    rows = found.rows if isinstance(found, Sweep) else found
    require_type("rows", rows, list, tuple)
    kept = []
    for at, row in enumerate(rows):
        require_type(f"rows[{at}]", row, dict)
        if row.get("error") is None:
            if not is_row(row):
                missing = missing_from(row)
                wrong = f"{missing} is missing" if missing else "what it needs is missing or of another kind"
                raise InputError(f"rows[{at}]: must be a row of a sweep, {wrong}")
            kept.append(row)
    return kept


def split_units(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of units of processing elements, whose columns are counted by them, and rows of other units."""
    return [row for row in rows if "n_pe" in row], [row for row in rows if "n_pe" not in row]


def series_of(rows: Sequence[Row], axis: str, *without: str, by: str | None = None) -> list[Series]:
    """Curves over an axis: rows that agree in every other axis, each sorted along this one.

    without : axes that may differ within a curve; by : a column to sort by in place of the axis
    """
    differing = varying(rows, axis, *without)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_text(name, row) for name in differing), []).append(row)
    return [
        Series(
            sorted(own, key=lambda row: (row.get(by or axis) is None, row.get(by or axis) or 0)), _told(differing, key)
        )
        for key, own in groups.items()
    ]


def _told(names: Sequence[str], texts: Sequence[str]) -> str:
    """Values of axes behind a name: ", n_pe 4"; a layer is its own name."""
    pairs = zip(names, map(named, texts), strict=True)
    return "".join(f", {text}" if name == "layer" else f", {name} {text}" for name, text in pairs)


def varying(rows: Sequence[Row], *without: str) -> list[str]:
    """Axes in which rows that have them differ, but for those named: each unit has axes of its own."""
    names = [name for name in known_axes() if name not in without]
    return [name for name in names if len({_text(name, row) for row in rows if name in row}) > 1]


def words_for(row: Row, names: Sequence[str]) -> str:
    """Values of axes in words: n_pe 64, queue_depth 8."""
    return ", ".join(f"{name} {named(_text(name, row))}" for name in names if row.get(name) is not None)


def hash_of(rows: Sequence[Row], given: str | None) -> str:
    """What was given for the corner, or the hash of the one design, or of all rows' designs together."""
    return joint_hash([str(row["config_hash"]) for row in rows]) if given is None else given


def _text(name: str, row: Row) -> str:
    value = row.get(name)
    return "" if value is None else value if isinstance(value, str) else text_of(name, value)
