"""From pruned weights to the streams: weights are shared by k-means, gaps counted, long ones bridged.

Source: Han, Mao, Dally, ICLR 2016, section 2 and Figure 2 (indices), section 3 (shared weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require
from eie_sim.core.sparse import checked, is_sparse
from eie_sim.deep_compression.layer import DeepCompression, require_shape, require_widths

MAX_ENTRIES = 2**30
"""Most entries of a layer; a lone weight after a huge gap of narrow indices would claim all memory in fillers."""

MAX_WEIGHT = 2.0**100
"""Largest magnitude: sums of weights stay finite, and so does a shared weight in 32 bits."""


def compress_layer(weights_or_mask: Any, *, weight_bits: int, index_bits: int) -> DeepCompression:
    """Share the weights of a pruned layer by k-means, and encode them.

    weights_or_mask : real numbers of any shape, non-zero where kept, numpy or scipy.sparse; booleans are a mask, which
        is encoded without values
    weight_bits, index_bits : width of a code and of a gap, 1..8; published are 5, 6 and 8 with 4 and 5

    Up to 2**weight_bits - 1 distinct values are kept as they are, so a decoded layer compresses to itself; shared
    weights are rounded to 32-bit floats. Only non-zeros take memory. Raises InputError for a wrong dtype, NaN,
    infinity, huge magnitudes, widths out of range.
    """
    sparse = is_sparse(weights_or_mask)
    array = checked("weights", weights_or_mask) if sparse else as_array("weights", weights_or_mask)
    shape = tuple(int(side) for side in array.shape)
    require(array.dtype.kind in "fiub", "weights", f"dtype {array.dtype}", "must hold booleans or real numbers")
    require(len(shape) > 0, "weights", "a single number", "must have 1 dimension or more")
    positions, values = _sparse_nonzeros(array) if sparse else _dense_nonzeros(array)
    return compress_positions(
        positions,
        shape=shape,
        values=None if array.dtype.kind == "b" else values,
        weight_bits=weight_bits,
        index_bits=index_bits,
    )


def compress_positions(
    positions: ArrayLike,
    *,
    shape: Sequence[int],
    values: ArrayLike | None = None,
    weight_bits: int,
    index_bits: int,
) -> DeepCompression:
    """Encode a layer from its non-zeros alone, as `compress_layer` does.

    positions : integers [n_weight], ascending, in the flattened layer of this shape
    values : real [n_weight], their weights, none of them 0; left out for a mask

    Raises InputError, also for positions out of order or beyond the layer, or that need more than 2**30 entries.
    """
    require_widths(weight_bits, index_bits)
    require_shape(shape)
    places = _positions(positions, prod(int(side) for side in shape))
    if values is None:
        codebook, weight_codes = None, np.ones(len(places), dtype=np.uint8)
    else:
        codebook, weight_codes = _share(_values(values, places), 2 ** int(weight_bits))
    return _encode(places, weight_codes, shape, int(weight_bits), int(index_bits), codebook)


def compress_codes(codes: ArrayLike, codebook: ArrayLike, *, index_bits: int) -> DeepCompression:
    """Encode shared weights that are there already, trained ones for example.

    codes : integers of any shape, 0 where there is no weight
    codebook : 2**weight_bits real values, the first of them 0; rounded to 32-bit floats

    Raises InputError for a codebook of another size, codes out of range.
    """
    book = as_array("codebook", codebook)
    require(book.dtype.kind in "fiu", "codebook", f"dtype {book.dtype}", "must hold real numbers")
    ok = book.ndim == 1 and 2 <= book.size <= 256 and book.size & (book.size - 1) == 0
    require(ok, "codebook", f"shape {book.shape}", "must be 1-D with 2**weight_bits values, 2 to 256")
    array = as_array("codes", codes)
    require(array.dtype.kind in "iu", "codes", f"dtype {array.dtype}", "must be integers, 0 for no weight")
    require(array.ndim > 0, "codes", "a single number", "must have 1 dimension or more")
    positions, kept = _dense_nonzeros(array)
    low, high = int(kept.min(initial=1)), int(kept.max(initial=1))
    require(low >= 0 and high < book.size, "codes", low if low < 0 else high, f"must be in 0..{book.size - 1}")
    weight_bits = book.size.bit_length() - 1
    require_widths(weight_bits, index_bits)
    with np.errstate(over="ignore"):  # a DeepCompression refuses values too large for 32 bits
        rounded = book.astype(np.float32)
    return _encode(positions, kept.astype(np.uint8), array.shape, weight_bits, int(index_bits), rounded)


def _encode(
    places: NDArray[np.int64],
    weight_codes: NDArray[np.uint8],
    shape: Sequence[int],
    weight_bits: int,
    index_bits: int,
    codebook: NDArray[np.float32] | None,
) -> DeepCompression:
    """Entries of weights at ascending places: each is preceded by a filler for every 2**index_bits zeros before it."""
    zeros = np.diff(places, prepend=-1) - 1
    fillers = zeros >> index_bits
    n_entry = len(places) + int(fillers.sum())
    require(n_entry <= MAX_ENTRIES, "index_bits", index_bits, f"must give at most {MAX_ENTRIES} entries, not {n_entry}")
    entry = np.cumsum(fillers + 1) - 1
    codes = np.zeros(n_entry, dtype=np.uint8)
    codes[entry] = weight_codes
    gaps = np.full(n_entry, 2**index_bits - 1, dtype=np.uint8)
    gaps[entry] = zeros & (2**index_bits - 1)
    return DeepCompression(
        shape=tuple(int(side) for side in shape),
        weight_bits=weight_bits,
        index_bits=index_bits,
        codes=codes,
        gaps=gaps,
        codebook=codebook,
    )


def _share(values: NDArray[np.floating], n_code: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Codebook float32[n_code] and the code of each weight, uint8[n_weight], 1 and up."""
    distinct = _few_distinct(values, n_code - 1)
    if distinct is None:
        from eie_sim.core import quantize  # brings a compiler, which masks and shared weights do without

        centroids, thresholds = quantize.cluster(values, n_code - 1)
        indices = quantize.assign(values, thresholds)
    else:
        centroids, indices = distinct.astype(np.float64), np.searchsorted(distinct, values).astype(np.uint8)
    codebook = np.zeros(n_code, dtype=np.float32)
    codebook[1 : len(centroids) + 1] = centroids
    return codebook, (indices + np.uint8(1)).astype(np.uint8)


