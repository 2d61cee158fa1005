"""The axes: every field is one, values mean what is written, and others get one line that names the axis."""

import math
import re
from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from eie_sim.errors import InputError
from eie_sim.recipe import Recipe
from eie_sim.sweep import axes, listing
from eie_sim.sweep.axes import AXES, GROUPS, UNITS, pattern_fields, plain, text_of, values_of
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig

WORKLOAD = ["layer", "vector", "unit", "chip"]
DESIGNS = [Recipe(), Recipe(density=0.25, window=8), EieConfig(), *(TensorCoreConfig.preset(name) for name in PRESETS)]
WHOLE = st.integers(-(10**6), 10**6)
DECIMALS = st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=3).map(str)
ONE_LINE = re.compile(r"[a-z0-9_]+=[^\n]*: [^\n]+")


def refused(axis, given):
    """The one line that a value is refused with, which begins with the axis."""
    with pytest.raises(InputError) as caught:
        values_of(axis, given)
    said = str(caught.value)
    assert ONE_LINE.fullmatch(said) and said.startswith(f"{axis}=") and said.isprintable()
    return said


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
    assert AXES["clock_mhz"].units == AXES["node_nm"].units == AXES["density"].units == UNITS
    assert AXES["chip"].units == AXES["tiles"].units == ("nm",)
    assert [axis.group for axis in AXES.values()] == sorted((a.group for a in AXES.values()), key=GROUPS.index)


@pytest.mark.parametrize("of", [Recipe, EieConfig, TensorCoreConfig])
def test_help_is_what_the_docstring_says(of):
    text = " ".join(of.__doc__.split())
    for name in set(names(of)) - {"seed"}:
        said = AXES[name].help.removesuffix(axes._MORE_HELP.get(name, ""))
        owner = EieConfig if name in ("clock_mhz", "node_nm") else of
        assert said and (owner is not of or f" {name} {said}" in text)


def test_a_new_field_is_an_axis_with_a_kind_by_its_type():
    values = {name: values_of(name, "1") for name, axis in AXES.items() if axis.kind.numeric}
    types = {type(value) for (value,) in values.values()}
    assert types == {int, float, Fraction}
    for of in (Recipe, EieConfig, TensorCoreConfig):
        for field in fields(of):
            if field.type == "int" and field.name != "seed":
                assert type(values[field.name][0]) is int
            if field.type.startswith("float"):
                assert type(values[field.name][0]) is float


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
    assert values_of("unit", "eie,nm") == UNITS
    assert values_of("chip", ",".join(PRESETS)) == tuple(PRESETS)
    assert values_of("dram", "none,hbm3") == ("none", "hbm3")


def test_none_is_a_value_of_what_may_be_left_out():
    optional = [name for name, axis in AXES.items() if axis.kind.optional]
    assert optional == ["density", "window", "dram_bytes_per_cycle"]
    for name in optional:
        assert values_of(name, "none,8") == values_of(name, [None, 8])
        assert values_of(name, None) == (None,)
        assert text_of(name, None) == "none"
    assert "or none" in refused("window", "nothing")
    assert "none" not in refused("n_pe", "nothing")


def test_a_pattern_may_be_n_of_m():
    assert values_of("pattern", "2:4,element,02:04, 1:4") == ("2:4", "element", "1:4")
    assert pattern_fields("1:8") == {"pattern": "nm", "n_keep": 1, "m_group": 8}
    assert Recipe(**pattern_fields("1:8")).m_group == 8
    assert Recipe(**pattern_fields("block")).pattern == "block"
    assert "did you mean block" in refused("pattern", "blok")
    assert "N:M" in refused("pattern", "2:4:8")


def test_numbers_in_tables_have_six_digits():
    shown = [text_of("density", each) for each in (0.07052631578947369, 0.5, 1.0)]
    assert shown == ["0.0705263", "0.5", "1"]


@given(WHOLE, st.integers(-300, 300))
def test_dots_count_up_and_down(first, span):
    step = 1 if span >= 0 else -1
    expected = tuple(range(first, first + span + step, step))
    assert values_of("n_pe", f"{first}..{first + span}") == expected
    assert values_of("clock_mhz", f"{first}..{first + span}") == tuple(map(float, expected))
    assert values_of("l2_bytes_per_cycle", f"{first} .. {first + span}") == tuple(map(Fraction, expected))


