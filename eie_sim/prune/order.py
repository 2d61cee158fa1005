"""The largest of each row, exactly, without a full sort. Order is (score, place): the first of equals go first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
CountOfRow = int | NDArray[np.int64]

CHUNK = 2**19
"""Scores partitioned at a time where rows are short: what is copied then stays in the cache."""

SHORT = 8
"""Rows of at most so many places are put in order place by place, all of them at once."""

LONG = 256
"""Rows of fewer places are partitioned as they are."""

VAST = 2**18
"""Rows of more places are not copied: only what a sample of them says is near the place is partitioned."""

SAMPLE_STEP = 499
"""Places of a row for one of its sample; a prime, so that it does not fall in step with the rows of a matrix."""

MARGIN = 6
"""Standard deviations by which a place of the sample may miss the place that it stands for."""


def top(rows: Rows, counts: CountOfRow) -> Mask:
    """The counts[s] largest of row s; of equal ones at the threshold those at the higher places.

    rows : floating[n_row, length], above `lowest_score`; a place that can never be chosen holds -inf
    counts : one for every row, or one for all; at most the places of the row that can be chosen
    """
    mask = np.empty(rows.shape, dtype=np.bool_)
    for some, part, wanted in _chunks(rows, counts):
        cut, chosen = _cut(part, wanted)[:, None], mask[some]
        np.greater_equal(part, cut, out=chosen)
        total = np.broadcast_to(wanted, len(part)).sum()
        if np.count_nonzero(chosen) != total:  # no row has fewer than wanted, but equals at the threshold make more
            _drop_first_of_equals(chosen, part == cut, np.count_nonzero(chosen, axis=1) - wanted)
    return mask


def kth_largest(rows: Rows, counts: CountOfRow) -> Rows:
    """The counts[s]-th largest score of row s; inf for the 0-th, -inf beyond the end of the row."""
    cut = np.empty(len(rows), dtype=rows.dtype)
    for some, part, wanted in _chunks(rows, counts):
        cut[some] = _cut(part, wanted)
    return cut


def _chunks(rows: Rows, counts: CountOfRow) -> Iterator[tuple[slice, Rows, CountOfRow]]:
    """A few rows at a time, with their counts, or the one for all."""
    step = max(1, CHUNK // rows.shape[1])
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        yield some, rows[some], counts if np.ndim(counts) == 0 else np.asarray(counts)[some]


def _cut(rows: Rows, counts: CountOfRow) -> Rows:
    """Return what `kth_largest` says, for the rows of one chunk."""
    if np.ndim(counts) == 0:
        return _largest(rows, int(counts))
    of_each, cut = np.asarray(counts), np.empty(len(rows), dtype=rows.dtype)
    for count in np.unique(of_each):
        same = np.flatnonzero(of_each == count)
        cut[same] = _largest(rows if same.size == len(rows) else rows[same], int(count))
    return cut


def _largest(rows: Rows, count: int) -> Rows:
    """The `count`-th largest score of every row."""
    n_row, length = rows.shape
    if not 0 < count <= length:
        return np.full(n_row, -np.inf if count else np.inf, dtype=rows.dtype)
    if length <= SHORT:
        return _bubbled(rows, length - count)
    if length > VAST:
        return np.array([_near(row, length - count) for row in rows], dtype=rows.dtype)
    return _place(rows, length - count)


def _bubbled(rows: Rows, place: int) -> Rows:
    """Return what `_place` does, for short rows: the largest left moves to the end, until the place is reached."""
    columns: list[Rows] = list(rows.T.copy())  # its own, to be overwritten
    spare = np.empty_like(columns[0])
    for end in range(len(columns) - 1, place - 1, -1):
        for at in range(end):
            left, right = columns[at], columns[at + 1]
            np.minimum(left, right, out=spare)
            np.maximum(left, right, out=right)
            columns[at], spare = spare, left
    return columns[place]


def _near(row: Rows, place: int) -> Any:
    """Return what `_place` does, for one vast row: two scores of a sample enclose the place, few others lie between."""
    sample = np.sort(row[::SAMPLE_STEP])
    share = place / row.size
    middle, margin = share * sample.size, MARGIN * math.sqrt(share * (1 - share) * sample.size) + MARGIN
    low = sample[int(middle - margin)] if middle >= margin else -np.inf
    high = sample[int(middle + margin)] if middle + margin < sample.size else np.inf
    below = low_or_below = highs = 0
    between = []
    for start in range(0, row.size, CHUNK):
        part = row[start : start + CHUNK]
        below += int(np.count_nonzero(part < low))
        low_or_below += int(np.count_nonzero(part <= low))
        highs += int(np.count_nonzero(part == high))
        between.append(part[(part > low) & (part < high)])
    found = np.concatenate(between)
    if below <= place < low_or_below:
        return low
    if low_or_below <= place < low_or_below + found.size:
        found.partition(place - low_or_below)
        return found[place - low_or_below]
    if low_or_below + found.size <= place < low_or_below + found.size + highs:
        return high
    return _place(row[None], place)[0]  # a sample that misleads, as of a row with a period


def _place(rows: Rows, place: int) -> Rows:
    """Return the score at a place of every row as if the row were sorted.

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
