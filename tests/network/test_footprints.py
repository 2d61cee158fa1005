"""What networks take: weights in formats as of the same layers, and peak, state and floats worked by hand."""

import json

import numpy as np
import pytest
from onnx_models import drawn, model, node, onnx, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.network.lower import steps_of
from eie_sim.network.memory import floats_of, peak_of, state_of

CONFIG = es.EieConfig(n_pe=4)
TENSOR = es.TensorCoreConfig.preset("nm-64")


def mlp():
    arrays = {"w1": drawn(24, 16), "b1": drawn(24), "w2": drawn(10, 24, seed=1), "b2": drawn(10, seed=1)}
    x = drawn(4, 16, seed=2)
    nodes = [
        *(node("Gemm", "x w1 b1", "a", transB=1), node("Relu", "a", "b")),
        node("Gemm", "b w2 b2", "y", transB=1),
    ]
    return arrays, x, model(nodes, {"x": x}, arrays)


@pytest.mark.parametrize("config", [CONFIG, TENSOR])
def test_products_take_what_the_same_layers_take(config):
    arrays, x, proto = mlp()
    found = es.footprint(read(proto, {"x": x}), config)
    for one, (w, b) in zip(found.products, (("w1", "b1"), ("w2", "b2")), strict=True):
        matrix = es.run(es.load({"w": arrays[w], "b": arrays[b]}, activations=drawn(1, arrays[w].shape[1])), config)
        wanted = es.footprint(matrix.layers[0].matrix, config)
        assert {name: one.to_dict() for name, one in one.formats.items()} == {
            name: one.to_dict() for name, one in wanted.items()
        }
        assert one.kept == one.n_weight == arrays[w].size
    run = es.run(read(proto, {"x": x}), config)
    assert found.weights[found.own].total_bits == run.record.total.storage.total_bits
    bits = 8 * config.elem_bytes if config is TENSOR else 16
    assert found.peak.bits == (4 * 24 * 2) * bits  # before and after the ReLU
    biases = 4 * (24 + 10) if config is TENSOR else 0
    assert found.floats["biases outside the unit"] == sum(found.floats.values()) == biases
    assert found.total_bytes == found.weights[found.own].total_bits / 8 + found.peak.bits / 8 + biases


def test_groups_are_counted_by_their_blocks():
    x, arrays = drawn(1, 8, 5, 5), {"w": drawn(12, 2, 3, 3)}
    graph = read(model([node("Conv", "x w", "y", group=4)], {"x": x}, arrays), {"x": x})
    (eie,) = es.footprint(graph, CONFIG).products
    (tensor,) = es.footprint(graph, TENSOR).products
    assert eie.formats["dense"].total_bits == tensor.formats["dense"].total_bits == 12 * 18 * 16
    assert eie.formats["bitmap"].total_bits == 12 * 18 * 17
    (row,) = es.run(graph, CONFIG).record.layers
    assert eie.formats[eie.own].total_bits == row.storage.total_bits
    assert eie.formats[eie.own].dense_bits == 12 * 18 * 16
    (row,) = es.run(graph, TENSOR).record.layers
    assert tensor.formats[tensor.own].total_bits == row.storage.total_bits
    assert (tensor.name, tensor.n_out, tensor.kept) == (row.name, 12, 12 * 18)


def test_weights_that_are_shared_count_once():
    x, arrays = drawn(3, 8), {"w": drawn(8, 8)}
    graph = read(model([node("MatMul", "x w", "a"), node("MatMul", "a w", "y")], {"x": x}, arrays), {"x": x})
    found = es.footprint(graph, CONFIG)
    assert [one.again for one in found.products] == [False, True]
    assert found.weights["dense"].total_bits == 64 * 16


def branched():
    """Rows of a table, a norm, two branches that meet, a view, and integers."""
    x = np.zeros((2, 3), np.int64)
    arrays = {"table": drawn(5, 4), "gain": drawn(4), "w": drawn(4, 6), "v": drawn(4, 6, seed=1), "zeros": drawn(6)}
    arrays["shape"] = np.array([-1], np.int64)
    nodes = [
        node("Gather", "table x", "a"),  # 24
        node("LayerNormalization", "a gain", "b", axis=-1),  # 24
        node("MatMul", "b w", "c"),  # 36
        node("MatMul", "b v", "d"),  # 36
        node("Add", "c d", "e"),  # 36
        node("Reshape", "e shape", "f"),  # a view
        node("Neg", "f", "y"),  # 36
    ]
    return read(model(nodes, {"x": x}, arrays), {"x": x})


