"""One ordering of a layer's weights for all densities of a sweep.

Pruning by magnitude to a lower density takes weights away and moves none, so that a single number says of every weight
at which densities it is there: its level. The masks are those of `prune.magnitude`, ties included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import require_finite
from eie_sim.core.jit import kernel
from eie_sim.core.sparse import is_sparse
from eie_sim.prune import keep_count

NEVER = 255
"""Level of a weight that no density keeps."""

MAX_DENSITIES = NEVER - 1
"""Most densities of one ordering."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ordering:
    """Non-zeros column by column with their levels; weights that no density keeps are left out.

    densities : ascending
    starts : int64[n_in + 1], where each column begins; rows : int32[n_kept]
    levels : uint8[n_kept], place of the least density that keeps the weight
    """

    densities: tuple[float, ...]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    levels: NDArray[np.uint8]

    def at(self, density: float) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Starts int64[n_in + 1] and rows int32[n_weight] of what is there at one of the densities."""
        level = self.densities.index(density)
        starts = np.zeros_like(self.starts)
        _count_kept(self.starts, self.levels, level, starts)
        np.cumsum(starts, out=starts)
        rows = np.empty(starts[-1], dtype=np.int32)
        _fill_kept(self.rows, self.levels, level, rows)
        return starts, rows


def ordering(weights: Any, densities: Sequence[float]) -> Ordering:
    """Order real weights [n_out, n_in], numpy or a csc_array, for densities 0 to 1, at most MAX_DENSITIES of them.

    Raises InputError for weights that are not finite.
    """
    ascending = tuple(sorted(set(densities)))
    size = weights.shape[0] * weights.shape[1]
    counts = np.array([keep_count(density, size) for density in ascending], dtype=np.int64)
    if is_sparse(weights):
        by_row = weights.tocsr()
        by_row.sort_indices()  # ties are kept by place, row after row
        by_row.data = _levels(by_row.data, counts)
        by_column = by_row.tocsc()
        return _without_never(ascending, by_column.indptr.astype(np.int64), by_column.indices, by_column.data)
    dense = np.ascontiguousarray(weights)
    levels = _levels(dense.reshape(-1), counts).reshape(dense.shape)
    starts = np.zeros(dense.shape[1] + 1, dtype=np.int64)
    _count_columns(levels, starts)
    np.cumsum(starts, out=starts)
    rows, of_rows = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.uint8)
    _fill_columns(levels, starts[:-1].copy(), rows, of_rows)
    return Ordering(densities=ascending, starts=starts, rows=rows, levels=of_rows)


def _without_never(
    densities: tuple[float, ...], starts: NDArray[np.int64], rows: NDArray[Any], levels: NDArray[np.uint8]
) -> Ordering:
    whole = Ordering(densities=densities, starts=starts, rows=rows.astype(np.int32), levels=levels)
    kept = levels != NEVER
    fewer = np.zeros_like(starts)
    _count_kept(starts, levels, NEVER - 1, fewer)
    return Ordering(densities=densities, starts=np.cumsum(fewer), rows=whole.rows[kept], levels=levels[kept])


def _levels(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The level of every value, uint8[n]; zeros are never there. counts : ascending, how many each density keeps."""
    require_finite("weights", values)
    levels = np.full(len(values), NEVER, dtype=np.uint8)
    scores = np.abs(values)
    there = scores if scores.all() else scores[scores > 0]
    counts = np.minimum(counts, len(there))
    some = np.flatnonzero(counts)
    if not some.size:
        return levels
    places = len(there) - counts[some]
    cuts = np.partition(there, np.unique(places))[places]  # descending: more are kept further on
    above = np.zeros(len(cuts) + 1, dtype=np.int64)
    _level_above(scores, cuts, int(some[0]), levels, above)
    surplus = counts[some] - np.cumsum(above)[:-1]
    _level_equal(scores, cuts, int(some[0]), surplus, levels)
    return levels


# cuts descend: cuts[j] is the least score that density first + j keeps. The search holds cuts[:low] >= score and
# cuts[high:] < score, so it ends at the first density that keeps the score for being above its cut; scores equal to a
# cut are left to `_level_equal`.
@kernel
def _level_above(scores, cuts, first, levels, above):
    """Level of every score by the first cut below it; above[j] counts the scores whose first such cut is j."""
    for i in range(len(scores)):
        score = scores[i]
        low, high = 0, len(cuts)
        while low < high:
            middle = (low + high) // 2
            if cuts[middle] < score:
                high = middle
            else:
                low = middle + 1
        above[low] += 1
        if low < len(cuts):
            levels[i] = first + low


# surplus[j] is how many scores equal to cuts[j] density first + j keeps. Equal cuts are a run begin .. after - 1 whose
# surplus ascends, and seen[begin] counts the equal scores at higher places: the first density of the run with a surplus
# above that keeps the score, or else it has the level that `_level_above` gave it.
@kernel
def _level_equal(scores, cuts, first, surplus, levels):
    """Keep as many scores equal to a cut as are wanted, those at the higher places."""
    seen = np.zeros(len(cuts), dtype=np.int64)
    for i in range(len(scores) - 1, -1, -1):
        score = scores[i]
        if score == 0 or score < cuts[-1]:
            continue
        after = levels[i] - first if levels[i] != 255 else len(cuts)
        if after == 0 or cuts[after - 1] != score:
            continue
        begin = after - 1
        while begin > 0 and cuts[begin - 1] == score:
            begin -= 1
        for j in range(begin, after):
            if surplus[j] > seen[begin]:
                levels[i] = first + j
                break
        seen[begin] += 1


@kernel
def _count_columns(levels, starts):
    """starts[j + 1] = what any density keeps of column j."""
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            starts[j + 1] += levels[i, j] != 255


@kernel
def _fill_columns(levels, cursor, rows, of_rows):
    """Rows and levels column by column; cursor starts at each column's first place."""
    for i in range(levels.shape[0]):
        for j in range(levels.shape[1]):
            if levels[i, j] != 255:
                at = cursor[j]
                rows[at] = i
                of_rows[at] = levels[i, j]
                cursor[j] = at + 1


@kernel
def _count_kept(starts, levels, level, kept):
    """kept[j + 1] = weights of column j at or below a level."""
    for j in range(len(starts) - 1):
        count = 0
        for at in range(starts[j], starts[j + 1]):
            count += levels[at] <= level
        kept[j + 1] = count


@kernel
def _fill_kept(rows, levels, level, kept):
    """Rows at or below a level, in order."""
    n = 0
    for at in range(len(rows)):
        if levels[at] <= level:
            kept[n] = rows[at]
            n += 1
