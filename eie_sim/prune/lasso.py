"""Channels that a layer can do without: LASSO chooses them, least squares makes up for them.

He, Zhang, Sun 2017, Channel pruning for accelerating very deep neural networks. A channel contributes z_c = x_c w_c' to
the outputs y; those stay whose factor b is not 0 in the least 1/(2m) |y - z b|^2 + alpha |b|_1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import as_floats, require, require_int, require_type
from eie_sim.core.jit import kernel

Floats = NDArray[np.float64]

STEPS = 60
"""Of the bisection of alpha."""

TOLERANCE = 1e-12
"""Largest change of b in the last sweep, relative to the largest |b|."""

MAX_SWEEPS = 100_000
"""Most sweeps of one solution: nearly equal channels converge slowly where alpha is small."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Channels:
    """Which channels stay, and the weights that make up for the others. Unpacks as kept, b, weights, errors.

    kept : int64 [kept], sorted; b : float64 [c], the LASSO's last factors, at `alpha`
    weights : float64 [o, kept, k]; bias : float64 [o], None where the layer has none
    errors : |y - outputs| / |y| with the others zeroed, and with the new weights
    """

    kept: NDArray[np.int64]
    b: Floats
    weights: Floats
    errors: tuple[float, float]
    bias: Floats | None
    alpha: float

    def __iter__(self) -> Iterator[Any]:
        return iter((self.kept, self.b, self.weights, self.errors))


def lasso_channels(
    x: ArrayLike,
    w: ArrayLike,
    y: ArrayLike,
    keep: int,
    rounds: int = 1,
    normalise: bool = False,
    *,
    bias: ArrayLike | None = None,
) -> Channels:
    """Choose the channels of a layer that stay, and fit its weights to them.

    x : [n, c, k], inputs of n output positions from the network as it is pruned so far, k places of the kernel each
    w : [o, c, k], the layer's weights; y : [n, o], outputs of the original network without bias
    keep : channels that stay, 1 to c
    rounds : how often they are chosen: again with the new weights of those kept, and the old ones of the others
    normalise : give every w_c norm 1 first, as the paper does
    bias : [o], the layer's; a constant is then fitted too, and added to it

    alpha is bisected 60 times until as many factors as wanted are not 0; where none does that, the largest |b| of the
    last alpha that left more are kept, of equal ones those of higher index.
    Warn where n o is below c, and where keep is lowered: channels that are all zero go first, and no more than n o can
    stay. Raise InputError for shapes that disagree, numbers that are not finite, keep outside 1..c.
    """
    inputs, weights, outputs = as_floats("x", x), as_floats("w", w), as_floats("y", y)
    require(inputs.ndim == 3 and min(inputs.shape) > 0, "x", f"shape {inputs.shape}", "must be (n, c, k)")
    (n, c, k), rule = inputs.shape, "for this x"
    fits = weights.ndim == 3 and weights.shape[1:] == (c, k) and len(weights) > 0
    require(fits, "w", f"shape {weights.shape}", f"must be (o, {c}, {k}) {rule}")
    o = len(weights)
    require(outputs.shape == (n, o), "y", f"shape {outputs.shape}", f"must be ({n}, {o}) {rule} and w")
    require_int("keep", keep, 1, c)
    require_int("rounds", rounds, 1)
    require_type("normalise", normalise, bool)
    old = None if bias is None else as_floats("bias", bias)
    require(old is None or old.shape == (o,), "bias", "given", f"must be ({o},), as y has outputs")
    if n * o < c:
        warnings.warn(f"n o is {n * o}, below c, {c}: which channels stay is underdetermined", stacklevel=2)
    new, count = weights.copy(), keep
    for _ in range(rounds):
        gram, target = _products(inputs, new, outputs, normalise)
        live = int(np.count_nonzero(np.diagonal(gram)))
        require(live > 0, "x", "all channels", "must have one with inputs and weights that are not 0")
        if count > min(live, n * o):
            count = min(live, n * o)
            reason = f"{c - live} of {c} channels are zero" if live < keep else "n o is no more"
            warnings.warn(f"keep={keep} is lowered to {count}: {reason}", stacklevel=2)
        b, alpha = _factors(gram, target, count)
        kept = np.sort(np.lexsort((-np.arange(c), -np.abs(b)))[:count])
        fitted, constant = _refitted(inputs[:, kept], outputs, old is not None)
        new = weights.copy()
        new[:, kept] = fitted
    before, after = (outputs - np.einsum("nck,ock->no", inputs[:, kept], one) for one in (weights[:, kept], fitted))
    size = float(np.linalg.norm(outputs)) or 1.0
    errors = float(np.linalg.norm(before)) / size, float(np.linalg.norm(after - constant)) / size
    made = None if old is None else old + constant
    return Channels(kept=kept, b=b, weights=fitted, errors=errors, bias=made, alpha=alpha)


