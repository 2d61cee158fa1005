"""Channels by LASSO: the conditions of its optimum, another solver, least squares by their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import InputError
from eie_sim.prune import lasso, lasso_channels


def layer(n=40, c=8, k=4, o=6, seed=0, relu=True):
    """Inputs that are correlated, as those of a network, weights and outputs."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, c, k)) + rng.normal(size=(n, 1, k))
    x = np.maximum(x, 0) if relu else x
    w = rng.normal(size=(o, c, k)) * rng.uniform(0.2, 1, size=(1, c, 1))
    return x, w, np.einsum("nck,ock->no", x, w)


def matrix(x, w):
    return np.einsum("nck,ock->noc", x, w).reshape(-1, x.shape[1])


def test_the_hand_case():
    z, y = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]]), np.array([2, 0.5, 2, 0.5])
    b = lasso.descend(z.T @ z / 4, z.T @ y / 4, 0.2, 1e-12, 100)
    np.testing.assert_allclose(b, [1.6, 0.1], rtol=1e-12)


def test_the_products_are_those_of_the_matrix_of_contributions():
    x, w, y = layer()
    for normalise in (False, True):
        sizes = np.linalg.norm(w, axis=(0, 2), keepdims=True)
        z = matrix(x, w / sizes if normalise else w)
        gram, target = lasso._products(x, w, y, normalise)
        np.testing.assert_allclose(gram, z.T @ z / len(z), rtol=1e-10)
        np.testing.assert_allclose(target, z.T @ y.reshape(-1) / len(z), rtol=1e-10)


@given(seed=st.integers(0, 10**6), keep=st.integers(1, 7), normalise=st.booleans())
def test_factors_meet_the_conditions_of_the_optimum(seed, keep, normalise):
    x, w, y = layer(seed=seed, relu=bool(seed % 2))
    found = lasso_channels(x, w, y, keep, normalise=normalise)
    z = matrix(x, w / np.linalg.norm(w, axis=(0, 2), keepdims=True) if normalise else w)
    slope = z.T @ (y.reshape(-1) - z @ found.b) / len(z)
    zero = found.b == 0
    near = 1e-9 * np.abs(z.T @ y.reshape(-1)).max() / len(z)
    assert (np.abs(slope[zero]) <= found.alpha + near).all()
    np.testing.assert_allclose(slope[~zero], found.alpha * np.sign(found.b[~zero]), atol=near)
    assert len(found.kept) == keep
    assert np.count_nonzero(found.b) == keep
    assert found.kept.tolist() == np.flatnonzero(found.b).tolist()


def test_another_solver_finds_the_same_factors():
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    for seed in range(5):
        x, w, y = layer(n=60, c=12, seed=seed)
        kept, b, *_ = found = lasso_channels(x, w, y, 5)
        other = linear.Lasso(alpha=found.alpha, fit_intercept=False, tol=1e-14, max_iter=100_000)
        other.fit(matrix(x, w), y.reshape(-1))
        np.testing.assert_allclose(b, other.coef_, atol=1e-6 * np.abs(b).max())
        assert kept.tolist() == np.flatnonzero(other.coef_).tolist()


def test_new_weights_are_the_least_squares_of_the_kept_channels():
    x, w, y = layer()
    kept, _, weights, errors = lasso_channels(x, w, y, 3)
    columns = x[:, kept].reshape(len(x), -1)
    made = (np.linalg.pinv(columns) @ y).T.reshape(6, 3, 4)
    np.testing.assert_allclose(weights, made, rtol=1e-8)
    size = np.linalg.norm(y)
    before = np.linalg.norm(y - np.einsum("nck,ock->no", x[:, kept], w[:, kept])) / size
    after = np.linalg.norm(y - columns @ weights.reshape(6, -1).T) / size
    np.testing.assert_allclose(errors, (before, after), rtol=1e-9)
    assert after < before


def test_of_fewer_positions_than_weights_the_smallest_weights_are_taken():
    x, w, y = layer(n=5, c=6, k=3, o=4)
    kept, _, weights, (_, after) = lasso_channels(x, w, y, 4)
    columns = x[:, kept].reshape(5, 12)
    np.testing.assert_allclose(weights.reshape(4, 12), (np.linalg.pinv(columns) @ y).T, rtol=1e-8, atol=1e-12)
    assert after < 1e-12


def test_with_a_bias_a_constant_is_fitted_and_added_to_it():
    x, w, y = layer()
    shift, bias = np.arange(6.0), np.full(6, 10.0)
    found = lasso_channels(x, w, y + shift, 8, bias=bias)
    np.testing.assert_allclose(found.weights, w, rtol=1e-8)
    np.testing.assert_allclose(found.bias, bias + shift, rtol=1e-8)
    assert found.errors[1] < 1e-12
    assert lasso_channels(x, w, y, 8).bias is None


def test_all_channels_are_kept_as_they_are():
    x, w, y = layer()
    kept, b, weights, errors = lasso_channels(x, w, y, 8)
    assert kept.tolist() == [*range(8)]
    assert (b != 0).all()
    np.testing.assert_allclose(weights, w, rtol=1e-8)
    assert max(errors) < 1e-12


