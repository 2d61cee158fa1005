"""Bits of a pruned layer: exact, by part, in its unit's encoding and in the usual formats of the same mask.

`dense32` is the baseline compression ratios are usually quoted against. Widths of indices and pointers are the fewest
bits that tell their values apart, so an index into one row or column takes none; every note says what was assumed.

Source: N:M, Mishra et al. 2021 (arXiv 2104.08378), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_array, require, require_int, unknown
from eie_sim.core.sparse import checked, is_sparse, require_sides
from eie_sim.core.storage import Footprint, Format
from eie_sim.units import unit_of, units
from eie_sim.units.unit import Unit


class _Nonzeros(NamedTuple):
    """Sizes and non-zeros of a layer, which the formats are counted from.

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
    matrix_or_mask: Any,
    config: Any = None,
    *,
    value_bits: int | None = None,
    run_bits: int = 4,
    n_keep: int | None = None,
    m_group: int | None = None,
    **design: Any,
) -> Footprint:
    """Bits by part of a layer in every format: its unit's own, dense, dense32, csr, csc, coo, bitmap, run_length, nm.

    matrix_or_mask : a compressed matrix, or [n_out, n_in] of bool or real numbers, numpy or scipy.sparse, non-zero
        where kept. A bias that is compressed with the weights is in every format, and in the dense sizes
    config : the design whose encoding is counted, with what the matrix states where it is left out; a mask alone has
        none. In its place, fields of one, such as `n_pe=4`: of the matrix's unit, or of the first one that has them
    value_bits : width of a value in all formats but the unit's and dense32; else 16
    run_bits : width of a zero run in run_length
    n_keep, m_group : the pattern of nm, `n_keep` kept in each `m_group` inputs of a row; else 2 and 4

    Options that a matrix states may be left out. Raises InputError for a wrong shape or dtype, NaN or infinity, options
    out of range or at odds with the matrix.
    """
    matrix: Any = matrix_or_mask if hasattr(matrix_or_mask, "decode") else None
    require_int("run_bits", run_bits, 1, 62)
    given = {"value_bits": value_bits, "m_group": m_group, "n_keep": n_keep}
    own = {name: getattr(matrix, name, None) for name in given}
    for (name, value), high in zip(given.items(), (64, 2**31, 2**31), strict=True):
        if value is not None:
            require_int(name, value, 1, high)
            _require_agreement(matrix, name, value)
    stated = {name: own[name] if value is None else int(value) for name, value in given.items()}
    n_keep, m_group = stated["n_keep"] or 2, stated["m_group"] or 4
    require_int("n_keep", n_keep, 1, m_group)
    config = _design_of(matrix, config, design)
    if matrix is None:
        layer = _layer_of_mask(matrix_or_mask, stated["value_bits"] or 16)
    else:
        n_bias = int(matrix.n_out) if getattr(matrix, "has_bias", False) else 0
        places = getattr(matrix, "nonzero_positions", lambda: np.flatnonzero(matrix.decode()))
        positions = places()
        layer = _Nonzeros(int(matrix.n_out), int(matrix.n_in), positions, stated["value_bits"] or 16, n_bias)
    usual = [
        _dense(layer),
        _dense32(layer),
        _compressed(layer, "csr", "row", n_pointer=layer.n_out + 1, n_index=layer.n_in),
        _compressed(layer, "csc", "column", n_pointer=layer.n_in + 1, n_index=layer.n_out),
        _coo(layer),
        _bitmap(layer),
        _run_length(layer, int(run_bits)),
        _nm(layer, n_keep, m_group, dense=own["n_keep"] is not None and n_keep == m_group),
    ]
    of_unit = _of_unit(matrix, layer, config)
    more = [] if of_unit is None or of_unit.name in {each.name for each in usual} else [of_unit]
    return Footprint({each.name: each for each in (*more, *usual)})


def _require_agreement(matrix: Any, name: str, value: Any) -> None:
    own = getattr(matrix, name, None)
    require(own in (None, value), name, value, f"must agree with the matrix, whose {name} is {own}")


