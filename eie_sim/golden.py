"""The dense oracle: plain numpy, column by column, sharing no code with the models it judges.

It repeats the rules of the arithmetic on its own, so that runs that saturate agree too, and gives the float result and
how far the integer result may be from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Golden(NamedTuple):
    """Result of the oracle for one activation vector.

    output : int64[n_out], raw accumulators
    saturated : bool[n_out], True where an accumulator was clamped on the way
    real : float64[n_out], the product in floats
    bound : float64[n_out], |output / 2**accumulator_bits_fractional - real| is at most this where nothing was clamped
    """

    output: NDArray[np.int64]
    saturated: NDArray[np.bool_]
    real: NDArray[np.float64]
    bound: NDArray[np.float64]


def matvec(
    codes: NDArray[np.uint8],
    codebook: NDArray[np.float64],
    activations: NDArray[np.floating] | NDArray[np.integer],
    *,
    fractional_bits: tuple[int, int, int],
    accumulator_bits: int,
    rounding: str,
    active: str,
    has_bias: bool,
) -> Golden:
    """Multiply dense codes [n_out, n_in (+ 1 with a bias)] by one vector of activations [n_in].

    codebook : float value of each code
    activations : floats, or raw 16-bit integers of the activation's fractional bits
    fractional_bits : of weight, activation, accumulator

    The bound adds, over the items, the rounding error of the weight times the activation and of the activation times
    the weight, w x - w' x' = (w - w') x + w' (x - x'), each with its actual error, and one unit (floor) or half a unit
    (nearest) of the accumulator per product that is shifted.
    """
    weight_bits, activation_bits, output_bits = fractional_bits
    shift = weight_bits + activation_bits - output_bits
    word = _words(codebook, weight_bits)
    if activations.dtype.kind == "f":
        raw, real_x = _words(activations, activation_bits), activations.astype(np.float64)
    else:
        raw, real_x = activations.astype(np.int64), activations / 2.0**activation_bits
    takes_part = real_x > 0 if active == "positive" else real_x != 0
    real_x = np.where(takes_part, real_x, 0.0)
    if has_bias:
        raw, real_x = np.append(raw, 1 << activation_bits), np.append(real_x, 1.0)
    half = 2 ** (shift - 1) if rounding == "nearest" and shift > 0 else 0
    unit = 0.0 if shift == 0 else (0.5 if rounding == "nearest" else 1.0) / 2.0**output_bits
    low, high = -(2 ** (accumulator_bits - 1)), 2 ** (accumulator_bits - 1) - 1

    n_out = codes.shape[0]
    output, saturated = np.zeros(n_out, np.int64), np.zeros(n_out, np.bool_)
    real, bound, gross = np.zeros(n_out), np.zeros(n_out), np.zeros(n_out)
    for j in np.flatnonzero(real_x != 0.0):
        column = codes[:, j]
        x, x_raw = real_x[j], int(raw[j])
        x_error = abs(x - x_raw / 2.0**activation_bits)
        real += codebook[column] * x
        gross += np.abs(codebook[column]) * abs(x)
        weight_error = np.abs(codebook - word / 2.0**weight_bits)
        error_of_code = weight_error * abs(x) + np.abs(word) / 2.0**weight_bits * x_error
        if x_raw != 0:
            total = output + ((word * x_raw + half) >> shift)[column] * (column != 0)
            output = np.clip(total, low, high)
            saturated |= total != output
            error_of_code = error_of_code + unit
        error_of_code[0] = 0.0
        bound += error_of_code[column]
    return Golden(output, saturated, real, bound + _float_error(len(real_x)) * gross)


def _words(values: NDArray[np.floating], bits: int) -> NDArray[np.int64]:
    """Nearest 16-bit words, ties to even, saturating."""
    return np.minimum(np.maximum(np.round(values.astype(np.float64) * (1 << bits)), -32768), 32767).astype(np.int64)


def _float_error(n_term: int) -> float:
    """Relative rounding error of a float64 sum of n_term products (Higham 2002, section 3.1)."""
    eps = np.finfo(np.float64).eps / 2
    return float((n_term + 1) * eps / (1 - (n_term + 1) * eps))
