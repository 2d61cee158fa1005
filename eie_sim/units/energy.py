"""Constants of energy tables, how they are read from package data, and the area of a design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from eie_sim.core.brief import shows

PE_CYCLE = "pe_cycle"
LEAKAGE = "leakage"

Components = Mapping[str, tuple[str, ...]]
"""The components that an event's energy belongs to, in equal shares."""


class EnergyRow(NamedTuple):
    """One constant; `chosen` where it is not a sourced one.

    energy_pj : per event, or per PE (N:M: MAC lane) and cycle for `pe_cycle` and `leakage`
    """

    event: str
    component: str
    energy_pj: float
    chosen: bool
    source: str


class Constant(NamedTuple):
    """A published value: energy for `bits` bits, or a factor."""

    value: float
    bits: int
    chosen: bool
    source: str

    def energy_pj(self, bits: int) -> float:
        """Linear in bits."""
        return self.value * bits / self.bits


def row_of(components: Components, event: str, energy_pj: float, source: str, *, chosen: bool = False) -> EnergyRow:
    """A row, its component looked up."""
    return EnergyRow(event, " and ".join(components[event]), energy_pj, chosen, source)


@cache
def constants(table: str) -> dict[str, Constant]:
    """Constants by name, from the package's table with the columns constant, value, bits, chosen, source."""
    from eie_sim import tables

    return {
        row["constant"]: Constant(float(row["value"]), int(row["bits"] or 1), row["chosen"] == "yes", row["source"])
        for row in tables.rows(table)
    }


@dataclass(frozen=True, kw_only=True)
class AreaReport:
    """Area of a design in mm2.

    by_module_mm2 : of one PE, by module
    n_pe, node_nm : of the design
    """

    by_module_mm2: dict[str, float]
    n_pe: int
    node_nm: int

    __repr__ = shows("total_mm2", "pe_mm2", "n_pe", "node_nm", "by_module_mm2")

    @property
    def pe_mm2(self) -> float:
        """One PE."""
        return sum(self.by_module_mm2.values())

    @property
    def total_mm2(self) -> float:
        """All PEs."""
        return self.pe_mm2 * self.n_pe

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "by_module_mm2": dict(self.by_module_mm2),
            "pe_mm2": self.pe_mm2,
            "n_pe": self.n_pe,
            "node_nm": self.node_nm,
            "total_mm2": self.total_mm2,
        }
