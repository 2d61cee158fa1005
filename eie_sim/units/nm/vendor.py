"""A 2:4 matrix (2 **kept** of 4) in the layout that the vendor's sparse matrix instructions read, and back.

Values are the same. Metadata are words of 16 bits (16-bit values, 16 inputs) or 32 bits (int8, 32 inputs), each of
nibbles with the first group lowest, and the words are moved three times:

1. within blocks of 32 rows (16 of int8), row i goes to i % 8 * 4 + i // 8 (i % 8 * 2 + i // 8), so that the eight rows
   of a quarter (half) are that far apart;
2. in every 2 x 2 block of words, the two off the diagonal change places;
3. the result is stored by pairs of columns: both words of row 0, of row 1 and so on, then the next pair.

Source: CUTLASS, host_reorder.h; the same words as PyTorch's torch.sparse._semi_structured_conversions makes on a CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import as_array, require, require_type
from eie_sim.units.nm.matrix import NmMatrix

WORDS: dict[np.dtype[Any], tuple[type[np.int16] | type[np.int32], int]] = {
    np.dtype(np.float16): (np.int16, 32),
    np.dtype(np.int8): (np.int32, 16),
}
"""Type of a metadata word and rows of a block, by the type of the values."""


def to_vendor(matrix: NmMatrix) -> tuple[NDArray[Any], NDArray[np.int16 | np.int32]]:
    """Values and reordered metadata of a 2:4 matrix (2 **kept** of 4).

    Values are [n_out, n_in / 2]; metadata int16 [n_out, n_in / 16] of float16, int32 [n_out, n_in / 32] of int8.

    Raises InputError for a pattern other than 2:4, rows that are no multiple of 32 (int8: 16), and inputs that are no
    multiple of 32 (int8: 64), two words.
    """
    require_type("matrix", matrix, NmMatrix)
    n_keep, m_group = matrix.pattern
    rule = "must be 2:4, 2 kept of 4, for the vendor's layout"
    require(matrix.pattern == (2, 4), "pattern", f"{n_keep}:{m_group}", rule)
    kind, block = WORDS[matrix.values.dtype]
    shape = _require_whole_blocks(matrix.values)
    words = matrix.metadata().view(np.dtype(kind).newbyteorder("<")).astype(kind)
    moved = np.empty_like(words)
    moved[_places(*shape, block)] = words
    return matrix.values.copy(), moved.reshape(shape)


def from_vendor(values: ArrayLike, metadata: ArrayLike) -> NmMatrix:
    """The 2:4 matrix (2 **kept** of 4) of values and metadata in the vendor's layout; the inverse of `to_vendor`.

    Raises InputError for values that are neither float16 nor int8, sizes as in `to_vendor`, metadata of another type
    or shape, and nibbles that are none of 4, 8, C, 9, D, E.
    """
    kept, moved = as_array("values", values), as_array("metadata", metadata)
    require(kept.dtype in WORDS, "values", f"dtype {kept.dtype}", "must be float16 or int8")
    require(kept.ndim == 2, "values", f"shape {kept.shape}", "must have 2 dimensions, (n_out, n_in / 2)")
    kind, block = WORDS[kept.dtype]
    shape = _require_whole_blocks(kept)
    ok = moved.dtype == kind and moved.shape == shape
    require(ok, "metadata", f"{moved.dtype} {moved.shape}", f"must be {np.dtype(kind)} {shape}")
    words = np.ascontiguousarray(moved).reshape(-1)[_places(*shape, block)]
    packed = words.astype(words.dtype.newbyteorder("<")).view(np.uint8)
    return NmMatrix.from_metadata(kept, packed)


def _require_whole_blocks(values: NDArray[Any]) -> tuple[int, int]:
    """Shape of the metadata in words."""
    kind, block = WORDS[values.dtype]
    inputs_of_word = 8 * np.dtype(kind).itemsize
    n_out, n_in = values.shape[0], 2 * values.shape[1]
    require(n_out % block == 0, "n_out", n_out, f"must be a multiple of {block} in the vendor's layout")
    rule = f"must be a multiple of {2 * inputs_of_word} in the vendor's layout"
    require(n_in % (2 * inputs_of_word) == 0, "n_in", n_in, rule)
    return n_out, n_in // inputs_of_word


def _places(n_row: int, n_column: int, block: int) -> NDArray[np.int64]:
    """Return the place of each word of row-major metadata, int64[n_row * n_column]."""
    row, column = np.indices((n_row, n_column))
    row = row // block * block + row % 8 * (block // 8) + row % block // 8
    off_diagonal = row % 2 != column % 2
    row, column = np.where(off_diagonal, row ^ 1, row), np.where(off_diagonal, column ^ 1, column)
    return (column // 2 * (2 * n_row) + row * 2 + column % 2).reshape(-1)
