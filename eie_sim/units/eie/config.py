"""The design of an array of EIE processing elements (Han et al. 2016, sections IV and V, Table II)."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from eie_sim.core.brief import shows
from eie_sim.core.errors import few, is_number, require, require_int, require_one_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAIN_CYCLES = 6
"""Cycles from the issue of the last entry to the end of the layer: the depth of the pipeline."""

ROUNDINGS = ("floor", "nearest")
ACTIVE_RULES = ("positive", "nonzero")
ACCUMULATOR_BITS = (16, 24, 32)

_stream = attrgetter("n_pe", "index_bits", "weight_bits", "accumulator_bits", "rounding", "active", "entries_per_row")


@dataclass(frozen=True, slots=True, kw_only=True)
class EieConfig:
    """One design: processing elements, queues, formats, memories, clock.

    Raises InputError naming field, value and rule.

    Parameters
    ----------
    n_pe
        Processing elements; row i of the weights belongs to PE i % n_pe.
    queue_depth
        Usable entries of each PE's activation queue.
    weight_bits
        Bits of a code: 2**weight_bits shared weights, code 0 being the value 0.
    index_bits
        Bits of a gap (relative index).
    accumulator_bits
        16, 24 or 32; accumulators saturate.
    rounding
        Where a product is shifted to the accumulator's scale: nearest (half is added first), or floor, with which
        outputs drift down by half a unit a product.
    active
        Inputs that take part: positive (after a ReLU) or nonzero.
    spmat_width_bits
        Width of a row of the Spmat SRAM, which holds a whole number of entries.
    spmat_bytes
        Spmat SRAM of a PE.
    pointer_bytes
        Pointer SRAM of a PE.
    activation_bytes
        Activation SRAM of a PE.
    pointer_bits
        Width of a column pointer; 2**pointer_bits entries can be reached.
    register_entries
        Accumulators in each of a PE's two register files.
    clock_mhz
        Clock in MHz, 0.001 to below 1e6.
    node_nm
        Technology node for energy and area, nm.
    """

    n_pe: int = 64
    queue_depth: int = 8
    weight_bits: int = 4
    index_bits: int = 4
    accumulator_bits: int = 16
    rounding: str = "nearest"
    active: str = "positive"
    spmat_width_bits: int = 64
    spmat_bytes: int = 128 * 1024
    pointer_bytes: int = 32 * 1024
    activation_bytes: int = 2 * 1024
    pointer_bits: int = 16
    register_entries: int = 64
    clock_mhz: float = 800.0
    node_nm: int = 45

    __repr__ = shows()

    def __post_init__(self) -> None:
        require_int("n_pe", self.n_pe, 1, 65536)
        require_int("queue_depth", self.queue_depth, 1, 2**20)
        require_int("weight_bits", self.weight_bits, 1, 8)
        require_int("index_bits", self.index_bits, 1, 8)
        require_int("spmat_width_bits", self.spmat_width_bits, 1, 2**16)
        for name in ("spmat_bytes", "pointer_bytes", "activation_bytes", "register_entries", "node_nm"):
            require_int(name, getattr(self, name), 1, 2**40)
        require_int("pointer_bits", self.pointer_bits, 1, 31)
        require_one_of("accumulator_bits", self.accumulator_bits, ACCUMULATOR_BITS)
        require_one_of("rounding", self.rounding, ROUNDINGS)
        require_one_of("active", self.active, ACTIVE_RULES)
        _require_clock(self.clock_mhz)
        require(
            self.entry_bits <= self.spmat_width_bits,
            "spmat_width_bits",
            self.spmat_width_bits,
            f"must hold an entry of weight_bits + index_bits = {self.entry_bits} bits",
        )
        self._make_plain()

    def _make_plain(self) -> None:
        """Numpy's numbers become Python's, so that equal designs have equal JSON and equal hashes."""
        for name in self.__slots__:
            value = getattr(self, name)
            kind = float if name == "clock_mhz" else int
            if type(value) is not kind and is_number(value):
                object.__setattr__(self, name, kind(value))

    def for_inputs(self, inputs: NDArray[Any]) -> EieConfig:
        """The design with `active="nonzero"` where any of the inputs is negative, which must not be dropped in silence.

        It is this one where none is, or where negative ones take part already.
        """
        negative = self.active == "positive" and bool((inputs < 0).any())
        return replace(self, active="nonzero") if negative else self

    def describe(self) -> str:
        """The design in a line."""
        return (
            f"{self.n_pe} PEs at {self.clock_mhz:g} MHz, queue depth {self.queue_depth}, {self.weight_bits}-bit codes, "
            f"{self.index_bits}-bit gaps, {self.accumulator_bits}-bit accumulators, {self.node_nm} nm"
        )

    @property
    def entry_bits(self) -> int:
        """Bits of one stored entry, code and gap."""
        return self.weight_bits + self.index_bits

    @property
    def entries_per_row(self) -> int:
        """Entries in one row of the Spmat SRAM."""
        return self.spmat_width_bits // self.entry_bits

    @property
    def peak_gops(self) -> float:
        """One MAC (2 operations) per PE and cycle, in GOP/s."""
        return 2 * self.n_pe * self.clock_mhz / 1e3

    def to_dict(self) -> dict[str, object]:
        """Field names and values, in order."""
        return {name: getattr(self, name) for name in self.__slots__}


COARSE = 0.1
"""Relative error of a layer's codebook above which more codes are worth a try."""


def advice(record: Mapping[str, Any]) -> list[str]:
    """Finer codebooks, where they are most of the error of a run. record : `Result` as plain data"""
    coarse = [one["name"] for one in record["layers"] if (one["verification"]["stored_error"] or 0.0) > COARSE]
    bits = record["config"]["weight_bits"]
    if not coarse or bits == 8:
        return []
    return [f"try --weight-bits 8: most of the error of {few(coarse)} is that of {bits}-bit codebooks"]


def alike(config: EieConfig) -> tuple[Hashable, Hashable]:
    """Return what designs share whose entries are counted once, and whose vectors go through them in the same way."""
    return (config.n_pe, config.index_bits), _stream(config)


def roof(config: Mapping[str, Any], events: Mapping[str, int]) -> tuple[float, float, str, float]:
    """Peak GOP/s, bytes per us, the memory's name, and the bytes read from it."""
    row_bytes = config["spmat_width_bits"] / 8
    per_us = config["n_pe"] * config["clock_mhz"]
    return 2 * per_us / 1e3, per_us * row_bytes, "Spmat SRAM", events["spmat_reads"] * row_bytes


def _require_clock(clock_mhz: Any) -> None:
    """Raise InputError unless it is a number in bounds as the float it becomes: times and powers then stay finite."""
    try:
        mhz = float(clock_mhz) if is_number(clock_mhz) else math.nan
    except OverflowError:  # an integer or a fraction beyond any float
        mhz = math.inf
    said = repr(clock_mhz) if isinstance(clock_mhz, str) else clock_mhz
    require(0.001 <= mhz < 1e6, "clock_mhz", said, "must be a number >= 0.001 and below 1e6")
