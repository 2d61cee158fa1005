"""Networks on tensor cores: every output of every vector is checked, int8 has scales, and biases are added outside."""

from dataclasses import replace
from itertools import pairwise
from unittest import mock

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_networks import layer_of, network_of

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.network import Layer, Network
from eie_sim.units.nm import functional, unit, verify

CHIP = es.TensorCoreConfig.preset("nm-64")
INT8 = replace(CHIP, elem_bytes=1)


def layer(rng, name, n_out, n_in, *, bias=True, density=0.5, n_vector=0):
    weights = rng.standard_normal((n_out, n_in)) * (rng.random((n_out, n_in)) < density)
    return Layer(
        name=name,
        weights=weights,
        bias=rng.standard_normal(n_out) if bias else None,
        activations=rng.standard_normal((n_vector, n_in)) if n_vector else None,
        weights_source="drawn",
        activations_source="drawn",
        synthetic=True,
    )


def chain(rng, sizes, n_vector, **options):
    layers = [layer(rng, f"fc{at}", out, n_in) for at, (n_in, out) in enumerate(pairwise(sizes))]
    inputs = rng.standard_normal((n_vector, sizes[0]))
    return Network(name="chain", layers=tuple(layers), chained=True, source="drawn", test_inputs=inputs, **options)


