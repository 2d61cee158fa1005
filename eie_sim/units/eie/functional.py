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
    sums = np.zeros((len(batch), matrix.n_out), dtype=np.int32 if narrow else np.int64)
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
    """Plain sums of each vector; within[v] stays False where a column has taken one out of the accumulator's range."""
    offset = np.int32(1 << (bits - 1))
    for v in range(len(driven)):
        mine, seen = sums[v], np.int32(0)
        for j in range(driven.shape[1]):
            value = np.int64(driven[v, j])
            if value == 0 or (seen >> bits) != 0:
                continue
            for code in range(len(codebook)):
                products[code] = product(codebook[code], value, half, shift)
            for at in range(starts[j], starts[j + 1]):
                row = rows[at]
                total = np.int32(mine[row] + products[codes[at]])
                mine[row] = total
                seen |= np.int32(total + offset)  # bits at and above `bits` are set by a sum out of range only
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
