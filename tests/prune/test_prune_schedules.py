"""Schedules: exact at their ends, never rising, and masks nested along them."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune import Schedule, pattern, schedule

ALL = [schedule.one_shot, schedule.linear, schedule.cubic, schedule.iterative]


def test_linear():
    """0.9 to go in 3 steps: 0.7, 0.4, 0.1, with no trace of binary fractions."""
    assert schedule.linear(0.1, steps=3).densities == (0.7, 0.4, 0.1)


def test_cubic():
    """0.8 to go in 4 steps; (3/4)**3, (2/4)**3, (1/4)**3 of it are still there: 0.3375, 0.1, 0.0125."""
    assert schedule.cubic(0.2, steps=4).densities == (0.5375, 0.3, 0.2125, 0.2)


def test_iterative_keeps_the_same_fraction():
    assert schedule.iterative(0.125, steps=3).densities == pytest.approx((0.5, 0.25, 0.125))
    densities = np.array([1.0, *schedule.iterative(0.07, steps=5).densities])
    assert densities[1:] / densities[:-1] == pytest.approx(0.07 ** (1 / 5))


def test_one_shot():
    assert schedule.one_shot(0.1).densities == (0.1,)
    assert schedule.one_shot(0.1, steps=3).densities == (0.1, 0.1, 0.1)


def test_a_start_below_one():
    assert schedule.linear(0.1, steps=2, initial=0.5).densities == (0.3, 0.1)
    assert schedule.linear(0.5, steps=2, initial=0.5).densities == (0.5, 0.5)
    assert schedule.iterative(0.5, steps=2, initial=0.5).densities == (0.5, 0.5)


def test_one_of_your_own():
    square = Schedule(1.0, 0.5, 2, lambda initial, final, time: final + (initial - final) * (1 - time) ** 2)
    assert square.densities == (0.625, 0.5)


decimals = st.decimals(0, 1, places=4).map(float)


@pytest.mark.parametrize("make", ALL)
@given(first=decimals, second=decimals, steps=st.integers(1, 300))
def test_exact_at_the_ends_and_never_rising(make, first, second, steps):
    initial, final = max(first, second), max(1e-4, min(first, second))
    initial = max(initial, final)
    densities = make(final, steps=steps, initial=initial)
    values = [densities(step) for step in range(steps + 3)]
    assert values[0] == initial
    assert values[steps:] == [final] * 3
    assert all(later <= earlier for earlier, later in pairwise(values))
    assert densities.densities == tuple(values[1 : steps + 1])


@pytest.mark.parametrize("make", ALL)
def test_schedules_are_values(make):
    one = make(0.1, steps=4)
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize("make", ALL)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 8), final=st.sampled_from([0.001, 0.1, 0.37, 1.0]))
def test_masks_are_nested_though_scores_change(make, seed, steps, final):
    """Survivors get new scores at every step, as training gives them; counts are of the original size all along."""
    rng = np.random.default_rng(seed)
    mask = np.ones((6, 8), dtype=bool)
    for density in make(final, steps=steps).densities:
        result = pattern.element().prune(rng.integers(0, 5, mask.shape), density, within=mask)
        assert not (result.mask & ~mask).any()
        assert result.kept == pattern.element().prune(rng.random(mask.shape), density).kept
        mask = result.mask


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: schedule.linear(1.5, steps=3), "final=1.5: must be in 0..1"),
        (lambda: schedule.linear(0.5, steps=3, initial=0.3), "final=0.5: must not be above the initial density, 0.3"),
        (lambda: schedule.linear(0.5, steps=0), "steps=0: must be an integer in 1..100000"),
        (lambda: schedule.linear(0.5, steps=2.0), "steps=2.0: must be an integer in 1..100000"),
        (
            lambda: schedule.iterative(0, steps=3),
            "final=0: must be above 0: a fraction of the survivors always leaves some",
        ),
        (lambda: schedule.cubic(0.5, steps=3)(-1), "step=-1: must be an integer >= 0"),
        (lambda: schedule.cubic(0.5, steps=3)(0.5), "step=0.5: must be an integer >= 0"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message
