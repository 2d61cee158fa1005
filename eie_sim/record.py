"""The record of a run, made from its results: a layer, the layers together, and what of the file was left out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, UnsetType, convert, to_builtins

import eie_sim
from eie_sim.core.record import (
    Account,
    Coverage,
    Energy,
    EnergyTrace,
    LayerResult,
    Memory,
    NotSimulated,
    PerVector,
    Result,
    RunCosts,
    Sampled,
    Storage,
)
from eie_sim.core.storage import Format
from eie_sim.energy import total_of
from eie_sim.limit import limit_of
from eie_sim.network import Network
from eie_sim.units import unit_of

if TYPE_CHECKING:
    from eie_sim.runs import LayerRun, Run


def record_of(run: Run) -> Result:
    """Everything about a run but arrays: provenance, each layer, the total, accuracy, and whether it is verified."""
    first = run.layers[0].result
    account = _account(run.network, {layer.layer.name: layer.inputs for layer in run.layers})
    return Result(
        network=run.network.name,
        source=run.network.source,
        chained=run.network.chained,
        synthetic=any(layer.layer.synthetic for layer in run.layers),
        seed=run.network.seed,
        engine=first.engine,
        unit=first.unit,
        config=run.config.to_dict(),
        design=unit_of(run.config).describe(run.config),
        config_hash=run.config_hash,
        energy_table=None if run.table.trace is None else convert(run.table.trace, EnergyTrace),
        versions=versions(),
        layers=run.rows,
        total=total_of_layers(run.layers),
        accuracy=run.accuracy,
        end_to_end_error=run.end_to_end_error,
        inputs=account.inputs,
        not_simulated=account.not_simulated,
        coverage=account.coverage if run.covered is None else run.covered,
        graph=UNSET if run.graph is None else run.graph,
        limit=limit_of(run.layers, run.config, run.table),
        verified=run.verified,
        differs=[f"{one.layer.name}: {one.verification.differs()}" for one in run.layers if not one.verification.ok],
        warnings=list(run.warnings),
    )


def account_of(network: Network | None, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return what each layer's inputs are, and what of the file is not simulated, as plain data.

    network : None for a preset that is drawn, of which nothing is left; inputs : in words, by layer
    """
    plain: dict[str, Any] = to_builtins(_account(network, inputs))
    return plain


def _account(network: Network | None, inputs: Mapping[str, str]) -> Account:
    coverage = None
    if network is not None and network.left is not None:
        left, weights = network.left, sum(layer.n_out * layer.n_in for layer in network.layers)
        coverage = Coverage(
            weights_simulated=weights,
            weights_not_simulated=left.weights,
            share_not_simulated=left.weights / (weights + left.weights),
            share_of_macs_not_simulated=None if left.weights or left.uncounted else 0.0,
            numbers_looked_up=left.looked_up,
            arrays_not_counted=left.uncounted,
        )
    left_out = () if network is None else network.not_simulated
    return Account(
        inputs=dict(inputs),
        not_simulated=[NotSimulated(name=name, reason=reason) for name, reason in left_out],
        coverage=coverage,
    )


def row_of(run: LayerRun) -> LayerResult:
    """One layer: shape, sources, figures per vector and in all, energy, storage, memories, verification."""
    result, matrix, each = run.result, run.matrix, run.result.cycles_per_vector
    buffer = unit_of(result.config).words.map_buffer
    vectors, apart = result.n_vector, len(run.result.cycles_per_vector) == result.n_vector
    inputs = vectors * run.layer.n_in
    places = run.layer.n_out * run.layer.n_in if run.n_weight is None else run.n_weight
    density = matrix.density * run.layer.n_out * run.layer.n_in / places if places else None
    return LayerResult(
        **_shared([run], vectors),
        name=run.layer.name,
        kind=run.kind,
        again=True if run.again else UNSET,
        n_out=run.layer.n_out,
        n_in=run.layer.n_in,
        bias=run.layer.bias is not None,
        weights=run.layer.weights_source,
        inputs=run.inputs,
        synthetic=run.layer.synthetic,
        weight_density=density,
        weight_sparsity=None if density is None else 1.0 - density,
        activation_density=(result.active_inputs or 0) / inputs if inputs else 0.0,
        cycles_per_vector=PerVector(
            mean=result.cycles / max(vectors, 1),
            min=int(each.min()) if apart and vectors else 0 if apart else None,
            max=int(each.max()) if apart and vectors else 0 if apart else None,
        ),
        scales=dict(result.scales),
        named=dict(result.named),
        memories=[Memory(**memory._asdict(), fits=memory.fits) for memory in result.memories],
        map_buffer_bits=UNSET if buffer is None or not run.map_size else run.map_size * buffer.word_bits,
        positions=UNSET if run.positions is None else run.positions,
        steps=run.steps or UNSET,
        verification=run.verification,
    )


