"""Axes that go together, aligned: whatever units leave, every relation still holds place by place."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.prune.dimensions import Dimension, align, atoms, numbered, places, product, summed, taken


def sizes(dimension):
    return [atom.size for atom in numbered(dimension)]


def test_a_larger_atom_is_cut_where_a_smaller_one_ends():
    whole, parts = Dimension(24), [Dimension(2), Dimension(3), Dimension(4)]
    assert align(whole, product(parts)) == []
    assert numbered(whole) == parts
    assert align(whole, summed([Dimension(12), Dimension(12)])) == []
    assert sizes(whole) == [2, 3, 4]  # places 0 and 1 of the first dimension stand alone
    other = Dimension(24)
    assert align(other, product([Dimension(6), Dimension(4)])) == [] and align(other, whole) == []
    assert sizes(other)[1:] == [3, 4]


def test_parts_of_a_sum_are_cut_where_the_other_is():
    one, other = Dimension(10), Dimension(10)
    assert align(one, summed([Dimension(4), Dimension(6)])) == []
    assert align(other, summed([Dimension(7), Dimension(3)])) == []
    assert align(one, other) == []
    assert sizes(one) == sizes(other) == [4, 3, 3]


def test_pieces_that_fit_cut_the_outermost_dimension_of_a_product():
    left, right, groups, inside = Dimension(4), Dimension(6), Dimension(5), Dimension(2)
    assert align(summed([left, right]), product([groups, inside])) == []
    assert sizes(groups) == [2, 3]
    assert numbered(left)[1] is numbered(right)[1] is inside


def test_a_dimension_between_two_others_is_cut_too_the_innermost_never():
    gates, hidden = Dimension(4), Dimension(3)
    biases = product([Dimension(2), gates, hidden])
    parts = [Dimension(size) for size in (3, 9, 3, 9)]
    assert align(biases, summed(parts)) == []
    assert parts[0].same is hidden and sizes(gates) == [1, 3]
    unfit = align(product([Dimension(2), Dimension(6)]), summed([Dimension(5), Dimension(7)]))
    assert [dimension.size for dimension in unfit] == [12, 12]


@pytest.mark.parametrize(
    ("one", "other", "n_unfit"),
    [((6, 4), (4, 6), 4), ((6, 4, 5), (4, 6, 5), 4), ((12, 5), (4, 5, 3), 4), ((6, 5), (2, 15), 0)],
)
def test_products_without_a_common_cut_do_not_fit_there(one, other, n_unfit):
    first, second = (product([Dimension(size) for size in which]) for which in (one, other))
    assert len(align(first, second)) == n_unfit


class Drawn:
    """Axes and relations between them, and what the relations say of places that are there."""

    def __init__(self, data):
        self.data, self.axes, self.holds, self.unfit, self.links = data, [], [], [], []

    def pick(self, choices):
        return choices[self.data.draw(st.integers(0, len(choices) - 1))]

    def axis(self, size):
        self.axes.append(Dimension(size))
        return self.axes[-1]

    def relate(self, one, other, holds, parts=()):
        """parts : axes that stand end to end where the first has its places"""
        self.unfit += align(one, other)
        self.holds.append(holds)
        ends = [(part, at) for part in parts for at in range(part.size)]
        self.links += [((one, at), end) for at, end in enumerate(ends)]

    def same(self):
        one = self.pick(self.axes)
        other = self.pick([axis for axis in self.axes if axis.size == one.size])
        self.relate(one, other, lambda at: np.array_equal(at(one), at(other)), [other])

    def joined(self):
        parts = [self.pick(self.axes) for _ in range(self.data.draw(st.integers(2, 3)))]
        whole = self.axis(sum(part.size for part in parts))
        starts = np.cumsum([0, *(part.size for part in parts)])
        self.relate(
            whole,
            summed(parts),
            lambda at: np.array_equal(
                at(whole), np.concatenate([start + at(part) for start, part in zip(starts, parts, strict=False)])
            ),
            parts,
        )

    def cut(self):
        whole = self.pick(self.axes)
        first = self.axis(self.data.draw(st.integers(1, whole.size)))
        both = [first, self.axis(whole.size - first.size)] if first.size < whole.size else [first]
        self.relate(
            whole,
            summed(both),
            lambda at: np.array_equal(
                at(whole), np.concatenate([at(first), *(first.size + at(one) for one in both[1:])])
            ),
            both,
        )

    def regrouped(self):
        before = [self.pick(self.axes) for _ in range(self.data.draw(st.integers(1, 2)))]
        size = prod(one.size for one in before)
        outer = self.pick([n for n in range(1, size + 1) if size % n == 0])
        after = [self.axis(outer), self.axis(size // outer)]

        def numbers(at, axes):
            found = np.zeros(1, dtype=int)
            for one in axes:
                found = (found[:, None] * one.size + at(one)).reshape(-1)
            return found

        self.relate(product(before), product(after), lambda at: np.array_equal(numbers(at, before), numbers(at, after)))


@given(st.data())
def test_every_relation_holds_whatever_units_leave(data):
    drawn = Drawn(data)
    for _ in range(data.draw(st.integers(1, 3))):
        drawn.axis(data.draw(st.integers(1, 12)))
    for _ in range(data.draw(st.integers(1, 6))):
        small = [axis for axis in drawn.axes if axis.size <= 24]
        drawn.axes = small or drawn.axes
        getattr(drawn, data.draw(st.sampled_from(["same", "joined", "cut", "regrouped"])))()
    pinned = {atom for dimension in drawn.unfit for atom in atoms(dimension)}
    free = [atom for axis in drawn.axes for atom in atoms(axis) if atom not in pinned and atom.size > 1]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    kept = {atom: np.flatnonzero(rng.random(atom.size) < 0.6) for atom in dict.fromkeys(free)}
    assert all(holds(lambda axis: taken(axis, kept)) for holds in drawn.holds)
    for axis in drawn.axes:
        assert np.array_equal(taken(axis, {}), np.arange(axis.size))
        gone = [at[np.isin(units, kept[atom], invert=True)] for atom, at, units in places(axis) if atom in kept]
        left = np.setdiff1d(np.arange(axis.size), np.concatenate([[], *gone]))
        assert np.array_equal(left, taken(axis, kept))


@given(st.data())
def test_without_products_a_unit_is_what_hangs_together_place_by_place(data):
    """The same rules said per coordinate: places of axes that are one or parts of each other, joined one by one."""
    drawn = Drawn(data)
    drawn.axis(data.draw(st.integers(1, 9)))
    drawn.axis(data.draw(st.integers(1, 9)))
    for _ in range(data.draw(st.integers(1, 6))):
        drawn.axes = [axis for axis in drawn.axes if axis.size <= 24] or drawn.axes
        getattr(drawn, data.draw(st.sampled_from(["same", "joined", "cut"])))()
    assert drawn.unfit == []
    known = list({end[0]: None for link in drawn.links for end in link})
    component = {(axis, at): (number, at) for number, axis in enumerate(known) for at in range(axis.size)}
    changed = True
    while changed:
        changed = False
        for one, other in drawn.links:
            least = min(component[one], component[other])
            changed |= component[one] != component[other]
            component[one] = component[other] = least
    units = {
        (axis, place): (id(atom), unit)
        for axis in known
        for atom, at, numbers in places(axis)
        for place, unit in zip(at.tolist(), numbers.tolist(), strict=True)
    }
    n_component = len(set(component.values()))
    assert len({(units[one], component[one]) for one in units}) == len(set(units.values())) == n_component
