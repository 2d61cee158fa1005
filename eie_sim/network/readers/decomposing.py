"""Fused operators as the plain ones that they stand for: attention, and products with what comes right after them.

Attention is softmax(scale * Q K^T + masks) V for each batch and head, so its two products are plain MatMuls of two
values, and the projection of com.microsoft's Attention is one by its weights. Sources: the operators' documents of ONNX
and of onnxruntime, and what onnxruntime computes where these are silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eie_sim.core.arrays import fresh
from eie_sim.core.errors import InputError
from eie_sim.network.floatrun import LOWERED_TOLERANCE, apart
from eie_sim.network.graph import Array, Framework, Node, Value
from eie_sim.network.readers.onnx_runtime import libraries

LOWEST_OPSET = 9
"""Lowest opset of the plain operators that stand for a fused one."""
LOWEST = float(np.finfo(np.float32).min)
MASKED = -10000.0
"""Number that com.microsoft's attention adds to a masked score where its attribute does not say."""


class UnknownVariantError(Exception):
    """The reason why a fused node stays as it is, in words."""


@dataclass(kw_only=True)
class Plain:
    """The plain nodes of a fused one on their way.

    name, inputs, makes, given : of the fused node: its name, inputs, outputs and attributes
    values : shapes of its inputs, among others; taken : names of values that are taken; opset : of plain operators
    """

    name: str
    inputs: Sequence[str]
    makes: Sequence[str]
    given: Mapping[str, Any]
    values: Mapping[str, Value]
    taken: set[str]
    opset: int
    nodes: list[Any] = field(default_factory=list)

    def reads(self, place: int) -> str:
        """Name of an input, "" where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""

    def shape(self, place: int) -> tuple[int, ...]:
        """The shape of an input."""
        return self.values[self.inputs[place]].shape

    def output(self, place: int) -> str:
        """Name of an output, "" where it is left out."""
        return self.makes[place] if place < len(self.makes) else ""

    def add(self, op: str, what: str, *inputs: str, makes: str | Sequence[str] = "", **attributes: Any) -> str:
        """Add a node and return the first value that it makes. what : the end of its name, and of a new value's"""
        onnx, _ = libraries()
        names = [makes or fresh(f"{self.makes[0]}.{what}", self.taken)] if isinstance(makes, str) else list(makes)
        self.nodes.append(onnx.helper.make_node(op, inputs, names, name=f"{self.name}.{what}", **attributes))
        return names[0]

    def constant(self, array: Any, what: str) -> str:
        """Add an array and return its name."""
        onnx, _ = libraries()
        return self.add("Constant", what, value=onnx.numpy_helper.from_array(np.asarray(array)))

    def reshaped(self, name: str, what: str, *shape: int, makes: str = "") -> str:
        """A value under another shape."""
        return self.add("Reshape", what, name, self.constant(np.array(shape), f"{what}_shape"), makes=makes)

    def split(self, name: str, what: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Parts of a value along an axis."""
        parts = [fresh(f"{self.makes[0]}.{what}{at}", self.taken) for at in range(len(sizes))]
        if self.opset < 13:
            self.add("Split", what, name, makes=parts, axis=axis, split=list(sizes))
        else:
            self.add("Split", what, name, self.constant(np.array(sizes), f"{what}_sizes"), makes=parts, axis=axis)
        return parts

    def heads(self, name: str, what: str, batch: int, length: int, n_head: int) -> str:
        """[batch, length, n_head * size] as [batch, n_head, length, size]."""
        apart = self.reshaped(name, f"{what}_apart", batch, length, n_head, -1)
        return self.add("Transpose", what, apart, perm=[0, 2, 1, 3])


def decomposed(op: str, plain: Plain) -> list[Any] | str:
    """Return ONNX nodes that make what a fused one makes, or why it stays as it is, in words.

    op : one of `FUSED`; plain : without nodes
    """
    if plain.opset < LOWEST_OPSET:
        return f"not decomposed at opset {plain.opset} of ONNX"
    try:
        FUSED[op](plain)
    except UnknownVariantError as reason:
        return f"not decomposed: {reason}"
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return "not decomposed: damaged"  # the framework says what is wrong
    return plain.nodes


def why_unlike(framework: Framework, fused: Node, plain: Sequence[Node], values: Mapping[str, Array]) -> str:
    """Return why plain nodes may not stand for a fused one: they make other values. "" where they are alike.

    Also where the framework cannot run the fused one, so that nothing says more than its document.
    """
    try:
        wanted = framework.run([fused], values, fused.makes)
    except InputError:
        return ""
    found = framework.run(plain, values, fused.makes)
    for name, array in wanted.items():
        off = apart(found[name], array)
        if not off <= LOWERED_TOLERANCE:
            return f"not decomposed: plain operators differ by {off:.1e} of its largest output"
    return ""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Q [batch, n_head, n_query, size], and K, V [batch, n_kv, n_key, size], each of which n_head / n_kv heads share.

    past : keys that come before those of the first query; softcap : scores become softcap * tanh(scores / softcap)
    masks : values that are added to scores, of shapes that broadcast to theirs; causal : keys to come take no part
    zeroed : a query all of whose keys are masked gets 0
    """

    q: str
    k: str
    v: str
    batch: int
    n_head: int
    n_kv: int
    n_query: int
    n_key: int
    scale: float
    past: int = 0
    softcap: float = 0.0
    masks: Sequence[str] = ()
    causal: bool = False
    zeroed: bool = False


def _attend(plain: Plain, of: Heads, *, wide: bool) -> None:
    """Scores, softmax and context. wide : the output is [batch, n_query, n_head * size], else heads are apart"""
    shared = of.n_head != of.n_kv
    rows = of.n_head // of.n_kv * of.n_query
    q = plain.reshaped(of.q, "q_shared", of.batch, of.n_kv, rows, -1) if shared else of.q
    turned = plain.add("Transpose", "k_turned", of.k, perm=[0, 1, 3, 2])
    scores = plain.add("MatMul", "scores", q, turned)
    if shared:
        scores = plain.reshaped(scores, "scores_apart", of.batch, of.n_head, of.n_query, of.n_key)
    scores = plain.add("Mul", "scaled", scores, plain.constant(np.float32(of.scale), "scale"))
    if of.softcap:
        cap = plain.constant(np.float32(of.softcap), "cap")
        flat = plain.add("Tanh", "cap_tanh", plain.add("Div", "cap_div", scores, cap))
        scores = plain.add("Mul", "capped", flat, cap)
    later = np.arange(of.n_key) > np.arange(of.n_query)[:, None] + of.past
    masks = list(of.masks)
    if of.causal and later.any():
        masks.append(_value_inside(plain, later, LOWEST, "causal"))
    for at, mask in enumerate(masks):
        scores = plain.add("Add", f"masked{at}", scores, mask)
    p = plain.add("Softmax", "softmax", scores, axis=3)
    if of.zeroed and of.masks:
        whole = plain.add("Add", "masks", *masks) if len(masks) > 1 else masks[0]
        most = plain.add("ReduceMax", "mask_most", whole, plain.constant(np.array([-1]), "mask_axis"))
        alive = plain.add("Greater", "mask_alive", most, plain.constant(np.float32(LOWEST), "mask_lowest"))
        p = plain.add("Where", "softmax_alive", alive, p, plain.constant(np.float32(0), "mask_zero"))
    p = plain.reshaped(p, "softmax_shared", of.batch, of.n_kv, rows, of.n_key) if shared else p
    last = plain.makes[0]
    y = plain.add("MatMul", "context", p, of.v, makes="" if shared or wide else last)
    if shared:
        y = plain.reshaped(y, "context_apart", of.batch, of.n_head, of.n_query, -1, makes="" if wide else last)
    if wide:
        y = plain.add("Transpose", "context_turned", y, perm=[0, 2, 1, 3])
        plain.reshaped(y, "output", of.batch, of.n_query, -1, makes=last)


def _value_inside(plain: Plain, masked: Array, value: float, what: str) -> str:
    """A value where a constant of truths is true, else 0: made of it in the graph, as it is no weight."""
    ones = plain.add("Cast", f"{what}_ones", plain.constant(masked, f"{what}_value_inside"), to=1)
    return plain.add("Mul", what, ones, plain.constant(np.float32(value), f"{what}_value"))


def _value_outside(plain: Plain, mask: str, value: float, *shape: int) -> str:
    """A value where a mask of truths is false, else 0, under another shape."""
    inside = plain.add("Cast", "mask_inside", mask, to=1)
    outside = plain.add("Sub", "mask_outside", plain.constant(np.float32(1), "mask_one"), inside)
    added = plain.add("Mul", "mask_added", outside, plain.constant(np.float32(value), "mask_value"))
    return plain.reshaped(added, "mask", *shape)


def _key_mask(plain: Plain, place: int, batch: int, n_query: int, n_key: int, value: float) -> list[str]:
    """Return the terms added for a mask of com.microsoft: lengths, a row for each batch, or for each query."""
    if not plain.reads(place):
        return []
    name, shape = plain.inputs[place], plain.shape(place)
    if shape == (batch,):
        at = plain.constant(np.arange(n_key, dtype=np.int32)[None], "mask_at")
        name = plain.add("Less", "mask_less", at, plain.reshaped(name, "mask_lengths", batch, 1))
        return [_value_outside(plain, name, value, batch, 1, 1, n_key)]
    if shape in ((batch, n_key), (batch, n_query, n_key)):  # onnxruntime masks what is negative too
        name = plain.add("Greater", "mask_above", name, plain.constant(np.int32(0), "mask_least"))
        return [_value_outside(plain, name, value, batch, 1, *shape[1:-1] or (1,), n_key)]
    raise UnknownVariantError(f"a mask of shape {shape}")


def _require_absent(plain: Plain, inputs: Mapping[int, str], outputs: Mapping[int, str]) -> None:
    """Leave a node that reads or makes what is not known here, by place."""
    for place, what in inputs.items():
        if plain.reads(place):
            raise UnknownVariantError(what)
    for place, what in outputs.items():
        if plain.output(place):
            raise UnknownVariantError(what)


def _scale_of(plain: Plain, size: int) -> float:
    return float(plain.given.get("scale") or size**-0.5)


def _attention_of_weights(plain: Plain) -> None:
    """com.microsoft.Attention: one product with all of the projections, then attention."""
    _require_absent(plain, {4: "past state", 6: "past state"}, {1: "past state"})
    if plain.given.get("do_rotary"):
        raise UnknownVariantError("rotary embedding")
    (batch, length, _), n_head = plain.shape(0), plain.given["num_heads"]
    third = plain.shape(1)[1] // 3
    sizes = plain.given.get("qkv_hidden_sizes") or [third] * 3
    qkv = plain.add("MatMul", "qkv", plain.inputs[0], plain.inputs[1])
    qkv = plain.add("Add", "qkv_bias", qkv, plain.inputs[2]) if plain.reads(2) else qkv
    parts = plain.split(qkv, "qkv_split", sizes, 2)
    q, k, v = (plain.heads(one, what, batch, length, n_head) for one, what in zip(parts, "qkv", strict=True))
    value = plain.given.get("mask_filter_value", MASKED)
    masks = _key_mask(plain, 3, batch, length, length, value) + [one for one in [plain.reads(5)] if one]
    of = Heads(
        q=q,
        k=k,
        v=v,
        batch=batch,
        n_head=n_head,
        n_kv=n_head,
        n_query=length,
        n_key=length,
        scale=_scale_of(plain, sizes[0] // n_head),
        masks=masks,
        causal=bool(plain.given.get("unidirectional")),
    )
    _attend(plain, of, wide=True)


def _with_past(plain: Plain, new: str, places: tuple[int, int], what: str) -> str:
    """Keys or values after those of the past, given out where they are asked for. places : of input and output"""
    past, present = plain.reads(places[0]), plain.output(places[1])
    if past:
        return plain.add("Concat", f"{what}_present", past, new, makes=present, axis=2)
    if present:
        plain.add("Identity", f"{what}_present", new, makes=present)
    return new


def _attention_of_heads(plain: Plain) -> None:
    """com.microsoft.MultiHeadAttention: projections are nodes before it."""
    if not (plain.reads(1) and plain.reads(2)) or len(plain.shape(0)) != 3 or len(plain.shape(1)) == 5:
        raise UnknownVariantError("packed queries, keys and values")
    _require_absent(plain, {8: "a buffer for past and present", 9: "beams"}, {3: "scores as an output"})
    (batch, n_query, hidden), n_head = plain.shape(0), plain.given["num_heads"]
    names = list(plain.inputs[:3])
    apart = len(plain.shape(1)) == 4
    if plain.reads(3) and apart:
        raise UnknownVariantError("a bias of heads that are apart")
    if plain.reads(3):
        sizes = [hidden, hidden, plain.shape(3)[0] - 2 * hidden]
        biases = plain.split(plain.inputs[3], "biases", sizes, 0)
        names = [plain.add("Add", f"{to}_bias", *pair) for to, *pair in zip("qkv", names, biases, strict=True)]
    q, k, v = (
        name if apart and to != "q" else plain.heads(name, to, batch, plain.shape(at)[1], n_head)
        for at, (name, to) in enumerate(zip(names, "qkv", strict=True))
    )
    k, v = _with_past(plain, k, (6, 1), "k"), _with_past(plain, v, (7, 2), "v")
    past = plain.shape(6)[2] if plain.reads(6) else 0
    n_key = plain.shape(1)[-2] + past
    causal = bool(plain.given.get("unidirectional"))
    if causal and n_key != n_query + past:
        raise UnknownVariantError("unidirectional across sequences")
    value = plain.given.get("mask_filter_value", MASKED)
    of = Heads(
        q=q,
        k=k,
        v=v,
        batch=batch,
        n_head=n_head,
        n_kv=n_head,
        n_query=n_query,
        n_key=n_key,
        scale=_scale_of(plain, hidden // n_head),
        past=past,
        masks=_key_mask(plain, 4, batch, n_query, n_key, value) + [one for one in [plain.reads(5)] if one],
        causal=causal,
    )
    _attend(plain, of, wide=True)


def _attention(plain: Plain) -> None:
    """ONNX's own, since opset 23."""
    _require_absent(plain, {6: "lengths of a cache"}, {3: "scores as an output"})
    wide = len(plain.shape(0)) == 3
    given = plain.given
    n_head, n_kv = (given["q_num_heads"], given["kv_num_heads"]) if wide else (plain.shape(0)[1], plain.shape(1)[1])
    batch, n_query = plain.shape(0)[0], plain.shape(0)[-2]
    q, k, v = (
        plain.heads(name, to, batch, plain.shape(at)[1], n) if wide else name
        for at, (name, to, n) in enumerate(zip(plain.inputs[:3], "qkv", (n_head, n_kv, n_kv), strict=True))
    )
    k, v = _with_past(plain, k, (4, 1), "k"), _with_past(plain, v, (5, 2), "v")
    past = plain.shape(4)[2] if plain.reads(4) else 0
    n_key, causal = plain.shape(1)[-2] + past, bool(given.get("is_causal"))
    if causal and past and n_key != n_query + past:
        raise UnknownVariantError("causal across sequences, with a past")
    masks = []
    if plain.reads(3):
        mask = plain.values[plain.inputs[3]]
        if mask.shape[-1] != n_key:
            raise UnknownVariantError(f"a mask of {mask.shape[-1]} of {n_key} keys")
        masks = [_value_outside(plain, mask.name, LOWEST, *mask.shape) if mask.dtype == "bool" else mask.name]
    of = Heads(
        q=q,
        k=k,
        v=v,
        batch=batch,
        n_head=n_head,
        n_kv=n_kv,
        n_query=n_query,
        n_key=n_key,
        scale=_scale_of(plain, plain.shape(0)[-1] // (n_head if wide else 1)),
        past=past,
        softcap=given.get("softcap", 0.0),
        masks=masks,
        causal=causal,
        zeroed=True,
    )
    _attend(plain, of, wide=wide)


def _matmul(plain: Plain) -> None:
    """com.microsoft.FusedMatMul: alpha times the product, sides perhaps transposed."""
    if plain.given.get("transBatchA") or plain.given.get("transBatchB"):
        raise UnknownVariantError("transposed batches")
    names = []
    for at, side in enumerate("AB"):
        name, rank = plain.inputs[at], len(plain.shape(at))
        if plain.given.get(f"trans{side}") and rank > 1:
            name = plain.add("Transpose", f"turned{side}", name, perm=[*range(rank - 2), rank - 1, rank - 2])
        names.append(name)
    alpha, last = plain.given.get("alpha", 1.0), plain.makes[0]
    y = plain.add("MatMul", "product", *names, makes=last if alpha == 1 else "")
    if alpha != 1:
        plain.add("Mul", "scaled", y, plain.constant(np.float32(alpha), "alpha"), makes=last)


ACTIVATIONS = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}
"""Attributes of those that may be fused, in the order in which a FusedConv says them."""


def _activated(plain: Plain, y: str, activation: str, given: Mapping[str, float]) -> None:
    """Add the activation after a product. given : attributes of the activation"""
    if activation not in ACTIVATIONS:
        raise UnknownVariantError(f"activation {activation}")
    plain.add(activation, "activation", y, makes=plain.makes[0], **given)


def _gemm(plain: Plain) -> None:
    """com.microsoft.FusedGemm: a Gemm and an activation."""
    own = {name: value for name, value in plain.given.items() if not name.startswith("activation")}
    y, activation = plain.add("Gemm", "product", *plain.inputs, **own), plain.given.get("activation", "")
    said = {name: plain.given.get(f"activation_{name}") for name in ACTIVATIONS.get(activation, ())}
    _activated(plain, y, activation, {name: value for name, value in said.items() if value is not None})


def _conv(plain: Plain) -> None:
    """com.microsoft.FusedConv: a Conv, perhaps something added, and an activation."""
    own = {name: value for name, value in plain.given.items() if not name.startswith("activation")}
    y = plain.add("Conv", "product", *plain.inputs[:3], **own)
    y = plain.add("Add", "sum", y, plain.inputs[3]) if plain.reads(3) else y
    activation, said = plain.given.get("activation", ""), plain.given.get("activation_params") or ()
    _activated(plain, y, activation, dict(zip(ACTIVATIONS.get(activation, ()), said, strict=False)))


FUSED: Mapping[str, Callable[[Plain], None]] = {
    "Attention": _attention,
    "com.microsoft.Attention": _attention_of_weights,
    "com.microsoft.FusedConv": _conv,
    "com.microsoft.FusedGemm": _gemm,
    "com.microsoft.FusedMatMul": _matmul,
    "com.microsoft.MultiHeadAttention": _attention_of_heads,
}
"""By operator, `domain.name` of those that are not ONNX's own."""
