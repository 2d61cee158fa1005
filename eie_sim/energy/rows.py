"""One constant of an energy table, and how it is read from package data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

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


def constants(table: Iterable[Mapping[str, str]]) -> dict[str, Constant]:
    """Constants by name, from rows with the columns constant, value, bits, chosen, source."""
    return {
        row["constant"]: Constant(float(row["value"]), int(row["bits"] or 1), row["chosen"] == "yes", row["source"])
        for row in table
    }
