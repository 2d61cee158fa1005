"""From a reader's findings to a graph: which arrays are parameters, what their axes are, which nodes move them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.network.graph import COMPUTED, Array, Graph, Node, Parameter, Value
from eie_sim.network.integers import integers_of
from eie_sim.network.moves import MOVES, moves_data
from eie_sim.network.operators import classified, operator_of

SIZES = ("Clip", "Pad", "Resize", "Upsample")
"""Operators whose constants are sizes and bounds, never trained."""
ELEMENTWISE = ("Add", "Mul")
"""Operators that may have a bias or gain, or an anchor that was computed: only what stands in the file is trained."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Nodes and arrays of a network, by name.

    nodes : those that depend on an input, in order; constant_nodes : the others by the values that they make
    roots : arrays that were there; named : those of them that had a name of their own; fixed : made by constant nodes
    """

    nodes: list[Node]
    constant_nodes: Mapping[str, Node]
    values: Mapping[str, Value]
    roots: Mapping[str, Array]
    named: set[str]
    fixed: Mapping[str, Array]


@dataclass(kw_only=True)
class Sorted:
    """Arrays sorted into parameters and constants, and the moves between parameters and their readers."""

    parameters: dict[str, Parameter] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    moves: dict[str, Node] = field(default_factory=dict)


def assembled(found: Found, **rest: Any) -> Graph:
    """Return the graph; `rest` are its other fields. Raise InputError for weights that are NaN or infinite."""
    found = replace(found, constant_nodes={name: _uncast(found, node) for name, node in found.constant_nodes.items()})
    everything = Graph(
        nodes=tuple(found.nodes),
        values=found.values,
        parameters={},
        constants={**found.roots, **found.fixed},
        **rest,
    )
    into = Sorted()
    labels = {
        node.name: {node.reading(place): axes for place, axes in operator_of(node).labels(everything, node).items()}
        for node in found.nodes
    }
    for node in found.nodes:
        for name in node.reads:
            if name in everything.constants and node.op in SIZES:
                into.constants[name] = everything.constants[name]
            elif name in everything.constants:
                trained = name in labels[node.name]
                kinds = "fiu" if trained and integers_of(node) is not None else "f"
                _sort(found, into, name, trained, derived=trained and node.op not in ELEMENTWISE, kinds=kinds)
    for name in rest["outputs"]:
        if name in everything.constants and not _moved_from(found, into, name):
            into.constants[name] = everything.constants[name]
    names = {name for node in (*found.nodes, *into.moves.values()) for name in (*node.reads, *node.makes)}
    kept = names | {*rest["inputs"], *rest["outputs"], *into.parameters, *into.constants}
    graph = replace(
        everything,
        nodes=(*into.moves.values(), *found.nodes),
        values={name: value for name, value in found.values.items() if name in kept},
        parameters=into.parameters,
        constants=into.constants,
    )
    graph = classified(_labelled(graph, labels))
    _require_finite(graph)
    return graph


def _uncast(found: Found, node: Node) -> Node:
    """A node, or Identity in place of a cast to the type that an array has, which torch writes after many a weight."""
    if node.op not in ("Cast", "CastLike") or node.domain:
        return node
    same = found.values[node.inputs[0]].dtype == found.values[node.outputs[0]].dtype
    return replace(node, op="Identity", inputs=node.inputs[:1], attributes={}) if same else node


def _sort(found: Found, into: Sorted, name: str, trained: bool, derived: bool, kinds: str = "f") -> bool:
    """Put an array that a node reads where it belongs. Return True where parameters are in it.

    trained : the node says that this input is; derived : even if it comes from arithmetic
    kinds : of numbers that are trained, as numpy has them
    """
    if name in into.parameters or any(name in node.makes for node in into.moves.values()):
        return True
    array = found.roots[name] if name in found.roots else found.fixed[name]
    if array.dtype.kind not in kinds or (array.size < 2 and not trained):
        into.constants[name] = array
        return False
    maker = found.constant_nodes.get(name)
    if maker is not None and maker.op in MOVES and not maker.domain:
        data = [one for place, one in enumerate(maker.inputs) if one and moves_data(maker.op, place)]
        inside = [_sort(found, into, one, trained, derived, kinds) for one in data]
        if any(inside):
            for place, one in enumerate(maker.inputs):
                if one and not moves_data(maker.op, place):
                    into.constants[one] = found.roots[one] if one in found.roots else found.fixed[one]
            into.moves[maker.name] = replace(maker, kind="move")
            return True
    elif (trained and (name in found.roots or (derived and array.any()))) or name in found.named:
        into.constants.pop(name, None)  # of integers, which another node may read as others
        into.parameters[name] = Parameter(
            name=name, array=array, axes=("",) * array.ndim, derived=name not in found.roots
        )
        return True
    into.constants[name] = array
    return False


def _moved_from(found: Found, into: Sorted, name: str) -> bool:
    """Return True where a constant output is a parameter or moved from one; then the moves are kept."""
    sources, waiting = set(), [name]
    while waiting:
        maker = found.constant_nodes.get(waiting[-1])
        sources.add(waiting.pop())
        if maker is not None and maker.op in MOVES and not maker.domain:
            waiting += [one for place, one in enumerate(maker.inputs) if one and moves_data(maker.op, place)]
    return not sources.isdisjoint(into.parameters) and _sort(found, into, name, trained=False, derived=False)


def _labelled(graph: Graph, labels: Mapping[str, Mapping[str, tuple[str, ...]]]) -> Graph:
    """Return the graph with the axes of parameters named by the nodes that read them, through moves."""
    parameters = dict(graph.parameters)
    for node in graph.nodes:
        for name, axes in labels.get(node.name, {}).items():
            if name in parameters:
                parameters[name] = _named(parameters[name], axes)
            elif name in graph.makers and graph.makers[name].kind == "move":
                known = replace(graph, parameters=parameters)
                for owner, moved in _through_moves(known, name, axes):
                    parameters[owner] = _named(parameters[owner], moved)
    return replace(graph, parameters=parameters)


def _named(parameter: Parameter, axes: tuple[str, ...]) -> Parameter:
    named = len(axes) == parameter.array.ndim and not any(parameter.axes)
    return replace(parameter, axes=axes) if named else parameter


def _through_moves(graph: Graph, name: str, axes: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Parameters that are in a moved array, and their axes: an axis is the one along which its coordinate changes."""
    owners = [owner for owner in graph.origins(name) if not any(graph.parameters[owner].axes)]
    numbers = graph.elements(name) if owners else np.empty(0)
    found = []
    for owner in owners:
        shape = graph.parameters[owner].array.shape
        inside, _ = graph.owned(numbers, owner)
        if not inside.any():
            continue
        start = np.unravel_index(np.argmax(inside), numbers.shape)
        moved = [""] * len(shape)
        for axis, label in enumerate(axes[: numbers.ndim]):
            _, line = graph.owned(np.moveaxis(numbers, axis, -1)[start[:axis] + start[axis + 1 :]], owner)
            for place, coordinate in enumerate(np.unravel_index(line, shape)):
                if np.ptp(coordinate) > 0 and not moved[place]:
                    moved[place] = label
        found.append((owner, tuple(moved)))
    return found


def _require_finite(graph: Graph) -> None:
    """Raise InputError for weights that are NaN or infinite, with node and index."""
    for node in graph.nodes:
        for name in node.inputs if node.kind in COMPUTED else ():
            if name and graph.is_constant(name) and not np.isfinite(array := graph.array(name)).all():
                first = np.argwhere(~np.isfinite(array))[0].tolist()
                raise InputError(f"node {node.name}: weight {name} is NaN or infinite first at {first}: must be finite")
