"""Which units leave together, operator by operator: members by positions, pins by reasons."""

from dataclasses import replace

import numpy as np
import pytest
from structured_models import Net, llama, onnx

import eie_sim as es
from eie_sim.core.errors import InputError

X4 = (1, 3, 6, 6)


def free(graph):
    return {group.name: group for group in es.groups(graph) if group.pinned is None}


def pins(graph):
    return {group.name: group.pinned for group in es.groups(graph) if group.pinned is not None}


def members(group):
    """(parameter, axis, positions of unit 0)"""
    return [(name, axis, positions[0].tolist()) for name, axis, positions in group.members]


def test_a_linear_layer_has_outputs_a_bias_and_readers():
    net = Net()
    x = net.add("Relu", net.linear(net.input("x", 2, 4), "a", 4, 6))
    graph = net.graph(net.linear(x, "b", 6, 3))
    (group,) = free(graph).values()
    assert (group.name, group.size, list(group.units)) == ("a.weight:0:0", 6, [0, 1, 2, 3, 4, 5])
    assert members(group) == [("a.weight", 0, [0]), ("a.bias", 0, [0]), ("b.weight", 1, [0])]
    assert not group.normalised
    found = pins(graph)
    assert found["a.weight:1:0"] == ("x", 1, "network input")
    assert found["b.weight:0:0"].reason == "network output"
    assert [group.name for group in es.groups(graph)] == ["a.weight:0:0", "a.weight:1:0", "b.weight:0:0"]


