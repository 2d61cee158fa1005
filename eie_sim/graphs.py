"""A graph of operators as a design's unit sees it: the products it is handed, what they cover, what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from msgspec import UNSET, to_builtins
from numpy.typing import NDArray

from eie_sim.core.arrays import shown
from eie_sim.core.errors import require_type
from eie_sim.core.nm_pattern import DENSE, Pattern, meets, sparsest
from eie_sim.core.record import Coverage, MacShare, OutputError
from eie_sim.core.verification import relative_error
from eie_sim.network import Layer, Network
from eie_sim.network.graph import Graph, Value
from eie_sim.network.layered import with_calibration
from eie_sim.network.lower import coverage, host_reason, steps_of
from eie_sim.network.operators import macs, operator_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.prune.measure import dense
from eie_sim.units import unit_of

Arrays = Mapping[str, NDArray[Any]]


def lower(
    network: Network | Graph, config: Any = None, *, fold: bool = True, depthwise_as_gemm: bool = False
) -> list[Product]:
    """Return what the design's unit is handed of a network: its products in order.

    config : a design; None for one product for each node, whose groups stand on the diagonal of its weights
    fold, depthwise_as_gemm : as for `eie_sim.run`

    Raises InputError for what is no network, and as `eie_sim.run` does.
    """
    require_type("network", network, Network, Graph)
    require_type("fold", fold, bool)
    require_type("depthwise_as_gemm", depthwise_as_gemm, bool)
    graph, _ = with_calibration(network)
    if config is None:
        steps = steps_of(graph, Style(fold=fold))
    else:
        steps = steps_for(graph, config, style_of(config, fold=fold, depthwise_as_gemm=depthwise_as_gemm))
    return [product for step in steps for product in step.products]


def style_of(
    config: Any,
    *,
    pattern: Pattern | None = None,
    fold: bool = True,
    depthwise_as_gemm: bool = False,
    persistent: bool = False,
) -> Style:
    """Return the style in which the design's unit wants its products.

    pattern : what all weights were pruned to, which a unit with patterns compresses them for; None where it chooses
    fold, depthwise_as_gemm, persistent : as for `eie_sim.run`
    """
    unit = unit_of(config)
    runs_as = None if pattern is None or unit.runs_as is None else unit.runs_as(config, pattern)
    own = Style(**unit.style(config), pattern=runs_as, fold=fold, persistent=persistent)
    return replace(own, depthwise=True) if depthwise_as_gemm else own


def steps_for(graph: Graph, config: Any, style: Style) -> tuple[Step, ...]:
    """Return the nodes that the unit computes.

    Where a unit has patterns and the style names none, each node has that of which its weights keep the fewest.
    """
    unit = unit_of(config)
    if unit.runs_as is None or style.pattern is not None:
        return steps_of(graph, style)
    patterns = unit.patterns(config) or ()
    made = {pattern: steps_of(graph, replace(style, pattern=pattern)) for pattern in (DENSE, *patterns)}

    def chosen(at: int) -> Step:
        if made[DENSE][at].weighs:
            return made[DENSE][at]
        weights: dict[tuple[int, ...], list[NDArray[Any]]] = {}

        def sides(pattern: Pattern) -> tuple[int, ...]:
            return tuple(one.n_in for one in made[pattern][at].products)

        def met(pattern: Pattern) -> bool:
            inputs = sides(pattern)  # padded alike where they are equal
            if inputs not in weights:
                weights[inputs] = [dense(one.weight) for one in made[pattern][at].products]
            return all(meets(one, pattern) for one in weights[inputs])

        return made[sparsest(patterns, sides, met)][at]

    return tuple(chosen(at) for at in range(len(made[DENSE])))


def mac_shares(graph: Graph, style: Style) -> list[MacShare]:
    """MACs of every kind of node, the largest first."""
    return [
        MacShare(kind=share.kind, reason=share.reason, nodes=share.nodes, macs=share.macs)
        for share in coverage(graph, style)
    ]


def mac_share(graph: Graph, style: Style) -> float:
    """Share of the MACs that products are of."""
    shares = coverage(graph, style)
    return sum(share.macs for share in shares if not share.reason) / max(1, sum(share.macs for share in shares))


def covered(graph: Graph, style: Style) -> Coverage:
    """Return the share of a graph that is in products. Weights of one that is shared count once."""
    inside: set[str] = set()
    outside: set[str] = set()
    tables: set[str] = set()
    for node in graph.nodes:
        if node.kind == "lookup":
            tables.update(graph.origins(node.inputs[0]))
        elif macs(graph, node) or node.reason:
            sides = [node.reading(place) for place in operator_of(node).sides or range(len(node.inputs))]
            weights = {owner for one in sides if one and graph.is_constant(one) for owner in graph.origins(one)}
            (inside if host_reason(graph, node, style) is None else outside).update(weights)

    def size(names: set[str]) -> int:
        return sum(graph.parameters[name].array.size for name in names)

    shares = coverage(graph, style)
    total, left = sum(share.macs for share in shares), sum(share.macs for share in shares if share.reason)
    simulated, not_simulated = size(inside), size(outside - inside)
    return Coverage(
        weights_simulated=simulated,
        weights_not_simulated=not_simulated,
        share_not_simulated=not_simulated / max(1, simulated + not_simulated),
        share_of_macs_not_simulated=left / total if total else float(any(share.reason for share in shares)),
        numbers_looked_up=size(tables - inside - outside),
        arrays_not_counted=0,
    )


def description(graph: Graph, config: Any) -> dict[str, Any]:
    """Return what a graph is, and what of it the design's unit covers, as plain data; nothing is simulated."""
    style = style_of(config)
    if not coverage(graph, style):
        steps_of(graph, style)  # says what there is
    ops = Counter(node.op for node in graph.nodes if node.kind != "move")
    return {
        "network": graph.name,
        "source": graph.source,
        "unit": unit_of(config).name,
        "inputs": [
            {
                "name": name,
                "shape": list(graph.values[name].shape),
                "synthetic": name in graph.drawn,
                "what": graph.about.get(name, ""),
            }
            for name in graph.inputs
        ],
        "outputs": [{"name": name, "shape": list(graph.values[name].shape)} for name in graph.outputs],
        "notes": list(graph.notes),
        "operators": dict(ops.most_common()),
        "parameters": [
            {"name": name, "shape": list(one.array.shape), "axes": list(one.axes), "derived": one.derived}
            for name, one in graph.parameters.items()
        ],
        "macs": [to_builtins(share) for share in mac_shares(graph, style)],
        "not_simulated": [],
        "coverage": to_builtins(covered(graph, style)),
    }


