"""Read the store of a sweep without taking it: a run may be writing to it, and nothing is put right."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, is_number, refused, require
from eie_sim.core.files import BINARY, as_path
from eie_sim.core.record import VERSION
from eie_sim.study.axes import unit_names
from eie_sim.study.figures import FIGURES
from eie_sim.study.store import Found, row_of, scan
from eie_sim.units import unit_named

MAX_BYTES = 2**28
"""Of a store whose rows are all taken into memory, where they take several times as much."""


class Stored(NamedTuple):
    """Rows of a store in the order of the file, and how many lines of it are no rows, or not yet."""

    rows: list[dict[str, Any]]
    damaged: int


def read_store(path: str | os.PathLike[str]) -> Stored:
    """The rows of a store, which stays as it is; a line that is damaged or cut off is counted and left out.

    Raises InputError, one line: for what is no store, holds no row, is too large, or cannot be read.
    """
    said = as_path("store", path)
    try:
        require(said.exists(), "store", said, "no such file")
        require(said.is_file(), "store", said, "must be the store of a sweep, an ordinary file")
        size = said.stat().st_size
        require(size <= MAX_BYTES, "store", said, f"must be at most {MAX_BYTES:,} bytes, has {size:,}")
        handle = os.open(said, os.O_RDONLY | BINARY)
        try:
            found = scan(handle)
            lines = _lines(handle, found)
        finally:
            os.close(handle)
    except OSError as error:
        raise refused("store", said, f"cannot be read: {error.strerror or type(error).__name__}") from error
    require(found.is_store, "store", said, "must be the store of a sweep, as NAME.sweep.jsonl")
    return _stored(said, lines, found.damaged)


def _lines(handle: int, found: Found) -> list[bytes]:
    """All rows; of a file that was cut meanwhile, as far as it goes."""
    with os.fdopen(handle, "rb", closefd=False) as stream:
        lines = []
        for start, length in zip(found.starts, found.lengths, strict=True):
            stream.seek(start)
            lines.append(stream.read(length))
    return lines


def _stored(said: Path, lines: list[bytes], damaged: int) -> Stored:
    rows: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for line in lines:
        try:
            row = row_of(line)
            if row is None:
                raise ValueError
        except ValueError as error:
            raise InputError(f"store={said}: was changed while it was read; try again") from error
        if is_row(row):
            (rows if row.get("version") == VERSION else others).append(row)
        else:
            damaged += 1
    if others and not rows:
        require_version(said, others[0])
    damaged += len(others)
    require(bool(rows), "store", said, f"holds no rows of a sweep; damaged lines: {damaged:,}")
    return Stored(rows, damaged)


def require_version(said: Path, row: dict[str, Any]) -> None:
    """Raise InputError for a row of another version, whose columns mean other things; those of 1 did not say it."""
    found = row.get("version", 1)
    if isinstance(row.get("workload"), str) and type(found) is int and found != VERSION:
        again = "run the sweep again with another --store"
        raise refused("store", said, f"made by an eie-sim of record version {found}, this one has {VERSION}: {again}")


_COMMON = ("cycles", "time_us", "clock_mhz", "weight_density")
"""Numbers that a row of any unit has, where it has no error."""

_TEXTS = ("layer", "energy_table", "config_hash", "misfit", "chip", "mma", "tiles", "patterns")
_COUNTS = ("cycles", "n_pe", "queue_depth")
_FLAGS = ("fits", "verified")


class _Columns(NamedTuple):
    """Columns by what they hold; each may be missing, or None, where it is not among the first two, by unit.

    numbers, words : that a row of a unit has where it has no error; worded : words; figures : numbers
    """

    numbers: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]
    worded: tuple[str, ...]
    figures: frozenset[str]


@lru_cache(maxsize=2)
def _columns(names: tuple[str, ...]) -> _Columns:
    """Of the units of these names."""
    words = {name: unit_named(name).words for name in names}
    worded = (*_TEXTS, *(column for own in words.values() for column in own.worded))
    figures = {*FIGURES, *(column for own in words.values() for column in own.columns)} - {*worded, *_FLAGS}
    return _Columns(
        numbers={name: (*_COMMON, *own.needed) for name, own in words.items()},
        words={name: ("config_hash", *own.texts) for name, own in words.items()},
        worded=worded,
        figures=frozenset(figures),
    )


LARGEST_FIGURE = 1e150
"""Products and the margins of a log scale stay finite."""


def is_row(row: dict[str, Any]) -> bool:
    """Whether what everybody relies on is there, and of its kind."""
    if any(isinstance(value, dict | list) for value in row.values()):
        return False
    columns = _columns(unit_names())
    named = isinstance(row.get("workload"), str) and row.get("unit") in columns.numbers
    texts = all(isinstance(row.get(name, ""), str) for name in columns.worded)
    figures = all(_is_figure(row.get(one)) for one in columns.figures)
    if not (named and texts and type(row.get("cycles", 1)) is int and figures):
        return False
    if row.get("error") is not None:  # of any design, also one that cannot be
        return True
    flags = isinstance(row.get("fits"), bool) and isinstance(row.get("verified"), bool | None)
    counts = all(type(row.get(name, 1)) is int for name in _COUNTS)
    positive = all(row.get(name, 1) != 0 for name in ("clock_mhz", "n_pe", "queue_depth"))
    numbers = all(_is_figure(row.get(name)) for name in ("density", *columns.numbers[row["unit"]]))
    return flags and counts and positive and numbers and missing_from(row) is None


def missing_from(row: dict[str, Any]) -> str | None:
    """The first column that a row without an error has to have, and has not, or only None; None where all are there."""
    unit, columns = row.get("unit"), _columns(unit_names())
    named = (*columns.numbers.get(unit, ()), *columns.words.get(unit, ())) if isinstance(unit, str) else ()
    return next((name for name in ("unit", *named) if row.get(name) is None), None)


def _is_figure(value: Any) -> bool:
    return value is None or (is_number(value) and 0 <= value < LARGEST_FIGURE)
