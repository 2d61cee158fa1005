"""Networks run layer after layer: the chain by hand, sums, accuracy, and faults that verification must find."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from eie_sim import golden
from eie_sim import run as run_module
from eie_sim.engine import simulate
from eie_sim.errors import InputError
from eie_sim.fixed import requantise, to_fixed
from eie_sim.quantize import Scales
from eie_sim.report.record import network_record
from eie_sim.run import GOLDEN_VECTORS, calibrate, run_network, verify
from eie_sim.units.eie import functional
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.workload import Layer, Network, load

pytestmark = pytest.mark.compiled

SIZES = st.sampled_from([0.01, 1.0, 30.0])


def layer_of(weights, name="fc1", bias=None, activations=None):
    def floats(values):
        return values if values is None or scipy.sparse.issparse(values) else np.asarray(values, dtype=np.float64)

    return Layer(
        name=name,
        weights=floats(weights),
        bias=floats(bias),
        activations=floats(activations),
        weights_source="made up",
        synthetic=True,
    )


def network_of(*layers, chained=True, **parts):
    return Network(name="small", layers=layers, chained=chained, source="made up", **parts)


def random_layer(rng, name, n_out, n_in, *, n_vector=None, bias, sparse, size=1.0):
    weights = (rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < 0.4) * size).astype(np.float32)
    return Layer(
        name=name,
        weights=scipy.sparse.csc_array(weights) if sparse else weights,
        bias=(rng.normal(size=n_out) * size).astype(np.float32) if bias else None,
        activations=None if n_vector is None else rng.normal(size=(n_vector, n_in)) * size,
        weights_source="made up",
        synthetic=True,
    )


@st.composite
def networks(draw, *, chained=None):
    """A network of one to three small layers, chained or each with its own inputs, which may be negative."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chained = draw(st.booleans()) if chained is None else chained
    n_layer = draw(st.integers(1, 3))
    sides = [draw(st.integers(1, 20)) for _ in range(2 * n_layer)]
    layers = []
    for at in range(n_layer):
        n_in, n_out = (sides[at], sides[at + 1]) if chained else (sides[2 * at], sides[2 * at + 1])
        n_vector = None if chained and at else draw(st.integers(1, 3))
        kind = {"bias": draw(st.booleans()), "sparse": draw(st.booleans()), "size": draw(SIZES)}
        layers.append(random_layer(rng, f"fc{at}", n_out, n_in, n_vector=n_vector, **kind))
    return network_of(*layers, chained=chained)


@st.composite
def designs(draw):
    return EieConfig(
        n_pe=draw(st.sampled_from([1, 2, 5, 8])),
        queue_depth=draw(st.integers(1, 3)),
        accumulator_bits=draw(st.sampled_from([16, 24, 32])),
        rounding=draw(st.sampled_from(["floor", "nearest"])),
        active=draw(st.sampled_from(["positive", "nonzero"])),
    )


def three_layers(n_vector=3, seed=5):
    """A chain of three layers with biases, the middle one sparse."""
    rng = np.random.default_rng(seed)
    first = random_layer(rng, "fc1", 12, 9, n_vector=n_vector, bias=True, sparse=False)
    second = random_layer(rng, "fc2", 7, 12, bias=True, sparse=True)
    return network_of(first, second, random_layer(rng, "fc3", 4, 7, bias=False, sparse=False))


SMALL = EieConfig(n_pe=4)


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
            raw = requantise(np.maximum(before.output, 0), before.scales["accumulator"], to_bits)
        expected = [functional.accumulate(layer.matrix, vector, run.config) for vector in raw]
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
        result = simulate(layer.matrix, inputs, config)
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
        expected = [functional.accumulate(layer_run.matrix, vector, config) for vector in raw]
        np.testing.assert_array_equal(layer_run.result.output, expected)


