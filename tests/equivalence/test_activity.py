"""What happened when, in bins of cycles: against every cycle looked at one by one, and the result's own classes."""

from itertools import pairwise

import numpy as np
import pytest
from cycle_stepped import DRAIN, entries_of, scan, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import busy_cases, cases

import eie_sim as es
from eie_sim.units.eie.activity import activity_of
from eie_sim.units.eie.words import EieClass

MATRIX = es.EieMatrix.from_dense(np.eye(6), n_pe=2)


def stepped(case):
    """Class int[cycles, n_pe] and items in the queue int[cycles, n_pe] of every cycle, by the third engine."""
    config = case.config
    active = case.activations > 0 if config.active == "positive" else case.activations != 0
    table = entries_of(case.codes, case.bias_codes, config.n_pe, config.index_bits)
    steps = scan(active.tolist(), config.n_pe, case.bias_codes is not None)
    cycles, sent_at, taken_at, log = simulate(table, steps, config.n_pe, config.queue_depth)
    kinds = np.full((cycles, config.n_pe), EieClass.WAITING)
    queued = np.zeros((cycles, config.n_pe), dtype=int)
    for pe, done in enumerate(log):
        for cycle, kind in done:
            if cycle <= cycles:
                kinds[cycle - 1, pe] = EieClass[kind.upper()]
        for k, sent in enumerate(sent_at):
            queued[sent : taken_at[k][pe], pe] += 1
    kinds[max(cycles - DRAIN, 0) :] = EieClass.DRAIN
    return kinds, queued


def means(per_cycle, edges):
    """Mean over each bin's cycles of a quantity [cycles, n_pe], as [n_pe, n_bin]."""
    parts = [per_cycle[low - 1 : high - 1].mean(axis=0) for low, high in pairwise(edges)]
    return np.array(parts).T.reshape(per_cycle.shape[1], len(edges) - 1)


@given(cases() | busy_cases(), st.data())
def test_bins_are_what_every_cycle_says(case, data):
    kinds, queued = stepped(case)
    ran = es.activity(case.matrix, case.activations, case.config)
    assert ran.cycles == len(kinds)
    every = st.just(range(1, ran.cycles + 2))
    edges = sorted(data.draw(every | st.sets(st.integers(1, ran.cycles + 1), min_size=1)))
    issuing = (kinds == EieClass.WEIGHT) | (kinds == EieClass.PADDING)
    np.testing.assert_allclose(ran.busy(edges), means(issuing, edges), atol=1e-12)
    np.testing.assert_allclose(ran.queued(edges), means(queued, edges), atol=1e-12)
    np.testing.assert_allclose(ran.full(edges), means(queued == case.config.queue_depth, edges), atol=1e-12)
    of_each = np.array([ran.classes_of(pe, edges) for pe in range(ran.n_pe)])
    for kind in EieClass:
        np.testing.assert_allclose(of_each[:, kind], means(kinds == kind, edges) * np.diff(edges), atol=1e-9)
    np.testing.assert_array_equal(ran.classes(edges), of_each.sum(axis=0))


@pytest.mark.parametrize("engine", ["fast", "reference"])
@settings(max_examples=30)
@given(case=cases() | busy_cases(), n_bin=st.integers(1, 40))
def test_classes_add_up_to_the_results_own(engine, case, n_bin):
    result = es.simulate(case.matrix, case.activations, case.config, engine=engine, timeline=True)
    ran = activity_of(case.matrix, case.activations, result, label=engine)
    edges = ran.bins(n_bin)
    assert (edges[0], edges[-1], len(edges)) == (1, ran.cycles + 1, min(n_bin, ran.cycles) + 1)
    assert np.ptp(np.diff(edges)) <= 1 if ran.cycles else len(edges) == 1
    of_each = [ran.classes_of(pe, edges).sum(axis=1) for pe in range(ran.n_pe)]
    np.testing.assert_array_equal(of_each, result.classes)
    np.testing.assert_array_equal(ran.classes(edges).sum(axis=0), ran.n_pe * np.diff(edges))
    np.testing.assert_array_equal(ran.sent_at, result.timeline[0])
    np.testing.assert_array_equal(ran.taken_at, result.timeline[1])
    lost = ran.ready_at - np.concatenate([[1], ran.sent_at[:-1]])[: ran.n_item] - 1
    waits = result.stats["broadcast"]
    assert (lost.sum(), (ran.sent_at - ran.ready_at).sum()) == (waits["lost_cycles"], waits["blocked_cycles"])
    assert (lost >= 0).all()
    assert (ran.sent_at >= ran.ready_at).all()
    assert (ran.cycles, ran.config_hash) == (result.cycles, result.config_hash)


