"""Measured products of N:M tensor cores, and Deep Compression's sizes, as rows like those of EIE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eie_sim.core.nm_pattern import DENSE, said
from eie_sim.deep_compression import published_record
from eie_sim.deep_compression.record import TOTAL, CompressionRecord
from eie_sim.validate.rows import CALIBRATED, DERIVED, MISSES, VALIDATED, Comparison
from eie_sim.validate_nm import PATTERNS, PRESET, GemmComparison, calibration_note, dense_note, gemm_times

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


def products() -> list[Comparison]:
    """Every measured product, 2:4 and dense, beside the simulated one.

    2:4 is calibrated: constants of the preset were chosen with the same times.
    """
    compared = gemm_times()
    calibrated, dense = calibration_note(compared), dense_note(compared)
    of_pattern = {
        said(PATTERNS["sparse_ms"]): (CALIBRATED, calibrated),
        said(DENSE): (VALIDATED, f"{dense}; {calibrated}"),
    }
    return [_product(one, *of_pattern[one.pattern]) for one in compared]


def _product(one: GemmComparison, kind: str, note: str) -> Comparison:
    return Comparison(
        group=f"N:M products, {one.pattern}",
        source=f"VENOM artifact, {one.figure}",
        row=f"{one.m} x {one.k} x {one.n}",
        quantity=f"{one.pattern} time",
        unit="ms",
        published=one.measured_ms,
        simulated=one.simulated_ms,
        kind=kind,
        inputs=f"the shape, on {PRESET}; measured by others",
        note=note,
    )


def sizes(seed: int = 0, *, progress: Callable[[str], None] = lambda step: None) -> list[Comparison]:
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
