"""Nodes run by onnxruntime, and graphs written as ONNX files."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import one_line
from eie_sim.core.errors import InputError, require
from eie_sim.core.files import write_file
from eie_sim.network.graph import Array, Graph, Node

SMALL_BYTES = 1024
"""Up to so many bytes a constant is written into the model that is run: some operators want to see shapes and axes."""
IR_VERSION = 10
MOST_FILE_BYTES = 2**31 - 2**20
"""Protobuf holds 2 GiB; nodes need some of it."""
MOST_LOOP_SECONDS = 60.0
MOST_VALUE_BYTES = 2**31
"""Most bytes of a value that is made, where its shape can be told before."""


@cache
def libraries() -> tuple[Any, Any]:
    """Return onnx and onnxruntime. Raise InputError, which says what to install, where one is missing."""
    try:
        onnx, runtime = import_module("onnx"), import_module("onnxruntime")
        for part in ("checker", "helper", "inliner", "numpy_helper", "shape_inference"):
            import_module(f"onnx.{part}")
    except ImportError as error:
        raise InputError('onnx and onnxruntime are not installed: pip install "eie-sim[onnx]"') from error
    runtime.set_default_logger_severity(4)  # what fails is raised, not printed
    return onnx, runtime


def save_graph(graph: Graph, file: Path) -> None:
    """Write a graph as an ONNX file, whole or not at all."""
    arrays = [*graph.constants.values(), *(one.array for one in graph.parameters.values())]
    size = sum(array.nbytes for array in arrays)
    require(size < MOST_FILE_BYTES, "file", file, f"arrays have {size:,} bytes: must be below {MOST_FILE_BYTES:,}")
    write_file("file", file, model_of(graph).SerializeToString())


def run_nodes(
    nodes: Sequence[Node], values: Mapping[str, Array], wanted: Sequence[str], opsets: Mapping[str, int]
) -> dict[str, Array]:
    """Return values that nodes make, as onnxruntime computes them without optimisation on one thread.

    Values are read as float32 where they are float64: wide sums of a unit, of which the nodes know nothing.
    Raise InputError, which names the node where there is one, if it cannot.
    """
    onnx, runtime = libraries()
    made = {name for node in nodes for name in node.makes}
    given = {name: _as_read(values[name]) for node in nodes for name in node.reads if name not in made}
    written = {
        name: array for name, array in given.items() if array.nbytes <= SMALL_BYTES or array.dtype.kind not in "fiub"
    }
    fed = {name: np.asarray(array, order="C") for name, array in given.items() if name not in written}
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        model = _model(nodes, written, _infos(fed), [onnx.ValueInfoProto(name=name) for name in wanted], opsets)
        _require_room(onnx, model, nodes)
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = dict(zip(wanted, _outputs(runtime, session, wanted, fed, nodes), strict=True))
    except InputError:
        raise
    except Exception as error:  # onnxruntime's errors have no common type
        last = f" to {nodes[-1].name}" if len(nodes) > 1 else f": {nodes[0].op}"
        raise InputError(f"node {nodes[0].name}{last}: onnxruntime cannot run it: {one_line(error)}") from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"value {name}: is a {type(array).__name__}: only arrays are supported")
    return found


def _as_read(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _outputs(
    runtime: Any, session: Any, wanted: Sequence[str], fed: Mapping[str, Array], nodes: Sequence[Node]
) -> list[Array]:
    """Return the values that a session makes. Raise InputError for a loop beyond MOST_LOOP_SECONDS, which is ended."""
    options = runtime.RunOptions()
    loops = [node for node in nodes if node.op in ("Loop", "Scan")]
    watch = threading.Timer(MOST_LOOP_SECONDS, setattr, (options, "terminate", True))
    if loops:
        watch.start()
    try:
        return list(session.run(list(wanted), fed, options))
    finally:
        watch.cancel()
        if options.terminate:
            raise InputError(f"node {loops[0].name}: {loops[0].op} took more than {MOST_LOOP_SECONDS} s: was ended")


def model_of(graph: Graph) -> Any:
    """The graph as an ONNX model for inputs of its shapes, with its name and metadata."""
    onnx, _ = libraries()
    arrays = {name: one.array for name, one in graph.parameters.items()}
    arrays |= {name: array for name, array in graph.constants.items() if array.dtype.kind != "f" or array.size < 2}
    tables = [name for name in graph.constants if name not in arrays]  # as initializers they would be read as trained
    outputs = [
        _info(onnx, graph.values[name].shape, np.dtype(graph.values[name].dtype), name) for name in graph.outputs
    ]
    model = _model(graph.nodes, arrays, _infos(dict(graph.examples)), outputs, graph.framework.opsets)
    for name in tables:
        value = onnx.numpy_helper.from_array(np.ascontiguousarray(graph.constants[name]))
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [name], name=name, value=value))
    model.graph.name = graph.name
    onnx.helper.set_model_props(model, dict(graph.metadata))
    return model


def _model(
    nodes: Sequence[Node], arrays: Mapping[str, Array], inputs: list[Any], outputs: list[Any], opsets: Mapping[str, int]
) -> Any:
    onnx, _ = libraries()
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph([_proto(onnx, node) for node in nodes], "graph", inputs, outputs, tensors)
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def _proto(onnx: Any, node: Node) -> Any:
    proto = onnx.helper.make_node(node.op, node.inputs, node.outputs, name=node.name, domain=node.domain)
    for name, value in node.attributes.items():
        plain = onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        kind = onnx.AttributeProto.INTS if isinstance(value, list) and not value else None
        proto.attribute.append(onnx.helper.make_attribute(name, plain, attr_type=kind))
    return proto


def _infos(arrays: Mapping[str, Array]) -> list[Any]:
    onnx, _ = libraries()
    return [_info(onnx, array.shape, array.dtype, name) for name, array in arrays.items()]


def _info(onnx: Any, shape: tuple[int, ...], dtype: Any, name: str) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(dtype), shape)


def _require_room(onnx: Any, model: Any, nodes: Sequence[Node]) -> None:
    """Raise InputError where shapes that can be told before running need more than MOST_VALUE_BYTES."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # whatever is wrong, onnxruntime says it better
        return
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        size = prod(max(0, dim.dim_value) for dim in info.type.tensor_type.shape.dim)
        if size * 4 > MOST_VALUE_BYTES:
            raise InputError(f"node {nodes[0].name}: value {info.name} has {size:,} elements: too many to run")
