"""The registry of units: ours, those of other packages, and what is wrong with one of them."""

import json
import sys
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

import eie_sim as es
from eie_sim import units
from eie_sim.cli import main
from eie_sim.core.published import Comparison
from eie_sim.core.result import config_hash
from eie_sim.units import UNITS, unit_named, unit_of
from eie_sim.units.unit import late


@dataclass(frozen=True, kw_only=True)
class SlowConfig:
    clock_mhz: float = 1.0

    def to_dict(self):
        return {"clock_mhz": self.clock_mhz}


class Matrix:
    pass


def published(draw, *, progress):
    progress("slow: timing")
    layer = draw("alex-8")
    time_us = float(layer.weights.shape[0])
    figures = {"published": 1000.0, "simulated": time_us, "inputs": layer.inputs, "note": "one row a cycle"}
    return [Comparison(group="Slow times", source="a page", row="alex-8", quantity="time", unit="us", **figures)]


SLOW = replace(
    unit_named("eie"),
    name="slow",
    config=SlowConfig,
    matrix=f"{__name__}:Matrix",
    simulate=lambda matrix, activations, config, **options: "simulated",
    published=published,
    studies=None,
)
NO_UNIT = "a text"


class Point(EntryPoint):
    """An entry point of a package that is not installed."""

    dist = property(lambda self: type("Package", (), {"name": f"package-of-{self.value.rpartition(':')[2]}"}))


@pytest.fixture
def registered(monkeypatch):
    """A function that registers entry points, name=attribute of this module, for one test."""
    import eie_sim.study.axes  # noqa: F401  which has the axes of the units that there are when it is loaded

    def forget():
        for cached in (units._offers, units._of_type, units.units, units.unit_named):
            cached.cache_clear()

    def register(**points):
        found = [Point(name, f"{__name__}:{where}", units.GROUP) for name, where in points.items()]
        monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: found if group == units.GROUP else [])
        monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
        forget()

    yield register
    monkeypatch.undo()
    forget()


def test_a_unit_is_found_by_its_name_its_designs_and_its_matrices():
    for config, matrix in (
        (es.EieConfig(n_pe=4), es.EieMatrix.from_dense(np.eye(4), n_pe=4)),
        (es.TensorCoreConfig(), es.NmMatrix.from_dense(np.eye(4))),
    ):
        unit = unit_of(config)
        assert unit.config is type(config)
        assert unit is unit_of(matrix, "matrix") is unit_named(unit.name)
        assert unit is unit_of(es.simulate(matrix, np.ones(4)).config)


def test_names_in_the_registry_are_those_of_the_units():
    assert [unit.name for unit in units.units()][: len(UNITS)] == list(UNITS)


def test_a_unit_of_another_package_is_found_and_simulates(registered):
    registered(slow="SLOW")
    assert unit_named("slow") is unit_of(SlowConfig()) is SLOW
    assert SLOW in units.units()
    assert es.simulate(Matrix(), np.ones(2)) == "simulated"


def test_published_figures_of_a_unit_of_another_package_are_validated(registered, capsys, tmp_path):
    registered(slow="SLOW")
    assert main(["validate", "slow", "--json", "--figure", str(tmp_path / "slow.svg")]) == 0
    record = json.loads(capsys.readouterr().out)
    (row,) = record["rows"]
    assert (row["group"], row["simulated"], row["verdict"]) == ("Slow times", 1000.0, "agrees")
    assert record["config_hash"] == config_hash("slow", SlowConfig().to_dict())
    assert b"Slow times" in (tmp_path / "slow.svg").read_bytes()
    assert main(["validate", "slow"]) == 0
    assert "one row a cycle" in capsys.readouterr().out
    assert main(["validate", "fast"]) == 2
    assert capsys.readouterr().err.endswith("paper=fast: must be all, eie, nm, slow or deep-compression\n")


@pytest.mark.parametrize(
    ("points", "asked", "said"),
    [
        ({"broken": "MISSING"}, "broken", "unit=broken: package package-of-MISSING fails to load, AttributeError: "),
        ({"other": "SLOW"}, "other", "unit=other: must be a Unit of this name, which .*SLOW of package"),
        ({"text": "NO_UNIT"}, "text", "unit=text: must be a Unit of this name"),
        ({"eie": "SLOW"}, "eie", "unit=eie: must be of one package, but eie_sim and package-of-SLOW both have"),
        ({}, "ei", "unit=ei: unknown; did you mean eie?"),
    ],
)
def test_what_is_wrong_with_a_unit_is_said_in_one_line_when_it_is_asked_for(registered, points, asked, said):
    registered(**points)
    with pytest.raises(es.InputError, match=said) as caught:
        unit_named(asked)
    assert "\n" not in str(caught.value)
    assert unit_of(es.TensorCoreConfig()).name == "nm"


def test_one_that_fails_to_load_leaves_the_others(registered):
    registered(broken="MISSING", slow="SLOW")
    assert [unit.name for unit in units.units()] == [*UNITS, "slow"]
    assert unit_of(SlowConfig()) is SLOW
    with pytest.raises(es.InputError, match=r"^config=Matrix: must be .* or SlowConfig; unit=broken: package"):
        unit_of(Matrix())


@pytest.mark.parametrize("wrong", [None, "eie", 1, np.eye(2), Matrix()])
def test_what_belongs_to_no_unit_is_refused(wrong):
    with pytest.raises(es.InputError, match=r"^config=\w+: must be EieConfig or TensorCoreConfig$"):
        unit_of(wrong)
    with pytest.raises(es.InputError, match=r"^matrix=\w+: must be EieMatrix or NmMatrix$"):
        unit_of(wrong, "matrix")


def test_a_late_function_is_called_with_what_it_is_given():
    assert late("math:hypot")(3, 4) == 5
