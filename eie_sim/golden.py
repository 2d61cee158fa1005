"""The dense oracle: plain numpy, column by column, sharing no code with the models it judges.

It repeats the rules of the arithmetic on its own, so that runs that saturate agree too, and gives the float result and
how far the integer result may be from it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

STRIP = 64
"""Columns that weights are compared in at a time, so that what is compared stays in the cache."""


class Golden(NamedTuple):
    """Result of the oracle for a batch of vectors.

    output : int64[n_vector, n_out], raw accumulators
    saturated : bool[n_vector, n_out], True where an accumulator was clamped on the way
    real : float64[n_vector, n_out], the product in floats
    bound : float64[n_vector, n_out]; where nothing was clamped, the value of the output is within it of `real`
    """

    output: NDArray[np.int64]
    saturated: NDArray[np.bool_]
    real: NDArray[np.float64]
    bound: NDArray[np.float64]


class Arithmetic(NamedTuple):
    """The rules: fractional bits of weight, activation and accumulator, and the settings of the datapath."""

    weight: int
    activation: int
    accumulator: int
    accumulator_bits: int
    rounding: str
    active: str


def matmul(
    codes: NDArray[np.uint8], codebook: NDArray[np.float64], activations: ArrayLike, rules: Arithmetic
) -> Golden:
    """Multiply dense codes uint8[n_out, n_in] by activations [n_vector, n_in], or [n_vector, n_in - 1] before a bias.

    codebook : float64[n_code], value of each code
    activations : floats, or raw 16-bit integers of `rules.activation` fractional bits

    The bound adds, item by item, w x - w' x' = (w - w') x + w' (x - x'), each with the error it really has, and
    one unit of the accumulator for every product that is shifted (half of one when rounding to nearest).
    """
    x_raw, x = _inputs(np.atleast_2d(np.asarray(activations)), rules, n_column=codes.shape[1])
    word = _words(codebook, rules.weight)
    word_value = word / 2.0**rules.weight
    shift = rules.weight + rules.activation - rules.accumulator
    shift = min(shift, 62)  # products are below 2**31, so more bits leave the same, and half a unit fits an int64
    half = 2 ** (shift - 1) if rules.rounding == "nearest" and shift > 0 else 0
    unit = 0.0 if shift == 0 else (0.5 if rules.rounding == "nearest" else 1.0) / 2.0**rules.accumulator
    limit = 2 ** (rules.accumulator_bits - 1)

    # A row for each output, so that a column adds to those it has weights for; real, gross and bound side by side.
    n_out, n_vector = codes.shape[0], len(x)
    output, saturated = np.zeros((n_out, n_vector), np.int64), np.zeros((n_out, n_vector), np.bool_)
    floats = np.zeros((n_out, 3 * n_vector))
    book, word, word_value = codebook[:, None], word[:, None], word_value[:, None]
    for j in np.flatnonzero((x != 0).any(axis=0) & codes.any(axis=0)):
        there = np.flatnonzero(codes[:, j] != 0)
        column, value, value_raw = codes[there, j], x[:, j], x_raw[:, j]
        total = output.take(there, axis=0) + ((word * value_raw + half) >> shift).take(column, axis=0)
        clamped = np.minimum(np.maximum(total, -limit), limit - 1)
        output[there] = clamped
        over = total != clamped
        if over.any():
            saturated[there] |= over
        error = np.abs(book - word_value) * np.abs(value)
        error += np.abs(word_value) * np.abs(value - value_raw / 2.0**rules.activation)
        error += np.where(value_raw != 0, unit, 0.0)
        product = book * value
        terms = np.concatenate([product, np.abs(product), error], axis=1)
        floats[there] = floats.take(there, axis=0) + terms.take(column, axis=0)
    real, gross, bound = floats.T.reshape(3, n_vector, n_out)
    return Golden(output.T, saturated.T, real, bound + _float_error(codes.shape[1]) * gross)


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


def misencoded(weights: Any, codes: NDArray[np.uint8], codebook: NDArray[np.float64]) -> int:
    """Count weights [n_out, n_in] stored wrongly: a zero with a code, or one without its nearest codebook value.

    Dense or scipy.sparse; nearest up to rounding of the weights' own type. Where any code is out of place, only those
    are counted.
    """
    sparse = hasattr(weights, "tocsc")
    weights = weights.tocsc() if sparse else np.asarray(weights)
    slack = 4 * np.finfo(weights.dtype if weights.dtype.kind == "f" else np.float64).eps
    slack *= np.abs(codebook).max(initial=0)
    misplaced = wrong = 0
    for at in range(0, codes.shape[1], STRIP):
        strip = weights[:, at : at + STRIP]
        given = np.ascontiguousarray(strip.toarray() if sparse else strip).reshape(-1)
        stored = np.ascontiguousarray(codes[:, at : at + STRIP]).reshape(-1)
        there = stored != 0
        misplaced += int(np.count_nonzero((given != 0) != there))
        kept = np.flatnonzero(there)
        wrong += _far_from_nearest(given[kept].astype(np.float64), stored[kept], codebook, slack)
    return misplaced or wrong


def _far_from_nearest(
    value: NDArray[np.float64], code: NDArray[np.uint8], codebook: NDArray[np.float64], slack: float
) -> int:
    """Count values whose codebook value is farther than the nearest one by more than `slack`."""
    distance = np.abs(codebook[code] - value)
    nearest = np.full(value.shape, np.inf)
    for centre in codebook[1:]:
        np.minimum(nearest, np.abs(centre - value), out=nearest)
    return int(np.count_nonzero(distance > nearest + slack))


def _inputs(given: NDArray[Any], rules: Arithmetic, *, n_column: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Raw and real inputs [n_vector, n_column]: zero where an input takes no part, 1.0 for a bias."""
    if given.dtype.kind == "f":
        raw, real = _words(given, rules.activation), given.astype(np.float64)
    else:
        raw, real = given.astype(np.int64), given / 2.0**rules.activation
    takes_part = real > 0 if rules.active == "positive" else real != 0
    raw, real = np.where(takes_part, raw, 0), np.where(takes_part, real, 0.0)
    bias = n_column - given.shape[1]
    if bias:
        raw = np.concatenate([raw, np.full((len(raw), bias), 2**rules.activation)], axis=1)
        real = np.concatenate([real, np.ones((len(real), bias))], axis=1)
    return raw, real


def _words(values: NDArray[Any], bits: int) -> NDArray[np.int64]:
    """Nearest 16-bit words, ties to even, saturating."""
    return np.minimum(np.maximum(np.round(values.astype(np.float64) * 2.0**bits), -32768), 32767).astype(np.int64)


def _float_error(n_term: int) -> float:
    """Relative rounding error of a float64 sum of n_term products (Higham 2002, section 3.1)."""
    unit = (n_term + 1) * float(np.finfo(np.float64).eps) / 2
    return unit / (1 - unit)
