"""The main path: a network and a design in; every layer compressed, simulated, verified and accounted for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, require_int, require_one_of, require_type
from eie_sim.core.record import Accuracy, GraphRecord, Lowerings
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
from eie_sim.launching import launched, without_weights
from eie_sim.network import RELU, Layer, Network, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.layered import graph_of, with_calibration
from eie_sim.network.products import Product, Step, Style
from eie_sim.network.winograd import KIND as WINOGRAD_KIND
from eie_sim.network.winograd import OP
from eie_sim.network.winograd_graph import with_winograd
from eie_sim.product_run import (
    DirectInput,
    RunOptions,
    at_run,
    calibrated,
    computed,
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
WINOGRAD = "winograd"


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
    conv: str = "im2col",
    engine: str = "fast",
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> Run:
    """Compress every layer of a network, or product of a graph, for the design's unit, run it and check it.

    Layers of a chained network take their recorded activations where they have some, else the outputs of the one
    before, after what stands between, as the unit writes them back; layers of any other take their own activations. A
    layer whose negative inputs the design would drop runs with them. The user's part of a table is taken as it is,
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
    conv : of a graph, winograd runs 3x3 convolutions without strides and groups in transformed weights, which are what
        is pruned, and as im2col too, beside it
    persistent : all steps of a recurrent product are one launch, of a unit that has launches

    Raises InputError for what the unit cannot run, and for a table of another unit, node or clock.
    """
    require_type("network", network, Network, Graph)
    require_one_of("conv", conv, ("im2col", WINOGRAD))
    require_engine(engine)
    table = table_for(config, table)
    require(callable(progress), "progress", type(progress).__name__, "must be a function of the step's name")
    require(density is None or pattern is None, "density", density, f"must be left out, {pattern} has its own")
    require(scope != "global" or density is not None, "scope", scope, "must be local without a density")
    style = {"fold": fold, "depthwise_as_gemm": depthwise_as_gemm, "persistent": persistent}
    for name, value in style.items():
        require_type(name, value, bool)
    launches = not persistent or unit_of(config).launch is not None
    require(launches, "persistent", persistent, f"must be left out, {unit_of(config).title} has no launches")
    if positions is not None:
        require_int("positions", positions, 1)
    recipe = None
    if density is not None or pattern is not None:
        recipe = Recipe(density=density, pattern=pattern or "element", scope=scope)
    how = RunOptions(engine=engine, table=table, positions=positions)
    once = partial(_run, config=config, recipe=recipe, style=style, how=how, progress=progress)
    if conv != WINOGRAD:
        return once(network)
    if not isinstance(network, Graph):
        raise InputError(f"conv={conv}: must be left out: layers are no convolutions")
    as_winograd = with_winograd(network)
    return _beside([node.name for node in as_winograd.nodes if node.op == OP], once(as_winograd), once(network))


def _run(
    network: Network | Graph,
    config: Any,
    recipe: Recipe | None,
    style: Mapping[str, bool],
    how: RunOptions,
    progress: Progress,
) -> Run:
    """A run in one lowering. recipe : how it is pruned first; style : keywords of `style_of`"""
    given, said, n_of_m = network, "", None
    if recipe is not None:
        network, said = _pruned(network, config, recipe, progress)
        n_of_m = recipe.n_of_m
    wanted = style_of(config, pattern=n_of_m, **style)
    graph, calibration = with_calibration(network)
    ran = _run_steps(graph, calibration, config, wanted, how, said if isinstance(network, Graph) else "", progress)
    if isinstance(network, Graph):
        before = given if isinstance(given, Graph) and given is not network else None
        return _run_of_graph(before, network, ran, config, wanted, how)
    dense = None if graph.labels is None else network.dense_layers
    unpruned = None if dense is None else floatrun.run(graph_of(replace(network, layers=dense)))
    whole = network.chained and all(network.takes_outputs(at) for at in range(1, len(ran.layers)))
    error = relative_error(ran.layers[-1].real_output, ran.floats[graph.outputs[-1]]) if whole else None
    return Run(
        network=network,
        config=config,
        table=how.table,
        layers=ran.layers,
        accuracy=accuracy(graph, ran.outputs, ran.floats, unpruned),
        end_to_end_error=error,
    )


def _pruned(network: Network | Graph, config: Any, recipe: Recipe, progress: Progress) -> tuple[Network | Graph, str]:
    """Return a network pruned by a recipe, layers counted as parameters of a graph are, and how, in words."""
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
    graph: Graph, calibration: Graph, config: Any, style: Style, how: RunOptions, said: str, progress: Progress
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
        before = None if source.node is None or step.weighs else _before(runs[source.node], source.relu, step, x)
        met: dict[str, list[NDArray[Any]]] = {product.name: [] for product in step.products}
        found: dict[str, list[NDArray[Any]]] = {product.name: [] for product in step.products}
        done: dict[str, LayerRun] = {}
        squares: list[float] = []
        at_once = (step.at_once or step.weighs != "") and unit_of(config).launch is not None

        def ran(product: Product) -> LayerRun:
            one, vectors = at_run(ready.pop(product.name), product), one_by_one(met.pop(product.name))
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
            if at_once:
                squares.append(float(np.square(product.multiply(x), dtype=np.float64).sum()))
            return outputs_of(done[product.name])

        made = step.compute(values, multiply)
        mine = [done[product.name] if product.name in done else ran(product) for product in step.products]
        mine = [launched(step, mine, squares, how.table)] if at_once else mine
        runs[step.node.name] = [without_weights(one) for one in mine] if step.weighs else mine
        return made

    outputs = floatrun.run(graph, steps, simulated)
    done = [one for of_step in runs.values() for one in of_step]
    seen: dict[bytes, LayerRun] = {}  # the steps of a sequence have the same weights
    firsts = [
        one if one.n_weight == 0 else seen.setdefault(weights_digest(one.layer.weights, one.layer.bias), one)
        for one in done
    ]
    layers = tuple(replace(one, again=one is not first) for one, first in zip(done, firsts, strict=True))
    return Ran(steps, layers, outputs, floats, lowered)


def _beside(nodes: Sequence[str], done: Run, im2col: Run) -> Run:
    """The run of convolutions as Winograd, with what they take as im2col. nodes : their names, in order"""
    one = {layer.layer.name: layer for layer in im2col.layers}
    own = [layer for layer in done.layers if layer.kind == WINOGRAD_KIND]
    each = len(own) // len(nodes)  # 16, or 1 of a unit that launches all of a node at once
    found = [
        Lowerings(
            node=node,
            im2col_cycles=one[node].result.cycles,
            winograd_cycles=sum(layer.result.cycles for layer in own[at * each : (at + 1) * each]),
            im2col_pj=one[node].energy.total_pj,
            winograd_pj=sum(layer.energy.total_pj for layer in own[at * each : (at + 1) * each]),
        )
        for at, node in enumerate(nodes)
    ]
    assert done.graph is not None
    return replace(done, graph=structs.replace(done.graph, lowerings=found))


def _before(runs: list[LayerRun], relu: bool, step: Step, x: NDArray[Any]) -> DirectInput | None:
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
    return DirectInput(result=runs[0].result, relu=relu) if same else None


def _run_of_graph(unpruned: Graph | None, graph: Graph, ran: Ran, config: Any, style: Style, how: RunOptions) -> Run:
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
        accuracy=accuracy(graph, ran.outputs, ran.floats, before),
        end_to_end_error=whole_error(ran.outputs, ran.floats),
        graph=GraphRecord(
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


def accuracy(graph: Graph, outputs: Arrays, floats: Arrays, before: Arrays | None) -> Accuracy | None:
    """Share of examples that are classified as labelled; None without labels.

    outputs, floats, before : outputs by name, simulated, in floats, and in floats before pruning
    """
    compressed, pruned = graph.right(outputs), graph.right(floats)
    if graph.labels is None or compressed is None or pruned is None:
        return None
    return Accuracy(
        images=len(graph.labels.classes),
        dense=None if before is None else graph.right(before),
        pruned=pruned,
        compressed=compressed,
    )


def outputs_off(before: Network, after: Network) -> dict[str, float | None]:
    """Return how far float outputs are from those before pruning: root mean squares relative to those before.

    A chain has `end to end`, from the inputs that it starts from; else each layer its name, from its own inputs. None
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
