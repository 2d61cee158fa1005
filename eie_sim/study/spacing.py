"""Numbers from a first to a last one, evenly or by one ratio, exact until they are rounded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

DIGITS = 50
"""Of values whose ratio is no fraction; a million products of them leave far more right than a float holds."""

SEARCHED = 1000
"""Counts tried below and above the one that was asked for."""

Ratio = tuple[int, int]
"""A number as numerator and denominator, not always in lowest terms."""


class Progression(NamedTuple):
    """What an ellipsis stands for: `n` more values after `start`, by a difference or by a ratio."""

    start: Fraction
    step: Fraction
    n: int
    by_ratio: bool

    def values(self) -> Iterator[Ratio]:
        """The `n` values after the start."""
        if self.by_ratio:
            return (value.as_integer_ratio() for value in _powers(self.start, self.step, self.n + 1)[1:])
        return (each for at, each in enumerate(evenly(self.start, self.start + self.n * self.step, self.n + 1)) if at)


def evenly(first: Fraction, last: Fraction, n: int) -> Iterator[Ratio]:
    """`n` >= 2 evenly spaced numbers, both ends exact."""
    under = first.denominator * last.denominator
    start, end = first.numerator * last.denominator, last.numerator * first.denominator
    return ((start * (n - 1) + (end - start) * at, under * (n - 1)) for at in range(n))


def by_ratio(first: Fraction, last: Fraction, n: int) -> list[Ratio] | None:
    """`n` >= 2 numbers above 0 of one ratio, exact; None where that ratio is no fraction."""
    over, under = (_root(part, n - 1) for part in (last / first).as_integer_ratio())
    if over is None or under is None:
        return None
    return [value.as_integer_ratio() for value in _powers(first, Fraction(over, under), n)]


def nearly_by_ratio(first: Fraction, last: Fraction, n: int) -> list[float]:
    """`n` >= 2 numbers above 0 of one ratio, each rounded once; both ends exact."""
    with localcontext(prec=DIGITS):
        value, end = (Decimal(each.numerator) / each.denominator for each in (first, last))
        ratio = ((end / value).ln() / (n - 1)).exp()
        found = [float(value)]
        for _ in range(n - 2):
            value *= ratio
            found.append(float(value))
    return [*found, float(end)]


def counts_that_are_whole(first: int, last: int, n: int) -> list[int]:
    """How many evenly spaced values fall on whole numbers instead of `n`: the next count below, and above if any."""
    span = abs(last - first)
    most = min(n - 2, span)
    below = next((gaps for gaps in range(most, max(1, most - SEARCHED), -1) if span % gaps == 0), 1)
    above = next((gaps for gaps in range(n, min(span, n + SEARCHED) + 1) if span % gaps == 0), below)
    return sorted({below + 1, above + 1})


def counts_of_whole_ratio(first: int, last: int, n: int) -> list[int]:
    """How many values of one ratio fall on whole numbers instead of `n`: the next count below, and above if any."""
    over, under = Fraction(last, first).as_integer_ratio()
    most = max(over, under).bit_length()  # a root of more is 1
    gaps = [each for each in range(1, most + 1) if _root(over, each) and _root(under, each)]
    below = max(each for each in gaps if each < n - 1)
    above = min((each for each in gaps if each > n - 1), default=below)
    return sorted({below + 1, above + 1})


def common_steps(before: Sequence[Fraction]) -> tuple[Fraction | None, Fraction | None]:
    """The difference and the ratio that two or three values have in common, None where they have none."""
    pairs = list(pairwise(before))
    differences = {b - a for a, b in pairs}
    ratios = {b / a for a, b in pairs if a} if all(a * b > 0 for a, b in pairs) else set()
    return (*differences,)[0] if len(differences) == 1 else None, (*ratios,)[0] if len(ratios) == 1 else None


def progression(start: Fraction, end: Fraction, step: Fraction | None, *, by_ratio: bool) -> Progression | None:
    """The values after `start` that reach `end` exactly, or None."""
    if step is None or step == (1 if by_ratio else 0):
        return None
    n = _exponent(step, end / start) if by_ratio else _multiple(step, end - start)
    return None if n is None or n < 1 else Progression(start, step, n, by_ratio)


def _multiple(step: Fraction, distance: Fraction) -> int | None:
    count = distance / step
    return count.numerator if count.denominator == 1 else None


def _exponent(ratio: Fraction, whole: Fraction) -> int | None:
    """The n of `ratio**n == whole`, by division: there are no more than the bits of what is divided."""
    if whole <= 0:
        return None
    rising = ratio > 1
    base, left = (ratio.numerator, whole.numerator) if rising else (ratio.denominator, whole.denominator)
    n = 0
    while left % base == 0:
        left //= base
        n += 1
    return n if ratio**n == whole else None


def _powers(first: Fraction, ratio: Fraction, n: int) -> list[Fraction]:
    found = [first]
    for _ in range(n - 1):
        found.append(found[-1] * ratio)
    return found


def _root(value: int, degree: int) -> int | None:
    """The whole number above 0 whose power of `degree` is `value`, or None."""
    if value == 1 or degree == 1:
        return value
    if degree >= value.bit_length():
        return None
    low, high = 1, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < value:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == value else None
