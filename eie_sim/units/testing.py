"""Whoever writes a unit tests it with `check(UNIT)`: everything that the house relies on, from the record alone.

Designs are drawn from the fields of the config, workloads from `Unit.examples` or at random, both by hypothesis, which
looks for the smallest that fails; the same ones every time. `testing_rules` and `testing_runs` have what is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from eie_sim.core.errors import InputError, require_int, require_type
from eie_sim.units import testing_cases, testing_rules, testing_runs
from eie_sim.units.testing_cases import Rule
from eie_sim.units.unit import Unit

RULES: dict[Rule, str] = {
    testing_rules.record: "once",
    testing_rules.presets: "once",
    testing_rules.words: "once",
    testing_rules.bad_fields: "bad values",
    testing_rules.round_trip: "designs",
    testing_rules.energies: "designs",
    testing_runs.storage: "cases",
    testing_runs.engines: "cases",
    testing_runs.counts: "cases",
    testing_runs.verified: "cases",
    testing_runs.words: "cases",
    testing_runs.products: "cases",
    testing_runs.accounting: "cases",
    testing_runs.repeatable: "cases",
    testing_runs.other_process: "several cases",
    testing_runs.bad_workloads: "cases",
    testing_rules.strangers: "once",
}
"""By rule, what it is tried on."""

MOST_FAULTS = 20
"""Most faults of one check that are printed."""

Progress = Callable[[str], None]


class UnitError(AssertionError):
    """A unit is not what the house relies on: a line for each check that failed."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a unit.

    n_example : designs, workloads or bad values that it was tried on
    faults : what it found, a line each; with the smallest design and workload where they matter
    """

    name: str
    meaning: str
    n_example: int
    faults: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """All checks of a unit, in their order."""

    unit: str
    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """A line for each, which begins with the name of its check."""
        return tuple(f"{check.name}: {fault}" for check in self.checks for fault in check.faults)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        failed = sum(bool(check.faults) for check in self.checks)
        found = f"{failed} of them failed" if failed else "all passed"
        return f"unit {self.unit}: {len(self.checks)} checks, {found}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"unit": self.unit, "ok": not self.faults, "checks": [asdict(check) for check in self.checks]}


def check(unit: Unit, *, examples: int = 25) -> Report:
    """The report on a unit in which no check found a fault.

    examples : designs and workloads that each check is tried on

    Raises UnitError with a line for each fault; InputError where hypothesis is not installed, and for bad arguments.
    """
    report = checked(unit, examples=examples)
    if report.faults:
        raise UnitError("\n".join([report.line, *report.faults]))
    return report


def checked(unit: Unit, *, examples: int = 25, progress: Progress = lambda step: None) -> Report:
    """The report on a unit, whatever it says; see `check`."""
    require_type("unit", unit, Unit)
    require_int("examples", examples, 1, 100_000)
    require_hypothesis()
    done = []
    for rule in RULES:
        name = rule.__name__.replace("_", " ")
        progress(f"{unit.name}: {name}")
        n_example, faults = _tried(rule, unit, examples)
        meaning = (rule.__doc__ or "").split("\n")[0].rstrip(".")
        done.append(Check(name=name, meaning=meaning, n_example=n_example, faults=faults))
    return Report(unit=unit.name, checks=tuple(done))


def require_hypothesis() -> None:
    """Raise InputError where hypothesis, which draws the examples, is not installed."""
    try:
        import hypothesis  # noqa: F401  only to see whether it can be
    except ImportError:
        raise InputError("hypothesis=missing: must be installed, as by pip install 'eie-sim[test]'") from None


def _tried(rule: Rule, unit: Unit, examples: int) -> tuple[int, tuple[str, ...]]:
    """Return the number of examples that a rule was tried on, and the faults that it found."""
    kind = RULES[rule]
    if kind in testing_cases.LISTED:
        try:
            listed = testing_cases.LISTED[kind](unit, examples)
        except Exception as error:  # as of annotations that name nothing
            return 0, (_one_line(error),)
        return len(listed), tuple(islice((fault for one in listed for fault in _found(rule, unit, one)), MOST_FAULTS))
    tried, smallest, refusal = 0, "", ""

    def test(example: Any) -> None:
        nonlocal tried, smallest, refusal
        try:
            fault = next(_found(rule, unit, example), None)
        except testing_cases.UnfitError as error:
            refusal = f"every workload is refused, the last one as {error}"
            raise
        tried += not smallest
        if fault is not None:
            smallest = f"{testing_cases.said(example)}: {fault}"
            raise UnitError(smallest)

    try:
        testing_cases.for_all(testing_cases.DRAWN[kind](unit), test, examples)
    except Exception as error:  # what hypothesis makes of a fault, or an error while it draws
        return tried, (smallest or (not tried and refusal) or _one_line(error),)
    return tried, ()


def _found(rule: Rule, unit: Unit, example: Any) -> Iterator[str]:
    """The faults that a rule finds in an example; an error that it does not expect is one."""
    try:
        yield from rule(unit, example)
    except testing_cases.UnfitError:
        raise
    except Exception as error:  # of the unit that is tried
        yield _one_line(error)


def _one_line(error: Exception) -> str:
    return f"raises {type(error).__name__}: {' '.join(str(error).split())}"
