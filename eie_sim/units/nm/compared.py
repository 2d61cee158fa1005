"""A chip of tensor cores in a comparison: weights resident or from DRAM, packed, products checked, shapes timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.nm_pattern import Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable, account
from eie_sim.energy.report import table_for
from eie_sim.units.compared import Arrays, Chip, Held
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import lanes
from eie_sim.units.nm.unit import output_of, packed, require_product, simulate_gemm

RESIDENT_BYTES_PER_CYCLE = 2**20
"""Of the L2 port where weights are in shared memory already: nothing waits for it."""

DRAM = "lpddr4"
DRAM_BYTES_PER_CYCLE = 32
"""Of a design without DRAM, for the figures with it: 25.6 GB/s at 800 MHz, what LPDDR4 gives on 64 bits."""

COPIES = ("l2_bytes", "l2_metadata_bytes", "dram_bytes", "dram_metadata_bytes")
"""Events that do not take place then."""


def chip(config: TensorCoreConfig, table: EnergyTable | None) -> Chip:
    """The chip that is compared. table : energies of the chip, as `energy.account` takes them"""
    far = with_dram(config)
    return Chip(
        near=resident(config),
        far=far,
        near_words="the cores' shared memories",
        far_words="by the cores through L2, which keeps what fits from one wave of tiles to the next",
        dram_bytes_per_cycle=Fraction(far.dram_bytes_per_cycle or 1),
        dram_pj_per_byte=table_for(far, table).energy_pj["dram_bytes"],
        held=partial(held, far, table),
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


def with_dram(config: TensorCoreConfig) -> TensorCoreConfig:
    """The chip, with LPDDR4 where it has no DRAM."""
    if config.dram_bytes_per_cycle is not None:
        return config
    return replace(config, dram_bytes_per_cycle=DRAM_BYTES_PER_CYCLE, dram=DRAM)


def held(
    config: TensorCoreConfig,
    table: EnergyTable | None,
    pruned: Arrays,
    biases: Mapping[str, Any],
    inputs: Arrays,
    shape: Pattern,
) -> Held:
    """Layers packed as the chip runs the pattern, as float16 or, for a chip of 8 bits, int8 with one scale a layer.

    config : the chip with DRAM
    """
    runs_as = config.runs_as(*shape)
    matrices = {name: packed(weights, config, runs_as) for name, weights in pruned.items()}
    for name, matrix in matrices.items():
        require_product(name, matrix, inputs[name])

    def outputs(name: str, read: NDArray[Any]) -> NDArray[Any]:
        product = output_of(matrices[name].opened(read), read, config)
        return product if biases[name] is None else product + biases[name]

    return Held(
        name=said(shape) if runs_as == shape else f"{said(shape)} as {said(runs_as)}",
        weight_bytes=sum(matrix.total_bits / 8 for matrix in matrices.values()),
        outputs=outputs,
        figures=partial(_figures, pruned, config, runs_as, table),
    )


def _figures(
    pruned: Arrays, config: TensorCoreConfig, runs_as: Pattern, table: EnergyTable | None, batch: int
) -> dict[str, Any]:
    """Cycles and energy of all layers at a batch, with weights resident and from DRAM."""
    near, far = (_results(pruned, each, runs_as, batch) for each in (resident(config), config))
    cycles, cycles_dram = (sum(result.cycles for result in each) for each in (near, far))
    macs = batch * sum(np.count_nonzero(w) for w in pruned.values())
    watts = config.board_watts
    return {
        "cycles": cycles,
        "time_us": cycles / config.clock_mhz,
        "energy_nj": sum(_without_copies(result, table) for result in near) / 1e3,
        "cycles_dram": cycles_dram,
        "time_us_dram": cycles_dram / config.clock_mhz,
        "energy_nj_dram": sum(account(result, table).total_pj for result in far) / 1e3,
        "dram_bytes": sum(result.stats["events"]["dram_bytes"] for result in far),
        "utilisation": macs / (cycles * lanes(config)),
        "board_nj": None if watts is None else 1e3 * watts * cycles / config.clock_mhz,
        "board_nj_dram": None if watts is None else 1e3 * watts * cycles_dram / config.clock_mhz,
        "tile": _each("x".join(map(str, result.named["tile"])) for result in near),
        "bound": _each(str(result.bound) for result in near),
        "tile_dram": _each("x".join(map(str, result.named["tile"])) for result in far),
        "bound_dram": _each(str(result.bound) for result in far),
    }


def _results(pruned: Arrays, config: TensorCoreConfig, runs_as: Pattern, batch: int) -> list[SimResult]:
    n_keep, m_group = runs_as
    return [simulate_gemm(len(w), w.shape[1], batch, config, n_keep=n_keep, m_group=m_group) for w in pruned.values()]


def _without_copies(result: SimResult, table: EnergyTable | None) -> float:
    report = account(result, table)
    return report.total_pj - sum(report.by_event[event] for event in COPIES)


def _each(words: Any) -> str:
    return ", ".join(dict.fromkeys(words))
