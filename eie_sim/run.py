"""Run a network: compress, simulate layer after layer, verify against the oracle, account for energy and bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.archive import matrix_of
from eie_sim.core.errors import InputError, require, require_type
from eie_sim.core.fixed import from_fixed, requantise
from eie_sim.core.html import Cell, Row, card, table
from eie_sim.core.result import SimResult, config_hash
from eie_sim.core.storage import Format
from eie_sim.energy import EnergyReport, EnergyTable, account
from eie_sim.energy.report import table_for
from eie_sim.energy.table import given_lines, hashed
from eie_sim.engine import compress, simulate
from eie_sim.units import unit_of
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix, encoded
from eie_sim.units.eie.unit import outputs, raw_activations
from eie_sim.units.unit import require_engine
from eie_sim.verification import MOST_ERROR, Verification, relative_error, verify
from eie_sim.workload import RELU, Layer, Network

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerRun:
    """One layer: where it came from, the compressed weights, the result and what follows from it.

    inputs : what the activations were, in words
    """

    layer: Layer
    matrix: EieMatrix
    inputs: str
    result: SimResult
    energy: EnergyReport
    storage: Format
    verification: Verification

    @property
    def n_vector(self) -> int:
        """Vectors run, one after the other."""
        return len(self.result.cycles_per_vector)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of labelled images classified rightly, of the network before pruning, pruned, and compressed."""

    images: int
    dense: float | None
    pruned: float
    compressed: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkRun:
    """All layers of a network, run one after the other on the same array.

    table : energies of the design
    end_to_end_error : of a chain's outputs from those of the float chain of the network's own weights, root mean
        squares relative to the float chain's; None without a chain, or where the float outputs are all 0
    """

    network: Network
    config: EieConfig
    table: EnergyTable
    layers: tuple[LayerRun, ...]
    accuracy: Accuracy | None
    end_to_end_error: float | None = None

    @property
    def verified(self) -> bool:
        """True where every layer is: bit-exact, whatever the outputs are worth; see `warnings`."""
        return all(layer.verification.ok for layer in self.layers)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each layer, and for the network, whose outputs mean little although they are bit-exact."""
        found = [(one.layer.name, one.verification.warns()) for one in self.layers]
        if self.end_to_end_error is not None and self.end_to_end_error > MOST_ERROR:
            off = f"outputs are {100 * self.end_to_end_error:.3g} % off those of the float network"
            found.append(("end to end", off))
        return tuple(f"{name}: {warning}" for name, warning in found if warning)

    @property
    def config_hash(self) -> str:
        """12 hex digits that identify the design, and what of the energies is the user's."""
        return config_hash("eie", self.config.to_dict(), *hashed(self.table.sha256))

    @cached_property
    def cycles(self) -> int:
        """Cycles of all layers and vectors."""
        return sum(layer.result.cycles for layer in self.layers)

    def _repr_html_(self) -> str:
        """What a notebook shows: a row per layer, figures of all vectors together."""
        headings = ["layer", "out x in", "vectors", "cycles", "time us", "energy nJ", "bits", "fits", ""]
        differs = [f"{one.layer.name}: {one.verification.differs()}" for one in self.layers if not one.verification.ok]
        lines = [f"{one.layer.name}: weights {one.layer.weights_source}; inputs {one.inputs}" for one in self.layers]
        if self.accuracy is not None:
            share = f"{100 * self.accuracy.compressed:.2f} %"
            lines.append(f"accuracy on {self.accuracy.images} held-back images, compressed and simulated: {share}")
        if self.end_to_end_error is not None:
            lines.append(f"end to end, outputs are {100 * self.end_to_end_error:.3g} % off those of the float network")
        lines += [*given_lines(self.table.trace), f"config {self.config_hash}; seed {self.network.seed}"]
        return card(
            f"{self.network.name}: {self.network.source}",
            table(headings, map(_figures, self.layers), foot=_sums(self.layers, chained=self.network.chained)),
            lines=lines,
            alarms=[
                *([] if self.verified else ["NOT VERIFIED", *differs]),
                *(f"warning: {one}" for one in self.warnings),
            ],
        )


