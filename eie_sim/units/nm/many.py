"""Figures of designs of the N:M unit: layers timed by shape, each layer multiplied by all vectors at once.

Weights pruned to N:M are timed as that pattern, and all others as the sparsest listed pattern that they satisfy, mostly
dense. Weights are looked at only where that, the accuracy or a check needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from math import fsum, prod
from typing import Any

import numpy as np

from eie_sim.core.errors import require
from eie_sim.core.nm_pattern import DENSE, Pattern, kept_of, position_bits
from eie_sim.core.result import SimResult
from eie_sim.core.sparse import is_sparse
from eie_sim.energy import EnergyTable, account, total_of
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import lanes
from eie_sim.units.nm.matrix import storage
from eie_sim.units.nm.unit import compress, simulate_gemm, simulate_gemms, simulate_steps, sparsest_of, stored
from eie_sim.units.swept import Figures, Swept, SweptLayer

KEPT = 64
"""Patterns, accuracies and checks that are kept."""


def many(designs: Sequence[TensorCoreConfig], swept: Swept) -> Callable[[TensorCoreConfig], Figures]:
    """Return a function that gives each design's figures by closed forms; it raises InputError for what cannot run."""
    return lambda design: (_figures_of(design, swept), {})


def _figures_of(config: TensorCoreConfig, swept: Swept) -> dict[str, Any]:
    balanced = swept.recipe is not None and swept.recipe.pattern == "balanced"
    require(not balanced, "pattern", "balanced", "must be another for the N:M unit, which has no PEs to balance")
    results, n_weight, kept, stored_bits, size, dense_macs, most = [], 0, 0, 0, 0, 0, 0
    for _, together in groupby(swept.layers, lambda layer: layer.launch or layer.name):
        group = list(together)
        of_graph = group[0].n_weight is not None
        result, bits, count = _of_products(group, swept, config) if of_graph else _of_layer(group[0], swept, config)
        results.append(result)
        kept += count
        if not group[0].again or all(layer.again for layer in swept.layers):
            stored_bits += bits
            n_weight += count
        size += sum(prod(one.shape()) if one.n_weight is None else one.n_weight for one in group)
        dense_macs += result.dense_macs
        most = max(most, result.n_vector)
    verified = _checked(swept, config) if swept.verify else None
    table = _table(config) if swept.table is None else swept.table.at(config)
    key = swept.recipe, config.elem_bytes
    accuracy = swept.kept.get("accuracy", key, lambda: swept.accuracy(partial(stored, config=config)), most=KEPT)
    return _figures(results, config, table) | {
        "n_vector": most,
        "bytes": stored_bits / 8,
        "accuracy": accuracy,
        "n_weight": n_weight,
        "weight_density": kept / max(1, size),
        "dense_macs": dense_macs,
        "verified": verified,
    }


def _of_layer(layer: SweptLayer, swept: Swept, config: TensorCoreConfig) -> tuple[SimResult, int, int]:
    """Timing of a layer, bits of its weights, and how many there are."""
    n_out, n_in = layer.shape()
    n_keep, m_group = pattern = _pattern(layer, swept, config)
    n_vector = 1 if swept.vector is not None else layer.n_vector
    result = simulate_gemm(n_out, n_in, n_vector, config, n_keep=n_keep, m_group=m_group)
    kept, group = stored_as = config.runs_as(*pattern)
    bits = n_out * -(-n_in // group) * kept * (8 * config.elem_bytes + position_bits(stored_as))
    by_pattern = swept.recipe is not None and swept.recipe.n_of_m is not None
    n_weight = n_out * kept_of(n_in, pattern) if by_pattern else int(np.count_nonzero(_weights(layer)))
    return result, bits, n_weight


def _of_products(layers: Sequence[SweptLayer], swept: Swept, config: TensorCoreConfig) -> tuple[SimResult, int, int]:
    """Time products of a graph in one launch; weights are packed, as those that round to 0 are not counted."""

    def made() -> tuple[int, int]:
        if not layers[0].n_weight:
            return 0, 0
        matrices = [compress(_weights(layer), config, pattern=layer.pattern) for layer in layers]
        return sum(storage(one, config).total_bits for one in matrices), sum(one.n_weight for one in matrices)

    key = layers[0].launch or layers[0].name, swept.weights, config.elem_bytes
    bits, n_weight = swept.kept.get("products", key, made, most=KEPT * len(swept.layers))
    n_keep, m_group = layers[0].pattern or DENSE
    if layers[0].steps is not None:
        return simulate_steps(*layers[0].shape(), layers[0].steps, config, (n_keep, m_group)), bits, n_weight
    shapes = [(*layer.shape(), layer.n_vector) for layer in layers]
    return simulate_gemms(shapes, config, n_keep=n_keep, m_group=m_group), bits, n_weight


def _pattern(layer: SweptLayer, swept: Swept, config: TensorCoreConfig) -> Pattern:
    """The pattern that the weights were pruned to, else the sparsest listed one that they satisfy."""
    if swept.recipe is not None and swept.recipe.n_of_m is not None:
        pruned_to: Pattern = swept.recipe.n_of_m
        return pruned_to
    key = layer.name, swept.recipe, config.patterns
    return swept.kept.get("pattern", key, lambda: sparsest_of(_weights(layer), config), most=KEPT)


def _weights(layer: SweptLayer) -> Any:
    weights = layer.pruned().weights
    return np.asarray(weights.toarray() if is_sparse(weights) else weights)


def _checked(swept: Swept, config: TensorCoreConfig) -> bool:
    """True. Raises InputError where a packed product differs from the dense one."""
    key = tuple(layer.name for layer in swept.layers), swept.recipe, config.elem_bytes, config.patterns
    swept.kept.get("checked", key, lambda: tuple(swept.verified(config)), most=KEPT)
    return True


def _figures(results: list[SimResult], config: TensorCoreConfig, table: EnergyTable) -> dict[str, Any]:
    cycles = sum(result.cycles for result in results)
    time_us = cycles / config.clock_mhz
    energy_pj = total_of([account(result, table) for result in results]).total_pj
    macs = sum(result.effectual_macs for result in results)
    busy = fsum(result.utilisation * result.cycles for result in results)
    return {
        "cycles": cycles,
        "time_us": time_us,
        "energy_nj": energy_pj / 1e3,
        "power_mw": energy_pj / time_us / 1e3 if time_us else 0.0,
        "area_mm2": None,
        "effectual_macs": macs,
        "utilisation": busy / cycles if cycles else 0.0,
        "load_balance": None,
        "effective_gops": 2 * macs / (time_us * 1e3) if time_us else 0.0,
        "fits": True,
        "passes": 1,
        "misfit": "",
        "runs_as": _each(result.named["runs_as"] for result in results),
        "tile": _each("x".join(map(str, result.named["tile"])) for result in results),
        "bound": _each(result.named["bound"] for result in results),
        "held_against": _each(result.named["held_against"] for result in results),
        "board_nj": None if config.board_watts is None else config.board_watts * time_us * 1e3,
        "dram_bytes": sum(result.stats["events"]["dram_bytes"] for result in results),
        "mac_lanes": lanes(config),
    }


def _each(words: Any) -> str:
    return "+".join(dict.fromkeys(words))


@lru_cache(maxsize=2**10)
def _table(config: TensorCoreConfig) -> EnergyTable:
    return EnergyTable.for_config(config)
