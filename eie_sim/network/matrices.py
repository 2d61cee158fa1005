"""From named arrays to layers: each matrix by itself, or a chain that the user declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from eie_sim.core.arrays import (
    MAX_ARRAYS,
    MAX_NAME,
    MAX_NUMBERS,
    MAX_SIDE,
    Floats,
    Unread,
    Weights,
    as_floats,
    as_weights,
    one_line,
    require_matrix_shape,
    require_name,
    shown,
)
from eie_sim.core.errors import InputError, as_array, is_tensor, require, require_one_of, require_type, unknown
from eie_sim.core.sparse import checked, is_sparse, of_tensor
from eie_sim.network import synthetic
from eie_sim.network.chain import asked_chain, batch_norms, in_order
from eie_sim.network.layers import NO_ACTIVATIONS, RELU, Layer, Left, Network, require_follows
from eie_sim.network.naming import (
    BARE_RECORDINGS,
    EXAMPLES,
    INPUTS,
    PACKED,
    PART,
    RECORDING,
    STATISTIC,
    bias_of,
    by_names,
    components,
    is_weights,
    kind,
    layer_names,
    layout_of,
    no_layer,
)
from eie_sim.network.parts import SCALES, put_together
from eie_sim.network.readers.safetensors_file import counted

LAYOUTS = ("out-in", "in-out")
NEVER = ("packed words", "part of a weight", "scale or zero point", "mask")
"""Reasons for which an array is no layer even where the user asks for it: its values are not what is multiplied."""
UNCOUNTED = ("packed words", "integer weights")
"""Reasons of arrays that may hold more or fewer weights than numbers."""
NO_WEIGHTS = ("optimiser state", "scale or zero point", "statistics", "mask", "normalisation", "inputs", "empty")


@dataclass(kw_only=True)
class Roles:
    """Roles of named arrays.

    arrays : all that can be used, parts put together; said : by name, how they came about
    left : by name, the reason of every array that is simulated in no way
    maps : by name, dimensions of the maps of a 1x1 convolution with channels second
    layouts : by the kind of weights, whether those whose biases tell are stored (in, out)
    weights : layer name of each weight matrix; biases, recorded : the array that belongs to a weight matrix
    """

    arrays: dict[str, Any]
    said: dict[str, str]
    left: dict[str, str]
    maps: dict[str, int]
    layouts: dict[str, set[bool]] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    biases: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)


def network_from_arrays(
    arrays: Mapping[str, Any],
    name: str,
    *,
    origin: str = "memory",
    seed: int = 0,
    layer: str | None = None,
    chain: str | Iterable[str] | None = None,
    between: str = RELU,
    layout: str | None = None,
) -> Network:
    """The layers among named arrays, each by itself, or a declared chain of them.

    arrays : numpy, scipy.sparse or torch tensors. A layer is a matrix, (out, in), that is named so (`X.weight`,
        `X_weight`, `X.kernel`, `W1`), has a bias of the right length, is the only one, or is asked for by name.
        `X.bias`, or b1 beside W1, is its bias; `X.activations` or `X.input`, (..., n_in), its recorded inputs;
        `activations`, `input` or `x` those of the only layer, of the one that is asked for, or the chain's first.
        `test_inputs`, `train_inputs` and `calibration`, (n, n_in), `test_labels` and `train_labels`, (n,), are those
        of the network. Pruned weights and masks, weight_norm, and integers with a scale are put together
    origin : "file" or "memory", for the labels
    seed : for the values of a pattern, a matrix of booleans, which has none of its own
    layer : only this one, also where nothing but the user says that it is a layer
    chain : names of layers in their order, and of BatchNorms right after theirs, which are folded
    between : "relu" or "none", between the layers of the chain
    layout : "out-in" or "in-out", of weights whose bias does not tell

    Arrays that are no layers stand in `not_simulated` with their reasons; layers that are no chain are sorted by name.
    Raises InputError where there is no layer, or where shapes, numbers or the chain are wrong.
    """
    require_type("arrays", arrays, Mapping)
    require_name("name", name)
    require_type("origin", origin, str)
    require(0 < len(arrays) <= MAX_ARRAYS, "arrays", len(arrays), f"must be 1 to {MAX_ARRAYS}")
    if layout is not None:
        require_one_of("layout", layout, LAYOUTS)
    asked = asked_chain(chain) if chain is not None else () if layer is None else (layer,)
    usable, left = _usable(arrays)
    examples = {each: array for each, array in usable.items() if each in EXAMPLES}
    roles = _roles_of(
        {each: array for each, array in usable.items() if each not in examples}, left, name, asked, layout
    )
    _record(roles, asked)
    if not roles.weights:
        raise InputError(f"no weight matrix, 2-D (out, in), among {_listing(arrays, roles.left)}")
    used = [each for each in roles.arrays if each not in roles.left and not is_sparse(roles.arrays[each])]
    total = sum(array.size for array in (*(roles.arrays[each] for each in used), *examples.values()))
    require(total <= MAX_NUMBERS, "arrays", f"{total} numbers", f"must be at most {MAX_NUMBERS} over all arrays")
    chained = chain is not None or (len(roles.weights) == 1 and len(examples) > 0)
    wanted = set(asked) or {*roles.weights, *roles.weights.values()}
    if chain is not None:  # before recordings are looked at, whose widths then say nothing
        _require_order(roles, asked, layout)
    layers = [
        _layer(roles, matrix, origin, seed, layout)
        for matrix in sorted(roles.weights, key=counted)
        if matrix in wanted or roles.weights[matrix] in wanted
    ]
    if chain is not None:
        layers = _in_chain(roles, layers, asked, layout)
    elif layer is not None:
        if layer in roles.left:
            raise InputError(f"layer={shown(layer)}: is no layer: {roles.left[layer]}")
        if not layers:
            raise unknown("layer", shown(layer), roles.weights.values())
        name = name if len(roles.weights) == 1 else f"{name}/{layers[0].name}"
    if examples and not chained:
        roles.left |= dict.fromkeys(examples, "inputs or labels of a network, which only a declared chain makes")
        examples = {}
    return Network(
        name=name,
        layers=tuple(layers),
        chained=chained,
        between=between,
        source=origin,
        not_simulated=tuple((each, roles.left[each]) for each in sorted(roles.left, key=counted)),
        left=None if layer is not None and len(roles.weights) > 1 else _left(roles),
        seed=seed,
        **_examples(examples),
    )


def _left(roles: Roles) -> Left:
    """Return how many weights are in the arrays that are left, by names, shapes and reasons."""
    weights = looked_up = uncounted = 0
    for name, reason in roles.left.items():
        array = roles.arrays.get(name)
        if reason.startswith(UNCOUNTED):
            uncounted += 1
        elif reason.startswith(NO_WEIGHTS):
            continue
        elif array is None or array.dtype.kind not in "fiub":
            uncounted += is_weights(name) or PACKED.search(name) is not None
        elif array.ndim >= 2 and (is_weights(name) or sum(side > 1 for side in array.shape) >= 2):
            numbers = prod(array.shape)
            looked_up += numbers if reason.startswith("embedding") else 0
            weights += 0 if reason.startswith("embedding") else numbers
    return Left(weights, looked_up, uncounted)


def _usable(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays that may be something, and the reasons of those that are nothing."""
    usable: dict[str, Any] = {}
    left: dict[str, str] = {}
    for at, (name, given) in enumerate(arrays.items()):
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            odd = shown(repr(name))
            said = f"its name must be 1 to {MAX_NAME} printable characters"
            left[odd if odd not in left else f"{odd} ({at})"] = said
        elif isinstance(given, Unread):
            left[name] = given.reason
        else:
            try:
                plain = of_tensor(given)
                array = checked(f"array {name}", plain) if is_sparse(plain) else as_array(f"array {name}", plain)
            except (InputError, TypeError, ValueError, RuntimeError) as error:  # the last three: types torch alone has
                odd = f"dtype {given.dtype}, which numpy has not" if is_tensor(given) else one_line(error)
                left[name] = odd.removeprefix(f"array {name}: ")
                continue
            if 0 in array.shape:
                left[name] = f"empty, {kind(array)}"
            else:
                usable[name] = array
    return usable, left


