"""Energies of EIE processing elements at 45 nm, each with its source, and the module of the PE each belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from eie_sim import tables
from eie_sim.core.result import SimResult
from eie_sim.energy.rows import LEAKAGE, PE_CYCLE, Constant, EnergyRow, constants, row_of
from eie_sim.energy.technology import FAST_CELLS, LOW_LEAKAGE_CELLS, sram

COMPONENTS = {
    "queue_writes": ("act_queue",),
    "queue_reads": ("act_queue",),
    "pointer_reads": ("ptr_read",),
    "spmat_reads": ("spmat_read",),
    "codebook_reads": ("arithm_unit",),
    "macs": ("arithm_unit",),
    "padding_entries": ("arithm_unit",),
    "accumulator_reads": ("act_rw",),
    "accumulator_writes": ("act_rw",),
    "output_writes": ("act_rw",),
    "broadcasts": ("act_rw",),
    PE_CYCLE: ("arithm_unit", "act_rw"),
    LEAKAGE: (LEAKAGE,),
}
"""Where an event's energy belongs, in equal shares: modules of Table II, and leakage. The last two are per PE-cycle."""

WORD_BITS = 16
"""Activations, codebook values and outputs."""

QUEUE_ENTRY_BITS = 32
"""A value and the column it belongs to, 16 bits each."""


def rows(config: Any) -> tuple[EnergyRow, ...]:
    """A row for each of `COMPONENTS`, in its order, at 45 nm. config : EieConfig."""
    found = {row.event: row for part in (_registers, _arithmetic, _memories, _per_cycle) for row in part(config)}
    return tuple(found[event] for event in COMPONENTS)


def counts(result: SimResult) -> dict[str, float]:
    """How often each event of `COMPONENTS` took place, but for the last two."""
    return dict(result.stats["events"])


def lanes(config: Any) -> int:
    """Processing elements, which clock and leakage are counted by."""
    return int(config.n_pe)


def _registers(config: Any) -> Iterator[EnergyRow]:
    register, accumulator = _constants()["register_access"], _constants()["accumulator_access"]
    for event in ("queue_writes", "queue_reads"):
        source = f"{QUEUE_ENTRY_BITS} bits, 16-bit value and 16-bit column; {register.source}"
        yield _row(event, register.energy_pj(QUEUE_ENTRY_BITS), source)
    yield _row("codebook_reads", register.energy_pj(WORD_BITS), f"{WORD_BITS} bits; {register.source}")
    bits = config.accumulator_bits
    for event in ("accumulator_reads", "accumulator_writes"):
        yield _row(event, accumulator.energy_pj(bits), f"{bits} bits, linear in bits; {accumulator.source}")


def _arithmetic(config: Any) -> Iterator[EnergyRow]:
    multiply, add = _constants()["int_multiply"], _constants()["int_add"]
    energy_pj = multiply.energy_pj(WORD_BITS) + add.energy_pj(config.accumulator_bits)
    yield _row("macs", energy_pj, f"{multiply.source}; plus {config.accumulator_bits} bits of {add.source}")
    yield _row("padding_entries", 0.0, "none of its own: its Spmat row and codebook read are counted as such")


def _memories(config: Any) -> Iterator[EnergyRow]:
    factor = _constants()["spmat_read_factor"]
    spmat, pointers, activations = (sram(*size) for size in sram_sizes(config))
    spmat_source, pointer_source, activation_source = (_source(*size) for size in sram_sizes(config))
    yield _row("pointer_reads", pointers.read_pj, f"read of both banks as one word; {pointer_source}")
    source = f"read; {spmat_source}; x {factor.value:g}, {factor.source}"
    yield _row("spmat_reads", spmat.read_pj * factor.value, source, chosen=factor.chosen)
    yield _row("output_writes", activations.write_pj, f"write; {activation_source}")
    yield _row("broadcasts", activations.read_pj, f"read of the activation SRAM of one PE; {activation_source}")


def _per_cycle(config: Any) -> Iterator[EnergyRow]:
    clock = _constants()["pe_cycle"]
    yield _row(PE_CYCLE, clock.value, f"per PE and cycle; {clock.source}", chosen=clock.chosen)
    leakage_mw = sum(sram(*size, LOW_LEAKAGE_CELLS).leakage_mw for size in sram_sizes(config))
    source = f"per PE and cycle at {config.clock_mhz:g} MHz; the three SRAMs, CACTI 7, 45 nm, {LOW_LEAKAGE_CELLS} cells"
    yield _row(LEAKAGE, leakage_mw * 1e3 / config.clock_mhz, source)


def sram_sizes(config: Any) -> tuple[tuple[int, int], ...]:
    """Capacity in bytes and width in bits of Spmat, pointer and activation SRAM."""
    return (
        (config.spmat_bytes, config.spmat_width_bits),
        (config.pointer_bytes, 2 * config.pointer_bits),
        (config.activation_bytes, WORD_BITS),
    )


def _source(capacity_bytes: int, width_bits: int) -> str:
    how = ", interpolated" if sram(capacity_bytes, width_bits).interpolated else ""
    return f"SRAM of {capacity_bytes} bytes x {width_bits} bits, CACTI 7, 45 nm, {FAST_CELLS} cells{how}"


def _row(event: str, energy_pj: float, source: str, *, chosen: bool = False) -> EnergyRow:
    return row_of(COMPONENTS, event, energy_pj, source, chosen=chosen)


@cache
def _constants() -> dict[str, Constant]:
    return constants(tables.rows("eie_energy_45nm"))
