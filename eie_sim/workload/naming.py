"""From named arrays to a network: which are weights, which belong to them, and what is not simulated, said by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from eie_sim.errors import InputError, as_array, require, require_type
from eie_sim.sparse import checked, is_sparse
from eie_sim.workload import synthetic
from eie_sim.workload.arrays import (
    MAX_NUMBERS,
    Floats,
    Weights,
    as_floats,
    as_weights,
    require_matrix_shape,
    require_name,
    shown,
)
from eie_sim.workload.network import NO_ACTIVATIONS, Layer, Network

MAX_ARRAYS = 10_000

WEIGHT_NAME = re.compile(r"(?P<layer>.+)[._/]weights?", re.IGNORECASE)
BARE_WEIGHT = re.compile(r"weights?", re.IGNORECASE)
PAIRED = re.compile(r"(?P<stem>(?:.*[._/])?)(?P<word>weights?|w)(?P<number>_?\d*)", re.IGNORECASE)
BIAS_OF = {"weights": ("biases", "bias"), "weight": ("bias",), "w": ("b",)}
ACTIVATIONS_NAME = re.compile(r"(?P<layer>.+)(?:[./]input|[._/]activations)", re.IGNORECASE)
BARE_ACTIVATIONS = "activations"
EXAMPLES = ("test_inputs", "test_labels", "train_inputs", "train_labels", "calibration")

BY_NAME = (
    (re.compile(r"lstm|(?<![a-z])(bi)?(gru|rnn)", re.IGNORECASE), "recurrent, {}, not simulated yet"),
    (re.compile(r"(?<![a-z])(weight|w|bias|b)_[ih]h(?![a-z])", re.IGNORECASE), "recurrent, {}, not simulated yet"),
    (re.compile(r"embedding|(?<![a-z])emb(?![a-z])", re.IGNORECASE), "embedding, {}, looked up and not multiplied"),
    (re.compile(r".[._/](weights?_)?mask$", re.IGNORECASE), "mask, {}, not applied"),
)
"""What a name gives away; the shape goes in between."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What each array is, by name.

    weights : layer name of each weight matrix, in file order
    biases, activations : the array that holds those of a weight matrix
    left : reason for every array that is simulated in no way
    """

    weights: dict[str, str]
    biases: dict[str, str]
    activations: dict[str, str]
    left: dict[str, str]


def network_from_arrays(arrays: Mapping[str, Any], name: str, *, origin: str = "memory", seed: int = 0) -> Network:
    """A network of all weight matrices among named arrays.

    arrays : numpy or scipy.sparse; weights are 2-D, (out, in). `X.weight`, `X_weight`, `X/weight` or any other 2-D
        array is the weights of a layer; `X.bias`, `X_bias`, `X/bias`, or b1 beside W1, its bias; `X.activations` or
        `X.input`, (n, n_in) or (n_in,), its recorded activations; `activations` those of the first layer.
        `test_inputs`, `train_inputs` and `calibration`, (n, n_in), and `test_labels` and `train_labels`, (n,), are
        those of the network
    origin : "file" or "memory", for the labels
    seed : for the values of a pattern, a matrix of booleans, which has none of its own

    Layers whose shapes chain in the arrays' order, with nothing between them that is not simulated, make a chained
    network, and so does one layer with inputs of the network. Convolutions, recurrent layers and all else are listed
    in `not_simulated`.
    Raises InputError where there are no weights, or shapes or numbers are wrong.
    """
    require_type("arrays", arrays, Mapping)
    require_name("name", name)
    require_type("origin", origin, str)
    require(0 < len(arrays) <= MAX_ARRAYS, "arrays", len(arrays), f"must be 1 to {MAX_ARRAYS}")
    for each in arrays:
        require_name("array name", each)
    given = {each: _given(f"array {each}", array) for each, array in arrays.items()}
    examples = _examples(given)
    given = {each: array for each, array in given.items() if each not in examples}
    roles = _roles(given, name)
    if not roles.weights:
        raise InputError(f"no weight matrix, 2-D (out, in), among {_listing(given, roles.left)}")
    used = [array for each, array in given.items() if each not in roles.left and not is_sparse(array)]
    total = sum(
        array.size for array in (*used, *examples.values())
    )  # those of sparse ones have indices beside them, which are as wide
    require(total <= MAX_NUMBERS, "arrays", f"{total} numbers", f"must be at most {MAX_NUMBERS} over all arrays")
    layers = tuple(_layer(given, roles, each, origin, seed) for each in roles.weights)
    return Network(
        name=name,
        layers=layers,
        chained=_chained(layers, list(given), roles) or (len(layers) == 1 and len(examples) > 0),
        source=origin,
        not_simulated=tuple((each, roles.left[each]) for each in given if each in roles.left),
        seed=seed,
        **examples,
    )


def _examples(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of the network as floats, and their labels, by the names of the network's fields."""
    found = {each: array for each, array in arrays.items() if each in EXAMPLES}
    for each, array in found.items():
        require(not is_sparse(array), f"array {each}", "a sparse matrix", "must be a numpy array")
    return {
        each: array if each.endswith("labels") else as_floats(f"array {each}", array) for each, array in found.items()
    }


