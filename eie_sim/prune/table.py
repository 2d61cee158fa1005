"""Accuracy and cycles against density, for a network and a design."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

from eie_sim.core.errors import InputError, require, require_int, unknown
from eie_sim.network import Network
from eie_sim.prune import pattern, score
from eie_sim.prune.accuracy_table import ITERATIVE_STEPS, REGULARISERS, TABLE_SCHEDULES, AccuracyRecord, accuracy_table
from eie_sim.prune.cost import cost
from eie_sim.prune.counts import fraction, fractions, keep_count
from eie_sim.prune.measure import N_MEASURED, mlp_of, require_held_back, require_training, weights_of
from eie_sim.prune.mlp import Array, Mlp, forward
from eie_sim.prune.pruned_training import Rule, each_layer, hidden_neurons
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.removal import LayerArrays
from eie_sim.prune.smaller import shrunk
from eie_sim.prune.steps import shape_of

Progress = Callable[[str], None]


def table_of(
    network: Network,
    config: Any,
    *,
    patterns: Sequence[str],
    densities: Sequence[float],
    schedules: Sequence[str] = TABLE_SCHEDULES,
    penalties: Sequence[str] = tuple(REGULARISERS),
    epochs: int | None = None,
    recipe: Recipe | None = None,
    progress: Progress = lambda step: None,
) -> tuple[list[AccuracyRecord], list[str]]:
    """Prune the network before pruning in every combination, train what is left, measure accuracy and cycles.

    patterns : of element, block, neuron, input, balanced, and N:M, as 2:4; schedules : one-shot, iterative
    densities : N:M has its own in their place, and the neuron pattern takes those that leave a neuron in every layer
    penalties : L1, L2
    epochs : of training in all steps together; 20 when left out
    recipe : blocks and window of the patterns

    Cost is cycles per vector of all layers on the design, for the first N_MEASURED held-back inputs, passed on in
    floats; of the neuron pattern, those of the smaller network that is left.
    Returns the records, and what was left out in words.
    Raises InputError for a network without labelled inputs to train and judge on.
    """
    recipe = recipe or Recipe()
    for density in densities:
        require(fraction("densities", density) > 0, "densities", density, "must be above 0")
    densities = fractions("densities", densities)
    require(len(patterns) > 0, "patterns", "none", "must be at least one")
    recipes = {name: _with_pattern(recipe, name) for name in patterns}
    _chosen("schedules", schedules, dict.fromkeys(TABLE_SCHEDULES))
    if epochs is not None:
        require_int("epochs", epochs, 0, 10**6)
        rule = "must be a multiple of 5, the steps of an iterative schedule"
        require(epochs % ITERATIVE_STEPS == 0 or "iterative" not in schedules, "epochs", epochs, rule)
    trainings = _chosen("penalties", penalties, REGULARISERS)
    if epochs is not None:
        trainings = {name: replace(training, epochs=epochs) for name, training in trainings.items()}
    samples, judged = require_training(network, "accuracy table"), require_held_back(network, "accuracy table")
    trained = mlp_of(*weights_of(network))
    records: list[AccuracyRecord] = []
    left_out: list[str] = []
    for name, each in recipes.items():
        asked = densities if each.n_of_m is None else [each.n_of_m[0] / each.n_of_m[1]]
        reasons = {density: _impossible(name, density, trained) for density in asked}
        left_out += [reason for reason in reasons.values() if reason]
        records += accuracy_table(
            trained,
            samples,
            judged,
            patterns={name: _rule(each, config)},
            densities=[density for density, reason in reasons.items() if not reason],
            schedules=tuple(schedules),
            regularisers=trainings,
            cost_of=partial(_cycles, inputs=judged.inputs[:N_MEASURED], config=config, smaller=name == "neuron"),
            progress=progress,
        )
    return records, left_out


def _with_pattern(recipe: Recipe, name: Any) -> Recipe:
    try:
        return replace(recipe, pattern=name)
    except InputError as error:
        raise InputError(str(error).replace("pattern=", "patterns=", 1)) from None


def _chosen(field: str, names: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    require(len(names) > 0, field, "none", "must be at least one")
    for name in names:
        if name not in known:
            raise unknown(field, name, known)
    return {name: known[name] for name in names}


def _impossible(name: str, density: float, network: Mlp) -> str:
    """Return the reason why a pattern cannot have a density; empty where it can."""
    widths = network.widths
    least = sum(prod(pair) for pair in pairwise([widths[0], *(1 for _ in widths[1:-1]), widths[-1]]))
    total = sum(weight.size for weight in network.weights)
    if name == "neuron" and keep_count(density, total) < least:
        return f"neuron: {density:g} leaves a layer without neurons"
    return ""


def _rule(recipe: Recipe, config: Any) -> Rule:
    """The pattern by magnitude, as a function of all layers' weights and a density."""
    if recipe.n_of_m is not None:
        m_group = recipe.n_of_m[1]
        return each_layer(lambda weight, density: _n_of_m(weight, density, m_group))
    shape = shape_of(recipe, config)
    rule = hidden_neurons if recipe.pattern == "neuron" else each_layer
    return rule(lambda weight, density: shape.prune(score.l1(weight), density).mask)


def _n_of_m(weight: Array, density: float, m_group: int) -> Any:
    """Between the densities that the pattern has, the next larger one, so that later steps find enough survivors."""
    n_keep = max(math.ceil(density * m_group - 1e-9), 1)
    return pattern.nm(n_keep, m_group).prune(score.l1(weight)).mask


def _cycles(network: Mlp, *, inputs: Array, config: Any, smaller: bool) -> float:
    """Cycles per vector of all layers, the inputs passed on in floats; of the smaller network where neurons went."""
    if smaller:
        pairs = enumerate(zip(network.weights, network.biases, strict=True))
        left = shrunk([LayerArrays(name=str(at), weight=weight, bias=bias) for at, (weight, bias) in pairs])
        network = Mlp(tuple(one.weight for one in left), tuple(one.bias for one in left if one.bias is not None))
    layers = zip(network.weights, network.biases, forward(network, inputs)[0], strict=True)
    return sum(cost("cycles", weight, config, activations=read, bias=bias) for weight, bias, read in layers)
