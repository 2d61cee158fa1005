"""The oracle against plain Python integers and fractions, and what it says of weights that are stored wrongly."""

import time
from dataclasses import dataclass, field
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
import scipy.sparse
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from eie_sim.core import golden
from eie_sim.core.golden import Arithmetic
from eie_sim.units.eie.matrix import EieMatrix

WAYS = (golden.row_after_row, golden.side_by_side)
EXACT = Arithmetic(0, 0, 0, accumulator_bits=16, rounding="floor", active="positive")


def word(value, bits):
    """The nearest 16-bit word of a number, ties to even, saturating."""
    return min(max(round(Fraction(value) * Fraction(2) ** bits), -32768), 32767)


@dataclass
class ByHand:
    """One output of one vector: raw accumulator, whether it was clamped, and the exact product."""

    raw: int = 0
    saturated: bool = False
    exact: Fraction = field(default_factory=Fraction)

    def add(self, weight, activation, raw_activation, rules):
        shift = rules.weight + rules.activation - rules.accumulator
        half = 2**shift // 2 if rules.rounding == "nearest" else 0
        total = self.raw + (word(weight, rules.weight) * raw_activation + half) // 2**shift
        limit = 2 ** (rules.accumulator_bits - 1)
        self.raw = min(max(total, -limit), limit - 1)
        self.saturated |= self.raw != total
        self.exact += Fraction(weight) * Fraction(activation)


def by_hand(codes, codebook, vector, rules):
    """Every output of one vector, entry by entry. Floats are quantised, integers are raw words already."""
    raw = [int(v) if isinstance(v, np.integer) else word(float(v), rules.activation) for v in vector]
    unit = Fraction(2) ** -rules.activation
    real = [int(v) * unit if isinstance(v, np.integer) else Fraction(float(v)) for v in vector]
    if len(vector) < codes.shape[1]:
        raw, real = [*raw, 2**rules.activation], [*real, Fraction(1)]
    outputs = []
    for row in codes:
        one = ByHand()
        for code, value, value_raw in zip(row, real, raw, strict=True):
            takes_part = value > 0 if rules.active == "positive" else value != 0
            if code and takes_part:
                one.add(float(codebook[code]), value, value_raw, rules)
        outputs.append(one)
    return outputs


@st.composite
def rules(draw, bias):
    weight, activation = draw(st.integers(-15, 30)), draw(st.integers(*((0, 14) if bias else (-15, 30))))
    most = weight + activation
    return Arithmetic(
        weight,
        activation,
        most - draw(st.integers(0, min(20, most + 30)) | st.integers(0, most + 30)),
        draw(st.sampled_from([16, 24, 32])),
        draw(st.sampled_from(["floor", "nearest"])),
        draw(st.sampled_from(["positive", "nonzero"])),
    )


