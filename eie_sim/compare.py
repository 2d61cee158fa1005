"""One network on three kinds of hardware with as many MACs: dense, N:M and EIE, at several batches.

Dense and N:M run on a chip of N:M tensor cores, EIE on as many PEs as that chip has MACs in a cycle, at its clock and
node. All start from the same trained weights. Each figure is given twice: with the weights in SRAM, as EIE has them,
and read from DRAM for every batch, as a GPU-like chip has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.cost import stored_bits
from eie_sim.energy import account, total_of
from eie_sim.energy.nm import dram_pj_per_bit
from eie_sim.energy.nm import lanes as lanes_of
from eie_sim.engine import compress, simulate, simulate_gemm
from eie_sim.errors import InputError, require, require_int, require_type
from eie_sim.prune import pattern, score
from eie_sim.prune.counts import fraction
from eie_sim.prune.mlp import accuracy
from eie_sim.pruning.measure import dense, held_back, inputs_of, mlp_of, weights_of
from eie_sim.pruning.network import prune_network
from eie_sim.recipe import Recipe
from eie_sim.result import SimResult
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm.config import DENSE, Pattern, TensorCoreConfig, said
from eie_sim.workload import Network

Progress = Callable[[str], None]
Arrays = dict[str, NDArray[Any]]

BATCHES = (1, 8, 64, 256)
DENSITIES = (0.5, 0.25, 0.1)
DRAM = "lpddr4"
DRAM_BYTES_PER_CYCLE = 32
"""Of a design without DRAM, for the figures with it: 25.6 GB/s at 800 MHz, what LPDDR4 gives on 64 bits."""

WORD_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One way to run the network.

    unit : dense, nm or eie; name : with its pattern or density
    density : weights kept over all weights; kept_l1 : their share of the sum of magnitudes
    accuracy : on the held-back inputs in floats, without training after pruning; None without labels
    weight_bytes : of the weights as they are stored
    """

    unit: str
    name: str
    density: float
    kept_l1: float
    accuracy: float | None
    weight_bytes: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A candidate at one batch; cycles, times and energies of the whole batch and all layers.

    cycles, time_us, energy_nj : with the weights in SRAM; *_dram : with them read from DRAM for the batch
    dram_bytes : read and written then
    utilisation : MACs that count (kept weights; of EIE active inputs too) over what the MACs could do, from SRAM
    tile : of the layers, in order, of the chip with DRAM where it differs; bound : likewise; empty for EIE
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
    tile: str
    bound: str
    scaled_from: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the candidate's among them."""
        own = asdict(self)
        return {**own.pop("candidate"), **own}


def compare(
    network: Network,
    config: TensorCoreConfig,
    *,
    layer: str | None = None,
    patterns: Sequence[Pattern] = ((2, 4), (1, 4)),
    densities: Sequence[float] = DENSITIES,
    batches: Sequence[int] = BATCHES,
    progress: Progress = lambda step: None,
) -> list[Figures]:
    """Dense, N:M and EIE on the same trained weights, at the same MACs in a cycle, clock and node.

    config : the chip that runs dense and N:M; its DRAM, or LPDDR4 where it has none, for the figures with DRAM
    layer : compare only this one, on what the layers before it pass on; accuracy is that of the network all the same
    patterns : N:M to prune to, N kept; inputs that a group does not divide are padded with zeros
    densities : to prune to by magnitude for EIE; those above the weights' own make one row of that
    batches : vectors multiplied at once; EIE takes them one after the other

    Returns a row per batch and candidate, in order. Raises InputError for a network without inputs and for values out
    of range.
    """
    require_type("network", network, Network)
    require_type("config", config, TensorCoreConfig)
    for field, values in (("patterns", patterns), ("densities", densities), ("batches", batches)):
        require(len(values) > 0, field, "none", "must be at least one")
    for batch in batches:
        require_int("batches", batch, 1, 2**20)
    for density in densities:
        fraction("densities", density)
    for shape in patterns:
        config.runs_as(*shape)  # refuses what is no pattern
    whole, network = network, _layer_of(network, layer)
    on_chip = replace(config, dram_bytes_per_cycle=None, dram="none")
    rows: list[Figures] = []
    for shape in (DENSE, *patterns):
        progress(f"{said(shape)}: pruning and checking the product")
        candidate, weights = _nm_candidate(whole, network, on_chip, shape)
        rows += [_nm_figures(candidate, weights, on_chip, _with_dram(config), shape, batch) for batch in batches]
    design = EieConfig(n_pe=lanes_of(config), clock_mhz=config.clock_mhz, node_nm=config.node_nm)
    for density in _distinct(network, densities):
        progress(f"EIE, density {density:.3g}: pruning and simulating")
        rows += _eie_rows(whole, network, design, _with_dram(config), density, batches)
    return sorted(rows, key=lambda row: batches.index(row.batch))


