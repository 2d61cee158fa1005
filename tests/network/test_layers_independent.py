"""Independent activations keep densities and values, and lose what the recorded ones have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eie_sim import InputError
from eie_sim.network import independent, independent_by_column

BATCHES = st.tuples(st.integers(1, 12), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.0, 0.25, 1.0, -3.0]))
)
BOTH = pytest.mark.parametrize("draw", [independent, independent_by_column])


@BOTH
@given(batch=BATCHES, seed=st.integers(0, 2**70))
def test_a_draw_has_the_shape_type_and_values_of_the_batch(draw, batch, seed):
    drawn = draw(batch, seed=seed)
    assert drawn.shape == batch.shape
    assert drawn.dtype == batch.dtype
    assert set(np.unique(drawn)) <= {0, *np.unique(batch)}
    np.testing.assert_array_equal(drawn, draw(batch, seed=seed))


@given(batch=BATCHES, seed=st.integers(0, 2**70))
def test_a_column_keeps_its_own_values_and_its_silence(batch, seed):
    drawn = independent_by_column(batch, seed=seed)
    for column, was in zip(drawn.T, batch.T, strict=True):
        assert set(column[column != 0]) <= set(was[was != 0])
        if np.all(was != 0):
            assert np.all(column != 0)


@given(batch=BATCHES)
def test_a_batch_that_is_all_active_or_all_silent_stays_so(batch):
    assert not independent(np.zeros_like(batch)).any()
    assert independent(np.abs(batch) + 1).all()


def recorded(n_vector=4000):
    """Columns that fire at rates 0 to 1, all of them together or not at all; values name the column."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0, 1, 9)
    return np.where(rng.random((n_vector, 1)) < rates, np.arange(1, 10), 0).astype(np.float32)


def far(share, expected, n):
    """By how many standard deviations a share of n draws lies off."""
    return np.max(np.abs(share - expected) / np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / n))


@BOTH
def test_the_density_is_that_of_the_batch(draw):
    batch = recorded()
    assert far(np.mean(draw(batch) != 0), np.mean(batch != 0), batch.size) < 5


def test_columns_fire_at_their_own_rate_or_all_at_one():
    batch = recorded()
    density = np.full(9, np.mean(batch != 0))
    assert far(np.mean(independent_by_column(batch) != 0, axis=0), np.mean(batch != 0, axis=0), len(batch)) < 5
    assert far(np.mean(independent(batch) != 0, axis=0), density, len(batch)) < 5


@BOTH
def test_what_fired_together_no_longer_does(draw):
    batch = recorded()
    apart = np.corrcoef((draw(batch)[:, 3:6] != 0).T)[np.triu_indices(3, 1)]
    together = np.corrcoef((batch[:, 3:6] != 0).T)[np.triu_indices(3, 1)]
    assert np.abs(apart).max() < 5 / np.sqrt(len(batch)) < 0.5 < together.min()


@BOTH
def test_the_seed_matters(draw):
    assert not np.array_equal(draw(recorded(50)), draw(recorded(50), seed=1))


def test_the_two_draws_are_not_of_the_same_numbers():
    batch = recorded(50)[:, 4:5]
    assert not np.array_equal(independent(batch), independent_by_column(batch))


@BOTH
@pytest.mark.parametrize(
    ("batch", "seed", "message"),
    [
        (np.ones(3), 0, r"activations=shape \(3,\): must be \(n_vector, n_in\), both at least 1"),
        (np.ones((0, 3)), 0, r"activations=shape \(0, 3\): must be \(n_vector, n_in\)"),
        ([[1.0, np.nan]], 0, r"activations\[0, 1\]=nan: must be finite"),
        ([["a"]], 0, "activations=dtype <U1: must hold real numbers"),
        (np.ones((2, 2)), -1, "seed=-1: must be an integer >= 0"),
    ],
)
def test_what_is_no_batch_is_refused(draw, batch, seed, message):
    with pytest.raises(InputError, match=message):
        draw(batch, seed=seed)
