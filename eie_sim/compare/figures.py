"""What a comparison says of each way to run a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.prune.mlp import accuracy
from eie_sim.pruning.measure import held_back, mlp_of, weights_of
from eie_sim.workload import Network

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run the network.

    unit : dense, nm or eie; name : with its pattern, what that runs as where it is another, or its density
    precision : of weights and of what they are multiplied with, in words
    density : weights kept over all weights; kept_l1 : their share of the sum of magnitudes
    accuracy : on the held-back inputs, of the weights as they are stored, inputs in floats, without training after
        pruning; None without labels
    weight_bytes : of the weights as they are stored, of EIE with the bias, which is one more column
    """

    unit: str
    name: str
    precision: str
    density: float
    kept_l1: float
    accuracy: float | None
    weight_bytes: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A candidate at one batch; cycles, times and energies of the whole batch and all layers.

    cycles, time_us, energy_nj : with all weights where they are used; *_dram : with them read from DRAM
    board_nj, board_nj_dram : the power limit of the chip's board over the time, a bound on the energy, of which
        energy_nj is the modelled parts; None of a design that is no board, and of EIE
    dram_bytes : read and written then
    utilisation : MACs that count (kept weights; of EIE active inputs and the bias too) over what the MACs could do in
        `cycles`
    tile, bound, tile_dram, bound_dram : of the layers, in order; empty for EIE
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
    whole: Network,
    network: Network,
    *,
    unit: str,
    name: str,
    precision: str,
    pruned: Arrays,
    stored: Arrays,
    weight_bytes: float,
    stored_biases: Arrays | None = None,
) -> Candidate:
    """Judge pruned weights of the layers of `network`, a part of `whole`.

    pruned : weights by layer, before they are stored; stored : the values that the unit computes with
    stored_biases : likewise; in floats where left out
    """
    before, _ = weights_of(network)
    others, biases = weights_of(whole)
    total = sum(float(np.abs(w).sum(dtype=np.float64)) for w in before.values())
    judged = held_back(whole)
    found = None
    if judged is not None:
        found = accuracy(mlp_of({**others, **stored}, {**biases, **(stored_biases or {})}), judged)
    return Candidate(
        unit=unit,
        name=name,
        precision=precision,
        density=sum(np.count_nonzero(w) for w in pruned.values()) / sum(w.size for w in before.values()),
        kept_l1=sum(float(np.abs(w).sum(dtype=np.float64)) for w in pruned.values()) / total if total else 0.0,
        accuracy=found,
        weight_bytes=weight_bytes,
    )
