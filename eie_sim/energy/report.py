"""Counts times a table: the energy of a result, and of several."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, hold, require, require_type
from eie_sim.core.html import card, figure, table
from eie_sim.core.numbers import number
from eie_sim.core.result import SimResult
from eie_sim.energy.table import EnergyTable, given_lines
from eie_sim.units import unit_of
from eie_sim.units.energy import LEAKAGE, AreaReport

ROUNDING = 1e-12
"""Relative error of a sum of a few dozen products."""


@dataclass(frozen=True, kw_only=True)
class EnergyReport:
    """Energy of a result. The events, the clock and the leakage add to the total, and so do the components.

    by_event : pJ by counted event
    pe_cycle_pj : pJ of clock and pipeline registers
    by_component : pJ by component of the unit, and `leakage`
    n_pe, time_us, effectual_macs : of the result; n_pe is the unit's `lanes`, which clock and leakage are counted by
    table, node_nm : the energies used
    given : what of them is the user's, as `EnergyTable.trace` has it; None where all are default
    """

    table: str
    node_nm: int
    n_pe: int
    time_us: float
    effectual_macs: int
    by_event: dict[str, float]
    pe_cycle_pj: float
    by_component: dict[str, float]
    given: dict[str, Any] | None = None

    __repr__ = shows(
        "table", "total_pj", "time_us", "power_mw", "pj_per_effectual_mac", "node_nm", "n_pe", "by_component"
    )

    @property
    def leakage_pj(self) -> float:
        """Energy of leakage over the result's time."""
        return self.by_component[LEAKAGE]

    @property
    def total_pj(self) -> float:
        """All of it."""
        return math.fsum(self.by_component.values())

    @property
    def pj_per_effectual_mac(self) -> float:
        """Total over effectual MACs; 0 without any."""
        return self.total_pj / self.effectual_macs if self.effectual_macs else 0.0

    @property
    def power_mw(self) -> float:
        """Mean power of all PEs; 0 for no time."""
        return self.total_pj / self.time_us / 1e3 if self.time_us else 0.0

    @property
    def power_mw_per_pe(self) -> float:
        """Mean power of one PE, what Table II states."""
        return self.power_mw / self.n_pe

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        total = self.total_pj
        per_mac = number(self.pj_per_effectual_mac, 2) if self.effectual_macs else "-"
        shares = {name: 100 * pj / total if total else 0.0 for name, pj in self.by_component.items()}
        rows = [[name, figure(pj / 1e3, 3), figure(shares[name], 1)] for name, pj in self.by_component.items() if pj]
        return card(
            f"energy: {number(total / 1e3, 3)} nJ, {per_mac} pJ per effectual MAC",
            table(["component", "nJ", "%"], rows, foot=["total", figure(total / 1e3, 3), ""]),
            lines=[
                f"{number(self.power_mw, 2)} mW, {number(self.power_mw_per_pe, 2)} mW/PE over "
                f"{number(self.time_us, 3)} us; "
                f"table {self.table}, {self.node_nm} nm",
                *given_lines(self.given),
            ],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "table": self.table,
            "table_sha256": None if self.given is None else self.given["sha256"],
            "node_nm": self.node_nm,
            "n_pe": self.n_pe,
            "time_us": self.time_us,
            "effectual_macs": self.effectual_macs,
            "by_component_pj": dict(self.by_component),
            "by_event_pj": dict(self.by_event),
            "pe_cycle_pj": self.pe_cycle_pj,
            "leakage_pj": self.leakage_pj,
            "total_pj": self.total_pj,
            "pj_per_effectual_mac": self.pj_per_effectual_mac,
            "power_mw": self.power_mw,
            "power_mw_per_pe": self.power_mw_per_pe,
        }


def account(result: SimResult, table: EnergyTable | None = None, *, gathered: int = 0) -> EnergyReport:
    """Energy of a result, all its vectors together.

    table : energies per event, as `table_for` takes it; the default ones for the result's config when left out
    gathered : inputs that its vectors were gathered of, from a map outside of the unit, as those of a convolution are

    Raises InputError for other types.
    """
    require(isinstance(result, SimResult), "result", type(result).__name__, "must be a SimResult")
    unit, table = unit_of(result.config), table_for(result.config, table)
    lanes, counts = unit.lanes(result.config), unit.energy_counts(result)
    if unit.words.map_buffer is not None:
        counts = {**counts, unit.words.map_buffer.event: gathered}
    by_event = events_pj(counts, table)
    by_component = add_time(components_pj(by_event, table), table, lanes, result.cycles, result.time_us)
    check(by_component, counts, table, lanes, result.cycles, result.time_us)
    return EnergyReport(
        table=table.name,
        node_nm=table.node_nm,
        n_pe=lanes,
        time_us=result.time_us,
        effectual_macs=result.effectual_macs,
        by_event=by_event,
        pe_cycle_pj=result.cycles * lanes * sum(table.pe_cycle_pj.values()),
        by_component=by_component,
        given=table.trace,
    )


