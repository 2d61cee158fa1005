"""Non-zeros column by column, and the kernels that encode, decode and multiply them.

Source: Han et al. 2016, section III (interleaved compressed sparse columns).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import first_not_finite, refuse_not_finite, require_real
from eie_sim.core.errors import as_array
from eie_sim.core.jit import kernel
from eie_sim.core.sparse import MAX_COLUMNS, as_csc, is_sparse, of_tensor, require_sides


class Columns(NamedTuple):
    """Non-zeros column by column, rows ascending within a column.

    starts : int64[n_col + 1], where each column begins
    rows : int32[n_weight], global row
    values : [n_weight], weights or codes
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: NDArray[Any]


class Entries(NamedTuple):
    """Entries of a matrix, PE by PE and column by column.

    codes, gaps : uint8[n_entry]
    pe_starts : int64[n_pe + 1], where each PE's entries begin
    pointers : int32[n_col + 1, n_pe], where each column starts in that PE's entries
    """

    codes: NDArray[np.uint8]
    gaps: NDArray[np.uint8]
    pe_starts: NDArray[np.int64]
    pointers: NDArray[np.int32]


def columns_of(w: Any) -> tuple[Columns, tuple[int, int]]:
    """Non-zeros of a 2-D array, scipy.sparse matrix or tensor, column by column, and the shape (n_out, n_in)."""
    w = of_tensor(w)
    if is_sparse(w):
        sparse = as_csc("weights", w)
        return Columns(sparse.indptr.astype(np.int64), sparse.indices.astype(np.int32), sparse.data), sparse.shape
    dense = as_array("weights", w)
    require_real("weights", dense)
    require_sides("weights", dense.shape, columns=MAX_COLUMNS)
    if dense.dtype in (np.float16, np.bool_):
        dense = dense.astype(np.float32)
    if not (dense.flags.c_contiguous or dense.flags.f_contiguous):
        dense = np.ascontiguousarray(dense)
    starts = np.zeros(dense.shape[1] + 1, dtype=np.int64)
    _count_nonzeros(dense, starts)
    np.cumsum(starts, out=starts)
    rows = np.empty(starts[-1], dtype=np.int32)
    values = np.empty(starts[-1], dtype=dense.dtype)
    _fill_nonzeros(dense, starts[:-1].copy(), rows, values)
    return Columns(starts, rows, values), dense.shape


def require_finite_columns(field: str, columns: Columns) -> None:
    """Raise InputError where a non-zero is NaN or infinite; the error names row and column."""
    at = first_not_finite(field, columns.values)
    if at is not None:
        column = int(np.searchsorted(columns.starts, at, side="right")) - 1
        refuse_not_finite(field, (columns.rows[at], column), columns.values[at])


def append_column(columns: Columns, column: NDArray[Any]) -> Columns:
    """Return the columns and one more, given dense [n_row]; the type of the values is one that holds both."""
    rows = np.flatnonzero(column).astype(np.int32)
    return Columns(
        np.append(columns.starts, columns.starts[-1] + len(rows)),
        np.concatenate([columns.rows, rows]),
        np.concatenate([columns.values, column[rows]]),
    )


@kernel
def _count_nonzeros(dense, starts):
    """starts[j + 1] = non-zeros of column j."""
    for i in range(dense.shape[0]):
        for j in range(dense.shape[1]):
            starts[j + 1] += dense[i, j] != 0


@kernel
def _fill_nonzeros(dense, cursor, rows, values):
    """Rows and values of the non-zeros, column by column; cursor starts at each column's first place."""
    for i in range(dense.shape[0]):
        for j in range(dense.shape[1]):
            value = dense[i, j]
            if value != 0:
                at = cursor[j]
                rows[at] = i
                values[at] = value
                cursor[j] = at + 1


@kernel
def divmod_small(row, n_pe):
    """(row // n_pe, row % n_pe) of a row >= 0 by one division of 32 bits, which takes a third of one of 64."""
    local = np.uint32(row) // np.uint32(n_pe)
    return np.int64(local), np.int64(np.uint32(row) - local * np.uint32(n_pe))


# next_row[p] is the local row after PE p's last entry of the column, from which its next gap counts. A row is below
# 2**31, so half a row more times 1 / n_pe rounds to the PE's local row without an error that could matter; a product
# takes a fraction of the time of an integer division, and this is the inner loop of sweeps over PEs.
@kernel
def count_entries(starts, rows, reach, pointers, padding):
    """Fill column pointers and padding; an entry reaches over `reach` local rows. Returns the entries of all PEs."""
    n_pe = pointers.shape[1]
    per_pe = 1.0 / n_pe
    next_row = np.zeros(n_pe, dtype=np.int32)
    total = np.int64(0)
    for j in range(len(starts) - 1):
        next_row[:] = 0
        for p in range(n_pe):
            pointers[j + 1, p] = pointers[j, p]
        for at in range(starts[j], starts[j + 1]):
            row = rows[at]
            local = np.int32((row + 0.5) * per_pe)
            p = np.uint32(row - local * n_pe)
            gap = local - next_row[p]
            next_row[p] = local + 1
            if gap < reach:
                pointers[j + 1, p] += 1
            else:
                fillers = gap // reach
                padding[j, p] += fillers
                pointers[j + 1, p] += fillers + 1
                total += fillers
        total += starts[j + 1] - starts[j]
    return total


# cursor[p] is where PE p's next entry goes, and next_row[p] the local row after its last entry of the column. Columns
# come in order and rows ascend in each, so entries are written one after the other, and a gap is never negative.
@kernel
def fill_entries(columns, reach, entries):
    """Write codes and gaps, given zeros and the pointers of `count_entries`; padding is code 0 with the longest gap."""
    gaps, n_pe = entries.gaps, entries.pointers.shape[1]
    next_row = np.zeros(n_pe, dtype=np.int64)
    cursor = entries.pe_starts[:-1].copy()
    for j in range(len(columns.starts) - 1):
        next_row[:] = 0
        for at in range(columns.starts[j], columns.starts[j + 1]):
            local, p = divmod_small(columns.rows[at], n_pe)
            gap = local - next_row[p]
            while gap >= reach:
                gaps[cursor[p]] = reach - 1
                cursor[p] += 1
                gap -= reach
            entries.codes[cursor[p]] = columns.values[at]
            gaps[cursor[p]] = gap
            cursor[p] += 1
            next_row[p] = local + 1


@kernel
def decode(entries, dense):
    """dense[column, row] = code, by walking every PE's entries."""
    codes, pointers, n_pe = entries.codes, entries.pointers, entries.pointers.shape[1]
    for j in range(len(pointers) - 1):
        for p in range(n_pe):
            local, start = -1, entries.pe_starts[p]
            for at in range(start + pointers[j, p], start + pointers[j + 1, p]):
                local += np.int64(entries.gaps[at]) + 1
                if codes[at] != 0:
                    dense[j, local * n_pe + p] = codes[at]


@kernel
def multiply(columns, inputs, outputs):
    """outputs[v] += W @ inputs[v] in float64, skipping zero inputs."""
    for v in range(inputs.shape[0]):
        for j in range(inputs.shape[1]):
            x = inputs[v, j]
            if x != 0.0:
                for at in range(columns.starts[j], columns.starts[j + 1]):
                    outputs[v, columns.rows[at]] += columns.values[at] * x
