from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune import keep_count, magnitude, schedule
from eie_sim.prune.pruned_training import each_layer, hidden_neurons, prune, prune_and_train
from eie_sim.prune.train import Mlp, Samples, TrainConfig, accuracy, fit, forward, initial


def elements(weights, density):
    return magnitude(weights, density=density).mask


def rows(weights, density):
    strong = magnitude((weights.astype(np.float64) ** 2).sum(axis=1), density=density).mask
    return np.repeat(strong[:, None], weights.shape[1], axis=1)


def blobs(n=300, seed=0):
    """Four classes around the corners of a square, in six dimensions of which four are noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    points = rng.normal(size=(n, 6)) * 0.3
    points[:, 0] += labels % 2
    points[:, 1] += labels // 2
    return Samples(inputs=points.astype(np.float32), labels=labels)


SAMPLES = blobs()
CONFIG = TrainConfig(epochs=4, learning_rate=0.01)
DENSE = fit(initial((6, 16, 12, 4), np.random.default_rng(0)), SAMPLES, replace(CONFIG, epochs=20))


def nonzero(network):
    return [int(np.count_nonzero(weight)) for weight in network.weights]


def counts(kept):
    return [layer.kept for layer in kept.layers.values()]


def test_each_step_keeps_what_it_was_asked_and_what_went_stays_away():
    asked = schedule.iterative(0.1, steps=4).densities
    result = prune_and_train(DENSE, SAMPLES, schedule=asked, rule=each_layer(elements), config=CONFIG)
    assert [step.asked for step in result.steps] == list(asked)
    assert counts(result.steps[-1]) == [10, 19, 5]  # of 96, 192 and 48: total less round(0.9 x total)
    assert [layer.total for layer in result.steps[-1].layers.values()] == [96, 192, 48]
    assert result.steps[-1].achieved == pytest.approx(34 / 336)
    assert nonzero(result.network) == [10, 19, 5]
    for weight, mask in zip(result.network.weights, result.steps[-1].masks.values(), strict=True):
        assert not weight[~mask].any()


def test_masks_of_magnitude_are_nested_along_a_schedule():
    seen = []

    def watched(weights, density):
        seen.append(each_layer(elements)(weights, density))
        return seen[-1]

    prune_and_train(DENSE, SAMPLES, schedule=[0.6, 0.3, 0.1], rule=watched, config=CONFIG)
    for before, after in pairwise(seen):
        assert all((b | ~a).all() for b, a in zip(before, after, strict=True))


def test_training_wins_back_what_pruning_lost():
    cut, _ = prune(DENSE, density=0.15, rule=each_layer(elements))
    trained = prune_and_train(
        DENSE, SAMPLES, schedule=[0.15], rule=each_layer(elements), config=replace(CONFIG, epochs=30)
    )
    assert accuracy(trained.network, blobs(seed=1)) > accuracy(cut, blobs(seed=1)) + 0.05


def test_the_dense_network_is_the_teacher():
    config = replace(CONFIG, distillation=0.7, temperature=3.0)
    found = prune_and_train(DENSE, SAMPLES, schedule=[0.5, 0.2], rule=each_layer(elements), config=config)
    rng, network = np.random.default_rng(config.seed), DENSE
    for density in (0.5, 0.2):
        network, kept = prune(network, density=density, rule=each_layer(elements))
        network = fit(network, SAMPLES, config, masks=list(kept.masks.values()), teacher=DENSE, rng=rng)
    assert all(np.array_equal(a, b) for a, b in zip(found.network.weights, network.weights, strict=True))


@given(st.floats(0, 1), st.integers(0, 1000))
def test_removed_neurons_could_be_cut_out(density, seed):
    rng = np.random.default_rng(seed)
    network = initial((6, 16, 12, 4), rng)
    network = Mlp(network.weights, tuple(rng.normal(size=bias.shape) for bias in network.biases))
    if keep_count(density, 336) < 11:
        with pytest.raises(InputError, match=rf"^density={density:g}: must be at least 0.0327381, or a hidden layer"):
            prune(network, density=density, rule=hidden_neurons(rows))
        return
    cut, step = prune(network, density=density, rule=hidden_neurons(rows))
    masks = list(step.masks.values())
    assert step.kept <= keep_count(density, 336)
    stays = [mask.any(axis=1) for mask in masks[:-1]]
    assert all(each.any() for each in stays)
    ends = [np.ones(6, bool), *stays, np.ones(4, bool)]
    small = Mlp(
        tuple(w[o][:, i] for w, (i, o) in zip(network.weights, pairwise(ends), strict=True)),
        tuple(bias[o] for bias, o in zip(network.biases, ends[1:], strict=True)),
    )
    assert sum(weight.size for weight in small.weights) == step.kept
    x = rng.normal(size=(5, 6))
    np.testing.assert_allclose(forward(cut, x)[1], forward(small, x)[1], atol=1e-5)


def test_as_many_neurons_stay_as_the_density_allows():
    for density in (0.05, 0.1, 0.25, 0.5, 0.9, 1.0):
        _, step = prune(DENSE, density=density, rule=hidden_neurons(rows))
        parts = [i / 16 for i in range(17)]
        sizes = []
        for part in parts:
            kept = [int(np.count_nonzero(rows(weight, part).any(axis=1))) for weight in DENSE.weights[:-1]]
            widths = [6, *kept, 4]
            sizes.append(sum(a * b for a, b in pairwise(widths)))
        assert step.kept == max(size for size in sizes if size <= keep_count(density, 336))
        assert step.masks["2"].any(axis=1).all() or step.kept == 0  # no output goes alone
    assert step.kept == 336


def test_a_network_without_hidden_layers_has_no_neurons_to_remove():
    one = initial((6, 4), np.random.default_rng(0))
    assert prune(one, density=0.5, rule=hidden_neurons(rows))[1].kept == 24
