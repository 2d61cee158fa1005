"""A unit beside a chip: arrays of one design, as large together as the chip, take the vectors of a batch in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable, account, total_of
from eie_sim.pruning.measure import dense, inputs_of
from eie_sim.units import unit_of, units
from eie_sim.units.compared import Chip, Held
from eie_sim.units.unit import Unit
from eie_sim.workload import Network

WORD_BYTES = 2
"""Of an input or output that is read from or written to DRAM."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A unit as large as a chip of another one: `number` arrays of a design."""

    unit: Unit
    design: Any
    number: int

    @property
    def held_against(self) -> str:
        """What its times were held against, in a phrase."""
        return self.unit.held_against(self.design, self.number)


def rivals(config: Any) -> list[Rival]:
    """Units that have a design with as many MACs in a cycle as a chip, at its clock and node."""
    own = unit_of(config)
    found = []
    for unit in units():
        if unit.sized is not None and unit is not own:
            design, number = unit.sized(own.lanes(config), float(config.clock_mhz), config.node_nm)
            found.append(Rival(unit=unit, design=design, number=number))
    return found


def held(rival: Rival, chip: Chip, pruned: Network, name: str) -> Held:
    """The layers of a pruned network, compressed; each reads what that network passes on. chip : whose DRAM is read"""
    unit, design = rival.unit, rival.design
    weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
    biases = {layer.name: layer.bias for layer in pruned.layers}
    stored = biases if unit.takes_bias else dict.fromkeys(biases)
    matrices = {layer: unit.compress(w, design, bias=stored[layer]) for layer, w in weights.items()}

    def run(layer: str, given: NDArray[Any], read: NDArray[Any]) -> SimResult:
        return unit.simulate(matrices[layer], given, unit.for_inputs(design, read), engine="fast", timeline=False)

    def outputs(layer: str, read: NDArray[Any]) -> NDArray[Any]:
        result = run(layer, read, read)
        outside = None if unit.takes_bias else biases[layer]
        product = np.atleast_2d(result.output) * result.output_scale
        return product if outside is None else product + outside

    inputs = inputs_of(pruned, weights, biases)
    weight_bytes = sum(unit.storage(matrix, design).total_bits for matrix in matrices.values()) / 8

    def figures(batch: int) -> dict[str, Any]:
        results = [run(layer, read[:batch], read) for layer, read in inputs.items()]
        words = sum(sum(w.shape) for w in weights.values())  # inputs and outputs of one vector
        return _figures(rival, chip, results, round(weight_bytes) + batch * words * WORD_BYTES, batch)

    return Held(name=name, weight_bytes=weight_bytes, outputs=outputs, figures=figures)


def _figures(rival: Rival, chip: Chip, results: Sequence[SimResult], moved: int, batch: int) -> dict[str, Any]:
    """Results of all layers, scaled where there are fewer vectors than the batch.

    From DRAM the compressed weights once, inputs and outputs stream while the arrays work: the slower of both counts.
    Arrays that wait burn clock and leakage. moved : bytes of all these
    """
    design, number, lanes = rival.design, rival.number, rival.unit.lanes(rival.design)
    simulated = results[0].n_vector
    scale = Fraction(batch, simulated)
    cycles = _cycles(results, number, batch)
    worked = sum(result.cycles for result in results) * scale
    rate = chip.dram_bytes_per_cycle
    cycles_dram = max(cycles, -(-moved * rate.denominator // rate.numerator))
    table = EnergyTable.for_config(design)
    idle_pj = lanes * (sum(table.pe_cycle_pj.values()) + table.leakage_mw * 1e3 / design.clock_mhz)
    working_pj = total_of([account(result) for result in results]).total_pj * float(scale)
    waiting_pj = [float(each * number - worked) * idle_pj for each in (cycles, cycles_dram)]
    macs = float(sum(result.effectual_macs for result in results) * scale)
    return {
        "cycles": cycles,
        "time_us": cycles / design.clock_mhz,
        "energy_nj": (working_pj + waiting_pj[0]) / 1e3,
        "cycles_dram": cycles_dram,
        "time_us_dram": cycles_dram / design.clock_mhz,
        "energy_nj_dram": (working_pj + waiting_pj[1] + moved * chip.dram_pj_per_byte) / 1e3,
        "dram_bytes": moved,
        "utilisation": macs / (cycles * lanes * number) if cycles else 0.0,
        "scaled_from": None if simulated == batch else simulated,
    }


def _cycles(results: Sequence[SimResult], count: int, batch: int) -> int:
    """Of the array with the most work, vectors taken in turn; of mean vectors where there are too few."""
    per_vector = np.sum([result.cycles_per_vector for result in results], axis=0)
    if len(per_vector) == batch:
        return max(int(per_vector[at::count].sum()) for at in range(min(count, batch)))
    return round(Fraction(int(per_vector.sum()), results[0].n_vector) * -(-batch // count))
