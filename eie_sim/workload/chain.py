"""A chain that the user declares: layers by name in their order, and the BatchNorms that are folded into them.

Nothing of a chain is guessed: what cannot be placed is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, require, require_type, unknown
from eie_sim.core.sparse import is_sparse
from eie_sim.workload.network import Layer

MEANS = {
    "running_mean": ("running_var", "weight", "bias", 1e-5),
    "moving_mean": ("moving_variance", "gamma", "beta", 1e-3),
}
"""Name of a BatchNorm's means: names of its variance, gamma and beta, and the usual eps (torch; Keras, Flax)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchNorm:
    """Statistics and parameters by output, float64 [n]; `arrays` are the names of what they were read from."""

    name: str
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    gamma: NDArray[np.float64]
    beta: NDArray[np.float64]
    eps: float
    arrays: tuple[str, ...]


def asked_chain(chain: object) -> tuple[str, ...]:
    """The names of a declared chain, given as text between commas or as a list. Raises InputError."""
    given = chain.split(",") if isinstance(chain, str) else chain
    require_type("chain", given, list, tuple)
    assert isinstance(given, (list, tuple))
    names = tuple(name.strip() if isinstance(name, str) else name for name in given)
    for at, name in enumerate(names):
        require_type(f"chain[{at}]", name, str)
    require(len(names) > 0 and all(names), "chain", shown(",".join(names)), "must be names of layers, as fc1,fc2,fc3")
    twice = [name for name, count in Counter(names).items() if count > 1]
    require(
        not twice, "chain", shown(",".join(names)), f"must have each layer once, {', '.join(map(shown, twice[:3]))}"
    )
    return names


def batch_norms(arrays: Mapping[str, Any]) -> dict[str, BatchNorm]:
    """Every BatchNorm whose statistics are among the arrays, by name. Raises InputError for parts of unlike lengths."""
    found = {}
    for name, mean in arrays.items():
        bare = name.removesuffix(":0")
        stem, word = re.sub(r"[^./]+$", "", bare), re.sub(r".*[./]", "", bare)
        if word not in MEANS or is_sparse(mean) or mean.ndim != 1:
            continue
        variance, gamma, beta, eps = MEANS[word]
        end = name[len(bare) :]
        parts = {each: f"{stem}{each}{end}" for each in (word, variance, gamma, beta)}
        there = {part: where for part, where in parts.items() if where in arrays}
        require(variance in there, f"array {shown(name)}", "alone", f"must have {stem}{variance} beside it")
        stated = arrays.get(f"{stem}eps{end}")
        values = {part: np.asarray(arrays[where], np.float64) for part, where in there.items()}
        for each, array in values.items():
            rule = f"must be ({len(mean)},), as {shown(name)}"
            require(array.shape == mean.shape, f"array {shown(parts[each])}", f"shape {array.shape}", rule)
        found[stem[:-1] or "batch norm"] = BatchNorm(
            name=stem[:-1] or "batch norm",
            mean=values[word],
            variance=values[variance],
            gamma=values.get(gamma, np.ones(len(mean))),
            beta=values.get(beta, np.zeros(len(mean))),
            eps=eps if stated is None else float(np.asarray(stated).ravel()[0]),
            arrays=(*there.values(), *(() if stated is None else (f"{stem}eps{end}",))),
        )
    return found


def folded(layer: Layer, norm: BatchNorm) -> Layer:
    """The layer with a BatchNorm right after it in its weights and bias, computed in float64.

    w' = w gamma / sqrt(variance + eps) for each output, b' = (b - mean) gamma / sqrt(variance + eps) + beta. Weights
    keep their type, zeros stay zeros. Raises InputError where the lengths differ or a variance is not >= 0.
    """
    field = f"batch norm {norm.name}"
    n = len(norm.mean)
    require(n == layer.n_out, field, f"{n} values", f"must be {layer.n_out}, one per output of {layer.name} before it")
    require(bool((norm.variance + norm.eps > 0).all()), field, "variance", "must be above -eps")
    scale = norm.gamma / np.sqrt(norm.variance + norm.eps)
    if is_sparse(layer.weights):
        weights = layer.weights.copy()
        weights.data = (weights.data * scale[weights.indices]).astype(weights.dtype)
    else:
        weights = (layer.weights * scale[:, None]).astype(layer.weights.dtype)
    bias = np.zeros(n) if layer.bias is None else layer.bias
    said = f"{layer.weights_source}, {norm.name} folded (eps {norm.eps:g})"
    return replace(layer, weights=weights, bias=(bias - norm.mean) * scale + norm.beta, weights_source=said)


def in_order(
    layers: Sequence[Layer],
    names: Sequence[str],
    norms: Mapping[str, BatchNorm],
    shapes: Mapping[str, tuple[int, int]],
) -> tuple[Layer, ...]:
    """The layers of a declared chain, BatchNorms folded.

    layers : those that are named; shapes : (n_out, n_in) of every layer there is, by name
    names : of layers, and of BatchNorms right after theirs; a BatchNorm that is not named is folded where names and
        lengths leave one place for it, right after a layer of the chain

    Raises InputError for an unknown name (did you mean), a BatchNorm without its layer, one that cannot be placed, and
    shapes that do not follow.
    """
    by_name = {layer.name: layer for layer in layers}
    chain: list[Layer] = []
    waiting = dict(norms)
    for name in names:
        if name in by_name:
            chain.append(by_name[name])
        elif name in norms:
            rule = f"must follow the layer it is folded into: {name} is a BatchNorm"
            require(len(chain) > 0, "chain", shown(",".join(names)), rule)
            chain[-1] = folded(chain[-1], waiting.pop(name))
        else:
            raise unknown("chain", shown(name), [*shapes, *norms])
    declared = {layer.name: at for at, layer in enumerate(chain)}
    for norm in waiting.values():
        owner = _owner(norm, shapes, declared)
        if owner in declared:
            chain[declared[owner]] = folded(chain[declared[owner]], norm)
    return tuple(chain)


def _owner(norm: BatchNorm, shapes: Mapping[str, tuple[int, int]], declared: Mapping[str, int]) -> str:
    """The layer that a BatchNorm follows, of the chain or not; "" for one that has nothing to do with the chain.

    It follows the layer of its own module whose number is one lower (`net.0`, `net.1`) or the same (`fc1`, `bn1`), or
    the only one with as many outputs.
    """
    module, own = _split(norm.name)
    near = [name for name, shape in shapes.items() if _split(name)[0] == module and len(norm.mean) in shape]
    if declared.keys().isdisjoint(near):
        return ""
    fit = [name for name in near if shapes[name][0] == len(norm.mean)]
    if own.isdigit():
        fit = [name for name in fit if _split(name)[1] == str(int(own) - 1)]
    elif len(fit) > 1:
        fit = [name for name in fit if _number(name) == _number(own)]
    if len(fit) == 1:
        return fit[0]
    rule = "must stand in the chain right after its layer, as fc1,bn1,fc2: its place is not clear"
    raise InputError(f"batch norm {shown(norm.name)}={len(norm.mean)} values: {rule}")


def _split(name: str) -> tuple[str, str]:
    """The module that a name is of, and its own part."""
    own = re.sub(r".*[./]", "", name)
    return name[: len(name) - len(own)], own


def _number(name: str) -> int | None:
    found = re.search(r"(\d+)$", name)
    return int(found[1][:18]) if found else None