@st.composite
def products(draw):
    """(codes, codebook, activations, rules): floats or raw words, with and without a bias, up to saturation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_out, n_in, n_vector = draw(st.integers(0, 6)), draw(st.integers(0, 12)), draw(st.integers(1, 3))
    bias = int(draw(st.booleans()))
    asked = draw(rules(bias))
    codes = rng.integers(0, 4, (n_out, n_in + bias)).astype(np.uint8)
    size = draw(st.sampled_from([0.01, 1.0, 1.0, 1e4]))
    codebook = np.concatenate([[0.0], rng.normal(size=3) * size])
    if draw(st.booleans()):
        inputs = rng.integers(-9, draw(st.sampled_from([3, 300, 32767])), (n_vector, n_in)).astype(np.int16)
    else:
        inputs = rng.normal(size=(n_vector, n_in)) * draw(st.sampled_from([1e-4, 1.0, 1e5]))
        inputs[rng.random(inputs.shape) < 0.2] = 0
    return codes, codebook, inputs, asked


def taken(way, codes, codebook, inputs, asked, **sizes):
    """The product taken in one of both ways, and with other sizes of what is taken at once."""
    stored = golden.nonzeros(codes)
    with mock.patch.multiple(golden, **{"MANY": golden.MANY, **sizes}):
        return way(stored, golden.terms(stored, codebook, inputs, asked))


@given(products(), st.sampled_from(WAYS), st.sampled_from([1, 7, golden.AT_ONCE]))
def test_every_output_is_that_of_plain_integers_taken_entry_by_entry(case, way, at_once):
    codes, codebook, inputs, asked = case
    oracle = taken(way, codes, codebook, inputs, asked, AT_ONCE=at_once)
    expected = [by_hand(codes, codebook, vector, asked) for vector in inputs]
    shape = (len(inputs), len(codes))
    assert oracle.output.shape == oracle.saturated.shape == oracle.real.shape == oracle.bound.shape == shape
    assert oracle.output.tolist() == [[one.raw for one in vector] for vector in expected]
    assert oracle.saturated.tolist() == [[one.saturated for one in vector] for vector in expected]


@given(products(), st.sampled_from(WAYS), st.sampled_from([0, 2**62]))
def test_unclamped_outputs_are_within_the_bound_of_the_exact_product(case, way, sparse):
    codes, codebook, inputs, asked = case
    oracle = taken(way, codes, codebook, inputs, asked, SPARSE=sparse)
    for at, vector in enumerate(inputs):
        for row, one in enumerate(by_hand(codes, codebook, vector, asked)):
            value, bound = one.raw / Fraction(2) ** asked.accumulator, Fraction(oracle.bound[at, row])
            assert one.saturated or abs(value - one.exact) <= bound
            assert abs(Fraction(oracle.real[at, row]) - one.exact) <= bound


@st.composite
def batches(draw):
    """(codes, codebook, activations, rules) of batches and codebooks of all sizes; many saturate, some a little."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_out, n_in, n_vector = draw(st.integers(0, 20)), draw(st.integers(0, 200)), draw(st.integers(1, 40))
    n_code, bias = draw(st.integers(2, 256)), int(draw(st.booleans()))
    codes = rng.integers(1, n_code, (n_out, n_in + bias)).astype(np.uint8)
    codes[rng.random(codes.shape) >= draw(st.sampled_from([0.01, 0.3, 1.0]))] = 0
    weight, activation = draw(st.integers(0, 15)), draw(st.integers(0, 14))
    codebook = np.concatenate([[0.0], rng.normal(size=n_code - 1) * draw(st.sampled_from([0.1, 1.0, 1e4]))])
    inputs = rng.normal(size=(n_vector, n_in)) * draw(st.sampled_from([0.1, 1.0, 1e4]))
    inputs[rng.random(inputs.shape) < 0.5] = 0
    if draw(st.booleans()):
        inputs = np.clip(inputs * 2.0**activation, -32768, 32767).astype(np.int16)
    bits, rounding = draw(st.sampled_from([16, 24, 32])), draw(st.sampled_from(["floor", "nearest"]))
    shift, active = draw(st.integers(0, weight + activation + 3)), draw(st.sampled_from(["positive", "nonzero"]))
    return codes, codebook, inputs, Arithmetic(weight, activation, weight + activation - shift, bits, rounding, active)


@given(batches(), st.sampled_from([1, 100, golden.AT_ONCE]), st.sampled_from([0, 2**62]), st.sampled_from([1, 2**20]))
def test_both_ways_give_the_same(case, at_once, sparse, dense):
    plain = taken(golden.row_after_row, *case)
    most = (np.abs(plain.x) @ np.abs(case[1][case[0]]).T).max(initial=0)
    found = taken(golden.side_by_side, *case, AT_ONCE=at_once, SPARSE=sparse, MAX_DENSE=dense)
    np.testing.assert_array_equal(found.output, plain.output)
    np.testing.assert_array_equal(found.saturated, plain.saturated)
    np.testing.assert_array_equal(found.x, plain.x)
    np.testing.assert_allclose(found.real, plain.real, rtol=0, atol=1e-13 * most)
    np.testing.assert_allclose(found.bound, plain.bound, rtol=1e-12)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_some_batches_saturate_in_part(bits):
    """The cases above are no proof where none of them saturates, or all do."""

    def part(case):
        return case[3].accumulator_bits == bits and 0.05 < taken(golden.row_after_row, *case).saturated.mean() < 0.5

    search = settings(max_examples=3000, database=None, phases=[Phase.generate])
    find(batches().filter(lambda case: case[0].size and case[2].size), part, settings=search)


