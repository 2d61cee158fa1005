"""Sizes of a layer in Deep Compression's format, part by part, in exact bits.

Source: Han, Mao, Dally, ICLR 2016, sections 2 to 4 and the tables of section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

CODEBOOK_VALUE_BITS = 32
"""A shared weight is a 32-bit float, and so is a weight of the dense layer the published rates are over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bits of one layer by part, before and after Huffman coding.

    n_position : weights of the dense layer
    n_weight, n_filler : stored entries: weights that are kept, and zeros that only bridge a long gap
    codes_bits, indices_bits : of all entries, fillers too
    filler_bits : what the fillers take of these two
    codebook_bits : 2**weight_bits values of 32 bits, that of code 0 too, as the authors' files hold it
    huffman_codes_bits : None for a mask, whose codes nobody knows
    huffman_indices_bits : of all entries
    huffman_tables_bits : the lengths of both codes, from which a reader makes them
    huffman_filler_bits : what the fillers take of the two streams; None for a mask
    """

    n_position: int
    n_weight: int
    n_filler: int
    codes_bits: int
    indices_bits: int
    filler_bits: int
    codebook_bits: int
    huffman_codes_bits: int | None
    huffman_indices_bits: int
    huffman_tables_bits: int
    huffman_filler_bits: int | None

    @property
    def dense32_bits(self) -> int:
        """Bits of the dense layer, 32 a weight."""
        return self.n_position * CODEBOOK_VALUE_BITS

    @property
    def total_bits(self) -> int:
        """Bits of codes, indices and codebook, all of fixed width."""
        return self.codes_bits + self.indices_bits + self.codebook_bits

    @property
    def huffman_total_bits(self) -> int | None:
        """Bits of both coded streams, their tables and the codebook; None for a mask."""
        if self.huffman_codes_bits is None:
            return None
        return self.huffman_codes_bits + self.huffman_indices_bits + self.huffman_tables_bits + self.codebook_bits

    @property
    def filler_share(self) -> Fraction:
        """Fillers over all entries, 0 without entries."""
        n_entry = self.n_weight + self.n_filler
        return Fraction(self.n_filler, n_entry) if n_entry else Fraction(0)

    @property
    def ratio_vs_dense32(self) -> Fraction:
        """dense32_bits / total_bits, above 1 where the format saves; the published rates are its inverse."""
        return Fraction(self.dense32_bits, self.total_bits)

    @property
    def huffman_ratio_vs_dense32(self) -> Fraction | None:
        """dense32_bits / huffman_total_bits; None for a mask."""
        total = self.huffman_total_bits
        return None if total is None else Fraction(self.dense32_bits, total)

    def to_dict(self) -> dict[str, int | float | None]:
        """Counts and bits by name, totals too, and the ratios as floats; plain values for JSON."""
        huffman_ratio = self.huffman_ratio_vs_dense32
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "dense32_bits": self.dense32_bits,
            "total_bits": self.total_bits,
            "huffman_total_bits": self.huffman_total_bits,
            "filler_share": float(self.filler_share),
            "ratio_vs_dense32": float(self.ratio_vs_dense32),
            "huffman_ratio_vs_dense32": None if huffman_ratio is None else float(huffman_ratio),
        }
