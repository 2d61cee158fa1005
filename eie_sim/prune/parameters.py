"""Pruning the parameters of a graph: a mask for each, made on the matrices that products have of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import eie_sim
from eie_sim.core.errors import require
from eie_sim.core.verification import relative_error
from eie_sim.network import floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.integers import magnitudes_of, with_zeros
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.prune import PruneResult, Selection, globally, locally
from eie_sim.prune.counts import keep_count, least_count, nearest_density
from eie_sim.prune.measure import Arrays, dense
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.steps import LayerDensities, Masks, densities_by_step, in_steps, scores_of_weights, shape_of
from eie_sim.units import unit_of

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """A matrix of elements of parameters, which a pattern is laid over.

    parameters : names of those that it is of
    elements : () -> int64 [n_out, n_in], numbers of elements (`Graph.owned`), -1 where there is none; None for the
        only parameter as it is
    """

    name: str
    parameters: tuple[str, ...]
    elements: Callable[[], NDArray[np.int64]] | None = None

    def gathered(self, graph: Graph, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Elements of arrays of the parameters' shapes, by name of parameter; 0 where there is none."""
        if self.elements is None:
            return arrays[self.name]
        numbers = self.elements()
        found = np.zeros(numbers.shape, dtype=np.result_type(*(arrays[name] for name in self.parameters)))
        for name in self.parameters:
            inside, places = graph.owned(numbers, name)
            found[inside] = arrays[name].reshape(-1)[places]
        return found


def prune_graph(
    graph: Graph, recipe: Recipe, config: Any, *, density_of: Mapping[str, float], progress: Progress
) -> tuple[Graph, Selection]:
    """Prune the parameters of all products as `prune_network` says. density_of : by name of parameter"""
    _require_untrained(recipe)
    names = tuple(dict.fromkeys(name for step in steps_of(graph) for one in step.products for name in one.parameters))
    require(len(names) > 0, "network", graph.name, "must have weights that are parameters: all of its are computed")
    weights: Arrays = {name: dense(array) for name, array in magnitudes_of(graph, names).items()}
    views = views_of(graph, recipe, config, names)

    def select(weights: Arrays, asked: LayerDensities, before: Selection | None) -> Selection:
        scores = scores_of_weights(recipe.criterion, weights, recipe.seed)
        scores = _wanda(with_zeros(graph, weights), weights) if scores is None else scores
        return _selected(graph, views, recipe, config, scores, asked, None if before is None else before.masks)

    asked = densities_by_step(recipe, names, density_of)
    weights, kept = in_steps(weights, asked, select, progress=lambda step: progress(f"{graph.name}: {step}"))
    metadata = graph.metadata_with(_recipe_in_words(recipe, density_of))
    return replace(with_zeros(graph, weights), metadata=metadata), kept


def _recipe_in_words(recipe: Recipe, density_of: Mapping[str, float]) -> str:
    """Return the recipe in words for the metadata of a file: its pattern, all else that is unusual, the version."""
    usual = {**Recipe().to_dict(), "pattern": None}
    words = [f"{name} {value}" for name, value in recipe.to_dict().items() if value != usual[name]]
    words += [f"{name} {density:g}" for name, density in density_of.items()]
    return ", ".join([*words, f"by eie-sim {eie_sim.__version__}"])


def _require_untrained(recipe: Recipe) -> None:
    """Raise InputError for what needs a chain of layers, or labelled inputs to learn from."""
    for field, value, refused in (
        ("criterion", recipe.criterion, recipe.criterion in ("taylor", "obd", "apoz")),
        ("epochs", recipe.epochs, recipe.epochs > 0),
        ("distillation", recipe.distillation, recipe.distillation > 0),
        ("remove", recipe.remove, recipe.remove),
    ):
        require(not refused, field, value, "is of chains of layers, a graph has no labelled training inputs")


