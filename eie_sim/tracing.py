"""One vector through one layer of a network, with what happened when: what a timeline is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from eie_sim.core.activity import Activity
from eie_sim.core.errors import InputError, require_int, require_type
from eie_sim.core.result import SimResult
from eie_sim.core.verification import Verification
from eie_sim.engine import simulate, with_scales
from eie_sim.network import RELU, Layer, Network
from eie_sim.pipeline import Progress, chained, given_inputs, input_words, matrix_for
from eie_sim.units import unit_of
from eie_sim.units.unit import require_engine


@dataclass(frozen=True, kw_only=True, eq=False)
class Traced:
    """One vector of a layer: what it was, its result, checked, and what happened when.

    name : of the network, and of the layer where there are several
    vector : which of the n_vector that a run of the network gives the layer
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
    """A layer with complete scales, its inputs [n_vector, n_in] and what they are, and in a chain the layer before."""

    matrix: Any
    inputs: NDArray[Any]
    label: str
    before: tuple[Any, NDArray[Any]] | None


def trace(
    network: Network,
    config: Any,
    *,
    layer: str | None = None,
    vector: int = 0,
    engine: str = "fast",
    progress: Progress = lambda step: None,
) -> Traced:
    """Run one vector through a layer, the first where none is named, with the inputs that `run_network` gives it.

    network : as `network.load_for_layer` gives it

    Raises InputError for a layer or a vector that is not there, and for what the unit cannot run.
    """
    require_type("network", network, Network)
    unit = unit_of(config)
    if unit.timeline is None:
        raise InputError(f"unit={unit.name}: must be another, {unit.title} keeps no timeline")
    require_engine(engine)
    (wanted,) = network.layers[:1] if layer is None else network.layer(layer).layers
    progress(f"{wanted.name}: compressing")
    if network.chained:
        given = _chained_to(network, wanted.name, config)
    else:
        at = network.layers.index(wanted)
        inputs, label = given_inputs(network, at), input_words(network, at, unit.words.negative)
        matrix = with_scales(wanted, matrix_for(wanted, config), inputs, unit.for_inputs(config, inputs))
        given = _Given(matrix, inputs, label, None)
    require_int("vector", vector, 0, len(given.inputs) - 1)
    progress(f"{wanted.name}: simulating and verifying")
    inputs, config = given.inputs[vector], unit.for_inputs(config, given.inputs)
    result = simulate(given.matrix, inputs, config, engine=engine, timeline=True)
    before = given.before and simulate(
        given.before[0], given.before[1][vector], unit.for_inputs(config, given.before[1])
    )
    name = network.name if len(network.layers) == 1 else f"{network.name}/{wanted.name}"
    return Traced(
        name=name,
        network=network,
        layer=wanted,
        vector=vector,
        n_vector=len(given.inputs),
        inputs=given.label,
        result=result,
        activity=unit.timeline(given.matrix, inputs, result, label=f"{name}, vector {vector}"),
        verification=unit.verify(wanted, given.matrix, inputs, result, before=before, relu=network.between == RELU),
    )


def _chained_to(network: Network, name: str, config: Any) -> _Given:
    """A layer of a chain; what follows it is not run."""
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
    before = names[at - 1] if network.takes_outputs(at) else None
    return _Given(
        chain.matrices[name],
        chain.inputs[name],
        chain.labels[name],
        None if before is None else (chain.matrices[before], chain.inputs[before]),
    )