def _products(x: Floats, w: Floats, y: Floats, normalise: bool) -> tuple[Floats, Floats]:
    """Z'Z / m [c, c] and Z'y / m [c] without Z [n o, c]: sums over n and over o are of products of their own."""
    (n, c, k), o = x.shape, len(w)
    if normalise:
        sizes = np.linalg.norm(w, axis=(0, 2), keepdims=True)
        w = w / np.where(sizes > 0, sizes, 1.0)
    flat_x, flat_w = x.reshape(n, c * k), w.reshape(o, c * k)
    both = (flat_x.T @ flat_x) * (flat_w.T @ flat_w)
    gram = both.reshape(c, k, c, k).sum(axis=(1, 3)) / (n * o)
    target = ((flat_x.T @ y) * flat_w.T).reshape(c, k, o).sum(axis=(1, 2)) / (n * o)
    zero = ~np.einsum("nck,ock->c", np.abs(x), np.abs(w), optimize=True).astype(bool)
    gram[zero] = gram[:, zero] = target[zero] = 0.0  # rounding leaves no trace of what is nothing
    return gram, target


def _factors(gram: Floats, target: Floats, keep: int) -> tuple[Floats, float]:
    """Factors b [c] of which `keep` are not 0, or the last with more, and their alpha."""
    low, high = 0.0, float(np.abs(target).max())
    more = None
    for _ in range(STEPS):
        alpha = (low + high) / 2
        b = descend(gram, target, alpha, TOLERANCE, MAX_SWEEPS)
        count = np.count_nonzero(b)
        if count == keep:
            return b, alpha
        if count > keep:
            low, more = alpha, b
        else:
            high = alpha
    return (descend(gram, target, 0.0, TOLERANCE, MAX_SWEEPS), 0.0) if more is None else (more, low)


def _refitted(x: Floats, y: Floats, with_constant: bool) -> tuple[Floats, Floats]:
    """The smallest weights [o, kept, k] of least squares, and the constant [o], 0 unless asked."""
    n, kept, k = x.shape
    columns = x.reshape(n, kept * k)
    if with_constant:
        columns = np.hstack([columns, np.ones((n, 1))])
    solved = np.asarray(np.linalg.lstsq(columns, y, rcond=None)[0].T, dtype=np.float64)
    constant: Floats = solved[:, -1] if with_constant else np.zeros(y.shape[1])
    return solved[:, : kept * k].reshape(-1, kept, k), constant


@kernel
def descend(gram, target, alpha, tolerance, max_sweeps):
    """The least b'G b / 2 - t'b + alpha |b|_1 by coordinate descent from 0 in order of index; 0 where G is 0."""
    c = len(target)
    b = np.zeros(c)
    left = target.copy()  # t - G b
    for _ in range(max_sweeps):
        largest, moved = 0.0, 0.0
        for j in range(c):
            if gram[j, j] <= 0.0:
                continue
            pull = left[j] + gram[j, j] * b[j]
            value = 0.0
            if pull > alpha:
                value = (pull - alpha) / gram[j, j]
            elif pull < -alpha:
                value = (pull + alpha) / gram[j, j]
            change = value - b[j]
            if change != 0.0:
                b[j] = value
                for i in range(c):
                    left[i] -= gram[j, i] * change
            largest = max(largest, abs(value))
            moved = max(moved, abs(change))
        if moved <= tolerance * largest:
            break
    return b
