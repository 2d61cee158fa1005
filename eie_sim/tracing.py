"""One vector through one layer of a network, or product of a graph, with what happened when: for a timeline."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from eie_sim.core.activity import Activity
from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, require, require_int, require_type, unknown
from eie_sim.core.result import SimResult
from eie_sim.core.verification import Verification
from eie_sim.engine import simulate
from eie_sim.graphs import steps_for, style_of
from eie_sim.network import Layer, Network
from eie_sim.network.graph import Graph
from eie_sim.network.layered import with_calibration
from eie_sim.passed_on import Multiplied, passed_on
from eie_sim.pipeline import Progress
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.units import unit_of
from eie_sim.units.unit import require_engine


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """One vector of a layer: what it was, its result, checked, and what happened when.

    name : of the network, and of the layer where there are several
    network : of a graph, its name and source with the one product that is traced
    vector : which of the n_vector that a run of the network gives the layer; of a convolution its positions
    inputs : what those are, in words
    """

    name: str
    network: Network
    layer: Layer
    vector: int
    n_vector: int
    inputs: str
    result: SimResult
    activity: Activity
    verification: Verification


def trace(
    network: Network | Graph,
    config: Any,
    *,
    layer: str | None = None,
    vector: int = 0,
    density: float | None = None,
    engine: str = "fast",
    progress: Progress = lambda step: None,
) -> Traced:
    """Run one vector through a layer, the first where none is named, with the inputs that `run` gives it.

    Layers after it are not run.

    network : as `network.load_for_layer` gives it, or a graph of operators, of which a product by name is a layer
    vector : from 0; of a product one of its positions
    density : of a graph, prune each parameter by magnitude first

    Raises InputError for a layer or a vector that is not there, and for what the unit cannot run.
    """
    require_type("network", network, Network, Graph)
    unit = unit_of(config)
    if unit.timeline is None:
        raise InputError(f"unit={unit.name}: must be another, {unit.title} keeps no timeline")
    require_engine(engine)
    given, said = network, ""
    if density is not None:
        require(isinstance(network, Graph), "density", density, "must be left out: it is of a graph of operators")
        given, _ = prune_network(network, Recipe(density=density), config)
        said = f"; pruned by magnitude to density {density:g}"
    if isinstance(given, Network) and not given.chained:
        given = given.layer(given.layers[0].name if layer is None else layer)
    one, before = _products_up_to(given, config, layer, vector, said, progress)
    progress(f"{one.ready.layer.name}: simulating and verifying")
    design = unit.for_inputs(one.ready.config, unit.words_of(one.ready.matrix, one.value))
    inputs = unit.words_of(one.ready.matrix, _vector_at(one, vector)) if before else _vector_at(one, vector)
    result = simulate(one.ready.matrix, inputs, design, engine=engine, timeline=True)
    whole = isinstance(network, Network) and len(network.layers) == 1
    name = network.name if whole else f"{network.name}/{one.ready.layer.name}"
    if isinstance(network, Graph):
        layers, source, seed = (one.ready.layer,), network.source, network.seed
        network = Network(name=network.name, layers=layers, chained=False, source=source, left=None, seed=seed)
    return Traced(
        name=name,
        network=network,
        layer=one.ready.layer,
        vector=vector,
        n_vector=one.product.positions,
        inputs=one.inputs.words + (f"; {unit.words.negative}" if bool((one.value < 0).any()) else ""),
        result=result,
        activity=unit.timeline(one.ready.matrix, inputs, result, label=f"{name}, vector {vector}"),
        verification=unit.verify(
            one.ready.layer, one.ready.matrix, inputs, result, before=before, relu=one.inputs.relu
        ),
    )


def _products_up_to(
    network: Network | Graph, config: Any, layer: str | None, vector: int, said: str, progress: Progress
) -> tuple[Multiplied, SimResult | None]:
    """A product, and what the same vector gives in that which it reads directly, of a chain of layers."""
    graph, _ = with_calibration(network)
    steps = steps_for(graph, config, style_of(config))
    products = {product.name: (step, product) for step in steps for product in step.products}
    name = next(iter(products)) if layer is None else layer
    if name not in products:
        raise unknown("layer", shown(name), products)
    step, product = products[name]
    require_int("vector", vector, 0, product.positions - 1)
    progress(f"{name}: compressing what it reads")
    read = {one.product.name: one for one in passed_on(network, config, said=said, last=step.node.name).products}
    source = read[name].inputs.node
    if source is None or not graph.layers:
        return read[name], None
    first, unit = read[source], unit_of(config)
    words = unit.words_of(first.ready.matrix, first.value)
    design = unit.for_inputs(first.ready.config, words)
    return read[name], simulate(first.ready.matrix, words[vector], design)


def _vector_at(one: Multiplied, position: int) -> NDArray[Any]:
    """One vector [n_in], made without all the others."""
    return next(islice((row for chunk in one.product.vectors(one.value) for row in chunk), position, None))
