import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.core.quantize import Scales
from eie_sim.units.eie import counts as counts_module
from eie_sim.units.eie import matrix as matrix_module
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.unit import compress

BOOK = np.linspace(-1, 1, 16)
BOOK[0] = 0.0


@st.composite
def coded(draw):
    shape = draw(st.integers(0, 70)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dense = np.where(rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.5, 1])), rng.integers(0, 16, shape), 0)
    bias = rng.integers(0, 16, shape[0]) * (rng.random(shape[0]) < 0.5) if draw(st.booleans()) else None
    return dense, bias, draw(st.integers(1, 9)), draw(st.integers(1, 8))


def one_column(codes):
    return np.array(codes)[:, None]


def test_the_example_of_the_paper():
    codes = [0, 0, 1, 2, *[0] * 18, 3]
    matrix = EieMatrix.from_codes(one_column(codes), BOOK, n_pe=1)
    assert matrix.codes.tolist() == [1, 2, 0, 3]
    assert matrix.gaps.tolist() == [2, 0, 15, 2]
    assert matrix.col_ptr.tolist() == [[0, 4]]
    assert (matrix.n_weight, matrix.n_padding) == (3, 1)


@pytest.mark.parametrize(("zeros", "gaps"), [(15, [15]), (16, [15, 0]), (31, [15, 15]), (32, [15, 15, 0])])
def test_a_gap_is_bridged_only_when_it_is_longer_than_15(zeros, gaps):
    matrix = EieMatrix.from_codes(one_column([0] * zeros + [7]), BOOK, n_pe=1)
    assert matrix.gaps.tolist() == gaps
    assert matrix.codes.tolist() == [0] * (len(gaps) - 1) + [7]


def test_rows_are_dealt_to_pes_and_zeros_after_the_last_weight_need_nothing():
    matrix = EieMatrix.from_codes(np.array([[1, 0], [0, 2], [0, 3], [0, 0], [5, 0]]), BOOK, n_pe=2)
    # PE 0 holds rows 0, 2, 4; PE 1 rows 1, 3.
    assert matrix.col_ptr.tolist() == [[0, 2, 3], [0, 0, 1]]
    assert matrix.codes.tolist() == [1, 5, 3, 2]
    assert matrix.gaps.tolist() == [0, 1, 1, 0]
    assert matrix.padding.tolist() == [[0, 0], [0, 0]]


@given(coded())
def test_decode_returns_what_was_encoded(case):
    dense, bias, n_pe, index_bits = case
    matrix = EieMatrix.from_codes(dense, BOOK, n_pe=n_pe, bias_codes=bias, index_bits=index_bits)
    expected = dense if bias is None else np.column_stack([dense, bias])
    np.testing.assert_array_equal(matrix.decode(), expected)
    assert matrix.n_weight == np.count_nonzero(expected)
    assert matrix.padding.sum() == matrix.n_padding == np.count_nonzero(matrix.codes == 0)
    assert matrix.has_bias == (bias is not None)


@given(coded())
def test_dense_sparse_and_fortran_order_encode_alike(case):
    dense, _, n_pe, index_bits = case
    values = BOOK[dense]
    matrices = [
        EieMatrix.from_dense(given_as, n_pe=n_pe, index_bits=index_bits)
        for given_as in (
            values,
            np.asfortranarray(values),
            scipy.sparse.csr_array(values),
            scipy.sparse.coo_array(values),
        )
    ]
    for matrix in matrices[1:]:
        np.testing.assert_array_equal(matrix.codes, matrices[0].codes)
        np.testing.assert_array_equal(matrix.gaps, matrices[0].gaps)
        np.testing.assert_array_equal(matrix.pointers, matrices[0].pointers)
        np.testing.assert_array_equal(matrix.codebook, matrices[0].codebook)


