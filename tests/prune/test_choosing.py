"""Which units go: hand cases, a ranking walked one unit at a time, and steps on graphs."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structured_models import llama, resnet18

import eie_sim as es
from eie_sim import InputError
from eie_sim.prune import importance, prune_count, select, structured

HAND = {"A": [1, 4, 4, 9], "B": [2, 2]}


def lists(chosen):
    return {name: units.tolist() for name, units in chosen.items()}


def test_the_hand_case_of_one_ranking_skips_a_group_at_its_floor():
    assert lists(select(HAND, 0.5, "global")) == {"A": [0, 1], "B": [0]}


def test_local_counts_are_of_each_group_and_the_lower_index_goes_first():
    found = select(HAND, 0.5)
    assert lists(found) == {"A": [0, 1], "B": [0]}
    assert lists(select({"A": [5, 5, 5, 5, 5], "B": [3, 1, 2]}, 0.5)) == {"A": [0, 1], "B": [1, 2]}  # 2.5 and 1.5
    assert (found.asked, found.achieved) == (0.5, 0.5)


def test_a_ratio_is_the_decimal_that_was_written():
    for n, ratio, gone in ((10, 0.9, 9), (20, 0.9, 18), (100, 0.9, 90), (25, 0.1, 2), (10, 0.35, 4)):
        assert len(select({"A": range(n)}, ratio)["A"]) == gone


def test_floors_are_shares_rounded_up_and_a_unit_always_stays():
    scores = {"A": range(10), "B": range(3)}
    assert {name: len(one) for name, one in select(scores, 0.75, floor=0.25).items()} == {"A": 7, "B": 2}
    assert {name: len(one) for name, one in select(scores, 0.9).items()} == {"A": 9, "B": 2}
    assert select(scores, 0.75, floor=0.25).achieved == 9 / 13
    with pytest.raises(InputError, match=r"ratio=0.9: must be at most 0.7, the largest"):  # of no group is it met
        select(scores, 0.9, floor=0.25)


def test_kept_counts_are_rounded_up_and_by_the_preset_down():
    scores = {"A": range(10), "B": range(6)}
    assert {name: len(one) for name, one in select(scores, 0.5, round_to=4).items()} == {"A": 2, "B": 2}
    down = select(scores, 0.5, round_to=4, preset="torch_pruning")
    assert {name: len(one) for name, one in down.items()} == {"A": 6, "B": 2}  # 3 of 6 would be 0
    assert lists(select({"A": range(6)}, 0.1, round_to=4)) == {"A": []}  # 8 is more than there are


def test_units_of_largest_scores_come_back_where_one_ranking_is_rounded():
    scores = {"A": [1, 9, 2, 3, 8, 7], "B": [4, 5, 6, 10]}
    assert lists(select(scores, 0.5, "global")) == {"A": [0, 2, 3], "B": [0, 1]}
    found = select(scores, 0.5, "global", round_to=4)
    assert lists(found) == {"A": [0, 2], "B": []}
    assert (found.asked, found.achieved) == (0.5, 0.2)


def test_a_ratio_of_its_own_takes_a_group_out_of_the_ranking():
    scores = {"A": [1, 2, 3, 4], "B": [1, 2, 3, 4], "C": [9, 9, 9, 9]}
    assert lists(select(scores, 0.5, "global", ratios={"A": 0})) == {"A": [], "B": [0, 1, 2], "C": [0]}
    assert lists(select(scores, 0, ratios={"C": 0.75})) == {"A": [], "B": [], "C": [0, 1, 2]}
    assert lists(select(scores, 0, "global", ratios=dict.fromkeys("ABC", 0.25))) == {name: [0] for name in "ABC"}


def test_groups_of_a_kind_share_a_ranking():
    scores = {"A": [1, 2, 3, 4], "B": [5, 6, 7, 8], "C": [0, 0]}
    found = select(scores, 0.5, "isomorphic", alike={"A": "same", "B": "same", "C": "other"})
    assert lists(found) == {"A": [0, 1, 2], "B": [0], "C": [0]}
    graph = llama()
    scores = importance(graph, es.groups(graph), normalise="none")
    found = select(scores, 0.5, "isomorphic")
    both = [name for name in scores if name.endswith("gate.weight:0:0")]
    alone = select({name: scores[name] for name in both}, 0.5, "global")
    assert {name: found[name].tolist() for name in both} == lists(alone)


small = st.integers(0, 3).map(float)
groups_of = st.dictionaries(st.sampled_from("ABCD"), st.lists(small, min_size=1, max_size=7), min_size=1)
RATIOS = st.integers(0, 20).map(lambda n: n / 20)


def walked(scores, total, least):
    """One unit after the other in order of (score, group, index)."""
    line = sorted(
        (one, at, unit, name) for at, (name, group) in enumerate(scores.items()) for unit, one in enumerate(group)
    )
    gone = {name: [] for name in scores}
    for _, _, unit, name in line:
        if sum(map(len, gone.values())) < total and len(scores[name]) - len(gone[name]) > least[name]:
            gone[name].append(unit)
    return {name: sorted(units) for name, units in gone.items()}


@given(groups_of, RATIOS, st.sampled_from([0, 0.25, 0.5]))
def test_one_ranking_is_a_walk_in_order(scores, ratio, floor):
    least = {name: max(1, int(np.ceil(floor * len(one)))) for name, one in scores.items()}
    size = sum(map(len, scores.values()))
    total, most = prune_count(ratio, size), size - sum(least.values())
    if total > most:
        with pytest.raises(InputError, match="the largest that floors let reach"):
            select(scores, ratio, "global", floor=floor)
        assert sum(map(len, select(scores, Fraction(most, size), "global", floor=floor).values())) == most
        return
    assert lists(select(scores, ratio, "global", floor=floor)) == walked(scores, total, least)


@given(groups_of, RATIOS, st.integers(1, 4), st.sampled_from([None, "torch_pruning"]))
def test_what_is_kept_is_a_multiple_or_all_and_the_best(scores, ratio, round_to, preset):
    try:
        found = select(scores, ratio, round_to=round_to, preset=preset)
    except InputError:
        assert all(prune_count(ratio, len(one)) == len(one) for one in scores.values())
        return
    for name, one in scores.items():
        kept = len(one) - len(found[name])
        exact = max(1, len(one) - prune_count(ratio, len(one)))
        assert kept == len(one) or kept % round_to == 0
        assert kept >= exact or (preset and kept > exact - round_to)
        order = sorted(range(len(one)), key=lambda unit, one=one: (one[unit], unit))
        assert found[name].tolist() == sorted(order[: len(one) - kept])


@pytest.mark.parametrize("scope", ["local", "global", "isomorphic"])
@given(scores=groups_of, ratio=RATIOS, steps=st.integers(1, 4))
def test_steps_leave_as_many_as_the_ratio_of_initial_sizes(scope, scores, ratio, steps):
    """Scores that stay as they are: so what goes in steps is what goes at once."""
    alike = dict.fromkeys(scores, 0)
    try:
        at_once = select(scores, ratio, scope, alike=alike)
    except InputError:
        return
    live = {name: np.arange(len(one)) for name, one in scores.items()}
    sizes = {name: len(one) for name, one in scores.items()}
    for step in range(1, steps + 1):
        now = {name: np.array(one)[live[name]] for name, one in scores.items()}
        found = select(now, Fraction(str(ratio)) * Fraction(step, steps), scope, alike=alike, sizes=sizes)
        live = {name: np.delete(live[name], found[name]) for name in live}
    assert {name: np.delete(np.arange(sizes[name]), one).tolist() for name, one in live.items()} == lists(at_once)
    assert found.achieved == at_once.achieved


NETWORKS = {"resnet18": (partial(resnet18, True), 2_797_610, 12), "llama": (llama, 3_600, 9)}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_of_every_group_leaves_the_published_parameters(name, steps):
    make, parameters, n_group = NETWORKS[name]
    seen = []
    found = structured(make(), 0.5, steps=steps, callback=lambda graph, step: seen.append(step))
    assert es.prune.parameter_count(found.graph) == parameters
    assert len(found.units) == n_group
    assert seen == list(range(1, steps))
    assert found.units.achieved == 0.5


def test_what_one_step_removes_is_what_importance_select_and_remove_do():
    graph = llama()
    scored = partial(importance, score="l1", aggregate="sum", normalise="max")
    found = structured(graph, 0.4, scored=scored, scope="global", verify=True)
    chosen = select(scored(graph, es.groups(graph)), 0.4, "global")
    assert lists(found.units) == lists(chosen)
    smaller = es.prune.remove(graph, chosen)
    assert all((one.array == smaller.parameters[name].array).all() for name, one in found.graph.parameters.items())


def test_scores_are_anew_in_each_step_and_units_are_numbered_as_at_first():
    graph = llama()
    name = "block0.gate.weight:0:0"
    sums = [np.arange(48.0), -np.arange(36.0)]

    def scored(graph, groups):
        return {name: sums.pop(0)}

    found = structured(graph, 0.5, steps=2, scored=scored, only=[name])
    assert found.units[name].tolist() == [*range(12), *range(36, 48)]
    before, after = (one.parameters["block0.up.weight"].array for one in (graph, found.graph))
    assert (after == before[12:36]).all()


def test_groups_are_followed_where_one_of_them_has_a_single_unit_left():
    """A kv head of two leaves first, so that dimensions of its axes get other numbers."""
    graph = llama()
    kv, place = "block0.q.weight:0:0", "block0.q.weight:0:1"
    seen = []

    def scored(graph, groups):
        seen.append({group.name: group.size for group in groups if group.name in (kv, place)})
        return importance(graph, groups)

    found = structured(graph, 0.75, steps=3, scored=scored, only=[kv, place], ratios={kv: 0.5}, verify=True)
    assert seen == [{kv: 2, place: 4}, {kv: 2, place: 3}, {kv: 1, place: 2}] or seen[-1] == {place: 2}
    assert {name: len(units) for name, units in found.units.items()} == {kv: 1, place: 3}
    assert found.graph.parameters["block0.q.weight"].array.shape == (4, 32)


def test_a_callback_may_change_the_weights_of_the_next_step():
    graph = llama()
    name = "block0.gate.weight:0:0"

    def tuned(graph, step):
        w = graph.parameters["block0.up.weight"].array.copy()
        w[0] = 0
        return graph.with_parameters({"block0.up.weight": w, "block0.gate.weight": w, "block0.down.weight": w.T.copy()})

    first = structured(graph, 0.25, only=[name])
    found = structured(graph, 0.5, steps=2, only=[name], callback=tuned)
    stays = np.delete(np.arange(48), first.units[name])
    assert stays[0] in found.units[name]


def test_a_ratio_out_of_reach_is_refused_before_the_first_step():
    graph, called = llama(), []
    with pytest.raises(InputError, match=r"ratio=0.9: must be at most 0.75"):
        structured(graph, 0.9, steps=3, only=["block0.q.weight:0:1"], callback=lambda *given: called.append(given))
    assert called == []


BAD = [
    (({}, 0.5), {}, "importance=none"),
    ((HAND, 1.5), {}, r"ratio=1.5: must be in 0..1"),
    ((HAND, -0.1), {}, r"ratio=-0.1"),
    ((HAND, float("nan")), {}, "ratio=nan"),
    ((HAND, "half"), {}, "ratio='half'"),
    ((HAND, 0.5, "all"), {}, "scope=all: must be local, global or isomorphic"),
    ((HAND, 0.5), {"floor": 2}, "floor=2"),
    ((HAND, 0.5), {"round_to": 0}, "round_to=0"),
    ((HAND, 0.5), {"preset": "torch"}, "preset=torch"),
    ((HAND, 0.5), {"ratios": {"C": 0.5}}, "ratios=C: unknown"),
    ((HAND, 0.5), {"ratios": {"A": 2}}, "ratio of A=2"),
    ((HAND, 0.5), {"ratios": {"A": 1}}, "ratio=1.0: must be at most 0.75"),
    ((HAND, 0.5), {"sizes": {"A": 3}}, "size of A=3"),
    (({"A": [1, np.nan]}, 0.5), {}, "importance of A=not finite"),
    (({"A": [[1, 2]]}, 0.5), {}, r"importance of A=shape \(1, 2\)"),
    ((HAND, 0.5, "isomorphic"), {}, "alike=0 groups: must say of which kind A is"),
    ((HAND, 1), {}, "ratio=1.0: must be at most 0.75, the largest that floors let reach"),
    ((HAND, 0.9, "global"), {}, "ratio=0.9: must be at most 0.666667"),
    ((HAND, 0.5, "global"), {"floor": 0.75}, "ratio=0.5: must be at most 0.166667"),
]


@pytest.mark.parametrize(("given", "more", "message"), BAD)
def test_bad_settings_are_refused_in_one_line(given, more, message):
    with pytest.raises(InputError, match=message) as error:
        select(*given, **more)
    assert "\n" not in str(error.value)


def test_unknown_and_pinned_groups_are_refused_by_name():
    graph = llama()
    with pytest.raises(InputError, match=r"only=block0.gate.weight: unknown; did you mean block0.gate.weight:0:0"):
        structured(graph, 0.5, only=["block0.gate.weight"])
    with pytest.raises(InputError, match=r"only=embed.weight:0:0: must not be pinned, .*vocabulary"):
        structured(graph, 0.5, only=["embed.weight:0:0"])
    with pytest.raises(InputError, match="steps=0"):
        structured(graph, 0.5, steps=0)


def test_no_public_function_has_the_name_of_a_module_which_would_take_its_place():
    folder = Path(es.prune.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")}
    functions = {name for name in es.prune.__all__ if callable(getattr(es.prune, name))}
    assert {"select", "importance", "remove", "permute", "lasso_channels"} <= functions
    assert functions & modules == set()
