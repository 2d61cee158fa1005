"""The axes: every field is one, and values mean what is written."""

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusing import WHOLE, refused

from eie_sim.core.errors import InputError
from eie_sim.prune.recipe import Recipe
from eie_sim.study import axes
from eie_sim.study.axes import AXES, groups, plain, text_of, unit_names, values_of
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig

WORKLOAD = ["layer", "vector", "unit", "chip"]
DESIGNS = [Recipe(), Recipe(density=0.25, window=8), EieConfig(), *(TensorCoreConfig.preset(name) for name in PRESETS)]


def names(of):
    return [field.name for field in fields(of)]


def test_every_field_is_an_axis_and_the_workload_comes_first():
    expected = [*WORKLOAD, *names(Recipe), *names(EieConfig), *names(TensorCoreConfig)]
    assert list(AXES) == [name for name in dict.fromkeys(expected) if name != "seed"]
    assert list(AXES)[4] == "density"
    assert all(name == axis.name for name, axis in AXES.items())


def test_an_axis_knows_its_units_and_its_group():
    assert {name for name, axis in AXES.items() if axis.units == ("eie",)} == (
        set(names(EieConfig)) - set(names(TensorCoreConfig))
    )
    assert AXES["clock_mhz"].units == AXES["node_nm"].units == AXES["density"].units == unit_names()
    assert AXES["chip"].units == AXES["tiles"].units == ("nm",)
    assert [axis.group for axis in AXES.values()] == sorted((a.group for a in AXES.values()), key=groups().index)


@pytest.mark.parametrize("of", [Recipe, EieConfig, TensorCoreConfig])
def test_help_is_what_the_docstring_says(of):
    text = " ".join(of.__doc__.split())
    for name in set(names(of)) - {"seed"}:
        said = AXES[name].help
        owner = EieConfig if name in ("clock_mhz", "node_nm") else of
        assert said and (owner is not of or f" {name} {said}" in text)


def test_a_new_field_is_an_axis_with_a_kind_by_its_type():
    values = {name: values_of(name, "1") for name, axis in AXES.items() if axis.kind.rounded}
    types = {type(value) for (value,) in values.values()}
    assert types == {int, float, Fraction}
    for of in (Recipe, EieConfig, TensorCoreConfig):
        for field in fields(of):
            if field.type == "int" and field.name != "seed":
                assert type(values[field.name][0]) is int
            if field.type.startswith("float"):
                assert type(values[field.name][0]) is float


def test_fields_of_other_types_are_no_axes():
    @dataclass(frozen=True, kw_only=True)
    class Design:
        sides: tuple[int, int] = (1, 2)
        names: list[str] | None = None
        depth: Optional[int] = None  # noqa: UP045  as other packages may write it
        rate: int | float | str | Fraction = 1

    found = {axis.name: axis.kind for axis in axes._axes_of(Design, "Other", ("other",), {})}
    assert list(found) == ["depth", "rate"]
    assert found["depth"].optional and not found["rate"].optional


def test_an_unknown_axis_brings_the_nearest():
    with pytest.raises(InputError, match="axis=n_pes: unknown; did you mean n_pe"):
        values_of("n_pes", "1")
    with pytest.raises(InputError, match="axis="):
        text_of("density ", 0.1)
    with pytest.raises(InputError, match="axis=seed"):
        values_of("seed", "1")
    with pytest.raises(InputError, match="axis="):
        values_of(["n_pe"], "1")


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: type(design).__name__)
def test_what_designs_and_recipes_hold_is_shown_read_taken_and_put_into_json(design):
    for name, value in ((field.name, getattr(design, field.name)) for field in fields(design)):
        if name == "seed" or (value is None and name == "window"):
            continue
        assert values_of(name, text_of(name, value)) == (value,), name
        assert values_of(name, [value]) == (value,), name
        assert plain(value) == design.to_dict()[name], name
        assert type(design)(**{**{n: getattr(design, n) for n in names(type(design))}, name: value}) == design


@given(st.lists(WHOLE, min_size=1))
def test_whole_numbers_keep_their_order_once_each(numbers):
    once = tuple(dict.fromkeys(numbers))
    assert values_of("n_pe", ",".join(map(str, numbers))) == once
    assert values_of("n_pe", numbers) == once
    assert values_of("n_pe", np.array(numbers)) == once
    assert values_of("n_pe", iter(numbers)) == once
    assert all(type(value) is int for value in values_of("n_pe", np.array(numbers)))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_it_is_written_as(number):
    assert values_of("density", repr(number)) == (number,)
    assert values_of("density", number) == values_of("density", np.float64(number)) == (number,)
    assert type(values_of("density", np.float64(number))[0]) is float


