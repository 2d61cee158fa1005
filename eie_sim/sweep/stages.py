"""What points share, in the order in which it is made: pruned layers, inputs, columns, counts. Each is made once.

| points that differ in                                  | share                                                     |
| ------------------------------------------------------ | --------------------------------------------------------- |
| queue depth, clock, node, sizes of memories            | entries counted by column and PE, and what PEs read       |
| Spmat width, which inputs are active                   | entries counted by column and PE                          |
| PEs, bits of a gap                                     | the pruned non-zeros, which are counted again             |
| density (by magnitude, each layer by itself)           | one ordering of the weights                               |
| input vector                                           | all of the above                                          |
| bits of a code or accumulator, in a chain of layers    | the pruned weights; activations are computed again        |

A layer that is no part of a chain needs no codes and no entries: its inputs are given, and time depends on where its
weights are, not on what they are. In a chain each layer reads what the 16-bit arithmetic makes of the layer before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from eie_sim.archive.content import require_bits
from eie_sim.core import quantize
from eie_sim.core.errors import InputError
from eie_sim.core.fixed import to_fixed
from eie_sim.pipeline import chained
from eie_sim.pruning import prune_network
from eie_sim.recipe import Recipe
from eie_sim.sweep.ordering import MAX_DENSITIES, Ordering, ordering
from eie_sim.sweep.subject import Subject
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import EieCounts, counted
from eie_sim.units.eie.encoding import Columns, append_column, columns_of
from eie_sim.workload import Layer, Network

Made = TypeVar("Made")
BY_MAGNITUDE = tuple(Recipe(density=1.0, criterion=criterion) for criterion in ("l1", "l2"))
"""Layers pruned by recipes that differ from these in density only are pruned along one ordering."""


class NonZeros(NamedTuple):
    """Where the weights of a layer are, column by column, a bias being one more column.

    starts : int64[n_column + 1]; rows : int32[n_weight]
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    has_bias: bool


class Inputs(NamedTuple):
    """What the layers read: raw words int16[n_vector, n_in] by layer; and the accuracy of a labelled chain."""

    raw: dict[str, NDArray[np.int16]]
    accuracy: float | None


class Last:
    """The last few things made, by what they were made from."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What is kept under a key, made now where it is not."""
        if key not in self._kept:
            while len(self._kept) >= self._size:
                self._kept.popitem(last=False)  # before the next is made, so that both never fill memory
            self._kept[key] = make()
        self._kept.move_to_end(key)
        found: Made = self._kept[key]
        return found


