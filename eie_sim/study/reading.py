"""Read the store of a sweep without taking it: a run may be writing to it, and nothing is put right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from operator import eq
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from eie_sim.core.errors import is_number, refused, require
from eie_sim.core.files import as_path, require_readable, system_errors
from eie_sim.core.record import VERSION
from eie_sim.study.axes import unit_names
from eie_sim.study.points import MAX_POINTS
from eie_sim.study.showing import FIGURES
from eie_sim.study.store import MAX_FOREIGN, pieces
from eie_sim.study.table import CHUNK, Bools, Row, Rows
from eie_sim.units import unit_named

LARGEST_FIGURE = 1e150
"""Products and the margins of a log scale stay finite."""

Progress = Callable[[str], None]
Rule = Callable[[Any], bool]


class Stored(NamedTuple):
    """Rows of a store in the order of the file, and how many lines of it are no rows, or not yet."""

    rows: Rows
    damaged: int


def read_store(path: str | os.PathLike[str], *, progress: Progress = lambda step: None) -> Stored:
    """The rows of a store, which stays as it is; a line that is damaged or cut off is counted and left out.

    The first of rows with the same key is kept; others that differ from it are damage. Raises InputError, one line: for
    what holds no row of a sweep, or more than MAX_POINTS, and what cannot be read.
    """
    said = as_path("store", path)
    require_readable("store", said)
    with system_errors("store", said, "read"), said.open("rb") as file:
        lines = _Lines(said, file, progress)
        rows = Rows.of(lines)
    kept, repeated = _first(rows)
    kept &= shown(rows) & rows.where("version", lambda version: version == VERSION)
    if len(rows) and not kept.any():
        require_version(said, rows[0])
    damaged = lines.n_damaged + len(rows) - int(kept.sum()) - repeated
    rule = f"must be the store of a sweep, as NAME.sweep.jsonl; damaged lines: {damaged:,}"
    require(bool(kept.any()), "store", said, rule if damaged else "holds no rows of a sweep")
    return Stored(rows.take(np.flatnonzero(kept)), damaged)


class _Lines:
    """The rows of a file, one by one, whatever their figures; other lines are counted."""

    def __init__(self, said: Path, file: IO[bytes], progress: Progress) -> None:
        self.n_damaged = 0
        self._said, self._file, self._progress = said, file, progress

    def __iter__(self) -> Iterator[dict[str, Any]]:
        n_row = size = 0
        for piece, row, inside in pieces(self._file):
            if row is not None:
                n_row += 1
                require(n_row <= MAX_POINTS, "store", self._said, f"must have at most {MAX_POINTS:,} rows")
                if n_row % CHUNK == 0:
                    self._progress(f"{self._said}: {n_row:,} rows read")
                yield row
            elif not inside:
                self.n_damaged += 1
            size += len(piece)
            if not n_row and size > MAX_FOREIGN:
                return


def _first(rows: Rows) -> tuple[Bools, int]:
    """Which rows are the first with their key, and how many others are equal to that one."""
    keys: list[Any] = [None] * len(rows)
    for column, places in rows.parts("key"):
        for at, key in zip(places.tolist(), column.listed(np.arange(len(places))), strict=True):
            keys[at] = key
    first = np.ones(len(rows), np.bool_)
    if len(set(keys)) == len(keys):
        return first, 0
    known: dict[str, int] = {}
    pairs = np.array([(at, known[key]) for at, key in enumerate(keys) if known.setdefault(key, at) != at])
    first[pairs[:, 0]] = False
    chunks = np.split(pairs, range(CHUNK, len(pairs), CHUNK))
    return first, sum(sum(map(eq, *map(rows.listed, chunk.T))) for chunk in chunks)


def require_version(said: Path, row: dict[str, Any]) -> None:
    """Raise InputError for a row of another version, whose columns mean other things; those of 1 did not say it."""
    found = row.get("version", 1)
    if isinstance(row.get("workload"), str) and type(found) is int and found != VERSION:
        again = "run the sweep again with another --store"
        raise refused("store", said, f"made by an eie-sim of record version {found}, this one has {VERSION}: {again}")


def _is_there(value: Any) -> bool:
    return is_number(value) and bool(0 <= value < LARGEST_FIGURE)


def _is_figure(value: Any) -> bool:
    return value is None or _is_there(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


_COMMON = "cycles", "time_us", "clock_mhz", "weight_density"  # numbers of every row that has no error
_WORDED = ("workload", "layer", "energy_table", "config_hash", "misfit", "chip", "mma", "tiles", "patterns")
_DONE: dict[str, Rule] = {
    "fits": lambda value: isinstance(value, bool),
    "verified": lambda value: isinstance(value, bool | None),
    "density": _is_figure,
    "n_pe": _is_count,
    "queue_depth": _is_count,
    "clock_mhz": lambda value: value != 0,  # a number, as it is one of _COMMON
}
"""Rules for columns of a row without an error."""


@lru_cache(maxsize=2)
def _columns(names: tuple[str, ...]) -> tuple[dict[str, Rule], dict[str, dict[str, Rule]]]:
    """Return rules for columns of any row, and of a row without an error, by unit. names : of all units"""
    words = {name: unit_named(name).words for name in names}
    figures = {*FIGURES, *(column for own in words.values() for column in own.columns)} - {"fits", "verified"}
    worded = (*_WORDED, *(column for own in words.values() for column in own.worded))
    holds: dict[str, Rule] = dict.fromkeys(figures, _is_figure)
    holds |= dict.fromkeys(worded, _is_text)
    holds |= {"cycles": lambda value: type(value) is int and _is_figure(value), "unit": lambda value: value in names}
    needed: dict[str, dict[str, Rule]] = {
        name: dict.fromkeys((*_COMMON, *own.needed), _is_there) | dict.fromkeys(("config_hash", *own.texts), _is_text)
        for name, own in words.items()
    }
    return holds, needed


def shown(rows: Rows) -> Bools:
    """Which rows have what everybody who shows them relies on, each of its kind, and nothing that is a list."""
    holds, needed = _columns(unit_names())
    good = np.zeros(len(rows), np.bool_)
    for columns, places in rows.alike():
        if not {"workload", "unit"} <= columns.keys():
            continue
        ok = np.ones(len(places), np.bool_)
        for name, column in columns.items():
            ok &= column.where(holds.get(name, lambda value: not isinstance(value, dict | list)))
        done = columns["error"].where(lambda error: error is None) if "error" in columns else ok
        whole = columns["fits"].where(_DONE["fits"]) if "fits" in columns else np.zeros_like(ok)
        for name in _DONE.keys() & columns.keys():
            whole &= columns[name].where(_DONE[name])
        for unit, rules in needed.items():
            own = columns["unit"].where(partial(eq, unit))
            for name, rule in rules.items():
                whole &= ~own | (columns[name].where(rule) if name in columns else False)
        good[places] = ok & (whole | ~done)
    return good


def missing_from(row: Row) -> str | None:
    """The first column that a row without an error has to have, and has not, or only None; None where all are there."""
    _, needed = _columns(unit_names())
    unit = row.get("unit")
    named = needed.get(unit, {}) if isinstance(unit, str) else ()
    return next((name for name in ("unit", *named) if row.get(name) is None), None)
