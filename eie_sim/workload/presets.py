"""The workloads that come with the package: the nine layers of the EIE paper, and one small trained network."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eie_sim.errors import InputError, require_type, unknown
from eie_sim.workload import synthetic
from eie_sim.workload.arrays import as_floats, shown
from eie_sim.workload.files import about, read_arrays
from eie_sim.workload.network import NO_ACTIVATIONS, Layer, Network

PAPER = "eie-paper"
PAPER_SOURCE = "Han et al., ISCA 2016, Table III"
DIGITS = "digits-mlp"
DIGITS_SOURCE = "trained on the UCI digits (models/digits-mlp)"
PIXEL_MAX = 16
"""Largest pixel of the digits; inputs are pixels divided by it."""


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
    weight_density, activation_density : fractions not zero, measured for a real one, asked for of a synthetic one
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    weight_density: tuple[float, ...]
    activation_density: tuple[float, ...]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON and tables; densities to four places."""
        return {
            "name": self.name,
            "kind": self.kind,
            "layers": list(self.layers),
            "shapes": [list(shape) for shape in self.shapes],
            "weight_density": [round(density, 4) for density in self.weight_density],
            "activation_density": [round(density, 4) for density in self.activation_density],
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
    """Names of all presets, the real network first."""
    return (DIGITS, *(row.name for row in _paper_layers()))


def presets() -> list[Preset]:
    """Every preset with its layers, shapes, densities and source, the real network first."""
    return [_digits_record(), *(_paper_record(row) for row in _paper_layers())]


def load_preset(name: str, *, seed: int = 0) -> Network:
    """The network of a preset, its name in any case. The seed is that of a synthetic one's weights and activations.

    Raises InputError for an unknown name: did you mean.
    """
    require_type("workload", name, str)
    wanted = name.lower()
    if wanted == DIGITS:
        return _digits(seed)
    rows = {row.name: row for row in _paper_layers()}
    if wanted not in rows:
        raise unknown("workload", shown(name), (DIGITS, *rows))
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
    folder = data_folder("models") / DIGITS
    recorded = read_arrays(data_folder("traces") / f"{DIGITS}.safetensors")
    data = read_arrays(folder / "digits.npz")
    held = data["held_back"]
    pruned = read_arrays(folder / "weights.safetensors")
    dense = read_arrays(folder / "dense.safetensors")
    names = [name.removesuffix(".weight") for name in pruned if name.endswith(".weight")]
    return Network(
        name=DIGITS,
        layers=tuple(_digits_layer(name, pruned, "trained and pruned", recorded) for name in names),
        chained=True,
        source=DIGITS_SOURCE,
        test_inputs=as_floats("images", data["images"][held]) / np.float32(PIXEL_MAX),
        test_labels=data["labels"][held].astype(np.int64),
        dense_layers=tuple(_digits_layer(name, dense, "trained, not pruned", {}) for name in names),
        calibration=recorded[f"calibration.{names[0]}.input"],
        seed=seed,
    )


def _digits_layer(name: str, tensors: dict[str, Any], how: str, recorded: dict[str, Any]) -> Layer:
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


def _digits_record() -> Preset:
    network = _digits(0)
    return Preset(
        name=DIGITS,
        kind="real",
        layers=tuple(layer.name for layer in network.layers),
        shapes=tuple((layer.n_out, layer.n_in) for layer in network.layers),
        weight_density=tuple(layer.density for layer in network.layers),
        activation_density=tuple(layer.activation_density or 0.0 for layer in network.layers),
        source=DIGITS_SOURCE,
    )
