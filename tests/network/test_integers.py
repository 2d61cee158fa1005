"""Operators on integers as products, against onnxruntime; what is pruned of them is their zero point."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_models import one_of, scales, whole, zero
from onnx_models import (
    STYLES,
    agree,
    drawn,
    expected,
    helper,
    model,
    node,
    numpy_helper,
    onnx,
    read,
    read_onnx,
    run_products,
)

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.network.floatrun import require_lowered, run
from eie_sim.network.integers import INTEGERS, magnitudes_of
from eie_sim.network.lower import coverage, steps_of

kinds = st.sampled_from([np.uint8, np.int8])
ways = st.sampled_from(["forward", "reverse", "bidirectional"])


@st.composite
def matmuls(draw):
    op = draw(st.sampled_from(["MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"]))
    k, n = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    outer = draw(st.sampled_from([(3,), (2, 3), (1,), (2, 1, 3)]))
    dtype = draw(kinds)
    a = draw(kinds) if op == "MatMulInteger" else np.uint8
    columns = (n,) if draw(st.booleans()) else ()
    x, w = whole(*outer, k, dtype=a), whole(k, n, dtype=dtype, seed=1)
    x_zero, w_zero = zero(a, draw), zero(dtype, draw, columns)
    bias = drawn(n) if draw(st.booleans()) else None
    w_scale, one = scales(*columns), np.float32(0.01)
    if op == "MatMulInteger":
        if draw(st.booleans()):  # values of the run, as DynamicQuantizeLinear makes them
            given = {"x": x, "w": w, "xz": x_zero.reshape(1), "wz": w_zero}
            return one_of(op, given, inputs=("x", "xz"))
        return one_of(op, {"x": x, "w": w, "xz": x_zero, "wz": w_zero if draw(st.booleans()) else None})
    if op == "QLinearMatMul":
        given = {"x": x, "xs": one, "xz": x_zero, "w": w, "ws": w_scale, "wz": w_zero}
        return one_of(op, given | {"ys": np.float32(0.5), "yz": zero(np.uint8, draw)})
    if op == "MatMulIntegerToFloat":
        return one_of(op, {"x": x, "w": w, "xs": one, "ws": w_scale, "xz": x_zero, "wz": w_zero, "b": bias})
    return one_of(op, {"x": drawn(*outer, k), "w": w, "ws": w_scale, "wz": w_zero, "b": bias})


@st.composite
def convolutions(draw):
    n_axis, group = draw(st.integers(1, 2)), draw(st.sampled_from([1, 1, 2, 3]))
    c, m = draw(st.integers(1, 3)) * group, draw(st.integers(1, 3)) * group
    kernel = [draw(st.integers(1, 3)) for _ in range(n_axis)]
    dtype = draw(kinds)
    own = {"group": group, "strides": [draw(st.integers(1, 2)) for _ in range(n_axis)]}
    if draw(st.booleans()):
        own["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * n_axis)]
    else:
        own["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
    x, w = whole(2, c, *(5, 6)[:n_axis]), whole(m, c // group, *kernel, dtype=dtype, seed=1)
    x_zero, w_zero = zero(np.uint8, draw), zero(dtype, draw)
    if draw(st.booleans()):
        left = draw(st.booleans())
        return one_of("ConvInteger", {"x": x, "w": w, "xz": x_zero, "wz": None if left else w_zero}, **own)
    rows = (m,) if draw(st.booleans()) else ()
    bias = (whole(m, dtype=np.int16) * 40).astype(np.int32) if draw(st.booleans()) else None
    given = {"x": x, "xs": np.float32(0.01), "xz": x_zero, "w": w, "ws": scales(*rows)}
    given |= {"wz": np.full(rows, w_zero), "ys": np.float32(0.4), "yz": zero(np.uint8, draw), "b": bias}
    return one_of("QLinearConv", given, **own)


@settings(max_examples=150)
@given(st.one_of(matmuls(), convolutions()))
def test_any_form_is_its_products(made):
    """Whole numbers exactly, as onnxruntime has them."""
    proto, inputs = made
    graph = agree(proto, inputs, tolerance=1e-5)
    assert all(share.reason == "" for share in coverage(graph))
    if graph.values["y"].dtype != "float32":
        agree(proto, inputs, tolerance=0)


def lstm(way="forward", sizes=(3, 2, 4, 5), *, own=(), dtype=np.uint8, columns=False, lengths=None, **given):
    """A DynamicQuantizeLSTM with everything that `own` names: b, h0, c0, p. sizes : steps, batch, inputs, hidden"""
    n_step, batch, n_in, hidden = sizes
    n = 2 if way == "bidirectional" else 1
    row = (n, 4 * hidden) if columns else (n,)
    zero = 0 if columns and dtype is np.int8 else np.iinfo(dtype).min + 131  # what onnxruntime takes
    arrays = {
        "x": drawn(n_step, batch, n_in),
        "w": whole(n, n_in, 4 * hidden, dtype=dtype),
        "r": whole(n, hidden, 4 * hidden, dtype=dtype, seed=1),
        "b": drawn(n, 8 * hidden),
        "n": None if lengths is None else np.array(lengths, np.int32),
        "h0": drawn(n, batch, hidden, seed=1),
        "c0": drawn(n, batch, hidden, seed=2),
        "p": drawn(n, 3 * hidden),
        "ws": scales(*row),
        "wz": np.full(row, zero, dtype) if columns else (zero + np.arange(n)).astype(dtype),
        "rs": scales(*row, seed=1),
        "rz": np.full(row, zero, dtype),
    }
    arrays |= {name: None for name in ("b", "h0", "c0", "p") if name not in own}
    outputs = given.pop("outputs", "y h c")
    fed = ("x", "n", "h0", "c0")
    return one_of("DynamicQuantizeLSTM", arrays, outputs, fed, hidden_size=hidden, direction=way, **given)


@st.composite
def lstms(draw):
    sizes = tuple(draw(st.integers(1, 4)) for _ in range(4))
    given = {"input_forget": draw(st.integers(0, 1)), "dtype": draw(kinds), "columns": draw(st.booleans())}
    if draw(st.booleans()):
        given["clip"] = draw(st.sampled_from([0.3, 1.0, 5.0]))
    way = draw(ways)
    if draw(st.booleans()):
        count = 6 if way == "bidirectional" else 3
        given["activations"] = [draw(st.sampled_from(["Sigmoid", "Tanh", "Relu"])) for _ in range(count)]
    own = draw(st.sets(st.sampled_from(["b", "h0", "c0", "p"])))
    left = draw(st.sets(st.sampled_from(["y", "h", "c"]), max_size=2))
    given["outputs"] = " ".join("-" if name in left else name for name in ("y", "h", "c"))
    least = int("y" in left)  # else onnxruntime reads states that nobody wrote
    lengths = st.lists(st.integers(least, sizes[0]), min_size=sizes[1], max_size=sizes[1]).filter(any)
    return lstm(way, sizes, own=own, lengths=draw(st.none() | lengths), **given)


@settings(max_examples=150)
@given(lstms())
def test_any_lstm_is_its_products(made):
    """A flip of one step would be 1e-3 and more; ReLUs let float32 drift."""
    agree(*made, styles=STYLES[:2], tolerance=4e-5)


def test_an_empty_sequence_without_y_is_left_to_the_host():
    graph = read(*lstm(lengths=[3, 0], outputs="- h c"))
    (share,) = coverage(graph)
    assert share.reason.startswith("a sequence is empty and Y is left out")


def of(proto):
    return {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}


def some(op):
    """A small model of each operator."""
    w, row = whole(16, 8, seed=1), whole(8, seed=2)
    x, one, columns = whole(3, 16), np.float32(0.01), scales(8)
    xz = np.uint8(100)
    kernels = whole(8, 4, 3, 3, dtype=np.int8)
    linear = {"x": x, "xs": one, "xz": xz, "w": w, "ws": columns, "wz": row}
    conv = {"x": whole(1, 4, 6, 6), "xs": one, "xz": xz, "w": kernels, "ws": columns, "wz": np.full(8, 5, np.int8)}
    y = {"ys": np.float32(0.1), "yz": np.uint8(90)}
    made = {
        "MatMulInteger": {name: linear[name] for name in ("x", "w", "xz", "wz")},
        "QLinearMatMul": linear | y,
        "MatMulIntegerToFloat": {name: linear[name] for name in ("x", "w", "xs", "ws", "xz", "wz")},
        "DynamicQuantizeMatMul": {"x": drawn(3, 16), "w": w, "ws": columns, "wz": row},
        "ConvInteger": {name: conv[name] for name in ("x", "w", "xz")} | {"wz": np.int8(5)},
        "QLinearConv": conv | y | {"b": np.arange(8, dtype=np.int32) * 99},
    }
    return lstm("bidirectional", own=["b"]) if op == "DynamicQuantizeLSTM" else one_of(op, made[op])


ALL = [name.rpartition(".")[2] for name in INTEGERS]


@pytest.mark.parametrize("op", ALL)
@pytest.mark.parametrize("recipe", [{"density": 0.3}, {"pattern": "2:4"}, {"pattern": "2:4", "criterion": "wanda"}])
def test_a_pruned_weight_is_its_zero_point_and_a_saved_file_has_it(op, recipe, tmp_path):
    proto, inputs = some(op)
    graph, arrays = read(proto, inputs), of(proto)
    pruned, found = es.prune.prune_network(graph, es.prune.Recipe(**recipe), es.EieConfig())
    weights = ("w", "r") if op == "DynamicQuantizeLSTM" else ("w",)
    assert set(found.masks) == set(weights)
    for name in weights:
        zeros, mask, array = arrays[f"{name}z"], found.masks[name], pruned.parameters[name].array
        if op.endswith("Conv") or op.endswith("LSTM"):
            zeros = zeros.reshape(-1, *[1] * (array.ndim - 1))
        assert array.dtype == arrays[name].dtype
        np.testing.assert_array_equal(array, np.where(mask, arrays[name], zeros))
        if "density" in recipe:
            assert mask.sum() == round(0.3 * mask.size)
    pruned.save(tmp_path / "pruned.onnx")
    made, masked = expected(onnx.load(tmp_path / "pruned.onnx"), inputs), run_products(pruned)
    for name, value in made.items():
        np.testing.assert_allclose(masked[name], value, atol=2e-6 * max(1, np.abs(value).max()))
    again = read_onnx(tmp_path / "pruned.onnx", inputs)
    assert [one.axes for one in again.parameters.values()] == [one.axes for one in graph.parameters.values()]
    products = [one for step in steps_of(again) for one in step.products]
    kept = sum(int(np.count_nonzero(one.weight)) for one in products)
    assert kept == sum(int(found.masks[name].sum() - (~mask_of(arrays, name, found)).sum()) for name in weights)


def mask_of(arrays, name, found):
    """False for weights that stay and stand for 0."""
    zeros = arrays[f"{name}z"]
    array = arrays[name]
    wide = zeros.reshape(-1, *[1] * (array.ndim - 1)) if array.ndim > 2 else zeros
    return ~(found.masks[name] & (array == wide))


def test_magnitudes_are_from_the_zero_point_times_scales_of_columns():
    arrays = {"x": whole(2, 2), "w": np.array([[10, 130], [120, 101]], np.uint8)}
    arrays |= {"xs": np.float32(1), "ws": np.array([1, 9], np.float32), "xz": np.uint8(0), "wz": np.uint8(100)}
    graph = read(*one_of("MatMulIntegerToFloat", arrays))
    np.testing.assert_array_equal(magnitudes_of(graph, ("w",))["w"], [[-90, 270], [20, 9]])
    pruned, _ = es.prune.prune_network(graph, es.prune.Recipe(density=0.5), es.EieConfig())
    np.testing.assert_array_equal(pruned.parameters["w"].array, [[10, 130], [100, 100]])


def test_weights_that_are_moved_keep_elements_and_zero_points():
    inputs = {"x": whole(3, 4)}
    arrays = {"v": whole(5, 4, seed=1), "xz": np.uint8(3), "wz": np.arange(5, dtype=np.uint8) + 100}
    nodes = [node("Transpose", "v", "w"), node("MatMulInteger", "x w xz wz", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs, tolerance=0)
    (product,) = es.lower(graph)
    assert (product.parameters, graph.parameters["v"].axes) == (("v",), ("out", "in"))
    shifted = arrays["v"].astype(np.float32) - arrays["wz"][:, None]
    np.testing.assert_array_equal(product.weight, shifted)
    np.testing.assert_array_equal(magnitudes_of(graph, ("v",))["v"], shifted)
    np.testing.assert_array_equal(graph.owned(product.elements, "v")[1], np.arange(20))
    pruned, found = es.prune.prune_network(graph, es.prune.Recipe(density=0.5), es.EieConfig())
    wanted = np.where(found.masks["v"], arrays["v"], arrays["wz"][:, None])
    np.testing.assert_array_equal(pruned.parameters["v"].array, wanted)


def test_products_of_an_lstm_are_what_its_integers_stand_for():
    proto, inputs = lstm("bidirectional", own=["b", "p"], columns=True, dtype=np.int8)
    graph, arrays = read(proto, inputs), of(proto)
    names = ["forward.W", "forward.R", "reverse.W", "reverse.R"]
    assert [one.name for one in es.lower(graph)] == [f"DynamicQuantizeLSTM_y.{name}" for name in names]
    for at, product in enumerate(es.lower(graph)):
        w, s = ("w", "ws") if at % 2 == 0 else ("r", "rs")
        wanted = arrays[w][at // 2].astype(np.float32) * arrays[s][at // 2]
        np.testing.assert_array_equal(product.weight, wanted.T)
        assert (product.n_out, product.n_in, product.positions) == (20, 4 if w == "w" else 5, 6)
        inside, places = graph.owned(product.elements, w)
        assert inside.all()
        numbers = np.arange(arrays[w].size).reshape(arrays[w].shape)[at // 2]
        np.testing.assert_array_equal(places, numbers.T.ravel())
    axes = [graph.parameters[name].axes for name in ("w", "r", "b")]
    assert axes == [("group", "in", "gate_out"), ("group", "hidden", "gate_out"), ("group", "gate_out")]
    assert sum(share.macs for share in coverage(graph)) == 2 * 6 * 20 * (4 + 5)
    found = es.footprint(graph, es.TensorCoreConfig())
    assert found.state == {"DynamicQuantizeLSTM_y": 2 * 2 * 2 * 5 * 16}


DESIGNS = [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64")]


@pytest.mark.parametrize("config", DESIGNS, ids=["eie", "nm"])
@pytest.mark.parametrize("op", ALL)
def test_units_run_what_is_pruned(op, config):
    proto, inputs = some(op)
    graph = read(proto, inputs)
    ran = es.run(graph, config, density=0.5)
    assert ran.verified
    assert ran.covered.share_of_macs_not_simulated == 0
    assert ran.outputs["y"].dtype == graph.values["y"].dtype
    (swept,) = es.sweep.run(graph, grid={"n_pe": [4], "density": 0.5}, workers=1).rows
    assert config is not DESIGNS[0] or swept["cycles"] == ran.cycles


def test_a_unit_that_is_exact_gives_exact_integers():
    """fp16 has integers up to 2048, and its sums are float32."""
    config = dataclasses.replace(es.TensorCoreConfig.preset("rtx3090"))
    for op in ("MatMulInteger", "QLinearMatMul", "ConvInteger", "QLinearConv"):
        proto, inputs = some(op)
        ran = es.run(read(proto, inputs), config)
        np.testing.assert_array_equal(ran.outputs["y"], expected(proto, inputs)["y"], err_msg=op)


def test_states_that_are_not_given_are_zeros_and_long_sequences_stay_near():
    proto, inputs = lstm("bidirectional", (40, 3, 16, 24), lengths=[40, 7, 0])
    graph = read(proto, inputs)
    w, r = es.lower(graph)[:2]
    assert (w.positions, r.positions, r.steps.sizes[:8]) == (47, 47, (2,) * 7 + (1,))
    y = run(graph)["y"]
    assert not y[7:, :, 1:].any()
    run_products(graph)


@pytest.mark.parametrize(("factor", "fits"), [(1.04, True), (1.06, False)])
def test_what_rounds_may_be_a_little_apart(factor, fits):
    graph = read(*lstm(outputs="- h c"))
    (step,) = steps_of(graph)
    values = graph.examples
    y = tuple(run(graph).values())
    if fits:
        assert require_lowered(step, values, [each * np.float32(factor) for each in y], y) > 4e-3
        return
    with pytest.raises(InputError, match=r"^node DynamicQuantizeLSTM_-: DynamicQuantizeLSTM differs .* 5e-02 of its"):
        require_lowered(step, values, [each * np.float32(factor) for each in y], y)


def test_states_that_differ_are_held_against_those_made_of_the_same_state_before():
    graph = read(*lstm("bidirectional", (12, 3, 8, 16), own=["b", "h0"]))
    (step,) = steps_of(graph)
    y = list(run(graph).values())
    values = graph.examples
    moved = [each * np.float32(1.01) for each in y]
    assert require_lowered(step, values, moved, y) < 1e-5
    with pytest.raises(InputError, match=r"^node DynamicQuantizeLSTM_y: .* must be at most 1e-04"):
        require_lowered(step, values, y, moved)


def test_an_8_bit_output_may_be_one_step_off_a_sum_may_not():
    for op, most in (("QLinearMatMul", 1), ("MatMulInteger", 0)):
        graph = read(*some(op))
        (step,) = steps_of(graph)
        values = graph.examples
        y = run(graph)["y"]
        other = y.copy()
        other[0, :most] ^= 1
        require_lowered(step, values, [other], [y])
        other[0, : most + 1] ^= 1
        other[1, 0] = 200
        with pytest.raises(InputError, match="differs from its products"):
            require_lowered(step, values, [other], [y])


@pytest.mark.parametrize(
    ("name", "said"), [("wz", "zero points or scales of its weights are computed"), ("b", "its biases")]
)
def test_what_is_computed_from_data_leaves_a_node_to_the_host(name, said):
    proto, inputs = some("QLinearConv")
    arrays = of(proto)
    fed = inputs | {"z": arrays.pop(name)}
    nodes = [node("Identity", "z", name), *proto.graph.node, node("Cast", "y", "f", to=1), node("Conv", "f v", "g")]
    arrays["v"] = drawn(2, 8, 1, 1)
    graph = agree(model(nodes, fed, arrays, outputs="y g"), fed)
    share = next(share for share in coverage(graph) if share.reason)
    assert share.reason.startswith(said)


def test_two_activations_are_left_to_the_host():
    nodes = [node("MatMulInteger", "x z", "y"), node("MatMul", "f v", "g")]
    inputs = {"x": whole(3, 4), "z": whole(4, 5), "f": drawn(2, 3)}
    graph = agree(model(nodes, inputs, {"v": drawn(3, 2)}, outputs="y g"), inputs)
    assert [share.kind for share in coverage(graph)] == ["two activations matmul", "weights matmul"]


def test_floats_that_are_constant_are_no_weights_of_integers():
    fed = {"z": whole(4, 5), "f": drawn(2, 3)}
    nodes = [node("DynamicQuantizeMatMul", "x z s", "y", domain="com.microsoft"), node("MatMul", "f v", "g")]
    arrays = {"x": drawn(3, 4), "s": np.ones(1, np.float32), "v": drawn(3, 2)}
    graph = agree(model(nodes, fed, arrays, outputs="y g", domains=["com.microsoft"]), fed)
    assert coverage(graph)[0].reason == "its weights are computed"


@pytest.mark.parametrize("op", ["ConvInteger", "QLinearMatMul"])
def test_samples_engines_and_calibration_leave_outputs_as_they_are(op):
    proto, inputs = some(op)
    graph, config = read(proto, inputs), es.EieConfig(n_pe=4, weight_bits=8)
    whole_run = es.run(graph, config)
    others = [es.run(graph, config, positions=2), es.run(graph, config, engine="reference")]
    others.append(es.run(graph.with_calibration(inputs), config))
    for ran in others:
        assert ran.verified
        np.testing.assert_array_equal(ran.outputs["y"], whole_run.outputs["y"])
    assert others[0].rows[0].sampled.positions == 2
    assert others[1].cycles == others[2].cycles == whole_run.cycles


def test_a_weight_with_two_zero_points_is_not_pruned():
    arrays = {"w": whole(4, 5), "a": np.uint8(3), "b": np.uint8(4)}
    nodes = [node("MatMulInteger", "x w  a", "y"), node("MatMulInteger", "x w  b", "z")]
    for one in nodes:
        one.input[:] = ["x", "w", "", one.input[2]]
    graph = agree(model(nodes, {"x": whole(3, 4)}, arrays, outputs="y z"), {"x": whole(3, 4)}, tolerance=0)
    with pytest.raises(InputError, match=r"^parameter w: node MatMulInteger_z reads it with another zero point"):
        es.run(graph, es.EieConfig(n_pe=4), density=0.5)


@pytest.mark.parametrize(
    ("op", "name", "value", "said"),
    [
        ("DynamicQuantizeMatMul", "ws", [np.nan] * 8, "node DynamicQuantizeMatMul_y: weight ws is NaN or infinite"),
        ("QLinearConv", "ws", [np.inf] * 8, "node QLinearConv_y: weight ws is NaN or infinite first at [0]"),
        ("MatMulInteger", "wz", [1, 2, 3], "node MatMulInteger_y: MatMulInteger: onnxruntime cannot run it"),
        ("DynamicQuantizeLSTM", "rs", [[1.0] * 3] * 2, "DynamicQuantizeLSTM: onnxruntime cannot run it"),
    ],
)
def test_scales_and_zero_points_that_do_not_fit_are_refused_by_name(op, name, value, said):
    proto, inputs = some(op)
    for one in proto.graph.initializer:
        if one.name == name:
            one.CopyFrom(numpy_helper.from_array(np.array(value, numpy_helper.to_array(one).dtype), name))
    with pytest.raises(InputError, match=r"^file=test: ") as error:
        read(proto, inputs)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"activations": ["Sigmod", "Tanh", "Tanh"]}, "activations=Sigmod: unknown; did you mean Sigmoid"),
        ({"direction": "both"}, "direction=both: unknown; must be one of bidirectional, forward, reverse"),
    ],
)
def test_attributes_that_nobody_runs_are_refused_by_name(given, said):
    proto, inputs = lstm()
    changed = proto.graph.node[0]
    kept = [one for one in changed.attribute if one.name not in given]
    del changed.attribute[:]
    changed.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in given.items())])
    with pytest.raises(InputError, match=r"^file=test: node DynamicQuantizeLSTM_y: ") as error:
        read(proto, inputs)
    assert said in str(error.value)


def test_an_input_that_is_not_finite_is_refused():
    proto, inputs = some("DynamicQuantizeMatMul")
    graph = read(proto, inputs)
    bad = dataclasses.replace(graph, examples={"x": np.where(inputs["x"] > 1, np.inf, inputs["x"])})
    with pytest.raises(InputError, match=r"^node DynamicQuantizeMatMul_y: input x is NaN or infinite first at \["):
        es.run(bad, es.EieConfig(n_pe=4))
