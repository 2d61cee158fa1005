"""A weight matrix as tensor cores hold it: of every M inputs N values and where they stood.

N of N:M is the number **kept** in each group of M along the inputs; some libraries mean the zeros. N = M is dense and
has no metadata.

Source: Mishra et al. 2021 (arXiv 2104.08378), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, as_array, require, require_one_of
from eie_sim.core.html import Cell, card, figure, table
from eie_sim.core.nm_pattern import position_bits, require_pattern, said
from eie_sim.core.sparse import checked, is_sparse, require_sides
from eie_sim.core.storage import Format
from eie_sim.units.nm import packing

ELEMENTS: dict[str, type[np.float16] | type[np.int8]] = {"float16": np.float16, "int8": np.int8}
"""Types of values, and numpy's name for each."""

MAX_POSITIONS = 2**31
"""Positions, zeros included, of one matrix."""

INT8_MAX = 127
"""Largest magnitude that real values are scaled to as int8."""

MAX_SCALED = 1e100
"""Largest magnitude, and inverse of the smallest, that is scaled to int8."""

FLOAT16_ZERO = 2.0**-25
"""Largest magnitude that becomes 0 when it is rounded to float16: half the smallest step, a tie that goes to even."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NmMatrix:
    """N:M weights, N **kept** of each M. Build one with `from_dense` or `from_metadata`.

    n_out, n_in : the dense shape; a last group of fewer than m_group inputs is filled up with zeros
    n_keep, m_group : the pattern; equal for dense
    values : float16 or int8 [n_out, n_kept], the kept values of every row, group by group
    positions : uint8 [n_out, n_kept], where in its group each stood, 0 to m_group - 1, ascending within a group
    element : "float16" or "int8"
    weight_scale : what 1 of an int8 value is in real values; 1.0 for float16
    activation_scale : likewise of int8 activations, None until it is chosen, and for float16
    """

    n_out: int
    n_in: int
    n_keep: int
    m_group: int
    values: NDArray[Any]
    positions: NDArray[np.uint8]
    element: str
    weight_scale: float = 1.0
    activation_scale: float | None = None

    __repr__ = shows("shape", "pattern", "element", "n_weight", "density", "total_bits")

    def __post_init__(self) -> None:
        """Kernels read where positions point: they must point into their group."""
        require_pattern((self.n_keep, self.m_group))
        require_one_of("element", self.element, tuple(ELEMENTS))
        require_sides("matrix", (self.n_out, self.n_in))
        shape = (self.n_out, self.n_kept)
        for name, array, kind in (
            ("values", self.values, np.dtype(ELEMENTS[self.element])),
            ("positions", self.positions, np.dtype(np.uint8)),
        ):
            fits = isinstance(array, np.ndarray) and array.shape == shape and array.dtype == kind
            require(fits, name, getattr(array, "shape", type(array).__name__), f"must be {kind.name} {shape}")
        highest = int(self.positions.max(initial=0))
        require(highest < self.m_group, "positions", highest, f"must be below m_group={self.m_group}")
        if self.n_filled:
            beyond = self.positions[:, -self.n_keep :] >= self.m_group - self.n_filled
            found = np.count_nonzero(self.values[:, -self.n_keep :][beyond])
            require(found == 0, "values", f"{found} beyond input {self.n_in}", "must be 0")

    @classmethod
    def from_dense(cls, w: Any, *, n_keep: int = 2, m_group: int = 4, element: str | None = None) -> NmMatrix:
        """Compress pruned weights; N = n_keep is the number kept in each group of m_group inputs.

        w : real [n_out, n_in], numpy or scipy.sparse, pruned to N:M already (`prune.pattern.nm`)
        n_keep, m_group : 1 <= N <= M <= 256; N = M keeps everything
        element : "float16", to which values are rounded (to nearest, even); "int8", for integers in -128..127. Left
            out, arrays of int8 stay int8 and all else becomes float16

        What rounds to 0 is a zero. A group with fewer than N non-zeros is completed by zeros at the lowest free
        positions among its last N: for 2:4 the pairs (2, 3) where there is none or a third or fourth only, (0, 2)
        for a first only and (1, 2) for a second only, as the vendor's tools write them.

        Raises InputError for the first group with more than N non-zeros, with its row and count; for NaN, infinity and
        values that overflow float16 (65504); for what int8 does not hold.
        """
        require_pattern((n_keep, m_group))
        n_keep, m_group = int(n_keep), int(m_group)
        dense = as_dense("weights", w)
        if element is None:
            element = "int8" if dense.dtype == np.int8 else "float16"
        require_one_of("element", element, tuple(ELEMENTS))
        n_in = dense.shape[1]
        if element == "int8":
            dense, tiny = as_int8("weights", dense), np.int8(0)
        else:
            dense = dense if dense.dtype in (np.float32, np.float64) else _wide_enough(dense)
            tiny = dense.dtype.type(FLOAT16_ZERO)
        filled = np.pad(dense, ((0, 0), (0, -n_in % m_group))) if n_in % m_group else np.ascontiguousarray(dense)
        values, positions = _packed(filled, n_keep, m_group, tiny)
        if element == "float16":
            values = _rounded(values, positions, n_keep, m_group)
        return cls._of(values, positions, n_keep, m_group, element, n_in)

    @classmethod
    def scaled(cls, w: Any, *, n_keep: int = 2, m_group: int = 4) -> NmMatrix:
        """Return a matrix as `from_dense` does, int8, with one scale that makes the largest magnitude 127."""
        dense = as_dense("weights", w).astype(np.float64)
        scale = scale_of("weights", dense)
        held = np.rint(dense / scale).astype(np.int8)
        return replace(cls.from_dense(held, n_keep=n_keep, m_group=m_group), weight_scale=scale)

    def repacked(self, w: Any) -> NmMatrix:
        """Other real weights [n_out, n_in], dense, at the scales of this one; what int8 does not hold is clamped."""
        if self.element == "int8":
            w = as_words(w, self.weight_scale)
        made = NmMatrix.from_dense(w, n_keep=1, m_group=1, element=self.element)
        return replace(made, weight_scale=self.weight_scale, activation_scale=self.activation_scale)

    @classmethod
    def from_metadata(
        cls,
        values: ArrayLike,
        metadata: bytes | ArrayLike,
        *,
        n_keep: int = 2,
        m_group: int = 4,
        n_in: int | None = None,
    ) -> NmMatrix:
        """The matrix whose `values` and `metadata()` these are; N = n_keep is the number kept in each m_group.

        values : float16 or int8 [n_out, n_kept]
        metadata : bytes, or uint8 of one dimension, exactly as many as the positions take
        n_in : inputs, where the last group was filled up; as many as fill the groups where left out

        Raises InputError for another type or shape, too few or too many bytes, and positions of a group that do not
        ascend or are beyond it.
        """
        require_pattern((n_keep, m_group))
        n_keep, m_group = int(n_keep), int(m_group)
        kept = as_array("values", values)
        element = next((name for name, kind in ELEMENTS.items() if kept.dtype == kind), None)
        if element is None:
            raise InputError(f"values=dtype {kept.dtype}: must be float16 or int8")
        require_sides("values", kept.shape)
        require(kept.shape[1] % n_keep == 0, "values", f"shape {kept.shape}", f"must have {n_keep} a group in each row")
        require_finite("values", kept)
        positions = _unpacked_positions(metadata, kept.shape, n_keep, m_group)
        return cls._of(kept.copy(), positions, n_keep, m_group, element, n_in)

    @classmethod
    def _of(
        cls,
        values: NDArray[Any],
        positions: NDArray[np.uint8],
        n_keep: int,
        m_group: int,
        element: str,
        n_in: int | None,
    ) -> NmMatrix:
        n_out, n_kept = values.shape
        return cls(
            n_out=n_out,
            n_in=n_kept // n_keep * m_group if n_in is None else n_in,
            n_keep=n_keep,
            m_group=m_group,
            values=values,
            positions=positions,
            element=element,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in) of the dense weights."""
        return self.n_out, self.n_in

    @property
    def pattern(self) -> tuple[int, int]:
        """(n_keep, m_group); the first is the number kept."""
        return self.n_keep, self.m_group

    @cached_property
    def turned(self) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """The kept values, and the input that each meets, [n_kept, n_out] each."""
        starts = np.arange(self.n_kept) // self.n_keep * self.m_group
        inputs = (starts + self.positions).astype(np.uint32)
        return np.ascontiguousarray(self.values.T, dtype=np.float32), np.ascontiguousarray(inputs.T)

    @property
    def n_group(self) -> int:
        """Groups of a row."""
        return -(-self.n_in // self.m_group)

    @property
    def n_filled(self) -> int:
        """Zero inputs that fill up the last group."""
        return -self.n_in % self.m_group

    @property
    def n_kept(self) -> int:
        """Values stored in a row, completing zeros included."""
        return self.n_group * self.n_keep

    @property
    def n_weight(self) -> int:
        """Stored values that are not 0."""
        return int(np.count_nonzero(self.values))

    n_nonzero = n_weight

    def nonzero_positions(self) -> NDArray[np.int64]:
        """Row-major positions of the non-zeros, ascending; zeros that complete a group are zeros. int64[n_weight]"""
        rows, places = np.nonzero(self.values)
        return rows * self.n_in + places // self.n_keep * self.m_group + self.positions[rows, places]

    @property
    def density(self) -> float:
        """Non-zero weights over all positions; N/M or less, unless the last group is filled up."""
        total = self.n_out * self.n_in
        return self.n_weight / total if total else 0.0

    @property
    def value_bits(self) -> int:
        """Width of a value: 16 or 8."""
        return 8 * np.dtype(ELEMENTS[self.element]).itemsize

    @property
    def values_bits(self) -> int:
        """Bits of all stored values."""
        return self.n_out * self.n_kept * self.value_bits

    @property
    def metadata_bits(self) -> int:
        """Bits of all positions, ceil(log2 M) each and at least 1; 0 for dense."""
        return self.n_out * self.n_kept * position_bits(self.pattern)

    @property
    def total_bits(self) -> int:
        """Bits of values and metadata."""
        return self.values_bits + self.metadata_bits

    def _repr_html_(self) -> str:
        """Return the card that a notebook shows; no value is looked at."""
        headings = ["out x in", "kept", "values\nstored", "value\nbits", "values kB", "metadata kB"]
        stored, values, metadata = self.n_out * self.n_kept, self.values_bits, self.metadata_bits
        figures = [
            Cell(f"{self.n_out}x{self.n_in}", list(self.shape)),
            "dense" if self.n_keep == self.m_group else f"{self.n_keep}:{self.m_group}",
            *(Cell(f"{n:,}", n) for n in (stored, self.value_bits)),
            *(figure(bits / 8e3, 1) for bits in (values, metadata)),
        ]
        return card(f"N:M matrix, {self.element}", table(headings, [figures]))

    def metadata(self) -> NDArray[np.uint8]:
        """Positions as packed bytes, uint8[ceil(metadata_bits / 8)], row after row without gaps.

        Each position takes ceil(log2 M) bits, at least 1, the lowest bit first; the first of two is in the low bits.
        A 2:4 group is a nibble, one of 4, 8, C, 9, D, E, the first group in the low half of the first byte. Bits left
        over in the last byte are 0. Dense has none.
        """
        bits = np.arange(position_bits(self.pattern), dtype=np.uint8)
        return np.packbits(self.positions.reshape(-1, 1) >> bits & 1, bitorder="little")

    def opened(self, activations: NDArray[Any]) -> NmMatrix:
        """Return the weights with the scale of int8 activations chosen for real ones, so that none is clamped."""
        if self.element == "float16" or self.activation_scale is not None or activations.dtype.kind != "f":
            return self
        return replace(self, activation_scale=scale_of("activations", activations))

    def words(self, activations: NDArray[Any]) -> NDArray[Any]:
        """Real activations as int8, clamped; integers, and all activations of float16, as they are."""
        if self.activation_scale is None or activations.dtype.kind != "f":
            return activations
        return as_words(activations, self.activation_scale)

    def decode(self) -> NDArray[Any]:
        """The dense weights [n_out, n_in], float16 or int8, from values and positions alone."""
        dense = np.zeros((self.n_out, self.n_in + self.n_filled), dtype=ELEMENTS[self.element])
        bits = f"u{dense.itemsize}"  # kernels know no float16
        packing.unpack(self.values.view(bits), self.positions, self.n_keep, self.m_group, dense.view(bits))
        return np.ascontiguousarray(dense[:, : self.n_in])


def scale_of(field: str, values: NDArray[Any]) -> float:
    """The real value of 1 of an int8, by which the largest magnitude becomes 127; 1.0 where all are 0.

    Raises InputError for NaN, infinity, and a largest magnitude whose products and scales are no ordinary floats.
    """
    require_finite(field, values)
    largest = float(np.abs(values).max(initial=0.0))
    rule = f"must be 0 or within 1/{MAX_SCALED:g} and {MAX_SCALED:g} for int8"
    require(largest == 0 or 1 / MAX_SCALED <= largest <= MAX_SCALED, f"largest of {field}", largest, rule)
    return largest / INT8_MAX if largest else 1.0


def as_words(values: NDArray[Any], scale: float) -> NDArray[np.int8]:
    """Real values as int8 of a scale, clamped."""
    return np.clip(np.rint(values.astype(np.float64) / scale), -INT8_MAX, INT8_MAX).astype(np.int8)


def storage(matrix: NmMatrix, config: Any) -> Format:
    """Bits of values and metadata, and of dense weights at 16 bits a value; the bias in neither."""
    parts = {"values": matrix.values_bits, "metadata": matrix.metadata_bits}
    note = f"{said(matrix.pattern)}; {matrix.value_bits}-bit values, {position_bits(matrix.pattern)}-bit positions"
    return Format(name="nm", parts=parts, dense_bits=16 * matrix.n_out * matrix.n_in, note=note)


def as_dense(field: str, w: Any) -> NDArray[Any]:
    """Real [n_out, n_in], numpy or scipy.sparse, as a numpy array. Raises InputError for anything else."""
    given: Any = checked(field, w) if is_sparse(w) else as_array(field, w)
    require_sides(field, given.shape)
    most = f"must have at most {MAX_POSITIONS} positions"
    require(given.shape[0] * given.shape[1] <= MAX_POSITIONS, field, f"shape {tuple(given.shape)}", most)
    require(given.dtype.kind in "fiub", field, f"dtype {given.dtype}", "must hold real numbers")
    dense: NDArray[Any] = given.toarray() if is_sparse(given) else given
    return dense


def as_int8(field: str, values: NDArray[Any]) -> NDArray[np.int8]:
    """Integers in -128..127 as int8. Raises InputError for anything else."""
    require(values.dtype.kind in "iub", field, f"dtype {values.dtype}", "must be integers in -128..127 for int8")
    if values.dtype != np.int8 and values.size:
        for most in (int(values.min()), int(values.max())):
            require(-128 <= most <= 127, field, most, "must be in -128..127 for int8")
    return values.astype(np.int8, copy=False)


def as_float16(field: str, values: NDArray[Any]) -> NDArray[np.float16]:
    """Real numbers rounded to float16, to nearest, even. Raises InputError for NaN, infinity and overflow."""
    require(values.dtype.kind in "fiub", field, f"dtype {values.dtype}", "must hold real numbers")
    rounded = _to_float16(values)
    require_finite(field, rounded, values)
    return rounded


def require_finite(field: str, rounded: NDArray[Any], given: NDArray[Any] | None = None) -> None:
    """Raise InputError that names the first value, as it was `given`, that is NaN or infinite once rounded."""
    finite = np.isfinite(rounded)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), rounded.shape)
        _refuse(field, place, (rounded if given is None else given)[place])


