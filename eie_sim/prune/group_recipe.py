"""How units of groups leave a graph, as one frozen record: what the command line takes beside a `Recipe`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, is_number, require, require_int, require_one_of, unknown
from eie_sim.prune.recipe import Recipe

SCORES = ("l1", "l2", "random")
"""Those that need no gradients."""
CHOICES = ("importance", "lasso")
SHARED = ("scope", "floor", "schedule", "steps", "seed")
"""Fields of a recipe that mean the same for units of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecipe:
    """A recipe for units of groups, as channels and heads. Raises InputError naming field, value and rule.

    Parameters
    ----------
    structured
        Remove whole units, as channels and heads. An ONNX file gets smaller; see eie-sim groups. Of the other
        options of pruning it takes --scope (isomorphic ranks groups that are alike together), --floor, the least share
        of a group that stays, --seed, and --steps of --schedule linear.
    ratio
        Share of the units that goes, 0 to 1.
    score
        l1, l2 or random. Of a unit in a parameter: sum of |w|, or of squares; over weights and gammas of norms.
    aggregate
        Over the parameters that a unit is in: sum, mean, max, prod, first or last.
    normalise
        Over the units of a group: none, sum, mean, max, standard, gaussian, sentinel_Q as sentinel_0.5, or lamp.
    round_to
        Kept units of each group are rounded up to a multiple of it.
    select
        importance or lasso. lasso chooses the channels that a layer's outputs need and fits its weights to them.
    verify
        Check every removal: exchanged and silenced units, shapes, counts.
    """

    structured: bool = False
    ratio: float | None = None
    score: str = "l2"
    aggregate: str = "mean"
    normalise: str = "mean"
    round_to: int = 1
    select: str = "importance"
    verify: bool = False

    __repr__ = shows()

    def __post_init__(self) -> None:
        require_one_of("select", self.select, CHOICES)
        if self.score not in SCORES:
            raise unknown("score", self.score, SCORES)
        require_int("round_to", self.round_to, 1)
        ok = self.ratio is None or (is_number(self.ratio) and 0 <= self.ratio <= 1)
        require(ok, "ratio", self.ratio, "must be in 0..1")
        if not self.structured:
            for field in self.changed("structured"):
                raise InputError(f"{field}={getattr(self, field)}: must be given with --structured")

    def changed(self, *but: str) -> list[str]:
        """Names of the fields that are not as they are left out, but for some."""
        return [one.name for one in fields(self) if one.name not in but and getattr(self, one.name) != one.default]

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return asdict(self)


def require_goes_with(given: Recipe) -> None:
    """Raise InputError for an option of a recipe that says nothing about units of groups."""
    usual = Recipe()
    for name, value in given.to_dict().items():
        if name not in SHARED and value != getattr(usual, name):
            own = {"density": ": --ratio says what goes", "criterion": ": --score says how units are scored"}
            raise InputError(f"{name}={value}: must be left out with --structured{own.get(name, '')}")
    require(given.schedule in ("one-shot", "linear"), "schedule", given.schedule, "must be one-shot or linear")
    one_step = given.schedule == "one-shot"
    rule = "must be given with --schedule linear: one-shot is a single step"
    require(not one_step or given.steps == usual.steps, "steps", given.steps, rule)