def test_items_are_the_active_inputs_and_the_bias_with_what_drives_them():
    rng = np.random.default_rng(0)
    matrix = es.EieMatrix.from_dense(rng.normal(size=(9, 5)), n_pe=2, bias=np.ones(9))
    batch = np.array([[0.0, 0.5, -1.0, 0.0, 2.0], [60.0, 0.0, 0.0, 0.0, 0.0]])
    ran = es.activity(matrix, batch, vector=0)
    one = 2 ** matrix.with_scales_for(batch).scales.activation
    assert one < 2**14, "the scale is that of the whole batch, whose largest input is in the other vector"
    assert ran.columns.tolist() == [1, 4, 5]
    assert ran.values.tolist() == [0.5 * one, 2 * one, one]
    assert ran.entries.tolist() == [[5, 4]] * 3
    assert es.activity(matrix, batch, vector=1).columns.tolist() == [0, 5]


def test_a_layer_that_issues_nothing_has_no_bin():
    ran = es.activity(MATRIX, np.zeros(6))
    assert (ran.cycles, ran.last_issue, ran.n_item, ran.bins(9).tolist()) == (0, 0, 0, [1])
    assert ran.classes([1]).dtype == np.int64
    assert ran.busy([1]).shape == ran.queued([1]).shape == ran.full([1]).shape == (2, 0)
    assert ran.classes([1]).shape == (len(EieClass), 0)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ([[1], [2, 3]], "edges: must be a rectangular array of numbers"),
        (np.array([], dtype=int), "edges=int64 of shape (0,): must be a list of cycle numbers"),
        ([[1, 2]], "edges=int64 of shape (1, 2): must be a list of cycle numbers"),
        ([1.0, 2.0], "edges=float64 of shape (2,): must be a list of cycle numbers"),
        ([0, 5], "edges=0..5: must ascend within 1..15, one after the last cycle"),
        ([1, 16], "edges=1..16: must ascend within 1..15, one after the last cycle"),
        ([7, 3, 9], "edges=7..9: must ascend within 1..15, one after the last cycle"),
    ],
)
def test_edges_are_refused_with_what_they_are(edges, said):
    ran = es.activity(MATRIX, np.ones(6))
    assert ran.busy(np.array([1, 15], dtype=np.uint8)).shape == (2, 1)
    with pytest.raises(es.InputError) as error:
        ran.busy(edges)
    assert str(error.value) == said


@pytest.mark.parametrize("edges", [[], [0, 5], [5, 5], [7, 3], [1, 99], [1.0, 2.0], [[1, 2]], ["1", "2"]])
def test_edges_outside_the_run_are_refused(edges):
    ran = es.activity(MATRIX, np.ones(6))
    for ask in (ran.busy, ran.queued, ran.full, ran.classes):
        with pytest.raises(es.InputError, match=r"^edges="):
            ask(edges)


def test_bins_and_pes_that_are_not_there_are_refused():
    ran = es.activity(MATRIX, np.ones(6))
    for ask, said in [
        (lambda: ran.bins(0), "n_bin=0: must be an integer >= 1"),
        (lambda: ran.classes_of(2, [1]), "pe=2: must be an integer in 0..1"),
        (lambda: ran.classes_of(-1, [1]), "pe=-1: must be an integer in 0..1"),
        (lambda: es.activity(MATRIX, np.ones((0, 6))), "activations=shape (0, 6): must be at least one vector"),
    ]:
        with pytest.raises(es.InputError) as error:
            ask()
        assert str(error.value) == said


def test_open_scales_are_chosen_for_what_takes_part_in_any_vector():
    batch = np.array([[1.0] * 6, [-9.0] * 6])
    for active in ("positive", "nonzero"):
        ran = es.activity(MATRIX, batch, es.EieConfig(n_pe=2, active=active), vector=0)
        assert ran.matrix.scales == MATRIX.with_scales_for(batch, active=active).scales
        assert ran.label == "6x6, vector 0"
    assert MATRIX.with_scales_for(batch).scales != MATRIX.with_scales_for(batch, active="nonzero").scales


def test_what_cannot_be_run_is_refused():
    for bad, said in [
        ({"vector": 2}, r"vector=2: must be an integer in 0\.\.1"),
        ({"vector": -1}, r"vector=-1: must be an integer in 0\.\.1"),
        ({"activations": np.ones(5)}, r"activations=shape \(5,\)"),
        ({"activations": np.ones((0, 6))}, r"at least one vector"),
        ({"activations": 0.5}, r"activations=shape \(\)"),
        ({"engine": "fats"}, r"engine=fats: unknown; did you mean fast"),
        ({"config": es.EieConfig()}, r"config\.n_pe=64"),
        ({"config": es.TensorCoreConfig()}, r"config=TensorCoreConfig: must be EieConfig"),
        ({"matrix": es.NmMatrix.from_dense(np.eye(4))}, r"matrix=NmMatrix: must be EieMatrix"),
    ]:
        given_ = {"matrix": MATRIX, "activations": np.ones((2, 6)), **bad}
        with pytest.raises(es.InputError, match=said):
            es.activity(given_.pop("matrix"), given_.pop("activations"), **given_)
