"""A pruned graph comes out as an ONNX file, for every kind of node: it gives the masked outputs, and is read again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import drawn, expected, helper, model, node, numpy_helper, onnx, read
from test_recurrent import nodes as recurrent_nodes

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.network import floatrun, loading
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe

EIE = es.EieConfig(n_pe=4, weight_bits=8)
CORES = es.TensorCoreConfig.preset("rtx3090")
ROW = ("name", "kind", "n_out", "n_in", "cycles", "n_weight", "weight_density", "activation_density", "scales", "stats")


def saved(graph, file):
    """The file that a graph is saved as, which onnx finds whole."""
    graph.save(file)
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def rows(graph, config, **more):
    run = es.run(graph, config, depthwise_as_gemm=True, **more)
    assert run.verified
    record = run.to_dict()
    return [{name: row[name] for name in ROW} for row in record["layers"]], record["total"]["cycles"], run.outputs


def comes_out(proto, inputs, tmp_path, config=EIE, density=0.5):
    """Prune a model; the saved file has its names and the masked outputs, and runs as the masked graph does."""
    graph = read(proto, inputs)
    pruned, _ = prune_network(graph, Recipe(density=density), config)
    assert any((one.array == 0).any() for one in pruned.parameters.values())
    file = tmp_path / "pruned.onnx"
    written = saved(pruned, file)
    assert written.graph.name == proto.graph.name
    assert [one.name for one in written.graph.input] == [one.name for one in proto.graph.input]
    assert [one.name for one in written.graph.output] == [one.name for one in proto.graph.output]
    made, masked = expected(written, inputs), floatrun.run(pruned)
    assert made.keys() == masked.keys()
    for name, array in masked.items():
        assert made[name].shape == array.shape
        assert np.abs(made[name] - array).max(initial=0) <= 1e-6 * np.abs(array).max(initial=1e-30)
    again = es.load(file, inputs=inputs)
    assert any("pruned" in note for note in again.notes)
    wanted, found = rows(graph, config, density=density), rows(again, config)
    assert found[:2] == wanted[:2]
    for name, array in wanted[2].items():
        np.testing.assert_array_equal(found[2][name], array)
    return graph, written


@st.composite
def convolutions(draw):
    group, per, made = draw(st.sampled_from([(1, 3, 4), (2, 2, 3), (4, 1, 1)]))
    rank, transposed = draw(st.integers(1, 3)), draw(st.booleans())
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    shape = (group * per, made, *kernel) if transposed else (group * made, per, *kernel)
    arrays, x = {"w": drawn(*shape)}, {"x": drawn(2, group * per, *(4 for _ in kernel))}
    reads = "x w"
    if draw(st.booleans()):
        arrays["b"], reads = drawn(group * made), "x w b"
    strides = [draw(st.integers(1, 2)) for _ in kernel]
    op = "ConvTranspose" if transposed else "Conv"
    nodes = [node(op, reads, "h", group=group, strides=strides)]
    if draw(st.booleans()):
        arrays |= {name: drawn(group * made, seed=at) for at, name in enumerate(("gain", "shift", "mean"))}
        arrays["var"] = np.abs(drawn(group * made, seed=4)) + 0.1
        nodes.append(node("BatchNormalization", "h gain shift mean var", "n"))
    nodes.append(node(draw(st.sampled_from(["Relu", "Tanh", "Identity"])), nodes[-1].output[0], "y"))
    return model(nodes, x, arrays), x


@st.composite
def contractions(draw):
    n_in, n_out, rows_ = (draw(st.integers(2, 5)) for _ in range(3))
    kind = draw(st.sampled_from(["gemm", "right", "left", "batched", "einsum", "grouped", "shared"]))
    x, arrays = {"x": drawn(rows_, n_in)}, {}
    if kind == "gemm":
        turned, bias = draw(st.integers(0, 1)), draw(st.booleans())
        arrays = {"w": drawn(*((n_out, n_in) if turned else (n_in, n_out))), **({"b": drawn(n_out)} if bias else {})}
        nodes = [node("Gemm", " ".join(["x", *arrays]), "y", transB=turned, alpha=0.5, beta=2.0)]
    elif kind == "left":
        arrays, nodes = {"w": drawn(n_out, rows_)}, [node("MatMul", "w x", "y")]
    elif kind == "batched":
        x, arrays = {"x": drawn(2, rows_, n_in)}, {"w": drawn(2, n_in, n_out)}
        nodes = [node("MatMul", "x w", "y")]
    elif kind == "einsum":
        arrays, nodes = {"w": drawn(n_out, n_in)}, [node("Einsum", "x w", "y", equation="bi,oi->bo")]
    elif kind == "grouped":
        x, arrays = {"x": drawn(2, rows_, 2, n_in)}, {"w": drawn(2, n_in, n_out)}
        nodes = [node("Einsum", "x w", "y", equation="btgi,gih->btgh")]
    elif kind == "shared":
        arrays = {"w": drawn(n_in, n_in)}
        nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("Gemm", "r w", "y", transB=1)]
    else:
        arrays, nodes = (
            {"w": drawn(n_in, n_out), "b": drawn(n_out)},
            [node("MatMul", "x w", "h"), node("Add", "h b", "y")],
        )
    return model(nodes, x, arrays), x


@settings(max_examples=40)
@given(made=convolutions(), config=st.sampled_from([EIE, CORES]))
def test_any_convolution_comes_out(made, config, tmp_path_factory):
    comes_out(*made, tmp_path_factory.mktemp("saved"), config)


@settings(max_examples=40)
@given(made=contractions(), config=st.sampled_from([EIE, CORES]))
def test_any_contraction_comes_out(made, config, tmp_path_factory):
    comes_out(*made, tmp_path_factory.mktemp("saved"), config)


@settings(max_examples=40)
@given(made=recurrent_nodes(), config=st.sampled_from([EIE, CORES]))
def test_any_recurrent_node_comes_out(made, config, tmp_path_factory):
    comes_out(*made, tmp_path_factory.mktemp("saved"), config)


WAYS = {
    "Constant": ([], "w"),
    "Identity": ([node("Identity", "p", "w")], "p"),
    "Transpose": ([node("Transpose", "p", "w", perm=[1, 0])], "p turned"),
    "Reshape": ([node("Reshape", "p sides", "w")], "p flat"),
    "Slice": ([node("Slice", "p starts ends axes", "w")], "p wide"),
    "Concat": ([node("Concat", "p q", "w", axis=1)], "p halves"),
    "Gather": ([node("Gather", "p order", "w", axis=1)], "p"),
    "Split": ([node("Split", "p parts", "w rest", axis=1)], "p wide"),
    "Squeeze": ([node("Squeeze", "p zero", "w")], "p deep"),
    "Unsqueeze": ([node("Unsqueeze", "p zero", "d"), node("Squeeze", "d zero", "w")], "p"),
    "DequantizeLinear": ([node("DequantizeLinear", "p step", "w")], "p whole"),
    "Mul": ([node("Mul", "p two", "w")], "p"),
    "Transpose, Reshape": ([node("Transpose", "p", "t", perm=[1, 0]), node("Reshape", "t sides", "w")], "p odd"),
}
PLACED = {
    "sides": np.array([6, 4]), "starts": np.array([0, 1]), "ends": np.array([6, 5]), "axes": np.array([0, 1]),
    "order": np.array([3, 1, 0, 2]), "parts": np.array([4, 2]), "zero": np.array([0]), "step": np.float32(0.02),
    "two": np.array([2], np.float32), "q": drawn(6, 2, seed=1),
}  # fmt: skip
SHAPES = {"turned": (4, 6), "flat": (24,), "wide": (6, 6), "halves": (6, 2), "deep": (1, 6, 4), "odd": (8, 3)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("constants", [False, True], ids=["initializers", "Constant nodes"])
def test_a_weight_comes_out_behind_what_makes_it(way, constants, tmp_path):
    before, (name, *shape) = WAYS[way][0], WAYS[way][1].split()
    array = drawn(*SHAPES.get("".join(shape), (6, 4)))
    array = np.round(array * 40).clip(-127, 127).astype(np.int8) if shape == ["whole"] else array
    read_ = {one for each in before for one in each.input}
    arrays = {name: array, **{one: PLACED[one] for one in read_ if one in PLACED}}
    makers = []
    if constants:
        makers = [
            helper.make_node("Constant", [], [one], name=f"C_{one}", value=numpy_helper.from_array(each))
            for one, each in arrays.items()
        ]
        arrays = {}
    x = {"x": drawn(3, 6)}
    graph, _ = comes_out(model([*makers, *before, node("MatMul", "x w", "y")], x, arrays), x, tmp_path)
    (product,) = es.lower(graph)
    owners = {"Concat": {"p", "q"}, "DequantizeLinear": {"w"}, "Mul": {"w"}}
    assert set(product.parameters) == owners.get(way, {name})


def test_a_weight_within_an_if_comes_out(tmp_path):
    """The branch that is taken has the weight, and so has the file, which has no If."""
    taken = helper.make_graph(
        [node("MatMul", "x inner", "t")],
        "taken",
        [],
        [helper.make_tensor_value_info("t", 1, None)],
        [numpy_helper.from_array(drawn(6, 4), "inner")],
    )
    other = helper.make_graph([node("Identity", "x", "o")], "other", [], [helper.make_tensor_value_info("o", 1, None)])
    x = {"x": drawn(3, 6)}
    nodes = [node("If", "yes", "h", then_branch=taken, else_branch=other), node("Relu", "h", "y")]
    _, written = comes_out(model(nodes, x, {"yes": np.array(True)}), x, tmp_path)
    assert {one.op_type for one in written.graph.node} <= {"MatMul", "Relu", "Identity"}


def test_a_weight_that_is_an_output_too_comes_out(tmp_path):
    x = {"x": drawn(3, 6)}
    nodes = [node("MatMul", "x w", "y"), node("Transpose", "w", "turned", perm=[1, 0])]
    comes_out(model(nodes, x, {"w": drawn(6, 4)}, outputs="y w turned"), x, tmp_path)


SMALL = ([node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "y")], {"x": drawn(5, 8)})
ARRAYS = {"w": drawn(8, 16), "v": drawn(16, 4)}


def test_a_host_node_with_branches_comes_out(tmp_path):
    """An If on data keeps its branches, and the arrays that they read from outside of it."""
    infos = [helper.make_tensor_value_info(name, 1, None) for name in ("t", "o")]
    taken = helper.make_graph([node("Add", "h shift", "t")], "taken", [], infos[:1])
    other = helper.make_graph([node("Neg", "h", "o")], "other", [], infos[1:])
    nodes = [
        node("MatMul", "x w", "h"),
        node("ReduceMax", "h", "top", keepdims=0),
        node("Greater", "top zero", "yes"),
        node("If", "yes", "y", then_branch=taken, else_branch=other),
    ]
    x = {"x": drawn(3, 6)}
    arrays = {"w": drawn(6, 4), "shift": drawn(4), "zero": np.float32(0)}
    _, written = comes_out(model(nodes, x, arrays), x, tmp_path)
    assert "If" in {one.op_type for one in written.graph.node}


def test_a_default_of_an_input_is_no_input_of_the_file(tmp_path):
    proto = model(*SMALL, ARRAYS)
    proto.graph.input.append(helper.make_tensor_value_info("v", 1, (16, 4)))
    written = saved(read(proto, SMALL[1]), tmp_path / "m.onnx")
    assert [one.name for one in written.graph.input] == ["x"]
    np.testing.assert_array_equal(expected(written, SMALL[1])["y"], expected(proto, SMALL[1])["y"])


def test_metadata_of_a_file_stay_and_say_how_it_was_pruned_each_time(tmp_path):
    proto = model(*SMALL, ARRAYS)
    onnx.helper.set_model_props(proto, {"characters": "a\nb\tc", "author": "somebody"})
    graph = read(proto, SMALL[1])
    assert not [note for note in graph.notes if "pruned" in note]
    once, _ = prune_network(graph, Recipe(density=0.5), EIE)
    twice, _ = prune_network(once, Recipe(density=0.25, scope="global"), EIE, layer_density={})
    said = {one.key: one.value for one in saved(twice, tmp_path / "m.onnx").metadata_props}
    by = f"by eie-sim {es.__version__}"
    first, second = f"density 0.5, pattern element, {by}", f"density 0.25, pattern element, scope global, {by}"
    assert said == {"characters": "a\nb\tc", "author": "somebody", "eie_sim.pruned": f"{first}; then {second}"}
    notes = es.load(tmp_path / "m.onnx").notes
    assert f"the file says of itself: pruned, {first}; then {second}" in notes


def test_a_scalar_that_is_a_constant_is_no_input_of_the_file_and_a_note_says_so(tmp_path):
    inputs = {"x": drawn(3, 6), "rate": np.array(2, np.int64)}
    nodes = [node("Cast", "rate", "f", to=1), node("MatMul", "x w", "h"), node("Mul", "h f", "y")]
    graph = read(model(nodes, inputs, {"w": drawn(6, 4)}), inputs)
    assert "rate: is the constant 2, and no input of a saved file" in graph.notes
    written = saved(graph, tmp_path / "m.onnx")
    assert [one.name for one in written.graph.input] == ["x"]
    made = expected(written, {"x": inputs["x"]})["y"]
    np.testing.assert_allclose(made, 2 * (inputs["x"] @ drawn(6, 4)), rtol=1e-5)


def test_a_file_pruned_to_a_pattern_runs_as_it(tmp_path, capsys):
    file, out = tmp_path / "m.onnx", tmp_path / "pruned.onnx"
    onnx.save(model(*SMALL, ARRAYS), file)
    np.savez(tmp_path / "x.npz", **SMALL[1])
    given_ = ["--inputs", str(tmp_path / "x.npz"), "--unit", "rtx3090"]
    assert main(["prune", str(file), "--pattern", "2:4", "--out", str(out), *given_]) == 0
    capsys.readouterr()
    assert main(["run", str(out), *given_, "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert main(["run", str(file), "--pattern", "2:4", *given_, "--json"]) == 0
    together = json.loads(capsys.readouterr().out)
    for mine, theirs in zip(alone["layers"], together["layers"], strict=True):
        assert {name: mine[name] for name in ROW} == {name: theirs[name] for name in ROW}
    assert main(["run", str(out), *given_]) == 0
    assert "pruned, pattern 2:4, by eie-sim" in capsys.readouterr().out
    assert [row["named"]["runs_as"] for row in alone["layers"]] == ["2:4", "2:4"]


def test_what_a_file_cannot_hold_is_refused(tmp_path):
    graph = read(model(*SMALL, ARRAYS), SMALL[1])
    constants = {"huge": np.broadcast_to(np.float32(0), (2**29,))}
    with pytest.raises(InputError, match=r"arrays have 2,147,484,416 bytes: must be below"):
        type(graph)(**{**vars_of(graph), "constants": constants}).save(tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def vars_of(graph):
    return {name: getattr(graph, name) for name in graph.__dataclass_fields__}


def test_a_chain_of_layers_is_saved_too(tmp_path):
    from eie_sim.network.layered import graph_of

    graph = graph_of(loading.load("digits-mlp"))
    written = saved(graph, tmp_path / "m.onnx")
    assert written.graph.name == "digits-mlp"
    found, wanted = expected(written, dict(graph.examples)), floatrun.run(graph)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
