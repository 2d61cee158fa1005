"""Parts that exporters split off as a sequence, as slices: `chunk` and `split` of torch become such nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from eie_sim.core.arrays import fresh
from eie_sim.network.graph import Array


def without_sequences(onnx: Any, nodes: list[Any], arrays: dict[str, Array]) -> list[Any]:
    """Return the nodes with a Slice in place of each SequenceAt of a SplitToSequence, where both say constants.

    arrays : initializers by name; bounds of slices are added. A sequence that is read otherwise stays.
    """
    if any(one.type == onnx.AttributeProto.GRAPH for node in nodes for one in node.attribute):
        return nodes  # a graph inside may read a sequence
    known = {**arrays, **{node.output[0]: array for node in nodes if (array := _constant(onnx, node)) is not None}}
    splits = {node.output[0]: node for node in nodes if node.op_type == "SplitToSequence" and not node.domain}
    names = {*arrays, *(name for node in nodes for name in (*node.input, *node.output))}
    found = []
    for node in nodes:
        split = splits.get(node.input[0]) if node.op_type == "SequenceAt" else None
        cut = None if split is None else _bounds(split, node, known)
        if split is not None and cut is not None:
            axis = next((one.i for one in split.attribute if one.name == "axis"), 0)
            parts = [split.input[0]]
            for what, number in zip(("start", "end", "axis"), (*cut, axis), strict=True):
                parts.append(fresh(f"{node.output[0]}.{what}", names))
                arrays[parts[-1]] = np.array([number], dtype=np.int64)
            found.append(onnx.helper.make_node("Slice", parts, node.output, name=node.name))
        else:
            found.append(node)
    read = {name for node in found if node.op_type != "SplitToSequence" for name in node.input}
    return [node for node in found if node.op_type != "SplitToSequence" or node.output[0] in read]


def _bounds(split: Any, node: Any, known: dict[str, Array]) -> tuple[int, int] | None:
    """Where a part begins and ends; None where that is not constant."""
    if len(split.input) < 2 or split.input[1] not in known or node.input[1] not in known:
        return None
    sizes, at = known[split.input[1]], int(known[node.input[1]].reshape(-1)[0])
    if at < 0 or (sizes.ndim and at >= len(sizes)):
        return None
    ends = np.cumsum([0, *sizes]) if sizes.ndim else np.array([at * sizes, (at + 1) * sizes])
    first = at if sizes.ndim else 0
    return int(ends[first]), int(ends[first + 1])


def _constant(onnx: Any, node: Any) -> Array | None:
    """The whole numbers of a Constant node."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return None
    value = onnx.helper.get_attribute_value(node.attribute[0])
    array = onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
    return array if array.dtype.kind == "i" and array.size else None
