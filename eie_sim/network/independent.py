"""Independent activations in place of recorded ones: what the recorded ones have in common is lost, and nothing else.

Real activations are not independent. Some inputs are active for nearly every vector, and trained weights are denser in
their columns; and what is active together tends to be so again. `independent` forgets both, `independent_by_column`
only the second.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.arrays import Floats, as_floats, require_floats
from eie_sim.core.errors import require
from eie_sim.network.synthetic import generator


def independent(activations: ArrayLike, *, seed: int = 0) -> Floats:
    """Activations of the same shape, every place active on its own with the density of the whole batch.

    activations : real [n_vector, n_in]; active ones are not zero

    Returns float32 or float64 [n_vector, n_in], values drawn from the active ones. The same for the same seed.
    Raises InputError for another shape, for no vector or no input, and for numbers that are not finite.
    """
    batch = _batch(activations)
    return _drawn(batch.reshape(-1, 1), "independent activations", seed).reshape(batch.shape)


def independent_by_column(activations: ArrayLike, *, seed: int = 0) -> Floats:
    """Activations of the same shape, every place active on its own with the firing rate of its column.

    activations : real [n_vector, n_in]; active ones are not zero

    Returns float32 or float64 [n_vector, n_in], values drawn from the active ones of the column: an input that is
    never active stays silent, one that always is stays active. The same for the same seed. Raises InputError as
    `independent` does.
    """
    return _drawn(_batch(activations), "independent activations by column", seed)


def _batch(activations: ArrayLike) -> Floats:
    batch = as_floats("activations", activations)
    rule = "must be (n_vector, n_in), both at least 1"
    require(batch.ndim == 2 and batch.size > 0, "activations", f"shape {batch.shape}", rule)
    require_floats("activations", batch)
    return batch


def _drawn(batch: Floats, purpose: str, seed: int) -> Floats:
    """Each place of a column active with the column's share of active places, as one of the column's active values."""
    rng = generator(purpose, seed)
    active = batch != 0
    count: NDArray[np.int64] = active.sum(axis=0)
    values = batch.T[active.T]  # column after column
    there = rng.integers(len(batch), size=batch.shape) < count  # with probability count / n_vector, exactly
    first = np.cumsum(count) - count
    pick = first + rng.integers(np.maximum(count, 1), size=batch.shape)
    drawn = np.zeros_like(batch)
    drawn[there] = values[pick[there]]
    return drawn
