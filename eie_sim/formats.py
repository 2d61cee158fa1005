"""How many bits a pruned layer takes: exact, by part, in EIE's encoding and in the usual formats of the same mask.

`dense32` is the baseline compression ratios are usually quoted against. Widths of indices and pointers are the fewest
bits that tell their values apart, so an index into one row or column takes none; every note says what was assumed.

Source: EIE's encoding, Han et al. 2016, section III; N:M, Mishra et al. 2021 (arXiv 2104.08378), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_array, require, require_int
from eie_sim.core.sparse import checked, is_sparse, require_sides
from eie_sim.core.storage import Footprint, Format

CODEBOOK_VALUE_BITS = 16
"""Width of a codebook value: the fixed point of EIE's datapath, whatever the other formats store."""

DEFAULT_EIE_BITS = 4
"""Width of a code and of a gap, where a mask is counted and neither is given."""


class _Layer(NamedTuple):
    """What the formats are counted from.

    flat : int64[n_nonzero], row-major positions of the non-zeros, ascending
    n_bias : values of a dense bias, n_out or 0
    """

    n_out: int
    n_in: int
    flat: NDArray[np.int64]
    value_bits: int
    n_bias: int = 0

    @property
    def n_position(self) -> int:
        return self.n_out * self.n_in

    @property
    def n_nonzero(self) -> int:
        return len(self.flat)

    def format(self, name: str, parts: dict[str, int], note: str, **marks: Any) -> Format:
        """A format of the matrix alone, with the bias stored dense beside it."""
        if self.n_bias:
            parts = parts | {"bias": self.n_bias * self.value_bits}
            note += "; the bias stored dense"
        return Format(name=name, parts=parts, dense_bits=self.dense_bits, note=note, **marks)

    @property
    def dense_bits(self) -> int:
        return (self.n_position + self.n_bias) * self.value_bits


class Encoding(NamedTuple):
    """Counts and widths of an EIE encoding. `pe_entries` : int64[n_pe], entries of each PE, padding included."""

    n_column: int
    n_weight: int
    pe_entries: NDArray[np.int64]
    weight_bits: int
    index_bits: int
    pointer_bits: int


def footprint(
    matrix_or_mask: Any,
    *,
    value_bits: int | None = None,
    run_bits: int = 4,
    n_keep: int | None = None,
    m_group: int | None = None,
    n_pe: int | None = None,
    weight_bits: int | None = None,
    index_bits: int | None = None,
    pointer_bits: int = 16,
) -> Footprint:
    """Bits by part of a layer in every format: eie, dense, dense32, csr, csc, coo, bitmap, run_length, nm.

    matrix_or_mask : a compressed matrix, or [n_out, n_in] of bool or real numbers, numpy or scipy.sparse, non-zero
        where kept. A bias that is compressed with the weights is in every format, and in the dense sizes
    value_bits : width of a value in all formats but eie (whose codebook has 16-bit values) and dense32; else 16
    run_bits : width of a zero run in run_length
    n_keep, m_group : the pattern of nm, `n_keep` kept in each `m_group` inputs of a row; else 2 and 4
    n_pe, weight_bits, index_bits : of eie, which is left out where no `n_pe` is known; the widths are else 4
    pointer_bits : width of EIE's column pointers

    What a matrix states itself need not be given. Raises InputError for a wrong shape or dtype, NaN or infinity,
    options out of range or at odds with the matrix.
    """
    matrix: Any = matrix_or_mask if hasattr(matrix_or_mask, "nonzero_positions") else None
    require_int("run_bits", run_bits, 1, 62)
    require_int("pointer_bits", pointer_bits, 1, 31)
    given = {"value_bits": value_bits, "m_group": m_group, "n_keep": n_keep}
    given |= {"n_pe": n_pe, "weight_bits": weight_bits, "index_bits": index_bits}
    own = {name: getattr(matrix, name, None) for name in given}
    for (name, value), high in zip(given.items(), (64, 2**31, 2**31, 65536, 8, 8), strict=True):
        if value is not None:
            require_int(name, value, 1, high)
            rule = f"must agree with the matrix, whose {name} is {own[name]}"
            require(own[name] in (None, value), name, value, rule)
    stated = {name: own[name] if value is None else int(value) for name, value in given.items()}
    n_keep, m_group = stated["n_keep"] or 2, stated["m_group"] or 4
    require_int("n_keep", n_keep, 1, m_group)
    if matrix is None:
        layer = _layer_of_mask(matrix_or_mask, stated["value_bits"] or 16)
    else:
        n_bias = int(matrix.n_out) if getattr(matrix, "has_bias", False) else 0
        positions = matrix.nonzero_positions()
        layer = _Layer(int(matrix.n_out), int(matrix.n_in), positions, stated["value_bits"] or 16, n_bias)
    if own["n_pe"] is None:
        encoding = _encoding_of_mask(layer, stated, int(pointer_bits))
    else:
        encoding = encoding_of(matrix, int(pointer_bits))
    formats = [] if encoding is None else [format_of(encoding, layer.dense_bits)]
    formats += [
        _dense(layer),
        _dense32(layer),
        _compressed(layer, "csr", "row", n_pointer=layer.n_out + 1, n_index=layer.n_in),
        _compressed(layer, "csc", "column", n_pointer=layer.n_in + 1, n_index=layer.n_out),
        _coo(layer),
        _bitmap(layer),
        _run_length(layer, int(run_bits)),
        _nm(layer, n_keep, m_group, dense=own["n_keep"] is not None and n_keep == m_group),
    ]
    return Footprint({each.name: each for each in formats})