def product_by_hand(codes, codebook, raw, scales):
    """Raw outputs [n_vector, n_out] where nothing saturates: each product floored at the accumulator's scale."""
    words = np.clip(np.rint(codebook * 2.0 ** scales["weight"]), -32768, 32767).astype(np.int64)[codes]
    driven = np.append(np.maximum(raw, 0), [[2 ** scales["activation"]]] * len(raw), axis=1)
    shift = scales["weight"] + scales["activation"] - scales["accumulator"]
    return np.stack([((words * vector) >> shift).sum(axis=1) for vector in driven])


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
    records = [network_record(run) for run in runs]
    assert [record.pop("engine") for record in records] == ["fast", "reference"]
    assert records[0] == records[1]


def test_both_engines_agree_on_the_digits():
    network = load("digits-mlp")
    few = replace(network, test_inputs=network.test_inputs[:2], test_labels=network.test_labels[:2])
    records = [network_record(run_network(few, EieConfig(n_pe=16), engine=engine)) for engine in ("fast", "reference")]
    assert [record.pop("engine") for record in records] == ["fast", "reference"]
    assert records[0] == records[1]
    assert records[0]["verified"] is True


def assert_totals_are_sums(run):
    record = network_record(run)
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
    record = network_record(digits)
    assert [layer["dense_macs"] for layer in record["layers"]] == [360 * 256 * 64, 360 * 128 * 256, 360 * 10 * 128]
    assert record["total"]["cycles_per_vector"]["mean"] == pytest.approx(digits.cycles / 360)


def test_a_layer_that_does_not_fit_marks_the_network():
    record = network_record(run_network(three_layers(), EieConfig(n_pe=4, register_entries=2)))
    assert [layer["passes"] for layer in record["layers"]] == [2, 1, 1]
    assert (record["total"]["fits"], record["total"]["passes"]) == (False, 2)


@settings(max_examples=25)
@given(networks())
def test_shares_of_pe_cycles_and_of_storage_add_to_100(network):
    record = network_record(run_network(network, SMALL))
    for part in (*record["layers"], record["total"]):
        assert round(10 * sum(part["storage"]["percent"].values()), 6) == 1000
        shares = round(10 * sum(part["pe_cycles_percent"].values()), 6)
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


# negative inputs, scales, calibration


def test_negative_inputs_that_take_no_part_are_counted():
    inputs = np.array([[-1.0, 0.5, -0.25], [0.0, -2.0, 1.0]])
    for chained in (True, False):
        network = network_of(layer_of(np.eye(3), activations=inputs), chained=chained)
        positive = run_network(network, SMALL)
        assert positive.layers[0].negative_ignored == 3
        assert positive.layers[0].result.extra["broadcast"]["sent"] == 2
        nonzero = run_network(network, replace(SMALL, active="nonzero"))
        assert nonzero.layers[0].negative_ignored == 0
        assert nonzero.layers[0].result.extra["broadcast"]["sent"] == 5
        assert [layer["negative_inputs_ignored"] for layer in network_record(positive)["layers"]] == [3]


def test_later_layers_of_a_chain_ignore_nothing_because_a_relu_comes_first():
    run = run_network(three_layers(), SMALL)
    assert (run.layers[0].result.output < 0).any()
    assert [layer.negative_ignored for layer in run.layers[1:]] == [0, 0]


def test_densities_in_the_record_count_active_inputs_and_weights_without_the_bias():
    weights = [[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]]
    layer = layer_of(weights, bias=[1.0, 0.0], activations=[[1.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, 4.0]])
    record = network_record(run_network(network_of(layer), SMALL))["layers"][0]
    assert (record["weight_density"], record["weight_sparsity"]) == (3 / 8, 5 / 8)
    assert record["activation_density"] == 3 / 8
    assert record["stats"]["broadcast"]["sent"] == 3 + 2


def fractional_bits(magnitude, limit=15):
    """The largest number of fractional bits with which a magnitude fits 16 bits."""
    return max((bits for bits in range(limit + 1) if round(float(magnitude) * 2**bits) <= 32767), default=0)


