"""A graph of operators as a design's unit sees it: the products it is handed, what they cover, what is left."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from operator import itemgetter
from typing import Any

from msgspec import to_builtins
from numpy.typing import NDArray

from eie_sim.core.nm_pattern import meets
from eie_sim.core.record import Coverage, MacShare
from eie_sim.network.graph import Graph
from eie_sim.network.lower import coverage, host_reason, steps_of
from eie_sim.network.operators import macs, operator_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.units import unit_of


def lower(graph: Graph, config: Any = None, *, fold: bool = True, depthwise_as_gemm: bool = False) -> list[Product]:
    """Return what the design's unit is handed of a graph: its products in order.

    config : a design; None for one product for each node, whose groups stand on the diagonal of its weights
    fold, depthwise_as_gemm : as for `eie_sim.run`
    """
    if config is None:
        steps = steps_of(graph, Style(fold=fold))
    else:
        steps = steps_for(graph, config, style_of(config, fold=fold, depthwise_as_gemm=depthwise_as_gemm))
    return [product for step in steps for product in step.products]


def style_of(config: Any, *, fold: bool = True, depthwise_as_gemm: bool = False) -> Style:
    """How the design's unit wants its products. fold, depthwise_as_gemm : as for `eie_sim.run`"""
    own = Style(**unit_of(config).style(config), fold=fold)
    return replace(own, depthwise=True) if depthwise_as_gemm else own


def steps_for(graph: Graph, config: Any, style: Style) -> tuple[Step, ...]:
    """Return the nodes that the unit computes.

    Of the patterns that a node's weights meet, channels are padded to groups of the one that keeps the fewest of them.
    """
    patterns = unit_of(config).patterns(config) or ()
    padded = {group: steps_of(graph, replace(style, m_group=group)) for _, group in patterns}

    def chosen(at: int, plain: Step) -> Step:
        best, fewest = plain, sum(one.n_in for one in plain.products)
        made: dict[tuple[int, ...], list[NDArray[Any]]] = {}

        def weights_of(step: Step) -> list[NDArray[Any]]:
            sides = tuple(one.n_in for one in step.products)  # padded alike where they are equal
            if sides not in made:
                made[sides] = [one.weight for one in step.products]
            return made[sides]

        for kept, group in sorted(patterns, key=itemgetter(1)):
            step = padded[group][at]
            count = sum(one.n_in // group * kept for one in step.products)
            if count < fewest and all(meets(one, (kept, group)) for one in weights_of(step)):
                best, fewest = step, count
        return best

    return tuple(chosen(at, step) for at, step in enumerate(steps_of(graph, style)))


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
    """How much of a graph products are of. Weights of one that is shared count once."""
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
        share_of_macs_not_simulated=left / max(1, total),
        numbers_looked_up=size(tables - inside - outside),
        arrays_not_counted=0,
    )


def description(graph: Graph, config: Any) -> dict[str, Any]:
    """Return what a graph is, and what of it the design's unit covers, as plain data; nothing is simulated."""
    style, ops = style_of(config), Counter(node.op for node in graph.nodes if node.kind != "move")
    return {
        "network": graph.name,
        "source": graph.source,
        "unit": unit_of(config).name,
        "inputs": [
            {"name": name, "shape": list(graph.values[name].shape), "synthetic": name in graph.drawn}
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
        "coverage": to_builtins(covered(graph, style)),
    }
