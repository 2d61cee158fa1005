"""A table of energies for one design: the default one, or the user's."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from eie_sim.core.errors import InputError, require, unknown
from eie_sim.core.spreadsheet import csv_text, unquoted
from eie_sim.units import unit_of
from eie_sim.units.energy import LEAKAGE, PE_CYCLE, Components, EnergyRow, row_of
from eie_sim.units.technology import scaling

DRAM = "dram"
"""How events off the chip begin: their energy does not scale with the chip's node."""

CSV_COLUMNS = ["event", "energy_pj", "source"]

MAX_ENERGY_PJ = 1e9
"""1 mJ; keeps sums finite."""


@dataclass(frozen=True, kw_only=True)
class EnergyTable:
    """Energy per event for one design, each constant with its source. Build one with `for_config` or `from_csv`.

    name : how reports call it
    node_nm, clock_mhz : technology node and clock it holds for
    components : where the energy of an event belongs
    rows : a row for every event, then clock and leakage per PE-cycle (of the N:M unit, per MAC lane and cycle)
    """

    name: str
    node_nm: int
    clock_mhz: float
    components: Components
    rows: tuple[EnergyRow, ...]

    def __post_init__(self) -> None:
        missing = ", ".join(sorted(set(self.components) - {row.event for row in self.rows}))
        require(not missing, "rows", f"without {missing}", "must have one for every event, clock and leakage")

    @classmethod
    def for_config(cls, config: Any) -> EnergyTable:
        """The default table: SRAM by capacity and width, registers and adds linear in bits, all scaled to the node.

        config : a design of any unit

        Scaling to the node applies to leakage power too.
        Raises InputError for another type, and for a node without scaling factors.
        """
        unit = unit_of(config)
        factor = scaling(config.node_nm).energy_x
        note = "" if factor == 1.0 else f"; x {factor:g} to {config.node_nm} nm (Stillmaker and Baas 2017, logic)"
        scaled = tuple(
            row
            if row.event.startswith(DRAM)
            else row._replace(energy_pj=row.energy_pj * factor, source=row.source + note)
            for row in unit.energies(config)
        )
        return cls(
            name=f"{unit.name}-{config.node_nm}nm",
            node_nm=config.node_nm,
            clock_mhz=float(config.clock_mhz),
            components=unit.words.components,
            rows=scaled,
        )

    @classmethod
    def from_csv(cls, text: str, config: Any, *, name: str = "given", where: str = "text") -> EnergyTable:
        """The default table with the user's energies in place of its own.

        text : CSV with the columns event, energy_pj, source; energies hold at the config's node and clock. An event
            may be left out. `to_csv` writes this form.
        where : what errors call the text

        Raises InputError with the line for unknown or repeated events and energies that are not numbers in 0..1e9.
        """
        default = cls.for_config(config)
        require(isinstance(name, str), "name", type(name).__name__, "must be text")
        require(isinstance(text, str), where, type(text).__name__, "must be text, as to_csv writes it")
        try:
            given = _parse(text, default.components)
        except InputError as error:
            raise InputError(f"{where if where.isprintable() else repr(where)}: {error}") from None
        return replace(default, name=name, rows=tuple(given.get(row.event, row) for row in default.rows))

    def to_csv(self) -> str:
        """The table as `from_csv` reads it, energies in full precision."""
        return csv_text([CSV_COLUMNS, *((row.event, repr(row.energy_pj), row.source) for row in self.rows)])

    @cached_property
    def energy_pj(self) -> dict[str, float]:
        """Energy of one event, by counted event."""
        return {row.event: row.energy_pj for row in self.rows if row.event not in (PE_CYCLE, LEAKAGE)}

    @cached_property
    def pe_cycle_pj(self) -> dict[str, float]:
        """Energy of clock and pipeline registers per PE and cycle, by component. The clock is not gated."""
        shares = self.components[PE_CYCLE]
        return {component: self._row(PE_CYCLE).energy_pj / len(shares) for component in shares}

    @cached_property
    def leakage_mw(self) -> float:
        """Leakage of one PE, or MAC lane."""
        return self._row(LEAKAGE).energy_pj * self.clock_mhz / 1e3

    def _row(self, event: str) -> EnergyRow:
        return next(row for row in self.rows if row.event == event)


def _parse(text: str, components: Components) -> dict[str, EnergyRow]:
    """Rows by event."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    given: dict[str, EnergyRow] = {}
    try:
        header = [cell.strip() for cell in next(reader, [])]
        require(header == CSV_COLUMNS, "line 1", _shown(",".join(header)), f"must be {','.join(CSV_COLUMNS)}")
        for cells in reader:
            if cells:
                row = _parse_row(f"line {reader.line_num}", [unquoted(cell) for cell in cells], components)
                require(row.event not in given, f"line {reader.line_num}: event", row.event, "is there already")
                given[row.event] = row
    except csv.Error as error:
        raise InputError(f"line {reader.line_num}: not valid CSV: {error}") from None
    return given


def _parse_row(line: str, cells: list[str], components: Components) -> EnergyRow:
    rule = f"must be {len(CSV_COLUMNS)}; a source with a comma needs quotes around it"
    require(len(cells) == len(CSV_COLUMNS), f"{line}: cells", len(cells), rule)
    event, energy, source = (cell.strip() for cell in cells)
    if event not in components:
        raise unknown(f"{line}: event", _shown(event), components)
    try:
        energy_pj = float(energy)
    except ValueError:
        energy_pj = math.nan
    rule = f"must be a number of pJ in 0..{MAX_ENERGY_PJ:g}"
    require(0.0 <= energy_pj <= MAX_ENERGY_PJ, f"{line}: energy_pj", _shown(energy), rule)
    rule = "must be one line of printable text; is a quote left open?"
    require(source.isprintable(), f"{line}: source", _shown(source), rule)
    return row_of(components, event, energy_pj, source or "given without a source")


def _shown(cell: str) -> str:
    """Text that fits a one-line message."""
    return cell[:60] if cell[:60].isprintable() else repr(cell[:60])
