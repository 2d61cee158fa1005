"""The networks of the repository that are graphs: stored, documented, run on every unit; labels and their accuracy."""

import json
import subprocess
import sys

import numpy as np
import pytest

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.network import data_folder, load_preset, preset_layers
from eie_sim.network.layered import graph_of
from eie_sim.network.readers import onnx_runtime
from eie_sim.passed_on import passed_on

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
NAMES = ("digits-resnet", "digits-gru")
DESIGNS = {
    "eie": es.EieConfig(),
    "eie, 8-bit codes": es.EieConfig(weight_bits=8),
    "nm-64": es.TensorCoreConfig.preset("nm-64"),
    "rtx3090": es.TensorCoreConfig.preset("rtx3090"),
    "rtx3090, int8": es.TensorCoreConfig.preset("rtx3090", elem_bytes=1),
}


def folder(name):
    return data_folder("models") / name


def results(name):
    return json.loads((folder(name) / "results.json").read_text())


def images_of(name):
    with np.load(folder(name) / "test.npz", allow_pickle=False) as data:
        return data["x"], data["labels"]


def few(name, n=8):
    """The network for its first images."""
    x, labels = images_of(name)
    return es.load(str(folder(name) / f"{name}.onnx"), inputs={"x": x[:n]}, labels=labels[:n])


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_file_is_as_accurate_as_its_readme_says(name):
    readme, recorded = (folder(name) / "README.md").read_text(), results(name)
    session = runtime.InferenceSession(folder(name) / f"{name}.onnx")
    with np.load(data_folder("models") / "digits-mlp" / "digits.npz") as data:
        x, _ = images_of(name)
        for samples, rows in (("held_back", data["held_back"]), ("training", ~data["held_back"])):
            images = (data["images"][rows] / np.float32(16)).reshape(-1, *x.shape[1:])
            (scores,) = session.run(None, {"x": images})
            right = int((scores.argmax(axis=1) == data["labels"][rows]).sum())
            one = recorded[samples]
            assert (right, len(images)) == (one["count"], one["of"])
            assert f"{100 * one['ratio']:.2f} % ({right} / {len(images)}) of the {samples.replace('_', '-')}" in readme
            if samples == "held_back":
                np.testing.assert_array_equal(x, images[:100])
                np.testing.assert_array_equal(images_of(name)[1], data["labels"][rows][:100])
    (scores,) = session.run(None, {"x": x})
    right = int((scores.argmax(axis=1) == images_of(name)[1]).sum())
    assert right == recorded["test"]["count"]
    assert f"({right} / 100) of those of `test.npz`" in readme


@pytest.mark.parametrize("name", NAMES)
def test_the_preset_says_what_the_file_holds_and_knows_no_machine(name):
    graph = es.load(name)
    products = es.lower(graph)
    assert [(one.name, one.n_out, one.n_in) for one in products] == list(preset_layers(name.upper()))
    assert sum(one.array.size for one in graph.parameters.values()) >= results(name)["parameters"]
    model = onnx.load(folder(name) / f"{name}.onnx")
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    kinds = [node.op for node in graph.nodes]
    assert kinds.count("BatchNormalization") == (8 if name == "digits-resnet" else 0)
    assert graph.calibration is not None
    assert sum(file.stat().st_size for file in folder(name).iterdir()) < 300_000


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_every_unit_and_is_verified(name, design):
    run = es.run(few(name), DESIGNS[design])
    assert run.verified
    assert run.covered.share_of_macs_not_simulated == 0
    assert run.accuracy.images == 8
    assert run.accuracy.dense is None
    assert run.accuracy.compressed == np.mean(run.output.argmax(axis=1) == images_of(name)[1][:8])


@pytest.mark.parametrize("name", NAMES)
def test_the_preset_is_its_files(name):
    by_name = es.load(name)
    by_file = es.load(
        folder(name) / f"{name}.onnx", inputs=folder(name) / "test.npz", calibration=folder(name) / "calibration.npz"
    )
    assert by_name.digest == by_file.digest
    assert by_name.source != by_file.source
    assert by_name.with_labels(by_name.labels.classes[::-1]).digest != by_name.digest


