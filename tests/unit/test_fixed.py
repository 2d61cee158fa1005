from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core import fixed

KERNELS = [lambda f: f, lambda f: getattr(f, "py_func", f)]
words = st.integers(-32768, 32767)


def test_float_to_fixed_rounds_half_to_even_then_saturates():
    raw = fixed.to_fixed([0.5, 1.5, 2.5, -0.5, -1.5, 40000.0, -40000.0], 0)
    assert raw.tolist() == [0, 2, 2, 0, -2, 32767, -32768]


def test_words_are_16_bits_and_values_64_whatever_is_given():
    for values in ([4.0], np.array([4], dtype=np.int8), np.array([4.0], dtype=np.float16)):
        raw = fixed.to_fixed(values, 15)
        assert (raw.tolist(), raw.dtype) == ([32767], np.int16)
    for dtype in (np.int8, np.int16, np.int64):
        values = fixed.from_fixed(np.array([3], dtype=dtype), 1)
        assert (values.tolist(), values.dtype) == ([1.5], np.float64)


@given(words, st.integers(-15, 30))
def test_fixed_to_float_and_back_is_exact(raw, bits):
    assert fixed.to_fixed(fixed.from_fixed(raw, bits), bits) == raw


@pytest.mark.parametrize(("bits", "word"), [(-15, 0), (-1, 0), (0, 1), (5, 32), (14, 16384), (15, 32767), (30, 32767)])
def test_one_is_the_word_of_1(bits, word):
    assert fixed.one(bits) == word


@pytest.mark.parametrize(("bits", "values"), [(-15, [32768.0, -(2.0**30)]), (30, [2.0**-30, -(2.0**-15)])])
def test_words_at_both_ends_of_the_scales(bits, values):
    assert fixed.to_fixed(values, bits).tolist() == [1, -32768]
    assert fixed.from_fixed([1, -32768], bits).tolist() == values


def test_floats_too_large_for_a_word_are_counted():
    """32767.5 and 32768 both round to 32768, -32768.5 to -32768."""
    values = [[32767.4, 32767.5, 32768.0], [-32768.5, -32769.0, 1e30]]
    assert fixed.n_saturated(values, 0) == 4
    assert fixed.n_saturated(values, -1) == 1
    assert fixed.n_saturated(np.array([], dtype=np.float32), 30) == 0


MAGNITUDES = st.integers(-60, 100).flatmap(lambda power: st.floats(0, 9).map(lambda x: x * 2.0**power))


@given(MAGNITUDES, st.integers(-30, 0), st.integers(-30, 60))
def test_largest_fractional_bits_is_the_largest_that_fits(magnitude, low, high):
    bits = fixed.largest_fractional_bits(magnitude, low, max(low, high))
    fits = [b for b in range(low, max(low, high) + 1) if round(Fraction(magnitude) * Fraction(2) ** b) <= 32767]
    assert bits == (min(0, max(low, high)) if magnitude == 0 else max(fits, default=low))


@pytest.mark.parametrize(
    ("magnitude", "bits"),
    [
        (32767, 0), (32767.4, 0), (16383.5, 1), (16383.8, 0), (1e6, -5), (0, 0),
        (32767 / 2**30, 30), (1e-6, 30), (5e-324, 30), (32767 * 2.0**15, -15), (2.0**30, -15), (1e30, -15),
    ],
)  # fmt: skip
def test_a_word_is_used_up_to_its_largest(magnitude, bits):
    """16383.5 is 32767 with one fractional bit, the largest word; 16383.8 would round to 32768."""
    assert fixed.largest_fractional_bits(magnitude, -15, 30) == bits


@pytest.mark.parametrize("pick", KERNELS)
@given(weight=words, activation=words, shift=st.integers(0, 30), half=st.booleans())
def test_product_against_python_integers(pick, weight, activation, shift, half):
    added = 2 ** (shift - 1) if half and shift else 0
    assert pick(fixed.product)(weight, activation, added, shift) == (weight * activation + added) // 2**shift


@pytest.mark.parametrize("pick", KERNELS)
@given(accumulator=st.integers(-(2**31), 2**31 - 1), addend=st.integers(-(2**30), 2**30))
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_saturating_add_against_python_integers(pick, accumulator, addend, bits):
    low, high = fixed.accumulator_range(bits)
    assert (low, high) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert pick(fixed.saturating_add)(accumulator, addend, low, high) == sorted((low, accumulator + addend, high))[1]


@pytest.mark.parametrize(
    ("rounding", "shift", "half"), [("floor", 4, 0), ("nearest", 4, 8), ("nearest", 1, 1), ("nearest", 0, 0)]
)
def test_half_a_unit_is_added_to_round_to_nearest(rounding, shift, half):
    assert fixed.half_and_shift(rounding, shift) == (half, shift)


@pytest.mark.parametrize("pick", KERNELS)
@pytest.mark.parametrize(
    ("factors", "shift", "floored", "nearest"),
    [
        ((-32768, -32768), 30, 1, 1),
        ((-32768, -32768), 31, 0, 1),  # half a unit goes up
        ((-32768, 32767), 31, -1, 0),
        ((32767, 32767), 31, 0, 0),
        ((-32768, -32768), 32, 0, 0),
        ((-32768, 32767), 32, -1, 0),
        ((1, -1), 40, -1, 0),
        ((1, 1), 40, 0, 0),
        ((-32768, 32767), 60, -1, 0),
        ((32767, 32767), 64, 0, 0),
        ((-32768, 32767), 90, -1, 0),
        ((0, -5), 90, 0, 0),
    ],
)
def test_a_shift_above_31_leaves_nothing_or_the_sign(pick, factors, shift, floored, nearest):
    for rounding, expected in (("floor", floored), ("nearest", nearest)):
        assert pick(fixed.product)(*factors, *fixed.half_and_shift(rounding, shift)) == expected


@pytest.mark.parametrize("pick", KERNELS)
@given(weight=words, activation=words, shift=st.integers(0, 90), rounding=st.sampled_from(["floor", "nearest"]))
def test_every_shift_is_that_of_unbounded_integers(pick, weight, activation, shift, rounding):
    half = 2**shift // 2 if rounding == "nearest" else 0
    expected = (weight * activation + half) >> shift
    assert pick(fixed.product)(weight, activation, *fixed.half_and_shift(rounding, shift)) == expected


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.integers(-30, 60), st.integers(-15, 30))
def test_a_write_back_rounds_the_exact_value_half_to_even(raw, from_bits, to_bits):
    expected = [min(max(round(Fraction(r) * Fraction(2) ** (to_bits - from_bits)), -32768), 32767) for r in raw]
    real = fixed.from_fixed(np.array(raw, dtype=np.int64), from_bits)
    assert fixed.to_fixed(real, to_bits).tolist() == expected
