"""Products of two activations, such as scores and context of attention: dense, with weights only as they run.

As of any product Y[p, m] is the sum over k of X[p, k] * W[m, k]. The left side is X, a position for each of its rows;
the right side is W, a row for each of its columns. Axes that the right side and the output have beside these, such as
batch and head, are a product each; an axis that only the left side has is one more of positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.core.nm_pattern import DENSE
from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.products import Form, Multiply, Part, Product, Step, Style, chunks_of


def step_of_two(graph: Graph, node: Node, form: Form, kind: str, style: Style) -> Step:
    """The products of a node in its form, which say nothing of their weights. kind : in words fit for a table"""
    products = tuple(
        Product(
            name=node.name + part.suffix,
            kind=kind,
            n_out=len(part.channels),
            n_in=part.n_in,
            n_weight=0,
            positions=part.positions,
            blocks=1,
            launch=node.name,
            parameters=(),
            bias=None,
            make_weight=partial(_not_there, node.name),
            make_elements=partial(_not_there, node.name),
            make_vectors=part.vectors,
        )
        for part in form.parts
    )
    return Step(
        node=node,
        nodes=(node,),
        reads=form.reads,
        weighs=form.weight,
        makes=(node.outputs[0],),
        products=products,
        run=partial(_run, graph, form),
        pattern=None if style.pattern is None else DENSE,
    )


def _not_there(name: str) -> Any:
    raise InputError(f"node {name}: both sides are activations: it has no weights before it runs")


def _run(
    graph: Graph, form: Form, products: Sequence[Product], values: Mapping[str, Array], multiply: Multiply
) -> tuple[Array]:
    """The bias of a Gemm is added as the host does."""
    x, w = values[form.reads], values[form.weight]
    outputs = []
    for product, part in zip(products, form.parts, strict=True):
        vectors = next(part.vectors(x, part.positions))
        outputs.append(multiply(_with_weights(product, part, form.alpha, w), vectors))
    y = form.join(outputs, None)
    if form.bias:
        y = y.astype(np.float32, copy=False) + np.float32(form.beta) * values[form.bias]
    return (y,)


def _with_weights(product: Product, part: Part, alpha: float, value: Array) -> Product:
    """The product of its vectors alone, with the weights that a value is."""
    rows = part.arrange(value, 0)
    rows = rows if alpha == 1 else rows * rows.dtype.type(alpha)
    return replace(product, make_weight=lambda: rows, make_vectors=chunks_of)
