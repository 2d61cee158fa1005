"""Codebooks of a pruned network trained on its own samples, codes staying (Deep Compression, section 3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eie_sim.core.errors import require, require_int, require_type
from eie_sim.core.quantize import Scales, weight_scale
from eie_sim.network import Layer, Network, SharedWeights
from eie_sim.prune.codebook_training import CodedLayer, share, train_codebook
from eie_sim.prune.measure import dense, mlp_of, require_training
from eie_sim.prune.train import TrainConfig


def with_trained_codebooks(
    network: Network, config: Any, *, epochs: int, learning_rate: float = 1e-3, seed: int = 0
) -> Network:
    """The network with codebooks as a design has them, then trained, values moving by their weights' summed slopes.

    config : a design with codebooks, for weight_bits; epochs : of training; seed : of the order of the training inputs

    Masks and codes stay. The codebooks of the epoch with the lowest loss on the training inputs are kept.
    Raises InputError for a network that is no chain with labelled training inputs, or has layers without biases where
    others have some.
    """
    require_type("network", network, Network)
    require_int("epochs", epochs, 1, 10**6)
    samples = require_training(network, "training codebooks")
    has_bias = {layer.bias is not None for layer in network.layers}
    require(len(has_bias) == 1, "bias", "of some layers", "must be there for all layers or for none")
    weights = {layer.name: dense(layer.weights) for layer in network.layers}
    mlp = mlp_of(weights, {layer.name: layer.bias for layer in network.layers})
    shared = share(mlp, weight_bits=config.weight_bits)
    training = TrainConfig(epochs=epochs, learning_rate=learning_rate, seed=seed)
    trained = train_codebook(shared, samples, training)
    said = f", codebook trained {epochs} epochs"
    layers = tuple(
        _trained(layer, learnt, said, with_bias=True in has_bias)
        for layer, learnt in zip(network.layers, trained, strict=True)
    )
    return replace(network, layers=layers, dense_layers=network.dense_layers or network.layers)


def _trained(layer: Layer, learnt: CodedLayer, said: str, *, with_bias: bool) -> Layer:
    book = learnt.codebook.astype("float64")
    stored = SharedWeights(
        codes=learnt.codes,
        codebook=book,
        scales=Scales(weight=weight_scale(book)),
        bias_codes=learnt.bias_codes if with_bias else None,
    )
    source = layer.weights_source + said
    return replace(layer, weights=stored.weights, bias=stored.bias, weights_source=source, stored=stored)
