"""Recipes applied to networks: what is kept, trained, removed, chosen for a budget, and set in a table."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import chain, needs_mnist, outputs

from eie_sim import EieConfig, EieMatrix, InputError, TensorCoreConfig, run_network
from eie_sim.cost import cost
from eie_sim.prune import is_nm, keep_count, magnitude, score
from eie_sim.prune.mlp import Samples, forward
from eie_sim.prune.pattern import element
from eie_sim.prune.pattern import input as input_pattern
from eie_sim.prune.train import TrainConfig, loss, score_gradients
from eie_sim.pruning import (
    Recipe,
    allocate_network,
    default_quality,
    prune_network,
    scan_network,
    table_of,
    training,
    unpruned,
    with_trained_codebooks,
    without_dead,
)
from eie_sim.pruning.measure import inputs_of, mlp_of, quality_of, weights_of
from eie_sim.workload import load

DESIGN = EieConfig(n_pe=4)
DIGITS = load("digits-mlp")


def kept_of(network):
    return {layer.name: layer.weights != 0 for layer in network.layers}


def accuracy_of(network):
    return np.mean(outputs(network.layers, network.test_inputs).argmax(axis=1) == network.test_labels)


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
        "not pruned, pruned: element, l1, local, density 0.09998, trained 4 epochs"
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

    monkeypatch.setattr("eie_sim.pruning.network.fit", watched)
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

    monkeypatch.setattr("eie_sim.pruning.network.fit", watched)
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
        ({"scope": "both"}, "scope=both: must be local or global"),
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
        ({"pattern": "nm", "schedule": "cubic"}, "schedule=cubic: must be one-shot"),
        ({"criterion": "apoz"}, "pattern=element: must be neuron where the criterion is apoz"),
        ({"criterion": "wanda"}, "pattern=element: must be per_row or nm, wanda compares in rows"),
        ({"schedule": "cubic", "epochs": 3}, "epochs=3: must be 0, or one for each of the 5 steps or more"),
        ({"scope": "global"}, "scope=global: needs a density"),
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
        (Recipe(density=0.5, epochs=1), None, "train_labels=none: epochs=1 needs a chain"),
        (Recipe(density=0.5, criterion="taylor"), None, "train_labels=none: criterion=taylor needs"),
        (Recipe(pattern="nm", m_group=5, n_keep=1), None, "must be a multiple of m_group=5"),
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


def test_a_scan_changes_one_layer_at_a_time():
    points = scan_network(DIGITS, (0.1, 1.0), "cycles", DESIGN)
    before, biases = weights_of(DIGITS)
    inputs = inputs_of(DIGITS, before, biases)
    whole = accuracy_of(unpruned(DIGITS))
    for point in points:
        dense = before[point.layer]
        pruned = np.where(magnitude(dense, density=point.asked).mask, dense, 0)
        expected = cost("cycles", pruned, DESIGN, activations=inputs[point.layer], bias=biases[point.layer])
        assert point.cost == expected
        assert point.kept == np.count_nonzero(pruned)
        layers = [
            replace(layer, weights=pruned) if layer.name == point.layer else layer for layer in unpruned(DIGITS).layers
        ]
        assert point.quality == np.mean(outputs(layers, DIGITS.test_inputs).argmax(axis=1) == DIGITS.test_labels)
        assert point.asked < 1 or point.quality == whole


def test_qualities_are_best_before_pruning():
    before, _ = weights_of(DIGITS)
    fewer = {name: w * magnitude(w, density=0.1).mask for name, w in before.items()}
    for name in ("accuracy", "loss", "outputs"):
        quality = quality_of(name, DIGITS)
        assert quality(before) > quality(fewer)
    assert quality_of("outputs", DIGITS)(before) == 0
    assert default_quality(DIGITS, "loss") == "loss"
    assert default_quality(load("alex-8"), "loss") == "outputs"
    with pytest.raises(InputError, match="quality=los: unknown; did you mean loss"):
        quality_of("los", DIGITS)
    with pytest.raises(InputError, match="test_labels=none: accuracy needs"):
        quality_of("accuracy", load("alex-8"))


@pytest.mark.parametrize("quantity", ["weights", "bytes", "cycles", "energy"])
def test_an_allocation_is_within_its_budget_in_every_quantity(quantity):
    network = chain((16, 24, 12, 4))
    points = scan_network(network, (0.2, 1.0), quantity, DESIGN)
    costs = {density: sum(p.cost for p in points if p.asked == density) for density in (0.2, 1.0)}
    budget = (costs[0.2] + costs[1.0]) / 2
    for choice in allocate_network(network, budget, quantity, DESIGN, densities=(0.1, 0.2, 0.4, 0.7, 1.0)):
        assert choice.cost <= budget
        before, biases = weights_of(network)
        inputs = inputs_of(network, before, biases)
        measured = sum(
            cost(quantity, layer.weights, DESIGN, activations=inputs[layer.name], bias=layer.bias)
            for layer in choice.network.layers
        )
        assert measured == pytest.approx(choice.cost)


@pytest.mark.parametrize("quantity", ["weights", "bytes", "cycles", "energy"])
def test_an_nm_unit_is_allocated_its_own_patterns(quantity):
    design = TensorCoreConfig.preset("nm-64", patterns=((2, 4), (1, 4)))
    network = chain((16, 24, 12, 4))
    points = scan_network(network, (0.25, 0.5, 1.0), quantity, design, quality="outputs")
    totals = {density: sum(p.cost for p in points if p.asked == density) for density in (0.25, 0.5, 1.0)}
    assert totals[0.25] < totals[0.5] < totals[1.0]
    budget = (totals[0.5] + totals[1.0]) / 2
    budgeted, uniform = allocate_network(network, budget, quantity, design, densities=(0.25, 0.5, 1.0))
    assert uniform.name == "uniform"
    assert set(uniform.densities.values()) == {0.5}
    assert set(budgeted.densities.values()) <= {0.25, 0.5, 1.0}
    assert uniform.cost <= budget
    assert budgeted.cost <= budget
    assert budgeted.quality >= uniform.quality
    for layer in budgeted.network.layers:
        assert is_nm(layer.weights, *{0.25: (1, 4), 0.5: (2, 4), 1.0: (1, 1)}[budgeted.densities[layer.name]])


def test_an_nm_unit_names_the_densities_it_has():
    with pytest.raises(InputError, match=r"density=0\.3: must be one of 0\.25, 0\.5, 1, the unit's patterns"):
        scan_network(chain(), (0.3,), "cycles", TensorCoreConfig.preset("nm-64", patterns=((2, 4), (1, 4))))


def compared(network, budget):
    """Accuracy of each choice at the same budget of cycles, on the standard design."""
    choices = allocate_network(network, budget, "cycles", EieConfig())
    assert [choice.name for choice in choices] == ["budgeted", "uniform", "global"]
    assert all(choice.cost <= budget for choice in choices)
    return {choice.name: accuracy_of(choice.network) for choice in choices}


@pytest.mark.parametrize("budget", [200, 215])
def test_at_equal_cycles_a_budget_keeps_more_accuracy_than_uniform_magnitude(budget):
    accuracy = compared(DIGITS, budget)
    assert accuracy["budgeted"] >= accuracy["uniform"] + 0.02
    assert accuracy["budgeted"] >= accuracy["global"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-mlp", pytest.param("lenet-300-100", marks=needs_mnist)])
def test_a_budget_loses_no_more_than_magnitude_on_what_it_is_chosen_on(name):
    network = load(name)
    full = sum(point.cost for point in scan_network(network, (1.0,), "cycles", EieConfig()))
    for share in (0.55, 0.65, 0.75, 0.85):
        budgeted, *rivals = allocate_network(network, share * full, "cycles", EieConfig())
        assert all(budgeted.quality >= rival.quality for rival in rivals)


@needs_mnist
@pytest.mark.parametrize("budget", [380, pytest.param(450, marks=pytest.mark.slow)])
def test_at_equal_cycles_a_budget_keeps_more_accuracy_on_lenet(budget):
    accuracy = compared(load("lenet-300-100"), budget)
    assert accuracy["budgeted"] >= accuracy["uniform"] + 0.02


def test_a_budget_that_cannot_be_met_names_the_least():
    with pytest.raises(InputError, match=r"budget=1: must be at least [0-9.]+, the cost of the cheapest"):
        allocate_network(chain(), 1, "cycles", DESIGN)
    with pytest.raises(InputError, match="layer fc1 has no density at or above it"):
        allocate_network(chain(), 100, "cycles", DESIGN, densities=(0.1, 0.2), floor=0.5)


def test_the_table_measures_what_it_says():
    network = chain((16, 24, 12, 4))
    records, left_out = table_of(
        network, DESIGN, patterns=("element", "nm", "balanced", "neuron"), densities=(0.5, 0.3), epochs=5
    )
    assert left_out == ["nm: 0.3 of 4 is no whole number of weights"]
    assert len(records) == 4 * (3 * 2 + 1)
    for record in records:
        if record.pattern != "neuron":
            assert record.kept == tuple(keep_count(record.asked, n) for n in (384, 288, 48))
        assert record.cost > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"densities": [float("nan")]}, "densities=nan"),
        ({"densities": [0]}, "densities=0: must be above 0"),
        ({"patterns": []}, "patterns=none: must be at least one"),
        ({"penalties": []}, "penalties=none: must be at least one"),
        ({"schedules": ["cubic"]}, "schedules=cubic: unknown"),
        ({"epochs": 7}, "epochs=7: must be a multiple of 5"),
        ({"penalties": ["L3"]}, "penalties=L3: unknown; did you mean L"),
    ],
)
def test_a_table_of_nothing_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        table_of(chain(), DESIGN, **{"patterns": ["element"], "densities": [0.5], **given})


def test_a_density_that_leaves_no_neuron_is_left_out():
    records, left_out = table_of(chain(), DESIGN, patterns=["neuron"], densities=[0.01, 0.5], epochs=0)
    assert left_out == ["neuron: 0.01 leaves a layer without neurons"]
    assert {record.asked for record in records} == {0.5}


def test_one_labelled_layer_is_a_network(tmp_path):
    rng = np.random.default_rng(0)
    inputs, labels = np.maximum(rng.normal(size=(20, 6)), 0), rng.integers(0, 3, 20)
    arrays = {"w": rng.normal(size=(3, 6)), "test_inputs": inputs, "test_labels": labels}
    network = load(arrays | {"train_inputs": inputs, "train_labels": labels})
    pruned, _ = prune_network(network, Recipe(density=0.5, epochs=2, criterion="taylor"), DESIGN)
    assert accuracy_of(pruned) >= 0


def test_trained_codebooks_keep_codes_and_lower_the_loss():
    pruned, _ = prune_network(DIGITS, Recipe(density=0.2), DESIGN)
    design = EieConfig(weight_bits=2, n_pe=4)
    trained = with_trained_codebooks(pruned, design, epochs=3)
    before = [EieMatrix.from_dense(p.weights, bias=p.bias, weight_bits=2, n_pe=4) for p in pruned.layers]
    for layer, matrix in zip(trained.layers, before, strict=True):
        np.testing.assert_array_equal(layer.stored.columns, matrix.decode())
    untrained = {p.name: m.codebook[m.decode()[:, :-1]] for p, m in zip(pruned.layers, before, strict=True)}
    own = {p.name: m.codebook[m.decode()[:, -1]] for p, m in zip(pruned.layers, before, strict=True)}
    learnt = {layer.name: layer.weights for layer in trained.layers}
    samples = training(DIGITS)
    start = loss(mlp_of(untrained, own), samples, TrainConfig())
    end = loss(mlp_of(learnt, {layer.name: layer.bias for layer in trained.layers}), samples, TrainConfig())
    assert end < 0.8 * start
    run = run_network(trained, design)
    assert run.verified
    assert [layer.matrix.codebook.tolist() for layer in run.layers] == [
        t.stored.codebook.tolist() for t in trained.layers
    ]
    with pytest.raises(InputError, match="train_labels=none: training codebooks needs"):
        with_trained_codebooks(chain(labelled=False), design, epochs=1)


def test_cycles_of_the_table_are_those_of_the_network_in_floats():
    network = chain((16, 24, 12, 4))
    (record,), _ = table_of(
        network, DESIGN, patterns=["element"], densities=[1.0], schedules=["one-shot"], penalties=["L2"], epochs=0
    )
    mlp = mlp_of(*weights_of(network))
    inputs = forward(mlp, network.test_inputs)[0]
    layers = zip(mlp.weights, mlp.biases, inputs, strict=True)
    assert record.cost == sum(cost("cycles", w, DESIGN, activations=x, bias=b) for w, b, x in layers)


@pytest.mark.parametrize("n_pe", [16, 64])
@pytest.mark.parametrize("density", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("name", ["digits-mlp", pytest.param("lenet-300-100", marks=needs_mnist)])
def test_at_equal_weights_and_inputs_balanced_masks_take_fewer_cycles(name, density, n_pe):
    network, design = load(name), EieConfig(n_pe=n_pe)
    before, biases = weights_of(network)
    inputs = inputs_of(network, before, biases)
    cycles, kept = {}, {}
    for pattern in ("element", "balanced"):
        pruned, selection = prune_network(network, Recipe(density=density, pattern=pattern), design)
        kept[pattern] = [layer.kept for layer in selection.layers.values()]
        cycles[pattern] = [
            cost("cycles", layer.weights, design, activations=inputs[layer.name], bias=biases[layer.name])
            for layer in pruned.layers
        ]
    assert kept["balanced"] == kept["element"]
    assert all(ours <= theirs for ours, theirs in zip(cycles["balanced"], cycles["element"], strict=True))
    assert sum(cycles["balanced"]) < sum(cycles["element"])
