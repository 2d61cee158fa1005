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
    """Raw accumulators int64[n_out] after all items, for raw activations int16[n_in].

    The matrix's scales must be complete. Most layers never saturate, so the sums are first taken without clamping
    while watching the range; only where one left it, all are taken again with a clamp at every entry.
    """
    items = matrix.items(activations, config.active)
    assert matrix.scales.activation is not None
    driven = np.append(activations.astype(np.int64), one(matrix.scales.activation))
    half, shift = half_and_shift(config.rounding, matrix.scales.shift)
    low, high = accumulator_range(config.accumulator_bits)
    columns = matrix.weights
    rows = columns.rows.view(np.uint32)  # never negative; saves the kernel numba's check for negative indices
    arrays = (items, driven[items], columns.starts, rows, columns.values, matrix.codebook_raw)
    if config.accumulator_bits < MAX_PRODUCT_BITS:
        sums = np.zeros(matrix.n_out, dtype=np.int32)
        products = np.zeros(len(matrix.codebook), dtype=np.int32)
        if _add_watching(*arrays, half, shift, config.accumulator_bits, products, sums):
            return sums.astype(np.int64)
    accumulators = np.zeros(matrix.n_out, dtype=np.int64)
    _add_clamping(*arrays, half, shift, low, high, np.zeros(len(matrix.codebook), dtype=np.int64), accumulators)
    return accumulators


@kernel
def _add_watching(items, values, starts, rows, codes, codebook, half, shift, bits, products, sums):
    """Plain sums; returns False as soon as a column has taken one out of the accumulator's range."""
    offset = np.int32(1 << (bits - 1))
    for k in range(len(items)):
        for code in range(len(codebook)):
            products[code] = product(codebook[code], values[k], half, shift)
        seen = np.int32(0)
        for at in range(starts[items[k]], starts[items[k] + 1]):
            row = rows[at]
            total = np.int32(sums[row] + products[codes[at]])
            sums[row] = total
            seen |= np.int32(total + offset)  # bits at and above `bits` are set by a sum out of range only
        if (seen >> bits) != 0:
            return False
    return True


@kernel
def _add_clamping(items, values, starts, rows, codes, codebook, half, shift, low, high, products, accumulators):
    """Saturating sums, entry by entry."""
    for k in range(len(items)):
        for code in range(len(codebook)):
            products[code] = product(codebook[code], values[k], half, shift)
        for at in range(starts[items[k]], starts[items[k] + 1]):
            row = rows[at]
            accumulators[row] = saturating_add(accumulators[row], products[codes[at]], low, high)
