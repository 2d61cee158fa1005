"""Drawn weights and activations."""

import subprocess
import sys
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import InputError
from eie_sim.network import synthetic, synthetic_activations


def same(a, b):
    return all(np.array_equal(x, y) for x, y in ((a.data, b.data), (a.indices, b.indices), (a.indptr, b.indptr)))


@given(
    n_out=st.integers(1, 40),
    n_in=st.integers(1, 40),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**70),
    name=st.text(max_size=5),
)
def test_any_size_gives_a_sound_matrix(n_out, n_in, density, seed, name):
    w = synthetic.weights(name, n_out=n_out, n_in=n_in, density=density, seed=seed)
    assert w.shape == (n_out, n_in)
    assert w.dtype == np.float32
    w.check_format(full_check=True)
    assert w.has_canonical_format
    assert np.all(w.data != 0)
    assert np.isfinite(w.data).all()
    assert same(w, synthetic.weights(name, n_out=n_out, n_in=n_in, density=density, seed=seed))


@pytest.mark.parametrize("density", [0, 1])
def test_extreme_densities(density):
    assert synthetic.weights("a", n_out=30, n_in=20, density=density).nnz == 600 * density
    x = synthetic.activations("a", n_in=1000, density=density, n_vector=3)
    assert np.count_nonzero(x) == 3000 * density


def test_seed_and_name_both_matter():
    def draw(name, seed):
        return synthetic.weights(name, n_out=50, n_in=50, density=0.3, seed=seed)

    assert not same(draw("a", 0), draw("a", 1))
    assert not same(draw("a", 0), draw("b", 0))


def test_a_draw_does_not_depend_on_the_block_size(monkeypatch):
    whole = synthetic.weights("a", n_out=70, n_in=90, density=0.3)
    monkeypatch.setattr(synthetic, "BLOCK", 64)
    assert same(whole, synthetic.weights("a", n_out=70, n_in=90, density=0.3))


def test_a_draw_is_the_same_in_another_process():
    code = "from eie_sim.network import synthetic as s; print(repr(s.weights('a', n_out=9, n_in=9, density=0.5).sum()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == repr(synthetic.weights("a", n_out=9, n_in=9, density=0.5).sum())


@pytest.mark.parametrize("density", [0.04, 0.1, 0.25, 0.6])
def test_values_are_the_tails_of_a_gaussian(density):
    n_in = 400
    w = synthetic.weights("a", n_out=2000, n_in=n_in, density=density)
    scaled = np.abs(w.data.astype(np.float64)) * np.sqrt(n_in)
    threshold = NormalDist().inv_cdf(1 - density / 2)
    assert scaled.min() >= threshold * (1 - 1e-5)
    for part in (0.75, 0.5, 0.1, 0.01):  # share of the tail beyond its own quantile
        beyond = NormalDist().inv_cdf(1 - density * part / 2)
        share = np.count_nonzero(scaled > beyond) / w.nnz
        assert abs(share - part) < 5 * np.sqrt(part * (1 - part) / w.nnz)
    assert abs(np.count_nonzero(w.data > 0) / w.nnz - 0.5) < 5 * 0.5 / np.sqrt(w.nnz)


def test_positions_are_independent_of_row_and_column():
    w = synthetic.weights("a", n_out=1000, n_in=1000, density=0.1).toarray() != 0
    for axis in (0, 1):
        counts = w.sum(axis=axis)
        assert abs(counts.mean() - 100) < 4 * np.sqrt(90 / 1000)
        assert 0.8 < counts.var() / 90 < 1.25


def test_activations_are_half_normal():
    x = synthetic.activations("a", n_in=100_000, density=0.3)
    assert x.dtype == np.float32
    assert x.min() == 0
    active = x[x > 0].astype(np.float64)
    assert abs(active.size / x.size - 0.3) < 4 * np.sqrt(0.21 / x.size)
    assert abs(active.mean() - np.sqrt(2 / np.pi)) < 4 * np.sqrt((1 - 2 / np.pi) / active.size)
    assert active.min() >= synthetic.SMALLEST_ACTIVATION


def test_one_vector_for_no_layer():
    x, label = synthetic_activations(50, 0.5, seed=3)
    assert x.shape == (50,)
    assert label == "synthetic, density 0.5, seed 3"
    np.testing.assert_array_equal(x, synthetic_activations(50, 0.5, seed=3)[0])


def test_values_on_a_pattern():
    pattern = scipy.sparse.csc_array(np.random.default_rng(0).random((200, 300)) < 0.2)
    w = synthetic.weights_on(pattern, "a", seed=1)
    np.testing.assert_array_equal(w.indices, pattern.indices)
    np.testing.assert_array_equal(w.indptr, pattern.indptr)
    assert w.dtype == np.float32
    assert np.all(w.data != 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"density": -0.1},
        {"density": 1.1},
        {"density": float("nan")},
        {"density": "0.5"},
        {"density": True},
        {"n_in": 0},
        {"n_in": 2**21},
        {"n_in": 2.5},
        {"seed": -1},
        {"seed": 1.5},
    ],
)
def test_bad_values(wrong):
    with pytest.raises(InputError) as caught:
        synthetic_activations(**({"n_in": 4, "density": 0.5, "seed": 0} | wrong))
    assert "\n" not in str(caught.value)


def test_a_layer_beyond_memory_is_not_drawn():
    with pytest.raises(InputError, match=r"^density=0.5: must leave at most 1073741824 of 1099511627776 weights$"):
        synthetic.weights("a", n_out=2**20, n_in=2**20, density=0.5)


def test_no_dense_matrix_is_ever_built():
    synthetic.weights("warm", n_out=10, n_in=10, density=0.5)
    tracemalloc.start()
    w = synthetic.weights("a", n_out=4096, n_in=4096, density=0.02)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096 * 4096 * 4 / 2
    assert peak < 10 * (w.data.nbytes + w.indices.nbytes) + 12 * synthetic.BLOCK


def test_importing_stays_light():
    code = (
        "import sys, eie_sim.network as w; w.presets(); w.load('digits-mlp');"
        "print([m for m in ('scipy', 'numba', 'matplotlib', 'simpy', 'pandas') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == "[]"
