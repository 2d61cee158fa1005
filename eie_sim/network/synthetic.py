"""Seeded layers from a shape and a density, drawn block by block: a pruned one is never built dense."""

from __future__ import annotations

import zlib
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import MAX_SIDE, require_fraction
from eie_sim.core.errors import require, require_int, require_seed

BLOCK = 2**20
"""Elements drawn at a time."""

MAX_WEIGHTS = 2**30
"""Most weights expected of one drawn layer."""

SMALLEST_ACTIVATION = 2.0**-10
"""Floor of a drawn activation: in 16-bit words beside the largest of 10^5 others it still does not round to zero."""


def label(density: float, seed: int) -> str:
    """Return the name of drawn numbers wherever they are shown."""
    return f"synthetic, density {density:g}, seed {seed}"


def weights(name: str, *, n_out: int, n_in: int, density: float, seed: int = 0) -> Any:
    """Weights of a magnitude-pruned Gaussian layer, each there with probability `density`.

    Returns a csc_array, float32 [n_out, n_in], standard deviation 1/sqrt(n_in) before pruning. It depends on name,
    shape, density and seed alone. Raises InputError for more than MAX_WEIGHTS.
    """
    from scipy.sparse import csc_array

    expected = n_out * n_in * density
    require(expected <= MAX_WEIGHTS, "density", density, f"must leave at most {MAX_WEIGHTS} of {n_out * n_in} weights")
    starts, rows = _positions(generator(f"positions of {name}", seed), n_out, n_in, density)
    values = _values(generator(f"values of {name}", seed), len(rows), n_in, density)
    return csc_array((values, rows, starts), shape=(n_out, n_in))


def dense_weights(name: str, *, n_out: int, n_in: int, seed: int = 0) -> NDArray[np.float32]:
    """Gaussian weights of a layer that is yet to be pruned, float32 [n_out, n_in], standard deviation 1/sqrt(n_in).

    They depend on name, shape and seed alone; about one in 10^7 is exactly 0.
    """
    rng = generator(f"weights of {name}", seed)
    values = np.empty(n_out * n_in, dtype=np.float32)
    scale = np.float32(1.0 / np.sqrt(n_in))
    for first in range(0, len(values), BLOCK):
        part = values[first : first + BLOCK]
        rng.standard_normal(out=part, dtype=np.float32)
        part *= scale  # while the block is in the cache
    return values.reshape(n_out, n_in)


def weights_on(pattern: Any, name: str, *, seed: int = 0) -> Any:
    """Values of a magnitude-pruned Gaussian layer on a given pattern.

    pattern : csc_array [n_out, n_in]; every stored element gets a value

    Returns a csc_array, float32 [n_out, n_in].
    """
    from scipy.sparse import csc_array

    n_in = pattern.shape[1]
    density = len(pattern.data) / (pattern.shape[0] * n_in)
    values = _values(generator(f"values of {name}", seed), len(pattern.data), n_in, density)
    return csc_array((values, pattern.indices, pattern.indptr), shape=pattern.shape)


def activations(name: str, *, n_in: int, density: float, seed: int = 0, n_vector: int = 1) -> NDArray[np.float32]:
    """Half-normal activations, each there with probability `density`: float32 [n_vector, n_in], none negative."""
    rng = generator(f"activations of {name}", seed)
    shape = (n_vector, n_in)
    there = rng.random(shape, dtype=np.float32) < density
    drawn = np.abs(rng.standard_normal(shape, dtype=np.float32))
    return np.where(there, np.maximum(drawn, np.float32(SMALLEST_ACTIVATION)), np.float32(0))


def synthetic_activations(n_in: int, density: float, *, seed: int = 0) -> tuple[NDArray[np.float32], str]:
    """One vector of `activations` that belongs to no layer, float32 [n_in], and its label. Raises InputError."""
    require_int("n_in", n_in, 1, MAX_SIDE)
    density = require_fraction("activation_density", density)
    return activations("any layer", n_in=n_in, density=density, seed=seed)[0], label(density, seed)


def generator(purpose: str, seed: int) -> np.random.Generator:
    """A stream of its own for each purpose and seed, the same on every run (unlike one from Python's hash)."""
    require_seed(seed)
    return np.random.default_rng(np.random.SeedSequence([int(seed), zlib.crc32(purpose.encode())]))


def _positions(
    rng: np.random.Generator, n_out: int, n_in: int, density: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Column starts [n_in + 1] and the row of each weight, column by column."""
    width = max(1, BLOCK // n_out)
    counts = np.zeros(n_in + 1, dtype=np.int64)
    rows: list[NDArray[np.int32]] = []
    for first in range(0, n_in, width):
        last = min(first + width, n_in)
        there = rng.random((last - first, n_out), dtype=np.float32) < density
        counts[first + 1 : last + 1] = np.count_nonzero(there, axis=1)
        rows.append((np.flatnonzero(there) % n_out).astype(np.int32))
    return np.cumsum(counts), np.concatenate(rows)


def _values(rng: np.random.Generator, count: int, n_in: int, density: float) -> NDArray[np.float32]:
    """Gaussian values whose magnitudes are among the largest `density`, float32[count]."""
    values = np.empty(count, dtype=np.float32)
    share, magnitude = _tail(density)
    scale = 1.0 / np.sqrt(n_in)
    for first in range(0, count, BLOCK):
        part = values[first : first + BLOCK]
        signed = rng.random(len(part), dtype=np.float32) * 2 - 1  # the sign, and how far out in the tail
        part[:] = np.copysign(np.interp(np.abs(signed), share, magnitude) * scale, signed)
    return values


@lru_cache(maxsize=64)
def _tail(density: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of |x| of a standard normal that is among the largest `density`: shares of the tail, magnitudes.

    Shares are spaced evenly, and by ratio towards the rare large values, where the quantile is steep.
    """
    share = np.concatenate([np.geomspace(1e-8, 1e-2, 512), np.linspace(1e-2, 1.0, 2048)[1:]])
    inverse = NormalDist().inv_cdf
    magnitude = np.array([-inverse(part * max(density, 1e-9) / 2) for part in share])
    return share, np.maximum(magnitude, 1e-6)  # at density 1 the smallest would be 0, which is no weight