@pytest.mark.parametrize(("n_vector", "way"), [(golden.MANY - 1, "row_after_row"), (golden.MANY, "side_by_side")])
def test_the_way_depends_on_the_number_of_vectors(n_vector, way):
    with mock.patch.object(golden, way, return_value="taken"):
        codes = golden.nonzeros(np.eye(2, dtype=np.uint8))
        assert golden.matmul(codes, np.array([0.0, 1.0]), np.ones((n_vector, 2)), EXACT) == "taken"


@given(batches(), st.sampled_from([0, 2**62]))
def test_products_in_floats_are_those_of_dense_matrices(case, sparse):
    codes, codebook, inputs, asked = case
    x = golden.terms(golden.nonzeros(codes), codebook, inputs, asked).x
    weights = codebook[codes]
    with mock.patch.object(golden, "SPARSE", sparse):
        found = golden.product(golden.nonzeros(weights), x)
    np.testing.assert_allclose(
        found, x @ weights.T, rtol=0, atol=1e-12 * (np.abs(x) @ np.abs(weights.T)).max(initial=0)
    )


def ratio(case):
    """Largest distance from the float product over its bound, where there is room for one."""
    codes, codebook, inputs, asked = case
    oracle = golden.matmul(golden.nonzeros(codes), codebook, inputs, asked)
    distance = np.abs(oracle.output / 2.0**asked.accumulator - oracle.real)
    there = ~oracle.saturated & (oracle.bound > 1e-9)
    return float((distance[there] / oracle.bound[there]).max(initial=0.0))


@pytest.mark.parametrize("rounding", ["floor", "nearest"])
@pytest.mark.parametrize("n_in", [1, 10])
def test_the_bound_is_not_much_wider_than_what_happens(rounding, n_in):
    """With a single product and with ten, some case uses up a good part of its bound."""
    with_terms = products().filter(
        lambda case: case[3].rounding == rounding and case[2].shape[1] >= n_in and case[0].size > 0
    )
    search = settings(max_examples=500, database=None, phases=[Phase.generate])
    find(with_terms, lambda case: ratio(case) > 0.3, settings=search)


def test_ordinary_layers_use_up_a_good_part_of_their_bound():
    rng = np.random.default_rng(0)
    codebook = np.concatenate([[0.0], np.linspace(-0.4, 0.5, 15)])
    codes = (rng.integers(1, 16, (20, 64)) * (rng.random((20, 64)) < 0.1)).astype(np.uint8)
    rules_of_layer = Arithmetic(15, 13, 12, accumulator_bits=16, rounding="floor", active="positive")
    assert 0.3 < ratio((codes, codebook, rng.random((30, 64)), rules_of_layer)) <= 1.0


def test_one_floored_product_by_hand():
    # 3 x 3 quarters is 2.25: floored to 2, with a bound of one unit, rounded to 2 with half of one.
    asked = Arithmetic(1, 1, 0, accumulator_bits=16, rounding="floor", active="positive")
    floored = golden.matmul(
        golden.nonzeros(np.array([[1]], dtype=np.uint8)), np.array([0, 1.5]), np.array([1.5]), asked
    )
    nearest = golden.matmul(
        golden.nonzeros(np.array([[1]], dtype=np.uint8)),
        np.array([0, 1.5]),
        np.array([1.5]),
        asked._replace(rounding="nearest"),
    )
    assert (floored.output.tolist(), nearest.output.tolist()) == ([[2]], [[2]])
    assert floored.real.tolist() == [[2.25]]
    assert floored.bound[0, 0] == pytest.approx(1.0)
    assert nearest.bound[0, 0] == pytest.approx(0.5)