@given(st.fractions(max_denominator=10**6))
def test_a_rate_stays_exact(rate):
    assert values_of("l2_bytes_per_cycle", f"{rate.numerator}/{rate.denominator}") == (rate,)
    assert values_of("l2_bytes_per_cycle", text_of("l2_bytes_per_cycle", rate)) == (rate,)
    assert values_of("l2_bytes_per_cycle", rate) == (rate,)
    assert values_of("l2_bytes_per_cycle", [plain(rate)]) == (rate,)


def test_rates_are_decimals_as_written():
    assert values_of("smem_bytes_per_cycle", [0.1, np.float64(0.1), "0.1", "1/10"]) == (Fraction(1, 10),)
    assert values_of("dram_bytes_per_cycle", "none,936000/1395, 24") == (None, Fraction(936_000, 1395), Fraction(24))
    shown = [text_of("dram_bytes_per_cycle", each) for each in (None, Fraction(3, 2), Fraction(20800, 31), 24)]
    assert shown == ["none", "1.5", "20800/31", "24"]
    assert [plain(each) for each in (Fraction(24), Fraction(3, 2))] == [24, "3/2"]


def test_sets_and_shapes_are_single_values():
    assert values_of("tiles", "64x64, 256x128+128x256") == (((64, 64),), ((256, 128), (128, 256)))
    assert values_of("tiles", [((64, 64), (32, 32)), [[16, 16]]]) == (((64, 64), (32, 32)), ((16, 16),))
    assert values_of("mma", ["16x8x16", (16, 8, 32), np.array([4, 4, 4])]) == ((16, 8, 16), (16, 8, 32), (4, 4, 4))
    assert values_of("patterns", "2:4+1:4,dense") == (((2, 4), (1, 4)), ())
    assert [text_of("patterns", each) for each in (((2, 4), (1, 4)), ())] == ["2:4+1:4", "dense"]
    assert plain(((256, 128), (128, 256))) == [[256, 128], [128, 256]]
    assert text_of("tiles", plain(((256, 128), (128, 256)))) == "256x128+128x256"


def test_words_flags_layers_and_frames():
    assert values_of("remove", "yes,no,true,False") == (True, False)
    assert values_of("remove", [np.bool_(True), False]) == (True, False)
    assert [text_of("remove", each) for each in (True, False)] == ["yes", "no"]
    assert values_of("layer", "fc1, features.0.weight,each") == ("fc1", "features.0.weight", "each")
    assert values_of("layer", ["a,b", "1..3"]) == ("a,b", "1..3")  # in a list a name is a name
    assert values_of("vector", "0..3,all,each") == (0, 1, 2, 3, "all", "each")
    assert values_of("unit", "eie,nm") == unit_names()
    assert values_of("chip", ",".join(PRESETS)) == tuple(PRESETS)
    assert values_of("dram", "none,hbm3") == ("none", "hbm3")


def test_none_is_a_value_of_what_may_be_left_out():
    optional = [name for name, axis in AXES.items() if axis.kind.optional]
    assert optional == ["density", "window", "dram_bytes_per_cycle", "board_watts"]
    for name in optional:
        assert values_of(name, "none,8") == values_of(name, [None, 8])
        assert values_of(name, None) == (None,)
        assert text_of(name, None) == "none"
    assert "or none" in refused("window", "nothing")
    assert "none" not in refused("n_pe", "nothing")


def test_a_pattern_may_be_n_of_m():
    assert values_of("pattern", "2:4,element, 1:4") == ("2:4", "element", "1:4")
    assert Recipe(pattern="1:8").n_of_m == (1, 8)
    assert "did you mean block" in refused("pattern", "blok")
    for bad in ("2:4:8", "4:2", "2:0", "02:04", "2", "a:b", "nm"):
        assert f"pattern={bad}: must be N:M, N kept of each M, as 2:4" in refused("pattern", bad)


def test_numbers_in_tables_have_six_digits():
    shown = [text_of("density", each) for each in (0.07052631578947369, 0.5, 1.0)]
    assert shown == ["0.0705263", "0.5", "1"]
