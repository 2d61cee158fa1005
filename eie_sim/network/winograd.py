"""3x3 convolutions as 16 products, Winograd's F(2x2, 3x3): fewer multiplications, of transformed weights and inputs.

Of each patch of 2x2 outputs, read from 4x4 inputs d, with kernel g: Y = A' [(G g G') * (B' d B)] A, where * multiplies
element by element and sums over channels. Each of the 16 elements is a product of weights U [out, in] with inputs V of
all patches. A last patch that is not whole reads zeros, and its outputs are cut.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.products import Form, Part, Style, blocks_of

OP, PATCHES, DOMAIN, KIND = "WinogradConv", "WinogradPatches", "eie_sim", "winograd conv2d"
"""Operators that no framework knows: of U and V, and what makes V, on the host; the kind of the first in words."""
SIDE, PATCH, KERNEL = 4, 2, 3
"""Sides of the inputs of a patch, of its outputs, and of the kernel."""
G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
B = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=np.float32)
"""B transposed: a row for each element of V."""
A = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], dtype=np.float32)
"""A transposed: a row for each output."""


def transformed(weights: Array) -> Array:
    """U of weights [out, in, 3, 3]: float32 [4, 4, out, in], taken in float64."""
    u: Array = np.einsum("ip,ocpq,jq->ijoc", G, weights.astype(np.float64), G)
    return u.astype(np.float32)


def lower_winograd(graph: Graph, node: Node, style: Style) -> Form:
    """One product for each of the 16 elements; bias is added after the outputs are transformed, on the host."""
    batch, *_, channels = graph.values[node.inputs[0]].shape
    out = graph.values[node.inputs[1]].shape[2]
    n_in, positions = style.padded(channels), batch * prod(_patches(node))

    def arrange(at: tuple[int, int], weights: Array, fill: Any) -> Array:
        rows = np.full((out, n_in), fill, dtype=weights.dtype)
        rows[:, :channels] = weights[at]
        return rows

    parts = tuple(
        Part(
            suffix=f".{i}{j}",
            n_in=n_in,
            n_weight=out * channels,
            channels=np.arange(out),
            positions=positions,
            arrange=partial(arrange, (i, j)),
            vectors=partial(_vectors, (i, j), n_in),
        )
        for i in range(SIDE)
        for j in range(SIDE)
    )
    return Form(
        kind=KIND,
        reads=node.inputs[0],
        weight=node.inputs[1],
        parts=parts,
        group_axes=(),
        out_axes=(1,),
        join=partial(_join, node),
        bias=node.reading(2),
        bias_on_host=True,
        host=(("Winograd output transform", batch * out * prod(node.attributes["size"])),),
    )


def _patches(node: Node) -> tuple[int, ...]:
    return tuple(-(-side // PATCH) for side in node.attributes["size"])


def shape_of_patches(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return V's shape for a map [batch, channels, height, width]: [batch, 4, 4, patches down, across, channels]."""
    return shape[0], SIDE, SIDE, *_patches(node), shape[1]


def _patches_of(node: Node, value: Array) -> Array:
    """V of a map [batch, channels, height, width]."""
    (batch, channels), patches = value.shape[:2], _patches(node)
    sides = [PATCH * n + SIDE - PATCH for n in patches]
    padded = np.zeros((batch, *sides, channels), dtype=value.dtype)
    before = zip(node.attributes["pads"], value.shape[2:], sides, strict=True)
    reached = [slice(pad, min(pad + side, whole)) for pad, side, whole in before]
    inside = [slice(0, one.stop - one.start) for one in reached]
    padded[(slice(None), *reached)] = np.moveaxis(value[(slice(None), slice(None), *inside)], 1, -1)
    made = np.zeros(shape_of_patches(node, value.shape), dtype=value.dtype)
    for i, j, a, b in np.ndindex(SIDE, SIDE, SIDE, SIDE):
        sign = B[i, a] * B[j, b]
        if sign:
            made[:, i, j] += sign * padded[:, a : a + PATCH * patches[0] : PATCH, b : b + PATCH * patches[1] : PATCH]
    return made


def _vectors(at: tuple[int, int], n_in: int, value: Array, most: int) -> Iterator[Array]:
    """One element of V of all patches, channels filled up with zeros."""
    mine = value[(slice(None), *at)]
    for block in blocks_of(mine.shape[:-1], most):
        rows = mine[block].reshape(-1, mine.shape[-1])
        yield rows if rows.shape[1] == n_in else np.pad(rows, ((0, 0), (0, n_in - rows.shape[1])))


def _join(node: Node, outputs: Sequence[Array], bias: Array | None) -> Array:
    """Outputs [positions, out] of the 16 products, transformed: [batch, out, height, width], those beyond it cut."""
    (height, width), patches, out = node.attributes["size"], _patches(node), outputs[0].shape[1]
    m = np.stack(outputs).reshape(SIDE, SIDE, -1, *patches, out)
    wide = np.einsum("pi,ijbhwo,qj->bohpwq", A, m, A, optimize=True)
    made: Array = wide.reshape(-1, out, PATCH * patches[0], PATCH * patches[1])[:, :, :height, :width]
    return made if bias is None else made + bias.astype(np.float32).reshape(-1, 1, 1)


def convolved(node: Node, values: Mapping[str, Array]) -> Array:
    """Return the value of one of our nodes in floats: V, or the convolution of V and U."""
    if node.op == PATCHES:
        return _patches_of(node, values[node.inputs[0]])
    v, u = values[node.inputs[0]], values[node.inputs[1]]
    sums = [v[(slice(None), *at)].reshape(-1, v.shape[-1]) @ u[at].T for at in np.ndindex(SIDE, SIDE)]
    return _join(node, sums, values[node.inputs[2]] if node.reading(2) else None).astype(np.float32)
