"""Weights that are kept in parts, put together: a pruned weight and its mask, the length and direction of weight_norm,
integers with scale and zero point, 1x1 convolutions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.sparse import is_sparse
from eie_sim.network.naming import MASK, PACKED, SCALING, is_weights, kind, layout_of

WEIGHT_NORM = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""Names of length and direction in torch: of the old way, and of parametrizations."""

SCALES = ("_scale", "_scales", ".scale", ".scales", ".SCB", "/scale")
ZERO_POINTS = (
    "_zero_point",
    "_zero_points",
    ".zero_point",
    "_zp",
    "_zeros",
    "zero_point",
    "zero_points",
    "zeros",
    "zero",
)
OF_ACTIVATIONS = re.compile(r"(^|[._/])(in|input|out|output|act|activation|[qkv])_[a-z_]*$", re.IGNORECASE)
SCB_MAX = 127.0
"""bitsandbytes: a row's SCB is its largest magnitude, which int8 has as 127."""


MASKING = ("w", "pruning", "pruned", "prune", "sparsity", "fake")
"""Words of names of masks that say of no weights."""


class Parts(NamedTuple):
    """arrays : the whole in place of its parts; said : by name, how it came about; left : by name, why it did not;
    maps : dimensions of the maps that a convolution reads with channels second
    """

    arrays: dict[str, Any]
    said: dict[str, str]
    left: dict[str, str]
    maps: dict[str, int]


def put_together(given: dict[str, Any], unread: Iterable[str] = (), *, layout: str | None = None) -> Parts:
    """The arrays, numpy or scipy.sparse by name, with the weights that were in parts whole, under the weights' name.

    unread : names of arrays that are there and cannot be read; layout : as the user says it, "in-out" or "out-in"
    """
    parts = Parts(dict(given), {}, {}, {})
    unread = set(unread)
    _pointwise(parts)
    _normalised(parts)
    _dequantised(parts, unread, layout)
    _pruned_by_torch(parts)
    _masked(parts, unread)
    _further_parametrised(parts, unread)
    return parts


def _put(parts: Parts, name: str, whole: Any, said: str, consumed: Iterable[str]) -> None:
    for each in consumed:
        del parts.arrays[each]
    parts.arrays[name] = whole
    parts.said[name] = f"{parts.said[name]}, {said}" if name in parts.said else said


def _is_plain(array: Any) -> bool:
    return not is_sparse(array) and array.dtype.kind in "fiub"


def _normalised(parts: Parts) -> None:
    """W = g v / |v|, the norm over the axes in which g has one side (torch.nn.utils.weight_norm)."""
    for length_name, direction_name in WEIGHT_NORM:
        for name in [each for each in parts.arrays if each.endswith(length_name)]:
            stem = name.removesuffix(length_name)
            other = stem + direction_name
            if other not in parts.arrays or (stem and stem[-1] not in "._/"):
                continue
            g, v = parts.arrays[name], parts.arrays[other]
            same = g.ndim == v.ndim and all(a in (1, b) for a, b in zip(g.shape, v.shape, strict=True))
            if not (_is_plain(g) and _is_plain(v) and (g.size == 1 or same)):
                reason = f"part of weight_norm, whose parts {shown(name)} and {shown(other)} do not fit each other"
                parts.left.update({name: reason, other: reason})
                continue
            g, v = g.astype(np.float64), v.astype(np.float64)
            axes = tuple(axis for axis in range(v.ndim) if g.ndim != v.ndim or g.shape[axis] == 1)
            with np.errstate(invalid="ignore", divide="ignore"):  # a direction of zeros is refused later, by name
                whole = v * (g / np.sqrt((v * v).sum(axis=axes, keepdims=True)))
            whole = whole if parts.arrays[other].dtype == np.float64 else whole.astype(np.float32)
            _put(parts, f"{stem}weight", whole, "weight_norm", (name, other))


def _pruned_by_torch(parts: Parts) -> None:
    """X_orig and X_mask of torch.nn.utils.prune are X, and so are an original and its mask as a parametrization."""
    for name in list(parts.arrays):
        parametrised = re.fullmatch(r"(.*)parametrizations\.(weight|bias)\.original", name)
        if name.endswith("_orig"):
            whole = name.removesuffix("_orig")
            mask = f"{whole}_mask"
        elif parametrised:
            whole = parametrised[1] + parametrised[2]
            mask = f"{name.removesuffix('original')}0.mask"
        else:
            continue
        if name not in parts.left and mask in parts.arrays and whole not in parts.arrays:
            product = _times_mask(parts, name, mask)
            if product is not None:
                _put(parts, whole, product, f"{name.rpartition('.')[2]} times its mask", (name, mask))


