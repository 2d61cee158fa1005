"""Pieces of an array that are taken out of a list: torch splits so, and onnxruntime gives no lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eie_sim.core.arrays import fresh
from eie_sim.network.graph import Array


def sliced(onnx: Any, nodes: list[Any], arrays: dict[str, Array]) -> list[Any]:
    """Return nodes with a Slice in place of each SequenceAt with a fixed place in what a SplitToSequence makes.

    arrays : by name; where slices begin and end comes to them
    """
    splits = {node.output[0]: node for node in nodes if node.op_type == "SplitToSequence" and not node.domain}
    inside = any(one.type == onnx.AttributeProto.GRAPH for node in nodes for one in node.attribute)
    if not splits or inside:  # a graph inside a node may read a list
        return nodes
    asked = {name for node in nodes if node.op_type in ("SplitToSequence", "SequenceAt") for name in node.input[1:]}
    constants = [node for node in nodes if node.op_type == "Constant" and node.output[0] in asked]
    known = {node.output[0]: one.t for node in constants for one in node.attribute if one.name == "value"}
    numbers = {name: onnx.numpy_helper.to_array(tensor) for name, tensor in known.items()} | arrays
    taken = {*arrays, *(name for node in nodes for name in (*node.input, *node.output))}
    made = []
    for node in nodes:
        split = splits.get(node.input[0]) if node.input else None
        piece = None if split is None else _piece(split, node, numbers)
        if split is None or piece is None:
            made.append(node)
            continue
        names = [fresh(f"{node.output[0]}.{key}", taken) for key in ("begin", "end", "axis")]
        piece = (*piece, _attribute(split, "axis", 0))
        arrays.update((name, np.array([number], np.int64)) for name, number in zip(names, piece, strict=True))
        made.append(onnx.helper.make_node("Slice", [split.input[0], *names], node.output, node.name))
    read = {name for node in made for name in node.input}
    return [node for node in made if node.output[0] in read or node.output[0] not in splits]


def _piece(split: Any, reader: Any, numbers: Mapping[str, Array]) -> tuple[int, ...] | None:
    """Where a piece begins and ends; None for other readers, and where that is computed or the axis would vanish."""
    if reader.op_type != "SequenceAt" or reader.input[1] not in numbers:
        return None
    at, sizes = int(numbers[reader.input[1]].item()), np.array(1)
    if len(split.input) > 1:
        if split.input[1] not in numbers:
            return None
        sizes = numbers[split.input[1]]
    elif not _attribute(split, "keepdims", 1):
        return None
    if at < 0 or (sizes.ndim and at >= sizes.size):
        return None
    return (
        (int(sizes[:at].sum()), int(sizes[: at + 1].sum())) if sizes.ndim else (at * int(sizes), (at + 1) * int(sizes))
    )


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(one.i) for one in node.attribute if one.name == name), default)
