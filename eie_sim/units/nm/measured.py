"""Products measured on a GPU with sparse tensor cores beside simulated ones, and where a preset's values come from.

Measured: 2:4 (cuSPARSELt) and dense (cuBLAS) on an RTX 3090, from the VENOM artifact; see tables/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from eie_sim import tables
from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig
from eie_sim.units.nm.provenance import PROVENANCE
from eie_sim.units.nm.unit import simulate_gemm

PRESET = "rtx3090"
"""The preset whose GPU was measured."""

PATTERNS: dict[str, Pattern] = {"sparse_ms": (2, 4), "dense_ms": DENSE}
"""Measured columns of the table, and what ran."""


@dataclass(frozen=True, kw_only=True)
class GemmComparison:
    """One measured product A [m, k] x B [k, n] and the simulated one.

    figure : of the artifact
    pattern : of A, 2:4 or dense
    measured_ms, simulated_ms : ms
    tile : chosen by the simulator
    bound : the busiest part, or latency
    """

    figure: str
    m: int
    k: int
    n: int
    pattern: str
    measured_ms: float
    simulated_ms: float
    tile: tuple[int, int]
    bound: str

    @property
    def error(self) -> float:
        """Simulated over measured, less 1."""
        return self.simulated_ms / self.measured_ms - 1.0

    @property
    def measured_tflops(self) -> float:
        """Measured throughput in dense TFLOP/s, 1 MAC = 2 operations, zeros counted."""
        return 2 * self.m * self.k * self.n / self.measured_ms / 1e9

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "figure": self.figure,
            "m": self.m,
            "k": self.k,
            "n": self.n,
            "pattern": self.pattern,
            "measured_ms": self.measured_ms,
            "simulated_ms": self.simulated_ms,
            "error": self.error,
            "tile": list(self.tile),
            "bound": self.bound,
        }


class Summary(NamedTuple):
    """Rows of a pattern; mean and largest absolute error, as shares."""

    pattern: str
    n_row: int
    mean_error: float
    worst_error: float

    def __str__(self) -> str:
        """One line."""
        mean, worst = 100 * self.mean_error, 100 * self.worst_error
        return f"{self.pattern}: error {mean:.2f} % mean, {worst:.2f} % worst, of {self.n_row} products"


class Choice(NamedTuple):
    """A value of a preset; `kind` is "data sheet" or "chosen"; the source, or why this value."""

    preset: str
    field: str
    value: Any
    kind: str
    reason: str


def gemm_times(config: TensorCoreConfig | None = None) -> list[GemmComparison]:
    """Every measured product at `config`, the measured GPU's preset when left out; 2:4, then dense, for each row."""
    config = TensorCoreConfig.preset(PRESET) if config is None else config
    return [
        _compared(row, column, pattern, config)
        for row in tables.rows("gemm24_rtx3090")
        for column, pattern in PATTERNS.items()
    ]


def summaries(compared: Sequence[GemmComparison]) -> list[Summary]:
    """Mean and worst absolute error of each pattern."""
    names = dict.fromkeys(one.pattern for one in compared)
    errors = {name: [abs(one.error) for one in compared if one.pattern == name] for name in names}
    return [Summary(name, len(of), sum(of) / len(of), max(of)) for name, of in errors.items()]


def choices(presets: Sequence[str] = tuple(PRESETS)) -> list[Choice]:
    """Every value of the presets, with where it comes from."""
    return [
        Choice(name, field, value, *PROVENANCE[name][field])
        for name in presets
        for field, value in TensorCoreConfig.preset(name).to_dict().items()
    ]


def dense_note(compared: Sequence[GemmComparison]) -> str:
    """Return why dense times are met less well, with the largest fall of measured throughput from one K to the next."""
    dense = [one for one in compared if one.pattern == said(DENSE)]
    pairs = [(a, b) for a, b in pairwise(dense) if a.figure == b.figure and a.k < b.k]
    before, after = max(pairs, key=lambda pair: pair[0].measured_tflops / pair[1].measured_tflops)
    ratio = before.measured_tflops / after.measured_tflops
    return (
        f"dense is met less well because the vendor's library changes tiles by shape: measured throughput falls from "
        f"{before.measured_tflops:.1f} to {after.measured_tflops:.1f} TFLOP/s between K = {before.k} and {after.k}, "
        f"though nothing else changes. A ratio of {ratio:.2f} is about 8/7, what tiles of a quarter of the size would "
        "gain: 7 waves of a quarter of the time, not 2 whole ones. The model takes the same tile for every K"
    )


def calibration_note(compared: Sequence[GemmComparison]) -> str:
    """Say what these errors cannot show: constants were chosen with the same times, and figures repeat shapes."""
    shapes = [(one.m, one.k, one.n) for one in compared if one.pattern == said(PATTERNS["sparse_ms"])]
    return (
        f"launch and clock of {PRESET} were chosen with the 2:4 times, launch so that dense times of short K are met "
        "as well: 2:4 is calibrated, and dense takes the same constants; figures repeat shapes, so that the "
        f"{len(shapes)} rows of a pattern are {len(set(shapes))} distinct simulated values"
    )


def _compared(row: dict[str, str], column: str, pattern: Pattern, config: TensorCoreConfig) -> GemmComparison:
    m, k, n = (int(row[size]) for size in ("m", "k", "n"))
    result = simulate_gemm(m, k, n, config, n_keep=pattern[0], m_group=pattern[1])
    bm, bn = result.named["tile"]
    return GemmComparison(
        figure=row["figure"],
        m=m,
        k=k,
        n=n,
        pattern=said(pattern),
        measured_ms=float(row[column]),
        simulated_ms=result.time_us / 1e3,
        tile=(bm, bn),
        bound=result.named["bound"],
    )