def _roles_of(
    given: dict[str, Any], left: dict[str, str], network: str, asked: tuple[str, ...], layout: str | None
) -> Roles:
    """Which arrays are weights and biases; what is neither, nor may be recorded inputs, is left with its reason."""
    parts = put_together(given, left, layout=layout)
    roles = Roles(arrays=parts.arrays, said=parts.said, left={**left, **parts.left}, maps=parts.maps)
    free = {each: array for each, array in roles.arrays.items() if each not in roles.left}
    vectors = by_names(each for each, array in free.items() if not is_sparse(array) and _is_vector(array))
    wanted = {each for each in free if each in asked or layer_names([each], network)[each] in asked}
    owned = {bias_of(each, vectors, alone=False) for each, array in free.items() if array.ndim == 2}
    matrices: list[str] = []
    open_ones: list[str] = []
    for each, array in free.items():
        if each in owned and each not in wanted:
            continue
        bias = bias_of(each, vectors, alone=False) if array.ndim == 2 else None
        has_bias = bias is not None and free[bias].size in array.shape
        reason = None if _is_inputs(each) else no_layer(each, array, has_bias=has_bias)
        if reason is not None and (each not in wanted or array.ndim != 2 or reason.startswith(NEVER)):
            roles.left[each] = reason
        elif array.ndim == 2 and max(array.shape) > MAX_SIDE:
            roles.left[each] = f"{kind(array)}, more than {MAX_SIDE} rows or columns"
        elif array.ndim == 2 and array.dtype.kind in "fiub" and (each in wanted or not _is_inputs(each)):
            (matrices if each in wanted or has_bias or is_weights(each) else open_ones).append(each)
    several = sum(array.ndim >= 2 and not _is_inputs(each) and each not in owned for each, array in given.items()) > 1
    if not matrices and len(open_ones) == 1 and not several and components(open_ones[0])[-1:] != ["bias"]:
        matrices = open_ones
    every = by_names([*roles.arrays, *roles.left])
    for matrix in matrices:
        bias = bias_of(matrix, vectors, alone=len(matrices) == 1)
        there = bias_of(matrix, every, alone=False)
        module = re.sub(r"[^./]+$", "", matrix)
        parts_of_it = [f"{module}{each}" for each in ("bias_orig", "parametrizations.bias.original") if module]
        there = next((each for each in parts_of_it if each in every), there)
        scaled = bias is not None and free[bias].dtype.kind in "iu"
        scaled = scaled and (" times " in roles.said.get(matrix, "") or any(f"{bias}{end}" in every for end in SCALES))
        if bias is not None and not scaled and there not in parts_of_it:
            roles.biases[matrix] = bias
        elif there is not None and there not in matrices:
            roles.left[matrix] = f"its bias, {shown(there)}, cannot be used"
    taken = {*roles.biases.values(), *roles.left}
    roles.weights = layer_names([each for each in matrices if each not in taken], network)
    roles.biases = {matrix: bias for matrix, bias in roles.biases.items() if matrix in roles.weights}
    for matrix, bias in roles.biases.items():
        rows, columns = roles.arrays[matrix].shape
        if min(rows, columns) > 1 and rows != columns and roles.arrays[bias].size in (rows, columns):
            roles.layouts.setdefault(layout_of(matrix), set()).add(roles.arrays[bias].size == columns)
    roles.left |= {
        each: f"{kind(free[each])}, neither its name nor a bias says that it is a layer: ask for it by name"
        for each in open_ones
        if each not in roles.weights and each not in taken
    }
    return roles