def _with_dram(config: TensorCoreConfig) -> TensorCoreConfig:
    if config.dram_bytes_per_cycle is not None:
        return config
    return replace(config, dram_bytes_per_cycle=DRAM_BYTES_PER_CYCLE, dram=DRAM)


def _distinct(network: Network, densities: Sequence[float]) -> list[float]:
    """Densities, those above what the weights have anyway as one."""
    before, _ = weights_of(network)
    own = sum(np.count_nonzero(w) for w in before.values()) / sum(w.size for w in before.values())
    return list(dict.fromkeys(min(density, own) for density in densities))


def _candidate(
    whole: Network, network: Network, unit: str, name: str, weights: Arrays, weight_bytes: float
) -> Candidate:
    before, _ = weights_of(network)
    others, biases = weights_of(whole)
    total = sum(float(np.abs(w).sum(dtype=np.float64)) for w in before.values())
    judged = held_back(whole)
    return Candidate(
        unit=unit,
        name=name,
        density=sum(np.count_nonzero(w) for w in weights.values()) / sum(w.size for w in before.values()),
        kept_l1=sum(float(np.abs(w).sum(dtype=np.float64)) for w in weights.values()) / total if total else 0.0,
        accuracy=None if judged is None else accuracy(mlp_of({**others, **weights}, biases), judged),
        weight_bytes=weight_bytes,
    )


def _nm_candidate(
    whole: Network, network: Network, config: TensorCoreConfig, shape: Pattern
) -> tuple[Candidate, Arrays]:
    """Weights pruned to a pattern, as the chip stores them; the product of each layer checked against float64."""
    before, biases = weights_of(network)
    pruned, stored_bytes = {}, 0.0
    inputs = inputs_of(network, before, biases)
    runs_as = config.runs_as(*shape)
    for name, given in before.items():
        padded = _padded(given, shape[1])
        padded = padded * pattern.nm(*shape).prune(score.l1(padded)).mask
        matrix = compress(_padded(padded, runs_as[1]), replace(config, patterns=(runs_as,) if runs_as != DENSE else ()))
        stored_bytes += stored_bits(matrix, config) / 8
        _check(name, matrix, inputs[name])
        pruned[name] = padded[:, : given.shape[1]]
    unit = "dense" if shape == DENSE else "nm"
    return _candidate(whole, network, unit, said(shape), pruned, stored_bytes), pruned


def _padded(weights: NDArray[Any], group: int) -> NDArray[Any]:
    """Zero columns at the end, so that groups are whole."""
    return np.pad(weights, ((0, 0), (0, -weights.shape[1] % group)))


def _check(name: str, matrix: Any, inputs: NDArray[Any]) -> None:
    """Raise InputError where the packed product is farther from float64 than its derived bound."""
    from eie_sim.units.nm.functional import error_bound, multiply

    if matrix.element != "float16":
        return
    vectors = inputs[:8].T.astype(np.float32)
    b = np.pad(vectors, ((0, matrix.n_in - len(vectors)), (0, 0)))
    exact = matrix.decode().astype(np.float64) @ b.astype(np.float64)
    far = np.abs(multiply(matrix, b) - exact) > error_bound(matrix, b)
    require(not far.any(), f"layer {name}: outputs", int(far.sum()), "are farther from float64 than the bound")


