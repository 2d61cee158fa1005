"""Orders of columns for N:M: hand cases, all partitions, published figures; orders of units in graphs."""

from itertools import combinations
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structured_models import Net, llama, resnet18

import eie_sim as es
from eie_sim import InputError
from eie_sim.network.floatrun import run
from eie_sim.prune import permute, permuted, readers

HAND = [[9, 8, 7, 6, 1, 1, 1, 1], [1, 1, 1, 1, 5, 6, 7, 8]]


def kept_of(w, order, m_group=4, n_keep=2):
    """Sum of the n largest |w| of each group, by sorting."""
    parts = np.abs(np.asarray(w, dtype=np.float64))[:, order].reshape(len(w), -1, m_group)
    return np.sort(parts, axis=2)[:, :, m_group - n_keep :].sum()


def partitions(columns, m_group):
    """All ways to put columns into groups without an order."""
    if not columns:
        yield []
        return
    for others in combinations(columns[1:], m_group - 1):
        first = [columns[0], *others]
        for rest in partitions([one for one in columns if one not in first], m_group):
            yield [*first, *rest]


def test_the_hand_case():
    order, kept = permute(HAND)
    assert kept_of(HAND, np.arange(8)) == 36
    assert kept == kept_of(HAND, order) == 56
    assert {frozenset(order[:4].tolist()), frozenset(order[4:].tolist())} == {
        frozenset({0, 1, 4, 5}),
        frozenset({2, 3, 6, 7}),
    }
    assert order.tolist() == [0, 1, 4, 5, 2, 3, 6, 7]  # the first of equals


def published():
    np.random.seed(1)  # noqa: NPY002  as those who published the figures drew them
    return np.random.rand(128, 64)  # noqa: NPY002


def test_figures_before_the_search_are_the_published_ones():
    w = published()
    assert round(w.sum(), 3) == 4083.169
    assert round(np.sort(w, axis=1)[:, 32:].sum(), 3) == 3042.332
    assert round(kept_of(w, np.arange(64)), 3) == 2852.377


@pytest.mark.compiled
def test_the_published_matrix_is_searched_in_half_a_second():
    w = published()
    order, kept = permute(w)
    start = perf_counter()
    permute(w)
    assert perf_counter() - start < 0.5
    assert round(kept, 3) == 2919.759
    np.testing.assert_allclose(kept, kept_of(w, order), rtol=1e-12)


def plain_search(w, m_group, n_keep):
    """The rule in plain words: all gains anew in every round."""
    w, order = np.abs(np.asarray(w, dtype=np.float64)), np.arange(np.shape(w)[1])
    places, n = range(2 * m_group), np.shape(w)[1] // m_group
    halves = [(0, *rest) for rest in combinations(places[1:], m_group - 1)]

    def split(both):
        """The first best half, and its gain."""
        found = []
        for half in halves:
            new = np.array([*both[list(half)], *(both[at] for at in places if at not in half)])
            found.append((kept_of(w, new, m_group, n_keep), new))
        most = max(kept for kept, _ in found)
        best, new = next(one for one in found if one[0] > most - 1e-11)
        return best - found[0][0], new

    while True:
        stripes = order.reshape(n, m_group)
        pairs = [(*split(np.concatenate([stripes[a], stripes[b]])), a, b) for a, b in combinations(range(n), 2)]
        touched, new = set(), stripes.copy()
        for gain, both, a, b in sorted(pairs, key=lambda one: -one[0]):
            if gain > 1e-4 and not touched & {a, b}:
                touched |= {a, b}
                new[a], new[b] = both[:m_group], both[m_group:]
        if not touched:
            return order
        order = new.reshape(-1)


@pytest.mark.parametrize(("m_group", "n_keep"), [(4, 2), (4, 1), (4, 3), (2, 1), (3, 2)])
def test_the_search_is_the_rule_in_plain_words(m_group, n_keep):
    for seed, stripes in ((0, 4), (1, 3), (2, 5)):
        w = np.random.default_rng(seed).normal(size=(7, stripes * m_group))
        order, kept = permute(w, m_group, n_keep)
        assert order.tolist() == plain_search(w, m_group, n_keep).tolist()
        np.testing.assert_allclose(kept, kept_of(w, order, m_group, n_keep), rtol=1e-12)