def _is_vector(array: Any) -> bool:
    """True for what may be a bias: 1-D, or 2-D with a side of 1, as W @ x + b is often written."""
    return array.dtype.kind in "fiub" and (array.ndim == 1 or (array.ndim == 2 and 1 in array.shape))


def _is_inputs(name: str) -> bool:
    return (RECORDING.fullmatch(name) or INPUTS.fullmatch(name)) is not None


def _record(roles: Roles, asked: tuple[str, ...]) -> None:
    """Find the recorded inputs of each layer; name every array that nothing uses."""
    owner = {layer: matrix for matrix, layer in roles.weights.items()} | {matrix: matrix for matrix in roles.weights}
    first = owner.get(asked[0]) if asked else next(iter(roles.weights)) if len(roles.weights) == 1 else None
    taken = {*roles.weights, *roles.biases.values(), *roles.left}
    others = sorted((each for each in roles.arrays if each not in taken), key=lambda each: (_rank(each), each))
    for each in others:
        found = RECORDING.fullmatch(each)
        if found is not None and found["layer"] in owner:
            roles.recorded.setdefault(owner[found["layer"]], each)
        elif each.lower() in BARE_RECORDINGS and first is not None:
            roles.recorded.setdefault(first, each)
    taken |= set(roles.recorded.values())
    for each, array in roles.arrays.items():
        if each not in taken:
            inputs = _is_inputs(each) and array.dtype.kind in "fiub"
            roles.left[each] = "inputs of no layer here" if inputs else f"not a weight matrix, {kind(array)}"


