"""What `verified` promises of a user's network: errors against plain numpy, and the warnings where they are large."""

import json
import subprocess
import sys
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import escape
from run_networks import SMALL, designs, layer_of, network_of, networks, three_layers

from eie_sim import archive
from eie_sim.core import golden
from eie_sim.core.quantize import Scales
from eie_sim.engine import simulate
from eie_sim.pipeline import run_network
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.verify import verify

pytestmark = pytest.mark.compiled


def floats_of(layer, inputs, active):
    """The product of the layer's own weights, plainly."""
    dense = layer.weights.toarray() if scipy.sparse.issparse(layer.weights) else layer.weights
    taken = np.maximum(inputs, 0) if active == "positive" else inputs
    return taken @ dense.astype(np.float64).T + (0 if layer.bias is None else layer.bias.astype(np.float64))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def share(error, floats):
    return pytest.approx(rms(error) / rms(floats), rel=1e-9, abs=1e-12) if rms(floats) else None


@settings(max_examples=40)
@given(networks(chained=False), designs())
def test_errors_are_those_of_plain_products(network, config):
    for one in run_network(network, config).layers:
        found, codes = one.verification, one.matrix.codebook[one.matrix.decode()]
        inputs = one.layer.activations
        own = floats_of(one.layer, inputs, one.result.config.active)
        bias = codes[:, -1] if one.matrix.has_bias else None
        coded = floats_of(
            replace(one.layer, weights=codes[:, : one.matrix.n_in].copy(), bias=bias), inputs, one.result.config.active
        )
        simulated = one.result.output / 2.0 ** one.result.scales["accumulator"]
        assert found.relative_error == share(simulated - own, own)
        assert found.stored_error == share(coded - own, own)
        assert found.rounding_error == share(simulated - coded, own)
        # Sums in another order may differ from 0 by their rounding.
        near = np.isclose(own, 0, atol=1e-12 * max(rms(own), 1e-300))
        silent = one.result.output == 0
        assert np.count_nonzero(silent & ~near) <= found.zeroed <= np.count_nonzero(silent)
        assert found.silent == (not one.result.output.any())


@settings(max_examples=25)
@given(networks(chained=True), designs())
def test_the_error_end_to_end_is_that_of_the_plain_float_chain(network, config):
    run = run_network(network, config)
    own = network.inputs
    for at, layer in enumerate(network.layers):
        own = floats_of(layer, own, "positive" if at else "nonzero")
    last = run.layers[-1].result
    simulated = last.output / 2.0 ** last.scales["accumulator"]
    expected = share(simulated - own, own)
    assert run.end_to_end_error == (None if expected is None else pytest.approx(expected.expected, rel=1e-4, abs=1e-6))


def test_layers_of_a_chain_are_judged_on_the_inputs_they_got():
    run = run_network(three_layers(), SMALL)
    before, second = run.layers[0].result, run.layers[1]
    raw = golden.write_back(before.output, before.scales["accumulator"], second.result.scales["activation"])
    own = floats_of(second.layer, raw / 2.0 ** second.result.scales["activation"], "positive")
    simulated = second.result.output / 2.0 ** second.result.scales["accumulator"]
    assert second.verification.relative_error == share(simulated - own, own)


def test_weights_that_came_as_a_codebook_have_no_error_of_it():
    network = three_layers()
    run = run_network(network, SMALL)
    kept = archive.network_of(archive.archive_of(network, [one.matrix for one in run.layers]))
    inputs = replace(kept.layers[0], activations=network.inputs)
    again = run_network(replace(kept, layers=(inputs, *kept.layers[1:])), SMALL)
    assert [one.verification.stored_error for one in again.layers] == [0.0] * 3
    assert all(one.verification.stored_error > 0 for one in run.layers)


# warnings: a run of 32 outputs whose weights, or inputs, are in units that fixed point does not hold

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(16, 32)) * (RNG.random((16, 32)) < 0.3)
INPUTS = np.maximum(RNG.normal(size=(2, 32)), 0)


def warned(weights, inputs):
    run = run_network(network_of(layer_of(weights, "fc", activations=inputs), chained=False), SMALL)
    assert run.verified
    record = run.to_dict()
    assert (record["verified"], record["warnings"]) == (True, list(run.warnings))
    alarms = [f'<p class="alarm">warning: {escape(line)}</p>' for line in run.warnings]
    assert all(alarm in run._repr_html_() for alarm in alarms)
    return run.warnings


def test_a_plain_layer_is_not_warned_of():
    assert warned(WEIGHTS, INPUTS) == ()


def test_weights_that_all_become_0_are_warned_of():
    (line,) = warned(WEIGHTS * 1e-12, INPUTS)
    assert line.startswith("fc: all outputs are 0, 31 of 32 are not in floats; outputs are 100 % off those of the")


def test_weights_beyond_all_words_are_warned_of():
    (line,) = warned(WEIGHTS * 1e12, INPUTS)
    assert line.startswith("fc: outputs are 99.9 % off those of the layer's own weights in floats (codebook ")


def test_outputs_that_saturate_are_warned_of():
    layer = layer_of(WEIGHTS, "fc", activations=INPUTS)
    run = run_network(network_of(layer, calibration=INPUTS / 1000), SMALL)
    assert run.verified
    assert run.warnings[0].startswith(
        "fc: 31 of 64 inputs saturated; 2 of 32 outputs saturated; outputs are 99.7 % off"
    )
    assert run.warnings[1] == "end to end: outputs are 99.7 % off those of the float network"


