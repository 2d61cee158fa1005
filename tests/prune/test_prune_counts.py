"""Counts are exact integers, whatever binary fractions do."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune import keep_count, prune_count
from eie_sim.prune.counts import least_count, nearest_density, share


@pytest.mark.parametrize(
    ("amount", "total", "pruned"),
    [
        (0.5, 5, 2),  # 2.5: half to even
        (0.5, 7, 4),  # 3.5
        (0.1, 25, 2),  # 2.5
        (0.35, 10, 4),  # 3.5 as a decimal; as binary fractions 0.35 x 10 happens to be 3.5 too
        (0.0, 9, 0),
        (1.0, 9, 9),
        (1, 9, 1),  # an integer is a count
        (3, 9, 3),
        (np.int64(3), 9, 3),
        (np.float32(0.1), 25, 2),
        (Fraction(1, 3), 9, 3),
    ],
)
def test_the_rule_of_torch(amount, total, pruned):
    assert prune_count(amount, total) == pruned


@pytest.mark.parametrize("total", [10, 20, 100])
def test_nine_tenths_are_nine_tenths(total):
    """int(n * (1 - 0.9)) is 0, 1 and 9 in floating point: 1 - 0.9 is 0.0999..."""
    assert int(total * (1 - 0.9)) == total // 10 - 1
    assert total - prune_count(0.9, total) == keep_count(0.1, total) == total // 10


def test_wanda_rounds_down_on_the_decimal():
    assert int(100 * 0.29) == 28
    assert prune_count(0.29, 100, rule="wanda") == 29
    assert prune_count(0.5, 7, rule="wanda") == 3
    assert keep_count(0.5, 7, rule="wanda") == 4


def test_sparsegpt_prunes_one_more():
    assert [prune_count(amount, 128, rule="sparsegpt") for amount in (0.0, 0.5, 0.999, 1.0)] == [1, 65, 128, 128]


def test_a_floor_is_never_undercut():
    assert [least_count(floor, 5) for floor in (0.0, 0.2, 0.21, 0.5, 1.0)] == [0, 1, 2, 3, 5]


@given(st.decimals(0, 1, places=6), st.integers(0, 10**12))
def test_what_is_kept_and_what_is_pruned_add_up(amount, total):
    amount = Fraction(amount)
    assert prune_count(amount, total) + keep_count(1 - amount, total) == total
    assert abs(prune_count(amount, total) - amount * total) <= Fraction(1, 2)


@given(st.data())
def test_shares_are_equal_as_far_as_there_is_room(data):
    capacity = np.array([data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=8))])
    total = data.draw(st.integers(0, int(capacity.sum())))
    parts, over = share(np.array([total]), np.ones(capacity.shape[1], dtype=np.int64), capacity)
    level = parts.max()
    room = parts < capacity
    assert (parts <= capacity).all()
    assert (parts[room] == level).all()
    assert parts.sum() + over[0] == total
    assert over[0] < max(1, np.count_nonzero(room))


def test_shares_in_proportion():
    """10 over widths 4, 4, 2: exactly 4, 4, 2. 9: 3.6, 3.6, 1.8 rounded down, two left over."""
    widths, room = np.array([4, 4, 2]), np.array([[8, 8, 4]])
    parts, over = share(np.array([10]), widths, room)
    assert parts.tolist() == [[4, 4, 2]]
    assert over.tolist() == [0]
    parts, over = share(np.array([9]), widths, room)
    assert parts.tolist() == [[3, 3, 1]]
    assert over.tolist() == [2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keep_count(1.5, 10), "density=1.5: must be in 0..1"),
        (lambda: keep_count(-0.1, 10), "density=-0.1: must be in 0..1"),
        (lambda: keep_count(float("nan"), 10), "density=nan: must be in 0..1"),
        (lambda: keep_count(True, 10), "density=True: must be a number in 0..1"),
        (lambda: keep_count("0.1", 10), "density='0.1': must be a number in 0..1"),
        (lambda: prune_count(11, 10), "amount=11: must be an integer in 0..10"),
        (lambda: prune_count(True, 10), "amount=True: must be an integer in 0..10"),
        (lambda: prune_count(1.1, 10), "amount=1.1: must be in 0..1"),
        (lambda: prune_count(0.1, -1), "total=-1: must be an integer >= 0"),
        (lambda: prune_count(0.1, 10, rule="ceil"), "rule=ceil: must be torch, wanda or sparsegpt"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("density", "total", "kept"),
    [
        (0.5, 5, 2),
        (0.5, 15, 8),
        (0.5, 7, 4),
        (0.1, 25, 2),
        (0.3, 5, 2),
        (0.5, 6, 3),
        (0.0, 5, 0),
        (1, 5, 5),
        (0.1, 15, 2),
    ],
)
def test_the_density_that_keeps_the_number_nearest_to_it(density, total, kept):
    """Half to even of what is kept, where `keep_count` rounds what is pruned."""
    found = nearest_density(density, total)
    assert keep_count(found, total) == keep_count(float(found), total) == kept
    assert (found == density) == (keep_count(density, total) == kept)


@given(st.integers(0, 1000).map(lambda n: n / 1000), st.integers(1, 10**6))
def test_nearest_is_round_half_to_even_of_what_is_kept(density, total):
    assert keep_count(nearest_density(density, total), total) == round(Fraction(str(density)) * total)
