"""Selection over several layers: each on its own, or by one threshold over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require, unknown
from eie_sim.prune.counts import fraction, keep_count, least_count, require_survivors
from eie_sim.prune.kinds import Grouped, Pattern, Quota
from eie_sim.prune.layout import Shape
from eie_sim.prune.normalise import Normaliser, normalised
from eie_sim.prune.order import Rows, top
from eie_sim.prune.pattern import element
from eie_sim.prune.result import PruneResult, Selection
from eie_sim.prune.score import as_shape, l1

__all__ = ["globally", "locally", "magnitude"]

Density = float | Fraction
ELEMENT = element()


def magnitude(w: ArrayLike, *, density: Density) -> PruneResult:
    """Keep the largest weights of a layer by magnitude.

    w : real array of any shape, finite, not empty
    density : fraction to keep, 0 to 1

    The order is (|w|, flat index), stable: among equal magnitudes the lower index is pruned first.
    Raises InputError for a density outside 0..1 and for NaN or infinite weights.
    """
    return ELEMENT.prune(l1(w), density)


def locally(
    scores: Mapping[str, ArrayLike],
    density: Density | Mapping[str, Density | None] | None = None,
    *,
    pattern: Pattern | Mapping[str, Pattern] = ELEMENT,
    floor: Density | Mapping[str, Density] = 0.0,
    within: Mapping[str, ArrayLike] | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> Selection:
    """Prune every layer on its own.

    scores : by layer, as the pattern takes them
    density : fraction to keep, 0 to 1, one for all or one for each; left out where the pattern fixes it
    pattern : one for all, or one for each
    floor : least density, one for all, or of the layers named; a layer with less asked for has the fewest groups (of
        a quota pattern: weights) that are not below it
    within, shapes : masks of an earlier step and shapes of weights, of the layers named; see `Grouped.prune`

    Raises InputError, naming the layer, for what the pattern does not take and for names that are no layers.
    """
    layers, warnings = {}, []
    for layer in _layers(scores, pattern, floor, within, shapes):
        with _named(layer.name):
            asked = _of_layer(density, layer.name, "density", scores)
            lifted = _lifted(layer, asked)
            if lifted is not asked:
                warnings.append(f"{layer.name}: density {float(asked):g} raised to the floor, {float(layer.floor):g}")
            layers[layer.name] = layer.pattern.prune(layer.scores, lifted, shape=layer.shape, within=layer.within)
    total = sum(layer.mask.size for layer in layers.values())
    overall = sum(Fraction(str(layer.asked)) * layer.total for layer in layers.values()) / total
    return Selection(layers=layers, asked=float(overall), warnings=(*warnings, *_warnings_of_empty(layers)))


def globally(
    scores: Mapping[str, ArrayLike],
    density: Density,
    *,
    pattern: Grouped | Mapping[str, Grouped] = ELEMENT,
    normalise: str | Normaliser = "none",
    floor: Density | Mapping[str, Density] = 0.0,
    within: Mapping[str, ArrayLike] | None = None,
    shapes: Mapping[str, Shape] | None = None,
) -> Selection:
    """Prune all layers by one threshold on the scores of their groups.

    scores, pattern, within, shapes : as for `locally`; the pattern must be one of groups
    density : fraction of the weights of all layers to keep, 0 to 1
    normalise : what makes scores of layers comparable: none, sum, mean, max, standarization, gaussian, lamp, or a
        function (see `normalise`)
    floor : least density, one for all, or of the layers named: so many of a layer's best groups are never pruned

    Weights are what is counted, not groups: in order of (normalised score, layer, index) groups are pruned until the
    number of weights gone is nearest to (1 - density) x weights, exactly; of two equally near, the even number of
    groups. In one layer that is what `locally` prunes. Groups that an earlier mask has pruned count with all their
    weights.

    Raises InputError, naming the layer, for what the pattern does not take, for a density below the floors, for quota
    patterns.
    """
    layers = [_ranked(layer, normalise) for layer in _layers(scores, pattern, floor, within, shapes)]
    _require_above_floors(density, layers)
    line = np.concatenate([layer.values for layer in layers])
    kept = top(line[None], line.size - _pruned_groups(line, layers, density))[0]
    results, start = {}, 0
    for layer in layers:
        count = int(np.count_nonzero(kept[start : start + layer.values.size]))
        start += layer.values.size
        results[layer.name] = layer.keep(count, float(density))
    return Selection(layers=results, asked=float(density), warnings=_warnings_of_empty(results))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Scored:
    """A layer's scores with all that was given for it."""

    name: str
    scores: NDArray[Any]
    pattern: Pattern
    floor: Density
    within: ArrayLike | None
    shape: Shape


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ranked:
    """A layer whose groups are ready for one threshold.

    groups : scores, -inf for groups gone before
    values : the same normalised, in an order of their own; inf for those that the floor protects
    size : weights in a group
    """

    name: str
    pattern: Grouped
    within: ArrayLike | None
    shape: Shape
    groups: Rows
    values: Rows
    floor: Fraction
    size: int

    def keep(self, count: int, asked: float) -> PruneResult:
        """The layer with its `count` best groups."""
        mask = self.pattern.expand(top(self.groups[None], count), self.shape, within=self.within)
        return PruneResult(mask=mask, asked=asked, kept=int(np.count_nonzero(mask)), total=mask.size)


