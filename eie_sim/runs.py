"""A run with its arrays: each layer or product as it was compressed, simulated and checked, and all together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import UnsetType, to_builtins
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.html import Cell, Row, card, figure, table
from eie_sim.core.record import Accuracy, Coverage, GraphRecord, LayerResult, Positions, Result, RunCosts, Sampled
from eie_sim.core.result import SimResult, config_hash
from eie_sim.core.storage import Format
from eie_sim.core.verification import MOST_ERROR, Verification
from eie_sim.energy import EnergyReport, EnergyTable
from eie_sim.energy.table import given_lines, hashed
from eie_sim.network import Layer, Network
from eie_sim.record import record_of, row_of
from eie_sim.units import unit_of
from eie_sim.units.unit import Sample


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerRun:
    """One layer with its arrays: where it came from, the compressed weights, the result and what follows from it.

    inputs : what the activations were, in words
    kind : of operation; n_weight : elements of the matrix that are weights, None for all of them
    again : its weights are those of a layer before, and are stored once
    sampled : how many of its positions were timed and checked, None where all were
    map_size : numbers of the map that its vectors are gathered from; 0 where they lie as they are read
    positions : how its vectors differ in the inputs that take part
    steps : of vectors that wait for each other, how the unit takes them, in words; "" of others
    samples : the products of its launch, as another design may time them; gathered : inputs their vectors are made of
    """

    layer: Layer
    matrix: Any
    inputs: str
    result: SimResult
    energy: EnergyReport
    storage: Format
    verification: Verification
    kind: str = "fc"
    n_weight: int | None = None
    again: bool = False
    sampled: Sampled | None = None
    map_size: int = 0
    positions: Positions | None = None
    steps: str = ""
    samples: tuple[Sample, ...] = ()
    gathered: int = 0

    __repr__ = shows("inputs", "kind", layer="layer.name", cycles="result.cycles", verified="verification.ok")

    @property
    def n_vector(self) -> int:
        """Vectors run."""
        return self.result.n_vector

    @property
    def real_output(self) -> NDArray[np.float64]:
        """Outputs in real values [n_vector, n_out], the bias included."""
        bias = None if unit_of(self.result.config).takes_bias else self.layer.bias
        return np.atleast_2d(self.result.real_output) + (np.zeros(1) if bias is None else bias.astype(np.float64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """All layers of a network, or products of a graph, run one after the other on the same design.

    table : energies of the design
    end_to_end_error : of a chain's outputs from those of the float chain of the network's own weights, root mean
        squares relative to the float chain's; None without a chain, or where the float outputs are all 0
    graph, covered, outputs : of a graph of operators: its record, what of it is simulated, its outputs by name
    """

    network: Network
    config: Any
    table: EnergyTable
    layers: tuple[LayerRun, ...]
    accuracy: Accuracy | None
    end_to_end_error: float | None = None
    graph: GraphRecord | None = None
    covered: Coverage | None = None
    outputs: Mapping[str, NDArray[Any]] | None = None

    __repr__ = shows(
        network="network.name",
        cycles="cycles",
        time_us="record.total.time_us",
        energy_pj="record.total.energy.total_pj",
        layers=lambda self: {row.name: row.cycles for row in self.rows},
        accuracy=lambda self: self.accuracy and self.accuracy.compressed,
        distance="distance",
        not_simulated=lambda self: self.coverage and self.coverage["share_not_simulated"],
        verified="verified",
        design="record.design",
    )

    @cached_property
    def record(self) -> Result:
        """The run as plain data, which tables, files and pages read."""
        return record_of(self)

    @cached_property
    def rows(self) -> list[LayerResult]:
        """A layer each, as plain data."""
        return [row_of(layer) for layer in self.layers]

    @property
    def by_kind(self) -> dict[str, dict[str, float]]:
        """Sums over the layers of each kind of operation: layers, dense_macs, cycles, energy_pj, stored_bits.

        Weights of several layers are stored once.
        """
        kinds: dict[str, dict[str, float]] = {}
        for row in self.rows:
            bits = 0 if row.again else row.storage.total_bits
            found = (1, row.dense_macs, row.cycles, row.energy.total_pj, bits)
            sums = kinds.setdefault(row.kind, {})
            for name, value in zip(("layers", "dense_macs", "cycles", "energy_pj", "stored_bits"), found, strict=True):
                sums[name] = sums.get(name, 0) + value
        return kinds

    @property
    def coverage(self) -> dict[str, Any] | None:
        """The share of the file that is simulated; None where that was not counted."""
        counted: dict[str, Any] | None = to_builtins(self.record.coverage)
        return counted

    @property
    def output(self) -> Any:
        """Outputs of the last layer in real values float64 [n_vector, n_out], the bias included.

        A graph has its output here, or a dict of its outputs by name where it has several.
        """
        if self.outputs is None:
            return self.layers[-1].real_output
        return next(iter(self.outputs.values())) if len(self.outputs) == 1 else dict(self.outputs)

    @property
    def distance(self) -> float | None:
        """`end_to_end_error`, or that of the only layer; of a graph, of its outputs alone."""
        alone = len(self.layers) == 1 and self.graph is None
        only = self.layers[0].verification.relative_error if alone else None
        return only if self.end_to_end_error is None else self.end_to_end_error

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `--json` prints it."""
        return self.record.to_dict()

    @property
    def verified(self) -> bool:
        """True where every layer is: as the golden product has it, whatever the outputs are worth; see `warnings`."""
        return all(layer.verification.ok for layer in self.layers)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each layer, and for the network, whose outputs mean little although they are verified."""
        stored = unit_of(self.config).words.stored
        found = [(one.layer.name, one.verification.warns(stored)) for one in self.layers]
        if self.end_to_end_error is not None and self.end_to_end_error > MOST_ERROR:
            off = f"outputs are {100 * self.end_to_end_error:.3g} % off those of the float network"
            found.append(("end to end", off))
        return tuple(f"{name}: {warning}" for name, warning in found if warning)

    @property
    def config_hash(self) -> str:
        """12 hex digits that identify the design, and what of the energies is the user's."""
        return config_hash(unit_of(self.config).name, self.config.to_dict(), *hashed(self.table.sha256))

    @property
    def cycles(self) -> int:
        """Cycles of all layers and vectors."""
        return sum(layer.result.cycles for layer in self.layers)

    def _repr_html_(self) -> str:
        """Return the table of a notebook: a row per layer, figures of all vectors together."""
        record, headings = self.record, ["layer", "out x in", "vectors", "cycles", "time us", "energy nJ", "bits"]
        rows = [
            [
                row.name,
                Cell(f"{row.n_out}x{row.n_in}", [row.n_out, row.n_in]),
                Cell(f"{row.n_vector:,}", row.n_vector),
                *_costs(row),
                "yes" if row.fits else Cell(f"no: {row.passes} passes", alarming=True),
                (_sampled(row) or "verified") if row.verification.ok else Cell("DIFFERS", alarming=True),
            ]
            for row in record.layers
        ]
        name = "network" if self.network.chained else "all layers"
        lines = [f"{row.name}: weights {row.weights}; inputs {row.inputs}" for row in record.layers]
        if self.accuracy is not None:
            share = f"{100 * self.accuracy.compressed:.2f} %"
            judged = "held-back images" if self.graph is None else "labelled inputs"
            lines.append(f"accuracy on {self.accuracy.images} {judged}, compressed and simulated: {share}")
        if self.end_to_end_error is not None:
            lines.append(f"end to end, outputs are {100 * self.end_to_end_error:.3g} % off those of the float network")
        lines += [*given_lines(self.table.trace), f"config {self.config_hash}; seed {self.network.seed}"]
        foot = [name, "", "", *_costs(record.total), "", _sampled(record.total)] if len(rows) > 1 else ()
        alarms = [] if self.verified else ["NOT VERIFIED", *record.differs]
        alarms += [f"warning: {one}" for one in self.warnings]
        shown = table([*headings, "fits", ""], rows, foot=foot)
        return card(f"{self.network.name}: {self.network.source}", shown, lines=lines, alarms=alarms)


def _sampled(figures: RunCosts) -> str:
    """Return in words how many positions were checked, where figures are of a sample."""
    taken = figures.sampled
    return "" if isinstance(taken, UnsetType) else f"checked {taken.positions:,} of {taken.of:,}"


def _costs(figures: RunCosts) -> Row:
    """Columns of a layer, or of all together."""
    energy_nj, bits = figures.energy.total_pj / 1e3, figures.storage.total_bits
    return [
        Cell(f"{figures.cycles:,}", figures.cycles),
        figure(figures.time_us, 3),
        figure(energy_nj, 3),
        Cell(f"{bits:,}", bits),
    ]