@given(DECIMALS, DECIMALS, st.integers(2, 60))
@example("0.02", "0.5", 20)
def test_evenly_spaced_values_are_exact_and_rounded_once(first, last, n):
    a, b = Fraction(first), Fraction(last)
    exact = [a + (b - a) * at / (n - 1) for at in range(n)]
    found = values_of("density", f"{first}:{last}:{n}")
    assert found == tuple(dict.fromkeys(float(each) for each in exact))
    assert (found[0], found[-1]) == (float(first), float(last))
    assert values_of("l2_bytes_per_cycle", f"{first}:{last}:{n}") == tuple(dict.fromkeys(exact))


def test_decimals_stay_decimals():
    assert values_of("density", "0.1:0.5:5") == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert values_of("density", "0.1,0.2,...,0.7") == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    assert values_of("density", [0.1, 0.2, "...", 0.7]) == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@given(st.integers(-500, 500), st.integers(-500, 500), st.integers(2, 60), st.sampled_from([":log", ""]))
@example(1, 256, 9, "")
@example(0, 7, 50, "")
@example(1, 256, 10, ":log")
def test_whole_ranges_fall_on_whole_numbers_or_say_which_would(first, last, n, how):
    if how:
        first, last = abs(first) + 1, abs(last) + 1
    try:
        found = values_of("n_pe", f"{first}:{last}:{n}{how}")
    except InputError as error:
        would = re.search(r"must fall on whole numbers; ([0-9]+)(?: or ([0-9]+))? values would", str(error))
        assert would is not None
        for count in filter(None, would.groups()):
            assert int(count) != n and len(values_of("n_pe", f"{first}:{last}:{count}{how}")) == int(count)
    else:
        assert all(type(value) is int for value in found)
        assert (found[0], found[-1]) == (first, last) and len(found) == (n if first != last else 1)


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 9), st.integers(1, 8))
def test_values_of_one_ratio_are_exact_where_the_ratio_is(scale, over, under, steps):
    exact = [scale * over**at * under ** (steps - at) for at in range(steps + 1)]
    text = f"{exact[0]}:{exact[-1]}:{steps + 1}:log"
    assert values_of("n_pe", text) == tuple(dict.fromkeys(exact))
    assert values_of("density", text) == tuple(dict.fromkeys(map(float, exact)))


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9), st.integers(2, 60))
def test_other_ratios_are_rounded_once(first, last, n):
    assume(not math.isclose(first, last))
    found = values_of("learning_rate", f"{first!r}:{last!r}:{n}:log")
    assert (found[0], found[-1]) == (first, last)
    np.testing.assert_allclose(found, np.geomspace(first, last, n), rtol=1e-12)
    rates = values_of("l2_bytes_per_cycle", f"{first!r}:{last!r}:{n}:log")
    assert tuple(map(float, rates)) == found


def test_powers_of_ten_are_powers_of_ten():
    assert values_of("learning_rate", "1e-4:1:5:log") == (0.0001, 0.001, 0.01, 0.1, 1.0)
    assert values_of("learning_rate", "1e-300:1e300:3:log") == (1e-300, 1.0, 1e300)


@given(WHOLE, st.integers(-50, 50).filter(bool), st.integers(3, 60), st.booleans())
def test_an_ellipsis_goes_on_by_the_difference(first, step, more, three):
    values = [first + at * step for at in range(more + 2)]
    shown = values[: 3 if three else 2]
    assert values_of("n_pe", f"{','.join(map(str, shown))},...,{values[-1]}") == tuple(values)
    assert values_of("n_pe", [*shown, ..., values[-1]]) == tuple(values)
    scaled = [Fraction(value, 8) for value in values]
    assert values_of("density", f"{','.join(str(float(v)) for v in scaled[: len(shown)])},...,{float(scaled[-1])}") == (
        tuple(map(float, scaled))
    )


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 9), st.integers(4, 9))
def test_three_values_of_one_ratio_go_on_by_it(scale, over, under, steps):
    assume(over != under)
    values = [scale * over**at * under ** (steps - at) for at in range(steps + 1)]
    text = f"{values[0]},{values[1]},{values[2]},...,{values[-1]}"
    assert values_of("n_pe", text) == tuple(values)
    assert values_of("density", text) == tuple(map(float, values))


def test_two_values_go_on_by_their_difference_where_that_reaches_the_end():
    assert values_of("n_pe", "2,4,...,16") == (2, 4, 6, 8, 10, 12, 14, 16)
    assert values_of("n_pe", "1,2,...,256") == tuple(range(1, 257))
    assert values_of("n_pe", "64,32,...,1") == (64, 32, 16, 8, 4, 2, 1)
    assert values_of("n_pe", "64,32,...,0") == (64, 32, 0)


