"""Hidden neurons of a chain: a neuron that goes takes its row, and its column in the next layer, along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.prune import PruneResult, Selection, keep_count
from eie_sim.prune.layout import Shape

Masks = dict[str, NDArray[np.bool_]]


def select_neurons(
    select: Callable[..., Selection],
    scores: Mapping[str, NDArray[Any]],
    density: float,
    *,
    shapes: Mapping[str, Shape],
    within: Masks | None,
    **given: Any,
) -> Selection:
    """Keep so many of the best neurons of all layers but the last that the weights left are at most `density` of all.

    select : `locally` (the same fraction of every layer's neurons) or `globally` (one threshold over all neurons)
    scores : by layer, of the weights' shapes or one for each neuron
    shapes : (n_out, n_in) by layer, in the order of the chain; within : masks of an earlier step
    given : floor and pattern, for `select`

    Raises InputError as `select`.
    """
    names = list(shapes)
    hidden = {name: _scores_of_survivors(scores[name], within, name) for name in names[:-1]}
    parts = sum(shapes[name][0] for name in hidden)

    def rows_at(part: int) -> Selection:
        return select(hidden, part / parts, shapes={name: shapes[name] for name in hidden}, **given)

    most = keep_count(density, sum(n_out * n_in for n_out, n_in in shapes.values()))
    rows = rows_at(most_parts(parts, lambda part: with_columns(rows_at(part).masks, shapes), most))
    masks = with_columns(rows.masks, shapes)
    layers = {
        name: PruneResult(mask=mask, asked=density, kept=int(np.count_nonzero(mask)), total=mask.size)
        for name, mask in masks.items()
    }
    return Selection(layers=layers, asked=density, warnings=rows.warnings)


def _scores_of_survivors(scores: NDArray[Any], within: Masks | None, name: str) -> NDArray[Any]:
    """Scores, 0 for neurons that went before, so that they go first again."""
    if within is None:
        return scores
    left = np.asarray(within[name].any(axis=1))
    return np.asarray(scores * (left[:, None] if scores.ndim == 2 else left))


def most_parts(parts: int, masks_at: Callable[[int], Masks], most: int) -> int:
    """The most of `parts` parts of the neurons whose weights are not more than `most`; they grow with the neurons."""
    low, high = 0, parts
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if n_kept(masks_at(middle)) <= most else (low, middle - 1)
    return low


def n_kept(masks: Masks) -> int:
    """Weights that stay."""
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def with_columns(rows: Masks, shapes: Mapping[str, Shape]) -> Masks:
    """Masks of all layers: rows of pruned neurons and the columns that read them are False."""
    masks = {name: rows[name].copy() if name in rows else np.ones(shape, np.bool_) for name, shape in shapes.items()}
    for name, reader in pairwise(shapes):
        masks[reader] &= np.asarray(masks[name].any(axis=1))
    return masks
