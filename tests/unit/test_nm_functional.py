"""Products of N:M matrices (N kept): int8 to the bit, float16 in the stated order and within the derived bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_nm_matrix import random_nm

from eie_sim import NmMatrix
from eie_sim.core.errors import InputError
from eie_sim.prune import pattern
from eie_sim.units.nm import functional
from eie_sim.units.nm.functional import error_bound, multiply


@st.composite
def products(draw, dtype):
    m_group = draw(st.integers(1, 12))
    n_keep = draw(st.integers(1, m_group))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    w = random_nm(rng, draw(st.integers(0, 7)), draw(st.integers(0, 9)), n_keep, m_group, dtype)
    w = w[:, : max(0, w.shape[1] - draw(st.integers(0, m_group - 1)))]  # the last group may not be whole
    n_vector = draw(st.sampled_from([0, 1, 2, 7, 33]))
    return NmMatrix.from_dense(w, n_keep=n_keep, m_group=m_group), w, n_vector, rng


def in_order(matrix, b):
    """Float32 sums as the module states them: one product after the other, by place in the row."""
    sums = np.zeros((matrix.n_out, b.shape[1]), dtype=np.float32)
    b = np.pad(b, ((0, matrix.n_group * matrix.m_group - len(b)), (0, 0)))
    for k in range(matrix.n_kept):
        rows = k // matrix.n_keep * matrix.m_group + matrix.positions[:, k].astype(int)
        sums += matrix.values[:, k, None].astype(np.float32) * b[rows].astype(np.float16).astype(np.float32)
    return sums


def normal_case(seed, *, n_out=24, n_in=1024, n_vector=12, positive=False):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((n_out, n_in))
    w = np.where(np.arange(n_in) % 4 < 2, w, 0)
    b = rng.standard_normal((n_in, n_vector))
    return (np.abs(w), np.abs(b)) if positive else (w, b)


# By hand


@pytest.mark.parametrize(("dtype", "kind"), [(np.int8, np.int32), (np.float16, np.float32)])
def test_a_position_selects_a_row(dtype, kind):
    matrix = NmMatrix.from_dense(np.array([[0, 2, 0, 3, 5, 0, 0, 0]], dtype=dtype))
    b = np.array([[1, 10, 20, 30, 40, 50, 60, 70], [1, -1, 1, -1, 1, -1, 1, -1]], dtype=dtype).T
    got = multiply(matrix, b)
    assert got.dtype == kind
    assert got.tolist() == [[2 * 10 + 3 * 30 + 5 * 40, -2 - 3 + 5]]


# int8


@given(products(np.int8))
def test_int8_is_exact(case):
    matrix, w, n_vector, rng = case
    b = rng.integers(-128, 128, (matrix.n_in, n_vector))
    for given_b in (b, b.astype(np.int8), np.asfortranarray(b.astype(np.int8))):
        got = multiply(matrix, given_b)
        assert got.dtype == np.int32
        assert np.array_equal(got, w.astype(np.int64) @ b)


def test_int8_is_exact_beyond_a_block_of_kept_values():
    rng = np.random.default_rng(3)
    w = random_nm(rng, 3, 401, 3, 5, np.int8)
    b = rng.integers(-128, 128, (w.shape[1], 600))
    assert np.array_equal(multiply(NmMatrix.from_dense(w, n_keep=3, m_group=5), b), w.astype(np.int64) @ b)


LONG = 2**17
"""So many products of -128 and -128 are 2**31, one more than int32 holds."""


def long_row(b_last, w_last=-128):
    w = np.full((2, LONG), -128, dtype=np.int8)
    w[0] = 0
    w[1, -1] = w_last
    b = np.full((LONG, 3), -128, dtype=np.int8)
    b[:, :2] = 1
    b[-1, 2] = b_last
    return NmMatrix.from_dense(w, n_keep=1, m_group=1), b


@pytest.mark.compiled
def test_the_largest_int32_sum_is_reached():
    """2**31 - 128 * 128 + 127 * 128 is 2**31 - 128; the bound from the inputs alone is beyond int32."""
    matrix, b = long_row(-127)
    assert multiply(matrix, b)[1].tolist() == [-128 * LONG, -128 * LONG, 2**31 - 128]


@pytest.mark.compiled
def test_overflow_of_int32_is_one_line():
    matrix, b = long_row(-128)
    with pytest.raises(InputError) as caught:
        multiply(matrix, b)
    said = f"output[1, 2]={2**31}: overflows the int32 accumulator, which holds {-(2**31)} to {2**31 - 1}"
    assert str(caught.value) == said


@pytest.mark.compiled
def test_sums_that_leave_int32_on_the_way_and_come_back_are_exact():
    """A machine's int32 wraps round, so only the last sum matters."""
    w = np.full((1, 2 * LONG), -128, dtype=np.int8)
    b = np.full((2 * LONG, 1), -128, dtype=np.int8)
    b[LONG:] = 127
    assert multiply(NmMatrix.from_dense(w, n_keep=1, m_group=1), b)[0, 0] == 128 * LONG


