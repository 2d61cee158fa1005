"""The main path: a network and a design in; every layer compressed, simulated, verified and accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.archive import matrix_of
from eie_sim.core.errors import InputError, require, require_int, require_type
from eie_sim.core.record import Accuracy
from eie_sim.core.verification import relative_error
from eie_sim.energy import EnergyTable, account
from eie_sim.energy.report import table_for
from eie_sim.engine import compress, simulate, with_scales
from eie_sim.network import RELU, Layer, Network
from eie_sim.network.graph import Graph
from eie_sim.runs import LayerRun, Run, outside
from eie_sim.units import unit_of
from eie_sim.units.unit import require_engine

Progress = Callable[[str], None]


def run(
    network: Network | Graph,
    config: Any,
    *,
    density: float | None = None,
    pattern: str | None = None,
    positions: int | None = None,
    fold: bool = True,
    depthwise_as_gemm: bool = False,
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
    density, pattern : prune each layer, or parameter of a graph, by magnitude first: to a density, or to N:M as 2:4
    positions : of a graph, time and check only so many of each product's positions, drawn with seed 0 and spread
        evenly, where the unit runs them one after the other; outputs are of all, figures are scaled, and rows say so
    fold : of a graph, False leaves BatchNorms to the host
    depthwise_as_gemm : of a graph, hand depthwise convolutions also to a unit that leaves them to the host

    Raises InputError for what the unit cannot run, and for a table of another unit, node or clock.
    """
    require_type("network", network, Network, Graph)
    require_engine(engine)
    table = table_for(config, table)
    require(callable(progress), "progress", type(progress).__name__, "must be a function of the step's name")
    require(density is None or pattern is None, "density", density, f"must be left out, {pattern} has its own")
    if isinstance(network, Graph):
        from eie_sim.graph_run import How, run_graph
        from eie_sim.graphs import style_of

        if positions is not None:
            require_int("positions", positions, 1)
        style = style_of(config, fold=fold, depthwise_as_gemm=depthwise_as_gemm)
        how = How(engine=engine, table=table, positions=positions)
        return run_graph(network, config, density=density, pattern=pattern, style=style, how=how, progress=progress)
    for name, value, usual in (("positions", positions, None), ("fold", fold, True)):
        require(value is usual, name, value, "must be left out: it is of a graph of operators")
    require(not depthwise_as_gemm, "depthwise_as_gemm", True, "must be left out: it is of a graph of operators")
    if density is not None or pattern is not None:
        from eie_sim.prune import prune_network
        from eie_sim.prune.recipe import Recipe

        recipe = Recipe(density=density) if pattern is None else Recipe(pattern=pattern)
        network, _ = prune_network(network, recipe, config)
    matrices = []
    for layer in network.layers:
        progress(f"{layer.name}: compressing")
        matrices.append(matrix_for(layer, config))
    if network.chained:
        matrices = calibrate(matrices, network, config)
    runs: list[LayerRun] = []
    for at, matrix in enumerate(matrices):
        progress(f"{network.layers[at].name}: simulating and verifying")
        runs.append(_run_layer(network, at, matrix, config, runs, engine, table))
    whole = network.chained and all(network.takes_outputs(at) for at in range(1, len(runs)))
    output = runs[-1].real_output
    floats = _forward(network.layers, _first_inputs(network), network.between) if whole else None
    return Run(
        network=network,
        config=config,
        table=table,
        layers=tuple(runs),
        accuracy=accuracy(network, output),
        end_to_end_error=None if floats is None else relative_error(output, floats),
    )


def _run_layer(
    network: Network, at: int, matrix: Any, config: Any, runs: list[LayerRun], engine: str, table: EnergyTable
) -> LayerRun:
    """Simulate a compressed layer, check it, and account for it. runs : the layers before"""
    unit, layer = unit_of(config), network.layers[at]
    last = runs[-1] if network.takes_outputs(at) else None
    given: NDArray[Any] = (
        given_inputs(network, at)
        if last is None
        else unit.words_of(matrix, _between(last.real_output, network.between))
    )
    with _about(layer):
        design = unit.for_inputs(config, given)
        matrix = matrix if network.chained else with_scales(layer, matrix, given, design)
        result = simulate(matrix, given, design, engine=engine)
        before, relu = None if last is None else last.result, network.between == RELU
        return LayerRun(
            layer=layer,
            matrix=matrix,
            inputs=input_words(network, at, unit.words.negative),
            result=result,
            energy=account(result, table),
            storage=unit.storage(matrix, config),
            verification=unit.verify(layer, matrix, given, result, before=before, relu=relu),
        )


run_network = run
"""The same by its older name."""


def matrix_for(layer: Layer, config: Any) -> Any:
    """A layer in the format of the design: as it is stored, where it comes from an archive, or else compressed now."""
    if layer.stored is not None and unit_of(config).unpack is not None:
        return matrix_of(layer, config)
    with _about(layer):
        return compress(layer.weights, config, bias=layer.bias if unit_of(config).takes_bias else None)


