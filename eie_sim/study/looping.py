"""Figures of a point on a unit without `many`: the network is run, verified as any run is, and its layers added up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from eie_sim.core.record import LayerResult
from eie_sim.energy import area
from eie_sim.pipeline import run
from eie_sim.record import total_of_layers
from eie_sim.study.point import Point
from eie_sim.study.stages import Stages, require_verified
from eie_sim.units import unit_of
from eie_sim.workload import Network


def looped(stages: Stages, point: Point) -> dict[str, Any]:
    """Columns of the row of a point. Raises InputError for what the unit cannot run, and where outputs are wrong.

    Layers of a chain read the outputs of those before. Accuracy is that of their last outputs, and None of one vector.
    """
    design, names, unit = point.design, stages.names(point), unit_of(point.design)
    network = stages.network_of(names, point.recipe, design)
    given = stages.subject.table
    done = run(
        network if point.vector is None else _of_vector(network, point.vector),
        design,
        table=None if given is None else given.at(design),
    )
    require_verified(done)
    layers = [layer for layer in done.layers if layer.layer.name in names]
    total, rows = total_of_layers(layers), [row for row in done.rows if row.name in names]
    unfit = [memory.memory for row in rows for memory in row.memories if not memory.fits]
    return {
        "n_vector": total.n_vector,
        "cycles": total.cycles,
        "time_us": total.time_us,
        "energy_nj": total.energy.total_pj / 1e3,
        "power_mw": total.energy.power_mw,
        "area_mm2": None if unit.area is None else area(design).total_mm2,
        "bytes": total.storage.total_bits / 8,
        "accuracy": None if done.accuracy is None else done.accuracy.compressed,
        "n_weight": total.n_weight,
        "weight_density": sum(row.weight_density * row.n_out * row.n_in for row in rows)
        / sum(row.n_out * row.n_in for row in rows),
        "effectual_macs": total.effectual_macs,
        "dense_macs": total.dense_macs,
        "utilisation": total.utilisation,
        "load_balance": total.load_balance,
        "effective_gops": total.effective_gops,
        "fits": total.fits,
        "passes": total.passes,
        "misfit": ", ".join(dict.fromkeys(unfit)),
        "verified": True,
        **{column: next(_own(column, rows, total.stats), None) for column in unit.words.columns},
    }


def _of_vector(network: Network, at: int) -> Network:
    """The network with one of its input vectors, which nobody labels."""
    layers = tuple(
        layer if layer.activations is None else replace(layer, activations=layer.activations[at : at + 1])
        for layer in network.layers
    )
    inputs = None if network.test_inputs is None else network.test_inputs[at : at + 1]
    return replace(network, layers=layers, test_inputs=inputs, test_labels=None)


def _own(column: str, rows: Sequence[LayerResult], stats: dict[str, dict[str, int]]) -> Iterator[Any]:
    """A column that other units do not have: words joined with +, counts of events, cycles of a class."""
    words = [str(row.named[column]) for row in rows if column in row.named]
    if words:
        yield "+".join(dict.fromkeys(words))
    yield from (totals[column] for totals in stats.values() if column in totals)
    yield from (count for name, count in stats["classes"].items() if column == f"{name}_cycles")
