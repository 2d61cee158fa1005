"""The workloads that come with the package: two small trained networks, and the nine layers of the EIE paper."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eie_sim.errors import InputError, require_type, unknown
from eie_sim.workload import mnist, synthetic
from eie_sim.workload.arrays import as_floats, shown
from eie_sim.workload.files import about, read_arrays
from eie_sim.workload.network import NO_ACTIVATIONS, Layer, Network

PAPER = "eie-paper"
PAPER_SOURCE = "Han et al., ISCA 2016, Table III"
DIGITS = "digits-mlp"
DIGITS_SOURCE = "trained on the UCI digits (models/digits-mlp)"
PIXEL_MAX = 16
"""Largest pixel of the digits; inputs are pixels divided by it."""

LENET = "lenet-300-100"
LENET_SOURCE = "trained on 4,000 MNIST images (models/lenet-300-100)"
LENET_UNSEEN = f"its images are not installed: {mnist.INSTALL}"
N_CALIBRATION = 256
"""Training images that choose fixed-point scales."""


class PaperLayer(NamedTuple):
    """One row of models/eie-paper/layers.csv."""

    name: str
    network: str
    n_in: int
    n_out: int
    weight_density: float
    activation_density: float


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a preset is, for a list of them; tuples have one item per layer.

    kind : "real" (trained weights, recorded activations) or "synthetic" (drawn to a shape and density)
    shapes : (n_out, n_in)
    weight_density, activation_density : fractions not zero, measured for a real one (None where none
        are recorded), asked for of a synthetic one
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    weight_density: tuple[float, ...]
    activation_density: tuple[float | None, ...]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON and tables; densities to four places."""
        return {
            "name": self.name,
            "kind": self.kind,
            "layers": list(self.layers),
            "shapes": [list(shape) for shape in self.shapes],
            "weight_density": [round(density, 4) for density in self.weight_density],
            "activation_density": [None if d is None else round(d, 4) for d in self.activation_density],
            "source": self.source,
        }


def data_folder(name: str) -> Path:
    """The folder `models` or `traces`: inside the package where it is installed, beside it in a checkout.

    Raises InputError where there is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for parent in (package, package.parent):
        if (parent / name).is_dir():
            return parent / name
    raise InputError(f"{name}: the package's data folder is missing, install the package again")


def preset_names() -> tuple[str, ...]:
    """Names of all presets, the real networks first."""
    return (*REAL, *(row.name for row in _paper_layers()))


def presets() -> list[Preset]:
    """Every preset with its layers, shapes, densities and source, the real networks first."""
    return [*(_real_record(make(0)) for make in REAL.values()), *(_paper_record(row) for row in _paper_layers())]


def load_preset(name: str, *, seed: int = 0) -> Network:
    """The network of a preset, its name in any case. The seed is that of a synthetic one's weights and activations.

    Raises InputError for an unknown name: did you mean.
    """
    require_type("workload", name, str)
    wanted = name.lower()
    if wanted in REAL:
        return REAL[wanted](seed)
    rows = {row.name: row for row in _paper_layers()}
    if wanted not in rows:
        raise unknown("workload", shown(name), (*REAL, *rows))
    return _paper_network(rows[wanted], seed)


def _paper_layers() -> list[PaperLayer]:
    path = data_folder("models") / PAPER / "layers.csv"
    with about(path), path.open(encoding="utf-8", newline="") as stream:
        return [
            PaperLayer(
                row["name"],
                row["network"],
                int(row["n_in"]),
                int(row["n_out"]),
                float(row["weight_density"]),
                float(row["activation_density"]),
            )
            for row in csv.DictReader(stream)
        ]


def _paper_network(row: PaperLayer, seed: int) -> Network:
    layer = Layer(
        name=row.name,
        weights=synthetic.weights(row.name, n_out=row.n_out, n_in=row.n_in, density=row.weight_density, seed=seed),
        activations=synthetic.activations(row.name, n_in=row.n_in, density=row.activation_density, seed=seed),
        weights_source=synthetic.label(row.weight_density, seed),
        activations_source=synthetic.label(row.activation_density, seed),
        synthetic=True,
    )
    return Network(name=row.name, layers=(layer,), chained=False, source=_paper_source(row), seed=seed)


def _paper_source(row: PaperLayer) -> str:
    return f"synthetic, shape and densities of {row.network}: {PAPER_SOURCE}"


def _paper_record(row: PaperLayer) -> Preset:
    return Preset(
        name=row.name,
        kind="synthetic",
        layers=(row.name,),
        shapes=((row.n_out, row.n_in),),
        weight_density=(row.weight_density,),
        activation_density=(row.activation_density,),
        source=_paper_source(row),
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


REAL = {DIGITS: _digits, LENET: _lenet}


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


def _real_record(network: Network) -> Preset:
    return Preset(
        name=network.name,
        kind="real",
        layers=tuple(layer.name for layer in network.layers),
        shapes=tuple((layer.n_out, layer.n_in) for layer in network.layers),
        weight_density=tuple(layer.density for layer in network.layers),
        activation_density=tuple(layer.activation_density for layer in network.layers),
        source=network.source,
    )
