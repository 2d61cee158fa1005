"""Convolutions and transposed ones as products: taps outside, channels innermost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product as every
from math import prod
from typing import Any

import numpy as np

from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.products import Form, Part, Style, blocks_of


@dataclass(frozen=True, kw_only=True)
class Along:
    """Elements that windows read along one axis of the input: first + position * step + tap * gap.

    side : of the input, outside of which zeros are read; taps : indices into the kernel, evenly spaced
    """

    side: int
    first: int
    step: int
    gap: int
    positions: int
    taps: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, int]:
        """The lowest and the highest element that is read."""
        last = self.first + (self.positions - 1) * self.step
        ends = [at + tap * self.gap for at in (self.first, last) for tap in (0, len(self.taps) - 1)]
        return min(ends), max(ends)


def lower_conv(graph: Graph, node: Node, style: Style) -> Form:
    """One product, or one for each group. Positions: batch, then output coordinates in C order."""
    x, w, y = _shapes(graph, node)
    strides, dilations, pads = conv_geometry(node, x[2:], w[2:], y[2:])
    along = [
        Along(
            side=x[a + 2], first=-pads[a], step=strides[a], gap=dilations[a], positions=y[a + 2], taps=tuple(range(k))
        )
        for a, k in enumerate(w[2:])
    ]

    def by_output(weights: Array) -> Array:
        return weights

    return _form(graph, node, style, by_output, {tuple(0 for _ in along): along}, tuple(1 for _ in along))


def lower_conv_transpose(graph: Graph, node: Node, style: Style) -> Form:
    """One product for each phase of the strides that has a tap; the outputs of the others are the bias."""
    x, w, y = _shapes(graph, node)
    strides, dilations, pads = transpose_geometry(node, x[2:], w[2:], y[2:])
    group = node.attributes.get("group", 1)
    of_axes = zip(x[2:], strides, dilations, pads, y[2:], w[2:], strict=True)
    made = [
        {phase: one for phase in range(min(of_axis[1], of_axis[4])) if (one := _phase(phase, *of_axis)) is not None}
        for of_axis in of_axes
    ]
    phases = {phase: [made[a][at] for a, at in enumerate(phase)] for phase in every(*made)}

    def by_output(weights: Array) -> Array:
        grouped = weights.reshape(group, w[0] // group, *w[1:])
        return grouped.swapaxes(1, 2).reshape(group * w[1], w[0] // group, *w[2:])

    return _form(graph, node, style, by_output, phases, tuple(strides))


def _phase(phase: int, side: int, stride: int, dilation: int, pad: int, n: int, kernel: int) -> Along | None:
    """The outputs o of one axis with o mod stride = phase: which taps make them, and of what. None without any."""
    taps = tuple(tap for tap in range(kernel) if (phase + pad - tap * dilation) % stride == 0)
    positions = len(range(phase, n, stride))
    if not taps or not positions:
        return None
    gap = (taps[1] - taps[0]) * dilation // stride if len(taps) > 1 else 0
    first = (phase + pad - taps[0] * dilation) // stride
    return Along(side=side, first=first, step=1, gap=-gap, positions=positions, taps=taps)


def _form(
    graph: Graph,
    node: Node,
    style: Style,
    by_output: Callable[[Array], Array],
    phases: dict[tuple[int, ...], Any],
    strides: tuple[int, ...],
) -> Form:
    """By_output : weights as the node has them -> [n_out, channels of a group, kernel ..]."""
    x, _, y = _shapes(graph, node)
    group = node.attributes.get("group", 1)
    n_group, n_of = (group, 1) if style.batched else (1, group)
    c, m = x[1] // group, y[1] // group

    def part(phase: tuple[int, ...], along: Sequence[Along], g: int) -> Part:
        taps = prod(len(one.taps) for one in along)
        n_in = taps * style.padded(c * n_of)
        of_phase = "." + "_".join(map(str, phase)) if prod(strides) > 1 else ""
        return Part(
            suffix=of_phase + (f".{g}" if n_group > 1 else ""),
            n_in=n_in,
            n_weight=n_of * m * c * taps,
            channels=np.arange(g * m, (g + n_of) * m),
            positions=x[0] * prod(one.positions for one in along),
            arrange=partial(_arranged, by_output, along, g, n_of, c, m, n_in),
            vectors=partial(_windows, along, slice(g * c, (g + n_of) * c), n_in),
            blocks=n_of,
        )

    def join(outputs: Sequence[Array], bias: Array | None) -> Array:
        made = np.zeros(y, dtype=np.result_type(np.float32, *outputs))
        if bias is not None:  # of outputs that no tap makes
            made += bias.reshape(-1, *(1 for _ in strides))
        by_phase = iter(outputs)
        for phase, along in phases.items():
            there = tuple(slice(at, None, stride) for at, stride in zip(phase, strides, strict=True))
            for g in range(n_group):
                rows = next(by_phase).reshape(x[0], *(one.positions for one in along), n_of * m)
                made[(slice(None), slice(g * m, (g + n_of) * m), *there)] = np.moveaxis(rows, -1, 1)
        return made

    return Form(
        kind=kind_of_conv(graph, node),
        reads=node.inputs[0],
        weight=node.inputs[1],
        parts=tuple(part(phase, along, g) for phase, along in phases.items() for g in range(n_group)),
        group_axes=(),
        out_axes=(1,),
        join=join,
        bias=node.reading(2),
    )


def _arranged(
    by_output: Callable[[Array], Array], along: Sequence[Along], g: int, n_of: int, c: int, m: int, n_in: int,
    weights: Array, fill: Any,
) -> Array:  # fmt: skip
    """Weights of groups g .. g + n_of - 1 on the diagonal of [n_of * m, taps, channels, padded], as a matrix."""
    rows = by_output(weights)[g * m : (g + n_of) * m]
    for axis, one in enumerate(along):
        rows = rows.take(one.taps, axis + 2)
    blocks = np.moveaxis(rows.reshape(n_of, m, c, -1), 2, 3)
    taps = blocks.shape[2]
    matrix = np.full((n_of, m, taps, n_in // taps), fill, dtype=weights.dtype)
    for i in range(n_of):
        matrix[i, :, :, i * c : (i + 1) * c] = blocks[i]
    return matrix.reshape(n_of * m, n_in)


def _windows(along: Sequence[Along], channels: slice, n_in: int, value: Array, most: int) -> Iterator[Array]:
    """Windows of a map [batch, channels, ..], channels innermost, over its zero-padded border."""
    here = np.moveaxis(value[:, channels], 1, -1)
    wide = n_in // prod(len(one.taps) for one in along)
    low = [min(one.reach[0], 0) for one in along]
    sides = [max(one.reach[1] + 1, one.side) - least for one, least in zip(along, low, strict=True)]
    padded = np.zeros((here.shape[0], *sides, wide), dtype=value.dtype)
    inside = tuple(slice(-least, one.side - least) for one, least in zip(along, low, strict=True))
    padded[(slice(None), *inside, slice(here.shape[-1]))] = here
    origin = tuple(one.first - least for one, least in zip(along, low, strict=True))
    of_axis = padded.strides[1:-1]
    positions = (here.shape[0], *(one.positions for one in along))
    view = np.lib.stride_tricks.as_strided(
        padded[(slice(None), *(slice(at, None) for at in origin))],
        shape=(*positions, *(len(one.taps) for one in along), wide),
        strides=(
            padded.strides[0],
            *(one.step * n for one, n in zip(along, of_axis, strict=True)),
            *(one.gap * n for one, n in zip(along, of_axis, strict=True)),
            padded.strides[-1],
        ),
        writeable=False,
    )
    for block in blocks_of(positions, most):
        yield view[block].reshape(-1, n_in)


def _shapes(graph: Graph, node: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of input, weights and output."""
    x, w = (graph.values[name].shape for name in node.inputs[:2])
    return x, w, graph.values[node.outputs[0]].shape


