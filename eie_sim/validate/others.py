"""Measured products of N:M tensor cores, and Deep Compression's sizes, as rows like those of EIE."""

from __future__ import annotations

from collections.abc import Callable

from eie_sim.deep_compression import published_record
from eie_sim.deep_compression.record import CompressionRecord
from eie_sim.units.nm.config import DENSE, said
from eie_sim.validate.rows import CALIBRATED, VALIDATED, Comparison
from eie_sim.validate_nm import PATTERNS, PRESET, GemmComparison, calibration_note, dense_note, gemm_times

SIZES = "Deep Compression sizes"
UNKNOWN_MASKS = (
    "fillers of a random mask; those of the trained masks, which are not random, are not known; the printed density is "
    "rounded to whole percents: eie-sim validate deep-compression shows what that leaves open"
)


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
    return Comparison(
        group=SIZES,
        source="Deep Compression, section 5",
        row=f"{record.network} {record.layer}",
        quantity="compressed size",
        unit="% of dense",
        published=record.published_pct,
        simulated=record.encoder_pct,
        inputs=f"random mask: {record.mask}",
        note=UNKNOWN_MASKS,
    )
