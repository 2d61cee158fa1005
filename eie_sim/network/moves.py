"""Operators that only move elements, in numpy and for elements of any type: weights, masks or element numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = Sequence[Array | None]
Shapes = Sequence[tuple[int, ...]]
Attributes = Mapping[str, Any]


def _reshape(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    return [_first(arrays).reshape(shapes[0])]


def _expand(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    return [np.broadcast_to(_first(arrays), shapes[0])]


def _transpose(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    return [_first(arrays).transpose(attributes.get("perm"))]


def _concat(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    return [np.concatenate([array for array in arrays if array is not None], axis=attributes["axis"])]


def _gather(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    return [np.take(_first(arrays), arrays[1], axis=attributes.get("axis", 0))]  # type: ignore[arg-type]


def _split(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    array, axis = _first(arrays), attributes.get("axis", 0)
    return np.split(array, np.cumsum([shape[axis] for shape in shapes])[:-1], axis=axis)


def _slice(arrays: Arrays, attributes: Attributes, shapes: Shapes) -> list[Array]:
    """Bounds are attributes up to opset 9, inputs since; those beyond the array are cut as ONNX says, unlike numpy."""
    array = _first(arrays)
    given = [*arrays[1:], None, None, None, None][:4]
    names = ("starts", "ends", "axes", "steps")
    found = [attributes.get(name) if one is None else one.tolist() for name, one in zip(names, given, strict=True)]
    starts, ends, axes, steps = (one or [] for one in found)
    cuts = [slice(None)] * array.ndim
    for start, end, axis, step in zip(
        starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True
    ):
        side = array.shape[axis]
        low, high = (0, side) if step > 0 else (-1, side - 1)
        first = min(max(start + side if start < 0 else start, 0), high)
        last = min(max(end + side if end < 0 else end, low), high)
        cuts[axis] = slice(first, None if last < 0 else last, step)  # -1 would be the last element
    return [array[tuple(cuts)]]


def _first(arrays: Arrays) -> Array:
    array = arrays[0]
    assert array is not None
    return array


MOVES: dict[str, Callable[[Arrays, Attributes, Shapes], list[Array]]] = {
    "Concat": _concat,
    "Expand": _expand,
    "Flatten": _reshape,
    "Gather": _gather,
    "Identity": _reshape,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
"""(arrays of the inputs, attributes, shapes of the outputs) -> arrays of the outputs, by operator."""


def moves_data(op: str, place: int) -> bool:
    """True where an input of a move is what is moved, False where it says whereto."""
    return place == 0 or op == "Concat"
