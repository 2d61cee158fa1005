"""The oracle: plain numpy on the non-zeros, row by row, sharing no code with the models it judges.

It reads the stored entries and repeats the rules of the arithmetic on its own, so that runs that saturate agree too,
and gives the float result and how far the integer result may be from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

AT_ONCE = 2**15
"""Products, or weights, taken at once, so that they stay in the cache; more where a single row has more."""

MANY = 16
"""Vectors from which on they are taken side by side."""

SPARSE = 32
"""If fewer than one weight in so many is not 0, sums over those are faster than a product of matrices."""

MAX_DENSE = 2**20
"""Most weights that are held dense at once, where a row has no more."""

Products = Callable[[NDArray[np.uint8], NDArray[np.int32]], NDArray[np.int64]]
"""Raw products int64[n_vector, n] of codes and columns."""


class NonZeros(NamedTuple):
    """Non-zeros of a matrix, row by row and by ascending column in a row.

    shape : (n_out, n_column), a bias being the last column
    starts : int64[n_out + 1], where each row begins; columns : int32[n]; values : [n], codes or weights
    """

    shape: tuple[int, int]
    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]


class Golden(NamedTuple):
    """Result of the oracle for a batch of vectors.

    output : int64[n_vector, n_out], raw accumulators
    saturated : bool[n_vector, n_out], True where an accumulator was clamped on the way
    real : float64[n_vector, n_out], the product in floats
    bound : float64[n_vector, n_out]; where nothing was clamped, the value of the output is within it of `real`
    x : float64[n_vector, n_column], the inputs as real values: 0 where one takes no part, 1.0 for a bias
    """

    output: NDArray[np.int64]
    saturated: NDArray[np.bool_]
    real: NDArray[np.float64]
    bound: NDArray[np.float64]
    x: NDArray[np.float64]


class Terms(NamedTuple):
    """Terms that outputs are sums of: products of the value of a code and that of an input.

    word : int64[n_code]; x_raw : int64[n_vector, n_column]; (word * x_raw + half) >> shift is added to an accumulator
        of -limit..limit - 1
    codebook : float64[n_code]; x : float64[n_vector, n_column]; the same as real values
    errors : ((float64[n_code], float64[n_vector, n_column]), ...); how far one product may be from the other is the sum
        of their products
    """

    word: NDArray[np.int64]
    x_raw: NDArray[np.int64]
    half: int
    shift: int
    limit: int
    codebook: NDArray[np.float64]
    x: NDArray[np.float64]
    errors: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]


class Arithmetic(NamedTuple):
    """The rules: fractional bits of weight, activation and accumulator, and the settings of the datapath."""

    weight: int
    activation: int
    accumulator: int
    accumulator_bits: int
    rounding: str
    active: str


def decoded(
    codes: NDArray[np.uint8],
    gaps: NDArray[np.uint8],
    pe_starts: NDArray[np.int64],
    pointers: NDArray[np.integer],
    n_out: int,
) -> NonZeros:
    """The codes that the entries of all PEs store, uint8, from the entries and pointers alone.

    codes, gaps : uint8[n_entry]; pe_starts : int64[n_pe + 1]; pointers : integers [n_column + 1, n_pe]

    Within a column an entry of PE p is gap + 1 rows of that PE below the one before, and row i of it is row i * n_pe +
    p. Code 0 is padding. Raises ValueError for an entry outside the matrix.
    """
    n_column = len(pointers) - 1
    work = max(len(codes), pointers.size)
    strip = max(1, n_column * AT_ONCE // max(work, 1))
    found = [
        _decoded_columns(codes, gaps, pe_starts, pointers[at : at + strip + 1], at)
        for at in range(0, max(n_column, 1), strip)
    ]
    row, column, code = (np.concatenate(parts) for parts in zip(*found, strict=True))
    del found
    if row.max(initial=0) >= n_out:
        raise ValueError(f"row {row.max()} is outside a matrix of {n_out} rows")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_out))])
    # Columns ascend already. numpy sorts 16 bits by radix, in a tenth of the time.
    order = np.argsort(row.astype(np.uint16) if n_out <= 2**16 else row, kind="stable")
    return NonZeros((n_out, n_column), starts, column[order], code[order])


def _decoded_columns(
    codes: NDArray[np.uint8],
    gaps: NDArray[np.uint8],
    pe_starts: NDArray[np.int64],
    pointers: NDArray[np.integer],
    offset: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
    """Rows, columns and codes of some columns, the first of which is `offset`, by column."""
    n_pe = len(pe_starts) - 1
    column, pe = np.divmod(np.flatnonzero(pointers[1:] != pointers[:-1]), n_pe)  # where there are entries
    first = pointers[column, pe] + pe_starts[pe]
    count = pointers[column + 1, pe] + pe_starts[pe] - first
    before = np.cumsum(count) - count
    at = np.arange(count.sum()) + np.repeat(first - before, count)
    steps = np.concatenate([[0], np.cumsum(gaps[at] + np.int64(1))])
    row = steps[1:] * n_pe - np.repeat((steps[before] + 1) * n_pe - pe, count)
    code = codes[at]
    kept = np.flatnonzero(code)
    return row[kept].astype(np.int32), np.repeat(column + offset, count)[kept].astype(np.int32), code[kept]


def nonzeros(weights: Any) -> NonZeros:
    """The non-zeros of weights [n_out, n_column], dense or scipy.sparse."""
    if hasattr(weights, "tocsr"):
        csr = weights.tocsr(copy=True)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        return NonZeros(csr.shape, csr.indptr.astype(np.int64), csr.indices.astype(np.int32), csr.data)
    dense = np.asarray(weights)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(dense, axis=1))])
    flat = dense.reshape(-1)
    places = np.flatnonzero(flat)
    return NonZeros(dense.shape, starts, (places % dense.shape[1]).astype(np.int32), flat[places])


def matmul(stored: NonZeros, codebook: NDArray[np.float64], activations: ArrayLike, rules: Arithmetic) -> Golden:
    """Multiply stored codes by activations [n_vector, n_in], n_in being n_column, or one less before a bias.

    codebook : float64[n_code], value of each code
    activations : floats, or raw 16-bit integers of `rules.activation` fractional bits

    The bound adds, item by item, w x - w' x' = (w - w') x + w' (x - x'), each with the error it really has, and
    one unit of the accumulator for every product that is shifted (half of one when rounding to nearest).

    Few vectors are taken row after row, many of them side by side; both repeat the same rules, each in its own way.
    """
    given = terms(stored, codebook, activations, rules)
    return (row_after_row if len(given.x) < MANY else side_by_side)(stored, given)


def row_after_row(stored: NonZeros, given: Terms) -> Golden:
    """Each output by itself: running sums of its products in int64, and clamps only where one leaves the range."""
    n_vector, limit = len(given.x), given.limit

    def products(code: NDArray[np.uint8], columns: NDArray[np.int32]) -> NDArray[np.int64]:
        shifted: NDArray[np.int64] = (given.word[code] * given.x_raw[:, columns] + given.half) >> given.shift
        return shifted

    output, saturated = np.zeros((n_vector, stored.shape[0]), np.int64), np.zeros((n_vector, stored.shape[0]), np.bool_)
    real, bound = np.zeros(output.shape), np.zeros(output.shape)
    driven = _driven(stored, given.x)
    for rows, first, columns, code in _parts(driven, n_vector):
        output[:, rows], saturated[:, rows] = _sums(products(code, columns), first, limit)
        real[:, rows] = np.add.reduceat(given.codebook[code] * given.x[:, columns], first, axis=1)
        (of_magnitude, magnitude), (of_rounded, rounded), (_, floored) = given.errors
        error = of_magnitude[code] * magnitude[:, columns] + of_rounded[code] * rounded[:, columns]
        bound[:, rows] = np.add.reduceat(error + floored[:, columns], first, axis=1)
    clamped = np.flatnonzero(saturated.any(axis=0))
    output[:, clamped] = _clamped_sums(driven, clamped, products, n_vector, limit)
    return Golden(output, saturated, real, bound, given.x)


def side_by_side(stored: NonZeros, given: Terms) -> Golden:
    """All vectors of many rows at once: the next product of each row, a sum, and a clamp where one leaves the range.

    In int32 where all that is between fits: products of words are up to 2**30, half a unit of 30 bits is 2**29, and
    accumulators of 24 bits and a product are below 2**31. The range is looked at only once sums could have left it.
    """
    limit, kind = given.limit, np.int32 if given.limit < 2**30 and given.shift <= 30 else np.int64
    word, x = given.word.astype(kind)[stored.values], np.ascontiguousarray(given.x_raw.T, dtype=kind)
    largest = (int(np.abs(given.word).max()) * int(np.abs(x).max(initial=0)) >> given.shift) + 1
    n_vector, n_out = len(given.x), stored.shape[0]
    output, saturated = np.zeros((n_vector, n_out), np.int64), np.zeros((n_vector, n_out), np.bool_)
    for rows, steps in _longest_first(stored, n_vector):
        sums, clamped = np.zeros((len(rows), n_vector), kind), np.zeros((len(rows), n_vector), np.bool_)
        space, room = np.empty_like(sums), limit - 1
        for at in steps:
            total, products = sums[: len(at)], space[: len(at)]
            np.take(x, stored.columns[at], axis=0, out=products, mode="clip")  # "raise" would copy; all are inside
            products *= word[at, None]
            if given.shift:
                products += kind(given.half)
                products >>= given.shift
            total += products
            room -= largest
            if room < 0:
                if total.max() >= limit or total.min() < -limit:
                    clamped[: len(at)] |= (total >= limit) | (total < -limit)
                    np.clip(total, -limit, limit - 1, out=total)
                room = limit - 1 - max(int(total.max()), -int(total.min()))
        output[:, rows], saturated[:, rows] = sums.T, clamped.T
    real = _float_sums(stored, [(given.codebook[stored.values], given.x)])
    bound = _float_sums(stored, [(of_code[stored.values], x) for of_code, x in given.errors])
    return Golden(output, saturated, real, bound, given.x)


def product(weights: NonZeros, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product in floats [n_vector, n_out] of weights in numbers and inputs float64[n_vector, n_column]."""
    if len(x) >= MANY:
        return _float_sums(weights, [(weights.values, x)])
    real = np.zeros((len(x), weights.shape[0]))
    for rows, first, columns, value in _parts(_driven(weights, x), len(x)):
        real[:, rows] = np.add.reduceat(value * x[:, columns], first, axis=1)
    return real


def terms(stored: NonZeros, codebook: NDArray[np.float64], activations: ArrayLike, rules: Arithmetic) -> Terms:
    """Return the terms that `matmul` sums, of the same arguments."""
    x_raw, x = _inputs(np.atleast_2d(np.asarray(activations)), rules, n_column=stored.shape[1])
    word = _words(codebook, rules.weight)
    word_value = word / 2.0**rules.weight
    shift = rules.weight + rules.activation - rules.accumulator
    shift = min(shift, 32)  # products are up to 2**30, so more bits leave the same: 0, or -1 below 0 when flooring
    half = 2 ** (shift - 1) if rules.rounding == "nearest" and shift > 0 else 0
    unit = 0.0 if shift == 0 else (0.5 if rules.rounding == "nearest" else 1.0) / 2.0**rules.accumulator
    of_magnitude = np.abs(codebook - word_value) + _float_error(stored.shape[1]) * np.abs(codebook)
    errors = (
        (of_magnitude, np.abs(x)),
        (np.abs(word_value), np.abs(x - x_raw / 2.0**rules.activation)),
        (np.ones(len(codebook)), np.where(x_raw != 0, unit, 0.0)),
    )
    return Terms(word, x_raw, half, shift, 2 ** (rules.accumulator_bits - 1), codebook, x, errors)


def _float_sums(held: NonZeros, factors: list[tuple[NDArray[Any], NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Sums [n_vector, n_out] over entries and factors of (value of each entry) * (x of its column).

    factors : (floats [n], x float64[n_vector, n_column]). As products of matrices where enough of them is not 0.
    """
    n_vector, n_column = factors[0][1].shape
    sums = np.zeros((n_vector, held.shape[0]))
    factors = [(value, x) for value, x in factors if x.any()]
    if len(held.columns) * SPARSE < held.shape[0] * n_column:
        turned = [(value, np.ascontiguousarray(x.T)) for value, x in factors]
        for rows, steps in _longest_first(held, n_vector):
            total = np.zeros((len(rows), n_vector))
            for at in steps:
                for value, x in turned:
                    total[: len(at)] += value[at, None] * x[held.columns[at]]
            sums[:, rows] = total.T
        return sums
    height = max(1, MAX_DENSE // max(1, n_column))
    for top in range(0, held.shape[0], height):
        starts = held.starts[top : top + height + 1]
        entries, n_row = slice(starts[0], starts[-1]), len(starts) - 1
        places = np.repeat(np.arange(n_row) * n_column, np.diff(starts)) + held.columns[entries]
        for value, x in factors:
            dense = np.zeros(n_row * n_column)
            dense[places] = value[entries]
            sums[:, top : top + n_row] += x @ dense.reshape(n_row, n_column).T
    return sums


def _longest_first(held: NonZeros, n_vector: int) -> Iterator[tuple[NDArray[np.intp], Iterator[NDArray[np.int64]]]]:
    """Rows that are not empty, some at a time, longest first: (rows, entries of each step).

    Step k has entry k of each of the rows that have one, which are the first ones.
    """
    count = np.diff(held.starts)
    order = np.argsort(-count, kind="stable")
    height = max(1, AT_ONCE // n_vector)
    for top in range(0, np.count_nonzero(count), height):
        rows = order[top : top + height]
        first, shorter = held.starts[rows], -count[rows]
        yield rows, (first[: np.searchsorted(shorter, -step)] + step for step in range(-shorter[0]))


def _driven(held: NonZeros, x: NDArray[np.float64]) -> NonZeros:
    """Return the entries in columns that any vector drives."""
    kept = np.flatnonzero((x != 0).any(axis=0)[held.columns])
    return NonZeros(held.shape, np.searchsorted(kept, held.starts), held.columns[kept], held.values[kept])


def _parts(
    held: NonZeros, n_vector: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int32], NDArray[Any]]]:
    """Rows that are not empty, some at a time: (rows, where each begins, columns, values) of each part."""
    rows = np.flatnonzero(np.diff(held.starts))
    firsts = held.starts[rows]
    at = 0
    while at < len(rows):
        end = max(at + 1, int(np.searchsorted(firsts, firsts[at] + AT_ONCE // n_vector)))
        some = slice(firsts[at], firsts[end] if end < len(rows) else None)
        yield rows[at:end], firsts[at:end] - firsts[at], held.columns[some], held.values[some]
        at = end


def _sums(
    products: NDArray[np.int64], first: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sums of each row's products, and whether one leaves the range -limit..limit - 1 on the way.

    products : int64[n_vector, n], row after row; first : int64[n_row], where each row begins

    A clamp first acts where the plain sum from a row's first product to some other leaves the range. Where none does,
    no clamp acts and the sum of all products is the output, to the bit; where one does, it is not, and the row is to
    be taken again with clamps.
    """
    last = np.append(first[1:], products.shape[1]) - 1
    sums = np.cumsum(products, axis=1)
    before = sums[:, first] - products[:, first]
    highest, lowest = (extreme.reduceat(sums, first, axis=1) - before for extreme in (np.maximum, np.minimum))
    return sums[:, last] - before, (highest >= limit) | (lowest < -limit)


def _clamped_sums(
    held: NonZeros, rows: NDArray[np.intp], products: Products, n_vector: int, limit: int
) -> NDArray[np.int64]:
    """Sums of some rows with a clamp after each product, in order of columns, all rows side by side."""
    shorter = held.starts[rows] - held.starts[rows + 1]  # minus the products of a row
    order = np.argsort(shorter)
    start, shorter = held.starts[rows[order]], shorter[order]
    total = np.zeros((n_vector, len(rows)), np.int64)
    for step in range(-shorter.min(initial=0)):
        live = slice(np.searchsorted(shorter, -step))  # the longest rows
        at = start[live] + step
        total[:, live] += products(held.values[at], held.columns[at])
        np.clip(total[:, live], -limit, limit - 1, out=total[:, live])
    return total[:, np.argsort(order)]


def write_back(output: ArrayLike, accumulator: int, activation: int, *, relu: bool = True) -> NDArray[np.int64]:
    """Raw accumulators of `accumulator` fractional bits, after ReLU or as they are, as raw words of `activation` bits.

    In integers: half to even where bits are dropped, then saturation to 16 bits. Raw accumulators are below 2**31:
    16 bits more saturate all but 0, and 33 bits less leave 0, whatever their number.
    """
    raw = np.asarray(output, dtype=np.int64)
    raw = np.maximum(raw, 0) if relu else raw
    dropped = min(max(accumulator - activation, -16), 33)
    if dropped <= 0:
        return np.asarray(np.clip(raw << -dropped, -32768, 32767), dtype=np.int64)
    kept, rest = raw >> dropped, raw & ((1 << dropped) - 1)
    half = 1 << (dropped - 1)
    up = (rest > half) | ((rest == half) & (kept % 2 == 1))
    return np.asarray(np.clip(kept + up, -32768, 32767), dtype=np.int64)


def misencoded(weights: NonZeros, stored: NonZeros, codebook: NDArray[np.float64]) -> int:
    """Count weights stored wrongly: one without a code or a code without one, or a code that is not the nearest.

    Nearest up to rounding of the weights' own type. Where any code is out of place, only those are counted.
    """
    misplaced = _differing_places(weights, stored)
    if misplaced:
        return misplaced
    dtype = weights.values.dtype
    slack = 4 * np.finfo(dtype if dtype.kind == "f" else np.float64).eps * np.abs(codebook).max(initial=0)
    return _far_from_nearest(weights.values.astype(np.float64), stored.values, codebook, slack)


def other_codes(expected: NonZeros, stored: NonZeros) -> int:
    """Count codes that differ from those expected; where any is out of place, only those are counted."""
    return _differing_places(expected, stored) or int(np.count_nonzero(expected.values != stored.values))


def _differing_places(one: NonZeros, other: NonZeros) -> int:
    """Count places that only one of two matrices holds, and those that `other` holds once more."""
    if np.array_equal(one.starts, other.starts) and np.array_equal(one.columns, other.columns):
        return 0
    places = np.unique(_places(other))
    return len(np.setxor1d(_places(one), places, assume_unique=True)) + len(other.columns) - len(places)


def _places(held: NonZeros) -> NDArray[np.int64]:
    rows = np.repeat(np.arange(held.shape[0], dtype=np.int64), np.diff(held.starts))
    return rows * held.shape[1] + held.columns


def _far_from_nearest(
    value: NDArray[np.float64], code: NDArray[np.uint8], codebook: NDArray[np.float64], slack: float
) -> int:
    """Count values whose codebook value is farther than the nearest one by more than `slack`."""
    found = 0
    for at in range(0, len(value), AT_ONCE):
        some = value[at : at + AT_ONCE]
        nearest = np.full(some.shape, np.inf)
        for centre in codebook[1:]:
            np.minimum(nearest, np.abs(centre - some), out=nearest)
        found += int(np.count_nonzero(np.abs(codebook[code[at : at + AT_ONCE]] - some) > nearest + slack))
    return found


def _inputs(given: NDArray[Any], rules: Arithmetic, *, n_column: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Raw and real inputs [n_vector, n_column]: zero where an input takes no part, 1.0 for a bias."""
    given = np.maximum(given, 0) if rules.active == "positive" else given
    if given.dtype.kind == "f":
        real = given.astype(np.float64)
        raw = _words(real, rules.activation)
    else:
        raw, real = given.astype(np.int64), given / 2.0**rules.activation
    bias = n_column - given.shape[1]
    if bias:
        raw = np.concatenate([raw, np.full((len(raw), bias), 2**rules.activation)], axis=1)
        real = np.concatenate([real, np.ones((len(real), bias))], axis=1)
    return raw, real


def _words(values: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Nearest 16-bit words, ties to even, saturating."""
    scaled = values.astype(np.float64) * 2.0**bits
    np.round(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int64)


def _float_error(n_term: int) -> float:
    """Relative rounding error of a float64 sum of n_term products (Higham 2002, section 3.1)."""
    unit = (n_term + 1) * float(np.finfo(np.float64).eps) / 2
    return unit / (1 - unit)
