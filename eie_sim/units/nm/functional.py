"""Products of tensor cores, without time: int8 to the bit, float16 within a derived bound.

D[n_out, n_vector] = A[n_out, n_in] @ B[n_in, n_vector], where A is N:M (N is the number **kept** in each group of M).
Only kept values are multiplied; the position of each selects the row of B.

int8 : products and sums in int32; which order they are taken in does not show, as int32 wraps round: a sum that leaves
    it on the way and comes back is right. One that ends beyond it is an error.
float16 : both factors are float16 and products float32. A product of two float16 has at most 22 significant bits and
    is at least 2**-48, so it is exact in float32. Each output is one float32 sum that starts at 0 and takes the
    products of its row in ascending place, rounded to nearest after each. The result is the same on every machine: a
    fused multiply-add could change nothing. No vendor says in which order a tensor core adds or how it rounds, so a
    real one differs within bounds of this kind.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require, require_type
from eie_sim.core.jit import kernel
from eie_sim.units.nm.matrix import NmMatrix, as_dense, as_float16, as_int8, require_finite

MAX_OUTPUTS = 2**28
"""Outputs of one product."""

MAX_SUM = 2**31 - 1
"""Largest sum that int32 holds."""

FLOAT16_UNIT, FLOAT16_TINY = 2.0**-11, 2.0**-25
"""Rounding x to float16 changes it by at most unit * abs(x), or by half the smallest step where it is subnormal."""

FLOAT32_UNIT = 2.0**-24
"""Relative error of one rounded float32 sum."""

STRIP = 2**18
"""Dense weights that are checked at a time, so that they stay in the cache."""

FEW, MOST_TURNED = 4, 2**22
"""Vectors, and kept values, up to which sums are taken with turned weights, column by column."""

KEPT_BLOCK, VECTOR_BLOCK = 64, 512
"""Kept values and vectors that a kernel takes at a time, so that the rows of B they use stay in the core's cache."""


def multiply(matrix: NmMatrix, b: ArrayLike) -> NDArray[Any]:
    """`matrix` [n_out, n_in] times b [n_in, n_vector]: int32 of an int8 matrix, float32 of a float16 one.

    matrix : N:M, N kept of each M; only the kept values are multiplied
    b : integers in -128..127 for an int8 matrix; finite numbers for a float16 one, which are rounded to float16

    Raises InputError for a wrong shape or type, for values that do not fit the type, and for a sum beyond int32.
    """
    return product(matrix, _inputs(matrix, b))


def product(matrix: NmMatrix, inputs: NDArray[Any]) -> NDArray[Any]:
    """Return `multiply` for inputs [n_in, n_vector] that are of the matrix's type, finite and in C order."""
    most = f"must give at most {MAX_OUTPUTS} outputs"
    require(matrix.n_out * inputs.shape[1] <= MAX_OUTPUTS, "b", f"{inputs.shape[1]} vectors", most)
    if matrix.element == "float16":
        if 0 < inputs.shape[1] <= FEW and matrix.n_out * matrix.n_kept <= MOST_TURNED:
            return _sums_of_few(matrix, _widened(inputs))
        return _sums(matrix, _widened(matrix.values), _widened(inputs), np.float32)
    largest = int(np.abs(inputs, dtype=np.int16).max(initial=0))
    if matrix.n_kept * 128 * largest > MAX_SUM:  # only then can a sum be, whatever the weights are
        _require_int32(_sums(matrix, matrix.values, inputs, np.int64))
    return _sums(matrix, matrix.values, inputs, np.int32)


