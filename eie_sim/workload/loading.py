"""The one door to a workload: a preset, a file or arrays in; a network with activations out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.errors import InputError, require, require_seed, require_type, unknown
from eie_sim.prune import keep_count, magnitude
from eie_sim.sparse import is_sparse
from eie_sim.workload import synthetic
from eie_sim.workload.arrays import Floats, require_fraction, shown
from eie_sim.workload.files import KINDS, about, is_file, read_arrays
from eie_sim.workload.naming import BARE_ACTIVATIONS, as_batch, network_from_arrays
from eie_sim.workload.network import FROM_LAYER_BEFORE, Layer, Network
from eie_sim.workload.presets import drawn_preset, load_preset, preset_names

ACTIVATION_SUFFIXES = (".npy", ".npz", ".safetensors")
IN_MEMORY = "array"


def load(
    source: Any,
    *,
    layer: str | None = None,
    activations: Any = None,
    activation_density: float | None = None,
    density: float | None = None,
    seed: int = 0,
    before_pruning: bool = False,
) -> Network:
    """A network to simulate, with activations.

    source : a preset's name, in any case; a path to .npz, .npy, .safetensors, .mtx or .smtx; a numpy array or
        scipy.sparse matrix (out, in); a mapping of names to such arrays, as `network_from_arrays` reads them; or a
        network, such as that of an archive
    layer : only this one; of a preset that is drawn, no other is
    activations : inputs of the first layer, (n_vector, n_in) or (n_in,), or the path of a file with them
    activation_density : fraction not zero of drawn inputs instead; for the first layer, or for all that are not chained
    density : prune every layer by magnitude to it; from the weights before pruning, where the source has them or draws
        them
    seed : of whatever is drawn
    before_pruning : draw a preset of published shapes dense, yet to be pruned

    Layers that need activations and have none get drawn ones of density 1, labelled so.
    Raises InputError for an unknown name, a bad file, or values out of range.
    """
    require_seed(seed)
    if activations is not None and activation_density is not None:
        raise InputError(f"activation_density={shown(activation_density)}: must be left out, activations are given")
    network = _open(source, layer, int(seed), before_pruning or density is not None)
    if layer is not None:
        network = network.layer(layer)
    if density is not None:
        network = pruned(network, density)
    if activations is not None:
        return _with_given(network, activations)
    if activation_density is not None:
        return _with_drawn(network, require_fraction("activation_density", activation_density))
    return _with_default(network)


def load_for_layer(source: Any, layer: str | None = None, *, seed: int = 0, **given: Any) -> Network:
    """The network in which a layer, the first where none is named, runs as it does in a run of the whole.

    That is a chain whole, because its first layers make the inputs of a later one, and of any other network the layer
    alone. source, seed, given : as for `load`; activations are inputs of a chain's first layer, or of the layer

    Raises InputError as `load` does.
    """
    drawn = drawn_preset(source) if isinstance(source, str) else None
    if drawn is not None:
        return load(source, layer=drawn.layers[0] if layer is None else layer, seed=seed, **given)
    network = load(source, seed=seed)
    alone = network.layer(network.layers[0].name if layer is None else layer)
    return load(network if network.chained else alone, seed=seed, **given)


def load_activations(path: str | os.PathLike[str]) -> Floats:
    """The activations in a .npy, .npz or .safetensors file with one array (n_vector, n_in) or (n_in,), or one so named.

    Returns float [n_vector, n_in]. Raises InputError, also where it cannot be told which array is meant.
    """
    require_type("activations", path, str, os.PathLike)
    file = Path(path)
    with about(file):
        suffix = file.suffix.lower()
        known = ", ".join(ACTIVATION_SUFFIXES)
        require(suffix in ACTIVATION_SUFFIXES, "suffix", shown(suffix), f"must be one of {known}")
    arrays = read_arrays(file)
    with about(file):
        flat = {name: array for name, array in arrays.items() if array.ndim in (1, 2)}
        name = BARE_ACTIVATIONS if BARE_ACTIVATIONS in flat else next(iter(flat), "")
        clear = len(flat) == 1 or name == BARE_ACTIVATIONS
        names = ", ".join(shown(each) for each in list(arrays)[:8]) or "nothing"
        require(clear, "arrays", names, f"must be one array of 1 or 2 dimensions, or one named {BARE_ACTIVATIONS}")
        return as_batch(f"array {shown(name)}", flat[name], int(flat[name].shape[-1]))


def batch_for(activations: Any, n_in: int) -> Floats:
    """Inputs of a layer, float [n_vector, n_in], from an array or the path of a file. Raises InputError."""
    if not isinstance(activations, (str, os.PathLike)):
        return as_batch("activations", activations, n_in)
    batch = load_activations(activations)
    with about(Path(activations)):
        return as_batch("activations", batch, n_in)


def pruned(network: Network, density: float) -> Network:
    """The network with every layer pruned by magnitude to `density`, a fraction of all its weights.

    Starts from the weights before pruning where the network has them; they stay in `dense_layers`. Biases are kept.
    Raises InputError for a density outside 0..1.
    """
    require_type("network", network, Network)
    density = require_fraction("density", density)
    dense = network.layers if network.dense_layers is None else network.dense_layers
    layers = tuple(_pruned_layer(*pair, density) for pair in zip(network.layers, dense, strict=True))
    return replace(network, layers=layers, dense_layers=tuple(replace(layer, activations=None) for layer in dense))


def _pruned_layer(layer: Layer, dense: Layer, density: float) -> Layer:
    if dense.density <= density < 1:
        said = f"{dense.weights_source}; density {dense.density:.4g} is not above {density:g}, nothing pruned"
        return replace(layer, weights=dense.weights, bias=dense.bias, stored=dense.stored, weights_source=said)
    prune = _prune_sparse if is_sparse(dense.weights) else _prune_dense
    said = f"{dense.weights_source}; pruned by magnitude to density {density:g}"
    weights = prune(dense.weights, density)
    return replace(layer, weights=weights, bias=dense.bias, stored=None, weights_source=said)


def _prune_dense(weights: Any, density: float) -> Any:
    mask = magnitude(weights, density=density).mask
    bits = weights.view(f"u{weights.itemsize}")  # products of floats would leave zeros with a sign
    return np.multiply(bits, mask).view(weights.dtype)


def _prune_sparse(weights: Any, density: float) -> Any:
    """Row by row, so that equal magnitudes are pruned in the same order as from a dense matrix."""
    rows = weights.tocsr()
    rows.sort_indices()
    kept = keep_count(density, weights.shape[0] * weights.shape[1])
    if kept < rows.nnz:
        # the share of the stored ones that leaves exactly `kept`: it is off by far less than half a weight
        rows.data[~magnitude(rows.data, density=kept / rows.nnz).mask] = 0
        rows.eliminate_zeros()
    return rows.tocsc()


def _open(source: Any, layer: str | None, seed: int, before_pruning: bool) -> Network:
    """The network, in which a preset has only the layer, where one is named: others are not drawn for nothing."""
    if isinstance(source, Network):
        return replace(source, seed=seed)
    if isinstance(source, str) and source.lower() in preset_names():
        return load_preset(source, layer=layer, seed=seed, before_pruning=before_pruning)
    if isinstance(source, (str, os.PathLike)):
        return _open_file(source, seed)
    if is_sparse(source) or isinstance(source, np.ndarray):
        require(source.ndim == 2, "weights", f"shape {shown(source.shape)}", "must have 2 dimensions, (out, in)")
        return network_from_arrays({IN_MEMORY: source}, IN_MEMORY, seed=seed)
    if isinstance(source, Mapping):
        return network_from_arrays(source, "arrays", seed=seed)
    kinds = "a preset, a path, a numpy array, a scipy.sparse matrix, a dict of arrays, or a Network"
    raise InputError(f"workload={type(source).__name__}: must be {kinds}")


def _open_file(source: str | os.PathLike[str], seed: int) -> Network:
    path = Path(source)
    named = isinstance(source, str) and path.suffix.lower() not in KINDS and path.name == source
    if named and not is_file(path):
        raise unknown("workload", shown(source), preset_names())
    arrays = read_arrays(path)
    with about(path):
        network = network_from_arrays(arrays, path.stem, origin="file", seed=seed)
    return replace(network, source=f"file {shown(path.name)}")


def _with_given(network: Network, activations: Any) -> Network:
    if len(network.layers) > 1 and not network.chained:
        names = ", ".join(shown(layer.name) for layer in network.layers[:8])
        raise InputError(f"activations: the layers are no chain, choose one with layer= among {names}")
    first = network.layers[0]
    batch = batch_for(activations, first.n_in)
    of_file = isinstance(activations, (str, os.PathLike))
    said = f"from file {shown(Path(activations).name)}" if of_file else "given"
    return _with_first(network, replace(first, activations=batch, activations_source=said))


def _with_drawn(network: Network, density: float) -> Network:
    """Activations of one density for the first layer of a chain, or for every layer."""
    if network.chained:
        return _with_first(network, _draw(network.layers[0], density, network.seed))
    return replace(network, layers=tuple(_draw(layer, density, network.seed) for layer in network.layers))


def _with_default(network: Network) -> Network:
    """What has no activations and needs some gets dense ones; a chain's later layers get theirs from the one before."""
    layers = list(network.layers)
    for at, layer in enumerate(layers):
        if layer.activations is not None:
            continue
        if network.chained and at > 0:
            layers[at] = replace(layer, activations_source=FROM_LAYER_BEFORE)
        else:
            drawn = _draw(layer, 1.0, network.seed)
            layers[at] = replace(drawn, activations_source=f"{drawn.activations_source}: none given")
    return replace(network, layers=tuple(layers))


def _with_first(network: Network, first: Layer) -> Network:
    """Another first layer. Test inputs make way for its activations, and labels would no longer belong to them."""
    later = [
        layer if layer.activations is not None else replace(layer, activations_source=FROM_LAYER_BEFORE)
        for layer in network.layers[1:]
    ]
    return replace(network, layers=(first, *later), test_inputs=None, test_labels=None)


def _draw(layer: Layer, density: float, seed: int) -> Layer:
    drawn = synthetic.activations(layer.name, n_in=layer.n_in, density=density, seed=seed)
    return replace(layer, activations=drawn, activations_source=synthetic.label(density, seed))
