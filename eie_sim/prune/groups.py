"""What leaves a network together: every axis as dimensions, and a group for each dimension of parameters.

    for group in es.groups(graph):
        print(group.name, group.size, group.pinned)      # layer1.weight:0:0, 64 units, None where they can leave

A unit is one place of a dimension: a channel, a head, a place in every head. It is in every parameter of its group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, require_type
from eie_sim.network.axes import MATCHED, NORMALISED, Axis, Joined, Pinned, Regrouped, Relation, Same
from eie_sim.network.graph import Graph
from eie_sim.network.layered import graph_of
from eie_sim.network.layers import Network
from eie_sim.network.operators import operator_of, relations
from eie_sim.prune.dimensions import Dimension, align, atoms, numbered, places, product, summed

Places = NDArray[np.int64]
READ = ("in", "hidden")
"""Labels of the axes along which weights read."""
CUT = "cut through a sum"
MOST_SHOWN = 8
"""Groups that the repr of a list has, a line each."""


class Member(NamedTuple):
    """Where a group is in a parameter. positions : along the axis, int64 [units, places of a unit], sorted"""

    parameter: str
    axis: int
    positions: Places


class Pin(NamedTuple):
    """Why nothing can leave: an axis of a value, and what is the matter with it."""

    tensor: str
    axis: int
    reason: str

    def __str__(self) -> str:
        return f"axis {self.axis} of {self.tensor}: {self.reason}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Units that can be removed one by one, each from all members.

    name : `parameter:axis:dimension`, where it comes first
    size : of the dimension, how many units there are
    members : in order of the operators that read them, then of axes
    pinned : why none can leave, or None
    normalised : True where the values of one unit depend on those of all, so that removing it moves the others
    matched : True where two activations are multiplied and summed over its units
    """

    name: str
    size: int
    members: tuple[Member, ...]
    pinned: Pin | None = None
    normalised: bool = False
    matched: bool = False

    __repr__ = shows(
        "name",
        "size",
        pinned=lambda self: str(self.pinned) if self.pinned else None,
        members=lambda self: [f"{one.parameter}:{one.axis}" for one in self.members],
    )

    @property
    def units(self) -> range:
        """Numbers of its units."""
        return range(self.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Structure:
    """A graph's axes and groups. axes : by value and number; atoms : the dimension of each group, by its name"""

    graph: Graph
    axes: dict[tuple[str, int], Dimension]
    groups: tuple[Group, ...]
    atoms: dict[str, Dimension]


class Groups(list[Group]):
    """Groups in order, shown in ten lines."""

    def __repr__(self) -> str:
        free = [group for group in self if group.pinned is None]
        lines = [f"{len(self)} groups, units can leave {len(free)} of them:"]
        lines += [f"  {one.name}, {one.size} units, {len(one.members)} members" for one in free[:MOST_SHOWN]]
        lines += [f"  and {len(free) - MOST_SHOWN} more"] if len(free) > MOST_SHOWN else []
        return "\n".join(lines)


def groups(graph: Graph | Network) -> Groups:
    """Return all groups of a graph, those of which nothing can leave among them, by parameter, axis and dimension.

    Layers are taken as the graph that they are. Raise InputError for a graph with a cycle, a parameter that is used
    with two layouts, and a reshape whose target is computed from data.
    """
    return Groups(structure_of(graph).groups)


def structure_of(graph: Graph | Network) -> Structure:
    """Return all axes of a graph as dimensions, and their groups. Raise InputError as `groups`."""
    require_type("graph", graph, Graph, Network)
    graph = graph_of(graph) if isinstance(graph, Network) else graph
    _require_order(graph)
    _require_one_layout(graph)
    reading = Reading(graph)
    for _, relation in relations(graph):
        reading.take(relation)
    return reading.structure()


@dataclass(eq=False)
class Reading:
    """A graph on its way to groups.

    axes : dimensions by value and number of axis
    pins, marks : of dimensions, the marks those that can leave all the same
    """

    graph: Graph
    axes: dict[tuple[str, int], Dimension] = field(default_factory=dict)
    pins: list[tuple[Dimension, Pin]] = field(default_factory=list)
    marks: list[tuple[Dimension, Pin]] = field(default_factory=list)

    def take(self, relation: Relation) -> None:
        """Align the axes of a relation, and pin those that do not fit each other."""
        if isinstance(relation, Pinned):
            of, reason, free = relation
            (self.marks if free else self.pins).append((self._dimension(of), Pin(of.value, of.axis, reason)))
            return
        if isinstance(relation, Same):
            pairs = [(self._dimension(relation.first), self._dimension(relation.second))]
        elif isinstance(relation, Joined):
            parts = [Dimension(one) if isinstance(one, int) else self._dimension(one) for one in relation.parts]
            pairs = [(self._dimension(relation.whole), summed(parts))]
        elif isinstance(relation, Regrouped):
            pairs = [(self._product(relation.before), self._product(relation.after))]
        else:
            single = [Dimension(1) for _ in range(relation.whole.size)]
            picked = summed([single[index] for index in relation.indices])
            pairs = [(self._dimension(relation.whole), summed(single)), (self._dimension(relation.part), picked)]
        first = next(_axes_of(relation))
        for one, other in pairs:
            if one.size and other.size:
                self.pins += [(cut, Pin(first.value, first.axis, CUT)) for cut in align(one, other)]
        for of in _axes_of(relation):
            if of.value in self.graph.constants and of.size > 1:
                self.pins.append((self._dimension(of), Pin(of.value, of.axis, f"constant {of.value}")))

    def _dimension(self, of: Axis) -> Dimension:
        return self.axes.setdefault((of.value, of.axis), Dimension(of.size))

    def _product(self, axes: Iterable[Axis]) -> Dimension:
        return product([self._dimension(of) for of in axes])

    def structure(self) -> Structure:
        """The groups of what was taken."""
        pinned: dict[Dimension, Pin] = {}
        for dimension, pin in self.pins:
            for atom in atoms(dimension):
                pinned.setdefault(atom, pin)
        marked = {(atom, pin.reason) for dimension, pin in self.marks for atom in atoms(dimension)}
        names: dict[Dimension, str] = {}
        members: dict[Dimension, list[Member]] = {}
        for name in parameters_in_order(self.graph):
            for axis, size in enumerate(self.graph.parameters[name].array.shape):
                dimension = self._dimension(Axis(name, axis, size))
                numbers = {one: number for number, one in enumerate(numbered(dimension))}
                for atom, positions in _positions(dimension):
                    names.setdefault(atom, f"{name}:{axis}:{numbers[atom]}")
                    members.setdefault(atom, []).append(Member(name, axis, positions))
        found_groups = tuple(
            Group(
                name=name,
                size=atom.size,
                members=tuple(members[atom]),
                pinned=pinned.get(atom),
                normalised=(atom, NORMALISED) in marked,
                matched=(atom, MATCHED) in marked,
            )
            for atom, name in names.items()
        )
        return Structure(
            graph=self.graph,
            axes=self.axes,
            groups=found_groups,
            atoms={name: atom for atom, name in names.items()},
        )


def reads(graph: Graph, member: Member) -> bool:
    """True where a parameter reads along the axis of a member, as weights do along their inputs."""
    return graph.parameters[member.parameter].axes[member.axis] in READ


def readers_of(graph: Graph, group: Group) -> list[Member]:
    """Return the members along whose axis a parameter reads."""
    return [member for member in group.members if reads(graph, member)]


def _axes_of(relation: Relation) -> Iterator[Axis]:
    """The axes of values in a relation, in order."""
    for part in relation:
        if isinstance(part, Axis):
            yield part
        elif isinstance(part, tuple):
            yield from (one for one in part if isinstance(one, Axis))


def _positions(dimension: Dimension) -> Iterator[tuple[Dimension, Places]]:
    """Yield the atoms of an axis that have more than one unit, in order, and where each unit is."""
    size, where = dimension.size, dict[Dimension, list[Places]]()
    for atom, at, units in places(dimension):
        if atom.size > 1:
            where.setdefault(atom, []).append(units * size + at)
    for atom, numbers in where.items():
        yield atom, np.unique(np.concatenate(numbers)).reshape(atom.size, -1) % size


def parameters_in_order(graph: Graph) -> list[str]:
    """Names of the parameters in the order of the nodes that read them, through moves."""
    read = (name for node in graph.nodes if node.kind != "move" for name in node.reads if graph.is_constant(name))
    return list(dict.fromkeys([*(owner for name in read for owner in graph.origins(name)), *graph.parameters]))


def _require_order(graph: Graph) -> None:
    """Raise InputError where a node reads what a later one makes, or it itself."""
    later = {name for node in graph.nodes for name in node.makes}
    for node in graph.nodes:
        for name in node.reads:
            if name in later:
                raise InputError(f"node {node.name}: reads {name}, which is made after it: the graph has a cycle")
        later.difference_update(node.makes)


def _require_one_layout(graph: Graph) -> None:
    """Raise InputError for a parameter whose axes are inputs and outputs to one node, and the reverse to another."""
    known: dict[str, tuple[str, tuple[str, ...]]] = {}
    for node in graph.nodes:
        for place, labels in operator_of(node).labels(graph, node).items():
            name = node.reading(place)
            if name not in graph.parameters:
                continue
            first, before = known.setdefault(name, (node.name, labels))
            if before != labels and sorted(before) == sorted(labels):
                raise InputError(
                    f"parameter {name}: is ({', '.join(before)}) to node {first}, ({', '.join(labels)}) to node "
                    f"{node.name}: must be used with one layout"
                )
