"""One layer as Deep Compression stores it: a code and a relative index for each entry, in one stream, and a codebook.

The stream runs over the layer flattened row by row, whatever its dimensions, and gaps run across rows. A gap is the
count of zeros since the entry before, 0 to G = 2**index_bits - 1, so an entry reaches over a span of G + 1 weights. A
longer gap is bridged by fillers, code 0 and gap G. Zeros after the last weight need nothing. Code 0 is the value 0, so
2**weight_bits - 1 weights are shared.

Source: Han, Mao, Dally, ICLR 2016, sections 2 and 3; Figure 2 writes distances, which are these gaps plus one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from eie_sim.core import huffman
from eie_sim.core.errors import InputError, require, require_int
from eie_sim.deep_compression.sizes import CODEBOOK_VALUE_BITS, Sizes

MAX_POSITIONS = 2**40
"""Most weights of a dense layer, so that sums of positions stay far below 2**63."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DeepCompression:
    """The streams of one layer. Build one with `compress_layer`, `compress_positions` or `compress_codes`.

    shape : of the dense layer
    weight_bits, index_bits : width of a code and of a gap
    codes, gaps : uint8[n_entry], in the order of the flattened layer; a filler is code 0 with the longest gap
    codebook : float32[2**weight_bits], value of each code, code 0 is 0.0; None for a mask, whose weights have code 1

    Raises InputError for streams that are not those of such a layer.
    """

    shape: tuple[int, ...]
    weight_bits: int
    index_bits: int
    codes: NDArray[np.uint8]
    gaps: NDArray[np.uint8]
    codebook: NDArray[np.float32] | None

    def __post_init__(self) -> None:
        require_shape(self.shape)
        require_widths(self.weight_bits, self.index_bits)
        object.__setattr__(self, "weight_bits", int(self.weight_bits))  # numpy's small integers overflow in 2**bits
        object.__setattr__(self, "index_bits", int(self.index_bits))
        for name, stream, width in (("codes", self.codes, self.weight_bits), ("gaps", self.gaps, self.index_bits)):
            require(stream.ndim == 1, name, f"shape {stream.shape}", "must have 1 dimension")
            require(stream.dtype == np.uint8, name, f"dtype {stream.dtype}", "must be uint8")
            high = int(stream.max(initial=0))
            require(high < 2**width, name, high, f"must be below {2**width}, it has {width} bits")
        require(len(self.codes) == len(self.gaps), "gaps", f"{len(self.gaps)} entries", f"must be {len(self.codes)}")
        short = (self.codes == 0) & (self.gaps != 2**self.index_bits - 1)
        if short.any():
            first = int(np.argmax(short))
            raise InputError(f"gaps[{first}]={self.gaps[first]}: must be the longest gap, its code 0 makes it a filler")
        reached = int(self.gaps.sum(dtype=np.int64)) + len(self.gaps)
        require(reached <= self.n_position, "gaps", f"{reached} weights reached", f"must be at most {self.n_position}")
        if self.codebook is None:
            high = int(self.codes.max(initial=0))
            require(high <= 1, "codes", high, "must be 0 or 1 without a codebook")
        else:
            require_codebook(self.codebook, self.weight_bits)

    @property
    def n_position(self) -> int:
        """Weights of the dense layer."""
        return prod(self.shape)

    @property
    def n_entry(self) -> int:
        """Stored entries, fillers included."""
        return len(self.codes)

    @property
    def n_weight(self) -> int:
        """Stored weights."""
        return int(np.count_nonzero(self.codes))

    @property
    def n_filler(self) -> int:
        """Stored fillers."""
        return self.n_entry - self.n_weight

    def positions(self) -> NDArray[np.int64]:
        """Return the places of the weights in the flattened layer, int64[n_weight], ascending."""
        kept = np.flatnonzero(self.codes)
        places: NDArray[np.int64] = np.cumsum(self.gaps, dtype=np.int64)[kept] + kept
        return places

    def dense_codes(self) -> NDArray[np.uint8]:
        """Code of every weight, uint8 of the layer's shape, 0 where none is kept; read from the streams alone."""
        dense = np.zeros(self.n_position, dtype=np.uint8)
        dense[self.positions()] = self.codes[self.codes != 0]
        return dense.reshape(self.shape)

    def decode(self) -> NDArray[np.float32]:
        """The quantised dense layer, float32 of the layer's shape. Raises InputError for a mask: it has no values."""
        if self.codebook is None:
            raise InputError("codebook=None: must be there, a mask has positions but no values")
        return self.codebook[self.dense_codes()]

    def huffman_streams(self) -> tuple[huffman.Stream, huffman.Stream]:
        """Both streams, coded: codes, gaps. Together with shape, widths and codebook they are the layer."""
        return huffman.compress(self.codes, 2**self.weight_bits), huffman.compress(self.gaps, 2**self.index_bits)

    @classmethod
    def from_huffman(
        cls,
        codes: huffman.Stream,
        gaps: huffman.Stream,
        *,
        shape: Sequence[int],
        codebook: NDArray[np.float32] | None,
    ) -> DeepCompression:
        """The layer of these two streams; the widths are those of their alphabets. Raises InputError."""
        return cls(
            shape=tuple(shape),
            weight_bits=_width_of("codes", codes),
            index_bits=_width_of("gaps", gaps),
            codes=huffman.decompress(codes),
            gaps=huffman.decompress(gaps),
            codebook=codebook,
        )

    def sizes(self) -> Sizes:
        """Bits of every part, counted without making the coded streams."""
        code_counts = np.bincount(self.codes, minlength=2**self.weight_bits)
        gap_counts = np.bincount(self.gaps, minlength=2**self.index_bits)
        code_lengths, gap_lengths = huffman.code_lengths(code_counts), huffman.code_lengths(gap_counts)
        n_filler, known = int(code_counts[0]), self.codebook is not None
        return Sizes(
            n_position=self.n_position,
            n_weight=self.n_entry - n_filler,
            n_filler=n_filler,
            codes_bits=self.n_entry * self.weight_bits,
            indices_bits=self.n_entry * self.index_bits,
            filler_bits=n_filler * (self.weight_bits + self.index_bits),
            codebook_bits=2**self.weight_bits * CODEBOOK_VALUE_BITS,
            huffman_codes_bits=huffman.coded_bits(code_counts, code_lengths) if known else None,
            huffman_indices_bits=huffman.coded_bits(gap_counts, gap_lengths),
            huffman_tables_bits=(2**self.weight_bits + 2**self.index_bits) * huffman.LENGTH_BITS,
            huffman_filler_bits=n_filler * (int(code_lengths[0]) + int(gap_lengths[-1])) if known else None,
        )


