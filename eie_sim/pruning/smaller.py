"""The smaller network that computes the same: neurons that nothing depends on leave with all that is theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eie_sim.errors import require
from eie_sim.prune.removal import LayerArrays, chain, dead, remove
from eie_sim.pruning.measure import dense
from eie_sim.workload import Layer, Network
from eie_sim.workload.network import NO_ACTIVATIONS


def without_dead(network: Network) -> Network:
    """The network without hidden neurons that are constant or that nothing reads, constants added to the next biases.

    Shapes shrink; inputs and outputs of the network stay, and so does what it computes, up to rounding. The layers
    before pruning, which have other shapes, are left behind. Raises InputError for a network that is not chained, and
    for a layer of which nothing would be left.
    """
    require(network.chained, "remove", "True", "must be left out where the layers are no chain")
    arrays = chain(
        [LayerArrays(name=layer.name, weight=dense(layer.weights), bias=layer.bias) for layer in network.layers]
    )
    while True:
        gone = dead(arrays)
        if not any(mask.any() for mask in gone.values()):
            break
        arrays = remove(arrays, {name: ~mask for name, mask in gone.items()}, fold_constants=True)
    layers = tuple(_layer(before, after) for before, after in zip(network.layers, arrays.layers, strict=True))
    first = replace(
        layers[0],
        activations=network.layers[0].activations,
        activations_source=network.layers[0].activations_source,
    )
    return replace(network, layers=(first, *layers[1:]), dense_layers=None)


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
