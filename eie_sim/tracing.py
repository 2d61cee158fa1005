"""One vector through one layer of a network, or product of a graph, with what happened when: for a timeline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from numpy.typing import NDArray

from eie_sim.core.activity import Activity
from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, require_int, require_type, unknown
from eie_sim.core.result import SimResult
from eie_sim.core.verification import Verification
from eie_sim.engine import simulate, with_scales
from eie_sim.graphs import steps_for, style_of
from eie_sim.network import RELU, Layer, Network
from eie_sim.network.graph import Graph
from eie_sim.network.products import Product
from eie_sim.passed_on import passed_on
from eie_sim.pipeline import Progress, chained, given_inputs, input_words
from eie_sim.product_run import matrix_for
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


class _Given(NamedTuple):
    """A layer with complete scales, one input vector [n_in] of n_vector, and in a chain the layer before with its own.

    config : a design that drops none of the inputs; label : what they are
    before : (matrix, vector, design), or None
    """

    network: Network
    layer: Layer
    matrix: Any
    inputs: NDArray[Any]
    n_vector: int
    config: Any
    label: str
    before: tuple[Any, NDArray[Any], Any] | None = None


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
    """Run one vector through a layer, the first where none is named, with the inputs that `run_network` gives it.

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
    if isinstance(network, Graph):
        given = _of_graph(network, config, layer, vector, density, progress)
    else:
        if density is not None:
            raise InputError(f"density={density}: must be left out: it is of a graph of operators")
        given = _of_layers(network, config, layer, vector, progress)
    progress(f"{given.layer.name}: simulating and verifying")
    result = simulate(given.matrix, given.inputs, given.config, engine=engine, timeline=True)
    before = given.before and simulate(*given.before)
    names, relu = [each.name for each in given.network.layers], given.network.between == RELU
    whole = isinstance(network, Network) and len(names) == 1
    name = given.network.name if whole else f"{given.network.name}/{given.layer.name}"
    return Traced(
        name=name,
        network=given.network,
        layer=given.layer,
        vector=vector,
        n_vector=given.n_vector,
        inputs=given.label,
        result=result,
        activity=unit.timeline(given.matrix, given.inputs, result, label=f"{name}, vector {vector}"),
        verification=unit.verify(given.layer, given.matrix, given.inputs, result, before=before, relu=relu),
    )


def _of_layers(network: Network, config: Any, layer: str | None, vector: int, progress: Progress) -> _Given:
    unit = unit_of(config)
    (wanted,) = network.layers[:1] if layer is None else network.layer(layer).layers
    progress(f"{wanted.name}: compressing")
    before = None
    if network.chained:
        matrix, inputs, label, before = _chained_to(network, wanted.name, config, vector)
    else:
        at = network.layers.index(wanted)
        inputs, label = given_inputs(network, at), input_words(network, at, unit.words.negative)
        matrix = with_scales(wanted, matrix_for(wanted, config), inputs, unit.for_inputs(config, inputs))
    require_int("vector", vector, 0, len(inputs) - 1)
    design = unit.for_inputs(config, inputs)
    return _Given(network, wanted, matrix, inputs[vector], len(inputs), design, label, before)


def _chained_to(
    network: Network, name: str, config: Any, vector: int
) -> tuple[Any, NDArray[Any], str, tuple[Any, NDArray[Any], Any] | None]:
    """A layer of a chain, its inputs and what they are, and the layer before; what follows it is not run."""
    names = [layer.name for layer in network.layers]
    at = names.index(name)
    cut = replace(
        network,
        layers=network.layers[: at + 1],
        dense_layers=None,
        test_labels=None,
        train_inputs=None,
        train_labels=None,
    )
    chain = chained(cut, config)
    inputs, before = chain.inputs[name], None
    if network.takes_outputs(at) and vector in range(len(inputs)):
        read = chain.inputs[names[at - 1]]
        before = chain.matrices[names[at - 1]], read[vector], unit_of(config).for_inputs(config, read)
    return chain.matrices[name], inputs, chain.labels[name], before


def _of_graph(
    graph: Graph, config: Any, layer: str | None, vector: int, density: float | None, progress: Progress
) -> _Given:
    """A product and one of its positions; what follows its node is not run."""
    unit, masked = unit_of(config), graph
    if density is not None:
        masked, _ = prune_network(graph, Recipe(density=density), config)
    products = {
        product.name: (step, product)
        for step in steps_for(masked, config, style_of(config))
        for product in step.products
    }
    name = next(iter(products)) if layer is None else layer
    if name not in products:
        raise unknown("layer", shown(name), products)
    step, product = products[name]
    require_int("vector", vector, 0, product.positions - 1)
    progress(f"{name}: compressing what it reads")
    said = "" if density is None else f"; pruned by magnitude to density {density:g}"
    read = passed_on(masked, config, said=said, last=step.node.name)
    one = next(one for one in read.products if one.product.name == name)
    return _Given(
        network=Network(
            name=graph.name, layers=(one.ready.layer,), chained=False, source=graph.source, left=None, seed=graph.seed
        ),
        layer=one.ready.layer,
        matrix=one.ready.matrix,
        inputs=_vector_at(product, one.value, vector),
        n_vector=product.positions,
        config=unit.for_inputs(one.ready.config, one.value),
        label=one.inputs + (f"; {unit.words.negative}" if bool((one.value < 0).any()) else ""),
    )


def _vector_at(product: Product, value: NDArray[Any], position: int) -> NDArray[Any]:
    """One vector [n_in], made without all the others."""
    return next(islice((row for chunk in product.vectors(value) for row in chunk), position, None))
