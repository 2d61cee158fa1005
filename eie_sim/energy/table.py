"""A table of energies for one design: the default one, or the user's."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, is_number, require, unknown
from eie_sim.core.spreadsheet import csv_text, unquoted
from eie_sim.units import unit_of
from eie_sim.units.energy import LEAKAGE, PE_CYCLE, Components, EnergyRow, row_of
from eie_sim.units.technology import REFERENCE_NM, scaling

DRAM = "dram"
"""First letters of events off the chip: their energy does not scale with the chip's node."""

CSV_COLUMNS = ["event", "energy_pj", "source"]

MAX_ENERGY_PJ = 1e9
"""1 mJ; keeps sums finite."""

RULE = f"must be a number of pJ in 0..{MAX_ENERGY_PJ:g}"


@dataclass(frozen=True, kw_only=True)
class EnergyTable:
    """Energy per event for one design, each constant with its source. Build one with `for_config` or `from_csv`.

    The user's energies are taken as given, at whatever node and clock the table is used; only default ones are
    scaled. `given` and `trace` say which are which.

    name : how reports call it
    node_nm, clock_mhz : technology node and clock it holds for
    components : where the energy of an event belongs
    rows : a row for every event, then clock and leakage per lane and cycle, as the unit counts them
    default : the rows of the default table of the same design; none where it is not known
    listed : events that the user listed, whatever their energies
    """

    name: str
    node_nm: int
    clock_mhz: float
    components: Components
    rows: tuple[EnergyRow, ...]
    default: tuple[EnergyRow, ...] = ()
    listed: tuple[str, ...] = ()

    __repr__ = shows("name", "node_nm", "clock_mhz", "energy_pj")

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for row in self.rows:
            if row.event not in self.components:
                raise unknown("rows: event", row.event, self.components)
            require(row.event not in seen, "rows: event", row.event, "is there already")
            ok = is_number(row.energy_pj) and 0.0 <= row.energy_pj <= MAX_ENERGY_PJ
            require(ok, f"rows: energy_pj of {row.event}", row.energy_pj, RULE)
            seen.add(row.event)
        missing = ", ".join(sorted(set(self.components) - seen))
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
            default=scaled,
        )

    @classmethod
    def from_csv(cls, text: str, config: Any, *, name: str = "given", where: str = "text") -> EnergyTable:
        """The default table with the user's energies in place of its own.

        text : CSV with the columns event, energy_pj, source; energies hold at the config's node and clock, unscaled.
            An event, the clock too, may be left out: its default energy stays. `to_csv` writes this form.
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
        return default._with_rows(given.values(), name)

    def at(self, config: Any) -> EnergyTable:
        """The default table of a design, with what the user gave here in place of its own, unscaled.

        Raises InputError for a design of another unit.
        """
        unit, default = unit_of(config), EnergyTable.for_config(config)
        require(self.components == unit.words.components, "table", self.name, f"must be one for the {unit.name} unit")
        return default._with_rows(self.given, self.name)

    def _with_rows(self, given: Iterable[EnergyRow], name: str) -> EnergyTable:
        """The default table, which this must be, with other rows; itself without any."""
        rows = {row.event: row for row in given}
        if not rows:
            return self
        return replace(self, name=name, rows=tuple(rows.get(row.event, row) for row in self.rows), listed=tuple(rows))

    def to_csv(self) -> str:
        """The table as `from_csv` reads it, energies in full precision."""
        return entries_csv((row.event, row.energy_pj, row.source) for row in self.rows)

    @cached_property
    def given(self) -> tuple[EnergyRow, ...]:
        """Rows that are the user's: those listed, and any other that is not the default one."""
        return tuple(row for row in self.rows if row.event in self.listed or row not in self.default)

    @cached_property
    def sha256(self) -> str | None:
        """In hex, of what is the user's: [event, pJ] pairs as JSON, sorted by event; None of a default table."""
        pairs = sorted((row.event, float(row.energy_pj)) for row in self.given)
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest() if pairs else None

    @cached_property
    def trace(self) -> dict[str, Any] | None:
        """The user's part of the table, as plain data for JSON; None of a default table.

        name, node_nm, sha256 : of the table; the last is the same at every node and design
        given : of each entry the event, default_pj (None where not known), given_pj and the source
        changed : the events among them whose energies are not the default ones
        default : events that keep their default energies, which are scaled to the node, those of DRAM apart
        """
        if not self.given:
            return None
        by_default = {row.event: row.energy_pj for row in self.default}
        own = {row.event: float(row.energy_pj) for row in self.given}
        return {
            "name": self.name,
            "node_nm": self.node_nm,
            "sha256": self.sha256,
            "given": [
                {
                    "event": row.event,
                    "default_pj": by_default.get(row.event),
                    "given_pj": own[row.event],
                    "source": row.source,
                }
                for row in self.given
            ],
            "changed": [event for event, energy_pj in own.items() if by_default.get(event) != energy_pj],
            "default": [row.event for row in self.rows if row.event not in own],
        }

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


def entries_csv(entries: Iterable[tuple[str, float, str]]) -> str:
    """Entries (event, pJ, source) as `EnergyTable.from_csv` reads them, energies in full precision."""
    return csv_text([CSV_COLUMNS, *((event, repr(energy_pj), source) for event, energy_pj, source in entries)])


def given_lines(trace: Mapping[str, Any] | None, *, swept: bool = False) -> list[str]:
    """Return the user's part of the energies in words; no line where all are default. swept : designs of any node"""
    if trace is None:
        return []
    count, node, kept = len(trace["given"]), trace["node_nm"], trace["default"]
    apart = " (DRAM apart)" if any(event.startswith(DRAM) for event in kept) else ""
    if swept:
        rest = f"the others the default ones of each design, scaled from {REFERENCE_NM} nm to its node{apart}"
    elif node == REFERENCE_NM:
        rest = f"the others the default ones at {node} nm"
    else:
        rest = f"the others scaled from {REFERENCE_NM} to {node} nm{apart}"
    changed = (
        f"{one['event']} {'' if one['default_pj'] is None else format(one['default_pj'], '.4g')} -> "
        f"{one['given_pj']:.4g}"
        for one in trace["given"]
        if one["event"] in trace["changed"]
    )
    return [
        f"energy table {trace['name']}, sha256 {trace['sha256'][:12]}: {count} {'entry' if count == 1 else 'entries'} "
        f"of the table as given, {rest if kept else 'no others'}; changed, pJ: {', '.join(changed) or 'none'}"
    ]


def hashed(sha256: str | None) -> tuple[dict[str, str], ...]:
    """Return the parts that a table of this hash adds to a config hash: none where all of it is default."""
    return () if sha256 is None else ({"energy_table": sha256},)


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
    require(0.0 <= energy_pj <= MAX_ENERGY_PJ, f"{line}: energy_pj", _shown(energy), RULE)
    rule = "must be one line of printable text; is a quote left open?"
    require(source.isprintable(), f"{line}: source", _shown(source), rule)
    return row_of(components, event, energy_pj, source or "given without a source")


def _shown(cell: str) -> str:
    """Text that fits a one-line message."""
    return cell[:60] if cell[:60].isprintable() else repr(cell[:60])