def _given(field: str, array: Any) -> Any:
    return checked(field, array) if is_sparse(array) else as_array(field, array)


def _roles(arrays: dict[str, Any], name: str) -> Roles:
    left = {each: reason for each, array in arrays.items() if (reason := _reason(each, array)) is not None}
    usable = [each for each, array in arrays.items() if each not in left and _is_numbers(array)]
    recorded = [each for each in usable if _is_recording(each)]
    others = [each for each in usable if not _is_recording(each)]
    matrices = [each for each in others if arrays[each].ndim == 2]
    biases = _biases(arrays, matrices, others)
    claimed = set(biases.values())
    weights = _layer_names([each for each in matrices if each not in claimed], name)
    activations = _activations(weights, recorded)
    used = {*weights, *claimed, *activations.values(), *left}
    left |= {each: "activations of no layer here" for each in recorded if each not in used}
    left |= {each: f"not a weight matrix, {_kind(arrays[each])}" for each in arrays if each not in used | left.keys()}
    return Roles(weights=weights, biases=biases, activations=activations, left=left)


def _reason(name: str, array: Any) -> str | None:
    """Why an array is certainly no fully connected layer, if name or shape say so."""
    for pattern, reason in BY_NAME:
        if pattern.search(name):
            return reason.format(_kind(array))
    if array.ndim >= 4 or (array.ndim == 3 and "conv" in name.lower()):
        return f"convolution, {_kind(array)}, not simulated yet"
    return None


def _kind(array: Any) -> str:
    odd = "" if array.dtype.kind in "fiub" else f", dtype {shown(array.dtype)}"
    return f"shape {shown(tuple(array.shape))}{odd}"


def _is_numbers(array: Any) -> bool:
    """True for what may be weights, a bias or activations. Complex ones are, so that they are refused by name."""
    return array.ndim in (1, 2) and array.dtype.kind in "fiubc"


def _is_recording(name: str) -> bool:
    return name.lower() == BARE_ACTIVATIONS or ACTIVATIONS_NAME.fullmatch(name) is not None


def _biases(arrays: dict[str, Any], matrices: list[str], others: list[str]) -> dict[str, str]:
    """The array named as the bias of each matrix: 1-D, or 2-D with a side of 1, as W @ x + b is often written."""
    dense = [each for each in others if not is_sparse(arrays[each])]
    by_name = {each.lower(): each for each in dense if arrays[each].ndim == 1 or 1 in arrays[each].shape}
    found: dict[str, str] = {}
    for matrix in matrices:
        names = _bias_names(matrix, alone=len(matrices) == 1)
        bias = next((by_name[each] for each in names if each in by_name), None)
        if bias is not None:
            found[matrix] = bias
    return {matrix: bias for matrix, bias in found.items() if matrix not in found.values()}


def _bias_names(matrix: str, *, alone: bool) -> list[str]:
    """Lower-case names under which the bias of a weight matrix is looked for, best first."""
    names = []
    if paired := PAIRED.fullmatch(matrix):
        words = BIAS_OF[paired["word"].lower()]
        names = [f"{paired['stem']}{word}{paired['number']}" for word in words]
    names += [f"{matrix}{mark}bias" for mark in "._/"]
    if alone:
        names += ["bias", "b"]
    return [each.lower() for each in names]


