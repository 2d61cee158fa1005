"""Small workloads that keep a few PEs busy: queues that are full, gaps to fill, negative and idle inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.units.eie.config import EieConfig

Example = tuple[EieConfig, NDArray[np.float32], NDArray[Any]]


def example(rng: np.random.Generator) -> Example:
    """A design, weights float32[n_out, n_in], and activations [n_vector, n_in], floats or raw int16."""
    config = EieConfig(
        n_pe=int(rng.integers(1, 7)),
        queue_depth=int(rng.choice([1, 2, 3, 8])),
        index_bits=int(rng.integers(1, 5)),
        active=str(rng.choice(["positive", "nonzero"])),
    )
    n_out, n_in, n_vector = rng.integers(1, 49), rng.integers(1, 25), rng.integers(1, 3)
    weights = rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < rng.choice([0.05, 0.2, 0.6]))
    activations = rng.integers(-60, 400, (n_vector, n_in)) * (rng.random((n_vector, n_in)) < rng.choice([0.3, 0.9]))
    return config, weights.astype(np.float32), activations if rng.random() < 0.5 else activations / 100
