"""Prune a network as a recipe says: criterion, pattern, density and scope, for one layer or all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.cost import cost_of
from eie_sim.errors import InputError, require_one_of, unknown
from eie_sim.prune import Pattern, Selection, globally, locally, magnitude, pattern, score
from eie_sim.prune.kinds import Grouped
from eie_sim.prune.sensitivity import Point, Progress, reconstruction_error, scan
from eie_sim.workload import Layer, Network

SCOPES = ("local", "global")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to prune.

    Parameters
    ----------
    density
        Fraction of the weights to keep, 0 to 1; the N:M pattern fixes its own.
    pattern
        element, nm, block, neuron, input, or balanced (as many weights for every PE of the design).
    criterion
        l1, l2, wanda (needs recorded activations), or random.
    scope
        local (every layer to the density) or global (one threshold over all layers).
    floor
        Least density of any layer.
    n_keep
        Weights kept in each group of the nm pattern.
    m_group
        Weights in a group of the nm pattern, along the inputs.
    block_rows
        Rows of a block.
    block_cols
        Columns of a block.
    window
        Columns over which balanced counts are equal; all where left out.
    seed
        Of the random criterion.
    """

    density: float | None = None
    pattern: str = "element"
    criterion: str = "l1"
    scope: str = "local"
    floor: float = 0.0
    n_keep: int = 2
    m_group: int = 4
    block_rows: int = 4
    block_cols: int = 4
    window: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pattern not in PATTERNS:
            raise unknown("pattern", self.pattern, PATTERNS)
        if self.criterion not in CRITERIA:
            raise unknown("criterion", self.criterion, CRITERIA)
        require_one_of("scope", self.scope, SCOPES)

    def to_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return asdict(self)


PATTERNS: dict[str, Callable[[Recipe, Any], Pattern]] = {
    "element": lambda recipe, config: pattern.element(),
    "nm": lambda recipe, config: pattern.nm(recipe.n_keep, recipe.m_group),
    "block": lambda recipe, config: pattern.block(recipe.block_rows, recipe.block_cols),
    "neuron": lambda recipe, config: pattern.neuron(),
    "input": lambda recipe, config: pattern.input(),
    "balanced": lambda recipe, config: pattern.balanced(config, recipe.window),
}

CRITERIA: dict[str, Callable[[NDArray[Any], Layer, int], NDArray[Any]]] = {
    "l1": lambda weights, layer, seed: score.l1(weights),
    "l2": lambda weights, layer, seed: score.l2(weights),
    "wanda": lambda weights, layer, seed: score.wanda(weights, _given(layer)),
    "random": lambda weights, layer, seed: score.random(weights.shape, seed=seed),
}


def prune_network(network: Network, recipe: Recipe, config: Any) -> tuple[Network, Selection]:
    """Prune the layers from their weights before pruning, where the network has them.

    config : the design, which the balanced pattern takes its PEs from

    Returns the pruned network, biases untouched, and what was kept. Raises InputError, naming the layer.
    """
    shape = PATTERNS[recipe.pattern](recipe, config)
    sources = network.dense_layers or network.layers
    weights = {layer.name: _dense(layer.weights) for layer in sources}
    scores = {
        layer.name: CRITERIA[recipe.criterion](weights[layer.name], layer, recipe.seed + at)
        for at, layer in enumerate(network.layers)
    }
    if recipe.scope == "local":
        kept = locally(scores, recipe.density, pattern=shape, floor=recipe.floor)
    elif recipe.density is None or not isinstance(shape, Grouped):
        raise InputError(f"scope=global: needs a density and a pattern of groups, not {recipe.pattern}")
    else:
        kept = globally(scores, recipe.density, pattern=shape, floor=recipe.floor)
    layers = tuple(_pruned(layer, weights[layer.name], kept, recipe) for layer in network.layers)
    return replace(network, layers=layers, dense_layers=sources), kept


def scan_network(
    network: Network,
    densities: Sequence[float],
    quantity: str,
    config: Any,
    *,
    progress: Progress = lambda step: None,
) -> list[Point]:
    """Prune one layer at a time by magnitude, from its weights before pruning, and measure quality and cost.

    quantity : what a layer costs on the design `config`: weights, bytes, cycles or energy; see `cost`

    Quality is accuracy where the network has labelled test inputs, else minus the relative squared error of the outputs
    of the layer on its own activations. Raises InputError.
    """
    sources = network.dense_layers or network.layers
    weights = {layer.name: _dense(layer.weights) for layer in sources}
    biases = {layer.name: layer.bias for layer in sources}
    inputs = {layer.name: _given(layer) for layer in network.layers}
    labelled = network.chained and network.test_labels is not None

    def quality_of(pruned: Mapping[str, NDArray[Any]]) -> float:
        if labelled:
            return _accuracy(network, pruned, biases)
        errors = (reconstruction_error(weights[name], pruned[name], inputs[name]) for name in weights)
        return -sum(errors)

    return scan(
        weights,
        densities,
        mask_of=lambda w, density: magnitude(w, density=density).mask,
        quality_of=quality_of,
        cost_of=cost_of(quantity, config, inputs, biases),
        progress=progress,
    )


def _accuracy(network: Network, weights: Mapping[str, NDArray[Any]], biases: Mapping[str, Any]) -> float:
    """Share of the test inputs classified rightly in floats, ReLU between layers."""
    values = network.test_inputs
    assert values is not None and network.test_labels is not None
    for at, (name, w) in enumerate(weights.items()):
        values = (values if at == 0 else np.maximum(values, 0)) @ w.T
        values = values if biases[name] is None else values + biases[name]
    return float(np.mean(values.argmax(axis=1) == network.test_labels))


def _given(layer: Layer) -> NDArray[Any]:
    if layer.activations is None:
        raise InputError(f"activations=none: layer {layer.name} needs some to be measured")
    return layer.activations


def _pruned(layer: Layer, weights: NDArray[Any], kept: Selection, recipe: Recipe) -> Layer:
    result = kept.layers[layer.name]
    how = f"pruned: {recipe.pattern}, {recipe.criterion}, {recipe.scope}, density {result.achieved:.4g}"
    pruned = np.where(result.mask, weights, weights.dtype.type(0))
    return replace(layer, weights=pruned, weights_source=f"{layer.weights_source}, {how}", stored=None)


def _dense(weights: Any) -> NDArray[Any]:
    return np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)
