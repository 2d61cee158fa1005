"""Fronts against their definition, hypervolume against counted unit cells."""

import itertools
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.study import pareto
from eie_sim.study.pareto import OBJECTIVES, costs, front, hypervolume, knee
from eie_sim.study.points import MAX_POINTS

NAMES = ("time_us", "accuracy", "energy_nj", "effective_gops", "area_mm2")
"""Some to be made small and some to be made large."""


def rows_of(points, names=NAMES):
    return [{"design": at, **dict(zip(names, point, strict=False))} for at, point in enumerate(points)]


def beats(a, b, names):
    """The definition: as good in every objective, better in one."""
    signs = [-1 if OBJECTIVES[name].maximise else 1 for name in names]
    pairs = [(sign * a[name], sign * b[name]) for name, sign in zip(names, signs, strict=True)]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def by_definition(rows, names):
    return [row["design"] for row in rows if not any(beats(other, row, names) for other in rows)]


def cells(points, reference):
    """Unit cells of the integer grid that some point's box contains."""
    return sum(
        any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points)
        for cell in itertools.product(*(range(-1, top) for top in reference))
    )


@st.composite
def some_rows(draw):
    names = draw(st.sampled_from([NAMES[:n] for n in (2, 3, 4, 5)]))
    value = draw(st.sampled_from([st.integers(0, 3), st.integers(-9, 9), st.floats(-1e300, 1e300)]))
    return rows_of(draw(st.lists(st.tuples(*[value] * len(names)), max_size=40)), names), names


@pytest.mark.parametrize("chunk", [1, 4, pareto.CHUNK])
@given(case=some_rows())
def test_front_is_its_definition(case, chunk):
    rows, names = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pareto, "CHUNK", chunk)
        found = front(rows, names)
    assert sorted(row["design"] for row in found.rows) == by_definition(rows, names)
    assert found.left_out == {}
    assert found.objectives == names


@pytest.mark.parametrize("dimensions", [2, 3, 4, 6])
@pytest.mark.parametrize("levels", [3, 30, None])
def test_large_fronts_are_their_definition(dimensions, levels):
    rng = np.random.default_rng(dimensions)
    points = (
        rng.random((700, dimensions)) if levels is None else rng.integers(0, levels, (700, dimensions)).astype(float)
    )
    points = np.concatenate([points, points[:50]])
    at_most = (points[None] <= points[:, None]).all(axis=2)
    below = (points[None] < points[:, None]).any(axis=2)
    assert (pareto.undominated(points) == ~(at_most & below).any(axis=1)).all()


def test_where_nothing_beats_anything_all_stay():
    angle = np.linspace(0, np.pi / 2, 3000)
    points = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    assert pareto.undominated(-points).all()


@given(case=some_rows(), seed=st.integers(0, 9))
def test_front_does_not_depend_on_the_order_of_rows(case, seed):
    rows, names = case
    mixed = [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]
    before, after = front(rows, names).rows, front(mixed, names).rows
    assert sorted(row["design"] for row in before) == sorted(row["design"] for row in after)
    assert (costs(before, names) == costs(after, names)).all()


@given(case=some_rows(), data=st.data())
def test_a_row_that_is_beaten_changes_nothing(case, data):
    rows, names = case
    if not rows:
        return
    worse = dict(data.draw(st.sampled_from(rows)), design=-1)
    name = data.draw(st.sampled_from(names))
    worse[name] = math.nextafter(worse[name], -math.inf if OBJECTIVES[name].maximise else math.inf)
    at = data.draw(st.integers(0, len(rows)))
    assert front([*rows[:at], worse, *rows[at:]], names) == front(rows, names)


def test_front_is_ordered_by_the_objectives_as_they_are_named():
    rows = rows_of([(3, 0.9), (1, 0.5), (2, 0.7), (1, 0.5), (9, 0.9)])
    assert [row["design"] for row in front(rows, ["time_us", "accuracy"]).rows] == [1, 3, 2, 0]
    assert [row["design"] for row in front(rows, ["accuracy", "time_us"]).rows] == [0, 2, 1, 3]


def test_rows_come_back_as_they_were_given():
    rows = rows_of([(1, 2), (2, 1)])
    found = front(tuple(rows), ("time_us", "accuracy")).rows
    assert found[0] is rows[0]