def kind_of_conv(graph: Graph, node: Node) -> str:
    """Words for a convolution, such as "depthwise conv2d"."""
    _, w, _ = _shapes(graph, node)
    group = node.attributes.get("group", 1)
    name = f"conv{len(w) - 2}d"
    if node.op == "ConvTranspose":
        return f"transposed {name}"
    if is_depthwise(graph, node):
        return f"depthwise {name}"
    return ("1x1 " if prod(w[2:]) == 1 else "kxk ") + name + (f", {group} groups" if group > 1 else "")


def is_depthwise(graph: Graph, node: Node) -> bool:
    """True where each group has one input channel, and there are several."""
    group = int(node.attributes.get("group", 1))
    return group > 1 and graph.values[node.inputs[0]].shape[1] == group


def conv_geometry(
    node: Node, inputs: tuple[int, ...], kernel: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and zeros before the first element, for each spatial axis."""
    strides, dilations, pads = _attributes(node, len(kernel))
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for a, k in enumerate(kernel):
            total = max(0, (outputs[a] - 1) * strides[a] + (k - 1) * dilations[a] + 1 - inputs[a])
            pads[a] = total // 2 if auto == "SAME_UPPER" else total - total // 2
    return strides, dilations, pads


def transpose_geometry(
    node: Node, inputs: tuple[int, ...], kernel: tuple[int, ...], outputs: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """The same of a transposed convolution, whose padding is cut off its output."""
    strides, dilations, pads = _attributes(node, len(kernel))
    auto = node.attributes.get("auto_pad", "NOTSET")
    extra = node.attributes.get("output_padding") or [0] * len(kernel)
    if auto in ("SAME_UPPER", "SAME_LOWER") or node.attributes.get("output_shape"):
        for a, k in enumerate(kernel):
            total = max(0, strides[a] * (inputs[a] - 1) + extra[a] + (k - 1) * dilations[a] + 1 - outputs[a])
            pads[a] = total // 2 if auto == "SAME_UPPER" else total - total // 2
    return strides, dilations, pads


def _attributes(node: Node, n_axis: int) -> tuple[list[int], list[int], list[int]]:
    ones = [1] * n_axis
    pads = [] if node.attributes.get("auto_pad") == "VALID" else list(node.attributes.get("pads") or [])
    return (
        list(node.attributes.get("strides") or ones),
        list(node.attributes.get("dilations") or ones),
        (pads or [0] * n_axis)[:n_axis],
    )
