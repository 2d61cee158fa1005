"""Stages that points share, in their order: layers, orderings, pruned networks. Each is made once.

| points that differ in                                  | share                                                     |
| ------------------------------------------------------ | --------------------------------------------------------- |
| designs, but for balanced masks                        | the pruned weights                                        |
| density (by magnitude, each layer by itself)           | one ordering of the weights                               |
| input vector                                           | all of the above                                          |

What designs share besides is their unit's to say, and kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.network import Layer, Network
from eie_sim.passed_on import passed_on
from eie_sim.pipeline import run_network
from eie_sim.prune import prune_network
from eie_sim.prune.measure import N_MEASURED, dense, held_back, inputs_of, mlp_of
from eie_sim.prune.mlp import accuracy
from eie_sim.prune.ordering import MAX_DENSITIES, ordering
from eie_sim.prune.recipe import Recipe
from eie_sim.runs import Run
from eie_sim.study.points import Point
from eie_sim.study.subject import Subject
from eie_sim.units.swept import Kept, Swept, SweptLayer

BY_MAGNITUDE = tuple(Recipe(density=1.0, criterion=criterion) for criterion in ("l1", "l2"))
"""Layers pruned by recipes that differ from these in density only are pruned along one ordering."""


class Stages:
    """The stages of one subject in one worker."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._kept = Kept()

    def names(self, point: Point) -> tuple[str, ...]:
        """The layers of a point."""
        return self.subject.layers if point.layer is None else (point.layer,)

    def swept(self, point: Point, kept: Kept) -> Swept:
        """Return all that points which differ in their designs only have in common. kept : what their unit keeps."""
        recipe, config = point.recipe, point.design
        return Swept(
            layers=tuple(self._swept_layer(name, recipe, config) for name in self.names(point)),
            vector=point.vector,
            recipe=recipe,
            weights=self._pruned_by(recipe, config),
            chained=self.subject.chained,
            table=self.subject.table,
            verify=self.subject.verify,
            passed_on=partial(self._passed_on, recipe),
            accuracy=partial(self._accuracy, recipe, config),
            verified=partial(self.verified, self.names(point), recipe),
            kept=kept,
        )

    def _swept_layer(self, name: str, recipe: Recipe | None, config: Any) -> SweptLayer:
        at, network = self.subject.layers.index(name), self.subject.network
        return SweptLayer(
            name=name,
            n_vector=self.subject.n_vectors[at],
            stored=None if recipe is not None or network is None else network.layers[at].stored,
            shape=partial(self._shape, at, recipe, config),
            pruned=partial(self.pruned, name, recipe, config),
            before=partial(self._layer, name, before_pruning=recipe is not None),
            places=partial(self._places, name, recipe),
            reads=partial(self._reads, name, recipe, config),
        )

    def pruned(self, layer: str, recipe: Recipe | None, config: Any) -> Layer:
        """A pruned layer with its weights."""
        if recipe is None:
            return self._layer(layer, before_pruning=False)
        by_place = recipe.criterion == "random" and self.subject.network is not None  # its masks depend on the place
        if self.subject.chained or recipe.scope == "global" or by_place:
            return self.network(recipe, config).layer(layer).layers[0]

        def alone() -> Network:
            one, name, seed = self._layer(layer, before_pruning=True), self.subject.name, self.subject.seed
            network = Network(name=layer, layers=(one,), chained=False, source=name, seed=seed)
            return prune_network(network, recipe, config)[0]

        return self._kept.get("network", (layer, self._pruned_by(recipe, config)), alone, most=2).layers[0]

    def network(self, recipe: Recipe | None, config: Any) -> Network:
        """All layers of a network that is there as a whole, pruned."""
        network = self.subject.network
        if network is None:
            raise InputError(f"scope=global: must be local for {self.subject.name}, whose layers are drawn one by one")
        if recipe is None:
            return network
        key = self._pruned_by(recipe, config)
        return self._kept.get("network", key, lambda: prune_network(network, recipe, config)[0], most=2)

    def _pruned_by(self, recipe: Recipe | None, config: Any) -> Hashable:
        """Return all that the pruned weights depend on; only balanced masks depend on the design."""
        return recipe, getattr(config, "n_pe", None) if recipe is not None and recipe.pattern == "balanced" else None

    def _shape(self, at: int, recipe: Recipe | None, config: Any) -> tuple[int, int]:
        """(n_out, n_in) of a pruned layer, smaller where neurons were removed."""
        if recipe is not None and recipe.remove:
            found = self.pruned(self.subject.layers[at], recipe, config)
            return found.n_out, found.n_in
        return self.subject.shapes[at]

    def _places(self, layer: str, recipe: Recipe | None) -> tuple[NDArray[np.int64], NDArray[np.int32]] | None:
        """Return the places of a layer's weights, pruned by magnitude by itself; None where more is needed of it."""
        if recipe is None or recipe.density is None or self.subject.chained or self.subject.verify:
            return None
        densities = self.subject.densities
        few = len(densities) <= MAX_DENSITIES and recipe.density in densities
        if not few or all(recipe != replace(each, density=recipe.density, seed=recipe.seed) for each in BY_MAGNITUDE):
            return None
        weights = self._layer(layer, before_pruning=True).weights
        return self._kept.get("ordering", layer, lambda: ordering(weights, densities)).at(recipe.density)

    def _layer(self, name: str, *, before_pruning: bool) -> Layer:
        make = self.subject.layer
        return self._kept.get("layer", (name, before_pruning), lambda: make(name, before_pruning=before_pruning))

    def _reads(self, layer: str, recipe: Recipe | None, config: Any) -> NDArray[Any]:
        if self.subject.chained:
            network = self.network(recipe, config)
            weights = {each.name: dense(each.weights) for each in network.layers}
            return inputs_of(network, weights, {each.name: each.bias for each in network.layers})[layer]
        given = self.pruned(layer, recipe, config).activations
        assert given is not None  # the subject has vectors
        return given[:N_MEASURED]

    def _passed_on(self, recipe: Recipe | None, config: Any) -> tuple[dict[str, NDArray[Any]], float | None]:
        network = self.network(recipe, config)
        found = passed_on(network, config)
        return {one.product.name: one.words() for one in found.products}, found.accuracy

    def _accuracy(
        self, recipe: Recipe | None, config: Any, stored: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> float | None:
        if self.subject.network is None or held_back(self.subject.network) is None:
            return None
        network = self.network(recipe, config)
        judged = held_back(network)
        assert judged is not None
        weights = {layer.name: stored(dense(layer.weights)) for layer in network.layers}
        return float(accuracy(mlp_of(weights, {layer.name: layer.bias for layer in network.layers}), judged))

    def run(self, point: Point) -> tuple[Run, set[str]]:
        """A run of a point, and the names of those of its rows that are the point's; a chain is run as a whole."""
        names, given = self.names(point), self.subject.table
        network = self._network_of(names, point.recipe, point.design)
        done = run_network(
            network if point.vector is None else _with_one_vector(network, point.vector),
            point.design,
            table=None if given is None else given.at(point.design),
        )
        require_verified(done)
        return done, set(names)

    def _network_of(self, names: tuple[str, ...], recipe: Recipe | None, config: Any) -> Network:
        """A pruned network that can be run for some of its layers: the whole chain, or just these."""
        if self.subject.chained:
            return self.network(recipe, config)
        layers = tuple(self.pruned(name, recipe, config) for name in names)
        return Network(name=self.subject.name, layers=layers, chained=False, source="", seed=self.subject.seed)

    def verified(self, names: tuple[str, ...], recipe: Recipe | None, config: Any) -> dict[str, Any]:
        """Compressed layers by name, run and compared with the golden product. Raises InputError where they differ."""
        run = run_network(self._network_of(names, recipe, config), config)
        require_verified(run)
        return {done.layer.name: done.matrix for done in run.layers}


def require_verified(done: Run) -> None:
    """Raise InputError where layers of a run differ from the golden product."""
    if not done.verified:
        raise InputError(f"outputs: differ from the golden product: {'; '.join(done.record.differs)}")


def _with_one_vector(network: Network, at: int) -> Network:
    """The network with one of its input vectors, which nobody labels."""
    layers = tuple(
        layer if layer.activations is None else replace(layer, activations=layer.activations[at : at + 1])
        for layer in network.layers
    )
    inputs = None if network.test_inputs is None else network.test_inputs[at : at + 1]
    return replace(network, layers=layers, test_inputs=inputs, test_labels=None)