def table_for(config: Any, table: EnergyTable | None) -> EnergyTable:
    """The table that a design is accounted with: what the user gave, and for the rest the design's default energies.

    Raises InputError for another type, and for a table of another unit, node or clock: its energies are not scaled.
    `EnergyTable.at(config)` takes them as they are.
    """
    require_type("table", table, EnergyTable, type(None))
    if table is None:
        return EnergyTable.for_config(config)
    unit, made = unit_of(config), f"{table.node_nm} nm, {table.clock_mhz:g} MHz"
    require(table.components == unit.words.components, "table", table.name, f"must be one for the {unit.name} unit")
    same = (table.node_nm, table.clock_mhz) == (config.node_nm, config.clock_mhz)
    rule = f"must be one for {config.node_nm} nm, {config.clock_mhz:g} MHz, as table.at(config) makes it"
    require(same, "table", f"{table.name} ({made})", rule)
    return table.at(config) if table.given else table


def area(config: Any) -> AreaReport:
    """Area of a design, mm2. Raises InputError for a unit whose area is not known, and for a node without factors."""
    unit = unit_of(config)
    if unit.area is None:
        raise InputError(f"config={type(config).__name__}: must be of another unit, no area of {unit.name} is known")
    found: AreaReport = unit.area(config)
    return found


def events_pj(counts: Mapping[str, float], table: EnergyTable) -> dict[str, float]:
    """Energy by event. counts : how often each took place."""
    return {event: count * table.energy_pj[event] for event, count in counts.items()}


def components_pj(by_event: Mapping[str, float], table: EnergyTable) -> dict[str, float]:
    """Energy of events by component, in equal shares; what time costs is still to be added."""
    by_component = dict.fromkeys((part for parts in table.components.values() for part in parts), 0.0)
    for event, energy in by_event.items():
        shares = table.components[event]
        for component in shares:
            by_component[component] += energy / len(shares)
    return by_component


def add_time(
    by_component: Mapping[str, float], table: EnergyTable, lanes: int, cycles: float, time_us: float
) -> dict[str, float]:
    """The same with clock and leakage of `lanes` PEs, or MAC lanes, over a time."""
    found = dict(by_component)
    for component, energy in table.pe_cycle_pj.items():
        found[component] += cycles * lanes * energy
    found[LEAKAGE] = table.leakage_mw * lanes * time_us * 1e3  # 1 mW us is 1000 pJ
    return found


def check(
    by_component: Mapping[str, float],
    counts: Mapping[str, float],
    table: EnergyTable,
    lanes: int,
    cycles: int,
    time_us: float,
) -> None:
    """Raise InvariantError unless the components hold all of counts x table, of the clock and of the leakage."""
    least = min(by_component.values())
    hold(least >= 0, "energy", least, "must not be negative")
    energies = table.energy_pj
    parts = [count * energies[event] for event, count in counts.items()]
    parts += [cycles * lanes * energy for energy in table.pe_cycle_pj.values()]
    parts.append(table.leakage_mw * lanes * time_us * 1e3)
    found, expected = math.fsum(by_component.values()), math.fsum(parts)
    if not math.isclose(found, expected, rel_tol=ROUNDING):  # the words are made only where they are needed
        hold(False, "energy", found, f"must be counts times the table, {expected} pJ")


def total_of(reports: Iterable[EnergyReport]) -> EnergyReport:
    """Layers run one after the other on the same array, together.

    Raises InputError for none, for other types, and for reports of different arrays or tables.
    """
    require(isinstance(reports, Iterable), "reports", type(reports).__name__, "must be EnergyReports")
    reports = list(reports)
    require(len(reports) > 0, "reports", "none", "must be at least one")
    first = reports[0]
    for report in reports:
        require(isinstance(report, EnergyReport), "report", type(report).__name__, "must be an EnergyReport")
        said, rule = _accounted_with(report), f"must share table, node and PEs with the first, {_accounted_with(first)}"
        require(said == _accounted_with(first), "report", said, rule)
    return replace(
        first,
        time_us=sum(report.time_us for report in reports),
        effectual_macs=sum(report.effectual_macs for report in reports),
        by_event={event: sum(report.by_event[event] for report in reports) for event in first.by_event},
        pe_cycle_pj=sum(report.pe_cycle_pj for report in reports),
        by_component={name: sum(report.by_component[name] for report in reports) for name in first.by_component},
    )


def _accounted_with(report: EnergyReport) -> str:
    table = report.table if report.given is None else f"{report.table} {report.given['sha256'][:12]}"
    return f"{table}, {report.node_nm} nm, {report.n_pe} PEs"