def test_a_convolution_a_norm_and_a_flatten():
    net = Net()
    x = net.batch_norm(net.conv(net.input("x", *X4), "a", 3, 4, bias=True), "n", 4)
    x = net.add("Flatten", net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    graph = net.graph(net.linear(x, "b", 36, 3))
    (group,) = free(graph).values()
    norm = [(f"n.{name}", 0, [0]) for name in ("weight", "bias", "running_mean", "running_var")]
    assert members(group) == [("a.weight", 0, [0]), ("a.bias", 0, [0]), *norm, ("b.weight", 1, list(range(9)))]
    reasons = {name: pin.reason for name, pin in pins(graph).items()}
    assert reasons["a.weight:2:0"] == "kernel"
    assert reasons["b.weight:1:1"] == reasons["b.weight:1:2"] == "spatial"


def test_a_grouped_convolution_has_groups_and_places_in_every_group():
    net = Net()
    x = net.conv(net.conv(net.input("x", *X4), "a", 3, 8, 1), "b", 8, 12, 1, group=4)
    graph = net.graph(net.add("GlobalAveragePool", net.conv(x, "c", 12, 2, 1)))
    found = {name: members(group) for name, group in free(graph).items()}
    assert found == {
        "a.weight:0:0": [("a.weight", 0, [0, 1]), ("b.weight", 0, [0, 1, 2]), ("c.weight", 1, [0, 1, 2])],
        "a.weight:0:1": [("a.weight", 0, [0, 2, 4, 6]), ("b.weight", 1, [0])],
        "b.weight:0:1": [("b.weight", 0, [0, 3, 6, 9]), ("c.weight", 1, [0, 3, 6, 9])],
    }


def test_a_depthwise_convolution_is_one_dimension_and_a_multiplier_another():
    net = Net()
    x = net.conv(net.conv(net.input("x", *X4), "a", 3, 4, 1), "b", 4, 4, 3, group=4)
    x = net.conv(x, "c", 4, 8, 3, group=4)
    graph = net.graph(net.conv(x, "d", 8, 2, 1))
    found = {name: members(group) for name, group in free(graph).items()}
    assert found["a.weight:0:0"][1:] == [("b.weight", 0, [0]), ("c.weight", 0, [0, 1]), ("d.weight", 1, [0, 1])]
    assert found["c.weight:0:1"] == [("c.weight", 0, [0, 2, 4, 6]), ("d.weight", 1, [0, 2, 4, 6])]
    assert len(found) == 2


@pytest.mark.parametrize(("group", "names"), [(1, ["a.weight:0:0", "t.weight:1:0"]), (2, None)])
def test_a_transposed_convolution_has_its_inputs_first(group, names):
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 4, 1)
    x = net.add("ConvTranspose", x, net.weight("t.weight", 4, 6 // group, 2, 2), group=group, strides=[2, 2])
    found = free(net.graph(net.conv(x, "b", 6, 2, 1)))
    assert list(found) == (names or ["a.weight:0:0", "a.weight:0:1", "t.weight:1:0"])
    if names:
        assert members(found["a.weight:0:0"])[1] == ("t.weight", 0, [0])
        assert members(found["t.weight:1:0"]) == [("t.weight", 1, [0]), ("b.weight", 1, [0])]


def test_a_concat_is_a_sum_and_pieces_that_fit_split_the_groups_of_a_convolution():
    net = Net()
    x = net.input("x", *X4)
    both = net.add("Concat", net.conv(x, "a", 3, 4, 1), net.conv(x, "b", 3, 2, 1), axis=1)
    graph = net.graph(net.conv(both, "c", 6, 2, 1))
    assert members(free(graph)["b.weight:0:0"]) == [("b.weight", 0, [0]), ("c.weight", 1, [4])]
    net = Net()
    x = net.input("x", *X4)
    both = net.add("Concat", net.conv(x, "a", 3, 4, 1), net.conv(x, "b", 3, 2, 1), axis=1)
    found = free(net.graph(net.conv(net.conv(both, "c", 6, 9, 1, group=3), "d", 9, 2, 1)))
    assert members(found["a.weight:0:0"]) == [
        ("a.weight", 0, [0, 1]),
        ("c.weight", 0, [0, 1, 2]),
        ("d.weight", 1, [0, 1, 2]),
    ]
    assert members(found["a.weight:0:1"]) == [("a.weight", 0, [0, 2]), ("b.weight", 0, [0]), ("c.weight", 1, [0])]
    assert "b.weight:0:0" not in found  # a single group


def test_a_cut_through_a_sum_pins_both_sides():
    net = Net()
    x = net.input("x", *X4)
    both = net.add("Concat", net.conv(x, "a", 3, 3, 1), net.conv(x, "b", 3, 5, 1), axis=1)
    graph = net.graph(net.conv(net.conv(both, "c", 8, 4, 1, group=2), "d", 4, 2, 1))
    found = pins(graph)
    assert {found[name].reason for name in ("a.weight:0:0", "b.weight:0:0", "c.weight:0:0", "c.weight:1:0")} == {
        "cut through a sum"
    }
    with pytest.raises(InputError, match=r"group=a\.weight:0:0: is pinned: axis 1 of .*: cut through a sum"):
        es.prune.remove(graph, {"a.weight:0:0": [0]})
    assert list(free(graph)) == ["c.weight:0:1"]


def test_a_split_a_slice_and_a_gather_pick():
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 9, 1)
    left, right = net.add("Split", x, net.constant([4, 5]), axis=1, n_out=2)
    head = net.add("Slice", right, net.constant([1]), net.constant([4]), net.constant([1]))
    y = net.add("Concat", net.conv(left, "b", 4, 2, 1), net.conv(head, "c", 3, 2, 1), axis=1)
    found = {name: members(group) for name, group in free(net.graph(net.conv(y, "d", 4, 2, 1))).items()}
    assert found["a.weight:0:0"] == [("a.weight", 0, [0]), ("b.weight", 1, [0])]
    assert found["a.weight:0:2"] == [("a.weight", 0, [5]), ("c.weight", 1, [0])]
    assert "a.weight:0:1" not in found and "a.weight:0:3" not in found  # of one channel
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 6, 1)
    graph = net.graph(net.conv(net.add("Gather", x, net.constant([4, 0, 2]), axis=1), "b", 3, 2, 1))
    assert free(graph) == {}


def test_a_constant_pins_what_it_is_aligned_with():
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 4, 1)
    x = net.add("Mul", x, net.constant(np.ones((4, 6, 6)), np.float32), makes="scaled")
    graph = net.graph(net.conv(x, "b", 4, 2, 1))
    name = graph.nodes[1].inputs[1]
    assert pins(graph)["a.weight:0:0"] == (name, 0, f"constant {name}")


def test_what_is_not_known_pins_all_that_touches_it():
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 4, 1)
    graph = net.graph(net.conv(net.add("LRN", x, size=3), "b", 4, 2, 1))
    assert pins(graph)["a.weight:0:0"].reason == "op LRN is not known"