def total_of_layers(runs: Sequence[LayerRun]) -> RunCosts:
    """The layers together, one after the other on the same design; ratios are of the sums."""
    vectors = max(run.result.n_vector for run in runs)
    figures = _shared(runs, vectors)
    return RunCosts(**figures, cycles_per_vector=PerVector(mean=figures["cycles"] / max(vectors, 1)))


def _shared(runs: Sequence[LayerRun], vectors: int) -> dict[str, Any]:
    """Return the costs of a layer, or of all together, by field of `RunCosts`."""
    results, stored = [run.result for run in runs], [run for run in runs if not run.again] or runs
    cycles, time_us = sum(one.cycles for one in results), sum(one.time_us for one in results)
    macs, dense_macs = sum(one.effectual_macs for one in results), sum(one.dense_macs for one in results)
    stats: dict[str, dict[str, int]] = {}
    for one in results:
        for group, totals in one.stats.items():
            summed = stats.setdefault(group, dict.fromkeys(totals, 0))
            for name, count in totals.items():
                summed[name] += count
    busy, energy = [one.busy for one in results], total_of([run.energy for run in runs])
    most, all_cycles = sum(int(each.max()) for each in busy), sum(one.cycles * one.n_unit for one in results)
    return {
        "n_vector": vectors,
        "n_weight": sum(run.matrix.n_weight for run in stored),
        "cycles": cycles,
        "time_us": time_us,
        "time_us_per_vector": time_us / max(vectors, 1),
        "stats": stats,
        "classes_percent": percentages(stats["classes"]),
        "utilisation": stats["classes"][results[0].useful_class] / max(all_cycles, 1),
        "load_balance": sum(float(each.mean()) for each in busy) / most if most else 1.0,
        "effectual_macs": macs,
        "dense_macs": dense_macs,
        "effective_gops": 2 * macs / (time_us * 1e3) if time_us else 0.0,
        "dense_equivalent_gops": 2 * dense_macs / (time_us * 1e3) if time_us else 0.0,
        "energy": Energy(**energy.to_dict(), total_nj_per_vector=energy.total_pj / 1e3 / max(vectors, 1)),
        "storage": _storage([run.storage for run in stored]),
        "fits": all(one.fits for one in results),
        "passes": max(one.passes for one in results),
        "sampled": _sampled(runs),
    }


def _sampled(runs: Sequence[LayerRun]) -> Sampled | UnsetType:
    """Return the sample of layers some of which are sampled: independent intervals add in squares."""
    samples = [run.sampled for run in runs if run.sampled is not None]
    if not samples:
        return UNSET
    halves = [one.cycles_half_interval for one in samples]
    known = [half**2 for half in halves if half is not None]
    return Sampled(
        positions=sum(one.positions for one in samples),
        of=sum(one.of for one in samples),
        cycles_half_interval=sum(known) ** 0.5 if len(known) == len(halves) else None,
    )


def _storage(formats: Sequence[Format]) -> Storage:
    """Bits of the compressed weights by part, added up over layers, and how they compare with dense storage."""
    bits = {part: sum(one.parts[part] for one in formats) for part in formats[0].parts}
    dense16, total = sum(one.dense_bits for one in formats), sum(bits.values())
    return Storage(
        bits=bits,
        percent=percentages(bits),
        total_bits=total,
        dense16_bits=dense16,
        compression_vs_dense32=2 * dense16 / total if total else 0.0,
        compression_vs_dense16=dense16 / total if total else 0.0,
    )


def percentages(counts: dict[str, int], decimals: int = 1) -> dict[str, float]:
    """Shares in percent, rounded so that they add to exactly 100 (largest remainder); zeros where all is zero."""
    total = sum(counts.values())
    if total == 0:
        return dict.fromkeys(counts, 0.0)
    whole = 100 * 10**decimals
    floors = {name: count * whole // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: counts[name] * whole % total, reverse=True)
    for name in by_remainder[: whole - sum(floors.values())]:
        floors[name] += 1
    return {name: value / 10**decimals for name, value in floors.items()}


def versions() -> dict[str, str]:
    """Return the versions of all that produced the numbers."""
    return {
        "eie_sim": eie_sim.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "simpy")},
    }
