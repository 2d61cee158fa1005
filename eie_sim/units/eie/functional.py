"""What the array computes, to the bit and without time: broadcast order, rounding and saturation included.

Source: Han et al. 2016, section IV (arithmetic unit).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.fixed import accumulator_range, half_and_shift, one, product, saturating_add
from eie_sim.core.jit import kernel
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix

MAX_PRODUCT_BITS = 31
"""A product of two words needs at most 31 bits, so a 24-bit accumulator and one product fit 32 bits."""


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
    half, shift = half_and_shift(config.rounding, matrix.scales.shift)
    low, high = accumulator_range(config.accumulator_bits)
    columns = matrix.weights
    rows = columns.rows.view(np.uint32)  # never negative; saves the kernel numba's check for negative indices
    entries = columns.starts, rows, columns.values, matrix.codebook_raw
    narrow = config.accumulator_bits < MAX_PRODUCT_BITS
    sums = np.empty((len(batch), matrix.n_out), dtype=np.int32 if narrow else np.int64)
    within = np.zeros(len(batch), dtype=np.bool_)
    if narrow:
        products = np.zeros(len(matrix.codebook), dtype=np.int32)
        _add_watching(driven, *entries, half, shift, config.accumulator_bits, products, sums, within)
    if not within.all():
        again = np.flatnonzero(~within)
        clamped = np.zeros((len(again), matrix.n_out), dtype=np.int64)
        products = np.zeros(len(matrix.codebook), dtype=np.int64)
        _add_clamping(driven[again], *entries, half, shift, low, high, products, clamped)
        sums[again] = clamped
    return sums


@kernel
def _add_watching(driven, starts, rows, codes, codebook, half, shift, bits, products, sums, within):
    """Plain sums of each vector; within[v] stays False where a column has taken one out of the accumulator's range.

    The rows of a column differ, so that four sums are taken at a time. They start half the range high: bits at and
    above `bits` are set by a sum out of range only. Indices are unsigned, which saves numba's check for negative ones.
    """
    offset = np.int32(1 << (bits - 1))
    second, third, fourth, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    for v in range(len(driven)):
        mine, seen = sums[v], np.int32(0)
        mine[:] = offset
        for j in range(driven.shape[1]):
            value = np.int64(driven[v, j])
            if value == 0 or (seen >> bits) != 0:
                continue
            for code in range(len(codebook)):
                products[code] = product(codebook[code], value, half, shift)
            at, end = np.uint64(starts[j]), np.uint64(starts[j + 1])
            while at + four <= end:
                r0, r1, r2, r3 = rows[at], rows[at + second], rows[at + third], rows[at + fourth]
                s0 = np.int32(mine[r0] + products[codes[at]])
                s1 = np.int32(mine[r1] + products[codes[at + second]])
                s2 = np.int32(mine[r2] + products[codes[at + third]])
                s3 = np.int32(mine[r3] + products[codes[at + fourth]])
                mine[r0], mine[r1], mine[r2], mine[r3] = s0, s1, s2, s3
                seen |= s0 | s1 | s2 | s3
                at += four
            while at < end:
                row = rows[at]
                total = np.int32(mine[row] + products[codes[at]])
                mine[row] = total
                seen |= total
                at += second
        mine -= offset
        within[v] = (seen >> bits) == 0


@kernel
def _add_clamping(driven, starts, rows, codes, codebook, half, shift, low, high, products, accumulators):
    """Saturating sums of each vector, entry by entry."""
    for v in range(len(driven)):
        for j in range(driven.shape[1]):
            value = np.int64(driven[v, j])
            if value == 0:
                continue
            for code in range(len(codebook)):
                products[code] = product(codebook[code], value, half, shift)
            for at in range(starts[j], starts[j + 1]):
                row = rows[at]
                accumulators[v, row] = saturating_add(accumulators[v, row], products[codes[at]], low, high)