def test_clustering_shares_the_codebook_with_the_bias():
    matrix = EieMatrix.from_dense(np.array([[1.0, 0.0], [0.0, 1.0]]), bias=np.array([0.0, 5.0]), n_pe=1, weight_bits=2)
    assert matrix.codebook.tolist() == [0.0, 1.0, 3.0, 5.0]
    assert matrix.decode().tolist() == [[1, 0, 0], [0, 1, 3]]
    assert matrix.density == 0.5


def test_scales_are_chosen_from_the_codebook_and_the_activations():
    w = np.array([[0.5, 0.0], [0.0, -1.5]])
    matrix = EieMatrix.from_dense(w, n_pe=1)
    assert matrix.scales == Scales(weight=14)
    chosen = matrix.with_scales_for(np.array([3.0, 1.0])).scales
    # 3.0 fits with 13 fractional bits; outputs 1.5 and -1.5 with one bit of headroom fit with 13.
    assert chosen == Scales(weight=14, activation=13, accumulator=13)
    assert EieMatrix.from_dense(w, n_pe=1, activations=np.array([3.0, 1.0])).scales == chosen


def test_raw_integers_without_scales_are_integers():
    matrix = EieMatrix.from_codes(np.array([[1]]), np.array([0, 7], dtype=np.int16), n_pe=1)
    assert matrix.with_scales_for(np.array([3], dtype=np.int16)).scales == Scales(weight=0, activation=0, accumulator=0)


def test_what_is_left_out_is_the_papers_design():
    for matrix in (EieMatrix.from_dense(np.eye(2)), EieMatrix.from_codes(np.eye(2, dtype=np.uint8), BOOK)):
        assert (matrix.n_pe, matrix.weight_bits, matrix.index_bits, matrix.has_bias) == (64, 4, 4, False)


def test_compress_takes_the_format_of_the_design():
    w, bias = np.array([[0.5, 0.0], [0.0, -1.5]]), np.array([2.5, 0.0])
    design = EieConfig(n_pe=3, weight_bits=2, index_bits=5)
    found = compress(w, design, bias=bias)
    assert (found.n_pe, found.weight_bits, found.index_bits, found.has_bias) == (3, 2, 5, True)
    assert found.codebook[found.decode()].tolist() == [[0.5, 0.0, 2.5], [0.0, -1.5, 0.0]]


@given(coded(), st.integers(0, 3))
def test_float_products_are_those_of_the_decoded_weights(case, n_vector):
    codes, bias, n_pe, index_bits = case
    matrix = EieMatrix.from_codes(codes, BOOK, n_pe=n_pe, bias_codes=bias, index_bits=index_bits)
    inputs = np.random.default_rng(0).integers(-2, 3, (n_vector, codes.shape[1])) / 2
    driven = np.concatenate([inputs, np.ones((n_vector, int(bias is not None)))], axis=1)
    np.testing.assert_allclose(matrix.multiply(inputs), driven @ BOOK[matrix.decode()].T, atol=1e-12)


@given(coded())
def test_counts_are_of_the_entries(case):
    codes, bias, n_pe, index_bits = case
    matrix = EieMatrix.from_codes(codes, BOOK, n_pe=n_pe, bias_codes=bias, index_bits=index_bits)
    counts = matrix.counts
    assert (
        (counts.n_entry, counts.n_weight)
        == (matrix.n_entry, matrix.n_weight)
        == (len(matrix.gaps), (codes > 0).sum() + np.count_nonzero(bias if bias is not None else 0))
    )
    assert counts.padding.sum() == matrix.n_padding
    assert matrix.density == (np.count_nonzero(codes) / codes.size if codes.size else 0.0)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.float16, np.float64])
def test_weights_of_any_real_type_cluster_alike(dtype):
    w = np.array([[0, 1, 2], [3, 50, 51]])
    matrix = EieMatrix.from_dense(w.astype(dtype), n_pe=1, weight_bits=2)
    assert matrix.codebook.tolist() == [0.0, 2.0, 26.0, 50.5]
    assert matrix.decode().tolist() == [[0, 1, 1], [1, 3, 3]]


