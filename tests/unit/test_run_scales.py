"""Scales of a network that runs: what a run records, calibration, and inputs that take no part."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from run_networks import SMALL, designs, layer_of, network_of, networks, three_layers

from eie_sim.archive import archive_of, from_bytes, to_bytes
from eie_sim.pipeline import run_network
from eie_sim.tracing import trace

pytestmark = pytest.mark.compiled


def test_negative_inputs_take_part_whatever_the_design_says_and_say_so():
    inputs = np.array([[-1.0, 0.5, -0.25], [0.0, -2.0, 1.0]])
    for chained in (True, False):
        network = network_of(layer_of(np.eye(3), activations=inputs), chained=chained)
        for design in (SMALL, replace(SMALL, active="nonzero")):
            run = run_network(network, design)
            assert run.layers[0].inputs == "none recorded; negative ones take part (active nonzero)"
            assert run.layers[0].result.config.active == "nonzero"
            assert run.layers[0].result.extra["broadcast"]["sent"] == 5
            assert run.verified


def test_later_layers_of_a_chain_have_no_negative_inputs_because_a_relu_comes_first():
    run = run_network(three_layers(), SMALL)
    assert (run.layers[0].result.output < 0).any()
    assert [layer.result.config.active for layer in run.layers[1:]] == ["positive", "positive"]


def test_without_a_relu_between_negative_outputs_are_passed_on():
    layers = layer_of([[1.0], [-1.0]], activations=[[0.5]]), layer_of([[0.5, 0.25]], name="fc2")
    run = run_network(network_of(*layers, between="none"), SMALL)
    assert run.layers[1].inputs == "simulated: outputs of fc1; negative ones take part (active nonzero)"
    assert run.layers[1].result.config.active == "nonzero"
    assert run.layers[1].result.output / 2.0 ** run.layers[1].result.scales["accumulator"] == 0.125
    assert run.verified


def test_recorded_inputs_of_a_later_layer_win_over_computed_ones():
    first, second = layer_of(np.eye(2), activations=[[1.0, 0.5]]), layer_of(np.eye(2), "fc2", activations=[[0.0, 3.0]])
    run = run_network(network_of(first, second), SMALL)
    assert run.layers[1].inputs == second.activations_source
    assert run.layers[1].result.extra["broadcast"]["sent"] == 1
    assert run.verified
    beside = network_of(first, second, test_inputs=np.array([[1.0, 0.5]]))
    assert run_network(beside, SMALL).layers[1].inputs == "simulated: outputs of fc1 after ReLU"


def test_densities_in_the_record_count_active_inputs_and_weights_without_the_bias():
    weights = [[1.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 3.0]]
    layer = layer_of(weights, bias=[1.0, 0.0], activations=[[1.0, 0.0, -1.0, 2.0], [0.0, 0.0, 0.0, 4.0]])
    record = run_network(network_of(layer), SMALL).to_dict()["layers"][0]
    assert (record["weight_density"], record["weight_sparsity"]) == (3 / 8, 5 / 8)
    assert record["activation_density"] == 4 / 8
    assert record["stats"]["broadcast"]["sent"] == 4 + 2


def fractional_bits(magnitude, low, high):
    """The largest number of fractional bits with which a magnitude fits 16 bits; 0 at most for nothing but zeros."""
    if magnitude == 0:
        return min(0, high)
    return max((bits for bits in range(low, high + 1) if round(float(magnitude) * 2.0**bits) <= 32767), default=low)


@settings(max_examples=25)
@given(networks(), designs())
def test_scales_are_recorded_and_those_that_the_float_values_of_the_own_weights_ask_for(network, config):
    run = run_network(network, config)
    inputs = network.inputs
    for layer, matrix, result in [(one.layer, one.matrix, one.result) for one in run.layers]:
        inputs = inputs if network.chained else layer.activations
        outputs = inputs @ layer.weights.T + (0 if layer.bias is None else layer.bias)
        weight = fractional_bits(np.abs(matrix.codebook).max(), -15, 30)
        activation = fractional_bits(np.abs(inputs).max(initial=0), *((-15, 30) if layer.bias is None else (0, 14)))
        accumulator = fractional_bits(2 * np.abs(outputs).max(initial=0), -30, min(60, weight + activation))
        assert result.scales == {"weight": weight, "activation": activation, "accumulator": accumulator}
        assert matrix.scales.to_dict() == result.scales
        inputs = np.maximum(outputs, 0)
    assert [layer["scales"] for layer in run.to_dict()["layers"]] == [one.result.scales for one in run.layers]


def scales_of(*layers, **chain):
    return [one.result.scales for one in run_network(network_of(*layers, **chain), SMALL).layers]


def test_scales_by_hand():
    layers = layer_of([[0.5, 0.0], [0.0, -1.5]], activations=[[3.0, 1.0], [2.0, 0.0]]), layer_of([[1.0, 1.0]], "fc2")
    # 3.0 fits 13 bits, outputs 1.5 and -1.5 with headroom 13; 1.5 and 0 go on, and 1.5 comes out of the second layer.
    assert scales_of(*layers) == [
        {"weight": 14, "activation": 13, "accumulator": 13},
        {"weight": 14, "activation": 14, "accumulator": 13},
    ]


def test_scales_take_negative_inputs():
    layers = layer_of([[1.0]], activations=[[-40.0], [1.0]]), layer_of([[-100.0]], "fc2")
    # -40 comes out, and a ReLU stops it: 1 and -100 are left; without one -40 becomes 4,000
    assert [one["accumulator"] for one in scales_of(*layers)] == [8, 7]
    assert [one["accumulator"] for one in scales_of(*layers, between="none")] == [8, 2]


def test_scales_come_from_calibration_data_where_there_is_some():
    layer = layer_of(np.eye(2), activations=[[1.0, 0.5]])
    assert run_network(network_of(layer), SMALL).layers[0].result.scales["activation"] == 14
    calibrated = run_network(network_of(layer, calibration=np.array([[100.0, 0.0]])), SMALL)
    assert calibrated.layers[0].result.scales["activation"] == 8
    assert calibrated.verified


@pytest.mark.parametrize("sizes", [(1e-6, 1e6), (1e6, 1e-6), (1e-6, 1e-6)])
def test_a_chain_keeps_its_precision_whatever_the_size_of_its_weights(sizes):
    """The codebook holds all weights as they are, and a word of 1e-6, 1074 of 2**-30, is rounded by 2**-11 of it."""
    first, second = (np.diag([0.75, -0.5, 1.0]) * size for size in sizes)
    inputs = np.array([[0.3, 0.0, 1.0], [0.9, 0.4, 0.2]])
    run = run_network(network_of(layer_of(first, activations=inputs), layer_of(second, "fc2")), SMALL)
    assert run.verified
    result = run.layers[1].result
    expected = np.maximum(inputs @ first, 0) @ second
    found = result.output / 2.0 ** result.scales["accumulator"]
    assert np.abs(found - expected).max() <= 2.0**-9 * expected.max()


def test_saturation_is_counted_and_still_verified():
    layer = layer_of([[1.0] * 5, [1.0, 0.0, 0.0, 0.0, 0.0]], activations=[[0.9] * 5])
    run = run_network(network_of(layer, calibration=np.array([[0.5, 0.0, 0.0, 0.0, 0.0]])), SMALL)
    # Calibration sees outputs of 0.5, so the accumulators reach 2; five products of 0.9 go beyond, one does not.
    assert run.layers[0].result.scales == {"weight": 14, "activation": 15, "accumulator": 14}
    assert run.layers[0].result.output.tolist() == [[32767, (29491 + 1) // 2]]  # 0.9 x 2**15, and its half to nearest
    assert run.layers[0].verification.saturated == 1
    assert run.verified


def coarse_layer(**parts):
    """0.9 and 0.8 share one value of a codebook of 1 bit, 0.85."""
    return layer_of([[0.9], [0.8]], **parts)


COARSE = replace(SMALL, weight_bits=1)


@pytest.mark.parametrize("accumulator_bits", [16, 24, 32])
@pytest.mark.parametrize("chained", [True, False])
def test_accumulators_have_room_for_the_floats_whatever_the_codebook_makes_of_them(accumulator_bits, chained):
    network = network_of(coarse_layer(activations=[[1.15]]), chained=chained)
    run = run_network(network, replace(COARSE, accumulator_bits=accumulator_bits))
    # 1.15 x 0.9 and headroom, 2.07, fit with 13 bits; 1.15 x 0.85 and headroom, 1.955, would with 14.
    assert run.layers[0].result.scales == {"weight": 15, "activation": 14, "accumulator": 13}
    assert run.verified


def test_what_a_chain_passes_on_for_calibration_are_floats_of_its_own_weights():
    chain = network_of(coarse_layer(activations=[[1.15]]), layer_of([[1.0, 0.0]], "fc2"))
    # 1.15 x 0.9 is 1.035, a word with 14 bits; of the codebook it would be 0.9775, with 15.
    assert [one.result.scales["activation"] for one in run_network(chain, COARSE).layers] == [14, 14]


def test_a_trace_and_an_archive_have_the_scales_of_a_run():
    layers = coarse_layer(activations=[[1.15]]), layer_of([[1.0, 0.3], [0.7, 0.1]], "fc2", bias=[0.1, 0.0])
    network = network_of(*layers)
    run = run_network(network, COARSE)
    for layer in run.layers:
        assert trace(network, COARSE, layer=layer.layer.name).result.scales == layer.result.scales
    alone = network_of(*layers[:1], chained=False)
    assert trace(alone, COARSE).result.scales == run_network(alone, COARSE).layers[0].result.scales
    kept = archive_of(network, [layer.matrix for layer in run.layers])
    again = run_network(replace(from_bytes(to_bytes(kept)).network, test_inputs=np.array([[1.15]])), COARSE)
    for one, other in zip(run.layers, again.layers, strict=True):
        assert one.result.scales == other.result.scales
        assert one.result.output.tolist() == other.result.output.tolist()
        assert one.result.cycles == other.result.cycles