def _activations(weights: dict[str, str], recorded: list[str]) -> dict[str, str]:
    """The recording of each weight matrix that has one; of two, the first."""
    owner = {layer: matrix for matrix, layer in weights.items()}
    claimed: dict[str, str] = {}
    for each in recorded:
        found = ACTIVATIONS_NAME.fullmatch(each)
        matrix = next(iter(weights), None) if found is None else owner.get(found["layer"])
        if matrix is not None:
            claimed.setdefault(matrix, each)
    return claimed


def _layer_names(matrices: list[str], name: str) -> dict[str, str]:
    """A name for the layer of each matrix: `X` of `X.weight`, the network's of a bare `weight`, else the array's own.

    Where two would be the same, both keep their arrays' names.
    """
    short = {each: _layer_name(each, name) for each in matrices}
    uses = Counter(short.values())
    return {each: layer if uses[layer] == 1 else each for each, layer in short.items()}


def _layer_name(matrix: str, name: str) -> str:
    if found := WEIGHT_NAME.fullmatch(matrix):
        return found["layer"]
    return name if BARE_WEIGHT.fullmatch(matrix) else matrix


def _layer(arrays: dict[str, Any], roles: Roles, matrix: str, origin: str, seed: int) -> Layer:
    layer = roles.weights[matrix]
    weights, source, drawn = _weights(f"array {matrix}", arrays[matrix], layer, origin, seed)
    bias = roles.biases.get(matrix)
    recorded = roles.activations.get(matrix)
    return Layer(
        name=layer,
        weights=weights,
        bias=None if bias is None else _bias(bias, arrays[bias], weights.shape[0]),
        activations=None if recorded is None else as_batch(f"array {recorded}", arrays[recorded], weights.shape[1]),
        weights_source=source,
        activations_source=NO_ACTIVATIONS if recorded is None else f"recorded activations from {origin}",
        synthetic=drawn,
    )


def _weights(field: str, matrix: Any, layer: str, origin: str, seed: int) -> tuple[Weights, str, bool]:
    """The weights, what they are, and whether their values were drawn."""
    if matrix.dtype != np.bool_:
        return as_weights(field, matrix), f"weights from {origin}", False
    if not is_sparse(matrix):
        require_matrix_shape(field, matrix.shape)
        from scipy.sparse import csc_array

        matrix = csc_array(matrix)
    pattern = as_weights(field, matrix)
    source = f"pattern from {origin}, values synthetic, seed {seed}"
    return synthetic.weights_on(pattern, layer, seed=seed), source, True


def _bias(name: str, array: Any, n_out: int) -> Floats:
    flat = array.ravel()
    require(flat.shape == (n_out,), f"array {name}", f"shape {array.shape}", f"must be ({n_out},), one per output")
    return as_floats(f"array {name}", flat)


def as_batch(field: str, array: Any, n_in: int) -> Floats:
    """Activations as float [n_vector, n_in] from (n_vector, n_in) or (n_in,). Raises InputError for another shape."""
    require(not is_sparse(array), field, "a sparse matrix", "must be a numpy array")
    values = as_array(field, array)
    ok = values.ndim in (1, 2) and values.shape[-1] == n_in and values.size > 0
    require(ok, field, f"shape {shown(values.shape)}", f"must be (n_vector, {n_in}) or ({n_in},)")
    return as_floats(field, np.atleast_2d(values))


def _chained(layers: tuple[Layer, ...], order: list[str], roles: Roles) -> bool:
    """True for several layers that fit end to end in file order with nothing unsimulated between them."""
    fits = all(first.n_out == second.n_in for first, second in pairwise(layers))
    weights = list(roles.weights)
    between = order[order.index(weights[0]) : order.index(weights[-1])]
    return len(layers) > 1 and fits and not any(each in roles.left for each in between)


def _listing(arrays: Mapping[str, Any], left: Mapping[str, str]) -> str:
    """The first few arrays with shape, or with why they are not simulated."""
    said: Iterable[str] = (f"{shown(each)} ({left.get(each) or _kind(array)})" for each, array in arrays.items())
    few = [text for text, _ in zip(said, range(8), strict=False)]
    return ", ".join(few) + (f" and {len(arrays) - 8} more" if len(arrays) > 8 else "")
