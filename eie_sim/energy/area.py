"""Area of a design, from the areas of Table II of the EIE paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eie_sim import tables
from eie_sim.energy.eie import WORD_BITS, sram_sizes
from eie_sim.energy.technology import scaling, sram
from eie_sim.energy.units import require_eie

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


@dataclass(frozen=True, kw_only=True)
class AreaReport:
    """Area of a design in mm2.

    by_module_mm2 : of one PE, by module of Table II
    n_pe, node_nm : of the design
    """

    by_module_mm2: dict[str, float]
    n_pe: int
    node_nm: int

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


def area(config: Any) -> AreaReport:
    """Area of the PEs; at the default design what Table II states, 0.638 mm2 each.

    config : EieConfig

    PtrRead and SpmatRead follow the area of their SRAM (CACTI 7, ratio to the default's), the queue its depth. ActRW is
    its SRAM and a rest that follows the bits of the two register files, one of 16-bit inputs and one of accumulators.
    The arithmetic unit is constant, filler cells keep their share. Central control and the leading-non-zero scan are
    left out, as 64 PEs alone make up the paper's 40.8 mm2. Node factors (Stillmaker and Baas 2017) are for logic, and
    are used for SRAM too. Raises InputError for another type, and for a node without factors.
    """
    require_eie(config)
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
