"""A chain that the user declares: layers by name in their order, and the BatchNorms that are folded into them.

Nothing of a chain is guessed: what cannot be placed is an error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, require, require_type, unknown
from eie_sim.core.sparse import is_sparse
from eie_sim.network.layers import Layer

MEAN = re.compile(r"(?P<stem>|.*?[./_])(?P<word>running_mean|moving_mean|mean)(?P<end>(:0)?)", re.IGNORECASE)
PARTS = {
    "running_mean": ("running_var", 1e-5),
    "moving_mean": ("moving_variance", 1e-3),
    "mean": ("var", 1e-5),
}
"""A BatchNorm's means: names of its variance, and the usual eps (torch; Keras; Flax)."""

GAMMAS, BETAS = ("weight", "gamma", "scale"), ("bias", "beta", "offset", "shift")

STATISTICS_OF = re.compile(r"(^|[./])batch_stats([./])")
TRAINED = (r"\1params\2", r"\1")
"""Patterns that turn the place of Flax's statistics into that of what is trained."""


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
    """Every BatchNorm whose parts are among the arrays, by name; parts that do not fit each other are none."""
    found = {}
    vectors: dict[str, list[str]] = {}  # by module, of those that are of one
    for each, array in arrays.items():
        module = _split(each.removesuffix(":0"))[0]
        if module and _is_vector(array):
            vectors.setdefault(module, []).append(each)
    for name, mean in arrays.items():
        match = MEAN.fullmatch(name)
        if match is None or not _is_vector(mean):
            continue
        variance, eps = PARTS[match["word"].lower()]
        end, stem = match["end"], match["stem"]
        places = [stem, *(STATISTICS_OF.sub(place, stem, count=1) for place in TRAINED)]
        trained = next(
            (one for one in reversed(places) if any(f"{one}{word}{end}" in arrays for word in GAMMAS)), places[1]
        )
        spread = f"{stem}{variance.upper() if match['word'].isupper() else variance}{end}"
        gamma, beta, stated = (
            next((f"{trained}{each}{end}" for each in words if f"{trained}{each}{end}" in arrays), None)
            for words in (GAMMAS, BETAS, ("eps", "epsilon"))
        )
        there = [name, spread, *(each for each in (gamma, beta) if each is not None)]
        like = all(each in arrays and _is_vector(arrays[each]) and arrays[each].shape == mean.shape for each in there)
        others = (each for each in vectors.get(trained, ()) if each not in (*there, stated))
        if any(arrays[each].shape == mean.shape for each in others):
            continue  # what else it multiplies by or adds is not known
        if not like or (stated is not None and (arrays[stated].size != 1 or arrays[stated].dtype.kind not in "fiu")):
            continue
        values = [arrays[each].astype(np.float64) for each in there]
        own = trained[:-1] or "batch norm"
        found[own] = BatchNorm(
            name=own,
            mean=values[0],
            variance=values[1],
            gamma=np.ones(len(mean)) if gamma is None else arrays[gamma].astype(np.float64),
            beta=np.zeros(len(mean)) if beta is None else arrays[beta].astype(np.float64),
            eps=eps if stated is None else float(arrays[stated].ravel()[0]),
            arrays=(*there, *(() if stated is None else (stated,))),
        )
    return found


def _is_vector(array: Any) -> bool:
    return not is_sparse(array) and array.ndim == 1 and array.dtype.kind in "fiu"


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
    norms: Mapping[str, BatchNorm] = MappingProxyType({}),
    shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    known: Collection[str] = (),
) -> tuple[tuple[Layer, ...], set[str]]:
    """The layers of a declared chain, BatchNorms folded, and the names of those BatchNorms.

    layers : those that are named; known : the names of all that there are
    shapes : what may be the outputs of every weight that there is, by the name of its layer; none where unknown
    names : of layers, and of BatchNorms right after theirs; `-bn` leaves out what has this name. A BatchNorm that is
        not named is folded where its number leaves one place for it, right after a layer of the chain

    Raises InputError for an unknown name (did you mean), a BatchNorm without its layer, one that cannot be placed, and
    shapes that do not follow.
    """
    by_name = {layer.name: layer for layer in layers}
    chain: list[Layer] = []
    waiting = dict(norms)
    placed: dict[str, str] = {}
    for name in names:
        if name in by_name:
            chain.append(by_name[name])
        elif name in norms and name not in waiting:
            raise InputError(f"chain={shown(','.join(names))}: must have each BatchNorm once, {shown(name)}")
        elif name in norms:
            rule = f"must follow the layer it is folded into: {name} is a BatchNorm"
            require(len(chain) > 0, "chain", shown(",".join(names)), rule)
            chain[-1] = folded(chain[-1], waiting.pop(name))
            placed[name] = chain[-1].name
        elif name.startswith("-"):
            waiting.pop(name[1:], None)
        else:
            raise unknown("chain", shown(name), [*(known or by_name), *norms])
    declared = {layer.name: at for at, layer in enumerate(chain)}
    widths = {side for layer in chain for side in (layer.n_in, layer.n_out)}
    places = _places(shapes)
    for norm in waiting.values():
        if len(norm.mean) not in widths:
            continue
        owner = _owner(norm, places)
        square = owner in declared and chain[declared[owner]].n_in == chain[declared[owner]].n_out
        by_index = _split(norm.name)[1].isdecimal()
        if owner is None or owner in placed.values() or (square and not by_index):
            name = shown(norm.name)
            rule = f"must stand in the chain right after its layer, as fc1,bn1,fc2, or be left out, as -{name}"
            raise InputError(f"batch norm {name}={len(norm.mean)} values: {rule}: its place is not clear")
        if owner in declared:
            chain[declared[owner]] = folded(chain[declared[owner]], norm)
            placed[norm.name] = owner
    return tuple(chain), set(placed)


def _places(shapes: Mapping[str, tuple[int, ...]]) -> dict[tuple[Any, ...], list[str]]:
    """Layers and convolutions by module, and by module, whether the own name is a number alone, number and outputs."""
    places: dict[tuple[Any, ...], list[str]] = {}
    for name, sides in shapes.items():
        module, own = _split(name)
        outputs = sides or (None,)
        for key in ((module,), *((module, own.isdecimal(), _number(own), n_out) for n_out in dict.fromkeys(outputs))):
            places.setdefault(key, []).append(name)
    return places


def _owner(norm: BatchNorm, places: Mapping[tuple[Any, ...], list[str]]) -> str | None:
    """The layer or convolution, of the chain or not, that a BatchNorm follows; None where its place is not clear.

    It follows the one of its own module whose number is one lower (`net.0`, `net.1`), that is the module's only one
    (`block.fc`, `block.bn`), or whose number is the same (`fc1`, `bn1`). A length that fits is not enough: it may stand
    after the activation.
    """
    module, own = _split(norm.name)
    number = _number(own)
    if own.isdecimal():
        key: tuple[Any, ...] = (module, True, (number or 0) - 1)
    elif len(places.get((module,), ())) == 1:
        (only,) = places[(module,)]
        key = (module, _split(only)[1].isdecimal(), _number(only))
    elif number is None:
        return None
    else:
        key = (module, False, number)
    fit = [name for n_out in (len(norm.mean), None) for name in places.get((*key, n_out), ())]
    return fit[0] if len(fit) == 1 else None


def _split(name: str) -> tuple[str, str]:
    """The module that a name is of, and its own part."""
    own = re.sub(r".*[./]", "", name)
    return name[: len(name) - len(own)], own


def _number(name: str) -> int | None:
    found = re.search(r"([0-9]{1,18})$", name)
    return int(found[1]) if found else None
