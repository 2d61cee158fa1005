"""Pruned graphs come out again: as ONNX files that give the masked network's outputs, and run as it does."""

import json

import numpy as np
import pytest
from onnx_models import drawn, expected, helper, model, node, numpy_helper, onnx, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.network.floatrun import run
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe

DENSITY = 0.4
X4, X2, X3 = {"x": drawn(2, 4, 6, 6)}, {"x": drawn(3, 6)}, {"x": drawn(5, 2, 4)}
NORM = {name: drawn(8, seed=at) for at, name in enumerate(("scale", "shift", "mean"))} | {"var": np.abs(drawn(8)) + 0.5}


def gates(op, n_gate, **attributes):
    n = 2 if attributes.get("direction") == "bidirectional" else 1
    arrays = {"w": drawn(n, n_gate * 3, 4), "r": drawn(n, n_gate * 3, 3), "b": drawn(n, n_gate * 6)}
    return [node(op, "x w r b", "y", hidden_size=3, **attributes)], X3, arrays


def constant(name, array):
    return helper.make_node("Constant", [], [name], name=f"of_{name}", value=numpy_helper.from_array(array, name))


def branches():
    def branch(name):
        inside = [helper.make_node("MatMul", ["x", name], ["m"], name="inside")]
        return helper.make_graph(inside, name, [], [helper.make_tensor_value_info("m", 1, [3, 5])])

    return [helper.make_node("If", ["yes"], ["y"], name="if", then_branch=branch("w"), else_branch=branch("v"))]


CASES = {
    "conv": ([node("Conv", "x w b", "y", pads=[1, 0, 1, 2])], X4, {"w": drawn(8, 4, 3, 3), "b": drawn(8)}),
    "grouped": ([node("Conv", "x w", "y", group=2)], X4, {"w": drawn(8, 2, 3, 3)}),
    "depthwise": ([node("Conv", "x w", "y", group=4)], X4, {"w": drawn(8, 1, 3, 3)}),
    "transposed": ([node("ConvTranspose", "x w", "y", strides=[2, 2])], X4, {"w": drawn(4, 3, 3, 3)}),
    "norm": (
        [node("Conv", "x w", "c"), node("BatchNormalization", "c scale shift mean var", "y")],
        X4,
        {"w": drawn(8, 4, 3, 3), **NORM},
    ),
    "gemm": ([node("Gemm", "x w b", "y", transB=1, alpha=0.5)], X2, {"w": drawn(5, 6), "b": drawn(5)}),
    "left": ([node("MatMul", "w x", "y")], X2, {"w": drawn(4, 3)}),
    "batched": ([node("MatMul", "x w", "y")], {"x": drawn(2, 3, 6)}, {"w": drawn(2, 6, 5)}),
    "einsum": (
        [node("Einsum", "x w", "y", equation="btgi,gih->btgh")],
        {"x": drawn(1, 3, 2, 4)},
        {"w": drawn(2, 4, 5)},
    ),
    "gru": gates("GRU", 3, linear_before_reset=1),
    "gru reset first": gates("GRU", 3),
    "lstm": gates("LSTM", 4, direction="bidirectional"),
    "rnn": gates("RNN", 1, direction="reverse"),
    "constant": ([constant("w", drawn(6, 5)), node("MatMul", "x w", "y")], X2, {}),
    "moved": (
        [
            node("Identity", "w", "i"),
            node("Transpose", "i", "t", perm=[1, 0]),
            node("Slice", "t from to", "s"),
            node("Concat", "s v", "c", axis=0),
            node("MatMul", "x c", "y"),
        ],
        X2,
        {"w": drawn(5, 6), "v": drawn(2, 5), "from": np.array([1]), "to": np.array([5])},
    ),
    "shared": (
        [node("MatMul", "x w", "h"), node("Relu", "h", "a"), node("MatMul", "a w", "y")],
        X2,
        {"w": drawn(6, 6)},
    ),
    "if": (branches(), X2, {"yes": np.array(True), "w": drawn(6, 5), "v": drawn(6, 5)}),
    "dequantised": (
        [node("DequantizeLinear", "q scale", "w"), node("MatMul", "x w", "y")],
        X2,
        {"q": np.random.default_rng(0).integers(-128, 128, (6, 5)).astype(np.int8), "scale": np.float32(0.02)},
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("config", [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64")], ids=["eie", "nm"])
def test_a_pruned_graph_is_saved_and_runs_as_it_does(name, config, tmp_path):
    nodes, inputs, arrays = CASES[name]
    if name == "depthwise" and isinstance(config, es.TensorCoreConfig):
        pytest.skip("left to the host, so that nothing is to be computed")
    graph = read(model(nodes, inputs, arrays), inputs)
    pruned, _ = prune_network(graph, Recipe(density=DENSITY), config)
    file = tmp_path / "pruned.onnx"
    pruned.save(file)
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    assert [one.name for one in proto.graph.input] == list(inputs)
    assert [one.name for one in proto.graph.output] == ["y"]
    assert proto.graph.name == graph.name == "net"
    wanted = run(pruned)["y"]
    np.testing.assert_allclose(expected(proto, inputs)["y"], wanted, atol=1e-6 * max(1, np.abs(wanted).max()))
    kept = sum(int(np.count_nonzero(one.array)) for one in pruned.parameters.values() if one.array.ndim > 1)
    assert kept < sum(one.array.size for one in graph.parameters.values() if one.array.ndim > 1)
    again = es.load(file, inputs=inputs)
    assert any(note.startswith("the file says of itself: pruned, density 0.4") for note in again.notes)
    ours, theirs = es.run(graph, config, density=DENSITY), es.run(again, config)
    assert [(row.name, row.cycles) for row in theirs.rows] == [(row.name, row.cycles) for row in ours.rows]
    np.testing.assert_array_equal(theirs.outputs["y"], ours.outputs["y"])


def test_the_command_writes_a_pattern_that_tensor_cores_run(tmp_path, capsys):
    inputs = {"x": drawn(2, 8, 6, 6)}
    (tmp_path / "net.onnx").write_bytes(
        model([node("Conv", "x w", "y")], inputs, {"w": drawn(16, 8, 3, 3)}).SerializeToString()
    )
    source, file = str(tmp_path / "net.onnx"), tmp_path / "pruned.onnx"
    asked = ["--unit", "rtx3090", "--json"]
    assert main(["prune", source, "--pattern", "2:4", "--out", str(file), *asked]) == 0
    capsys.readouterr()
    assert main(["run", str(file), *asked]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [layer["named"]["runs_as"] for layer in record["layers"]] == ["2:4"]
    assert any("pruned, pattern 2:4" in note for note in record["graph"]["notes"])
    assert main(["run", source, "--pattern", "2:4", *asked]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["cycles"] == record["total"]["cycles"]


def test_an_input_that_is_a_constant_is_said_to_be_none_of_the_file(tmp_path):
    inputs = {"x": drawn(2, 6), "rate": np.array(16000, dtype=np.int64)}
    nodes = [node("Cast", "rate", "r", to=1), node("MatMul", "x w", "m"), node("Div", "m r", "y")]
    proto = model(nodes, inputs, {"w": drawn(6, 5)})
    graph = read(proto, inputs)
    assert "rate: is the constant 16000, and no input of a saved file" in graph.notes
    graph.save(tmp_path / "saved.onnx")
    saved = onnx.load(tmp_path / "saved.onnx")
    assert [one.name for one in saved.graph.input] == ["x"]
    np.testing.assert_allclose(expected(saved, {"x": inputs["x"]})["y"], expected(proto, inputs)["y"], rtol=1e-6)
