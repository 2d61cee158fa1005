"""Energies of the N:M tensor-core unit by level: DRAM, L2, shared memory, registers, MACs, metadata; with sources.

Constants are for 45 nm and scaled to the design's node, DRAM apart. What no source states is chosen, and marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from eie_sim.core.result import SimResult
from eie_sim.units.energy import LEAKAGE, PE_CYCLE, Constant, EnergyRow, constants, row_of
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import COMPONENTS
from eie_sim.units.technology import FAST_CELLS, LOW_LEAKAGE_CELLS, Sram, sram

WITH_METADATA = ("smem", "l2", "dram")
ACCUMULATOR_BYTES = 4
NO_L2 = Sram(read_pj=0.0, write_pj=0.0, leakage_mw=0.0, area_mm2=0.0, interpolated=False)

_row = partial(row_of, COMPONENTS)
_constants = partial(constants, "nm_energy_45nm")


def rows(config: TensorCoreConfig) -> tuple[EnergyRow, ...]:
    """A row for each of `COMPONENTS`, in its order, at 45 nm."""
    found = {row.event: row for part in (_arithmetic, _memories, _per_cycle) for row in part(config)}
    return tuple(found[event] for event in COMPONENTS)


def counts(result: SimResult) -> dict[str, float]:
    """Return the count of each event of `COMPONENTS`, except the last two.

    Registers: an instruction reads its operands once, and reads and writes a 4-byte accumulator for every sum, so that
    bytes follow from its shape and the MACs.
    """
    events, config = result.stats["events"], result.config
    mm, mn, mk = config.mma
    bytes_of_instruction = (mm * mk + mk * mn) * config.elem_bytes + 2 * mm * mn * ACCUMULATOR_BYTES
    named: dict[str, float] = {f"{level}_metadata_bytes": events[f"{level}_metadata_bytes"] for level in WITH_METADATA}
    named |= {f"{level}_bytes": events[f"{level}_bytes"] - events[f"{level}_metadata_bytes"] for level in WITH_METADATA}
    named["register_bytes"] = events["macs"] * bytes_of_instruction / (mm * mn * mk)
    return named | {event: events[event] for event in ("macs", "store_bytes", "operand_selects")}


def lanes(config: TensorCoreConfig) -> int:
    """MACs of the chip in a cycle, which clock and leakage are counted by."""
    return config.n_core * config.tc_per_core * config.macs_per_cycle


def _arithmetic(config: TensorCoreConfig) -> Iterator[EnergyRow]:
    mac = _constants()["int8_mac" if config.elem_bytes == 1 else "fp16_mac"]
    register, select = _constants()["register_access"], _constants()["operand_select"]
    yield _row("macs", mac.value, mac.source)
    yield _row("register_bytes", register.energy_pj(8), f"8 bits; {register.source}")
    yield _row("operand_selects", select.value, select.source)


def _memories(config: TensorCoreConfig) -> Iterator[EnergyRow]:
    smem, l2 = smem_of(config), l2_of(config)
    smem_bytes, l2_bytes = _width("smem_width") // 8, _width("l2_width") // 8
    for event in ("smem_bytes", "smem_metadata_bytes"):
        source = (
            f"a byte of a read of {smem_bytes}; SRAM of {config.smem_bytes} bytes, CACTI 7, 45 nm, {FAST_CELLS} cells"
        )
        yield _row(event, smem.read_pj / smem_bytes, source)
    where = f"SRAM of {_slice(config)} bytes, CACTI 7, 45 nm, {FAST_CELLS} cells; its wires to the cores left out"
    where = where if config.l2_bytes else "no L2"
    for event in ("l2_bytes", "l2_metadata_bytes"):
        yield _row(event, l2.read_pj / l2_bytes, f"a byte of a read of {l2_bytes}; {where}")
    yield _row("store_bytes", l2.write_pj / l2_bytes, f"a byte of a write of {l2_bytes}; {where}")
    dram = _dram(config)
    for event in ("dram_bytes", "dram_metadata_bytes"):
        yield _row(event, dram.energy_pj(8), f"8 bits; {dram.source}", chosen=dram.chosen)


def _per_cycle(config: TensorCoreConfig) -> Iterator[EnergyRow]:
    clock = _constants()["lane_cycle"]
    yield _row(PE_CYCLE, clock.value, f"per MAC lane and cycle; {clock.source}", chosen=clock.chosen)
    leaks = config.n_core * sram(config.smem_bytes, _width("smem_width"), LOW_LEAKAGE_CELLS).leakage_mw
    if config.l2_bytes:
        leaks += sram(config.l2_bytes, _width("l2_width"), LOW_LEAKAGE_CELLS).leakage_mw
    source = f"per MAC lane and cycle; shared memories and L2, CACTI 7, 45 nm, {LOW_LEAKAGE_CELLS} cells"
    yield _row(LEAKAGE, leaks * 1e3 / config.clock_mhz / lanes(config), source)


def _dram(config: TensorCoreConfig) -> Constant:
    return Constant(0.0, 1, False, "no DRAM") if config.dram == "none" else _constants()[config.dram]


def smem_of(config: TensorCoreConfig) -> Sram:
    """The shared memory of a core."""
    return sram(config.smem_bytes, _width("smem_width"))


def l2_of(config: TensorCoreConfig) -> Sram:
    """The L2, or a slice of a large one; all zeros without any."""
    return sram(_slice(config), _width("l2_width")) if config.l2_bytes else NO_L2


def _slice(config: TensorCoreConfig) -> int:
    return min(int(config.l2_bytes), _width("l2_slice"))


def _width(name: str) -> int:
    return int(_constants()[name].value)
