"""Stages that points of a graph of operators share. Each is made once.

| points that differ in                                  | share                                                     |
| ------------------------------------------------------ | --------------------------------------------------------- |
| designs, of one unit and the same patterns             | the pruned graph and its products                         |
| what only time depends on                              | one run of the outputs, whose values products read        |
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.sparse import weights_digest
from eie_sim.graphs import steps_for, style_of
from eie_sim.network import Layer
from eie_sim.network.graph import Graph
from eie_sim.network.lower import host_reason
from eie_sim.network.products import Product, Step
from eie_sim.passed_on import Multiplied, passed_on
from eie_sim.pipeline import run
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.runs import Run
from eie_sim.study.points import Point
from eie_sim.study.stages import require_verified
from eie_sim.study.subject import Subject
from eie_sim.units import unit_of
from eie_sim.units.swept import Kept, Swept, SweptLayer


class _Lowered(NamedTuple):
    """A graph as a unit takes it. again : names of products whose weights are stored for a node before"""

    graph: Graph
    steps: tuple[Step, ...]
    again: frozenset[str]


class GraphStages:
    """The stages of one graph in one worker."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._kept = Kept()

    def swept(self, point: Point, kept: Kept) -> Swept:
        """Return all that points which differ in their designs only have in common. kept : what their unit keeps."""
        config, unit = point.design, unit_of(point.design)
        lowered = self._lowered(point.recipe, config)
        layers = [
            SweptLayer(
                name=product.name,
                n_vector=product.positions,
                stored=None,
                shape=partial(_shape, product),
                pruned=partial(_layer, product),
                before=partial(_layer, product),
                places=lambda: None,
                reads=partial(self._reads, point.recipe, config, product.name),
                n_weight=product.n_weight,
                launch=product.launch if unit.launch is not None else "",
                again=product.name in lowered.again,
                gathered=product.gathered(product.positions),
                steps=product.steps,
                pattern=step.pattern,
            )
            for step in _wanted(lowered, point)
            for product in step.products
        ]
        return Swept(
            layers=tuple(layers),
            vector=None,
            recipe=point.recipe,
            weights=(*_pruned_by(point.recipe, config), *_lowered_by(point.recipe, config)),
            chained=True,
            table=self.subject.table,
            verify=self.subject.verify,
            passed_on=partial(self._passed_on, point.recipe),
            accuracy=lambda stored: None if self._graph.labels is None else self._passed_on(point.recipe, config)[1],
            verified=partial(self._verified, point.recipe),
            kept=kept,
        )

    def run(self, point: Point) -> tuple[Run, set[str]]:
        """A run of a point's graph, and the names of those of its rows that are the point's."""
        design, given = point.design, self.subject.table
        lowered = self._lowered(point.recipe, design)
        steps = _wanted(lowered, point)
        done = run(
            lowered.graph,
            design,
            pattern=_pattern_text(point.recipe),
            table=None if given is None else given.at(design),
        )
        require_verified(done)
        names = {name for step in steps for name in (step.node.name, *(one.name for one in step.products))}
        return done, names

    def _verified(self, recipe: Recipe | None, config: Any) -> dict[str, Any]:
        done = run(self._pruned(recipe, config), config, pattern=_pattern_text(recipe))
        require_verified(done)
        return {one.layer.name: one.matrix for one in done.layers}

    def _pruned(self, recipe: Recipe | None, config: Any) -> Graph:
        def made() -> Graph:
            return self._graph if recipe is None else prune_network(self._graph, recipe, config)[0]

        return self._kept.get("pruned", _pruned_by(recipe, config), made, most=2)

    @property
    def _graph(self) -> Graph:
        assert self.subject.graph is not None
        return self.subject.graph

    def _lowered(self, recipe: Recipe | None, config: Any) -> _Lowered:
        def made() -> _Lowered:
            graph = self._pruned(recipe, config)
            steps = steps_for(graph, config, style_of(config, pattern=_n_of_m(recipe)))
            return _Lowered(graph, steps, frozenset(again(steps)))

        return self._kept.get("lowered", (*_pruned_by(recipe, config), *_lowered_by(recipe, config)), made, most=2)

    def _passed_on(self, recipe: Recipe | None, config: Any) -> tuple[Words, float | None]:
        done = passed_on(self._pruned(recipe, config), config, pattern=_n_of_m(recipe))
        return Words({one.product.name: one for one in done.products}), done.accuracy

    def _reads(self, recipe: Recipe | None, config: Any, name: str) -> NDArray[Any]:
        return self._passed_on(recipe, config)[0].products[name].vectors()


class Words(Mapping[str, NDArray[Any]]):
    """Inputs of products in a run, by name, in the unit's words [positions, n_in]; made when one is asked for."""

    def __init__(self, products: Mapping[str, Multiplied]) -> None:
        self.products = products

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.products[name].words()

    def __iter__(self) -> Iterator[str]:
        return iter(self.products)

    def __len__(self) -> int:
        return len(self.products)


def _n_of_m(recipe: Recipe | None) -> Pattern | None:
    """Return the pattern that products are compressed for; None where their weights say it."""
    return None if recipe is None else recipe.n_of_m


def _pattern_text(recipe: Recipe | None) -> str | None:
    """The same for a run of weights that meet it: pruning these to it changes nothing."""
    pattern = _n_of_m(recipe)
    return None if pattern is None else f"{pattern[0]}:{pattern[1]}"


def _pruned_by(recipe: Recipe | None, config: Any) -> tuple[Hashable, ...]:
    """Return all that the pruned parameters depend on; only balanced masks depend on the design."""
    return recipe, config if recipe is not None and recipe.pattern == "balanced" else None


def _lowered_by(recipe: Recipe | None, config: Any) -> tuple[Hashable, ...]:
    """Return all that the products of a graph depend on."""
    return unit_of(config).name, style_of(config, pattern=_n_of_m(recipe)), unit_of(config).patterns(config)


def _wanted(lowered: _Lowered, point: Point) -> tuple[Step, ...]:
    """The steps of a point. Raises InputError for a node that the unit leaves to the host."""
    if point.layer is None:
        return lowered.steps
    found = tuple(step for step in lowered.steps if step.node.name == point.layer)
    if not found:
        node = next(node for node in lowered.graph.nodes if node.name == point.layer)
        reason = host_reason(lowered.graph, node, style_of(point.design))
        raise InputError(f"layer={point.layer}: is left to the host by {unit_of(point.design).title}: {reason}")
    return found


def again(steps: tuple[Step, ...]) -> Iterator[str]:
    """Names of products whose node has the weights and biases of one before."""
    seen: set[tuple[bytes, ...]] = set()
    for step in steps:
        if step.weighs:
            continue
        digest = tuple(weights_digest(product.weight, product.bias) for product in step.products)
        if digest in seen:
            yield from (product.name for product in step.products)
        seen.add(digest)


def _shape(product: Product) -> tuple[int, int]:
    return product.n_out, product.n_in


def _layer(product: Product) -> Layer:
    return Layer(
        name=product.name,
        weights=product.weight,
        bias=product.bias,
        weights_source="of a graph",
        synthetic=False,
    )