def test_negative_products_are_floored_downwards():
    asked = Arithmetic(1, 1, 0, accumulator_bits=16, rounding="floor", active="positive")
    codes, inputs = np.array([[1]], dtype=np.uint8), np.array([[0.5]])
    assert golden.matmul(golden.nonzeros(codes), np.array([0, -0.5]), inputs, asked).output.tolist() == [[-1]]
    assert golden.matmul(
        golden.nonzeros(codes), np.array([0, -0.5]), inputs, asked._replace(rounding="nearest")
    ).output.tolist() == [[0]]


def test_numbers_that_fit_exactly_have_no_room_for_error():
    asked = Arithmetic(2, 2, 4, accumulator_bits=32, rounding="floor", active="nonzero")
    codes = np.array([[1, 2, 3]], dtype=np.uint8)
    oracle = golden.matmul(golden.nonzeros(codes), np.array([0, 0.25, -1.5, 2.0]), np.array([0.75, -2.25, 1.0]), asked)
    assert oracle.output / 16 == oracle.real == 0.25 * 0.75 + 1.5 * 2.25 + 2.0
    assert 0 <= oracle.bound[0, 0] < 1e-12


def test_saturation_is_flagged_where_it_happens_although_later_entries_lead_back():
    codes, book = np.array([[1, 1, 2], [1, 2, 1], [0, 0, 0]], dtype=np.uint8), np.array([0, 20000, -20000, 0])
    oracle = golden.matmul(golden.nonzeros(codes), book, np.array([[1, 1, 1]], dtype=np.int16), EXACT)
    assert oracle.output.tolist() == [[12767, 20000, 0]]
    assert oracle.saturated.tolist() == [[True, False, False]]
    wide = golden.matmul(
        golden.nonzeros(codes), book, np.array([[1, 1, 1]], dtype=np.int16), EXACT._replace(accumulator_bits=24)
    )
    assert wide.output.tolist() == [[20000, 20000, 0]]
    assert not wide.saturated.any()


def test_both_ends_of_the_accumulator_are_reached_without_being_clamped():
    codes, book = np.array([[1], [2]], dtype=np.uint8), np.array([0, 32767, -32768, 0])
    oracle = golden.matmul(golden.nonzeros(codes), book, np.array([[1]], dtype=np.int16), EXACT)
    assert oracle.output.tolist() == [[32767, -32768]]
    assert not oracle.saturated.any()


def test_a_bias_is_driven_by_one_in_every_vector():
    asked = Arithmetic(8, 14, 8, accumulator_bits=16, rounding="floor", active="positive")
    codes, book = np.array([[0, 1], [1, 0]], dtype=np.uint8), np.array([0, 0.5])
    oracle = golden.matmul(golden.nonzeros(codes), book, np.array([[0.0], [1.0], [-1.0]]), asked)
    assert oracle.output.tolist() == [[128, 0], [128, 128], [128, 0]]
    assert oracle.real.tolist() == [[0.5, 0.0], [0.5, 0.5], [0.5, 0.0]]


def test_columns_without_codes_are_not_walked():
    """A matrix of 2**20 columns is done at once where few have codes, and the result is that of those few."""
    codes = np.zeros((2**20, 2), dtype=np.uint8).T
    codes[:, [5, 2**20 - 1]] = [[1, 0], [1, 1]]
    inputs = np.arange(2**20, dtype=np.int64)[None] % 100
    few = golden.matmul(golden.nonzeros(codes[:, [5, -1]]), np.array([0.0, 2.0]), inputs[:, [5, -1]], EXACT)
    start = time.process_time()
    found = golden.matmul(golden.nonzeros(codes), np.array([0.0, 2.0]), inputs, EXACT)
    assert time.process_time() - start < 5
    np.testing.assert_array_equal(found.output, few.output)
    assert found.output.tolist() == [[10, 160]]