def test_accuracy_is_before_pruning_pruned_and_simulated():
    graph = few("digits-gru", 40)
    run = es.run(graph, es.EieConfig(), density=0.1)
    kept = {
        name: one.array * (np.abs(one.array) >= np.sort(np.abs(one.array), axis=None)[-round(0.1 * one.array.size)])
        for name, one in graph.parameters.items()
        if one.array.ndim > 1
    }
    session = runtime.InferenceSession(folder("digits-gru") / "digits-gru.onnx")
    x, labels = images_of("digits-gru")
    assert run.accuracy.dense == np.mean(session.run(None, {"x": x[:40]})[0].argmax(axis=1) == labels[:40])
    assert run.accuracy.pruned == es.run(graph.with_parameters(kept), es.EieConfig()).accuracy.pruned
    assert run.accuracy.pruned < run.accuracy.dense
    assert run.accuracy.compressed == np.mean(run.output.argmax(axis=1) == labels[:40])


def test_states_of_the_gru_are_the_simulated_ones():
    """The first state is given; each later one comes of what the unit computed, so that it depends on its codes."""
    graph, states = few("digits-gru", 4), {}
    for bits in (4, 8):
        done = passed_on(graph, es.EieConfig(weight_bits=bits))
        (read,) = [one for one in done.products if one.product.name == "gru.R"]
        assert read.inputs.words == "simulated: states of gru, each from the step before"
        states[bits] = read.value.reshape(8, 4, 64)
    assert not states[4][0].any()
    assert not states[8][0].any()
    for step in range(1, 8):
        assert 0 < np.abs(states[4][step] - states[8][step]).max() < 1


def test_labels_beside_the_inputs_in_a_file_or_by_name_are_the_same(tmp_path):
    x, labels = images_of("digits-gru")
    file = folder("digits-gru") / "digits-gru.onnx"
    np.save(tmp_path / "labels.npy", labels[:5])
    np.savez(tmp_path / "both.npz", x=x[:5], labels=labels[:5])
    np.savez(tmp_path / "named.npz", scores=labels[:5])
    given = [
        {"inputs": {"x": x[:5], "labels": labels[:5]}},
        {"inputs": tmp_path / "both.npz"},
        {"inputs": x[:5], "labels": tmp_path / "labels.npy"},
        {"inputs": x[:5], "labels": tmp_path / "both.npz"},
        {"inputs": x[:5], "labels": tmp_path / "named.npz"},
        {"inputs": x[:5], "labels": {"scores": labels[:5].tolist()}},
    ]
    assert len({es.load(file, **one).digest for one in given}) == 1


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), "labels=shape (3,): must be (4,), a class for each row of scores"),
        (np.zeros((4, 10), int), "labels=shape (4, 10): must be (4,), a class for each row of scores"),
        (np.zeros(4), "labels=float64: must be whole numbers"),
        (np.zeros(4, bool), "labels=bool: must be whole numbers"),
        (np.array([0, 1, 10, 2]), "labels=10: must be 0 to 9, a class of scores"),
        (np.array([0, -1, 1, 2]), "labels=-1: must be 0 to 9, a class of scores"),
        ({"score": np.zeros(4, int)}, "labels=score: unknown; did you mean scores"),
        ({}, "labels=0 outputs: must be for one output"),
    ],
)
def test_labels_that_do_not_fit_are_one_line(labels, message):
    with pytest.raises(InputError) as error:
        few("digits-gru", 4).with_labels(labels)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_an_output_that_is_no_classes_has_no_labels(tmp_path):
    from onnx import TensorProto, helper

    names = {"x": (4, 6), "one": (4, 1), "map": (1, 4, 5)}
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in names.items()}
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(6, 1)), "v": rng.normal(size=(6, 5)), "to": np.array([1, 4, 5])}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"], name="first"),
        helper.make_node("MatMul", ["x", "v"], ["flat"], name="second"),
        helper.make_node("Reshape", ["flat", "to"], ["map"], name="third"),
    ]
    tensors = [
        onnx.numpy_helper.from_array(array if name == "to" else array.astype(np.float32), name)
        for name, array in arrays.items()
    ]
    made = helper.make_graph(nodes, "g", [infos["x"]], [infos["one"], infos["map"]], tensors)
    file = tmp_path / "regression.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    for labels, message in (
        (np.zeros(4, int), "labels=given: must be for an output of classes, float [n, classes]: the network has one"),
        ({"map": np.zeros(4, int)}, "labels=map: is no output of classes, float [n, classes]"),
    ):
        with pytest.raises(InputError) as error:
            es.load(file, labels=labels)
        assert message in str(error.value)
    with pytest.raises(InputError, match="labels=ndarray: must be left out"):
        es.load("digits-mlp", labels=np.zeros(360, int))