def test_norms_mark_their_axes():
    net = Net()
    x = net.linear(net.input("x", 2, 4), "a", 4, 6)
    x = net.add("LayerNormalization", x, net.weight("g", 6, around=1), net.weight("s", 6))
    found = free(net.graph(net.linear(x, "b", 6, 2)))
    assert found["a.weight:0:0"].normalised
    assert [one.parameter for one in found["a.weight:0:0"].members] == ["a.weight", "a.bias", "g", "s", "b.weight"]


def test_a_group_norm_pins_its_groups_and_marks_what_is_inside():
    net = Net()
    x = net.conv(net.input("x", *X4), "a", 3, 6, 1)
    parts = [net.weight(name, 6) for name in ("g", "s")]
    x = net.add("GroupNormalization", x, *parts, num_groups=2)
    graph = net.graph(net.conv(x, "b", 6, 2, 1), opset=21)
    assert pins(graph)["a.weight:0:0"].reason == "groups of a norm"
    assert free(graph)["a.weight:0:1"].normalised
    assert list(free(graph)) == ["a.weight:0:1"]


def spelled_layer_norm(net, x):
    centred = net.add("Sub", x, net.add("ReduceMean", x, axes=[-1]))
    var = net.add("ReduceMean", net.add("Mul", centred, centred), axes=[-1])
    return net.add("Div", centred, net.add("Sqrt", net.add("Add", var, net.constant(1e-5, np.float32))))


@pytest.mark.parametrize("kind", ["rms", "layer", "gate", "mean"])
def test_a_mean_that_only_normalises_pins_nothing(kind):
    net = Net()
    x = net.input("x", 2, 4)
    y = net.linear(x, "a", 4, 6)
    if kind == "gate":  # the mean of one value scales another
        y = net.add("Mul", net.linear(x, "c", 4, 6), net.add("ReduceMean", y, axes=[-1]))
    elif kind == "mean":  # it is also read by itself
        y = net.add("Sub", y, mean := net.add("ReduceMean", y, axes=[-1]))
        y = net.add("Concat", y, mean, axis=1)
    else:
        y = net.rms_norm(y, "n", 6) if kind == "rms" else spelled_layer_norm(net, y)
    graph = net.graph(net.linear(y, "b", 7 if kind == "mean" else 6, 2))
    if kind in ("rms", "layer"):
        assert free(graph)["a.weight:0:0"].normalised
    else:
        assert pins(graph)["a.weight:0:0"].reason == "reduced"


def test_softmax_argmax_and_running_sums_pin_their_axis():
    for op, more in (("Softmax", {"axis": 1}), ("ArgMax", {"axis": 1}), ("CumSum", {})):
        net = Net()
        x = net.linear(net.input("x", 2, 4), "a", 4, 6)
        x = net.add(op, x, net.constant(1), **more) if op == "CumSum" else net.add(op, x, **more)
        x = net.add("Cast", x, to=onnx.TensorProto.FLOAT)
        graph = net.graph(net.linear(x, "b", 1 if op == "ArgMax" else 6, 2))
        reason = {"Softmax": "softmax", "ArgMax": "reduced", "CumSum": "running sum"}[op]
        assert pins(graph)["a.weight:0:0"].reason == reason


def test_heads_of_shared_keys_have_three_kinds_of_units():
    found = free(llama())
    assert len(found) == 9
    hidden, kv, place, width, ffn = list(found.values())[:5]
    assert hidden.name == "embed.weight:1:0" and hidden.normalised
    flat = np.arange(32).reshape(2, 4, 4)  # kv heads, queries of each, places in a head
    assert members(kv) == [
        ("block0.q.weight", 0, flat[0].ravel().tolist()),
        ("block0.k.weight", 0, [0, 1, 2, 3]),
        ("block0.v.weight", 0, [0, 1, 2, 3]),
        ("block0.o.weight", 1, flat[0].ravel().tolist()),
    ]
    assert place.name == "block0.q.weight:0:1"
    assert members(place) == [
        (name, axis, flat[:, 0].ravel().tolist()) for name, axis in (("block0.q.weight", 0), ("block0.o.weight", 1))
    ]
    assert members(width) == [("block0.v.weight", 0, [0, 4]), ("block0.o.weight", 1, flat[..., 0].ravel().tolist())]
    assert members(ffn) == [
        (f"block0.{name}.weight", axis, [0]) for name, axis in (("gate", 0), ("up", 0), ("down", 1))
    ]
    reasons = {pin.reason for pin in pins(llama()).values()}
    assert {"rotary frequencies", "vocabulary", "network output"} <= reasons


