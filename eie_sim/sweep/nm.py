"""Figures of a point on the N:M unit: timed by shape, each layer multiplied by all vectors of the point at once.

Weights pruned to N:M are timed as that pattern, and all others as the sparsest listed pattern that they satisfy, mostly
dense. Weights are looked at only where that, the accuracy or a check needs them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache, partial
from math import fsum
from typing import Any

import numpy as np

from eie_sim.compare.tensor_core import CHECKED_VECTORS, check_product, numbers
from eie_sim.core.errors import require
from eie_sim.core.nm_pattern import Pattern, kept_of, position_bits
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable, account, total_of
from eie_sim.prune.mlp import accuracy
from eie_sim.pruning.measure import dense, held_back, inputs_of, mlp_of
from eie_sim.recipe import Recipe
from eie_sim.sweep.point import Point
from eie_sim.sweep.stages import Last, Stages
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import lanes
from eie_sim.units.nm.unit import simulate_gemm, sparsest


class Figures:
    """Figures of points, with the accuracies and checks of before."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._patterns, self._accuracies, self._checked = Last(64), Last(64), Last(64)

    @staticmethod
    def shared_by(point: Point) -> tuple[Hashable, Hashable]:
        """Nothing but what `stages` keeps: a shape is timed by a closed form."""
        return None, None

    def of(self, points: Sequence[Point]) -> Callable[[Point], str]:
        """What gives the figures of each point."""
        return self._of

    def _of(self, point: Point) -> str:
        """Figures of one point, as members of a JSON object. Raises InputError for what the unit cannot run."""
        stages, config, recipe = self._stages, point.design, point.recipe
        balanced = recipe is not None and recipe.pattern == "balanced"
        require(not balanced, "pattern", "balanced", "must be another for the N:M unit, which has no PEs to balance")
        names = stages.subject.layers if point.layer is None else (point.layer,)
        n_vectors = dict(zip(stages.subject.layers, stages.subject.n_vectors, strict=True))
        results, n_weight, stored_bits, size, dense_macs, most = [], 0, 0, 0, 0, 0
        for name in names:
            n_out, n_in = stages.shape(name, recipe, config)
            n_keep, m_group = pattern = self._pattern(name, recipe, config)
            n_vector = 1 if point.vector is not None else n_vectors[name]
            results.append(simulate_gemm(n_out, n_in, n_vector, config, n_keep=n_keep, m_group=m_group))
            kept, group = stored_as = config.runs_as(*pattern)
            stored_bits += n_out * -(-n_in // group) * kept * (8 * config.elem_bytes + position_bits(stored_as))
            n_weight += n_out * kept_of(n_in, pattern)
            size += n_out * n_in
            dense_macs += n_out * n_in * n_vector
            most = max(most, n_vector)
        verified = self._checks(names, point) if stages.subject.verify else None
        table = _table(config) if stages.subject.table is None else stages.subject.table.at(config)
        figures = _figures(results, config, table) | {
            "n_vector": most,
            "bytes": stored_bits / 8,
            "accuracy": self._accuracy(recipe, config),
            "n_weight": n_weight,
            "weight_density": n_weight / size,
            "dense_macs": dense_macs,
            "verified": verified,
        }
        return json.dumps(figures, allow_nan=False)[1:-1]

    def _pattern(self, layer: str, recipe: Recipe | None, config: TensorCoreConfig) -> Pattern:
        if recipe is not None and recipe.n_of_m is not None:
            return recipe.n_of_m
        key = layer, recipe, config.patterns
        return self._patterns.get(key, lambda: sparsest(self._weights(layer, recipe, config), config))

    def _weights(self, layer: str, recipe: Recipe | None, config: TensorCoreConfig) -> Any:
        return dense(self._stages.pruned(layer, recipe, config).weights)

    def _accuracy(self, recipe: Recipe | None, config: TensorCoreConfig) -> float | None:
        """Of the network with its weights as the unit stores them, activations in floats; None without labels."""
        subject = self._stages.subject
        if subject.network is None or held_back(subject.network) is None:
            return None
        key = recipe, config.elem_bytes
        return self._accuracies.get(key, lambda: self._judge(recipe, config))

    def _judge(self, recipe: Recipe | None, config: TensorCoreConfig) -> float:
        network = self._stages.network(recipe, config)
        stored = {layer.name: _stored(dense(layer.weights), config) for layer in network.layers}
        judged = held_back(network)
        assert judged is not None
        return float(accuracy(mlp_of(stored, {layer.name: layer.bias for layer in network.layers}), judged))

    def _checks(self, layers: tuple[str, ...], point: Point) -> bool:
        """True. Raises InputError where a packed product differs from the dense one."""
        for name in layers:
            key = name, point.recipe, point.design.elem_bytes, point.design.patterns
            self._checked.get(key, partial(self._check, name, point))
        return True

    def _check(self, name: str, point: Point) -> None:
        from eie_sim.units.nm.matrix import NmMatrix

        stages, config = self._stages, point.design
        if stages.subject.chained:
            network = stages.network(point.recipe, config)
            weights = {layer.name: dense(layer.weights) for layer in network.layers}
            read = inputs_of(network, weights, {layer.name: layer.bias for layer in network.layers})[name]
            held = weights[name]
        else:
            layer = stages.pruned(name, point.recipe, config)
            held, given = dense(layer.weights), layer.activations
            assert given is not None  # the subject has vectors
            read = given
        n_keep, m_group = config.runs_as(*self._pattern(name, point.recipe, config))
        stored, _ = numbers(held, config)
        check_product(name, NmMatrix.from_dense(stored, n_keep=n_keep, m_group=m_group), read[:CHECKED_VECTORS])


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


def _stored(weights: Any, config: TensorCoreConfig) -> Any:
    """Weights rounded as the unit stores them."""
    held, scale = numbers(weights, config)
    if config.elem_bytes == 1:
        return (held * scale).astype(weights.dtype)
    return held.astype(np.float16).astype(weights.dtype)


def _each(words: Any) -> str:
    return "+".join(dict.fromkeys(words))


@lru_cache(maxsize=2**10)
def _table(config: TensorCoreConfig) -> EnergyTable:
    return EnergyTable.for_config(config)
