"""How many bits a pruned layer takes: exact, by part, in EIE's encoding and in the usual formats of the same mask.

`dense32` is the baseline compression ratios are usually quoted against. Widths of indices and pointers are the fewest
bits that tell their values apart, so an index into one row or column takes none; every note says what was assumed.

Source: EIE's encoding, Han et al. 2016, section III; N:M, Mishra et al. 2021 (arXiv 2104.08378), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require, require_int
from eie_sim.core.sparse import checked, is_sparse, require_sides
from eie_sim.core.storage import Footprint, Format
from eie_sim.units.eie.format import Encoding, encoding_of, format_of, pe_entries

if TYPE_CHECKING:
    from eie_sim.units.eie.matrix import EieMatrix
    from eie_sim.units.nm.matrix import NmMatrix

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


def footprint(
    matrix_or_mask: EieMatrix | NmMatrix | ArrayLike | Any,
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

    matrix_or_mask : an EieMatrix, an NmMatrix, or [n_out, n_in] of bool or real numbers, numpy or scipy.sparse,
        non-zero where kept. The bias of an EieMatrix is in every format, and in the dense sizes; nothing else has one
    value_bits : width of a value in all formats but eie (whose codebook has 16-bit values) and dense32; 16, or what an
        NmMatrix states
    run_bits : width of a zero run in run_length
    n_keep, m_group : the pattern of nm, `n_keep` kept in each `m_group` inputs of a row; 2 and 4, or what an NmMatrix
        states
    n_pe, weight_bits, index_bits : what an EieMatrix states itself; for anything else, eie is left out unless `n_pe` is
        given, and the widths are 4 by default
    pointer_bits : width of EIE's column pointers

    Raises InputError for a wrong shape or dtype, NaN or infinity, options out of range or at odds with the matrix.
    """
    eie, nm = _as_matrix(matrix_or_mask), _as_nm(matrix_or_mask)
    value_bits, n_keep, m_group = _widths(nm, {"value_bits": value_bits, "n_keep": n_keep, "m_group": m_group})
    require_int("run_bits", run_bits, 1, 62)
    require_int("pointer_bits", pointer_bits, 1, 31)
    stated = {"n_pe": n_pe, "weight_bits": weight_bits, "index_bits": index_bits}
    for name, given, high in (("n_pe", n_pe, 65536), ("weight_bits", weight_bits, 8), ("index_bits", index_bits, 8)):
        if given is not None:
            require_int(name, given, 1, high)
    if eie is not None:
        layer = _layer_of_matrix(eie, value_bits)
        _require_agreement(eie, stated)
        encoding: Encoding | None = encoding_of(eie, int(pointer_bits))
    else:
        layer = _layer_of_mask(matrix_or_mask, value_bits) if nm is None else _layer_of_nm(nm)
        encoding = _encoding_of_mask(layer, stated, int(pointer_bits))
    formats = [] if encoding is None else [format_of(encoding, layer.dense_bits)]
    formats += [_dense(layer), _dense32(layer), _csr(layer), _csc(layer), _coo(layer), _bitmap(layer)]
    formats += [
        _run_length(layer, int(run_bits)),
        _nm(layer, n_keep, m_group, dense=nm is not None and n_keep == m_group),
    ]
    return Footprint({each.name: each for each in formats})


def _widths(matrix: NmMatrix | None, given: dict[str, int | None]) -> tuple[int, int, int]:
    """value_bits, n_keep and m_group: as given, or as an N:M matrix states them, or 16, 2 and 4."""
    own = {name: getattr(matrix, name, value) for name, value in (("value_bits", 16), ("n_keep", 2), ("m_group", 4))}
    if matrix is not None:
        _require_agreement(matrix, given)
    value_bits, n_keep, m_group = (own[name] if value is None else value for name, value in given.items())
    require_int("value_bits", value_bits, 1, 64)
    require_int("m_group", m_group, 1, 2**31)
    require_int("n_keep", n_keep, 1, int(m_group))
    return int(value_bits), int(n_keep), int(m_group)


def _require_agreement(matrix: Any, given: Mapping[str, int | None]) -> None:
    for name, value in given.items():
        own = getattr(matrix, name)
        require(value is None or value == own, name, value, f"must agree with the matrix, whose {name} is {own}")


def _width(n_value: int) -> int:
    """Fewest bits that tell `n_value` values apart: ceil(log2), 0 for one value or none."""
    return max(n_value - 1, 0).bit_length()


def _dense(layer: _Layer) -> Format:
    return layer.format(
        "dense", {"values": layer.n_position * layer.value_bits}, f"{layer.value_bits}-bit values at every position"
    )


def _dense32(layer: _Layer) -> Format:
    wide = layer._replace(value_bits=32)
    dense = wide.format("dense32", {"values": wide.n_position * 32}, "32-bit values at every position")
    return Format(name=dense.name, parts=dense.parts, dense_bits=layer.dense_bits, note=dense.note)


def _csr(layer: _Layer) -> Format:
    return _compressed(layer, "csr", "row", n_pointer=layer.n_out + 1, n_index=layer.n_in)


def _csc(layer: _Layer) -> Format:
    return _compressed(layer, "csc", "column", n_pointer=layer.n_in + 1, n_index=layer.n_out)


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


def _as_matrix(value: Any) -> EieMatrix | None:
    """`value` if it is an EieMatrix. Arrays are told first: they need nothing of the encoder, nor its compiler."""
    if isinstance(value, (np.ndarray, list, tuple)) or is_sparse(value):
        return None
    from eie_sim.units.eie.matrix import EieMatrix

    return value if isinstance(value, EieMatrix) else None


def _as_nm(value: Any) -> NmMatrix | None:
    if isinstance(value, (np.ndarray, list, tuple)) or is_sparse(value):
        return None
    from eie_sim.units.nm.matrix import NmMatrix

    return value if isinstance(value, NmMatrix) else None


def _layer_of_nm(matrix: NmMatrix) -> _Layer:
    """The non-zeros among the kept values, at the width of the matrix; completing zeros are zeros."""
    rows, places = np.nonzero(matrix.values)
    columns = places // matrix.n_keep * matrix.m_group + matrix.positions[rows, places]
    return _Layer(matrix.n_out, matrix.n_in, rows * matrix.n_in + columns, matrix.value_bits)


def _layer_of_matrix(matrix: EieMatrix, value_bits: int) -> _Layer:
    starts = matrix.weights.starts[: matrix.n_in + 1]
    columns = np.repeat(np.arange(matrix.n_in, dtype=np.int64), np.diff(starts))
    flat = matrix.weights.rows[: starts[-1]].astype(np.int64) * matrix.n_in + columns
    flat.sort()
    n_bias = matrix.n_out if matrix.has_bias else 0
    return _Layer(int(matrix.n_out), int(matrix.n_in), flat, value_bits, int(n_bias))


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
