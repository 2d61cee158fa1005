"""The operators, an entry each: their kind, products, MACs, the axes of their weights, and which axes go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from eie_sim.network import axes as together
from eie_sim.network import winograd
from eie_sim.network.contraction import (
    einsum_letters,
    is_linear,
    lower_einsum,
    lower_gemm,
    lower_matmul,
    weight_place,
)
from eie_sim.network.convolution import kind_of_conv, lower_conv, lower_conv_transpose
from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.integers import INTEGERS, Sums, integers_of, left_because, places_of, plain
from eie_sim.network.products import Form, Step, Style
from eie_sim.network.recurrent import lengths_of, lower_recurrent, require_known, why_left

Labels = dict[int, tuple[str, ...]]
NOT_YET = "is not computed yet"
NOT_KNOWN = together.pinned("op {op} is not known")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator.

    kind : of nodes one of whose `sides` is constant
    sides : inputs that are multiplied with each other
    lower : (graph, node, style) -> products, which a bias and a BatchNorm may go into, or all that it is
    labels : (graph, node) -> what each axis of an input is, where that input is trained
    axes : (graph, node) -> which axis goes with which
    macs : (graph, node) -> multiplications, each with an addition, as the operator says them
    forward : (node, arrays) -> output; for networks that came without a framework
    reason : why it is host work although it multiplies with weights
    require : raises InputError for a node of a file that nobody here can run, in clearer words than the framework
    """

    kind: str = "host"
    sides: tuple[int, ...] = ()
    lower: Callable[[Graph, Node, Style], Form | Step] | None = None
    labels: Callable[[Graph, Node], Labels] = lambda graph, node: {}
    axes: together.Rule = NOT_KNOWN
    macs: Callable[[Graph, Node], int] = lambda graph, node: 0
    forward: Callable[..., Array] | None = None
    reason: str = ""
    require: Callable[[Node], None] = lambda node: None


def operator_of(node: Node) -> Operator:
    """The entry of a node's operator; an empty one where there is none."""
    return OPERATORS.get(f"{node.domain}.{node.op}" if node.domain else node.op, Operator())


def classified(graph: Graph) -> Graph:
    """Return the graph with the kind of each node, moves left as they are."""
    return replace(
        graph, nodes=tuple(node if node.kind == "move" else _classified(graph, node) for node in graph.nodes)
    )


def _classified(graph: Graph, node: Node) -> Node:
    operator = operator_of(node)
    constant = [graph.is_constant(node.reading(place)) for place in operator.sides]
    if operator.lower is None:
        kind = operator.kind if operator.kind != "lookup" or graph.is_constant(node.inputs[0]) else "host"
        return replace(node, kind=kind, reason=node.reason or operator.reason)
    if operator.kind == "recurrent":
        reason = why_left(graph, node)
        return replace(node, kind="host" if reason else "recurrent", reason=reason)
    if node.op == "Einsum" and not is_linear(graph, node):
        return replace(node, kind="host", reason="not a linear map of one input")
    if not any(constant) or (plain(node).op in ("Conv", "ConvTranspose") and not constant[1]):
        return replace(node, kind="two_activations", reason=_why_not_two(graph, node))
    empty = any(graph.values[name].size == 0 for name in (*plain(node).inputs[:2], node.outputs[0]))
    reason = "it has no elements" if empty else left_because(graph, node)
    return replace(node, kind="host" if reason else operator.kind, reason=reason)


def _why_not_two(graph: Graph, node: Node) -> str:
    """Return why no unit takes a product of two activations, "" where one may."""
    if plain(node).op in ("Conv", "ConvTranspose"):
        return "both sides are activations"
    read = [graph.values[name] for name in node.inputs[:2]]
    if any(value.size == 0 for value in (*read, graph.values[node.outputs[0]])):
        return "it has no elements"
    if any(np.dtype(value.dtype).kind != "f" for value in read):
        return "both sides are activations, of whole numbers"
    letters = einsum_letters(graph, node) if node.op == "Einsum" else None
    return "nothing is summed" if letters and set("".join(letters[0])) <= set(letters[1]) else ""


