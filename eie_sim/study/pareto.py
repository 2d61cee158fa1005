"""Pareto fronts: the rows that no other row beats, how good a front is, and which of its rows to name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import as_floats, is_number, require, require_type, unknown
from eie_sim.study.showing import FIRST_ROWS, counted, rows_card, varying

__all__ = ["OBJECTIVES", "Front", "Objective", "costs", "front", "hypervolume", "knee", "require_objectives"]

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SMALL = 1 << 14
"""Pairs of points that are compared at once; more are divided first."""


class Objective(NamedTuple):
    """What a row may be judged by: its unit, what it is, and whether more of it is better."""

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
    """Rows that no other row beats.

    rows : as they were given, by the first objective, best first, then by the next; equal ones in the order given
    objectives : names, in order
    left_out : rows that were not looked at, by the field that is the reason: `error`, `fits`, or a missing objective
    """

    rows: list[dict[str, Any]]
    objectives: tuple[str, ...]
    left_out: dict[str, int]

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows, best in the first objective, and how many there are."""
        lines = [f"{counted(number, 'row')} left out: {reason}" for reason, number in self.left_out.items()]
        title = f"not beaten in {', '.join(self.objectives)}: {len(self.rows):,}"
        first = self.rows[:FIRST_ROWS]
        return rows_card(title, first, varying(self.rows), total=len(self.rows), lines=lines, more=self.objectives)


def front(rows: Sequence[Row], objectives: Sequence[str], *, all_rows: bool = False) -> Front:
    """Rows that no other row beats: none is as good in every objective and better in one.

    rows : flat, field to value; those with an `error`, and those where an objective is None or absent, are left out
    objectives : two or more names of OBJECTIVES
    all_rows : take also rows of designs whose memories do not hold the layer, where `fits` is false

    Of rows with equal values in all objectives either all are in the front or none. Exact, as floats; 100,000 rows take
    a second. Raises InputError for unknown or repeated objectives, and for values that are no finite numbers.
    """
    names = require_objectives(objectives)
    kept: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for row in _require_rows(rows):
        reason = reason_left_out(row, names, all_rows=all_rows)
        if reason is None:
            kept.append(row)  # type: ignore[arg-type]  # handed back as it came
        else:
            left_out[reason] += 1
    points = costs(kept, names)
    at = np.flatnonzero(undominated(points))
    order = at[np.lexsort(points[at].T[::-1])]
    return Front(rows=[kept[i] for i in order], objectives=names, left_out=dict(left_out))


def reason_left_out(row: Row, objectives: Sequence[str], *, all_rows: bool = False) -> str | None:
    """The field that keeps a row out of fronts: `error`, `fits`, or an objective it has no value for; or None."""
    if row.get("error") is not None:
        return "error"
    if not all_rows and row.get("fits") is not None and not row["fits"]:
        return "fits"
    return next((name for name in objectives if row.get(name) is None), None)


def costs(rows: Sequence[Row], objectives: Sequence[str]) -> Floats:
    """Values of the objectives, float64[n_row, n_objective], all to be made small: those to be made large are negated.

    Raises InputError for unknown objectives, and for values that are missing or no finite numbers.
    """
    names = require_objectives(objectives)
    found = np.empty((len(rows), len(names)))
    for at, name in enumerate(names):
        sign = -1.0 if OBJECTIVES[name].maximise else 1.0
        found[:, at] = [sign * _finite(name, row.get(name)) for row in rows]
    return found


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


def knee(rows: Sequence[Row], objectives: Sequence[str]) -> dict[str, Any]:
    """The row to name on a front: the nearest to having the best value in every objective.

    Each objective is scaled to 0 (best of these rows) to 1 (worst of these rows), and counts 0 where all are equal; the
    distance is Euclidean. Of rows equally near it is the first. Raises InputError for no rows.
    """
    rows = _require_rows(rows)
    points = costs(rows, objectives)
    require(len(rows) > 0, "rows", "none", "must be at least one")
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
    """Which points, [n, n_dimension] and finite, no other beats; equal ones stay or go together."""
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    new = np.ones(len(points), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    good = np.empty(len(points), dtype=np.bool_)
    good[order] = _undominated(ordered[new])[np.cumsum(new) - 1]
    return good


def _undominated(points: Floats) -> Bools:
    """Of distinct points in lexicographic order: those that no earlier point is <= in all coordinates but the first.

    An earlier point is <= in the first, and, as points are distinct, < somewhere: so it beats. No later point can.
    """
    if points.shape[1] <= 2:
        lowest = np.minimum.accumulate(points[:, -1])
        return np.concatenate([np.ones(min(len(points), 1), np.bool_), points[1:, -1] < lowest[:-1]])
    if len(points) ** 2 <= SMALL:
        at_or_below = np.sum(np.all(points <= points[:, None], axis=2), axis=1)
        return np.asarray(at_or_below == 1)  # only itself
    half = len(points) // 2
    good = np.concatenate([_undominated(points[:half]), _undominated(points[half:])])
    late = half + np.flatnonzero(good[half:])
    good[late] = ~_covered(points[late, 1:], points[:half][good[:half], 1:])
    return good


def _covered(points: Floats, by: Floats) -> Bools:
    """Of points [n, n_dimension]: those where some point of `by` is <= in all coordinates. Divided by the last one."""
    if len(points) * len(by) <= SMALL:
        return np.asarray(np.any(np.all(by <= points[:, None], axis=2), axis=1))
    if points.shape[1] == 2:
        return _covered_in_plane(points, by)
    levels = np.unique(np.concatenate([points[:, -1], by[:, -1]]))
    if len(levels) == 1:
        return _covered(points[:, :-1], by[:, :-1])
    middle = levels[len(levels) // 2]
    low, by_low = points[:, -1] < middle, by[:, -1] < middle
    found = np.empty(len(points), dtype=np.bool_)
    found[low] = _covered(points[low], by[by_low])
    found[~low] = _covered(points[~low, :-1], by[by_low, :-1])
    rest = np.flatnonzero(~low & ~found)
    found[rest] = _covered(points[rest], by[~by_low])
    return found


def _covered_in_plane(points: Floats, by: Floats) -> Bools:
    """`_covered` of pairs: the lowest second coordinate of all that are no further in the first."""
    by = by[np.argsort(by[:, 0], kind="stable")]
    lowest = np.concatenate([[np.inf], np.minimum.accumulate(by[:, 1])])
    return np.asarray(lowest[np.searchsorted(by[:, 0], points[:, 0], side="right")] <= points[:, 1])


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


def _require_rows(rows: Any) -> Sequence[Row]:
    require_type("rows", rows, list, tuple)
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping):  # the message is made only where it is needed: there are many rows
            require_type(f"rows[{at}]", row, dict)
    return rows  # type: ignore[no-any-return]  # checked above


def _finite(name: str, value: Any) -> float:
    try:
        number = value if type(value) is float else float(value) if is_number(value) else np.nan
    except OverflowError:  # an integer or a fraction beyond any float
        number = np.inf
    require(-np.inf < number < np.inf, name, value, "must be a finite number")
    return number
