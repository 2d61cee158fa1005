"""The compressed weights of a layer: shared-weight codes, relative indices, columns interleaved over PEs.

Source: Han et al. 2016, section III (interleaved compressed sparse columns) and Fig. 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core import quantize
from eie_sim.core.arrays import require_finite
from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, as_array, require, require_int, require_type
from eie_sim.core.fixed import from_fixed, to_fixed
from eie_sim.core.html import Cell, card, share, table
from eie_sim.core.quantize import Scales
from eie_sim.core.storage import Format
from eie_sim.units.eie import encoding
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import EieCounts, counted
from eie_sim.units.eie.encoding import Columns, Entries, append_column, columns_of, require_finite_columns
from eie_sim.units.eie.storage import CODEBOOK_VALUE_BITS, encoding_of, format_of

MAX_DENSE = 2**31
"""Codes of a matrix that is decoded to a dense array, a byte each."""

MAX_OUTPUTS = 2**28
"""Outputs of one batch of vectors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EieMatrix:
    """A layer as the PEs hold it. Build one with `from_dense` or `from_codes`.

    counts : the shape, the format, and the entries of every column on every PE; all that time and bits depend on
    codebook : float64[2**weight_bits], value of each code, code 0 is 0.0
    scales : fractional bits; activation and accumulator may be None, then a run chooses them from its activations
    codes, gaps : uint8[n_entry], entries PE by PE and column by column
    pe_starts : int64[n_pe + 1], where each PE's entries begin
    weights : the weight entries again, column by column, with their global rows (no padding)
    """

    counts: EieCounts
    codebook: NDArray[np.float64]
    scales: Scales
    codes: NDArray[np.uint8]
    gaps: NDArray[np.uint8]
    pe_starts: NDArray[np.int64]
    weights: Columns

    __repr__ = shows(
        "shape", "n_pe", "weight_bits", "index_bits", "has_bias", "n_weight", "density", "n_padding", "scales"
    )

    def __post_init__(self) -> None:
        if self.has_bias:
            self.scales.require_bias_driven()

    @classmethod
    def from_dense(
        cls,
        w: ArrayLike,
        *,
        n_pe: int = 64,
        bias: ArrayLike | None = None,
        weight_bits: int = 4,
        index_bits: int = 4,
        scales: Scales | None = None,
        activations: ArrayLike | None = None,
    ) -> EieMatrix:
        """Cluster the non-zeros of a pruned float matrix and encode them.

        w : real [n_out, n_in], numpy or scipy.sparse; bias : real [n_out], shares the codebook
        scales : fractional bits; what is left out is chosen, activation and accumulator from `activations`
        activations : float [n_in] or [n_vector, n_in], typical inputs; without them a run chooses from its own

        Raises InputError for wrong shapes, NaN or infinity, or sizes out of range.
        """
        require_int("weight_bits", weight_bits, 1, 8)
        require_type("scales", scales, Scales, NoneType)
        weight_bits = int(weight_bits)
        columns, shape = columns_of(w)
        require_finite_columns("weights", columns)
        columns = columns if bias is None else append_column(columns, _vector("bias", bias, shape[0]))
        values = columns.values if columns.values.dtype == np.float32 else columns.values.astype(np.float64)
        centroids, thresholds = quantize.cluster(values, 2**weight_bits - 1)
        codes = (quantize.assign(values, thresholds) + np.uint8(1)).astype(np.uint8)
        matrix = cls._encode(
            Columns(columns.starts, columns.rows, codes),
            shape=shape,
            n_pe=n_pe,
            index_bits=index_bits,
            has_bias=bias is not None,
            codebook=np.concatenate([[0.0], centroids]),
            scales=Scales() if scales is None else scales,
        )
        return matrix if activations is None else matrix.with_scales_for(activations)

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        codebook: ArrayLike,
        *,
        n_pe: int = 64,
        bias_codes: ArrayLike | None = None,
        index_bits: int = 4,
        scales: Scales | None = None,
        activations: ArrayLike | None = None,
    ) -> EieMatrix:
        """Encode codes that are there already.

        codes : uint8 [n_out, n_in], 0 where there is no weight; bias_codes : uint8 [n_out]
        codebook : 2**weight_bits values, the first of them 0: numbers, or, where the type is int16, raw words of
            `scales.weight` fractional bits (0 when left out)
        bias_codes given are one more column, broadcast even if all zero.

        Raises InputError for a codebook of the wrong size, codes out of range, wrong shapes.
        """
        require_type("scales", scales, Scales, NoneType)
        book, scales = _codebook(codebook, Scales() if scales is None else scales)
        dense = _codes("codes", codes, len(book))
        require(dense.ndim == 2, "codes", f"shape {dense.shape}", "must have 2 dimensions, (out, in)")
        columns, shape = columns_of(dense)
        if bias_codes is not None:
            columns = append_column(
                columns, _vector("bias_codes", _codes("bias_codes", bias_codes, len(book)), shape[0])
            )
        matrix = cls._encode(
            columns,
            shape=shape,
            n_pe=n_pe,
            index_bits=index_bits,
            has_bias=bias_codes is not None,
            codebook=book,
            scales=scales,
        )
        return matrix if activations is None else matrix.with_scales_for(activations)

    @classmethod
    def _encode(
        cls,
        columns: Columns,
        *,
        shape: tuple[int, int],
        n_pe: int,
        index_bits: int,
        has_bias: bool,
        codebook: NDArray[np.float64],
        scales: Scales,
    ) -> EieMatrix:
        if scales.weight is None:
            scales = Scales(
                weight=quantize.weight_scale(codebook), activation=scales.activation, accumulator=scales.accumulator
            )
        counts = counted(
            columns.starts,
            columns.rows,
            shape,
            n_pe=n_pe,
            weight_bits=len(codebook).bit_length() - 1,
            index_bits=index_bits,
            has_bias=has_bias,
        )
        pe_starts = np.concatenate([[0], np.cumsum(counts.pointers[-1], dtype=np.int64)])
        codes, gaps = np.zeros((2, int(pe_starts[-1])), dtype=np.uint8)
        encoding.fill_entries(columns, 2**counts.index_bits, Entries(codes, gaps, pe_starts, counts.pointers))
        return cls(
            counts=counts,
            codebook=codebook,
            scales=scales,
            codes=codes,
            gaps=gaps,
            pe_starts=pe_starts,
            weights=columns,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)"""
        return self.counts.shape

    @property
    def n_out(self) -> int:
        """Rows of the weights."""
        return self.counts.n_out

    @property
    def n_in(self) -> int:
        """Columns of the weights, without a bias."""
        return self.counts.n_in

    @property
    def n_column(self) -> int:
        """Stored columns, the bias included."""
        return self.counts.n_column

    @property
    def n_pe(self) -> int:
        """PEs that the rows are interleaved over."""
        return self.counts.n_pe

    @property
    def weight_bits(self) -> int:
        """Bits of a code."""
        return self.counts.weight_bits

    @property
    def index_bits(self) -> int:
        """Bits of a gap."""
        return self.counts.index_bits

    @property
    def has_bias(self) -> bool:
        """True when one more column, driven by activation 1.0, follows the inputs."""
        return self.counts.has_bias

    @property
    def pointers(self) -> NDArray[np.int32]:
        """First place of each column in a PE's entries, int32[n_column + 1, n_pe]."""
        return self.counts.pointers

    @property
    def padding(self) -> NDArray[np.int32]:
        """Padding entries by column and PE, int32[n_column, n_pe]."""
        return self.counts.padding

    @property
    def n_entry(self) -> int:
        """Stored entries over all PEs, padding included."""
        return len(self.codes)

    @property
    def n_weight(self) -> int:
        """Stored weights, the bias included."""
        return self.counts.n_weight

    @property
    def n_padding(self) -> int:
        """Padding entries."""
        return self.n_entry - self.n_weight

    @property
    def density(self) -> float:
        """Non-zero weights over all weights, the bias left out of both."""
        total = self.n_out * self.n_in
        return float(self.weights.starts[self.n_in]) / total if total else 0.0

    @property
    def col_ptr(self) -> NDArray[np.int32]:
        """Column pointers by PE, int32[n_pe, n_column + 1]."""
        return self.pointers.T

    @cached_property
    def codebook_raw(self) -> NDArray[np.int16]:
        """The codebook in fixed point, int16[2**weight_bits] of `scales.weight` fractional bits."""
        assert self.scales.weight is not None
        return to_fixed(self.codebook, self.scales.weight)

    @cached_property
    def unsigned_weights(self) -> Columns:
        """The weights with rows as uint32, which saves kernels numba's check for negative indices."""
        return self.weights._replace(rows=self.weights.rows.view(np.uint32))

    def items(self, activations: NDArray[np.int16], active: str) -> NDArray[np.int32]:
        """Columns that are broadcast for raw activations int16[n_in], in order; a bias comes last. int32[n_item]"""
        takes_part = activations > 0 if active == "positive" else activations != 0
        items = np.flatnonzero(takes_part).astype(np.int32)
        return np.append(items, np.int32(self.n_in)) if self.has_bias else items

    def nonzero_positions(self) -> NDArray[np.int64]:
        """Row-major positions of the weights in (n_out, n_in), the bias left out, ascending. int64[n_weight]"""
        starts = self.weights.starts[: self.n_in + 1]
        columns = np.repeat(np.arange(self.n_in, dtype=np.int64), np.diff(starts))
        return np.sort(self.weights.rows[: starts[-1]].astype(np.int64) * self.n_in + columns)

    def with_scales(self, scales: Scales) -> EieMatrix:
        """Return the same entries with other fractional bits."""
        return replace(self, scales=scales)

    def with_scales_for(
        self, activations: ArrayLike, *, active: str = "positive", outputs: NDArray[np.floating] | None = None
    ) -> EieMatrix:
        """Return the same entries with open scales chosen for `activations`, float [n_in] or [n_vector, n_in].

        Raw int16 activations are integers: 0 fractional bits, where the scales do not say.
        outputs : float [n_vector, n_out], those that set the accumulator's scale, bias included; when left out, those
            of the codebook's values with the activations that take part, as `active` says
        """
        if self.scales.complete:
            return self
        batch = np.atleast_2d(as_array("activations", activations))
        ok = batch.ndim == 2 and batch.shape[1] == self.n_in
        require(ok, "activations", f"shape {batch.shape}", f"must have {self.n_in} inputs")
        require_finite("activations", batch)
        assert self.scales.weight is not None
        weight = self.scales.weight
        raw = np.issubdtype(batch.dtype, np.integer)
        activation = self.scales.activation
        if activation is None:
            activation = 0 if raw else quantize.activation_scale(batch, has_bias=self.has_bias)
        accumulator = self.scales.accumulator
        if accumulator is None:
            if outputs is None:
                values = from_fixed(batch, activation) if raw else batch
                outputs = self.multiply(np.maximum(values, 0) if active == "positive" else values)
            accumulator = quantize.accumulator_scale(outputs, weight=weight, activation=activation)
        return self.with_scales(Scales(weight=weight, activation=activation, accumulator=accumulator))

    def multiply(self, activations: NDArray[np.floating]) -> NDArray[np.float64]:
        """Float outputs [n_vector, n_out] for float inputs [n_vector, n_in], with the codebook's float values."""
        self.require_outputs(len(activations))
        outputs = np.zeros((len(activations), self.n_out))
        ones = np.ones((len(activations), int(self.has_bias)))
        inputs = np.concatenate([activations, ones], axis=1)  # float64, as the ones are
        encoding.multiply(self.weights._replace(values=self.codebook[self.weights.values]), inputs, outputs)
        return outputs

    def require_outputs(self, n_vector: int) -> None:
        """Raise InputError where the outputs of so many vectors are more than are kept."""
        most = f"must give at most {MAX_OUTPUTS} outputs over all vectors, {self.n_out} each"
        require(n_vector * self.n_out <= MAX_OUTPUTS, "activations", f"{n_vector} vectors", most)

    def _repr_html_(self) -> str:
        """Return the card that a notebook shows; nothing is decoded."""
        headings = [
            "out x in",
            "PEs",
            "weights\nnon-zero",
            "weights\nstored",
            "padding\nentries",
            "code\nbits",
            "gap\nbits",
        ]
        figures = [
            Cell(f"{self.n_out}x{self.n_in}", list(self.shape)),
            Cell(f"{self.n_pe:,}", self.n_pe),
            share(self.density),
            *(Cell(f"{n:,}", n) for n in (self.n_weight, self.n_padding, self.weight_bits, self.index_bits)),
        ]
        bits = ", ".join(f"{name} {'open' if n is None else n}" for name, n in self.scales.to_dict().items())
        bias = "with a bias column; " if self.has_bias else ""
        return card("EIE matrix", table(headings, [figures]), lines=[f"{bias}fractional bits: {bits}"])

    def decode(self) -> NDArray[np.uint8]:
        """Codes as a dense array, uint8[n_out, n_column], read back from the entries alone.

        Raises InputError for a matrix too large to be dense.
        """
        shape = self.n_out, self.n_column
        rule = f"must have at most {MAX_DENSE} positions to be decoded to a dense array"
        require(self.n_out * self.n_column <= MAX_DENSE, "weights", f"shape {shape}", rule)
        dense = np.zeros((self.n_column, self.n_out), dtype=np.uint8)
        encoding.decode(Entries(self.codes, self.gaps, self.pe_starts, self.pointers), dense)
        return dense.T


