"""Results that the figures are drawn from, and an Axes that needs no display."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import eie_sim as es


@pytest.fixture
def axes():
    return Figure(layout="constrained").subplots()


@pytest.fixture(scope="session")
def weights():
    rng = np.random.default_rng(5)
    return np.where(rng.random((40, 30)) < 0.3, rng.normal(size=(40, 30)), 0.0)


@pytest.fixture(scope="session")
def inputs():
    rng = np.random.default_rng(6)
    return np.maximum(rng.normal(size=30), 0.0)


@pytest.fixture(scope="session")
def matrix(weights):
    return es.EieMatrix.from_dense(weights, n_pe=4)


@pytest.fixture(scope="session")
def activity(matrix, inputs):
    return es.activity(matrix, inputs, es.EieConfig(n_pe=4, queue_depth=2))


@pytest.fixture(scope="session")
def result(matrix, inputs):
    return es.simulate(matrix, inputs, es.EieConfig(n_pe=4, queue_depth=2))


@pytest.fixture(scope="session")
def designs():
    """Rows over densities, PEs and queue depths, and two of the N:M unit."""
    chip = {"unit": "nm", "chip": "nm-64"}
    return es.sweep.run(
        "digits-mlp",
        grid={"density": [0.1, 0.5, 1.0], "n_pe": [4, 64], "queue_depth": [1, 4]},
        points=[chip | {"pattern": "2:4"}, chip | {"density": 1.0}],
        workers=1,
    ).rows
