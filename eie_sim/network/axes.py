"""Which axis of a value or parameter goes with which: what structured pruning reads, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError
from eie_sim.network.contraction import einsum_letters, matmul_letters
from eie_sim.network.graph import Graph, Node
from eie_sim.network.integers import integers_of, plain, row_axis


class Axis(NamedTuple):
    """An axis of a value, or one that has no value of its own, such as the groups of a convolution: `NODE:groups`."""

    value: str
    axis: int
    size: int


class Same(NamedTuple):
    """Two axes that are one: what leaves the one leaves the other."""

    first: Axis
    second: Axis


class Joined(NamedTuple):
    """An axis that is several one after the other; a number stands for elements that nobody reads."""

    whole: Axis
    parts: tuple[Axis | int, ...]


class Regrouped(NamedTuple):
    """Axes that number the same elements row by row, as a reshape has them."""

    before: tuple[Axis, ...]
    after: tuple[Axis, ...]


class Picked(NamedTuple):
    """An axis whose elements are those of another at `indices`."""

    whole: Axis
    part: Axis
    indices: tuple[int, ...]


class Pinned(NamedTuple):
    """An axis of which nothing can leave; where `free`, it can, but values of others depend on all of it."""

    axis: Axis
    reason: str
    free: bool = False


NORMALISED = "normalised"
MATCHED = "summed over by two activations"
"""Reasons of axes that are free all the same."""

Relation = Same | Joined | Regrouped | Picked | Pinned
Rule = Callable[[Graph, Node], Iterator[Relation]]


def axis_of(graph: Graph, name: str, axis: int) -> Axis:
    """An axis of a value; negative ones count from the last."""
    shape = graph.values[name].shape
    axis = axis % len(shape)
    return Axis(name, axis, shape[axis])


def axes_of(graph: Graph, name: str) -> tuple[Axis, ...]:
    """All axes of a value."""
    return tuple(Axis(name, axis, size) for axis, size in enumerate(graph.values[name].shape))


def pinned(reason: str) -> Rule:
    """Every axis that the node touches is pinned."""

    def rule(graph: Graph, node: Node) -> Iterator[Relation]:
        for name in (*node.reads, *node.makes):
            for axis in axes_of(graph, name):
                yield Pinned(axis, reason.format(op=node.op))

    return rule


def aligned(graph: Graph, node: Node) -> Iterator[Relation]:
    """Elementwise: axes align from the right; those of 1 are broadcast."""
    out = axes_of(graph, node.outputs[0])
    for name in dict.fromkeys(node.reads[:1] if node.op == "Expand" else node.reads):
        for mine, made in zip(axes_of(graph, name)[::-1], out[::-1], strict=False):
            if mine.size == made.size:
                yield Same(mine, made)


def kept(graph: Graph, node: Node) -> Iterator[Relation]:
    """An axis of the same size is the same; another one, which is spatial, is pinned."""
    for mine, made in zip(axes_of(graph, node.inputs[0]), axes_of(graph, node.outputs[0]), strict=False):
        if mine.size == made.size and (mine.axis < 2 or node.op not in POOLS):
            yield Same(mine, made)
        else:
            yield from (Pinned(mine, "spatial"), Pinned(made, "spatial"))


def softmaxed(graph: Graph, node: Node) -> Iterator[Relation]:
    """An axis on which values depend on each other is pinned, up to opset 12 all from it on; all axes stay."""
    x = axes_of(graph, node.inputs[0])
    old = graph.framework.opsets.get("", 13) < 13
    first = node.attributes.get("axis", 1 if old else -1) % len(x)
    yield from (Pinned(axis, "softmax") for axis in x[first : None if old else first + 1])
    yield from map(Same, x, axes_of(graph, node.outputs[0]))


def summed_up(graph: Graph, node: Node) -> Iterator[Relation]:
    """CumSum: its axis is pinned."""
    if not graph.is_constant(node.inputs[1]):
        yield from pinned("chosen by data")(graph, node)
        return
    yield Pinned(axis_of(graph, node.inputs[0], int(graph.array(node.inputs[1]))), "running sum")
    yield from map(Same, axes_of(graph, node.inputs[0]), axes_of(graph, node.outputs[0]))


def reduced(graph: Graph, node: Node) -> Iterator[Relation]:
    """Reduced axes are pinned, the others stay; a mean that only normalises pins nothing."""
    if node.reading(1) and not graph.is_constant(node.inputs[1]):
        yield from pinned("chosen by data")(graph, node)
        return
    x, y = axes_of(graph, node.inputs[0]), list(axes_of(graph, node.outputs[0]))
    said = graph.array(node.inputs[1]).tolist() if node.reading(1) else node.attributes.get("axes")
    gone = {axis % len(x) for axis in (said or range(len(x)))}
    if not said and node.attributes.get("noop_with_empty_axes"):
        gone = set()
    if node.op in ("ArgMax", "ArgMin"):
        gone = {node.attributes.get("axis", 0) % len(x)}
    left = [axis for axis in x if axis.axis not in gone]
    free = only_normalises(graph, node, gone)
    yield from (Pinned(axis, NORMALISED if free else "reduced", free=free) for axis in x if axis.axis in gone)
    yield from map(Same, left, [y[axis.axis] for axis in left] if len(y) == len(x) else y)


def only_normalises(graph: Graph, node: Node, gone: set[int]) -> bool:
    """True for a mean over axes that is used for nothing but to shift and scale, along these, what it is a mean of."""
    x = graph.values[node.inputs[0]].shape
    if node.op != "ReduceMean" or not node.attributes.get("keepdims", 1):
        return False
    own, waiting = _made_from(graph, node.inputs[0]), [node.outputs[0]]
    while waiting:
        name = waiting.pop()
        readers = graph.readers.get(name, ())
        if name in graph.outputs or not readers:
            return False
        for reader in readers:
            shape = graph.values[reader.outputs[0]].shape
            if reader.op not in _NORMALISING or len(shape) != len(x):
                return False
            if all(shape[axis] == 1 for axis in gone):
                waiting += reader.makes
                continue
            others = [one for one in reader.reads if one != name]
            if reader.op not in ("Sub", "Mul", "Div") or not any(own & _made_from(graph, one) for one in others):
                return False
    return True


def _made_from(graph: Graph, name: str) -> set[str]:
    """A value and those that it was made from element by element, a few steps back."""
    found, waiting = {name}, [name]
    while waiting and len(found) < 16:
        maker = graph.makers.get(waiting.pop(0))
        if maker is not None and maker.op in ("Abs", "Cast", "Identity", "Mul", "Pow", "Sub"):
            new = [one for one in maker.reads if one not in found and not graph.is_constant(one)]
            found.update(new)
            waiting += new
    return found


def lettered(graph: Graph, node: Node) -> Iterator[Relation]:
    """Gemm, MatMul and Einsum: axes of the same letter are one, unless they are broadcast."""
    if node.op == "Gemm":
        sides = ["kp" if node.attributes.get("transA") else "pk", "mk" if node.attributes.get("transB") else "km"]
        letters: tuple[list[str], str] | None = (sides, "pm")
    else:
        letters = matmul_letters(graph, node)[:2] if node.op == "MatMul" else einsum_letters(graph, node)
    if letters is None:
        yield from pinned("op {op} is not known")(graph, node)
        return
    first: dict[str, Axis] = {}
    for name, side in zip((node.outputs[0], *node.inputs), (letters[1], *letters[0]), strict=False):
        for axis, letter in zip(axes_of(graph, name), side, strict=True):
            known = first.setdefault(letter, axis)
            if known is not axis and known.size == axis.size:
                yield Same(known, axis)
    if node.kind == "two_activations":
        yield from (Pinned(axis, MATCHED, free=True) for letter, axis in first.items() if letter not in letters[1])
    if node.op == "Gemm" and node.reading(2) and not is_zero(graph, node.inputs[2]):
        for mine, made in zip(
            axes_of(graph, node.inputs[2])[::-1], axes_of(graph, node.outputs[0])[::-1], strict=False
        ):
            if mine.size == made.size:
                yield Same(mine, made)


def convolved(graph: Graph, node: Node) -> Iterator[Relation]:
    """Channels of input and output are axes of the weights, group by group; kernel and space are pinned."""
    x, w, y = (axes_of(graph, name) for name in (*node.inputs[:2], node.outputs[0]))
    group = node.attributes.get("group", 1)
    turned = node.op == "ConvTranspose"
    yield Same(x[0], y[0])
    yield from (Pinned(axis, "kernel") for axis in w[2:])
    yield from (Pinned(axis, "spatial") for axis in (*x[2:], *y[2:]))
    mine, other = (x[1], y[1]) if turned else (y[1], x[1])
    yield Same(w[0], mine)  # in of a transposed one, out of another
    if group == 1:
        yield Same(w[1], other)
    else:
        groups = Axis(f"{node.name}:groups", 0, group)
        yield Regrouped((other,), (groups, w[1]))
        yield Regrouped((w[0],), (groups, Axis(f"{node.name}:in a group", 0, w[0].size // group)))
    if node.reading(2) and not is_zero(graph, node.inputs[2]):
        yield Same(axis_of(graph, node.inputs[2], 0), y[1])
    if node.kind == "two_activations":
        yield Pinned(x[1], MATCHED, free=True)


def on_integers(same: Rule) -> Rule:
    """The rule of the operator on floats; a row of zero points, scales or biases goes with what it stands beside."""

    def rule(graph: Graph, node: Node) -> Iterator[Relation]:
        own = integers_of(node)
        assert own is not None
        yield from same(graph, plain(node))
        rows = [(place, side.data, row_axis(own, at)) for at, side in enumerate(own.sides) for place in side[1:]]
        for place, data, axis in rows:
            name = "" if place is None else node.reading(place)
            if not name or not graph.values[name].shape:
                continue
            mine, beside = axes_of(graph, name), axes_of(graph, node.inputs[data])
            pairs = [(mine[0], beside[axis])] if len(mine) == 1 else list(zip(mine[::-1], beside[::-1], strict=False))
            yield from (Same(one, other) for one, other in pairs if one.size == other.size)
        if own.float_bias is not None and node.reading(own.float_bias):
            yield Same(axis_of(graph, node.inputs[own.float_bias], 0), axis_of(graph, node.outputs[0], -1))

    return rule


def channel_norm(graph: Graph, node: Node) -> Iterator[Relation]:
    """A norm of axis 1, whose parameters are one for each channel."""
    x = axes_of(graph, node.inputs[0])
    yield from map(Same, x, axes_of(graph, node.outputs[0]))
    if node.op == "InstanceNormalization":
        yield from (Pinned(axis, NORMALISED, free=True) for axis in x[2:])
    yield from (Same(x[1], axis_of(graph, name, 0)) for name in node.inputs[1:])
    if node.op == "GroupNormalization":
        groups = Axis(f"{node.name}:groups", 0, node.attributes["num_groups"])
        inside = Axis(f"{node.name}:in a group", 0, x[1].size // groups.size)
        yield Regrouped((x[1],), (groups, inside))
        yield from (Pinned(groups, "groups of a norm"), Pinned(inside, NORMALISED, free=True))


def last_norm(graph: Graph, node: Node) -> Iterator[Relation]:
    """A norm of the last axes, which the parameters have too."""
    x = axes_of(graph, node.inputs[0])
    for axis in x[node.attributes.get("axis", -1) % len(x) :]:
        yield Pinned(axis, NORMALISED, free=True)
    for name in (*node.makes, *node.reads[1:]):
        pairs = zip(x[::-1], axes_of(graph, name)[::-1], strict=False)
        yield from (Same(*pair) for pair in pairs if pair[0].size == pair[1].size)


def rotated(graph: Graph, node: Node) -> Iterator[Relation]:
    """RotaryEmbedding: places inside a head are pinned; x is [batch, heads, length, size] or [.., heads * size]."""
    x = axes_of(graph, node.inputs[0])
    caches = [name for name in node.reads[1:] if np.dtype(graph.values[name].dtype).kind == "f"]
    yield from map(Same, x, axes_of(graph, node.outputs[0]))
    inside = x[-1]
    if len(x) == 3:
        size = 2 * graph.values[caches[0]].shape[-1]
        heads = Axis(f"{node.name}:heads", 0, node.attributes.get("num_heads") or x[-1].size // size)
        inside = Axis(f"{node.name}:in a head", 0, x[-1].size // heads.size)
        yield Regrouped((x[-1],), (heads, inside))
    yield Pinned(inside, ROTARY)
    yield from (Pinned(axis, ROTARY) for name in caches for axis in axes_of(graph, name))


def regrouped(graph: Graph, node: Node) -> Iterator[Relation]:
    """Reshape and its kin. Raise InputError for a target that depends on data."""
    if node.op == "Reshape" and node.reading(1) and not graph.is_constant(node.inputs[1]):
        raise InputError(f"node {node.name}: target {shown(node.inputs[1])}: must not be computed from data")
    yield Regrouped(axes_of(graph, node.inputs[0]), axes_of(graph, node.outputs[0]))


def transposed(graph: Graph, node: Node) -> Iterator[Relation]:
    """Axes in another order."""
    x = axes_of(graph, node.inputs[0])
    order = node.attributes.get("perm") or range(len(x))[::-1]
    yield from map(Same, [x[axis] for axis in order], axes_of(graph, node.outputs[0]))


def joined(graph: Graph, node: Node) -> Iterator[Relation]:
    """Concat and Split: one axis is the others one after the other."""
    whole, parts = (node.outputs[:1], node.inputs) if node.op == "Concat" else (node.inputs[:1], node.makes)
    axis = node.attributes.get("axis", 0) % len(graph.values[whole[0]].shape)
    yield Joined(axis_of(graph, whole[0], axis), tuple(axis_of(graph, name, axis) for name in parts))
    for name in parts:
        pairs = zip(axes_of(graph, whole[0]), axes_of(graph, name), strict=True)
        yield from (Same(*pair) for pair in pairs if pair[0].axis != axis)
    if _is_turned(graph, node):
        yield Pinned(axis_of(graph, whole[0], axis), ROTARY)


def _is_turned(graph: Graph, node: Node) -> bool:
    """True for a Concat of the second half of a value, negated, and its first: what rotary embedding does to heads."""
    negated = graph.makers.get(node.inputs[0])
    if node.op != "Concat" or len(node.inputs) != 2 or negated is None or negated.op != "Neg":
        return False
    halves = [graph.makers.get(name) for name in (negated.inputs[0], node.inputs[1])]
    sources = {one.inputs[0] if one and one.op in ("Slice", "Split") else "" for one in halves}
    return len(sources) == 1 and "" not in sources


def tiled(graph: Graph, node: Node) -> Iterator[Relation]:
    """Tile: what is repeated stands inside."""
    for x, y in zip(axes_of(graph, node.inputs[0]), axes_of(graph, node.outputs[0]), strict=True):
        yield Regrouped((Axis(f"{node.name}:times", x.axis, y.size // max(1, x.size)), x), (y,))


def sliced(graph: Graph, node: Node) -> Iterator[Relation]:
    """Each axis is picked from; a slice without steps is a part of it."""
    if not all(graph.is_constant(name) for name in node.inputs[1:] if name):
        yield from pinned("chosen by data")(graph, node)
        return
    x, y = axes_of(graph, node.inputs[0]), axes_of(graph, node.outputs[0])
    starts, axes, steps = (
        graph.array(node.inputs[place]).tolist() if node.reading(place) else node.attributes.get(name, [])
        for place, name in ((1, "starts"), (3, "axes"), (4, "steps"))
    )
    cuts = zip(axes or range(len(starts)), starts, steps or [1] * len(starts), strict=False)
    said = {axis % len(x): (start, step) for axis, start, step in cuts}
    for mine, made in zip(x, y, strict=True):
        start, step = said.get(mine.axis, (0, 1))
        if mine.size == made.size and step == 1:
            yield Same(mine, made)
            continue
        first = range(mine.size)[max(-mine.size, min(start, mine.size - 1))]
        indices = tuple(range(first, first + made.size * step, step))
        rest = (first, made, mine.size - first - made.size)
        yield Joined(mine, tuple(part for part in rest if part)) if step == 1 else Picked(mine, made, indices)


def gathered(graph: Graph, node: Node) -> Iterator[Relation]:
    """Rows of a table that data choose are pinned; constant indices pick."""
    x, chosen, y = (axes_of(graph, name) for name in (*node.inputs[:2], node.outputs[0]))
    axis = node.attributes.get("axis", 0) % len(x)
    more = len(chosen) - 1
    yield from (Same(one, y[one.axis + (more if one.axis > axis else 0)]) for one in x if one.axis != axis)
    if graph.is_constant(node.inputs[1]) and more <= 0:
        indices = tuple(int(one) % x[axis].size for one in graph.array(node.inputs[1]).reshape(-1))
        yield Picked(x[axis], y[axis] if more == 0 else Axis(f"{node.name}:picked", 0, 1), indices)
        return
    yield Pinned(x[axis], "vocabulary" if node.kind == "lookup" else "chosen by data")
    yield from map(Same, chosen, y[axis:])


def recurrent(graph: Graph, node: Node) -> Iterator[Relation]:
    """Rows of the weights are gates of hidden units; the hidden axis is the output's and that of R."""
    x, w, r = (axes_of(graph, name) for name in node.inputs[:3])
    if integers_of(node) is not None:  # whose weights are turned
        w, r = ((one[0], one[2], one[1]) for one in (w, r))
    gates = Axis(f"{node.name}:gates", 0, r[1].size // r[2].size)
    hidden = r[2]
    yield from (
        Pinned(gates, "gates"),
        Same(x[2], w[2]),
        Regrouped((w[1],), (gates, hidden)),
        Regrouped((r[1],), (gates, hidden)),
    )
    yield from (Pinned(axis, "directions") for axis in (w[0], r[0]))
    yield from (Pinned(axis_of(graph, node.inputs[place], 0), "directions") for place in (3, 7) if node.reading(place))
    yield from (Pinned(axis, reason) for axis, reason in zip(x, ("sequence", "batch"), strict=False))
    if node.reading(3):
        both = Axis(f"{node.name}:biases", 0, 2)
        yield from (
            Regrouped((axis_of(graph, node.inputs[3], 1),), (both, gates, hidden)),
            Pinned(both, "biases of W and R"),
        )
    for axes in (axes_of(graph, name) for name in node.inputs[8:] if name):  # zero points and scales
        yield Pinned(axes[0], "directions")
        if len(axes) == 2 and axes[1].size > 1:
            yield Regrouped(axes[1:], (gates, hidden))
    if plain(node).op == "LSTM" and node.reading(7):
        three = Axis(f"{node.name}:peepholes", 0, 3)
        yield from (Regrouped((axis_of(graph, node.inputs[7], 1),), (three, hidden)), Pinned(three, "gates"))
    for name in (*node.makes, *node.inputs[5:7]):
        if name and not is_zero(graph, name):
            *others, last = axes_of(graph, name)
            yield Same(last, hidden)
            yield from (Pinned(axis, "sequence, direction or batch") for axis in others)


def is_zero(graph: Graph, name: str) -> bool:
    """True for a constant bias or state of zeros, which exporters write for one that is left out: it has no axes."""
    return name in graph.constants and not graph.constants[name].any()


ROTARY = "rotary frequencies"
_NORMALISING = ("Add", "Cast", "Clip", "Div", "Identity", "Max", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub")
POOLS = ("AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool")
_UNARY = """
    Abs Cast CastLike Ceil Clip Cos Dropout Elu Erf Exp Expand Floor Gelu HardSigmoid HardSwish Identity LeakyRelu
    Log Mish Neg Not Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Swish Tanh ThresholdedRelu
"""
_ELEMENTWISE = "Add And Div Equal Greater Less Max Mean Min Mod Mul Or PRelu Pow Sub Sum Where Xor"
_REDUCE = """
    ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY.split(), aligned),
    **dict.fromkeys(_ELEMENTWISE.split(), aligned),
    **dict.fromkeys(_REDUCE.split(), reduced),
    **dict.fromkeys(POOLS, kept),
    **dict.fromkeys(("Resize", "Upsample", "Pad"), kept),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), regrouped),
    **dict.fromkeys(("Concat", "Split"), joined),
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmaxed),
    **dict.fromkeys(("RotaryEmbedding", "com.microsoft.RotaryEmbedding"), rotated),
    **dict.fromkeys(("com.microsoft.Gelu", "com.microsoft.BiasGelu", "com.microsoft.QuickGelu"), aligned),
    "CumSum": summed_up,
    "Slice": sliced,
    "Tile": tiled,
    "Transpose": transposed,
}
"""Rules of operators that are host work and have no weights."""
