"""Rows of a store as a pandas frame, Parquet or CSV.

A column for each name, in the order in which names first come up; what a row does not have is missing. Lists and
objects become JSON text, `[64, 64]`, in all three.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from eie_sim.core.errors import InputError, any_of, refused, require
from eie_sim.core.files import as_path, place_for, system_errors, written_whole
from eie_sim.core.spreadsheet import csv_text
from eie_sim.study.table import CHUNK, Row, Rows, as_rows

if TYPE_CHECKING:
    import pandas

SUFFIXES = (".csv", ".parquet")
INT64 = range(-(2**63), 2**63)
EXACT = range(-(2**53), 2**53 + 1)
"""Whole numbers that a float is sure to hold."""


def to_pandas(rows: Sequence[Row]) -> pandas.DataFrame:
    """A frame with a line for each row and an index from 0.

    Whole numbers are int64, truth values bool, other numbers float64, the rest text. Where a value is missing whole
    numbers are Int64 and truth values boolean, which know missing values; a float is NaN. A column of several kinds, or
    of whole numbers beyond 64 bits, is text, what is no text in it as JSON. So no count is ever rounded.

    Raises InputError where pandas is not installed, and where `rows` is no list of dicts.
    """
    frames, columns = _library("pandas", "pandas"), as_rows(rows)
    return frames.DataFrame({_plain("name", name): _series(frames, columns, name) for name in columns.names()})


def write_parquet(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write what `to_pandas` gives to a Parquet file, whole or not at all.

    Raises InputError where pandas or pyarrow is not installed, for rows as `to_pandas`, and where `path` cannot be
    written or is something other than a file.
    """
    _library("pandas", "parquet")
    _library("pyarrow", "parquet")
    frame = to_pandas(rows)
    _write(path, lambda file: frame.to_parquet(file, engine="pyarrow", index=False))


def write_csv(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Write a CSV file with a line of names, UTF-8, whole or not at all; what is missing is empty. Needs no pandas.

    Numbers have all their digits; a text that a spreadsheet would run has a quote before it (see `spreadsheet`). Raises
    InputError for rows as `to_pandas`, and for a path as `write_parquet`.
    """
    columns = as_rows(rows)
    _write(path, lambda file: file.writelines(_csv(columns)))


def require_table(path: str | os.PathLike[str]) -> None:
    """Raise InputError where `write_csv` or `write_parquet`, which the suffix names, could not write the path."""
    said = as_path("out", path)
    kind = said.suffix.lower()
    require(kind in SUFFIXES, "out", said, f"must end in {any_of(SUFFIXES)}")
    if kind == ".parquet":
        _library("pandas", "parquet")
        _library("pyarrow", "parquet")
    place_for("out", said)


def _csv(rows: Rows) -> Iterator[bytes]:
    """A line of names, where there are any, and lines of rows, some thousand at a time."""
    names = rows.names()
    yield csv_text([[_plain("name", name) for name in names]] if names else []).encode()
    for start in range(0, len(rows), CHUNK):
        cells = ([_plain(name, row.get(name)) for name in names] for row in rows[start : start + CHUNK])
        yield csv_text(cells if names else []).encode()


def _plain(name: str, value: Any) -> Any:
    """Numbers and None as they are, the rest as text; halves of characters, as odd file names have, written out."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise refused(name, type(value).__name__, "must be what JSON holds, as rows do") from error
    return text.encode("utf-8", "backslashreplace").decode()


def _series(frames: Any, rows: Rows, name: str) -> Any:
    """A column as one of the kind that holds all its values exactly."""
    parts = list(rows.parts(name))
    whole = len(parts) == 1 and len(parts[0][1]) == len(rows)
    array = parts[0][0].values if whole and parts[0][0].codes is None else None
    if array is not None and array.dtype != object:
        return frames.Series(array)
    values: list[Any] = [None] * len(rows)
    for column, places in parts:
        for at, value in zip(places.tolist(), column.listed(np.arange(len(places))), strict=True):
            values[at] = _plain(name, value)
    there = [value for value in values if value is not None]
    kinds = set(map(type, there))
    missing = len(there) < len(values)
    if kinds == {bool}:
        return frames.Series(values, dtype="boolean" if missing else "bool")
    if kinds == {int} and all(value in INT64 for value in there):
        return frames.Series(values, dtype="Int64" if missing else "int64")
    if kinds in ({float}, {int, float}) and all(value in EXACT for value in there if isinstance(value, int)):
        return frames.Series(values, dtype="float64")
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return frames.Series(texts, dtype=None if there else "object")


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InputError(f"{name}: not installed; pip install 'eie-sim[{extra}]'") from None


def _write(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> None:
    file = place_for("out", path)
    with system_errors("out", path, "written"), written_whole(file) as opened:
        write(opened)
