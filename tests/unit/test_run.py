"""Networks run layer after layer: the chain by hand, both engines, sums, accuracy."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from run_networks import SMALL, designs, layer_of, network_of, networks, three_layers

from eie_sim.core.fixed import from_fixed, to_fixed
from eie_sim.engine import simulate
from eie_sim.network import load
from eie_sim.pipeline import run_network
from eie_sim.units.eie import functional
from eie_sim.units.eie.config import EieConfig

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def digits():
    return run_network(load("digits-mlp"), EieConfig())


# the chain, by hand


def assert_chain_of_functional_models(run):
    """Each layer's inputs are the one before's outputs after ReLU, at this layer's scale; outputs are the model's."""
    network = run.network
    raw = to_fixed(network.inputs, run.layers[0].result.scales["activation"])
    for at, layer in enumerate(run.layers):
        if at:
            before, to_bits = run.layers[at - 1].result, layer.result.scales["activation"]
            raw = to_fixed(from_fixed(np.maximum(before.output, 0), before.scales["accumulator"]), to_bits)
        expected = [functional.accumulate(layer.matrix, vector, run.config.for_inputs(raw)) for vector in raw]
        np.testing.assert_array_equal(layer.result.output, expected)


@settings(max_examples=25)
@given(networks(chained=True), designs())
def test_a_chain_passes_on_rectified_outputs(network, config):
    run = run_network(network, config)
    assert run.verified
    assert_chain_of_functional_models(run)


@settings(max_examples=25)
@given(networks(chained=True), designs())
def test_a_chain_through_floats_is_the_same(network, config):
    run = run_network(network, config)
    inputs = np.asarray(network.inputs, dtype=np.float64)
    for layer in run.layers:
        result = simulate(layer.matrix, inputs, config.for_inputs(inputs))
        np.testing.assert_array_equal(result.output, layer.result.output)
        np.testing.assert_array_equal(result.cycles_per_vector, layer.result.cycles_per_vector)
        inputs = np.maximum(result.output, 0) / 2.0 ** result.scales["accumulator"]


@settings(max_examples=25)
@given(networks(chained=False), designs())
def test_layers_that_are_no_chain_take_their_own_inputs(network, config):
    run = run_network(network, config)
    assert run.verified
    for layer, layer_run in zip(network.layers, run.layers, strict=True):
        raw = to_fixed(layer.activations, layer_run.result.scales["activation"])
        expected = [functional.accumulate(layer_run.matrix, vector, config.for_inputs(raw)) for vector in raw]
        np.testing.assert_array_equal(layer_run.result.output, expected)


def product_by_hand(codes, codebook, raw, scales):
    """Raw outputs [n_vector, n_out] where nothing saturates: each product floored at the accumulator's scale."""
    words = np.clip(np.rint(codebook * 2.0 ** scales["weight"]), -32768, 32767).astype(np.int64)[codes]
    driven = np.append(np.maximum(raw, 0), [[2 ** scales["activation"]]] * len(raw), axis=1)
    shift = scales["weight"] + scales["activation"] - scales["accumulator"]
    return np.stack([((words * vector + 2**shift // 2) >> shift).sum(axis=1) for vector in driven])


def digits_by_hand(run):
    """Outputs of the last layer of digits-mlp, from the stored codes and the images, in plain numpy."""
    inputs = np.asarray(run.network.test_inputs, dtype=np.float64)
    for layer in run.layers:
        scales = layer.result.scales
        raw = np.clip(np.rint(np.maximum(inputs, 0) * 2.0 ** scales["activation"]), 0, 32767).astype(np.int64)
        outputs = product_by_hand(layer.matrix.decode(), layer.matrix.codebook, raw, scales)
        inputs = outputs / 2.0 ** scales["accumulator"]
    return outputs


def test_the_digits_chain_in_plain_numpy(digits):
    assert digits.verified
    assert [layer.verification.saturated for layer in digits.layers] == [0, 0, 0]
    np.testing.assert_array_equal(digits.layers[-1].result.output, digits_by_hand(digits))
    assert_chain_of_functional_models(digits)


def test_where_inputs_come_from_is_said(digits):
    assert [layer.inputs for layer in digits.layers] == [
        "real: 360 held-back inputs of the network",
        "simulated: outputs of fc1 after ReLU",
        "simulated: outputs of fc2 after ReLU",
    ]
    assert [layer.n_vector for layer in digits.layers] == [360, 360, 360]


def test_a_single_layer_of_the_digits_takes_its_recorded_inputs():
    run = run_network(load("digits-mlp", layer="fc2"), EieConfig())
    assert run.verified
    assert run.accuracy is None
    assert run.layers[0].inputs == run.network.layers[0].activations_source
    assert run.layers[0].inputs.startswith("recorded")


# both engines, totals


@settings(max_examples=20)
@given(networks(), designs())
def test_both_engines_give_equal_records_and_outputs(network, config):
    runs = [run_network(network, config, engine=engine) for engine in ("fast", "reference")]
    for fast, reference in zip(*(run.layers for run in runs), strict=True):
        np.testing.assert_array_equal(fast.result.output, reference.result.output)
        np.testing.assert_array_equal(fast.result.counts, reference.result.counts)
        np.testing.assert_array_equal(fast.result.classes, reference.result.classes)
    records = [run.to_dict() for run in runs]
    assert [record.pop("engine") for record in records] == ["fast", "reference"]
    assert records[0] == records[1]


def test_both_engines_agree_on_the_digits():
    network = load("digits-mlp")
    few = replace(network, test_inputs=network.test_inputs[:2], test_labels=network.test_labels[:2])
    records = [run_network(few, EieConfig(n_pe=16), engine=engine).to_dict() for engine in ("fast", "reference")]
    assert [record.pop("engine") for record in records] == ["fast", "reference"]
    assert records[0] == records[1]
    assert records[0]["verified"] is True


def assert_totals_are_sums(run):
    record = run.to_dict()
    layers, total = record["layers"], record["total"]
    assert total["cycles"] == run.cycles == sum(layer["cycles"] for layer in layers)
    for name in ("dense_macs", "effectual_macs"):
        assert total[name] == sum(layer[name] for layer in layers)
    for part in ("events", "classes"):
        for name, count in total["stats"][part].items():
            assert count == sum(layer["stats"][part][name] for layer in layers)
    assert sum(total["stats"]["classes"].values()) == total["cycles"] * run.config.n_pe
    assert total["time_us"] == pytest.approx(sum(layer["time_us"] for layer in layers))
    assert total["time_us"] == pytest.approx(total["cycles"] / run.config.clock_mhz)
    energy = total["energy"]
    assert energy["total_pj"] == pytest.approx(sum(layer["energy"]["total_pj"] for layer in layers))
    assert energy["total_pj"] == pytest.approx(sum(energy["by_component_pj"].values()))
    for part, bits in total["storage"]["bits"].items():
        assert bits == sum(layer["storage"]["bits"][part] for layer in layers)
    assert total["storage"]["total_bits"] == sum(total["storage"]["bits"].values())
    assert total["passes"] == max(layer["passes"] for layer in layers)
    assert total["fits"] == all(layer["fits"] for layer in layers)


@settings(max_examples=25)
@given(networks(), designs())
def test_totals_are_sums_of_layers(network, config):
    assert_totals_are_sums(run_network(network, config))


def test_totals_of_the_digits(digits):
    assert_totals_are_sums(digits)
    record = digits.to_dict()
    assert [layer["dense_macs"] for layer in record["layers"]] == [360 * 256 * 65, 360 * 128 * 257, 360 * 10 * 129]
    assert record["total"]["cycles_per_vector"]["mean"] == pytest.approx(digits.cycles / 360)


def test_a_layer_that_does_not_fit_marks_the_network():
    record = run_network(three_layers(), EieConfig(n_pe=4, register_entries=2)).to_dict()
    assert [layer["passes"] for layer in record["layers"]] == [2, 1, 1]
    assert (record["total"]["fits"], record["total"]["passes"]) == (False, 2)


@settings(max_examples=25)
@given(networks())
def test_shares_of_pe_cycles_and_of_storage_add_to_100(network):
    record = run_network(network, SMALL).to_dict()
    for part in (*record["layers"], record["total"]):
        assert round(10 * sum(part["storage"]["percent"].values()), 6) == 1000
        shares = round(10 * sum(part["classes_percent"].values()), 6)
        assert shares == (1000 if part["cycles"] else 0)


# accuracy


def share_right(outputs, labels):
    right = sum(list(row).index(max(row)) == label for row, label in zip(outputs, labels, strict=True))
    return right / len(labels)


def forward(layers, inputs):
    hidden = np.asarray(inputs, dtype=np.float64)
    for layer in layers:
        outputs = hidden @ np.asarray(layer.weights, dtype=np.float64).T + layer.bias
        hidden = np.where(outputs > 0, outputs, 0)
    return outputs


def test_accuracy_of_the_digits_recomputed(digits):
    network, accuracy = digits.network, digits.accuracy
    assert accuracy.images == len(network.test_labels) == 360
    assert accuracy.dense == share_right(forward(network.dense_layers, network.test_inputs), network.test_labels)
    assert accuracy.pruned == share_right(forward(network.layers, network.test_inputs), network.test_labels)
    assert accuracy.compressed == share_right(digits_by_hand(digits).tolist(), network.test_labels)
    assert min(accuracy.dense, accuracy.pruned, accuracy.compressed) > 0.95


def test_accuracy_counts_rightly_and_leaves_out_what_it_does_not_know():
    labelled = {"test_inputs": np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.0]]), "test_labels": np.array([0, 1, 1])}
    eye = layer_of(np.eye(2), "fc1")
    turned = layer_of(np.eye(2)[::-1], "fc1")
    run = run_network(network_of(eye, **labelled), SMALL)
    assert (run.accuracy.images, run.accuracy.dense) == (3, None)
    assert run.accuracy.pruned == run.accuracy.compressed == 2 / 3
    with_dense = run_network(network_of(eye, dense_layers=(turned,), **labelled), SMALL)
    assert with_dense.accuracy.dense == 1 / 3
    assert run_network(network_of(replace(eye, activations=np.eye(2))), SMALL).accuracy is None
    assert run_network(network_of(replace(eye, activations=np.eye(2)), chained=False), SMALL).accuracy is None


def test_accuracy_falls_with_pruning():
    run = run_network(load("digits-mlp", density=0.01), EieConfig())
    assert run.verified
    assert run.accuracy.compressed < run.accuracy.dense - 0.2