def test_ellipses_ranges_and_values_stand_side_by_side():
    assert values_of("n_pe", "1,2,4,...,16,20,24,...,32") == (1, 2, 4, 8, 16, 20, 24, 28, 32)
    assert values_of("n_pe", "5,1..3,5,...,9") == (5, 1, 2, 3, 7, 9)
    assert values_of("n_pe", ["1..3", 8, "10,12,...,16", np.int8(3)]) == (1, 2, 3, 8, 10, 12, 14, 16)
    assert values_of("queue_depth", "1,2,4,...,256") == tuple(2**at for at in range(9))


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(-40, 40))
def test_two_values_reach_their_end_as_counting_does_or_are_refused(a, b, end):
    """Against stepping along, one value after the other."""

    def reached(onward):
        made = [b]
        while len(made) < 100 and made[-1] != end:
            made.append(onward(made[-1]))
        return made[1:] if made[-1] == end and end != b else []

    by_difference = reached(lambda value: value + b - a) if a != b else []
    by_ratio = reached(lambda value: value * Fraction(b, a)) if a * b > 0 and a != b else []
    expected = by_difference or by_ratio
    if expected:
        assert values_of("n_pe", f"{a},{b},...,{end}") == tuple(dict.fromkeys([a, b, *expected]))
    else:
        assert "..." in refused("n_pe", f"{a},{b},...,{end}")


@pytest.mark.parametrize(
    ("axis", "text", "said"),
    [
        ("n_pe", "", "at least one value"),
        ("n_pe", " ", "at least one value"),
        ("n_pe", ",", "either side of every comma"),
        ("n_pe", "1,,2", "either side of every comma"),
        ("n_pe", "1,2,", "either side of every comma"),
        ("n_pe", "1..", "1..256"),
        ("n_pe", "..4", "1..256"),
        ("n_pe", "1..2..3", "1..256"),
        ("n_pe", "1...5", "1..256"),
        ("density", "0.5..2", "1..256"),
        ("n_pe", "...", "two or three values before"),
        ("n_pe", "1,...", "two or three values before"),
        ("n_pe", "1,...,4", "two or three values before"),
        ("n_pe", "1,...,", "either side of every comma"),
        ("n_pe", "1,2,...", "the last value after it"),
        ("n_pe", "1,2,...,...,8", "the last value after it"),
        ("n_pe", "1,2,...,4..8", "the last value after it"),
        ("n_pe", "1,2,4,...,250", "must reach the value after ... exactly by the ratio 2"),
        ("n_pe", "1,3,5,...,8", "must reach the value after ... exactly by the difference 2"),
        ("n_pe", "64,32,...,3", "by the difference -32 or the ratio 0.5"),
        ("n_pe", "1,2,4,...,4", "by the ratio 2"),
        ("n_pe", "1,2,5,...,9", "one difference or one ratio"),
        ("n_pe", "3,3,...,3", "one difference or one ratio"),
        ("density", "-1.7e308,1.7e308,...,1", "must reach"),
        ("density", "none,1,...,3", "or none"),
        ("vector", "all,1,...,3", "index of a frame"),
        ("n_pe", "1:8", "0.02:0.5:20"),
        ("n_pe", "1:8:2:lin", "0.02:0.5:20"),
        ("n_pe", "1:8:2:log:2", "0.02:0.5:20"),
        ("n_pe", "1:8:1", "2 values or more"),
        ("n_pe", "1:8:-2", "0.02:0.5:20"),
        ("n_pe", "1:8.5:2", "whole number"),
        ("density", "0:1:3:log", "above 0"),
        ("n_pe", "1.5", "whole number"),
        ("n_pe", "1e3", "whole number"),
        ("n_pe", "64k", "whole number"),
        ("n_pe", "1_000", "whole number"),
        ("n_pe", "0x10", "whole number"),
        ("n_pe", "٣", "whole number"),
        ("n_pe", "²", "whole number"),
        ("n_pe", "9" * 31, "whole number"),
        ("n_pe", ["9" * 5000], "whole number"),
        ("n_pe", "--density", "whole number"),
        ("density", "nan", "finite"),
        ("density", "-inf", "finite"),
        ("density", "1e400", "finite"),
        ("density", "1e-400", "finite"),
        ("density", "1e-999999999", "finite"),
        ("density", ["0." + "1" * 5000], "finite"),
        ("density", "1/2", "finite"),
        ("l2_bytes_per_cycle", "1/0", "bytes per cycle"),
        ("l2_bytes_per_cycle", "inf", "bytes per cycle"),
        ("l2_bytes_per_cycle", "1/2/3", "bytes per cycle"),
        ("vector", "-1", "index of a frame"),
        ("vector", "-1..2", "index of a frame"),
        ("vector", "every", "index of a frame"),
        ("remove", "1", "yes or no"),
        ("tiles", "64", "64x64"),
        ("tiles", "64x0", "64x64"),
        ("tiles", "64x64+", "64x64"),
        ("tiles", "64x64x64", "64x64"),
        ("mma", "16x8", "16x8x16"),
        ("patterns", "2x4", "2:4+1:4"),
        ("criterion", "l3", "did you mean l2 or l1"),
        ("chip", "h100", "did you mean h100-sxm"),
        ("unit", "eie..nm", "unknown"),
    ],
)
def test_what_text_cannot_mean(axis, text, said):
    assert said in refused(axis, text)


