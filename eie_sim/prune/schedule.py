"""Schedules: from a step, as an epoch or a round of retraining, to a density.

`cubic(0.1, steps=5)` is called with a step: 0 gives the density before, 5 and later the density wanted, both exactly.
Densities never rise, and are fractions of the original weights: 0.5 and then 0.5 again leaves a half. (In
torch.nn.utils.prune an amount of 0.5 twice leaves a quarter: there a second amount is a fraction of the survivors.)

A step prunes only among survivors, so that masks are nested, when it is given the mask before:

    for density in schedule.densities:
        mask = pattern.prune(score.l1(w), density, within=mask).mask
        ...                                          # train the survivors

A schedule of your own is one function that returns a `Schedule` with its curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from eie_sim.core.brief import shows
from eie_sim.core.errors import require, require_int
from eie_sim.prune.counts import fraction

__all__ = ["Schedule", "cubic", "iterative", "linear", "one_shot"]

MAX_STEPS = 10**5

Curve = Callable[[Fraction, Fraction, Fraction], float | Fraction]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A density for every step.

    initial, final : densities before the first and from the last step on, 1 >= initial >= final >= 0
    steps : how many
    curve : from (initial, final, time) to a density between the two, never rising; time is above 0 and below 1

    Raises InputError for densities out of order or range and for for steps outside 1..MAX_STEPS.
    """

    initial: float
    final: float
    steps: int
    curve: Curve

    __repr__ = shows("initial", "final", "steps", "densities")

    def __post_init__(self) -> None:
        require_int("steps", self.steps, 1, MAX_STEPS)
        initial, final = fraction("initial", self.initial), fraction("final", self.final)
        require(final <= initial, "final", self.final, f"must not be above the initial density, {self.initial}")

    def __call__(self, step: int) -> float:
        """Density at a step; at 0 it is the initial, after the last the final one."""
        require_int("step", step, 0)
        if step == 0 or step >= self.steps:
            return float(self.final if step else self.initial)
        # on exact decimals, rounded to a float once, so that no error of rounding lets a density rise
        initial, final = fraction("initial", self.initial), fraction("final", self.final)
        return float(self.curve(initial, final, Fraction(int(step), int(self.steps))))

    @property
    def densities(self) -> tuple[float, ...]:
        """The densities at steps 1 to `steps`."""
        return tuple(self(step) for step in range(1, self.steps + 1))


def one_shot(final: float, *, steps: int = 1, initial: float = 1.0) -> Schedule:
    """Everything at the first step."""
    return Schedule(initial, final, steps, _one_shot)


def linear(final: float, *, steps: int, initial: float = 1.0) -> Schedule:
    """The same number of weights at every step."""
    return Schedule(initial, final, steps, _linear)


def cubic(final: float, *, steps: int, initial: float = 1.0) -> Schedule:
    """Fast while many weights are redundant, slow at the end (Zhu, Gupta 2017, To prune or not to prune, section 3)."""
    return Schedule(initial, final, steps, _cubic)


def iterative(final: float, *, steps: int, initial: float = 1.0) -> Schedule:
    """The same fraction of the survivors at every step: (final / initial) ** (1 / steps) of them stay.

    For rounds of pruning and retraining (Han et al. 2015, section 3.4). Raises InputError for a final density of 0,
    which no such fraction reaches.
    """
    above_zero = fraction("final", final) > 0
    require(above_zero, "final", final, "must be above 0: a fraction of the survivors always leaves some")
    return Schedule(initial, final, steps, _iterative)


def _one_shot(initial: Fraction, final: Fraction, time: Fraction) -> Fraction:
    return final


def _linear(initial: Fraction, final: Fraction, time: Fraction) -> Fraction:
    return initial + (final - initial) * time


def _cubic(initial: Fraction, final: Fraction, time: Fraction) -> Fraction:
    return final + (initial - final) * (1 - time) ** 3


def _iterative(initial: Fraction, final: Fraction, time: Fraction) -> float:
    ratio = float(final / initial)
    return float(initial) * math.pow(ratio, time)
