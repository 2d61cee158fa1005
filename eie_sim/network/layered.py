"""Layers as a graph, run by numpy: what a preset, an archive or a file of arrays is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eie_sim.core.errors import InputError
from eie_sim.network.graph import Array, Framework, Graph, Labels, Node, Parameter, Value
from eie_sim.network.layers import RELU, Network
from eie_sim.network.operators import classified, operator_of

OPSET = 17


def graph_of(network: Network, inputs: Array | None = None) -> Graph:
    """Return layers as a graph: a Gemm node each, by its name; in a chain with what stands between.

    inputs : float [n_vector, n_in], in place of those that the network starts from
    Raise InputError for a layer that has nothing to read.
    """
    nodes: list[Node] = []
    arrays: dict[str, Array] = {}
    about: dict[str, str] = {}
    last: list[str] = []
    for at, layer in enumerate(network.layers):
        reads = "input" if at == 0 else f"{layer.name}.input"
        if network.takes_outputs(at):
            reads = last.pop()
            if network.between == RELU:
                nodes.append(_node(f"{reads}.relu", "Relu", (reads,), f"{reads}.relu"))
                reads = f"{reads}.relu"
        else:
            arrays[reads], about[reads] = _first_read(network, at, inputs)
        own = {f"{layer.name}.weight": layer.weights}
        if layer.bias is not None:
            own[f"{layer.name}.bias"] = layer.bias
        arrays |= own
        last.append(f"{layer.name}.output")
        nodes.append(_node(layer.name, "Gemm", (reads, *own), last[-1]))
    parameters = {name: array for name, array in arrays.items() if name not in about}
    judged = network.chained and inputs is None and network.test_inputs is not None
    labels = network.test_labels if judged else None
    graph = Graph(
        name=network.name,
        source=network.source,
        inputs=tuple(about),
        outputs=tuple(last),
        values=_values(nodes, arrays),
        nodes=tuple(nodes),
        parameters={
            name: Parameter(name=name, array=array, axes=("out", "in")[: array.ndim])
            for name, array in parameters.items()
        },
        constants={},
        examples={name: arrays[name] for name in about},
        framework=Framework(run_nodes=_run, save=_save, opsets={"": OPSET}),
        layers={layer.name: layer for layer in network.layers},
        about=about,
        labels=None if labels is None else Labels(last[-1], labels),
    )
    return classified(graph)


def with_calibration(network: Network | Graph) -> tuple[Graph, Graph]:
    """Return a network as a graph, and the same for the inputs that scales are chosen from."""
    if isinstance(network, Graph):
        return network, network if network.calibration is None else replace(network, examples=network.calibration)
    graph = graph_of(network)
    apart = network.chained and network.calibration is not None
    return graph, graph_of(network, network.calibration) if apart else graph


def _first_read(network: Network, at: int, inputs: Array | None) -> tuple[Array, str]:
    """Return what a layer that takes no outputs reads, and where that is from in words. inputs : as for `graph_of`"""
    layer, first = network.layers[at], at == 0 and network.chained
    given = inputs if first and inputs is not None else network.inputs if first else layer.activations
    if given is None:
        raise InputError(f"activations=none: layer {layer.name} needs some")
    held_back = given is network.test_inputs
    return given, f"real: {len(given)} held-back inputs of the network" if held_back else layer.activations_source


def _node(name: str, op: str, reads: tuple[str, ...], makes: str) -> Node:
    turned = {"transB": 1} if op == "Gemm" else {}
    return Node(name=name, op=op, kind="host", inputs=reads, outputs=(makes,), attributes=turned)


def _values(nodes: Sequence[Node], arrays: Mapping[str, Array]) -> dict[str, Value]:
    values = {name: Value(name, array.shape, array.dtype.name) for name, array in arrays.items()}
    for node in nodes:
        rows, width = values[node.inputs[0]].shape
        n_out = values[node.inputs[1]].shape[0] if node.op == "Gemm" else width
        values[node.outputs[0]] = Value(node.outputs[0], (rows, n_out), "float32")
    return values


def _run(
    nodes: Sequence[Node], values: Mapping[str, Array], wanted: Sequence[str], opsets: Mapping[str, int]
) -> dict[str, Array]:
    made: dict[str, Array] = {}
    for node in nodes:
        forward = operator_of(node).forward
        assert forward is not None  # `graph_of` makes no other nodes
        made[node.outputs[0]] = forward(node, *(made[one] if one in made else values[one] for one in node.inputs))
    return {name: made[name] for name in wanted}


def _save(graph: Graph, file: Path) -> None:
    from eie_sim.network.readers.onnx_runtime import save_graph

    save_graph(graph, file)
