"""The vector of a layer that is traced runs as it does in a run of the whole network."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_networks import designs, networks

from eie_sim import tracing
from eie_sim.core import golden
from eie_sim.core.errors import InputError
from eie_sim.network import load, load_for_layer
from eie_sim.pipeline import run_network
from eie_sim.units.eie.config import EieConfig

pytestmark = pytest.mark.compiled


@settings(max_examples=30)
@given(networks(), designs(), st.data())
def test_a_traced_vector_is_that_of_the_run(network, config, data):
    whole = run_network(network, config)
    of_run = data.draw(st.sampled_from(whole.layers))
    vector = data.draw(st.integers(0, of_run.n_vector - 1))
    name = of_run.layer.name
    traced = tracing.trace(load_for_layer(network, name), config, layer=name, vector=vector)
    assert traced.verification.ok
    assert (traced.layer.name, traced.n_vector, traced.inputs) == (name, of_run.n_vector, of_run.inputs)
    assert traced.result.cycles == of_run.result.cycles_per_vector[vector]
    assert traced.result.scales == of_run.result.scales
    assert traced.result.config_hash == of_run.result.config_hash
    np.testing.assert_array_equal(traced.result.output, of_run.result.output[vector])


@pytest.mark.parametrize("layer", ["fc1", "fc2", "fc3"])
def test_labels_and_held_back_images_of_a_trained_network_are_no_hindrance(layer):
    network = load_for_layer("digits-mlp", layer)
    traced = tracing.trace(network, EieConfig(), layer=layer, vector=359, engine="reference")
    whole = run_network(load("digits-mlp"), EieConfig())
    of_run = next(one for one in whole.layers if one.layer.name == layer)
    assert traced.verification.ok
    assert traced.name == f"digits-mlp/{layer}"
    assert (traced.inputs, traced.n_vector) == (of_run.inputs, 360)
    np.testing.assert_array_equal(traced.result.output, of_run.result.output[359])


def test_inputs_that_differ_from_the_golden_write_back_are_found(monkeypatch):
    network = load_for_layer("digits-mlp", "fc2")
    real = golden.write_back
    monkeypatch.setattr(golden, "write_back", lambda *given, **how: real(*given, **how) + 1)
    assert tracing.trace(network, EieConfig(), layer="fc2").verification.wrong_inputs == 256
    assert tracing.trace(network, EieConfig(), layer="fc1").verification.ok, "nothing comes before it"


def test_of_a_preset_that_is_drawn_only_the_layer_is():
    assert [layer.name for layer in load_for_layer("eie-paper", "nt-we").layers] == ["nt-we"]
    assert [layer.name for layer in load_for_layer("eie-paper").layers] == ["alex-6"]


def test_a_layer_of_no_chain_is_loaded_alone_and_may_be_given_inputs():
    arrays = {"a.weight": np.eye(3), "b.weight": np.eye(5)}
    network = load_for_layer(arrays, "b", activations=np.ones(5))
    assert [layer.name for layer in network.layers] == ["b"]
    assert network.layers[0].activations_source == "given"
    assert [layer.name for layer in load_for_layer(arrays).layers] == ["a"]


def test_what_is_not_there_is_refused():
    network = load("digits-mlp")
    for said, asked in [
        (r"vector=360: must be an integer in 0\.\.359", {"vector": 360}),
        (r"vector=-1: must be an integer", {"vector": -1}),
        (r"layer=fc9: unknown; did you mean", {"layer": "fc9"}),
        (r"engine=slow: unknown", {"engine": "slow"}),
    ]:
        with pytest.raises(InputError, match=said):
            tracing.trace(network, EieConfig(), **asked)
    alone = network.layer("fc2")
    bare = replace(alone, layers=(replace(alone.layers[0], activations=None),))
    with pytest.raises(InputError, match="activations=none: layer fc2 needs some"):
        tracing.trace(bare, EieConfig())
    with pytest.raises(InputError, match="layer=fc9: unknown; did you mean"):
        load_for_layer("digits-mlp", "fc9")