def in_int8(values):
    """One scale for all, the largest magnitude being 127 of it."""
    scale = np.abs(values).max() / 127 if np.abs(values).max() else 1.0
    return np.clip(np.rint(values / scale), -127, 127).astype(np.int64), scale


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), between=st.sampled_from(["relu", "none"]))
def test_a_chain_in_int8_is_that_of_plain_integers(seed, between):
    rng = np.random.default_rng(seed)
    network = chain(rng, (*rng.integers(1, 20, 2), 5), int(rng.integers(1, 9)), between=between)
    run = es.run(network, INT8)
    floats = read = network.test_inputs
    for one, given_layer in zip(run.layers, network.layers, strict=True):
        floats = floats if one is run.layers[0] else np.maximum(floats, 0) if between == "relu" else floats
        step = np.abs(floats).max() / 127 or 1.0  # calibrated on floats, with the layers' own weights
        words, scale = in_int8(given_layer.weights)
        given_words = np.clip(np.rint(read / step), -127, 127).astype(np.int64)
        output = given_words @ words.T
        np.testing.assert_array_equal(one.result.output, output)
        assert one.result.scales == pytest.approx({"weight": scale, "activation": step}, rel=1e-12)
        real = output * (scale * step) + given_layer.bias
        np.testing.assert_allclose(one.real_output, real, rtol=1e-12)
        read = np.maximum(real, 0) if between == "relu" else real
        floats = floats @ given_layer.weights.T + given_layer.bias
    assert run.verified
    np.testing.assert_allclose(run.output, real, rtol=1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_errors_are_those_of_plain_products(seed):
    rng = np.random.default_rng(seed)
    for chip in (CHIP, INT8):
        one = es.run(network_of(layer(rng, "fc", 7, 12, n_vector=5)), chip).layers[0]
        inputs, bias = one.layer.activations, one.layer.bias
        own = inputs @ one.layer.weights.T + bias
        coded = inputs @ (one.matrix.decode().astype(float) * one.matrix.weight_scale).T + bias
        found = one.verification
        assert found.ok
        for error, values in (
            (found.relative_error, one.real_output - own),
            (found.stored_error, coded - own),
            (found.rounding_error, one.real_output - coded),
        ):
            assert error == pytest.approx(np.sqrt(np.mean(values**2) / np.mean(own**2)), rel=1e-6, abs=1e-12)


def approximately(verification):
    """Its counts, and its errors with the digits that no order of sums changes."""
    counts = msgspec.to_builtins(verification)
    return {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in counts.items()}


@pytest.mark.compiled
@pytest.mark.parametrize("chip", [CHIP, INT8])
@pytest.mark.parametrize("place", [(0, 0), (519, 6), (1100, 2)])
def test_one_wrong_output_of_any_vector_is_found(chip, place):
    """Blocks of vectors are checked one after the other, to the last."""
    rng = np.random.default_rng(1)
    network = network_of(layer(rng, "fc", 7, 12, n_vector=1101))
    exact = functional.product

    def wrong(matrix, inputs):
        output = exact(matrix, inputs)
        output.T[place] += 1 if output.dtype.kind == "i" else 0.5
        return output

    assert es.run(network, chip).verified
    whole = es.run(network, chip).layers[0].verification
    with mock.patch.object(verify, "NUMBERS", 24):  # two rows at a time
        assert approximately(es.run(network, chip).layers[0].verification) == approximately(whole)
        with mock.patch.object(functional, "product", wrong):
            run = es.run(network, chip)
    assert not run.verified
    assert run.layers[0].verification.wrong_outputs == 1
    assert run.record.differs == ["fc: 1 of 7707 outputs differ from the golden product"]
    assert verify.VECTORS < 1101


@pytest.mark.parametrize("chip", [CHIP, INT8])
def test_a_weight_that_is_stored_wrongly_is_found(chip):
    network = network_of(layer(np.random.default_rng(2), "fc", 7, 12, n_vector=3))
    packed = es.NmMatrix.decode

    def wrong(matrix):
        dense = packed(matrix)
        dense[3, 4] = dense[3, 4] + 1
        return dense

    with mock.patch.object(es.NmMatrix, "decode", wrong):
        found = es.run(network, chip).layers[0].verification
    assert (found.ok, found.wrong_weights) == (False, 1)


def test_inputs_beyond_the_calibrated_range_are_clamped_and_said():
    rng = np.random.default_rng(3)
    network = chain(rng, (8, 6, 4), 10)
    run = es.run(replace(network, calibration=network.test_inputs / 10), INT8)
    assert run.verified
    assert run.layers[0].verification.saturated_inputs > 0
    assert any("inputs saturated" in line for line in run.warnings)
    assert es.run(network, INT8).layers[0].verification.saturated_inputs == 0


def test_weights_of_a_pattern_run_as_it_and_others_dense():
    rng = np.random.default_rng(4)
    weights = layer(rng, "fc", 8, 16, density=1.0, n_vector=2).weights
    pruned = weights * es.prune.pattern.nm(2, 4).prune(np.abs(weights)).mask
    for given_weights, runs_as, n_weight in ((weights, "dense", 128), (pruned, "2:4", 64)):
        row = es.run(network_of(layer_of(given_weights, activations=np.ones((2, 16)))), CHIP).rows[0]
        assert (row.named["runs_as"], row.n_weight, row.kind, row.bias) == (runs_as, n_weight, "fc", False)
        assert row.storage.total_bits == n_weight * (16 if runs_as == "dense" else 18)


@pytest.mark.compiled
def test_a_run_of_any_unit_has_the_same_record():
    network = es.load("digits-mlp")
    ours, theirs = es.run(network, es.EieConfig()), es.run(network, CHIP)
    assert ours.to_dict().keys() == theirs.to_dict().keys()
    assert ours.to_dict()["layers"][0].keys() == theirs.to_dict()["layers"][0].keys()
    assert (ours.record.unit, theirs.record.unit) == ("eie", "nm")
    assert ours.output.shape == theirs.output.shape == (360, 10)
    assert theirs.distance < 0.001 < ours.distance
    assert theirs.by_kind["fc"]["cycles"] == theirs.cycles == theirs.record.total.cycles
    assert theirs.coverage["share_not_simulated"] == 0.0


@pytest.mark.compiled
def test_density_prunes_first():
    network = es.load("digits-mlp")
    run = es.run(network, es.EieConfig(), density=0.05)
    assert run.rows[0].weight_density == pytest.approx(0.05, abs=0.001)
    assert run.verified


@pytest.mark.parametrize("config", [None, "nm", {"n_pe": 4}, es.TensorCoreConfig])
def test_what_is_no_design_is_refused(config):
    with pytest.raises(InputError, match=r"^config=\w+: must be EieConfig or TensorCoreConfig"):
        es.run(es.load("digits-mlp"), config)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_words_are_rounded_in_double_precision(kind):
    """Ties and near ties of narrow inputs; the scale is that of the largest."""
    inputs = np.random.default_rng(5).standard_normal((400, 16)).astype(kind)
    inputs[0, :2] = 1.125, 0.5625  # 127 and a tie
    matrix = unit.compress(np.eye(16), INT8)
    words, _ = in_int8(inputs.astype(np.float64))
    np.testing.assert_array_equal(es.simulate(matrix, inputs, INT8).output, 127 * words)


@pytest.mark.parametrize("size", [1e160, 1e308, 1e-310, 5e-324, np.inf, np.nan])
@pytest.mark.parametrize("where", ["weights", "activations"])
def test_what_int8_cannot_scale_is_refused(size, where):
    with pytest.raises(InputError, match=rf"({where}|largest of {where}).*(for int8|must be finite)"):
        if where == "weights":
            unit.compress(np.full((2, 2), size), INT8)
        else:
            es.simulate(unit.compress(np.eye(2), INT8), np.full((1, 2), size), INT8)


def test_float_chains_do_not_overflow_on_the_way():
    weights = (np.eye(2) * 1e20).astype(np.float32)
    layers = [replace(layer_of(weights, name=name), weights=weights) for name in ("fc1", "fc2")]
    network = network_of(*layers, test_inputs=np.ones((1, 2), np.float32))
    run = es.run(network, es.EieConfig())
    assert run.end_to_end_error is not None and np.isfinite(run.end_to_end_error)
