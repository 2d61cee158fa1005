"""The two kinds of pattern: groups kept or dropped whole, and quotas of single weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from eie_sim.core.errors import require, require_one_of
from eie_sim.prune.counts import fraction, keep_count, require_survivors
from eie_sim.prune.layout import REDUCTIONS, Layout, Shape, as_mask
from eie_sim.prune.order import CountOfRow, Mask, Rows, top
from eie_sim.prune.result import PruneResult
from eie_sim.prune.score import as_scores, as_shape


@dataclass(frozen=True, slots=True)
class Grouped:
    """Groups of weights, kept or dropped whole.

    layout : from the weights' shape to the groups
    reduce : from the scores of members to the group's: sum, mean, max, prod, first, last or l2 (see REDUCTIONS)
    """

    name: str
    layout: Callable[[Shape], Layout] = field(repr=False, compare=False)
    reduce: str = "sum"

    def __post_init__(self) -> None:
        require_one_of("reduce", self.reduce, tuple(REDUCTIONS))

    def prune(
        self,
        scores: ArrayLike,
        density: float | Fraction | None = None,
        *,
        shape: Shape | None = None,
        within: ArrayLike | None = None,
    ) -> PruneResult:
        """Keep the best groups, so many that round-half-even((1 - density) x groups) go.

        scores : real >= 0, of the weights' shape; or one for each group, and then `shape` says what the weights' is
        density : fraction of groups to keep, 0 to 1
        within : bool mask of an earlier step, of the weights' shape. Only survivors stay, so that masks are nested;
            density is still a fraction of all groups. A group survives with any of its weights; pruned ones score 0.

        Raises InputError for anything else, and for a density above that of the survivors.
        """
        groups = self.rank(scores, shape=shape, within=within)
        shape = np.shape(scores) if shape is None else tuple(map(int, shape))
        kept = keep_count(_required(density), groups.size)
        alive = groups.size if within is None else int(np.count_nonzero(groups > -np.inf))
        require_survivors("density", density, kept, alive, groups.size)
        mask = self.expand(top(groups.reshape(1, -1), kept), shape, within=within)
        return _result_of(mask, density)

    def rank(self, scores: ArrayLike, *, shape: Shape | None = None, within: ArrayLike | None = None) -> Rows:
        """Scores of the groups, in the shape of the groups; -inf for those that no longer survive in `within`."""
        values = as_scores("scores", scores)
        shape = values.shape if shape is None else as_shape("shape", shape)
        layout = self.layout(shape)
        alive = None if within is None else as_mask("within", within, shape)
        if values.shape == shape and layout.members:
            if alive is not None:
                values = np.where(alive, values, values.dtype.type(0))
            with np.errstate(over="ignore"):  # refused just below
                values = REDUCTIONS[self.reduce](values.reshape(layout.view), layout.members)
            as_scores(f"{self.reduce} of scores", values)
        rule = f"must be the weights' shape {shape}, or {layout.outer}, one for each group of {self.name}"
        require(values.shape == layout.outer, "scores", f"shape {values.shape}", rule)
        if alive is None:
            return values
        survives = alive.reshape(layout.view).any(axis=layout.members) if layout.members else alive
        return np.where(survives, values, values.dtype.type(-np.inf))

    def expand(self, groups: Mask, shape: Shape, *, within: ArrayLike | None = None) -> Mask:
        """The mask of weights, of a shape, for a mask of groups, of as many elements as there are groups."""
        layout = self.layout(shape)
        mask = layout.mask_of_groups(groups.reshape(layout.outer))
        return mask if within is None else mask & np.asarray(within)

    def grain(self, shape: Shape) -> int:
        """The number of groups, which densities are made whole on."""
        return math.prod(self.layout(shape).outer)


@dataclass(frozen=True, slots=True)
class Quota:
    """So many weights in every segment.

    layout : from the weights' shape to the segments
    quota : from (density, shape, rows of scores, places of each row that can be chosen) to the weights kept in each row
    grain : from the weights' shape to the number that densities are made whole on
    fixed : the density, where the pattern has but one
    """

    name: str
    layout: Callable[[Shape], Layout] = field(repr=False, compare=False)
    quota: Callable[[Fraction, Shape, Rows, CountOfRow], CountOfRow] = field(repr=False, compare=False)
    grain: Callable[[Shape], int] = field(repr=False, compare=False)
    fixed: Fraction | None = None

    def prune(
        self,
        scores: ArrayLike,
        density: float | Fraction | None = None,
        *,
        shape: Shape | None = None,
        within: ArrayLike | None = None,
    ) -> PruneResult:
        """Keep the best weights of every segment.

        scores : real >= 0, of the weights' shape; `shape`, when given, must be that too
        density : fraction of weights to keep, 0 to 1; left out where the pattern fixes it
        within : bool mask of an earlier step, of the weights' shape; only survivors stay, so that masks are nested

        Raises InputError for anything else.
        """
        values = as_scores("scores", scores)
        wanted = values.shape if shape is None else as_shape("shape", shape)
        require(values.shape == wanted, "scores", f"shape {values.shape}", f"must be {wanted}, one for each weight")
        density = self._density(density)
        layout = self.layout(values.shape)
        if within is not None:
            alive = as_mask("within", within, values.shape)
            values = np.where(alive, values, values.dtype.type(-np.inf))
        rows = layout.rows(values)
        full = within is None and layout.padded == values.shape
        capacity = layout.group_size if full else np.count_nonzero(rows > -np.inf, axis=1)
        counts = self.quota(fraction("density", density), values.shape, rows, capacity)
        return _result_of(layout.mask_of_rows(top(rows, counts), values.shape), density)

    def _density(self, density: float | Fraction | None) -> float | Fraction:
        if self.fixed is None:
            return _required(density)
        ok = density is None or float(fraction("density", density)) == float(self.fixed)
        require(ok, "density", density, f"must be left out, {self.name} has {self.fixed}")
        return self.fixed


Pattern = Grouped | Quota


def _result_of(mask: Mask, density: float | Fraction | None) -> PruneResult:
    """A mask with its counts."""
    return PruneResult(mask=mask, asked=float(_required(density)), kept=int(np.count_nonzero(mask)), total=mask.size)


def _required(density: float | Fraction | None) -> float | Fraction:
    require(density is not None, "density", density, "must be a number in 0..1")
    return density  # type: ignore[return-value]  # given, by the line above
