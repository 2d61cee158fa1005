"""Layers of which only shapes and densities are published: read from a table, drawn when they are loaded."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from eie_sim.core.arrays import Weights, shown
from eie_sim.core.errors import unknown
from eie_sim.network import synthetic
from eie_sim.network.folders import data_folder
from eie_sim.network.layers import Layer, Network
from eie_sim.network.readers.files import about

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


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A preset whose layers are drawn when they are loaded.

    draw : a row, the seed and whether before pruning -> the layer
    """

    name: str
    rows: tuple[Row, ...]
    source: str
    draw: Callable[[Row, int, bool], Layer]

    def network(self, *, layer: str | None, seed: int, before_pruning: bool) -> Network:
        """The layers, or only one of them: no other is drawn then. Raises InputError: did you mean."""
        known = {row.name: row for row in self.rows}
        if layer is not None and layer not in known:
            raise unknown("layer", shown(layer), known)
        wanted = self.rows if layer is None else (known[layer],)
        part = layer is not None and len(self.rows) > 1
        return Network(
            name=f"{self.name}/{layer}" if part else self.name,
            layers=tuple(self.draw(row, seed, before_pruning) for row in wanted),
            chained=False,
            source=self.source,
            seed=seed,
        )


def drawn() -> dict[str, Drawn]:
    """Every preset of published shapes, by name: each layer of `PAPER`, all nine together, the LLaMA block."""
    paper = tuple(rows(PAPER))
    found = [Drawn(name=row.name, rows=(row,), source=_of_paper(row.network), draw=_paper_layer) for row in paper]
    found.append(Drawn(name=PAPER, rows=paper, source=_of_paper("all nine layers"), draw=_paper_layer))
    found.append(Drawn(name=BLOCK, rows=tuple(rows(BLOCK)), source=BLOCK_SOURCE, draw=_block_layer))
    return {one.name: one for one in found}


def _of_paper(what: str) -> str:
    return f"synthetic, shape and densities of {what}: {PAPER_SOURCE}"


def _paper_layer(row: Row, seed: int, before_pruning: bool) -> Layer:
    """Drawn pruned, or dense and yet to be pruned."""
    if before_pruning:
        dense = synthetic.dense_weights(row.name, n_out=row.n_out, n_in=row.n_in, seed=seed)
        return _layer(row._replace(weight_density=1.0), row.name, dense, seed)
    weights = synthetic.weights(row.name, n_out=row.n_out, n_in=row.n_in, density=row.weight_density, seed=seed)
    return _layer(row, row.name, weights, seed)


def _block_layer(row: Row, seed: int, before_pruning: bool) -> Layer:
    """Dense: how far it is pruned is the user's choice."""
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
