"""Pareto fronts: the rows that no other row beats, how good a front is, and which of its rows to name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from eie_sim.core.errors import as_floats, require, require_type, unknown
from eie_sim.core.numbers import counted
from eie_sim.study.showing import FIRST_ROWS, rows_card, varying
from eie_sim.study.table import Bools, Floats, Places, Row, Rows, as_rows

CHUNK = 1024
"""Points that are compared with as many others at once."""


class Objective(NamedTuple):
    """A figure that rows are judged by: its unit, its meaning, and whether more of it is better."""

    unit: str
    meaning: str
    maximise: bool = False


OBJECTIVES = {
    "cycles": Objective("cycles", "cycles of all vectors"),
    "time_us": Objective("us", "time at the design's clock"),
    "energy_nj": Objective("nJ", "energy of all vectors"),
    "area_mm2": Objective("mm2", "area of the design"),
    "bytes": Objective("bytes", "compressed weights with all that belongs to them, and a bias that is stored"),
    "accuracy": Objective("0 to 1", "share of test inputs classified as labelled", maximise=True),
    "load_balance": Objective("0 to 1", "mean over largest busy cycles of the units", maximise=True),
    "effective_gops": Objective("GOP/s", "operations of effectual MACs over time", maximise=True),
    "utilisation": Objective("0 to 1", "share of the units' cycles in useful work", maximise=True),
}


@dataclass(frozen=True, kw_only=True)
class Front:
    """Rows that no other row beats, as `front` finds them.

    rows : as they were given, by the first objective, best first, then by the next; equal ones in the order given
    objectives : names, in order
    left_out : rows that were not looked at, by the field that is the reason: `error`, `fits`, or a missing objective
    """

    rows: Sequence[dict[str, Any]]
    objectives: tuple[str, ...]
    left_out: dict[str, int]

    def _repr_html_(self) -> str:
        """Return the table of a notebook: the first rows, best in the first objective, and how many there are."""
        lines = [f"{counted(number, 'row')} left out: {reason}" for reason, number in self.left_out.items()]
        title = f"not beaten in {', '.join(self.objectives)}: {len(self.rows):,}"
        first = self.rows[:FIRST_ROWS]
        return rows_card(title, first, varying(self.rows), total=len(self.rows), lines=lines, more=self.objectives)


def front(rows: Sequence[Row], objectives: Sequence[str], *, all_rows: bool = False) -> Front:
    """Rows that no other row beats: none is as good in every objective and better in one.

    rows : flat, field to value; those with an `error`, and those where an objective is None or absent, are left out
    objectives : two or more names of OBJECTIVES
    all_rows : take also rows of designs whose memories do not hold the layer, where `fits` is false

    Of rows with equal values in all objectives either all are in the front or none. Exact, as floats; of two or three
    objectives 2,000,000 rows take seconds. Raises InputError for unknown or repeated objectives, and for values that
    are no finite numbers.
    """
    places, points, left_out = judged(rows, objectives, all_rows=all_rows)
    good = np.flatnonzero(undominated(points))
    order = places[good[np.lexsort(points[good].T[::-1])]]
    best: Any = rows.take(order) if isinstance(rows, Rows) else [rows[at] for at in order]
    return Front(rows=best, objectives=tuple(objectives), left_out=left_out)


def judged(
    rows: Sequence[Row], objectives: Sequence[str], *, all_rows: bool = False
) -> tuple[Places, Floats, dict[str, int]]:
    """Numbers of the rows that take part in a front, their `costs`, and how many do not, as `Front.left_out` has it."""
    names = require_objectives(objectives)
    columns = as_rows(rows, ("error", "fits", *names))
    failed = columns.where("error", lambda error: error is not None)
    unfit = ~failed & (not all_rows) & columns.where("fits", lambda fits: fits is not None and not fits)
    left = np.flatnonzero(~failed & ~unfit)
    left_out = {"error": int(failed.sum()), "fits": int(unfit.sum())}
    points = _points(columns.take(left), names)
    for at, name in enumerate(names):
        missing = np.isnan(points[:, at])
        left, points, left_out[name] = left[~missing], points[~missing], int(missing.sum())
    return left, points, {reason: number for reason, number in left_out.items() if number}


def costs(rows: Sequence[Row], objectives: Sequence[str]) -> Floats:
    """Values of the objectives, float64[n_row, n_objective], all to be made small: those to be made large are negated.

    Raises InputError for unknown objectives, and for values that are missing or no finite numbers.
    """
    names = require_objectives(objectives)
    found = _points(as_rows(rows, names), names)
    for at, name in enumerate(names):
        require(not np.isnan(found[:, at]).any(), name, None, "must be a finite number")
    return found


def _points(rows: Rows, names: Sequence[str]) -> Floats:
    """`costs` with NaN where a value is missing."""
    columns = [-rows.numbers(name) if OBJECTIVES[name].maximise else rows.numbers(name) for name in names]
    return np.stack(columns, axis=1)


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume that points, each a box up to the reference, cover together; the larger, the better. Exact, not sampled.

    points : [n, n_dimension], coordinates to be made small, as `costs` gives
    reference : [n_dimension]; points that are not below it in every coordinate add nothing

    The last coordinate is cut into slabs, down to two dimensions: n points take about n**(n_dimension - 2) sweeps.
    Raises InputError for shapes that do not agree, and for what is not finite.
    """
    corner = as_floats("reference", reference)
    require(corner.ndim == 1 and corner.size > 0, "reference", f"shape {corner.shape}", "must be one point")
    boxes = as_floats("points", points)
    boxes = boxes.reshape(0, corner.size) if boxes.size == 0 else boxes
    rule = f"must be [n, {corner.size}], as many coordinates as the reference"
    require(boxes.ndim == 2 and boxes.shape[1] == corner.size, "points", f"shape {boxes.shape}", rule)
    return _volume(boxes[(boxes < corner).all(axis=1)], corner)