def test_rows_without_objectives_errors_and_what_does_not_fit_are_left_out_and_counted():
    rows = rows_of([(1, 0.1), (2, 0.2), (3, 0.3), (4, None), (5, 0.5), (6, 0.6)])
    rows[0]["error"] = "n_pe=0: must be an integer in 1..65536"
    rows[1]["fits"] = False
    rows[2] |= {"fits": True, "error": None}
    del rows[4]["accuracy"]
    rows[5]["fits"] = None
    found = front(rows, ["time_us", "accuracy"])
    assert [row["design"] for row in found.rows] == [2, 5]
    assert found.left_out == {"error": 1, "fits": 1, "accuracy": 2}
    everything = front(rows, ["time_us", "accuracy"], all_rows=True)
    assert [row["design"] for row in everything.rows] == [1, 2, 5]
    assert everything.left_out == {"error": 1, "accuracy": 2}


def test_no_rows_have_an_empty_front():
    assert front([], ["cycles", "bytes"]).rows == []
    assert front([{"error": "x"}], ["cycles", "bytes"]).left_out == {"error": 1}


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (["cycles", "energy"], "objectives=energy: unknown; did you mean energy_nj"),
        (["cycles", 7], "objectives=7: unknown"),
        (["cycles"], "objectives=cycles: must be two or more"),
        ([], "objectives=none: must be two or more"),
        (["cycles", "bytes", "cycles"], "objectives=cycles: must not be named twice"),
        ("cycles", "objectives=str: must be list or tuple"),
    ],
)
def test_objectives_are_checked(objectives, message):
    for ask in (front, knee, costs):
        with pytest.raises(InputError, match=f"^{message}"):
            ask(rows_of([(1, 2)]), objectives)


@pytest.mark.parametrize("value", [math.nan, math.inf, "3", True, 10**400, np.float32("nan"), 1j, [1]])
def test_values_must_be_finite_numbers(value):
    with pytest.raises(InputError, match=r"^accuracy=.*: must be a finite number$"):
        front(rows_of([(1, 2), (3, value)]), ["time_us", "accuracy"])


def test_any_real_number_will_do():
    rows = rows_of([(np.int32(2), Fraction(1, 2)), (1, np.float32(0.25)), (2.0, 0.25)])
    assert [row["design"] for row in front(rows, ["time_us", "accuracy"]).rows] == [1, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [("ab", "rows=str: must be list or tuple"), ([{}, 3], r"rows\[1\]=int: must be dict")],
)
def test_rows_are_checked(rows, message):
    for ask in (front, knee):
        with pytest.raises(InputError, match=f"^{message}$"):
            ask(rows, ["cycles", "bytes"])


@st.composite
def grids(draw):
    reference = draw(st.integers(1, 4).flatmap(lambda n: st.tuples(*[st.integers(0, 5)] * n)))
    points = draw(st.lists(st.tuples(*[st.integers(-1, 6)] * len(reference)), max_size=8))
    return points, reference


@given(grids())
def test_hypervolume_counts_unit_cells(case):
    points, reference = case
    assert hypervolume(points, reference) == cells(points, reference)


@given(grids(), st.integers(0, 9))
def test_hypervolume_is_that_of_the_front_in_any_order(case, seed):
    points, reference = case
    whole = hypervolume(points, reference)
    rng = np.random.default_rng(seed)
    assert hypervolume([points[at] for at in rng.permutation(len(points))], reference) == whole
    array = np.array(points, dtype=float).reshape(-1, len(reference))
    assert hypervolume(array[pareto.undominated(array)], reference) == whole
    turned = rng.permutation(len(reference))
    assert hypervolume(array[:, turned], np.array(reference)[turned]) == whole


def test_hypervolumes_worked_by_hand():
    assert hypervolume([[1.5], [0.5]], [2]) == 1.5
    assert hypervolume([[1, 3], [2, 2], [3, 1]], [4, 4]) == 3 + 2 + 1
    assert hypervolume([[0, 0, 0]], [2, 3, 4]) == 24
    # two bricks of 1 x 2 x 2 and 2 x 1 x 2 share one of 1 x 1 x 2
    assert hypervolume([[1, 0, 0], [0, 1, 0]], [2, 2, 2]) == 4 + 4 - 2
    # three bricks of 1 x 1 x 3 in three directions share a unit cube
    assert hypervolume([[2, 2, 0], [2, 0, 2], [0, 2, 2]], [3, 3, 3]) == 3 * 3 - 2
    assert hypervolume([[-1e-3, 0.25]], [0, 0.5]) == pytest.approx(2.5e-4, rel=1e-12)


