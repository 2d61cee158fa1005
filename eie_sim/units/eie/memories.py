"""Fit of a layer into the memories of a PE (Han et al. 2016, section V: capacities; Table II: the SRAMs).

Cycles contain no cost for passes, like the paper's own table; a layer that does not fit is simulated and marked.
"""

from __future__ import annotations

from eie_sim.core.fixed import WORD_BITS
from eie_sim.core.result import MemoryFit
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import EieCounts


def memories(matrix: EieCounts, config: EieConfig) -> tuple[MemoryFit, ...]:
    """Needed and available on the fullest PE, memory by memory.

    Entries lie in whole rows of the Spmat SRAM. Pointers are one more than columns, and a pass over part of the columns
    needs one more as well. The activation SRAM holds inputs and outputs; inputs longer than the register file stream
    through it in batches. Every output row needs an accumulator of the register file.
    """
    most_entries = int(matrix.pointers[-1].max())
    rows = -(-most_entries // config.entries_per_row)
    inputs, outputs = -(-matrix.n_in // matrix.n_pe), -(-matrix.n_out // matrix.n_pe)
    pointer_bits = config.pointer_bits
    pointers = config.pointer_bytes * 8 // pointer_bits
    return (
        _fit("spmat_sram", rows, config.spmat_bytes * 8 // config.spmat_width_bits, "bits", config.spmat_width_bits),
        MemoryFit(
            memory="pointer_sram",
            needed=(matrix.n_column + 1) * pointer_bits,
            available=pointers * pointer_bits,
            unit="bits",
            passes=_passes(matrix.n_column, pointers - 1),
        ),
        _fit("pointer_range", most_entries, 2**pointer_bits, "entries"),
        _fit("activation_sram", inputs + outputs, config.activation_bytes * 8 // WORD_BITS, "bits", WORD_BITS),
        _fit("register_file", outputs, config.register_entries, "bits", config.accumulator_bits),
    )


def _fit(memory: str, needed: int, available: int, unit: str, width: int = 1) -> MemoryFit:
    """`needed` and `available` words, shown as `width` units each; a pass holds whole words only."""
    return MemoryFit(memory, needed * width, available * width, unit, _passes(needed, available))


def _passes(needed: int, available: int) -> int:
    return max(1, -(-needed // max(available, 1)))
