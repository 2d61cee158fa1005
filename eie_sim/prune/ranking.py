"""How much each unit of a group matters: scores inside its members, aggregated over members, normalised over units.

    scores = es.prune.importance(graph, es.groups(graph), "l2")     # by name of group, float64 [units]
    units = es.prune.select(scores, 0.5)                            # what goes: es.prune.remove(graph, units)

A unit is one place of a group's dimension, as a channel; a member is an axis of a parameter that it is on.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_floats, few, refused, require, require_one_of, require_seed, unknown
from eie_sim.network.graph import Graph, Node
from eie_sim.network.integers import magnitudes_of
from eie_sim.network.layered import graph_of
from eie_sim.network.layers import Network
from eie_sim.network.operators import operator_of
from eie_sim.prune.counts import fraction
from eie_sim.prune.groups import Group, Member
from eie_sim.prune.score import as_finite

Scores = NDArray[np.float64]
Use = tuple[Node, int]

ALSO = ("bias", "beta", "embedding")
"""Roles of parameters that are scored only if asked; weights of products and gammas of norms always are."""


class Importance(dict[str, Scores]):
    """Scores by name of group, float64 [units]. alike : by name; groups that have the same share isomorphic rankings"""

    alike: Mapping[str, Hashable]

    def __init__(self, scores: Mapping[str, Scores], alike: Mapping[str, Hashable]) -> None:
        super().__init__(scores)
        self.alike = alike


def importance(
    graph: Graph | Network,
    groups: Iterable[Group],
    score: str = "l2",
    gradients: Mapping[str, Any] | None = None,
    aggregate: str = "mean",
    normalise: str = "mean",
    *,
    also: Sequence[str] = (),
    p: float | None = None,
    seed: int = 0,
) -> Importance:
    """Return the importance of every unit that can leave, by name of group.

    groups : as `es.groups` lists them; pinned ones and those of one unit are left out
    score : of a unit in a member, over all that it is there: l1 sum |w|, l2 sum w^2, lp sum |w|^p, no root; with
        gradients g: taylor_vector |sum w g|, taylor_element sum |w g|, fisher sum w^2 F, F the mean of each sample's
        g^2; or random, uniform in 0..1 for each unit. Of units of several channels, as heads, taylor_vector is of each
        channel, then summed
    gradients : by name of parameter; of its shape for taylor (with a first axis of samples, their mean), of each
        sample, (n_sample, *shape), for fisher
    aggregate : over members: sum, mean, max, prod, first or last in order of the group
    normalise : over units: none, sum, mean, max, standard (s - min) / (max - min + 1e-8), gaussian (s - mean) /
        (sd + 1e-8), sentinel_Q s / (k-th smallest + 1e-8) with k = floor(Q n), lamp s / (sum of all not smaller).
        Where one would divide by nothing, scores stay as they are
    also : of bias, beta and embedding those that are scored too; an addend after a norm in parts is a bias

    Warn of groups that have no scored member; they are left out. Raise InputError for unknown names, gradients that
    are missing, not finite or of another shape, and where all groups are pinned.
    """
    _require_known(score, gradients, aggregate, normalise, also)
    require_seed(seed)
    power = as_finite("p", p, above=0) if score == "lp" else 2.0
    graph = graph_of(graph) if isinstance(graph, Network) else graph
    free = _free(graph, groups)
    uses = _uses(graph)
    scored_roles = {"weight", "gamma", *also}
    scored = {
        group.name: [one for one in group.members if _role(graph, uses.get(one.parameter, [])) in scored_roles]
        for group in free
    }
    bare = [name for name, members in scored.items() if not members]
    if bare:
        warnings.warn(f"left out, no member is scored: {few(bare)}", stacklevel=2)
    found = {}
    elements = _Elements(graph, score, gradients, power)
    for group in free:
        if not scored[group.name]:
            continue
        if score == "random":
            values = np.random.default_rng([seed, *group.name.encode()]).random(group.size)
        else:
            channels = all(np.shape(one.positions)[1] > 1 for one in group.members)
            values = AGGREGATES[aggregate](np.array([elements.score(one, channels) for one in scored[group.name]]))
        require(bool(np.isfinite(values).all()), f"importance of {group.name}", "not finite", "must be finite numbers")
        found[group.name] = _normalised(values, normalise)
    return Importance(found, {group.name: _structure(graph, group, uses) for group in free if group.name in found})


AGGREGATES: dict[str, Callable[[Scores], Scores]] = {
    "sum": lambda scores: scores.sum(axis=0),
    "mean": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores.max(axis=0),
    "prod": lambda scores: scores.prod(axis=0),
    "first": lambda scores: scores[0],
    "last": lambda scores: scores[-1],
}
"""Over scores [members, units]."""

ELEMENTS: dict[str, Callable[[Scores, Scores, float], Scores]] = {
    "l1": lambda w, g, p: np.abs(w),
    "l2": lambda w, g, p: w * w,
    "lp": lambda w, g, p: np.abs(w) ** p,
    "taylor_vector": lambda w, g, p: w * g,
    "taylor_element": lambda w, g, p: np.abs(w * g),
    "fisher": lambda w, g, p: w * w * g,
}
"""Of weights, and gradients of their shape or, for fisher, means of their squares."""

SCORES = (*ELEMENTS, "random")
OF_GRADIENTS = ("taylor_vector", "taylor_element", "fisher")


class _Elements:
    """Scores of the elements of parameters, summed over all axes but one; each parameter is read once."""

    def __init__(self, graph: Graph, score: str, gradients: Mapping[str, Any] | None, p: float) -> None:
        self.graph, self.how, self.gradients, self.p = graph, score, gradients, p
        self.known: dict[str, Scores] = {}

    def score(self, member: Member, channels: bool) -> Scores:
        """Of every unit of a member, float64 [units]."""
        name, axis, positions = member
        elements = self._of(name)
        others = tuple(one for one in range(elements.ndim) if one != axis)
        totals: Scores = elements.sum(axis=others)[np.asarray(positions)]
        if self.how == "taylor_vector":
            return np.asarray(np.abs(totals).sum(axis=1) if channels else np.abs(totals.sum(axis=1)))
        return np.asarray(totals.sum(axis=1))

    def _of(self, name: str) -> Scores:
        if name not in self.known:
            weights = as_floats(f"parameter {name}", magnitudes_of(self.graph, [name])[name])
            slopes = self._slopes(name, weights.shape) if self.how in OF_GRADIENTS else weights
            with np.errstate(over="ignore"):  # refused where it is not finite
                self.known[name] = ELEMENTS[self.how](weights, slopes, self.p)
        return self.known[name]

    def _slopes(self, name: str, shape: tuple[int, ...]) -> Scores:
        """Gradients of a parameter, or the mean of their squares."""
        given = self.gradients or {}
        require(name in given, "gradients", f"of {len(given)} parameters", f"must have one for {name}")
        field = f"gradients of {name}"
        slopes = as_floats(field, given[name])
        if slopes.ndim == len(shape) + 1 and slopes.shape[1:] == shape and len(slopes):
            return np.asarray(np.mean(slopes**2 if self.how == "fisher" else slopes, axis=0))
        rule = f"must be {shape}" if self.how != "fisher" else f"must be (n_sample, {', '.join(map(str, shape))})"
        require(slopes.shape == shape and self.how != "fisher", field, f"shape {slopes.shape}", rule)
        return slopes


def _normalised(s: Scores, how: str) -> Scores:
    """Scores of a group by a normaliser's name; as they are where it would divide by 0."""
    if how in ("standard", "standarization"):
        return np.asarray((s - s.min()) / (s.max() - s.min() + 1e-8))
    if how == "gaussian":
        spread = s.std(ddof=1) if s.size > 1 else 0.0
        return np.asarray((s - s.mean()) / (spread + 1e-8)) if spread else s
    if how.startswith("sentinel_"):
        place = max(1, int(_share(how) * s.size))
        sentinel = np.sort(s)[place - 1]
        return np.asarray(s / (sentinel + 1e-8)) if sentinel else s
    if how == "lamp":
        order = np.argsort(s, kind="stable")
        left = np.cumsum(s[order][::-1])[::-1]
        found = s.copy()
        found[order] = np.divide(s[order], left, out=s[order], where=left != 0)
        return found
    by = {"none": 0.0, "sum": s.sum(), "mean": s.mean(), "max": s.max()}[how]
    return np.asarray(s / by) if by else s


