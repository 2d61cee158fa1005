"""Weights as they are stored after compression: a code for each weight, and a codebook that the codes share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import Floats, Weights, require_floats, require_matrix_shape
from eie_sim.core.errors import require

if TYPE_CHECKING:
    from eie_sim.core.quantize import Scales

MAX_DENSE = 2**24
"""Weights of a layer above which they are decoded to a sparse matrix."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedWeights:
    """The shared weights of one layer.

    codes : uint8 [n_out, n_in], below 2**weight_bits, 0 where there is no weight
    bias_codes : uint8 [n_out], or None for a layer without bias
    codebook : float64 [2**weight_bits], value of each code; the first is 0
    scales : fractional bits; that of the weights is chosen, the others may be left to a run

    A kept weight has a code above 0, even where the value it shares is 0. Raises InputError.
    """

    codes: NDArray[np.uint8]
    codebook: NDArray[np.float64]
    scales: Scales
    bias_codes: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        book = self.codebook
        rule = "must be float64 (2**weight_bits,), weight_bits 1 to 8"
        ok = book.ndim == 1 and book.size in (2**bits for bits in range(1, 9)) and book.dtype == np.float64
        require(ok, "codebook", f"{book.dtype} {book.shape}", rule)
        require_floats("codebook", book)
        require(book[0] == 0, "codebook[0]", book[0], "must be 0, code 0 stands for no weight")
        require(self.scales.weight is not None, "scales.weight", None, "must be chosen")
        require_matrix_shape("codes", self.codes.shape)
        self._check_codes("codes", self.codes)
        if self.bias_codes is not None:
            self.scales.require_bias_driven()
            expected = self.codes.shape[:1]
            shape = self.bias_codes.shape
            require(shape == expected, "bias_codes", f"shape {shape}", f"must be {expected}, one per output")
            self._check_codes("bias_codes", self.bias_codes)

    def _check_codes(self, field: str, codes: NDArray[Any]) -> None:
        require(codes.dtype == np.uint8, field, f"dtype {codes.dtype}", "must be uint8")
        highest = int(codes.max())
        require(
            highest < self.codebook.size, field, highest, f"must be below the codebook's {self.codebook.size} values"
        )

    @property
    def weight_bits(self) -> int:
        """Bits of a code."""
        return self.codebook.size.bit_length() - 1

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where a weight was kept, bool [n_out, n_in]."""
        return np.asarray(self.codes != 0)

    @property
    def columns(self) -> NDArray[np.uint8]:
        """The codes with those of the bias, where there is one, as a last column."""
        return self.codes if self.bias_codes is None else np.column_stack([self.codes, self.bias_codes])

    @property
    def codebook_raw(self) -> NDArray[np.int16]:
        """The codebook in fixed point, int16 words of `scales.weight` fractional bits."""
        from eie_sim.core.fixed import to_fixed  # loads numba, which listing workloads does without

        assert self.scales.weight is not None
        return to_fixed(self.codebook, self.scales.weight)

    @cached_property
    def weights(self) -> Weights:
        """The codebook's value of each code, float64 [n_out, n_in]; a csc_array above `MAX_DENSE` weights."""
        if self.codes.size <= MAX_DENSE:
            return self.codebook[self.codes]
        from scipy.sparse import csc_array

        sparse = csc_array(self.codes)
        decoded = csc_array((self.codebook[sparse.data], sparse.indices, sparse.indptr), shape=self.codes.shape)
        decoded.eliminate_zeros()
        return decoded

    @cached_property
    def bias(self) -> Floats | None:
        """The codebook's value of each bias code, float64 [n_out], or None."""
        return None if self.bias_codes is None else self.codebook[self.bias_codes]
