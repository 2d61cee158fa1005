"""Outputs of the array, to the bit and without time: broadcast order, rounding and saturation included.

Source: Han et al. 2016, section IV (arithmetic unit).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.fixed import accumulator_range, half_and_shift, one, product, saturating_add
from eie_sim.core.jit import kernel
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix

MAX_PRODUCT_BITS = 31
"""A product of two words needs at most 31 bits, so a 24-bit accumulator and one product fit 32 bits."""


class Products(NamedTuple):
    """Products of every code with one activation, and how they are made.

    codebook : int16[n_code], raw value of each code
    half, shift : as `half_and_shift` gives
    of_code : int32[n_code] or int64[n_code], written for each activation
    """

    codebook: NDArray[np.int16]
    half: int
    shift: int
    of_code: NDArray[np.integer]


def accumulate(matrix: EieMatrix, activations: NDArray[np.int16], config: EieConfig) -> NDArray[np.int64]:
    """Raw accumulators int64[n_out] after all items, for raw activations int16[n_in]; see `accumulate_all`."""
    sums: NDArray[np.int64] = accumulate_all(matrix, activations[None], config)[0].astype(np.int64)
    return sums


def accumulate_all(matrix: EieMatrix, batch: NDArray[np.int16], config: EieConfig) -> NDArray[np.integer]:
    """Raw accumulators int32 or int64 [n_vector, n_out] after all items, for raw activations int16[n_vector, n_in].

    The matrix's scales must be complete. Most layers never saturate, so the sums are first taken without clamping
    while watching the range; only where one left it, all of that vector are taken again with a clamp at every entry.
    """
    assert matrix.scales.activation is not None
    driven = np.maximum(batch, 0) if config.active == "positive" else batch
    if matrix.has_bias:
        ones = np.full((len(batch), 1), one(matrix.scales.activation), dtype=np.int16)
        driven = np.concatenate([driven, ones], axis=1)
    columns = matrix.unsigned_weights
    narrow = config.accumulator_bits < MAX_PRODUCT_BITS
    kind = np.int32 if narrow else np.int64
    half, shift = half_and_shift(config.rounding, matrix.scales.shift)
    products = Products(matrix.codebook_raw, half, shift, np.zeros(len(matrix.codebook), dtype=kind))
    sums = np.empty((len(batch), matrix.n_out), dtype=kind)
    within = np.zeros(len(batch), dtype=np.bool_)
    n_within = _add_watching(driven, columns, products, config.accumulator_bits, sums, within) if narrow else 0
    if n_within < len(batch):
        again = np.flatnonzero(~within)
        clamped = np.zeros((len(again), matrix.n_out), dtype=np.int64)
        products = products._replace(of_code=np.zeros(len(matrix.codebook), dtype=np.int64))
        _add_clamping(driven[again], columns, products, *accumulator_range(config.accumulator_bits), clamped)
        sums[again] = clamped
    return sums


# Sums stand half the range too high, so that one within the range is 0 .. 2**bits - 1, and one out of it sets a bit at
# or above `bits`; `seen` collects the bits of every sum of the vector, after each of its entries. The rows of a column
# differ, so four sums are taken at a time. Indices are unsigned, which saves numba's check for negative ones.
@kernel
def _add_watching(driven, columns, products, bits, sums, within):
    """Write plain sums of each vector; within[v] stays False where an entry took one out of the accumulator's range.

    Returns how many vectors are within it.
    """
    starts, rows, codes = columns
    codebook, half, shift, of_code = products
    offset = np.int32(1 << (bits - 1))
    n_within = 0
    second, third, fourth, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for v in range(len(driven)):
        mine, seen = sums[v], np.int32(0)
        mine[:] = offset
        for j in range(driven.shape[1]):
            value = np.int64(driven[v, j])
            if value == 0 or (seen >> bits) != 0:
                continue
            for code in range(len(codebook)):
                of_code[code] = product(codebook[code], value, half, shift)
            at, end = np.uint64(starts[j]), np.uint64(starts[j + 1])
            while at + four <= end:
                r0, r1, r2, r3 = rows[at], rows[at + second], rows[at + third], rows[at + fourth]
                s0 = np.int32(mine[r0] + of_code[codes[at]])
                s1 = np.int32(mine[r1] + of_code[codes[at + second]])
                s2 = np.int32(mine[r2] + of_code[codes[at + third]])
                s3 = np.int32(mine[r3] + of_code[codes[at + fourth]])
                mine[r0], mine[r1], mine[r2], mine[r3] = s0, s1, s2, s3
                seen |= s0 | s1 | s2 | s3
                at += four
            while at < end:
                row = rows[at]
                total = np.int32(mine[row] + of_code[codes[at]])
                mine[row] = total
                seen |= total
                at += second
        mine -= offset
        within[v] = (seen >> bits) == 0
        n_within += within[v]
    return n_within


@kernel
def _add_clamping(driven, columns, products, low, high, accumulators):
    """Add saturating sums of each vector, entry by entry."""
    starts, rows, codes = columns
    codebook, half, shift, of_code = products
    for v in range(len(driven)):
        for j in range(driven.shape[1]):
            value = np.int64(driven[v, j])
            if value == 0:
                continue
            for code in range(len(codebook)):
                of_code[code] = product(codebook[code], value, half, shift)
            for at in range(starts[j], starts[j + 1]):
                row = rows[at]
                accumulators[v, row] = saturating_add(accumulators[v, row], of_code[codes[at]], low, high)