NORMALISERS = ("none", "sum", "mean", "max", "standard", "standarization", "gaussian", "sentinel_Q", "lamp")
"""standarization is what Torch-Pruning calls standard; Q is a number in 0..1."""


def _share(sentinel: str) -> Fraction:
    number = sentinel.removeprefix("sentinel_")
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", number):
        raise refused("normalise", sentinel, "must be sentinel_Q with Q in 0..1, as sentinel_0.5")
    return fraction(f"Q of {sentinel}", Fraction(number))


def _require_known(score: str, gradients: object, aggregate: str, normalise: str, also: Sequence[str]) -> None:
    names = [("score", score, SCORES), ("aggregate", aggregate, tuple(AGGREGATES))]
    if str(normalise).startswith("sentinel_"):
        _share(normalise)
    else:
        names.append(("normalise", normalise, NORMALISERS))
    for field, value, known in names:
        if value not in known or value == "sentinel_Q":
            raise unknown(field, value, known)
    require(not isinstance(also, str), "also", also, "must be a list of names")
    for role in also:
        require_one_of("also", role, ALSO)
    wanted = score in OF_GRADIENTS
    require(wanted or gradients is None, "gradients", "given", f"must be left out: score {score} reads none")
    require(not wanted or isinstance(gradients, Mapping), "gradients", gradients, f"must be by name for score {score}")


