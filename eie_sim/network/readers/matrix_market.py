"""One matrix from a MatrixMarket .mtx file.

Read here in full: scipy's compiled reader was seen to write beyond its arrays on damaged files, which ends the process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import MAX_NUMBERS, as_weights, one_line, require_matrix_shape, shown
from eie_sim.core.errors import InputError, require
from eie_sim.network.readers.unpacked import opened

BANNER = re.compile(rb"\s*%%?matrixmarket", re.IGNORECASE)
"""First bytes of a file; some have blanks before it, or one % only."""

FORMATS = ("coordinate", "array")
FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")
SYMMETRIES = {"general": 0, "symmetric": 1, "hermitian": 1, "skew-symmetric": -1}
"""The other triangle as a factor of the one in the file; 0 where the file has both."""

MAX_LINE = 2**16
MAX_COUNT_DIGITS = 18
BLOCK_BYTES = 2**20
"""Text that is turned into numbers at a time; as Python's lines it takes some ten times as much."""

FORTRAN = str.maketrans("dD", "eE")
"""Fortran writes 15 as 1.5D+01."""


class Header(NamedTuple):
    """The header of a file.

    mirrored : factor of the triangle that the file leaves out, 0 where it has both
    entries : how many lines must follow, of `numbers` numbers each
    lines : how many lines the header itself has
    """

    format: str
    field: str
    mirrored: int
    shape: tuple[int, int]
    entries: int
    numbers: int
    lines: int


def read_mtx(path: Path, name: str) -> dict[str, Any]:
    """The matrix of a .mtx file, packed by gzip or not, as `name`.

    Coordinate files give a csc_array, where repeated entries are added, array files a numpy array; of a pattern, which
    has no values, the csc_array holds booleans. Raises InputError.
    """
    with opened(path) as (stream, most):
        header = _header(stream)
        left = most - stream.tell()
        # a number takes one character and another one ends it, so the bytes left bound the entries before any is read
        fit = (left + 1) // (2 * header.numbers)
        require(header.entries <= fit, "entries", header.entries, f"must fit the {left} bytes left, at most {fit}")
        tables = _tables(stream, header, left)
        matrix = _dense(header, tables) if header.format == "array" else _sparse(header, tables)
    return {name: as_weights("matrix", matrix)}


def _header(stream: IO[bytes]) -> Header:
    lines = enumerate(_lines(stream), start=1)
    words = next((text for _, text in lines if text), "").lower().split()
    rule = "must be %%MatrixMarket matrix, then format, field and symmetry"
    right = len(words) == 5 and BANNER.fullmatch(words[0].encode()) is not None and words[1] == "matrix"
    require(right, "first line", shown(" ".join(words)), rule)
    _, _, form, field, symmetry = words
    _require_word("format", form, FORMATS)
    require(field != "complex", "field", field, "must be real, complex numbers are not simulated")
    _require_word("field", field, FIELDS)
    _require_word("symmetry", symmetry, tuple(SYMMETRIES))
    require((form, field) != ("array", "pattern"), "field", field, "must have values in an array file")
    at, sizes = next(((at, text) for at, text in lines if text and not text.startswith("%")), (0, ""))
    if at == 0:
        raise InputError("size line: missing, the file is cut short")
    counts = _counts(sizes)
    wanted = 3 if form == "coordinate" else 2
    require(len(counts) == wanted, "size line", shown(counts), f"must have {wanted} counts")
    n_row, n_column = counts[:2]
    require_matrix_shape("size line", (n_row, n_column))
    require(symmetry == "general" or n_row == n_column, "size line", shown(counts), f"must be square to be {symmetry}")
    mirrored = SYMMETRIES[symmetry]
    if form == "coordinate":
        return Header(form, field, mirrored, (n_row, n_column), counts[2], 2 if field == "pattern" else 3, at)
    entries = n_row * n_column if mirrored == 0 else n_row * (n_row + mirrored) // 2
    return Header(form, field, mirrored, (n_row, n_column), entries, 1, at)


def _require_word(name: str, word: str, known: tuple[str, ...]) -> None:
    require(word in known, name, shown(word), f"must be one of {', '.join(known)}")


def _lines(stream: IO[bytes]) -> Iterator[str]:
    while line := stream.readline(MAX_LINE):
        _require_short(line)
        yield line.decode("latin-1").strip()


def _require_short(line: bytes) -> None:
    require(len(line) < MAX_LINE, "line", f"{MAX_LINE} bytes or more", f"must be shorter than {MAX_LINE} bytes")


def _counts(text: str) -> list[int]:
    words = text.split()
    ok = all(word.isascii() and word.isdigit() and len(word) <= MAX_COUNT_DIGITS for word in words)
    require(ok, "size line", shown(text), "must hold counts")
    return [int(word) for word in words]