def _masked(parts: Parts, unread: set[str]) -> None:
    """Weights with a mask of their shape beside them are their product; with another mask of theirs they are left."""
    matrices = [each for each, array in parts.arrays.items() if array.ndim >= 2 and not MASK.search(each)]
    several = sum(map(is_weights, matrices)) > 1
    shared = Counter(map(_masked_words, matrices))
    masks: dict[tuple[str, ...], list[str]] = {}
    for each in (*parts.arrays, *unread):
        if MASK.search(each):
            masks.setdefault(_masked_words(each), []).append(each)
    if several:
        masks.pop((), None)  # nothing says whose it is
    for name in [each for each in matrices if each not in parts.left]:
        words = _masked_words(name)
        there = masks.get(words) or (masks.get((), []) if is_weights(name) else [])
        arrays, shape = parts.arrays, parts.arrays[name].shape
        fits = [each for each in there if each in arrays and arrays[each].shape == shape]
        lost = [each for each in there if each not in arrays or (each not in fits and arrays[each].ndim <= len(shape))]
        if lost or (there and shared[words] > 1):
            parts.left[name] = f"its mask, {shown((lost or there)[0])}, cannot be applied"
        elif fits:
            product = _times_mask(parts, name, fits[0])
            if product is not None:
                _put(parts, name, product, f"times {fits[0]}", (name, fits[0]))


def _masked_words(name: str) -> tuple[str, ...]:
    """The words of a name that say which weights a mask is of: what both have in common."""
    bare = re.sub(r"masks?|weights?|kernel|_orig", " ", name.lower().removesuffix(":0"))
    return tuple(word for word in re.findall(r"[a-z]+|\d+", bare) if word not in MASKING)


def _further_parametrised(parts: Parts, unread: set[str]) -> None:
    """Weights of which parametrizations are left are not whole."""
    for each in (*list(parts.arrays), *unread):
        found = re.fullmatch(r"(.*)parametrizations\.(weight|bias)\..+", each)
        if found and found[1] + found[2] in parts.arrays:
            parts.left[f"{found[1]}weight"] = f"its parametrization {shown(each)} is not applied"


def _times_mask(parts: Parts, name: str, mask_name: str) -> Any:
    """The product, or None where the mask is none: the weights are left then, for nothing says what is pruned."""
    weights, mask = parts.arrays[name], parts.arrays[mask_name]
    values = mask.data if is_sparse(mask) else mask
    if weights.shape != mask.shape or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        parts.left[name] = f"its mask, {shown(mask_name)}, {kind(mask)}, does not say what is pruned by 0 and 1"
        return None
    if is_sparse(weights) or is_sparse(mask):
        from scipy.sparse import csc_array

        return csc_array(weights).multiply(csc_array(mask))
    return np.where(mask != 0, weights, weights.dtype.type(0))


def _dequantised(parts: Parts, unread: set[str], layout: str | None) -> None:
    """(q - zero point) scale, for integers with a scale of rows, columns, groups of either, or all of the weights.

    Integers beside any other scale or the like are left: they are not what is multiplied.
    """
    matrices: dict[str, list[str]] = {}
    beside: dict[str, set[str]] = {}
    for each in (*parts.arrays, *unread):
        if each in parts.arrays and _is_integers(each, parts.arrays[each]):
            matrices.setdefault(_module(each), []).append(each)
        elif SCALING.search(each) and not _is_of_activations(parts, each):
            module = _module(each)
            beside.setdefault(module, set()).add(each)
            while module:  # those of its children scale a module too
                module = _module(module[:-1])
                beside.setdefault(module, set()).add(each)
    alone = sum(map(len, matrices.values())) == 1
    for module, names in matrices.items():
        for name in names:
            _dequantise(parts, name, beside, layout, alone=module != "" and len(names) == 1)
        rest = beside.get("" if alone else module, set())
        for name in names if rest else ():
            if name not in parts.said and name not in parts.left:
                _leave(parts, name, rest)


