"""Running a graph: computed nodes by whoever is asked, the rest by its framework; values go after their last use."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.network.graph import Array, Graph, Node, Value
from eie_sim.network.products import Product, Step

Compute = Callable[[Step, Mapping[str, Array]], Sequence[Array]]
"""(step, values by name, its input among them) -> the values that the step makes."""

LOWERED_TOLERANCE = 1e-4
"""Largest difference between a product and the framework's value, of the largest output."""


class Constants(dict[str, Array]):
    """Arrays of a graph that depend on no input, made when they are asked for."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __missing__(self, name: str) -> Array:
        if not self._graph.is_constant(name):
            raise KeyError(name)
        return self._graph.array(name)


def run(
    graph: Graph, steps: Sequence[Step], compute: Compute, inputs: Mapping[str, Array] | None = None
) -> dict[str, Array]:
    """Run the network and return its outputs by name.

    compute : gives the values of each step; the nodes between are run on these values
    inputs : of the shapes that the graph is for; None for its examples
    Raise InputError where the framework fails, or an input of a step is NaN or infinite.
    """
    held: dict[str, Array] = dict(graph.examples if inputs is None else inputs)
    values = ChainMap(held, Constants(graph))
    uses = Counter(name for node in graph.nodes for name in dict.fromkeys(node.reads)) + Counter(graph.outputs)

    def drop(nodes: Sequence[Node]) -> None:
        read = Counter(name for node in nodes for name in dict.fromkeys(node.reads))
        uses.subtract(read)
        for name in read:
            if uses[name] <= 0:
                held.pop(name, None)

    for nodes, step in segments(graph, steps):
        inside = Counter(name for node in nodes for name in dict.fromkeys(node.reads))
        wanted = [name for name in dict.fromkeys(n for node in nodes for n in node.makes) if uses[name] > inside[name]]
        held.update(graph.framework.run(nodes, values, wanted) if wanted else {})
        drop(nodes)
        if step is not None:
            for name in dict.fromkeys((step.reads, *(one for one in step.node.reads if one in held))):
                _require_finite(step.node, name, values[name])
            made = zip(step.makes, compute(step, values), strict=True)
            held.update((name, array) for name, array in made if uses[name] > 0)
            drop(step.nodes)
    return {name: np.asarray(values[name]) for name in graph.outputs}


def segments(graph: Graph, steps: Sequence[Step]) -> Iterator[tuple[tuple[Node, ...], Step | None]]:
    """Yield the nodes to be run by the framework before each step, those that it needs, and the step; the rest last."""
    within = {node.name for step in steps for node in step.nodes}
    left = {node.name: node for node in graph.nodes if node.kind != "move" and node.name not in within}
    for step in steps:
        needed = {name for node in step.nodes for name in node.reads}
        before = []
        for node in reversed(left.values()):
            if needed.intersection(node.makes):
                before.append(node)
                needed.update(node.reads)
        for node in before:
            del left[node.name]
        yield tuple(reversed(before)), step
    yield tuple(left.values()), None


def framework_values(graph: Graph, step: Step, values: Mapping[str, Array]) -> tuple[Array, ...]:
    """The values of a step as the framework computes them, bias and BatchNorm included."""
    made = graph.framework.run(step.nodes, values, step.makes)
    return tuple(made[name] for name in step.makes)


def float_values(step: Step, values: Mapping[str, Array]) -> tuple[Array, ...]:
    """The values of a step by its products in float32."""
    return step.compute(values, Product.multiply)


def lowered_error(step: Step, value: Array, expected: Array) -> float:
    """Largest difference of a value of a step to the framework's, as a share of the largest output."""
    if value.shape != expected.shape:
        raise InputError(f"node {step.node.name}: lowered to shape {value.shape}, the framework has {expected.shape}")
    largest = float(np.abs(expected).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        difference = float(np.abs(value.astype(np.float64) - expected).max(initial=0.0))
    return difference / largest if largest else difference


def require_lowered(step: Step, made: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the largest lowered error of a step's values. Raise InputError if it is above LOWERED_TOLERANCE."""
    error = float(np.max([lowered_error(step, *pair) for pair in zip(made, expected, strict=True)]))  # NaN stays
    if not error <= LOWERED_TOLERANCE:
        raise InputError(
            f"node {step.node.name}: {step.node.op} differs from its products by {error:.1e} of its largest output: "
            f"must be at most {LOWERED_TOLERANCE:.0e}"
        )
    return error


def shapes_of(graph: Graph) -> dict[str, Value]:
    """Values of a graph as its framework finds them when it runs the examples."""
    held: dict[str, Array] = dict(graph.examples)
    known = {**{name: parameter.array for name, parameter in graph.parameters.items()}, **graph.constants}
    values = {name: value_of(name, array) for name, array in {**known, **held}.items()}
    last = {name: node for node in graph.nodes for name in node.reads}
    for node in graph.nodes:
        made = graph.framework.run([node], ChainMap(held, known), node.makes)
        held.update(made)
        values.update((name, value_of(name, array)) for name, array in made.items())
        for name in node.reads:
            if last[name] is node:
                held.pop(name, None)
    return values


def value_of(name: str, array: Array) -> Value:
    """Shape and type of an array."""
    return Value(name, array.shape, array.dtype.name)


def _require_finite(node: Node, name: str, array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InputError(f"node {node.name}: input {name} is NaN or infinite first at {first}: must be finite numbers")
