"""A recipe of pruning, as one frozen record: the command line takes it and an archive keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from eie_sim.core.brief import shows
from eie_sim.core.errors import (
    InputError,
    is_number,
    require,
    require_int,
    require_one_of,
    require_seed,
    require_type,
    unknown,
)
from eie_sim.core.nm_pattern import Pattern, meant, pattern_of

PATTERNS = ("element", "per_row", "block", "neuron", "input", "balanced")
"""By name; N:M is written `2:4`."""
CRITERIA = ("l1", "l2", "wanda", "taylor", "obd", "apoz", "random")
SCOPES = ("local", "global")
OF_GROUPS = "isomorphic"
"""A scope of groups of units only."""
_NOT_GLOBAL = "scope=global: needs a density and a pattern of groups, not {}"
MAX_NUMBER = 1e30
"""Largest rate or penalty; infinity and NaN are beyond it."""

SCHEDULES = ("one-shot", "linear", "cubic", "iterative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe: how to prune, and how to train what is left. Raises InputError naming field, value and rule.

    Parameters
    ----------
    density
        Fraction of the weights to keep, 0 to 1; an N:M pattern fixes its own.
    pattern
        element, per_row, block, neuron, input, balanced, or N:M. Neurons are hidden ones of a chain; balanced leaves as
        many weights for every PE of the design; 2:4 the best 2 of every 4 inputs.
    criterion
        l1, l2, wanda, taylor, obd, apoz or random. wanda takes the inputs' norm and compares within rows, taylor and
        obd take gradients of labelled training inputs, apoz is of neurons.
    scope
        local (every layer to the density) or global (one threshold over all layers).
    floor
        Least density of any layer.
    block_rows
        Rows of a block.
    block_cols
        Columns of a block.
    window
        Columns over which balanced counts are equal; all where left out.
    schedule
        one-shot, linear, cubic or iterative. The last keeps the same fraction of the survivors at every step.
    steps
        Steps of any other schedule than one-shot.
    epochs
        Epochs of training what is left, split over the steps; 0 for none.
    learning_rate
        At the start of a step's training, falling to zero.
    penalty_l1
        L1 penalty on the weights in training.
    penalty_l2
        L2 penalty on the weights in training.
    distillation
        Weight of the network before pruning as a teacher, 0 to 1.
    remove
        Take neurons that nothing depends on out of the layers, which makes them smaller.
    seed
        Of the random criterion and the order of the training inputs.
    """

    density: float | None = None
    pattern: str = "element"
    criterion: str = "l1"
    scope: str = "local"
    floor: float = 0.0
    block_rows: int = 4
    block_cols: int = 4
    window: int | None = None
    schedule: str = "one-shot"
    steps: int = 5
    epochs: int = 0
    learning_rate: float = 8e-3
    penalty_l1: float = 0.0
    penalty_l2: float = 1e-4
    distillation: float = 0.0
    remove: bool = False
    seed: int = 0

    __repr__ = shows()

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or (self.n_of_m is None and self.pattern not in PATTERNS):
            raise unknown("pattern", self.pattern, (*PATTERNS, "2:4"))
        if not isinstance(self.criterion, str) or self.criterion not in CRITERIA:
            raise unknown("criterion", self.criterion, CRITERIA)
        require_one_of("scope", self.scope, (*SCOPES, OF_GROUPS))
        require_one_of("schedule", self.schedule, SCHEDULES)
        require_type("remove", self.remove, bool)
        require_seed(self.seed)
        require_int("steps", self.steps, 1, 1000)
        require_int("epochs", self.epochs, 0, 10**6)
        for field in ("block_rows", "block_cols"):
            require_int(field, getattr(self, field), 1)
        if self.window is not None:
            require_int("window", self.window, 1)
        for field, rule, high in (
            ("density", "must be in 0..1", 1),
            ("floor", "must be in 0..1", 1),
            ("distillation", "must be in 0..1", 1),
            ("penalty_l1", "must be a finite number >= 0", MAX_NUMBER),
            ("penalty_l2", "must be a finite number >= 0", MAX_NUMBER),
            ("learning_rate", "must be a finite number above 0", MAX_NUMBER),
        ):
            value = getattr(self, field)
            if value is not None or field != "density":
                require(is_number(value) and 0 <= value <= high, field, value, rule)
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "must be a finite number above 0")
        self._check_together()

    def _check_together(self) -> None:
        if self.criterion == "wanda":
            require(
                self.pattern != "element",
                "pattern",
                self.pattern,
                "must be per_row or as 2:4, wanda compares in rows",
            )
        if self.epochs and self.schedule != "one-shot":
            rule = f"must be 0, or one for each of the {self.steps} steps or more"
            require(self.epochs >= self.steps, "epochs", self.epochs, rule)
        if self.n_of_m is not None:
            rule = f"must be one-shot, {self.pattern} has but one density"
            require(self.schedule == "one-shot", "schedule", self.schedule, rule)
        if self.schedule == "iterative":
            require(self.density != 0, "density", self.density, "must be above 0, iterative steps always leave some")
        if self.criterion == "apoz":
            require(self.pattern == "neuron", "pattern", self.pattern, "must be neuron where the criterion is apoz")
        if self.scope == "global" and (self.n_of_m is not None or self.pattern in ("balanced", "per_row")):
            raise InputError(_NOT_GLOBAL.format(self.pattern))

    def require_of_weights(self) -> None:
        """Raise InputError where its scope is of units of groups, or it has no density."""
        require(self.scope in SCOPES, "scope", self.scope, "must be local or global: it is of groups of units")
        if self.scope == "global" and self.density is None:
            raise InputError(_NOT_GLOBAL.format(self.pattern))

    @property
    def n_of_m(self) -> Pattern | None:
        """(2, 4) of the pattern 2:4; None of any other."""
        return pattern_of("pattern", self.pattern) if meant(self.pattern) else None

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return asdict(self)