@settings(max_examples=25)
@given(networks(), designs())
def test_scales_are_recorded_and_those_that_the_float_values_ask_for(network, config):
    run = run_network(network, config)
    inputs = network.inputs
    for layer, matrix, result in [(one.layer, one.matrix, one.result) for one in run.layers]:
        inputs = inputs if network.chained else layer.activations
        part = inputs if config.active == "nonzero" else np.maximum(inputs, 0)
        ones = np.ones((len(part), int(layer.bias is not None)))
        outputs = np.concatenate([part, ones], axis=1) @ matrix.codebook[matrix.decode()].T
        weight = fractional_bits(np.abs(matrix.codebook).max())
        activation = fractional_bits(np.abs(inputs).max(initial=0), limit=15 if layer.bias is None else 14)
        accumulator = fractional_bits(2 * np.abs(outputs).max(initial=0), limit=min(15, weight + activation))
        assert result.scales == {"weight": weight, "activation": activation, "accumulator": accumulator}
        assert matrix.scales.to_dict() == result.scales
        inputs = np.maximum(outputs, 0)
    assert [layer["scales"] for layer in network_record(run)["layers"]] == [one.result.scales for one in run.layers]


def test_calibrate_by_hand():
    matrices = [EieMatrix.from_dense(np.array(w), n_pe=1) for w in ([[0.5, 0.0], [0.0, -1.5]], [[1.0, 1.0]])]
    chosen = calibrate(matrices, np.array([[3.0, 1.0], [2.0, 0.0]]), active="positive")
    # 3.0 fits 13 bits, outputs 1.5 and -1.5 with headroom 13; 1.5 and 0 go on, and 1.5 comes out of the second layer.
    assert chosen[0].scales == Scales(weight=14, activation=13, accumulator=13)
    assert chosen[1].scales == Scales(weight=14, activation=14, accumulator=13)


def test_calibrate_takes_negative_inputs_where_the_design_does():
    matrices = [EieMatrix.from_dense(np.array([[1.0]]), n_pe=1), EieMatrix.from_dense(np.array([[-100.0]]), n_pe=1)]
    inputs = np.array([[-40.0], [1.0]])
    positive, nonzero = (calibrate(matrices, inputs, active=active) for active in ("positive", "nonzero"))
    assert [one.scales.accumulator for one in positive] == [13, 7]  # 1 and -100
    assert [one.scales.accumulator for one in nonzero] == [8, 7]  # -40 comes out, and a ReLU stops it


def test_calibrate_keeps_scales_that_are_chosen_already():
    given_scales = Scales(weight=3, activation=4, accumulator=5)
    matrix = EieMatrix.from_dense(np.eye(2), n_pe=1, scales=given_scales)
    assert calibrate([matrix], np.array([[100.0, 1.0]]), active="positive")[0].scales == given_scales


def test_scales_come_from_calibration_data_where_there_is_some():
    layer = layer_of(np.eye(2), activations=[[1.0, 0.5]])
    assert run_network(network_of(layer), SMALL).layers[0].result.scales["activation"] == 14
    calibrated = run_network(network_of(layer, calibration=np.array([[100.0, 0.0]])), SMALL)
    assert calibrated.layers[0].result.scales["activation"] == 8
    assert calibrated.verified


