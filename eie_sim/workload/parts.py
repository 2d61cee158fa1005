"""Weights that are kept in parts, put together: a pruned weight and its mask, the length and direction of weight_norm,
integers with scale and zero point, 1x1 convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError
from eie_sim.core.sparse import is_sparse
from eie_sim.workload.naming import PACKED, is_kernel, is_weights, kind

WEIGHT_NORM = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""Names of length and direction in torch: of the old way, and of parametrizations."""

SCALES = ("_scale", "_scales", ".scale", ".scales", "/scale")
ZERO_POINTS = ("_zero_point", "_zero_points", ".zero_point", ".zero_points", "_zp", "_zeros")
SCB_MAX = 127.0
"""bitsandbytes: a row's SCB is its largest magnitude, which int8 has as 127."""


class Parts(NamedTuple):
    """arrays : the whole in place of its parts; said : by name, how it came about; left : by name, why it did not."""

    arrays: dict[str, Any]
    said: dict[str, str]
    left: dict[str, str]


def put_together(given: dict[str, Any]) -> Parts:
    """The arrays, numpy or scipy.sparse by name, with the weights that were in parts whole, under the weights' name.

    Raises InputError for a mask that is not 0 and 1, and for parts of weight_norm that do not fit each other.
    """
    parts = Parts(dict(given), {}, {})
    _normalised(parts)
    _pruned_by_torch(parts)
    _masked(parts)
    _dequantised(parts)
    _pointwise(parts)
    return parts


def _put(parts: Parts, name: str, whole: Any, said: str, consumed: Iterable[str]) -> None:
    for each in consumed:
        del parts.arrays[each]
    parts.arrays[name] = whole
    parts.said[name] = f"{parts.said[name]}, {said}" if name in parts.said else said


def _normalised(parts: Parts) -> None:
    """W = g v / |v|, the norm over the axes in which g has one side (torch.nn.utils.weight_norm)."""
    for length_name, direction_name in WEIGHT_NORM:
        for name in [each for each in parts.arrays if each.endswith(length_name)]:
            stem = name.removesuffix(length_name)
            other = stem + direction_name
            if other not in parts.arrays or (stem and stem[-1] not in "._/"):
                continue
            g, v = (np.asarray(parts.arrays[each], np.float64) for each in (name, other))
            axes = tuple(axis for axis in range(v.ndim) if g.ndim != v.ndim or g.shape[axis] == 1)
            fits = g.size == 1 or (g.ndim == v.ndim and all(a in (1, b) for a, b in zip(g.shape, v.shape, strict=True)))
            if not fits:
                raise InputError(f"array {name}=shape {g.shape}: must be one length for each row of {other}, {v.shape}")
            with np.errstate(invalid="ignore", divide="ignore"):  # a direction of zeros is refused later, by name
                whole = v * (g / np.sqrt((v * v).sum(axis=axes, keepdims=True)))
            _put(parts, f"{stem}weight", whole.astype(_float_type(parts.arrays[other])), "weight_norm", (name, other))


def _pruned_by_torch(parts: Parts) -> None:
    """X_orig and X_mask of torch.nn.utils.prune are X."""
    for name in [each for each in parts.arrays if each.endswith("_orig")]:
        whole, mask = name.removesuffix("_orig"), f"{name.removesuffix('_orig')}_mask"
        if mask in parts.arrays and whole not in parts.arrays and _same_shape(parts, name, mask):
            product = _times_mask(parts.arrays[name], mask, parts.arrays[mask])
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
        if mask is not None and _same_shape(parts, name, mask):
            product = _times_mask(parts.arrays[name], mask, parts.arrays[mask])
            _put(parts, name, product, f"times {mask}", (name, mask))


def _same_shape(parts: Parts, first: str, second: str) -> bool:
    return tuple(parts.arrays[first].shape) == tuple(parts.arrays[second].shape)


def _times_mask(weights: Any, name: str, mask: Any) -> Any:
    values = mask.data if is_sparse(mask) else mask
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InputError(f"array {shown(name)}: must be 0 where a weight is pruned and 1 elsewhere, to be a mask")
    if is_sparse(weights) or is_sparse(mask):
        from scipy.sparse import csc_array

        return csc_array(weights).multiply(csc_array(mask))
    return np.where(mask != 0, weights, weights.dtype.type(0))


def _dequantised(parts: Parts) -> None:
    """(q - zero point) scale, for integers with a scale of rows, columns, groups of either, or all of the weights."""
    for name in [each for each, array in parts.arrays.items() if _is_integer_weights(each, array)]:
        bare = name.removesuffix(":0")
        stem = re.sub(r"[^._/]+$", "", bare)
        roots = (bare, stem[:-1]) if stem else (bare,)
        scale = next((root + end for root in roots for end in SCALES if root + end in parts.arrays), None)
        zero = next((root + end for root in roots for end in ZERO_POINTS if root + end in parts.arrays), None)
        row_max = next((each for each in (f"{bare}.SCB", f"{stem}SCB") if each in parts.arrays), None)
        if any(f"{bare}.{word}" in parts.arrays for word in ("absmax", "quant_map")):
            parts.left[name] = f"packed words, {kind(parts.arrays[name])}: unpack them to floats, (out, in), first"
            continue
        if scale is None and row_max is not None:
            scale = row_max
        if scale is None:
            if zero is not None:
                parts.left[name] = f"integer weights, {kind(parts.arrays[name])}, with a zero point and without a scale"
            continue
        q, used = parts.arrays[name], [each for each in (name, scale, zero) if each is not None]
        steps = _spread(parts.arrays[scale], q.shape, columns=is_kernel(name))
        offsets = 0.0 if zero is None else _spread(parts.arrays[zero], q.shape, columns=is_kernel(name))
        if steps is None or offsets is None:
            parts.left[name] = (
                f"integer weights, {kind(q)}, whose scale or zero point, {', '.join(used[1:])}, has no fit"
            )
            continue
        steps = steps / SCB_MAX if scale == row_max else steps
        whole = ((q.astype(np.float64) - offsets) * steps).astype(np.float32)
        _put(parts, name, whole, f"{q.dtype} times {scale}" + (f", less {zero}" if zero else ""), used)


def _is_integer_weights(name: str, array: Any) -> bool:
    return array.dtype.kind in "iu" and array.ndim == 2 and not is_sparse(array) and not PACKED.search(name)


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
        taps = array.shape[:-2] if is_kernel(name) else array.shape[2:]
        sides = array.shape[-2:] if is_kernel(name) else array.shape[:2]
        if set(taps) == {1} and sides[1] > 1:
            _put(parts, name, array.reshape(sides), "1x1 convolution", ())


def _float_type(array: Any) -> Any:
    return np.float64 if array.dtype == np.float64 else np.float32