@contextmanager
def _about(layer: Layer) -> Iterator[None]:
    """Put the layer's name before what is said about its matrix or its run."""
    try:
        yield
    except InputError as error:
        raise InputError(f"layer {layer.name}: {error}") from None


class Chain(NamedTuple):
    """What the layers of a chain are and read, by name, as `run` has it.

    matrices : with their scales; inputs : words [n_vector, n_in], as the unit takes them, and labels what they are
    """

    matrices: dict[str, Any]
    inputs: dict[str, NDArray[Any]]
    labels: dict[str, str]
    accuracy: Accuracy | None


def chained(network: Network, config: Any) -> Chain:
    """Run the layers of a chain, outputs alone: nothing is timed and nothing compared.

    Only the config's codes and arithmetic matter.
    """
    unit = unit_of(config)
    matrices = calibrate([matrix_for(layer, config) for layer in network.layers], network, config)
    chain = Chain({}, {}, {}, None)
    found: NDArray[Any] = np.empty(0)
    for at, (layer, matrix) in enumerate(zip(network.layers, matrices, strict=True)):
        given = _between(found, network.between) if network.takes_outputs(at) else given_inputs(network, at)
        chain.matrices[layer.name] = matrix
        chain.inputs[layer.name] = unit.words_of(matrix, given)
        chain.labels[layer.name] = input_words(network, at, unit.words.negative)
        words, design = chain.inputs[layer.name], unit.for_inputs(config, given)
        if unit.output_of is None:
            found = simulate(matrix, words, design).real_output + outside(layer, unit)
        else:
            found = unit.output_of(matrix, words, design) + outside(layer, unit)
    return chain._replace(accuracy=accuracy(network, found))


def calibrate(matrices: list[Any], network: Network, config: Any) -> list[Any]:
    """Choose the open scales of chained layers from inputs [n_vector, n_in] that pass through the float layers."""
    unit, chosen = unit_of(config), []
    if unit.opened is None:
        return matrices
    inputs = _first_inputs(network) if network.calibration is None else network.calibration
    for at, (layer, matrix) in enumerate(zip(network.layers, matrices, strict=True)):
        inputs = inputs if at == 0 or network.takes_outputs(at) else _own_activations(layer)
        design = unit.for_inputs(config, -np.abs(inputs))  # as if some were negative, which run inputs may be
        sums = layer.outputs(inputs, bias=unit.takes_bias)
        chosen.append(unit.opened(matrix, inputs, design, outputs=sums))
        inputs = _between(sums + outside(layer, unit), network.between)
    return chosen


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


def _first_inputs(network: Network) -> NDArray[np.floating]:
    return _own_activations(network.layers[0]) if network.test_inputs is None else network.test_inputs


def given_inputs(network: Network, at: int) -> NDArray[np.floating]:
    """The inputs of a layer that takes no outputs, float [n_vector, n_in]."""
    return _first_inputs(network) if network.chained and at == 0 else _own_activations(network.layers[at])


def input_words(network: Network, at: int, negative: str = "negative ones take part") -> str:
    """What the inputs of a layer are, in words. Raises InputError where it has none.

    negative : what is said where some are negative
    """
    if network.takes_outputs(at):
        return f"simulated: outputs of {network.layers[at - 1].name}" + (
            " after ReLU" if network.between == RELU else ""
        )
    inputs, said = given_inputs(network, at), network.layers[at].activations_source
    if inputs is network.test_inputs:
        said = f"real: {len(inputs)} held-back inputs of the network"
    return said + (f"; {negative}" if bool((inputs < 0).any()) else "")


def outputs_off(before: Network, after: Network) -> dict[str, float | None]:
    """How far outputs are from those before pruning, in floats: root mean squares relative to those before.

    Of a chain `end to end`, from the inputs that it starts from; else of each layer by name, from its own inputs. None
    where the outputs before are all 0. before, after : the same layers, as `pruning.unpruned` gives those before
    """
    parts = (
        {"end to end": (before.layers, after.layers, _first_inputs(before))}
        if before.chained
        else {
            was.name: ((was,), (now,), _own_activations(was))
            for was, now in zip(before.layers, after.layers, strict=True)
        }
    )
    return {
        name: relative_error(*(_forward(layers, inputs, before.between) for layers in (now, was)))
        for name, (was, now, inputs) in parts.items()
    }


def _own_activations(layer: Layer) -> NDArray[np.floating]:
    if layer.activations is None:
        raise InputError(f"activations=none: layer {layer.name} needs some")
    return layer.activations


def _between(outputs: NDArray[Any], between: str) -> NDArray[Any]:
    return np.maximum(outputs, 0) if between == RELU else outputs


def _forward(layers: tuple[Layer, ...], inputs: NDArray[np.floating], between: str) -> NDArray[np.floating]:
    """Float outputs of the last layer."""
    for at, layer in enumerate(layers):
        inputs = layer.outputs(inputs if at == 0 else _between(inputs, between))
    return inputs


def _accuracy(outputs: NDArray[Any], labels: NDArray[np.integer]) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))
