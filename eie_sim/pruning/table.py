"""Accuracy and cycles against density, for a network and a design."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from eie_sim.cost import cost
from eie_sim.errors import unknown
from eie_sim.prune import pattern, score
from eie_sim.prune.accuracy_table import REGULARISERS, SCHEDULES, AccuracyRecord, accuracy_table
from eie_sim.prune.mlp import Array, Mlp, forward
from eie_sim.prune.pruned_training import Rule, each_layer, hidden_neurons
from eie_sim.prune.removal import LayerArrays
from eie_sim.pruning.measure import N_MEASURED, mlp_of, require_held_back, require_training, weights_of
from eie_sim.pruning.network import PATTERNS
from eie_sim.pruning.smaller import shrunk
from eie_sim.recipe import Recipe
from eie_sim.workload import Network

Progress = Callable[[str], None]


def table_of(
    network: Network,
    config: Any,
    *,
    patterns: Sequence[str],
    densities: Sequence[float],
    schedules: Sequence[str] = tuple(SCHEDULES),
    regularisers: Sequence[str] = tuple(REGULARISERS),
    epochs: int | None = None,
    recipe: Recipe | None = None,
    progress: Progress = lambda step: None,
) -> tuple[list[AccuracyRecord], list[str]]:
    """Prune the network before pruning in every combination, train what is left, measure accuracy and cycles.

    patterns : of element, nm, block, neuron, input, balanced; schedules : one-shot, iterative; regularisers : L1, L2
    densities : the nm pattern takes those that are a whole number of m_group, and leaves the others out
    epochs : of training in all steps together; the regularisers' own when left out
    recipe : m_group, blocks and window of the patterns

    Cost is cycles per vector of all layers on the design, for the first N_MEASURED held-back inputs, passed on in
    floats; of the neuron pattern, those of the smaller network that is left.
    Returns the records, and what was left out in words.
    Raises InputError for a network without labelled inputs to train and judge on.
    """
    recipe = recipe or Recipe()
    samples, judged = require_training(network, "accuracy table"), require_held_back(network, "accuracy table")
    trained = mlp_of(*weights_of(network))
    records: list[AccuracyRecord] = []
    left_out: list[str] = []
    for name in patterns:
        if name not in PATTERNS:
            raise unknown("patterns", name, PATTERNS)
        possible = [density for density in densities if _possible(name, density, recipe)]
        gone = [density for density in densities if density not in possible]
        left_out += [f"{name}: {density:g} of {recipe.m_group} is no whole number of weights" for density in gone]
        records += accuracy_table(
            trained,
            samples,
            judged,
            patterns={name: _rule(name, recipe, config)},
            densities=possible,
            schedules=_some("schedules", schedules, SCHEDULES),
            regularisers={
                each: config_of if epochs is None else replace(config_of, epochs=epochs)
                for each, config_of in _some("regularisers", regularisers, REGULARISERS).items()
            },
            cost_of=partial(_cycles, inputs=judged.inputs[:N_MEASURED], config=config, smaller=name == "neuron"),
            progress=progress,
        )
    return records, left_out


def _some(field: str, names: Sequence[str], known: Any) -> dict[str, Any]:
    for name in names:
        if name not in known:
            raise unknown(field, name, known)
    return {name: known[name] for name in names}


def _possible(name: str, density: float, recipe: Recipe) -> bool:
    kept = Fraction(str(density)) * recipe.m_group
    return name != "nm" or (kept.denominator == 1 and kept >= 1)


def _rule(name: str, recipe: Recipe, config: Any) -> Rule:
    """The pattern by magnitude, as a function of all layers' weights and a density."""
    if name == "nm":
        return each_layer(lambda weight, density: _nm(weight, density, recipe.m_group))
    shape = PATTERNS[name](recipe, config)
    rule = hidden_neurons if name == "neuron" else each_layer
    return rule(lambda weight, density: shape.prune(score.l1(weight), density).mask)


def _nm(weight: Array, density: float, m_group: int) -> Any:
    """Between the densities that N:M has, the next larger one, so that later steps find enough survivors."""
    n_keep = max(math.ceil(density * m_group - 1e-9), 1)
    return pattern.nm(n_keep, m_group).prune(score.l1(weight)).mask


def _cycles(network: Mlp, *, inputs: Array, config: Any, smaller: bool) -> float:
    """Cycles per vector of all layers, the inputs passed on in floats; of the smaller network where neurons went."""
    network = _without_neurons(network) if smaller else network
    layers = zip(network.weights, network.biases, forward(network, inputs)[0], strict=True)
    return sum(cost("cycles", weight, config, activations=read, bias=bias) for weight, bias, read in layers)


def _without_neurons(network: Mlp) -> Mlp:
    pairs = zip(network.weights, network.biases, strict=True)
    layers = shrunk([LayerArrays(name=str(at), weight=weight, bias=bias) for at, (weight, bias) in enumerate(pairs)])
    return Mlp(tuple(layer.weight for layer in layers), tuple(layer.bias for layer in layers if layer.bias is not None))
