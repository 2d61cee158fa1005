"""The one door to a network, layers or a graph of operators: a file, a preset, arrays or a graph in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eie_sim.core.arrays import Unread, shown
from eie_sim.core.errors import InputError, require
from eie_sim.network import layer_loading
from eie_sim.network.graph import Array, Graph
from eie_sim.network.layers import Network
from eie_sim.network.presets import GRAPHS, GRAPHS_READ, graph_folder
from eie_sim.network.readers.files import read_arrays

SUFFIX = ".onnx"
LABELS = "labels"
"""An array of this name beside inputs is their labels, if no input has it."""


def is_graph(source: Any) -> bool:
    """True for a graph, for the path of a file that holds one, and for the name of a preset that is one."""
    of_file = isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() == SUFFIX
    return isinstance(source, Graph) or of_file or graph_folder(source) is not None


def load(
    source: Any,
    *,
    inputs: Mapping[str, Any] | Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Mapping[str, Any] | Any = None,
    labels: Any = None,
    batch: int | None = None,
    seed: int = 0,
    **given: Any,
) -> Network | Graph:
    """Return a network to simulate: a Graph of an ONNX file, else layers with their activations.

    source : the path of an ONNX file, the name of a preset that is one, or what `network.load` takes
    inputs : of an ONNX file: arrays by name, one array where there is one input, or the path of an npz or npy file with
        them; those not given are drawn, and the graph says so; of a preset its test images, where nothing is said
    shapes : sides of inputs that are drawn, by name; a side that neither they nor the file say is 1
    calibration : of an ONNX file: inputs to choose fixed-point scales from, as `inputs`; None for the inputs themselves
    labels : of an ONNX file: the right class of each input, whole numbers [n], or by name of the output [n, classes]
        that they are for, or the path of an npy or npz file with them; None for `labels` beside the inputs
    batch : the first side of inputs that are drawn, where an ONNX file leaves it free
    seed : of whatever is drawn
    given : for layers, as `network.load` takes it: layer, activations, activation_density, density, chain and others

    Raises InputError for an unknown name, a bad file, or values out of range.
    """
    of_file = {"inputs": inputs, "shapes": shapes, "calibration": calibration, "labels": labels, "batch": batch}
    if not is_graph(source):
        for name, value in of_file.items():
            require(value is None, name, type(value).__name__, "must be left out: the network is no ONNX file")
        return layer_loading.load(source, seed=seed, **given)
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}={shown(value)}: must be left out, a graph of operators has none")
    if isinstance(source, Graph):
        require(inputs is None and shapes is None, "inputs", "given", "must be left out: the graph has its own")
        graph = source
    else:
        graph, own = _read(source, inputs, shapes=shapes, batch=batch, seed=seed)
        require(labels is None or own is None, "labels", "given", "must be left out: the inputs have their own")
        labels = own if labels is None else labels
        folder = graph_folder(source)
        if folder is not None and graph.about and calibration is None:
            calibration = folder / "calibration.npz"
    found, classes = arrays_at("calibration", calibration), arrays_at("labels", labels)
    if isinstance(classes, Mapping) and LABELS in classes:
        classes = classes[LABELS]
    if found is not None:
        graph = graph.with_calibration(found if isinstance(found, Mapping) else dict.fromkeys(graph.inputs[:1], found))
    return graph if classes is None else graph.with_labels(classes)


def _read(source: str | os.PathLike[str], inputs: Any, **drawn: Any) -> tuple[Graph, Array | None]:
    """The graph of a file or a preset, and the labels beside its inputs. drawn : shapes, batch and seed"""
    from eie_sim.network.readers.onnx_file import read_contents
    from eie_sim.network.readers.onnx_reader import graph_of

    folder, about = graph_folder(source), {}
    contents = read_contents(Path(source) if folder is None else folder / f"{folder.name}{SUFFIX}")
    names = [info.name for info in contents.inputs if info.name not in contents.arrays]
    if folder is not None and inputs is None and drawn["shapes"] is None and drawn["batch"] is None:
        inputs, about = folder / "test.npz", dict.fromkeys(names, GRAPHS_READ)
    found, labels = arrays_at("inputs", inputs), None
    if isinstance(found, Mapping) and LABELS in found and LABELS not in names:
        found = dict(found)
        labels = found.pop(LABELS)
    graph = graph_of(contents, found, **drawn)
    return graph if folder is None else replace(graph, source=GRAPHS[folder.name], about=about), labels


def arrays_at(field: str, given: Any) -> Any:
    """Return the value of a field as it is, or the arrays of an npz or npy file: by name, or the only one."""
    if not isinstance(given, (str, os.PathLike)):
        return given
    suffix = Path(given).suffix.lower()
    holds = "the right class of each input" if field == "labels" else "arrays of inputs"
    require(suffix != SUFFIX, field, given, f"must be an npz or npy file with {holds}, not a network")
    found: dict[str, Array] = read_arrays(Path(given))
    for name, array in found.items():
        if isinstance(array, Unread):
            raise InputError(f"{given}: {shown(name)}: {array.reason}")
    alone = suffix == ".npy" and len(found) == 1
    return np.asarray(next(iter(found.values()))) if alone else found
