"""Units that leave a graph: parameters as foretold, sizes restated, files that run."""

import numpy as np
import pytest
from structured_models import Net, llama, onnx, resnet18

import eie_sim as es
from eie_sim.core.errors import InputError, InvariantError
from eie_sim.network import floatrun
from eie_sim.prune import verifying
from eie_sim.prune.groups import structure_of
from eie_sim.prune.removing import parameter_count, removal_count, remove

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def free(graph):
    return {group.name: group for group in es.groups(graph) if group.pinned is None}


def halves(graph):
    return {name: range(group.size // 2) for name, group in free(graph).items()}


@pytest.mark.parametrize(
    ("make", "parameters", "n_free", "left"),
    [
        (lambda: resnet18(True), 11_173_962, 12, 2_797_610),
        (lambda: resnet18(False), 11_689_512, 12, 3_055_880),
        (llama, 15_776, 9, 3_600),
    ],
    ids=["ResNet-18 of small images", "ResNet-18", "LLaMA"],
)
def test_half_of_every_group_leaves_as_many_parameters_as_published(make, parameters, n_free, left):
    graph = make()
    assert parameter_count(graph) == parameters
    assert len(free(graph)) == n_free
    after = es.prune.remove(graph, halves(graph), verify=True)
    assert parameter_count(after) == left == parameters - removal_count(graph, halves(graph))
    sizes = [group.size - group.size // 2 for group in free(graph).values()]
    assert [group.size for group in free(after).values()] == [size for size in sizes if size > 1]


def test_the_first_unit_of_a_stage_has_the_stem_and_all_its_blocks():
    assert removal_count(resnet18(True), {"conv1.weight:0:0": [0]}) == 3_617


def test_a_unit_of_each_kind_of_a_transformer():
    graph = llama()
    names = ["block0.q.weight:0:0", "block0.q.weight:0:1", "block0.v.weight:0:1", "block0.gate.weight:0:0"]
    assert [removal_count(graph, {name: [0]}) for name in names] == [1280, 512, 320, 96]


def lstm(op="LSTM", gates=4, direction=1, states=False):
    net = Net()
    x = net.input("x", 5, 2, 3)
    reads = [net.weight("W", direction, gates * 4, 3), net.weight("R", direction, gates * 4, 4)]
    reads.append(net.weight("B", direction, gates * 8))
    reads += ["", net.constant(np.zeros((direction, 2, 4)), np.float32)] if states else []
    more = {"direction": "bidirectional"} if direction == 2 else {}
    y = net.add(op, x, *reads, hidden_size=4, **more)
    y = net.reshape(net.add("Transpose", y, perm=[0, 2, 1, 3]), 5, 2, -1)
    return net.graph(net.matmul(y, "out", 4 * direction, 2, bias=True))


def test_a_hidden_unit_has_its_gates_its_column_its_biases_and_its_readers():
    graph = lstm()
    assert parameter_count(graph) == 154
    (group,) = free(graph).values()
    assert [(name, axis, at[0].tolist()) for name, axis, at in group.members] == [
        ("W", 1, [0, 4, 8, 12]),
        ("R", 1, [0, 4, 8, 12]),
        ("R", 2, [0]),
        ("B", 1, list(range(0, 32, 4))),
        ("out.weight", 1, [0]),
    ]
    after = es.prune.remove(graph, {group.name: [0]}, verify=True)
    assert parameter_count(after) == 104
    assert next(node for node in after.nodes if node.op == "LSTM").attributes["hidden_size"] == 3


@pytest.mark.parametrize(
    ("op", "gates", "direction", "states"), [("GRU", 3, 1, True), ("RNN", 1, 1, False), ("LSTM", 4, 2, True)]
)
def test_other_recurrent_networks_and_their_states_of_zeros(op, gates, direction, states):
    graph = lstm(op, gates, direction, states)
    (group,) = free(graph).values()
    after = es.prune.remove(graph, {group.name: [1, 3]}, verify=True)
    assert group.members[-1].positions.shape == (4, direction)  # both directions have the unit
    assert after.values["R" if direction == 1 else "W"].shape == ((1, gates * 2, 2) if direction == 1 else (2, 8, 3))


def attributes(graph, op):
    return [dict(node.attributes) for node in graph.nodes if node.op == op]


def numbers(graph, op, place):
    return [graph.constants[node.inputs[place]].tolist() for node in graph.nodes if node.op == op]


def test_groups_of_convolutions_are_restated():
    net = Net()
    x = net.conv(net.input("x", 1, 3, 6, 6), "a", 3, 8, 1)
    x = net.conv(net.conv(x, "b", 8, 12, 1, group=4), "c", 12, 12, 3, group=12)
    x = net.add("ConvTranspose", x, net.weight("t", 12, 2, 2, 2), group=4, strides=[2, 2])
    graph = net.graph(net.conv(x, "d", 8, 2, 1))
    assert len(free(graph)) == 4
    after = es.prune.remove(graph, {"a.weight:0:0": [1], "b.weight:0:1": [0, 1]}, verify=True)
    assert [said["group"] for said in attributes(after, "Conv")] == [1, 3, 3, 1]
    assert [said["group"] for said in attributes(after, "ConvTranspose")] == [3]
    assert after.values["t"].shape == (3, 2, 2, 2)


def test_slices_splits_sizes_and_targets_are_restated_and_a_shared_constant_is_not_spoilt():
    net = Net()
    x = net.conv(net.input("x", 1, 3, 4, 4), "a", 3, 12, 1)
    parts = net.add("Split", x, net.constant([4, 8]), axis=1, n_out=2)
    head = net.add("Slice", parts[1], *map(net.constant, ([-5], [2**60], [1])))
    four = net.constant([1, 4, 4, 4])
    same, big = net.add("Reshape", parts[0], four), net.add("Resize", head, "", "", net.constant([1, 5, 8, 8]))
    small = net.add("MaxPool", big, kernel_shape=[2, 2], strides=[2, 2])
    y = net.add("Concat", same, small, net.add("Reshape", net.conv(x, "b", 12, 4, 1), four), axis=1)
    graph = net.graph(net.conv(y, "c", 13, 2, 1))
    assert [group.size for group in free(graph).values()] == [4, 3, 5, 4]
    after = es.prune.remove(graph, {"a.weight:0:0": [3], "a.weight:0:2": [0, 4]}, verify=True)
    assert numbers(after, "Split", 1) == [[3, 6]]
    assert (numbers(after, "Slice", 1), numbers(after, "Slice", 2)) == ([[3]], [[6]])
    assert numbers(after, "Reshape", 1) == [[1, 3, 4, 4], [1, 4, 4, 4]]
    assert numbers(after, "Resize", 3) == [[1, 3, 8, 8]]


def test_a_split_into_equal_parts_says_its_sizes_when_they_are_no_longer_equal(tmp_path):
    net = Net()
    x = net.conv(net.input("x", 1, 3, 4, 4), "a", 3, 8, 1)
    parts = net.add("Split", x, axis=1, num_outputs=2, n_out=2)
    y = net.add("Concat", net.conv(parts[0], "b", 4, 2, 1), net.conv(parts[1], "c", 4, 2, 1), axis=1)
    graph = net.graph(net.conv(y, "d", 4, 2, 1), opset=18)
    after = es.prune.remove(graph, {"a.weight:0:1": [0]}, verify=True)
    assert numbers(after, "Split", 1) == [[4, 3]]
    after.save(tmp_path / "small.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "small.onnx"), full_check=True)


def test_minus_one_and_zero_stay_and_so_do_all_other_constants():
    graph = llama()
    after = es.prune.remove(graph, halves(graph))
    targets = numbers(after, "Reshape", 1)
    assert targets == 2 * [[1, 5, 2, 4], [1, 5, 1, 4], [1, 2, 5, 4], [1, 5, 1, 2], [1, 2, 5, 2], [1, 5, -1]]
    assert numbers(after, "Expand", 1)[0] == [1, 1, 2, 5, 4]
    scales = [float(array) for array in after.constants.values() if array.shape == () and array.dtype == np.float32]
    assert scales.count(0.5) >= 2  # 1 / sqrt(d) of attention


@pytest.mark.parametrize("heads", [None, 2])
def test_rotary_embedding_as_one_operator_keeps_the_inside_of_heads(heads):
    net = Net()
    x = net.matmul(net.input("x", 1, 5, 4), "a", 4, 8)
    tables = [net.weight(name, 5, 2) for name in ("cos", "sin")]
    x = x if heads else net.add("Transpose", net.reshape(x, 1, 5, 2, 4), perm=[0, 2, 1, 3])
    places = net.constant(np.arange(5)[None])
    y = net.add("RotaryEmbedding", x, *tables, places, **({"num_heads": heads} if heads else {}))
    y = y if heads else net.reshape(net.add("Transpose", y, perm=[0, 2, 1, 3]), 1, 5, 8)
    graph = net.graph(net.matmul(y, "b", 8, 2), opset=23)
    (name,) = free(graph)
    assert name == "a.weight:0:0"
    after = es.prune.remove(graph, {name: [0]}, verify=True)
    assert attributes(after, "RotaryEmbedding")[0].get("num_heads", 1) == 1


def test_a_smaller_graph_is_saved_and_runs_by_itself(tmp_path):
    graph = llama()
    after = es.prune.remove(graph, halves(graph))
    assert "removed" in after.metadata["eie_sim.pruned"]
    after.save(tmp_path / "small.onnx")
    proto = onnx.load(tmp_path / "small.onnx")
    onnx.checker.check_model(proto, full_check=True)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: np.asarray(array) for name, array in graph.examples.items()})
    (wanted,) = floatrun.run(after).values()
    assert np.abs(found - wanted).max() <= 1e-5
    again = es.load(tmp_path / "small.onnx")
    assert parameter_count(again) == 3_600
    assert [group.size for group in free(again).values()] == [group.size for group in free(after).values()]


def test_layers_of_a_preset_shrink():
    after = es.prune.remove(es.load("digits-mlp"), {"fc1.weight:0:0": range(128)}, verify=True)
    assert [one.array.shape for name, one in after.parameters.items() if "weight" in name][:2] == [
        (128, 64),
        (128, 128),
    ]
    assert [row.weights.shape for row in es.run(after, es.EieConfig()).network.layers] == [
        (128, 64),
        (128, 128),
        (10, 128),
    ]


def test_nothing_asked_leaves_the_graph_as_it_is():
    graph = lstm()
    assert es.prune.remove(graph, {}) is graph
    assert es.prune.remove(graph, {"W:1:1": []}, verify=True) is graph


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"W:1:2": [0]}, "group=W:1:2: unknown; did you mean W:1:1"),
        ({"W:1:0": [0]}, "group=W:1:0: is pinned: axis 0 of LSTM.*:gates: gates"),
        ({"W:1:1": [4]}, "group W:1:1: unit=4: must be an integer in 0..3"),
        ({"W:1:1": [-1]}, "group W:1:1: unit=-1"),
        ({"W:1:1": [0.5]}, "group W:1:1: unit=0.5"),
        ({"W:1:1": range(4)}, "group W:1:1=4 units: must be fewer: one is left at least"),
        ({"W:1:1": 2}, "group W:1:1=int: must be numbers of units"),
        (["W:1:1"], "units=list: must be given by name of group"),
    ],
)
def test_what_cannot_leave_is_refused(units, message):
    with pytest.raises(InputError, match=message):
        es.prune.remove(lstm(), units)