def test_a_second_round_starts_from_the_new_weights_of_those_kept():
    x, w, y = layer(seed=5)
    kept, _, weights, _ = lasso_channels(x, w, y, 3)
    after_one = w.copy()
    after_one[:, kept] = weights
    twice, again = lasso_channels(x, w, y, 3, rounds=2), lasso_channels(x, after_one, y, 3)
    assert twice.kept.tolist() == again.kept.tolist()
    np.testing.assert_allclose(twice.b, again.b, rtol=1e-12)
    dropped = np.linalg.norm(y - np.einsum("nck,ock->no", x[:, twice.kept], w[:, twice.kept])) / np.linalg.norm(y)
    np.testing.assert_allclose(twice.errors[0], dropped, rtol=1e-9)  # of the first weights


def test_weights_of_the_paper_do_not_depend_on_the_size_of_a_channel():
    x, w, y = layer(seed=2)
    scaled = w * np.array([1, 10, 1, 1, 0.1, 1, 1, 1])[None, :, None]
    one, other = (lasso_channels(x, each, y, 4, normalise=True) for each in (w, scaled))
    np.testing.assert_allclose(one.b, other.b, rtol=1e-9)
    assert lasso_channels(x, w, y, 4).kept.tolist() != lasso_channels(x, scaled, y, 4).kept.tolist()


def test_a_channel_that_is_zero_goes_first_and_keep_is_lowered():
    x, w, y = layer()
    x[:, 2] = 0
    w[:, 5] = 0
    y = np.einsum("nck,ock->no", x, w)
    kept = lasso_channels(x, w, y, 6).kept
    assert kept.tolist() == [0, 1, 3, 4, 6, 7]
    with pytest.warns(UserWarning, match="keep=7 is lowered to 6: 2 of 8 channels are zero"):
        found = lasso_channels(x, w, y, 7)
    assert found.kept.tolist() == kept.tolist()
    assert found.weights.shape == (6, 6, 4)


def test_of_equal_factors_the_higher_index_is_kept_where_no_alpha_leaves_as_many():
    """Two of three channels give nothing that is in y, so that their factors are 0 whatever alpha is."""
    x, w = np.eye(3)[:, :, None], np.ones((1, 3, 1))
    found = lasso_channels(x, w, [[1.0], [0.0], [0.0]], 2)
    assert found.b.tolist() == [1, 0, 0]
    assert found.kept.tolist() == [0, 2]
    assert found.alpha == 0
    found = lasso_channels(x, w, [[2.0], [2.0], [1.0]], 1)  # both of the larger ones are 0 or neither
    assert found.b[0] == found.b[1] > 0
    assert found.kept.tolist() == [1]


def test_fewer_numbers_than_channels_are_underdetermined_and_no_more_can_stay():
    x, w, y = layer(n=2, c=8, k=1, o=2, relu=False)
    with (
        pytest.warns(UserWarning, match="n o is 4, below c, 8: .* underdetermined"),
        pytest.warns(UserWarning, match="keep=6 is lowered to 4: n o is no more"),
    ):
        found = lasso_channels(x, w, y, 6)
    assert len(found.kept) == 4


def test_the_choice_is_better_than_most_random_ones():
    x, w, y = layer(n=200, c=16, seed=7)
    rng = np.random.default_rng(0)
    after = lasso_channels(x, w, y, 6).errors[1]
    others = []
    for _ in range(50):
        kept = np.sort(rng.permutation(16)[:6])
        fitted, _ = lasso._refitted(x[:, kept], y, False)
        others.append(np.linalg.norm(y - np.einsum("nck,ock->no", x[:, kept], fitted)) / np.linalg.norm(y))
    assert np.mean(np.array(others) > after) > 0.9


X, W, Y = layer(n=10, c=3, k=2, o=4)
BAD = [
    ((X[0], W, Y, 1), r"x=shape \(3, 2\): must be \(n, c, k\)"),
    ((X, W[:, :2], Y, 1), r"w=shape \(4, 2, 2\): must be \(o, 3, 2\)"),
    ((X, W, Y.T, 1), r"y=shape \(4, 10\): must be \(10, 4\)"),
    ((X, W, Y, 0), r"keep=0: must be an integer in 1..3"),
    ((X, W, Y, 4), r"keep=4: must be an integer in 1..3"),
    ((X, W, Y, 1.5), "keep=1.5"),
    ((X, W, Y, 1, 0), "rounds=0"),
    ((X, W, Y, 1, 1, "yes"), "normalise=str"),
    ((X * np.nan, W, Y, 1), "x=not finite"),
    ((X, W, Y + np.inf, 1), "y=not finite"),
    ((X * 0, W, Y, 1), "x=all channels: must have one"),
    ((X, W * 1j, Y, 1), "w=dtype complex128"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_input_is_refused_in_one_line(given, message):
    with pytest.raises(InputError, match=message) as error:
        lasso_channels(*given)
    assert "\n" not in str(error.value)


def test_a_bias_of_another_size_is_refused():
    with pytest.raises(InputError, match=r"bias=given: must be \(4,\)"):
        lasso_channels(X, W, Y, 1, bias=[1])
