"""Who stands in a comparison: designs of several units, each as often as it takes to be as large as the largest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from eie_sim.core.errors import InputError, require, unknown
from eie_sim.core.result import config_hash
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import table_for
from eie_sim.energy.table import DRAM
from eie_sim.units import blamed, faults, unit_of, units
from eie_sim.units.compared import LPDDR4_BYTES_PER_CYCLE, Chip, lpddr4_pj_per_byte
from eie_sim.units.unit import Unit


@dataclass(frozen=True, kw_only=True, eq=False)
class Instances:
    """A design of a unit, `number` of it side by side, with the DRAM that all of them share."""

    unit: Unit
    design: Any
    title: str  # name of the preset, or title of the unit
    number: int = 1
    chip: Chip | None = None  # its memories, of a unit that has some
    dram_bytes_per_cycle: Fraction = Fraction(LPDDR4_BYTES_PER_CYCLE)  # in cycles of this design
    dram_pj_per_byte: float = 0.0
    table: EnergyTable | None = None  # energies that are not the default ones of the design

    @property
    def macs_per_cycle(self) -> int:
        """MACs of all of them together in a cycle."""
        return self.number * int(self.unit.lanes(self.design))

    @property
    def in_patterns(self) -> bool:
        """True where weights are pruned to patterns for it."""
        return self.unit.patterns(self.design) is not None

    @property
    def idle_pj(self) -> float:
        """Clock and leakage of one of them in a cycle."""
        table = table_for(self.design, self.table)
        per_lane = sum(table.pe_cycle_pj.values()) + table.leakage_mw * 1e3 / self.design.clock_mhz
        return float(self.unit.lanes(self.design) * per_lane)

    def label(self, size: Instances, *, listed: bool) -> str:
        """Return its name in rows, with the number in a list, and MACs a cycle where it is not as large as `size`."""
        equal = self.macs_per_cycle == size.macs_per_cycle
        times = f"{self.number} x " if self.number > 1 and (listed or not equal) else ""
        return f"{times}{self.title}" + ("" if equal else f" ({self.macs_per_cycle:,} MACs)")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        design = self.design.to_dict()
        return {
            "unit": self.unit.name,
            "preset": self.title if self.title in self.unit.presets else None,
            "title": self.title,
            "arrays": self.number,
            "macs_per_cycle": self.macs_per_cycle,
            "stores_bias": self.unit.takes_bias,
            "config": design,
            "config_hash": config_hash(self.unit.name, design),
        }


def equal_size(on: Any, table: EnergyTable | None = None) -> tuple[list[Instances], Instances, list[str]]:
    """Designs as large as the largest, see `compare`. table : energies of the one that sets the size

    Returns the designs in order, the one that sets the size, and why others cannot stand beside it, a line each.
    Raises InputError for what is no design and no name of one, and for a design that is there twice.
    """
    listed = isinstance(on, (list, tuple))
    require(not listed or len(on) > 0, "on", "none", "must be at least one")
    named = [_instance_of(item) for item in (on if listed else [on])]
    named = [_default(one) if one.design is None and one.unit.sized is None else one for one in named]
    if all(one.design is None for one in named):
        most = max(map(_default, named), key=lambda one: one.macs_per_cycle)
        named = [most if one.unit is most.unit else one for one in named]
    largest = max((one for one in named if one.design is not None), key=lambda one: one.macs_per_cycle)
    size = _with_own_dram(largest, table)
    beside = [] if listed else [_instance_of(unit.name) for unit in units() if unit is not size.unit]
    found, left_out = [], [] if listed else [*faults()]
    for one in [*named, *beside]:
        try:
            found.append(size if one is largest else _beside(one, size))
        except Exception as error:  # the code of another package may fail in any way
            left_out.append(reason(one, error))
    for at, one in enumerate(found):
        again = any(one.unit is each.unit and one.design == each.design for each in found[:at])
        require(not again, "on", one.title, "must not be there twice")
    titles = [one.title for one in found]
    unlike = [
        replace(one, title=f"{one.title} #{at}") if titles.count(one.title) > 1 else one
        for at, one in enumerate(found, 1)
    ]
    return unlike, unlike[found.index(size)], left_out


def reason(one: Instances, error: Exception) -> str:
    """Return in a line why a design is not compared; an error that is no fault of its unit is raised again."""
    why = f"{one.title}: {error}" if isinstance(error, InputError) else blamed(error)
    if why is None:
        raise error
    return why


def _instance_of(item: Any) -> Instances:
    """A design, a preset by its name, or a unit by its name, which has no design yet."""
    if not isinstance(item, str):
        unit = unit_of(item, "on")
        title = next((name for name in unit.presets if unit.config.preset(name) == item), unit.title)
        return Instances(unit=unit, design=item, title=title)
    known = {name: unit for unit in units() for name in unit.presets} | {unit.name: unit for unit in units()}
    if item not in known:
        fault = next((fault for fault in faults() if fault.startswith(f"unit={item}:")), None)
        raise InputError(fault) if fault else unknown("on", item, known)
    unit = known[item]
    if item == unit.name:
        return Instances(unit=unit, design=None, title=unit.title)
    return Instances(unit=unit, design=unit.config.preset(item), title=item)


def _default(one: Instances) -> Instances:
    """The design that a unit starts from."""
    config, start = one.unit.config, one.unit.start
    return replace(one, design=config.preset(start) if start else config(), title=start or one.title)


def _with_own_dram(one: Instances, table: EnergyTable | None) -> Instances:
    """The design that sets the size, with its DRAM, LPDDR4 where it has none. table : energies of the user"""
    if one.unit.chip is None:
        table_for(one.design, table)
        return replace(one, dram_pj_per_byte=lpddr4_pj_per_byte(), table=table)
    chip = one.unit.chip(one.design)
    energy_pj = table_for(chip.far, table).energy_pj["dram_bytes"]
    return replace(
        one, chip=chip, dram_bytes_per_cycle=chip.dram_bytes_per_cycle, dram_pj_per_byte=energy_pj, table=table
    )


def _beside(one: Instances, size: Instances) -> Instances:
    """The design as large as `size`, with the same DRAM; each of several chips has an equal share of its rate."""
    unit, (lanes, clock) = one.unit, (size.macs_per_cycle, float(size.design.clock_mhz))
    if one.design is None and unit.sized is not None:
        design, number = unit.sized(lanes, clock, size.design.node_nm)
    else:
        one = _default(one) if one.design is None else one
        design, number = one.design, max(1, round(Fraction(lanes, one.macs_per_cycle)))
    rate = size.dram_bytes_per_cycle * Fraction(str(clock)) / Fraction(str(float(design.clock_mhz)))
    pj = size.dram_pj_per_byte
    found = replace(one, design=design, number=number, dram_bytes_per_cycle=rate, dram_pj_per_byte=pj)
    if unit.chip is None:
        return found
    chip = unit.chip(design, rate / number)
    default = EnergyTable.for_config(design)
    rows = tuple(row._replace(energy_pj=pj) if row.event.startswith(DRAM) else row for row in default.rows)
    return replace(found, chip=chip, table=replace(default, rows=rows, default=default.rows))