def test_the_smallest_int32_sum_is_reached_and_passed():
    """127 * -128 does not divide 2**31; 132,105 such products are the first below -2**31."""
    n = 2**31 // (127 * 128) + 1
    w = np.full((1, n), 127, dtype=np.int8)
    b = np.full((n, 1), -128, dtype=np.int8)
    assert multiply(NmMatrix.from_dense(w[:, 1:], n_keep=1, m_group=1), b[1:])[0, 0] == -127 * 128 * (n - 1)
    with pytest.raises(InputError, match=r"output\[0, 0\]=-2147\d+: overflows the int32 accumulator"):
        multiply(NmMatrix.from_dense(w, n_keep=1, m_group=1), b)


# float16


@given(products(np.float16))
def test_float16_adds_in_the_stated_order(case):
    matrix, _, n_vector, rng = case
    b = rng.standard_normal((matrix.n_in, n_vector))
    got = multiply(matrix, b)
    assert got.dtype == np.float32
    assert got.tobytes() == in_order(matrix, b).tobytes()


@pytest.mark.compiled
def test_float16_adds_in_the_stated_order_beyond_blocks():
    rng = np.random.default_rng(4)
    w = rng.standard_normal((5, 1600)) * (np.arange(1600) % 8 < 3)
    matrix = NmMatrix.from_dense(w, n_keep=3, m_group=8)
    b = rng.standard_normal((1600, 600), dtype=np.float32)
    assert multiply(matrix, b).tobytes() == in_order(matrix, b).tobytes()


@given(products(np.float16), st.sampled_from([1e-8, 1e-4, 1.0, 600.0]))
def test_float16_is_within_the_bound(case, scale):
    matrix, w, n_vector, rng = case
    noisy = w * rng.uniform(0.9, 1.1, w.shape) * scale  # not float16, and down to below its smallest step
    matrix = NmMatrix.from_dense(noisy, n_keep=matrix.n_keep, m_group=matrix.m_group)
    b = rng.standard_normal((matrix.n_in, n_vector)) / scale
    got = multiply(matrix, np.clip(b, -65504, 65504))
    b = np.clip(b, -65504, 65504)
    assert (np.abs(got - noisy @ b) <= error_bound(matrix, b, noisy)).all()
    kept = matrix.decode().astype(np.float64)
    assert (np.abs(got - kept @ b) <= error_bound(matrix, b)).all()
    half = b.astype(np.float16)
    assert (np.abs(got - kept @ half.astype(np.float64)) <= error_bound(matrix, half)).all()


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_the_bound_is_not_absurdly_loose(rounded, positive):
    """Random signs and roundings cancel, so errors grow with the root of what the bound adds up: 512 kept values."""
    w, b = normal_case(5, positive=positive)
    w, b = (w.astype(np.float16), b.astype(np.float16)) if rounded else (w, b)
    matrix = NmMatrix.from_dense(w)
    error = np.abs(multiply(matrix, b) - w.astype(np.float64) @ b.astype(np.float64))
    bound = error_bound(matrix, b, w)
    assert (error <= bound).all()
    assert error.max() > bound.min() / 2000
    size = np.abs(w).astype(np.float64) @ np.abs(b).astype(np.float64)
    of_sums, of_factors = 512 * 2.0**-24, 0 if rounded else 2.1 * 2.0**-11
    assert (bound <= (of_sums + of_factors) * size).all()


