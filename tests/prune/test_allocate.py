"""Densities for a budget, against brute force and by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune.allocate import allocate
from eie_sim.prune.sensitivity import Sensitivity, reconstruction_error, scan


def point(layer, asked, quality, cost):
    return Sensitivity(layer, asked, asked, int(100 * asked), quality, cost)


@st.composite
def scans(draw):
    points = []
    for layer in range(draw(st.integers(1, 4))):
        for density in (0.1, 0.4, 1.0):
            quality, cost = draw(st.integers(0, 20)), draw(st.integers(1, 30))
            points.append(point(f"fc{layer}", density, quality / 20, float(cost)))
    return points


def brute_force(points, budget):
    names = list(dict.fromkeys(p.layer for p in points))
    best = max(p.quality for p in points)
    choices = itertools.product(*([p for p in points if p.layer == name] for name in names))
    within = [c for c in choices if sum(p.cost for p in c) <= budget]
    return min(((sum(best - p.quality for p in c), sum(p.cost for p in c)) for c in within), default=None)


def loss_of_one_density(points, budget):
    """Of the largest density that all layers share and the budget allows, or None."""
    best = max(p.quality for p in points)
    for density in sorted({p.asked for p in points}, reverse=True):
        chosen = [p for p in points if p.asked == density]
        if sum(p.cost for p in chosen) <= budget:
            return sum(best - p.quality for p in chosen)
    return None


@given(scans(), st.integers(1, 120))
def test_no_choice_within_the_budget_loses_less_or_costs_less_at_the_same_loss(points, budget):
    expected = brute_force(points, budget)
    if expected is None:
        with pytest.raises(InputError, match="the cost of the cheapest allowed densities"):
            allocate(points, budget)
        return
    chosen = allocate(points, budget)
    assert (chosen.loss, chosen.cost) == (pytest.approx(expected[0]), pytest.approx(expected[1]))
    assert chosen.cost <= budget
    alike = loss_of_one_density(points, budget)
    assert alike is None or chosen.loss <= alike + 1e-9


def test_the_layer_that_loses_nothing_pays_for_the_one_that_loses_much():
    points = [point("a", 0.1, 0.9, 10), point("a", 1.0, 0.9, 100), point("b", 0.1, 0.2, 10), point("b", 1.0, 0.9, 100)]
    chosen = allocate(points, 110)
    assert chosen.densities == {"a": 0.1, "b": 1.0}
    assert (chosen.cost, chosen.loss) == (110, 0)
    assert loss_of_one_density(points, 110) == pytest.approx(0.7)  # both at 0.1


def test_a_floor_is_honoured():
    points = [point("a", 0.1, 0.9, 1), point("a", 0.5, 0.9, 5)]
    assert allocate(points, 10).densities == {"a": 0.1}
    assert allocate(points, 10, floor=0.2).densities == {"a": 0.5}
    with pytest.raises(InputError, match=r"^budget=4: must be at least 5, the cost of the cheapest allowed densities$"):
        allocate(points, 4, floor=0.2)
    with pytest.raises(InputError, match=r"^floor=0.9: layer a has no density at or above it$"):
        allocate(points, 10, floor=0.9)


def test_a_scan_prunes_one_layer_at_a_time():
    weights = {"a": np.array([[1.0, -3.0]]), "b": np.array([[2.0], [0.5]])}

    def keep_largest(w, density):
        return np.abs(w) >= np.quantile(np.abs(w), 1 - density) if density else np.zeros(w.shape, dtype=bool)

    points = scan(
        weights,
        weights,
        {"a": [0.0, 1.0], "b": [0.0, 1.0]},
        mask_of=keep_largest,
        quality_of=lambda layers: sum(float(np.abs(w).sum()) for w in layers.values()),
        cost_of=lambda _, w: np.count_nonzero(w),
    )
    assert [(p.layer, p.asked, p.kept, p.quality, p.cost) for p in points] == [
        ("a", 0.0, 0, 2.5, 0.0),
        ("a", 1.0, 2, 6.5, 2.0),
        ("b", 0.0, 0, 4.0, 0.0),
        ("b", 1.0, 2, 6.5, 2.0),
    ]


def test_reconstruction_error_of_large_numbers():
    large = np.full((2, 2), 1e30, np.float32)
    half = large * np.float32([[1, 0], [1, 0]])
    assert reconstruction_error(large, half, large) == pytest.approx(0.25)
    for dense, inputs in ((large, np.full((1, 2), 1e300)), (np.full((2, 2), 1e308), np.array([[1e308, -1e308]]))):
        with pytest.raises(InputError, match=r"^power of the outputs=(inf|nan): must be finite"):
            reconstruction_error(dense, dense * 0, inputs)


def test_reconstruction_error_is_relative_to_the_power_of_the_outputs():
    dense, pruned = np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]])
    assert reconstruction_error(dense, pruned, np.array([[1.0, 0.0]])) == 0.0
    assert reconstruction_error(dense, pruned, np.array([[0.0, 2.0]])) == 1.0
    assert reconstruction_error(dense, dense * 0, np.zeros((3, 2))) == 0.0
