"""Compressed sparse rows: of each non-zero the value and its column, of each row where it begins."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eie_sim.core.errors import as_floats, require


@dataclass(frozen=True, kw_only=True, eq=False)
class ToyMatrix:
    """values float32[n_entry]; columns int64[n_entry]; starts int64[n_out + 1]."""

    shape: tuple[int, int]
    values: Any
    columns: Any
    starts: Any

    n_out = property(lambda self: self.shape[0])
    n_in = property(lambda self: self.shape[1])

    def decode(self):
        """The weights, float32[n_out, n_in]."""
        dense = np.zeros(self.shape, dtype=np.float32)
        dense[np.repeat(np.arange(self.n_out), np.diff(self.starts)), self.columns] = self.values
        return dense


def compress(weights, config, *, bias=None):
    """Keep the non-zeros of weights [n_out, n_in]."""
    require(bias is None, "bias", "given", "must be added to the outputs, outside the unit")
    dense = as_floats("weights", weights, below=1e30).astype(np.float32)
    require(dense.ndim == 2, "weights", f"shape {dense.shape}", "must be (n_out, n_in)")
    starts = np.concatenate([[0], np.count_nonzero(dense, axis=1).cumsum()])
    return ToyMatrix(shape=dense.shape, values=dense[dense != 0], columns=np.nonzero(dense)[1], starts=starts)


def bits(matrix, config):
    """Of values, columns and row pointers, 32 each."""
    return 32 * (2 * len(matrix.values) + len(matrix.starts))
