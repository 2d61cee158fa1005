"""Scores: how much is lost where a weight, or a neuron, goes. The larger the score, the longer it stays.

A score is an array of real numbers >= 0: of the weights' shape, or one for each group of a pattern, as neurons. A
criterion of your own is any function that returns such an array. Everything here raises InputError for arrays that are
empty, 0-d, not real, not finite, or of a shape that does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, is_number, require, require_seed

Reals = NDArray[np.floating[Any]]

__all__ = ["apoz", "bn_scale", "l1", "l2", "lp", "random", "taylor_first", "taylor_second", "wanda"]


def as_reals(field: str, values: ArrayLike) -> Reals:
    """`values` as a floating array, not empty and finite; floats of up to 64 bits are not copied."""
    array = as_array(field, values)
    require(array.dtype.kind in "biuf", field, f"dtype {array.dtype}", "must be real numbers")
    rule = "must have at least one dimension and one element"
    require(array.ndim > 0 and array.size > 0, field, f"shape {array.shape}", rule)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float32 if array.dtype.itemsize <= 2 else np.float64)
    if not (-math.inf < array.min() and array.max() < math.inf):  # NaN is neither; cheaper than a mask of the finite
        refuse(field, array, ~np.isfinite(array), "must be finite")
    return array


def as_scores(field: str, values: ArrayLike, rule: str = "must be >= 0, as score.l1(weights)") -> Reals:
    """`values` as scores: real, finite, >= 0. So weights that were passed without their sign taken off are refused."""
    array = as_reals(field, values)
    if array.min() < 0:
        refuse(field, array, array < 0, rule)
    return array


def refuse(field: str, array: NDArray[Any], bad: NDArray[np.bool_], rule: str) -> None:
    """Raise InputError with place and value of the first bad element."""
    where = tuple(int(i) for i in np.argwhere(bad)[0])
    raise InputError(f"{field}[{', '.join(map(str, where))}]={array[where]}: {rule}")


def as_finite(field: str, value: Any, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """A number as a float. Raises InputError for any but a finite one, above one bound and not below another."""
    try:
        number = float(value) if is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    bounds = (f" above {above}" if above > -math.inf else "") + (f" >= {least}" if least > -math.inf else "")
    ok = above < number < math.inf and number >= least
    require(
        ok,
        field,
        value if is_number(value) else repr(value),
        f"must be a finite number{bounds}" if bounds else "must be finite and real",
    )
    return number


def as_shape(field: str, values: Any) -> tuple[int, ...]:
    """`values` as the shape of an array that is not empty. Raises InputError for anything else."""
    ok = isinstance(values, (list, tuple)) and len(values) > 0
    ok = ok and all(isinstance(size, (int, np.integer)) and size >= 1 for size in values)
    require(ok, field, values, "must be integers >= 1")
    return tuple(map(int, values))


def l1(w: ArrayLike) -> Reals:
    """|w|, of the weights' shape and type. Summed over a group it is the group's L1 norm."""
    return np.abs(as_reals("weights", w))


def l2(w: ArrayLike) -> Reals:
    """w**2. Summed over a group it is the square of its L2 norm, which has the same order.

    For the norm itself use `l1` and a pattern with reduce="l2".
    """
    weights = as_reals("weights", w)
    with np.errstate(over="ignore"):  # a pattern refuses what is not finite
        return np.square(weights)


def lp(w: ArrayLike, p: float) -> Reals:
    """|w|**p, for p > 0. Summed over a group it is the p-th power of its Lp norm, which has the same order."""
    power = as_finite("p", p, above=0)
    weights = as_reals("weights", w)
    with np.errstate(over="ignore"):
        return np.asarray(np.abs(weights) ** power)


def bn_scale(gamma: ArrayLike) -> Reals:
    """|gamma| of a layer's BatchNorm, one for each neuron or filter (Liu et al. 2017, Network slimming, section 3).

    gamma : real[out]
    """
    scale = as_reals("gamma", gamma)
    require(scale.ndim == 1, "gamma", f"shape {scale.shape}", "must be (out,)")
    return np.abs(scale)


def taylor_first(w: ArrayLike, gradients: ArrayLike) -> Reals:
    """|w g|: the first-order change of the loss where w becomes 0 (Molchanov et al. 2019, section 3).

    gradients : of the weights' shape, or of each sample, (n_sample, *shape), whose mean is taken

    Summed over a group it is what LLM-Pruner calls param_first.
    """
    weights, slopes = as_reals("weights", w), as_reals("gradients", gradients)
    if slopes.ndim == weights.ndim + 1:
        _require_samples(weights, slopes)
        slopes = _mean_of_samples(slopes)
    _require_shape("gradients", slopes, weights)
    with np.errstate(over="ignore"):
        return np.abs(weights * slopes)


def taylor_second(w: ArrayLike, gradients: ArrayLike | None = None, *, diagonal: ArrayLike | None = None) -> Reals:
    """Half of h w**2, h the diagonal of the Hessian (LeCun, Denker, Solla 1990, Optimal brain damage).

    gradients : of each sample, (n_sample, *shape); h is then the mean of their squares, the empirical Fisher diagonal
    diagonal : h itself, of the weights' shape, >= 0; give one of the two
    """
    if (gradients is None) == (diagonal is None):
        raise InputError("gradients and diagonal: give exactly one of the two")
    weights = as_reals("weights", w)
    if gradients is None:
        h = as_scores("diagonal", diagonal, "must be >= 0")  # type: ignore[arg-type]  # one of the two is given
        _require_shape("diagonal", h, weights)
    else:
        slopes = as_reals("gradients", gradients)
        _require_samples(weights, slopes)
        h = np.einsum("s...,s...->...", slopes, slopes) / len(slopes)  # every sample counts, and no array of squares
    with np.errstate(over="ignore", invalid="ignore"):
        return as_reals("scores", np.square(weights) * h / 2)


def apoz(activations: ArrayLike) -> Reals:
    """1 - APoZ, the share of a neuron's or channel's activations that is not zero (Hu et al. 2016, Network trimming).

    activations : after the ReLU, (n_sample, n_out) or (n_sample, n_out, ...) with positions; returns float64[n_out]

    APoZ itself is the average percentage of zeros; one minus it, so that more is to be kept as with every score.
    """
    recorded = as_reals("activations", activations)
    require(recorded.ndim >= 2, "activations", f"shape {recorded.shape}", "must be (n_sample, n_out, ...)")
    others = tuple(axis for axis in range(recorded.ndim) if axis != 1)
    return np.asarray(np.count_nonzero(recorded, axis=others) / (recorded.size // recorded.shape[1]))


def wanda(w: ArrayLike, inputs: ArrayLike) -> Reals:
    """|w| times the L2 norm of the weight's input over the calibration vectors (Sun et al. 2024, Wanda, section 3).

    w : (out, in); inputs : (n_vector, in)

    Wanda compares within a row: use `pattern.per_row(rule="wanda")`, or `pattern.nm`.
    """
    weights, vectors = as_reals("weights", w), as_reals("inputs", inputs)
    require(weights.ndim == 2, "weights", f"shape {weights.shape}", "must be (out, in)")
    ok = vectors.ndim == 2 and vectors.shape[1] == weights.shape[1]
    require(ok, "inputs", f"shape {vectors.shape}", f"must be (n_vector, {weights.shape[1]}) for these weights")
    with np.errstate(over="ignore", invalid="ignore"):
        squares: Reals = np.einsum("vi,vi->i", vectors, vectors, dtype=np.float64)
        scores = (np.abs(weights) * np.sqrt(squares)).astype(weights.dtype)
    return as_reals("scores", scores)  # refused here where too large for their type


def random(shape: Sequence[Any], *, seed: int) -> Reals:
    """Uniform scores in 0..1, the baseline that every criterion has to beat: float64, the same for the same seed."""
    sizes = as_shape("shape", shape)
    require_seed(seed)
    return np.random.default_rng(seed).random(sizes)


def _mean_of_samples(samples: Reals) -> Reals:
    """Return the mean over the first axis: finite where the samples are, whatever their sum."""
    share: Reals = np.einsum("s...,s->...", samples, np.full(len(samples), 1 / len(samples)), dtype=np.float64)
    return share.astype(samples.dtype)


def _require_shape(field: str, array: NDArray[Any], weights: NDArray[Any]) -> None:
    require(array.shape == weights.shape, field, f"shape {array.shape}", f"must be the weights' shape, {weights.shape}")


def _require_samples(weights: NDArray[Any], gradients: NDArray[Any]) -> None:
    expected = f"(n_sample, {', '.join(map(str, weights.shape))}) for these weights"
    require(gradients.shape[1:] == weights.shape, "gradients", f"shape {gradients.shape}", f"must be {expected}")
