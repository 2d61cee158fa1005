"""Unstructured weights on EIE: as many PEs as a chip has MACs in a cycle, in arrays of at most 256."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from eie_sim.compare.figures import Candidate, Figures, candidate_of
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable, account, total_of
from eie_sim.engine import compress, simulate
from eie_sim.pruning.measure import dense, inputs_of
from eie_sim.pruning.network import prune_network
from eie_sim.recipe import Recipe
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import bits
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import lanes
from eie_sim.workload import Network

MOST_PES = 256
"""Of one array, the largest the paper studies (section VII); a larger chip has several, which share the batch."""

WORD_BYTES = 2


class EieArrays(NamedTuple):
    """Arrays of one design that take the vectors of a batch in turn."""

    design: EieConfig
    number: int


def as_large_as(config: TensorCoreConfig) -> EieArrays:
    """As many PEs as the chip has MACs in a cycle, at its clock and node, in the largest equal arrays."""
    total = lanes(config)
    n_pe = next(n for n in range(min(MOST_PES, total), 0, -1) if total % n == 0)
    return EieArrays(EieConfig(n_pe=n_pe, clock_mhz=config.clock_mhz, node_nm=config.node_nm), total // n_pe)


def held_against(arrays: EieArrays) -> str:
    """What EIE's times were held against: its paper's design, of which any other is an extrapolation."""
    paper = EieConfig()
    if arrays == EieArrays(paper, 1):
        return "the nine layers of its paper"
    return f"its paper at {paper.n_pe} PEs and {paper.clock_mhz:g} MHz alone, another design"


def figures_of(
    whole: Network,
    network: Network,
    arrays: EieArrays,
    chip: TensorCoreConfig,
    density: float,
    batches: Sequence[int],
    dram_pj_per_byte: float,
) -> list[Figures]:
    """EIE at one density, every layer on what the pruned network passes on. chip : whose DRAM is read."""
    design = arrays.design
    pruned, _ = prune_network(network, Recipe(density=density), design)
    weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
    biases = {layer.name: layer.bias for layer in pruned.layers}
    matrices = {name: compress(w, design, bias=biases[name]) for name, w in weights.items()}
    stored = {name: matrix.codebook[matrix.decode()] for name, matrix in matrices.items()}
    candidate = candidate_of(
        whole,
        network,
        unit="eie",
        name=f"EIE {100 * density:.3g} %",
        precision=f"{design.weight_bits}-bit codes, {8 * WORD_BYTES}-bit words",
        pruned=weights,
        stored={name: values[:, : weights[name].shape[1]] for name, values in stored.items()},
        stored_biases={name: stored[name][:, -1] for name, bias in biases.items() if bias is not None},
        weight_bytes=sum(bits(matrix, design) for matrix in matrices.values()) / 8,
    )
    inputs = inputs_of(pruned, weights, biases)
    return [
        _figures(
            candidate,
            [simulate(matrices[name], read[:batch], design.for_inputs(read)) for name, read in inputs.items()],
            arrays,
            chip,
            sum(sum(w.shape) for w in weights.values()),  # inputs and outputs of one vector
            batch,
            dram_pj_per_byte,
        )
        for batch in batches
    ]


def _figures(
    candidate: Candidate,
    results: Sequence[SimResult],
    arrays: EieArrays,
    chip: TensorCoreConfig,
    words: int,
    batch: int,
    dram_pj_per_byte: float,
) -> Figures:
    """Results of all layers, scaled where there are fewer vectors than the batch.

    From DRAM the compressed weights once, inputs and outputs stream while the arrays work: the slower of both counts.
    Arrays that wait burn clock and leakage.
    """
    design = arrays.design
    simulated = results[0].n_vector
    scale = Fraction(batch, simulated)
    cycles = _cycles(results, arrays.number, batch)
    worked = sum(result.cycles for result in results) * scale
    moved = round(candidate.weight_bytes) + batch * words * WORD_BYTES
    rate = Fraction(chip.dram_bytes_per_cycle or 1)
    cycles_dram = max(cycles, -(-moved * rate.denominator // rate.numerator))
    working_pj = total_of([account(result) for result in results]).total_pj * float(scale)
    waiting_pj = [float(each * arrays.number - worked) * _waiting_pj(design) for each in (cycles, cycles_dram)]
    macs = float(sum(result.effectual_macs for result in results) * scale)
    return Figures(
        batch=batch,
        candidate=candidate,
        cycles=cycles,
        time_us=cycles / design.clock_mhz,
        energy_nj=(working_pj + waiting_pj[0]) / 1e3,
        cycles_dram=cycles_dram,
        time_us_dram=cycles_dram / design.clock_mhz,
        energy_nj_dram=(working_pj + waiting_pj[1] + moved * dram_pj_per_byte) / 1e3,
        dram_bytes=moved,
        utilisation=macs / (cycles * design.n_pe * arrays.number) if cycles else 0.0,
        scaled_from=None if simulated == batch else simulated,
    )


def _cycles(results: Sequence[SimResult], count: int, batch: int) -> int:
    """Of the array with the most work, vectors taken in turn; of mean vectors where there are too few."""
    per_vector = np.sum([result.cycles_per_vector for result in results], axis=0)
    if len(per_vector) == batch:
        return max(int(per_vector[at::count].sum()) for at in range(min(count, batch)))
    return round(Fraction(int(per_vector.sum()), len(per_vector)) * -(-batch // count))


def _waiting_pj(design: EieConfig) -> float:
    """Clock and leakage of an array in a cycle."""
    table = EnergyTable.for_config(design)
    return design.n_pe * (sum(table.pe_cycle_pj.values()) + table.leakage_mw * 1e3 / design.clock_mhz)
