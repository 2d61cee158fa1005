"""Rows of a store as a pandas frame, Parquet or CSV.

A column for each name, in the order in which names first come up; what a row does not have is missing. Lists and
objects become JSON text, `[64, 64]`, in all three.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import InputError, any_of, refused, require, require_all
from eie_sim.core.files import as_path, place_for, write_whole
from eie_sim.core.spreadsheet import csv_text

if TYPE_CHECKING:
    import pandas

Rows = Sequence[dict[str, Any]]
SUFFIXES = (".csv", ".parquet")
INT64 = range(-(2**63), 2**63)
EXACT = range(-(2**53), 2**53 + 1)
"""Whole numbers that a float is sure to hold."""


def to_pandas(rows: Rows) -> pandas.DataFrame:
    """A frame with a line for each row and an index from 0.

    Whole numbers are int64, truth values bool, other numbers float64, the rest text. Where a value is missing whole
    numbers are Int64 and truth values boolean, which know missing values; a float is NaN. A column of several kinds, or
    of whole numbers beyond 64 bits, is text, what is no text in it as JSON. So no count is ever rounded.

    Raises InputError where pandas is not installed, and where `rows` is no list of dicts.
    """
    frames = _library("pandas", "pandas")
    return frames.DataFrame({name: _series(frames, values) for name, values in _columns(rows).items()})


def write_parquet(rows: Rows, path: str | os.PathLike[str]) -> None:
    """Write what `to_pandas` gives to a Parquet file, whole or not at all.

    Raises InputError where pandas or pyarrow is not installed, for rows as `to_pandas`, and where `path` cannot be
    written or is something other than a file.
    """
    _library("pandas", "parquet")
    _library("pyarrow", "parquet")
    content = io.BytesIO()
    to_pandas(rows).to_parquet(content, engine="pyarrow", index=False)
    _write(path, content.getvalue())


def write_csv(rows: Rows, path: str | os.PathLike[str]) -> None:
    """Write a CSV file with a line of names, UTF-8, whole or not at all; what is missing is empty. Needs no pandas.

    Numbers have all their digits; a text that a spreadsheet would run has a quote before it (see `spreadsheet`). Raises
    InputError for rows as `to_pandas`, and for a path as `write_parquet`.
    """
    columns = _columns(rows)
    names = [columns] if columns else []
    _write(path, csv_text([*names, *zip(*columns.values(), strict=True)]).encode())


def require_table(path: str | os.PathLike[str]) -> None:
    """Raise InputError where `write_csv` or `write_parquet`, which the suffix names, could not write the path."""
    said = as_path("out", path)
    kind = said.suffix.lower()
    require(kind in SUFFIXES, "out", said, f"must end in {any_of(SUFFIXES)}")
    if kind == ".parquet":
        _library("pandas", "parquet")
        _library("pyarrow", "parquet")
    place_for("out", said)


def _columns(rows: Rows) -> dict[str, list[Any]]:
    """Values by name; None where a row has none, texts and JSON in characters that UTF-8 has."""
    require_all("rows", rows, dict)
    names = dict.fromkeys(name for row in rows for name in row)
    return {_plain("name", name): [_plain(name, row.get(name)) for row in rows] for name in names}


def _plain(name: str, value: Any) -> Any:
    """Numbers and None as they are, the rest as text; halves of characters, as odd file names have, written out."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise refused(name, type(value).__name__, "must be what JSON holds, as rows do") from error
    return text.encode("utf-8", "backslashreplace").decode()


def _series(frames: Any, values: list[Any]) -> Any:
    """Values as a column of the kind that holds them all exactly."""
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
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


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    said = as_path("out", path)
    file = place_for("out", said)
    try:
        write_whole({file: content})
    except OSError as error:
        raise refused("out", said, f"cannot be written: {error.strerror}") from error
