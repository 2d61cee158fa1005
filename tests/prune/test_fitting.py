"""LASSO on a graph: the same as on arrays that are computed by hand, group by group; what it is not for is said."""

import numpy as np
import pytest
from structured_models import Net, llama

import eie_sim as es
from eie_sim import InputError
from eie_sim.prune import GroupRecipe, lasso_channels, lasso_graph, parameter_count, permute_graph, shrink
from eie_sim.prune.parameters import graph_outputs_off
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.removing import prunable_count, removal_count, unit_count


def mlp(bias=True):
    net = Net()
    x = net.add("Relu", net.linear(net.input("x", 50, 6), "fc1", 6, 12, bias))
    x = net.add("Relu", net.linear(x, "fc2", 12, 10, bias))
    return net.graph(net.linear(x, "fc3", 10, 4, bias))


def layer(graph, name):
    w = graph.parameters[f"{name}.weight"].array.astype(np.float64)
    b = graph.parameters[f"{name}.bias"].array.astype(np.float64) if f"{name}.bias" in graph.parameters else None
    return w, b


@pytest.mark.parametrize("bias", [True, False])
def test_each_group_is_chosen_with_inputs_as_pruned_so_far_and_outputs_as_they_were(bias):
    graph = mlp(bias)
    (w1, b1), (w2, b2), (w3, b3) = (layer(graph, name) for name in ("fc1", "fc2", "fc3"))
    add = (lambda y, b: y + b) if bias else (lambda y, b: y)
    x1 = np.maximum(add(graph.examples["x"] @ w1.T, b1), 0)
    x2 = np.maximum(add(x1 @ w2.T, b2), 0)
    first = lasso_channels(x1[..., None], w2[..., None], x1 @ w2.T, 6, bias=b2)
    now = np.maximum(add(x1[:, first.kept] @ first.weights[..., 0].T, first.bias), 0)
    second = lasso_channels(now[..., None], w3[..., None], x2 @ w3.T, 5, bias=b3)
    fitted = lasso_graph(graph, 0.5, verify=True)
    assert {name: units.tolist() for name, units in fitted.units.items()} == {
        "fc1.weight:0:0": np.setdiff1d(range(12), first.kept).tolist(),
        "fc2.weight:0:0": np.setdiff1d(range(10), second.kept).tolist(),
    }
    np.testing.assert_allclose(layer(fitted.graph, "fc2")[0], first.weights[second.kept, :, 0], atol=1e-5)
    np.testing.assert_allclose(layer(fitted.graph, "fc3")[0], second.weights[..., 0], atol=1e-4)
    if bias:
        np.testing.assert_allclose(layer(fitted.graph, "fc3")[1], second.bias, atol=1e-4)
    np.testing.assert_allclose(fitted.errors["fc2.weight:0:0"], second.errors, atol=1e-5)
    assert (fitted.units.asked, fitted.units.achieved, fitted.left) == (0.5, 0.5, {})


