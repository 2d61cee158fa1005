"""Published figures beside simulated ones: what a unit gives of them, and what a group of them comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
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
    follows : from which other rows its group follows, so that its errors are no evidence of their own; else empty
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
    follows: str = ""

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
        """Plain values, for JSON; what a group follows from is said once, not in every row."""
        plain = {name: value for name, value in asdict(self).items() if name != "follows"}
        return plain | {"error": self.error, "verdict": self.verdict}


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


part_of = itemgetter("group", "source", "quantity")
"""Return the part of the figures that a row, as plain values, belongs to: each part has a table of its own."""


def rows_record(compared: Sequence[Comparison]) -> dict[str, Any]:
    """Every row with its error and verdict, and errors by group, as plain values.

    Rows of one group stand together, and in a group those of one source and quantity.
    """
    groups = list(dict.fromkeys(one.group for one in compared))
    compared = sorted(compared, key=lambda one: groups.index(one.group))
    found = [one.to_dict() for one in compared]
    parts = list(dict.fromkeys(map(part_of, found)))
    return {
        "agrees_within": AGREES,
        "rows": sorted(found, key=lambda row: parts.index(part_of(row))),
        "groups": [group._asdict() for group in by_group(compared)],
    }


def notes_of(record: dict[str, Any]) -> list[str]:
    """The notes of the rows of a record, each once, in order."""
    return list(dict.fromkeys(row["note"] for row in record["rows"]))


class Study(NamedTuple):
    """A study of one parameter that was published as a figure, rerun as a sweep, beside what the text says of it.

    figure : number; varies : the axis; says : what the text says, in short; found : the same of the simulated rows
    holds : whether what is found is what is said; rows : of the sweep
    shown : columns of the rows that a record keeps, beside the axis: all that is judged
    drawn : the function of `eie_sim.report.figures` that draws the rows
    why : what is known of the reason, where it does not hold
    """

    figure: str
    varies: str
    says: str
    found: str
    holds: bool
    rows: Sequence[dict[str, Any]]
    shown: tuple[str, ...]
    drawn: str
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {name: value for name, value in self._asdict().items() if name not in ("shown", "drawn")}
        return plain | {"rows": [{name: row[name] for name in (self.varies, *self.shown)} for row in self.rows]}


class Drawn(NamedTuple):
    """A layer of which shape and densities are published: what is drawn for it, and the densities as printed.

    weights : [n_out, n_in]; activations : [n_in]; inputs : what both are, in words
    """

    weights: Any
    activations: Any
    inputs: str
    weight_density: float
    activation_density: float


Draw = Callable[[str], Drawn]
"""Name of a preset -> its layer. Its attribute `seed` is that of all that is drawn."""

Sweep = Callable[..., Sequence[dict[str, Any]]]
"""(name of a preset, axis=values) -> rows."""

Progress = Callable[[str], None]
"""Told what is being done."""


class Table(NamedTuple):
    """A table as text. text : columns that are words, aligned left; bold : rows that are sums"""

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    text: Sequence[int]
    title: str | None = None
    bold: Sequence[int] = ()


class Rows(NamedTuple):
    """The rows of a `rows_record`, to be shown as tables."""

    record: dict[str, Any]


class Groups(NamedTuple):
    """The errors by group of a `rows_record`, to be shown as a table."""

    record: dict[str, Any]
    title: str


class Details(NamedTuple):
    """All that a unit has to say of its published figures. record : as JSON; shown : in order, lines or tables."""

    record: Any
    shown: Sequence[Table | Rows | Groups | Sequence[str]]


class Publication(NamedTuple):
    """Figures published of what belongs to no unit, with the members that a `Unit` has for its own."""

    name: str
    published: Callable[..., list[Comparison]]
    details: Callable[..., Details]
    studies: None = None