def views_of(graph: Graph, recipe: Recipe, config: Any, names: Iterable[str]) -> list[View]:
    """Return the matrices that a recipe's pattern is laid over; one that several nodes read in the same way, once.

    Single weights: each parameter. Counts balanced over a design: the products of its unit. Any other pattern: weights
    as rows of [n_out, n_in], groups below each other, of a node's products that are as wide and of the same parameters;
    filled up to whole blocks and, at each tap, to whole groups of N:M. The neurons of products whose outputs no other
    reads are the answers, and are left out, as are rows of gates, which are no neurons.
    """
    if recipe.pattern == "element":
        return [View(name=name, parameters=(name,)) for name in names]
    balanced = recipe.pattern == "balanced"
    style = Style(**unit_of(config).style(config)) if balanced else Style(batched=True)
    style = replace(style, fold=False, two_activations=False)
    style = style if recipe.n_of_m is None else replace(style, pattern=recipe.n_of_m)
    rows, cols = (recipe.block_rows, recipe.block_cols) if recipe.pattern == "block" else (1, 1)
    steps = steps_of(graph, style)
    found: dict[bytes, View] = {}
    taken: set[str] = set()
    for step in _without_answers(graph, steps) if recipe.pattern == "neuron" else steps:
        for products in [[one] for one in step.products] if balanced else _as_wide(step):
            parameters = tuple(dict.fromkeys(name for one in products for name in one.parameters))
            elements = partial(_elements, products, rows, cols)
            key = elements().tobytes()
            if parameters and key not in found:
                name = ", ".join(parameters)
                name = products[0].name if name in taken else name
                taken.add(name)
                found[key] = View(name=name, parameters=parameters, elements=elements)
    require(len(found) > 0, "pattern", recipe.pattern, "has nothing to prune here: every product is an answer")
    return list(found.values())


def _as_wide(step: Step) -> list[list[Product]]:
    """The products of a step, those of the same parameters and with as many columns together."""
    found: dict[Hashable, list[Product]] = {}
    for product in step.products:
        found.setdefault((product.n_in, product.parameters), []).append(product)
    return list(found.values())


def _elements(products: list[Product], rows: int, cols: int) -> NDArray[np.int64]:
    """Elements of products below each other, filled up to whole blocks of rows x cols."""
    numbers = np.concatenate([one.elements for one in products])
    n_out, n_in = numbers.shape
    return np.pad(numbers, ((0, -n_out % rows), (0, -n_in % cols)), constant_values=-1)


def _without_answers(graph: Graph, steps: Iterable[Step]) -> list[Step]:
    """The steps whose outputs another one reads, through whatever stands between."""
    needed: set[str] = set()
    found = []
    at = {node.name: step for step in steps for node in step.nodes}
    for node in reversed(graph.nodes):
        step = at.get(node.name)
        if needed.intersection(node.makes) or step is not None:
            gates = step is not None and any(product.steps for product in step.products)
            if step is not None and node is step.node and needed.intersection(step.makes) and not gates:
                found.append(step)
            needed.update(node.reads)
    return found[::-1]