def _figures(run: LayerRun) -> Row:
    """A layer in a notebook's table."""
    result, good = run.result, run.verification.ok
    return [
        run.layer.name,
        Cell(f"{run.matrix.n_out}x{run.matrix.n_in}", [run.matrix.n_out, run.matrix.n_in]),
        Cell(f"{run.n_vector:,}", run.n_vector),
        *_costs(result.cycles, result.time_us, run.energy.total_pj / 1e3, run.storage.total_bits),
        "yes" if result.fits else Cell(f"no: {result.passes} passes", alarming=True),
        "verified" if good else Cell("DIFFERS", alarming=True),
    ]


def _sums(runs: tuple[LayerRun, ...], *, chained: bool) -> Row:
    """Several layers together."""
    if len(runs) < 2:
        return ()
    results = [run.result for run in runs]
    cycles, time_us = sum(one.cycles for one in results), sum(one.time_us for one in results)
    nanojoules, bits = sum(run.energy.total_pj for run in runs) / 1e3, sum(run.storage.total_bits for run in runs)
    name = "network" if chained else "all layers"
    return [name, "", "", *_costs(cycles, time_us, nanojoules, bits), "", ""]


def _costs(cycles: int, time_us: float, energy_nj: float, bits: int) -> Row:
    return [
        Cell(f"{cycles:,}", cycles),
        Cell(f"{time_us:,.3f}", time_us),
        Cell(f"{energy_nj:,.3f}", energy_nj),
        Cell(f"{bits:,}", bits),
    ]


