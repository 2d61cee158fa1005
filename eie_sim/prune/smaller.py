"""The smaller network that computes the same: neurons that nothing depends on leave with all that is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eie_sim.core.errors import require
from eie_sim.network import Layer, Network
from eie_sim.network.layers import NO_ACTIVATIONS
from eie_sim.prune.measure import dense
from eie_sim.prune.removal import LayerArrays, chain, dead, remove


def without_dead(network: Network) -> Network:
    """The network without hidden neurons that are constant or that nothing reads, constants added to the next biases.

    Shapes shrink; inputs and outputs of the network stay, and so does what it computes, up to rounding. The layers
    before pruning, which have other shapes, are left behind. Raises InputError for a network that is not chained, and
    for a layer of which nothing would be left.
    """
    require(network.chained, "remove", "True", "must be left out where the layers are no chain")
    smaller = shrunk(
        [LayerArrays(name=layer.name, weight=dense(layer.weights), bias=layer.bias) for layer in network.layers]
    )
    layers = tuple(_layer(before, after) for before, after in zip(network.layers, smaller, strict=True))
    first = replace(
        layers[0],
        activations=network.layers[0].activations,
        activations_source=network.layers[0].activations_source,
    )
    return replace(network, layers=(first, *layers[1:]), dense_layers=None)


def shrunk(layers: Sequence[LayerArrays]) -> tuple[LayerArrays, ...]:
    """The layers of a chain without dead neurons, until there are none; see `without_dead`."""
    arrays = chain(layers)
    while True:
        gone = dead(arrays)
        if not any(mask.any() for mask in gone.values()):
            return arrays.layers
        arrays = remove(arrays, {name: ~mask for name, mask in gone.items()}, fold_constants=True)


def _layer(before: Layer, after: LayerArrays) -> Layer:
    gone = before.n_out - after.n_out
    return Layer(
        name=before.name,
        weights=np.ascontiguousarray(after.weight),
        bias=after.bias,
        weights_source=before.weights_source + (f", {gone} of {before.n_out} neurons removed" if gone else ""),
        activations_source=NO_ACTIVATIONS,
        synthetic=before.synthetic,
    )
