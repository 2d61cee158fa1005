"""Dense and N:M on a chip of tensor cores: weights pruned and packed, products checked, shapes timed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from eie_sim.compare.figures import Arrays, Candidate, Figures, candidate_of
from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable, account
from eie_sim.prune import pattern, score
from eie_sim.pruning.measure import inputs_of, weights_of
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import lanes
from eie_sim.units.nm.storing import CHECKED_VECTORS, check_product, numbers
from eie_sim.units.nm.unit import simulate_gemm
from eie_sim.workload import Network

RESIDENT_BYTES_PER_CYCLE = 2**20
"""Of the L2 port where weights are in shared memory already: nothing waits for it."""

DRAM = "lpddr4"
DRAM_BYTES_PER_CYCLE = 32
"""Of a design without DRAM, for the figures with it: 25.6 GB/s at 800 MHz, what LPDDR4 gives on 64 bits."""

COPIES = ("l2_bytes", "l2_metadata_bytes", "dram_bytes", "dram_metadata_bytes")
"""Events that do not take place then."""


def resident(config: TensorCoreConfig) -> TensorCoreConfig:
    """The chip with all it reads in the shared memories of its cores already."""
    return replace(
        config,
        dram_bytes_per_cycle=None,
        dram="none",
        l2_bytes_per_cycle=RESIDENT_BYTES_PER_CYCLE,
        l2_latency=0,
    )


def with_dram(config: TensorCoreConfig) -> TensorCoreConfig:
    """The chip, with LPDDR4 where it has no DRAM."""
    if config.dram_bytes_per_cycle is not None:
        return config
    return replace(config, dram_bytes_per_cycle=DRAM_BYTES_PER_CYCLE, dram=DRAM)


def packed(whole: Network, network: Network, config: TensorCoreConfig, shape: Pattern) -> tuple[Candidate, Arrays]:
    """The candidate of a pattern, and its pruned weights; the product of each layer is checked on real inputs.

    Weights are pruned by magnitude and stored as the chip runs the pattern, as float16 or, for a chip of 8 bits, int8
    with one scale a layer. Raises InputError where a product is wrong.
    """
    from eie_sim.units.nm.matrix import NmMatrix

    before, biases = weights_of(network)
    inputs = inputs_of(network, before, biases)
    runs_as = config.runs_as(*shape)
    pruned, stored, stored_bytes = {}, {}, 0.0
    for name, given in before.items():
        kept = given * pattern.nm(*shape).prune(score.l1(given)).mask
        held, scale = numbers(kept, config)
        matrix = NmMatrix.from_dense(held, n_keep=runs_as[0], m_group=runs_as[1])
        stored_bytes += matrix.total_bits / 8
        check_product(name, matrix, inputs[name][:CHECKED_VECTORS])
        pruned[name] = kept
        stored[name] = (matrix.decode() * scale).astype(given.dtype)
    name = said(shape) if runs_as == shape else f"{said(shape)} as {said(runs_as)}"
    unit = "dense" if shape == DENSE else "nm"
    candidate = candidate_of(
        whole,
        network,
        unit=unit,
        name=name,
        precision="int8" if config.elem_bytes == 1 else "fp16",
        pruned=pruned,
        stored=stored,
        weight_bytes=stored_bytes,
    )
    return candidate, pruned


def figures_of(
    candidate: Candidate,
    pruned: Arrays,
    config: TensorCoreConfig,
    shape: Pattern,
    batch: int,
    table: EnergyTable | None = None,
) -> Figures:
    """Cycles and energy of all layers at a batch, with weights resident and from DRAM. config : the chip with DRAM."""
    near, far = (_results(pruned, each, config.runs_as(*shape), batch) for each in (resident(config), config))
    cycles, cycles_dram = (sum(result.cycles for result in each) for each in (near, far))
    macs = batch * sum(np.count_nonzero(w) for w in pruned.values())
    watts = config.board_watts
    return Figures(
        batch=batch,
        candidate=candidate,
        cycles=cycles,
        time_us=cycles / config.clock_mhz,
        energy_nj=sum(_without_copies(result, table) for result in near) / 1e3,
        cycles_dram=cycles_dram,
        time_us_dram=cycles_dram / config.clock_mhz,
        energy_nj_dram=sum(account(result, table).total_pj for result in far) / 1e3,
        dram_bytes=sum(result.stats["events"]["dram_bytes"] for result in far),
        utilisation=macs / (cycles * lanes(config)),
        board_nj=None if watts is None else 1e3 * watts * cycles / config.clock_mhz,
        board_nj_dram=None if watts is None else 1e3 * watts * cycles_dram / config.clock_mhz,
        tile=_each("x".join(map(str, result.named["tile"])) for result in near),
        bound=_each(str(result.bound) for result in near),
        tile_dram=_each("x".join(map(str, result.named["tile"])) for result in far),
        bound_dram=_each(str(result.bound) for result in far),
    )


def _results(pruned: Arrays, config: TensorCoreConfig, runs_as: Pattern, batch: int) -> list[SimResult]:
    n_keep, m_group = runs_as
    return [simulate_gemm(len(w), w.shape[1], batch, config, n_keep=n_keep, m_group=m_group) for w in pruned.values()]


def _without_copies(result: SimResult, table: EnergyTable | None) -> float:
    report = account(result, table)
    return report.total_pj - sum(report.by_event[event] for event in COPIES)


def _each(words: Any) -> str:
    return ", ".join(dict.fromkeys(words))