def _dequantise(parts: Parts, name: str, beside: dict[str, set[str]], layout: str | None, *, alone: bool) -> None:
    """One matrix. beside : what may scale something, by module; alone : whether it is the only one of its module."""
    q, bare, module = parts.arrays[name], name.removesuffix(":0"), _module(name)
    ends = (*SCALES, *ZERO_POINTS, "_shape", "_g_idx", "_offset", "_scale_inv", "_scale_2")
    of_module = beside.get(module, set())
    near = set(of_module) if alone else {f"{bare}{end}" for end in ends} & of_module
    near |= beside.get(f"{bare}.", set())
    shape = f"{bare}_shape"
    if shape in near and shape in parts.arrays and tuple(parts.arrays[shape].ravel()) == q.shape:
        near.discard(shape)
    scale = next((bare + end for end in SCALES if bare + end in near), None)
    scale = scale or next((module + end for end in ("scales", "scale", "SCB") if module and module + end in near), None)
    zero = next((root + end for root in (bare, module) if root for end in ZERO_POINTS if root + end in near), None)
    if scale is None:
        if near:
            _leave(parts, name, near)
        return
    used = [each for each in (scale, zero) if each is not None]
    columns = layout == "in-out" or (layout is None and layout_of(name) != "weight")
    steps = offsets = None
    if near == set(used) <= parts.arrays.keys() and q.dtype.itemsize <= 2 and not is_sparse(q):
        given = parts.arrays[scale]
        open_side = given.ndim == 1 and given.size > 1 and q.shape[0] == q.shape[1] and layout_of(name) != "weight"
        if given.dtype.kind == "f" and not (open_side and layout is None) and f"{module}biases" not in parts.arrays:
            steps = _spread(given, q.shape, columns=columns)
        offsets = 0.0 if zero is None else _spread(parts.arrays[zero], q.shape, columns=columns)
        if scale == f"{module}scale" and given.size == 1:
            steps = None  # as well that of the layer's outputs
    if steps is None or offsets is None:
        _leave(parts, name, near)
        return
    steps = steps / SCB_MAX if scale.endswith("SCB") else steps
    whole = ((q.astype(np.float64) - offsets) * steps).astype(np.float32)
    _put(parts, name, whole, f"{q.dtype} times {scale}" + (f", less {zero}" if zero else ""), [name, *used])
    for place in (module, f"{bare}.", ""):
        beside.get(place, set()).difference_update(used)


def _leave(parts: Parts, name: str, near: Iterable[str]) -> None:
    said = ", ".join(shown(each) for each in sorted(near)[:4])
    reason = f"integer weights, {kind(parts.arrays[name])}: what {said} makes of them is not clear, give floats"
    parts.left[name] = reason


def _is_of_activations(parts: Parts, name: str) -> bool:
    """True for one scale of what goes into a layer or comes out of it."""
    array = parts.arrays.get(name)
    return OF_ACTIVATIONS.search(name) is not None and array is not None and array.size == 1


def _module(name: str) -> str:
    """Return the part of a name up to its last dot or slash, that included."""
    return re.sub(r"[^./]+$", "", name.removesuffix(":0"))


def _is_integers(name: str, array: Any) -> bool:
    named = PACKED.search(name) or SCALING.search(name) or MASK.search(name)
    return array.dtype.kind in "iu" and array.ndim == 2 and not named


def _spread(given: Any, shape: tuple[int, ...], *, columns: bool) -> Any:
    """Values of scale or zero point for every weight, or None where their shape says nothing of which belongs where.

    given : one value, one for each row (or column, where `columns` comes first), or one for each block of the weights
    """
    if is_sparse(given) or given.dtype.kind not in "fiu" or (given.ndim > 2 and given.size != max(given.shape)):
        return None
    values = given.astype(np.float64)
    values = values.ravel() if values.ndim > 2 else values
    if values.size == 1:
        return values.reshape(1, 1)
    if values.ndim == 1:
        sides = (values[:, None], values[None, :])
        fits = [side for side, n in zip(sides, shape, strict=True) if len(values) == n]
        return None if not fits else fits[-1 if columns else 0]
    if any(part == 0 or whole % part for whole, part in zip(shape, values.shape, strict=True)):
        return None
    return values.repeat(shape[0] // values.shape[0], axis=0).repeat(shape[1] // values.shape[1], axis=1)


def _pointwise(parts: Parts) -> None:
    """A 1x1 convolution multiplies the channels of every position by one matrix."""
    for name, array in list(parts.arrays.items()):
        if is_sparse(array) or not is_weights(name) or array.ndim not in (3, 4) or array.dtype.kind not in "fiub":
            continue
        if array.ndim == 3 and "conv" not in name.lower():
            continue
        kernel = layout_of(name) == "kernel"
        taps = array.shape[:-2] if kernel else array.shape[2:]
        sides = array.shape[-2:] if kernel else array.shape[:2]
        if set(taps) == {1} and sides[1] > 1:
            _put(parts, name, array.reshape(sides), "1x1 convolution of one group", ())
            parts.maps[name] = 0 if kernel else array.ndim  # Keras and Flax have channels last