def test_a_tied_head_is_one_parameter_in_two_roles():
    found = free(llama(tied=True))
    assert len(found) == 9
    assert [one.parameter for one in found["embed.weight:1:0"].members].count("embed.weight") == 1


@pytest.mark.parametrize("by", ["reshape", "split"])
def test_fused_projections_are_one_member(by):
    net = Net()
    x = net.matmul(net.input("x", 1, 5, 4), "in", 4, 6)
    qkv = net.matmul(x, "qkv", 6, 18, bias=True)
    if by == "reshape":  # query, key and value, heads, places
        turned = net.add("Transpose", net.reshape(qkv, 1, 5, 3, 2, 3), perm=[2, 0, 3, 1, 4])
        q, k, v = (net.add("Gather", turned, net.constant(at), axis=0) for at in range(3))
    else:
        parts = net.add("Split", qkv, net.constant([6, 6, 6]), axis=2, n_out=3)
        q, k, v = (net.add("Transpose", net.reshape(one, 1, 5, 2, 3), perm=[0, 2, 1, 3]) for one in parts)
    scores = net.add("Softmax", net.add("MatMul", q, net.add("Transpose", k, perm=[0, 1, 3, 2])), axis=-1)
    y = net.add("Transpose", net.add("MatMul", scores, v), perm=[0, 2, 1, 3])
    y = net.matmul(net.reshape(y, 1, 5, 6), "o", 6, 6)
    found = free(net.graph(net.matmul(y, "out", 6, 2)))
    heads = np.arange(18).reshape(3, 2, 3)[:, 0].ravel().tolist()
    groups = [group for group in found.values() if group.members[0].parameter == "qkv.weight"]
    assert members(groups[0]) == [("qkv.weight", 0, heads), ("qkv.bias", 0, heads), ("o.weight", 1, [0, 1, 2])]
    inside = [[(name, axis, len(at)) for name, axis, at in members(group)] for group in groups[1:]]
    if by == "reshape":  # one array: places of queries and keys are those of values
        assert inside == [[("qkv.weight", 0, 6), ("qkv.bias", 0, 6), ("o.weight", 1, 2)]]
        assert groups[1].matched
    else:
        width = [("qkv.weight", 0, 2), ("qkv.bias", 0, 2), ("o.weight", 1, 2)]
        assert inside == [[("qkv.weight", 0, 4), ("qkv.bias", 0, 4)], width]
        assert [group.matched for group in groups[1:]] == [True, False]


def test_layers_are_taken_as_the_graph_that_they_are():
    assert list(free(es.load("digits-mlp"))) == ["fc1.weight:0:0", "fc2.weight:0:0"]


def test_a_target_computed_from_data_is_refused_by_name():
    net = Net()
    x = net.linear(net.input("x", 2, 4), "a", 4, 6)
    sizes = net.add("Cast", net.input("sizes", 2), to=onnx.TensorProto.INT64)
    net.inputs["sizes"][:] = (3, 4)
    graph = net.graph(net.add("Reshape", x, sizes, makes="shaped"))
    with pytest.raises(InputError, match="node shaped: target Cast1: must not be computed from data"):
        es.groups(graph)


def test_a_parameter_with_two_layouts_is_refused_by_both_nodes():
    net = Net()
    x = net.linear(net.input("x", 2, 4), "a", 4, 4, bias=False)
    graph = net.graph(net.add("Gemm", x, "a.weight", makes="again"))
    with pytest.raises(InputError, match=r"a\.weight: is \(out, in\) to node a, \(in, out\) to node again"):
        es.groups(graph)


def test_a_cycle_is_refused():
    net = Net()
    x = net.add("Relu", net.linear(net.input("x", 2, 4), "a", 4, 4), makes="second")
    graph = net.graph(net.linear(x, "b", 4, 2))
    nodes = (replace(graph.nodes[0], inputs=("second", *graph.nodes[0].inputs[1:])), *graph.nodes[1:])
    with pytest.raises(InputError, match="node a: reads second, which is made after it: the graph has a cycle"):
        es.groups(replace(graph, nodes=nodes))


def test_what_is_no_graph_is_refused():
    with pytest.raises(InputError, match="graph=str: must be Graph or Network"):
        es.groups("net.onnx")