def error_bound(matrix: NmMatrix, b: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return how far `multiply` of a float16 matrix can be from a dense float64 product, float64[n_out, n_vector].

    b : [n_in, n_vector], as `multiply` takes it; weights : [n_out, n_in], what the matrix was made from, without which
    its own float16 values are meant. The bound is on multiply(matrix, b) - weights @ b, taken in float64.

    Let w and x be weights and b, v and y the same in float16, and dw = u abs(w) + t, dx = u abs(x) + t with u = 2**-11
    and t = 2**-25: abs(v - w) <= dw and abs(y - x) <= dx, both 0 for what is 0 or float16 already.

    * rounding of factors: abs(v y - w x) <= abs(w) dx + dw (abs(x) + dx)
    * sums in float32: n products, exact, in n - 1 rounded additions (the first, to 0, is exact): at most
      g sum(abs(v y)), g = (n - 1) e / (1 - (n - 1) e), e = 2**-24 (Higham 2002, section 4.2), n the kept of a row
    * the float64 product itself, n_in products and sums: (n_in + 1) 2**-53 sum(abs(w x)), here doubled

    Raises InputError as `multiply` does, for an int8 matrix, whose product is exact, and for weights of another shape.
    """
    given = as_array("b", b)
    inputs = _inputs(matrix, given)
    require(matrix.element == "float16", "matrix", matrix.element, "must be float16; the product of int8 is exact")
    require(matrix.n_kept < 1 / FLOAT32_UNIT, "n_kept", matrix.n_kept, "must be below 2**24 for the bound to exist")
    added = max(matrix.n_kept - 1, 0) * FLOAT32_UNIT
    growth, of_float64 = added / (1 - added), 2 * (matrix.n_in + 1) * 2.0**-53
    y, x, dx = _size(inputs), _size(given), _rounding(given)
    if weights is None:  # only what is kept has a share
        return _sums(matrix, np.abs(_widened(matrix.values)), dx + growth * y + of_float64 * x, np.float64)
    dense = as_dense("weights", weights)
    require(dense.shape == matrix.shape, "weights", f"shape {dense.shape}", f"must be {matrix.shape}")
    require_finite("weights", dense)
    w, dw, v = _size(dense), _rounding(dense), _size(matrix.decode())
    return w @ dx + dw @ (x + dx) + growth * (v @ y) + of_float64 * (w @ x)


def wrong_outputs(matrix: NmMatrix, b: ArrayLike, output: NDArray[Any] | None = None) -> int:
    """Count outputs that are not those of the dense product: other integers, or floats beyond `error_bound`.

    b : [n_in, n_vector], as `multiply` takes it
    output : [n_out, n_vector], what is checked; `multiply(matrix, b)` when left out

    The dense product is that of the decoded weights in float64, which holds all sums of int8, a few rows at a time.
    Raises InputError as `multiply` does, and for an output of another shape.
    """
    given = as_array("b", b)
    expected = matrix.n_out, _inputs(matrix, given).shape[1]
    product = multiply(matrix, given) if output is None else as_array("output", output)
    require(product.shape == expected, "output", f"shape {product.shape}", f"must be {expected}")
    allowed = np.zeros(expected) if matrix.element == "int8" else error_bound(matrix, given)
    dense, exact, wrong = matrix.decode(), given.astype(np.float64), 0
    step = max(1, STRIP // max(matrix.n_in, 1))
    for first in range(0, matrix.n_out, step):
        rows = slice(first, first + step)
        error = np.abs(product[rows] - dense[rows] @ exact)
        wrong += int(np.count_nonzero(~(error <= allowed[rows])))
    return wrong


def _rounding(values: NDArray[Any]) -> NDArray[np.float64]:
    """Most that rounding to float16 changes `values` by."""
    if values.dtype == np.float16:
        return np.zeros(values.shape)
    size = _size(values)
    return np.where(size > 0, FLOAT16_UNIT * size + FLOAT16_TINY, 0.0)


def _size(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.abs(values.astype(np.float64))


def _inputs(matrix: NmMatrix, b: ArrayLike) -> NDArray[Any]:
    """The activations in the type of the matrix, checked and in C order."""
    require_type("matrix", matrix, NmMatrix)
    given = as_array("b", b)
    ok = given.ndim == 2 and given.shape[0] == matrix.n_in
    require(ok, "b", f"shape {given.shape}", f"must be (n_in, n_vector) with n_in={matrix.n_in}")
    n_output = matrix.n_out * given.shape[1]
    require(n_output <= MAX_OUTPUTS, "b", f"{given.shape[1]} vectors", f"must give at most {MAX_OUTPUTS} outputs")
    rounded = as_int8("b", given) if matrix.element == "int8" else as_float16("b", given)
    return np.ascontiguousarray(rounded)


def _widened(values: NDArray[np.float16]) -> NDArray[np.float32]:
    """The same values in float32, by table: numpy takes longer than the product itself for small b."""
    wide = np.empty(values.shape, dtype=np.float32)
    _look_up(values.view(np.uint16).reshape(-1), _every_float16(), wide.reshape(-1))
    return wide


@cache
def _every_float16() -> NDArray[np.float32]:
    return np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


@kernel
def _look_up(codes, table, out):
    """out[i] = table[codes[i]]"""
    for i in range(len(codes)):
        out[i] = table[codes[i]]


def _require_int32(sums: NDArray[np.int64]) -> None:
    beyond = (sums > MAX_SUM) | (sums < -MAX_SUM - 1)
    if beyond.any():
        row, vector = np.unravel_index(int(np.argmax(beyond)), sums.shape)
        said = f"output[{row}, {vector}]={sums[row, vector]}"
        raise InputError(f"{said}: overflows the int32 accumulator, which holds {-MAX_SUM - 1} to {MAX_SUM}")


def _sums(matrix: NmMatrix, values: NDArray[Any], b: NDArray[Any], kind: Any) -> NDArray[Any]:
    """Products and sums in numbers of `kind`, which the values are made; b may be narrower.

    Positions that fill up the last group point beyond b, which gets rows of zeros there.
    """
    if matrix.n_filled:
        b = np.pad(b, ((0, matrix.n_filled), (0, 0)))
    starts = (np.arange(matrix.n_kept) // matrix.n_keep * matrix.m_group).astype(np.uint32)
    sums = np.zeros((matrix.n_out, b.shape[1]), dtype=kind)
    _add_products(values.astype(kind, copy=False), matrix.positions, starts, b, sums)
    return sums


def _sums_of_few(matrix: NmMatrix, b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same sums of few vectors, as each step of a sequence has."""
    if matrix.n_filled:
        b = np.pad(b, ((0, matrix.n_filled), (0, 0)))
    sums = np.zeros((b.shape[1], matrix.n_out), dtype=np.float32)
    dense = matrix.n_keep == matrix.m_group
    (_add_dense_columns if dense else _add_columns)(*matrix.turned, np.ascontiguousarray(b.T), sums)
    return sums.T


@kernel
def _add_columns(values, rows, b, sums):
    """sums[v, i] += values[k, i] * b[v, rows[k, i]], k ascending: the order of each sum is that of `_add_products`."""
    for v in range(len(b)):
        mine, read = sums[v], b[v]
        for k in range(len(values)):
            for i in range(values.shape[1]):
                mine[i] += values[k, i] * read[rows[k, i]]


@kernel
def _add_dense_columns(values, rows, b, sums):
    """The same where every row of a column stands at one place."""
    for v in range(len(b)):
        mine = sums[v]
        for k in range(len(values)):
            one = b[v, k]
            for i in range(values.shape[1]):
                mine[i] += values[k, i] * one


# Before k, sums[row, j] holds the products of all k before, in ascending order, whatever the blocks. Blocks are for the
# cache, and four products at a time load and store a sum a quarter as often; neither changes the order. Indices are
# unsigned, which saves numba's check for negative ones.
@kernel
def _add_products(values, positions, starts, b, sums):
    """sums[row] += values[row, k] * b[starts[k] + positions[row, k]], k ascending; group of k begins at starts[k]."""
    n_kept, n_vector = values.shape[1], b.shape[1]
    for left in range(0, n_vector, VECTOR_BLOCK):
        low, high = np.uint64(left), np.uint64(min(left + VECTOR_BLOCK, n_vector))
        for first in range(0, n_kept, KEPT_BLOCK):
            last = min(first + KEPT_BLOCK, n_kept)
            whole = last - (last - first) % 4
            for row in range(values.shape[0]):
                for k in range(first, whole, 4):
                    v0, v1, v2, v3 = values[row, k], values[row, k + 1], values[row, k + 2], values[row, k + 3]
                    i0 = starts[k] + positions[row, k]
                    i1 = starts[k + 1] + positions[row, k + 1]
                    i2 = starts[k + 2] + positions[row, k + 2]
                    i3 = starts[k + 3] + positions[row, k + 3]
                    for j in range(low, high):
                        sums[row, j] = sums[row, j] + v0 * b[i0, j] + v1 * b[i1, j] + v2 * b[i2, j] + v3 * b[i3, j]
                for k in range(whole, last):
                    v = values[row, k]
                    i = starts[k] + positions[row, k]
                    for j in range(low, high):
                        sums[row, j] += v * b[i, j]