def _free(graph: Graph, groups: Iterable[Group]) -> list[Group]:
    """Groups of which units can leave, whose members are of the graph."""
    given = list(groups)
    require(len(given) > 0, "groups", "none", "must be one or more, as es.groups lists them")
    free = [group for group in given if not group.pinned and group.size > 1]
    if not free:
        said = few([f"{group.name} ({group.pinned or 'one unit'})" for group in given])
        raise InputError(f"groups: nothing can leave, all are pinned: {said}")
    for group in free:
        for name, axis, positions in group.members:
            if name not in graph.parameters:
                raise unknown(f"parameter of group {group.name}", name, graph.parameters)
            shape, places = graph.parameters[name].array.shape, np.asarray(positions)
            fits = 0 <= axis < len(shape) and places.ndim == 2 and len(places) == group.size and places.min() >= 0
            rule = f"must have axis {axis} with the positions of {group.size} units"
            require(fits and places.max() < shape[axis], f"parameter {name}", f"shape {shape}", rule)
    return free


def _uses(graph: Graph) -> dict[str, list[Use]]:
    """Nodes that read a parameter, through moves, and at which place, by its name."""
    found: dict[str, list[Use]] = {}
    for node in graph.nodes:
        if node.kind == "move":
            continue
        for place, name in enumerate(node.inputs):
            if name and graph.is_constant(name):
                for owner in graph.origins(name):
                    found.setdefault(owner, []).append((node, place))
    return found


def _role(graph: Graph, uses: list[Use]) -> str | None:
    """The first role of a parameter that there is, a weight before all others: a tied head is one."""
    found = {_role_at(graph, *use) for use in uses}
    return next((role for role in ("weight", "gamma", *ALSO) if role in found), None)


def _role_at(graph: Graph, node: Node, place: int) -> str | None:
    operator = operator_of(node)
    if place in operator.sides:
        return "weight"
    if node.op.endswith("Normalization"):
        gamma = 2 if node.op.startswith("Skip") else 1
        return {gamma: "gamma", gamma + 1: "beta", gamma + 2: "bias" if gamma == 2 else None}.get(place)
    if node.op == "Gather":
        return "embedding"
    if node.op == "Mul":
        return "gamma" if _is_normalised(graph, node.inputs[1 - place]) else None
    if node.op == "Add":
        wide = sum(side > 1 for side in graph.values[node.inputs[place]].shape)
        return "embedding" if wide > 1 else "bias"
    is_bias = operator.lower is not None and place == (3 if operator.kind == "recurrent" else 2)
    return "bias" if is_bias and operator.kind != "integer" else None


def _is_normalised(graph: Graph, name: str) -> bool:
    """True for x / size or x * (1 / size), as a norm in parts has them, perhaps in another type."""
    maker = graph.makers.get(name)
    while maker is not None and maker.op == "Cast":
        maker = graph.makers.get(maker.inputs[0])
    computed = maker is not None and not any(graph.is_constant(one) for one in maker.reads)
    return maker is not None and computed and maker.op in ("Div", "Mul")


def _structure(graph: Graph, group: Group, uses: Mapping[str, list[Use]]) -> Hashable:
    """What groups have in common that share a ranking: their members' operators, axes and sizes."""
    return tuple(
        (
            tuple((node.domain, node.op, place) for node, place in uses.get(name, [])),
            axis,
            graph.parameters[name].array.shape[axis],
            np.shape(positions),
        )
        for name, axis, positions in group.members
    )
