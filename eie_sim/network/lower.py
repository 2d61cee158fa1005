"""A graph to steps: the nodes that are computed, each a list of products, with bias and BatchNorm in their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import fresh
from eie_sim.core.errors import InputError
from eie_sim.core.sparse import is_sparse
from eie_sim.network.convolution import is_depthwise
from eie_sim.network.graph import COMPUTED, Array, Graph, Node
from eie_sim.network.integers import plain
from eie_sim.network.operators import kind_words, macs, operator_of
from eie_sim.network.products import Form, Multiply, Part, Product, Step, Style
from eie_sim.network.two_activations import step_of_two
from eie_sim.network.winograd import OP as WINOGRAD

Doubles = NDArray[np.float64]
PLAIN = Style()
EVERYTHING = Style(two_activations=True)
FOLDED = ("conv", "conv_transpose", "gemm")
"""Kinds that a BatchNorm right after them is folded into."""
GATHERED = ("Conv", "ConvTranspose", WINOGRAD)
"""Operators whose vectors are gathered from a map."""


def steps_of(graph: Graph, style: Style = PLAIN) -> tuple[Step, ...]:
    """Return the nodes that are computed, in order. Raise InputError where no node is."""
    found = tuple(_step(graph, node, style) for node in graph.nodes if host_reason(graph, node, style) is None)
    if not found:
        work = [node for node in graph.nodes if macs(graph, node) or node.reason]
        later = dict.fromkeys(f"{node.op} ({host_reason(graph, node, style)})" for node in work)
        ops = ", ".join(sorted({node.op for node in graph.nodes if node.kind != "move"})) or "none"
        raise InputError(
            f"{graph.source}: nothing to compute: {', '.join(later) or 'no weights'}; its operators: {ops}"
        )
    taken = {step.node.name for step in found}
    return tuple(replace(step, products=_named_apart(step, taken)) for step in found)


def _named_apart(step: Step, taken: set[str]) -> tuple[Product, ...]:
    """The products under names that no other has: product 0 of node a may not be a.0 where that is a node."""
    own = step.node.name
    names = {one.name: own if one.name == own else fresh(one.name, taken) for one in step.products}
    return tuple(
        replace(
            one,
            name=names[one.name],
            launch=names.get(one.launch, one.launch),
            depends_on=tuple(names[name] for name in one.depends_on),
        )
        for one in step.products
    )


def host_reason(graph: Graph, node: Node, style: Style) -> str | None:
    """Return None for a node that is computed, else why it is left to the host."""
    if node.kind == "two_activations" and style.two_activations and not node.reason:
        return None
    if node.kind not in COMPUTED:
        return node.reason or ("both sides are activations" if node.kind == "two_activations" else "no products")
    if plain(node).op in ("Conv", "ConvTranspose") and is_depthwise(graph, node) and not style.depthwise:
        return "depthwise"
    return None


@dataclass(frozen=True, kw_only=True)
class Share:
    """MACs of one kind. reason : why they are left to the host, "" where they are computed"""

    kind: str
    reason: str
    nodes: int
    macs: int


def coverage(graph: Graph, style: Style = PLAIN) -> tuple[Share, ...]:
    """Return the MACs of every kind, the largest first. Nodes that depend on no input are not computed by anybody."""
    found: dict[tuple[str, str], list[int]] = {}
    for node in graph.nodes:
        count = macs(graph, node)
        if count or node.reason:
            found.setdefault((kind_words(graph, node), host_reason(graph, node, style) or ""), []).append(count)
    shares = [Share(kind=kind, reason=why, nodes=len(n), macs=sum(n)) for (kind, why), n in found.items()]
    return tuple(sorted(shares, key=lambda share: -share.macs))


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """A change of each channel of a node's outputs: w * gain / root, and bias. None: no change."""

    gain: Doubles | None = None
    root: Doubles | None = None
    bias: Doubles | None = None

    def scaled(self, rows: Array, channels: Array) -> Array:
        """float64 rows or values of channels, multiplied."""
        if self.gain is None or self.root is None:
            return rows
        shape = (-1,) + (1,) * (rows.ndim - 1)
        return rows * self.gain[channels].reshape(shape) / self.root[channels].reshape(shape)


def _step(graph: Graph, node: Node, style: Style) -> Step:
    operator = operator_of(node)
    assert operator.lower is not None
    form = operator.lower(graph, node, style)
    if isinstance(form, Step):
        return form
    if node.kind == "two_activations":
        return step_of_two(graph, node, form, kind_words(graph, node), style)
    shape = graph.values[node.outputs[0]].shape
    nodes = [node]
    if form.bias in graph.constants and not graph.constants[form.bias].any():
        form = replace(form, bias="")  # not in the file: exporters compute zeros where a module has no bias
    affine = Affine(bias=_per_channel(graph, form.bias, shape, form))
    left = form.bias if form.bias and affine.bias is None else ""
    if affine.bias is not None:
        affine = Affine(bias=affine.bias * form.beta)
    if not left and form.integer is None:
        affine = _with_add(graph, form, nodes, affine)
        affine = _with_norm(graph, form, nodes, affine) if style.fold else affine
    wide = form.bias != "" and graph.values[form.bias].dtype in ("float64", "int32")  # of layers, of integers
    bias = affine.bias if affine.bias is None or wide else _single(affine.bias)
    within = None if form.bias_on_host else bias
    products = tuple(_product(graph, node, form, part, affine, within) for part in form.parts)
    return Step(
        node=node,
        nodes=tuple(nodes),
        reads=form.reads,
        makes=(nodes[-1].outputs[0],),
        products=products,
        run=partial(_run, form, bias, left, graph),
        pattern=style.pattern,
        host=form.host,
        rounded=form.integer is not None and form.integer.rounds,
    )


