"""The one door to a workload: a preset, a file or arrays in; a network with activations out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import Floats, require_fraction, shown
from eie_sim.core.errors import InputError, as_array, is_tensor, require, require_seed, require_type, unknown
from eie_sim.core.sparse import is_sparse, of_tensor
from eie_sim.network import synthetic
from eie_sim.network.chain import asked_chain, in_order
from eie_sim.network.graph import Graph
from eie_sim.network.layers import FROM_LAYER_BEFORE, RELU, Layer, Network
from eie_sim.network.matrices import as_batch, network_from_arrays
from eie_sim.network.naming import BARE_RECORDINGS, EXAMPLES
from eie_sim.network.presets import drawn_preset, load_preset, preset_names
from eie_sim.network.readers.files import KINDS, about, is_file, is_folder, read_arrays, stem_of, suffix_of
from eie_sim.prune import keep_count, magnitude, nearest_density

ACTIVATION_SUFFIXES = (".npy", ".npz", ".safetensors")
IN_MEMORY = "array"
OTHER_INPUTS = "recorded with other inputs of the network than those that are given"
ONE_MATRIX = (".npy", ".mtx", ".smtx", ".mtx.gz", ".smtx.gz")
"""Suffixes of files that hold one matrix without a name."""


class Reading(NamedTuple):
    """Options for reading named arrays; see `load`."""

    chain: str | Sequence[str] | None = None
    between: str = RELU
    layout: str | None = None


def load(
    source: Any,
    *,
    layer: str | None = None,
    activations: Any = None,
    activation_density: float | None = None,
    density: float | None = None,
    seed: int = 0,
    before_pruning: bool = False,
    chain: str | Sequence[str] | None = None,
    between: str = RELU,
    layout: str | None = None,
) -> Network:
    """A network to simulate, with activations.

    source : a preset's name, in any case; a path to .npz, .npy, .safetensors, .mtx or .smtx; an array, scipy.sparse
        matrix or tensor (out, in); a mapping of names to such, as a state_dict is, which `network_from_arrays` reads;
        or a network, such as that of an archive
    layer : only this one; of a preset that is drawn, no other is
    activations : inputs of the first layer, (n_vector, n_in) or (n_in,), or the path of a file with them
    activation_density : fraction not zero of drawn inputs instead; for the first layer, or for all that are not chained
    density : prune every layer by magnitude to it; from the weights before pruning, where the source has them or draws
        them
    seed : of whatever is drawn
    before_pruning : draw a preset of published shapes dense, yet to be pruned
    chain : names of layers in their order; arrays are no chain without it
    between : "relu" or "none", between the layers of that chain
    layout : "out-in" or "in-out", how arrays are stored where no bias tells

    Layers that need activations and have none get drawn ones of density 1, labelled so.
    Raises InputError for an unknown name, a bad file, or values out of range.
    """
    require_seed(seed)
    if activations is not None and activation_density is not None:
        raise InputError(f"activation_density={shown(activation_density)}: must be left out, activations are given")
    require_type("layer", layer, str, type(None))
    if chain is not None and layer is not None:
        raise InputError(f"layer={shown(layer)}: must be left out, chain says which layers run")
    if between != RELU and chain is None:
        raise InputError(f"between={shown(between)}: must be left out without a chain")
    reading = Reading(chain=chain, between=between, layout=layout)
    network = _open(source, layer, int(seed), before_pruning or density is not None, reading)
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
    reading = {name: given.pop(name) for name in ("chain", "between", "layout") if name in given}
    whole = isinstance(source, (Network, str)) and (isinstance(source, Network) or source.lower() in preset_names())
    network = load(source, layer=None if whole or reading.get("chain") else layer, seed=seed, **reading)
    alone = network.layer(network.layers[0].name if layer is None else layer)  # did you mean
    return load(network if network.chained else alone, seed=seed, **given)


def load_activations(path: str | os.PathLike[str]) -> Floats:
    """The activations in a .npy, .npz or .safetensors file with one array (n_vector, n_in) or (n_in,), or one so named.

    Returns float [n_vector, n_in]. Raises InputError, also where it cannot be told which array is meant.
    """
    name, array = _activations_in(path)
    with about(Path(path)):
        return as_batch(f"array {shown(name)}", array, int(array.shape[-1]))


def _activations_in(path: str | os.PathLike[str]) -> tuple[str, NDArray[Any]]:
    """The name and the array, of any shape."""
    require_type("activations", path, str, os.PathLike)
    file = Path(path)
    with about(file):
        suffix = file.suffix.lower()
        known = ", ".join(ACTIVATION_SUFFIXES)
        require(suffix in ACTIVATION_SUFFIXES, "suffix", shown(suffix), f"must be one of {known}")
    arrays = read_arrays(file)
    with about(file):
        flat = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray) and array.ndim >= 1}
        usual = next((name for name in BARE_RECORDINGS if name in flat), None)
        name = usual or next(iter(flat), "")
        names = ", ".join(shown(each) for each in list(arrays)[:8]) or "nothing"
        rule = f"must be one array (..., n_in), or one named {BARE_RECORDINGS[0]}"
        require(len(flat) == 1 or usual is not None, "arrays", names, rule)
        return name, flat[name]


def batch_for(activations: Any, n_in: int, *, maps: int = 0) -> Floats:
    """Inputs of a layer, float [n_vector, n_in], from an array or the path of a file. Raises InputError.

    maps : as of the layer
    """
    if not isinstance(activations, (str, os.PathLike)):
        return as_batch("activations", activations, n_in, maps=maps)
    _, array = _activations_in(activations)
    with about(Path(activations)):
        return as_batch("activations", array, n_in, maps=maps)


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
    mask = magnitude(weights, density=nearest_density(density, weights.size)).mask
    bits = weights.view(f"u{weights.itemsize}")  # products of floats would leave zeros with a sign
    return np.multiply(bits, mask).view(weights.dtype)


def _prune_sparse(weights: Any, density: float) -> Any:
    """Row by row, so that equal magnitudes are pruned in the same order as from a dense matrix."""
    rows = weights.tocsr()
    rows.sort_indices()
    total = weights.shape[0] * weights.shape[1]
    kept = keep_count(nearest_density(density, total), total)
    if kept < rows.nnz:
        # the share of the stored ones that leaves exactly `kept`: it is off by far less than half a weight
        rows.data[~magnitude(rows.data, density=kept / rows.nnz).mask] = 0
        rows.eliminate_zeros()
    return rows.tocsc()


def _open(source: Any, layer: str | None, seed: int, before_pruning: bool, reading: Reading) -> Network:
    """The network, in which a preset has only the layer, where one is named: others are not drawn for nothing."""
    if isinstance(source, str) and source.lower() in preset_names():
        source = load_preset(source, layer=layer, seed=seed, before_pruning=before_pruning)
    if isinstance(source, Network):
        network = _ordered(replace(source, seed=seed), reading)
        return network if layer is None else network.layer(layer)
    if isinstance(source, (str, os.PathLike)):
        return _open_file(source, layer, seed, reading)
    if isinstance(source, Mapping) and not is_sparse(source):  # scipy's dok_array is a dict
        return network_from_arrays(source, "arrays", layer=layer, seed=seed, **reading._asdict())
    require(not isinstance(source, Graph), "workload", "Graph", "must be layers: run takes a graph of operators")
    if callable(getattr(source, "state_dict", None)):
        raise InputError(f"workload={type(source).__name__}: must be arrays by name, as its state_dict() gives them")
    matrix = of_tensor(source)
    matrix = as_array("weights", matrix) if is_tensor(matrix) else matrix
    if is_sparse(matrix) or isinstance(matrix, np.ndarray):
        require(matrix.ndim == 2, "weights", f"shape {shown(matrix.shape)}", "must have 2 dimensions, (out, in)")
        arrays = {IN_MEMORY: matrix}
        return network_from_arrays(arrays, IN_MEMORY, layer=layer, seed=seed, **reading._asdict())
    kinds = "a preset, a path, an array, a scipy.sparse matrix, a tensor, a dict of them, or a Network"
    raise InputError(f"workload={type(source).__name__}: must be {kinds}")


def _ordered(network: Network, reading: Reading) -> Network:
    """A network whose layers the user puts into a chain."""
    if reading.layout is not None:
        raise InputError(
            f"layout={shown(reading.layout)}: must be left out, {network.name} says how weights are stored"
        )
    if reading.chain is None:
        return network
    names = asked_chain(reading.chain)
    shapes = {one.name: (one.n_out, one.n_in) for one in network.layers}
    layers, _ = in_order(network.layers, names, shapes=shapes)
    dense = network.dense_layers
    kept = None if dense is None else in_order(dense, names, shapes=shapes)[0]
    inside, left = {one.name for one in layers}, network.left
    gone = [one for one in network.layers if one.name not in inside]
    if left is not None:
        left = left._replace(weights=left.weights + sum(one.n_out * one.n_in for one in gone))
    same_start = layers[0] is network.layers[0]
    examples: dict[str, Any] = {} if same_start else dict.fromkeys(EXAMPLES)
    return replace(
        network,
        layers=layers,
        dense_layers=kept,
        chained=True,
        between=reading.between,
        not_simulated=(*network.not_simulated, *((one.name, "not in the chain") for one in gone)),
        left=left,
        **examples,
    )


def _open_file(source: str | os.PathLike[str], layer: str | None, seed: int, reading: Reading) -> Network:
    path = Path(source)
    suffix, there = suffix_of(path), is_file(path) or is_folder(path)
    if isinstance(source, str) and suffix not in KINDS and path.name == source and not there:
        raise unknown("workload", shown(source), preset_names())
    arrays, name = read_arrays(path), stem_of(path)
    with about(path):
        nameless = suffix in ONE_MATRIX or is_sparse(arrays.get(name))  # as scipy.sparse.save_npz has it
        if nameless and layer in (None, name) and len(arrays) == 1:
            layer = None
            (alone,) = arrays.values()
            arrays = {"weight": alone} if getattr(alone, "ndim", 0) == 2 else arrays  # whatever the file is called
        network = network_from_arrays(arrays, name, layer=layer, origin="file", seed=seed, **reading._asdict())
    return replace(network, source=f"file {shown(path.name)}")


def _with_given(network: Network, activations: Any) -> Network:
    """Inputs for the first layer of a chain, or for the only layer that they fit."""
    of_file = isinstance(activations, (str, os.PathLike))
    said = f"from file {shown(Path(activations).name)}" if of_file else "given"
    first = network.layers[0]
    if not network.chained and len(network.layers) > 1:
        batch = _activations_in(activations)[1] if of_file else as_array("activations", activations)
        sides = (batch.shape[-1], batch.shape[1] if batch.ndim > 2 else batch.shape[-1]) if batch.ndim else (0, 0)
        fit = [layer for layer in network.layers if layer.n_in == sides[layer.maps > 0]]
        names = ", ".join(shown(layer.name) for layer in (fit or network.layers)[:8])
        rule = f"must be of one layer: choose it among {names}, or declare a chain"
        require(len(fit) == 1, "activations", f"shape {batch.shape}", rule)
        (first,), activations = fit, batch
    given = replace(first, activations=batch_for(activations, first.n_in, maps=first.maps), activations_source=said)
    if network.chained or len(network.layers) == 1:
        return _with_first(network, given)
    return _with_default(replace(network, layers=tuple(given if one is first else one for one in network.layers)))


def _with_drawn(network: Network, density: float) -> Network:
    """Activations of one density for the first layer of a chain, or for every layer."""
    if network.chained:
        return _with_first(network, _draw(network.layers[0], density, network.seed))
    return replace(network, layers=tuple(_draw(layer, density, network.seed) for layer in network.layers))


def _with_default(network: Network) -> Network:
    """Draw dense activations for layers that need some and have none; a chain's later layers get theirs from before."""
    layers = list(network.layers)
    for at, layer in enumerate(layers):
        if layer.activations is not None:
            continue
        if network.chained and at > 0:
            layers[at] = replace(layer, activations_source=FROM_LAYER_BEFORE)
        else:
            drawn = _draw(layer, 1.0, network.seed)
            layers[at] = replace(drawn, activations_source=f"drawn, none given: {drawn.activations_source}")
    return replace(network, layers=tuple(layers))


def _with_first(network: Network, first: Layer) -> Network:
    """Another first layer. Test inputs, labels and later layers' recorded inputs do not belong to its activations."""
    unused = tuple((f"inputs of {one.name}", OTHER_INPUTS) for one in network.layers[1:] if one.activations is not None)
    later = (replace(one, activations=None, activations_source=FROM_LAYER_BEFORE) for one in network.layers[1:])
    return replace(
        network,
        layers=(first, *later),
        test_inputs=None,
        test_labels=None,
        not_simulated=(*network.not_simulated, *unused),
    )


def _draw(layer: Layer, density: float, seed: int) -> Layer:
    drawn = synthetic.activations(layer.name, n_in=layer.n_in, density=density, seed=seed)
    return replace(layer, activations=drawn, activations_source=synthetic.label(density, seed))
