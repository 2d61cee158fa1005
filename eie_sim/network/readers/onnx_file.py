"""ONNX files, made safe: sizes, versions, domains and arrays are checked before anything is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import MAX_NAME, one_line, shown
from eie_sim.core.errors import InputError, few, refused, require
from eie_sim.core.files import as_path, require_readable
from eie_sim.network.graph import Array
from eie_sim.network.readers.files import EXPORTS
from eie_sim.network.readers.onnx_runtime import IR_VERSION, libraries
from eie_sim.network.readers.sequences import sliced

MAX_ONNX_BYTES = 2**31
"""Most bytes of a file, and of all its arrays: protobuf messages end there."""
MOST_NODES = 100_000
LONGEST_PATH = 4096
LOWEST_OPSET = 7
MICROSOFT_OPSET = 1
KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
NARROWED = ("float16", "bfloat16", "float64")
"""Types that are computed as float32."""
EQUATION = re.compile(r"{0}(,{0})*(->{0})?".format(r"[a-zA-Z ]*(\.\.\.[a-zA-Z ]*)?"))
"""Equations of an Einsum that onnx comes to the end of."""
TYPED = ("to", "dtype", "output_dtype", "output_datatype")
"""Attributes that name a type."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The contents of a file, its arrays apart from its nodes.

    nodes, inputs, outputs : as onnx has them; arrays : initializers by name
    opsets : version by domain; metadata : texts by name; narrowed : names of types that became float32
    """

    name: str
    source: str
    nodes: list[Any]
    inputs: list[Any]
    outputs: list[str]
    arrays: dict[str, Array]
    opsets: dict[str, int]
    metadata: dict[str, str]
    narrowed: set[str] = field(default_factory=set)


def read_contents(path: str | Path) -> Contents:
    """Read and check an ONNX file. Raise InputError, one line with file and reason, for what cannot be used."""
    file = as_path("file", path)
    onnx, _ = libraries()
    try:
        require_readable("file", file)
        suffix = file.suffix.lower()
        require(suffix == ".onnx" or suffix not in EXPORTS, "file", file, f"is {EXPORTS.get(suffix)}")
        size = file.stat().st_size
        require(size <= MAX_ONNX_BYTES, "file", file, f"has {size:,} bytes: must be at most {MAX_ONNX_BYTES:,}")
        model = onnx.ModelProto()
        model.ParseFromString(file.read_bytes())
    except OSError as error:
        raise refused("file", file, f"cannot be read: {error.strerror}") from error
    except InputError:
        raise
    except Exception as error:  # protobuf's own types
        raise refused("file", file, f"is no ONNX file, or cut off: {one_line(error)}") from error
    return contents_of(model, shown(file, LONGEST_PATH), file.parent)


def contents_of(model: Any, source: str, folder: Path | None = None) -> Contents:
    """Return the contents of a model, whose arrays are taken out of it. folder : where external data may lie"""
    with naming(source):
        try:
            return _contents(model, source, folder)
        except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"is damaged: {one_line(error)}") from error


@contextmanager
def naming(source: str) -> Iterator[None]:
    """Put the file before what an InputError says."""
    try:
        yield
    except InputError as error:
        raise InputError(f"file={shown(source, MAX_NAME)}: {error}") from error


def _contents(model: Any, source: str, folder: Path | None) -> Contents:
    onnx, _ = libraries()
    opsets = _opsets(onnx, model)
    tensors = list(_tensors(model.graph)) + [t for f in model.functions for n in f.node for t in _of_node(n)]
    declared = sum(_declared_bytes(onnx, tensor) for tensor in tensors)
    rule = f"must be at most {MAX_ONNX_BYTES:,}"
    require(declared <= MAX_ONNX_BYTES, "arrays", f"{declared:,} bytes declared", rule)
    require(not model.graph.sparse_initializer, "arrays", "sparse", "must be plain arrays")
    arrays: dict[str, Array] = {}
    narrowed: set[str] = set()
    for tensor in model.graph.initializer:
        require(tensor.name not in arrays, "arrays", shown(tensor.name), "must not be there twice")
        arrays[tensor.name] = _array(onnx, tensor, folder, narrowed)
    del model.graph.initializer[:]
    if model.functions:
        model = _inlined(onnx, model)
    outputs = [output.name for output in model.graph.output]
    nodes = [_copy(node) for node in live(list(model.graph.node), outputs)]
    _require_known(onnx, nodes, opsets)
    for node in nodes:
        _make_single(onnx, node, folder, narrowed)
    nodes = sliced(onnx, nodes, arrays)
    return Contents(
        name=shown(shown(model.graph.name)) or "network",  # what does not print is longer where it is quoted
        source=source,
        nodes=nodes,
        inputs=[_copy(info) for info in model.graph.input],
        outputs=outputs,
        arrays=arrays,
        opsets={domain: number for domain, number in opsets.items() if domain in KNOWN_DOMAINS},
        metadata={one.key: one.value for one in model.metadata_props},
        narrowed=narrowed,
    )


def _copy(message: Any) -> Any:
    """The same apart from its model, whose arrays could not be freed otherwise."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _opsets(onnx: Any, model: Any) -> dict[str, int]:
    opsets = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import}
    require(len(model.graph.node) > 0, "graph", "empty", "must have nodes")
    learning = max(version for domain, version in onnx.helper.OP_SET_ID_VERSION_MAP if domain == "ai.onnx.ml")
    ranges = {
        "": (LOWEST_OPSET, onnx.defs.onnx_opset_version()),
        "ai.onnx.ml": (1, learning),
        "com.microsoft": (1, MICROSOFT_OPSET),
    }
    if any(node.domain in ("", "ai.onnx") for node in model.graph.node):
        opsets.setdefault("", 0)
    for domain, (lowest, newest) in ranges.items():
        rule = f"must be {lowest} to {newest}, which the installed libraries know"
        if domain in opsets:
            require(lowest <= opsets[domain] <= newest, f"opset {domain}".rstrip(), opsets[domain], rule)
    return opsets


