"""Gemm, MatMul and Einsum as products, one side their weights: every axis is a letter, as in einsum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from string import ascii_letters

import numpy as np

from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.products import Form, Part, Style, blocks_of


def lower_gemm(graph: Graph, node: Node, style: Style) -> Form:
    """Y = alpha * A * B + beta * C, each of A and B perhaps transposed."""
    a = "kp" if node.attributes.get("transA") else "pk"
    b = "mk" if node.attributes.get("transB") else "km"
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    form = _form(graph, node, [a, b], "pm", kind="gemm")
    return replace(form, bias=node.reading(2), alpha=alpha, beta=beta)


def lower_matmul(graph: Graph, node: Node, style: Style) -> Form:
    """Matrices in the last two axes, the axes before them broadcast; either side is constant."""
    return _form(graph, node, *matmul_letters(graph, node), kind="weights matmul")


def matmul_letters(graph: Graph, node: Node) -> tuple[list[str], str, str]:
    """The letters of both sides and of the output, and those of axes that are broadcast."""
    ranks = [len(graph.values[name].shape) for name in node.inputs]
    batch = ascii_letters[: max(*ranks, 2) - 2]
    row, column = ("R" if ranks[0] > 1 else ""), ("C" if ranks[1] > 1 else "")
    outer = [batch[max(0, len(batch) + 2 - rank) :] for rank in ranks]
    return [f"{outer[0]}{row}K", f"{outer[1]}K{column}"], batch + row + column, batch


def lower_einsum(graph: Graph, node: Node, style: Style) -> Form:
    """An Einsum that is a linear map in one input, perhaps grouped."""
    letters = einsum_letters(graph, node)
    assert letters is not None
    return _form(graph, node, *letters, kind="einsum")


def weight_place(graph: Graph, node: Node) -> int:
    """Which of the first two inputs the weights are: the constant one; of two activations the right one."""
    return 0 if graph.is_constant(node.inputs[0]) and not graph.is_constant(node.inputs[1]) else 1


def einsum_letters(graph: Graph, node: Node) -> tuple[list[str], str] | None:
    """The letters of two inputs and of the output, "..." spelled out; None for another number of inputs."""
    equation = str(node.attributes["equation"]).replace(" ", "")
    left, arrow, y = equation.partition("->")
    sides = left.split(",")
    if len(sides) != 2 or len(node.inputs) != 2:
        return None
    if not arrow:
        once = (one for one in sorted(set(left) - set(",.")) if left.count(one) == 1)
        y = ("..." if "..." in left else "") + "".join(once)
    ranks = [
        len(graph.values[name].shape) - len(side.replace("...", ""))
        for name, side in zip(node.inputs, sides, strict=True)
    ]
    wide = max(rank if "..." in side else 0 for rank, side in zip(ranks, sides, strict=True))
    free = "".join(one for one in ascii_letters if one not in equation)[:wide]
    spelled = [
        side.replace("...", free[len(free) - rank :] if rank else "") for rank, side in zip(ranks, sides, strict=True)
    ]
    return spelled, y.replace("...", free)


def is_linear(graph: Graph, node: Node) -> bool:
    """True for an Einsum of two inputs in which no letter is summed away alone, repeated in an input, or broadcast."""
    letters = einsum_letters(graph, node)
    if letters is None:
        return False
    sides, y = letters
    sizes: dict[str, int] = {}
    for name, side in zip(node.inputs, sides, strict=True):
        shape = graph.values[name].shape
        if len(side) != len(shape) or any(sizes.setdefault(one, n) != n for one, n in zip(side, shape, strict=True)):
            return False
    once = all(len(set(text)) == len(text) for text in (*sides, y))
    return once and all(one in y or (one in sides[0] and one in sides[1]) for one in sizes) and set(y) <= set(sizes)


def _form(graph: Graph, node: Node, letters: Sequence[str], y: str, batch: str = "", *, kind: str) -> Form:
    """The products of a node, one for each index along axes of the weights that are axes of the output too.

    letters : axes of the two inputs; y : of the output; batch : those that may be missing in an input, or broadcast
    """
    at = weight_place(graph, node)
    x, w = letters[1 - at], letters[at]
    sizes = dict(zip(w, graph.values[node.inputs[at]].shape, strict=True))
    w = "".join(one for one in w if sizes[one] > 1 or one not in x or one not in y)  # a side of 1 is broadcast
    group = "".join(one for one in y if one in w and one in x + batch and sizes[one] > 1)
    out = "".join(one for one in y if one in w and one not in group)
    position = "".join(one for one in y if one not in group + out)
    inner = "".join(one for one in x if one in w and one not in y)
    missing = "".join(one for one in group if one not in x)
    sizes = dict(zip(x, graph.values[node.inputs[1 - at]].shape, strict=True)) | {one: sizes[one] for one in w}

    def shape(text: str) -> tuple[int, ...]:
        return tuple(sizes[one] for one in text)

    n_out, n_in = prod(shape(out)), prod(shape(inner))

    def arrange(index: tuple[int, ...], weights: Array, fill: object) -> Array:
        turned = weights.reshape(shape(w)).transpose([w.index(one) for one in group + out + inner])
        mine: Array = turned[index].reshape(n_out, n_in)
        return mine

    def vectors(index: tuple[int, ...], value: Array, most: int) -> Iterator[Array]:
        order = group + position + inner
        wide = value.reshape((1,) * len(missing) + value.shape).transpose([(missing + x).index(one) for one in order])
        mine = np.broadcast_to(wide, shape(order))[index]
        for block in blocks_of(shape(position), most):
            yield mine[block].reshape(-1, n_in)

    def join(outputs: Sequence[Array], bias: Array | None) -> Array:
        order = group + position + out
        return np.stack(outputs).reshape(shape(order)).transpose([order.index(one) for one in y])

    parts = tuple(
        Part(
            suffix=f".{number}" if group else "",
            n_in=n_in,
            n_weight=n_out * n_in,
            channels=number * n_out + np.arange(n_out),
            positions=prod(shape(position)),
            arrange=partial(arrange, index),
            vectors=partial(vectors, index),
        )
        for number, index in enumerate(np.ndindex(shape(group)))
    )
    return Form(
        kind=kind,
        reads=node.inputs[1 - at],
        weight=node.inputs[at],
        parts=parts,
        group_axes=tuple(y.index(one) for one in group),
        out_axes=tuple(y.index(one) for one in out),
        join=join,
    )
