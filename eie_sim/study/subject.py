"""Subjects of sweeps: a drawn preset, which workers draw themselves, or a network or graph, which each gets once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import eie_sim
from eie_sim.core.arrays import require_fraction
from eie_sim.core.errors import InputError, require, require_seed, require_type
from eie_sim.core.sparse import is_sparse
from eie_sim.energy import EnergyTable
from eie_sim.energy.table import hashed
from eie_sim.graphs import made_by, source_of
from eie_sim.network import Layer, Network, batch_for, drawn_preset, load, loading, synthetic
from eie_sim.network.graph import Graph
from eie_sim.network.layered import graph_of
from eie_sim.network.loading import is_graph
from eie_sim.network.lower import EVERYTHING, steps_of


def digest_of(value: Any) -> bytes:
    """32 bytes that identify plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A workload, and what is asked of every point."""

    name: str
    network: Network | None  # None for a graph, and for a preset that is drawn layer by layer where it is needed
    activations: Any  # of a drawn preset: float [n_vector, n_in], a density for others than its own, or None
    seed: int
    layers: tuple[str, ...]  # names, in order; of a graph its nodes that some unit computes
    shapes: tuple[tuple[int, int], ...]  # (n_out, n_in) of each; of a graph none
    chained: bool
    n_vectors: tuple[int, ...]  # input vectors of each; of a graph one, all positions
    content: str  # sha256 in hex of what is simulated: arrays, or, of what is drawn, what it is drawn from
    densities: tuple[float, ...] = ()  # all that the study prunes to by magnitude, so that one ordering serves them
    verify: bool = False  # whether every layer is encoded, multiplied and compared with the golden product
    table: EnergyTable | None = None  # energies that the user gave for every design
    graph: Graph | None = None  # of operators

    @property
    def n_vector(self) -> int:
        """Input vectors that every layer has."""
        return min(self.n_vectors)

    @property
    def table_sha256(self) -> str | None:
        """Hash of the energies that the user gave; None where all are default."""
        return None if self.table is None else self.table.sha256

    @cached_property
    def study(self) -> bytes:
        """Digest of what all keys have in common."""
        return digest_of([eie_sim.__version__, self.content, self.seed, self.verify, *hashed(self.table_sha256)])

    @cached_property
    def token(self) -> str:
        """Names the subject among others that a worker may have."""
        return digest_of([self.study.hex(), self.densities]).hex()

    def input_words(self) -> dict[str, str]:
        """Return the source of the inputs of each layer, in words, by layer."""
        if self.network is not None or self.graph is not None:
            graph = self.graph if self.network is None else graph_of(self.network)
            assert graph is not None
            steps = steps_of(graph, EVERYTHING)
            made = made_by(steps)
            given = {name for name, array in graph.examples.items() if bool((array < 0).any())}
            return {
                step.node.name: source_of(graph, made, step.reads).words
                + ("; negative ones take part" if step.reads in given else "")
                for step in steps
            }
        preset = drawn_preset(self.name)
        assert preset is not None  # no other is drawn layer by layer
        if self.activations is None or isinstance(self.activations, float):
            own = [d if self.activations is None else self.activations for d in preset.activation_density]
            said = [synthetic.label(1.0 if density is None else density, self.seed) for density in own]
        else:
            said = [f"given, {len(self.activations)} vectors"] * len(self.layers)
        return dict(zip(self.layers, said, strict=True))

    def evaluator(self) -> Any:
        """Return the evaluator that computes the rows of points; made once in each worker."""
        from eie_sim.study.evaluator import Evaluator

        return Evaluator(self)

    def layer(self, name: str, *, before_pruning: bool = False) -> Layer:
        """A layer with its activations; of a drawn preset drawn now. before_pruning : with its dense weights."""
        if self.network is None:
            given: dict[str, Any] = {}
            if self.activations is not None:
                is_density = isinstance(self.activations, float)
                given = {"activation_density" if is_density else "activations": self.activations}
            return load(self.name, layer=name, seed=self.seed, before_pruning=before_pruning, **given).layers[0]
        now = self.network.layer(name).layers[0]
        if not before_pruning or self.network.dense_layers is None:
            return now
        before = next(layer for layer in self.network.dense_layers if layer.name == name)
        return replace(before, activations=now.activations, activations_source=now.activations_source)


def subject_of(
    source: Any,
    *,
    inputs: Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Any = None,
    labels: Any = None,
    activations: Any = None,
    activation_density: float | None = None,
    seed: int = 0,
    densities: tuple[float, ...] = (),
    verify: bool = False,
    table: EnergyTable | None = None,
) -> Subject:
    """The subject of a source, as `load` takes it, with the inputs or activations it takes.

    Raises InputError as `load` does, and where there is nothing to run on.
    """
    require_seed(seed)
    require_type("verify", verify, bool)
    require_type("table", table, EnergyTable, type(None))
    common: dict[str, Any] = {"seed": int(seed), "densities": densities, "verify": verify, "table": table}
    of_file = {"inputs": inputs, "shapes": shapes, "calibration": calibration, "labels": labels}
    if is_graph(source) or any(value is not None for value in of_file.values()):
        given = {"activations": activations, "activation_density": activation_density}
        return _graph_subject(loading.load(source, **of_file, seed=seed, **given), **common)
    preset = drawn_preset(source) if isinstance(source, str) else None
    if preset is not None:
        return _drawn_subject(preset, activations, activation_density, **common)
    network = load(source, activations=activations, activation_density=activation_density, seed=seed)
    first = network.test_inputs if network.test_inputs is not None else network.layers[0].activations
    if first is None:
        raise InputError(f"activations=none: layer {network.layers[0].name} needs some")
    named = [[layer.name for layer in network.layers], network.chained, network.dense_layers is not None]
    return Subject(
        name=network.name,
        network=network,
        activations=None,
        layers=tuple(layer.name for layer in network.layers),
        shapes=tuple((layer.n_out, layer.n_in) for layer in network.layers),
        chained=network.chained,
        n_vectors=tuple(
            len(first) if network.chained or layer.activations is None else len(layer.activations)
            for layer in network.layers
        ),
        content=digest_of([named, _digest_arrays(_arrays_of(network))]).hex(),
        **common,
    )


def _graph_subject(graph: Any, **common: Any) -> Subject:
    """All that can become products can be swept; units may leave some of it to the host."""
    names = tuple(step.node.name for step in steps_of(graph, EVERYTHING))
    return Subject(
        name=graph.name,
        network=None,
        activations=None,
        layers=names,
        shapes=(),
        chained=True,
        n_vectors=(1,),
        content=graph.digest.hex(),
        graph=graph,
        **common,
    )


def _drawn_subject(preset: Any, activations: Any, activation_density: float | None, **common: Any) -> Subject:
    """Nothing is drawn here but where activations are given, which are checked against the layer."""
    n_vector = 1
    given: Any = None
    said: Any = None
    if activations is not None and activation_density is not None:
        raise InputError(f"activation_density={activation_density}: must be left out, activations are given")
    if activations is not None:
        rule = f"the layers of {preset.name} have their own, give a density, or sweep one layer as a network"
        require(len(preset.layers) == 1, "activations", "given", rule)
        given = batch_for(activations, preset.shapes[0][1])
        n_vector, said = len(given), _digest_arrays([given])
    elif activation_density is not None:
        given = said = require_fraction("activation_density", activation_density)
    drawn_with = ".".join(np.__version__.split(".")[:2])  # streams of random numbers may change with it
    return Subject(
        name=preset.name,
        network=None,
        activations=given,
        layers=preset.layers,
        shapes=preset.shapes,
        chained=False,
        n_vectors=(n_vector,) * len(preset.layers),
        content=digest_of([preset.to_dict(), said, f"numpy {drawn_with}"]).hex(),
        **common,
    )


def _arrays_of(network: Network) -> Iterator[Any]:
    for layer in (*network.layers, *(network.dense_layers or ())):
        yield from (layer.weights, layer.bias, layer.activations)
        if layer.stored is not None:
            yield from (layer.stored.codes, layer.stored.codebook, layer.stored.bias_codes)
            yield np.array([*layer.stored.scales.to_dict().values()], dtype=np.float64)  # nan where open
    yield from (network.test_inputs, network.test_labels, network.train_inputs, network.train_labels)
    yield network.calibration


def _digest_arrays(arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        parts = (array.indptr, array.indices, array.data) if is_sparse(array) else (array,)
        for part in parts:
            if part is None:
                digest.update(b"none")
                continue
            plain = np.ascontiguousarray(part)
            digest.update(f"{plain.dtype.str}{plain.shape}".encode())
            digest.update(plain.data if plain.size else b"")
    return digest.hexdigest()
