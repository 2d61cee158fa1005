"""Graphs as values: of layers or of a file, with other parameters, written, sent, and run step by step."""

import pickle

import numpy as np
import pytest
from onnx_models import (
    drawn,
    expected,
    lower,
    model,
    node,
    onnx,
    read,
    read_onnx,
    run_products,
)

from eie_sim.core.errors import InputError
from eie_sim.network import Layer, Network
from eie_sim.network.floatrun import run
from eie_sim.network.layered import graph_of
from eie_sim.network.lower import steps_of


def mlp():
    sizes = [6, 5, 4, 3]
    layers = [(f"fc{n}", drawn(sizes[n + 1], sizes[n]), drawn(sizes[n + 1]) if n != 1 else None) for n in range(3)]
    return layers, drawn(7, 6)


def layered(layers, x):
    made = [Layer(name=name, weights=w, bias=b, weights_source="drawn", synthetic=True) for name, w, b in layers]
    return graph_of(Network(name="mlp", layers=tuple(made), chained=True, source="drawn", test_inputs=x))


def test_one_mlp_as_layers_and_as_onnx_gives_the_same_bytes(tmp_path):
    layers, x = mlp()
    chain = layered(layers, x)
    chain.save(tmp_path / "mlp.onnx")
    other = read_onnx(tmp_path / "mlp.onnx", x)
    for mine, theirs in zip(lower(chain), lower(other), strict=True):
        assert (mine.name, mine.weight.tobytes()) == (theirs.name, theirs.weight.tobytes())
        assert (None if mine.bias is None else mine.bias.tobytes()) == (
            None if theirs.bias is None else theirs.bias.tobytes()
        )
    (mine,), (theirs,) = run_products(chain).values(), run_products(other).values()
    assert mine.tobytes() == theirs.tobytes()
    (wanted,) = expected(onnx.load(tmp_path / "mlp.onnx"), {"input": x}).values()
    assert np.allclose(mine, wanted, atol=1e-5)


def test_sparse_layers_stay_sparse():
    from scipy.sparse import csc_array

    layers, x = mlp()
    dense = layered(layers, x)
    sparse = layered([(name, csc_array(w), b) for name, w, b in layers], x)
    assert lower(sparse)[0].weight.format == "csc"
    assert all(
        np.array_equal(*pair) for pair in zip(*([p.elements for p in lower(g)] for g in (dense, sparse)), strict=True)
    )
    assert np.allclose(*(next(iter(run_products(graph).values())) for graph in (dense, sparse)), atol=1e-6)


def test_a_pruned_network_is_written_and_gives_the_masked_output(tmp_path):
    inputs = {"x": drawn(2, 3, 6, 6)}
    arrays = {"w": drawn(4, 3, 3, 3), "b": drawn(4), "v": drawn(4, 5), "flat": np.array([2, -1]), "u": drawn(64, 5)}
    nodes = [
        node("Conv", "x w b", "h"),
        node("Relu", "h", "r"),
        node("Reshape", "r flat", "f"),
        node("MatMul", "f u", "y"),
    ]
    graph = read(model(nodes, inputs, arrays), inputs)
    masked = {name: arrays[name] * (np.abs(arrays[name]) > 0.5) for name in ("w", "u")}
    pruned = graph.with_parameters(masked)
    assert graph.parameters["w"].array is not pruned.parameters["w"].array
    pruned.save(tmp_path / "pruned.onnx")
    (wanted,) = expected(model(nodes, inputs, arrays | masked), inputs).values()
    (written,) = expected(onnx.load(tmp_path / "pruned.onnx"), inputs).values()
    assert np.array_equal(written, wanted)
    (found,) = run_products(pruned).values()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert set(read_onnx(tmp_path / "pruned.onnx", inputs).parameters) == set(graph.parameters)


def test_parameters_may_shrink_together():
    inputs = {"x": drawn(2, 3, 6, 6)}
    arrays = {"w": drawn(4, 3, 3, 3), "b": drawn(4), "flat": np.array([2, 64]), "u": drawn(64, 5)}
    nodes = [
        node("Conv", "x w b", "h"),
        node("Relu", "h", "r"),
        node("Reshape", "r flat", "f"),
        node("MatMul", "f u", "y"),
    ]
    graph = read(model(nodes, inputs, arrays), inputs)
    less = {"w": arrays["w"][1:], "b": arrays["b"][1:], "u": arrays["u"][16:]}
    smaller = graph.with_parameters(less, constants={"flat": np.array([2, 48])})
    (wanted,) = expected(model(nodes, inputs, arrays | less | {"flat": np.array([2, 48])}), inputs).values()
    (found,) = run_products(smaller).values()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert lower(smaller)[0].n_out == 3
    for bad, rule in (
        ({"q": 1}, "parameter=q: unknown"),
        ({"b": less["w"]}, "must be of 1 axes"),
        ({"w": less["w"]}, "node"),
    ):
        with pytest.raises(InputError, match=rule):
            graph.with_parameters(bad)


def test_a_graph_can_be_sent_to_another_process():
    inputs = {"x": drawn(2, 4)}
    graph = read(model([node("Gemm", "x w", "h"), node("Relu", "h", "y")], inputs, {"w": drawn(4, 4)}), inputs)
    (wanted,), (found,) = (run_products(one).values() for one in (graph, pickle.loads(pickle.dumps(graph))))
    assert np.array_equal(wanted, found)
    chain = layered(*mlp())
    assert len(lower(pickle.loads(pickle.dumps(chain)))) == 3


def test_values_are_dropped_after_their_last_use():
    """A step sees its own input, not what earlier ones read."""
    inputs = {"x": drawn(2, 4)}
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "g"), node("Add", "g r", "y")]
    graph = read(model(nodes, inputs, {"w": drawn(4, 4)}), inputs)
    seen = []

    def compute(step, values):
        seen.append(sorted(values.maps[0]))
        return (values[step.reads] @ values["w"],)

    assert set(run(graph, steps_of(graph), compute)) == {"y"}
    assert seen == [["x"], ["r"]]  # r is read once more, h is not