@pytest.mark.parametrize(
    ("axis", "given"),
    [
        ("n_pe", 1.0),
        ("n_pe", True),
        ("n_pe", None),
        ("n_pe", []),
        ("n_pe", [[1, 2]]),
        ("n_pe", np.ones((2, 2), int)),
        ("n_pe", np.linspace(1, 4, 4)),
        ("n_pe", b"12"),
        ("n_pe", bytearray(b"12")),
        ("n_pe", {1, 2}),
        ("n_pe", {1: 2}),
        ("n_pe", {1: 2}.keys()),
        ("n_pe", object()),
        ("n_pe", 10**30),
        ("n_pe", [10**9999]),
        ("n_pe", [1, ...]),
        ("n_pe", [None, 1, ..., 2]),
        ("density", float("nan")),
        ("density", [0.1, np.float32("inf")]),
        ("density", [10**400]),
        ("density", 1j),
        ("density", "1\n2"),
        ("l2_bytes_per_cycle", float("nan")),
        ("l2_bytes_per_cycle", False),
        ("remove", 1),
        ("layer", 3),
        ("layer", [""]),
        ("unit", 3),
        ("tiles", (64, 64)),
        ("tiles", ((64, 64), (32, 32))),
        ("tiles", [()]),
        ("tiles", [((64, 64.0),)]),
        ("mma", (16, 8, 16)),
        ("mma", [(16, 8, True)]),
        ("patterns", [(2, 4)]),
    ],
)
def test_what_objects_cannot_mean(axis, given):
    refused(axis, given)


@given(
    st.sampled_from(list(AXES)),
    st.text("0123456789.,:-+/eEx n", max_size=30)
    | st.text(max_size=30)
    | st.lists(st.sampled_from(["1", "2", "4", "8", "...", "..", ":", ",", "log", "none", "1.5", "-", "x"])).map(
        "".join
    ),
)
def test_any_text_is_values_or_one_line(axis, text):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "MAX_VALUES", 1000)
            found = values_of(axis, text)
    except InputError as error:
        assert ONE_LINE.fullmatch(str(error)) and str(error).startswith(f"{axis}=")
    else:
        assert 0 < len(found) == len(set(found)) <= 1000
        assert not any(isinstance(value, float) and not math.isfinite(value) for value in found)


@pytest.mark.parametrize(
    ("axis", "given"),
    [
        ("n_pe", "1..1000000000000"),
        ("n_pe", f"-{'9' * 30}..{'9' * 30}"),
        ("n_pe", "0:1000000000000:1000000000001"),
        ("density", f"0:1:{'9' * 30}"),
        ("density", f"0.5:1:{'9' * 30}:log"),
        ("n_pe", "0,1,...,1000000000000"),
        ("density", "0,1e-300,...,1"),
        ("vector", "0..1000000"),
        ("n_pe", "1..1000000,1"),
        ("n_pe", range(10**30)),
        ("n_pe", ["1," * 1_000_000 + "1"]),
    ],
)
def test_too_many_values_are_refused_before_they_are_made(axis, given):
    assert "must be at most 1000000 values" in refused(axis, given)


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("1..10", "1..11"),
        ("1:10:10", "1:11:11"),
        ("1,2,...,10", "1,2,...,11"),
        ("1..4,1..6", "1..4,1..7"),
        (range(10), range(11)),
        (["1,2"] * 5, ["1,2"] * 6),
        ("1,1,1,1,1,1,1,1,1,1", "1,1,1,1,1,1,1,1,1,1,1"),
    ],
)
def test_as_many_as_there_may_be(monkeypatch, most, more):
    monkeypatch.setattr(listing, "MAX_VALUES", 10)
    assert values_of("n_pe", most)
    assert "values" in refused("n_pe", more)


def test_a_million_values_are_made():
    assert values_of("n_pe", "1..1000000") == tuple(range(1, 1_000_001))