def _volume(points: Floats, reference: Floats) -> float:
    """Hypervolume of points that are all below the reference."""
    if len(points) == 0:
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points.min())
    points = points[undominated(points)]
    if len(reference) == 2:
        points = points[np.argsort(points[:, 0], kind="stable")]
        widths = np.diff(points[:, 0], append=reference[0])
        return float(widths @ (reference[1] - points[:, 1]))
    levels = np.unique(points[:, -1])
    heights = np.diff(levels, append=reference[-1])
    slabs = (_volume(points[points[:, -1] <= level, :-1], reference[:-1]) for level in levels)
    return float(sum(height * slab for height, slab in zip(heights, slabs, strict=True)))


def knee(rows: Sequence[Row], objectives: Sequence[str]) -> dict[str, Any]:
    """The row to name on a front: the nearest to having the best value in every objective.

    Each objective is scaled to 0 (best of these rows) to 1 (worst of these rows), and counts 0 where all are equal; the
    distance is Euclidean. Of rows equally near it is the first. Raises InputError for no rows.
    """
    points = costs(rows, objectives)
    require(len(points) > 0, "rows", "none", "must be at least one")
    best, span = points.min(axis=0), np.ptp(points, axis=0)
    scaled = (points - best) / np.where(span > 0, span, 1.0)
    return rows[int(np.argmin((scaled**2).sum(axis=1)))]  # type: ignore[return-value]  # handed back as it came


def require_objectives(objectives: Any) -> tuple[str, ...]:
    """The names, in order. Raises InputError unless they are two or more of OBJECTIVES, none of them twice."""
    require_type("objectives", objectives, list, tuple)
    for at, name in enumerate(objectives):
        if not isinstance(name, str) or name not in OBJECTIVES:
            raise unknown("objectives", name, OBJECTIVES)
        require(name not in objectives[:at], "objectives", name, "must not be named twice")
    require(len(objectives) > 1, "objectives", ", ".join(objectives) or "none", "must be two or more")
    return tuple(objectives)


def undominated(points: Floats) -> Bools:
    """Which points, [n, n_dimension] and finite, no other beats; equal ones stay or go together.

    Of distinct points in lexicographic order those stay that no earlier one is <= in all coordinates but the first: an
    earlier one is <= in the first, and < somewhere, so it beats, and no later one can.
    """
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    new = np.ones(len(points), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    rest = ordered[new][:, -max(points.shape[1] - 1, 1) :]
    if rest.shape[1] == 1:
        lowest = np.minimum.accumulate(np.concatenate([[np.inf], rest[:, 0]]))
        uncovered = rest[:, 0] < lowest[:-1]
    else:
        uncovered = (_uncovered_plane if rest.shape[1] == 2 else _uncovered)(rest)
    good = np.empty(len(points), dtype=np.bool_)
    good[order] = uncovered[np.cumsum(new) - 1]
    return good


# steps and heights are the staircase that bounds what the points so far cover: steps ascend and heights descend. The
# last step at or left of a point covers it where it is at or below it. A point that is not covered becomes a step, in
# place of those at or right of it that are at or above it.
def _uncovered_plane(points: Floats) -> Bools:
    """Which points, [n, 2], no earlier one is <= in both coordinates."""
    found = np.zeros(len(points), np.bool_)
    steps: list[float] = []
    heights: list[float] = []
    for at, (x, y) in enumerate(points.tolist()):
        place = bisect_right(steps, x)
        if place == 0 or heights[place - 1] > y:
            found[at] = True
            start = place - 1 if place and steps[place - 1] == x else place
            end = start
            while end < len(heights) and heights[end] >= y:
                end += 1
            steps[start:end], heights[start:end] = [x], [y]
    return found


# Before each chunk, found[:start] is right, and points it leaves out cover nothing that those in it do not: a point is
# compared with them, and with the earlier ones of its chunk that they leave.
def _uncovered(points: Floats) -> Bools:
    """Which points, [n, n_dimension], no earlier one is <= in all coordinates."""
    found = np.zeros(len(points), np.bool_)
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        left, best = np.arange(len(chunk)), points[:start][found[:start]]
        for at in range(0, len(best), CHUNK):
            left = left[~_at_or_below(best[at : at + CHUNK], chunk[left]).any(axis=0)]
        later = np.triu(_at_or_below(chunk[left], chunk[left]), k=1)
        found[start + left[~later.any(axis=0)]] = True
    return found


def _at_or_below(points: Floats, others: Floats) -> Bools:
    """[n_point, n_other], whether a point is <= another in all coordinates."""
    found = np.ones((len(points), len(others)), np.bool_)
    for own, its in zip(points.T, others.T, strict=True):
        found &= own[:, None] <= its
    return found
