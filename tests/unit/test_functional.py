"""Saturation in the order of the broadcasts, against plain integers clamped entry by entry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.units.eie import functional, reference
from eie_sim.units.eie.unit import raw_activations, sums_of

LARGEST = 32767
BOOK = np.array([0, LARGEST, -LARGEST, LARGEST // 2], dtype=np.int16)


def clamped(products, bits):
    """Sum of integers that is held within a word after each."""
    total = 0
    for each in products:
        total = min(max(total + each, -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
    return total


SHIFTS = {16: 15, 24: 7, 32: 0}
"""For which the largest product is just within an accumulator of so many bits, or half of it."""


def both(codes, raw, bits):
    """Outputs of the functional model and of the reference engine, on two PEs."""
    scales = es.Scales(weight=SHIFTS[bits], activation=0, accumulator=0)
    matrix = es.EieMatrix.from_codes(codes, BOOK, n_pe=2, scales=scales)
    config = es.EieConfig(n_pe=2, weight_bits=2, accumulator_bits=bits, rounding="floor", active="nonzero")
    return functional.accumulate(matrix, raw, config).tolist(), reference.run(matrix, raw, config).output.tolist()


@pytest.mark.parametrize("bits", [16, 24, 32])
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=3),
    st.lists(st.sampled_from([LARGEST, -LARGEST, 1000]), min_size=6, max_size=6),
)
def test_sums_are_clamped_after_every_entry(bits, codes, raw):
    """Products of up to 2**30, shifted to 2**15, 2**23 or not at all: two or three of one sign leave the range."""
    book, wanted = BOOK.tolist(), []
    for row in codes:
        products = [(book[code] * value) >> SHIFTS[bits] for code, value in zip(row, raw, strict=True) if code]
        wanted.append(clamped(products, bits))
    found = both(np.array(codes), np.array(raw, dtype=np.int16), bits)
    assert found == (wanted, wanted)


@pytest.mark.parametrize(
    ("signs", "output"),
    [
        ("+", 32766),
        ("++", LARGEST),
        ("++-", LARGEST - 32767),
        ("++--", -32767),
        ("-", -32767),
        ("--", -32768),
        ("--+", -32768 + 32766),
        ("-+", -1),
        ("+-+-+", 32764),
    ],
)
def test_what_left_the_range_stays_lost_although_later_entries_lead_back(signs, output):
    """32767 x 32767 >> 15 is 32766, and of the negative product -32767; the first sum beyond a word is held there."""
    codes = np.array([[{"+": 1, "-": 2}[sign] for sign in signs]])
    assert both(codes, np.full(len(signs), LARGEST, dtype=np.int16), 16) == ([output], [output])


@pytest.mark.parametrize(("code", "output"), [(1, 2**23 - 1), (2, -(2**23))])
def test_a_single_product_can_be_beyond_the_accumulator(code, output):
    """2**30 with no shift is seven bits too long for 24."""
    scales = es.Scales(weight=0, activation=0, accumulator=0)
    matrix = es.EieMatrix.from_codes([[code]], BOOK, n_pe=1, scales=scales)
    config = es.EieConfig(n_pe=1, weight_bits=2, accumulator_bits=24)
    raw = np.array([LARGEST], dtype=np.int16)
    assert functional.accumulate(matrix, raw, config).tolist() == [output]
    assert reference.run(matrix, raw, config).output.tolist() == [output]


def test_one_output_that_saturates_leaves_the_others_as_they_are():
    codes = np.array([[1, 1, 2], [1, 2, 1], [0, 0, 3]])
    found = both(codes, np.full(3, LARGEST, dtype=np.int16), 16)
    assert found == ([LARGEST - 32767, 32765, 16382], [LARGEST - 32767, 32765, 16382])


@pytest.mark.parametrize(("bits", "dtype"), [(16, np.int16), (24, np.int32), (32, np.int32)])
def test_outputs_are_words_of_the_accumulator(bits, dtype):
    matrix = es.EieMatrix.from_codes([[1, 0]], BOOK, n_pe=2, scales=es.Scales(weight=0, activation=0, accumulator=0))
    config = es.EieConfig(n_pe=2, weight_bits=2, accumulator_bits=bits)
    assert sums_of(matrix, np.zeros((1, 2), dtype=np.int16), config).dtype == dtype
    assert raw_activations(matrix, np.array([1, 2])).dtype == np.int16
    for engine in ("fast", "reference"):
        assert es.simulate(matrix, [1, 2], config, engine=engine).output.dtype == dtype
