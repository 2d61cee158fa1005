"""Options of a run of a graph, and its commands."""

import json
import re

import numpy as np
import pytest
from msgspec import convert
from onnx_models import drawn, model, node, onnx
from small_graphs import WIDE, layers, mlp, small

import eie_sim as es
from eie_sim import product_run
from eie_sim.cli import main
from eie_sim.core.record import Result


def test_a_batch_is_the_free_first_side_of_what_is_drawn(tmp_path):
    proto = model([node("Gemm", "x w", "y")], {"x": drawn(1, 4)}, layers(w=drawn(4, 3)))
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(proto, tmp_path / "free.onnx")
    graph = es.load(tmp_path / "free.onnx", batch=8)
    assert graph.values["y"].shape == (8, 3)
    assert graph.notes[0] == "x: side n is 8"
    for given, said in (
        ({"batch": 0}, "batch=0: must be"),
        ({"batch": 8, "shapes": {"x": (2, 4)}}, "batch=8: must be left out"),
    ):
        with pytest.raises(es.InputError, match=said):
            es.load(tmp_path / "free.onnx", **given)


def test_batch_norms_are_left_to_the_host_where_they_are_to_be():
    folded, apart = (es.run(small(), es.EieConfig(n_pe=4, **WIDE), fold=fold) for fold in (True, False))
    assert "BatchNormalization" not in str(folded.record.not_simulated)
    assert "BatchNormalization" in str(apart.record.not_simulated)
    assert not apart.rows[0].bias
    assert folded.rows[0].bias
    assert apart.distance < 0.05


def test_depthwise_convolutions_are_products_of_tensor_cores_where_they_are_to_be():
    run = es.run(small(), es.TensorCoreConfig.preset("nm-64"), depthwise_as_gemm=True)
    assert [row.kind for row in run.rows][2] == "depthwise conv2d"
    assert run.coverage["share_of_macs_not_simulated"] == 0
    assert run.verified


def test_scales_come_from_inputs_of_their_own():
    graph, config = small(), es.EieConfig(n_pe=4, **WIDE)
    loud = graph.with_calibration({"x": 256 * graph.examples["x"]})
    run, plain = es.run(loud, config), es.run(graph, config)
    assert run.rows[0].scales["activation"] == plain.rows[0].scales["activation"] - 8
    assert 2 * plain.distance < run.distance < 0.3
    for given, said in (
        ({"z": 1}, "calibration=z: unknown"),
        ({}, "calibration=x: must be given"),
        ({"x": np.ones((1, 3, 2, 2))}, "calibration x=shape (1, 3, 2, 2): must be (1, 3, 9, 8), as the input is"),
        ({"x": np.full((1, 3, 9, 8), np.nan)}, "calibration x=not finite"),
    ):
        with pytest.raises(es.InputError, match=re.escape(said)):
            graph.with_calibration(given)


def test_lower_lists_the_products_of_a_unit():
    graph = small()
    assert [one.name for one in es.lower(graph)] == ["Conv_a", "Conv_d", "Conv_f", "Gemm_y"]
    names = [one.name for one in es.lower(graph, es.TensorCoreConfig.preset("nm-64"))]
    assert names == ["Conv_a", "Conv_d.0", "Conv_d.1", "Gemm_y"]
    with pytest.raises(es.InputError, match=r"^network=str: must be "):
        es.lower("model.onnx")


@pytest.mark.parametrize("field", ["fold", "depthwise_as_gemm"])
def test_words_are_no_options_of_lowering(field):
    for asked in (es.lower, es.run):
        with pytest.raises(es.InputError, match=rf"^{field}=str: must be "):
            asked(small(), es.EieConfig(), **{field: "no"})


@pytest.fixture
def saved(tmp_path):
    path, _, (_, x, _, proto) = tmp_path / "model.onnx", None, mlp()
    onnx.save(proto, path)
    np.savez(tmp_path / "x.npz", x=x)
    return path


