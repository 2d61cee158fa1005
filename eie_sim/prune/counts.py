"""Counts of weights: exact integers from fractions, and totals shared out in whole numbers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import is_number, require, require_int, require_one_of

Counts = NDArray[np.int64]

RULES: dict[str, Callable[[Fraction], int]] = {
    "torch": round,  # half to even, as torch.nn.utils.prune does for a float amount
    "wanda": math.floor,  # Wanda (Sun et al. 2024): of the columns, row by row
    "sparsegpt": lambda exact: math.floor(exact) + 1,  # SparseGPT (Frantar, Alistarh 2023): of a block; see prune_count
}
"""From the exact number of weights to prune to a whole one, by system."""


def fraction(field: str, value: object) -> Fraction:
    """A number in 0..1 as the decimal a person wrote: 0.1 is one tenth, not the nearest binary fraction.

    value : Python or numpy number, or a Fraction, which is taken as it is
    Raises InputError for anything else, NaN too.
    """
    require(is_number(value), field, repr(value), "must be a number in 0..1")
    require(0 <= value <= 1, field, value, "must be in 0..1")  # type: ignore[operator]  # a number, by the line above
    return Fraction(str(value))


def fractions(field: str, values: object) -> list[float]:
    """Densities from a list or array of numbers in 0..1, see `fraction`. Raises InputError for anything else."""
    ok = isinstance(values, (Sequence, np.ndarray)) and getattr(values, "ndim", 1) > 0
    require(ok, field, type(values).__name__, "must be a list of numbers in 0..1")
    return [float(fraction(field, value)) for value in values]  # type: ignore[attr-defined]  # by the line above


def prune_count(amount: float | Fraction, total: int, *, rule: str = "torch") -> int:
    """Weights pruned of `total`.

    amount : an integer (not a bool) is a count, as it is; any other number is a fraction, 0 to 1
    rule : torch rounds amount x total half to even; wanda rounds down, row by row; sparsegpt rounds down and adds one,
        block by block, because it prunes all scores up to and including the one at that place

    Exact on the decimal value of `amount`. Raises InputError for an amount below 0, a count above `total`, a fraction
    above 1.
    """
    require_int("total", total, 0)
    require_one_of("rule", rule, tuple(RULES))
    given: object = amount
    if isinstance(given, numbers.Integral):
        require_int("amount", given, 0, total)
        return int(given)
    return min(total, RULES[rule](fraction("amount", amount) * total))


def keep_count(density: float | Fraction, total: int, *, rule: str = "torch") -> int:
    """Weights kept of `total`: total minus the count pruned at the amount 1 - density, exact (see prune_count).

    `density` is a fraction, 0 to 1, whatever its type. Raises InputError for a density outside 0..1.
    """
    return total - prune_count(1 - fraction("density", density), total, rule=rule)


def nearest_density(density: float | Fraction, total: int, *, floor: float = 0.0) -> float | Fraction:
    """The density at which `keep_count` keeps density x total, rounded half to even: another one at odd halves.

    The same one where fewer than a share of `floor` would be kept.
    """
    count = round(fraction("density", density) * total)
    same = keep_count(density, total) == count or count < fraction("floor", floor) * total
    return density if same else Fraction(count, total)


def least_count(floor: float | Fraction, total: int) -> int:
    """The fewest of `total` whose share is not below `floor`. Raises InputError for a floor outside 0..1."""
    return math.ceil(fraction("floor", floor) * total)


def require_survivors(field: str, density: object, kept: int, alive: int, total: int) -> None:
    """Raise InputError where more should be kept than an earlier mask has left."""
    said = float(density) if isinstance(density, Fraction) else density
    rule = f"must not be above {alive / total:.6g}, what the earlier mask keeps"
    require(kept <= alive, field, said, rule)


def share(total: Counts, weight: Counts, capacity: Counts) -> tuple[Counts, Counts]:
    """Share each total out in proportion to weight, rounded down, and say how many are left over.

    total : int64[n], not above the sum of its capacities
    weight : int64[m], above 0
    capacity : int64[n, m], the most each share may be

    A share that would reach its capacity is its capacity, and the others share the rest. Returns the shares,
    int64[n, m], and what is left over, int64[n], fewer than there are shares below their capacity.
    """
    parts = np.zeros_like(capacity)
    unsettled = capacity > 0
    left = total.copy()
    while True:
        ideal = left[:, None] * weight // np.maximum((weight * unsettled).sum(axis=1), 1)[:, None]
        full = unsettled & (ideal >= capacity)
        if not full.any():
            parts[unsettled] = ideal[unsettled]
            return parts, total - parts.sum(axis=1)
        parts[full] = capacity[full]
        left -= (capacity * full).sum(axis=1)
        unsettled &= ~full