def test_inputs_that_all_become_0_are_warned_of():
    (line,) = warned(WEIGHTS, INPUTS * 1e-12)
    assert line.startswith("fc: all active inputs of 2 of 2 vectors became 0; all outputs are 0, 31 of 32 are not in")


def test_inputs_lost_on_the_way_into_a_chain_are_warned_of():
    tiny = layer_of(np.eye(3), "a", activations=[[1.0, 1e-6, 0.0], [1e-6, 0.0, 0.0]])
    run = run_network(network_of(tiny, layer_of(np.eye(3), "b")), SMALL)
    assert [one.verification.lost_vectors for one in run.layers] == [1, 0]
    assert run.warnings == ("a: all active inputs of 1 of 2 vectors became 0",)


def test_inputs_lost_between_layers_are_found():
    """The word of 2**-8 that the first layer gives is 0 where the second one has no fractional bits."""
    layer = layer_of(np.eye(2), activations=[[2.0**-8, 0.0]])
    before = run_network(network_of(layer, chained=False), SMALL).layers[0].result
    matrix = EieMatrix.from_dense(np.eye(2), n_pe=4, scales=Scales(weight=0, activation=0, accumulator=0))
    words = np.zeros((1, 2), dtype=np.int16)
    found = verify(layer_of(np.eye(2)), matrix, words, simulate(matrix, words, SMALL), before=before)
    assert (found.lost_vectors, found.wrong_inputs, found.ok) == (1, 0, True)


def test_inputs_that_take_no_part_are_not_lost():
    run = run_network(network_of(layer_of(np.eye(2), activations=[[-1.0, 0.0], [1.0, 0.0]]), chained=False), SMALL)
    assert run.layers[0].verification.lost_vectors == 0


# what is stored


@given(
    st.integers(1, 70),
    st.integers(0, 9),
    st.integers(1, 5),
    st.integers(1, 4),
    st.floats(0, 1),
    st.integers(0, 2**32),
    st.sampled_from([1, 50, golden.AT_ONCE]),
)
def test_entries_are_decoded_to_the_codes_that_were_encoded(n_out, n_in, n_pe, index_bits, density, seed, at_once):
    rng = np.random.default_rng(seed)
    codes = (rng.integers(1, 16, (n_out, n_in)) * (rng.random((n_out, n_in)) < density)).astype(np.uint8)
    matrix = EieMatrix.from_codes(codes, np.arange(16.0), n_pe=n_pe, index_bits=index_bits)
    with mock.patch.object(golden, "AT_ONCE", at_once):
        found = golden.decoded(matrix.codes, matrix.gaps, matrix.pe_starts, matrix.pointers, n_out)
    for one, other in zip(found, golden.nonzeros(codes), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(matrix.decode(), codes)


def test_an_entry_outside_the_matrix_is_refused():
    matrix = EieMatrix.from_codes(np.eye(3, dtype=np.uint8), np.arange(2.0), n_pe=1)
    gaps = matrix.gaps + np.uint8(1)
    with pytest.raises(ValueError, match="row 3 is outside a matrix of 3 rows"):
        golden.decoded(matrix.codes, gaps, matrix.pe_starts, matrix.pointers, 3)


def test_duplicates_of_a_sparse_layer_are_one_weight():
    twice = scipy.sparse.csc_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    found = golden.nonzeros(twice)
    assert (found.starts.tolist(), found.columns.tolist(), found.values.tolist()) == ([0, 1, 2], [1, 0], [4.0, 3.0])
    assert run_network(network_of(layer_of(twice, activations=[[1.0, 1.0]])), SMALL).verified


def test_a_code_held_twice_is_wrong():
    once = golden.nonzeros(np.array([[5.0, 0.0]]))
    twice = golden.NonZeros(
        (1, 2), np.array([0, 2]), np.array([0, 0], dtype=np.int32), np.array([1, 1], dtype=np.uint8)
    )
    assert golden.misencoded(once, twice, np.array([0.0, 5.0])) == 1


LARGE = """
import json, sys
import numpy as np
import scipy.sparse as ss
import eie_sim as es

n_out, n_in, n = map(int, sys.argv[1:])
rng = np.random.default_rng(1)
places = rng.integers(0, n_out, n), rng.integers(0, n_in, n)
weights = ss.coo_array((rng.normal(size=n), places), shape=(n_out, n_in))
run = es.run_network(es.load(weights, activation_density=0.1), es.EieConfig())
checked = run.layers[0].verification
status = open("/proc/self/status").read().split()  # ru_maxrss would start from the parent's
peak_kb = int(status[status.index("VmHWM:") + 1])
print(json.dumps([run.verified, checked.weights, checked.outputs, run.cycles, peak_kb]))
"""


@pytest.mark.parametrize(("n_out", "n_in", "n"), [(131_072, 131_072, 200_000), (4, 2**20, 2_000)])
def test_large_sparse_matrices_are_verified_in_a_gigabyte(n_out, n_in, n):
    """As many entries as a graph has edges; dense, the first would take 17 GB a byte each."""
    command = [sys.executable, "-c", LARGE, *map(str, (n_out, n_in, n))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    verified, weights, outputs, cycles, peak_kb = json.loads(done.stdout)
    assert (verified, weights, outputs) == (True, n_out * n_in, n_out)
    assert cycles > 0.09 * n_in
    assert peak_kb < 1e6
