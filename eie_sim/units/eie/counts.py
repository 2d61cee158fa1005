"""Entries that every column asks of every PE, counted: all that time, events and bits depend on.

A sweep over PEs, gaps and densities needs no more than this, which takes one pass over the non-zeros to count.
Source: Han et al. 2016, section III (interleaved compressed sparse columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import require, require_int
from eie_sim.units.eie.encoding import count_entries

MAX_ENTRIES = 2**30
"""Entries of one matrix; keeps cycle counts within 32 bits in the kernels."""

MAX_POINTERS = 2**27
"""Column pointers of one matrix over all PEs, checked before they are allocated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EieCounts:
    """A layer as the PEs would hold it, counted. Build one with `counted`, or take that of an EieMatrix.

    shape : (n_out, n_in)
    n_pe, weight_bits, index_bits : what the format fixes
    has_bias : True when one more column, driven by activation 1.0, follows the inputs
    n_weight : stored weights, the bias included
    pointers : int32[n_column + 1, n_pe], where each column starts in that PE's entries
    padding : int32[n_column, n_pe], padding entries by column and PE
    """

    shape: tuple[int, int]
    n_pe: int
    weight_bits: int
    index_bits: int
    has_bias: bool
    n_weight: int
    pointers: NDArray[np.int32]
    padding: NDArray[np.int32]

    __repr__ = shows("shape", "n_pe", "weight_bits", "index_bits", "has_bias", "n_weight", "n_entry")

    @property
    def n_out(self) -> int:
        """Rows of the weights."""
        return self.shape[0]

    @property
    def n_in(self) -> int:
        """Columns of the weights, without a bias."""
        return self.shape[1]

    @property
    def n_column(self) -> int:
        """Stored columns, the bias included."""
        return self.n_in + int(self.has_bias)

    @property
    def n_entry(self) -> int:
        """Stored entries over all PEs, padding included."""
        return int(self.pointers[-1].sum(dtype=np.int64))

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """True for columns of which any PE has entries, bool[n_column]."""
        return np.asarray((self.pointers[1:] > self.pointers[:-1]).any(axis=1))


def counted(
    starts: NDArray[np.int64],
    rows: NDArray[np.int32],
    shape: tuple[int, int],
    *,
    n_pe: int,
    weight_bits: int,
    index_bits: int,
    has_bias: bool,
) -> EieCounts:
    """Count the entries of non-zeros held column by column.

    starts : int64[n_column + 1], where each column begins; rows : int32[n_weight], ascending within a column
    shape : (n_out, n_in); a bias is one more column than n_in

    Raises InputError for sizes out of range.
    """
    require_int("n_pe", n_pe, 1, 65536)
    require_int("index_bits", index_bits, 1, 8)
    n_pe, index_bits = int(n_pe), int(index_bits)  # numpy's small integers would overflow
    n_pointer = len(starts) * n_pe
    require(n_pointer <= MAX_POINTERS, "n_pe", n_pe, f"times columns must be at most {MAX_POINTERS} pointers")
    pointers = np.zeros((len(starts), n_pe), dtype=np.int32)
    padding = np.zeros((len(starts) - 1, n_pe), dtype=np.int32)
    n_entry = count_entries(starts, rows, 2**index_bits, pointers, padding)
    require(n_entry <= MAX_ENTRIES, "weights", f"{n_entry} entries", f"must encode to at most {MAX_ENTRIES} entries")
    return EieCounts(
        shape=shape,
        n_pe=n_pe,
        weight_bits=weight_bits,
        index_bits=index_bits,
        has_bias=has_bias,
        n_weight=len(rows),
        pointers=pointers,
        padding=padding,
    )
