"""A network in floats: what its layers read, how well it answers, and what it can learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, unknown
from eie_sim.network import RELU, Layer, Network
from eie_sim.prune.mlp import Mlp, Samples, accuracy, forward
from eie_sim.prune.sensitivity import reconstruction_error
from eie_sim.prune.train import TrainConfig, loss

Arrays = dict[str, NDArray[Any]]
Biases = dict[str, NDArray[Any] | None]
Quality = Callable[[Mapping[str, NDArray[Any]]], float]

N_MEASURED = 256
"""Most vectors that costs and scores are measured on."""


def before_pruning(network: Network) -> tuple[Layer, ...]:
    """The layers before pruning where the network has them, else its layers."""
    return network.dense_layers or network.layers


def weights_of(network: Network) -> tuple[Arrays, Biases]:
    """Dense weights [n_out, n_in] and biases [n_out] before pruning, by layer."""
    layers = before_pruning(network)
    return {layer.name: dense(layer.weights) for layer in layers}, {layer.name: layer.bias for layer in layers}


def dense(weights: Any) -> NDArray[Any]:
    """A numpy array of weights in either form."""
    return np.asarray(weights.toarray() if hasattr(weights, "toarray") else weights)


def mlp_of(weights: Mapping[str, NDArray[Any]], biases: Mapping[str, Any]) -> Mlp:
    """The layers of a chain as a network in floats; a bias that is not there is 0."""
    given = [np.zeros(len(w), w.dtype) if biases[name] is None else biases[name] for name, w in weights.items()]
    return Mlp(tuple(weights.values()), tuple(given))


def require_relu(network: Network) -> None:
    """Raise InputError unless ReLU stands between the layers of the chain, as training and measuring have it."""
    require(network.between == RELU, "between", network.between, "must be relu, to prune, train or compare a chain")


def training(network: Network) -> Samples | None:
    """Return the labelled training inputs of a chain, None where it has none."""
    require_relu(network)
    if not network.chained or network.train_inputs is None or network.train_labels is None:
        return None
    return Samples(inputs=network.train_inputs, labels=network.train_labels.astype(np.intp))


def held_back(network: Network) -> Samples | None:
    """Return the labelled test inputs of a chain, None where it has none."""
    require_relu(network)
    if not network.chained or network.test_inputs is None or network.test_labels is None:
        return None
    return Samples(inputs=network.test_inputs, labels=network.test_labels.astype(np.intp))


def require_training(network: Network, why: str) -> Samples:
    """Return the labelled training inputs of a chain. Raises InputError where it has none; why : what needs them"""
    samples = training(network)
    if samples is None:
        raise InputError(f"train_labels=none: {why} needs a chain of layers with labelled training inputs")
    return samples


def require_held_back(network: Network, why: str) -> Samples:
    """Return the labelled test inputs of a chain. Raises InputError, saying why they are needed, where it has none."""
    samples = held_back(network)
    if samples is None:
        raise InputError(f"test_labels=none: {why} needs a chain of layers with labelled test inputs")
    return samples


def inputs_of(network: Network, weights: Mapping[str, NDArray[Any]], biases: Mapping[str, Any]) -> Arrays:
    """Return the inputs of each layer, float [n_vector, n_in], at most N_MEASURED vectors.

    In a chain, what these weights make of the calibration inputs, or of those that a run starts from, unless a layer's
    own are recorded; else the layer's own activations. Raises InputError where there are none.
    """
    if network.chained:
        require_relu(network)
        first = network.inputs if network.calibration is None else network.calibration
        if first is None:
            raise InputError(f"activations=none: layer {network.layers[0].name} needs some to be measured")
        read = forward(mlp_of(weights, biases), first[:N_MEASURED])[0]
        return {
            layer.name: computed if at == 0 or network.takes_outputs(at) else _activations_of(layer)[:N_MEASURED]
            for at, (layer, computed) in enumerate(zip(network.layers, read, strict=True))
        }
    return {layer.name: _activations_of(layer)[:N_MEASURED] for layer in network.layers}


def _activations_of(layer: Layer) -> NDArray[Any]:
    if layer.activations is None:
        raise InputError(f"activations=none: layer {layer.name} needs some to be measured")
    return layer.activations


def _accuracy(network: Network, samples: Samples | None) -> Quality:
    judged, biases = samples or require_held_back(network, "accuracy"), weights_of(network)[1]
    return lambda weights: accuracy(mlp_of(weights, biases), judged)


def _loss(network: Network, samples: Samples | None) -> Quality:
    judged, biases = samples or require_held_back(network, "loss"), weights_of(network)[1]
    return lambda weights: -loss(mlp_of(weights, biases), judged, TrainConfig())


def _outputs(network: Network, samples: Samples | None) -> Quality:
    before, biases = weights_of(network)
    inputs = inputs_of(network, before, biases)
    return lambda weights: -sum(reconstruction_error(before[name], weights[name], inputs[name]) for name in before)


_MAKERS = {"accuracy": _accuracy, "loss": _loss, "outputs": _outputs}

QUALITIES = {
    "accuracy": "share of the labelled inputs classified as labelled",
    "loss": "minus the mean cross-entropy of the labelled inputs",
    "outputs": "minus the relative squared error of the layers' outputs, added up",
}
"""Qualities of a pruned network, by name; higher is better."""


def default_quality(network: Network, labelled: str) -> str:
    """`labelled` where the network has labelled inputs, else outputs."""
    return "outputs" if held_back(network) is None else labelled


def quality_of(name: str, network: Network, samples: Samples | None = None) -> Quality:
    """A function from pruned weights by layer to quality, biases as before pruning.

    samples : what accuracy and loss are measured on; the held-back inputs when left out

    Raises InputError for an unknown name and for a network without what it needs.
    """
    if not isinstance(name, str) or name not in _MAKERS:
        raise unknown("quality", name, _MAKERS)
    return _MAKERS[name](network, samples)


def measured_on(name: str, network: Network, samples: Samples | None = None) -> str:
    """Return the inputs that a quality is measured on, in words."""
    if name == "outputs":
        return costed_on(network)
    if samples is None:
        return f"{len(require_held_back(network, name))} held-back inputs"
    return f"{len(samples):,} training inputs"


def inputs_in_words(network: Network) -> dict[str, str]:
    """Return the inputs of each layer that `inputs_of` returns, in words, by layer."""
    layers = network.layers
    said = {layer.name: layer.activations_source for layer in layers}
    if network.chained:
        said[layers[0].name] = costed_on(network)
    return said | {
        layer.name: f"outputs of {before.name} in floats"
        for at, (before, layer) in enumerate(pairwise(layers), 1)
        if network.takes_outputs(at)
    }


def costed_on(network: Network) -> str:
    """Return the inputs that costs and errors of outputs are measured on, in words."""
    if network.chained and network.calibration is not None:
        return f"{min(len(network.calibration), N_MEASURED)} calibration inputs"
    if network.chained and network.test_inputs is not None:
        return f"{min(len(network.test_inputs), N_MEASURED)} held-back inputs"
    first = network.layers[0]
    count = 0 if first.activations is None else min(len(first.activations), N_MEASURED)
    return f"{count} input vector{'' if count == 1 else 's'}, {first.activations_source}"
