"""Layers of which only shapes and densities are published: read from a table, drawn when they are loaded."""

from __future__ import annotations

import csv
from typing import NamedTuple

from eie_sim.errors import unknown
from eie_sim.workload import synthetic
from eie_sim.workload.arrays import Weights, shown
from eie_sim.workload.files import about
from eie_sim.workload.folders import data_folder
from eie_sim.workload.network import Layer, Network

PAPER = "eie-paper"
PAPER_SOURCE = "Han et al., ISCA 2016, Table III"

BLOCK = "llama-2-7b-block"
BLOCK_SOURCE = (
    "synthetic, shapes of one block of LLaMA-2-7B: Touvron et al. 2023 (arXiv:2307.09288); Gaussian weights, dense "
    "positive inputs (models/llama-2-7b-block)"
)


class Row(NamedTuple):
    """One row of a layers.csv: the layer, the network it comes from, its sizes and fractions not zero."""

    name: str
    network: str
    n_in: int
    n_out: int
    weight_density: float
    activation_density: float


def rows(model: str) -> list[Row]:
    """The layers of models/<model>/layers.csv; nothing is drawn."""
    path = data_folder("models") / model / "layers.csv"
    with about(path), path.open(encoding="utf-8", newline="") as stream:
        return [
            Row(
                row["name"],
                row["network"],
                int(row["n_in"]),
                int(row["n_out"]),
                float(row["weight_density"]),
                float(row["activation_density"]),
            )
            for row in csv.DictReader(stream)
        ]


def paper_network(row: Row, seed: int, *, before_pruning: bool = False) -> Network:
    """The network of one layer of the EIE paper, drawn pruned, or dense and yet to be pruned."""
    if before_pruning:
        row = row._replace(weight_density=1.0)
        weights: Weights = synthetic.dense_weights(row.name, n_out=row.n_out, n_in=row.n_in, seed=seed)
    else:
        weights = synthetic.weights(row.name, n_out=row.n_out, n_in=row.n_in, density=row.weight_density, seed=seed)
    layer = _layer(row, row.name, weights, seed)
    return Network(name=row.name, layers=(layer,), chained=False, source=paper_source(row), seed=seed)


def paper_source(row: Row) -> str:
    """Where a layer of the EIE paper comes from, in words."""
    return f"synthetic, shape and densities of {row.network}: {PAPER_SOURCE}"


def block_network(layer: str | None, seed: int) -> Network:
    """The block, 0.8 GB of float32, or one layer of it: no other is drawn then. Raises InputError: did you mean."""
    known = {row.name: row for row in rows(BLOCK)}
    if layer is not None and layer not in known:
        raise unknown("layer", shown(layer), known)
    wanted = known.values() if layer is None else (known[layer],)
    return Network(
        name=BLOCK if layer is None else f"{BLOCK}/{layer}",
        layers=tuple(_block_layer(row, seed) for row in wanted),
        chained=False,
        source=BLOCK_SOURCE,
        seed=seed,
    )


def _block_layer(row: Row, seed: int) -> Layer:
    stream = f"{BLOCK}/{row.name}"
    return _layer(row, stream, synthetic.dense_weights(stream, n_out=row.n_out, n_in=row.n_in, seed=seed), seed)


def _layer(row: Row, stream: str, weights: Weights, seed: int) -> Layer:
    """A drawn layer with its drawn activations; `stream` names what they are drawn from."""
    return Layer(
        name=row.name,
        weights=weights,
        activations=synthetic.activations(stream, n_in=row.n_in, density=row.activation_density, seed=seed),
        weights_source=synthetic.label(row.weight_density, seed),
        activations_source=synthetic.label(row.activation_density, seed),
        synthetic=True,
    )