def test_points_at_or_beyond_the_reference_add_nothing():
    assert hypervolume([[4, 0], [0, 4], [5, -3], [1, 1]], [4, 4]) == 9
    assert hypervolume([], [4, 4]) == 0
    assert hypervolume(np.empty((0, 2)), [4, 4]) == 0


@pytest.mark.parametrize(
    ("points", "reference", "message"),
    [
        ([[1, 2]], [1, 2, 3], r"points=shape \(1, 2\): must be \[n, 3\]"),
        ([1, 2], [3, 3], r"points=shape \(2,\): must be \[n, 2\]"),
        ([[1, 2]], 3, r"reference=shape \(\): must be one point"),
        ([[1, 2]], [], r"reference=shape \(0,\): must be one point"),
        ([[1, math.nan]], [3, 3], "points=not finite: must be finite numbers"),
        ([[1, 2]], [3, math.inf], "reference=not finite: must be finite numbers"),
        ([["a", "b"]], [3, 3], "points=dtype <U1: must be real numbers"),
        ([[1], [1, 2]], [3, 3], "points: must be a rectangular array of numbers"),
    ],
)
def test_hypervolume_checks_what_it_is_given(points, reference, message):
    with pytest.raises(InputError, match=f"^{message}"):
        hypervolume(points, reference)


def test_the_knee_is_nearest_to_the_ideal():
    names = ["time_us", "energy_nj"]
    assert knee(rows_of([(0, 10), (2, 3), (4, 2), (10, 0)], names), names)["design"] == 1
    # the same where one is in other units, and where more is better
    assert knee(rows_of([(0, 10_000), (2, 3_000), (4, 2_000), (10, 0)], names), names)["design"] == 1
    names = ["time_us", "accuracy"]
    assert knee(rows_of([(0, 0.0), (2, 0.7), (4, 0.8), (10, 1.0)], names), names)["design"] == 1


def test_the_knee_where_objectives_or_rows_are_equal_is_the_first():
    names = ["time_us", "energy_nj"]
    assert knee(rows_of([(1, 7), (0, 7)], names), names)["design"] == 1
    assert knee(rows_of([(1, 7), (1, 7)], names), names)["design"] == 0
    assert knee(rows_of([(0, 1), (1, 0)], names), names)["design"] == 0
    with pytest.raises(InputError, match=r"^rows=none: must be at least one$"):
        knee([], names)


def test_objectives_have_units_and_directions():
    large = {"accuracy", "load_balance", "effective_gops", "utilisation"}
    assert {name for name, objective in OBJECTIVES.items() if objective.maximise} == large
    assert all(objective.unit and objective.meaning for objective in OBJECTIVES.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "dimensions", "spread", "seconds"),
    [
        *((100_000, *each) for each in ((2, "cube", 1), (3, "cube", 4), (4, "cube", 8))),
        *((100_000, *each) for each in ((2, "sphere", 1), (3, "sphere", 4))),
        (50_000, 4, "sphere", 8),
    ],
)
def test_a_hundred_thousand_rows_take_seconds(n, dimensions, spread, seconds):
    points = np.random.default_rng(0).random((n, dimensions))
    if spread == "sphere":  # no row beats another, where the objectives are all to be made small
        points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)
    names = ("time_us", "energy_nj", "area_mm2", "bytes")[:dimensions]
    rows = rows_of(points.tolist(), names)
    begin = time.process_time()
    found = front(rows, names)
    assert time.process_time() - begin < seconds
    assert (len(found.rows) == n) == (spread == "sphere")


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3])
def test_as_many_rows_as_a_sweep_may_have_take_seconds(dimensions):
    points = np.random.default_rng(0).random((MAX_POINTS, dimensions))
    begin = time.process_time()
    pareto.undominated(points)
    assert time.process_time() - begin < 8