def _width(n_value: int) -> int:
    """Fewest bits that tell `n_value` values apart: ceil(log2), 0 for one value or none."""
    return max(n_value - 1, 0).bit_length()


def encoding_of(matrix: Any, pointer_bits: int) -> Encoding:
    """What the encoding of an EieMatrix, or the counts of one, is counted from."""
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


def _dense(layer: _Layer) -> Format:
    return layer.format(
        "dense", {"values": layer.n_position * layer.value_bits}, f"{layer.value_bits}-bit values at every position"
    )


def _dense32(layer: _Layer) -> Format:
    wide = layer._replace(value_bits=32)
    dense = wide.format("dense32", {"values": wide.n_position * 32}, "32-bit values at every position")
    return Format(name=dense.name, parts=dense.parts, dense_bits=layer.dense_bits, note=dense.note)


def _compressed(layer: _Layer, name: str, along: str, *, n_pointer: int, n_index: int) -> Format:
    """CSR or CSC: pointers hold 0 to n_nonzero, indices 0 to n_index - 1."""
    index, pointer = _width(n_index), _width(layer.n_nonzero + 1)
    across = "column" if along == "row" else "row"
    parts = {
        "values": layer.n_nonzero * layer.value_bits,
        "index": layer.n_nonzero * index,
        "pointers": n_pointer * pointer,
    }
    note = f"{index}-bit {across} indices, {n_pointer} {along} pointers of {pointer} bits"
    return layer.format(name, parts, f"{layer.value_bits}-bit values, {note}")


def _coo(layer: _Layer) -> Format:
    row, column = _width(layer.n_out), _width(layer.n_in)
    parts = {
        "values": layer.n_nonzero * layer.value_bits,
        "row_index": layer.n_nonzero * row,
        "column_index": layer.n_nonzero * column,
    }
    return layer.format("coo", parts, f"{layer.value_bits}-bit values, {row}-bit row and {column}-bit column indices")


def _bitmap(layer: _Layer) -> Format:
    parts = {"values": layer.n_nonzero * layer.value_bits, "bitmap": layer.n_position}
    return layer.format("bitmap", parts, f"{layer.value_bits}-bit values, one bit per position")


def _run_length(layer: _Layer, run_bits: int) -> Format:
    """Pairs of a zero run and a value; a filler is the longest run followed by a zero value."""
    runs = np.diff(layer.flat, prepend=-1) - 1
    n_filler = int((runs >> run_bits).sum())
    parts = {
        "values": layer.n_nonzero * layer.value_bits,
        "padding": n_filler * (layer.value_bits + run_bits),
        "runs": layer.n_nonzero * run_bits,
    }
    note = (
        f"{layer.value_bits}-bit values, {run_bits}-bit zero runs, row-major and across rows; padding is the values "
        f"and runs of {n_filler} fillers, each for {2**run_bits} zeros; zeros after the last value need nothing"
    )
    return layer.format("run_length", parts, note)


