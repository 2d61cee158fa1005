"""The 16-bit fixed-point arithmetic of a datapath, written once (Han et al. 2016, section IV).

Numbers are integers with a count of fractional bits, which may be negative: value = raw / 2**fractional_bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.jit import kernel

WORD_BITS = 16
WORD_MIN, WORD_MAX = -(2**15), 2**15 - 1
MIN_FRACTIONAL_BITS, MAX_FRACTIONAL_BITS = -15, 30
"""Fractional bits of a word; accumulators, which hold products of two, have up to twice as many."""

SIGN_SHIFT = 32
"""A product of two words is below 2**31, so shifts from 32 bits on all leave the same: 0, or its sign when floored."""


def to_fixed(values: ArrayLike, fractional_bits: int) -> NDArray[np.int16]:
    """Finite floats to raw 16-bit words: round half to even, then saturate."""
    scaled = np.array(values, dtype=np.float64)  # its own, so that nothing more of its size is needed
    scaled *= 2.0**fractional_bits
    np.rint(scaled, out=scaled)
    np.minimum(np.maximum(scaled, WORD_MIN, out=scaled), WORD_MAX, out=scaled)  # np.clip takes longer for few
    return scaled.astype(np.int16)


def one(fractional_bits: int) -> int:
    """The word of 1.0, which drives a bias: exact with 0 to 14 fractional bits, the only ones beside a bias."""
    return min(round(2.0**fractional_bits), WORD_MAX)  # half to even, as to_fixed, many times as fast


def n_saturated(values: ArrayLike, fractional_bits: int) -> int:
    """Count floats that are too large for a word, where `to_fixed` saturates."""
    rounded = np.rint(np.asarray(values, dtype=np.float64) * 2.0**fractional_bits)
    return int(np.count_nonzero((rounded < WORD_MIN) | (rounded > WORD_MAX)))


def from_fixed(raw: ArrayLike, fractional_bits: int) -> NDArray[np.float64]:
    """Raw words to their exact values."""
    return np.asarray(raw, dtype=np.float64) / 2.0**fractional_bits


def largest_fractional_bits(magnitude: float, low: int, high: int) -> int:
    """The most fractional bits in low..high for which `magnitude` (>= 0) still fits a 16-bit word after rounding.

    `low` where it fits with none and saturates; 0, or `high` where that is less, for a magnitude of 0.
    """
    if magnitude == 0:
        return min(0, high)
    fitting = (bits for bits in range(high, low, -1) if np.rint(magnitude * 2.0**bits) <= WORD_MAX)
    return next(fitting, low)


def accumulator_range(accumulator_bits: int) -> tuple[int, int]:
    """Smallest and largest value of a signed accumulator."""
    return -(2 ** (accumulator_bits - 1)), 2 ** (accumulator_bits - 1) - 1


def half_and_shift(rounding: str, shift: int) -> tuple[int, int]:
    """Return what `product` takes to shift right by `shift` >= 0 bits: half a unit, 0 for "floor", and the bits.

    The shift is at most `SIGN_SHIFT`, so that half a unit and the sum fit 64 bits.
    """
    shift = min(shift, SIGN_SHIFT)
    return ((1 << shift) // 2 if rounding == "nearest" else 0), shift


@kernel
def product(weight, activation, half, shift):
    """One exact product, aligned to the accumulator by an arithmetic right shift (floor after adding `half`)."""
    return (np.int64(weight) * np.int64(activation) + half) >> shift


@kernel
def saturating_add(accumulator, addend, low, high):
    """Add, and hold the sum within low..high."""
    return min(max(accumulator + addend, low), high)