def _design_of(matrix: Any, config: Any, design: Mapping[str, Any]) -> Any:
    """The design that is given or of which fields are; of a matrix, with what it states; None for a mask alone."""
    if config is not None:
        require(not design, "config", type(config).__name__, f"must be left out where {', '.join(design)} is given")
    if matrix is not None:
        unit = unit_of(matrix, "matrix")
        ours = config is None or isinstance(config, unit.config)
        require(ours, "config", type(config).__name__, f"must be {unit.config.__name__}")
        for name in design.keys() - _fields(unit):
            raise unknown("option", name, _fields(unit))
    elif config is not None:
        unit = unit_of(config)
    elif design:
        having = [unit for unit in units() if design.keys() <= _fields(unit)]
        require(bool(having), "design", ", ".join(design), "must be fields of the design of one unit")
        unit = having[0]
    else:
        return None
    if config is None:
        stated = {name: getattr(matrix, name) for name in _fields(unit) if hasattr(matrix, name)}
        config = unit.config(**{**stated, **design})
    for name in _fields(unit):
        _require_agreement(matrix, name, getattr(config, name))
    return config


def _fields(unit: Unit) -> set[str]:
    return {field.name for field in fields(unit.config)}


def _of_unit(matrix: Any, layer: _Nonzeros, config: Any) -> Format | None:
    """The layer in the encoding of the design's unit, beside the same dense bits; None where it has no own one."""
    if config is None:
        return None
    unit = unit_of(config)
    if matrix is not None:
        found = unit.storage(matrix, config)
    elif unit.storage_of_mask is not None:
        found = unit.storage_of_mask(layer.flat, (layer.n_out, layer.n_in), config)
    else:
        return None
    return replace(found, dense_bits=layer.dense_bits)


def _width(n_value: int) -> int:
    """Fewest bits that tell `n_value` values apart: ceil(log2), 0 for one value or none."""
    return max(n_value - 1, 0).bit_length()


def _dense(layer: _Nonzeros) -> Format:
    return layer.format(
        "dense", {"values": layer.n_position * layer.value_bits}, f"{layer.value_bits}-bit values at every position"
    )


def _dense32(layer: _Nonzeros) -> Format:
    wide = layer._replace(value_bits=32)
    dense = wide.format("dense32", {"values": wide.n_position * 32}, "32-bit values at every position")
    return Format(name=dense.name, parts=dense.parts, dense_bits=layer.dense_bits, note=dense.note)


def _compressed(layer: _Nonzeros, name: str, along: str, *, n_pointer: int, n_index: int) -> Format:
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


def _coo(layer: _Nonzeros) -> Format:
    row, column = _width(layer.n_out), _width(layer.n_in)
    parts = {
        "values": layer.n_nonzero * layer.value_bits,
        "row_index": layer.n_nonzero * row,
        "column_index": layer.n_nonzero * column,
    }
    return layer.format("coo", parts, f"{layer.value_bits}-bit values, {row}-bit row and {column}-bit column indices")


def _bitmap(layer: _Nonzeros) -> Format:
    parts = {"values": layer.n_nonzero * layer.value_bits, "bitmap": layer.n_position}
    return layer.format("bitmap", parts, f"{layer.value_bits}-bit values, one bit per position")


def _run_length(layer: _Nonzeros, run_bits: int) -> Format:
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


def _nm(layer: _Nonzeros, n_keep: int, m_group: int, *, dense: bool = False) -> Format:
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


def _group_counts(layer: _Nonzeros, n_group: int, m_group: int) -> NDArray[np.int64]:
    """Non-zeros of every group that has any, int64[n_group_in_use]; neighbours in `flat` are neighbours in groups."""
    if not layer.n_nonzero:
        return np.zeros(0, dtype=np.int64)
    rows, columns = np.divmod(layer.flat, layer.n_in)
    group = rows * n_group + columns // m_group
    first = np.flatnonzero(np.diff(group, prepend=-1))
    return np.diff(first, append=len(group))


def _layer_of_mask(mask: Any, value_bits: int) -> _Nonzeros:
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
    return _Nonzeros(shape[0], shape[1], flat, value_bits)


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
