"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import numpy as np
import pytest
from networks import needs_mnist

from eie_sim.network import load
from eie_sim.prune import globally, magnitude, pattern, scan_network, score
from eie_sim.units.eie.config import EieConfig

pytestmark = pytest.mark.slow
SIDE = 4096
DESIGN = EieConfig()

MATRIX_PATTERNS = [
    pattern.element(),
    pattern.block(4, 4),
    pattern.block(4, 4, reduce="l2"),
    pattern.neuron(),
    pattern.input(),
    pattern.per_row(),
    pattern.balanced(DESIGN),
    pattern.balanced(DESIGN, window=256),
]
CONVOLUTION_PATTERNS = [pattern.kernel(), pattern.filter(), pattern.channel()]


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)


@pytest.fixture(scope="module")
def scores(weights):
    return score.l1(weights)


@pytest.fixture(scope="module")
def flat_partition(weights):
    flat = weights.ravel()
    return lambda: np.partition(flat, flat.size - flat.size // 10)


def test_magnitude(weights, flat_partition, ratio):
    case = "magnitude, 4096 x 4096 / numpy.partition"
    ratio(case, lambda: magnitude(weights, density=0.1), flat_partition, at_most=10, aim=3, rounds=5)


@pytest.mark.parametrize("chosen", MATRIX_PATTERNS, ids=lambda chosen: chosen.name)
def test_matrix_patterns(chosen, scores, flat_partition, ratio):
    case = f"{chosen.name}, 4096 x 4096 / numpy.partition"
    ratio(case, lambda: chosen.prune(scores, 0.1234567), flat_partition, at_most=10, aim=3, rounds=5)


@pytest.mark.parametrize("chosen", CONVOLUTION_PATTERNS, ids=lambda chosen: chosen.name)
def test_convolution_patterns(chosen, scores, flat_partition, ratio):
    case = f"{chosen.name}, 1024 x 1024 x 4 x 4 / numpy.partition"
    convolution = scores.reshape(1024, 1024, 4, 4)
    ratio(case, lambda: chosen.prune(convolution, 0.1), flat_partition, at_most=10, aim=3, rounds=5)


def test_survivors_of_an_earlier_mask(weights, scores, flat_partition, ratio):
    before = magnitude(weights, density=0.1).mask
    case = "element within a mask, 4096 x 4096 / numpy.partition"
    chosen = pattern.element()
    ratio(case, lambda: chosen.prune(scores, 0.05, within=before), flat_partition, at_most=10, aim=3, rounds=5)


@pytest.mark.parametrize("normalise", ["none", "mean"])
def test_one_threshold_over_layers(normalise, scores, flat_partition, ratio):
    layers = {"upper": scores[: SIDE // 2], "lower": scores[SIDE // 2 :]}
    case = f"globally, normalise {normalise}, two halves / numpy.partition"
    ratio(case, lambda: globally(layers, 0.1, normalise=normalise), flat_partition, at_most=10, aim=3, rounds=5)


@pytest.mark.parametrize(("n_keep", "m_group"), [(2, 4), (1, 4), (4, 8), (4, 16)])
def test_nm(n_keep, m_group, weights, scores, ratio):
    groups = weights.reshape(-1, m_group)
    chosen = pattern.nm(n_keep, m_group)
    case = f"{n_keep}:{m_group}, 4096 x 4096 / numpy.partition along its groups"

    def theirs():
        return np.partition(groups, m_group - n_keep, axis=1)

    ratio(case, lambda: chosen.prune(scores), theirs, at_most=3, aim=2, rounds=5)


@needs_mnist
def test_a_sensitivity_scan_of_lenet(benchmark):
    """Three layers, ten ratios, accuracy and cycles: under ten seconds, loading included."""
    densities = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)

    def scan():
        return scan_network(load("lenet-300-100"), densities, "cycles", DESIGN)

    points = benchmark.pedantic(scan, rounds=3, warmup_rounds=1)
    assert len(points) == 30
    assert benchmark.stats is None or benchmark.stats.stats.max < 10
