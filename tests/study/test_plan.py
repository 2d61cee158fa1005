"""Every point is handed out until it is answered or given up, whatever workers do; bundles stay together."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.study.work import FIRST_POINTS, SLICE_S, Done, Plan


def done(count, seconds=SLICE_S):
    return Done(False, [("key", "line")] * count, [], seconds)


@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 5), st.integers(0, 10**9))
def test_every_point_is_answered_once_or_given_up(sizes, workers, seed):
    random = Random(seed)
    points = iter(range(10**6))
    bundles = [[next(points) for _ in range(size)] for size in sizes]
    plan, flying, seen = Plan(bundles), [], Counter()
    while plan.left or flying:
        while len(flying) < workers and (sent := plan.take(workers)):
            flying.append(sent)
        assert len(flying) == workers or not plan.left
        sent = flying.pop(random.randrange(len(flying)))
        if random.random() < 0.1:
            seen.update(plan.died(sent))
            continue
        count = random.randint(1, len(sent.points))
        plan.answered(sent, done(count, random.choice([0.0, 0.01, 10.0])))
        seen.update(sent.points[:count])
    assert seen == Counter(point for bundle in bundles for point in bundle)


def test_bundles_stay_with_their_worker_and_the_last_is_shared():
    plan = Plan([range(100), range(100, 200)])
    first, second = plan.take(2), plan.take(2)
    assert (first.points[0], second.points[0]) == (0, 100)
    plan.answered(second, done(FIRST_POINTS, 0.01))
    third = plan.take(2)
    assert third.points == tuple(range(116, 116 + 4 * FIRST_POINTS)) and third.stream is second.stream
    plan.answered(third, done(len(third.points), 0.01))
    plan.answered(plan.take(2), done(20, 0.01))
    assert plan.take(2).points[0] == 58, "half of the other's rest, from its end"


def test_what_a_worker_had_no_time_for_comes_next():
    plan = Plan([range(40)])
    sent = plan.take(1)
    plan.answered(sent, done(3))
    assert plan.take(1).points == (3, 4, 5, 6, 7, 8), "twice what the time is enough for"


def test_few_points_are_shared_out_evenly():
    plan = Plan([range(3)])
    assert [plan.take(2).points for _ in range(3)] == [(0,), (2,), (1,)]


def test_points_of_a_dead_worker_go_out_one_by_one_and_are_given_up_after_two_lone_deaths():
    plan = Plan([range(3)])
    assert plan.died(plan.take(1)) == ()
    alone = [plan.take(1) for _ in range(3)]
    assert [sent.points for sent in alone] == [(0,), (1,), (2,)]
    assert plan.died(alone[1]) == ()
    assert plan.died(plan.take(1)) == (1,)
    assert plan.left == 0


def test_an_evaluator_that_answers_nothing_is_refused():
    plan = Plan([[1]])
    with pytest.raises(RuntimeError, match="one point at least"):
        plan.answered(plan.take(1), done(0))
