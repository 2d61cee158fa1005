"""The door for scipy's sparse matrices: what is inside is checked, because scipy's and our kernels trust it.

Anyone may write to the arrays of a scipy matrix, and its compiled conversions follow wrong indices out of bounds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_array, is_tensor, require

MAX_SIDE = 2**31
"""Rows and columns stay below it: indices have 32 bits."""

MAX_COLUMNS = 2**27
"""Most columns where each has a pointer."""

INVALID = (ValueError, TypeError, IndexError, AttributeError, OverflowError, ZeroDivisionError)
"""Exceptions of numpy and scipy for parts that are no arrays or do not fit each other."""

COMPRESSED = ("csr", "csc", "bsr")


def is_sparse(value: Any) -> bool:
    """True for any scipy.sparse matrix or array, without importing scipy: where there is one, scipy is loaded."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(value))


def weights_digest(weights: Any, bias: NDArray[Any] | None) -> bytes:
    """Return a digest of weights [n_out, n_in], an array or a csc_array, and their bias."""
    parts = (weights.indptr, weights.indices, weights.data) if is_sparse(weights) else (weights,)
    found = sha256(repr(weights.shape).encode())
    for array in (*parts, *(() if bias is None else (bias,))):
        found.update(np.ascontiguousarray(array).data)
    return found.digest()


def of_tensor(value: Any) -> Any:
    """A sparse torch tensor as a coo_array; anything else as it is."""
    if not is_tensor(value) or "sparse" not in str(value.layout):
        return value
    from scipy.sparse import coo_array

    if value.ndim != 2 or getattr(value, "dense_dim", lambda: 0)() > 0:
        raise InputError(f"weights=sparse tensor of shape {tuple(value.shape)}: must be a sparse matrix of numbers")
    entries = value.detach().cpu().to_sparse().coalesce()
    rows, columns = as_array("indices", entries.indices())
    return coo_array((as_array("values", entries.values()), (rows, columns)), shape=tuple(value.shape))


def require_sides(field: str, shape: tuple[int, ...], *, columns: int = MAX_SIDE - 1) -> None:
    """Raise InputError unless `shape` is (out, in), with sides below 2**31 and at most so many `columns`."""
    said = f"shape {tuple(shape)}"
    require(len(shape) == 2, field, said, "must have 2 dimensions, (out, in)")
    require(max(shape) < MAX_SIDE, field, said, "must have fewer than 2**31 rows and columns")
    require(shape[1] <= columns, field, said, f"must have at most {columns} columns")


def checked(field: str, matrix: Any) -> Any:
    """A scipy.sparse array that is safe to convert, of native bool, integers, float32 or float64; arrays may be shared.

    matrix : scipy.sparse, of any format. Its pointers and indices are checked. float16 becomes float32.

    Raises InputError for a matrix that is damaged, is not of real numbers, or has a side of 2**31 or more.
    """
    require_sides(field, matrix.shape)
    with _refusing(field):
        require(matrix.dtype.kind in "fiub", field, f"dtype {matrix.dtype}", "must hold real numbers")
        return _rebuilt(field, *_parts(matrix), shape=matrix.shape)


def from_parts(field: str, kind: str, data: Any, indices: tuple[Any, ...], shape: tuple[int, int]) -> Any:
    """The same from the arrays of a csr, csc or bsr (indices, pointers), coo (row, column) or dia (offsets) matrix."""
    with _refusing(field):
        return _rebuilt(field, kind, data, indices, shape=shape)


def as_csc(field: str, matrix: Any) -> Any:
    """A csc_array without duplicates or stored zeros that shares nothing with `matrix`; see `checked`."""
    require_sides(field, matrix.shape, columns=MAX_COLUMNS)
    csc = checked(field, matrix).tocsc(copy=True)
    csc.sum_duplicates()
    csc.eliminate_zeros()
    return csc


@contextmanager
def _refusing(field: str) -> Iterator[None]:
    """Say in one line what numpy and scipy find wrong with the parts of a matrix."""
    try:
        yield
    except InputError:
        raise
    except INVALID as error:
        raise _damaged(field, error) from None


def _damaged(field: str, reason: object) -> InputError:
    return InputError(f"{field}: not a valid sparse matrix ({' '.join(str(reason).split())[:160]})")


def _parts(matrix: Any) -> tuple[str, Any, tuple[Any, ...]]:
    """Format, values and index arrays; what keeps Python objects is turned into coo by Python."""
    if matrix.format in COMPRESSED:
        return matrix.format, matrix.data, (matrix.indices, matrix.indptr)
    if matrix.format == "dia":
        return "dia", matrix.data, (matrix.offsets,)
    if matrix.format == "lil":
        rows = np.repeat(np.arange(matrix.shape[0]), [len(row) for row in matrix.rows])
        values = np.array(list(chain.from_iterable(matrix.data)), dtype=matrix.dtype)
        return "coo", values, (rows, np.fromiter(chain.from_iterable(matrix.rows), dtype=np.int64))
    coo = matrix.tocoo(copy=False)
    return "coo", coo.data, coo.coords


def _rebuilt(field: str, kind: str, data: Any, indices: tuple[Any, ...], *, shape: tuple[int, int]) -> Any:
    from scipy import sparse

    values = _values(field, data)
    places = tuple(as_array(field, index) for index in indices)
    if not all(index.dtype.kind in "iu" for index in places):
        raise _damaged(field, "indices must be integers")
    if kind in COMPRESSED:
        _require_rising(field, places[1])
    if kind == "coo":
        return sparse.coo_array((values, places), shape=shape)
    built = getattr(sparse, f"{kind}_array")((values, *places), shape=shape)
    if kind == "dia":
        return built.tocoo()  # numpy's work, which stays in bounds
    built.check_format(full_check=True)
    return built


def _require_rising(field: str, pointers: NDArray[Any]) -> None:
    """Raise InputError if pointers fall, which scipy's own check leaves out where the last pointer is 0."""
    if pointers.ndim != 1 or (np.diff(pointers.astype(np.int64)) < 0).any() or (pointers < 0).any():
        raise _damaged(field, "pointers must be rising integers >= 0")


def _values(field: str, data: Any) -> NDArray[Any]:
    values = as_array(field, data)
    require(values.dtype.kind in "fiub", field, f"dtype {values.dtype}", "must hold real numbers")
    return values.astype(np.float32) if values.dtype == np.float16 else values


def block_diagonal(blocks: Sequence[Any]) -> Any:
    """A csc_array that has arrays [n_out, n_in] one after the other on its diagonal."""
    from scipy.sparse import block_diag, csc_array

    return csc_array(block_diag(blocks, format="csc"))


def all_zero(shape: tuple[int, int]) -> Any:
    """A csc_array that has no entries."""
    from scipy.sparse import csc_array

    return csc_array(shape, dtype=np.float32)
