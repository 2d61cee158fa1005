"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.sparse

from eie_sim.core import quantize
from eie_sim.network import load, preset_names
from eie_sim.pipeline import run_network
from eie_sim.units.eie import fast, functional, reference
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.unit import raw_activations

pytestmark = pytest.mark.slow
DESIGN = EieConfig()


@pytest.fixture(scope="module")
def alex6():
    """A prepared Alex-6: the encoded matrix, raw activations, and scipy's product over the same active columns."""
    layer = load("alex-6").layers[0]
    matrix = EieMatrix.from_dense(layer.weights, activations=layer.activations)
    raw = raw_activations(matrix, layer.activations[0])
    active = np.flatnonzero(raw > 0)
    columns, values = layer.weights[:, active], raw[active].astype(np.float32)
    return matrix, raw, lambda: columns @ values


def test_timing_and_counts(alex6, ratio):
    matrix, raw, product = alex6
    case = "fast engine, timing and counts / scipy CSC product, Alex-6"
    ratio(case, lambda: fast.run(matrix, raw, DESIGN), product, at_most=0.5, aim=0.15, rounds=200)


def test_timing_counts_and_output(alex6, ratio):
    matrix, raw, product = alex6

    def run():
        fast.run(matrix, raw, DESIGN)
        functional.accumulate(matrix, raw, DESIGN)

    ratio("timing, counts and output / scipy CSC product, Alex-6", run, product, at_most=5, aim=2, rounds=100)


def test_fast_against_reference(ratio):
    layer = load("alex-7").layers[0]
    matrix = EieMatrix.from_dense(layer.weights, activations=layer.activations)
    raw = raw_activations(matrix, layer.activations[0])

    def run():
        fast.run(matrix, raw, DESIGN)
        functional.accumulate(matrix, raw, DESIGN)

    case = "fast / reference engine, everything, Alex-7"
    ratio(case, run, lambda: reference.run(matrix, raw, DESIGN), at_most=1, rounds=1)


@pytest.mark.parametrize(("n_out", "n_in", "n"), [(131_072, 131_072, 200_000), (4, 2**20, 2_000)])
def test_large_sparse_matrices_compressed_simulated_and_verified(n_out, n_in, n, note):
    rng = np.random.default_rng(1)
    places = rng.integers(0, n_out, n), rng.integers(0, n_in, n)
    network = load(scipy.sparse.coo_array((rng.normal(size=n), places), shape=(n_out, n_in)), activation_density=0.1)
    run_network(load(np.eye(3), activation_density=1.0), DESIGN)  # compiled
    start = time.perf_counter()
    assert run_network(network, DESIGN).verified
    seconds = time.perf_counter() - start
    note(f"{n_out:,} x {n_in:,} with {n:,} entries, compressed, simulated, verified: {seconds:.2f} s (limit 2 s)")
    assert seconds < 2


def test_dense_to_matrix(ratio):
    dense = load("alex-6").layers[0].weights.toarray()
    case = "dense 4096 x 9216 to EieMatrix / scipy.sparse.csc_matrix"
    ratio(
        case, lambda: EieMatrix.from_dense(dense), lambda: scipy.sparse.csc_matrix(dense), at_most=20, aim=8, rounds=3
    )


def test_clustering(ratio):
    weights = np.random.default_rng(0).normal(size=3_400_000).astype(np.float32)
    case = "k-means of 3.4 M weights into 15 / numpy.sort of them"
    ratio(case, lambda: quantize.cluster(weights, 15), lambda: np.sort(weights), at_most=20, rounds=3)


@pytest.mark.parametrize("name", preset_names())
def test_peak_memory_of_a_preset(name):
    one = ["--layer", "down_proj", "--density", "0.1"] if name == "llama-2-7b-block" else []
    program = (
        "import json, resource, sys\nfrom eie_sim.cli import main\n"
        f"code = main({['run', name, '--json', *one]})\n"
        "sys.stderr.write(json.dumps([code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, peak_kb = json.loads(done.stderr)
    assert code == 0
    assert peak_kb < 1.5e6