def network_of_products(graph: Graph, steps: tuple[Step, ...], style: Style, layers: Sequence[Layer]) -> Network:
    """Return the network that the record of a run asks for. layers : of the products that ran"""
    computed = {node.name for step in steps for node in step.nodes}
    left = [
        (node.name, f"{node.op}, {host_reason(graph, node, style)}")
        for node in graph.nodes
        if node.name not in computed and (macs(graph, node) or node.reason)
    ]
    others: dict[str, list[list[Value]]] = {}
    for node in graph.nodes:
        if node.name not in computed and node.kind != "move" and not (macs(graph, node) or node.reason):
            others.setdefault(node.op, []).append([graph.values[name] for name in node.makes if name in graph.values])
    host = [(op, _host_work(found)) for op, found in others.items()]
    around: dict[str, list[list[Value]]] = {}
    for step in steps:
        for words, size in step.host:
            around.setdefault(words, []).append([Value(words, (size,), "float32")])
    host += [(words, _host_work(found)) for words, found in around.items()]
    return Network(
        name=graph.name,
        layers=tuple(layers),
        chained=False,
        source=graph.source,
        not_simulated=(*left, *host),
        left=None,
    )


def _host_work(nodes: Sequence[Sequence[Value]]) -> str:
    """Return in words how many numbers and bytes nodes of one operator make."""
    made = [value for values in nodes for value in values]
    size = sum(value.size for value in made)
    size_bytes = sum(value.size * np.dtype(value.dtype).itemsize for value in made)
    count = "1 node that makes" if len(nodes) == 1 else f"{len(nodes)} nodes that make"
    return f"host, {count} {size:,} numbers, {size_bytes:,} bytes"


def whole_error(outputs: Arrays, floats: Arrays) -> float | None:
    """Return the error of all outputs together that are floats."""
    names = [name for name, array in floats.items() if array.dtype.kind == "f"]
    none = [np.empty(0)]
    return _error(*(np.concatenate([of[name].ravel() for name in names] or none) for of in (outputs, floats)))


def output_error(name: str, outputs: Arrays, floats: Arrays, original: Arrays | None) -> OutputError:
    """Return the distance of an output from floats. original : outputs before pruning, in floats"""
    found, wanted = outputs[name], floats[name]
    classes = Value(name, wanted.shape, wanted.dtype.name).is_classes
    same = found.shape == wanted.shape  # data may choose it
    with np.errstate(invalid="ignore"):
        difference = np.abs(found.astype(np.float64) - wanted).max(initial=0.0) if same else np.inf
    places = [np.argwhere(~np.isfinite(of))[:1] for of in (found, wanted) if of.dtype.kind == "f"]
    first = next((place[0].tolist() for place in places if len(place)), UNSET)
    return OutputError(
        name=name,
        error=_error(found, wanted),
        original_error=None if original is None else _error(found, original[name]),
        largest_difference=float(difference) if np.isfinite(difference) else None,
        first_not_finite=first,
        top1_agreement=float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1))) if classes and same else None,
    )


def _error(found: NDArray[Any], wanted: NDArray[Any]) -> float | None:
    """Relative; None where it is of no floats, of other shapes as data choose them, or not finite."""
    return relative_error(found, wanted) if wanted.dtype.kind == "f" and found.shape == wanted.shape else None


class Source(NamedTuple):
    """The source of a value, in words. node : the computed one that makes it, perhaps before a ReLU"""

    words: str
    node: str | None = None
    relu: bool = False


def read_by(step: Step, product: Product, source: Source) -> Source:
    """Return the source of a product's inputs. source : of what its step reads"""
    if not product.steps:
        return source
    return Source(f"simulated: states of {shown(step.node.name)}, each from the step before")


def made_by(steps: Sequence[Step]) -> dict[str, str]:
    """Name of the computed node that makes a value, by the name of the value."""
    return {name: step.node.name for step in steps for name in step.makes}


def source_of(graph: Graph, made: Mapping[str, str], name: str) -> Source:
    """Say what a value that a step reads is: an input, or outputs of nodes before. made : as `made_by` has it"""
    if name in graph.inputs:
        return Source(graph.about.get(name) or f"{'synthetic' if name in graph.drawn else 'given'}: {shown(name)}")
    maker = graph.makers.get(name)
    relu = maker is not None and maker.op == "Relu"
    direct = made.get(maker.inputs[0] if relu and maker is not None else name)
    if direct is None:
        return Source("simulated: outputs of the nodes before")
    return Source(f"simulated: outputs of {shown(direct)}" + (" after ReLU" if relu else ""), direct, relu)
