"""One sparsity pattern from a .smtx file of the Deep Learning Matrix Collection (Gale et al. 2020).

Three lines: `rows, cols, nnz`; rows + 1 offsets; nnz column indices, row by row. There are no values.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import as_weights, require_matrix_shape, shown
from eie_sim.core.errors import InputError, require
from eie_sim.network.readers.unpacked import opened

MAX_DIGITS = 18
COMMENTS = (b"%", b"#")


def read_smtx(path: Path, name: str) -> dict[str, Any]:
    """The pattern of a .smtx file, packed by gzip or not, as `name`: a csc_array of booleans [rows, cols].

    Blank lines, and lines that begin with % or #, say nothing. Raises InputError.
    """
    with opened(path) as (stream, most):
        lines = _lines(stream, most)
    require(len(lines) > 0, "lines", 0, "must be 3, the file is cut short")
    n_row, n_col, n_stored = _counts(lines[0])
    wanted = 3 if n_stored else 2  # the line of no indices is blank
    require(len(lines) >= wanted, "lines", len(lines), f"must be {wanted}, the file is cut short")
    require(len(lines) == wanted, "lines", f"{wanted + 1} or more", f"must be {wanted}")
    require_matrix_shape("first line", (n_row, n_col))
    offsets = _integers("offsets", lines[1], n_row + 1)
    indices = _integers("column indices", lines[2] if n_stored else b"", n_stored)
    _check_offsets(offsets, n_stored)
    _check_indices(indices, offsets, n_col)
    return {name: _pattern(indices, offsets, (n_row, n_col))}


def _lines(stream: IO[bytes], most: int) -> list[bytes]:
    """The lines that say something, up to the fourth, of `most` bytes in all."""
    lines: list[bytes] = []
    total = 0
    while len(lines) <= 3 and (line := stream.readline(most + 1)):
        total += len(line)
        require(total <= most, "size", "more", f"must be at most {most} bytes")
        line = line.strip()
        if line and not line.startswith(COMMENTS):
            lines.append(line)
    return lines


def _counts(line: bytes) -> list[int]:
    words = line.replace(b",", b" ").split()
    ok = len(words) == 3 and all(word.isdigit() and len(word) <= MAX_DIGITS for word in words)
    require(ok, "first line", shown(line.decode("latin-1")), "must be rows, cols, nnz")
    return [int(word) for word in words]


def _integers(field: str, line: bytes, count: int) -> NDArray[np.int64]:
    """Exactly `count` integers >= 0 of a line, separated by spaces; the line's length bounds them beforehand."""
    most = (len(line) + 1) // 2
    require(count <= most, field, count, f"must fit their line of {len(line)} bytes, at most {most}")
    odd = line.translate(None, b"0123456789 \t\r")
    require(not odd, field, shown(odd[:20].decode("latin-1")), "must be digits and spaces")
    short = re.search(rb"\d{%d}" % (MAX_DIGITS + 1), line) is None
    require(short, field, "too long", f"must have at most {MAX_DIGITS} digits")
    found = np.fromstring(line, dtype=np.int64, sep=" ") if line else np.empty(0, dtype=np.int64)
    require(len(found) == count, field, f"{len(found)} numbers", f"must be {count} numbers")
    return found


def _check_offsets(offsets: NDArray[np.int64], n_stored: int) -> None:
    require(offsets[0] == 0, "offsets[0]", offsets[0], "must be 0")
    require(offsets[-1] == n_stored, f"offsets[{len(offsets) - 1}]", offsets[-1], f"must be nnz, {n_stored}")
    falls = np.flatnonzero(np.diff(offsets) < 0)
    if falls.size:
        at = int(falls[0])
        raise InputError(f"offsets[{at + 1}]={offsets[at + 1]}: must be at least the one before, {offsets[at]}")


def _check_indices(indices: NDArray[np.int64], offsets: NDArray[np.int64], n_col: int) -> None:
    beyond = np.flatnonzero(indices >= n_col)
    if beyond.size:
        at = int(beyond[0])
        raise InputError(f"column indices[{at}]={indices[at]}: must be below {n_col} columns")
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((indices, row))
    again = np.flatnonzero((np.diff(indices[order]) == 0) & (np.diff(row[order]) == 0))
    if again.size:
        at = int(order[again[0] + 1])
        raise InputError(f"column indices[{at}]={indices[at]}: stands twice in row {row[at]}")


def _pattern(indices: NDArray[np.int64], offsets: NDArray[np.int64], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return as_weights("pattern", csr_array((np.ones(len(indices), dtype=np.bool_), indices, offsets), shape=shape))
