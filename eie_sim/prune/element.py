"""Element-wise pruning, exact about counts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.errors import InputError, require


@dataclass(frozen=True, kw_only=True, eq=False)
class PruneResult:
    """What a pruning step kept.

    mask : bool array of the weights' shape, True where a weight is kept
    asked : density asked for, 0 to 1
    kept, total : counts of weights
    """

    mask: NDArray[np.bool_]
    asked: float
    kept: int
    total: int

    @property
    def achieved(self) -> float:
        """Density reached, kept / total (0 for an empty matrix)."""
        return self.kept / self.total if self.total else 0.0


def keep_count(density: float, total: int) -> int:
    """Weights kept of `total`: total minus the round-half-even count pruned, exact on the decimal value of `density`.

    `density` is read as the decimal a person wrote (0.1 is one tenth, not the nearest binary fraction).
    """
    pruned = round((1 - Fraction(repr(float(density)))) * total)
    return total - pruned


def magnitude(w: ArrayLike, *, density: float) -> PruneResult:
    """Keep the largest weights by magnitude.

    w : real array of any shape, finite
    density : fraction to keep, 0 to 1

    The order is (|w|, flat index), stable: among equal magnitudes the lower index is pruned first.
    Raises InputError for a density outside 0..1 and for NaN or infinite weights.
    """
    weights = np.asarray(w)
    require(0.0 <= density <= 1.0, "density", density, "must be in 0..1")
    score = np.abs(weights).ravel()
    if not np.isfinite(score).all():
        raise InputError("weights: must be finite, found NaN or infinity")
    kept = keep_count(density, score.size)
    mask = np.zeros(score.size, dtype=np.bool_)
    mask[_largest(score, kept)] = True
    return PruneResult(mask=mask.reshape(weights.shape), asked=float(density), kept=kept, total=score.size)


def _largest(score: NDArray[np.floating], count: int) -> NDArray[np.intp]:
    """Flat indices of the `count` largest scores; of equal scores at the threshold, the higher indices."""
    if count == 0:
        return np.empty(0, dtype=np.intp)
    threshold = np.partition(score, score.size - count)[score.size - count]
    above = np.flatnonzero(score > threshold)
    tied = np.flatnonzero(score == threshold)
    return np.concatenate([above, tied[tied.size - (count - above.size) :]])