def _tables(stream: IO[bytes], header: Header, left: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The lines after the size line, float64 [n, numbers] with their places among all; indices are exact in it."""
    found, line = 0, header.lines
    for block in _blocks(stream, left):
        table = _table(block, header.numbers, line)
        rule = f"must be {header.entries} lines, by the size line"
        require(found + len(table) <= header.entries, "entries", "more lines", rule)
        yield slice(found, found + len(table)), table
        found += len(table)
        line += block.count(b"\n") + 1
    require(found == header.entries, "entries", f"{found} lines", f"must be {header.entries}, by the size line")


def _blocks(stream: IO[bytes], left: int) -> Iterator[bytes]:
    """Text of at most `left` bytes in pieces of whole lines, without the end of the last one."""
    rest = b""
    while piece := stream.read(BLOCK_BYTES):
        left -= len(piece)
        require(left >= 0, "size", "more", "must be what the file's packed bytes can hold, and below the limit")
        whole, _, rest = (rest + piece).rpartition(b"\n")
        _require_short(rest)
        yield whole
    yield rest


def _table(block: bytes, numbers: int, before: int) -> NDArray[np.float64]:
    """The numbers of some lines, `before` which the file has as many others; blank lines and comments left out."""
    text = block.decode("latin-1").translate(FORTRAN)
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("%")]
    if not lines:  # numpy warns where there is none
        return np.empty((0, numbers))
    try:
        table = np.loadtxt(lines, ndmin=2, comments=None)
    except (ValueError, OverflowError) as error:
        raise _wrong_line(block, numbers, before) or InputError(f"entries: {one_line(error)}") from None
    if table.shape[1] != numbers:
        raise _wrong_line(block, numbers, before) or InputError("entries: damaged")
    return table


def _wrong_line(block: bytes, numbers: int, before: int) -> InputError | None:
    """Return an error for the first of some lines that does not hold its numbers and nothing else."""
    for at, line in enumerate(block.decode("latin-1").split("\n"), start=before + 1):
        words = line.split()
        if words and not words[0].startswith("%") and not (len(words) == numbers and all(map(_is_number, words))):
            return InputError(f"line {at}={shown(line.strip())}: must hold {numbers} numbers and nothing else")
    return None


def _is_number(word: str) -> bool:
    try:
        float(word.translate(FORTRAN))
    except ValueError:
        return False
    return word.isascii() and "_" not in word


def _dense(header: Header, tables: Iterator[tuple[slice, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """The matrix of an array file, which lists columns, or, of a matrix that is mirrored, its lower triangle's."""
    n_row, n_column = header.shape
    require(
        n_row * n_column <= MAX_NUMBERS, "size line", f"{n_row} {n_column}", f"must be at most {MAX_NUMBERS} numbers"
    )
    listed = np.empty(header.entries)
    for place, table in tables:
        listed[place] = table[:, 0]
    if header.mirrored == 0:
        return listed.reshape(header.shape, order="F")
    matrix = np.zeros(header.shape)
    end = 0
    for column in range(n_column):
        first = column if header.mirrored == 1 else column + 1
        begin, end = end, end + n_row - first
        matrix[first:, column] = listed[begin:end]
        matrix[column, first:] = header.mirrored * listed[begin:end]
    return matrix


def _sparse(header: Header, tables: Iterator[tuple[slice, NDArray[np.float64]]]) -> Any:
    """The matrix of a coordinate file, as coo_array; both triangles where the file has one."""
    from scipy.sparse import coo_array

    n, room = header.entries, header.entries if header.mirrored == 0 else 2 * header.entries
    pattern = header.field == "pattern"
    rows, columns = np.empty((2, room), dtype=np.int32)  # which hold every index below MAX_SIDE
    values = np.ones(room, dtype=np.bool_) if pattern else np.empty(room)
    for place, table in tables:
        for axis, indices in enumerate((rows, columns)):
            indices[place] = _checked(header, axis, table[:, axis], place.start) - 1
        if not pattern:
            values[place] = table[:, 2]
    if header.mirrored == 0:
        return coo_array((values, (rows, columns)), shape=header.shape)
    across = np.flatnonzero(rows[:n] != columns[:n])
    end = n + len(across)
    rows[n:end], columns[n:end] = columns[across], rows[across]
    if not pattern:
        values[n:end] = header.mirrored * values[across]
    return coo_array((values[:end], (rows[:end], columns[:end])), shape=header.shape)


def _checked(header: Header, axis: int, index: NDArray[np.float64], before: int) -> NDArray[np.float64]:
    """Indices that are whole and within the matrix."""
    n = header.shape[axis]
    wrong = np.flatnonzero(~((index >= 1) & (index <= n) & (index == np.floor(index))))
    if wrong.size:
        name = ("row", "column")[axis]
        raise InputError(f"{name} of entry {before + wrong[0] + 1}={index[wrong[0]]:g}: must be an integer in 1..{n}")
    return index
