"""Codes as streams of bits: a mask of what was kept, and the codes of the kept ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require

Bytes = NDArray[np.uint8]


def pack(values: Bytes, width: int) -> Bytes:
    """The lowest `width` bits, 1 to 8, of each value: uint8[n] to uint8[ceil(n * width / 8)], see `eie_sim.archive`."""
    if width == 1:  # masks are large, and rows of one bit slow
        return np.packbits(values & 1, bitorder="little")
    bits = np.unpackbits(values[:, None], axis=1, count=width, bitorder="little")
    return np.packbits(bits.ravel(), bitorder="little")


def unpack(field: str, packed: Bytes, n: int, width: int) -> Bytes:
    """The `n` values that `pack` made into these bytes. Raises InputError for other sizes, and for bits left over."""
    size = -(-n * width // 8)
    require(packed.shape == (size,), field, f"shape {packed.shape}", f"must be ({size},), {n} times {width} bits")
    bits = np.unpackbits(packed, bitorder="little")
    require(not bits[n * width :].any(), field, "bits set after the last value", "must be 0")
    if width == 1:
        return bits[:n]
    return np.packbits(bits[: n * width].reshape(n, width), axis=1, bitorder="little").ravel()
