"""Energies of EIE processing elements at 45 nm, each with its source and the module it belongs to; and their area.

Dynamic SRAM energies are CACTI's for high-performance cells, because its low-standby-power cells miss 800 MHz. Leakage
is CACTI's for low-standby-power cells, because the others would leak 190 mW in a PE that draws 9.157 mW (Table II): the
paper's SRAM is neither. Two constants are chosen so that a PE at Alex-7's activity draws that power, and the size of
the buffer outside of the PEs that the map of a convolution lies in, of which the paper has none; `rows` marks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from eie_sim import tables
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.words import COMPONENTS, MAP_READS, WORD_BITS
from eie_sim.units.energy import LEAKAGE, PE_CYCLE, AreaReport, EnergyRow, constants, row_of
from eie_sim.units.technology import FAST_CELLS, LOW_LEAKAGE_CELLS, scaling, sram

QUEUE_ENTRY_BITS = 32
"""A value and the column it belongs to, 16 bits each."""

MODULES = {
    "act_queue": "Act queue",
    "ptr_read": "PtrRead",
    "spmat_read": "SpmatRead",
    "arithm_unit": "ArithmUnit",
    "act_rw": "ActRW",
    "filler": "filler cell",
}
"""Modules of the PE and their names in Table II."""

MEASURED_SIZES = ((128 * 1024, 64), (32 * 1024, 32), (2 * 1024, 16))
"""Bytes and width in bits of Spmat, pointer and activation SRAM of the PE that Table II measures."""

MEASURED_QUEUE_DEPTH = 8

MEASURED_REGISTER_BITS = 64 * (16 + 16)
"""Two register files of 64 entries of 16 bits."""

_row = partial(row_of, COMPONENTS)
_constants = partial(constants, "eie_energy_45nm")


def rows(config: EieConfig) -> tuple[EnergyRow, ...]:
    """A row for each of `COMPONENTS`, in its order, at 45 nm.

    Width of codes and gaps changes how often the Spmat SRAM is read and nothing else: a code still picks one 16-bit
    word, and the multiplier stays 16 x 16.
    """
    found = {row.event: row for part in (_registers, _arithmetic, _memories, _per_cycle) for row in part(config)}
    return tuple(found[event] for event in COMPONENTS)


def _registers(config: EieConfig) -> Iterator[EnergyRow]:
    register, accumulator = _constants()["register_access"], _constants()["accumulator_access"]
    for event in ("queue_writes", "queue_reads"):
        source = f"{QUEUE_ENTRY_BITS} bits, 16-bit value and 16-bit column; {register.source}"
        yield _row(event, register.energy_pj(QUEUE_ENTRY_BITS), source)
    yield _row("codebook_reads", register.energy_pj(WORD_BITS), f"{WORD_BITS} bits; {register.source}")
    bits = config.accumulator_bits
    for event in ("accumulator_reads", "accumulator_writes"):
        yield _row(event, accumulator.energy_pj(bits), f"{bits} bits, linear in bits; {accumulator.source}")


def _arithmetic(config: EieConfig) -> Iterator[EnergyRow]:
    multiply, add = _constants()["int_multiply"], _constants()["int_add"]
    energy_pj = multiply.energy_pj(WORD_BITS) + add.energy_pj(config.accumulator_bits)
    yield _row("macs", energy_pj, f"{multiply.source}; plus {config.accumulator_bits} bits of {add.source}")
    yield _row("padding_entries", 0.0, "none of its own: its Spmat row and codebook read are counted as such")


def _memories(config: EieConfig) -> Iterator[EnergyRow]:
    factor = _constants()["spmat_read_factor"]
    spmat, pointers, activations = (sram(*size) for size in sram_sizes(config))
    spmat_source, pointer_source, activation_source = (_source(*size) for size in sram_sizes(config))
    yield _row("pointer_reads", pointers.read_pj, f"read of both banks as one word; {pointer_source}")
    source = f"read; {spmat_source}; x {factor.value:g}, {factor.source}"
    yield _row("spmat_reads", spmat.read_pj * factor.value, source, chosen=factor.chosen)
    yield _row("output_writes", activations.write_pj, f"write; {activation_source}")
    yield _row("broadcasts", activations.read_pj, f"read of the activation SRAM of one PE; {activation_source}")
    capacity, width = _constants()["map_bytes"], int(_constants()["map_width"].value)
    size = int(capacity.value), width
    source = f"{WORD_BITS} of the {width} bits of a read, without leakage; {_source(*size)}; {capacity.source}"
    yield _row(MAP_READS, sram(*size).read_pj * WORD_BITS / width, source, chosen=capacity.chosen)


def _per_cycle(config: EieConfig) -> Iterator[EnergyRow]:
    clock = _constants()["pe_cycle"]
    yield _row(PE_CYCLE, clock.value, f"per PE and cycle; {clock.source}", chosen=clock.chosen)
    leakage_mw = sum(sram(*size, LOW_LEAKAGE_CELLS).leakage_mw for size in sram_sizes(config))
    source = f"per PE and cycle at {config.clock_mhz:g} MHz; the three SRAMs, CACTI 7, 45 nm, {LOW_LEAKAGE_CELLS} cells"
    yield _row(LEAKAGE, leakage_mw * 1e3 / config.clock_mhz, source)


def area(config: EieConfig) -> AreaReport:
    """Area of the PEs; at the default design what Table II states, 0.638 mm2 each.

    PtrRead and SpmatRead follow the area of their SRAM (CACTI 7, ratio to the default's), the queue its depth. ActRW is
    its SRAM and a rest that follows the bits of the two register files, one of 16-bit inputs and one of accumulators.
    The arithmetic unit is constant, filler cells keep their share. Central control and the leading-non-zero scan are
    left out, as 64 PEs alone make up the paper's 40.8 mm2. Node factors (Stillmaker and Baas 2017) are for logic, and
    are used for SRAM too. Raises InputError for a node without factors.
    """
    published = {row["item"]: row["area_um2"] for row in tables.rows("eie_table2") if row["group"] == "module"}
    mm2 = {module: float(published[name]) / 1e6 for module, name in MODULES.items()}
    filler_share = mm2.pop("filler") / sum(mm2.values())
    before = [sram(*size).area_mm2 for size in MEASURED_SIZES]
    after = [sram(*size).area_mm2 for size in sram_sizes(config)]
    register_bits_x = config.register_entries * (WORD_BITS + config.accumulator_bits) / MEASURED_REGISTER_BITS
    mm2["spmat_read"] *= after[0] / before[0]
    mm2["ptr_read"] *= after[1] / before[1]
    mm2["act_rw"] = after[2] + (mm2["act_rw"] - before[2]) * register_bits_x
    mm2["act_queue"] *= config.queue_depth / MEASURED_QUEUE_DEPTH
    mm2["filler"] = filler_share * sum(mm2.values())
    area_x = scaling(config.node_nm).area_x
    scaled = {module: value * area_x for module, value in mm2.items()}
    return AreaReport(by_module_mm2=scaled, n_pe=config.n_pe, node_nm=config.node_nm)


def sram_sizes(config: EieConfig) -> tuple[tuple[int, int], ...]:
    """Capacity in bytes and width in bits of Spmat, pointer and activation SRAM."""
    return (
        (config.spmat_bytes, config.spmat_width_bits),
        (config.pointer_bytes, 2 * config.pointer_bits),
        (config.activation_bytes, WORD_BITS),
    )


def _source(capacity_bytes: int, width_bits: int) -> str:
    how = ", interpolated" if sram(capacity_bytes, width_bits).interpolated else ""
    return f"SRAM of {capacity_bytes} bytes x {width_bits} bits, CACTI 7, 45 nm, {FAST_CELLS} cells{how}"