def encoded(matrix: EieMatrix | EieCounts, *, pointer_bits: int = 16) -> Format:
    """EIE's own encoding of a matrix, bits by part, with the dense bits at 16 bits a value, the bias in both.

    A padding entry counts whole, code and gap, as `padding`; `index` is the gaps of the weight entries.
    Raises InputError for anything but an EieMatrix, or the counts of one.
    """
    require_int("pointer_bits", pointer_bits, 1, 31)
    if not isinstance(matrix, (EieCounts, EieMatrix)):
        raise InputError(f"matrix={type(matrix).__name__}: must be an EieMatrix")
    return format_of(encoding_of(matrix, int(pointer_bits)), matrix.n_out * matrix.n_column * CODEBOOK_VALUE_BITS)


def storage(matrix: EieMatrix, config: EieConfig) -> Format:
    """Return `encoded` with the design's pointers."""
    return encoded(matrix, pointer_bits=config.pointer_bits)


def _codebook(codebook: ArrayLike, scales: Scales) -> tuple[NDArray[np.float64], Scales]:
    """Float values and scales of a codebook given as floats or raw int16 words."""
    given = as_array("codebook", codebook)
    size = given.size
    rule = "must be 1-D with 2**weight_bits values, 2 to 256"
    require(given.ndim == 1 and 2 <= size <= 256 and size & (size - 1) == 0, "codebook", f"shape {given.shape}", rule)
    require_finite("codebook", given)
    if given.dtype == np.int16:
        if scales.weight is None:
            scales = Scales(weight=0, activation=scales.activation, accumulator=scales.accumulator)
        assert scales.weight is not None
        book = from_fixed(given, scales.weight)
    else:
        book = given.astype(np.float64)
    require(book[0] == 0.0, "codebook[0]", book[0], "must be 0, code 0 stands for the value 0")
    return book, scales


def _codes(field: str, codes: ArrayLike, n_code: int) -> NDArray[np.uint8]:
    array = as_array(field, codes)
    require(array.dtype.kind in "iub", field, f"dtype {array.dtype}", "must be integers, 0 for no weight")
    if array.size:
        low, high = int(array.min()), int(array.max())
        require(low >= 0, field, low, "must be >= 0")
        require(high < n_code, field, high, f"must be below the codebook's {n_code} values")
    return array.astype(np.uint8, copy=False)


def _vector(field: str, values: ArrayLike, size: int) -> NDArray[Any]:
    array = as_array(field, values)
    require(array.shape == (size,), field, f"shape {array.shape}", f"must be ({size},), one value per output")
    require_finite(field, array)
    return array
