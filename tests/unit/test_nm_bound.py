"""The bound of float16 products, from its definition in exact rationals; and which outputs are beyond it."""

from fractions import Fraction

import numpy as np
import pytest
from test_nm_matrix import random_nm

from eie_sim import NmMatrix
from eie_sim.core.errors import InputError
from eie_sim.units.nm.functional import error_bound, multiply, wrong_outputs

UNIT, TINY, FLOAT32 = Fraction(1, 2**11), Fraction(1, 2**25), Fraction(1, 2**24)


def exact(array):
    return [[Fraction(value.item()) for value in row] for row in array]


def rounding(size, array):
    """Most that a value of such a size changes by when it becomes float16."""
    return UNIT * size + TINY if size and array.dtype != np.float16 else Fraction(0)


def bound_of_one(w, x, v, y, kept, arrays):
    """The bound of one output, as the docstring has it: w and x given, v and y the same in float16."""
    growth = (kept - 1) * FLOAT32 / (1 - (kept - 1) * FLOAT32)
    total = Fraction(0)
    for one in zip(w, x, v, y, strict=True):
        of_w, of_x, of_v, of_y = map(abs, one)
        dw, dx = rounding(of_w, arrays[0]), rounding(of_x, arrays[1])
        total += of_w * dx + dw * (of_x + dx) + growth * of_v * of_y
        total += 2 * (len(w) + 1) * Fraction(1, 2**53) * of_w * of_x
    return total


def bounds(matrix, b, weights):
    w, v, x, y = exact(weights), exact(matrix.decode()), exact(b.T), exact(b.astype(np.float16).T)
    return [
        [bound_of_one(w[row], x[at], v[row], y[at], matrix.n_kept, (weights, b)) for at in range(len(x))]
        for row in range(len(w))
    ]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("given", [None, np.float16, np.float64])
@pytest.mark.parametrize(("n_keep", "n_group"), [(1, 1), (2, 3)])
def test_the_bound_is_its_definition(kind, given, n_keep, n_group):
    rng = np.random.default_rng(n_group)
    rounded = random_nm(rng, 3, n_group, n_keep, 4)
    weights = rounded if given == np.float16 else rounded * rng.uniform(0.9, 1.1, rounded.shape)
    matrix = NmMatrix.from_dense(weights, n_keep=n_keep)
    b = rng.standard_normal((matrix.n_in, 2)).astype(kind)
    b[0] = 0
    meant = matrix.decode() if given is None else weights
    found = error_bound(matrix, b, None if given is None else weights)
    assert found.dtype == np.float64
    expected = [[float(bound) for bound in row] for row in bounds(matrix, b, meant)]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_one_exact_product_has_only_the_rounding_of_float64():
    matrix = NmMatrix.from_dense(np.array([[3, 0, 0, 0]], dtype=np.float16), n_keep=1)
    b = np.array([[5], [7], [7], [7]], dtype=np.float16)
    assert error_bound(matrix, b).tolist() == [[2 * 5 * 2.0**-53 * 15]]


def test_a_row_too_long_for_the_bound():
    long = np.zeros((0, 2**24), dtype=np.float16)
    matrix = NmMatrix.from_dense(long, n_keep=1, m_group=1)
    with pytest.raises(InputError) as caught:
        error_bound(matrix, long.T)
    assert str(caught.value) == "n_kept=16777216: must be below 2**24 for the bound to exist"


@pytest.mark.parametrize("kind", [np.float16, np.int8])
def test_an_output_is_wrong_where_it_is_beyond_the_bound(kind):
    rng = np.random.default_rng(1)
    w = random_nm(rng, 6, 16, 2, 4, kind)
    matrix = NmMatrix.from_dense(w)
    b = rng.integers(-99, 100, (matrix.n_in, 4)).astype(kind) if kind == np.int8 else rng.standard_normal((64, 4))
    product = w.astype(np.float64) @ b.astype(np.float64)
    bound = np.zeros(product.shape) if kind == np.int8 else error_bound(matrix, b)
    assert wrong_outputs(matrix, b) == wrong_outputs(matrix, b, product) == 0
    assert wrong_outputs(matrix, b, product + 0.99 * bound) == 0
    assert wrong_outputs(matrix, b, product - 0.99 * bound) == 0
    for row in range(6):
        beyond = product.copy()
        beyond[row] += 1.01 * bound[row] + (kind == np.int8)
        assert wrong_outputs(matrix, b, beyond) == 4
    if kind == np.float16:
        assert (multiply(matrix, b) != product).any(), "the bound is used"
