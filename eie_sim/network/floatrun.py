"""Running a graph: computed nodes by whoever is asked, the rest by its framework; values go after their last use."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError
from eie_sim.network.graph import Array, Graph, Node, Value
from eie_sim.network.products import Product, Step

Compute = Callable[[Step, Mapping[str, Array]], Sequence[Array]]
"""(step, values by name, its input among them) -> the values that the step makes."""

LOWERED_TOLERANCE = 1e-4
"""Largest difference between a product and the framework's value, of the largest output."""
ROUNDED_TOLERANCE = 5e-2
"""The same of floats that states of 8 bits made, which nobody gives: root mean squares of differences and outputs.

Sums that differ in their last bits may be rounded to two neighbouring steps, and a state of 8 bits moves all after it:
by up to 0.9 % in real networks of up to 1,000 steps, about what rounding itself does.
"""
ROUNDED_SHARE = 1e-3
"""Share of outputs of 8 bits, or one of them, that such a node may have one step off."""


class Constants(dict[str, Array]):
    """Arrays of a graph that depend on no input, made when they are asked for."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __missing__(self, name: str) -> Array:
        if not self._graph.is_constant(name):
            raise KeyError(name)
        return self._graph.array(name)


def run(
    graph: Graph,
    steps: Sequence[Step] = (),
    compute: Compute | None = None,
    inputs: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Run the network and return its outputs by name.

    steps : nodes that `compute` gives the values of; those between, or all where there are none, are run by the
        framework on these values
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
            assert compute is not None
            read = [name for name in step.node.reads if name in held]
            for name in dict.fromkeys((step.reads, *read)):
                _require_readable(step.node, graph.values[name], values[name])
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


def require_lowered(step: Step, values: Mapping[str, Array], made: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the largest difference of a step's values to the framework's, as a share of the largest output of each.

    values : what the nodes read, by name

    States of 8 bits that differ are held against the framework's step by step, each made of the framework's before it.

    Raise InputError for another shape, and above LOWERED_TOLERANCE; of a `rounded` step, above
    ROUNDED_TOLERANCE or ROUNDED_SHARE.
    """
    if step.follow is not None and LOWERED_TOLERANCE < max(map(apart, made, expected)) < np.inf:
        made = step.follow(step.products, values, Product.multiply, expected[0])
    return max(_require_alike(step, *pair) for pair in zip(made, expected, strict=True))


def apart(value: Array, expected: Array) -> float:
    """The largest difference, as a share of the largest expected one; infinite of another shape."""
    if value.shape != expected.shape:
        return np.inf
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(value.astype(np.float64) - expected).max(initial=0.0))
    return largest / (float(np.abs(expected).max(initial=0.0)) or 1.0)


def _require_alike(step: Step, value: Array, expected: Array) -> float:
    if value.shape != expected.shape:
        raise InputError(f"node {step.node.name}: lowered to shape {value.shape}, the framework has {expected.shape}")
    error = apart(value, expected)
    fits, rule = bool(error <= LOWERED_TOLERANCE), f"must be at most {LOWERED_TOLERANCE:.0e}"
    if step.rounded and not fits and expected.dtype.kind == "f":
        wanted = expected.astype(np.float64)
        fits = float(np.linalg.norm(value - wanted)) <= ROUNDED_TOLERANCE * float(np.linalg.norm(wanted))
        rule = f"must be at most {ROUNDED_TOLERANCE:.0e} of its outputs by root mean squares"
    elif step.rounded and not fits:
        off = np.abs(value.astype(np.int64) - expected)
        few = max(1, int(ROUNDED_SHARE * off.size))
        fits = int(off.max()) <= 1 and int(np.count_nonzero(off)) <= few
        rule = f"must be one step at most, in {ROUNDED_SHARE:.1%} of its outputs"
    if not fits:
        raise InputError(
            f"node {step.node.name}: {step.node.op} differs from its products by {error:.1e} of its largest output: "
            f"{rule}"
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


def _require_readable(node: Node, expected: Value, array: Array) -> None:
    """Raise InputError for an input that data gave another shape than the graph is for, and one that is not finite."""
    about = f"node {node.name}: input {shown(expected.name)}"
    if array.shape != expected.shape:
        raise InputError(f"{about}={array.shape}: must be {expected.shape}, as when the network was read")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InputError(f"{about} is NaN or infinite first at {first}: must be finite numbers")
