"""One network on three kinds of hardware with as many MACs: dense, N:M and EIE, at several batches.

Dense and N:M run on a chip of N:M tensor cores, EIE on as many PEs as that chip has MACs in a cycle, at its clock and
node. All start from the same trained weights. Each figure is given twice. With all weights where they are used, in
EIE's PEs or the cores' shared memories; and read from DRAM: by EIE once a batch, by the tensor cores through L2, which
keeps what fits from one wave of tiles to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from eie_sim.compare import eie, tensor_core
from eie_sim.compare.figures import Candidate, Figures
from eie_sim.core.errors import InputError, require, require_int, require_type
from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import table_for
from eie_sim.prune.counts import fraction
from eie_sim.pruning.measure import inputs_of, weights_of
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.workload import Network

__all__ = ["BATCHES", "DENSITIES", "Candidate", "Figures", "compare"]

Progress = Callable[[str], None]

BATCHES = (1, 8, 64, 256)
DENSITIES = (0.5, 0.25, 0.1)


def compare(
    network: Network,
    config: TensorCoreConfig,
    *,
    layer: str | None = None,
    patterns: Sequence[Pattern] = ((2, 4), (1, 4)),
    densities: Sequence[float] = DENSITIES,
    batches: Sequence[int] = BATCHES,
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> list[Figures]:
    """Dense, N:M and EIE on the same trained weights, at the same MACs in a cycle, clock and node.

    config : the chip that runs dense and N:M; its DRAM, or LPDDR4 where it has none, for the figures with DRAM
    layer : compare only this one, on what the layers before it pass on; accuracy is that of the network all the same
    patterns : N:M to prune to, N kept; inputs that a group does not divide are padded with zeros, and a pattern that
        the chip does not list runs as another, which the name says
    densities : to prune to by magnitude for EIE; those above the weights' own make one row of that
    batches : vectors multiplied at once; each array of EIE takes its share one after the other
    table : energies of the chip, as `energy.account` takes them; what the user gave of its DRAM holds for EIE too,
        whose other energies are the default ones

    Returns a row per batch and candidate, in order. Raises InputError for a network without inputs and for values out
    of range.
    """
    require_type("network", network, Network)
    require_type("config", config, TensorCoreConfig)
    for field, values in (("patterns", patterns), ("densities", densities), ("batches", batches)):
        require(isinstance(values, (list, tuple)), field, type(values).__name__, "must be a list")
        require(len(values) > 0, field, "none", "must be at least one")
    for batch in batches:
        require_int("batches", batch, 1, 2**20)
    for density in densities:
        fraction("densities", density)
    for shape in patterns:
        require(isinstance(shape, (list, tuple)) and len(shape) == 2, "patterns", shape, "must be pairs, N kept of M")
        config.runs_as(*shape)  # refuses what is no pattern
    whole, network = network, _layer_of(network, layer)
    chip = tensor_core.with_dram(config)
    dram_pj_per_byte = table_for(chip, table).energy_pj["dram_bytes"]
    batches, rows = list(dict.fromkeys(batches)), []
    for shape in dict.fromkeys([DENSE, *((int(n), int(m)) for n, m in patterns)]):
        progress(f"{said(shape)}: pruning and checking the product")
        candidate, pruned = tensor_core.packed(whole, network, chip, shape)
        rows += [tensor_core.figures_of(candidate, pruned, chip, shape, batch, table) for batch in batches]
    arrays = eie.as_large_as(chip)
    for density in _distinct(network, densities):
        progress(f"EIE, density {density:.3g}: pruning and simulating")
        rows += eie.figures_of(whole, network, arrays, chip, density, batches, dram_pj_per_byte)
    return sorted(rows, key=lambda row: batches.index(row.batch))


def _distinct(network: Network, densities: Sequence[float]) -> list[float]:
    """Densities, those above what the weights have anyway as one."""
    before, _ = weights_of(network)
    own = sum(np.count_nonzero(w) for w in before.values()) / sum(w.size for w in before.values())
    return list(dict.fromkeys(min(float(density), own) for density in densities))


def _layer_of(network: Network, name: str | None) -> Network:
    """The network, or just one of its layers with what the layers before pass on. Raises InputError: did you mean."""
    if name is None:
        return network
    before, biases = weights_of(network)
    one = network.layer(name)
    if not network.chained:
        return one
    try:
        read = inputs_of(network, before, biases)[name]
    except InputError:
        return one
    label = f"{len(read)} vectors passed on by the layers before, in floats"
    return replace(one, layers=(replace(one.layers[0], activations=read, activations_source=label),))
