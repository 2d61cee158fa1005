"""A chip of tensor cores in a comparison: weights resident or from DRAM, packed, products checked, shapes timed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.result import SimResult
from eie_sim.core.steps import Steps
from eie_sim.units.compared import LPDDR4_BYTES_PER_CYCLE, Chip
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.unit import check_product, packed, simulate_gemms

if TYPE_CHECKING:
    from eie_sim.units.nm.matrix import NmMatrix

RESIDENT_BYTES_PER_CYCLE = 2**20
"""Rate of the L2 port where weights are in shared memory already: nothing waits for it."""

COPIES = ("l2_bytes", "l2_metadata_bytes", "dram_bytes", "dram_metadata_bytes")
"""Events that do not take place then."""


def chip(config: TensorCoreConfig, dram_bytes_per_cycle: Fraction | None = None) -> Chip:
    """The chip that is compared. dram_bytes_per_cycle : its share of a DRAM of others, in place of its own"""
    far = with_dram(config, dram_bytes_per_cycle)

    def checked(weights: NDArray[Any], pattern: Pattern, inputs: NDArray[Any]) -> NmMatrix:
        matrix = packed(weights, config, pattern)
        check_product(matrix, inputs)
        return matrix

    def timed(matrix: NmMatrix, n_vector: int, design: TensorCoreConfig, after: Steps | None = None) -> SimResult:
        shapes = [(matrix.n_out, matrix.n_in, n_vector)]
        return simulate_gemms(shapes, design, n_keep=matrix.n_keep, m_group=matrix.m_group, after=after)

    return Chip(
        near=resident(config),
        far=far,
        near_words="the cores' shared memories",
        far_words="by the cores through L2, which keeps what fits from one wave of tiles to the next",
        dram_bytes_per_cycle=Fraction(far.dram_bytes_per_cycle or 1),
        copies=COPIES,
        board_watts=config.board_watts,
        packed=checked,
        timed=timed,
        later=timed,
    )


def resident(config: TensorCoreConfig) -> TensorCoreConfig:
    """The chip with all it reads in the shared memories of its cores already."""
    return replace(
        config,
        dram_bytes_per_cycle=None,
        dram="none",
        l2_bytes_per_cycle=RESIDENT_BYTES_PER_CYCLE,
        l2_latency=0,
    )


def with_dram(config: TensorCoreConfig, share: Fraction | None = None) -> TensorCoreConfig:
    """The chip, with LPDDR4 where it has no DRAM, or with a share of another one."""
    dram = config.dram if config.dram_bytes_per_cycle is not None else "lpddr4"
    rate = share or config.dram_bytes_per_cycle or LPDDR4_BYTES_PER_CYCLE
    return replace(config, dram_bytes_per_cycle=rate, dram=dram)