def run_network(
    network: Network,
    config: EieConfig,
    *,
    engine: str = "fast",
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> NetworkRun:
    """Compress every layer of a network, run it and check it.

    Layers of a chained network take their recorded activations where they have some, else the outputs of the one
    before, after what stands between and requantisation; layers of any other take their own activations. A layer with
    negative inputs runs with `active="nonzero"`. What the user gave of a table is taken as it is, and only default
    energies are scaled to the node; `table.trace` says which is which. Raises InputError for what the unit cannot run,
    and for a table of another unit, node or clock.
    """
    require_type("network", network, Network)
    require_type("config", config, EieConfig)
    require_engine(engine)
    table = table_for(config, table)
    require(callable(progress), "progress", type(progress).__name__, "must be a function of the step's name")
    matrices = []
    for layer in network.layers:
        progress(f"{layer.name}: compressing")
        matrices.append(matrix_for(layer, config))
    if network.chained:
        matrices = calibrate(matrices, network)
    runs: list[LayerRun] = []
    for at, (layer, matrix) in enumerate(zip(network.layers, matrices, strict=True)):
        follows = network.takes_outputs(at)
        given: NDArray[Any]
        if follows:
            last = runs[-1]
            given = _passed_on((last.result.output, last.matrix), matrix, network.between)
        else:
            given = given_inputs(network, at)
        progress(f"{layer.name}: simulating and verifying")
        before = runs[-1].result if follows else None
        with _about(layer):
            run = run_layer(
                layer,
                matrix,
                given,
                config.for_inputs(given),
                inputs=input_words(network, at),
                engine=engine,
                table=table,
                before=before,
                between=network.between,
            )
        runs.append(run)
    output = runs[-1].result.output
    whole = network.chained and all(network.takes_outputs(at) for at in range(1, len(runs)))
    return NetworkRun(
        network=network,
        config=config,
        table=table,
        layers=tuple(runs),
        accuracy=accuracy(network, output),
        end_to_end_error=_end_to_end(network, runs[-1].result) if whole else None,
    )


def _end_to_end(network: Network, last: SimResult) -> float | None:
    """Error of a chain's outputs, relative to those of its own weights in floats on the inputs that it starts from."""
    floats = _forward(network.layers, _first_inputs(network), network.between)
    return relative_error(from_fixed(last.output, last.scales["accumulator"]), floats)


def run_layer(
    layer: Layer,
    matrix: EieMatrix,
    activations: NDArray[Any],
    config: EieConfig,
    *,
    inputs: str,
    engine: str,
    table: EnergyTable,
    before: SimResult | None = None,
    between: str = RELU,
) -> LayerRun:
    """Simulate one compressed layer, check it, and account for it.

    inputs : what the activations are, in words; before : the result they were written back from, in a chain, and what
        stands between
    """
    matrix = matrix.with_scales_for(activations, active=config.active)
    result = simulate(matrix, activations, config, engine=engine)
    return LayerRun(
        layer=layer,
        matrix=matrix,
        inputs=inputs,
        result=result,
        energy=account(result, table),
        storage=encoded(matrix, pointer_bits=config.pointer_bits),
        verification=verify(layer, matrix, activations, result, before=before, between=between),
    )


def matrix_for(layer: Layer, config: Any) -> Any:
    """A layer in the format of the design: as it is stored, where it comes from an archive, or else compressed now."""
    if layer.stored is not None:
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
    """What the layers of a chain are and read, by name, as `run_network` has it.

    matrices : with their scales; inputs : raw int16 [n_vector, n_in]; labels : what they are, in words
    """

    matrices: dict[str, EieMatrix]
    inputs: dict[str, NDArray[np.int16]]
    labels: dict[str, str]
    accuracy: Accuracy | None


def chained(network: Network, config: EieConfig) -> Chain:
    """Run the layers of a chain, outputs alone: nothing is timed and nothing compared.

    Only the config's codes and arithmetic matter.
    """
    matrices = calibrate([matrix_for(layer, config) for layer in network.layers], network)
    raw: dict[str, NDArray[np.int16]] = {}
    labels: dict[str, str] = {}
    found: NDArray[Any] = np.empty(0)
    for at, (layer, matrix) in enumerate(zip(network.layers, matrices, strict=True)):
        given: NDArray[Any]
        if network.takes_outputs(at):
            given = _passed_on((found, matrices[at - 1]), matrix, network.between)
        else:
            given = given_inputs(network, at)
        labels[layer.name] = input_words(network, at)
        raw[layer.name] = raw_activations(matrix, given)
        found = outputs(matrix, raw[layer.name], config.for_inputs(given))
    return Chain(dict(zip(raw, matrices, strict=True)), raw, labels, accuracy(network, found))


def calibrate(matrices: list[EieMatrix], network: Network) -> list[EieMatrix]:
    """Choose the open scales of chained layers from float inputs [n_vector, n_in], passed on from layer to layer."""
    chosen: list[EieMatrix] = []
    inputs = _first_inputs(network) if network.calibration is None else network.calibration
    for at, matrix in enumerate(matrices):
        inputs = inputs if at == 0 or network.takes_outputs(at) else _own_activations(network.layers[at])
        chosen.append(matrix.with_scales_for(inputs, active="nonzero"))
        inputs = _between(matrix.multiply(inputs), network.between)
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


def input_words(network: Network, at: int) -> str:
    """What the inputs of a layer are, in words. Raises InputError where it has none."""
    if network.takes_outputs(at):
        return f"simulated: outputs of {network.layers[at - 1].name}" + (
            " after ReLU" if network.between == RELU else ""
        )
    inputs, said = given_inputs(network, at), network.layers[at].activations_source
    if inputs is network.test_inputs:
        said = f"real: {len(inputs)} held-back inputs of the network"
    return said + ("; negative ones take part (active nonzero)" if bool((inputs < 0).any()) else "")


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


def _passed_on(before: tuple[NDArray[Any], EieMatrix], matrix: EieMatrix, between: str) -> NDArray[np.int16]:
    """The raw outputs of the layer before, after what stands between, at this layer's activation scale."""
    output, its_matrix = before
    assert matrix.scales.activation is not None
    assert its_matrix.scales.accumulator is not None
    return requantise(_between(output, between), its_matrix.scales.accumulator, matrix.scales.activation)


def _between(outputs: NDArray[Any], between: str) -> NDArray[Any]:
    return np.maximum(outputs, 0) if between == RELU else outputs


def _forward(layers: tuple[Layer, ...], inputs: NDArray[np.floating], between: str) -> NDArray[np.floating]:
    """Float outputs of the last layer."""
    for at, layer in enumerate(layers):
        inputs = inputs if at == 0 else _between(inputs, between)
        inputs = np.asarray(inputs @ layer.weights.T) + (0.0 if layer.bias is None else layer.bias)
    return inputs


def _accuracy(outputs: NDArray[Any], labels: NDArray[np.integer]) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))