def test_inputs_beyond_a_word_saturate_and_the_bound_knows():
    asked = Arithmetic(0, 0, 0, accumulator_bits=32, rounding="floor", active="nonzero")
    oracle = golden.matmul(
        golden.nonzeros(np.array([[1]], dtype=np.uint8)), np.array([0, 1]), np.array([[40_000.0], [-4e4]]), asked
    )
    assert oracle.output.tolist() == [[32767], [-32768]]
    assert oracle.real.tolist() == [[40_000.0], [-40_000.0]]
    assert oracle.bound[:, 0] == pytest.approx([40_000 - 32_767, 40_000 - 32_768])


@pytest.mark.parametrize(
    ("shift", "floored", "nearest"),
    [(30, [1, -1, -1], [1, -1, 0]), (31, [0, -1, -1], [1, 0, 0])] + [(s, [0, -1, -1], [0] * 3) for s in (32, 64, 90)],
)
def test_products_of_which_a_shift_leaves_the_sign(shift, floored, nearest):
    """2**30, -2**15 x 32767 and -1, which floor never makes 0 and nearest does from half a unit down."""
    scales = {30: (15, 15, 0), 31: (15, 16, 0), 32: (16, 16, 0), 64: (30, 30, -4), 90: (30, 30, -30)}[shift]
    book = np.array([0, -32768, 32767, 1]) / 2.0 ** scales[0]
    raw = np.array([[-32768, 0, 0], [0, -32768, 0], [0, 0, -1]], dtype=np.int16)
    codes = np.array([[1, 2, 3]], dtype=np.uint8)
    for rounding, expected in (("floor", floored), ("nearest", nearest)):
        asked = Arithmetic(*scales, accumulator_bits=16, rounding=rounding, active="nonzero")
        oracle = golden.matmul(golden.nonzeros(codes), book, raw, asked)
        assert oracle.output[:, 0].tolist() == expected
        distance = np.abs(oracle.output / 2.0 ** scales[2] - oracle.real)
        assert (distance <= oracle.bound).all()


@given(st.lists(st.integers(-(2**31), 2**31 - 1)), st.integers(-30, 60), st.integers(-15, 30))
def test_write_back_is_the_positive_exact_value_half_to_even(raw, accumulator, activation):
    expected = [word(max(r, 0) / Fraction(2) ** accumulator, activation) for r in raw]
    assert golden.write_back(np.array(raw, dtype=np.int32), accumulator, activation).tolist() == expected


@pytest.mark.parametrize(
    ("accumulator", "activation", "expected"),
    [
        (-30, 30, [0, 0, 32767, 32767]),
        (0, 14, [0, 0, 16384, 32767]),
        (0, 15, [0, 0, 32767, 32767]),
        (2, 0, [0, 0, 0, 32767]),
        (17, 1, [0, 0, 0, 32767]),  # 2**31 - 1 over 2**16 rounds to 2**15
        (31, 0, [0, 0, 0, 1]),
        (32, 0, [0, 0, 0, 0]),
        (60, -15, [0, 0, 0, 0]),
    ],
)
def test_write_back_at_both_ends(accumulator, activation, expected):
    raw = np.array([-(2**31), 0, 1, 2**31 - 1], dtype=np.int32)
    assert golden.write_back(raw, accumulator, activation).tolist() == expected


# how weights are stored