def test_negative_integers_cluster_as_what_they_are():
    """-2 is above the middle between -5 and -0.5, -2.75, but not above -2."""
    assert EieMatrix.from_dense([[-5, -2, 4]], n_pe=1, weight_bits=2).codebook.tolist() == [0.0, -5.0, -2.0, 4.0]


def test_float32_weights_are_compared_with_thresholds_in_float64():
    """Of 1, 2 and 3 steps above 1.0, the thresholds 1.5 and 2.5 both round to 2 in float32, and 2 is above one."""
    w = np.float32(1) + np.array([[1, 2, 3]], dtype=np.float32) * np.finfo(np.float32).eps
    assert EieMatrix.from_dense(w, n_pe=1, weight_bits=2).decode().tolist() == [[1, 2, 3]]
    assert EieMatrix.from_dense(w.astype(np.float64), n_pe=1, weight_bits=2).decode().tolist() == [[1, 2, 3]]


def test_every_other_row_and_column_of_an_array_is_a_matrix_too():
    w = np.arange(24.0).reshape(4, 6)
    matrix = EieMatrix.from_dense(w[::2, ::2], n_pe=1)
    assert matrix.codebook[matrix.decode()].tolist() == [[0.0, 2.0, 4.0], [12.0, 14.0, 16.0]]


@pytest.mark.parametrize("largest", [np.float64(2.0**100), np.float16(65504)])
def test_weights_reach_the_largest_magnitude(largest):
    assert EieMatrix.from_dense(np.array([[largest, -largest]]), n_pe=1).n_weight == 2


def test_raw_codebooks_keep_the_other_scales():
    raw = np.array([0, 7], dtype=np.int16)
    matrix = EieMatrix.from_codes([[1]], raw, n_pe=1, scales=Scales(activation=3, accumulator=2))
    assert (matrix.scales, matrix.codebook.tolist()) == (Scales(weight=0, activation=3, accumulator=2), [0.0, 7.0])
    matrix = EieMatrix.from_codes([[1]], raw, n_pe=1, scales=Scales(weight=2))
    assert (matrix.scales, matrix.codebook.tolist()) == (Scales(weight=2), [0.0, 1.75])


def test_codes_choose_scales_for_activations_too():
    given = EieMatrix.from_codes([[1]], [0.0, 1.0], n_pe=1, activations=[3.0])
    assert given.scales == EieMatrix.from_codes([[1]], [0.0, 1.0], n_pe=1).with_scales_for([3.0]).scales
    assert given.scales.complete


def test_entries_and_pointers_are_limited(monkeypatch):
    """4 weights and, with gaps of one bit, a padding entry for each 2 rows of zeros: 3 before the weight in row 6."""
    w = [[1, 1], [0, 1], *([[0, 0]] * 4), [0, 1]]
    assert EieMatrix.from_dense(w, n_pe=1, index_bits=1).n_entry == 6
    monkeypatch.setattr(counts_module, "MAX_ENTRIES", 6)
    EieMatrix.from_dense(w, n_pe=1, index_bits=1)
    monkeypatch.setattr(counts_module, "MAX_ENTRIES", 5)
    with pytest.raises(InputError) as error:
        EieMatrix.from_dense(w, n_pe=1, index_bits=1)
    assert str(error.value) == "weights=6 entries: must encode to at most 5 entries"
    monkeypatch.setattr(counts_module, "MAX_POINTERS", 6)
    assert EieMatrix.from_dense(np.eye(2), n_pe=2).n_pe == 2
    with pytest.raises(InputError) as error:
        EieMatrix.from_dense(np.eye(2), n_pe=3)
    assert str(error.value) == "n_pe=3: times columns must be at most 6 pointers"


def test_a_matrix_is_decoded_up_to_a_limit(monkeypatch):
    encoded = EieMatrix.from_codes(np.eye(2, 3, dtype=np.uint8), BOOK)
    monkeypatch.setattr(matrix_module, "MAX_DENSE", 6)
    assert encoded.decode().shape == (2, 3)
    monkeypatch.setattr(matrix_module, "MAX_DENSE", 5)
    with pytest.raises(InputError) as error:
        encoded.decode()
    assert str(error.value) == "weights=shape (2, 3): must have at most 5 positions to be decoded to a dense array"


