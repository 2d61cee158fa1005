"""check() finds nothing wrong with our units and the toy, and each thing that is wrong with a toy by its name."""

import numpy as np
import pytest
from broken_toys import BROKEN, attribute

from eie_sim.core.errors import InputError
from eie_sim.report.figures import style
from eie_sim.units import UNITS, testing, testing_rules, unit_named
from eie_sim.units.testing import UnitError, check, checked


@pytest.mark.parametrize("name", UNITS)
def test_our_units_are_what_the_house_relies_on(name):
    report = check(unit_named(name), examples=8)
    assert {one.n_example for one in report.checks if one.n_example > 1} >= {8}


def test_the_toy_is_what_the_house_relies_on(toy):
    assert check(toy, examples=25).line == f"unit toy: {len(testing.RULES)} checks, all passed"


@pytest.fixture
def broken(installed, monkeypatch):
    """A toy with one thing wrong, installed in place of the toy."""

    def broken(name):
        found = BROKEN[name]
        installed(toy=f"broken_toys:{attribute(name)}")
        if "other process" not in found.checks:  # which takes half a second
            kept = {rule: kind for rule, kind in testing.RULES.items() if kind != "several cases"}
            monkeypatch.setattr(testing, "RULES", kept)
        return found

    return broken


@pytest.mark.parametrize("name", BROKEN)
def test_each_thing_that_is_wrong_is_found_by_name(broken, name):
    found = broken(name)
    report = checked(found.unit, examples=12)
    assert {one.name for one in report.checks if one.faults} == found.checks, report.faults
    assert any(found.says in fault for fault in report.faults), report.faults
    assert all("\n" not in fault and len(fault) < 400 for fault in report.faults)


def test_check_raises_a_line_for_each_fault(broken):
    found = broken("a cycle more")
    with pytest.raises(UnitError) as caught:
        check(found.unit, examples=2)
    first, *faults = str(caught.value).splitlines()
    assert first == f"unit toy: {len(testing.RULES)} checks, 1 of them failed"
    assert faults == ["engines: default design, weights 1x1, activations 1: cycles 2 and 1 of fast and reference"]


def test_a_unit_that_is_not_registered_is_told_so():
    from toy import UNIT

    report = checked(UNIT, examples=1)
    assert report.faults[0].startswith("record: is not found by its name, which an entry point of eie_sim.units must")


def test_faults_are_the_same_every_time(broken):
    found = broken("weights dropped")
    assert checked(found.unit, examples=5) == checked(found.unit, examples=5)


@pytest.mark.parametrize(
    ("unit", "examples", "said"),
    [
        ("eie", 5, "unit=str: must be Unit"),
        (unit_named("eie"), 0, "examples=0: must be an integer in 1..100000"),
        (unit_named("eie"), True, "examples=True: must be an integer"),
    ],
)
def test_bad_arguments_are_refused(unit, examples, said):
    with pytest.raises(InputError, match=said):
        check(unit, examples=examples)


@pytest.mark.parametrize("name", UNITS)
def test_examples_of_our_units_are_ones_that_they_take(name):
    unit = unit_named(name)
    for seed in range(50):
        config, weights, activations = unit.examples(np.random.default_rng(seed))
        assert weights.ndim == 2
        result = unit.simulate(unit.compress(weights, config), activations, config)
        assert result.n_vector == len(np.atleast_2d(activations))


def test_colours_that_a_unit_may_name_are_those_of_figures():
    assert tuple(style.NAMED) == testing_rules.COLOURS