def _nm(layer: _Layer, n_keep: int, m_group: int, *, dense: bool = False) -> Format:
    """N of M kept: what it stores depends on the shape alone, whether it may on the mask.

    dense : an N:M matrix with N = M, which stores no positions
    """
    n_group = -(-layer.n_in // m_group)
    position = 0 if dense else max(1, _width(m_group))
    n_kept = layer.n_out * n_group * n_keep
    parts = {"values": n_kept * layer.value_bits, "metadata": n_kept * position}
    pattern = f"{n_keep}:{m_group}"
    note = f"{pattern}, {n_keep} kept in each {m_group} inputs of a row"
    note += f"; {layer.value_bits}-bit values, {position}-bit positions"
    if n_group * m_group != layer.n_in:
        note += f"; {layer.n_in} inputs padded to {n_group * m_group}"
    counts = _group_counts(layer, n_group, m_group)
    violations = int(np.count_nonzero(counts > n_keep))
    if violations:
        note += f"; not {pattern}: {violations} of {layer.n_out * n_group} groups hold more than {n_keep} non-zeros"
        note += f", {int(counts.max())}:{m_group} would hold them"
    return layer.format("nm", parts, note, valid=violations == 0, violations=violations)


def _group_counts(layer: _Layer, n_group: int, m_group: int) -> NDArray[np.int64]:
    """Non-zeros of every group that has any, int64[n_group_in_use]; neighbours in `flat` are neighbours in groups."""
    if not layer.n_nonzero:
        return np.zeros(0, dtype=np.int64)
    rows, columns = np.divmod(layer.flat, layer.n_in)
    group = rows * n_group + columns // m_group
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return np.diff(first, append=len(group))


def _layer_of_mask(mask: Any, value_bits: int) -> _Layer:
    array = checked("mask", mask) if is_sparse(mask) else as_array("mask", mask)
    shape = tuple(int(size) for size in array.shape)
    require(array.dtype.kind in "fiub", "mask", f"dtype {array.dtype}", "must hold booleans or real numbers")
    require_sides("mask", shape)
    flat, values = _sparse_nonzeros(array) if is_sparse(array) else _dense_nonzeros(array)
    finite = np.isfinite(values)
    if not finite.all():
        first = int(np.argmin(finite))
        row, column = divmod(int(flat[first]), shape[1])
        raise InputError(f"mask[{row}, {column}]={values[first]}: must be finite")
    return _Layer(shape[0], shape[1], flat, value_bits)


def _dense_nonzeros(array: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        by_column, values = _dense_nonzeros(array.T)  # as it lies in memory; a row-major copy takes longer
        columns, rows = np.divmod(by_column, array.shape[0])
        return _in_order(rows * array.shape[1] + columns, values)
    row_major = array.ravel()
    flat = np.flatnonzero(row_major).astype(np.int64, copy=False)
    return flat, row_major[flat]


def _sparse_nonzeros(array: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    coo = array.tocoo()  # needs no pointers, whatever the shape
    flat, values = _in_order(coo.row.astype(np.int64) * array.shape[1] + coo.col, coo.data)
    first = np.flatnonzero(np.diff(flat, prepend=-1))
    if len(first) < len(flat):  # scipy.sparse adds up entries of one position
        flat, values = flat[first], np.add.reduceat(values, first)
    kept = values != 0
    return flat[kept], values[kept]


def _in_order(flat: NDArray[np.int64], values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    if (flat[1:] >= flat[:-1]).all():
        return flat, values
    order = np.argsort(flat, kind="stable")
    return flat[order], values[order]


def _encoding_of_mask(layer: _Layer, stated: Mapping[str, int | None], pointer_bits: int) -> Encoding | None:
    """EIE's counts without its entries; None when `n_pe` is not stated."""
    n_pe = stated["n_pe"]
    for name in ("weight_bits", "index_bits"):
        width = stated[name]
        require(width is None or n_pe is not None, name, width, "needs n_pe, without it a mask has no eie format")
    if n_pe is None:
        return None
    weight_bits, index_bits = (int(stated[name] or DEFAULT_EIE_BITS) for name in ("weight_bits", "index_bits"))
    entries = pe_entries(layer.flat, (layer.n_out, layer.n_in), int(n_pe), index_bits)
    return Encoding(layer.n_in, layer.n_nonzero, entries, weight_bits, index_bits, pointer_bits)


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
