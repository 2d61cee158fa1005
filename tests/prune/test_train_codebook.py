from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune.codebook_training import CodedLayer, expand, share, sum_by_code, train_codebook
from eie_sim.prune.train import Mlp, Samples, TrainConfig, fit, gradients, initial, loss
from eie_sim.units.eie.matrix import EieMatrix


def problem(seed, kind=np.float64):
    """A small network with some weights pruned, and samples."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) * (rng.random(shape) < 0.6) for shape in ((7, 5), (3, 7))]
    network = Mlp(tuple(w.astype(kind) for w in weights), tuple(rng.normal(size=n).astype(kind) for n in (7, 3)))
    return network, Samples(inputs=rng.normal(size=(20, 5)).astype(kind), labels=rng.integers(0, 3, 20))


@given(st.integers(0, 10**6), st.integers(1, 4))
def test_what_is_shared_is_what_the_compressed_matrix_holds(seed, weight_bits):
    network, _ = problem(seed)
    layers = share(network, weight_bits=weight_bits)
    for layer, weight, bias in zip(layers, network.weights, network.biases, strict=True):
        matrix = EieMatrix.from_dense(weight, bias=bias, weight_bits=weight_bits, n_pe=2)
        np.testing.assert_array_equal(layer.codebook, matrix.codebook)
        codes = np.column_stack([layer.codes, layer.bias_codes])
        np.testing.assert_array_equal(codes, matrix.decode())
        assert ((layer.codes == 0) == (weight == 0)).all()


@given(st.integers(0, 10**6))
def test_the_gradient_of_a_centroid_is_the_slope_of_the_loss(seed):
    network, samples = problem(seed)
    layers = share(network, weight_bits=2)
    config = TrainConfig(l2=0.1)
    slopes = gradients(expand(layers), samples, config)
    compared = 0
    for at, layer in enumerate(layers):
        found = sum_by_code(layer, slopes.weights[at], slopes.biases[at])
        assert found[0] == 0
        for code in range(1, 4):
            sides = []
            for step in (1e-6, 0.0, -1e-6):
                book = layer.codebook.copy()
                book[code] += step
                moved = [*layers[:at], replace(layer, codebook=book), *layers[at + 1 :]]
                sides.append(loss(expand(moved), samples, config))
            above, below = (sides[0] - sides[1]) / 1e-6, (sides[1] - sides[2]) / 1e-6
            if above == pytest.approx(below, rel=1e-3, abs=1e-5):  # else a ReLU has its kink in between
                assert found[code] == pytest.approx((above + below) / 2, rel=1e-4, abs=1e-6)
                compared += 1
    assert compared >= 3


def test_gradients_are_summed_by_code_by_hand():
    codes = np.array([[1, 0, 2], [2, 1, 1]])
    layer = CodedLayer(codes=codes, codebook=np.array([0.0, 1.0, 2.0]), bias_codes=np.array([2, 0]))
    slopes = np.array([[1.0, 10.0, 100.0], [1000.0, 10_000.0, 100_000.0]])
    assert sum_by_code(layer, slopes, np.array([0.5, 7.0])).tolist() == [0, 110_001, 1100.5]


@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.1, 3.0]), st.sampled_from(["adam", "momentum"]))
def test_training_never_does_worse_than_none(seed, rate, optimiser):
    network, samples = problem(seed, np.float32)
    layers = share(network, weight_bits=2)
    config = TrainConfig(epochs=4, batch=8, learning_rate=rate, optimiser=optimiser)
    trained = train_codebook(layers, samples, config)
    assert loss(expand(trained), samples, config) <= loss(expand(layers), samples, config)
    for before, after in zip(layers, trained, strict=True):
        np.testing.assert_array_equal(after.codes, before.codes)
        assert after.codebook[0] == 0
        assert after.codebook.dtype == np.float32


def test_training_lowers_the_loss_and_is_the_same_each_time():
    network, samples = problem(0, np.float32)
    network = fit(
        network, samples, TrainConfig(epochs=100, learning_rate=0.02), masks=[w != 0 for w in network.weights]
    )
    layers = share(network, weight_bits=2)
    config = TrainConfig(epochs=60, batch=10, learning_rate=0.02, seed=3)
    trained = train_codebook(layers, samples, config)
    assert loss(expand(trained), samples, config) < 0.9 * loss(expand(layers), samples, config)
    again = train_codebook(layers, samples, config)
    for one, other in zip(trained, again, strict=True):
        assert one.codebook.tobytes() == other.codebook.tobytes()
    other = train_codebook(layers, samples, replace(config, seed=4))
    assert other[0].codebook.tobytes() != trained[0].codebook.tobytes()


def test_a_teacher_is_listened_to():
    teacher, samples = problem(1, np.float32)
    layers = share(problem(2, np.float32)[0], weight_bits=2)
    config = TrainConfig(epochs=40, batch=10, learning_rate=0.05, distillation=1.0)
    taught = train_codebook(layers, samples, config, teacher=teacher)
    before, after = (loss(expand(each), samples, config, teacher=teacher) for each in (layers, taught))
    assert after < before


def test_a_layer_without_weights_is_shared():
    empty = share(Mlp((np.zeros((2, 3)),), (np.zeros(2),)))[0]
    assert not empty.codes.any()
    assert not empty.codebook.any()


def test_codebooks_of_256_values_fit_a_byte():
    network = initial((64, 64), np.random.default_rng(0))
    layer = share(network, weight_bits=8)[0]
    assert layer.codebook.size == 256
    assert layer.codes.max() == 255
    spacing = np.ptp(network.weights[0]) / 254
    assert np.abs(expand([layer]).weights[0] - network.weights[0]).max() <= spacing


def test_divergence_is_said_so():
    network, samples = problem(0, np.float32)
    config = TrainConfig(epochs=3, learning_rate=1e30, optimiser="momentum", l2=1e30)
    with pytest.raises(InputError, match="the training diverged"):
        train_codebook(share(network), samples, config)
