"""The workloads that come with the package: two small trained networks, a layer to follow by hand, and layers drawn to
published shapes.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.arrays import Floats, as_floats, shown
from eie_sim.core.brief import shows
from eie_sim.core.errors import require, require_type, unknown
from eie_sim.network import mnist
from eie_sim.network.folders import data_folder
from eie_sim.network.layers import NO_ACTIVATIONS, Layer, Network
from eie_sim.network.published import Drawn, drawn
from eie_sim.network.readers.files import about, read_arrays

DIGITS = "digits-mlp"
DIGITS_SOURCE = "trained on the UCI digits (models/digits-mlp)"
PIXEL_MAX = 16
"""Largest pixel of the digits; inputs are pixels divided by it."""

LENET = "lenet-300-100"
LENET_SOURCE = "trained on 4,000 MNIST images (models/lenet-300-100)"
LENET_UNSEEN = f"its images are not installed: {mnist.INSTALL}"
N_CALIBRATION = 256
"""Training images that choose fixed-point scales."""

GRAPHS = {
    "digits-resnet": "a residual network trained on the UCI digits (models/digits-resnet)",
    "digits-gru": "a GRU trained on rows of the UCI digits (models/digits-gru)",
}
"""Presets that are ONNX files, by name, and what they are."""
GRAPHS_READ = "real: 100 held-back images"
"""Inputs of these presets where nothing else is given."""

HAND = "hand-8x8"
HAND_SOURCE = "made up for teaching (models/hand-8x8)"


class LayerShape(NamedTuple):
    """A layer of a preset by name, and the shape of its weights."""

    name: str
    n_out: int
    n_in: int


@dataclass(frozen=True, kw_only=True)
class Preset:
    """An entry of a list of presets; tuples have one item per layer.

    kind : "real" (trained weights, recorded activations) or "synthetic" (drawn to a shape and density, or made up)
    shapes : (n_out, n_in)
    weight_density, activation_density : fractions not zero, measured (None where none are recorded), or
        asked for of one that is drawn
    inputs : which inputs `activation_density` is measured on, a run may have others; empty where it is asked for
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    weight_density: tuple[float, ...]
    activation_density: tuple[float | None, ...]
    source: str
    inputs: str = ""

    __repr__ = shows()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON and tables; densities to four places."""
        return {
            "name": self.name,
            "kind": self.kind,
            "layers": list(self.layers),
            "shapes": [list(shape) for shape in self.shapes],
            "weight_density": [round(density, 4) for density in self.weight_density],
            "activation_density": [None if d is None else round(d, 4) for d in self.activation_density],
            "inputs": self.inputs,
            "source": self.source,
        }


def preset_names() -> tuple[str, ...]:
    """Names of all presets, the real networks first."""
    return (*TRAINED, *GRAPHS, HAND, *drawn())


def presets() -> list[Preset]:
    """Every preset with its layers, shapes, densities and source, the real networks first. Nothing is drawn."""
    trained = [*(_stored_record(make(0)) for make in TRAINED.values()), *map(_graph_record, GRAPHS)]
    return [*trained, _stored_record(_hand(0)), *(_drawn_record(one) for one in drawn().values())]


def preset_layers(name: str) -> tuple[LayerShape, ...]:
    """The layers of a preset, its name in any case, so that they can be loaded one after the other. Nothing is drawn.

    Raises InputError for an unknown name: did you mean.
    """
    wanted = _known(name)
    if wanted in GRAPHS:
        one = _graph_record(wanted)
        return tuple(LayerShape(layer, *shape) for layer, shape in zip(one.layers, one.shapes, strict=True))
    if wanted in STORED:
        return tuple(LayerShape(layer.name, layer.n_out, layer.n_in) for layer in STORED[wanted](0).layers)
    return tuple(LayerShape(row.name, row.n_out, row.n_in) for row in drawn()[wanted].rows)


def drawn_preset(name: str) -> Preset | None:
    """The record of a preset that is drawn when it is loaded, its name in any case; None for any other name."""
    found = drawn().get(name.lower())
    return None if found is None else _drawn_record(found)


def load_preset(name: str, *, layer: str | None = None, seed: int = 0, before_pruning: bool = False) -> Network:
    """The network of a preset, its name in any case, or only one layer of it; of a synthetic one, no other is drawn.

    seed : of a synthetic one's weights and activations
    before_pruning : draw a synthetic one dense, to be pruned; a trained one has its weights before pruning beside it

    Raises InputError for an unknown name: did you mean; and for a preset that is a graph of operators.
    """
    wanted = _known(name)
    rule = "is a graph of operators, which run, describe, prune, footprint, sweep, compare and trace take, not layers"
    require(wanted not in GRAPHS, "workload", wanted, rule)
    require_type("layer", layer, str, type(None))
    if wanted not in STORED:
        return drawn()[wanted].network(layer=layer, seed=seed, before_pruning=before_pruning)
    network = STORED[wanted](seed)
    return network if layer is None else network.layer(layer)


def graph_folder(source: Any) -> Path | None:
    """Return the folder of a preset that is a graph of operators, its name in any case; None for any other source."""
    name = source.lower() if isinstance(source, str) else ""
    return data_folder("models") / name if name in GRAPHS else None


def _known(name: str) -> str:
    require_type("workload", name, str)
    if name.lower() not in preset_names():
        raise unknown("workload", shown(name), preset_names())
    return name.lower()


def _drawn_record(preset: Drawn) -> Preset:
    return Preset(
        name=preset.name,
        kind="synthetic",
        layers=tuple(row.name for row in preset.rows),
        shapes=tuple((row.n_out, row.n_in) for row in preset.rows),
        weight_density=tuple(row.weight_density for row in preset.rows),
        activation_density=tuple(row.activation_density for row in preset.rows),
        source=preset.source,
    )


def _graph_record(name: str) -> Preset:
    """From the figures of its training, so that nothing is read that needs more than numpy."""
    layers = json.loads((data_folder("models") / name / "results.json").read_text(encoding="utf-8"))["layers"]
    return Preset(
        name=name,
        kind="real",
        layers=tuple(layers),
        shapes=tuple((n_out, n_in) for n_out, n_in in layers.values()),
        weight_density=(1.0,) * len(layers),
        activation_density=(None,) * len(layers),
        source=GRAPHS[name],
    )


def _digits(seed: int) -> Network:
    recorded = read_arrays(data_folder("traces") / f"{DIGITS}.safetensors")
    data = read_arrays(data_folder("models") / DIGITS / "digits.npz")
    held = data["held_back"]
    images, labels = as_floats("images", data["images"]) / np.float32(PIXEL_MAX), data["labels"].astype(np.int64)
    pruned, dense = _trained_layers(DIGITS, recorded)
    return Network(
        name=DIGITS,
        layers=pruned,
        chained=True,
        source=DIGITS_SOURCE,
        test_inputs=images[held],
        test_labels=labels[held],
        train_inputs=images[~held],
        train_labels=labels[~held],
        dense_layers=dense,
        calibration=recorded[f"calibration.{pruned[0].name}.input"],
        seed=seed,
    )


def _lenet(seed: int) -> Network:
    """Without its images where they are not installed; what needs them says so."""
    pruned, dense = _trained_layers(LENET, {})
    bare = Network(
        name=LENET,
        layers=pruned,
        chained=True,
        source=f"{LENET_SOURCE}; {LENET_UNSEEN}",
        dense_layers=dense,
        seed=seed,
    )
    if mnist.images_file() is None:
        return bare
    inputs, labels, held, _ = mnist.read_mnist()
    return replace(
        bare,
        source=LENET_SOURCE,
        test_inputs=inputs[held],
        test_labels=labels[held],
        train_inputs=inputs[~held],
        train_labels=labels[~held],
        calibration=inputs[~held][:N_CALIBRATION],
    )


def _hand(seed: int) -> Network:
    """Nothing of it is drawn. The bias is left out: one lane row less to follow."""
    folder = data_folder("models") / HAND
    layer = Layer(
        name="fc",
        weights=_table(folder / "weights.csv"),
        activations=_table(folder / "activations.csv"),
        weights_source="made up",
        activations_source="made up",
        synthetic=True,
    )
    return Network(name=HAND, layers=(layer,), chained=False, source=HAND_SOURCE, seed=seed)


def _table(path: Path) -> Floats:
    """The numbers of a CSV without headings."""
    with about(path), path.open(encoding="utf-8", newline="") as stream:
        return np.array(list(csv.reader(stream)), dtype=np.float32)


TRAINED = {DIGITS: _digits, LENET: _lenet}
STORED = {**TRAINED, HAND: _hand}
"""Presets of layers whose weights are files, by name."""


def _trained_layers(name: str, recorded: dict[str, Any]) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
    """The layers of a trained network pruned, with their recorded activations, and before pruning."""
    folder = data_folder("models") / name
    pruned = _read_layers(folder / "weights.safetensors", "trained and pruned", recorded)
    return pruned, _read_layers(folder / "dense.safetensors", "trained, not pruned", {})


def _read_layers(path: Path, how: str, recorded: dict[str, Any]) -> tuple[Layer, ...]:
    tensors = read_arrays(path)
    names = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    return tuple(_trained_layer(name, tensors, how, recorded) for name in names)


def _trained_layer(name: str, tensors: dict[str, Any], how: str, recorded: dict[str, Any]) -> Layer:
    activations = recorded.get(f"{name}.input")
    label = NO_ACTIVATIONS if activations is None else f"recorded, {len(activations)} held-back images"
    return Layer(
        name=name,
        weights=tensors[f"{name}.weight"],
        bias=tensors[f"{name}.bias"],
        activations=activations,
        weights_source=f"real, {how}",
        activations_source=label,
        synthetic=False,
    )


def _stored_record(network: Network) -> Preset:
    return Preset(
        name=network.name,
        kind="synthetic" if network.synthetic else "real",
        layers=tuple(layer.name for layer in network.layers),
        shapes=tuple((layer.n_out, layer.n_in) for layer in network.layers),
        weight_density=tuple(layer.density for layer in network.layers),
        activation_density=tuple(layer.activation_density for layer in network.layers),
        source=network.source,
        inputs="" if network.layers[0].activations is None else network.layers[0].activations_source,
    )
