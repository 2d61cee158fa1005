"""The contents of an archive, and what becomes of it: a network to run, the matrices of a design."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eie_sim import __version__
from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, require, require_type
from eie_sim.network import Layer, Network, SharedWeights
from eie_sim.units import unit_of

HASH = re.compile("[0-9a-f]{64}")
ROWS_HASHED = 256
"""Rows made dense at a time; bounds the memory that hashing a sparse matrix takes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Archive:
    """A pruned and compressed network, and where it comes from. Build one with `archive_of`, or `load` it.

    network : its layers have `stored` weights; seed, calibration inputs and the source in words are the network's
    source_sha256 : of the arrays before pruning, see `hash_of`
    recipe : how it was made; a JSON object
    package : what made it

    Raises InputError for other types, layers without stored weights, and a recipe that JSON cannot hold.
    """

    network: Network
    source_sha256: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    package: str = f"eie_sim {__version__}"

    __repr__ = shows("network", "source_sha256", "recipe", "package")

    def __post_init__(self) -> None:
        require_type("network", self.network, Network)
        require_type("package", self.package, str)
        require_type("source_sha256", self.source_sha256, str)
        for layer in self.network.layers:
            require(layer.stored is not None, f"layer {layer.name}: stored", None, "must be there in an archive")
        is_hash = HASH.fullmatch(self.source_sha256) is not None
        require(is_hash, "source_sha256", self.source_sha256, "must be 64 digits")
        object.__setattr__(self, "recipe", _json_copy(self.recipe))

    @property
    def stored(self) -> dict[str, SharedWeights]:
        """Codes, codebook and scales of each layer, by its name."""
        return {layer.name: layer.stored for layer in self.network.layers if layer.stored is not None}


def _list_of(field: str, values: Iterable[Any]) -> list[Any]:
    ok = isinstance(values, Iterable) and not isinstance(values, np.ndarray)
    require(ok, field, type(values).__name__, "must be of type Iterable")
    return list(values)


def _stored_form(matrix: Any) -> SharedWeights:
    """Return the stored form of a compressed matrix. Raises InputError for one of a unit without codebooks."""
    unit = unit_of(matrix, "matrix")
    if unit.pack is None:
        raise InputError(f"matrix={type(matrix).__name__}: must have a codebook to be archived, {unit.title} has none")
    return SharedWeights(**unit.pack(matrix))


def archive_of(
    network: Network,
    matrices: Iterable[Any],
    *,
    recipe: Mapping[str, Any] | None = None,
    source_sha256: str | None = None,
) -> Archive:
    """The archive of a network from the compressed matrix of each of its layers.

    source_sha256 : of what an archive that the network came from was made of

    Else the source is the network before pruning where that is known, or the network as it is. Calibration inputs come
    along where a scale is left open; activations, test inputs and labels do not. Raises InputError for other types, and
    where matrices and layers do not match.
    """
    require_type("network", network, Network)
    stored = [_stored_form(matrix) for matrix in _list_of("matrices", matrices)]
    layers, count = network.layers, len(stored)
    complete = all(each.scales.complete for each in stored)
    require(count == len(layers), "matrices", count, f"must be one for each of the {len(layers)} layers")
    kept = Network(
        name=network.name,
        layers=tuple(_stored_layer(*pair) for pair in zip(layers, stored, strict=True)),
        chained=network.chained,
        between=network.between,
        source=network.source,
        not_simulated=network.not_simulated,
        left=network.left,
        calibration=None if complete else network.calibration,
        seed=network.seed,
    )
    return Archive(
        network=kept,
        source_sha256=hash_of(network.dense_layers or layers) if source_sha256 is None else source_sha256,
        recipe={} if recipe is None else recipe,
    )


def network_of(archive: Archive) -> Network:
    """The network to run: weights are the values of the codebook, exactly, and layers keep what is stored of them."""
    require_type("archive", archive, Archive)
    return archive.network


def matrices_of(archive: Archive, config: Any) -> list[Any]:
    """Each layer in the format of a design, codes, codebook and scales as they are stored. Raises as `matrix_of`."""
    return [matrix_of(layer, config) for layer in network_of(archive).layers]


def require_bits(layer: Layer, config: Any) -> None:
    """Raise InputError where a layer has stored codes of another width than the design's."""
    if layer.stored is not None:
        ours, theirs = layer.stored.weight_bits, config.weight_bits
        rule = f"must be equal to the stored weight_bits={ours} of layer {layer.name}"
        require(ours == theirs, "config.weight_bits", theirs, rule)


def matrix_of(layer: Layer, config: Any) -> Any:
    """A layer with stored weights in the format of a design; nothing is clustered or scaled again.

    Raises InputError for other types, and where the design has other `weight_bits` than the codes.
    """
    require_type("layer", layer, Layer)
    unit, stored = unit_of(config), layer.stored
    if unit.unpack is None:
        raise InputError(f"config={type(config).__name__}: must be of a unit with codebooks, {unit.title} has none")
    if stored is None:
        raise InputError(f"layer {layer.name}: stored=None: must be there, the weights are not compressed yet")
    require_bits(layer, config)
    return unit.unpack(stored, config)


def hash_of(layers: Iterable[Layer]) -> str:
    """sha256 in hex of the weights and biases of layers, see `eie_sim.archive`; sparse ones count as if dense.

    Raises InputError for other types.
    """
    digest = hashlib.sha256()
    for layer in _list_of("layers", layers):
        require_type("layer", layer, Layer)
        for array in (layer.weights, layer.bias):
            if array is not None:
                _feed(digest, array)
    return digest.hexdigest()


def _feed(digest: Any, array: Any) -> None:
    dtype = array.dtype.newbyteorder("<")
    digest.update(f"{dtype.str} {','.join(map(str, array.shape))}\n".encode("ascii"))
    rows = array.tocsr() if hasattr(array, "tocsr") else array
    for at in range(0, array.shape[0], ROWS_HASHED):
        part = rows[at : at + ROWS_HASHED]
        dense = part.toarray() if hasattr(part, "toarray") else part
        digest.update(np.ascontiguousarray(dense, dtype=dtype).tobytes())


def _stored_layer(layer: Layer, stored: SharedWeights) -> Layer:
    where = f"matrix of layer {layer.name}"
    expected, shape = tuple(layer.weights.shape), stored.codes.shape
    require(shape == expected, where, f"shape {shape}", f"must be {expected}")
    rule, has_bias = "must have a bias where the layer has one, and only there", stored.bias_codes is not None
    require(has_bias == (layer.bias is not None), where, f"has_bias {has_bias}", rule)
    return Layer(
        name=layer.name,
        weights=stored.weights,
        bias=stored.bias,
        weights_source=layer.weights_source,
        synthetic=layer.synthetic,
        stored=stored,
    )


def _json_copy(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as JSON reads it back, so that it is the same before and after a file."""
    if not isinstance(recipe, Mapping):
        raise InputError(f"recipe: must be a JSON object, not {type(recipe).__name__}")
    try:
        text = json.dumps(dict(recipe), allow_nan=False, sort_keys=True)
        plain = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"recipe: must be a JSON object ({error})") from None
    return dict(plain)
