"""Prune a network as a recipe says, train what is left, and take out what nothing depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, require_type
from eie_sim.network import Network
from eie_sim.network.graph import Graph
from eie_sim.prune import Pattern, Selection, globally, locally, score
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
from eie_sim.prune.parameters import prune_graph
from eie_sim.prune.pruned_training import training_of
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.smaller import without_dead
from eie_sim.prune.steps import LayerDensities, densities_by_step, in_steps, scores_of_weights, shape_of
from eie_sim.prune.train import ScoreGradients, TrainConfig, score_gradients

Progress = Callable[[str], None]
Scores = Callable[[Network, Arrays, Biases, int], Arrays]
"""From (network, weights and biases by layer, seed) to scores by layer."""

Update = Callable[[Network, Arrays, dict[str, NDArray[np.bool_]]], Arrays]
"""From (network, weights, masks by layer) to the weights that stay, moved; those pruned are set to 0 afterwards."""


@overload
def prune_network(
    network: Network,
    recipe: Recipe,
    config: Any,
    *,
    layer_density: Mapping[str, float] | None = None,
    scores_of: Scores | None = None,
    shape: Pattern | Mapping[str, Pattern] | None = None,
    update: Update | None = None,
    progress: Progress = ...,
) -> tuple[Network, Selection]: ...


@overload
def prune_network(
    network: Graph,
    recipe: Recipe,
    config: Any,
    *,
    layer_density: Mapping[str, float] | None = None,
    progress: Progress = ...,
) -> tuple[Graph, Selection]: ...


def prune_network(
    network: Network | Graph,
    recipe: Recipe,
    config: Any,
    *,
    layer_density: Mapping[str, float] | None = None,
    scores_of: Scores | None = None,
    shape: Pattern | Mapping[str, Pattern] | None = None,
    update: Update | None = None,
    progress: Progress = lambda step: None,
) -> tuple[Network | Graph, Selection]:
    """Prune the layers from their weights before pruning, where the network has them, or the parameters of a graph.

    config : the design, which the balanced pattern takes its PEs from
    layer_density : by layer, or parameter, for those that have one of their own; the others have the recipe's
    scores_of, shape : a criterion and a pattern, or one for each layer, of your own in place of the recipe's
    update : moves the weights that stay, as second-order methods do; before any training

    In a chain the neuron pattern takes the columns that read a pruned neuron along, density is of the weights of the
    whole network, and neurons of the last layer stay: they are the answers.

    A graph keeps its shapes; density is of each parameter, patterns are laid over the matrices of products
    (`parameters.views_of`), and criteria that need labelled inputs, training and removal are refused.
    Returns the pruned network and what was kept, by layer or parameter. Raises InputError, naming the layer.
    """
    require_type("network", network, Network, Graph)
    require_type("recipe", recipe, Recipe)
    recipe.require_of_weights()
    if isinstance(network, Graph):
        for field, own in (("scores_of", scores_of), ("shape", shape), ("update", update)):
            require(own is None, field, type(own).__name__, "must be left out for a graph")
        return prune_graph(network, recipe, config, density_of=layer_density or {}, progress=progress)
    require_relu(network)
    weights, biases = weights_of(network)
    chosen: Any = shape_of(recipe, config) if shape is None else shape
    criterion = CRITERIA.get(recipe.criterion) if scores_of is None else scores_of
    for name, density in (layer_density or {}).items():
        whole = network.chained and recipe.pattern == "neuron" and name in weights
        rule = "must be left out, neurons are pruned to a density of the network's weights"
        require(not whole, f"layer_density of {name}", density, rule)
    asked = densities_by_step(recipe, weights, layer_density or {})
    teacher = mlp_of(weights, biases) if network.chained else None
    rng, trainings = np.random.default_rng(recipe.seed), list(_trainings(recipe, len(asked)))

    def select(weights: Arrays, asked: LayerDensities, before: Selection | None) -> Selection:
        scores = (
            scores_of_weights(recipe.criterion, weights, recipe.seed)
            if criterion is None
            else criterion(network, weights, biases, recipe.seed)
        )
        assert scores is not None
        return _selected(network, scores, asked, chosen, recipe, weights, before)

    train = training_of(biases, lambda: require_training(network, f"epochs={recipe.epochs}"), trainings, teacher, rng)
    moved = (lambda weights, masks: weights) if update is None else partial(update, network)
    weights, kept = in_steps(
        weights, asked, select, update=moved, train=train, progress=lambda step: progress(f"{network.name}: {step}")
    )
    pruned = _network_of(network, weights, biases, kept, recipe, shape)
    return (without_dead(pruned) if recipe.remove else pruned), kept


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
    """Score hidden neurons by what the next layer reads; those of the last layer are not compared."""
    if not network.chained:
        raise InputError("criterion=apoz: needs a chain of layers, in which neurons have readers")
    names, read = list(weights), inputs_of(network, weights, biases)
    found = {name: score.apoz(read[reader]) for name, reader in pairwise(names)}
    return found | {names[-1]: np.ones(len(weights[names[-1]]))}


CRITERIA: dict[str, Scores] = {"wanda": _wanda, "taylor": _taylor, "obd": _obd, "apoz": _apoz}
"""Criteria that look at more than weights."""


def _selected(
    network: Network,
    scores: Arrays,
    asked: LayerDensities,
    shape: Pattern | Mapping[str, Pattern],
    recipe: Recipe,
    weights: Arrays,
    before: Selection | None,
) -> Selection:
    """Select the weights that stay of every layer, among those that stayed before."""
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
    trained = f", trained {recipe.epochs} epochs" if recipe.epochs else ""
    said = {
        name: f"pruned: {recipe.pattern if each is None else each.name}, {recipe.criterion}, {recipe.scope}, "
        f"density {kept.layers[name].achieved:.4g}{trained}"
        for name, each in shapes.items()
    }
    layers = tuple(
        replace(
            layer,
            weights=weights[layer.name],
            bias=biases[layer.name],
            weights_source=f"{source.weights_source.removesuffix(', not pruned')}, {said[layer.name]}",
            stored=None,
        )
        for layer, source in zip(network.layers, before, strict=True)
    )
    return replace(network, layers=layers, dense_layers=before)