def _selected(
    graph: Graph,
    views: list[View],
    recipe: Recipe,
    config: Any,
    scores: Arrays,
    asked: LayerDensities,
    before: Masks | None,
) -> Selection:
    """Select the elements that stay of every parameter, among those that stayed before."""
    density: dict[str, Any] = {}
    floor: dict[str, Any] = {}
    within: Masks = {}
    scaled: set[str] = set()
    rounded: dict[str, float] = {}
    for view in views:
        densities = {asked[name] for name in view.parameters}
        require(len(densities) == 1, "layer_density", view.name, "must be the same for parameters of one matrix")
        density[view.name], floor[view.name] = densities.pop(), recipe.floor
        if view.elements is None and recipe.scope == "local":
            size = graph.parameters[view.name].array.size
            density[view.name] = nearest_density(density[view.name], size, floor=recipe.floor)
            rounded[view.name] = float(density[view.name])
        there = None if view.elements is None else view.elements() >= 0
        if there is not None and not there.all():
            within[view.name] = there
            if recipe.pattern == "balanced":  # which counts all places of a matrix
                scaled.add(view.name)
                n, size = int(np.count_nonzero(there)), there.size
                density[view.name] = Fraction(keep_count(density[view.name], n), size)
                floor[view.name] = Fraction(least_count(recipe.floor, n), size)
        if before is not None:
            within[view.name] = view.gathered(graph, before)
    gathered = {view.name: view.gathered(graph, scores) for view in views}
    common: dict[str, Any] = {"pattern": shape_of(recipe, config), "floor": floor, "within": within}
    if recipe.scope == "global":
        whole: Any = next(iter(asked.values())) or 0.0  # the same for all
        if recipe.pattern == "element":
            whole = nearest_density(whole, sum(scored.size for scored in gathered.values()), floor=recipe.floor)
            rounded = dict.fromkeys(gathered, float(whole))
        found = globally(gathered, whole, **common)
    else:
        found = locally(gathered, density, **common)
    masks = _masks_of_parameters(graph, views, found.masks, scores, before)
    said: dict[str, float] = {}
    for view in views:
        by_pattern = found.layers[view.name].asked
        as_asked = view.name in scaled or rounded.get(view.name) == by_pattern  # not where a floor lifted it
        said |= {name: (asked[name] or 0.0) if as_asked else by_pattern for name in view.parameters}
    layers = {
        name: PruneResult(mask=mask, asked=said.get(name, 1.0), kept=int(np.count_nonzero(mask)), total=mask.size)
        for name, mask in masks.items()
    }
    total = sum(layer.total for layer in layers.values())
    overall = sum(Fraction(str(layer.asked)) * layer.total for layer in layers.values()) / total
    return Selection(layers=layers, asked=float(overall), warnings=found.warnings)


def _masks_of_parameters(graph: Graph, views: list[View], found: Masks, scores: Arrays, before: Masks | None) -> Masks:
    """Masks of parameters from those of views; an element that goes from one goes from all."""
    masks = {
        name: np.ones(array.shape, dtype=np.bool_) if before is None else before[name].copy()
        for name, array in scores.items()
    }
    for view in views:
        if view.elements is None:
            masks[view.name] = found[view.name]
            continue
        gone = view.elements()[~found[view.name]]
        for name in view.parameters:
            masks[name].reshape(-1)[graph.owned(gone, name)[1]] = False
    return masks


def _wanda(graph: Graph, weights: Arrays) -> Arrays:
    """|w| times the L2 norm of what it meets in the float run, of the calibration inputs where there are some.

    All positions count, and all nodes that read a weight.
    """
    sums = {name: np.zeros(array.size) for name, array in weights.items()}

    def measured(step: Step, values: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        squares = {product.name: np.zeros(product.n_in) for product in step.products}

        def multiply(product: Product, x: NDArray[Any]) -> NDArray[Any]:
            for chunk in product.vectors(x):
                squares[product.name] += np.einsum("vi,vi->i", chunk, chunk, dtype=np.float64)
            return product.multiply(x)

        step.compute(values, multiply)
        for product in step.products:
            numbers = product.elements
            for name in product.parameters:
                inside, places = graph.owned(numbers, name)
                met = np.broadcast_to(squares[product.name], numbers.shape)[inside]
                sums[name] += np.bincount(places, weights=met, minlength=len(sums[name]))
        return floatrun.framework_values(graph, step, values)

    floatrun.run(graph, steps_of(graph, Style(batched=True, fold=False)), measured, graph.calibration)
    with np.errstate(over="ignore", invalid="ignore"):  # refused where they are compared
        return {
            name: (np.abs(array) * np.sqrt(sums[name].reshape(array.shape))).astype(array.dtype)
            for name, array in weights.items()
        }


def graph_outputs_off(before: Graph, after: Graph) -> dict[str, float | None]:
    """Return how far float outputs are from those before pruning, by name: root mean squares relative to the old ones.

    None where the outputs before are all 0, are no floats, not finite, or have another shape because data choose it.
    """
    was, now = (floatrun.run(graph) for graph in (before, after))
    found = {}
    for name, array in was.items():
        alike = array.dtype.kind == "f" and array.shape == now[name].shape
        found[name] = relative_error(now[name], array) if alike else None
    return found
