"""Tables of accuracy against density, codebooks that are trained, and what balanced masks gain."""

import numpy as np
import pytest
from networks import chain, needs_mnist
from pruning_samples import DESIGN, DIGITS, accuracy_of

from eie_sim import EieConfig, EieMatrix, InputError, run_network
from eie_sim.network import load
from eie_sim.prune import (
    Recipe,
    keep_count,
    prune_network,
    table_of,
    training,
    with_trained_codebooks,
)
from eie_sim.prune.cost import cost
from eie_sim.prune.measure import inputs_of, mlp_of, weights_of
from eie_sim.prune.mlp import forward
from eie_sim.prune.train import TrainConfig, loss


def test_the_table_measures_what_it_says():
    network = chain((16, 24, 12, 4))
    records, left_out = table_of(
        network, DESIGN, patterns=("element", "2:4", "1:4", "balanced", "neuron"), densities=(0.5, 0.3), epochs=5
    )
    assert left_out == []
    assert len(records) == 4 * (3 * 2 + 2)
    assert {record.asked for record in records if record.pattern == "1:4"} == {0.25}
    for record in records:
        if record.pattern != "neuron":
            assert record.kept == tuple(keep_count(record.asked, n) for n in (384, 288, 48))
        assert record.cost > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"densities": [float("nan")]}, "densities=nan"),
        ({"densities": [0.5, 1.5]}, r"densities=1.5: must be in 0\.\.1"),
        ({"densities": [0]}, "densities=0: must be above 0"),
        ({"patterns": []}, "patterns=none: must be at least one"),
        ({"patterns": ["4:2"]}, "patterns=4:2: must be N:M, N kept of each M, as 2:4"),
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