def _rank(name: str) -> tuple[bool, int]:
    """Names of inputs in the order in which they are taken, those that say of which layer before others."""
    last = components(f"_.{name}")[-1]
    last = "activations" if last.endswith("activations") else last
    bare = RECORDING.fullmatch(name) is None
    return bare, BARE_RECORDINGS.index(last) if last in BARE_RECORDINGS else len(BARE_RECORDINGS)


def _layer(roles: Roles, matrix: str, origin: str, seed: int, layout: str | None) -> Layer:
    layer, array = roles.weights[matrix], roles.arrays[matrix]
    bias, recorded = roles.biases.get(matrix), roles.recorded.get(matrix)
    told_by = _transposed(roles, matrix, layout)
    weights, source, drawn = _weights(f"array {matrix}", array.T if told_by else array, layer, origin, seed)
    whole = f"{array.dtype} as they are, no scale beside them" if array.dtype.kind in "iu" else None
    source = ", ".join(part for part in (source, whole, roles.said.get(matrix), told_by) if part)
    return Layer(
        name=layer,
        weights=weights,
        bias=None if bias is None else _bias(bias, roles.arrays[bias], weights.shape[0]),
        activations=None
        if recorded is None
        else as_batch(f"array {recorded}", roles.arrays[recorded], weights.shape[1], maps=roles.maps.get(matrix, 0)),
        weights_source=source,
        activations_source=NO_ACTIVATIONS if recorded is None else f"recorded: array {recorded}",
        synthetic=drawn,
        maps=roles.maps.get(matrix, 0),
    )


def _transposed(roles: Roles, matrix: str, layout: str | None) -> str:
    """Return why a matrix is stored (in, out) and is transposed, in words; "" for one that is stored (out, in).

    The length of a bias tells, then the user's layout, then the name. Raises InputError where none does and other
    weights of the file are (in, out).
    """
    rows, columns = roles.arrays[matrix].shape
    bias = roles.biases.get(matrix)
    n = None if bias is None else roles.arrays[bias].size
    if rows != columns and n in (rows, columns):
        return "stored (in, out) as its bias says, transposed" if n == columns else ""
    if layout is not None:
        return "stored (in, out) as asked, transposed" if layout == "in-out" else ""
    kept = roles.layouts.get(layout_of(matrix), set())
    if layout_of(matrix) == "kernel" and kept <= {True}:
        return "stored (in, out) as its name says, transposed"
    if kept == {True} and layout_of(matrix) == "conv1d":
        return "stored (in, out) as the biases of its kind say, transposed"
    if kept == {False} or (not kept and layout_of(matrix) == "weight"):
        return ""
    rule = "must be given, out-in or in-out: nothing says how it is stored"
    raise InputError(f"array {shown(matrix)}: layout=none: {rule}")


def _shape(roles: Roles, matrix: str, layout: str | None) -> tuple[int, int]:
    """(n_out, n_in) of a matrix, as far as that can be told."""
    rows, columns = roles.arrays[matrix].shape
    try:
        return (columns, rows) if _transposed(roles, matrix, layout) else (rows, columns)
    except InputError:  # nobody asks for this one
        return rows, columns


def _weights(field: str, matrix: Any, layer: str, origin: str, seed: int) -> tuple[Weights, str, bool]:
    """The weights, what they are, and whether their values were drawn."""
    if matrix.dtype != np.bool_:
        return as_weights(field, matrix), f"from {origin}", False
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


