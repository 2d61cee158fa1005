"""A graph of operators in a comparison: the same weights on designs of one size, node after node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, unknown
from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.core.result import in_turn as one_by_one
from eie_sim.core.steps import Steps
from eie_sim.graphs import mac_share, style_of
from eie_sim.network import floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.integers import magnitudes_of
from eie_sim.network.lower import EVERYTHING, host_reason, steps_of
from eie_sim.passed_on import Arrays, Multiplied, passed_on
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.study.compare_costs import InTurn, Phases, Row, at_once, in_turn, target_in_words
from eie_sim.study.graph_stages import again
from eie_sim.study.instances import Instances
from eie_sim.units.compared import Chip


@dataclass(frozen=True, kw_only=True, eq=False)
class PrunedGraph:
    """A graph at one pattern or density. density, kept_l1 : as a row has them"""

    to: Pattern | float
    graph: Graph
    density: float
    kept_l1: float

    @property
    def said(self) -> str:
        """The pattern or density that it is pruned to, in words."""
        return target_in_words(self.to)


@dataclass(frozen=True, kw_only=True, eq=False)
class ComparedGraph:
    """A graph that is compared.

    layer : only this node, on what those before pass on, and None for all; parameters : of what is compared
    """

    graph: Graph
    layer: str | None
    parameters: tuple[str, ...]

    @classmethod
    def of(cls, graph: Graph, layer: str | None, batches: Sequence[int]) -> ComparedGraph:
        """Raise InputError for another batch than the graph is for, and for a node that no unit computes."""
        rule = "must be 1: a graph is for the batch of its inputs, load it with inputs or shapes of more"
        require(list(batches) == [1], "batches", ",".join(map(str, batches)), rule)
        steps = {step.node.name: step for step in steps_of(graph, EVERYTHING)}
        if layer is not None and layer not in steps:
            raise unknown("layer", layer, steps)
        wanted = steps.values() if layer is None else [steps[layer]]
        names = (name for step in wanted for product in step.products for name in product.parameters)
        return cls(graph=graph, layer=layer, parameters=tuple(dict.fromkeys(names)))

    @property
    def own_density(self) -> float:
        """Density of the weights before pruning."""
        return _density(list(magnitudes_of(self.graph, self.parameters).values()))

    def pruned(self, to: Pattern | float) -> PrunedGraph:
        """All parameters pruned by magnitude."""
        graph = self.graph
        if to not in (DENSE, self.own_density):
            recipe = Recipe(pattern=said(to)) if isinstance(to, tuple) else Recipe(density=to)
            graph, _ = prune_network(graph, recipe, None)
        before, after = (list(magnitudes_of(of, self.parameters).values()) for of in (self.graph, graph))
        total, kept = (sum(float(np.abs(w).sum(dtype=np.float64)) for w in each) for each in (before, after))
        return PrunedGraph(to=to, graph=graph, density=_density(after), kept_l1=kept / total if total else 0.0)

    def rows(self, one: Instances, at: PrunedGraph, label: str, on: str | None) -> Iterator[Row]:
        """The row of a design. Raises InputError where it leaves the node to the host, and as `run` does."""
        unit, design, graph = one.unit, one.design, at.graph
        style = style_of(design)
        if self.layer is not None:
            node = next(node for node in graph.nodes if node.name == self.layer)
            reason = host_reason(graph, node, style)
            if reason is not None:
                raise InputError(f"layer={self.layer}: is left to the host: {reason}")
        passed = passed_on(graph, design, pattern=at.to if isinstance(at.to, tuple) else None)
        products = [each for each in passed.products if self.layer in (None, each.step.node.name)]
        repeated = set(again(tuple(dict.fromkeys(each.step for each in products))))
        weights = [each for each in products if not each.product.of_activations]
        stored = [each.ready.matrix for each in weights if each.product.name not in repeated]
        weight_bytes = sum(unit.storage(matrix, design).total_bits for matrix in stored) / 8
        figures = (
            _in_turn(one, products, round(weight_bytes)) if one.chip is None else _at_once(one, one.chip, products)
        )
        ran = figures.pop("runs_as", ())
        yield Row(
            unit="dense" if at.to == DENSE else unit.name,
            name=f"{label}{at.said}" + ("" if set(ran) <= {at.said} else f" as {' and '.join(ran)}"),
            precision=unit.precision(design),
            density=at.density,
            kept_l1=at.kept_l1,
            accuracy=passed.accuracy,
            accuracy_of=None
            if graph.labels is None
            else f"{len(graph.labels.classes)} labelled inputs, in {unit.precision(design)}",
            weight_bytes=weight_bytes,
            batch=1,
            on=on,
            covers=mac_share(graph, style) if self.layer is None else 1.0,
            distance=passed.distance(),
            distance_unpruned=passed.distance(self._floats),
            **figures,
        )

    @cached_property
    def _floats(self) -> Arrays:
        """Outputs of the network before pruning, in floats."""
        return floatrun.run(self.graph)


def _density(arrays: Sequence[NDArray[Any]]) -> float:
    """Return the density of weights; 1.0 of none, as a node of two activations has."""
    size = sum(array.size for array in arrays)
    return float(sum(map(np.count_nonzero, arrays)) / size) if size else 1.0


def _in_turn(one: Instances, products: Sequence[Multiplied], weight_bytes: int) -> dict[str, Any]:
    """Figures of arrays that share out the positions of each product."""
    words = sum(each.product.positions * (each.product.n_in + each.product.n_out) for each in products)
    phases = [
        InTurn(
            each.product.positions,
            [_result(one, each)],
            each.product.gathered(each.product.positions),
            () if each.product.steps is None else each.product.steps.sizes,
        )
        for each in products
    ]
    return in_turn(one, phases, weight_bytes, words)


def _result(one: Instances, each: Multiplied) -> SimResult:
    """Return the result of all positions of a product, in chunks where the unit takes them one after the other."""
    unit, design = one.unit, each.design
    chunks = each.product.vectors(each.value) if unit.in_turn else iter([each.vectors()])
    matrix = each.ready.matrix
    return one_by_one([unit.simulate(matrix, x, design, engine="fast", timeline=False) for x in chunks])


def _at_once(one: Instances, chip: Chip, products: Sequence[Multiplied]) -> dict[str, Any]:
    """Figures of chips that share out the positions of each product, and the patterns that any of them runs as.

    Products of one launch are one where the unit has launches; steps are shared out one after the other.
    """
    ran: dict[str, None] = {}
    by_launch = [list(group) for _, group in groupby(products, lambda each: each.product.launch)]

    def timed(
        group: Sequence[Multiplied], positions: Sequence[int], first: int, design: Any, after: Steps | None
    ) -> list[SimResult]:
        """Return the results of the chip at a place among all, for its share of a launch."""
        sides = [(each.ready.matrix, _share(n, first, one.number)) for each, n in zip(group, positions, strict=True)]
        if after is None or chip.later is None:
            parts = [(matrix, chip.timed(matrix, n, design)) for matrix, n in sides if n]
        else:
            parts = [(matrix, chip.later(matrix, n, design, after)) for matrix, n in sides if n]
        done = [result for _, result in parts]
        if len(parts) > 1 and one.unit.launch is not None:
            done = [one.unit.launch(parts, design, engine="fast")]
        ran.update(dict.fromkeys(result.named["runs_as"] for result in done if "runs_as" in result.named))
        return done

    def phases_of(design: Any) -> Phases:
        phases = []
        for group in by_launch:
            steps = group[0].product.steps
            if steps is None:
                wanted: list[tuple[tuple[int, ...], Steps | None]] = [
                    (tuple(each.product.positions for each in group), None)
                ]
            else:
                wanted = [((n,), steps if place else None) for place, n in enumerate(steps.sizes)]
            found = {}
            for positions, after in dict.fromkeys(wanted):
                ends = sorted({0, one.number, *(n % one.number for n in positions)})
                shares = [(end - at, timed(group, positions, at, design, after)) for at, end in pairwise(ends)]
                found[positions, after] = [(count, done) for count, done in shares if done]
            phases += [found[each] for each in wanted]
        return phases

    macs = sum(each.ready.matrix.n_weight * each.product.positions for each in products)
    figures = at_once(one, chip, phases_of, macs)
    return figures | {"runs_as": tuple(ran)}


def _share(positions: int, place: int, number: int) -> int:
    """Positions of one of so many chips."""
    return positions // number + (place < positions % number)
