"""Queries sorted inside their kv heads: the network computes the same, and the least of each kv head leave."""

from dataclasses import replace

import numpy as np
import pytest
from structured_models import llama

import eie_sim as es
from eie_sim import InputError
from eie_sim.network.floatrun import run
from eie_sim.prune import importance, select, sorted_queries

GRAPH = llama()
GROUPS = {group.name: group for group in es.groups(GRAPH)}
KV, PLACES = GROUPS["block0.q.weight:0:0"], GROUPS["block0.q.weight:0:1"]


def sizes_of_queries(graph):
    """By hand: 2 kv heads of 4 queries of 4 channels; mean of the sums of squares of q and o."""
    q, o = (graph.parameters[f"block0.{part}.weight"].array.astype(np.float64) ** 2 for part in "qo")
    return (q.sum(axis=1).reshape(2, 4, 4).sum(axis=2) + o.sum(axis=0).reshape(2, 4, 4).sum(axis=2)) / 2


def test_queries_of_every_kv_head_are_by_falling_score_and_outputs_stay():
    graph, order = sorted_queries(GRAPH, KV, PLACES)
    before, after = sizes_of_queries(GRAPH), sizes_of_queries(graph)
    assert (order == np.argsort(-before, axis=1, kind="stable")).all()
    np.testing.assert_allclose(after, -np.sort(-before, axis=1))
    assert order.tolist() != [[0, 1, 2, 3]] * 2
    for name, array in run(GRAPH).items():
        np.testing.assert_allclose(run(graph)[name], array, atol=1e-4 * np.abs(array).max())


def test_the_places_that_leave_are_then_the_least_of_every_kv_head():
    graph, order = sorted_queries(GRAPH, KV, PLACES)
    chosen = select(importance(graph, [PLACES]), 0.5)
    assert chosen[PLACES.name].tolist() == [2, 3]
    smaller = es.prune.remove(graph, chosen)
    rows = GRAPH.parameters["block0.q.weight"].array.reshape(2, 4, 4, 32)
    stays = np.concatenate([rows[head, order[head, :2]].reshape(-1, 32) for head in range(2)])
    assert (smaller.parameters["block0.q.weight"].array == stays).all()


def test_equal_scores_leave_queries_where_they_are():
    _, order = sorted_queries(GRAPH, KV, PLACES, lambda graph, groups: {groups[0].name: np.ones(8)})
    assert order.tolist() == [[0, 1, 2, 3]] * 2


def test_what_is_not_inside_heads_and_pinned_groups_are_refused():
    with pytest.raises(InputError, match=r"places=block0.gate.weight:0:0: axis 0 of block0.gate.weight has none of"):
        sorted_queries(GRAPH, KV, GROUPS["block0.gate.weight:0:0"])
    pinned = replace(PLACES, pinned=GROUPS["embed.weight:0:0"].pinned)
    with pytest.raises(InputError, match="vocabulary"):
        sorted_queries(GRAPH, KV, pinned)
