"""Channels of a graph chosen by LASSO: what each layer reads is cut, and its weights are fitted to the old outputs.

fitted = es.prune.lasso_graph(graph, 0.5)
fitted.graph, fitted.units, fitted.errors, fitted.left      # left: groups that it is not for, and why
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, few, require_int, require_seed, unknown
from eie_sim.network import floatrun
from eie_sim.network.graph import COMPUTED, Graph
from eie_sim.network.layered import graph_of
from eie_sim.network.layers import Network
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Product, Step, Style, taking
from eie_sim.prune.choosing import Chosen, Ratio, followed, select
from eie_sim.prune.dimensions import atoms
from eie_sim.prune.groups import Group, Structure, readers_of, structure_of
from eie_sim.prune.lasso import Channels, lasso_channels
from eie_sim.prune.removing import remove

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A smaller graph whose readers were fitted.

    units : what went, by name of group; asked and achieved are of the groups in it
    errors : by name of group, distance of the reader's outputs to the old ones, as a share of them: with the old
        weights, and with the fitted ones
    left : groups that units could leave, but LASSO is not for, and why
    """

    graph: Graph
    units: Chosen
    errors: dict[str, tuple[float, float]]
    left: dict[str, str]

    __repr__ = shows(graph="graph.name", units="units", errors="errors", left="left")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """The one product that reads a group.

    columns : int64 [units, k], where each unit is in its vectors; bias : name of its bias, "" where it has none
    """

    step: Step
    parameter: str
    columns: NDArray[np.int64]
    bias: str

    @property
    def product(self) -> Product:
        """The only one of its step."""
        return self.step.products[0]