def _layers(
    scores: Mapping[str, ArrayLike],
    pattern: Pattern | Mapping[str, Pattern] | Mapping[str, Grouped],
    floor: Density | Mapping[str, Density],
    within: Mapping[str, ArrayLike] | None,
    shapes: Mapping[str, Shape] | None,
) -> Iterator[_Scored]:
    require(
        isinstance(scores, Mapping) and len(scores) > 0, "scores", type(scores).__name__, "must name a layer or more"
    )
    for name, given in scores.items():
        with _named(name):
            array = as_array("scores", given)
            shape = _of_layer({} if shapes is None else shapes, name, "shapes", scores, None)
            chosen = _of_layer(pattern, name, "pattern", scores)
            require(isinstance(chosen, Pattern), "pattern", type(chosen).__name__, "must be one, as pattern.element()")
            yield _Scored(
                name=name,
                scores=array,
                pattern=chosen,
                floor=_of_layer(floor, name, "floor", scores, 0.0),
                within=_of_layer({} if within is None else within, name, "within", scores, None),
                shape=array.shape if shape is None else as_shape("shapes", shape),
            )


_REQUIRED: Any = object()


def _of_layer(value: Any, name: str, field: str, layers: Mapping[str, Any], default: Any = _REQUIRED) -> Any:
    """The value for a layer: its own where there is one for each, else the one for all."""
    if not isinstance(value, Mapping):
        return value
    for known in value:
        if known not in layers:
            raise unknown(field, known, layers)
    require(name in value or default is not _REQUIRED, field, list(value), "must have one for every layer")
    return value.get(name, default)


@contextmanager
def _named(layer: str) -> Iterator[None]:
    """Errors inside begin with the layer's name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{layer}: {error}") from None


def _warnings_of_empty(layers: Mapping[str, PruneResult]) -> tuple[str, ...]:
    gone = (name for name, layer in layers.items() if layer.kept == 0)
    return tuple(f"{name}: all {layers[name].total} weights are pruned, nothing of the layer is left" for name in gone)


def _lifted(layer: _Scored, density: Density | None) -> Density | None:
    """The density, or the least that is not below the layer's floor."""
    floor = fraction("floor", layer.floor)
    if isinstance(layer.pattern, Quota) and layer.pattern.fixed is not None:
        most = layer.pattern.fixed
        require(floor <= most, "floor", layer.floor, f"must not be above {most}, all that {layer.pattern.name} keeps")
        return density
    grain = layer.pattern.grain(layer.shape)
    least = least_count(floor, grain)
    if density is None or least <= keep_count(density, grain):
        return density
    return Fraction(least, grain)


def _ranked(layer: _Scored, normalise: str | Normaliser) -> _Ranked:
    with _named(layer.name):
        pattern = layer.pattern
        if not isinstance(pattern, Grouped):
            raise InputError(f"pattern={pattern.name}: has quotas in every layer; prune it locally")
        groups = pattern.rank(layer.scores, shape=layer.shape, within=layer.within).reshape(-1)
        values = _comparable(groups, normalise)
        floor = least_count(layer.floor, groups.size)
        if floor:
            require_survivors("floor", layer.floor, floor, int(np.count_nonzero(groups > -np.inf)), groups.size)
            values = np.where(top(values[None], floor)[0], values.dtype.type(np.inf), values)
        return _Ranked(
            name=layer.name,
            pattern=pattern,
            within=layer.within,
            shape=layer.shape,
            groups=groups,
            values=values,
            floor=fraction("floor", layer.floor),
            size=math.prod(layer.shape) // groups.size,
        )


def _comparable(groups: Rows, normalise: str | Normaliser) -> Rows:
    """Normalised scores of the groups that are left, -inf for the others."""
    alive = groups > -np.inf
    if alive.all():
        return normalised(groups, normalise)
    if not alive.any():
        return groups
    left = normalised(groups[alive], normalise)
    values = np.full(groups.size, -np.inf, dtype=left.dtype)
    values[alive] = left
    return values


# gone[i] is the weights pruned with the i + 1 lowest groups of the line. They grow with i, so the count nearest to the
# target is the last whose weights do not exceed it or the one after; of two equally near, the even one. Groups pruned
# before (-inf) go first, and groups under a floor (inf) never go.
def _pruned_groups(line: Rows, layers: Sequence[_Ranked], density: Density) -> int:
    """Return how many groups go, of all layers in one line: until the weights gone are nearest to what was asked."""
    total = sum(layer.size * layer.groups.size for layer in layers)
    target = (1 - fraction("density", density)) * total
    sizes = [layer.size for layer in layers]
    if len(set(sizes)) == 1:
        count = round(target / sizes[0])
    else:
        size_of_group = np.repeat(sizes, [layer.groups.size for layer in layers])
        gone = np.cumsum(size_of_group[np.argsort(line, kind="stable")])
        count = int(np.searchsorted(gone, math.floor(target), side="right"))
        if count < line.size:
            before, after = target - int(gone[count - 1] if count else 0), int(gone[count]) - target
            count += after < before or (after == before and count % 2 == 1)
    alive = int(np.count_nonzero(line > -np.inf))
    require_survivors("density", density, line.size - count, alive, line.size)
    return min(count, int(np.count_nonzero(line < np.inf)))


def _require_above_floors(density: Density, layers: Sequence[_Ranked]) -> None:
    weights = [layer.size * layer.groups.size for layer in layers]
    least = sum(layer.floor * weight for layer, weight in zip(layers, weights, strict=True)) / sum(weights)
    rule = f"must not be below {float(least):.6g}, what the floors of the layers keep"
    require(fraction("density", density) >= least, "density", float(density), rule)
