"""What holds of a removal: units are alike, silenced ones are gone, shapes and counts are as foretold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import hold
from eie_sim.network.floatrun import LOWERED_TOLERANCE, run, shapes_of
from eie_sim.network.graph import Graph
from eie_sim.network.operators import operator_of
from eie_sim.prune.groups import Group, Structure, readers_of
from eie_sim.prune.removing import After, Kept, without

Units = NDArray[np.int64]

LEAST = 1e-6
"""What outputs may differ by, however small they are: a saturated sigmoid has no more digits."""


def verify_removal(structure: Structure, kept: Kept, after: Graph) -> None:
    """Raise InvariantError unless a removal holds, with the examples of the graph as inputs.

    Shapes are those that the new graph has when it runs; as many elements left as members have; two units of each
    group, exchanged in all members, change no output; and where the weights that read a unit are all that reads it,
    the old graph with these at zero has the outputs of the new one. Finite outputs differ by
    1e-4 of the largest at most, or by LEAST.

    kept : units that are there, of dimensions that are smaller; after : the graph without the others
    """
    graph = structure.graph
    groups = [group for group in structure.groups if structure.atoms[group.name] in kept]
    gone = {group.name: np.setdiff1d(group.units, kept[structure.atoms[group.name]]) for group in groups}
    for name, value in shapes_of(after).items():
        foretold = after.values[name].shape if name in after.values else value.shape
        hold(value.shape == foretold, f"shape of {name}", value.shape, f"must be {foretold}, as was foretold")
    for name, parameter in graph.parameters.items():
        left = parameter.array.size - foretold_count(parameter.array.shape, name, groups, gone)
        found = after.parameters[name].array.size
        hold(found == left, f"elements of {name}", found, f"must be {left}, as its groups say")
    pairs = {group.name: (0, group.size - 1) for group in groups}
    require_alike(run(graph), run(exchanged(structure, pairs)), "exchanged")
    silent = {group.name: gone[group.name] for group in groups if can_be_silenced(graph, group)}
    if silent:
        some = {structure.atoms[name]: kept[structure.atoms[name]] for name in silent}
        smaller = after if len(some) == len(kept) else without(structure, some)
        require_alike(run(silenced(structure, silent)), run(smaller), "silenced")


def foretold_count(shape: tuple[int, ...], name: str, groups: Iterable[Group], gone: Mapping[str, Units]) -> int:
    """How many elements of a parameter are in units that leave; those in several count once."""
    left = [np.ones(size, dtype=bool) for size in shape]
    for group in groups:
        for member in group.members:
            if member.parameter == name:
                left[member.axis][member.positions[gone[group.name]]] = False
    return prod(shape) - prod(int(one.sum()) for one in left)


def exchanged(structure: Structure, pairs: Mapping[str, tuple[int, int]]) -> Graph:
    """The graph with two units of groups in each other's place."""
    orders = {}
    for name, (one, other) in pairs.items():
        order = np.arange(structure.atoms[name].size)
        order[[one, other]] = order[[other, one]]
        orders[structure.atoms[name]] = order
    graph, after = structure.graph, After(structure, orders)
    return graph.with_parameters({name: after.array(parameter) for name, parameter in graph.parameters.items()})


def silenced(structure: Structure, units: Mapping[str, Units]) -> Graph:
    """The graph whose weights read nothing of some units."""
    graph = structure.graph
    arrays = {name: parameter.array.copy() for name, parameter in graph.parameters.items()}
    for group in structure.groups:
        for member in readers_of(graph, group) if group.name in units else ():
            lines = np.moveaxis(arrays[member.parameter], member.axis, 0)
            lines[member.positions[units[group.name]].reshape(-1)] = 0
    return graph.with_parameters(arrays)


def can_be_silenced(graph: Graph, group: Group) -> bool:
    """True where its readers are all that reads a group, so that the units are gone when these are zero."""
    readers = readers_of(graph, group)
    floats = all(graph.parameters[one.parameter].array.dtype.kind == "f" for one in readers)
    return bool(readers) and floats and not (group.normalised or group.matched or _has_two_roles(graph, group))


def _has_two_roles(graph: Graph, group: Group) -> bool:
    """True where a parameter, such as a tied head, is read by several nodes that name its axes apart."""
    names = {one.parameter for one in group.members}
    labels: dict[str, set[tuple[str, ...]]] = {}
    for node in graph.nodes:
        for place, said in operator_of(node).labels(graph, node).items():
            for name in graph.origins(node.reading(place)) if graph.is_constant(node.reading(place)) else ():
                labels.setdefault(name, set()).add(said)
    return any(len(labels.get(name, ())) > 1 for name in names)


def require_alike(before: Mapping[str, NDArray[Any]], after: Mapping[str, NDArray[Any]], what: str) -> None:
    """Raise InvariantError where finite outputs differ by more than 1e-4 of the largest, and LEAST."""
    for name, array in before.items():
        if array.dtype.kind == "f" and np.isfinite(array).all():
            most = max(LOWERED_TOLERANCE * float(np.abs(array).max(initial=0)), LEAST)
            off = float(np.abs(after[name] - array).max(initial=0))
            hold(off <= most, f"output {name} with units {what} is off by", off, f"must be at most {most:.0e}")