def test_the_peak_is_that_of_the_hand():
    graph = branched()
    # x (6 of 64 bits) and a | a b | b c | b c d | c d e | e y: the fifth
    peak = peak_of(graph, steps_of(graph), 16)
    assert peak.bits == 16 * (36 + 36 + 36)
    assert peak.node == "Add_e"
    assert set(peak.values) == {"c", "d", "e"}
    wide = peak_of(graph, steps_of(graph), 1)  # integers are as wide as they are
    assert wide.bits == max(6 * 64 + 24, 3 * 36)


def test_what_stays_floats_is_named():
    graph = branched()
    found = {kind: size for kind, size in floats_of(graph, steps_of(graph)).items() if size}
    assert found == {"lookups": 80, "norms": 16, "constants": 8}
    x, arrays = drawn(1, 8, 5, 5), {"w": drawn(8, 1, 3, 3), "v": drawn(4, 8, 1, 1)}
    graph = read(model([node("Conv", "x w", "a", group=8), node("Conv", "a v", "y")], {"x": x}, arrays), {"x": x})
    assert es.footprint(graph, TENSOR).floats["weights left to the host"] == 8 * 9 * 4
    assert es.footprint(graph, CONFIG).floats["weights left to the host"] == 0


@pytest.mark.parametrize(("op", "gates", "values"), [("GRU", 3, 1), ("LSTM", 4, 2), ("RNN", 1, 1)])
def test_state_is_of_both_directions_and_all_sequences(op, gates, values):
    x = drawn(7, 2, 3)
    arrays = {"w": drawn(2, gates * 5, 3), "r": drawn(2, gates * 5, 5), "v": drawn(5, 4)}
    nodes = [node(op, "x w r", "a", hidden_size=5, direction="bidirectional"), node("MatMul", "a v", "y")]
    graph = read(model(nodes, {"x": x}, arrays), {"x": x})
    assert state_of(graph, 16) == {f"{op}_a": values * 2 * 2 * 5 * 16}


def test_the_command_prints_80_columns_and_all_as_json(tmp_path, capsys):
    _, x, proto = mlp()
    onnx.save(proto, tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=x)
    words = ["footprint", str(tmp_path / "model.onnx"), "--inputs", str(tmp_path / "x.npz"), "--density", "0.25"]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    masked = es.prune.prune_network(
        es.load(tmp_path / "model.onnx", inputs={"x": x}), es.prune.Recipe(density=0.25), es.EieConfig()
    )[0]
    found = es.footprint(masked, es.EieConfig())
    assert record["layers"] == [one.to_dict() for one in found.products]
    assert record["total_bytes"] == found.total_bytes
    assert [one["kept"] for one in record["layers"]] == [96, 60]
    assert record["coverage"]["share_of_macs_not_simulated"] == 0
    assert main(words) == 0
    printed = capsys.readouterr().out
    tables = printed[printed.index("Weights by format") :].splitlines()
    assert max(len(line) for line in tables) <= 80
    assert "covers 100.0 % of 2,496 MACs" in printed
    assert main([*words, "--figure", str(tmp_path / "f.svg")]) == 0
    assert (tmp_path / "f.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "a"], "layer=a: must be left out"),
        (["--density", "-1"], "density=-1.0: must be in 0..1"),
        (["--shape", "x"], "shape=x: must be name="),
        (["--value-bits", "0"], "value_bits=0"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, words, said):
    onnx.save(mlp()[2], tmp_path / "model.onnx")
    assert main(["footprint", str(tmp_path / "model.onnx"), *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_graph_needs_a_design():
    _, x, proto = mlp()
    with pytest.raises(es.InputError, match="config=None: must be a design"):
        es.footprint(read(proto, {"x": x}))
