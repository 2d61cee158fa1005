"""Memory of a graph beside the weights of its products: arrays that stay floats, state, values on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from eie_sim.network.graph import Graph, Node
from eie_sim.network.integers import plain
from eie_sim.network.operators import macs
from eie_sim.network.products import Step

VIEWS = ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
"""Operators whose output is their first input under another shape: nothing is copied."""
RECURRENT = {"GRU": 1, "RNN": 1, "LSTM": 2, "DynamicQuantizeLSTM": 2}
"""Values of state for each hidden neuron, by operator."""


class Peak(NamedTuple):
    """The most that is alive at once: bits, the node that runs then, and the values, largest first."""

    bits: int
    node: str
    values: tuple[str, ...]


def peak_of(graph: Graph, steps: Sequence[Step], word_bits: int) -> Peak:
    """Return the most bits of values that are alive at once, node by node in the order of the graph.

    steps : nodes that are one with the bias or BatchNorm after them, so that nothing stands between
    word_bits : of a float; other numbers have their own width

    A value lives from its node, or of an input from the start, to its last reader; an output to the end. No node
    writes over what it reads.
    """
    owner: dict[str, str] = {}  # of a view, whose memory it is

    def owners(names: Sequence[str]) -> list[str]:
        return [owner.get(name, name) for name in dict.fromkeys(names) if name and not graph.is_constant(name)]

    work = list(_work(graph, steps))
    for node, reads, makes in work:
        if node.op in VIEWS and not node.domain and owners(reads[:1]):
            owner[makes[0]] = owners(reads[:1])[0]
    uses = Counter(name for _, reads, _ in work for name in set(owners(reads))) + Counter(owners(graph.outputs))
    alive = {name: _bits(graph, name, word_bits) for name in owners(graph.inputs)}
    best = Peak(sum(alive.values()), "", tuple(alive))
    for node, reads, makes in work:
        alive.update((name, _bits(graph, name, word_bits)) for name in owners(makes) if name not in alive)
        if sum(alive.values()) > best.bits:
            largest = sorted(alive, key=lambda name: -alive[name])
            best = Peak(sum(alive.values()), node.name, tuple(largest))
        uses.subtract(set(owners(reads)))
        for name in (*owners(reads), *owners(makes)):
            if uses[name] <= 0:
                alive.pop(name, None)
    return best


def _work(graph: Graph, steps: Sequence[Step]) -> Iterator[tuple[Node, tuple[str, ...], tuple[str, ...]]]:
    """Yield the work in order: a node, what it reads and makes; the nodes of a step as one."""
    inside = {node.name: step for step in steps for node in step.nodes}
    for node in graph.nodes:
        step = inside.get(node.name)
        if step is None and node.kind != "move":
            yield node, node.reads, node.makes
        elif step is not None and node is step.node:
            hidden = {name for one in step.nodes for name in one.makes}
            yield node, tuple(name for one in step.nodes for name in one.reads if name not in hidden), step.makes


def _bits(graph: Graph, name: str, word_bits: int) -> int:
    value = graph.values.get(name)
    if value is None:
        return 0
    dtype = np.dtype(value.dtype)
    return value.size * (word_bits if dtype.kind == "f" else 8 * dtype.itemsize)


def state_of(graph: Graph, word_bits: int) -> dict[str, int]:
    """Return the bits of h, and c where there is one, that recurrent nodes keep from step to step, by node."""
    found = {}
    for node in graph.nodes:
        if node.op in RECURRENT and node.kind != "move":
            x, r = (graph.values[name].shape for name in (node.inputs[0], node.inputs[2]))
            hidden = node.attributes.get("hidden_size") or min(r[1:])
            batch = x[0] if node.attributes.get("layout") else x[1]
            found[node.name] = RECURRENT[node.op] * r[0] * batch * hidden * word_bits
    return found


def floats_of(graph: Graph, steps: Sequence[Step]) -> dict[str, int]:
    """Return the bytes of arrays that no product has: lookups, norms, weights left to the host, others, constants.

    A parameter that a product has is not counted again, whoever else reads it.
    """
    computed = {node.name for step in steps for node in step.nodes}
    seen: set[str] = set()
    found = dict.fromkeys(("lookups", "norms", "weights left to the host", "other parameters", "constants"), 0)
    for inside in (True, False):
        for node in graph.nodes:
            if (node.name in computed) != inside or node.kind == "move":
                continue
            for name in node.reads:
                in_products = node.inputs[:4] if node.kind == "recurrent" else plain(node).inputs
                beside = name not in in_products  # peepholes and first states, zero points and scales
                for kind, owner, size in _owned(graph, node, name):
                    found[kind] += 0 if (inside and not beside) or owner in seen else size
                    seen.add(owner)
    return found


def _owned(graph: Graph, node: Node, name: str) -> Iterator[tuple[str, str, int]]:
    """The arrays behind a value that depends on no input: what they are to the node, name, bytes."""
    if name in graph.constants:
        yield "constants", name, graph.constants[name].nbytes
    elif graph.is_constant(name):
        for owner in graph.origins(name):
            one = graph.parameters[owner]
            kind = "norms" if "norm" in one.axes else "other parameters"
            left = node.reason or (macs(graph, node) and node.kind not in ("recurrent", "integer"))
            kind = "weights left to the host" if left else kind
            yield "lookups" if node.kind == "lookup" else kind, owner, one.array.nbytes