@st.composite
def stored(draw):
    """(weights, matrix that stores them, generator)"""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 20)), draw(st.integers(1, 8))
    weights = rng.normal(size=shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    weights[rng.random(shape) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = 0
    matrix = EieMatrix.from_dense(weights, n_pe=draw(st.integers(1, 4)), weight_bits=draw(st.integers(1, 4)))
    return weights, matrix, rng


def misencoded(weights, codes, codebook):
    """What the oracle says of dense weights, after making sure that it says the same of sparse ones."""
    stored = golden.nonzeros(codes)
    found = golden.misencoded(golden.nonzeros(weights), stored, codebook)
    for convert in (scipy.sparse.csc_array, scipy.sparse.coo_array):
        assert golden.misencoded(golden.nonzeros(convert(weights)), stored, codebook) == found
    return found


def place(rng, where):
    """One of the places where `where` holds."""
    rows, columns = np.nonzero(where)
    assume(len(rows) > 0)
    at = rng.integers(len(rows))
    return rows[at], columns[at]


@given(stored())
def test_what_was_compressed_is_stored_rightly(case):
    weights, matrix, _ = case
    assert misencoded(weights, matrix.decode(), matrix.codebook) == 0


@given(stored())
def test_a_dropped_code_is_found(case):
    weights, matrix, rng = case
    codes = matrix.decode().copy()
    codes[place(rng, codes != 0)] = 0
    assert misencoded(weights, codes, matrix.codebook) == 1


@given(stored())
def test_an_added_code_is_found(case):
    weights, matrix, rng = case
    codes = matrix.decode().copy()
    codes[place(rng, codes == 0)] = 1
    assert misencoded(weights, codes, matrix.codebook) == 1


@given(stored())
def test_a_code_that_moved_is_found_at_both_places(case):
    weights, matrix, rng = case
    codes = matrix.decode().copy()
    there, empty = place(rng, codes != 0), place(rng, codes == 0)
    codes[empty], codes[there] = codes[there], 0
    assert misencoded(weights, codes, matrix.codebook) == 2


@given(stored())
def test_two_swapped_codes_are_found(case):
    weights, matrix, rng = case
    codes = matrix.decode().copy()
    one = place(rng, codes != 0)
    other = place(rng, (codes != 0) & (codes != codes[one]))
    codes[one], codes[other] = codes[other], codes[one]
    assert misencoded(weights, codes, matrix.codebook) == 2


@given(stored())
def test_a_code_other_than_the_nearest_is_found(case):
    weights, matrix, rng = case
    book = matrix.codebook
    codes = matrix.decode().copy()
    at = place(rng, codes != 0)
    distance = np.abs(book[1:] - float(weights[at]))
    worse = 1 + int(np.argmax(distance))
    assume(distance.max() > distance.min() + 1e-3)
    codes[at] = worse
    assert misencoded(weights, codes, book) == 1


def test_a_codebook_with_other_values_stores_wrong_weights():
    weights = np.array([[1.0, 2.0, 0.0]])
    codes = np.array([[1, 2, 0]], dtype=np.uint8)
    assert misencoded(weights, codes, np.array([0.0, 1.0, 2.0, 9.0])) == 0
    assert misencoded(weights, codes, np.array([0.0, 2.0, 1.0, 9.0])) == 2
    assert misencoded(weights, codes, np.array([0.0, 1.0, 9.0, 2.0])) == 1


def test_either_of_two_equally_near_values_will_do():
    book = np.array([0.0, 1.0, 3.0, 8.0])
    for code, wrong in [(1, 0), (2, 0), (3, 1)]:
        assert misencoded(np.array([[2.0]]), np.array([[code]], dtype=np.uint8), book) == wrong


def test_explicit_zeros_and_duplicates_of_a_sparse_matrix_are_no_weights_of_their_own():
    codes, book = np.array([[0, 2]], dtype=np.uint8), np.array([0.0, 1.0, 2.0, 3.0])
    weights = scipy.sparse.coo_array(([0.0, 1.5, 0.5], ([0, 0, 0], [0, 1, 1])), shape=(1, 2))
    assert golden.misencoded(golden.nonzeros(weights), golden.nonzeros(codes), book) == 0
    other = golden.nonzeros(np.array([[1, 2]], dtype=np.uint8))
    assert golden.misencoded(golden.nonzeros(weights), other, book) == 1
