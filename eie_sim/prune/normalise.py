"""Normalisers: what makes scores of different layers comparable before one threshold cuts them all.

Names are those of Torch-Pruning. A normaliser sees the scores of a layer's groups in one dimension and returns as many
numbers, in any order, but so that a larger score never becomes a smaller number: within a layer the order stays that of
the scores themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eie_sim.core.errors import require, require_one_of
from eie_sim.prune.order import Rows, lowest_score

Normaliser = Callable[[Rows], Rows]


def normalised(scores: Rows, how: str | Normaliser) -> Rows:
    """Scores of one layer, floating[n_group], by a name of NORMALISERS or a function.

    Raises InputError for another name, and where the function does not return as many numbers.
    """
    if callable(how):
        values = np.asarray(how(scores))
        ok = values.shape == scores.shape and values.dtype.kind == "f"
        ok = ok and bool(lowest_score(values.dtype) < values.min() and values.max() < np.inf)
        require(ok, "normalise", values.shape, f"must return {scores.size} finite floating-point numbers, one for each")
        return values
    require_one_of("normalise", how, tuple(NORMALISERS))
    return NORMALISERS[how](scores)


def _over(scores: Rows, by: float) -> Rows:
    return scores / scores.dtype.type(by) if by else scores  # by is 0 only where every score is


def _standardised(scores: Rows) -> Rows:
    low = scores.min()
    return _over(scores - low, float(scores.max() - low))


def _gaussian(scores: Rows) -> Rows:
    centred: Rows = scores - scores.mean(dtype=np.float64).astype(scores.dtype)
    return _over(centred, float(scores.std(dtype=np.float64)))


def _lamp(scores: Rows) -> Rows:
    ascending = np.sort(scores)
    no_smaller = np.cumsum(ascending[::-1], dtype=np.float64)[::-1]
    return np.divide(ascending, no_smaller, out=ascending, where=no_smaller > 0, casting="same_kind")


NORMALISERS: dict[str, Normaliser] = {
    "none": lambda scores: scores,
    "sum": lambda scores: _over(scores, float(scores.sum(dtype=np.float64))),
    "mean": lambda scores: _over(scores, float(scores.mean(dtype=np.float64))),
    "max": lambda scores: _over(scores, float(scores.max())),
    "standarization": _standardised,
    "gaussian": _gaussian,
    "lamp": _lamp,
}
"""By name. standarization: (score - min) / (max - min), spelt as there. gaussian: (score - mean) / standard deviation.

lamp: score over the sum of itself and all that follow in order (Lee et al. 2021, Layer-adaptive sparsity for the
magnitude-based pruning; there of squares, so give it `score.l2`). The last of each layer has 1, the most there is.
"""
