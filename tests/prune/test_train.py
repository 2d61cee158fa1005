from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune.optimiser import Adam, Momentum
from eie_sim.prune.train import (
    Mlp,
    Samples,
    TrainConfig,
    accuracy,
    count_correct,
    epochs,
    fit,
    forward,
    gradients,
    initial,
    loss,
    score_gradients,
)


def random_network(widths, seed, kind=np.float64):
    rng = np.random.default_rng(seed)
    weights = tuple(rng.normal(size=(b, a)).astype(kind) for a, b in pairwise(widths))
    return Mlp(weights, tuple(rng.normal(size=len(w)).astype(kind) for w in weights))


def random_samples(widths, n, seed, kind=np.float64):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, widths[0])).astype(kind)
    return Samples(inputs=inputs, labels=rng.integers(0, widths[-1], n))


def two_moons(n=200, seed=0):
    """Two classes that no straight line parts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    angle = np.pi * rng.random(n)
    x, y = np.cos(angle), np.sin(angle)
    points = np.where(labels, [1 - x, 0.5 - y], [x, y]).T + 0.1 * rng.normal(size=(n, 2))
    return Samples(inputs=points.astype(np.float32), labels=labels)


widths = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)
seeds = st.integers(0, 2**31)
penalties = st.sampled_from([0.0, 0.03, 0.7])
configs = st.builds(
    TrainConfig,
    l1=penalties,
    l2=penalties,
    activation_l1=penalties,
    distillation=st.sampled_from([0.0, 0.4, 1.0]),
    temperature=st.sampled_from([0.5, 1.0, 4.0]),
)


def away_from_kinks(network, inputs):
    """True where no ReLU and no |w| is so near its kink that a small step could cross it."""
    layer_inputs, _ = forward(network, inputs)
    before = [x @ w.T + b for x, w, b in zip(layer_inputs, network.weights, network.biases, strict=True)]
    return all((np.abs(array) > 1e-3).all() for array in (*before[:-1], *network.weights))


@given(widths, st.integers(1, 6), seeds, configs)
def test_gradients_are_those_of_finite_differences(widths, n, seed, config):
    network, samples = random_network(widths, seed), random_samples(widths, n, seed + 1)
    assume(away_from_kinks(network, samples.inputs))
    teacher = random_network((widths[0], 3, widths[-1]), seed + 2)
    found = gradients(network, samples, config, teacher=teacher)
    for arrays, slopes in ((network.weights, found.weights), (network.biases, found.biases)):
        for array, slope in zip(arrays, slopes, strict=True):
            for at in np.ndindex(array.shape):
                value, sides = array[at], []
                for step in (1e-5, -1e-5):
                    array[at] = value + step
                    sides.append(loss(network, samples, config, teacher=teacher))
                array[at] = value
                np.testing.assert_allclose(slope[at], (sides[0] - sides[1]) / 2e-5, rtol=1e-4, atol=1e-7)


def test_loss_and_gradients_by_hand():
    # one layer, all zero: both classes get 1/2, so the loss is ln 2 and the slopes are +-1/2 times the input
    network = Mlp((np.zeros((2, 1)),), (np.zeros(2),))
    samples = Samples(inputs=np.array([[3.0]]), labels=np.array([0]))
    assert loss(network, samples, TrainConfig()) == pytest.approx(np.log(2))
    slopes = gradients(network, samples, TrainConfig())
    assert slopes.weights[0].tolist() == [[-1.5], [1.5]]
    assert slopes.biases[0].tolist() == [-0.5, 0.5]
    # |2| and |-1|, halves of 4 and 1, and the one hidden activation ReLU(2 x 3) = 6
    network = Mlp((np.array([[2.0]]), np.array([[-1.0]])), (np.zeros(1), np.zeros(1)))
    config = TrainConfig(l1=10, l2=100, activation_l1=1000)
    assert loss(network, samples, config) == 30 + 250 + 6000


@given(widths, st.integers(1, 6), seeds)
def test_score_gradients_are_means_over_the_samples_own_gradients(widths, n, seed):
    network, samples = random_network(widths, seed), random_samples(widths, n, seed + 1)
    own = [
        gradients(network, Samples(inputs=samples.inputs[i : i + 1], labels=samples.labels[i : i + 1]), TrainConfig())
        for i in range(n)
    ]
    found = score_gradients(network, samples)
    for layer in range(len(network.weights)):
        g = np.array([each.weights[layer] for each in own])
        np.testing.assert_allclose(found.mean[layer], g.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.mean_magnitude[layer], np.abs(g).mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.mean_square[layer], (g**2).mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("optimiser", ["adam", "momentum"])
@pytest.mark.parametrize("regulariser", ["l1", "l2"])
def test_masked_weights_are_zero_and_the_others_move(optimiser, regulariser):
    network = initial((2, 16, 2), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    masks = [rng.random(weight.shape) < 0.5 for weight in network.weights]
    config = TrainConfig(epochs=5, batch=20, optimiser=optimiser, **{regulariser: 1e-3})
    trained = fit(network, two_moons(), config, masks=masks)
    for weight, before, mask in zip(trained.weights, network.weights, masks, strict=True):
        assert not weight[~mask].view(np.int32).any()  # all bits zero, the sign too
        assert (weight[mask] != before[mask]).all()


def test_a_layer_without_a_mask_trains_whole():
    network = initial((2, 4, 2), np.random.default_rng(0))
    trained = fit(network, two_moons(), TrainConfig(epochs=1), masks=[None, np.zeros((2, 4), dtype=bool)])
    assert np.count_nonzero(trained.weights[0]) == 8
    assert np.count_nonzero(trained.weights[1]) == 0


@pytest.mark.parametrize(("optimiser", "rate"), [("adam", 0.02), ("momentum", 0.3)])
def test_training_learns_and_leaves_its_argument_alone(optimiser, rate):
    samples, network = two_moons(), initial((2, 16, 2), np.random.default_rng(0))
    before = [array.copy() for array in (*network.weights, *network.biases)]
    trained = fit(network, samples, TrainConfig(epochs=40, batch=20, learning_rate=rate, optimiser=optimiser))
    assert accuracy(trained, two_moons(seed=1)) > 0.95
    assert count_correct(trained, samples) == round(accuracy(trained, samples) * len(samples))
    assert all(np.array_equal(a, b) for a, b in zip(before, (*network.weights, *network.biases), strict=True))


def bytes_of(network):
    return b"".join(array.tobytes() for array in (*network.weights, *network.biases))


def test_the_seed_says_it_all():
    samples, network = two_moons(), initial((2, 16, 2), np.random.default_rng(0))
    config = TrainConfig(epochs=3, seed=7)
    first = bytes_of(fit(network, samples, config))
    assert bytes_of(fit(network, samples, config)) == first
    assert bytes_of(fit(network, samples, replace(config, seed=1), rng=np.random.default_rng(7))) == first
    assert bytes_of(fit(network, samples, replace(config, seed=8))) != first


def test_no_epochs_change_nothing():
    network = initial((2, 16, 2), np.random.default_rng(0))
    assert bytes_of(fit(network, two_moons(), TrainConfig(epochs=0))) == bytes_of(network)


def test_a_distilled_student_speaks_like_its_teacher():
    samples = two_moons()
    teacher = fit(initial((2, 32, 2), np.random.default_rng(0)), samples, TrainConfig(epochs=30, learning_rate=0.02))
    student = initial((2, 4, 2), np.random.default_rng(1))
    config = TrainConfig(epochs=60, learning_rate=0.02, distillation=1.0, temperature=2.0)
    taught = fit(student, samples, config, teacher=teacher)
    assert loss(taught, samples, config, teacher=teacher) < loss(student, samples, config, teacher=teacher)
    # alone with the teacher the labels count for nothing, so wrong ones teach the same
    wrong = Samples(inputs=samples.inputs, labels=1 - samples.labels)
    assert bytes_of(fit(student, wrong, config, teacher=teacher)) == bytes_of(taught)
    plain = fit(student, samples, replace(config, distillation=0.0))
    assert loss(taught, samples, config, teacher=teacher) < loss(plain, samples, config, teacher=teacher)


def test_an_epoch_takes_every_sample_at_most_once_and_the_rate_falls():
    config = TrainConfig(epochs=4, batch=3, learning_rate=0.5)
    found = list(epochs(11, config, None))
    assert [len(batches) for batches in found] == [3] * 4
    for batches in found:
        rows = np.concatenate([rows for rows, _ in batches])
        assert len(set(rows.tolist())) == 9
        assert set(rows.tolist()) <= set(range(11))
    rates = [rate for batches in found for _, rate in batches]
    assert rates == pytest.approx([0.25 + 0.25 * np.cos(np.pi * i / 12) for i in range(12)])
    assert [len(rows) for batches in epochs(2, config, None) for rows, _ in batches] == [2] * 4


def test_adam_over_several_blocks_is_adam():
    rng = np.random.default_rng(0)
    start, slopes = rng.normal(size=40_000), rng.normal(size=(3, 40_000))
    vector = start.copy()
    adam = Adam(vector, 0.9)
    mean = square = 0.0
    for t, g in enumerate(slopes, 1):
        adam.step(g, 0.1)
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g**2
        start -= 0.1 * (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(vector, start, atol=1e-12)


def test_momentum_by_hand():
    vector = np.array([1.0])
    descent = Momentum(vector, 0.5)
    for _ in range(2):
        descent.step(np.array([2.0]), 0.1)
    assert vector[0] == pytest.approx(1 - 0.1 * 2 - 0.1 * (0.5 * 2 + 2))


def test_initial_weights_have_the_spread_of_he():
    network = initial((400, 300, 10), np.random.default_rng(0))
    assert network.widths == (400, 300, 10)
    assert network.weights[0].std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert not any(bias.any() for bias in network.biases)
    assert {array.dtype for array in (*network.weights, *network.biases)} == {np.dtype(np.float32)}


def test_networks_are_float32_unless_all_is_float64():
    assert random_network((2, 2), 0).weights[0].dtype == np.float64
    assert Mlp(([[1, 2]],), (np.zeros(1),)).weights[0].dtype == np.float32


W, B = np.ones((2, 3)), np.ones(2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mlp((), ()), "weights=0: must have one layer or more"),
        (lambda: Mlp((W,), ()), "biases=0: must be 1, one per layer"),
        (lambda: Mlp((B,), (B,)), r"weights\[0\]=shape \(2,\): must be \(out, in\)"),
        (lambda: Mlp((W, W), (B, B)), r"weights\[1\]=shape \(2, 3\): axis 1 must be 2, the outputs of layer 0"),
        (lambda: Mlp((W,), (np.ones(3),)), r"biases\[0\]=shape \(3,\): must be \(2,\)"),
        (lambda: Mlp((W.astype(complex),), (B,)), "network=dtype complex128: must hold real numbers"),
        (lambda: Mlp(([[1], [1, 2]],), (B,)), "network: must be a rectangular array"),
        (lambda: Samples(inputs=B, labels=[0, 0]), r"inputs=shape \(2,\): must be \(n, in\)"),
        (lambda: Samples(inputs=W[:0], labels=[]), "must have one sample or more"),
        (lambda: Samples(inputs=W * np.nan, labels=[0, 0]), "inputs=NaN or infinity: must be finite"),
        (lambda: Samples(inputs=[["a"]], labels=[0]), "inputs=dtype <U1: must be real numbers"),
        (lambda: Samples(inputs=W, labels=[0.5, 1]), "labels=dtype float64: must be integers"),
        (lambda: Samples(inputs=W, labels=[0]), r"labels=shape \(1,\): must be \(2,\)"),
        (lambda: Samples(inputs=W, labels=[0, -1]), "labels=-1: must be >= 0"),
        (lambda: TrainConfig(epochs=-1), r"epochs=-1: must be an integer in 0\.\.1000000"),
        (lambda: TrainConfig(batch=0), "batch=0: must be an integer >= 1"),
        (lambda: TrainConfig(learning_rate=0), "learning_rate=0: must be a finite number above 0"),
        (lambda: TrainConfig(optimiser="sgd"), "optimiser=sgd: must be adam or momentum"),
        (lambda: TrainConfig(momentum=1), "momentum=1.0: must be below 1"),
        (lambda: TrainConfig(l1=-1), "l1=-1: must be a finite number >= 0"),
        (lambda: TrainConfig(l2=np.nan), "l2=nan: must be a finite number >= 0"),
        (lambda: TrainConfig(activation_l1="x"), "activation_l1='x': must be a finite number >= 0"),
        (lambda: TrainConfig(distillation=2), "distillation=2.0: must be in 0..1"),
        (lambda: TrainConfig(temperature=0), "temperature=0: must be a finite number above 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


NETWORK, SAMPLES = Mlp((W,), (B,)), Samples(inputs=W, labels=[0, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": Samples(inputs=np.ones((1, 2)), labels=[0])}, r"inputs=shape \(1, 2\): must be \(n, 3\)"),
        ({"samples": Samples(inputs=W, labels=[0, 2])}, "labels=2: must be below the network's 2 outputs"),
        ({"masks": []}, "masks=0: must be 1, one per layer"),
        ({"masks": [np.ones((3, 2), bool)]}, r"masks\[0\]=shape \(3, 2\): must be the weights' \(2, 3\)"),
        ({"masks": [W]}, r"masks\[0\]=dtype float64: must be bool"),
        ({"config": TrainConfig(distillation=0.5)}, "distillation=0.5: must be 0 without a teacher"),
        (
            {"config": TrainConfig(distillation=0.5), "teacher": Mlp((np.ones((2, 2)),), (B,))},
            r"teacher=widths \(2, 2\): must have the network's 3 inputs and 2 outputs",
        ),
        ({"network": Mlp((W * np.nan,), (B,))}, "network=NaN or infinity: must be finite"),
        (
            {"config": TrainConfig(learning_rate=1e300, l2=1e300, optimiser="momentum")},
            "learning_rate=1e.300, l1=0.0, l2=1e.300: the training diverged; try a smaller learning_rate or penalty",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, message):
    arguments = {"network": NETWORK, "samples": SAMPLES, "config": TrainConfig()} | arguments
    with pytest.raises(InputError, match=message):
        fit(arguments.pop("network"), arguments.pop("samples"), arguments.pop("config"), **arguments)


def test_forward_refuses_inputs_of_another_width():
    with pytest.raises(InputError, match=r"inputs=shape \(4, 2\): must be \(n, 3\)"):
        forward(NETWORK, np.ones((4, 2)))