def test_weights_on_their_way_into_a_file_are_not_changed():
    dense = np.array([[0.0, 2.0], [3.0, 0.0]])
    sparse = scipy.sparse.csc_array(dense)
    EieMatrix.from_dense(sparse, n_pe=1)
    np.testing.assert_array_equal(sparse.toarray(), dense)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EieMatrix.from_dense(np.zeros(3)), "weights=shape (3,): must have 2 dimensions, (out, in)"),
        (
            lambda: EieMatrix.from_dense(np.zeros((2, 2, 2))),
            "weights=shape (2, 2, 2): must have 2 dimensions, (out, in)",
        ),
        (lambda: EieMatrix.from_dense([[1.0, np.nan]]), "weights[0, 1]=nan: must be finite"),
        (lambda: EieMatrix.from_dense([[np.inf]]), "must be finite"),
        (lambda: EieMatrix.from_dense([[1j]]), "weights=dtype complex128: must hold real numbers"),
        (lambda: EieMatrix.from_dense([["a"]]), "must hold real numbers"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), n_pe=0), "n_pe=0: must be an integer in 1..65536"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), n_pe=2.5), "n_pe=2.5: must be an integer in 1..65536"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), index_bits=9), "index_bits=9: must be an integer in 1..8"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), weight_bits=0), "weight_bits=0: must be an integer in 1..8"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), bias=np.ones(3)), "bias=shape (3,): must be (2,)"),
        (lambda: EieMatrix.from_dense(np.ones((2, 2)), bias=[1, np.nan]), "must be finite"),
        (lambda: EieMatrix.from_codes([[16]], BOOK), "codes=16: must be below the codebook's 16 values"),
        (lambda: EieMatrix.from_codes([[-1]], BOOK), "codes=-1: must be >= 0"),
        (lambda: EieMatrix.from_codes([[1.0]], BOOK), "codes=dtype float64: must be integers"),
        (lambda: EieMatrix.from_codes([1], BOOK), "codes=shape (1,): must have 2 dimensions, (out, in)"),
        (
            lambda: EieMatrix.from_codes([[1]], BOOK[:15]),
            "codebook=shape (15,): must be 1-D with 2**weight_bits values",
        ),
        (lambda: EieMatrix.from_codes([[1]], BOOK + 1), "codebook[0]=1.0: must be 0"),
        (lambda: EieMatrix.from_codes([[1], [2, 3]], BOOK), "codes: must be a rectangular array"),
        (lambda: EieMatrix.from_codes([[1]], [0, np.nan]), "codebook[1]=nan: must be finite"),
        (lambda: EieMatrix.from_codes([[1]], BOOK, bias_codes=[1, 2]), "bias_codes=shape (2,): must be (1,)"),
        (lambda: EieMatrix.from_dense([[1, 2], [3]]), "weights: must be a rectangular array"),
        (lambda: EieMatrix.from_dense([[1.0]], scales=7), "scales=int: must be Scales"),
        (lambda: EieMatrix.from_codes([[1]], [[0, 1], [2]]), "codebook: must be a rectangular array"),
        (lambda: EieMatrix.from_codes([[1]], BOOK, bias_codes=[16]), "bias_codes=16: must be below"),
        (lambda: EieMatrix.from_dense([[1.0]], bias=[[1], [2, 3]]), "bias: must be a rectangular array"),
        (lambda: EieMatrix.from_dense([[1.0]], bias=[np.nan]), "bias[0]=nan: must be finite"),
        (lambda: EieMatrix.from_codes([[1]], BOOK, scales="8"), "scales=str: must be Scales"),
    ],
)
def test_bad_input_is_one_line_with_field_value_and_rule(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message) or message in ("must be finite", "must hold real numbers")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
