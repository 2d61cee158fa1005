"""Deep Compression's sizes, which belong to no unit, as rows like those of units."""

from __future__ import annotations

from dataclasses import replace

from eie_sim.core.published import DERIVED, MISSES, VALIDATED, Comparison, Progress
from eie_sim.deep_compression import published_record
from eie_sim.deep_compression.record import TOTAL, CompressionRecord

SIZES = "Deep Compression sizes"
FEW_FILLERS = 0.01
"""Share of fillers in the entries below which a size is the closed formula: weights kept times bits, plus codebook."""

STAGE = (
    "sizes pruned and quantised, before Huffman coding: eie-sim validate deep-compression has those after it as well"
)

NOTES = {
    DERIVED: f"the printed density times the printed bits, as under {100 * FEW_FILLERS:g} % of the entries are fillers",
    TOTAL: "the sum of the layers' rows",
    VALIDATED: "fillers of a random mask; those of the trained masks, which are not random, are not known; the printed "
    "density is rounded to whole percents",
}


def sizes(seed: int = 0, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Compressed size of each layer, percent of 32-bit dense, beside the encoder's on random masks."""
    return [_size(record) for record in published_record(seed, progress=progress)]


def _size(record: CompressionRecord) -> Comparison:
    total = record.layer == TOTAL
    kind = DERIVED if total or record.filler_share < FEW_FILLERS else VALIDATED
    row = Comparison(
        group=SIZES,
        source="Deep Compression, section 5",
        row=f"{record.network} {record.layer}",
        quantity="compressed size",
        unit="% of dense",
        published=record.published_pct,
        simulated=record.encoder_pct,
        kind=kind,
        inputs=f"random mask: {record.mask}",
        note=f"{NOTES[TOTAL if total else kind]}; {STAGE}",
    )
    return replace(row, note=f"{_open(record)}; {row.note}") if row.verdict == MISSES else row


def _open(record: CompressionRecord) -> str:
    """What a miss leaves open: no fillers at all, and what rounding of the density allows with random ones."""
    return (
        f"{record.formula_pct:.2f} % of dense without fillers, {record.encoder_low_pct:.2f} to "
        f"{record.encoder_high_pct:.2f} with those of random masks of densities that are printed alike"
    )