def as_batch(field: str, array: Any, n_in: int, *, maps: int = 0) -> Floats:
    """Activations as float [n_vector, n_in] from (n_in,), or (..., n_in): batch, time, features are vectors.

    maps : dimensions of the maps of a 1x1 convolution, (batch, n_in, height, width) or (batch, n_in, length), or 0

    Raises InputError for another shape.
    """
    require(not is_sparse(array), field, "a sparse matrix", "must be a numpy array")
    values = as_array(field, array)
    if maps and values.ndim > 2:
        rule = f"must be (n_vector, {n_in}), or maps of {maps} dimensions with {n_in} channels as the second"
        require(values.ndim == maps and values.shape[1] == n_in, field, f"shape {shown(values.shape)}", rule)
        values = np.moveaxis(values, 1, -1)
    ok = values.ndim >= 1 and values.shape[-1] == n_in and values.size > 0
    require(ok, field, f"shape {shown(values.shape)}", f"must be (n_vector, {n_in}), ({n_in},) or (..., {n_in})")
    return as_floats(field, values.reshape(-1, n_in))


def _require_order(roles: Roles, names: tuple[str, ...], layout: str | None) -> None:
    """Raise InputError where a layer of the chain has not as many inputs as the layer named before it has outputs."""
    shapes = {layer: _shape(roles, matrix, layout) for matrix, layer in roles.weights.items()}
    for first, second in pairwise(roles.weights.get(each, each) for each in names):
        if first in shapes and second in shapes:
            require_follows(second, shapes[second][1], first, shapes[first][0])


def _in_chain(roles: Roles, layers: list[Layer], names: tuple[str, ...], layout: str | None) -> list[Layer]:
    """The layers of the chain; the others, and BatchNorms that were not folded, are left with their reasons."""
    norms = batch_norms(roles.arrays)
    shapes: dict[str, tuple[int, ...]] = {
        layer: _shape(roles, matrix, layout)[:1] for matrix, layer in roles.weights.items()
    }
    for each in dict.fromkeys((*roles.arrays, *roles.left)):  # whatever else a BatchNorm may follow
        array = roles.arrays.get(each)
        named = is_weights(each) or PACKED.search(each) or PART.search(each)
        if named and each not in roles.weights and (array is None or array.ndim >= 2):
            sides = () if array is None or array.ndim == 2 else array.shape[:2]
            sides = array.shape[-2:] if array is not None and sides and layout_of(each) == "kernel" else sides
            shapes.setdefault(re.sub(r"[._/](parametrizations\.weight\.|weight_)?[^._/]+(:0)?$", "", each), sides)
    wanted = [roles.weights.get(name, name) for name in names]
    chain, placed = in_order(layers, wanted, norms, shapes, tuple(roles.weights.values()))
    inside = {layer.name for layer in chain}
    roles.left |= {matrix: "not in the chain" for matrix, layer in roles.weights.items() if layer not in inside}
    known = {each for norm in norms.values() for each in norm.arrays}
    widths = {side for layer in chain for side in (layer.n_in, layer.n_out)}
    for each in (*roles.arrays, *roles.left):
        asked_out = any(each == name[1:] or each.startswith(f"{name[1:]}.") for name in names if name.startswith("-"))
        if asked_out or each.lower().endswith("num_batches_tracked"):
            continue
        if STATISTIC.search(each) and each not in known:
            size = roles.arrays[each].size if each in roles.arrays else None
            rule = "must be of a BatchNorm with mean and variance, one value per output: its place is not clear"
            require(
                size is not None and size not in widths, f"statistics {shown(each)}", roles.left.get(each, size), rule
            )
    for name in placed:
        for each in norms[name].arrays:
            roles.left.pop(each, None)
    return list(chain)


def _examples(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of the network as floats, and their labels, by the names of the network's fields."""
    for each, array in arrays.items():
        require(not is_sparse(array), f"array {each}", "a sparse matrix", "must be a numpy array")
    return {
        each: array if each.endswith("labels") else as_floats(f"array {each}", array) for each, array in arrays.items()
    }


def _listing(arrays: Mapping[str, Any], left: Mapping[str, str]) -> str:
    """The first few arrays, in their order, with why they are not simulated."""
    names = [each for each in dict.fromkeys((*map(str, arrays), *left)) if each in left]
    few = [f"{shown(each)} ({left[each]})" for each in names[:8]]
    return ", ".join(few) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
