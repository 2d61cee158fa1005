"""Importance of units, against loops over members whose roles are written out by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structured_models import Net, llama

import eie_sim as es
from eie_sim import InputError
from eie_sim.prune import importance
from eie_sim.prune.groups import Group, Member
from eie_sim.prune.ranking import AGGREGATES, _normalised

UNSCORED = ("bias", "running_mean", "running_var", "embed.weight")
BUFFERS = ("running_mean", "running_var")


def small():
    """A convolution with BatchNorm, a residual one, a flatten, two linear layers with biases."""
    net = Net(seed=3)
    x = net.add("Relu", net.batch_norm(net.conv(net.input("x", 2, 3, 4, 4), "a", 3, 6, bias=True), "a.bn", 6))
    x = net.add("Add", x, net.conv(net.add("Relu", net.conv(x, "b", 6, 4)), "c", 4, 6))
    x = net.add("Relu", net.linear(net.add("Flatten", x), "fc1", 96, 5))
    return net.graph(net.linear(x, "fc2", 5, 3))


GRAPH = small()
GROUPS = es.groups(GRAPH)
FREE = {group.name: group for group in GROUPS if group.pinned is None}
RNG = np.random.default_rng(0)
GRADIENTS = {name: RNG.normal(size=one.array.shape) for name, one in GRAPH.parameters.items()}
SAMPLES = {name: RNG.normal(size=(5, *one.array.shape)) for name, one in GRAPH.parameters.items()}


def of_loops(graph, group, unit_score, aggregate, unscored=UNSCORED):
    """unit_score : (weights, gradients or samples by name, index of the slice) -> number"""
    rows = []
    for parameter, axis, positions in group.members:
        if not parameter.endswith(unscored):
            w = graph.parameters[parameter].array.astype(np.float64)
            slices = [[(slice(None),) * axis + (place,) for place in unit] for unit in positions]
            rows.append([unit_score(parameter, w, unit) for unit in slices])
    return getattr(np, aggregate)(np.array(rows), axis=0)


def total(of):
    return lambda name, w, unit: sum(of(name, w, place) for place in unit)


MEMBER_SCORES = {
    "l1": total(lambda name, w, at: np.abs(w[at]).sum()),
    "l2": total(lambda name, w, at: (w[at] ** 2).sum()),
    "taylor_element": total(lambda name, w, at: np.abs(w[at] * GRADIENTS[name][at]).sum()),
    "taylor_vector": lambda name, w, unit: abs(sum((w[at] * GRADIENTS[name][at]).sum() for at in unit)),
    "fisher": total(lambda name, w, at: (w[at] ** 2 * np.mean(SAMPLES[name] ** 2, axis=0)[at]).sum()),
}


@pytest.mark.parametrize("score", MEMBER_SCORES)
@pytest.mark.parametrize("aggregate", ["sum", "mean", "max", "prod"])
def test_scores_of_all_members_are_those_of_loops_over_their_slices(score, aggregate):
    gradients = {"fisher": SAMPLES}.get(score, GRADIENTS if "taylor" in score else None)
    found = importance(GRAPH, GROUPS, score, gradients, aggregate, "none")
    assert list(found) == list(FREE)
    for name, values in found.items():
        np.testing.assert_allclose(values, of_loops(GRAPH, FREE[name], MEMBER_SCORES[score], aggregate), rtol=1e-12)
        assert values.dtype == np.float64


def test_first_and_last_are_among_scored_members():
    first, last = (importance(GRAPH, GROUPS, "l1", None, one, "none")["a.weight:0:0"] for one in ("first", "last"))
    np.testing.assert_allclose(first, np.abs(GRAPH.parameters["a.weight"].array).sum(axis=(1, 2, 3)), rtol=1e-6)
    rows = np.abs(GRAPH.parameters["fc1.weight"].array).sum(axis=0)
    np.testing.assert_allclose(last, rows.reshape(6, 16).sum(axis=1), rtol=1e-6)  # of a channel, 4 x 4 places


def test_the_power_of_lp_is_any_and_no_root_is_taken():
    found = importance(GRAPH, GROUPS, "lp", p=3, aggregate="first", normalise="none")["b.weight:0:0"]
    np.testing.assert_allclose(found, (np.abs(GRAPH.parameters["b.weight"].array) ** 3).sum(axis=(1, 2, 3)), rtol=1e-6)
    both = [importance(GRAPH, GROUPS, "lp", p=2), importance(GRAPH, GROUPS, "l2")]
    assert all(np.allclose(both[0][name], both[1][name], rtol=1e-12) for name in both[0])


def test_the_default_is_l2_mean_mean():
    stated = importance(GRAPH, GROUPS, score="l2", gradients=None, aggregate="mean", normalise="mean")
    assert all((values == stated[name]).all() for name, values in importance(GRAPH, GROUPS).items())
    assert all(abs(values.mean() - 1) < 1e-12 for values in stated.values())


def test_biases_and_betas_are_scored_only_if_asked():
    def scored(*also):
        return importance(GRAPH, GROUPS, "l1", None, "sum", "none", also=also)["a.weight:0:0"]

    size = {name: np.abs(GRAPH.parameters[name].array.astype(np.float64)) for name in ("a.bias", "a.bn.bias")}
    of_c = GRAPH.parameters.get("c.bias")
    assert of_c is None
    np.testing.assert_allclose(scored("bias") - scored(), size["a.bias"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(scored("beta") - scored(), size["a.bn.bias"], rtol=1e-6, atol=1e-12)
    everything = of_loops(GRAPH, FREE["a.weight:0:0"], MEMBER_SCORES["l1"], "sum", BUFFERS)
    np.testing.assert_allclose(scored("bias", "beta"), everything, rtol=1e-12)


def test_an_embedding_is_scored_only_if_asked_and_a_tied_head_always():
    for tied in (False, True):
        graph = llama(tied)
        groups = es.groups(graph)
        table = (graph.parameters["embed.weight"].array.astype(np.float64) ** 2).sum(axis=0)
        without, with_table = (
            importance(graph, groups, "l2", None, "sum", "none", also=also)["embed.weight:1:0"]
            for also in ((), ("embedding",))
        )
        np.testing.assert_allclose(with_table - without, 0 if tied else table, rtol=1e-9, atol=1e-9)


def test_gammas_of_a_norm_in_parts_are_scored():
    graph = llama()
    found = importance(graph, es.groups(graph), "l1", None, "last", "none")["embed.weight:1:0"]
    np.testing.assert_allclose(found, np.abs(graph.parameters["head.weight"].array).sum(axis=0), rtol=1e-6)
    group = next(one for one in es.groups(graph) if one.name == "embed.weight:1:0")
    norms = tuple(one for one in group.members if "norm" in one.parameter)
    assert len(norms) == 5
    only = Group(name="norms", size=group.size, members=norms)
    values = importance(graph, [only], "l1", None, "sum", "none")["norms"]
    expected = sum(np.abs(graph.parameters[one.parameter].array.astype(np.float64)) for one in norms)
    np.testing.assert_allclose(values, expected, rtol=1e-9)


def test_heads_are_sums_of_scores_of_their_channels_inside_each_member():
    graph = llama()
    group = next(one for one in es.groups(graph) if one.name == "block0.q.weight:0:0")
    rng = np.random.default_rng(1)
    slopes = {name: rng.normal(size=one.array.shape) for name, one in graph.parameters.items()}
    w = {part: graph.parameters[f"block0.{part}.weight"].array.astype(np.float64) for part in "qkvo"}
    products = {part: w[part] * slopes[f"block0.{part}.weight"] for part in "qkvo"}
    channels = [np.abs(products[part].sum(axis=1)) for part in "qkv"] + [np.abs(products["o"].sum(axis=0))]
    found = importance(graph, [group], "taylor_vector", slopes, "mean", "none")[group.name]
    np.testing.assert_allclose(found, np.mean([one.reshape(2, -1).sum(axis=1) for one in channels], axis=0), rtol=1e-9)


def test_random_scores_are_of_the_seed_and_of_the_group():
    one, again, other = (importance(GRAPH, GROUPS, "random", seed=seed) for seed in (1, 1, 2))
    assert all((values == again[name]).all() and (values != other[name]).all() for name, values in one.items())
    name = list(one)[-1]
    alone = importance(GRAPH, [FREE[name]], "random", seed=1)
    assert (alone[name] == one[name]).all()


def test_taylor_takes_the_mean_of_samples():
    means = {name: one.mean(axis=0) for name, one in SAMPLES.items()}
    both = [importance(GRAPH, GROUPS, "taylor_element", one) for one in (SAMPLES, means)]
    assert all(np.allclose(both[0][name], values, rtol=1e-12) for name, values in both[1].items())


S = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
BY_HAND = {
    "none": S,
    "sum": S / 14,
    "mean": S / 2.8,
    "max": S / 5,
    "standard": (S - 1) / (4 + 1e-8),
    "gaussian": (S - 2.8) / (np.sqrt(3.2) + 1e-8),
    "sentinel_0.5": S / (1 + 1e-8),  # floor(2.5) = 2: the second smallest
    "sentinel_0.6": S / (3 + 1e-8),  # 0.6 x 5 = 3 exactly
    "sentinel_0": S / (1 + 1e-8),
    "sentinel_1": S / (5 + 1e-8),
    "lamp": np.array([3 / 12, 1 / 14, 4 / 9, 1 / 13, 1.0]),
}


@pytest.mark.parametrize("how", BY_HAND)
def test_normalisers_are_those_of_the_definitions(how):
    np.testing.assert_allclose(_normalised(S, how), BY_HAND[how], rtol=1e-14)


@pytest.mark.parametrize("how", ["sum", "mean", "max", "gaussian", "sentinel_0.5", "lamp"])
def test_nothing_is_divided_by_nothing(how):
    zeros = np.zeros(4)
    assert (_normalised(zeros, how) == zeros).all()


def test_one_unit_has_no_deviation_and_equal_ones_stay_as_they_are():
    assert _normalised(np.array([7.0]), "gaussian") == 7
    assert (_normalised(np.full(3, 7.0), "gaussian") == 7).all()
    assert (_normalised(np.full(3, 7.0), "standard") == 0).all()


values = st.lists(st.floats(0, 1e6).map(lambda one: round(one, 3)), min_size=1, max_size=12).map(np.array)


@given(values, st.sampled_from([*BY_HAND, "sentinel_0.9"]))
def test_normalisers_keep_the_order_of_scores(s, how):
    found = _normalised(s, how)
    order = np.argsort(s, kind="stable")
    assert found.shape == s.shape
    assert (np.diff(found[order]) >= -1e-12 * np.abs(found).max()).all()


def test_aggregates_are_over_members():
    scores = np.array([[1.0, 2.0], [3.0, 5.0]])
    found = {name: one(scores).tolist() for name, one in AGGREGATES.items()}
    assert found == {
        "sum": [4, 7],
        "mean": [2, 3.5],
        "max": [3, 5],
        "prod": [3, 10],
        "first": [1, 2],
        "last": [3, 5],
    }


def test_a_group_without_scored_members_is_left_out_and_said_so():
    bare = Group(name="bare", size=6, members=(Member("a.bias", 0, np.arange(6)[:, None]),))
    with pytest.warns(UserWarning, match="left out, no member is scored: bare"):
        found = importance(GRAPH, [bare, *GROUPS])
    assert list(found) == list(FREE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(importance(GRAPH, [bare], also=["bias"])) == ["bare"]


def test_groups_of_the_same_operators_axes_and_sizes_are_alike():
    graph = llama()
    alike = importance(graph, es.groups(graph)).alike
    assert alike["block0.gate.weight:0:0"] == alike["block1.gate.weight:0:0"]
    assert alike["block0.q.weight:0:0"] == alike["block1.q.weight:0:0"]
    assert alike["block0.q.weight:0:0"] != alike["block0.gate.weight:0:0"]
    assert alike["block0.q.weight:0:1"] != alike["block0.v.weight:0:1"]


def test_layers_are_taken_as_the_graph_that_they_are():
    network = es.load("digits-mlp")
    found = importance(network, es.groups(network))
    assert len(found) > 0


BAD = [
    ({"score": "l3"}, "score=l3: unknown; did you mean"),
    ({"aggregate": "median"}, "aggregate=median: unknown"),
    ({"normalise": "means"}, "normalise=means: unknown; did you mean mean"),
    ({"normalise": "sentinel_2"}, "must be in 0..1"),
    ({"normalise": "sentinel_x"}, "must be sentinel_Q"),
    ({"normalise": "sentinel_Q"}, "must be sentinel_Q"),
    ({"also": ["gamma"]}, "also=gamma: must be bias, beta or embedding"),
    ({"also": "bias"}, "also=bias: must be a list"),
    ({"score": "lp"}, "p=None"),
    ({"score": "lp", "p": 0}, "p=0: must be a finite number above 0"),
    ({"score": "random", "seed": -1}, "seed=-1"),
    ({"gradients": GRADIENTS}, "must be left out"),
    ({"score": "fisher"}, "must be by name"),
    ({"score": "taylor_vector", "gradients": {}}, "must have one for a.weight"),
    (
        {"score": "taylor_vector", "gradients": GRADIENTS | {"a.weight": np.ones(3)}},
        r"gradients of a.weight=shape \(3,\)",
    ),
    ({"score": "fisher", "gradients": GRADIENTS}, r"must be \(n_sample, 6, 3, 3, 3\)"),
    (
        {"score": "taylor_element", "gradients": GRADIENTS | {"a.weight": np.full((6, 3, 3, 3), np.nan)}},
        "gradients of a.weight=not finite",
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_settings_are_refused_in_one_line(given, message):
    with pytest.raises(InputError, match=message) as error:
        importance(GRAPH, GROUPS, **given)
    assert "\n" not in str(error.value)


def test_groups_of_another_graph_and_pinned_ones_alone_are_refused():
    with pytest.raises(InputError, match=r"parameter of group embed.weight:1:0=embed.weight: unknown"):
        importance(GRAPH, es.groups(llama()))
    wrong = Group(name="g", size=9, members=(Member("a.weight", 0, np.arange(9)[:, None]),))
    with pytest.raises(InputError, match="positions of 9 units"):
        importance(GRAPH, [wrong])
    pinned = [group for group in GROUPS if group.pinned is not None]
    with pytest.raises(InputError, match=r"nothing can leave, all are pinned: .*network (in|out)put"):
        importance(GRAPH, pinned)
    with pytest.raises(InputError, match="groups=none"):
        importance(GRAPH, [])
