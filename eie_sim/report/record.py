"""A network run as plain data: what `--json` prints, a run folder keeps and the text tables show."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import eie_sim
from eie_sim.core.storage import Format
from eie_sim.energy import EnergyReport, total_of
from eie_sim.run import LayerRun, NetworkRun
from eie_sim.workload import Network


def network_record(run: NetworkRun) -> dict[str, Any]:
    """Everything about a run but arrays: provenance, each layer, the total, accuracy, and whether it is verified."""
    first = run.layers[0].result
    return {
        "network": run.network.name,
        "source": run.network.source,
        "chained": run.network.chained,
        "synthetic": any(layer.layer.synthetic for layer in run.layers),
        "seed": run.network.seed,
        "engine": first.engine,
        "unit": first.unit,
        "config": run.config.to_dict(),
        "config_hash": run.config_hash,
        "energy_table": run.table.trace,
        "versions": versions(),
        "layers": [layer_record(layer) for layer in run.layers],
        "total": total_record(run),
        "accuracy": None if run.accuracy is None else asdict(run.accuracy),
        "end_to_end_error": run.end_to_end_error,
        **account_of(run.network, {layer.layer.name: layer.inputs for layer in run.layers}),
        "verified": run.verified,
        "differs": [
            f"{layer.layer.name}: {layer.verification.differs()}" for layer in run.layers if not layer.verification.ok
        ],
        "warnings": list(run.warnings),
    }


def account_of(network: Network | None, inputs: Mapping[str, str]) -> dict[str, Any]:
    """What each layer's inputs are, and what of the file is not simulated.

    network : None for a preset that is drawn, of which nothing is left; inputs : in words, by layer

    coverage : numbers of weights, biases left out; None where they were not counted
    """
    coverage = None
    if network is not None and network.left is not None:
        left, weights = network.left, sum(layer.n_out * layer.n_in for layer in network.layers)
        coverage = {
            "weights_simulated": weights,
            "weights_not_simulated": left.weights,
            "share_not_simulated": left.weights / (weights + left.weights),
            "numbers_looked_up": left.looked_up,
            "arrays_not_counted": left.uncounted,
        }
    left_out = () if network is None else network.not_simulated
    return {
        "inputs": dict(inputs),
        "not_simulated": [{"name": name, "reason": reason} for name, reason in left_out],
        "coverage": coverage,
    }


def layer_record(run: LayerRun) -> dict[str, Any]:
    """One layer: shape, sources, figures per vector and in all, energy, storage, memories, verification."""
    result, vectors = run.result, run.n_vector
    figures = result.to_dict()
    per_vector = result.cycles_per_vector
    return {
        "name": run.layer.name,
        "n_out": run.matrix.n_out,
        "n_in": run.matrix.n_in,
        "bias": run.matrix.has_bias,
        "weights": run.layer.weights_source,
        "inputs": run.inputs,
        "synthetic": run.layer.synthetic,
        "n_weight": run.matrix.n_weight,
        "weight_density": run.matrix.density,
        "weight_sparsity": 1.0 - run.matrix.density,
        "activation_density": _activation_density(run),
        "n_vector": vectors,
        "cycles_per_vector": {
            "mean": float(per_vector.mean()) if vectors else 0.0,
            "min": int(per_vector.min(initial=0) if not vectors else per_vector.min()),
            "max": int(per_vector.max(initial=0)),
        },
        "time_us_per_vector": result.time_us / max(vectors, 1),
        **{name: figures[name] for name in _RESULT_FIELDS},
        "pe_cycles_percent": percentages(figures["stats"]["classes"]),
        "energy": energy_record(run.energy, vectors),
        "storage": storage_record([run.storage]),
        "verification": {**asdict(run.verification), "ok": run.verification.ok},
    }


_RESULT_FIELDS = (
    "cycles",
    "time_us",
    "scales",
    "stats",
    "effectual_macs",
    "dense_macs",
    "utilisation",
    "load_balance",
    "effective_gops",
    "dense_equivalent_gops",
    "fits",
    "passes",
    "memories",
)


def total_record(run: NetworkRun) -> dict[str, Any]:
    """The layers together, one after the other on the same array; ratios are of the sums."""
    results = [layer.result for layer in run.layers]
    cycles, time_us = run.cycles, sum(result.time_us for result in results)
    classes = {name: sum(r.stats["classes"][name] for r in results) for name in results[0].class_names}
    events = {name: sum(r.stats["events"][name] for r in results) for name in results[0].event_names}
    busy = [result.busy for result in results]
    most = sum(int(b.max()) for b in busy)
    dense_macs = sum(result.dense_macs for result in results)
    vectors = max(layer.n_vector for layer in run.layers)
    return {
        "n_vector": vectors,
        "n_weight": sum(layer.matrix.n_weight for layer in run.layers),
        "cycles": cycles,
        "cycles_per_vector": {"mean": cycles / max(vectors, 1)},
        "time_us": time_us,
        "time_us_per_vector": time_us / max(vectors, 1),
        "stats": {"events": events, "classes": classes},
        "pe_cycles_percent": percentages(classes),
        "utilisation": classes["weight"] / max(sum(classes.values()), 1),
        "load_balance": sum(float(b.mean()) for b in busy) / most if most else 1.0,
        "effectual_macs": events["macs"],
        "dense_macs": dense_macs,
        "effective_gops": 2 * events["macs"] / time_us / 1e3 if time_us else 0.0,
        "dense_equivalent_gops": 2 * dense_macs / time_us / 1e3 if time_us else 0.0,
        "energy": energy_record(total_of([layer.energy for layer in run.layers]), vectors),
        "storage": storage_record([layer.storage for layer in run.layers]),
        "fits": all(result.fits for result in results),
        "passes": max(result.passes for result in results),
    }


def energy_record(report: EnergyReport, vectors: int) -> dict[str, Any]:
    """The energy of all vectors, and per vector."""
    return {**report.to_dict(), "total_nj_per_vector": report.total_pj / 1e3 / max(vectors, 1)}


def storage_record(formats: list[Format]) -> dict[str, Any]:
    """Bits of the compressed weights by part, added up over layers, and how they compare with dense storage."""
    bits = {part: sum(one.parts[part] for one in formats) for part in formats[0].parts}
    dense16 = sum(one.dense_bits for one in formats)
    total = sum(bits.values())
    return {
        "bits": bits,
        "percent": percentages(bits),
        "total_bits": total,
        "dense16_bits": dense16,
        "compression_vs_dense32": 2 * dense16 / total,
        "compression_vs_dense16": dense16 / total,
    }


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
    """What produced the numbers."""
    return {
        "eie_sim": eie_sim.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "simpy")},
    }


def _activation_density(run: LayerRun) -> float:
    """Active inputs over all inputs, the bias left out."""
    total = run.n_vector * run.matrix.n_in
    sent = run.result.extra["broadcast"]["sent"] - run.n_vector * int(run.matrix.has_bias)
    return sent / total if total else 0.0