def kind_words(graph: Graph, node: Node) -> str:
    """Words of a table for nodes that multiply, such as "1x1 conv2d" or "two activations matmul"."""
    same = plain(node)
    words = {"Gemm": "gemm", "MatMul": "matmul", "Einsum": "einsum"}.get(same.op)
    if node.kind == "two_activations":
        return f"two activations {words or node.op}"
    if same.op in ("Conv", "ConvTranspose"):
        return kind_of_conv(graph, same)
    if node.op == winograd.OP:
        return winograd.KIND
    return "weights matmul" if same.op == "MatMul" else words or node.op


def macs(graph: Graph, node: Node) -> int:
    """MACs of a node that its products or operator say; 0 of what multiplies nothing with weights."""
    operator = operator_of(node)
    if node.op == "ConvTranspose" and operator.lower is not None and node.kind == "conv_transpose":
        form = operator.lower(graph, node, Style())
        assert isinstance(form, Form)
        return sum(part.n_weight * part.positions for part in form.parts)
    return operator.macs(graph, node)


def _shape(graph: Graph, node: Node, place: int) -> tuple[int, ...]:
    return graph.values[node.inputs[place]].shape


def _out(graph: Graph, node: Node) -> tuple[int, ...]:
    return graph.values[next(name for name in node.outputs if name)].shape


def _conv_macs(place: int) -> Callable[[Graph, Node], int]:
    return lambda graph, node: prod(_out(graph, node)) * prod(_shape(graph, node, place)[1:])


def _winograd_macs(graph: Graph, node: Node) -> int:
    """Return the MACs of the convolution that it is."""
    return prod(_out(graph, node)) * _shape(graph, node, 1)[3] * winograd.KERNEL**2


def _matmul_macs(graph: Graph, node: Node) -> int:
    return prod(_out(graph, node)) * _shape(graph, node, 0)[-1]


def _gemm_macs(graph: Graph, node: Node) -> int:
    return prod(_out(graph, node)) * _shape(graph, node, 0)[0 if node.attributes.get("transA") else 1]


def _transpose_macs(graph: Graph, node: Node) -> int:
    return prod(_shape(graph, node, 0)) * prod(_shape(graph, node, 1)[1:])


def _einsum_macs(graph: Graph, node: Node) -> int:
    letters = einsum_letters(graph, node)
    if letters is None:
        return 0
    sizes = {
        one: n
        for place, side in enumerate(letters[0])
        for one, n in zip(side, _shape(graph, node, place), strict=False)
    }
    return prod(sizes.values())


def _attention_macs(graph: Graph, node: Node) -> int:
    """Return the MACs of scores and context, where queries, keys and the output have values of their own."""
    if len(node.inputs) < 3 or not all(node.inputs[1:3]) or len(_shape(graph, node, 1)) == 5:
        return 0
    past = next((_shape(graph, node, at)[-2] for at in PAST[node.domain] if node.reading(at)), 0)
    return (prod(_shape(graph, node, 0)) + prod(_out(graph, node))) * (_shape(graph, node, 1)[-2] + past)


