"""Chains of fully connected layers as graphs, run by numpy: what a preset or an array file with an order is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.errors import InputError, as_floats, require, require_one_of
from eie_sim.network.graph import Array, Framework, Graph, Node, Parameter, Value
from eie_sim.network.operators import classified, operator_of

OPSET = 17


def graph_of_layers(
    name: str,
    layers: Iterable[tuple[str, Any, Array | None]],
    inputs: Array,
    *,
    between: str = "relu",
    source: str = "layers",
) -> Graph:
    """Return the graph of a chain: Gemm nodes by the names of the layers, with Relu between them.

    layers : (name, weights [n_out, n_in], bias [n_out] or None); weights may be a scipy.sparse.csc_array
    inputs : float [n_vector, n_in of the first layer]
    between : "relu" or "none"
    Raise InputError where the shapes do not follow each other.
    """
    require_one_of("between", between, ("relu", "none"))
    x = as_floats("inputs", inputs).astype(np.float32)
    require(x.ndim == 2, "inputs", f"shape {x.shape}", "must be [n_vector, n_in]")
    values, nodes, parameters = {"input": Value("input", x.shape, "float32")}, [], {}
    last, width, chain = "input", x.shape[1], list(layers)
    for place, (layer, weights, bias) in enumerate(chain):
        require(weights.ndim == 2, f"layer {layer}: weights", f"shape {weights.shape}", "must be [n_out, n_in]")
        n_out, n_in = weights.shape
        require(n_in == width, f"layer {layer}: n_in", n_in, f"must be {width}, the outputs of what is before it")
        arrays = {f"{layer}.weight": (weights, ("out", "in"))} | (
            {} if bias is None else {f"{layer}.bias": (bias, ("out",))}
        )
        for key, (array, axes) in arrays.items():
            parameters[key] = Parameter(name=key, array=array.astype(np.float32), axes=axes)
            values[key] = Value(key, array.shape, "float32")
        made = [(layer, "Gemm", (last, *arrays), {"transB": 1})]
        if between == "relu" and place < len(chain) - 1:
            made.append((f"{layer}.relu", "Relu", (f"{layer}.output",), {}))
        for node, op, reads, attributes in made:
            last = f"{node}.output"
            nodes.append(Node(name=node, op=op, kind="host", inputs=reads, outputs=(last,), attributes=attributes))
            values[last] = Value(last, (len(x), n_out), "float32")
        width = n_out
    graph = Graph(
        name=name,
        source=source,
        inputs=("input",),
        outputs=(last,),
        values=values,
        nodes=tuple(nodes),
        parameters=parameters,
        constants={},
        examples={"input": x},
        framework=Framework(run=_run, save=_save),
    )
    return classified(graph)


def _run(nodes: Sequence[Node], values: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for node in nodes:
        forward = operator_of(node).forward
        if forward is None:
            raise InputError(f"node {node.name}: {node.op} is not run by numpy")
        made[node.outputs[0]] = forward(node, *(made[one] if one in made else values[one] for one in node.inputs))
    return {name: made[name] for name in wanted}


def _save(graph: Graph, file: Path) -> None:
    from eie_sim.network.readers.onnx_runtime import framework

    framework({"": OPSET}).save(graph, file)
