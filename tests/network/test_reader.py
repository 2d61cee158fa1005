"""What ONNX files hold in odd places: weights behind moves, layers inside branches, narrow types, defaults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import (
    TensorProto,
    agree,
    drawn,
    helper,
    lower,
    model,
    node,
    numpy_helper,
    onnx,
    read,
    read_onnx,
    run_products,
)

from eie_sim.core.errors import InputError
from eie_sim.network.lower import coverage, steps_of


def constant(name, array):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array), name))


def graph_with(nodes, outputs, arrays=None):
    tensors = [numpy_helper.from_array(array, name) for name, array in (arrays or {}).items()]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()]
    return helper.make_graph(nodes, "branch", [], infos, tensors)


def test_weights_in_constant_nodes_behind_identities_are_parameters():
    inputs, w = {"x": drawn(2, 4)}, drawn(4, 3)
    nodes = [
        constant("w", w),
        node("Identity", "w", "v"),
        node("Transpose", "v", "t"),
        node("Gemm", "x t", "y", transB=1),
    ]
    graph = agree(model(nodes, inputs), inputs)
    assert list(graph.parameters) == ["w"] and graph.parameters["w"].axes == ("in", "out")
    (product,) = lower(graph)
    assert np.array_equal(product.weight, w.T)
    assert np.array_equal(product.elements, np.arange(12).reshape(4, 3).T)
    assert product.parameters == ("w",)


def test_a_fused_weight_tells_which_element_of_which_parameter_it_is():
    inputs = {"x": drawn(2, 4)}
    arrays = {"a": drawn(3, 4), "b": drawn(5, 4), "n": np.array([1, 4]), "m": np.array([6]), "axes": np.array([0])}
    nodes = [node("Concat", "a b", "ab", axis=0), node("Slice", "ab n m axes", "part"), node("Transpose", "part", "w")]
    nodes[1].input[1] = "one"
    arrays["one"] = np.array([1])
    graph = agree(model([*nodes, node("MatMul", "x w", "y")], inputs, arrays), inputs)
    (product,) = lower(graph)
    flat = np.concatenate([arrays["a"].ravel(), arrays["b"].ravel()])
    assert np.array_equal(flat[product.elements], product.weight)
    assert product.parameters == ("a", "b")
    assert graph.parameters["a"].axes == graph.parameters["b"].axes == ("out", "in")
    inside, mine = graph.owned(product.elements, "b")
    assert np.array_equal(arrays["b"].ravel()[mine], product.weight[inside])


def test_weights_made_by_arithmetic_are_parameters_of_their_own():
    inputs = {"x": drawn(2, 4)}
    q = np.random.default_rng(0).integers(-127, 127, (4, 3)).astype(np.int8)
    arrays = {"q": q, "scale": np.float32(0.01), "zero": np.int8(3)}
    nodes = [node("DequantizeLinear", "q scale zero", "w"), node("MatMul", "x w", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert list(graph.parameters) == ["w"] and graph.parameters["w"].derived
    assert [one.op for one in graph.nodes] == ["MatMul"]


def test_sizes_and_computed_anchors_are_no_parameters():
    inputs = {"x": drawn(1, 3, 4, 4)}
    arrays = {"w": drawn(2, 3, 1, 1), "s": np.array([1, 1, 2, 2], np.float32), "a": drawn(8), "low": np.float32(-1)}
    nodes = [node("Conv", "x w", "h"), helper.make_node("Resize", ["h", "", "s"], ["r"], name="Resize_r")]
    nodes += [node("Mul", "a a", "b"), node("Add", "r b", "i"), node("Clip", "i low", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert list(graph.parameters) == ["w"] and set(graph.constants) == {"s", "b", "low"}


@st.composite
def chains_of_moves(draw):
    """Nodes that move a weight of three axes, the arrays that they read, and the name of what they make."""
    nodes, arrays, name, shape = [], {}, "w", (4, 3, 6)
    for step in range(draw(st.integers(1, 4))):
        out = f"m{step}"
        op = draw(
            st.sampled_from(["Transpose", "Reshape", "Slice", "Gather", "Split", "Concat", "Unsqueeze", "Flatten"])
        )
        axis = draw(st.integers(0, len(shape) - 1))
        side = shape[axis]
        if op == "Transpose":
            perm = draw(st.permutations(range(len(shape))))
            nodes.append(node(op, name, out, perm=perm))
            shape = tuple(shape[one] for one in perm)
        elif op == "Reshape":
            arrays[f"s{step}"] = np.array([shape[0], -1])
            nodes.append(node(op, f"{name} s{step}", out))
            shape = (shape[0], int(np.prod(shape[1:])))
        elif op == "Slice":
            start, end = draw(st.integers(-side - 1, side + 1)), draw(st.integers(-side - 1, side + 1))
            by = draw(st.sampled_from([1, 2, -1, -2]))
            expect = onnx_slice(side, start, end, by)
            if not expect:
                continue
            for key, one in zip("abcd", (start, end, axis, by), strict=True):
                arrays[f"{key}{step}"] = np.array([one])
            nodes.append(node(op, f"{name} a{step} b{step} c{step} d{step}", out))
            shape = (*shape[:axis], expect, *shape[axis + 1 :])
        elif op == "Gather":
            arrays[f"i{step}"] = np.array(draw(st.lists(st.integers(-side, side - 1), min_size=1, max_size=4)))
            nodes.append(node(op, f"{name} i{step}", out, axis=axis))
            shape = (*shape[:axis], len(arrays[f"i{step}"]), *shape[axis + 1 :])
        elif op == "Split":
            if side < 2:
                continue
            arrays[f"p{step}"] = np.array([1, side - 1])
            nodes.append(node(op, f"{name} p{step}", f"z{step} {out}", axis=axis))
            shape = (*shape[:axis], side - 1, *shape[axis + 1 :])
        elif op == "Concat":
            nodes.append(node(op, f"{name} {name}", out, axis=axis))
            shape = (*shape[:axis], 2 * side, *shape[axis + 1 :])
        elif op == "Unsqueeze":
            arrays[f"u{step}"] = np.array([axis])
            nodes.append(node(op, f"{name} u{step}", out))
            shape = (*shape[:axis], 1, *shape[axis:])
        else:
            nodes.append(node(op, name, out, axis=axis))
            shape = (int(np.prod(shape[:axis])), int(np.prod(shape[axis:])))
        name = out
    return nodes, arrays, name, shape


def onnx_slice(side, start, end, by):
    """How many elements onnxruntime takes: bounds beyond the array are cut."""
    start = start + side if start < 0 else start
    end = end + side if end < 0 else end
    low, high = (0, side) if by > 0 else (-1, side - 1)
    return len(range(min(max(start, low, 0), high), min(max(end, low), high if by < 0 else side), by))


@given(chains_of_moves())
def test_moves_are_what_onnxruntime_does(chain):
    nodes, arrays, name, _ = chain
    w = drawn(4, 3, 6)
    inputs = {"x": drawn(2, 1)}
    arrays |= {"w": w, "flat": np.array([1, -1])}
    nodes = [*nodes, node("Reshape", f"{name} flat", "row"), node("MatMul", "x row", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs)
    (product,) = lower(graph)
    assert np.array_equal(w.ravel()[product.elements], product.weight)


@pytest.mark.parametrize("taken", [True, False])
def test_a_branch_on_a_constant_is_inlined(taken):
    """The condition comes from a shape; both branches and a second If use the same names within."""
    inputs = {"x": drawn(2, 4)}
    arrays = {"four": np.array(4 if taken else 5), "last": np.array(1), "v": drawn(4, 4)}
    deep = helper.make_node("If", ["same"], ["out"], name="deep")
    deep.attribute.append(helper.make_attribute("then_branch", graph_with([node("MatMul", "h w", "o")], "o")))
    deep.attribute.append(helper.make_attribute("else_branch", graph_with([node("Relu", "h", "o")], "o")))
    yes = graph_with([constant("w", drawn(4, 4)), node("MatMul", "x w", "h"), deep], "out")
    no = graph_with([node("MatMul", "x w", "h"), node("Relu", "h", "out")], "out", {"w": drawn(4, 4, seed=2)})
    again = [
        graph_with([node("MatMul", "first w", "h")], "h", {"w": drawn(4, 3)}),
        graph_with([node("Relu", "first", "h")], "h"),
    ]
    nodes = [node("Shape", "x", "shape"), node("Gather", "shape last", "side"), node("Equal", "side four", "same")]
    for name, branches in (("first", (yes, no)), ("y", (again[0], again[0]))):
        one = helper.make_node("If", ["same"], [name], name=f"if_{name}")
        one.attribute.append(helper.make_attribute("then_branch", branches[0]))
        one.attribute.append(helper.make_attribute("else_branch", branches[1]))
        nodes.append(one)
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert "If" not in {one.op for one in graph.nodes}
    assert len(steps_of(graph)) == (3 if taken else 2)
    assert len({name for one in graph.nodes for name in one.makes}) == sum(len(one.makes) for one in graph.nodes)


def loop(body_nodes, trips="trips"):
    infos = lambda *pairs: [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in pairs]  # noqa: E731
    body = helper.make_graph(
        [node("Identity", "go", "going"), *body_nodes],
        "body",
        infos(("i", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("a", TensorProto.FLOAT, None)),
        infos(("going", TensorProto.BOOL, []), ("b", TensorProto.FLOAT, None)),
    )
    return helper.make_node("Loop", [trips, "", "h"], ["y"], name="loop", body=body)


def test_a_loop_without_weights_is_host_work_and_reads_what_it_captures(tmp_path):
    inputs = {"x": drawn(2, 4)}
    nodes = [node("MatMul", "x w", "h"), node("Relu", "x", "r"), loop([node("Add", "a r", "b")])]
    graph = agree(model(nodes, inputs, {"w": drawn(4, 4), "trips": np.array(3)}), inputs)
    assert graph.nodes[-1].captured == ("r",)
    graph.save(tmp_path / "loop.onnx")
    (wanted,), (found,) = (run_products(one).values() for one in (graph, read_onnx(tmp_path / "loop.onnx", inputs)))
    assert np.array_equal(wanted, found)


def test_a_branch_on_data_without_weights_is_host_work():
    inputs = {"x": drawn(2, 4)}
    one = helper.make_node("If", ["c"], ["y"], name="choice")
    one.attribute.append(helper.make_attribute("then_branch", graph_with([node("Add", "h x", "o")], "o")))
    one.attribute.append(helper.make_attribute("else_branch", graph_with([node("Relu", "h", "o")], "o")))
    nodes = [node("MatMul", "x w", "h"), node("ReduceSum", "h", "s", keepdims=0), node("Greater", "s zero", "c"), one]
    graph = agree(model(nodes, inputs, {"w": drawn(4, 4), "zero": np.float32(0)}), inputs)
    assert [one.kind for one in graph.nodes if one.op == "If"] == ["host"]


def test_a_loop_or_branch_on_data_with_weights_is_refused():
    inputs = {"x": drawn(4, 4)}
    arrays = {"w": drawn(4, 4), "trips": np.array(3)}
    nodes = [node("MatMul", "x w", "h"), loop([node("MatMul", "a w", "b")])]
    with pytest.raises(InputError, match="node loop: Loop with MatMul inside is not supported"):
        read(model(nodes, inputs, arrays), inputs)
    one = helper.make_node("If", ["c"], ["y"], name="choice")
    for name in ("then_branch", "else_branch"):
        one.attribute.append(helper.make_attribute(name, graph_with([node("MatMul", "h w", "o")], "o")))
    nodes = [node("MatMul", "x w", "h"), node("ReduceSum", "h", "s", keepdims=0), node("Greater", "s zero", "c"), one]
    with pytest.raises(InputError, match="node choice: If with MatMul inside is not supported"):
        read(model(nodes, inputs, arrays | {"zero": np.float32(0)}), inputs)


def test_functions_are_inlined():
    inputs = {"x": drawn(2, 4)}
    body = [node("MatMul", "a w", "h"), node("Relu", "h", "b")]
    function = helper.make_function("own", "layer", ["a", "w"], ["b"], body, [helper.make_opsetid("", 17)])
    nodes = [
        helper.make_node("layer", ["x", "v"], ["h"], domain="own"),
        helper.make_node("layer", ["h", "u"], ["y"], domain="own"),
    ]
    proto = model(nodes, inputs, {"v": drawn(4, 4), "u": drawn(4, 3)}, domains=["own"], functions=[function])
    graph = agree(proto, inputs)
    assert len(steps_of(graph)) == 2 and set(graph.parameters) == {"u", "v"}


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_computed_as_float32(dtype):
    inputs = {"x": drawn(2, 4).astype(dtype)}
    low = np.array(np.finfo(dtype).min)
    nodes = [node("Cast", "x", "c", to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype))), node("MatMul", "c w", "h")]
    nodes += [node("Max", "h low", "y")]
    proto = model(nodes, inputs, {"w": drawn(4, 3).astype(dtype), "low": low})
    graph = read(proto, inputs)
    (found,) = run_products(graph).values()
    assert found.dtype == np.float32
    assert f"{dtype} is computed as float32" in graph.notes
    wanted = inputs["x"].astype(np.float64) @ drawn(4, 3).astype(dtype).astype(np.float64)
    assert np.allclose(found, wanted, atol=1e-5)


def test_an_initializer_that_is_an_input_too_is_a_parameter_unless_given():
    proto = model([node("MatMul", "x w", "y")], {"x": drawn(2, 4), "w": drawn(4, 3)}, {"w": drawn(4, 3)})
    graph = read(proto, {"x": drawn(2, 4)})
    assert graph.inputs == ("x",) and list(graph.parameters) == ["w"]
    with pytest.raises(InputError, match="nothing to compute"):
        steps_of(read(proto, {"x": drawn(2, 4), "w": drawn(4, 3)}))


def test_a_whole_number_that_is_given_is_a_constant():
    infos = {"x": drawn(2, 4), "n": np.array(3)}
    nodes = [node("Equal", "n three", "c"), node("MatMul", "x w", "h")]
    one = helper.make_node("If", ["c"], ["y"], name="choice")
    one.attribute.append(helper.make_attribute("then_branch", graph_with([node("MatMul", "h w", "o")], "o")))
    one.attribute.append(helper.make_attribute("else_branch", graph_with([node("Relu", "h", "o")], "o")))
    proto = model([*nodes, one], infos, {"w": drawn(4, 4), "three": np.array(3)})
    assert len(steps_of(agree(proto, infos))) == 2
    assert len(steps_of(agree(proto, infos | {"n": np.array(2)}))) == 1


def test_a_weight_that_two_nodes_read_is_one_parameter():
    inputs = {"x": drawn(2, 4)}
    nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r w", "y")]
    graph = agree(model(nodes, inputs, {"w": drawn(4, 4)}), inputs)
    assert list(graph.parameters) == ["w"] and len(lower(graph)) == 2


def test_an_old_opset_has_bounds_and_axes_as_attributes():
    inputs = {"x": drawn(2, 4, 5, 5)}
    norms = {name: np.abs(drawn(4, seed=n)) + 0.1 for n, name in enumerate(["g", "b", "m", "v"])}
    nodes = [
        node("Slice", "w", "s", starts=[1, 0], ends=[5, 99], axes=[0, -1]),
        node("Split", "s", "p q", axis=1, split=[4, 1]),
        node("Unsqueeze", "p", "u", axes=[0]),
        node("Squeeze", "u", "t", axes=[0]),
        node("Conv", "x t", "h"),
        node("BatchNormalization", "h g b m v", "y"),
    ]
    graph = agree(model(nodes, inputs, {"w": drawn(6, 5, 2, 2)} | norms, opset=8), inputs)
    (step,) = steps_of(graph)
    assert step.makes == ("y",) and step.products[0].parameters == ("w",)
    assert graph.parameters["w"].axes == ("out", "in", "kernel0", "kernel1")


def test_free_sides_are_one_or_as_asked():
    proto = model([node("MatMul", "x w", "y")], {"x": drawn(2, 4)}, {"w": drawn(4, 3)})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    graph = read(proto)
    assert graph.examples["x"].shape == (1, 4) and graph.drawn == ("x",)
    assert graph.notes == ("x: side batch is 1", "synthetic inputs: x")
    assert np.array_equal(read(proto).examples["x"], graph.examples["x"])
    assert read(proto, shapes={"x": (7, 4)}).notes == ("synthetic inputs: x",)
    assert lower(read(proto, drawn(5, 4)))[0].positions == 5


def test_embeddings_are_lookups_and_norms_parameters():
    inputs = {"t": np.array([[1, 2, 0]])}
    arrays = {"table": drawn(5, 4), "g": drawn(4), "w": drawn(4, 4)}
    nodes = [node("Gather", "table t", "e"), node("LayerNormalization", "e g", "n"), node("MatMul", "n w", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert [one.kind for one in graph.nodes] == ["lookup", "host", "matmul"]
    assert {name: one.axes for name, one in graph.parameters.items()} == {
        "table": ("row", "out"),
        "g": ("norm",),
        "w": ("in", "out"),
    }


def test_what_multiplies_and_is_not_counted_is_named():
    inputs = {"x": drawn(1, 2, 4, 4)}
    arrays = {"w": drawn(3, 2, 2, 2), "o": drawn(1, 8, 3, 3), "v": drawn(3, 3, 1, 1)}
    nodes = [node("DeformConv", "x w o", "h"), node("Conv", "h v", "y")]
    shares = coverage(agree(model(nodes, inputs, arrays, opset=19), inputs))
    assert [(share.kind, share.macs) for share in shares] == [("1x1 conv2d", 81), ("DeformConv", 0)]
    assert shares[1].reason == "is not computed yet, its MACs are not counted"


@pytest.mark.parametrize("name", ["\u200d" * 60, "a\u202e" * 100, "L" * 3000, "\n", "{{ x }}"])
def test_a_graph_may_have_any_name(name, tmp_path):
    file = tmp_path / "odd.onnx"
    info = [helper.make_tensor_value_info(one, TensorProto.FLOAT, [1, 4]) for one in "xy"]
    onnx.save(
        helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], name, info[:1], info[1:])), file
    )
    found = read_onnx(file).name
    assert 0 < len(found) <= 200
    assert found.isprintable()