matrices = st.tuples(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([4, 8]))


@given(matrices, st.integers(1, 3), st.booleans())
def test_of_two_stripes_the_best_of_all_partitions_is_found(given_as, n_keep, whole):
    seed, rows, columns = given_as
    rng = np.random.default_rng(seed)
    w = rng.integers(-3, 4, size=(rows, columns)) if whole else rng.normal(size=(rows, columns))
    order, kept = permute(w, 4, n_keep)
    assert sorted(order.tolist()) == [*range(columns)]
    best = max(kept_of(w, one, 4, n_keep) for one in partitions([*range(columns)], 4))
    assert kept >= best - 1e-4
    np.testing.assert_allclose(kept, kept_of(w, order, 4, n_keep), rtol=1e-12)


def test_three_stripes_with_kicks_come_to_the_best_of_all_partitions():
    reached = []
    for seed in range(6):
        w = np.random.default_rng(seed).random((5, 12))
        best = max(kept_of(w, one) for one in partitions([*range(12)], 4))
        plain, kicked = permute(w)[1], permute(w, kicks=40, seed=1)[1]
        assert kept_of(w, np.arange(12)) <= plain <= kicked <= best + 1e-9
        reached.append(kicked > best - 1e-4)
    assert sum(reached) >= 5


def test_kicks_are_of_the_seed_and_never_make_it_worse():
    w = np.random.default_rng(2).random((5, 12))
    plain = permute(w)[1]
    one, again, other = (permute(w, kicks=20, seed=seed) for seed in (1, 1, 2))
    assert one[0].tolist() == again[0].tolist()
    assert min(one[1], other[1]) > plain + 0.02
    assert one[1] == pytest.approx(kept_of(w, one[0]), rel=1e-12)


def test_all_readers_share_an_order_and_kernel_places_are_rows():
    rng = np.random.default_rng(0)
    linear, conv = rng.normal(size=(5, 16)), rng.normal(size=(3, 16, 2, 2))
    rows = np.concatenate([linear, conv.transpose(0, 2, 3, 1).reshape(-1, 16)])
    order, kept = permute([linear, conv])
    np.testing.assert_allclose(kept, kept_of(rows, order), rtol=1e-12)
    assert kept == pytest.approx(permute(rows)[1], rel=1e-12)


def test_what_is_in_order_stays_as_it_is():
    assert permute(np.ones((3, 12)))[0].tolist() == [*range(12)]
    assert permute(np.zeros((3, 8)))[1] == 0
    assert permute([[1, 2, 3, 4]])[0].tolist() == [0, 1, 2, 3]
    assert permute([[1, 2, 3, 4]], kicks=3)[1] == 7