def _projected_attention_macs(graph: Graph, node: Node) -> int:
    """Return the MACs of the projections, scores and context."""
    (batch, length, width), hidden = _shape(graph, node, 0), _shape(graph, node, 1)[1]
    past = _shape(graph, node, 4)[-2] if node.reading(4) else 0
    of_v = _out(graph, node)[2]
    return batch * length * (width * hidden + ((hidden - of_v) // 2 + of_v) * (length + past))


def _recurrent_macs(graph: Graph, node: Node) -> int:
    """Return the MACs of W over all steps and of R step by step; weights [direction, gates * H, .] or turned."""
    return int(lengths_of(graph, node).sum()) * sum(prod(_shape(graph, node, place)) for place in (1, 2))


def _kernel(*first: str) -> Callable[[Graph, Node], Labels]:
    def labels(graph: Graph, node: Node) -> Labels:
        kernel = (f"kernel{axis}" for axis in range(len(_shape(graph, node, 1)) - 2))
        return {1: (*first, *kernel), 2: ("out",)}

    return labels


def _gemm_labels(graph: Graph, node: Node) -> Labels:
    sides = {0: ("in", "out") if node.attributes.get("transA") else ("out", "in")}
    sides[1] = ("out", "in") if node.attributes.get("transB") else ("in", "out")
    at = weight_place(graph, node)
    bias = ("",) * (len(_shape(graph, node, 2)) - 1) + ("out",) if node.reading(2) and _shape(graph, node, 2) else ()
    return {at: sides[at], 2: bias}


def _matmul_labels(graph: Graph, node: Node) -> Labels:
    at = weight_place(graph, node)
    rank = len(_shape(graph, node, at))
    last = ("in",) if rank == 1 else ("in", "out") if at else ("out", "in")
    return {at: ("group",) * (rank - 2) + last}


def _einsum_labels(graph: Graph, node: Node) -> Labels:
    letters = einsum_letters(graph, node)
    if letters is None:
        return {}
    at = weight_place(graph, node)
    sides, y = letters
    return {at: tuple(("in" if o not in y else "group" if o in sides[1 - at] else "out") for o in sides[at])}


def _same(label: str, *places: int) -> Callable[[Graph, Node], Labels]:
    """All axes of some inputs are of one kind."""
    return lambda graph, node: {
        place: (label,) * len(_shape(graph, node, place)) for place in places if node.reading(place)
    }


def _along_one(label: str) -> Callable[[Graph, Node], Labels]:
    """A constant that is broadcast along all axes but one is a bias or a gain."""

    def labels(graph: Graph, node: Node) -> Labels:
        return {
            place: tuple(label if side > 1 else "" for side in _shape(graph, node, place))
            for place in range(len(node.inputs))
            if sum(side > 1 for side in _shape(graph, node, place)) == 1
        }

    return labels


def _recurrent_labels(graph: Graph, node: Node) -> Labels:
    return {1: ("group", "gate_out", "in"), 2: ("group", "gate_out", "hidden"), 3: ("group", "gate_out")}


def _turned_labels(graph: Graph, node: Node) -> Labels:
    return {1: ("group", "in", "gate_out"), 2: ("group", "hidden", "gate_out"), 3: ("group", "gate_out")}


def _table_labels(graph: Graph, node: Node) -> Labels:
    return {0: ("row",) + ("out",) * (len(_shape(graph, node, 0)) - 1)}


def _gemm(node: Node, a: Array, b: Array, c: Array | None = None) -> Array:
    given = node.attributes
    product = (a.T if given.get("transA") else a) @ (b.T if given.get("transB") else b)
    product = product * np.float32(given.get("alpha", 1.0))
    return product if c is None else product + np.float32(given.get("beta", 1.0)) * c


def _lower_integer(graph: Graph, node: Node, style: Style) -> Form:
    """As the same operator on floats, with zero points taken off and outputs as the operator says them."""
    own, same = integers_of(node), plain(node)
    assert own is not None
    form = (lower_conv if own.op == "Conv" else lower_matmul)(graph, same, style)
    at = 1 if own.op == "Conv" else weight_place(graph, same)
    return replace(form, integer=Sums(graph=graph, node=node, own=own, at=at))


def _on_integers(name: str, same: Operator) -> Operator:
    """The entry of an operator on integers. same : that of the operator on floats"""

    def labels(graph: Graph, node: Node) -> Labels:
        places = places_of(node)
        return {places[place]: axes for place, axes in same.labels(graph, plain(node)).items() if place < len(places)}

    return Operator(
        kind="integer",
        sides=tuple(side.data for side in INTEGERS[name].sides),
        lower=_lower_integer,
        labels=labels,
        macs=lambda graph, node: same.macs(graph, plain(node)),
        axes=together.on_integers(same.axes),
    )


_UNCOUNTED = "GroupQueryAttention MatMulNBits QAttention QGemm QLinearConv"
PAST = {"": (4,), "com.microsoft": (6,)}
"""Places of the keys of the past in attention, by domain."""


def _later(macs: Callable[[Graph, Node], int], **more: Any) -> Operator:
    return Operator(macs=macs, reason=NOT_YET, **more)


MATMUL = Operator(
    kind="matmul",
    sides=(0, 1),
    lower=lower_matmul,
    labels=_matmul_labels,
    macs=_matmul_macs,
    axes=together.lettered,
)
CONV = Operator(
    kind="conv",
    sides=(0, 1),
    lower=lower_conv,
    labels=_kernel("out", "in"),
    macs=_conv_macs(1),
    axes=together.convolved,
)
RECURRENT = Operator(
    kind="recurrent",
    sides=(1, 2),
    lower=lower_recurrent,
    require=require_known,
    labels=_recurrent_labels,
    macs=_recurrent_macs,
    axes=together.recurrent,
)
OPERATORS: Mapping[str, Operator] = {
    **{op: Operator(axes=rule) for op, rule in together.RULES.items()},
    "Gemm": Operator(
        kind="gemm",
        sides=(0, 1),
        lower=lower_gemm,
        labels=_gemm_labels,
        macs=_gemm_macs,
        axes=together.lettered,
        forward=_gemm,
    ),
    "MatMul": MATMUL,
    "Einsum": Operator(
        kind="einsum",
        sides=(0, 1),
        lower=lower_einsum,
        labels=_einsum_labels,
        macs=_einsum_macs,
        axes=together.lettered,
    ),
    "Conv": CONV,
    "ConvTranspose": Operator(
        kind="conv_transpose",
        sides=(0, 1),
        lower=lower_conv_transpose,
        labels=_kernel("in", "out"),
        macs=_transpose_macs,
        axes=together.convolved,
    ),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), RECURRENT),
    **{
        name: _on_integers(name, {"MatMul": MATMUL, "Conv": CONV}[own.op])
        for name, own in INTEGERS.items()
        if own.op != "LSTM"
    },
    "com.microsoft.DynamicQuantizeLSTM": replace(RECURRENT, labels=_turned_labels),
    "com.microsoft.FusedMatMul": _later(_matmul_macs),
    "com.microsoft.FusedConv": _later(_conv_macs(1)),
    "DeformConv": Operator(reason=f"{NOT_YET}, its MACs are not counted"),
    **dict.fromkeys(("Attention", "com.microsoft.MultiHeadAttention"), _later(_attention_macs)),
    "com.microsoft.Attention": _later(_projected_attention_macs),
    "com.microsoft.FusedGemm": _later(_gemm_macs),
    **{f"com.microsoft.{op}": Operator(reason=f"{NOT_YET}, its MACs are not counted") for op in _UNCOUNTED.split()},
    "Gather": Operator(kind="lookup", labels=_table_labels, axes=together.gathered),
    f"{winograd.DOMAIN}.{winograd.OP}": Operator(
        kind="conv",
        sides=(0, 1),
        lower=winograd.lower_winograd,
        labels=lambda graph, node: {1: ("kernel0", "kernel1", "out", "in"), 2: ("out",)},
        macs=_winograd_macs,
    ),
    "BatchNormalization": Operator(labels=_same("norm", 1, 2, 3, 4), axes=together.channel_norm),
    "InstanceNormalization": Operator(labels=_same("norm", 1, 2), axes=together.channel_norm),
    "GroupNormalization": Operator(labels=_same("norm", 1, 2), axes=together.channel_norm),
    "LayerNormalization": Operator(labels=_same("norm", 1, 2), axes=together.last_norm),
    "RMSNormalization": Operator(labels=_same("norm", 1), axes=together.last_norm),
    "com.microsoft.SkipLayerNormalization": Operator(labels=_same("norm", 2, 3), axes=together.last_norm),
    "Add": Operator(labels=_along_one("out"), axes=together.aligned),
    "Mul": Operator(labels=_along_one("norm"), axes=together.aligned),
    "Relu": Operator(axes=together.aligned, forward=lambda node, x: np.maximum(x, 0)),
}
"""By name; `domain.name` of those that are not ONNX's own."""

INSIDE = {name.rpartition(".")[2] for name, operator in OPERATORS.items() if operator.lower or operator.reason}
"""Operators that must not stand inside a loop or a branch that depends on data."""


def relations(graph: Graph) -> Iterator[tuple[str, together.Relation]]:
    """Yield how axes go with each other, with the name of the node that says so; inputs and outputs are pinned."""
    for reason, names in (("network input", graph.inputs), ("network output", graph.outputs)):
        for name in names:
            yield from ((name, together.Pinned(axis, reason)) for axis in together.axes_of(graph, name))
    for node in graph.nodes:
        yield from ((node.name, relation) for relation in operator_of(node).axes(graph, node))