def require_shape(shape: Sequence[int]) -> None:
    """Raise InputError unless `shape` is that of a layer."""
    for side in shape:
        require_int("shape", side, 0, MAX_POSITIONS)
    n_position = prod(int(side) for side in shape)
    require(n_position <= MAX_POSITIONS, "shape", tuple(shape), f"must have at most {MAX_POSITIONS} weights")


def require_widths(weight_bits: int, index_bits: int) -> None:
    """Raise InputError unless both are 1 to 8 bits."""
    require_int("weight_bits", weight_bits, 1, 8)
    require_int("index_bits", index_bits, 1, 8)


def require_codebook(codebook: NDArray[np.float32], weight_bits: int) -> None:
    """Raise InputError unless `codebook` has a finite value for each code, and 0 for code 0."""
    n_code = 2**weight_bits
    require(codebook.dtype == np.float32, "codebook", f"dtype {codebook.dtype}", "must be float32")
    require(codebook.shape == (n_code,), "codebook", f"shape {codebook.shape}", f"must be ({n_code},)")
    require(bool(np.isfinite(codebook).all()), "codebook", "NaN or infinity", "must be finite")
    require(codebook[0] == 0, "codebook[0]", codebook[0], "must be 0, code 0 stands for the value 0")


def _width_of(name: str, stream: huffman.Stream) -> int:
    n_symbol = len(stream.lengths)
    ok = 2 <= n_symbol <= huffman.MAX_ALPHABET and n_symbol & (n_symbol - 1) == 0
    require(ok, f"{name}.lengths", f"{n_symbol} symbols", "must be a power of two, 2 to 256")
    return n_symbol.bit_length() - 1