def _run(
    form: Form,
    bias: Array | None,
    left: str,
    graph: Graph,
    products: Sequence[Product],
    values: Mapping[str, Array],
    multiply: Multiply,
) -> tuple[Array]:
    """Left : name of a bias that is not one value for each output, "" if there is none"""
    x = values[form.reads] if form.integer is None else form.integer.inputs(values)
    y = form.join([multiply(product, x) for product in products], bias)
    if form.integer is not None:
        return (form.integer.outputs(y, values),)
    if not left:
        return (y,)
    extra = np.float32(form.beta) * (graph.array(left) if graph.is_constant(left) else values[left])
    conv = form.out_axes == (1,) and y.ndim > 2
    y = y.astype(np.float32, copy=False)  # as the host has it
    return (y + (extra.reshape(-1, *(1 for _ in y.shape[2:])) if conv else extra),)


def _per_channel(graph: Graph, name: str, shape: tuple[int, ...], form: Form) -> Doubles | None:
    """A constant that is one value for each output of the node, by channel; None for anything else."""
    if not name or not graph.is_constant(name):
        return None
    array = graph.array(name)
    if len(shape) > 2 and form.bias == name:  # of a convolution
        return array.astype(np.float64)
    sides = (1,) * (len(shape) - array.ndim) + array.shape
    fits = len(sides) == len(shape) and all(
        side == shape[axis] if axis in form.out_axes else side == 1 or (side == shape[axis] and axis in form.group_axes)
        for axis, side in enumerate(sides)
    )
    if not fits:
        return None
    axes = (*form.group_axes, *form.out_axes)
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    turned = array.reshape(sides).transpose([*rest, *axes])
    return np.broadcast_to(turned, [*(1 for _ in rest), *(shape[axis] for axis in axes)]).astype(np.float64).ravel()


def _only_reader(graph: Graph, node: Node) -> Node | None:
    """The node that alone reads what `node` makes, unless that is an output of the network."""
    made = node.outputs[0]
    readers = graph.readers.get(made, ())
    return readers[0] if len(readers) == 1 and made not in graph.outputs and readers[0].kind == "host" else None


def _with_add(graph: Graph, form: Form, nodes: list[Node], affine: Affine) -> Affine:
    """The bias of an Add of one value for each output, right after a node that has none."""
    reader = _only_reader(graph, nodes[-1])
    if affine.bias is not None or reader is None or reader.op != "Add" or reader.domain:
        return affine
    made = graph.values[nodes[-1].outputs[0]]
    other = reader.inputs[1] if reader.inputs[0] == made.name else reader.inputs[0]
    bias = _per_channel(graph, other, made.shape, form) if other != made.name else None
    if bias is None:
        return affine
    nodes.append(reader)
    return Affine(bias=bias)


def _with_norm(graph: Graph, form: Form, nodes: list[Node], affine: Affine) -> Affine:
    """The gain and bias of a BatchNorm of the channels, right after Conv, ConvTranspose or Gemm."""
    reader = _only_reader(graph, nodes[-1])
    if reader is None or reader.op != "BatchNormalization" or reader.domain or nodes[0].kind not in FOLDED:
        return affine
    fits = form.out_axes == (1,) and not form.group_axes and reader.inputs[0] == nodes[-1].outputs[0]
    still = (
        not reader.attributes.get("training_mode") and reader.attributes.get("spatial", 1) and len(reader.makes) == 1
    )
    if not (fits and still and all(graph.is_constant(name) for name in reader.inputs[1:])):
        return affine
    arrays = [graph.array(name) for name in reader.inputs[1:]]
    if not all(np.isfinite(array).all() for array in arrays):
        return affine
    gain, beta, mean, var = (array.astype(np.float64) for array in arrays)
    squared = var + reader.attributes.get("epsilon", 1e-5)
    if not (squared > 0).all():
        return affine
    root = np.sqrt(squared)
    before = np.zeros_like(mean) if affine.bias is None else affine.bias
    nodes.append(reader)
    return Affine(gain=gain, root=root, bias=(before - mean) * gain / root + beta)


def _single(array: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # found where products are held against the framework
        return array.astype(np.float32, copy=False)


def _product(graph: Graph, node: Node, form: Form, part: Part, affine: Affine, bias: Array | None) -> Product:
    def weight() -> Array:
        array = graph.array(form.weight) if form.integer is None else form.integer.weights()
        if is_sparse(array):  # of layers, which are as they are multiplied
            return array
        rows = part.arrange(array, 0)
        if form.alpha == 1 and affine.gain is None:
            return rows
        return _single(affine.scaled(rows.astype(np.float64) * form.alpha, part.channels))

    def elements() -> Array:
        return part.arrange(graph.elements(form.weight), -1)

    return Product(
        name=node.name + part.suffix,
        kind=form.kind,
        n_out=len(part.channels),
        n_in=part.n_in,
        n_weight=part.n_weight,
        positions=part.positions,
        blocks=part.blocks,
        launch=node.name,
        parameters=graph.origins(form.weight),
        bias=None if bias is None else bias[part.channels],
        make_weight=weight,
        make_elements=elements,
        make_vectors=part.vectors,
        map_size=prod(graph.values[form.reads].shape[1:]) if plain(node).op in GATHERED else 0,
        whole=form.integer is not None,
    )
