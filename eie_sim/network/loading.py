"""The one door to a network, layers or a graph of operators: a file, a preset, arrays or a graph in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, require
from eie_sim.network import layer_loading
from eie_sim.network.graph import Array, Graph
from eie_sim.network.layers import Network
from eie_sim.network.readers.files import read_arrays

SUFFIX = ".onnx"


def is_graph(source: Any) -> bool:
    """True for a graph, and for the path of a file that holds one."""
    return isinstance(source, Graph) or (
        isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() == SUFFIX
    )


def load(
    source: Any,
    *,
    inputs: Mapping[str, Any] | Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Any] | Any = None,
    batch: int | None = None,
    seed: int = 0,
    **given: Any,
) -> Network | Graph:
    """Return a network to simulate: a Graph of an ONNX file, else layers with their activations.

    source : the path of an ONNX file, or what `network.load` takes
    inputs : of an ONNX file: arrays by name, one array where there is one input, or the path of an npz or npy file with
        them; those not given are drawn, and the graph says so
    shapes : sides of inputs that are drawn, by name; a side that neither they nor the file say is 1
    calibration : of an ONNX file: inputs to choose fixed-point scales from, as `inputs`; None for the inputs themselves
    batch : the first side of inputs that are drawn, where an ONNX file leaves it free
    seed : of whatever is drawn
    given : for layers, as `network.load` takes it: layer, activations, activation_density, density, chain and others

    Raises InputError for an unknown name, a bad file, or values out of range.
    """
    if not is_graph(source):
        for name, value in (("inputs", inputs), ("shapes", shapes), ("calibration", calibration), ("batch", batch)):
            require(value is None, name, type(value).__name__, "must be left out: they are of an ONNX file")
        return layer_loading.load(source, seed=seed, **given)
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}={shown(value)}: must be left out, a graph of operators has none")
    if isinstance(source, Graph):
        require(inputs is None and shapes is None, "inputs", "given", "must be left out: the graph has its own")
        graph = source
    else:
        from eie_sim.network.readers.onnx_reader import read_onnx

        graph = read_onnx(source, arrays_at(inputs), shapes=shapes, batch=batch, seed=seed)
    found = arrays_at(calibration)
    if found is None:
        return graph
    return graph.with_calibration(found if isinstance(found, Mapping) else dict.fromkeys(graph.inputs[:1], found))


def arrays_at(inputs: Any) -> Any:
    """The inputs themselves, or those in an npz or npy file: by name, or the only one."""
    if not isinstance(inputs, (str, os.PathLike)):
        return inputs
    found: dict[str, Array] = read_arrays(Path(inputs))
    alone = Path(inputs).suffix.lower() == ".npy" and len(found) == 1
    return np.asarray(next(iter(found.values()))) if alone else found