def test_a_network_of_pinned_axes_says_which_and_why():
    net = Net()
    graph = net.graph(net.linear(net.input("x", 2, 4), "a", 4, 3))
    with pytest.raises(InputError, match=r"all axes are pinned: a\.weight:0:0 \(axis 1 of a: network output\), a\.w"):
        es.prune.remove(graph, {"a.weight:0:0": [0]})


def broken(structure, group, member):
    """The structure without a member: its axis is thought to be a dimension of its own."""
    from eie_sim.prune.dimensions import Dimension

    (name, axis, _) = structure.groups[[one.name for one in structure.groups].index(group)].members[member]
    structure.axes[name, axis] = Dimension(structure.axes[name, axis].size)
    return structure


def test_a_wrong_group_is_found_out():
    net = Net()
    x = net.add("Sigmoid", net.linear(net.input("x", 2, 4), "a", 4, 6))
    graph = net.graph(net.linear(x, "b", 6, 2))
    structure = structure_of(graph)
    kept = {structure.atoms["a.weight:0:0"]: np.arange(3)}
    verifying.verify_removal(structure, kept, remove(graph, {"a.weight:0:0": [3, 4, 5]}))
    for other in (remove(graph, {"a.weight:0:0": [0, 4, 5]}), remove(graph, {"a.weight:0:0": [5]})):
        with pytest.raises(InvariantError):
            verifying.verify_removal(structure, kept, other)
    with pytest.raises(InvariantError, match="exchanged"):
        verifying.verify_removal(broken(structure, "a.weight:0:0", 1), kept, remove(graph, {"a.weight:0:0": [3, 4, 5]}))
