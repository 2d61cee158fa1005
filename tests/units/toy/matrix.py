"""Compressed sparse rows: of each non-zero the value and its column, of each row where it begins."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eie_sim.core.errors import as_floats, require
from eie_sim.core.sparse import is_sparse
from eie_sim.core.storage import Format


@dataclass(frozen=True, kw_only=True, eq=False)
class ToyMatrix:
    """values float32[n_entry]; columns int64[n_entry]; starts int64[n_out + 1]."""

    shape: tuple[int, int]
    values: Any
    columns: Any
    starts: Any

    n_out = property(lambda self: self.shape[0])
    n_in = property(lambda self: self.shape[1])
    n_weight = property(lambda self: len(self.values))
    density = property(lambda self: self.n_weight / (self.n_out * self.n_in))

    def decode(self):
        """The weights, float32[n_out, n_in]."""
        dense = np.zeros(self.shape, dtype=np.float32)
        dense[np.repeat(np.arange(self.n_out), np.diff(self.starts)), self.columns] = self.values
        return dense


def compress(weights, config, *, bias=None):
    """Keep the non-zeros of weights [n_out, n_in], numpy or scipy.sparse."""
    require(bias is None, "bias", "given", "must be added to the outputs, outside the unit")
    weights = weights.toarray() if is_sparse(weights) else weights
    dense = as_floats("weights", weights, below=1e30).astype(np.float32)
    require(dense.ndim == 2, "weights", f"shape {dense.shape}", "must be (n_out, n_in)")
    starts = np.concatenate([[0], np.count_nonzero(dense, axis=1).cumsum()])
    return ToyMatrix(shape=dense.shape, values=dense[dense != 0], columns=np.nonzero(dense)[1], starts=starts)


def storage(matrix, config):
    """Bits by part, 32 for each value, column and pointer, and of dense weights at 16 each."""
    n_entry, (n_out, n_in) = len(matrix.values), matrix.shape
    parts = {"values": 32 * n_entry, "column_index": 32 * n_entry, "pointers": 32 * (n_out + 1)}
    return Format(name="toy", parts=parts, dense_bits=16 * n_out * n_in, note="32 bits each")
