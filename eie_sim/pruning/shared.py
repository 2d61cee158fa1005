"""Codebooks of a pruned network trained on its own samples, codes staying (Deep Compression, section 3.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eie_sim.archive import archive_of
from eie_sim.core.errors import require, require_int, require_type
from eie_sim.prune.codebook_training import SharedLayer, expand, share, train_codebook
from eie_sim.prune.train import TrainConfig
from eie_sim.pruning.measure import dense, mlp_of, require_training
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.workload import Network


def with_trained_codebooks(
    network: Network, config: Any, *, epochs: int, learning_rate: float = 1e-3, seed: int = 0
) -> Network:
    """The network with codebooks clustered as EIE's and then trained, values moving by their weights' summed slopes.

    config : EieConfig, for weight_bits; epochs : of training; seed : of the order of the training inputs

    Masks and codes stay. Of the codebooks after each epoch those of the lowest loss on the training inputs are kept.
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
    matrices = [_matrix(layer, config, with_bias=True in has_bias) for layer in trained]
    learnt = expand(trained)
    as_stored = [
        replace(layer, weights=weight, bias=bias if layer.bias is not None else None, stored=None)
        for layer, weight, bias in zip(network.layers, learnt.weights, learnt.biases, strict=True)
    ]
    stored = archive_of(replace(network, layers=tuple(as_stored)), matrices).network.layers
    said = f", codebook trained {epochs} epochs"
    layers = tuple(
        replace(
            after,
            activations=before.activations,
            activations_source=before.activations_source,
            weights_source=before.weights_source + said,
        )
        for before, after in zip(network.layers, stored, strict=True)
    )
    return replace(network, layers=layers, dense_layers=network.dense_layers or network.layers)


def _matrix(layer: SharedLayer, config: Any, *, with_bias: bool) -> EieMatrix:
    return EieMatrix.from_codes(
        layer.codes,
        layer.codebook.astype("float64"),
        n_pe=config.n_pe,
        index_bits=config.index_bits,
        bias_codes=layer.bias_codes if with_bias else None,
    )
