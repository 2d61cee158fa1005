"""Physical removal of units from a graph: they leave all members of their groups, and what states sizes follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eie_sim
from eie_sim.core.arrays import fresh
from eie_sim.core.errors import InputError, few, require, require_int, unknown
from eie_sim.network.axes import is_zero
from eie_sim.network.floatrun import value_of
from eie_sim.network.graph import Graph, Node, Parameter, Value
from eie_sim.network.layers import Network
from eie_sim.prune.dimensions import Dimension, atoms, taken
from eie_sim.prune.groups import Group, Structure, structure_of

Units = Mapping[str, Iterable[int]]
Kept = dict[Dimension, NDArray[np.int64]]


def remove(graph: Graph | Network, units: Units, verify: bool = False) -> Graph:
    """Return the graph without units of groups, with every size that its nodes state changed to fit.

    units : numbers of the units that leave, by name of group, as in the graph that is given
    verify : run both graphs, and the old one with units exchanged and silenced; see `prune.verifying`

    Constants that state no size stay as they are. Raise InputError for an unknown group, one that is pinned, more
    units than it has, a group that would be left without units, and what `es.groups` refuses.
    """
    structure = structure_of(graph)
    kept = kept_units(structure, units)
    after = without(structure, kept)
    if verify:
        from eie_sim.prune.verifying import verify_removal

        verify_removal(structure, kept, after)
    return after


def parameter_count(graph: Graph) -> int:
    """Elements of all parameters, without means and variances of BatchNorm, which are buffers."""
    return sum(graph.parameters[name].array.size for name in graph.parameters.keys() - _buffers(graph))


def _buffers(graph: Graph) -> set[str]:
    return {name for node in graph.nodes if node.op == "BatchNormalization" for name in node.inputs[3:5]}


def unit_count(graph: Graph, group: Group) -> int:
    """How many elements of parameters, buffers not among them, leave with one unit of a group, whichever it is."""
    return _inside(graph, {(one.parameter, one.axis): one.positions[:1] for one in group.members})


def prunable_count(graph: Graph, found: Iterable[Group]) -> int:
    """How many elements of parameters, buffers not among them, are in units that can leave."""
    where: dict[tuple[str, int], NDArray[np.int64]] = {}
    for group in found:
        for name, axis, positions in group.members if group.pinned is None else ():
            where[name, axis] = np.union1d(where.get((name, axis), ()), positions)
    return _inside(graph, where)


def _inside(graph: Graph, where: Mapping[tuple[str, int], NDArray[np.int64]]) -> int:
    """Elements of parameters at places of axes, by parameter and axis; those at places of several count once."""
    counted, total = {name for name, _ in where} - _buffers(graph), 0
    for name in counted:
        shape = graph.parameters[name].array.shape
        total += prod(shape) - prod(size - np.size(where.get((name, axis), ())) for axis, size in enumerate(shape))
    return total


def removal_count(graph: Graph | Network, units: Units) -> int:
    """How many elements of parameters, buffers not among them, would leave with units; what overlaps counts once."""
    structure = structure_of(graph)
    return parameter_count(structure.graph) - parameter_count(without(structure, kept_units(structure, units)))


def kept_units(structure: Structure, units: Units) -> Kept:
    """What stays of every dimension that units leave. Raise InputError as `remove`."""
    known = {group.name: group for group in structure.groups}
    require(isinstance(units, Mapping), "units", type(units).__name__, "must be given by name of group")
    free = [name for name, group in known.items() if group.pinned is None]
    if units and not free:
        reasons = [f"{name} ({group.pinned})" for name, group in known.items()]
        raise InputError(f"network={structure.graph.name}: nothing can leave: all axes are pinned: {few(reasons)}")
    kept = {}
    for name, asked in units.items():
        if name not in known:
            raise unknown("group", name, free)
        group = known[name]
        if group.pinned is not None:
            raise InputError(f"group={name}: is pinned: {group.pinned}")
        require(isinstance(asked, Iterable), f"group {name}", type(asked).__name__, "must be numbers of units")
        gone = [*dict.fromkeys(asked)]
        for unit in gone:
            require_int(f"group {name}: unit", unit, 0, group.size - 1)
        require(len(gone) < group.size, f"group {name}", f"{len(gone)} units", "must be fewer: one is left at least")
        if gone:
            kept[structure.atoms[name]] = np.delete(np.arange(group.size), gone)
    return kept


def without(structure: Structure, kept: Kept) -> Graph:
    """The graph with dimensions as `kept` has them."""
    graph, after = structure.graph, After(structure, kept)
    if not kept:
        return graph
    nodes, constants = restated(graph, after)
    parameters = {name: replace(one, array=after.array(one)) for name, one in graph.parameters.items()}
    values = {
        name: Value(name, tuple(after.size(name, axis) for axis in range(len(value.shape))), value.dtype)
        for name, value in graph.values.items()
    }
    values |= {name: value_of(name, array) for name, array in constants.items()}
    n_gone = sum(dimension.size - len(units) for dimension, units in kept.items())
    said = f"{n_gone} units of {len(kept)} groups removed, by eie-sim {eie_sim.__version__}"
    return replace(
        graph,
        nodes=nodes,
        constants=constants,
        parameters=parameters,
        values=values,
        layers={},
        metadata=graph.metadata_with(said),
    )


@dataclass(eq=False)
class After:
    """Axes of values when units have left."""

    structure: Structure
    kept: Kept
    changed: dict[Dimension, bool] = field(default_factory=dict)

    def places(self, name: str, axis: int) -> NDArray[np.int64] | None:
        """Which places of an axis stay, None where all do."""
        dimension = self.structure.axes.get((name, axis))
        if dimension is None:
            return None
        if dimension not in self.changed:
            self.changed[dimension] = not self.kept.keys().isdisjoint(atoms(dimension))
        return taken(dimension, self.kept) if self.changed[dimension] else None

    def size(self, name: str, axis: int) -> int:
        """Of an axis of a value, or of one that has no value of its own."""
        places = self.places(name, axis)
        if places is not None:
            return len(places)
        value = self.structure.graph.values.get(name)
        return self.structure.axes[name, axis].size if value is None else value.shape[axis]

    def array(self, parameter: Parameter) -> NDArray[Any]:
        """What stays of a parameter."""
        array = parameter.array
        for axis in range(array.ndim):
            places = self.places(parameter.name, axis)
            array = array if places is None else np.take(array, places, axis)
        return array


def restated(graph: Graph, after: After) -> tuple[tuple[Node, ...], dict[str, Any]]:
    """Nodes and constants with sizes of `after`; a constant that others read too stays, beside a new one."""
    constants, names = dict(graph.constants), {*graph.values}
    nodes = []
    for node in graph.nodes:
        attributes, inputs = dict(node.attributes), list(node.inputs)
        for place, name, numbers in _SIZES.get(node.op, _none)(node, after):
            old = node.reading(place) if place else ""
            if numbers == (graph.constants[old].tolist() if old else node.attributes.get(name)):
                continue
            if not place or name in attributes:
                attributes[name] = numbers
                continue
            alone = old and graph.readers[old] == (node,) and node.inputs.count(old) == 1
            new = old if alone and old not in graph.outputs else fresh(f"{node.name}.{name}", names)
            constants[new] = np.array(numbers, dtype=constants[old].dtype if old else np.int64)
            inputs[place:] = [new, *inputs[place + 1 :]]
            attributes.pop("num_outputs", None)  # of a Split into parts of a size
        nodes.append(replace(node, attributes=attributes, inputs=tuple(inputs)))
    read = {name for node in nodes for name in node.reads} | {*graph.outputs}
    return tuple(nodes), {name: array for name, array in constants.items() if name in read}


Stated = Iterator[tuple[int, str, Any]]
"""Numbers that are sizes: place of the input, 0 where there is none; name of the attribute; what they become."""


def _none(node: Node, after: After) -> Stated:
    yield from ()


def _said(node: Node, after: After, place: int, name: str) -> list[int]:
    """Numbers of an input or, in older versions, an attribute; none where it is left out."""
    graph = after.structure.graph
    return graph.array(node.inputs[place]).tolist() if node.reading(place) else list(node.attributes.get(name, []))


def _of_reshape(node: Node, after: After) -> Stated:
    numbers = _said(node, after, 1, "shape")
    sizes = [n if n in (0, -1) else after.size(node.outputs[0], axis) for axis, n in enumerate(numbers)]
    yield 1, "shape", sizes


def _of_expand(node: Node, after: After) -> Stated:
    numbers, y = _said(node, after, 1, "shape"), node.outputs[0]
    first = len(after.structure.graph.values[y].shape) - len(numbers)
    yield 1, "shape", [n if n == 1 else after.size(y, first + axis) for axis, n in enumerate(numbers)]


def _of_tile(node: Node, after: After) -> Stated:
    numbers = _said(node, after, 1, "repeats")
    yield 1, "repeats", [after.size(f"{node.name}:times", axis) for axis in range(len(numbers))]


def _of_resize(node: Node, after: After) -> Stated:
    if node.reading(3):
        rank = len(after.structure.graph.values[node.outputs[0]].shape)
        axes = node.attributes.get("axes") or range(rank)
        yield 3, "sizes", [after.size(node.outputs[0], axis % rank) for axis in axes]


def _of_split(node: Node, after: After) -> Stated:
    axis = node.attributes.get("axis", 0) % len(after.structure.graph.values[node.inputs[0]].shape)
    sizes = [after.size(name, axis) for name in node.outputs]
    if _said(node, after, 1, "split") or len(set(sizes)) > 1:
        new = after.structure.graph.framework.opsets.get("", 13) >= 13
        yield int(new), "split", sizes


def _of_slice(node: Node, after: After) -> Stated:
    x = node.inputs[0]
    shape = after.structure.graph.values[x].shape
    axes = _said(node, after, 3, "axes")
    for place, name in ((1, "starts"), (2, "ends")):
        numbers = _said(node, after, place, name)
        for at, axis in enumerate(axes or range(len(numbers))):
            left = after.places(x, axis % len(shape))
            if left is not None:
                number = numbers[at] + shape[axis] * (numbers[at] < 0)
                numbers[at] = int(np.count_nonzero(left < number))
        yield place, name, numbers


def _of_recurrent(node: Node, after: After) -> Stated:
    hidden = after.size(node.makes[0], len(after.structure.graph.values[node.makes[0]].shape) - 1)
    yield 0, "hidden_size", hidden
    for place, name in ((5, "initial_h"), (6, "initial_c")):
        yield from _of_zeros(node, after, place, name, (-1, -1, hidden))


def _of_gemm(node: Node, after: After) -> Stated:
    yield from _of_zeros(node, after, 2, "bias", tuple(after.size(node.outputs[0], axis) for axis in (0, 1)))


def _of_conv(node: Node, after: After) -> Stated:
    if (f"{node.name}:groups", 0) in after.structure.axes:
        yield 0, "group", after.size(f"{node.name}:groups", 0)
    yield from _of_zeros(node, after, 2, "bias", (after.size(node.outputs[0], 1),))


def _of_zeros(node: Node, after: After, place: int, name: str, sizes: tuple[int, ...]) -> Stated:
    """A constant of zeros, which has the last of some sizes where it is not broadcast; -1 for any."""
    graph = after.structure.graph
    if node.reading(place) in graph.constants and is_zero(graph, node.inputs[place]):
        zeros = graph.constants[node.inputs[place]]
        cuts = zip(zeros.shape, sizes[len(sizes) - zeros.ndim :], strict=True)
        yield place, name, zeros[tuple(slice(min(side, size) if size > 0 else side) for side, size in cuts)].tolist()


def _of_rotary(node: Node, after: After) -> Stated:
    if (f"{node.name}:heads", 0) in after.structure.axes:
        yield 0, "num_heads", after.size(f"{node.name}:heads", 0)


_SIZES: dict[str, Callable[[Node, After], Stated]] = {
    "Reshape": _of_reshape,
    "Expand": _of_expand,
    "Tile": _of_tile,
    "Resize": _of_resize,
    "Split": _of_split,
    "Slice": _of_slice,
    **dict.fromkeys(("GRU", "LSTM", "RNN", "DynamicQuantizeLSTM"), _of_recurrent),
    **dict.fromkeys(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"), _of_conv),
    "Gemm": _of_gemm,
    "RotaryEmbedding": _of_rotary,
}
"""(node, sizes after) -> its numbers that are sizes, by operator."""
