"""ONNX models pruned: what shapes and shared weights do to masks, and what a pruned file gives in onnxruntime."""

import json

import numpy as np
import pytest
from onnx_models import drawn, expected, model, node, onnx, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.prune.recipe import Recipe

CONFIG = es.EieConfig(n_pe=3)


def prune(graph, **given):
    return es.prune.prune_network(graph, Recipe(**given), CONFIG)


def conv(group=1, c=6, m=8, k=3, batch=1):
    x = drawn(batch, c, 7, 6)
    arrays = {"w": drawn(m, c // group, k, k), "b": drawn(m)}
    return read(model([node("Conv", "x w b", "y", group=group, pads=[1, 1, 1, 1])], {"x": x}, arrays), {"x": x})


@pytest.mark.parametrize("group", [1, 2])
def test_rows_of_a_convolution_are_filters_of_a_group(group):
    graph = conv(group)
    masked, kept = prune(graph, density=0.25, pattern="per_row")
    w = graph.parameters["w"].array.reshape(8, -1)
    for before, after in zip(w, masked.parameters["w"].array.reshape(8, -1), strict=True):
        assert np.count_nonzero(after) == before.size - round(0.75 * before.size)
        assert np.abs(after[after != 0]).min() >= np.abs(before[after == 0]).max()
    assert kept.layers["w"].mask.shape == (8, 6 // group, 3, 3)


def test_wanda_sees_all_positions_of_a_convolution():
    graph = conv(group=2, batch=2)
    x, w = graph.examples["x"].astype(np.float64), graph.parameters["w"].array
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    norms = np.zeros((6, 3, 3))
    for i in range(3):
        for j in range(3):
            norms[:, i, j] = np.square(padded[:, :, i : i + 7, j : j + 6]).sum(axis=(0, 2, 3))
    masked, _ = prune(graph, density=0.5, pattern="per_row", criterion="wanda")
    for at in range(8):
        g = at // 4
        scores = (np.abs(w[at]) * np.sqrt(norms[3 * g : 3 * g + 3])).ravel()
        kept = masked.parameters["w"].array[at].ravel() != 0
        assert kept.sum() == 27 - 13  # what goes is rounded down
        assert scores[kept].min() >= scores[~kept].max()


@pytest.mark.parametrize("group", [1, 2, 6])
def test_balanced_counts_are_of_the_rows_of_a_processing_element(group):
    graph = conv(group, m=12)
    masked, kept = prune(graph, density=0.3, pattern="balanced")
    counts = np.count_nonzero(masked.parameters["w"].array.reshape(12, -1), axis=1)
    of_pe = [counts[pe::3].sum() for pe in range(3)]
    assert max(of_pe) - min(of_pe) <= 1
    assert kept.kept == sum(of_pe) == round(0.3 * graph.parameters["w"].array.size)


def test_blocks_are_of_taps_and_channels_and_edges_are_filled_up():
    graph = conv(c=3, m=6)
    masked, kept = prune(graph, density=0.5, pattern="block", block_rows=4, block_cols=4)
    w = masked.parameters["w"].array.transpose(0, 2, 3, 1).reshape(6, 27)  # channels innermost
    blocks = np.pad(w, ((0, 2), (0, 1))).reshape(2, 4, 7, 4).transpose(0, 2, 1, 3).reshape(14, 16)
    before = graph.parameters["w"].array.transpose(0, 2, 3, 1).reshape(6, 27)
    full = np.pad(before, ((0, 2), (0, 1))).reshape(2, 4, 7, 4).transpose(0, 2, 1, 3).reshape(14, 16)
    stays = blocks.any(axis=1)
    assert stays.sum() == 7
    assert (blocks[stays] == full[stays]).all()
    assert np.abs(full[stays]).sum(axis=1).min() >= np.abs(full[~stays]).sum(axis=1).max()
    assert kept.layers["w"].kept == np.count_nonzero(w)


def test_phases_of_a_transposed_convolution_share_a_parameter():
    x, arrays = drawn(1, 4, 5, 5), {"w": drawn(4, 6, 3, 3)}
    graph = read(model([node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1])], {"x": x}, arrays))
    masked, kept = prune(graph, density=0.5, pattern="per_row")
    assert kept.achieved == 0.5  # rows of 4, 8, 8 and 16
    masked, kept = prune(graph, pattern="2:4")
    assert (np.count_nonzero(masked.parameters["w"].array, axis=0) == 2).all()


def test_a_weight_of_two_nodes_is_pruned_once():
    x, arrays = drawn(3, 8), {"w": drawn(8, 8), "v": drawn(4, 8)}
    nodes = [
        *(node("Gemm", "x w", "a", transB=1), node("Relu", "a", "b"), node("Gemm", "b w", "c", transB=1)),
        node("Gemm", "c v", "y", transB=1),
    ]
    graph = read(model(nodes, {"x": x}, arrays), {"x": x})
    once = read(model([nodes[0], node("Gemm", "a v", "y", transB=1)], {"x": x}, arrays), {"x": x})
    for given in ({"density": 0.3}, {"density": 0.5, "pattern": "block", "scope": "global"}, {"pattern": "1:4"}):
        kept, alone = prune(graph, **given)[1], prune(once, **given)[1]
        assert kept.total == 96
        assert (kept.masks["w"] == alone.masks["w"]).all()
        assert (kept.masks["v"] == alone.masks["v"]).all()


def test_weights_are_pruned_before_a_batch_norm_is_folded():
    x = drawn(1, 2, 4, 4)
    arrays = {"w": np.array([[1, 2], [3, 4]], np.float32).reshape(2, 2, 1, 1), "gain": np.array([9, 1], np.float32)}
    arrays |= {"zero": np.zeros(2, np.float32), "one": np.ones(2, np.float32)}
    nodes = [node("Conv", "x w", "a"), node("BatchNormalization", "a gain zero zero one", "y")]
    masked, _ = prune(read(model(nodes, {"x": x}, arrays), {"x": x}), density=0.5)
    assert masked.parameters["w"].array.ravel().tolist() == [0, 0, 3, 4]  # 9, 18, 3, 4 once folded


def test_a_pruned_model_gives_the_masked_output_in_onnxruntime(tmp_path):
    x, arrays = drawn(2, 3, 6, 6), {"w": drawn(8, 3, 3, 3), "v": drawn(4, 8)}
    nodes = [
        *(node("Conv", "x w", "a"), node("Relu", "a", "b"), node("GlobalAveragePool", "b", "c")),
        *(node("Flatten", "c", "d"), node("Gemm", "d v", "y", transB=1)),
    ]
    proto = model(nodes, {"x": x}, arrays)
    masked, kept = prune(read(proto, {"x": x}), density=0.4)
    masked.save(tmp_path / "pruned.onnx")
    found = expected(onnx.load(tmp_path / "pruned.onnx"), {"x": x})["y"]
    arrays = {name: np.where(kept.masks[name], array, np.float32(0)) for name, array in arrays.items()}
    np.testing.assert_allclose(found, expected(model(nodes, {"x": x}, arrays), {"x": x})["y"], rtol=1e-6)


@pytest.fixture
def saved(tmp_path):
    """Two convolutions and a classifier in a file, its inputs, and both in memory."""
    x = drawn(2, 3, 6, 6)
    arrays = {"w": drawn(8, 3, 3, 3) / 3, "g": drawn(8, 4, 3, 3) / 6, "v": drawn(4, 8)}
    nodes = [
        *(node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b g", "c", group=2, pads=[1, 1, 1, 1])),
        *(node("Relu", "c", "d"), node("GlobalAveragePool", "d", "e"), node("Flatten", "e", "f")),
        node("Gemm", "f v", "y", transB=1),
    ]
    proto = model(nodes, {"x": x}, arrays)
    onnx.save(proto, tmp_path / "model.onnx")
    np.savez(tmp_path / "x.npz", x=x)
    return tmp_path, x, proto


def test_the_command_shows_parameters_and_costs_and_writes_a_file(saved, capsys):
    folder, x, proto = saved
    words = ["prune", str(folder / "model.onnx"), "--inputs", str(folder / "x.npz"), "--density", "0.5"]
    words += ["--layer-density", "v=0.75", "--n-pe", "4", "--weight-bits", "8", "--out", str(folder / "pruned.onnx")]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["kept"], one["total"]) for one in record["parameters"]] == [
        ("w", 108, 216),
        ("g", 144, 288),
        ("v", 24, 32),
    ]
    assert record["kept"] == 276
    net = es.load(folder / "model.onnx", inputs={"x": x})
    before, after = es.run(net, es.EieConfig(n_pe=4, weight_bits=8)), es.load(folder / "pruned.onnx", inputs={"x": x})
    after = es.run(after, es.EieConfig(n_pe=4, weight_bits=8))
    for when, run in (("before", before), ("after", after)):
        assert [one[when]["cycles"] for one in record["layers"]] == [row.cycles for row in run.rows]
        assert record["total"][when]["cycles"] == run.cycles
        assert record["total"][when]["bits"] == run.record.total.storage.total_bits
    was, now = (expected(one, {"x": x})["y"] for one in (proto, onnx.load(folder / "pruned.onnx")))
    error = np.sqrt(np.square(now - was).sum() / np.square(was).sum())
    assert record["outputs_off"] == {"y": pytest.approx(error, rel=1e-4)}
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "276 of 536 weights kept, 51.49 %" in printed
    assert printed.rstrip().endswith("verified")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--density", "0.5", "--out", "x.eie.safetensors"], "out=x.eie.safetensors: must end in .onnx"),
        (["--density", "0.5", "--out", "no/x.onnx"], "out=no/x.onnx: must be in a folder that exists"),
        (["--density", "0.5", "--epochs", "5"], "epochs=5: is of chains of layers"),
        (["--density", "0.5", "--chain", "a,b"], "chain=a,b: must be left out"),
        (["--density", "2"], "density=2.0: must be in 0..1"),
        ([], "density=None: must be a fraction"),
        (["--layer-density", "q=0.5", "--density", "0.5"], "layer_density=q: unknown"),
        (["--density", "0.5", "--inputs", "none.npz"], "none.npz"),
    ],
)
def test_bad_input_to_prune_is_one_line(saved, capsys, monkeypatch, words, said):
    monkeypatch.chdir(saved[0])
    assert main(["prune", "model.onnx", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert not (saved[0] / "x.eie.safetensors").exists()


def test_inputs_of_an_onnx_file_are_refused_for_layers(saved, capsys):
    assert main(["prune", "digits-mlp", "--density", "0.5", "--inputs", str(saved[0] / "x.npz")]) == 2
    assert "must be left out: the network is no ONNX file" in capsys.readouterr().err
