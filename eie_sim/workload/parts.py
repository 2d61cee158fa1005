"""Weights that are kept in parts, put together: a pruned weight and its mask, the length and direction of weight_norm,
integers with scale and zero point, 1x1 convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.sparse import is_sparse
from eie_sim.workload.naming import PACKED, SCALE, is_weights, kind, layout_of

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
    _normalised(parts)
    _dequantised(parts, unread, layout)
    _pruned_by_torch(parts)
    _masked(parts)
    _pointwise(parts)
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
            _put(parts, f"{stem}weight", whole.astype(_float_type(parts.arrays[other])), "weight_norm", (name, other))


def _pruned_by_torch(parts: Parts) -> None:
    """X_orig and X_mask of torch.nn.utils.prune are X, and so are an original and its mask as a parametrization."""
    for name in list(parts.arrays):
        if name.endswith("_orig"):
            whole = name.removesuffix("_orig")
            mask = f"{whole}_mask"
        elif name.endswith("parametrizations.weight.original"):
            whole = f"{name.removesuffix('parametrizations.weight.original')}weight"
            mask = f"{name.removesuffix('original')}0.mask"
        else:
            continue
        if mask in parts.arrays and whole not in parts.arrays:
            product = _times_mask(parts, name, mask)
            if product is not None:
                _put(parts, whole, product, f"{name.rpartition('.')[2]} times its mask", (name, mask))


def _masked(parts: Parts) -> None:
    """Weights with a mask of their shape beside them are their product."""
    weights = [each for each, array in parts.arrays.items() if is_weights(each) and array.ndim >= 2]
    for name in weights:
        bare = name.removesuffix(":0")
        stem = re.sub(r"[^._/]+$", "", bare)
        names = [f"{bare}_mask", f"{bare}.mask", f"{stem}mask", f"{stem[:-1]}_mask" if stem else "mask"]
        names += ["mask"] if len(weights) == 1 else []
        mask = next((each + end for each in names for end in ("", ":0") if each + end in parts.arrays), None)
        if mask is not None and parts.arrays[mask].shape == parts.arrays[name].shape:
            product = _times_mask(parts, name, mask)
            if product is not None:
                _put(parts, name, product, f"times {mask}", (name, mask))


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


def _dequantised(parts: Parts, unread: Iterable[str], layout: str | None) -> None:
    """(q - zero point) scale, for integers with a scale of rows, columns, groups of either, or all of the weights.

    Integers beside any other scale or zero point are left: they are not what is multiplied.
    """
    scales: dict[str, list[str]] = {}
    matrices: dict[str, list[str]] = {}
    for each in (*parts.arrays, *unread):
        if SCALE.search(each) and not OF_ACTIVATIONS.search(each):
            scales.setdefault(_module(each), []).append(each)
        elif each in parts.arrays and _is_integers(each, parts.arrays[each]):
            matrices.setdefault(_module(each), []).append(each)
    for module, names in matrices.items():
        for name in names:
            bare = name.removesuffix(":0")
            others = tuple(f"{other.removesuffix(':0')}_" for other in names if other != name)
            near = {each for each in scales.get(module, ()) if not (others and each.startswith(others))}
            if module == "":  # of the whole file, not of one layer
                near = {each for each in near if each.startswith(f"{bare}_")}
            near |= set(scales.get(f"{bare}.", ()))
            if near:
                _dequantise(parts, name, near, layout)


def _dequantise(parts: Parts, name: str, near: set[str], layout: str | None) -> None:
    q, bare, module = parts.arrays[name], name.removesuffix(":0"), _module(name)
    scale = next((bare + end for end in SCALES if bare + end in near), None)
    scale = scale or next((module + end for end in ("scales", "scale", "SCB") if module + end in near), None)
    zero = next((root + end for root in (bare, module) for end in ZERO_POINTS if root + end in near), None)
    used = [each for each in (scale, zero) if each is not None]
    columns = layout == "in-out" or (layout is None and layout_of(name) != "weight")
    steps = offsets = None
    if scale is not None and near == set(used) <= parts.arrays.keys() and q.dtype.itemsize <= 2 and not is_sparse(q):
        steps = _spread(parts.arrays[scale], q.shape, columns=columns)
        offsets = 0.0 if zero is None else _spread(parts.arrays[zero], q.shape, columns=columns)
        if scale == f"{module}scale" and parts.arrays[scale].size == 1:
            steps = None  # as well that of the layer's outputs
    if steps is None or offsets is None:
        said = ", ".join(shown(each) for each in sorted(near))
        parts.left[name] = f"integer weights, {kind(q)}: what {said} makes of them is not clear, give floats"
        return
    steps = steps / SCB_MAX if scale is not None and scale.endswith("SCB") else steps
    whole = ((q.astype(np.float64) - offsets) * steps).astype(np.float32)
    _put(parts, name, whole, f"{q.dtype} times {scale}" + (f", less {zero}" if zero else ""), [name, *used])


def _module(name: str) -> str:
    """What stands before the last dot or slash, with it."""
    return re.sub(r"[^./]+$", "", name.removesuffix(":0"))


def _is_integers(name: str, array: Any) -> bool:
    return array.dtype.kind in "iu" and array.ndim == 2 and not PACKED.search(name) and not SCALE.search(name)


def _spread(given: Any, shape: tuple[int, ...], *, columns: bool) -> Any:
    """Values of scale or zero point for every weight, or None where their shape says nothing of which belongs where.

    given : one value, one for each row (or column, where `columns` comes first), or one for each block of the weights
    """
    if is_sparse(given) or given.dtype.kind not in "fiu" or given.ndim > 2:
        return None
    values = given.astype(np.float64)
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


def _float_type(array: Any) -> Any:
    return np.float64 if array.dtype == np.float64 else np.float32