def test_a_convolution_is_cut_by_its_windows():
    net = Net()
    x = net.add("Relu", net.conv(net.input("x", 2, 3, 6, 6), "a", 3, 8))
    x = net.add("Conv", x, net.weight("b.weight", 5, 8, 3, 3), makes="b")
    graph = net.graph(net.conv(x, "c", 5, 2, kernel=1), "Relu1")
    a = es.network.floatrun.run(graph)["Relu1"].astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(a, (3, 3), axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    flat = windows.reshape(-1, 8, 9)
    w = graph.parameters["b.weight"].array.astype(np.float64).reshape(5, 8, 9)
    expected = lasso_channels(flat, w, np.einsum("nck,ock->no", flat, w), 3)
    plain = net.graph("c")
    fitted = lasso_graph(plain, 0.5, only=["a.weight:0:0"], ratios={"a.weight:0:0": 0.625})
    assert np.setdiff1d(range(8), fitted.units["a.weight:0:0"]).tolist() == expected.kept.tolist()
    new = fitted.graph.parameters["b.weight"].array.reshape(5, 3, 9)
    np.testing.assert_allclose(new, expected.weights, atol=1e-4)


def flattened():
    net = Net()
    x = net.add("Relu", net.conv(net.input("x", 9, 1, 4, 4), "a", 1, 6))
    return net.graph(net.linear(net.add("Flatten", x), "fc", 6 * 16, 3))


def test_a_channel_before_a_flatten_has_all_its_places():
    graph = flattened()
    fitted = lasso_graph(graph, 0.5, verify=True)
    assert fitted.graph.parameters["fc.weight"].array.shape == (3, 48)
    assert graph_outputs_off(graph, fitted.graph)[graph.outputs[0]] < 1e-4  # 9 positions are met by 48 weights


def test_fitting_is_nearer_than_removing_the_same_share_by_importance():
    net = es.load("digits-resnet")
    fitted = lasso_graph(net, 0.5, only=["block3.conv1.weight:0:0"])
    plain, _ = es.prune.structured(net, 0.5, only=["block3.conv1.weight:0:0"])
    assert graph_outputs_off(net, fitted.graph)["scores"] < 0.5 * graph_outputs_off(net, plain)["scores"]
    assert parameter_count(fitted.graph) == parameter_count(plain)


def test_groups_that_it_is_not_for_are_said_with_the_reason():
    fitted = lasso_graph(llama(), 0.5, verify=True)
    assert {name: reason.split(":")[0] for name, reason in fitted.left.items()} == {
        "embed.weight:1:0": "is a residual stage"
    }
    assert len(fitted.units["block0.q.weight:0:0"]) == 1  # a kv head and its queries, of 16 columns
    net = es.load("digits-gru")
    with pytest.raises(InputError, match=r"network=digits-gru: LASSO can cut none of its groups: gru.weight_ih_l0:0:0"):
        lasso_graph(net, 0.5)
    with pytest.raises(InputError, match=r"group=stem.weight:0:0: is a residual stage"):
        lasso_graph(es.load("digits-resnet"), 0.5, only=["stem.weight:0:0"])
    with pytest.raises(InputError, match=r"group=fc3.weight:0:0: axis 1 of .*: network output"):
        lasso_graph(mlp(), 0.5, ratios={"fc3.weight:0:0": 0.5})
    with pytest.raises(InputError, match=r"only=fc1.weight:0: unknown; did you mean fc1.weight"):
        lasso_graph(mlp(), 0.5, only=["fc1.weight:0"])
    with pytest.raises(InputError, match="n_position=0: must be an integer >= 1"):
        lasso_graph(mlp(), 0.5, n_position=0)
    with pytest.raises(InputError, match=r"ratio=0.99: must be at most"):
        lasso_graph(mlp(), 0.99)


def test_a_sample_is_of_the_seed():
    net = es.load("digits-resnet")
    one, same, other = (
        lasso_graph(net, 0.5, only=["block1.conv1.weight:0:0"], n_position=60, seed=seed) for seed in (0, 0, 1)
    )
    name = "block1.conv2.weight"
    np.testing.assert_array_equal(one.graph.parameters[name].array, same.graph.parameters[name].array)
    assert (one.graph.parameters[name].array != other.graph.parameters[name].array).any()


def test_layers_are_taken_as_the_graph_that_they_are():
    fitted = lasso_graph(es.load("digits-mlp"), 0.5)
    assert [len(units) for units in fitted.units.values()] == [128, 64]
    reordered = permute_graph(es.load("digits-mlp")).graph
    for graph, rows in ((fitted.graph, [128, 64, 10]), (reordered, [256, 128, 10])):
        layers = es.run(graph, es.EieConfig(), positions=8).network.layers
        assert [len(layer.weights) for layer in layers] == rows  # as they are now, not as the preset has them
        np.testing.assert_array_equal(layers[1].weights, graph.parameters["fc2.weight"].array)


def test_a_graph_is_permuted_for_all_readers_of_every_axis():
    net = es.load("digits-resnet")
    reordered = permute_graph(net, kicks=0)
    assert reordered.left == {} and len(reordered.kept) == 5
    assert all(after > before for before, after in reordered.kept.values())
    assert graph_outputs_off(net, reordered.graph)["scores"] < 1e-5

    def kept(graph, reader):
        w = np.abs(graph.parameters[reader].array.astype(np.float64))  # of each tap, channels in fours
        fours = np.moveaxis(w, 1, -1).reshape(-1, 4)
        return np.sort(fours, axis=1)[:, 2:].sum()

    was, now = reordered.kept["block3.conv1.weight:0:0"]
    np.testing.assert_allclose(
        [kept(net, "block3.conv2.weight"), kept(reordered.graph, "block3.conv2.weight")], [was, now]
    )


def test_what_cannot_be_permuted_is_said():
    left = permute_graph(llama()).left
    assert left["block0.q.weight:0:0"] == "must have its units side by side"
    net = Net()
    x = net.add("Relu", net.linear(net.input("x", 3, 4), "fc1", 4, 6))
    graph = net.graph(net.linear(x, "fc2", 6, 2))
    assert permute_graph(graph).left == {"fc1.weight:0:0": "has 6 units, or begins, at no multiple of 4"}
    assert permute_graph(graph, m_group=2, n_keep=1).left == {}
    with pytest.raises(InputError, match=r"m_group=8: must be an integer in 2\.\.4"):
        permute_graph(graph, m_group=8)


def test_counts_of_a_unit_and_of_all_that_can_leave():
    for graph in (mlp(), flattened(), llama(), es.load("digits-gru")):
        found = es.groups(graph)
        free = [group for group in found if group.pinned is None]
        for group in free:
            assert unit_count(graph, group) == removal_count(graph, {group.name: [1]})
        touched = {name: np.zeros(one.array.shape, bool) for name, one in graph.parameters.items()}
        for group in free:
            for name, axis, positions in group.members:
                np.moveaxis(touched[name], axis, 0)[positions.reshape(-1)] = True
        assert prunable_count(graph, found) == sum(int(one.sum()) for one in touched.values())


def test_reprs_have_ten_lines_at_most():
    net = es.load("digits-resnet")
    found = es.groups(net)
    assert repr(found).splitlines()[:2] == [
        "20 groups, units can leave 5 of them:",
        "  stem.weight:0:0, 16 units, 13 members",
    ]
    pruned, fitted = es.prune.structured(net, 0.5), lasso_graph(net, 0.5)
    shown = [found, es.groups(llama()), found[0], found[1], pruned, pruned.units, fitted, permute_graph(net)]
    assert all(len(repr(one).splitlines()) <= 10 for one in shown)
    assert "kernel" in repr(found[1])


def test_a_recipe_for_groups_says_what_does_not_go_with_it():
    with pytest.raises(InputError, match="aggregate=max: must be given with --structured"):
        GroupRecipe(aggregate="max")
    with pytest.raises(InputError, match="block_rows=2: must be left out with --structured"):
        shrink(mlp(), GroupRecipe(structured=True, ratio=0.5), Recipe(block_rows=2))
    done = shrink(mlp(), GroupRecipe(structured=True, ratio=0.5), Recipe())
    assert {name: len(units) for name, units in done.units.items()} == {"fc1.weight:0:0": 6, "fc2.weight:0:0": 5}


def test_a_network_of_pinned_axes_says_which_and_why():
    net = Net()
    graph = net.graph(net.linear(net.input("x", 3, 4), "fc", 4, 6))
    with pytest.raises(
        InputError, match=r"nothing can leave, all are pinned: fc.weight:0:0 \(axis 1 of .*: network ou"
    ):
        shrink(graph, GroupRecipe(structured=True, ratio=0.5), Recipe())
    with pytest.raises(InputError, match="LASSO can cut none of its groups: all are pinned"):
        lasso_graph(graph, 0.5)