def test_what_a_file_has_that_cannot_be_read_is_said(tmp_path):
    x, labels = images_of("digits-gru")
    np.save(tmp_path / "objects.npy", labels[:4].astype(object))
    file = folder("digits-gru") / "digits-gru.onnx"
    for given in ({"inputs": x[:4], "labels": tmp_path / "objects.npy"}, {"inputs": tmp_path / "objects.npy"}):
        with pytest.raises(InputError, match="objects: Python objects, never unpickled"):
            es.load(file, **given)


def test_labels_given_twice_are_refused(capsys):
    file = str(folder("digits-gru") / "test.npz")
    assert main(["run", "digits-gru", "--labels", file]) == 2
    assert capsys.readouterr().err.strip() == "error: labels=given: must be left out: the inputs have their own"


def test_what_takes_layers_says_that_it_is_a_graph(capsys):
    with pytest.raises(InputError, match="workload=digits-resnet: is a graph of operators"):
        load_preset("Digits-ResNet")
    assert main(["sensitivity", "digits-resnet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "is a graph of operators" in error


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    getattr(onnx_runtime.libraries, "cache_clear", lambda: None)()
    assert main(["run", "digits-resnet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert 'pip install "eie-sim[onnx]"' in error


def test_rows_of_comparisons_and_sweeps_have_the_accuracy():
    graph = few("digits-gru", 20)
    rows = es.compare(graph, ["eie", "rtx3090"], patterns=[(2, 4)], densities=[0.3], batches=[1]).rows
    for row in rows:
        assert row.accuracy is not None
        assert row.accuracy_of.startswith("20 labelled inputs, in ")
    for axis, design in (
        ({"n_pe": [16]}, es.EieConfig(n_pe=16)),
        ({"chip": ["nm-64"]}, es.TensorCoreConfig.preset("nm-64")),
    ):
        (row,) = es.sweep.run(graph, grid={"density": [0.3], **axis}).rows
        assert row["accuracy"] == es.run(graph, design, density=0.3).accuracy.compressed


def test_chains_have_the_accuracy_of_their_graph():
    network = es.load("digits-mlp")
    run = es.run(network, es.EieConfig())
    graph = graph_of(network)
    np.testing.assert_array_equal(graph.labels.classes, network.test_labels)
    assert run.accuracy.compressed == np.mean(run.output.argmax(axis=1) == network.test_labels)
    assert round(run.accuracy.pruned * 360) == 353
    assert round(run.accuracy.dense * 360) == 354


def test_pruning_on_the_command_line_says_the_accuracy_before_and_after(capsys):
    assert main(["prune", "digits-gru", "--density", "0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("accuracy on 100 labelled inputs: float 100.00 % => ")]
    runs = [es.run(es.load("digits-gru"), es.EieConfig(), **how).accuracy for how in ({}, {"density": 0.1})]
    assert line.endswith(f"simulated {100 * runs[0].compressed:.2f} % => {100 * runs[1].compressed:.2f} %")
    assert f"float 100.00 % => {100 * runs[1].pruned:.2f} %" in line
    assert main(["run", "digits-gru", "--density", "0.1"]) == 0
    shares = (f"{100 * share:.2f} %" for share in (runs[1].dense, runs[1].pruned, runs[1].compressed))
    said = "accuracy on 100 labelled inputs: float {}, pruned {}, compressed and simulated {}".format(*shares)
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_a_network_as_accurate(name, tmp_path):
    for module in ("torch", "onnxscript"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    subprocess.run([sys.executable, folder(name) / "train.py", "--out", tmp_path], check=True, capture_output=True)
    made = tmp_path / "models" / name
    files = {path.name for path in folder(name).iterdir() if path.is_file()} - {"train.py"}
    assert {path.name for path in made.iterdir()} == files
    assert json.loads((made / "results.json").read_text())["held_back"]["ratio"] > 0.97
    for file in ("test.npz", "calibration.npz"):
        assert (made / file).read_bytes() == (folder(name) / file).read_bytes()
