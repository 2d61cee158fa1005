"""Energy: counted events times a table of energies, by the modules of Table II of the EIE paper; and area.

Dynamic SRAM energies are CACTI's for high-performance cells, because its low-standby-power cells miss 800 MHz. Leakage
is CACTI's for low-standby-power cells, because the others would leak 190 mW in a PE that draws 9.157 mW (Table II): the
paper's SRAM is neither. Two constants are chosen so that a PE at Alex-7's activity draws that power;
`EnergyTable.rows` marks them.
"""

from __future__ import annotations

from eie_sim.energy.report import EnergyReport, account, area, total_of
from eie_sim.energy.table import EnergyTable
from eie_sim.units.energy import AreaReport, EnergyRow
from eie_sim.units.technology import Sram, scaling, sram

__all__ = [
    "AreaReport",
    "EnergyReport",
    "EnergyRow",
    "EnergyTable",
    "Sram",
    "account",
    "area",
    "scaling",
    "sram",
    "total_of",
]
