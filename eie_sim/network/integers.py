"""Integer forms of operators: where their zero points and scales stand, and what their numbers stand for.

A product of integers is that of `x - x_zero` and `w - w_zero`; what the operator does with its sums is done after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.network.graph import Array, Graph, Node

Floats = NDArray[np.float32]
Given = Callable[[str], Array]


class Side(NamedTuple):
    """Places of an integer input, and of its zero point and scale. None : the operator has none there"""

    data: int
    zero: int | None = None
    scale: int | None = None


@dataclass(frozen=True, kw_only=True)
class Integers:
    """An operator on integers.

    op : the same on floats; sides : what it multiplies; dynamic : True where the first side is of floats, which the
    operator rounds to 8 bits itself
    bias : place of what is added to sums of integers; float_bias : of what is added to outputs
    y : places of zero point and scale of the output; None where it is the sums, as int32 or, with scales, as floats
    """

    op: str
    sides: tuple[Side, Side]
    dynamic: bool = False
    bias: int | None = None
    float_bias: int | None = None
    y: tuple[int, int] | None = None


INTEGERS: Mapping[str, Integers] = {
    "MatMulInteger": Integers(op="MatMul", sides=(Side(0, 2), Side(1, 3))),
    "ConvInteger": Integers(op="Conv", sides=(Side(0, 2), Side(1, 3))),
    "QLinearMatMul": Integers(op="MatMul", sides=(Side(0, 2, 1), Side(3, 5, 4)), y=(7, 6)),
    "QLinearConv": Integers(op="Conv", sides=(Side(0, 2, 1), Side(3, 5, 4)), bias=8, y=(7, 6)),
    "com.microsoft.MatMulIntegerToFloat": Integers(op="MatMul", sides=(Side(0, 4, 2), Side(1, 5, 3)), float_bias=6),
    "com.microsoft.DynamicQuantizeMatMul": Integers(
        op="MatMul", sides=(Side(0), Side(1, 3, 2)), dynamic=True, float_bias=4
    ),
    "com.microsoft.DynamicQuantizeLSTM": Integers(op="LSTM", sides=(Side(1, 9, 8), Side(2, 11, 10)), dynamic=True),
}
"""By name, `domain.name` of those that are not ONNX's own. Both sides of the last are weights."""


def integers_of(node: Node) -> Integers | None:
    """The entry of a node's operator, None of one on floats."""
    return INTEGERS.get(f"{node.domain}.{node.op}" if node.domain else node.op)


def places_of(node: Node) -> tuple[int, ...]:
    """Which inputs the same operator on floats has, in its order."""
    own = integers_of(node)
    if own is None or own.op == "LSTM":
        return tuple(range(len(node.inputs)))
    found = tuple(side.data for side in own.sides)
    return found if own.bias is None else (*found, own.bias)


def plain(node: Node) -> Node:
    """The node as the same operator on floats, which reads the same values; one that is on floats itself."""
    own = integers_of(node)
    if own is None:
        return node
    return replace(node, op=own.op, domain="", inputs=tuple(node.reading(place) for place in places_of(node)))


def left_because(graph: Graph, node: Node) -> str:
    """Return "" for a node whose zero points and scales of weights, and biases, are there, else why it is left."""
    own = integers_of(node)
    if own is None:
        return ""
    if own.dynamic and not graph.is_constant(node.reading(own.sides[1].data)):
        return "its weights are computed"
    beside = [place for side in own.sides if graph.is_constant(node.reading(side.data)) for place in side[1:]]
    names = [node.reading(place) for place in beside if place is not None]
    if not all(graph.is_constant(name) for name in names if name):
        return "zero points or scales of its weights are computed"
    bias = "" if own.bias is None else node.reading(own.bias)
    return "" if not bias or graph.is_constant(bias) else "its biases are computed"


def _beside(given: Given, node: Node, place: int | None, shape: tuple[int, ...], axis: int) -> Array | None:
    """A zero point or scale as it is broadcast to its input; None where there is none. axis : of one that is a row"""
    name = "" if place is None else node.reading(place)
    if not name:
        return None
    array = given(name)
    if array.size == 1:
        return array.reshape(())
    if array.ndim == 1 and len(shape) > 1:
        return array.reshape(-1, *(1 for _ in shape[axis % len(shape) + 1 :]))
    if array.ndim == 2 and len(shape) == 3:  # of each direction and column
        return array[:, None]
    return array


def row_axis(own: Integers, at: int) -> int:
    """Along which axis of a side a row of zero points or scales stands: outputs, or directions."""
    return 0 if own.op == "LSTM" or (own.op == "Conv" and at == 1) else -1


def _less_zero(array: Array, zero: Array | None) -> Floats:
    """Numbers less their zero point, exact."""
    found = array.astype(np.float32)
    return found if zero is None else found - zero.astype(np.float32)


def shifted(given: Given, node: Node, at: int) -> Floats:
    """A side of a node less its zero point. given : values by name; at : which side"""
    own = integers_of(node)
    assert own is not None
    array = given(node.inputs[own.sides[at].data])
    return _less_zero(array, _beside(given, node, own.sides[at].zero, array.shape, row_axis(own, at)))


def dequantised(graph: Graph, node: Node, at: int) -> Floats:
    """The same times its scale."""
    own = integers_of(node)
    assert own is not None
    found = shifted(graph.array, node, at)
    scale = _beside(graph.array, node, own.sides[at].scale, found.shape, row_axis(own, at))
    return found if scale is None else found * scale


