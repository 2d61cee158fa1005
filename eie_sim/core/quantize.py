"""Shared-weight codebooks by one-dimensional k-means, and the choice of fixed-point scales.

Source: Han, Mao, Dally, "Deep Compression" (ICLR 2016), section 3; linear initialisation, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import require, require_int
from eie_sim.core.fixed import MAX_FRACTIONAL_BITS, MIN_FRACTIONAL_BITS, largest_fractional_bits

MAX_ROUNDS = 300
"""Most iterations of k-means, which then ends although its centroids still move."""

FEW = 64
"""Thresholds that it is faster to compare every weight with than to search."""

CHUNK = 2**15
"""Weights that are put into clusters at a time, so that they stay in the cache."""

WORD_RANGE = MIN_FRACTIONAL_BITS, MAX_FRACTIONAL_BITS
ACCUMULATOR_RANGE = 2 * MIN_FRACTIONAL_BITS, 2 * MAX_FRACTIONAL_BITS
RANGE_WITH_BIAS = 0, 14
"""Fractional bits of an activation beside a bias, which is driven by 1.0: that has to be a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Fractional bits: of weights and activations -15..30, of accumulators -30..60; None where not chosen yet.

    Raises InputError where one is out of range or the accumulator has more than weight + activation.
    """

    weight: int | None = None
    activation: int | None = None
    accumulator: int | None = None

    def __post_init__(self) -> None:
        for name in ("weight", "activation", "accumulator"):
            bits = getattr(self, name)
            if bits is not None:
                require_int(f"scales.{name}", bits, *(ACCUMULATOR_RANGE if name == "accumulator" else WORD_RANGE))
                object.__setattr__(self, name, int(bits))  # numpy's small integers would overflow in 2**bits
        if self.weight is not None and self.activation is not None and self.accumulator is not None:
            most = self.weight + self.activation
            rule = f"must be <= weight + activation = {most}"
            require(self.accumulator <= most, "scales.accumulator", self.accumulator, rule)

    def require_bias_driven(self) -> None:
        """Raise InputError where an activation of 1.0, which drives a bias, is no word."""
        low, high = RANGE_WITH_BIAS
        rule = f"must be in {low}..{high} beside a bias, which 1.0 drives"
        require(self.activation is None or low <= self.activation <= high, "scales.activation", self.activation, rule)

    @property
    def complete(self) -> bool:
        """True when all three are chosen."""
        return None not in (self.weight, self.activation, self.accumulator)

    @property
    def shift(self) -> int:
        """Right shift of a product to the accumulator's scale. Only where `complete`."""
        assert self.weight is not None and self.activation is not None and self.accumulator is not None
        return self.weight + self.activation - self.accumulator

    def to_dict(self) -> dict[str, int | None]:
        """The three counts of fractional bits by name."""
        return {"weight": self.weight, "activation": self.activation, "accumulator": self.accumulator}


def magnitude_of(values: ArrayLike) -> float:
    """Largest magnitude, 0 for an empty array."""
    array = np.asarray(values)
    if array.size == 0:
        return 0.0
    return max(float(array.max()), -float(array.min()))


def weight_scale(codebook: NDArray[np.float64]) -> int:
    """Fractional bits for the codebook's values."""
    return largest_fractional_bits(magnitude_of(codebook), *WORD_RANGE)


def activation_scale(activations: NDArray[np.floating], *, has_bias: bool) -> int:
    """Fractional bits for the activations; beside a bias 0 to 14, and what is too large for 0 saturates."""
    return largest_fractional_bits(magnitude_of(activations), *(RANGE_WITH_BIAS if has_bias else WORD_RANGE))


def accumulator_scale(outputs: NDArray[np.floating], *, weight: int, activation: int) -> int:
    """Fractional bits for the accumulators, from the float outputs with one bit of headroom."""
    low, high = ACCUMULATOR_RANGE
    return largest_fractional_bits(2.0 * magnitude_of(outputs), low, min(high, weight + activation))


def cluster(weights: NDArray[np.floating], n_codes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One-dimensional k-means from centroids spaced evenly, minimum to maximum, until they repeat, or MAX_ROUNDS.

    weights : finite surviving weights, any order, 1-D
    n_codes : clusters, >= 1

    Returns (centroids float64[n_codes] ascending, thresholds float64[n_codes - 1], half-way between them): a weight
    belongs to the number of thresholds below it, so one on a threshold goes to the lower centroid. A cluster without
    weights stays where it is.
    Deterministic; sorting once makes a round cost n_codes searches, whatever the number of weights.
    """
    if weights.size == 0:
        return np.zeros(n_codes), np.zeros(n_codes - 1)
    ordered = np.sort(weights)
    total = np.concatenate([[0.0], np.cumsum(ordered, dtype=np.float64)])
    centroids = np.linspace(float(ordered[0]), float(ordered[-1]), n_codes)
    starts: NDArray[np.intp] | None = None
    by_cluster = False
    for left in reversed(range(MAX_ROUNDS)):
        inner = np.searchsorted(ordered, _cuts(_thresholds(centroids), ordered.dtype), side="right")
        before, starts = starts, np.concatenate([[0], inner, [ordered.size]])
        repeats = before is not None and np.array_equal(starts, before)
        if repeats and by_cluster:
            break
        # Differences of running totals lose clusters of small weights beside large ones, so the last rounds sum anew.
        by_cluster = by_cluster or repeats or left == 0
        sums = _sums(ordered, starts) if by_cluster else np.diff(total[starts])
        centroids = _means(ordered, starts, sums, centroids)
    return centroids, _thresholds(centroids)


def _means(
    ordered: NDArray[np.floating],
    starts: NDArray[np.intp],
    sums: NDArray[np.float64],
    centroids: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Means of clusters, ranges of ordered weights from one of n_codes + 1 starts to the next; where empty as before.

    Rounding must not take a mean out of its cluster, or the centroids would be out of order.
    """
    counts = np.diff(starts)
    first, last = ordered[np.minimum(starts[:-1], ordered.size - 1)], ordered[starts[1:] - 1]
    return np.where(counts > 0, np.minimum(np.maximum(sums / np.maximum(counts, 1), first), last), centroids)


def _thresholds(centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    """Middles between neighbours."""
    return np.asarray((centroids[:-1] + centroids[1:]) / 2)


def _cuts(thresholds: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.floating]:
    """The largest values of the weights' own type that are not above the thresholds: the same weights are above them.

    Comparing float32 with float32 is faster than with float64.
    """
    cuts = thresholds.astype(dtype)
    return np.where(cuts > thresholds, np.nextafter(cuts, dtype.type(-np.inf)), cuts)


def _sums(ordered: NDArray[np.floating], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.array([ordered[a:b].sum(dtype=np.float64) for a, b in pairwise(starts)])


def assign(weights: NDArray[np.floating], thresholds: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Cluster of each weight, 0 to len(thresholds), in the weights' shape."""
    cuts = _cuts(thresholds, weights.dtype)
    if cuts.size > FEW:
        return np.searchsorted(cuts, weights, side="left").astype(np.uint8)
    flat, clusters = weights.reshape(-1), np.zeros(weights.size, dtype=np.uint8)
    for start in range(0, flat.size, CHUNK):
        part, of_part = flat[start : start + CHUNK], clusters[start : start + CHUNK]
        for cut in cuts:
            of_part += part > cut
    return clusters.reshape(weights.shape)