def lasso_graph(
    graph: Graph | Network,
    ratio: Ratio,
    *,
    only: Sequence[str] | None = None,
    ratios: Mapping[str, Ratio] | None = None,
    floor: Ratio = 0,
    round_to: int = 1,
    n_position: int = 2000,
    rounds: int = 1,
    normalise: bool = False,
    seed: int = 0,
    verify: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> Fitted:
    """Remove channels that `lasso_channels` chooses, group by group in order, and fit the weights that read them.

    ratio, ratios, floor, round_to : how many go of each group, as `select` has them for scope local
    only : names of the groups; left out, all that it is for, and `left` says why not of the others
    n_position : sampled positions of a reader's outputs, the same in both networks; seed : of the sample
    rounds, normalise : as `lasso_channels` has them
    verify : check each removal, see `remove`

    Inputs are those that scales are chosen from, else the examples. A reader sees them through the network as it is
    pruned so far; its outputs are those of the network that is given. A residual stage, a group that several layers
    read, and one whose values are normalised together are not cut.
    Raise InputError for unknown names, those it is not for, and as `select` and `remove`.
    """
    require_int("n_position", n_position, 1)
    require_seed(seed)
    graph = graph_of(graph) if isinstance(graph, Network) else graph
    structure = structure_of(graph)
    steps = _steps(graph)
    found = {group.name: _reader(structure, group, steps) for group in _free(structure)}
    left = {name: one for name, one in found.items() if isinstance(one, str)}
    known = {group.name: group for group in structure.groups}
    for field, names in (("only", only or ()), ("ratios", ratios or ())):
        for name in names:
            if name not in known:
                raise unknown(field, name, known)
            reason = left.get(name) or known[name].pinned
            if reason is not None:
                raise InputError(f"group={name}: {reason}")
    readers = {name: one for name, one in found.items() if not isinstance(one, str) and (only is None or name in only)}
    if not readers:
        reasons = few([f"{name} {reason}" for name, reason in left.items()]) or "all are pinned"
        raise InputError(f"network={graph.name}: LASSO can cut none of its groups: {reasons}")
    counts = select({name: np.zeros(known[name].size) for name in readers}, ratio, "local", floor, round_to, ratios)
    old = _sampled(graph, readers.values(), n_position, seed)
    before = {name: old[one.parameter] @ np.asarray(one.product.weight, np.float64).T for name, one in readers.items()}
    present = {name: known[name] for name in counts}
    gone: dict[str, NDArray[np.int64]] = {}
    errors: dict[str, tuple[float, float]] = {}
    for name, units in counts.items():
        gone[name] = units
        if not len(units):
            continue
        progress(f"{graph.name}: channels of {name}")
        group = present[name]
        reader = _reader(structure, group, _steps(graph))
        assert isinstance(reader, Reader)  # as before: other groups are smaller, and that is all
        keep = group.size - len(units)
        channels = _fitted(graph, reader, before[name], keep, n_position, seed, rounds, normalise)
        gone[name] = np.setdiff1d(group.units, channels.kept)
        graph = remove(_with_weights(graph, reader, channels), {group.name: gone[name]}, verify)
        errors[name] = channels.errors
        structure = structure_of(graph)
        present = followed(present, {name: gone[name]}, structure.groups)
    achieved = sum(map(len, gone.values())) / sum(known[name].size for name in gone)
    return Fitted(graph=graph, units=Chosen(gone, counts.asked, achieved), errors=errors, left=left)


def _free(structure: Structure) -> list[Group]:
    return [group for group in structure.groups if group.pinned is None]


def _steps(graph: Graph) -> dict[str, list[Step]]:
    """The steps that read each parameter as weights, by its name."""
    found: dict[str, list[Step]] = {}
    for step in steps_of(graph, Style(batched=True, fold=False)):
        for name in dict.fromkeys(name for product in step.products for name in product.parameters):
            found.setdefault(name, []).append(step)
    return found


def _reader(structure: Structure, group: Group, steps: Mapping[str, list[Step]]) -> Reader | str:
    """The product that reads a group, or why LASSO is not for it."""
    graph = structure.graph
    reading = readers_of(graph, group)
    names = few([one.parameter for one in reading])
    if _is_stage(structure, group):
        return "is a residual stage: what is cut from its readers stays in the sum"
    if len(reading) != 1:
        return f"is read by several layers: {names}" if reading else "is read by no weights"
    name, axis, positions = reading[0]
    array, within = graph.parameters[name].array, steps.get(name, [])
    products = [product for step in within for product in step.products]
    alone = len(products) == 1 and products[0].parameters == (name,) and products[0].steps is None
    plain = array.dtype.kind == "f" and not graph.parameters[name].derived
    for ok, reason in (
        (not group.normalised, f"is normalised before {name} reads it: each unit changes all others"),
        (alone and plain, f"is read by {name}, which is no single product of floats"),
        (positions.size == array.shape[axis], f"shares its axis of {name} with other groups"),
        (all(step.node.attributes.get(scale, 1) == 1 for step in within for scale in ("alpha", "beta")), "is scaled"),
    ):
        if not ok:
            return reason
    (step,) = within
    unit_at = np.empty(positions.size, dtype=np.int64)
    unit_at[positions] = np.arange(group.size)[:, None]
    places = graph.owned(products[0].elements[0], name)[1]  # of the first output: all have their columns in one order
    units = unit_at[np.unravel_index(places, array.shape)[axis]]
    columns = np.argsort(units, kind="stable").reshape(group.size, -1)
    bias = step.node.reading(2) if step.node.op in ("Conv", "Gemm", "ConvTranspose") else ""
    bias = bias if bias in graph.parameters and graph.readers[bias] == (step.node,) else ""
    return Reader(step=step, parameter=name, columns=columns, bias=bias)


def _is_stage(structure: Structure, group: Group) -> bool:
    """True where outputs of different layers that have the group's units are added; halves of a rotation are of one."""
    graph, atom = structure.graph, structure.atoms[group.name]
    made: dict[str, frozenset[str]] = {}  # the layers that a value comes from, by its name
    for node in graph.nodes:
        read = [made.get(name, frozenset({name})) for name in node.reads if not graph.is_constant(name)]
        layer = node.kind in COMPUTED or node.kind == "lookup"
        comes = frozenset({node.name}) if layer else frozenset[str]().union(*read)
        made |= dict.fromkeys(node.makes, comes)
        if node.op in ("Add", "Sum") and len({*read}) > 1:
            y = node.outputs[0]
            axes = (structure.axes.get((y, axis)) for axis in range(len(graph.values[y].shape)))
            if any(atom in atoms(one) for one in axes if one is not None):
                return True
    return False


def _sampled(graph: Graph, readers: Iterable[Reader], most: int, seed: int) -> dict[str, Floats]:
    """Vectors that readers meet at sampled positions, float64 [positions, n_in], by parameter."""
    of_product = {id(one.product): one for one in readers}
    found: dict[str, Floats] = {}

    def measured(step: Step, values: Mapping[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        def multiply(product: Product, x: NDArray[Any]) -> NDArray[Any]:
            n = product.positions
            chosen = np.sort(np.random.default_rng(seed).choice(n, size=min(n, most), replace=False))
            parts: list[NDArray[Any]] = []
            for _ in taking(product.vectors(x), chosen, parts):
                pass
            found[of_product[id(product)].parameter] = np.concatenate(parts).astype(np.float64)
            return product.multiply(x)

        step.compute(values, multiply)
        return floatrun.framework_values(graph, step, values)

    floatrun.run(graph, [one.step for one in of_product.values()], measured, graph.calibration)
    return found


def _fitted(
    graph: Graph,
    reader: Reader,
    outputs: Floats,
    keep: int,
    most: int,
    seed: int,
    rounds: int,
    normalise: bool,
) -> Channels:
    """Choose channels of a reader as the graph is now, for outputs without bias [positions, n_out] as they were."""
    x = _sampled(graph, [reader], most, seed)[reader.parameter]
    w = np.asarray(reader.product.weight, dtype=np.float64)
    bias = graph.parameters[reader.bias].array if reader.bias else None
    return lasso_channels(
        x[:, reader.columns], w[:, reader.columns], outputs, keep, rounds=rounds, normalise=normalise, bias=bias
    )


def _with_weights(graph: Graph, reader: Reader, channels: Channels) -> Graph:
    """The graph whose reader has new weights for the channels that stay."""
    array = graph.parameters[reader.parameter].array.copy()
    columns = reader.columns[channels.kept]
    places = graph.owned(reader.product.elements[:, columns], reader.parameter)[1]
    array.reshape(-1)[places] = channels.weights.reshape(-1)
    arrays = {reader.parameter: array}
    if channels.bias is not None:
        old = graph.parameters[reader.bias].array
        arrays[reader.bias] = channels.bias.astype(old.dtype).reshape(old.shape)
    return graph.with_parameters(arrays)
