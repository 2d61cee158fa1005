"""Networks that are valid and odd: empty outputs, shapes that data choose, weights that are outputs."""

import json

import numpy as np
import pytest
from onnx_models import drawn, expected, helper, model, node, onnx, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.prune.recipe import Recipe
from eie_sim.tracing import trace

CONFIG = es.EieConfig(n_pe=4, weight_bits=8)
X = {"x": drawn(3, 6)}


@pytest.mark.filterwarnings("error")
def test_an_output_without_elements(tmp_path, capsys):
    nodes = [node("MatMul", "x w", "y"), node("Slice", "y zero zero", "none")]
    proto = model(nodes, X, {"w": drawn(6, 4), "zero": np.array([0])}, outputs="none y")
    onnx.save(proto, tmp_path / "m.onnx")
    assert main(["run", str(tmp_path / "m.onnx"), "--json"]) == 0
    outputs = json.loads(capsys.readouterr().out)["graph"]["outputs"]
    assert [one["name"] for one in outputs] == ["none", "y"]
    assert (outputs[0]["error"], outputs[0]["largest_difference"], outputs[0]["top1_agreement"]) == (None, 0, None)
    assert outputs[1]["error"] > 0


def test_a_shape_that_data_choose_may_not_change():
    nodes = [
        node("MatMul", "x w", "h"),
        node("NonZero", "h", "places"),
        node("Transpose", "places", "p"),
        node("Cast", "p", "q", to=1),
        node("MatMul", "q v", "y"),
    ]
    x = {"x": np.abs(X["x"])}
    graph = read(model(nodes, x, {"w": np.abs(drawn(6, 4)), "v": drawn(2, 3)}), x)
    assert es.run(graph, CONFIG).verified
    rule = r"node MatMul_y: input q=\(0, 2\): must be \(12, 2\), as when the network was read"
    with pytest.raises(InputError, match=rule):
        es.run(graph, CONFIG, density=0.0)


def test_outputs_that_are_weights_are_pruned_with_them(tmp_path):
    nodes = [
        node("Identity", "w", "same"),
        node("MatMul", "x same", "y"),
        node("Transpose", "w", "moved"),
        node("Identity", "c", "other"),
    ]
    proto = model(nodes, X, {"w": drawn(6, 4), "c": drawn(2)}, outputs="same moved y other w")
    graph = read(proto, X)
    assert list(graph.parameters) == ["w"]
    masked, _ = es.prune.prune_network(graph, Recipe(density=0.25), CONFIG)
    w = masked.parameters["w"].array
    assert np.count_nonzero(w) == 6
    masked.save(tmp_path / "pruned.onnx")
    by_runtime = expected(onnx.load(tmp_path / "pruned.onnx"), X)
    run = es.run(graph, CONFIG, density=0.25)
    for outputs in (by_runtime, run.outputs):
        assert list(outputs) == ["same", "moved", "y", "other", "w"]
        assert np.array_equal(outputs["same"], w)
        assert np.array_equal(outputs["moved"], w.T)
        assert np.array_equal(outputs["w"], w)
        assert np.array_equal(outputs["other"], graph.array("other"))
    assert np.allclose(by_runtime["y"], X["x"] @ w, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (np.ones((3, 6), complex), "dtype complex128: must be float32"),
        (np.full((3, 6), "1"), "dtype <U1: must be float32"),
        (np.ones((3, 6), int), "dtype int64: must be float32"),
        (np.full((3, 6), 1e300), r"1e\+300: must be in the range of float32"),
    ],
)
def test_calibration_is_of_the_numbers_that_inputs_are_of(given, rule):
    graph = read(model([node("MatMul", "x w", "y")], X, {"w": drawn(6, 4)}), X)
    with pytest.raises(InputError, match=f"calibration x={rule}"):
        graph.with_calibration({"x": given})


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (np.ones((6, 4), complex), "dtype complex128: must be real numbers"),
        (np.full((6, 4), "1"), "dtype <U1: must be real numbers"),
        (np.full((6, 4), 1e300), r"1e\+300: must be in the range of float32"),
    ],
)
def test_parameters_are_of_numbers(given, rule):
    graph = read(model([node("MatMul", "x w", "y")], X, {"w": drawn(6, 4)}), X)
    with pytest.raises(InputError, match=f"parameter w={rule}"):
        graph.with_parameters({"w": given})
    assert graph.with_parameters({"w": np.ones((6, 4), int)}).parameters["w"].array.dtype == np.float32


def named(name, op, inputs, outputs):
    return helper.make_node(op, inputs.split(), outputs.split(), name=name)


def test_nodes_may_be_called_as_products_of_others_are():
    x = {"x": drawn(2, 2, 4)}
    arrays = {"w": drawn(2, 4, 4), "v": drawn(2, 4, 4, seed=1), "u": drawn(4, 4, seed=2)}
    nodes = [
        named("a", "MatMul", "x w", "h"),
        named("a.0", "MatMul", "h v", "i"),
        named("a.0.1", "MatMul", "i u", "j"),
        named("a.1", "MatMul", "j u", "y"),
    ]
    proto = model(nodes, x, arrays)
    graph = read(proto, x)
    for config in (CONFIG, es.TensorCoreConfig.preset("nm-64")):
        products = [product.name for product in es.lower(graph, config)]
        assert len(products) == len(set(products)) == 6
        run = es.run(graph, config)
        assert run.verified
        assert len({layer.layer.name for layer in run.layers}) == len(run.layers)
        assert np.allclose(run.outputs["y"], expected(proto, x)["y"], atol=0.05 * np.abs(run.outputs["y"]).max())
    traced = trace(graph, CONFIG, layer="a.0.1")
    assert traced.result.cycles == es.run(graph, CONFIG).layers[4].result.cycles_per_vector[0]


@pytest.mark.parametrize("name", ["n" * 400, "\U000e0001" * 150 + "n"])
def test_long_names_are_cut_and_told_apart(name):
    x = {"x": drawn(2, 3, 4)}
    nodes = [
        named(f"{name}1", "MatMul", "x w", "h"),
        named(f"{name}2", "MatMul", "h v", "i"),
        named(f"{name}3", "MatMul", "i v", "y"),
    ]
    graph = read(model(nodes, x, {"w": drawn(2, 4, 4), "v": drawn(2, 4, 4, seed=1)}), x)
    layers = [layer.layer.name for layer in es.run(graph, CONFIG).layers]
    assert len(set(layers)) == 6
    assert layers == [product.name for product in es.lower(graph, CONFIG)]
    assert all(len(layer) < 200 and layer.isprintable() for layer in layers)
