"""One matrix from a MatrixMarket .mtx file.

Read here in full: scipy's compiled reader was seen to write beyond its arrays on damaged files, which ends the process.
"""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.errors import InputError, require
from eie_sim.workload.arrays import as_weights, one_line, require_matrix_shape, shown

FORMATS = ("coordinate", "array")
FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")
SYMMETRIES = ("general", "symmetric", "skew-symmetric")
MAX_LINE = 2**16
MAX_COUNT_DIGITS = 18


class Header(NamedTuple):
    """What the first lines say. entries : how many lines must follow, of `numbers` numbers each."""

    format: str
    field: str
    symmetry: str
    shape: tuple[int, int]
    entries: int
    numbers: int


class Entries(NamedTuple):
    """Elements of a matrix: int64[n] rows and columns from 0, float64[n] values."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float64]


def read_mtx(path: Path) -> dict[str, Any]:
    """The matrix of a .mtx file, under the file's stem.

    Coordinate files give a csc_array, where repeated entries are added, array files a numpy array; of a pattern, which
    has no values, the csc_array holds booleans. Raises InputError.
    """
    with path.open("rb") as stream:
        header = _header(stream)
        left = path.stat().st_size - stream.tell()
        # a number takes one character and another one ends it, so the bytes left bound the entries before any is read
        most = (left + 1) // (2 * header.numbers)
        require(header.entries <= most, "entries", header.entries, f"must fit the {left} bytes left, at most {most}")
        table = _table(stream, header)
    return {path.stem: as_weights("matrix", _matrix(header, table))}


def _header(stream: IO[bytes]) -> Header:
    words = _line(stream.readline(MAX_LINE)).lower().split()
    rule = "must be %%MatrixMarket matrix, then format, field and symmetry"
    require(len(words) == 5 and words[1] == "matrix", "first line", shown(" ".join(words)), rule)
    _, _, form, field, symmetry = words
    _require_word("format", form, FORMATS)
    _require_word("field", field, FIELDS)
    _require_word("symmetry", symmetry, SYMMETRIES)
    require((form, field) != ("array", "pattern"), "field", field, "must have values in an array file")
    counts = _counts(stream)
    wanted = 3 if form == "coordinate" else 2
    require(len(counts) == wanted, "size line", shown(counts), f"must have {wanted} counts")
    n_row, n_column = counts[:2]
    require_matrix_shape("size line", (n_row, n_column))
    require(symmetry == "general" or n_row == n_column, "size line", shown(counts), f"must be square to be {symmetry}")
    if form == "coordinate":
        return Header(form, field, symmetry, (n_row, n_column), counts[2], 2 if field == "pattern" else 3)
    half = {"symmetric": n_row * (n_row + 1) // 2, "skew-symmetric": n_row * (n_row - 1) // 2}
    return Header(form, field, symmetry, (n_row, n_column), half.get(symmetry, n_row * n_column), 1)


def _require_word(name: str, word: str, known: tuple[str, ...]) -> None:
    require(word in known, name, shown(word), f"must be one of {', '.join(known)}")


def _counts(stream: IO[bytes]) -> list[int]:
    """The counts of the first line that is neither comment nor blank."""
    while line := stream.readline(MAX_LINE):
        text = _line(line).strip()
        if text and not text.startswith("%"):
            words = text.split()
            ok = all(word.isascii() and word.isdigit() and len(word) <= MAX_COUNT_DIGITS for word in words)
            require(ok, "size line", shown(text), "must hold counts")
            return [int(word) for word in words]
    raise InputError("size line: missing, the file is cut short")


def _line(line: bytes) -> str:
    require(len(line) < MAX_LINE, "line", f"{MAX_LINE} bytes or more", f"must be shorter than {MAX_LINE} bytes")
    return line.decode("latin-1")


def _table(stream: IO[bytes], header: Header) -> NDArray[np.float64]:
    """The lines after the size line, float64 [entries, numbers]; indices are exact in it."""
    filled = (line for line in stream if line.strip() and not line.lstrip().startswith(b"%"))
    lines = list(islice(filled, 1))  # numpy warns where there is none
    if not lines:
        table = np.empty((0, header.numbers))
    else:
        try:
            table = np.loadtxt(islice(chain(lines, filled), header.entries + 1), ndmin=2, encoding="latin-1")
        except (ValueError, OverflowError) as error:
            raise InputError(f"entries: {one_line(error)}") from None
    found = f"{len(table)} lines of {table.shape[1]} numbers" if len(table) <= header.entries else "more lines"
    shape = (header.entries, header.numbers)
    require(table.shape == shape, "entries", found, f"must be {shape[0]} lines of {shape[1]}, by the first lines")
    return table


def _matrix(header: Header, table: NDArray[np.float64]) -> Any:
    if header.format == "array" and header.symmetry == "general":
        return table.reshape(header.shape, order="F")
    entries = _mirrored(_triangle(header, table) if header.format == "array" else _coordinates(header, table), header)
    from scipy.sparse import coo_array

    matrix = coo_array((entries.values, (entries.rows, entries.columns)), shape=header.shape)
    if header.field == "pattern":
        return matrix.astype(np.bool_)
    return matrix.toarray() if header.format == "array" else matrix


def _triangle(header: Header, table: NDArray[np.float64]) -> Entries:
    """The lower triangle, which an array file of a symmetric matrix lists column by column."""
    columns, rows = np.triu_indices(header.shape[0], 0 if header.symmetry == "symmetric" else 1)
    return Entries(rows, columns, table[:, 0])


def _coordinates(header: Header, table: NDArray[np.float64]) -> Entries:
    for axis, n in enumerate(header.shape):
        index = table[:, axis]
        wrong = np.flatnonzero(~((index >= 1) & (index <= n) & (index == np.floor(index))))
        if wrong.size:
            name = ("row", "column")[axis]
            raise InputError(f"{name} of entry {wrong[0] + 1}={index[wrong[0]]:g}: must be an integer in 1..{n}")
    values = np.ones(len(table)) if header.field == "pattern" else table[:, 2]
    return Entries(table[:, 0].astype(np.int64) - 1, table[:, 1].astype(np.int64) - 1, values)


def _mirrored(entries: Entries, header: Header) -> Entries:
    """Both triangles of a symmetric matrix, of which the file holds one."""
    if header.symmetry == "general":
        return entries
    rows, columns, values = entries
    across = rows != columns
    other = values[across] if header.symmetry == "symmetric" else -values[across]
    return Entries(
        np.concatenate([rows, columns[across]]),
        np.concatenate([columns, rows[across]]),
        np.concatenate([values, other]),
    )
