"""One published figure beside the simulated one, and what a group of them comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

VALIDATED, CALIBRATED, DERIVED = KINDS = ("validated", "calibrated", "derived")
KIND_MEANINGS = {
    VALIDATED: "the simulator could have missed it",
    CALIBRATED: "a constant of the model, of the energy table or the design, was chosen with these figures",
    DERIVED: "only arithmetic on other rows, or on what the paper prints",
}
AGREES = 0.10
"""Largest error, as a share, of a row that is said to agree."""

AGREED, MISSES = "agrees", "misses"
"""Verdicts of validated rows; that of others is their kind."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One published figure and the simulated one.

    group : what it is summed up with
    source : table or figure of the publication
    row, quantity, unit : what it is
    published, simulated : in `unit`
    kind : validated, calibrated or derived, see KIND_MEANINGS
    inputs : what was simulated, in words
    fits : False where the layer does not fit a PE's memories in one pass; times contain no cost for passes
    note : what is known about the difference
    """

    group: str
    source: str
    row: str
    quantity: str
    unit: str
    published: float
    simulated: float
    inputs: str
    note: str
    kind: str = VALIDATED
    fits: bool = True

    @property
    def error(self) -> float:
        """Simulated over published, less 1."""
        return self.simulated / self.published - 1.0

    @property
    def verdict(self) -> str:
        """Agrees or misses, for what could have missed; else the kind."""
        if self.kind != VALIDATED:
            return self.kind
        return AGREED if abs(self.error) <= AGREES else MISSES

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self) | {"error": self.error, "verdict": self.verdict}


class GroupErrors(NamedTuple):
    """A group of one kind: rows, how many of them agree, mean and largest absolute error as shares, the worst row."""

    group: str
    kind: str
    n_row: int
    n_agree: int
    mean_error: float
    worst_error: float
    worst_row: str


def by_group(rows: Iterable[Comparison]) -> list[GroupErrors]:
    """Errors of each group, in the order given; kinds apart, so that nothing derived flatters what is validated."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for row in rows:
        groups.setdefault((row.group, row.kind), []).append(row)
    return [_errors(*key, own) for key, own in groups.items()]


def _errors(group: str, kind: str, rows: list[Comparison]) -> GroupErrors:
    worst = max(rows, key=lambda row: abs(row.error))
    errors = [abs(row.error) for row in rows]
    agree = sum(error <= AGREES for error in errors)
    return GroupErrors(group, kind, len(rows), agree, sum(errors) / len(errors), abs(worst.error), worst.row)