def _inlined(onnx: Any, model: Any) -> Any:
    """The model without functions of its own. Raise InputError where they are damaged."""
    bodies = {(one.domain, one.name): one.node for one in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(key: tuple[str, str], inside: tuple[tuple[str, str], ...]) -> int:
        """Nodes that a call becomes: a few functions that call each other twice would become billions."""
        require(key not in inside, "function", shown(key[1]), "must not call itself")
        if key not in sizes:
            calls = [(node.domain, node.op_type) for node in bodies[key]]
            sizes[key] = sum(size(call, (*inside, key)) if call in bodies else 1 for call in calls)
        return sizes[key]

    count = sum(size(key, ()) for key in ((node.domain, node.op_type) for node in model.graph.node) if key in bodies)
    require(count <= MOST_NODES, "functions", f"{count:,} nodes", f"must become at most {MOST_NODES:,}")
    try:
        return onnx.inliner.inline_local_functions(model)
    except Exception as error:  # errors of the compiled part have no common type
        raise InputError(f"functions of the model cannot be inlined: {one_line(error)}") from error


def graphs_of(node: Any) -> Iterator[Any]:
    """Graphs within a node, such as branches."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _of_node(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        require(not attribute.HasField("sparse_tensor"), "node", shown(node.name), "must have no sparse arrays")
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
    for graph in graphs_of(node):
        yield from _tensors(graph)


def _tensors(graph: Any) -> Iterator[Any]:
    """All arrays in a graph and the graphs in it."""
    yield from graph.initializer
    for node in graph.node:
        yield from _of_node(node)


def _declared_bytes(onnx: Any, tensor: Any) -> int:
    """Bytes that an array says it has. Raise InputError for negative sides, texts and unknown types."""
    name = shown(tensor.name or "a constant")
    require(all(side >= 0 for side in tensor.dims), "array", name, f"shape {list(tensor.dims)}: must not be negative")
    return int(prod(tensor.dims)) * _item_bytes(onnx, tensor)


def _item_bytes(onnx: Any, tensor: Any) -> int:
    if tensor.data_type == onnx.TensorProto.STRING:
        return 1
    return max(1, dtype_of(onnx, tensor.data_type, f"array {shown(tensor.name or 'of a node')}").itemsize)


def dtype_of(onnx: Any, number: int, field_name: str) -> np.dtype[Any]:
    """The type that ONNX numbers so. Raise InputError for a number without one."""
    try:
        dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except (KeyError, TypeError) as error:
        raise refused(field_name, f"type {number}", "is unknown") from error
    return dtype


def _array(onnx: Any, tensor: Any, folder: Path | None, narrowed: set[str]) -> Array:
    """An array of the file, as float32 where it is of another float type."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        array = _external(onnx, tensor, folder)
    else:
        array = onnx.numpy_helper.to_array(tensor)
    return _single(array, narrowed)


def _single(array: Array, narrowed: set[str]) -> Array:
    if array.dtype.name not in NARROWED:
        return array
    narrowed.add(array.dtype.name)
    top = np.finfo(np.float32).max
    if array.dtype.name == "float64":  # masks are made of the lowest number
        array = np.where(np.isfinite(array), np.clip(array, -top, top), array)
    return array.astype(np.float32)


def _external(onnx: Any, tensor: Any, folder: Path | None) -> Array:
    """An array in a file of its own, which must lie inside the model's folder and be no link."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    name, location = shown(tensor.name), said.get("location", "")
    require(folder is not None and location != "", "array", name, "external data: must be in a file beside the model")
    assert folder is not None
    top = folder.resolve()
    file = top / location
    inside = not Path(location).is_absolute() and ".." not in Path(location).parts and file.resolve() == file
    require(
        inside and file.is_file(),
        "array",
        name,
        f"external data {shown(location)}: must be a file in the model's folder",
    )
    numbers = {key: said.get(key, "0") for key in ("offset", "length")}
    require(all(text.isdecimal() for text in numbers.values()), "array", name, "offset and length must be numbers")
    offset, size = int(numbers["offset"]), prod(tensor.dims) * _item_bytes(onnx, tensor)
    fits = offset + size <= file.stat().st_size and int(numbers["length"]) in (0, size)
    require(fits, "array", name, f"{size:,} bytes at {offset:,}: must be within its file {shown(location)}")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    require(dtype.kind in "fiub" or dtype.name == "bfloat16", "array", name, f"type {dtype} cannot be external data")
    return np.fromfile(file, dtype=dtype.newbyteorder("<"), count=prod(tensor.dims), offset=offset).reshape(
        tuple(tensor.dims)
    )


def _make_single(onnx: Any, node: Any, folder: Path | None, narrowed: set[str]) -> None:
    """Make every float type that a node names float32, in the graphs within it too."""
    types = {
        onnx.TensorProto.FLOAT16: "float16",
        onnx.TensorProto.BFLOAT16: "bfloat16",
        onnx.TensorProto.DOUBLE: "float64",
    }
    for attribute in node.attribute:
        if attribute.name in TYPED and attribute.i in types:
            narrowed.add(types[attribute.i])
            attribute.i = onnx.TensorProto.FLOAT
    for tensor in (one for one in _of_node(node) if one.data_type in types or one.data_location):
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(_array(onnx, tensor, folder, narrowed), name))
    for graph in graphs_of(node):
        for info in (*graph.input, *graph.output, *graph.value_info):
            if info.type.tensor_type.elem_type in types:
                info.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        for inner in graph.node:
            _make_single(onnx, inner, folder, narrowed)


def _require_known(onnx: Any, nodes: list[Any], opsets: Mapping[str, int]) -> None:
    """Raise InputError for a node of an operator that neither ONNX nor onnxruntime has."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = IR_VERSION, dict(opsets)
    for node in nodes:
        node.domain = domain = "" if node.domain == "ai.onnx" else node.domain
        name, version = shown(node.name or next(iter(node.output), "")), opsets.get(domain, 0)
        known = domain in KNOWN_DOMAINS and (not domain or domain in opsets) and node.op_type.isidentifier()
        if not known or not (domain or onnx.defs.has(node.op_type)):
            what = f"{shown(node.op_type)} of domain {shown(domain or 'ai.onnx')}, version {version}"
            domains = [one or "ai.onnx" for one in KNOWN_DOMAINS if one != "ai.onnx"]
            raise InputError(f"node {name}: operator {what}, is not known: must be an operator of {few(domains)}")
        _require_fit_to_run(onnx, node, name, version)
        for graph in graphs_of(node):
            _require_known(onnx, list(graph.node), opsets)
        if not any(graphs_of(node)):
            try:
                onnx.checker.check_node(node, context)
            except onnx.checker.ValidationError as error:
                raise InputError(f"node {name}: {one_line(error)}") from error


def _require_fit_to_run(onnx: Any, node: Any, name: str, version: int) -> None:
    """Raise InputError for what would end this process, or never end, when its shapes are inferred or it is run."""
    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:  # an operator of com.microsoft
        return
    optional = onnx.defs.OpSchema.FormalParameterOption.Optional
    for place, one in enumerate(node.input):
        wanted = schema.inputs[min(place, len(schema.inputs) - 1)] if schema.inputs else None
        missing = one == "" and wanted is not None and wanted.option != optional
        require(not missing, f"node {name}: {node.op_type}", f"input {place} is left out", "must be there")
    for attribute in node.attribute:
        if node.op_type == "Einsum" and attribute.name == "equation":
            equation = attribute.s.decode()
            require(
                bool(EQUATION.fullmatch(equation)), f"node {name}: equation", equation, "must be letters as ij,jk->ik"
            )


def live(nodes: list[Any], outputs: Iterable[str]) -> list[Any]:
    """Nodes that outputs depend on, in order."""
    needed, kept = set(outputs), []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input, captured(node))
    return kept[::-1]


def captured(node: Any) -> list[str]:
    """Values that graphs within a node read from outside of them."""
    found: dict[str, None] = {}
    for graph in graphs_of(node):
        inner = {*(one.name for one in (*graph.initializer, *graph.input)), *(o for n in graph.node for o in n.output)}
        reads = (name for n in graph.node for name in (*n.input, *captured(n)))
        found.update(
            (name, None) for name in (*reads, *(one.name for one in graph.output)) if name and name not in inner
        )
    return list(found)