def rounded(x: Array, among: Array) -> tuple[Floats, np.float32]:
    """Floats as 8 bits without a sign hold them: whole numbers less the zero point, and the scale.

    among : those that the range is of; 0 is always in it
    """
    low, high = np.float32(among.min(initial=0)), np.float32(among.max(initial=0))
    scale = np.float32((high - low) / np.float32(255)) or np.float32(1)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    return np.rint(np.clip(x / scale, -zero, 255 - zero)).astype(np.float32), scale


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """The steps of a node on integers around its product: to its inputs before, to its outputs after.

    at : which side is the weights
    """

    graph: Graph
    node: Node
    own: Integers
    at: int

    @property
    def rounds(self) -> bool:
        """True where 8 bits are made of what is computed."""
        return self.own.y is not None

    def weights(self) -> Floats:
        """Less their zero points."""
        return shifted(self.graph.array, self.node, self.at)

    def inputs(self, values: Mapping[str, Array]) -> Floats:
        """Return the array that vectors are made of."""
        if self.own.dynamic:
            x = values[self.node.inputs[0]]
            return rounded(x, x)[0]
        return shifted(values.__getitem__, self.node, 1 - self.at)

    def outputs(self, sums: Array, values: Mapping[str, Array]) -> Array:
        """The node's output of sums that may be no whole numbers, as those of a unit."""
        dtype = np.dtype(self.graph.values[self.node.outputs[0]].dtype)
        if self.own.y is None and self.own.float_bias is None:
            return _whole(sums, dtype)
        scale = self._scales(values, sums.ndim)
        if self.own.y is None:
            bias = self.node.reading(self.own.float_bias or 0)
            found = sums.astype(np.float32) * scale
            return found + values[bias] if bias else found
        zero, step = (values[self.node.inputs[place]].reshape(()) for place in self.own.y)
        steps = np.rint(sums.astype(np.float32) * (scale / step))
        return _whole(steps + zero.astype(np.float32), dtype)

    def _scales(self, values: Mapping[str, Array], rank: int) -> Array:
        """The product of both sides' scales, as it is broadcast to the output."""
        x = values[self.node.inputs[0]]
        found: Any = rounded(x, x)[1] if self.own.dynamic else np.float32(1)
        for side in self.own.sides:
            if side.scale is None:
                continue
            array = values[self.node.inputs[side.scale]]
            array = array.reshape(()) if array.size == 1 else array
            if self.own.op == "Conv" and array.ndim == 1:
                array = array.reshape(-1, *(1 for _ in range(rank - 2)))
            found = found * array
        return np.asarray(found)


def _whole(floats: Array, dtype: np.dtype[Any]) -> Array:
    """Rounded to nearest, half to even, and kept within the range of whole numbers."""
    bounds = np.iinfo(dtype)
    return np.clip(np.rint(floats.astype(np.float64)), bounds.min, bounds.max).astype(dtype)


class Levels(NamedTuple):
    """Values that a parameter of integers stands for: (array - zero) * scale. Both broadcast to it.

    scale : 1 where all have the same, which changes no order
    """

    zero: Array
    scale: Array


def levels_of(graph: Graph) -> dict[str, Levels]:
    """Zero points and scales of the parameters of integers that are weights, by name.

    Raise InputError for one that two nodes read with different zero points: what stands for 0 cannot be told.
    """
    found: dict[str, Levels] = {}
    for node in graph.nodes:
        for name, levels in _read(graph, node):
            zero = found.setdefault(name, levels).zero
            if not (zero == levels.zero).all():
                raise InputError(f"parameter {name}: node {node.name} reads it with another zero point: must be one")
    return found


def _read(graph: Graph, node: Node) -> Iterator[tuple[str, Levels]]:
    """The parameters of integers that a computed node reads as weights, through moves too."""
    own = integers_of(node)
    for at, side in enumerate(own.sides if own is not None and node.kind in ("integer", "recurrent") else ()):
        name = node.inputs[side.data]
        owners = graph.origins(name) if graph.is_constant(name) else ()
        if not owners:
            continue
        assert own is not None
        shape = graph.values[name].shape
        zero = _beside(graph.array, node, side.zero, shape, row_axis(own, at))
        scale = _beside(graph.array, node, side.scale, shape, row_axis(own, at))
        dtype = np.dtype(graph.values[name].dtype)
        one = Levels(
            np.zeros((), dtype) if zero is None else zero.astype(dtype),
            np.ones((), np.float32) if scale is None or scale.size == 1 else scale,
        )
        for owner in owners:
            yield owner, one if owner == name else _moved(graph, name, owner, one)


def _moved(graph: Graph, name: str, owner: str, levels: Levels) -> Levels:
    """Levels of a value that was moved, on the parameter whose elements it has."""
    numbers, shape = graph.elements(name), graph.parameters[owner].array.shape
    inside, places = graph.owned(numbers, owner)

    def back(array: Array) -> Array:
        found = np.zeros(shape, array.dtype)
        found.reshape(-1)[places] = np.broadcast_to(array, numbers.shape)[inside]
        return found

    return Levels(back(levels.zero), back(levels.scale))


def magnitudes_of(graph: Graph, names: Iterable[str]) -> dict[str, Array]:
    """Arrays of parameters; of integers what they stand for, float32, 0 where a weight is its zero point."""
    levels = levels_of(graph)
    return {
        name: _less_zero(array, levels[name].zero) * levels[name].scale if name in levels else array
        for name, array in ((name, graph.parameters[name].array) for name in names)
    }


def with_zeros(graph: Graph, arrays: Mapping[str, Array]) -> Graph:
    """The graph with arrays as `magnitudes_of` has them, perhaps pruned: an integer that became 0 is its zero point."""
    levels = levels_of(graph)
    given = dict(arrays)
    for name in given.keys() & levels.keys():
        array = graph.parameters[name].array
        given[name] = np.where(given[name] == 0, levels[name].zero, array).astype(array.dtype)
    return graph.with_parameters(given)