def test_a_rounded_factor_alone_is_half_of_the_bound():
    """2049 becomes 2048: 1 is lost, and the bound allows as much for the other factor."""
    w, b = [[2049.0, 0, 0, 0]], [[1.0], [0], [0], [0]]
    matrix = NmMatrix.from_dense(w)
    assert multiply(matrix, b)[0, 0] == 2048
    assert 1.0 <= error_bound(matrix, b, w)[0, 0] <= 2.1


def test_the_bound_of_exact_products_is_only_that_of_sums():
    matrix = NmMatrix.from_dense(np.array([[1, 0, 0, 1]], dtype=np.float16))
    assert error_bound(matrix, np.ones((4, 1), dtype=np.float16))[0, 0] == pytest.approx(2 * 2.0**-24, rel=1e-6)
    assert error_bound(matrix, np.zeros((4, 1)))[0, 0] == 0


# Wrong inputs


HALF, EIGHT = NmMatrix.from_dense(np.zeros((2, 8))), NmMatrix.from_dense(np.zeros((2, 8), dtype=np.int8))
B = np.zeros((8, 3))


@pytest.mark.parametrize(
    ("matrix", "b", "message"),
    [
        (HALF, B[:7], "b=shape (7, 3): must be (n_in, n_vector) with n_in=8"),
        (HALF, B[:, 0], "b=shape (8,): must be (n_in, n_vector) with n_in=8"),
        (HALF, B + np.nan, "b[0, 0]=nan: must be finite"),
        (HALF, B + 1e5, "b[0, 0]=100000.0: overflows float16, whose largest value is 65504"),
        (HALF, B.astype(complex), "b=dtype complex128: must hold real numbers"),
        (EIGHT, B, "b=dtype float64: must be integers in -128..127 for int8"),
        (EIGHT, B.astype(int) + 128, "b=128: must be in -128..127 for int8"),
        (B, B, "matrix=ndarray: must be NmMatrix"),
        (HALF, np.broadcast_to(0.0, (8, 2**28)), None),
    ],
)
def test_one_line_for_bad_inputs(matrix, b, message):
    with pytest.raises(InputError) as caught:
        multiply(matrix, b)
    assert str(caught.value) == (message or "b=268435456 vectors: must give at most 268435456 outputs")


def test_the_bound_is_of_float16_and_of_the_same_weights():
    with pytest.raises(InputError, match="matrix=int8: must be float16; the product of int8 is exact"):
        error_bound(EIGHT, B.astype(np.int8))
    with pytest.raises(InputError, match=r"weights=shape \(1, 8\): must be \(2, 8\)"):
        error_bound(HALF, B, np.zeros((1, 8)))
    with pytest.raises(InputError, match=r"weights\[0, 0\]=nan: must be finite"):
        error_bound(HALF, B, np.full((2, 8), np.nan))


@pytest.mark.parametrize("kind", [np.float32, np.int8])
def test_wrong_outputs_are_counted(kind, monkeypatch):
    monkeypatch.setattr(functional, "STRIP", 40)
    rng = np.random.default_rng(3)
    w = rng.integers(-9, 9, (30, 16)) * pattern.nm(2, 4).prune(rng.random((30, 16))).mask
    matrix = NmMatrix.from_dense(w.astype(kind))
    b = rng.integers(-9, 9, (16, 3)).astype(kind)
    output = multiply(matrix, b)
    assert functional.wrong_outputs(matrix, b) == functional.wrong_outputs(matrix, b, output) == 0
    output[[2, 29], [0, 2]] += 1
    assert functional.wrong_outputs(matrix, b, output) == 2
    if kind == np.float32:
        output[5, 1] = np.nan
        assert functional.wrong_outputs(matrix, b, output) == 3
    with pytest.raises(InputError, match=r"output=shape \(3, 30\): must be \(30, 3\)"):
        functional.wrong_outputs(matrix, b, output.T)
