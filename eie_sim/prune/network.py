"""Prune a network as a recipe says, train what is left, and take out what nothing depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, is_number, require, require_type, unknown
from eie_sim.network import Network
from eie_sim.prune import Pattern, Schedule, Selection, globally, locally, pattern, schedule, score
from eie_sim.prune.measure import (
    Arrays,
    Biases,
    before_pruning,
    inputs_of,
    mlp_of,
    require_relu,
    require_training,
    weights_of,
)
from eie_sim.prune.neurons import select_neurons
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.smaller import without_dead
from eie_sim.prune.train import ScoreGradients, TrainConfig, fit, score_gradients

Progress = Callable[[str], None]
Scores = Callable[[Network, Arrays, Biases, int], Arrays]
"""From (network, weights and biases by layer, seed) to scores by layer."""

Update = Callable[[Network, Arrays, dict[str, NDArray[np.bool_]]], Arrays]
"""From (network, weights, masks by layer) to the weights that stay, moved; those pruned are set to 0 afterwards."""

PATTERNS: dict[str, Callable[[Recipe, Any], Pattern]] = {
    "element": lambda recipe, config: pattern.element(),
    "per_row": lambda recipe, config: pattern.per_row(rule="wanda" if recipe.criterion == "wanda" else "torch"),
    "block": lambda recipe, config: pattern.block(recipe.block_rows, recipe.block_cols),
    "neuron": lambda recipe, config: pattern.neuron(),
    "input": lambda recipe, config: pattern.input(),
    "balanced": lambda recipe, config: pattern.balanced(config, recipe.window),
}

SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "one-shot": lambda density, steps: schedule.one_shot(density),
    "linear": lambda density, steps: schedule.linear(density, steps=steps),
    "cubic": lambda density, steps: schedule.cubic(density, steps=steps),
    "iterative": lambda density, steps: schedule.iterative(density, steps=steps),
}


def prune_network(
    network: Network,
    recipe: Recipe,
    config: Any,
    *,
    layer_density: Mapping[str, float] | None = None,
    scores_of: Scores | None = None,
    shape: Pattern | Mapping[str, Pattern] | None = None,
    update: Update | None = None,
    progress: Progress = lambda step: None,
) -> tuple[Network, Selection]:
    """Prune the layers from their weights before pruning, where the network has them.

    config : the design, which the balanced pattern takes its PEs from
    layer_density : by layer, for layers that have one of their own; the others have the recipe's
    scores_of, shape : a criterion and a pattern, or one for each layer, of your own in place of the recipe's
    update : moves the weights that stay, as second-order methods do; before any training

    In a chain the neuron pattern takes the columns that read a pruned neuron along, density is of the weights of the
    whole network, and neurons of the last layer stay: they are the answers.
    Returns the pruned network and what was kept. Raises InputError, naming the layer.
    """
    require_type("network", network, Network)
    require_type("recipe", recipe, Recipe)
    require_relu(network)
    weights, biases = weights_of(network)
    chosen: Any = shape_of(recipe, config) if shape is None else shape
    criterion = CRITERIA[recipe.criterion] if scores_of is None else scores_of
    wanted = _wanted(network, recipe, weights, layer_density or {})
    teacher = mlp_of(weights, biases) if network.chained else None
    rng, trainings = np.random.default_rng(recipe.seed), _trainings(recipe, len(wanted))
    kept: Selection | None = None
    for step, (asked, training) in enumerate(zip(wanted, trainings, strict=True), 1):
        progress(f"{network.name}: pruning, step {step} of {len(wanted)}")
        scores = criterion(network, weights, biases, recipe.seed)
        kept = _selected(network, scores, asked, chosen, recipe, weights, kept)
        weights = weights if update is None else update(network, weights, kept.masks)
        weights = {
            name: np.where(mask, weights[name], weights[name].dtype.type(0)) for name, mask in kept.masks.items()
        }
        if training.epochs:
            samples = require_training(network, f"epochs={recipe.epochs}")
            masks = list(kept.masks.values())
            learnt = fit(mlp_of(weights, biases), samples, training, masks=masks, teacher=teacher, rng=rng)
            weights = dict(zip(weights, learnt.weights, strict=True))
            biases = dict(zip(weights, learnt.biases, strict=True))
    assert kept is not None  # a schedule has a step or more
    pruned = _network_of(network, weights, biases, kept, recipe, shape)
    return (without_dead(pruned) if recipe.remove else pruned), kept


def shape_of(recipe: Recipe, config: Any) -> Pattern:
    """The pattern that a recipe names."""
    return PATTERNS[recipe.pattern](recipe, config) if recipe.n_of_m is None else pattern.nm(*recipe.n_of_m)


def unpruned(network: Network) -> Network:
    """The network before pruning, with the inputs of its layers."""
    require_type("network", network, Network)
    layers = tuple(
        replace(before, activations=now.activations, activations_source=now.activations_source)
        for before, now in zip(before_pruning(network), network.layers, strict=True)
    )
    return replace(network, layers=layers)


def _wanda(network: Network, weights: Arrays, biases: Biases, seed: int) -> Arrays:
    inputs = inputs_of(network, weights, biases)
    return {name: score.wanda(w, inputs[name]) for name, w in weights.items()}


def _gradients(network: Network, weights: Arrays, biases: Biases, criterion: str) -> ScoreGradients:
    samples = require_training(network, f"criterion={criterion}")
    return score_gradients(mlp_of(weights, biases), samples)


def _taylor(network: Network, weights: Arrays, biases: Biases, seed: int) -> Arrays:
    slopes = _gradients(network, weights, biases, "taylor").mean
    return {name: score.taylor_first(w, slope) for (name, w), slope in zip(weights.items(), slopes, strict=True)}


def _obd(network: Network, weights: Arrays, biases: Biases, seed: int) -> Arrays:
    squares = _gradients(network, weights, biases, "obd").mean_square
    return {name: score.taylor_second(w, diagonal=h) for (name, w), h in zip(weights.items(), squares, strict=True)}


def _apoz(network: Network, weights: Arrays, biases: Biases, seed: int) -> Arrays:
    """Of hidden neurons, from what the next layer reads; those of the last layer are not compared."""
    if not network.chained:
        raise InputError("criterion=apoz: needs a chain of layers, in which neurons have readers")
    names, read = list(weights), inputs_of(network, weights, biases)
    found = {name: score.apoz(read[reader]) for name, reader in pairwise(names)}
    return found | {names[-1]: np.ones(len(weights[names[-1]]))}


def _random(network: Network, weights: Arrays, biases: Biases, seed: int) -> Arrays:
    return {name: np.random.default_rng([seed, at]).random(w.shape) for at, (name, w) in enumerate(weights.items())}


CRITERIA: dict[str, Scores] = {
    "l1": lambda network, weights, biases, seed: {name: score.l1(w) for name, w in weights.items()},
    "l2": lambda network, weights, biases, seed: {name: score.l2(w) for name, w in weights.items()},
    "wanda": _wanda,
    "taylor": _taylor,
    "obd": _obd,
    "apoz": _apoz,
    "random": _random,
}

Asked = dict[str, float | None]


def _wanted(network: Network, recipe: Recipe, weights: Arrays, layer_density: Mapping[str, float]) -> list[Asked]:
    """The density of every layer at every step."""
    for name, density in layer_density.items():
        if name not in weights:
            raise unknown("layer_density", name, weights)
        field = f"layer_density of {name}"
        whole = network.chained and recipe.pattern == "neuron"
        require(not whole, field, density, "must be left out, neurons are pruned to a density of the network's weights")
        require(is_number(density) and 0 <= density <= 1, field, density, "must be in 0..1")
        iterable = density > 0 or recipe.schedule != "iterative"
        require(iterable, field, density, "must be above 0, iterative steps always leave some")
    local = not layer_density or recipe.scope == "local"
    require(local, "scope", recipe.scope, "must be local with densities of layers")
    asked = {name: layer_density.get(name, recipe.density) for name in weights}
    if recipe.n_of_m is not None:
        return [asked]
    rule = "must be a fraction of the weights to keep, 0 to 1"
    require(None not in asked.values(), "density", recipe.density, rule)
    curves = {name: SCHEDULES[recipe.schedule](density or 0.0, recipe.steps) for name, density in asked.items()}
    steps = max(curve.steps for curve in curves.values())
    return [{name: curve(step) for name, curve in curves.items()} for step in range(1, steps + 1)]


def _selected(
    network: Network,
    scores: Arrays,
    asked: Asked,
    shape: Pattern | Mapping[str, Pattern],
    recipe: Recipe,
    weights: Arrays,
    before: Selection | None,
) -> Selection:
    """What stays of every layer, among what stayed before."""
    shapes = {name: w.shape for name, w in weights.items()}
    within = None if before is None else before.masks
    common: dict[str, Any] = {"pattern": shape, "floor": recipe.floor, "within": within, "shapes": shapes}
    select = locally if recipe.scope == "local" else globally
    if recipe.pattern == "neuron" and network.chained:
        return select_neurons(select, scores, asked[next(iter(weights))] or 0.0, **common)
    if recipe.scope == "local":
        return locally(scores, asked, **common)
    return globally(scores, asked[next(iter(weights))] or 0.0, **common)


def _trainings(recipe: Recipe, steps: int) -> Iterator[TrainConfig]:
    """The training of each step; their epochs add to the recipe's."""
    for step in range(steps):
        yield TrainConfig(
            epochs=recipe.epochs * (step + 1) // steps - recipe.epochs * step // steps,
            learning_rate=recipe.learning_rate,
            l1=recipe.penalty_l1,
            l2=recipe.penalty_l2,
            distillation=recipe.distillation,
            seed=recipe.seed,
        )


def _network_of(
    network: Network,
    weights: Arrays,
    biases: Biases,
    kept: Selection,
    recipe: Recipe,
    shape: Pattern | Mapping[str, Pattern] | None,
) -> Network:
    before = before_pruning(network)
    shapes = shape if isinstance(shape, Mapping) else dict.fromkeys(weights, shape)
    said = {
        name: _how(recipe, recipe.pattern if each is None else each.name, kept.layers[name].achieved)
        for name, each in shapes.items()
    }
    layers = tuple(
        replace(
            layer,
            weights=weights[layer.name],
            bias=biases[layer.name],
            weights_source=f"{source.weights_source}, {said[layer.name]}",
            stored=None,
        )
        for layer, source in zip(network.layers, before, strict=True)
    )
    return replace(network, layers=layers, dense_layers=before)


def _how(recipe: Recipe, pattern: str, achieved: float) -> str:
    """The recipe in words fit for a table."""
    trained = f", trained {recipe.epochs} epochs" if recipe.epochs else ""
    return f"pruned: {pattern}, {recipe.criterion}, {recipe.scope}, density {achieved:.4g}{trained}"
