"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import numpy as np
import pytest

from eie_sim import NmMatrix
from eie_sim.prune import pattern
from eie_sim.units.nm.functional import multiply

pytestmark = pytest.mark.slow
SIDE = 4096


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)


@pytest.fixture(scope="module")
def product():
    """Dense weights of a 2:4 pattern, 1024 x 4096, activations 4096 x 64, and numpy's product of them."""
    rng = np.random.default_rng(1)
    w = rng.standard_normal((1024, SIDE), dtype=np.float32)
    w *= pattern.nm().prune(np.abs(w)).mask
    b = rng.standard_normal((SIDE, 64), dtype=np.float32)
    return w, b, lambda: w @ b


def test_pruning_and_packing(weights, ratio):
    def ours():
        NmMatrix.from_dense(weights * pattern.nm().prune(np.abs(weights)).mask)

    case = "prune and pack 4096 x 4096 to 2:4 / numpy.partition of its groups"
    ratio(case, ours, lambda: np.partition(weights.reshape(-1, 4), 2, axis=1), at_most=4, rounds=5)


def test_packing(weights, ratio):
    pruned = weights * pattern.nm().prune(np.abs(weights)).mask
    case = "pack 4096 x 4096 of 2:4 / numpy.partition of its groups"

    def theirs():
        return np.partition(weights.reshape(-1, 4), 2, axis=1)

    ratio(case, lambda: NmMatrix.from_dense(pruned), theirs, at_most=4, aim=1, rounds=5)


def test_float16_product(product, ratio):
    w, b, dense = product
    matrix = NmMatrix.from_dense(w)
    case = "2:4 float16, 1024 x 4096 by 4096 x 64 / numpy's dense float32"
    ratio(case, lambda: multiply(matrix, b), dense, at_most=10, aim=4)


def test_int8_product(product, ratio):
    w, b, dense = product
    matrix = NmMatrix.from_dense(np.clip(w * 32, -128, 127).astype(np.int8))
    eight = np.clip(b * 32, -128, 127).astype(np.int8)
    case = "2:4 int8, 1024 x 4096 by 4096 x 64 / numpy's dense float32"
    ratio(case, lambda: multiply(matrix, eight), dense, at_most=10, aim=4)
