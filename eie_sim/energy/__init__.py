"""Energy: counted events times a table of energies, by the components of the unit; and area.

Constants that were chosen are marked in `EnergyTable.rows`, and the unit's own table says why.
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