def _nm_figures(
    candidate: Candidate,
    weights: Arrays,
    on_chip: TensorCoreConfig,
    with_dram: TensorCoreConfig,
    shape: Pattern,
    batch: int,
) -> Figures:
    def results(config: TensorCoreConfig) -> list[SimResult]:
        n_keep, m_group = shape
        return [
            simulate_gemm(len(w), _padded(w[:1], m_group).shape[1], batch, config, n_keep=n_keep, m_group=m_group)
            for w in weights.values()
        ]

    near, far = results(on_chip), results(with_dram)
    energies = [total_of([account(result) for result in each]).total_pj / 1e3 for each in (near, far)]
    cycles, cycles_dram = (sum(result.cycles for result in each) for each in (near, far))
    macs = batch * sum(np.count_nonzero(w) for w in weights.values())
    return Figures(
        batch=batch,
        candidate=candidate,
        cycles=cycles,
        time_us=cycles / on_chip.clock_mhz,
        energy_nj=energies[0],
        cycles_dram=cycles_dram,
        time_us_dram=cycles_dram / with_dram.clock_mhz,
        energy_nj_dram=energies[1],
        dram_bytes=sum(result.stats["events"]["dram_bytes"] for result in far),
        utilisation=macs / (cycles * lanes_of(on_chip)),
        tile=", ".join(dict.fromkeys("x".join(map(str, result.named["tile"])) for result in far)),
        bound=", ".join(dict.fromkeys(str(result.bound) for result in far)),
        scaled_from=None,
    )


def _eie_rows(
    whole: Network,
    network: Network,
    design: EieConfig,
    with_dram: TensorCoreConfig,
    density: float,
    batches: Sequence[int],
) -> list[Figures]:
    """EIE at one density: every layer on what the pruned network passes on."""
    pruned, _ = prune_network(network, Recipe(density=density), design)
    weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
    biases = {layer.name: layer.bias for layer in pruned.layers}
    matrices = {name: compress(w, design, bias=biases[name]) for name, w in weights.items()}
    stored_bytes = sum(stored_bits(matrix, design) for matrix in matrices.values()) / 8
    candidate = _candidate(whole, network, "eie", f"EIE {100 * density:.3g} %", weights, stored_bytes)
    inputs = inputs_of(pruned, weights, biases)
    rows = []
    for batch in batches:
        results = [simulate(matrices[name], read[:batch], design) for name, read in inputs.items()]
        rows.append(_eie_figures(candidate, results, design, with_dram, batch))
    return rows


def _eie_figures(
    candidate: Candidate, results: Sequence[SimResult], design: EieConfig, with_dram: TensorCoreConfig, batch: int
) -> Figures:
    """Results of all layers, scaled where there are fewer vectors than the batch.

    From DRAM the compressed weights, inputs and outputs stream while the array works: the slower of the two counts.
    """
    simulated = results[0].n_vector
    scale = Fraction(batch, simulated)
    cycles = round(sum(result.cycles for result in results) * scale)
    energy_pj = total_of([account(result) for result in results]).total_pj * float(scale)
    moved = round(candidate.weight_bytes) + batch * sum(_words(result) for result in results) * WORD_BYTES
    rate = Fraction(with_dram.dram_bytes_per_cycle or DRAM_BYTES_PER_CYCLE)
    cycles_dram = max(cycles, -(-moved * rate.denominator // rate.numerator))
    macs = float(sum(result.effectual_macs for result in results) * scale)
    return Figures(
        batch=batch,
        candidate=candidate,
        cycles=cycles,
        time_us=cycles / design.clock_mhz,
        energy_nj=energy_pj / 1e3,
        cycles_dram=cycles_dram,
        time_us_dram=cycles_dram / design.clock_mhz,
        energy_nj_dram=(energy_pj + 8 * moved * dram_pj_per_bit(with_dram)) / 1e3,
        dram_bytes=moved,
        utilisation=macs / (cycles * design.n_pe) if cycles else 0.0,
        tile="",
        bound="",
        scaled_from=None if simulated == batch else simulated,
    )


def _words(result: SimResult) -> int:
    """Inputs and outputs of one vector."""
    n_out = result.output.shape[-1]
    return int(n_out + result.dense_macs // result.n_vector // n_out)


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
