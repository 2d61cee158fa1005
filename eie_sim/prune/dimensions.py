"""An axis as dimensions: atoms, products of what a reshape numbers row by row, sums of what stands end to end.

Two axes that go together are aligned: an atom becomes what it stands beside, and what is larger is cut to fit. So the
same dimension stands in every axis that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.int64]
How = Literal["", "product", "sum"]


@dataclass(eq=False, slots=True)
class Dimension:
    """A dimension of `size`.

    how : "" of an atom; a product has parts one inside the other, outermost first; a sum one after the other
    same : the dimension that it was found to be
    """

    size: int
    how: How = ""
    parts: tuple[Dimension, ...] = ()
    same: Dimension | None = None


def found(dimension: Dimension) -> Dimension:
    """What stands for a dimension since it was aligned."""
    last = dimension
    while last.same is not None:
        last = last.same
    while dimension.same is not None and dimension.same is not last:
        dimension.same, dimension = last, dimension.same
    return last


def listed(dimension: Dimension, how: How) -> list[Dimension]:
    """The parts of a product or of a sum, none of which is one itself; of another dimension itself."""
    dimension = found(dimension)
    if dimension.how != how:
        return [dimension]
    flat = [part for one in dimension.parts for part in listed(one, how)]
    dimension.parts = tuple(flat)
    return flat


def product(parts: Sequence[Dimension]) -> Dimension:
    """Dimensions one inside the other; those of 1 are left out."""
    return _joined([part for one in parts for part in listed(one, "product") if part.size != 1], "product")


def summed(parts: Sequence[Dimension]) -> Dimension:
    """Dimensions one after the other; those of 0 are left out."""
    return _joined([part for one in parts for part in listed(one, "sum") if part.size != 0], "sum")


def _joined(parts: list[Dimension], how: How) -> Dimension:
    if len(parts) == 1:
        return parts[0]
    sizes = [part.size for part in parts]
    return Dimension(prod(sizes) if how == "product" else sum(sizes), how, tuple(parts))


def align(first: Dimension, second: Dimension) -> list[Dimension]:
    """Make two dimensions of a size one. Return those that do not fit each other: a cut goes through a sum."""
    waiting, refused = [(first, second)], []
    while waiting:
        one, other = map(found, waiting.pop())
        if one is other:
            continue
        if not other.how:
            one, other = other, one
        if one.how:
            both = one.how == other.how == "product"
            pairs, unfit = side_by_side(one, other) if both else end_to_end(one, other)
            refused += unfit
            waiting += pairs
            if not pairs:
                continue
            if one.how == "product":
                one, other = other, one
        one.same = other
    return refused


Pairs = tuple[list[tuple[Dimension, Dimension]], list[Dimension]]


def side_by_side(first: Dimension, second: Dimension) -> Pairs:
    """What two products have at the same place, outermost first, and runs of them that share no cut."""
    pairs, unfit = [], []
    stacks = [listed(one, "product")[::-1] for one in (first, second)]
    while stacks[0]:
        for stack in stacks:
            stack[-1:] = listed(stack[-1], "product")[::-1]  # it may have been cut meanwhile
        small, large = sorted(stacks, key=lambda stack: stack[-1].size)
        if small[-1].size == large[-1].size:
            pairs.append((stacks[0].pop(), stacks[1].pop()))
        elif not large[-1].how and large[-1].size % small[-1].size == 0:
            _split(large[-1], small[-1].size)
        else:
            runs = _runs(stacks)
            if min(map(len, runs)) == 1:
                pairs.append((product(runs[0]), product(runs[1])))
            else:
                unfit += [*runs[0], *runs[1]]
    return pairs, unfit


def _split(atom: Dimension, outer: int) -> None:
    """Make an atom a product of `outer` and the rest."""
    atom.same = product((Dimension(outer), Dimension(atom.size // outer)))


def _runs(stacks: list[list[Dimension]]) -> list[list[Dimension]]:
    """The shortest runs of a size from the ends of two stacks; an atom that goes beyond is cut if that fits."""
    runs = [[stack.pop()] for stack in stacks]
    while (sizes := [prod(one.size for one in run) for run in runs])[0] != sizes[1]:
        side = int(sizes[1] < sizes[0])
        needed, rest = divmod(max(sizes), min(sizes))
        stack = stacks[side]
        stack[-1:] = listed(stack[-1], "product")[::-1]
        if rest == 0 and not stack[-1].how and stack[-1].size > needed and stack[-1].size % needed == 0:
            _split(stack[-1], needed)
        else:
            runs[side].append(stack.pop())
    return runs


def end_to_end(first: Dimension, second: Dimension) -> Pairs:
    """The parts of two sums at the same place; a product is a sum of what its outermost dimension is a sum of."""
    pairs = []
    stacks = [listed(one, "sum")[::-1] for one in (first, second)]
    while stacks[0]:
        for stack in stacks:
            stack[-1:] = listed(stack[-1], "sum")[::-1]
        small, large = sorted(stacks, key=lambda stack: stack[-1].size)
        if small[-1].size == large[-1].size:
            pairs.append((stacks[0].pop(), stacks[1].pop()))
            continue
        pieces = _cut(large.pop(), small[-1].size)
        if pieces is None:
            return [], [first, second]
        large += pieces[::-1]
    return pairs, []


def _cut(dimension: Dimension, at: int) -> tuple[Dimension, ...] | None:
    """The first `at` places of a dimension and the rest; None where a dimension inside another would be cut."""
    dimension = found(dimension)
    if at in (0, dimension.size):
        ends = (Dimension(0), dimension)
        return ends if at == 0 else ends[::-1]
    if not dimension.how:
        pieces = (Dimension(at), Dimension(dimension.size - at))
        dimension.same = summed(pieces)
        return pieces
    if dimension.how == "product":
        return _cut_product(dimension, at)
    before, after = [], listed(dimension, "sum")
    while at >= after[0].size:
        at -= after[0].size
        before.append(after.pop(0))
    inside = _cut(after[0], at)
    return None if inside is None else (summed([*before, inside[0]]), summed([inside[1], *after[1:]]))


def _cut_product(dimension: Dimension, at: int) -> tuple[Dimension, ...] | None:
    """A product in two. Its innermost dimension is never cut; one around that is, and is a sum everywhere then."""
    outer, *inside = listed(dimension, "product")
    inner = product(inside)
    whole, rest = divmod(at, inner.size)
    if rest == 0:
        outers = _cut(outer, whole)
        return None if outers is None else tuple(product((one, inner)) for one in outers)
    halves = _cut(inner, rest) if inner.how else None
    start = None if halves is None else _cut(outer, whole)
    end = None if start is None else _cut(start[1], 1)
    if halves is None or start is None or end is None:
        return None
    before, after = product((start[0], inner)), product((end[1], inner))
    return summed((before, halves[0])), summed((halves[1], after))


def atoms(dimension: Dimension) -> list[Dimension]:
    """The atoms in a dimension, each once, in order."""
    dimension = found(dimension)
    return list(dict.fromkeys(atom for one in dimension.parts for atom in atoms(one))) if dimension.how else [dimension]


def numbered(dimension: Dimension) -> list[Dimension]:
    """The dimensions of an axis by their numbers: its atoms in order, each once, places that stand alone together."""
    dimension = found(dimension)
    if not dimension.how or (dimension.how == "sum" and all(one.size == 1 for one in listed(dimension, "sum"))):
        return [dimension]
    return list(dict.fromkeys(one for part in listed(dimension, dimension.how) for one in numbered(part)))


def places(dimension: Dimension) -> Iterator[tuple[Dimension, Vector, Vector]]:
    """Yield every atom, as often as it occurs: where on the axis it is, and its unit there, int64 [places] each."""
    dimension = found(dimension)
    if not dimension.how:
        yield dimension, np.arange(dimension.size), np.arange(dimension.size)
    outer, inner, start = 1, dimension.size, 0
    for part in dimension.parts:
        if dimension.how == "sum":
            yield from ((atom, start + where, units) for atom, where, units in places(part))
            start += part.size
            continue
        inner //= part.size
        for atom, where, units in places(part):
            around = np.arange(outer)[:, None, None] * (part.size * inner) + np.arange(inner)
            spread = around + where[:, None] * inner
            yield atom, spread.reshape(-1), np.broadcast_to(units[:, None], spread.shape).reshape(-1)
        outer *= part.size


def taken(dimension: Dimension, chosen: Mapping[Dimension, Any]) -> Vector:
    """Which places of an axis are there, in order, where these units of atoms are: int64 [places].

    chosen : units by atom; of another one all
    """
    dimension = found(dimension)
    if not dimension.how:
        return np.asarray(chosen.get(dimension, np.arange(dimension.size)), dtype=np.int64)
    if dimension.how == "sum":
        starts = np.cumsum([0, *(part.size for part in dimension.parts)])
        return np.concatenate(
            [start + taken(part, chosen) for start, part in zip(starts, dimension.parts, strict=False)]
        )
    where = np.zeros(1, dtype=np.int64)
    for part in dimension.parts:
        where = (where[:, None] * part.size + taken(part, chosen)).reshape(-1)
    return where
