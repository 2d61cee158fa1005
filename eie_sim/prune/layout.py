"""Which weights belong together: a view of a weight array whose groups are whole axes, and scores of groups."""

from __future__ import annotations

import math
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from eie_sim.core.errors import as_array, require
from eie_sim.prune.order import Mask, Rows

Shape = tuple[int, ...]
Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Weights filled up to the shape `padded` and reshaped to `view`, in which `members` are the axes inside a group.

    The other axes number the groups, in C order. Where nothing is filled up, `padded` is the shape of the weights.
    """

    padded: Shape
    view: Shape
    members: Axes

    @property
    def outer(self) -> Shape:
        """Shape of one number per group."""
        return tuple(size for axis, size in enumerate(self.view) if axis not in self.members)

    @property
    def group_size(self) -> int:
        """Places in a group."""
        return math.prod(self.view[axis] for axis in self.members)

    def rows(self, values: Rows) -> Rows:
        """A row per group, floating[n_group, group_size], places in the order of the weights, -inf where filled up."""
        if values.shape != self.padded:
            filled = np.full(self.padded, -np.inf, dtype=values.dtype)
            filled[tuple(map(slice, values.shape))] = values
            values = filled
        return values.reshape(self.view).transpose(self._groups_first).reshape(-1, self.group_size)

    def mask_of_rows(self, rows: Mask, shape: Shape) -> Mask:
        """The inverse of `rows`, for a mask."""
        moved = rows.reshape([self.view[axis] for axis in self._groups_first])
        mask: Mask = moved.transpose(np.argsort(self._groups_first)).reshape(self.padded)
        return np.ascontiguousarray(mask[tuple(map(slice, shape))])

    def mask_of_groups(self, groups: Mask) -> Mask:
        """Every member has the value of its group; groups of the shape `outer`."""
        mask = np.empty(self.view, dtype=np.bool_)
        mask[...] = np.expand_dims(groups, self.members)
        return mask.reshape(self.padded)

    @property
    def _groups_first(self) -> Axes:
        return (*(axis for axis in range(len(self.view)) if axis not in self.members), *self.members)


def whole(shape: Shape, view: Shape, members: Axes) -> Layout:
    """A layout with nothing filled up."""
    return Layout(padded=shape, view=view, members=members)


def as_mask(field: str, values: Any, shape: Shape) -> Mask:
    """`values` as a bool array of a shape. Raises InputError for another type or shape."""
    mask = as_array(field, values)
    require(mask.dtype == np.bool_, field, f"dtype {mask.dtype}", "must be bool")
    require(mask.shape == shape, field, f"shape {mask.shape}", f"must be the weights' shape, {shape}")
    return mask


def _sum(view: Rows, members: Axes) -> Rows:
    every, left = _letters(view, members)
    return np.asarray(np.einsum(f"{every}->{left}", view, dtype=np.float64))  # a group may have many members


def _l2(view: Rows, members: Axes) -> Rows:
    every, left = _letters(view, members)
    squares: Rows = np.einsum(f"{every},{every}->{left}", view, view, dtype=np.float64)
    return np.asarray(np.sqrt(squares))


def _letters(view: Rows, members: Axes) -> tuple[str, str]:
    """Return letters for einsum: all axes, and those that number the groups. It adds small groups faster than sum."""
    every = string.ascii_letters[: view.ndim]
    return every, "".join(letter for axis, letter in enumerate(every) if axis not in members)


def _mean(view: Rows, members: Axes) -> Rows:
    return np.asarray(_sum(view, members) / math.prod(view.shape[axis] for axis in members))


def _max(view: Rows, members: Axes) -> Rows:
    return np.asarray(view.max(axis=members))


def _prod(view: Rows, members: Axes) -> Rows:
    with np.errstate(divide="ignore"):  # a member of 0 makes a product of 0
        return np.asarray(np.exp(_mean(np.log(view), members)))


def _first(view: Rows, members: Axes) -> Rows:
    return view[tuple(0 if axis in members else slice(None) for axis in range(view.ndim))]


def _last(view: Rows, members: Axes) -> Rows:
    return view[tuple(-1 if axis in members else slice(None) for axis in range(view.ndim))]


REDUCTIONS: dict[str, Callable[[Rows, Axes], Rows]] = {
    "sum": _sum,
    "mean": _mean,
    "max": _max,
    "prod": _prod,
    "first": _first,
    "last": _last,
    "l2": _l2,
}
"""Functions from the scores of a group's members to the score of the group.

prod is the geometric mean: it orders groups of one size as their products do, and does not underflow. first and last
are the members at the lowest and the highest place.
"""
