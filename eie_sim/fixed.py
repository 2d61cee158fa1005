"""The 16-bit fixed-point arithmetic of the EIE datapath, written once (Han et al. 2016, section IV).

Numbers are integers with a count of fractional bits: value = raw / 2**fractional_bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.jit import kernel

WORD_BITS = 16
WORD_MIN, WORD_MAX = -(2**15), 2**15 - 1
MAX_FRACTIONAL_BITS = 15


def to_fixed(values: ArrayLike, fractional_bits: int) -> NDArray[np.int16]:
    """Finite floats to raw 16-bit words: round half to even, then saturate."""
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**fractional_bits)
    return np.clip(scaled, WORD_MIN, WORD_MAX).astype(np.int16)


def one(fractional_bits: int) -> int:
    """The word that stands for 1.0: what drives a bias. With 15 fractional bits it saturates just below."""
    return min(1 << fractional_bits, WORD_MAX)


def from_fixed(raw: ArrayLike, fractional_bits: int) -> NDArray[np.float64]:
    """Raw words to their exact values."""
    return np.asarray(raw, dtype=np.float64) / 2.0**fractional_bits


def largest_fractional_bits(magnitude: float, *, limit: int = MAX_FRACTIONAL_BITS) -> int:
    """The most fractional bits in 0..limit for which `magnitude` (>= 0) still fits a 16-bit word after rounding.

    0 when it fits with none, where saturation takes over.
    """
    for bits in range(limit, 0, -1):
        if np.rint(magnitude * 2.0**bits) <= WORD_MAX:
            return bits
    return 0


def requantise(raw: ArrayLike, from_bits: int, to_bits: int) -> NDArray[np.int16]:
    """Write-back of accumulators as activations: ReLU is the caller's, this changes the scale.

    The exact value is rounded half to even and saturated, so that it equals `to_fixed(from_fixed(raw))`.
    """
    return to_fixed(from_fixed(raw, from_bits), to_bits)


def accumulator_range(accumulator_bits: int) -> tuple[int, int]:
    """Smallest and largest value of a signed accumulator."""
    return -(2 ** (accumulator_bits - 1)), 2 ** (accumulator_bits - 1) - 1


def rounding_half(rounding: str, shift: int) -> int:
    """What is added to a product before its right shift: 0 for "floor", half a unit for "nearest"."""
    return 1 << (shift - 1) if rounding == "nearest" and shift > 0 else 0


@kernel
def product(weight, activation, half, shift):
    """One exact product, aligned to the accumulator by an arithmetic right shift (floor after adding `half`)."""
    return (np.int64(weight) * np.int64(activation) + half) >> shift


@kernel
def saturating_add(accumulator, addend, low, high):
    """Add, and hold the sum within low..high."""
    return min(max(accumulator + addend, low), high)
