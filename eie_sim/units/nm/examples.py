"""Small products on chips of a few cores, each resource in turn the slow one; weights of a pattern, or dense."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.nm_pattern import DENSE
from eie_sim.units.nm.config import TensorCoreConfig

SLOW: tuple[dict[str, Any], ...] = (
    {},
    {"macs_per_cycle": 4},
    {"smem_bytes_per_cycle": 3},
    {"l2_bytes_per_cycle": "7/3"},
    {"l2_latency": 150},
    {"store_bytes_per_cycle": "1/2"},
    {"dram_bytes_per_cycle": "5/2"},
)

Example = tuple[TensorCoreConfig, NDArray[Any], NDArray[Any]]


def example(rng: np.random.Generator) -> Example:
    """A design, weights [n_out, n_in] and activations [n_vector, n_in]: small integers, as float32 for fp16."""
    config = TensorCoreConfig(
        n_core=int(rng.integers(1, 5)),
        tiles=((8, 4), (4, 4)) if rng.random() < 0.5 else ((16, 8),),
        wm=4,
        wn=4,
        stages=int(rng.integers(1, 4)),
        launch=int(rng.choice([0, 100])),
        elem_bytes=int(rng.integers(1, 3)),
        l2_bytes=int(rng.choice([0, 50, 150, 400, 65536])),
        patterns=((2, 4), (1, 4), (4, 8)),
        **SLOW[rng.integers(len(SLOW))],
    )
    n_out, n_in, n_vector = (int(rng.integers(1, most)) for most in (49, 65, 13))
    n_keep, m_group = (*config.patterns, DENSE)[rng.integers(4)]
    order = rng.permuted(np.tile(np.arange(m_group), (n_out, -(-n_in // m_group), 1)), axis=2)
    weights = rng.integers(-8, 9, (n_out, n_in)) * (order < n_keep).reshape(n_out, -1)[:, :n_in]
    activations = rng.integers(-8, 9, (n_vector, n_in))
    kind = np.int8 if config.elem_bytes == 1 else np.float32
    return config, weights.astype(kind), activations.astype(kind)
