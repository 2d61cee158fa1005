"""Deep Compression's published sizes, which belong to no unit: rows like those of units, and how each comes about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eie_sim.core.published import DERIVED, MISSES, VALIDATED, Comparison, Details, Progress, Publication, Table
from eie_sim.deep_compression.record import LABELS, TOTAL, CompressionRecord, published_record

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
    """Return what a miss leaves open: no fillers at all, and what rounding of the density allows with random ones."""
    return (
        f"{record.formula_pct:.2f} % of dense without fillers, {record.encoder_low_pct:.2f} to "
        f"{record.encoder_high_pct:.2f} with those of random masks of densities that are printed alike"
    )


def _details(seed: int, *, progress: Progress) -> Details:
    """Return how each size comes about, and what cannot be computed."""
    records = published_record(seed, progress=progress)
    lines = [
        "rates in percent of the dense layer at 32 bits a weight; differences are computed minus published, in points",
        *(f"{name}: {meaning}" for name, meaning in LABELS.items()),
        f"masks: {records[0].mask}",
    ]
    return Details([record.to_dict() for record in records], [_table(records), lines])


def _table(records: Sequence[CompressionRecord]) -> Table:
    """Published rates, % of 32-bit dense, beside the closed formula and the encoder."""
    headings = [
        "network",
        "layer",
        "weights",
        "kept",
        "published",
        "formula",
        "differs",
        "encoder",
        "differs",
        "fillers",
    ]
    headings += ["published\nHuffman", "formula\nHuffman", "encoder\nHuffman", "differs"]
    cells = [
        [
            one.network,
            one.layer,
            f"{one.n_position:,}",
            f"{100 * one.n_kept / one.n_position:.1f} %",
            *(f"{one.published_pct:.2f}", f"{one.formula_pct:.2f}", f"{one.differences['formula']:+.2f}"),
            *(f"{one.encoder_pct:.2f}", f"{one.differences['encoder']:+.2f}", f"{100 * one.filler_share:.1f} %"),
            *(f"{one.published_huffman_pct:.2f}", f"{one.formula_huffman_pct:.2f}", f"{one.encoder_huffman_pct:.2f}"),
            f"{one.differences['encoder_huffman']:+.2f}",
        ]
        for one in records
    ]
    totals = [at for at, one in enumerate(records) if one.layer == TOTAL]
    return Table(headings, cells, text=(0, 1), bold=totals)


def _published(draw: Any, *, progress: Progress) -> list[Comparison]:
    return sizes(draw.seed, progress=progress)


PUBLICATION = Publication("deep-compression", _published, _details)
