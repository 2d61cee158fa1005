import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import fixed

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


@given(words, st.integers(0, 15))
def test_fixed_to_float_and_back_is_exact(raw, bits):
    assert fixed.to_fixed(fixed.from_fixed(raw, bits), bits) == raw


@pytest.mark.parametrize("bits", range(16))
def test_one_is_the_word_of_1(bits):
    assert fixed.one(bits) == fixed.to_fixed(1.0, bits)


@given(st.floats(0, 1e6), st.integers(0, 15))
def test_largest_fractional_bits_is_the_largest_that_fits(magnitude, limit):
    bits = fixed.largest_fractional_bits(magnitude, limit=limit)
    fits = [b for b in range(limit + 1) if round(magnitude * 2**b) <= 32767]
    assert bits == (max(fits) if fits else 0)


@pytest.mark.parametrize(
    ("magnitude", "bits"), [(32767, 0), (32767.4, 0), (16383.5, 1), (16383.8, 0), (1e6, 0), (0, 15)]
)
def test_a_word_is_used_up_to_its_largest(magnitude, bits):
    """16383.5 is 32767 with one fractional bit, the largest word; 16383.8 would round to 32768."""
    assert fixed.largest_fractional_bits(magnitude) == bits


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
def test_rounding_half(rounding, shift, half):
    assert fixed.rounding_half(rounding, shift) == half


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.integers(0, 15), st.integers(0, 15))
def test_requantise_rounds_the_exact_value_half_to_even(raw, from_bits, to_bits):
    from fractions import Fraction

    expected = [min(max(round(Fraction(r, 2**from_bits) * 2**to_bits), -32768), 32767) for r in raw]
    assert fixed.requantise(np.array(raw, dtype=np.int64), from_bits, to_bits).tolist() == expected
