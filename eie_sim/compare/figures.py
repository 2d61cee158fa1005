"""What a comparison says of each way to run a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eie_sim.prune.mlp import Samples
from eie_sim.pruning.measure import Arrays, before_pruning, dense, held_back, weights_of
from eie_sim.units.compared import Held
from eie_sim.workload import Network


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run the network.

    unit : its name, or dense; name : with its pattern, what that runs as where it is another, or its density
    precision : of weights and of what they are multiplied with, in words
    density : weights kept over all weights; kept_l1 : their share of the sum of magnitudes
    accuracy : on the held-back inputs, without training after pruning; weights, inputs and sums are those that the unit
        stores and computes with; None without labels
    accuracy_of : on how many inputs, and which layers are in which precision, in words
    weight_bytes : of the weights as they are stored, with the bias where the unit stores it
    """

    unit: str
    name: str
    precision: str
    density: float
    kept_l1: float
    accuracy: float | None
    accuracy_of: str | None
    weight_bytes: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A candidate at one batch; cycles, times and energies of the whole batch and all layers.

    cycles, time_us, energy_nj : with all weights where they are used; *_dram : with them read from DRAM
    board_nj, board_nj_dram : the power limit of the chip's board over the time, a bound on the energy, of which
        energy_nj is the modelled parts; None of a design that is no board
    dram_bytes : read and written then
    utilisation : MACs that count (of kept weights; where a unit skips zero inputs, of the others; of a bias that it
        stores too) over what the MACs could do in `cycles`
    tile, bound, tile_dram, bound_dram : of the layers, in order; empty where a unit has none
    scaled_from : vectors simulated, where the network has fewer than the batch; else None
    """

    batch: int
    candidate: Candidate
    cycles: int
    time_us: float
    energy_nj: float
    cycles_dram: int
    time_us_dram: float
    energy_nj_dram: float
    dram_bytes: int
    utilisation: float
    board_nj: float | None = None
    board_nj_dram: float | None = None
    tile: str = ""
    bound: str = ""
    tile_dram: str = ""
    bound_dram: str = ""
    scaled_from: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the candidate's among them."""
        own = asdict(self)
        return {**own.pop("candidate"), **own}


def candidate_of(
    whole: Network, network: Network, pruned: Arrays, held: Held, *, unit: str, precision: str
) -> Candidate:
    """Judge pruned weights of the layers of `network`, a part of `whole`, as a unit holds them.

    pruned : weights by layer, before they are stored
    """
    before, _ = weights_of(network)
    total = sum(float(np.abs(w).sum(dtype=np.float64)) for w in before.values())
    judged = held_back(whole)
    others = [layer.name for layer in whole.layers if layer.name not in pruned]
    layers = f"{', '.join(pruned)} " if others else ""
    rest = ", the other layers in floats" if others else ""
    return Candidate(
        unit=unit,
        name=held.name,
        precision=precision,
        density=sum(np.count_nonzero(w) for w in pruned.values()) / sum(w.size for w in before.values()),
        kept_l1=sum(float(np.abs(w).sum(dtype=np.float64)) for w in pruned.values()) / total if total else 0.0,
        accuracy=None if judged is None else _accuracy(whole, judged, pruned, held),
        accuracy_of=None if judged is None else f"{len(judged)} held-back inputs, {layers}in {precision}{rest}",
        weight_bytes=held.weight_bytes,
    )


def _accuracy(whole: Network, judged: Samples, pruned: Arrays, held: Held) -> float:
    """Of the unit's own arithmetic in the layers that it holds, and of floats in the others."""
    read = outputs = judged.inputs
    for layer in before_pruning(whole):
        if layer.name in pruned:
            outputs = held.outputs(layer.name, read)
        else:
            outputs = read @ dense(layer.weights).T + (0.0 if layer.bias is None else layer.bias)
        read = np.maximum(outputs, 0)
    return float(np.mean(outputs.argmax(axis=1) == judged.labels))