class Stages:
    """The stages of one subject in one worker."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._layers, self._orderings, self._networks = Last(1), Last(1), Last(2)
        self._chains, self._inputs = Last(2), Last(len(subject.layers))
        self._nonzeros, self._counts = Last(1 + len(subject.layers)), Last(1 + len(subject.layers))

    def counts(self, layer: str, recipe: Recipe | None, config: EieConfig) -> EieCounts:
        """Entries by column and PE of a layer in the format of a design."""
        if recipe is None and self.subject.network is not None:  # pruned again, codes are made again
            require_bits(next(each for each in self.subject.network.layers if each.name == layer), config)
        key = layer, self._pruned_by(recipe, config), config.n_pe, config.index_bits
        found = self._counts.get(key, lambda: self._count(layer, recipe, config))
        return found if found.weight_bits == config.weight_bits else replace(found, weight_bits=config.weight_bits)

    def inputs(self, layer: str, recipe: Recipe | None, config: EieConfig) -> Inputs:
        """What a layer reads, as raw words."""
        if not self.subject.chained:
            return self._inputs.get(layer, lambda: self._own_inputs(layer, recipe))
        arithmetic = config.weight_bits, config.accumulator_bits, config.rounding, config.active
        key = self._pruned_by(recipe, config), arithmetic
        return self._chains.get(key, lambda: self._chain(recipe, config))

    def nonzeros(self, layer: str, recipe: Recipe | None, config: EieConfig) -> NonZeros:
        """Where the weights of a pruned layer are."""
        key = layer, self._pruned_by(recipe, config)
        return self._nonzeros.get(key, lambda: self._find(layer, recipe, config))

    def pruned(self, layer: str, recipe: Recipe | None, config: Any) -> Layer:
        """A pruned layer with its weights."""
        if recipe is None:
            return self._layer(layer, before_pruning=False)
        if self.subject.chained or recipe.scope == "global" or self._is_drawn_by_place(recipe):
            return self.network(recipe, config).layer(layer).layers[0]
        key = layer, self._pruned_by(recipe, config)
        return self._networks.get(key, lambda: self._prune_one(layer, recipe, config)).layers[0]

    def network(self, recipe: Recipe | None, config: Any) -> Network:
        """All layers of a network that is there as a whole, pruned."""
        network = self.subject.network
        if network is None:
            raise InputError(f"scope=global: must be local for {self.subject.name}, whose layers are drawn one by one")
        if recipe is None:
            return network
        key = self._pruned_by(recipe, config)
        return self._networks.get(key, lambda: prune_network(network, recipe, config)[0])

    def _pruned_by(self, recipe: Recipe | None, config: Any) -> Hashable:
        """What the pruned weights depend on; only balanced masks depend on the design."""
        return recipe, config.n_pe if recipe is not None and recipe.pattern == "balanced" else None

    def _is_drawn_by_place(self, recipe: Recipe) -> bool:
        """True where random masks depend on which layer of a network it is; those of drawn presets are one by one."""
        return recipe.criterion == "random" and self.subject.network is not None

    def _prune_one(self, layer: str, recipe: Recipe, config: Any) -> Network:
        one = self._layer(layer, before_pruning=True)
        network = Network(name=layer, layers=(one,), chained=False, source=self.subject.name, seed=self.subject.seed)
        return prune_network(network, recipe, config)[0]

    def _count(self, layer: str, recipe: Recipe | None, config: EieConfig) -> EieCounts:
        found = self.nonzeros(layer, recipe, config)
        return counted(
            found.starts,
            found.rows,
            self.shape(layer, recipe, config),
            n_pe=config.n_pe,
            weight_bits=config.weight_bits,
            index_bits=config.index_bits,
            has_bias=found.has_bias,
        )

    def shape(self, layer: str, recipe: Recipe | None, config: Any) -> tuple[int, int]:
        """(n_out, n_in) of a pruned layer, smaller where neurons were removed."""
        if recipe is not None and recipe.remove:
            found = self.pruned(layer, recipe, config)
            return found.n_out, found.n_in
        return self.subject.shapes[self.subject.layers.index(layer)]

    def _find(self, layer: str, recipe: Recipe | None, config: EieConfig) -> NonZeros:
        if self._in_one_order(recipe):
            assert recipe is not None and recipe.density is not None
            starts, rows = self._ordered(layer).at(recipe.density)
            bias = self._layer(layer, before_pruning=True).bias
        else:
            found = self.pruned(layer, recipe, config)
            held: Any = found.stored  # its shared values may be 0
            weights, bias = (found.weights, found.bias) if held is None else (held.codes, held.bias_codes)
            (starts, rows, _), _ = columns_of(weights)
        if bias is None:
            return NonZeros(starts, rows, has_bias=False)
        whole = append_column(Columns(starts, rows, np.ones(len(rows), dtype=np.bool_)), np.asarray(bias) != 0)
        return NonZeros(whole.starts, whole.rows, has_bias=True)

    def _in_one_order(self, recipe: Recipe | None) -> bool:
        """True for layers by themselves that are pruned by magnitude, where nothing but places is needed of them."""
        if recipe is None or recipe.density is None or self.subject.chained or self.subject.verify:
            return False
        few = len(self.subject.densities) <= MAX_DENSITIES and recipe.density in self.subject.densities
        return few and any(recipe == replace(each, density=recipe.density, seed=recipe.seed) for each in BY_MAGNITUDE)

    def _ordered(self, layer: str) -> Ordering:
        weights = self._layer(layer, before_pruning=True).weights
        return self._orderings.get(layer, lambda: ordering(weights, self.subject.densities))

    def _layer(self, name: str, *, before_pruning: bool) -> Layer:
        make = self.subject.layer
        return self._layers.get((name, before_pruning), lambda: make(name, before_pruning=before_pruning))

    def _own_inputs(self, name: str, recipe: Recipe | None) -> Inputs:
        """At the scale that a run of the same vectors chooses."""
        layer = self._layer(name, before_pruning=recipe is not None)
        if layer.activations is None:
            raise InputError(f"activations=none: layer {name} needs some")
        given = None if layer.stored is None else layer.stored.scales.activation
        scale = (
            quantize.activation_scale(layer.activations, has_bias=layer.bias is not None) if given is None else given
        )
        return Inputs({name: to_fixed(layer.activations, scale)}, None)

    def _chain(self, recipe: Recipe | None, config: EieConfig) -> Inputs:
        chain = chained(self.network(recipe, config), config)
        return Inputs(chain.inputs, None if chain.accuracy is None else chain.accuracy.compressed)
