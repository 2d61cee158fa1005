"""Rows of a sweep as curves: which belong together, and what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.prune.recipe import Recipe
from eie_sim.report.figures.style import joint_hash, named
from eie_sim.study import Sweep, table
from eie_sim.study.axes import design_axes, known_axes, text_of
from eie_sim.study.reading import missing_from, shown
from eie_sim.study.showing import varying
from eie_sim.study.table import Row, Rows
from eie_sim.units import unit_named

MANY = 4000
"""Points from which they are drawn as pixels, in an SVG too: each by itself takes a hundred bytes."""


SIZES = 4
"""Sizes of a design that are told even where they are usual."""


ALL = "all"
"""Layers or frames, which goes without saying."""


class Series(NamedTuple):
    """Rows of one curve, in the order of its axis. named : what tells it from others, ", n_pe 4"; may be empty."""

    rows: Rows
    named: str


def as_rows(found: Any) -> Rows:
    """The rows of a sweep that have figures; those with an error have none. Raises InputError for anything else."""
    rows = table.as_rows(found.rows if isinstance(found, Sweep) else found)
    done = rows.where("error", lambda error: error is None)
    wrong = np.flatnonzero(done & ~shown(rows))
    if len(wrong):
        missing = missing_from(rows[int(wrong[0])])
        why = f"{missing} is missing" if missing else "what it needs is missing or of another kind"
        raise InputError(f"rows[{wrong[0]}]: must be a row of a sweep, {why}")
    return rows.take(np.flatnonzero(done))


def of_pes(rows: Rows, *names: str) -> Rows:
    """Rows of units of processing elements, whose columns are counted by them, that have these columns."""
    return rows.take(np.flatnonzero(rows.having("n_pe", *names)))


def series_of(rows: Sequence[Row], axis: str, *without: str, by: str | None = None) -> list[Series]:
    """Curves over an axis: rows that agree in every other axis, each sorted along this one.

    without : axes that may differ within a curve; by : a column to sort by in place of the axis
    """
    columns = table.as_rows(rows)
    differing = varying(columns, axis, *without)
    places = columns.numbers(by or axis)
    return [
        Series(columns.take(own[np.argsort(places[own], kind="stable")]), _told(differing, columns[int(own[0])]))
        for own in columns.groups(differing)
    ]


def _told(names: Sequence[str], row: Row) -> str:
    """Values of axes behind a name: ", n_pe 4"; a layer is its own name."""
    pairs = [(name, named(_text(name, row))) for name in names]
    return "".join(f", {text}" if name == "layer" else f", {name} {text}" for name, text in pairs)


def words_for(row: Row, names: Sequence[str]) -> str:
    """Values of axes in words: n_pe 64, queue_depth 8."""
    return ", ".join(f"{name} {named(_text(name, row))}" for name in names if row.get(name) is not None)


def held_fixed(rows: Rows) -> str:
    """Return in words what all rows share: the network, its pruning, and the design.

    Of the design the first sizes, and of everything else what is unlike that which a sweep begins with.
    """
    if not rows:
        return ""
    row = rows[0]
    unit = unit_named(row["unit"])
    start: Any = unit.config.preset(row["chip"]) if row.get("chip") in unit.presets else unit.config()
    usual = {name: getattr(Recipe(), name, getattr(start, name, None)) for name in known_axes()}
    first = ["workload", "layer", "chip", "pattern", "density", *list(design_axes(unit))[:SIZES]]
    said = []
    for name in dict.fromkeys([*first, *usual]):
        unlike = usual.get(name) is not None and _text(name, row) != _text(name, {name: usual[name]})
        told = row.get(name) not in (None, ALL, row.get("workload") if name == "layer" else None)
        if told and (name in first or unlike) and len(rows.distinct(name)[0]) == 1:
            said.append((name, row[name] if name == "workload" else _text(name, row)))
    words = [named(text) if name == "workload" else f"{name} {named(text)}" for name, text in said]
    return f"held fixed: {', '.join(words)}" if words else ""


def hash_of(rows: Rows, given: str | None) -> str:
    """Return the hash for the corner: the one that was given, else that of the rows' designs together."""
    return joint_hash(rows.values("config_hash")) if given is None else given


def _text(name: str, row: Row) -> str:
    value = row.get(name)
    return "" if value is None else value if isinstance(value, str) else text_of(name, value)