def _few_distinct(values: NDArray[np.floating], most: int) -> NDArray[np.floating] | None:
    """The distinct values, ascending, where there are at most `most`; else None. The first ones tell most layers."""
    if len(np.unique(values[: 16 * most])) > most:
        return None
    distinct = np.unique(values)
    return distinct if len(distinct) <= most else None


def _dense_nonzeros(array: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    flat = array.reshape(-1)
    positions = np.flatnonzero(flat)
    return positions, flat[positions]


def _sparse_nonzeros(array: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    by_row = array.tocsr(copy=True)
    by_row.sum_duplicates()  # sorts each row too
    by_row.eliminate_zeros()
    rows = np.repeat(np.arange(by_row.shape[0], dtype=np.int64), np.diff(by_row.indptr))
    return rows * by_row.shape[1] + by_row.indices, by_row.data


def _positions(positions: ArrayLike, n_position: int) -> NDArray[np.int64]:
    array = as_array("positions", positions)
    require(array.ndim == 1, "positions", f"shape {array.shape}", "must have 1 dimension")
    require(array.size == 0 or array.dtype.kind in "iu", "positions", f"dtype {array.dtype}", "must be integers")
    places = array.astype(np.int64, copy=False)
    if places.size:
        require(int(places[0]) >= 0, "positions[0]", places[0], "must be >= 0")
        later = places[1:] > places[:-1]
        if not later.all():
            at = int(np.argmin(later)) + 1
            raise InputError(f"positions[{at}]={places[at]}: must be above the one before, {places[at - 1]}")
        require(int(places[-1]) < n_position, "positions[-1]", places[-1], f"must be below the layer's {n_position}")
    return places


def _values(values: ArrayLike, places: NDArray[np.int64]) -> NDArray[np.floating]:
    array = as_array("values", values)
    require(array.size == 0 or array.dtype.kind in "fiu", "values", f"dtype {array.dtype}", "must be real numbers")
    rule = f"must be ({len(places)},), one per position"
    require(array.shape == (len(places),), "values", f"shape {array.shape}", rule)
    narrow = array.dtype in (np.float16, np.float32)
    numbers: NDArray[np.floating] = array.astype(np.float32 if narrow else np.float64, copy=False)
    ok = (np.abs(numbers) <= MAX_WEIGHT) & (numbers != 0)
    if not ok.all():
        at = int(np.argmin(ok))
        rule = f"must be finite, not 0, of magnitude at most 2**100; it is at position {places[at]}"
        raise InputError(f"values[{at}]={numbers[at]}: {rule}")
    return numbers
