"""Prune a network as a recipe says, train what is left, and take out what nothing depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from eie_sim.errors import InputError, is_number, require, unknown
from eie_sim.prune import Pattern, Schedule, Selection, globally, locally, pattern, schedule, score
from eie_sim.prune.result import PruneResult
from eie_sim.prune.train import ScoreGradients, TrainConfig, fit, score_gradients
from eie_sim.pruning.measure import Arrays, Biases, before_pruning, inputs_of, mlp_of, require_training, weights_of
from eie_sim.pruning.smaller import without_dead
from eie_sim.recipe import Recipe
from eie_sim.workload import Network

Progress = Callable[[str], None]

PATTERNS: dict[str, Callable[[Recipe, Any], Pattern]] = {
    "element": lambda recipe, config: pattern.element(),
    "nm": lambda recipe, config: pattern.nm(recipe.n_keep, recipe.m_group),
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
    progress: Progress = lambda step: None,
) -> tuple[Network, Selection]:
    """Prune the layers from their weights before pruning, where the network has them.

    config : the design, which the balanced pattern takes its PEs from
    layer_density : by layer, for layers that have one of their own; the others have the recipe's

    In a chain the neuron pattern leaves the last layer whole: its neurons are the answers.
    Returns the pruned network and what was kept. Raises InputError, naming the layer.
    """
    weights, biases = weights_of(network)
    whole = _answers(network, recipe)
    shape, wanted = PATTERNS[recipe.pattern](recipe, config), _wanted(recipe, weights, layer_density or {}, whole)
    teacher = mlp_of(weights, biases) if network.chained else None
    rng, epochs = np.random.default_rng(recipe.seed), _epochs_of_steps(recipe, len(wanted))
    kept: Selection | None = None
    for step, asked in enumerate(wanted):
        progress(f"{network.name}: pruning, step {step + 1} of {len(wanted)}")
        scores = CRITERIA[recipe.criterion](network, weights, biases, recipe.seed)
        kept = _selected(scores, asked, shape, recipe, weights, whole, kept)
        weights = {name: np.where(kept.layers[name].mask, w, w.dtype.type(0)) for name, w in weights.items()}
        if recipe.epochs:
            training = require_training(network, f"epochs={recipe.epochs}")
            masks = [kept.layers[name].mask for name in weights]
            learnt = fit(
                mlp_of(weights, biases), training, _training(recipe, epochs), masks=masks, teacher=teacher, rng=rng
            )
            weights = dict(zip(weights, learnt.weights, strict=True))
            biases = dict(zip(weights, learnt.biases, strict=True))
    assert kept is not None  # a schedule has a step or more
    pruned = _network_of(network, weights, biases, kept, recipe)
    return (without_dead(pruned) if recipe.remove else pruned), kept


def unpruned(network: Network) -> Network:
    """The network before pruning, with the inputs of its layers."""
    layers = tuple(
        replace(before, activations=now.activations, activations_source=now.activations_source)
        for before, now in zip(before_pruning(network), network.layers, strict=True)
    )
    return replace(network, layers=layers)


Scores = Callable[[Network, Arrays, Biases, int], Arrays]


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


CRITERIA: dict[str, Scores] = {
    "l1": lambda network, weights, biases, seed: {name: score.l1(w) for name, w in weights.items()},
    "l2": lambda network, weights, biases, seed: {name: score.l2(w) for name, w in weights.items()},
    "wanda": _wanda,
    "taylor": _taylor,
    "obd": _obd,
    "apoz": _apoz,
    "random": lambda network, weights, biases, seed: {
        name: score.random(w.shape, seed=seed + at) for at, (name, w) in enumerate(weights.items())
    },
}
"""From (network, weights and biases by layer, seed) to scores by layer."""

Asked = dict[str, float | None]


def _answers(network: Network, recipe: Recipe) -> list[str]:
    """The last layer of a chain where neurons are pruned."""
    return [network.layers[-1].name] if network.chained and recipe.pattern == "neuron" else []


def _wanted(recipe: Recipe, weights: Arrays, layer_density: Mapping[str, float], whole: list[str]) -> list[Asked]:
    """The density of every layer at every step."""
    for name, density in layer_density.items():
        if name not in weights:
            raise unknown("layer_density", name, weights)
        field = f"layer_density of {name}"
        require(name not in whole, field, density, "must be left out, neurons of the last layer are answers")
        require(is_number(density) and 0 <= density <= 1, field, density, "must be in 0..1")
        iterable = density > 0 or recipe.schedule != "iterative"
        require(iterable, field, density, "must be above 0, iterative steps always leave some")
    local = not layer_density or recipe.scope == "local"
    require(local, "scope", recipe.scope, "must be local with densities of layers")
    asked = {name: layer_density.get(name, recipe.density) for name in weights}
    if recipe.pattern == "nm":
        return [asked]
    rule = "must be a fraction of the weights to keep, 0 to 1"
    require(None not in asked.values(), "density", recipe.density, rule)
    curves = {name: SCHEDULES[recipe.schedule](density or 0.0, recipe.steps) for name, density in asked.items()}
    steps = max(curve.steps for curve in curves.values())
    return [{name: curve(step) for name, curve in curves.items()} for step in range(1, steps + 1)]


def _selected(
    scores: Arrays,
    asked: Asked,
    shape: Pattern,
    recipe: Recipe,
    weights: Arrays,
    whole: list[str],
    before: Selection | None,
) -> Selection:
    """What stays of every layer, among what stayed before; the layers of `whole` are not pruned."""
    chosen = [name for name in weights if name not in whole]
    given: dict[str, Any] = {
        "floor": recipe.floor,
        "within": None if before is None else {name: before.layers[name].mask for name in chosen},
        "shapes": {name: weights[name].shape for name in chosen},
    }
    among = {name: scores[name] for name in chosen}
    if recipe.scope == "local":
        kept = locally(among, {name: asked[name] for name in chosen}, pattern=shape, **given)
    else:
        density = asked[chosen[0]]
        assert density is not None and isinstance(shape, pattern.Grouped)  # a recipe makes sure of both
        kept = globally(among, density, pattern=shape, **given)
    masks = {name: np.ones(weights[name].shape, np.bool_) for name in whole}
    rest = {name: PruneResult(mask=m, asked=1.0, kept=m.size, total=m.size) for name, m in masks.items()}
    layers = {name: (kept.layers | rest)[name] for name in weights}
    total = sum(layer.total for layer in layers.values())
    asked_of_all = (kept.asked * kept.total + sum(layer.total for layer in rest.values())) / total
    return replace(kept, layers=layers, asked=asked_of_all if rest else kept.asked)


def _epochs_of_steps(recipe: Recipe, steps: int) -> int:
    """Epochs of one of so many steps: all of them together are what the recipe says, or one each."""
    return max(recipe.epochs // steps, 1) if recipe.epochs else 0


def _training(recipe: Recipe, epochs: int) -> TrainConfig:
    return TrainConfig(
        epochs=epochs,
        learning_rate=recipe.learning_rate,
        l1=recipe.penalty_l1,
        l2=recipe.penalty_l2,
        distillation=recipe.distillation,
        seed=recipe.seed,
    )


def _network_of(network: Network, weights: Arrays, biases: Biases, kept: Selection, recipe: Recipe) -> Network:
    before = before_pruning(network)
    layers = tuple(
        replace(
            layer,
            weights=weights[layer.name],
            bias=biases[layer.name],
            weights_source=f"{source.weights_source}, {_how(recipe, kept.layers[layer.name])}",
            stored=None,
        )
        for layer, source in zip(network.layers, before, strict=True)
    )
    return replace(network, layers=layers, dense_layers=before)


def _how(recipe: Recipe, kept: PruneResult) -> str:
    """The recipe in words fit for a table."""
    trained = f", trained {recipe.epochs} epochs" if recipe.epochs else ""
    return f"pruned: {recipe.pattern}, {recipe.criterion}, {recipe.scope}, density {kept.achieved:.4g}{trained}"
