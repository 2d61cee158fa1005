"""Recipes applied to networks: what is kept, trained and removed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import chain, outputs
from pruning_samples import DESIGN, DIGITS, accuracy_of

from eie_sim import EieConfig, InputError
from eie_sim.prune import (
    Recipe,
    allocate_network,
    keep_count,
    prune_network,
    score,
    training,
    unpruned,
    without_dead,
)
from eie_sim.prune.measure import inputs_of, mlp_of, quality_of, weights_of
from eie_sim.prune.mlp import Samples, forward
from eie_sim.prune.pattern import element
from eie_sim.prune.pattern import input as input_pattern
from eie_sim.prune.train import TrainConfig, loss, score_gradients

BAD_PATTERNS = ("4:2", "2:0", "0:4", "2", "a:b", "nm", "2:257", "2:4:8", "02:04", "-1:4")


def kept_of(network):
    return {layer.name: layer.weights != 0 for layer in network.layers}


@pytest.mark.parametrize("criterion", ["l1", "l2", "taylor", "obd", "random"])
@pytest.mark.parametrize("pattern", ["element", "balanced"])
def test_every_layer_keeps_exactly_what_was_asked_of_its_weights_before_pruning(criterion, pattern):
    pruned, kept = prune_network(DIGITS, Recipe(density=0.3, criterion=criterion, pattern=pattern), DESIGN)
    for layer, before in zip(pruned.layers, DIGITS.dense_layers, strict=True):
        result = kept.layers[layer.name]
        assert result.kept == keep_count(0.3, before.weights.size) == np.count_nonzero(result.mask)
        np.testing.assert_array_equal(layer.weights, np.where(result.mask, before.weights, 0))
        np.testing.assert_array_equal(layer.bias, before.bias)
    assert pruned.dense_layers is DIGITS.dense_layers
    assert unpruned(pruned).layers[0].weights is DIGITS.dense_layers[0].weights


def test_layers_may_have_densities_of_their_own():
    _, kept = prune_network(DIGITS, Recipe(density=0.5), DESIGN, layer_density={"fc3": 1.0, "fc1": 0.1})
    assert [layer.asked for layer in kept.layers.values()] == [0.1, 0.5, 1.0]
    assert [layer.kept for layer in kept.layers.values()] == [1638, 16384, 1280]


def test_a_global_threshold_keeps_the_count_over_all_layers():
    _, kept = prune_network(DIGITS, Recipe(density=0.2, scope="global"), DESIGN)
    assert kept.kept == keep_count(0.2, kept.total)
    lowest = min(np.abs(layer.weights)[kept.layers[layer.name].mask].min() for layer in DIGITS.dense_layers)
    highest = max(np.abs(layer.weights)[~kept.layers[layer.name].mask].max() for layer in DIGITS.dense_layers)
    assert lowest >= highest


def test_wanda_compares_within_rows_and_counts_as_the_paper_does():
    _, kept = prune_network(DIGITS, Recipe(density=0.3, criterion="wanda", pattern="per_row"), DESIGN)
    before, biases = weights_of(DIGITS)
    inputs = inputs_of(DIGITS, before, biases)
    for name, layer in kept.layers.items():
        n_in = layer.mask.shape[1]
        kept_in_row = n_in - int(n_in * 7 // 10)  # the paper prunes floor(columns x sparsity) in every row
        assert (layer.mask.sum(axis=1) == kept_in_row).all()
        scores = score.wanda(before[name], inputs[name])
        for row, mask in zip(scores, layer.mask, strict=True):
            assert row[mask].min() >= row[~mask].max()


def test_taylor_takes_the_mean_gradient_and_obd_the_mean_square():
    before, biases = weights_of(DIGITS)
    slopes = score_gradients(mlp_of(before, biases), training(DIGITS))
    for criterion, scores in (
        ("taylor", score.taylor_first(before["fc1"], slopes.mean[0])),
        ("obd", score.taylor_second(before["fc1"], diagonal=slopes.mean_square[0])),
    ):
        _, kept = prune_network(DIGITS, Recipe(density=0.3, criterion=criterion), DESIGN)
        np.testing.assert_array_equal(kept.layers["fc1"].mask, element().prune(scores, 0.3).mask)


def test_random_scores_of_layers_have_streams_of_their_own():
    masks = {}
    for seed in (0, 1):
        network = chain((8, 8, 8), labelled=False)
        _, kept = prune_network(network, Recipe(density=0.5, criterion="random", seed=seed), DESIGN)
        masks |= {(seed, name): mask.tobytes() for name, mask in kept.masks.items()}
    assert len(set(masks.values())) == 4


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize("criterion", ["l1", "apoz", "random"])
def test_a_pruned_neuron_takes_its_column_along_and_answers_stay(criterion, scope):
    recipe = Recipe(density=0.25, pattern="neuron", criterion=criterion, scope=scope)
    pruned, kept = prune_network(DIGITS, recipe, DESIGN)
    for first, second in itertools.pairwise(kept.layers.values()):
        np.testing.assert_array_equal(first.mask.any(axis=1), second.mask.any(axis=0))
    assert kept.layers["fc3"].mask.any(axis=1).all()
    most = keep_count(0.25, kept.total)
    assert 0.95 * most < kept.kept <= most
    assert [np.count_nonzero(layer.weights) for layer in pruned.layers] == [r.kept for r in kept.layers.values()]
    small, _ = prune_network(DIGITS, replace(recipe, remove=True), DESIGN)
    assert sum(layer.weights.size for layer in small.layers) == kept.kept


def test_neurons_go_step_by_step_and_never_come_back():
    recipe = Recipe(density=0.25, pattern="neuron", criterion="random", schedule="linear", steps=3)
    _, kept = prune_network(DIGITS, recipe, DESIGN)
    _, first = prune_network(DIGITS, replace(recipe, density=0.75, schedule="one-shot"), DESIGN)
    for name, layer in kept.layers.items():
        assert not (layer.mask & ~first.layers[name].mask).any()


def test_apoz_keeps_the_neurons_that_fire_most():
    pruned, _ = prune_network(DIGITS, Recipe(density=0.25, pattern="neuron", criterion="apoz"), DESIGN)
    fires = score.apoz(inputs_of(DIGITS, *weights_of(DIGITS))["fc2"])
    stays = (pruned.layers[0].weights != 0).any(axis=1)
    assert fires[stays].min() >= fires[~stays].max()


def test_methods_of_ones_own_are_one_function_each():
    """A criterion that reads a Hessian, and the update of the weights that stay (Hassibi and Stork 1993)."""
    network = chain((6, 5, 3), labelled=False, bias=False)
    before, biases = weights_of(network)
    inverse = {}
    for name, read in inputs_of(network, before, biases).items():
        vectors = read.astype(np.float64)
        inverse[name] = np.linalg.inv(vectors.T @ vectors / len(vectors) + 0.01 * np.eye(vectors.shape[1]))

    def saliency(network, weights, biases, seed):
        return {name: w**2 / (2 * np.diag(inverse[name])) for name, w in weights.items()}

    def moved(network, weights, masks):
        found = {}
        for name, w in weights.items():
            rows = []
            for row, stays in zip(w.astype(np.float64), masks[name], strict=True):
                gone = np.flatnonzero(~stays)
                part = inverse[name][:, gone]
                rows.append(row - part @ np.linalg.solve(part[gone], row[gone]))
            found[name] = np.array(rows, dtype=w.dtype)
        return found

    plain, kept = prune_network(network, Recipe(density=0.5), DESIGN, scores_of=saliency)
    better, same = prune_network(network, Recipe(density=0.5), DESIGN, scores_of=saliency, update=moved)
    inputs = inputs_of(network, before, biases)["fc1"]
    errors = [np.sum((inputs @ (before["fc1"] - net.layers[0].weights).T) ** 2) for net in (plain, better)]
    assert errors[1] < errors[0]
    for name, layer in kept.layers.items():
        np.testing.assert_array_equal(same.layers[name].mask, layer.mask)
    assert not better.layers[0].weights[~kept.layers["fc1"].mask].any()
    _, whole = prune_network(network, Recipe(density=0.4), DESIGN, shape=input_pattern())
    assert all((mask.all(axis=0) | ~mask.any(axis=0)).all() for mask in whole.masks.values())


@pytest.mark.parametrize("schedule", ["linear", "cubic", "iterative"])
def test_masks_along_a_schedule_are_nested_and_end_where_asked(schedule):
    network, ends = chain(), []
    for steps in (1, 4):
        said = []
        recipe = Recipe(density=0.25, schedule=schedule, steps=steps)
        pruned, kept = prune_network(network, recipe, DESIGN, progress=said.append)
        assert len(said) == steps
        ends.append(kept_of(pruned))
        assert [layer.kept for layer in kept.layers.values()] == [keep_count(0.25, n) for n in (96, 72, 24)]
    for name, mask in ends[0].items():  # magnitudes do not move without training, so steps change nothing
        np.testing.assert_array_equal(mask, ends[1][name])


def test_training_brings_accuracy_back_and_no_weight():
    recipe = Recipe(density=0.1)
    cut, kept = prune_network(DIGITS, recipe, DESIGN)
    learnt, same = prune_network(DIGITS, replace(recipe, epochs=4), DESIGN)
    assert accuracy_of(learnt) > accuracy_of(cut) + 0.1
    for layer in learnt.layers:
        np.testing.assert_array_equal(same.layers[layer.name].mask, kept.layers[layer.name].mask)
        assert not layer.weights[~same.layers[layer.name].mask].any()
    assert learnt.layers[0].weights_source.endswith(
        "real, trained, pruned: element, l1, local, density 0.09998, trained 4 epochs"
    )
    again, _ = prune_network(DIGITS, replace(recipe, epochs=4), DESIGN)
    other, _ = prune_network(DIGITS, replace(recipe, epochs=4, seed=1), DESIGN)
    np.testing.assert_array_equal(again.layers[0].weights, learnt.layers[0].weights)
    assert (other.layers[0].weights != learnt.layers[0].weights).any()


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(2, 9), min_size=3, max_size=5),
    st.sampled_from(["element", "neuron", "balanced"]),
    st.sampled_from([0.1, 0.3, 0.6]),
    st.booleans(),
)
def test_what_is_left_without_dead_neurons_computes_the_same(seed, widths, pattern, density, bias):
    network = chain(tuple(widths), seed=seed, labelled=False, bias=bias)
    masked, _ = prune_network(network, Recipe(pattern=pattern, density=density), DESIGN)
    try:
        small = without_dead(masked)
    except InputError as error:  # a layer of which nothing is left
        assert "layer fc" in str(error)
        return
    np.testing.assert_allclose(
        outputs(small.layers, network.test_inputs), outputs(masked.layers, network.test_inputs), atol=1e-3
    )
    for first, second in zip(small.layers, small.layers[1:], strict=False):
        assert first.n_out == second.n_in
        assert (first.weights != 0).any(axis=1).all()
        assert (second.weights != 0).any(axis=0).all()
    assert small.layers[-1].n_out == network.layers[-1].n_out
    assert small.dense_layers is None


def test_removal_from_a_recipe():
    small, _ = prune_network(DIGITS, Recipe(density=0.25, pattern="neuron", remove=True), DESIGN)
    assert [layer.weights.shape for layer in small.layers] == [(104, 64), (52, 104), (10, 52)]
    assert small.layers[0].weights_source.endswith("152 of 256 neurons removed")
    masked, _ = prune_network(DIGITS, Recipe(density=0.25, pattern="neuron"), DESIGN)
    assert accuracy_of(small) == accuracy_of(masked)


def test_epochs_of_the_steps_add_up(monkeypatch):
    seen = []

    def watched(network, samples, config, **others):
        seen.append((config.epochs, config.l1, config.l2, config.distillation))
        assert others["teacher"].weights[0] is DIGITS.dense_layers[0].weights
        return network

    monkeypatch.setattr("eie_sim.prune.pruned_training.fit", watched)
    recipe = Recipe(
        density=0.1, schedule="cubic", steps=4, epochs=10, penalty_l1=0.5, penalty_l2=0.25, distillation=0.1
    )
    prune_network(DIGITS, recipe, DESIGN)
    assert [epochs for epochs, *_ in seen] == [2, 3, 2, 3]
    assert {rest for _, *rest in map(tuple, seen) for rest in [tuple(rest)]} == {(0.5, 0.25, 0.1)}


def test_masks_stay_nested_while_training_moves_weights(monkeypatch):
    masks = []

    def watched(network, samples, config, **others):
        masks.append([mask.copy() for mask in others["masks"]])
        rng = np.random.default_rng(len(masks))
        moved = (rng.normal(size=mask.shape).astype(np.float32) * mask for mask in masks[-1])
        return type(network)(tuple(moved), network.biases)

    monkeypatch.setattr("eie_sim.prune.pruned_training.fit", watched)
    prune_network(DIGITS, Recipe(density=0.1, schedule="linear", steps=3, epochs=3), DESIGN)
    for before, after in itertools.pairwise(masks):
        assert all(not (b & ~a).any() for a, b in zip(before, after, strict=True))


def test_what_is_chosen_on_is_not_what_is_judged_on():
    before, biases = weights_of(DIGITS)
    mlp = mlp_of(before, biases)
    own = Samples(inputs=DIGITS.train_inputs, labels=DIGITS.train_labels)
    assert quality_of("loss", DIGITS, training(DIGITS))(before) == -loss(mlp, own, TrainConfig())
    held = Samples(inputs=DIGITS.test_inputs, labels=DIGITS.test_labels)
    assert quality_of("loss", DIGITS)(before) == -loss(mlp, held, TrainConfig())
    expected = forward(mlp, DIGITS.calibration)[0]
    for read, layer in zip(inputs_of(DIGITS, before, biases).values(), expected, strict=True):
        np.testing.assert_array_equal(read, layer)
    (chosen, *_) = allocate_network(DIGITS, 215, "cycles", EieConfig())
    kept = {layer.name: layer.weights for layer in chosen.network.layers}
    assert chosen.quality == -loss(mlp_of(kept, biases), own, TrainConfig())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pattern": "blok"}, "pattern=blok: unknown; did you mean block?"),
        ({"criterion": "l3"}, "criterion=l3: unknown"),
        ({"scope": "both"}, "scope=both: must be local, global or isomorphic"),
        ({"schedule": "slow"}, "schedule=slow: must be one-shot, linear, cubic or iterative"),
        ({"steps": 0}, r"steps=0: must be an integer in 1\.\.1000"),
        ({"epochs": -1}, "epochs=-1: must be an integer"),
        ({"density": 1.5}, r"density=1.5: must be in 0\.\.1"),
        ({"density": float("nan")}, r"density=nan: must be in 0\.\.1"),
        ({"density": "much"}, "density=much: must be in 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan: must be a finite number above 0"),
        ({"learning_rate": 0}, "learning_rate=0: must be a finite number above 0"),
        ({"penalty_l1": float("inf")}, "penalty_l1=inf: must be a finite number >= 0"),
        ({"distillation": 5}, r"distillation=5: must be in 0\.\.1"),
        ({"window": 0}, "window=0: must be an integer >= 1"),
        ({"seed": -1}, "seed=-1: must be"),
        ({"remove": 1}, "remove"),
        ({"pattern": np.ma.array([1])}, "pattern="),
        ({"schedule": "iterative", "density": 0}, "density=0: must be above 0"),
        ({"floor": -0.1}, r"floor=-0.1: must be in 0\.\.1"),
        ({"pattern": "2:4", "schedule": "cubic"}, "schedule=cubic: must be one-shot, 2:4 has but one density"),
        *(({"pattern": bad}, f"pattern={bad}: must be N:M, N kept of each M, as 2:4") for bad in BAD_PATTERNS),
        ({"pattern": "blocks"}, "pattern=blocks: unknown; did you mean block"),
        ({"criterion": "apoz"}, "pattern=element: must be neuron where the criterion is apoz"),
        ({"criterion": "wanda"}, "pattern=element: must be per_row or as 2:4, wanda compares in rows"),
        ({"schedule": "cubic", "epochs": 3}, "epochs=3: must be 0, or one for each of the 5 steps or more"),
        ({"scope": "global", "density": 0.1, "pattern": "balanced"}, "a pattern of groups, not balanced"),
    ],
)
def test_a_recipe_is_checked_where_it_is_written(fields, message):
    with pytest.raises(InputError, match=message):
        Recipe(**fields)


@pytest.mark.parametrize(
    ("recipe", "densities", "message"),
    [
        (Recipe(), None, "density=None: must be a fraction of the weights to keep"),
        (Recipe(density=0.5), {"fc9": 0.1}, "layer_density=fc9: unknown; did you mean fc"),
        (Recipe(density=0.5), {"fc1": 2.0}, r"layer_density of fc1=2.0: must be in 0\.\.1"),
        (Recipe(density=0.5), {"fc1": float("nan")}, r"layer_density of fc1=nan: must be in 0\.\.1"),
        (Recipe(density=0.5, pattern="neuron"), {"fc3": 0.5}, "layer_density of fc3=0.5: must be left out"),
        (Recipe(density=0.5, schedule="iterative"), {"fc1": 0}, "layer_density of fc1=0: must be above 0"),
        (Recipe(density=0.5, scope="global"), {"fc1": 0.1}, "scope=global: must be local"),
        (Recipe(scope="global"), None, "scope=global: needs a density"),
        (Recipe(density=0.5, scope="isomorphic"), None, "scope=isomorphic: must be local or global"),
        (Recipe(density=0.5, epochs=1), None, "train_labels=none: epochs=1 needs a chain"),
        (Recipe(density=0.5, criterion="taylor"), None, "train_labels=none: criterion=taylor needs"),
    ],
)
def test_a_recipe_that_does_not_fit_the_network_is_refused(recipe, densities, message):
    with pytest.raises(InputError, match=message):
        prune_network(chain(labelled=False), recipe, DESIGN, layer_density=densities)


def test_layers_that_are_no_chain_have_no_dead_neurons_and_no_apoz():
    loose = replace(chain(labelled=False), chained=False)
    with pytest.raises(InputError, match="remove=True: must be left out where the layers are no chain"):
        prune_network(loose, Recipe(density=0.5, remove=True), DESIGN)
    with pytest.raises(InputError, match="criterion=apoz: needs a chain"):
        prune_network(loose, Recipe(density=0.5, pattern="neuron", criterion="apoz"), DESIGN)
