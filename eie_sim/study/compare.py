"""One network on several designs, as many MACs in a cycle each: time, energy, bytes and accuracy over the batch.

import eie_sim as es

found = es.compare(es.load("digits-mlp"), ["rtx3090", "a100-sxm"], batches=[1, 64])
[row.to_dict() for row in found.rows]

All start from the same trained weights. Each figure is given twice: with all weights where they are used, and with
weights, inputs and outputs read from DRAM and written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, require, require_int, require_type
from eie_sim.core.nm_pattern import DENSE, Pattern, require_pattern, said
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyTable
from eie_sim.engine import with_scales
from eie_sim.network import Network
from eie_sim.network.graph import Graph
from eie_sim.prune import pattern, score
from eie_sim.prune.counts import fraction
from eie_sim.prune.measure import Arrays, before_pruning, dense, held_back, inputs_of, weights_of
from eie_sim.prune.mlp import Samples
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.study.compare_costs import InTurn, Phases, Row, at_once, in_turn, target_in_words
from eie_sim.study.compare_graph import ComparedGraph
from eie_sim.study.instances import Instances, equal_size, reason
from eie_sim.units.compared import Chip

Progress = Callable[[str], None]

BATCHES = (1, 8, 64, 256)


class Compared(NamedTuple):
    """The rows of a comparison, and the designs that they are of.

    rows : by batch, in the order of the designs; designs : those that have rows; size : the one that sets the size
    listed : whether a list was given; not_compared : why units have no rows, a line each
    """

    rows: list[Row]
    designs: list[Instances]
    size: Instances
    listed: bool
    not_compared: list[str]
    network: Network | Graph
    layer: str | None

    def __repr__(self) -> str:
        """In short."""
        said = shows(
            "layer",
            "not_compared",
            network="network.name",
            size="size.title",
            designs=lambda self: [one.title for one in self.designs],
            rows=lambda self: len(self.rows),
        )
        return said(self)


class _Pruned(NamedTuple):
    """Layers at one pattern or density, by name, and what they read, float [n_vector, n_in]; see `Row`."""

    to: Pattern | float
    weights: Arrays
    biases: Mapping[str, Any]
    inputs: Arrays
    density: float
    kept_l1: float

    @property
    def said(self) -> str:
        """The pattern or density that they are pruned to, in words."""
        return target_in_words(self.to)


def compare(
    network: Network | Graph,
    on: Any,
    *,
    layer: str | None = None,
    patterns: Sequence[Pattern] = ((2, 4), (1, 4)),
    densities: Sequence[float] = (0.5, 0.25, 0.1),
    batches: Sequence[int] | None = None,
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> Compared:
    """Run the same weights on designs of one size: dense and in patterns where a unit has some, else by density.

    on : a list of designs, names of presets and names of units; or just one, and every other unit stands beside it
    layer : compare only this one, on what the layers before it pass on; accuracy is that of the network all the same
    patterns : N:M to prune to, N kept; inputs that a group does not divide are padded with zeros, and a pattern that
        a unit does not list runs as another, which the name says
    densities : to prune to by magnitude; those above the weights' own make one row of that
    batches : vectors multiplied at once, 1, 8, 64 and 256 where left out; of a graph only 1: as it was loaded
    table : energies of the design that sets the size, as `energy.account` takes them; what the user gave of its DRAM
        holds for the others too, whose other energies are the default ones

    The design with the most MACs a cycle sets the size. A unit that is named takes its design of that size, at the same
    clock and node, or else its default one. Each stands as often as it takes, to the nearest whole number. A chip that
    multiplies by a batch at once takes its share of the vectors, other arrays take theirs one after the other, and the
    one with most decides the time. All have the DRAM of the design that sets the size, LPDDR4 where it has none: arrays
    read the weights once a batch, and each of several chips reads its own, with an equal share of the rate.

    In a graph of operators the positions of a product are its vectors, each node waits for those before, and rows have
    the distance of the outputs in place of an accuracy, and the share of MACs that the unit covers.

    Raises InputError for a network without inputs, for values out of range, and where no design can run the network.
    """
    require_type("network", network, Network, Graph)
    batches = ((1,) if isinstance(network, Graph) else BATCHES) if batches is None else batches
    for field, values in (("patterns", patterns), ("densities", densities), ("batches", batches)):
        require(isinstance(values, (list, tuple)), field, type(values).__name__, "must be a list")
        require(len(values) > 0, field, "none", "must be at least one")
    for batch in batches:
        require_int("batches", batch, 1, 2**20)
    for density in densities:
        fraction("densities", density)
    for shape in patterns:
        require(isinstance(shape, (list, tuple)) and len(shape) == 2, "patterns", shape, "must be pairs, N kept of M")
        require_pattern(shape)
    designs, size, not_compared = equal_size(on, table)
    listed, wanted = isinstance(on, (list, tuple)), list(dict.fromkeys(batches))
    kind: Any = ComparedGraph.of if isinstance(network, Graph) else _ComparedLayers
    weighed = kind(network, layer, wanted)
    alone = sum(one.in_patterns for one in designs) == 1
    found: dict[str, list[Row]] = {one.title: [] for one in designs}
    refused: dict[str, str] = {}
    shapes = dict.fromkeys([DENSE, *((int(n), int(m)) for n, m in patterns)])
    own = weighed.own_density  # those above what the weights have anyway make one row
    kinds: list[Pattern | float] = [*shapes, *dict.fromkeys(min(float(density), own) for density in densities)]
    for to in kinds:
        takers = [one for one in designs if one.in_patterns is isinstance(to, tuple) and one.title not in refused]
        if not takers:
            continue
        pruned = weighed.pruned(to)
        for one in takers:
            progress(f"{one.title}, {pruned.said}")
            label = one.label(size, listed=listed)
            label = "" if alone and one.in_patterns and label == one.title else f"{label} "
            try:
                found[one.title] += weighed.rows(one, pruned, label, one.title if listed else None)
            except Exception as error:  # the code of another package may fail in any way
                refused[one.title] = reason(one, error)
    not_compared += refused.values()
    ran = [one for one in designs if one.title not in refused]
    if not ran:
        raise InputError("; ".join(not_compared))
    rows = sorted((row for one in ran for row in found[one.title]), key=lambda row: wanted.index(row.batch))
    return Compared(rows, ran, size, listed, not_compared, network, layer)


class _ComparedLayers:
    """Layers that are compared. part : all, or only the one that was asked for"""

    def __init__(self, network: Network, layer: str | None, batches: Sequence[int]) -> None:
        self.network, self.part, self.batches = network, _layer_of(network, layer), batches

    @property
    def own_density(self) -> float:
        """Density of the weights before pruning."""
        before, _ = weights_of(self.part)
        return float(sum(np.count_nonzero(w) for w in before.values()) / sum(w.size for w in before.values()))

    def pruned(self, to: Pattern | float) -> _Pruned:
        """The layers at a pattern or density."""
        return _pruned(self.part, to)

    def rows(self, one: Instances, pruned: Any, label: str, on: str | None) -> Iterator[Row]:
        """A row for each batch."""
        return _rows(one, self.network, pruned, self.batches, label, on)


def _layer_of(network: Network, name: str | None) -> Network:
    """The network, or just one of its layers with what the layers before pass on. Raises InputError: did you mean."""
    if name is None:
        return network
    before, biases = weights_of(network)
    one = network.layer(name)
    if not network.chained:
        return one
    try:
        read = inputs_of(network, before, biases)[name]
    except InputError:
        return one
    label = f"{len(read)} vectors passed on by the layers before, in floats"
    return replace(one, layers=(replace(one.layers[0], activations=read, activations_source=label),))


def _pruned(network: Network, to: Pattern | float) -> _Pruned:
    """The weights before pruning, pruned by magnitude; each layer reads what they make of the inputs."""
    before, biases = weights_of(network)
    if isinstance(to, tuple):
        weights = {name: w * pattern.nm(*to).prune(score.l1(w)).mask for name, w in before.items()}
    else:
        sparse, _ = prune_network(network, Recipe(density=to), None)
        weights = {layer.name: dense(layer.weights) for layer in sparse.layers}
    density = sum(map(np.count_nonzero, weights.values())) / sum(w.size for w in before.values())
    total, kept = (sum(float(np.abs(w).sum(dtype=np.float64)) for w in each.values()) for each in (before, weights))
    return _Pruned(to, weights, biases, inputs_of(network, weights, biases), density, kept / total if total else 0.0)


def _rows(
    one: Instances, network: Network, pruned: _Pruned, batches: Sequence[int], label: str, on: str | None
) -> Iterator[Row]:
    """A row for each batch. network : of which the pruned layers are a part; label : of the design, before the name"""
    unit, chip, shape = one.unit, one.chip, pruned.to if isinstance(pruned.to, tuple) else DENSE
    runs_as, precision, judged = shape, unit.precision(one.design), held_back(network)
    if chip is None:
        biases = pruned.biases if unit.takes_bias else dict.fromkeys(pruned.biases)
        matrices = {name: unit.compress(w, one.design, bias=biases[name]) for name, w in pruned.weights.items()}
    else:
        runs_as = shape if unit.runs_as is None else unit.runs_as(one.design, shape)
        matrices = {name: chip.packed(w, runs_as, pruned.inputs[name]) for name, w in pruned.weights.items()}
    some = any(layer.name not in matrices for layer in network.layers)
    which = f"{', '.join(matrices)} in {precision}, the other layers in floats" if some else f"in {precision}"
    weight_bytes = sum(unit.storage(matrix, one.design).total_bits for matrix in matrices.values()) / 8
    accuracy = None if judged is None else _accuracy(one, network, judged, pruned, matrices)
    for batch in batches:
        yield Row(
            unit="dense" if pruned.to == DENSE else unit.name,
            name=f"{label}{pruned.said}" + ("" if runs_as == shape else f" as {said(runs_as)}"),
            precision=precision,
            density=pruned.density,
            kept_l1=pruned.kept_l1,
            accuracy=accuracy,
            accuracy_of=None if judged is None else f"{len(judged)} held-back inputs, {which}",
            weight_bytes=weight_bytes,
            batch=batch,
            on=on,
            **(
                _in_turn(one, pruned, matrices, round(weight_bytes), batch)
                if chip is None
                else _at_once(one, chip, pruned, matrices, batch)
            ),
        )


def _at_once(one: Instances, chip: Chip, pruned: _Pruned, matrices: Mapping[str, Any], batch: int) -> dict[str, Any]:
    """Figures of chips of which each takes its share of the vectors through all layers."""
    share, more = divmod(batch, one.number)
    shares = [(count, n) for count, n in ((more, share + 1), (one.number - more, share)) if count and n]

    def phases_of(design: Any) -> Phases:
        return [[(count, [chip.timed(matrix, n, design) for matrix in matrices.values()]) for count, n in shares]]

    return at_once(one, chip, phases_of, batch * sum(int(np.count_nonzero(w)) for w in pruned.weights.values()))


def _in_turn(
    one: Instances, pruned: _Pruned, matrices: Mapping[str, Any], weight_bytes: int, batch: int
) -> dict[str, Any]:
    """Figures of arrays that take the vectors of a batch in turn, each vector through all layers."""
    unit, design = one.unit, one.design
    results: list[SimResult] = [
        unit.simulate(matrices[name], read[:batch], unit.for_inputs(design, read), engine="fast", timeline=False)
        for name, read in pruned.inputs.items()
    ]
    words = batch * sum(sum(w.shape) for w in pruned.weights.values())
    return in_turn(one, [InTurn(batch, results)], weight_bytes, words)


def _accuracy(one: Instances, network: Network, judged: Samples, pruned: _Pruned, matrices: Mapping[str, Any]) -> float:
    """Return the accuracy of the unit's own arithmetic in the layers that it holds, and of floats in the others."""
    unit, read = one.unit, judged.inputs
    outputs = read
    for layer in before_pruning(network):
        outside = 0.0 if layer.bias is None else layer.bias
        matrix, design = matrices.get(layer.name), unit.for_inputs(one.design, read)
        if matrix is None:
            outputs = read @ dense(layer.weights).T + outside
        elif unit.output_of is None:
            outputs = np.atleast_2d(unit.simulate(matrix, read, design, engine="fast", timeline=False).real_output)
        else:
            own = replace(layer, weights=pruned.weights[layer.name], stored=None)
            matrix = with_scales(own, matrix, read, design)
            outputs = unit.output_of(matrix, unit.words_of(matrix, read), design)
        if matrix is not None and not unit.takes_bias:
            outputs = outputs + outside
        read = np.maximum(outputs, 0)
    return float(np.mean(outputs.argmax(axis=1) == judged.labels))
