"""The main path: a network and a design in; every layer compressed, simulated, verified and accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, require_int, require_type
from eie_sim.core.record import Accuracy, GraphRun
from eie_sim.core.sparse import weights_digest
from eie_sim.core.verification import relative_error
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import table_for
from eie_sim.graphs import (
    covered,
    mac_shares,
    made_by,
    network_of_products,
    output_error,
    read_by,
    source_of,
    steps_for,
    style_of,
    whole_error,
)
from eie_sim.network import RELU, Layer, Network, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.layered import with_calibration
from eie_sim.network.products import Product, Step, Style
from eie_sim.product_run import (
    Before,
    How,
    calibrated,
    computed,
    launched,
    one_by_one,
    outputs_of,
    run_product,
    vectors_of,
    with_bias,
)
from eie_sim.prune import nearest_density
from eie_sim.prune.measure import before_pruning
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.runs import LayerRun, Run
from eie_sim.units import unit_of
from eie_sim.units.unit import require_engine

Arrays = Mapping[str, NDArray[Any]]
Progress = Callable[[str], None]


def run(
    network: Network | Graph,
    config: Any,
    *,
    density: float | None = None,
    pattern: str | None = None,
    scope: str = "local",
    positions: int | None = None,
    fold: bool = True,
    depthwise_as_gemm: bool = False,
    persistent: bool = False,
    engine: str = "fast",
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> Run:
    """Compress every layer of a network, or product of a graph, for the design's unit, run it and check it.

    Layers of a chained network take their recorded activations where they have some, else the outputs of the one
    before, after what stands between, as the unit writes them back; layers of any other take their own activations. A
    layer whose negative inputs the design would drop runs with them. What the user gave of a table is taken as it is,
    and only default energies are scaled to the node; `table.trace` says which is which.

    config : a design of any unit
    density, pattern : prune each layer, or parameter of a graph, by magnitude first: to a density, which keeps
        density x weights of it, rounded half to even, or to N:M as 2:4, which a unit with patterns then runs it as, or
        as the listed one that it is sure to meet, else dense; without one, as the listed one of which it keeps the
        fewest
    scope : global ranks the weights of all layers together, and keeps so many of all
    positions : of a graph, time and check only so many of each product's positions, drawn with seed 0 and spread
        evenly, where the unit runs them one after the other; outputs are of all, figures are scaled, and rows say so
    fold : of a graph, False leaves BatchNorms to the host
    depthwise_as_gemm : of a graph, hand depthwise convolutions also to a unit that leaves them to the host
    persistent : all steps of a recurrent product are one launch, of a unit that has launches

    Raises InputError for what the unit cannot run, and for a table of another unit, node or clock.
    """
    require_type("network", network, Network, Graph)
    require_engine(engine)
    table = table_for(config, table)
    require(callable(progress), "progress", type(progress).__name__, "must be a function of the step's name")
    require(density is None or pattern is None, "density", density, f"must be left out, {pattern} has its own")
    require(scope != "global" or density is not None, "scope", scope, "must be local without a density")
    require_type("fold", fold, bool)
    require_type("depthwise_as_gemm", depthwise_as_gemm, bool)
    require_type("persistent", persistent, bool)
    launches = not persistent or unit_of(config).launch is not None
    require(launches, "persistent", persistent, f"must be left out, {unit_of(config).title} has no launches")
    if positions is not None:
        require_int("positions", positions, 1)
    how = How(engine=engine, table=table, positions=positions)
    given, said, n_of_m = network, "", None
    if density is not None or pattern is not None:
        recipe = Recipe(density=density, pattern=pattern or "element", scope=scope)
        network, said = _pruned(network, config, recipe, progress)
        n_of_m = recipe.n_of_m
    own = {"fold": fold, "depthwise_as_gemm": depthwise_as_gemm, "persistent": persistent}
    style = style_of(config, pattern=n_of_m, **own)
    graph, calibration = with_calibration(network)
    ran = _run_steps(graph, calibration, config, style, how, said if isinstance(network, Graph) else "", progress)
    if isinstance(network, Graph):
        before = given if isinstance(given, Graph) and given is not network else None
        return _of_graph(before, network, ran, config, style, how)
    whole = network.chained and all(network.takes_outputs(at) for at in range(1, len(ran.layers)))
    error = relative_error(ran.layers[-1].real_output, ran.floats[graph.outputs[-1]]) if whole else None
    return Run(
        network=network,
        config=config,
        table=table,
        layers=ran.layers,
        accuracy=accuracy(network, ran.layers[-1].real_output),
        end_to_end_error=error,
    )


def _pruned(network: Network | Graph, config: Any, recipe: Recipe, progress: Progress) -> tuple[Network | Graph, str]:
    """What a recipe leaves of a network, layers counted as parameters of a graph are, and how it was made in words."""
    said = f"; pruned by magnitude to {recipe.pattern if recipe.density is None else f'density {recipe.density:g}'}"
    said += ", all parameters together" if recipe.scope == "global" else ""
    density, densities = recipe.density, {}
    if isinstance(network, Network) and density is not None:
        sizes = {layer.name: layer.n_out * layer.n_in for layer in before_pruning(network)}
        if recipe.scope == "global":
            recipe = replace(recipe, density=float(nearest_density(density, sum(sizes.values()))))
        else:
            densities = {name: float(nearest_density(density, size)) for name, size in sizes.items()}
    return prune_network(network, recipe, config, layer_density=densities, progress=progress)[0], said


class Ran(NamedTuple):
    """All products of a graph, run. outputs, floats : of the graph, simulated and in floats

    lowered : how far each node is from the framework's value
    """

    steps: tuple[Step, ...]
    layers: tuple[LayerRun, ...]
    outputs: dict[str, NDArray[Any]]
    floats: dict[str, NDArray[Any]]
    lowered: dict[str, float]


def _run_steps(
    graph: Graph, calibration: Graph, config: Any, style: Style, how: How, said: str, progress: Progress
) -> Ran:
    """Choose scales in the float run of the calibration, then run every product on the outputs of those before."""
    steps = steps_for(graph, config, style)
    own = steps if calibration.values is graph.values else steps_for(calibration, config, style)
    made_at = made_by(steps)
    ready, floats, lowered = calibrated(graph, calibration, own, config, said=said, progress=progress)
    runs: dict[str, list[LayerRun]] = {}

    def simulated(step: Step, values: Arrays) -> tuple[NDArray[Any], ...]:
        progress(f"{step.node.name}: simulating and verifying")
        x, source = values[step.reads], source_of(graph, made_at, step.reads)
        before = None if source.node is None else _before(runs[source.node], source.relu, step, x)
        met: dict[str, list[NDArray[Any]]] = {product.name: [] for product in step.products}
        found: dict[str, list[NDArray[Any]]] = {product.name: [] for product in step.products}
        done: dict[str, LayerRun] = {}

        def ran(product: Product) -> LayerRun:
            one, vectors = replace(ready.pop(product.name), product=product), one_by_one(met.pop(product.name))
            outputs = one_by_one(found.pop(product.name)) if product.steps else None
            return run_product(one, vectors, read_by(step, product, source).words, how, before, outputs)

        def multiply(product: Product, given: NDArray[Any]) -> NDArray[Any]:
            nonlocal x
            x = given
            met[product.name].append(x)
            if product.steps:  # the next reads what these outputs become; all are timed and checked together, after
                found[product.name].append(computed(product, ready[product.name], x))
                return with_bias(ready[product.name], found[product.name][-1])
            done[product.name] = ran(product)
            return outputs_of(done[product.name])

        made = step.compute(values, multiply)
        mine = [done[product.name] if product.name in done else ran(product) for product in step.products]
        at_once = step.at_once and unit_of(config).launch is not None
        runs[step.node.name] = [launched(step, mine, x, how.table)] if at_once else mine
        return made

    outputs = floatrun.run(graph, steps, simulated)
    done = [one for of_step in runs.values() for one in of_step]
    seen: dict[bytes, LayerRun] = {}  # the steps of a sequence have the same weights
    firsts = [seen.setdefault(weights_digest(one.layer.weights, one.layer.bias), one) for one in done]
    layers = tuple(replace(one, again=one is not first) for one, first in zip(done, firsts, strict=True))
    return Ran(steps, layers, outputs, floats, lowered)


def _before(runs: list[LayerRun], relu: bool, step: Step, x: NDArray[Any]) -> Before | None:
    """The only product of a node, where its outputs are the vectors of a step: not if the host added a bias.

    Nor if the step transposes the value `x` that it reads, as one does whose constant is on the left.
    """
    outputs = runs[0].real_output
    same = (
        len(runs) == 1
        and step.node.kind != "integer"
        and np.array_equal(np.maximum(outputs, 0) if relu else outputs, x)
    )
    same = same and all(np.array_equal(vectors_of(product, x), x) for product in step.products)
    return Before(result=runs[0].result, relu=relu) if same else None


def _of_graph(unpruned: Graph | None, graph: Graph, ran: Ran, config: Any, style: Style, how: How) -> Run:
    """The run of a graph of operators. unpruned : what it was before it was pruned"""
    before = None if unpruned is None else floatrun.run(unpruned)
    node = max(ran.lowered, key=lambda name: ran.lowered[name])
    notes, unit = list(graph.notes), unit_of(config)
    if how.positions is not None and not unit.in_turn:
        notes.append(f"positions {how.positions}: none are sampled, {unit.title} takes all of a product at once")
    return Run(
        network=network_of_products(graph, ran.steps, style, [one.layer for one in ran.layers]),
        config=config,
        table=how.table,
        layers=ran.layers,
        accuracy=None,
        end_to_end_error=whole_error(ran.outputs, ran.floats),
        graph=GraphRun(
            lowered_error=ran.lowered[node],
            lowered_node=node,
            outputs=[output_error(name, ran.outputs, ran.floats, before) for name in ran.outputs],
            macs=mac_shares(graph, style),
            notes=notes,
        ),
        covered=covered(graph, style),
        outputs=ran.outputs,
    )


run_network = run
"""The same by its older name."""


def accuracy(network: Network, outputs: NDArray[Any]) -> Accuracy | None:
    """Accuracy on the network's test images; outputs : raw ones of the compressed last layer, [n_vector, n_out].

    None without labels, or where only part of the network ran.
    """
    if network.test_labels is None or network.test_inputs is None or not network.chained:
        return None
    labels = network.test_labels
    return Accuracy(
        images=len(labels),
        dense=None
        if network.dense_layers is None
        else _accuracy(_forward(network.dense_layers, network.test_inputs, network.between), labels),
        pruned=_accuracy(_forward(network.layers, network.test_inputs, network.between), labels),
        compressed=_accuracy(np.atleast_2d(outputs), labels),
    )


def outputs_off(before: Network, after: Network) -> dict[str, float | None]:
    """How far outputs are from those before pruning, in floats: root mean squares relative to those before.

    Of a chain `end to end`, from the inputs that it starts from; else of each layer by name, from its own inputs. None
    where the outputs before are all 0. before, after : the same layers, as `pruning.unpruned` gives those before
    """
    if before.chained:
        first = _own_activations(before.layers[0]) if before.test_inputs is None else before.test_inputs
        parts = {"end to end": (before.layers, after.layers, first)}
    else:
        pairs = zip(before.layers, after.layers, strict=True)
        parts = {was.name: ((was,), (now,), _own_activations(was)) for was, now in pairs}
    return {
        name: relative_error(*(_forward(layers, inputs, before.between) for layers in (now, was)))
        for name, (was, now, inputs) in parts.items()
    }


def _own_activations(layer: Layer) -> NDArray[np.floating]:
    if layer.activations is None:
        raise InputError(f"activations=none: layer {layer.name} needs some")
    return layer.activations


def _forward(layers: tuple[Layer, ...], inputs: NDArray[np.floating], between: str) -> NDArray[np.floating]:
    """Float outputs of the last layer."""
    for at, layer in enumerate(layers):
        inputs = layer.outputs(np.maximum(inputs, 0) if at > 0 and between == RELU else inputs)
    return inputs


def _accuracy(outputs: NDArray[Any], labels: NDArray[np.integer]) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))
