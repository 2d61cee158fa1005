"""Physical removal: neurons and filters leave with all that is theirs, the weights that read them among it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from eie_sim.core.errors import InputError, as_array, require, require_callable, require_type
from eie_sim.prune.coupled import (
    BatchNorm,
    Coupling,
    LayerArrays,
    Mask,
    NetworkArrays,
    Vector,
    chain,
    couplings_of_chain,
)

__all__ = [
    "BatchNorm",
    "Coupling",
    "LayerArrays",
    "NetworkArrays",
    "chain",
    "couplings_of_chain",
    "dead",
    "fold_norms",
    "masked",
    "relu",
    "remove",
]

Activation = Callable[[Vector], Vector]


def relu(values: Vector) -> Vector:
    """Return max(x, 0), the function between layers unless said otherwise."""
    return np.maximum(values, 0)


def masked(network: NetworkArrays, keep: Mapping[str, Mask]) -> NetworkArrays:
    """The network with its removed neurons silenced in place: weights, bias, gamma and beta zero, shapes as they were.

    With an activation function that maps 0 to 0 it computes what `remove` leaves. `keep` is as there.
    """
    rows = _rows(network, keep)
    return replace(network, layers=tuple(_silenced(layer, rows[layer.name]) for layer in network.layers))


def remove(
    network: NetworkArrays,
    keep: Mapping[str, Mask],
    *,
    keep_inputs: Mapping[str, Mask] | None = None,
    fold_constants: bool = False,
    activation: Activation = relu,
) -> NetworkArrays:
    """The smaller network without the neurons, filters and inputs that are not kept.

    keep : bool [n_out] by layer, True where a neuron stays; a layer not named keeps all
    keep_inputs : bool [n_in] by layer, for inputs that no layer feeds, such as those of the first
    fold_constants : add what removed neurons of constant output contribute to the biases of the layers that read them
    activation : the function between layers, for the constants

    A neuron takes its row, its bias, its batch normalisation and the inputs it feeds with it. Removing those with
    zero row, bias and beta, or folding those with zero row, changes nothing that the network computes.
    Raises InputError, naming layer, axis and size, for masks that do not fit, layers left empty, layers that are added
    and keep different neurons, and constants that cannot be folded.
    """
    rows = _rows(network, keep)
    columns = _columns(network, rows, {} if keep_inputs is None else keep_inputs)
    require_type("fold_constants", fold_constants, bool)
    require_callable("activation", activation)
    folded = _folded(network, rows, activation) if fold_constants else network
    layers = tuple(_cut(layer, rows[layer.name], columns[layer.name]) for layer in folded.layers)
    couplings = tuple(
        replace(each, offset=int(np.count_nonzero(columns[each.consumer][: each.offset]))) for each in network.couplings
    )
    return NetworkArrays(layers=layers, couplings=couplings)


def dead(network: NetworkArrays) -> dict[str, Mask]:
    """Neurons the network can do without, bool [n_out] by layer: constant ones, and those that nothing reads.

    A neuron is constant where its row, or its factor in the batch normalisation, is zero; the constant itself need not
    be, see `fold_constants` of `remove`. One is read where a layer it feeds has a weight for it. Outputs of the network
    are never dead. Removal may leave new dead ones behind.
    """
    require_type("network", network, NetworkArrays)
    read = {each.producer: np.zeros(network.layer(each.producer).n_out, np.bool_) for each in network.couplings}
    for coupling in network.couplings:
        used = _any_but(1, network.layer(coupling.consumer).weight)
        n_out = len(read[coupling.producer])
        read[coupling.producer] |= used[coupling.inputs(n_out)].reshape(n_out, coupling.repeat).any(axis=1)
    found = {layer.name: np.zeros(layer.n_out, np.bool_) for layer in network.layers}
    return found | {name: _constant(network.layer(name)) | ~each for name, each in read.items()}


def fold_norms(network: NetworkArrays) -> NetworkArrays:
    """The same network with each batch normalisation in the weights and the bias of its layer, float64 there."""
    require_type("network", network, NetworkArrays)
    return replace(network, layers=tuple(_without_norm(layer) for layer in network.layers))


def _any_but(axis: int, weight: Vector) -> Mask:
    """True where a weight is not zero, for each place along `axis`."""
    others = tuple(each for each in range(weight.ndim) if each != axis)
    return np.asarray(weight.any(axis=others))


def _checked(layer: LayerArrays, field: str, mask: Any, axis: int) -> Mask:
    array, size = as_array(field, mask), layer.weight.shape[axis]
    where = f"layer {layer.name}: {field}"
    require(array.dtype == np.bool_, where, f"dtype {array.dtype}", "must be bool, True where it stays")
    require(array.shape == (size,), where, f"shape {array.shape}", f"must be ({size},), the size of weight axis {axis}")
    require(bool(array.any()), where, f"0 of {size}", f"must leave something of weight axis {axis}")
    return array


def _all_checked(network: NetworkArrays, field: str, masks: Mapping[str, Mask], axis: int) -> dict[str, Mask]:
    require_type(field, masks, Mapping)
    return {name: _checked(network.layer(name), field, mask, axis) for name, mask in masks.items()}


def _rows(network: NetworkArrays, keep: Mapping[str, Mask]) -> dict[str, Mask]:
    require_type("network", network, NetworkArrays)
    rows = {layer.name: np.ones(layer.n_out, np.bool_) for layer in network.layers}
    return rows | _all_checked(network, "keep", keep, 0)


def _columns(network: NetworkArrays, rows: dict[str, Mask], keep_inputs: Mapping[str, Mask]) -> dict[str, Mask]:
    """The inputs that stay, by layer: what their producers keep, and `keep_inputs` for the rest."""
    columns = {layer.name: np.ones(layer.n_in, np.bool_) for layer in network.layers}
    given = _all_checked(network, "keep_inputs", keep_inputs, 1)
    columns |= {name: mask.copy() for name, mask in given.items()}
    fed = {layer.name: np.zeros(layer.n_in, np.bool_) for layer in network.layers}
    for coupling in network.couplings:
        name, producer = coupling.consumer, coupling.producer
        part, stays = coupling.inputs(len(rows[producer])), np.repeat(rows[producer], coupling.repeat)
        where = f"layer {name}: weight axis 1 of size {len(fed[name])}"
        if name in given and not given[name][part].all():
            raise InputError(f"{where}: keep_inputs takes outputs of {producer}, whose neurons have to go instead")
        if ((columns[name][part] != stays) & fed[name][part]).any():
            raise InputError(f"{where}: {producer} must keep the same neurons as what it is added to")
        columns[name][part] = stays
        fed[name][part] = True
    return columns


def _cut(layer: LayerArrays, rows: Mask, columns: Mask) -> LayerArrays:
    norm = layer.norm
    return replace(
        layer,
        weight=layer.weight[rows][:, columns],
        bias=None if layer.bias is None else layer.bias[rows],
        norm=None if norm is None else norm.changed(lambda _, values: values[rows]),
    )


def _silenced(layer: LayerArrays, rows: Mask) -> LayerArrays:
    def silent(values: Vector) -> Vector:
        quiet = values.copy()
        quiet[~rows] = 0  # not a product, which would leave -0.0
        return quiet

    norm = layer.norm
    if norm is not None:  # what was left out may not be zero, and has to be
        gamma = np.ones(layer.n_out) if norm.gamma is None else norm.gamma
        beta = np.zeros(layer.n_out) if norm.beta is None else norm.beta
        norm = replace(norm, gamma=silent(gamma), beta=silent(beta))
    return replace(
        layer, weight=silent(layer.weight), bias=None if layer.bias is None else silent(layer.bias), norm=norm
    )


def _constant(layer: LayerArrays) -> Mask:
    """Neurons whose output does not depend on the inputs."""
    same = ~_any_but(0, layer.weight)
    return same if layer.norm is None else same | (layer.norm.affine(layer.n_out)[0] == 0)


def _constants(layer: LayerArrays, activation: Activation) -> Vector:
    """Outputs of the constant neurons after the activation function, 0 for the others: float64[n_out]."""
    values = np.zeros(layer.n_out) if layer.bias is None else layer.bias.astype(np.float64)
    if layer.norm is not None:
        factor, addend = layer.norm.affine(layer.n_out)
        values = values * factor + addend
    return np.where(_constant(layer), activation(values), 0.0)


def _folded(network: NetworkArrays, rows: dict[str, Mask], activation: Activation) -> NetworkArrays:
    """Add what removed constant neurons contribute to the biases of the layers that read them."""
    added = {layer.name: np.zeros(layer.n_out) for layer in network.layers}
    feeding = {layer.name: np.zeros(layer.n_in, np.int64) for layer in network.layers}
    for coupling in network.couplings:
        feeding[coupling.consumer][coupling.inputs(len(rows[coupling.producer]))] += 1
    for coupling in network.couplings:
        producer, consumer = network.layer(coupling.producer), network.layer(coupling.consumer)
        part = coupling.inputs(producer.n_out)
        gone = np.repeat(np.where(rows[producer.name], 0.0, _constants(producer, activation)), coupling.repeat)
        if not gone.any():
            continue
        where = f"layer {consumer.name}: weight axis 1 of size {consumer.n_in}: a constant of {producer.name}"
        if max(consumer.weight.shape[2:], default=1) > 1:
            raise InputError(f"{where} cannot be folded, because a kernel also reads the zeros around the image")
        if (feeding[consumer.name][part] > 1).any():
            raise InputError(f"{where} cannot be folded, because another layer is added to it")
        added[consumer.name] += consumer.weight[:, part].reshape(consumer.n_out, -1) @ gone
    return replace(network, layers=tuple(_with_added(layer, added[layer.name]) for layer in network.layers))


def _with_added(layer: LayerArrays, added: Vector) -> LayerArrays:
    """The layer with a larger bias; one that had none gets one only where it is needed."""
    if not added.any():
        return layer
    kind = np.result_type(layer.weight if layer.bias is None else layer.bias, np.float16)
    return replace(layer, bias=(added if layer.bias is None else layer.bias + added).astype(kind))


def _without_norm(layer: LayerArrays) -> LayerArrays:
    if layer.norm is None:
        return layer
    factor, addend = layer.norm.affine(layer.n_out)
    bias = 0.0 if layer.bias is None else layer.bias
    weight = layer.weight * factor.reshape(-1, *(1 for _ in layer.weight.shape[1:]))
    return replace(layer, weight=weight, bias=bias * factor + addend, norm=None)
