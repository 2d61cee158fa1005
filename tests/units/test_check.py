"""check() finds nothing wrong with our units and the toy, and each thing that is wrong with a toy by its name."""

import pytest
from broken_toys import BROKEN, attribute

from eie_sim.units import UNITS, testing_rules, unit_named
from eie_sim.units.testing import check, checked


@pytest.mark.parametrize("name", UNITS)
def test_our_units_are_what_the_house_relies_on(name):
    report = check(unit_named(name), examples=8)
    assert {one.n_example for one in report.checks if one.n_example > 1} >= {8}


def test_the_toy_is_what_the_house_relies_on(toy):
    assert check(toy, examples=25).line == f"unit toy: {len(testing_rules.RULES)} checks, all passed"


@pytest.fixture
def broken(installed, monkeypatch):
    """A toy with one thing wrong, installed in place of the toy."""

    def broken(name):
        found = BROKEN[name]
        installed(toy=f"broken_toys:{attribute(name)}")
        if "other process" not in found.checks:  # which takes half a second
            kept = {rule: kind for rule, kind in testing_rules.RULES.items() if kind != "several cases"}
            monkeypatch.setattr(testing_rules, "RULES", kept)
        return found

    return broken


@pytest.mark.parametrize("name", BROKEN)
def test_each_thing_that_is_wrong_is_found_by_name(broken, name):
    found = broken(name)
    report = checked(found.unit, examples=12)
    assert {one.name for one in report.checks if one.faults} == found.checks, report.faults
    assert any(found.says in fault for fault in report.faults), report.faults
    assert all("\n" not in fault and len(fault) < 400 for fault in report.faults)