def test_saturation_is_counted_and_still_verified():
    layer = layer_of([[1.0] * 5, [1.0, 0.0, 0.0, 0.0, 0.0]], activations=[[0.9] * 5])
    run = run_network(network_of(layer, calibration=np.array([[0.5, 0.0, 0.0, 0.0, 0.0]])), SMALL)
    # Calibration sees outputs of 0.5, so the accumulators reach 2; five products of 0.9 go beyond, one does not.
    assert run.layers[0].result.scales == {"weight": 14, "activation": 15, "accumulator": 14}
    assert run.layers[0].result.output.tolist() == [[32767, round(0.9 * 2**15) // 2]]
    assert run.layers[0].verification.saturated == 1
    assert run.verified


# faults


def faults(run, **changes):
    """Verification of the first layer with a result or a matrix changed behind its back."""
    layer = run.layers[0]
    raw = to_fixed(run.network.inputs, layer.result.scales["activation"])
    matrix, output = changes.get("matrix", layer.matrix), changes.get("output", layer.result.output)
    return verify(layer.layer, matrix, raw, replace(layer.result, output=output))


@pytest.fixture(scope="module")
def small():
    return run_network(three_layers(), SMALL)


def test_an_untouched_layer_is_verified_and_differs_in_nothing(small):
    found = faults(small)
    assert found == small.layers[0].verification
    assert found.ok
    assert found.differs() == ""
    assert (found.outputs, found.weights) == (3 * 12, 12 * (9 + 1))
    assert 0 < found.error <= found.bound


@given(st.integers(0, 2), st.integers(0, 11), st.sampled_from([-300, -1, 1, 300]))
def test_any_changed_output_is_found(small, vector, row, delta):
    output = small.layers[0].result.output.copy()
    output[vector, row] += delta
    found = faults(small, output=output)
    assert not found.ok
    assert (found.wrong_outputs, found.wrong_weights) == (1, 0)
    assert found.differs().startswith("1 of 36 outputs differ from the golden product")


def test_an_output_far_from_the_float_product_is_found_by_its_bound_too(small):
    output = small.layers[0].result.output.copy()
    output[1, 2] = -output[1, 2] - 9000
    found = faults(small, output=output)
    assert found.beyond_bound == 1
    assert found.differs().endswith("1 of 36 outputs are farther from the float product than the bound")
    assert found.error > found.bound


def test_the_bound_alone_can_fail_a_run(small, monkeypatch):
    real = golden.matmul
    monkeypatch.setattr(golden, "matmul", lambda *case: real(*case)._replace(bound=np.zeros((3, 12))))
    found = faults(small)
    assert (found.wrong_outputs, found.wrong_weights) == (0, 0)
    assert found.beyond_bound > 0
    assert not found.ok
    assert found.differs().endswith("outputs are farther from the float product than the bound")


@given(st.randoms(use_true_random=False))
def test_any_changed_code_is_found_in_weights_and_in_outputs_it_reaches(small, random):
    matrix = small.layers[0].matrix
    codes = matrix.codes.copy()
    at = random.choice(np.flatnonzero(codes).tolist())
    codes[at] = random.choice([code for code in range(1, 16) if matrix.codebook[code] != matrix.codebook[codes[at]]])
    found = faults(small, matrix=replace(matrix, codes=codes))
    assert found.wrong_weights == 1
    assert f"1 of {12 * 10} weights stored wrongly" in found.differs()
    assert not found.ok


def test_a_weight_at_the_wrong_row_is_wrong_at_both():
    run = run_network(network_of(layer_of(np.diag([1.0, 2.0, 3.0]), activations=[[1.0, 1.0, 1.0]])), EieConfig(n_pe=1))
    matrix = run.layers[0].matrix
    gaps = matrix.gaps.copy()
    assert gaps.tolist() == [0, 1, 2]
    gaps[1] = 2
    found = faults(run, matrix=replace(matrix, gaps=gaps))
    assert (found.wrong_weights, found.wrong_outputs) == (2, 2)
    assert found.differs().startswith("2 of 9 weights stored wrongly; 2 of 3 outputs differ from the golden product")


def test_wrong_weights_are_found_where_the_outputs_agree_with_them():
    layer = layer_of(np.diag([1.0, 2.0, 3.0]), bias=[1.0, 0.0, 2.0], activations=[[0.0, 0.5, 0.25]])
    right = EieMatrix.from_dense(layer.weights, bias=layer.bias, n_pe=4)
    codes = right.decode().copy()
    codes[1, 1], codes[0, 3] = codes[2, 2], codes[2, 3]
    scales = Scales(weight=8, activation=8, accumulator=8)
    wrong = EieMatrix.from_codes(codes[:, :3], right.codebook, n_pe=4, bias_codes=codes[:, 3], scales=scales)
    found = verify(layer, wrong, layer.activations, simulate(wrong, layer.activations, SMALL))
    assert (found.wrong_weights, found.wrong_outputs) == (2, 0)
    assert found.differs() == "2 of 12 weights stored wrongly"


def test_the_last_vector_of_a_long_batch_is_verified_too():
    n_vector = 2 * GOLDEN_VECTORS + 2
    run = run_network(three_layers(n_vector=n_vector), SMALL)
    output = run.layers[0].result.output.copy()
    output[-1, -1] += 1
    output[0, 0] += 1
    assert faults(run, output=output).wrong_outputs == 2
    assert run.layers[0].verification.outputs == n_vector * 12


def test_a_fault_of_one_layer_fails_the_run_and_names_that_layer(monkeypatch):
    def faulty(matrix, *given_to, **options):
        result = simulate(matrix, *given_to, **options)
        return replace(result, output=result.output + np.int16(1)) if matrix.n_in == 12 else result

    monkeypatch.setattr(run_module, "simulate", faulty)
    run = run_network(three_layers(), SMALL)
    record = network_record(run)
    assert [layer.verification.ok for layer in run.layers] == [True, False, True]
    assert (run.verified, record["verified"]) == (False, False)
    assert len(record["differs"]) == 1
    assert record["differs"][0].startswith("fc2: 21 of 21 outputs differ from the golden product")


# what cannot be run


def test_a_chain_without_inputs_is_refused():
    with pytest.raises(InputError) as error:
        run_network(network_of(layer_of(np.eye(2)), layer_of(np.eye(2), "fc2")), SMALL)
    assert str(error.value) == "activations=none: layer fc1 needs some"


def test_a_layer_without_inputs_is_refused_where_there_is_no_chain():
    layers = layer_of(np.eye(2), activations=[[1.0, 2.0]]), layer_of(np.eye(2), "fc2")
    with pytest.raises(InputError) as error:
        run_network(network_of(*layers, chained=False), SMALL)
    assert str(error.value) == "activations=none: layer fc2 needs some"


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="did you mean reference"):
        run_network(three_layers(), SMALL, engine="referense")


def test_what_is_wrong_with_weights_names_their_layer():
    layers = layer_of(np.eye(2), activations=[[1.0, 2.0]]), layer_of(np.eye(2) * 2.0**101, "fc2")
    with pytest.raises(InputError, match=r"^layer fc2: weights\[0, 0\]=2\.5.*: must be finite and of magnitude"):
        run_network(network_of(*layers), SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": None}, "network=NoneType: must be Network"),
        ({"network": np.eye(2)}, "network=ndarray: must be Network"),
        ({"config": None}, "config=NoneType: must be EieConfig"),
        ({"config": {"n_pe": 4}}, "config=dict: must be EieConfig"),
        ({"engine": None}, "engine=None: unknown; must be one of fast, reference"),
        ({"table": "45nm"}, "table=str: must be EnergyTable or None"),
        ({"progress": None}, "progress=NoneType: must be a function of the step's name"),
    ],
)
def test_arguments_of_another_type(change, message):
    arguments = {"network": three_layers(), "config": SMALL} | change
    with pytest.raises(InputError) as error:
        run_network(arguments.pop("network"), arguments.pop("config"), **arguments)
    assert str(error.value) == message


def test_progress_names_each_step_and_layer():
    steps = []
    run_network(three_layers(), SMALL, progress=steps.append)
    assert len(steps) == 6
    for at, name in enumerate(["fc1", "fc2", "fc3"]):
        assert steps[at] == f"{name}: compressing"
        assert steps[3 + at].startswith(f"{name}: simulating")


def test_layers_of_zeros_and_of_one_weight_run():
    nothing = layer_of(np.zeros((3, 2)), activations=[[1.0, 1.0]])
    run = run_network(network_of(nothing, layer_of(np.zeros((2, 3)), "fc2", bias=[0.0, 2.0])), SMALL)
    assert run.verified
    assert run.layers[0].result.cycles == 0
    assert run.layers[1].result.output.tolist() == [[0, 2 ** run.layers[1].result.scales["accumulator"] * 2]]
