"""Faults that verification must find, and networks that cannot be run."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_networks import SMALL, layer_of, network_of, three_layers

from eie_sim import product_run as run_module
from eie_sim.core import golden
from eie_sim.core.errors import InputError
from eie_sim.core.quantize import Scales
from eie_sim.engine import simulate
from eie_sim.pipeline import run_network
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.verify import GOLDEN_VECTORS, verify

pytestmark = pytest.mark.compiled


# faults


def faults(run, **changes):
    """Verification of the first layer with a result or a matrix changed behind its back."""
    layer = run.layers[0]
    matrix, output = changes.get("matrix", layer.matrix), changes.get("output", layer.result.output)
    return verify(layer.layer, matrix, run.network.inputs, replace(layer.result, output=output))


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
    record = run.to_dict()
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
        ({"network": None}, "network=NoneType: must be Network or Graph"),
        ({"network": np.eye(2)}, "network=ndarray: must be Network or Graph"),
        ({"config": None}, "config=NoneType: must be EieConfig or TensorCoreConfig"),
        ({"config": {"n_pe": 4}}, "config=dict: must be EieConfig or TensorCoreConfig"),
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
