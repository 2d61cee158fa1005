"""Scores against values worked out by hand."""

import numpy as np
import pytest

from eie_sim.core.errors import InputError
from eie_sim.prune import pattern, score

W = np.array([[1.0, -2.0], [0.0, 4.0]])


def test_norms():
    assert score.l1(W).tolist() == [[1, 2], [0, 4]]
    assert score.l2(W).tolist() == [[1, 4], [0, 16]]
    assert score.lp(W, 3).tolist() == [[1, 8], [0, 64]]
    assert score.lp(W, 0.5)[0, 0] == 1


def test_types_stay_small_and_integers_do_not_wrap():
    assert score.l1(W.astype(np.float32)).dtype == np.float32
    assert score.l1(np.array([-128], dtype=np.int8)).tolist() == [128]
    assert score.l2(np.array([-128], dtype=np.int8)).tolist() == [16384]


def test_batchnorm_scale():
    assert score.bn_scale([-0.5, 0.25]).tolist() == [0.5, 0.25]


def test_taylor_first_order():
    assert score.taylor_first(W, [[3, 1], [5, -1]]).tolist() == [[3, 2], [0, 4]]


def test_taylor_first_order_of_samples_is_that_of_their_mean():
    samples = np.array([[[2.0, 2], [5, 0]], [[4, 0], [5, -2]]])
    assert score.taylor_first(W, samples).tolist() == [[3, 2], [0, 4]]


def test_taylor_second_order_counts_every_sample():
    """F = ((1 + 9)/2, (4 + 0)/2; (0 + 16)/2, (1 + 1)/2) = (5, 2; 8, 1), and w**2 F / 2 = (2.5, 4; 0, 8)."""
    samples = np.array([[[1.0, 2], [0, 1]], [[3, 0], [4, -1]]])
    expected = [[2.5, 4], [0, 8]]
    assert score.taylor_second(W, samples).tolist() == expected
    assert score.taylor_second(W, diagonal=[[5, 2], [8, 1]]).tolist() == expected


def test_apoz_is_the_share_that_is_not_zero():
    """Neuron 0 is active in one of two samples, neuron 1 in both, neuron 2 never."""
    assert score.apoz([[0, 1, 0], [3, 2, 0]]).tolist() == [0.5, 1, 0]


def test_apoz_of_channels_counts_positions():
    activations = np.zeros((2, 2, 1, 2))
    activations[0, 1, 0] = 1, 2
    activations[1, 1, 0, 1] = 3
    assert score.apoz(activations).tolist() == [0, 0.75]


def test_wanda():
    """Input norms are (3-4-0 triangle) 5 and 1."""
    assert score.wanda(W, [[3, 0], [4, 1]]).tolist() == [[5, 2], [0, 4]]
    assert score.wanda(W.astype(np.float32), [[3, 0], [4, 1]]).dtype == np.float32


def test_wanda_compares_within_a_row():
    scores = score.wanda([[5.0, 2, 3], [9, 8, 7]], np.eye(3))
    assert pattern.per_row(rule="wanda").prune(scores, 0.5).mask.tolist() == [[1, 0, 1], [1, 1, 0]]


def test_random_is_the_same_for_the_same_seed():
    assert (score.random((3, 4), seed=1) == score.random((3, 4), seed=1)).all()
    assert (score.random((3, 4), seed=1) != score.random((3, 4), seed=2)).any()


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score.l1([[1, np.nan]]), "weights[0, 1]=nan: must be finite"),
        (lambda: score.l1([[1, -np.inf]]), "weights[0, 1]=-inf: must be finite"),
        (lambda: score.l1(3.0), "weights=shape (): must have at least one dimension and one element"),
        (lambda: score.l1(np.ones((0, 3))), "weights=shape (0, 3): must have at least one dimension and one element"),
        (lambda: score.l1([1j]), "weights=dtype complex128: must be real numbers"),
        (lambda: score.l1(["a"]), "weights=dtype <U1: must be real numbers"),
        (lambda: score.l1([[1], [1, 2]]), "weights: must be a rectangular array of numbers"),
        (lambda: score.lp(GOOD, 0), "p=0: must be a finite number above 0"),
        (lambda: score.lp(GOOD, 10**5000), "p=an int too long to show: must be a finite number above 0"),
        (lambda: score.lp(GOOD, np.inf), "p=inf: must be a finite number above 0"),
        (lambda: score.bn_scale(GOOD), "gamma=shape (2, 3): must be (out,)"),
        (
            lambda: score.taylor_first(GOOD, np.ones((3, 2))),
            "gradients=shape (3, 2): must be the weights' shape, (2, 3)",
        ),
        (lambda: score.taylor_first(GOOD, np.ones(3)), "gradients=shape (3,): must be the weights' shape, (2, 3)"),
        (
            lambda: score.taylor_first(GOOD, np.ones((5, 3, 2))),
            "gradients=shape (5, 3, 2): must be (n_sample, 2, 3) for these weights",
        ),
        (
            lambda: score.taylor_second(GOOD, GOOD),
            "gradients=shape (2, 3): must be (n_sample, 2, 3) for these weights",
        ),
        (
            lambda: score.taylor_second(GOOD, diagonal=np.ones(3)),
            "diagonal=shape (3,): must be the weights' shape, (2, 3)",
        ),
        (lambda: score.taylor_second([1.0], diagonal=[-1.0]), "diagonal[0]=-1.0: must be >= 0"),
        (lambda: score.taylor_second(GOOD), "gradients and diagonal: give exactly one of the two"),
        (
            lambda: score.taylor_second(GOOD, [GOOD], diagonal=GOOD),
            "gradients and diagonal: give exactly one of the two",
        ),
        (lambda: score.apoz(np.ones(3)), "activations=shape (3,): must be (n_sample, n_out, ...)"),
        (lambda: score.wanda(GOOD, np.ones((4, 2))), "inputs=shape (4, 2): must be (n_vector, 3) for these weights"),
        (lambda: score.wanda(np.ones(3), np.ones((4, 3))), "weights=shape (3,): must be (out, in)"),
        (lambda: score.wanda(GOOD, [[1, np.nan, 1]]), "inputs[0, 1]=nan: must be finite"),
        (lambda: score.random((2,), seed=None), "seed=None: must be an integer >= 0"),
        (lambda: score.random((2, -1), seed=0), "shape=(2, -1): must be integers >= 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_are_exact_or_refused_however_large_the_numbers(dtype):
    half = np.full((2, 3), np.finfo(dtype).max / 2, dtype)
    assert (score.taylor_first(np.ones_like(half), [half, half, half, half]) == half).all()
    for call in (lambda: score.wanda(half, half), lambda: score.taylor_second(half * 0, [half])):
        with pytest.raises(InputError, match=r"^scores\[0, 0\]=(inf|nan): must be finite$"):
            call()
    assert score.wanda(np.float32([[1e-30]]), np.full((4, 1), 3e38, np.float32))[0, 0] == pytest.approx(6e8)


def test_scores_too_large_for_their_type_are_refused_when_used():
    with pytest.raises(InputError, match=r"^scores\[0, 0\]=inf: must be finite$"):
        pattern.element().prune(score.l2([[1e200, 1]]), 0.5)
    with pytest.raises(InputError, match=r"^sum of scores\[0\]=inf: must be finite$"):
        pattern.neuron().prune([[1e308, 1e308]], 0.5)
