"""Bits of a layer in the encoding of the PEs: exact, by part. Source: Han et al. 2016, section III."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.storage import Format
from eie_sim.units.eie.config import EieConfig

CODEBOOK_VALUE_BITS = 16
"""Width of a codebook value: the fixed point of the datapath, whatever other formats store."""


class Encoding(NamedTuple):
    """Counts and widths of an encoding. `pe_entries` : int64[n_pe], entries of each PE, padding included."""

    n_column: int
    n_weight: int
    pe_entries: NDArray[np.int64]
    weight_bits: int
    index_bits: int
    pointer_bits: int


def of_mask(flat: NDArray[np.int64], shape: tuple[int, int], config: EieConfig) -> Format:
    """Bits of a layer of which only the mask is known, without a bias; nothing is encoded.

    flat : int64[n_nonzero], row-major positions of the non-zeros in (n_out, n_in), ascending
    """
    entries = pe_entries(flat, shape, config.n_pe, config.index_bits)
    widths = config.weight_bits, config.index_bits, config.pointer_bits
    return format_of(Encoding(shape[1], len(flat), entries, *widths), shape[0] * shape[1] * CODEBOOK_VALUE_BITS)


def encoding_of(matrix: Any, pointer_bits: int) -> Encoding:
    """Return the counts and widths of an EieMatrix, or of its counts."""
    entries = matrix.pointers[-1].astype(np.int64)
    widths = matrix.weight_bits, matrix.index_bits, pointer_bits
    return Encoding(int(matrix.n_column), int(matrix.n_weight), entries, *widths)


def format_of(encoding: Encoding, dense_bits: int) -> Format:
    """Bits by part. dense_bits : of the same layer, stored dense"""
    n_pe, n_padding = len(encoding.pe_entries), int(encoding.pe_entries.sum()) - encoding.n_weight
    n_codebook, reach = 2**encoding.weight_bits, 2**encoding.pointer_bits
    parts = {
        "weights": encoding.n_weight * encoding.weight_bits,
        "padding": n_padding * (encoding.weight_bits + encoding.index_bits),
        "index": encoding.n_weight * encoding.index_bits,
        "pointers": n_pe * (encoding.n_column + 1) * encoding.pointer_bits,
        "codebook": n_codebook * CODEBOOK_VALUE_BITS,
    }
    note = (
        f"{n_pe} PEs, {encoding.weight_bits}-bit codes, {encoding.index_bits}-bit gaps, {encoding.pointer_bits}-bit "
        f"column pointers; padding is the codes and gaps of {n_padding} padding entries; one codebook of "
        f"{n_codebook} {CODEBOOK_VALUE_BITS}-bit values, not one per PE"
    )
    beyond = int(np.count_nonzero(encoding.pe_entries > reach))
    if beyond:
        most = int(encoding.pe_entries.max())
        note += f"; {beyond} PEs hold more than the {reach} entries a pointer reaches, up to {most}"
    return Format(name="eie", parts=parts, dense_bits=dense_bits, note=note, valid=beyond == 0, violations=beyond)


def pe_entries(flat: NDArray[np.int64], shape: tuple[int, int], n_pe: int, index_bits: int) -> NDArray[np.int64]:
    """Entries of each PE, padding included, int64[n_pe]: one per non-zero and one per 2**index_bits zeros before it.

    flat : int64[n_nonzero], row-major positions of the non-zeros in (n_out, n_in), ascending
    """
    if not len(flat):
        return np.zeros(n_pe, dtype=np.int64)
    n_out, n_in = shape
    rows, columns = np.divmod(flat, n_in)
    n_local = -(-n_out // n_pe)
    # One number per non-zero in the order a PE stores them; below 2**63, as each side of the matrix is below 2**31.
    place = (columns * n_pe + rows % n_pe) * n_local + rows // n_pe
    place.sort()
    segment, local = np.divmod(place, n_local)
    before = np.concatenate([[-1], local[:-1]])
    before[np.flatnonzero(np.diff(segment, prepend=-1))] = -1
    padding = (local - before - 1) >> index_bits
    pe = segment % n_pe
    # Sums of float64 weights, exact below 2**53.
    fillers = np.bincount(pe, weights=padding, minlength=n_pe).astype(np.int64)
    return np.bincount(pe, minlength=n_pe) + fillers