def test_the_command_prints_distances_first_and_keeps_a_run(saved, tmp_path, capsys):
    words = ["run", str(saved), "--inputs", str(tmp_path / "x.npz"), "--density", "0.5", "--n-pe", "4"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("end to end, y:") < printed.index("covers 100.0 % of MACs") < printed.index("Products")
    assert "synthetic" not in printed
    assert printed.splitlines()[-2] == "verified"
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert convert(record, Result).to_dict() == record
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "end to end, y:" in (tmp_path / "run" / "report.html").read_text()


def test_the_command_ranks_over_the_network(saved, tmp_path, capsys):
    chain, x, *_ = mlp()
    np.savez(tmp_path / "chain.npz", **chain)
    np.save(tmp_path / "x.npy", x)
    words = ["--density", "0.3", "--global", "--n-pe", "4", "--json"]
    assert main(["run", str(saved), "--inputs", str(tmp_path / "x.npz"), *words]) == 0
    graph = json.loads(capsys.readouterr().out)
    given = ["--chain", "1,2", "--activations", str(tmp_path / "x.npy")]
    assert main(["run", str(tmp_path / "chain.npz"), *given, *words]) == 0
    layers = json.loads(capsys.readouterr().out)
    assert [row["cycles"] for row in graph["layers"]] == [row["cycles"] for row in layers["layers"]]
    densities = [row["weight_density"] for row in graph["layers"]]
    assert densities == [row["weight_density"] for row in layers["layers"]]
    assert densities[0] != pytest.approx(densities[1], abs=0.01)
    assert "pruned: element, l1, global, density" in layers["layers"][0]["weights"]


def test_inputs_that_are_drawn_are_said(saved, capsys):
    assert main(["run", str(saved), "--shape", "x=4x16", "--n-pe", "4"]) == 0
    assert "synthetic inputs: x" in capsys.readouterr().out


def test_layers_are_described_as_well(capsys, tmp_path):
    assert main(["describe", "digits-mlp", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["operators"] == {"Gemm": 3, "Relu": 2}
    assert record["macs"] == [{"kind": "gemm", "reason": "", "nodes": 3, "macs": 360 * 50_432}]
    np.savez(tmp_path / "net.npz", **{"fc.weight": np.ones((3, 4), np.float32), "conv.weight": np.ones((2, 2, 3, 3))})
    assert main(["describe", str(tmp_path / "net.npz")]) == 0
    assert "conv.weight" in capsys.readouterr().out  # what is not simulated is said
    assert [one.name for one in es.lower(es.load("digits-mlp"))] == ["fc1", "fc2", "fc3"]


def test_describe_simulates_nothing(saved, capsys, monkeypatch):
    monkeypatch.setattr(product_run, "simulate", None)
    assert main(["describe", str(saved)]) == 0
    assert "covers 100.0 % of 2,496 MACs" in capsys.readouterr().out
    assert main(["describe", str(saved), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["operators"] == {"Gemm": 2, "Relu": 1}
    assert record["macs"] == [{"kind": "gemm", "reason": "", "nodes": 2, "macs": 2496}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "{model}", "--layer", "fc1"], "layer=fc1: must be left out"),
        (["run", "{model}", "--shape", "z=4x16"], "shapes=z: unknown"),
        (["run", "{model}", "--shape", "x"], "shape=x: must be name=1x3x224x224"),
        (["run", "{model}", "--density", "2"], "density=2.0: must be in 0..1"),
        (["run", "{model}", "--pattern", "2:4", "--density", "0.5"], "density=0.5: must be left out"),
        (["run", "{model}", "--global"], "scope=global: must be local without a density"),
        (["run", "digits-mlp", "--global", "--pattern", "2:4"], "scope=global: must be local without a density"),
        (["run", "{model}", "--inputs", "{folder}/none.npz"], "none.npz: file=missing"),
        (["run", "digits-mlp", "--shape", "x=4x16"], "must be left out"),
        (["describe", "digits-mlp", "--shape", "x=4x16"], "must be left out: the network is no ONNX file"),
        (["compress", "{model}"], "compare and trace take"),
        (["sensitivity", "{model}"], "compare and trace take"),
        (["allocate", "{model}", "--budget", "9"], "compare and trace take"),
    ],
)
def test_bad_input_is_one_line(words, said, saved, capsys):
    places = {"model": saved, "folder": saved.parent}
    assert main([word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_torch_file_is_refused_with_the_line_that_exports(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"\x80\x02")
    with pytest.raises(es.InputError, match=r"torch\.onnx\.export"):
        es.load(tmp_path / "model.pt")


def test_layers_take_no_graph(saved):
    graph = es.load(saved)
    assert es.load(graph) is graph
    with pytest.raises(es.InputError, match="run takes a graph"):
        es.network.load(graph)
    with pytest.raises(es.InputError, match="inputs"):
        es.load("digits-mlp", inputs=np.ones((1, 64)))
