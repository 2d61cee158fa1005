"""Which axes go together: what a permutation of one does to the others is what the operator really does."""

import numpy as np
import pytest
from onnx_models import drawn, expected, helper, model, node, read

from eie_sim.network.axes import Axis, Joined, Picked, Pinned, Regrouped, Same
from eie_sim.network.operators import relations

X4 = drawn(2, 6, 5, 4)
MS = {"domain": "com.microsoft"}


def whole(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape).astype(np.uint8)


CASES = [
    ([node("Gemm", "x w c", "y", transB=1)], drawn(3, 4), {"w": drawn(5, 4), "c": drawn(5)}),
    ([node("Gemm", "x w c", "y", transA=1)], drawn(3, 4), {"w": drawn(3, 5), "c": drawn(4, 1)}),
    ([node("MatMul", "x w", "y")], drawn(2, 3, 4), {"w": drawn(4, 5)}),
    ([node("MatMul", "w x", "y")], drawn(2, 3, 4), {"w": drawn(2, 5, 3)}),
    ([node("Einsum", "x w", "y", equation="btgi,gih->bthg")], drawn(2, 3, 4, 5), {"w": drawn(4, 5, 6)}),
    ([node("Conv", "x w b", "y")], X4, {"w": drawn(7, 6, 3, 2), "b": drawn(7)}),
    ([node("ConvTranspose", "x w b", "y")], X4, {"w": drawn(6, 7, 3, 2), "b": drawn(7)}),
    (
        [node("BatchNormalization", "x g g b v", "y")],
        X4,
        {"g": drawn(6), "b": drawn(6, seed=1), "v": np.abs(drawn(6)) + 1},
    ),
    ([node("LayerNormalization", "x g", "y")], X4, {"g": drawn(4)}),
    ([node("Add", "x b", "y")], X4, {"b": drawn(6, 1, 4)}),
    ([node("Mul", "b x", "y")], X4, {"b": drawn(5, 1)}),
    ([node("Sigmoid", "x", "y")], X4, {}),
    ([node("Softmax", "x", "y", axis=2)], X4, {}),
    ([node("CumSum", "x n", "y")], X4, {"n": np.array(1)}),
    ([node("Transpose", "x", "y", perm=[2, 0, 3, 1])], X4, {}),
    ([node("Transpose", "x", "y")], X4, {}),
    ([node("ReduceMean", "x", "y", axes=[1, -1])], X4, {}),
    ([node("ReduceMean", "x", "y", axes=[1, -1], keepdims=0)], X4, {}),
    ([node("ReduceSum", "x n", "y", keepdims=0)], X4, {"n": np.array([2])}),
    ([node("ArgMax", "x", "y", axis=1, keepdims=0)], X4, {}),
    ([node("GlobalAveragePool", "x", "y")], X4, {}),
    ([node("MaxPool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], X4, {}),
    ([node("Concat", "x w", "y", axis=1)], X4, {"w": drawn(2, 3, 5, 4)}),
    ([node("Split", "x n", "y z", axis=2)], X4, {"n": np.array([2, 3])}),
    ([node("Slice", "x a e k", "y")], X4, {"a": np.array([1]), "e": np.array([4]), "k": np.array([1])}),
    (
        [node("Slice", "x a e k s", "y")],
        X4,
        {"a": np.array([-1]), "e": np.array([0]), "k": np.array([2]), "s": np.array([-2])},
    ),
    ([node("Gather", "x i", "y", axis=1)], X4, {"i": np.array([3, 0, -1])}),
    ([node("Gather", "x i", "y", axis=1)], X4, {"i": np.array(2)}),
    ([node("Reshape", "x n", "y")], X4, {"n": np.array([2, 3, 10, 4])}),
    ([node("Resize", "x  s", "y", mode="nearest")], X4, {"s": np.array([1, 1, 2, 1], np.float32)}),
    (
        [node("GRU", "x w r b", "y h", hidden_size=3)],
        drawn(4, 2, 5),
        {"w": drawn(1, 9, 5), "r": drawn(1, 9, 3), "b": drawn(1, 18)},
    ),
    ([node("Hardmax", "x", "y")], X4, {}),
    ([node("Expand", "x n", "y")], drawn(2, 1, 5), {"n": np.array([4, 1, 3, 5])}),
    ([node("MatMulInteger", "x w a b", "y")], whole(3, 4), {"w": whole(4, 5), "a": np.uint8(3), "b": whole(5)}),
    (
        [node("MatMulIntegerToFloat", "x w s t a b c", "y", **MS)],
        whole(2, 3, 4),
        {"w": whole(4, 5), "s": np.float32(0.1), "t": np.abs(drawn(5)), "a": np.uint8(3), "b": whole(5), "c": drawn(5)},
    ),
    (
        [node("QLinearConv", "x s a w t b u d c", "y")],
        whole(2, 6, 5, 4),
        {"s": np.float32(0.1), "a": np.uint8(9), "w": whole(7, 6, 3, 2), "t": np.abs(drawn(7)) + 0.1}
        | {
            "b": np.full(7, 99, np.uint8),
            "u": np.float32(99),
            "d": np.uint8(9),
            "c": np.arange(7, dtype=np.int32) * 999,
        },
    ),
    (
        [node("DynamicQuantizeLSTM", "x w r c     t a t a", "y h", hidden_size=3, **MS)],
        drawn(4, 2, 5),
        {"w": whole(1, 5, 12), "r": whole(1, 3, 12), "c": drawn(1, 24)}
        | {"t": np.abs(drawn(1, 12)) / 99, "a": np.full((1, 12), 99, np.uint8)},
    ),
]
CASES[36][0][0].input[4:] = ["", "", "", "", "t", "a", "t", "a"]
CASES[29][0][0].input[:] = ["x", "", "s"]


def case(nodes, x, arrays):
    proto = model(nodes, {"x": x}, arrays, outputs=" ".join(name for name in nodes[0].output), domains=[MS["domain"]])
    graph = read(proto, {"x": x})
    return proto, graph, [relation for name, relation in relations(graph) if name == graph.nodes[0].name]


@pytest.mark.parametrize(
    ("nodes", "x", "arrays"), CASES, ids=lambda one: one[0].op_type if isinstance(one, list) else ""
)
def test_sizes_of_what_goes_together_agree(nodes, x, arrays):
    _, graph, found = case(nodes, x, arrays)
    assert found
    for relation in found:
        for part in relation:
            for axis in part if isinstance(part, tuple) and not isinstance(part, Axis) else [part]:
                if isinstance(axis, Axis) and ":" not in axis.value:
                    assert graph.values[axis.value].shape[axis.axis] == axis.size
        if isinstance(relation, Same):
            assert relation.first.size == relation.second.size
        elif isinstance(relation, Joined):
            assert relation.whole.size == sum(p if isinstance(p, int) else p.size for p in relation.parts)
        elif isinstance(relation, Regrouped):
            assert np.prod([a.size for a in relation.before]) == np.prod([a.size for a in relation.after])
        elif isinstance(relation, Picked):
            assert len(relation.indices) == relation.part.size


@pytest.mark.parametrize(
    ("nodes", "x", "arrays"), CASES, ids=lambda one: one[0].op_type if isinstance(one, list) else ""
)
def test_axes_that_are_one_are_permuted_together(nodes, x, arrays):
    """Permute an axis of the input, all that are the same with it, and the output must be permuted likewise."""
    proto, graph, found = case(nodes, x, arrays)
    before = expected(proto, {"x": x})
    tied = 0
    starts = [
        Axis(name, axis, size)
        for name in ("x", *graph.parameters)
        for axis, size in enumerate(graph.values[name].shape)
    ]
    for start in starts:
        group = {start}
        for _ in found:
            group |= {
                axis for one in found if isinstance(one, Same) and group & {one.first, one.second} for axis in one
            }
        others = [
            one for one in found if not isinstance(one, Same) and not (isinstance(one, Pinned) and one.free)
        ]
        axes = {
            axis
            for one in others
            for part in one
            for axis in (part if type(part) is tuple else [part])
            if isinstance(axis, Axis)
        }
        if group & axes or (len(group) == 1 and start.value != "x"):
            continue  # pinned, or regrouped with others
        tied += 1
        order = np.random.default_rng(start.axis).permutation(start.size)
        turned = {"x": x, **arrays}
        for axis in group:
            if axis.value in turned:
                turned[axis.value] = np.take(turned[axis.value], order, axis.axis)
        params = {name: array for name, array in turned.items() if name != "x"}
        changed = model(nodes, {"x": x}, params, outputs=" ".join(nodes[0].output), domains=[MS["domain"]])
        after = expected(changed, {"x": turned["x"]})
        for name, array in before.items():
            wanted = array
            for axis in group:
                if axis.value == name:
                    wanted = np.take(wanted, order, axis.axis)
            assert np.allclose(wanted, after[name], atol=1e-5), start
    opaque = nodes[0].op_type in ("Hardmax", "CumSum", "Reshape", "GRU", "DynamicQuantizeLSTM", "Resize")
    assert tied >= (0 if opaque else 1)


def test_groups_and_gates_are_axes_of_their_own():
    _, _, found = case([node("Conv", "x w", "y", group=2)], X4, {"w": drawn(4, 3, 1, 1)})
    groups = Axis("Conv_y:groups", 0, 2)
    assert Regrouped((Axis("x", 1, 6),), (groups, Axis("w", 1, 3))) in found
    assert Regrouped((Axis("w", 0, 4),), (groups, Axis("Conv_y:in a group", 0, 2))) in found
    assert Same(Axis("w", 0, 4), Axis("y", 1, 4)) in found
    _, _, found = case(*CASES[30])
    assert Pinned(Axis("GRU_y:gates", 0, 3), "gates") in found
    assert Regrouped((Axis("w", 1, 9),), (Axis("GRU_y:gates", 0, 3), Axis("r", 2, 3))) in found


def test_what_is_not_known_pins_all_that_it_touches():
    _, _, found = case(*CASES[31])
    assert [(one.axis.value, one.reason) for one in found] == [("x", "op Hardmax is not known")] * 4 + [
        ("y", "op Hardmax is not known")
    ] * 4


def test_inputs_and_outputs_of_the_network_are_pinned():
    nodes = [node("MatMul", "x w", "h"), helper.make_node("Relu", ["h"], ["y"])]
    graph = read(model(nodes, {"x": drawn(2, 4)}, {"w": drawn(4, 3)}))
    pins = [(name, one.axis.axis, one.reason) for name, one in relations(graph) if isinstance(one, Pinned)]
    assert pins == [
        ("x", 0, "network input"),
        ("x", 1, "network input"),
        ("y", 0, "network output"),
        ("y", 1, "network output"),
    ]