def _refuse(field: str, place: Any, value: Any) -> None:
    where = ", ".join(str(int(index)) for index in place)
    rule = "overflows float16, whose largest value is 65504" if np.isfinite(value) else "must be finite"
    raise InputError(f"{field}[{where}]={value}: {rule}")


def _to_float16(values: NDArray[Any]) -> NDArray[np.float16]:
    if values.dtype == np.float32:
        given, halves = np.ascontiguousarray(values), np.empty(values.shape, dtype=np.float16)
        packing.round_to_half(*(array.reshape(-1) for array in (given, given.view(np.uint32), halves.view(np.uint16))))
        return halves
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float16)


def _wide_enough(dense: NDArray[Any]) -> NDArray[Any]:
    """float16, which kernels do not know, as float32; integers as float64."""
    return dense.astype(np.float32 if dense.dtype == np.float16 else np.float64)


def _packed(dense: NDArray[Any], n_keep: int, m_group: int, tiny: Any) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Kept values and their positions; magnitudes up to `tiny` are zeros."""
    n_group = dense.shape[1] // m_group
    values = np.empty((dense.shape[0], n_group * n_keep), dtype=dense.dtype)
    positions = np.empty(values.shape, dtype=np.uint8)
    bad = packing.pack(dense, n_keep, m_group, tiny, values, positions)
    if bad >= 0:
        row, group = divmod(bad, n_group)
        count = np.count_nonzero(~(np.abs(dense[row, group * m_group :][:m_group]) <= tiny))
        pattern = said((n_keep, m_group))
        raise InputError(f"weights: row {row}, group {group} has {count} non-zeros, {pattern} keeps at most {n_keep}")
    return values, positions


def _rounded(values: NDArray[Any], positions: NDArray[np.uint8], n_keep: int, m_group: int) -> NDArray[np.float16]:
    """Kept values in float16; an error names the place in the dense weights."""
    rounded = _to_float16(values)
    finite = np.isfinite(rounded)
    if not finite.all():
        row, at = np.unravel_index(int(np.argmin(finite)), values.shape)
        _refuse("weights", (row, at // n_keep * m_group + positions[row, at]), values[row, at])
    return rounded


def _unpacked_positions(
    metadata: bytes | ArrayLike, shape: tuple[int, ...], n_keep: int, m_group: int
) -> NDArray[np.uint8]:
    """Positions uint8[shape] from packed bytes, checked."""
    given = np.frombuffer(metadata, np.uint8) if isinstance(metadata, bytes) else as_array("metadata", metadata)
    require(given.dtype == np.uint8 and given.ndim == 1, "metadata", f"{given.dtype} {given.shape}", "must be bytes")
    n_position, bits = shape[0] * shape[1], position_bits((n_keep, m_group))
    n_byte = -(-n_position * bits // 8)
    require(len(given) == n_byte, "metadata", f"{len(given)} bytes", f"must be {n_byte}, {bits} bits a position")
    if bits == 0:
        return np.tile(np.arange(m_group, dtype=np.uint8), (shape[0], shape[1] // m_group))
    unpacked = np.unpackbits(given, bitorder="little")
    require(not unpacked[n_position * bits :].any(), "metadata", "the last byte", "must be 0 after the last position")
    positions = np.packbits(unpacked[: n_position * bits].reshape(-1, bits), axis=1, bitorder="little").reshape(shape)
    _require_ascending(positions, n_keep, m_group)
    return positions


def _require_ascending(positions: NDArray[np.uint8], n_keep: int, m_group: int) -> None:
    groups = positions.reshape(positions.shape[0], positions.shape[1] // n_keep, n_keep)
    ok = (groups[:, :, 1:] > groups[:, :, :-1]).all(axis=2) & (groups[:, :, -1] < m_group)
    if not ok.all():
        row, group = np.unravel_index(int(np.argmin(ok)), ok.shape)
        found = f"row {row}, group {group} has positions {groups[row, group].tolist()}"
        raise InputError(f"metadata: {found}, which must ascend and be below m_group={m_group}")
