"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import time
import tracemalloc
from timeit import repeat

import numpy as np
import pytest

from eie_sim.core import golden
from eie_sim.engine import simulate
from eie_sim.network.layers import Layer
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.verify import verify

pytestmark = pytest.mark.slow


def layer_of(n_out, n_in, n_vector):
    """Weights of density 0.3 and inputs of which 40 % are active, as convolutions of a pruned network have them."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((n_out, n_in), dtype=np.float32) * (rng.random((n_out, n_in)) < 0.3)
    inputs = np.abs(rng.standard_normal((n_vector, n_in), dtype=np.float32)) * (rng.random((n_vector, n_in)) < 0.4)
    return Layer(name="conv", weights=weights, activations=inputs, weights_source="drawn", synthetic=True)


def terms_of(layer, *, headroom):
    """Codes, and what is summed with scales that leave so many bits of the accumulator unused."""
    matrix = EieMatrix.from_dense(layer.weights, activations=layer.activations)
    scales = matrix.scales.to_dict()
    scales["accumulator"] -= headroom
    rules = golden.Arithmetic(**scales, accumulator_bits=16, rounding="nearest", active="positive")
    stored = golden.nonzeros(matrix.decode())
    return stored, golden.terms(stored, matrix.codebook, layer.activations, rules)


def part(given, n_vector):
    errors = tuple((of_code, x[:n_vector]) for of_code, x in given.errors)
    return given._replace(x=given.x[:n_vector], x_raw=given.x_raw[:n_vector], errors=errors)


def least_seconds(function, rounds=3):
    """Of this process, so that a busy machine does not count."""
    return min(repeat(function, timer=time.process_time, number=1, repeat=rounds))


@pytest.mark.parametrize("headroom", [0, -3])
@pytest.mark.parametrize(
    ("shape", "n_vector", "us"), [((64, 147), 512, 40), ((64, 576), 512, 100), ((512, 4608), 49, 5000)]
)
def test_many_vectors_side_by_side(ratio, note, shape, n_vector, us, headroom):
    """Against row after row, 49 or 64 at once; where scales lack three bits, a part of the outputs saturates."""
    stored, given = terms_of(layer_of(*shape, n_vector), headroom=headroom)
    took = 1e6 * least_seconds(lambda: golden.side_by_side(stored, given)) / n_vector
    share = golden.side_by_side(stored, given).saturated.mean()
    case = f"golden, {shape[0]} x {shape[1]}, {100 * share:.2g} % saturated"
    note(f"{case}: {took:.0f} us a position, at most {us}")
    assert took < us
    assert share == 0 if headroom == 0 else 0.01 < share < 0.5
    n_few, few = min(n_vector, 64), part(given, 64)
    case += f": {n_few} positions, side by side / row after row"
    ratio(
        case,
        lambda: golden.side_by_side(stored, few),
        lambda: golden.row_after_row(stored, few),
        at_most=0.6,
        aim=0.3,
        rounds=5,
    )


@pytest.mark.parametrize(("shape", "n_vector"), [((64, 147), 12_544), ((64, 576), 3_136)])
def test_verifying_takes_less_time_than_simulating(ratio, shape, n_vector):
    layer = layer_of(*shape, n_vector)
    matrix = EieMatrix.from_dense(layer.weights)
    result = simulate(matrix, layer.activations)
    case = f"verify / simulate, {shape[0]} x {shape[1]}, {n_vector} positions"
    ratio(
        case,
        lambda: verify(layer, matrix, layer.activations, result),
        lambda: simulate(matrix, layer.activations),
        at_most=1.2,
        aim=0.9,
        rounds=5,
    )


def test_memory_is_that_of_512_vectors():
    """25,088 positions take no more than 512 do."""
    layer = layer_of(64, 576, 25_088)
    matrix = EieMatrix.from_dense(layer.weights)
    result = simulate(matrix, layer.activations)
    tracemalloc.start()
    verify(layer, matrix, layer.activations, result)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
