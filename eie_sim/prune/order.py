"""The largest of each row, exactly, without a full sort. Order is (score, place): the first of equals go first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
CountOfRow = int | NDArray[np.int64]

CHUNK = 2**19
"""Scores partitioned at a time where rows are short: what is copied then stays in the cache."""

LONG = 256
"""Rows of fewer places are partitioned as they are."""


def top(rows: Rows, counts: CountOfRow) -> Mask:
    """The counts[s] largest of row s; of equal ones at the threshold those at the higher places.

    rows : floating[n_row, length], above `lowest_score`; a place that can never be chosen holds -inf
    counts : one for every row, or one for all; at most the places of the row that can be chosen
    """
    cut = kth_largest(rows, counts)[:, None]
    mask: Mask = np.greater_equal(rows, cut, order="C")  # so that one flat index finds a place
    wanted = np.broadcast_to(counts, len(rows))
    if np.count_nonzero(mask) != wanted.sum():  # no row has fewer than wanted, but equals at the threshold make more
        _drop_first_of_equals(mask, rows == cut, np.count_nonzero(mask, axis=1) - wanted)
    return mask


def kth_largest(rows: Rows, counts: CountOfRow) -> Rows:
    """The counts[s]-th largest score of row s; inf for the 0-th, -inf beyond the end of the row."""
    n_row, length = rows.shape
    counts = np.broadcast_to(counts, n_row)
    cut = np.empty(n_row, dtype=rows.dtype)
    step = max(1, CHUNK // length)
    for start in range(0, n_row, step):
        some = slice(start, start + step)
        for count in np.unique(counts[some]):
            same = start + np.flatnonzero(counts[some] == count)
            if 0 < count <= length:
                chosen = rows[some] if same.size == len(rows[some]) else rows[same]
                cut[same] = _place(chosen, length - int(count))
            else:
                cut[same] = -np.inf if count else np.inf
    return cut


def _place(rows: Rows, place: int) -> Rows:
    """What would be at a place of every row if the row were sorted.

    Partition takes ten times as long where one value has a large share of a long row, as zeros have in pruned weights.
    They are the lowest of the row: for the partition they become many different numbers, lower than any score.
    """
    sample = rows[:, :: LONG // 16]
    if rows.shape[1] < LONG or np.count_nonzero(sample == sample.min(axis=1, keepdims=True)) < sample.size // 8:
        return np.partition(rows, place, axis=1)[:, place]
    lowest = rows.min(axis=1, keepdims=True)
    others = rows > lowest
    bottom = lowest_score(rows.dtype)
    lower = np.resize(np.linspace(bottom, 1.5 * bottom, 1024, dtype=rows.dtype), rows.shape[1])
    spread = np.where(others, rows, lower)
    spread.partition(place, axis=1)
    found = spread[:, place]
    return np.where(found <= bottom, lowest[:, 0], found)


def lowest_score(dtype: np.dtype[np.floating[Any]]) -> float:
    """Scores are above this number or -inf."""
    return float(np.finfo(dtype).min) / 2


def _drop_first_of_equals(mask: Mask, equal: Mask, surplus: NDArray[np.int64]) -> None:
    """Clear the first surplus[s] of the equal places of row s."""
    n_equal = np.count_nonzero(equal, axis=1)
    first = np.cumsum(n_equal) - n_equal
    within_row = np.arange(surplus.sum()) - np.repeat(np.cumsum(surplus) - surplus, surplus)
    mask.reshape(-1)[np.flatnonzero(equal)[np.repeat(first, surplus) + within_row]] = False
