"""Rounding to float16, sums of float32 in their order, and the ends of int32: what a few values show."""

import numpy as np
import pytest
from test_nm_functional import in_order

from eie_sim import NmMatrix
from eie_sim.core.errors import InputError
from eie_sim.units.nm import functional, packing

HALVES = [
    (0x00000000, 0x0000),
    (0x3F800000, 0x3C00),  # 1
    (0x3F801000, 0x3C00),  # 1 + 1/2 of a step of float16: a tie, which goes to the even one
    (0x3F801001, 0x3C01),
    (0x3F802FFF, 0x3C01),
    (0x3F803000, 0x3C02),  # 1 + 3/2 steps
    (0x3F805000, 0x3C02),  # 1 + 5/2 steps
    (0x33000000, 0x0000),  # 2**-25, half of the smallest step
    (0x33000001, 0x0001),
    (0x33800000, 0x0001),
    (0x33C00000, 0x0002),  # 3/2 smallest steps
    (0x387FC000, 0x03FF),  # the largest subnormal number
    (0x387FE000, 0x0400),  # a tie with the smallest normal one
    (0x38800000, 0x0400),
    (0x38800001, 0x0400),
    (0x477FE000, 0x7BFF),  # 65504
    (0x477FEFFF, 0x7BFF),
    (0x477FF000, 0x7C00),  # 65520, which is infinite
    (0x7F7FFFFF, 0x7C00),
    (0x7F800000, 0x7C00),
    (0x7F800001, 0x7E00),  # what is no number stays none
    (0x7FC00000, 0x7E00),
]
"""Bits of float32, and of the float16 nearest to it."""


@pytest.mark.parametrize(("sign", "half_sign"), [(0, 0), (0x80000000, 0x8000)])
def test_float32_becomes_the_nearest_float16(sign, half_sign):
    words = np.array([word | sign for word, _ in HALVES], dtype=np.uint32)
    halves = np.empty(len(HALVES), dtype=np.uint16)
    packing.round_to_half(words.view(np.float32), words, halves)
    assert [hex(half) for half in halves] == [hex(half | half_sign) for _, half in HALVES]


def test_what_becomes_0_or_infinite_is_no_warning_whatever_numpy_is_told():
    with np.errstate(all="raise"):
        assert NmMatrix.from_dense([[1e-7, 0, 0, 1e-30]]).values.tolist() == [[float(np.float16(1e-7)), 0]]
        with pytest.raises(InputError, match="overflows float16"):
            NmMatrix.from_dense([[1e300, 0, 0, 0]])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_completes_a_group_is_0_and_not_what_was_there(kind):
    # 2:4 with no non-zero keeps the third and the fourth, which here would round to -0.
    assert NmMatrix.from_dense(np.array([[0, 0, -1e-30, -1e-30]], dtype=kind)).values.tobytes() == bytes(4)


@pytest.mark.parametrize(("n_keep", "found"), [(1, 2), (2, 5), (3, -1)])
def test_packing_tells_the_first_group_that_is_too_full(n_keep, found):
    # Two rows of three groups: of 1, 0 and 2 non-zeros, and of 2, 1 and 3.
    dense = np.array([[0, 9, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0], [9, 0, 0, 9, 0, 0, 9, 0, 9, 9, 9, 0]], dtype=np.int8)
    values, positions = np.empty((2, 3 * n_keep), np.int8), np.empty((2, 3 * n_keep), np.uint8)
    assert packing.pack(dense, n_keep, 4, np.int8(0), values, positions) == found


def test_float32_sums_are_in_order_over_more_than_a_block_of_kept_values():
    rng = np.random.default_rng(4)
    w = rng.standard_normal((3, 160)) * (np.arange(160) % 4 < 2)  # of full precision: nearly every sum is rounded
    matrix = NmMatrix.from_dense(w)
    assert matrix.n_kept > functional.KEPT_BLOCK
    b = rng.standard_normal((160, 5))
    assert functional.multiply(matrix, b).tobytes() == in_order(matrix, b).tobytes()


@pytest.mark.parametrize("most", [2**31 - 1, -(2**31)])
def test_a_sum_may_be_the_last_one_of_int32_and_no_more(most):
    sums = np.zeros((3, 4), dtype=np.int64)
    sums[1, 2] = most
    functional._require_int32(sums)
    sums[1, 2] += np.sign(most)
    with pytest.raises(InputError) as caught:
        functional._require_int32(sums)
    said = f"output[1, 2]={sums[1, 2]}: overflows the int32 accumulator, which holds -2147483648 to 2147483647"
    assert str(caught.value) == said