BAD = [
    ({"ws": np.ones((3, 6))}, "columns=6: must be a multiple of m_group=4"),
    ({"ws": np.ones(8)}, r"weights=shape \(8,\): must be \(out, in, ..\)"),
    ({"ws": [np.ones((3, 8)), np.ones((3, 4))]}, r"weights\[1\]=shape \(3, 4\): must have 8 columns"),
    ({"ws": [[1, np.nan, 2, 3]]}, "weights=not finite"),
    ({"ws": np.ones((0, 8))}, r"weights=shape \(0, 8\)"),
    ({"ws": []}, "weights=shape"),
    ({"ws": np.ones((3, 8)), "m_group": 8}, r"m_group=8: must be an integer in 2..4"),
    ({"ws": np.ones((3, 8)), "n_keep": 4}, r"n_keep=4: must be an integer in 1..3"),
    ({"ws": np.ones((3, 8)), "n_keep": 0}, "n_keep=0"),
    ({"ws": np.ones((3, 8)), "kicks": -1}, "kicks=-1"),
    ({"ws": np.ones((3, 8)), "seed": -1}, "seed=-1"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_input_is_refused_in_one_line(settings, message):
    with pytest.raises(InputError, match=message) as error:
        permute(**settings)
    assert "\n" not in str(error.value)


def free_of(graph):
    return {group.name: group for group in es.groups(graph) if group.pinned is None}


def grouped():
    """Grouped and depthwise convolutions, a concat, a split and a flatten."""
    net = Net(seed=4)
    a = net.conv(net.input("x", 2, 3, 4, 4), "a", 3, 8, bias=True)
    b = net.conv(net.add("Relu", a), "b", 8, 12, group=2)
    c = net.batch_norm(net.conv(net.add("Relu", b), "c", 12, 12, group=12), "c.bn", 12)
    d = net.conv(net.add("Concat", a, c, axis=1), "d", 20, 6)
    x = net.add("Flatten", net.add("Relu", d))
    return net.graph(net.linear(x, "fc", 96, 4))


NETWORKS = {"resnet18": lambda: resnet18(True), "llama": llama, "grouped": grouped}


@pytest.mark.parametrize("name", NETWORKS)
def test_units_in_another_order_in_all_members_change_no_output(name):
    graph = NETWORKS[name]()
    old, before, rng = graph.parameters, run(graph), np.random.default_rng(0)
    for group in free_of(graph).values():
        graph = permuted(graph, group, rng.permutation(group.size))
    changed = [one for one in old if (old[one].array != graph.parameters[one].array).any()]
    assert len(changed) > len(graph.parameters) // 2
    for output, array in run(graph).items():
        np.testing.assert_allclose(array, before[output], atol=1e-4 * np.abs(before[output]).max())


def test_a_member_that_is_left_out_changes_outputs():
    graph = llama()
    group = free_of(graph)["block0.gate.weight:0:0"]
    before = run(graph)
    order = np.roll(np.arange(group.size), 1)
    for at in range(len(group.members)):
        fewer = type(group)(name="fewer", size=group.size, members=(*group.members[:at], *group.members[at + 1 :]))
        output, array = next(iter(run(permuted(graph, fewer, order)).items()))
        assert np.abs(array - before[output]).max() > 1e-3


def test_heads_and_places_in_heads_change_places_within_their_own_dimension():
    graph = llama()
    group = free_of(graph)["block0.q.weight:0:1"]  # the 4 queries of each of 2 kv heads, of size 4
    after = permuted(graph, group, [1, 0, 3, 2]).parameters["block0.q.weight"].array
    old = graph.parameters["block0.q.weight"].array.reshape(2, 4, 4, 32)
    assert (after.reshape(2, 4, 4, 32) == old[:, [1, 0, 3, 2]]).all()


def test_a_searched_order_keeps_more_of_the_readers_in_a_network():
    graph = llama()
    for name, part in (("block0.gate.weight:0:0", "down"), ("block0.v.weight:0:1", "o")):
        group = free_of(graph)[name]
        ws = readers(graph, group)
        order, kept = permute(ws)
        after = permuted(graph, group, order)
        w = after.parameters[f"block0.{part}.weight"].array
        np.testing.assert_allclose(kept_of(w, np.arange(w.shape[1])), kept, rtol=1e-6)
        assert kept >= kept_of(np.concatenate(ws), np.arange(group.size))


def test_readers_of_a_residual_stage_are_all_that_read_it():
    graph = resnet18(True)
    ws = readers(graph, free_of(graph)["conv1.weight:0:0"])
    shapes = [(64 * 9, 64), (64 * 9, 64), (128 * 9, 64), (128, 64)]
    assert [one.shape for one in ws] == shapes
    first = graph.parameters["layer1.0.conv1.weight"].array
    assert (np.sort(ws[0][:, 5]) == np.sort(first[:, 5].reshape(-1))).all()


def test_pinned_axes_and_orders_that_are_none_are_refused():
    graph = llama()
    groups = {group.name: group for group in es.groups(graph)}
    pinned = groups["embed.weight:0:0"]
    for call in (lambda: permuted(graph, pinned, np.arange(20)), lambda: readers(graph, pinned)):
        with pytest.raises(InputError, match=r"group embed.weight:0:0: its order is fixed: .*vocabulary"):
            call()
    free = groups["block0.q.weight:0:0"]
    for order in ([0, 0], [0], [0, 2], [0.0, 1.0], [[0, 1]]):
        with pytest.raises(InputError, match=r"must have each of 0..1 once"):
            permuted(graph, free, order)
    with pytest.raises(InputError, match=r"must have its units side by side"):
        readers(graph, free)
    with pytest.raises(InputError, match=r"=block0.q.weight: unknown"):
        permuted(resnet18(True), free, [1, 0])
