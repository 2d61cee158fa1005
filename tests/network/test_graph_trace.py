"""Timelines of one product of a graph of operators at one position: what a run has there."""

import json

import numpy as np
import pytest
from onnx_models import drawn, onnx
from test_graph_sweep import graph, proto

import eie_sim as es
from eie_sim import product_run, tracing
from eie_sim.cli import main
from eie_sim.core.errors import InputError


@pytest.mark.parametrize("density", [None, 0.4])
def test_a_position_is_that_of_a_run(density):
    net, config = graph(), es.EieConfig(n_pe=4, queue_depth=2)
    run = es.run(net, config, density=density)
    for one in run.layers:
        position = one.n_vector - 1
        traced = tracing.trace(net, config, layer=one.layer.name, vector=position, density=density)
        assert traced.verification.ok
        assert (traced.name, traced.n_vector) == (f"net/{one.layer.name}", one.n_vector)
        assert traced.result.cycles == one.result.cycles_per_vector[position]
        np.testing.assert_array_equal(traced.result.output, one.result.output[position])
        assert traced.inputs == one.inputs
        assert traced.layer.weights_source == one.layer.weights_source


def test_the_first_product_is_traced_where_none_is_named():
    assert tracing.trace(graph(), es.EieConfig(n_pe=4)).layer.name == "Conv_a"


def test_what_follows_is_not_run(monkeypatch):
    computed = []
    honest = product_run.prepared

    def spied(product, *given, **options):
        computed.append(product.name)
        return honest(product, *given, **options)

    monkeypatch.setattr(product_run, "prepared", spied)
    tracing.trace(graph(), es.EieConfig(n_pe=4), layer="Conv_d")
    assert computed == ["Conv_a", "Conv_c", "Conv_d"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"layer": "Conv_b"}, "layer=Conv_b: unknown; did you mean Conv_"),
        ({"layer": "ConvTranspose_h"}, "layer=ConvTranspose_h: unknown; did you mean ConvTranspose_h.1_1"),
        ({"vector": 60}, r"vector=60: must be an integer in 0\.\.59"),
        ({"vector": -1}, r"vector=-1: must be an integer in 0\.\.59"),
        ({"density": 2.0}, r"density=2\.0: must be in 0\.\.1"),
    ],
)
def test_what_is_not_there_is_refused(asked, said):
    with pytest.raises(InputError, match=said):
        tracing.trace(graph(), es.EieConfig(n_pe=4), **asked)


def test_a_density_is_of_a_graph():
    layers = es.network.load("digits-mlp")
    with pytest.raises(InputError, match=r"density=0\.5: must be left out: it is of a graph of operators"):
        tracing.trace(layers, es.EieConfig(), density=0.5)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(proto(), "net.onnx")
    np.savez("x.npz", x=drawn(2, 3, 6, 5))
    return tmp_path


def test_the_command_takes_a_layer_and_a_position(saved, capsys):
    words = ["trace", "net.onnx", "--inputs", "x.npz", "--n-pe", "4", "--layer", "Conv_e", "--json"]
    records = []
    for option in ("--position", "--vector"):
        assert main([*words, option, "5", "--out", "t.json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
    assert records[0] == records[1]
    (row,) = (one for one in es.run(graph(), es.EieConfig(n_pe=4)).layers if one.layer.name == "Conv_e")
    assert records[0]["cycles"] == row.result.cycles_per_vector[5]
    assert (records[0]["vector"], records[0]["n_vector"], records[0]["verified"]) == (5, 18, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net.onnx", "--position", "60"], "vector=60: must be an integer in 0..59"),
        (["net.onnx", "--unit", "nm"], "unit=nm: must be another, N:M keeps no timeline"),
        (["net.onnx", "--activation-density", "0.5"], "activation_density=0.5: must be left out"),
        (["net.onnx", "--chain", "a,b"], "chain=a,b: must be left out"),
        (["digits-mlp", "--inputs", "x.npz"], "inputs=x.npz: must be left out: the network is no ONNX file"),
    ],
)
def test_the_command_refuses_in_one_line(saved, capsys, words, said):
    assert main(["trace", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
