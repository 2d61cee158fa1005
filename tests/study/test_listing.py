"""Ranges and ellipses: exact values, rounded once, or one line that says what does not fit."""

import math
import re
from fractions import Fraction

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st
from refusing import DECIMALS, WHOLE, refused

from eie_sim.core.errors import InputError
from eie_sim.study.axes import values_of


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
