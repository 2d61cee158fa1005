"""Figures of a point on a unit without `many`: each layer is compressed and simulated by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.result import SimResult
from eie_sim.core.sparse import is_sparse
from eie_sim.energy import account, area, total_of
from eie_sim.energy.report import table_for
from eie_sim.pipeline import given_inputs
from eie_sim.sweep.point import Point
from eie_sim.sweep.stages import Stages
from eie_sim.units import unit_of
from eie_sim.units.unit import Unit
from eie_sim.workload import RELU, Network


class _Done(NamedTuple):
    """A layer that was run: bits of all that is stored, weights kept, those of a bias in the matrix apart, and size."""

    name: str
    bits: int
    n_weight: int
    n_bias: int
    size: int
    result: SimResult


def looped(stages: Stages, point: Point) -> dict[str, Any]:
    """Columns of the row of a point. Raises InputError for what the unit cannot run, and where outputs are wrong.

    Layers of a chain read the outputs of those before. Accuracy is that of their last outputs, and None of one vector.
    """
    design, names, unit = point.design, stages.names(point), unit_of(point.design)
    network = stages.network_of(names, point.recipe, design)
    if stages.subject.verify:
        stages.verified(names, point.recipe, design)
    ran, outputs = _ran(unit, network, design, point.vector)
    done = [each for each in ran if each.name in names]
    results = [each.result for each in done]
    given = stages.subject.table
    table = table_for(design, None if given is None else given.at(design))
    energy_pj = total_of([account(result, table) for result in results]).total_pj
    cycles, time_us = sum(result.cycles for result in results), sum(result.time_us for result in results)
    macs, busy = sum(result.effectual_macs for result in results), [result.busy for result in results]
    useful, most = sum(_useful(result) for result in results), sum(int(each.max()) for each in busy)
    unfit = [memory.memory for result in results for memory in result.memories if not memory.fits]
    figures = {
        "n_vector": max(result.n_vector for result in results),
        "cycles": cycles,
        "time_us": time_us,
        "energy_nj": energy_pj / 1e3,
        "power_mw": energy_pj / time_us / 1e3 if time_us else 0.0,
        "area_mm2": None if unit.area is None else area(design).total_mm2,
        "bytes": sum(each.bits for each in done) / 8,
        "accuracy": None if point.vector is not None else _accuracy(network, outputs),
        "n_weight": sum(each.n_weight + each.n_bias for each in done),
        "weight_density": sum(each.n_weight for each in done) / sum(each.size for each in done),
        "effectual_macs": macs,
        "dense_macs": sum(result.dense_macs for result in results),
        "utilisation": useful / sum(result.classes.sum() for result in results) if cycles else 0.0,
        "load_balance": sum(float(each.mean()) for each in busy) / most if most else 1.0,
        "effective_gops": 2 * macs / (time_us * 1e3) if time_us else 0.0,
        "fits": not unfit,
        "passes": max(result.passes for result in results),
        "misfit": ", ".join(dict.fromkeys(unfit)),
        "verified": True if stages.subject.verify else None,
        **{column: _own(column, results) for column in unit.words.columns},
    }
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in figures.items()}


def _ran(unit: Unit, network: Network, design: Any, vector: int | None) -> tuple[list[_Done], NDArray[Any]]:
    """All layers, one after the other, and the last outputs as real values [n_vector, n_out]."""
    done, outputs = [], np.empty((0, 0))
    for at, layer in enumerate(network.layers):
        if network.takes_outputs(at):
            read = np.maximum(outputs, 0) if network.between == RELU else outputs
        else:
            read = given_inputs(network, at)
            read = read if vector is None else read[vector : vector + 1]
        inside = layer.bias is not None and unit.takes_bias
        matrix = unit.compress(layer.weights, design, bias=layer.bias if inside else None)
        result = unit.simulate(matrix, read, unit.for_inputs(design, read), engine="fast", timeline=False, inputs=None)
        outputs = np.atleast_2d(result.output) * result.output_scale
        outputs = outputs if layer.bias is None or inside else outputs + layer.bias
        in_bias = 0 if layer.bias is None or not inside else np.count_nonzero(layer.bias)
        bits, size = unit.storage(matrix, design).total_bits, layer.n_out * layer.n_in
        done.append(_Done(layer.name, bits, _n_nonzero(layer.weights), int(in_bias), size, result))
    return done, outputs


def _n_nonzero(weights: Any) -> int:
    return int(weights.count_nonzero() if is_sparse(weights) else np.count_nonzero(weights))


def _useful(result: SimResult) -> int:
    return int(result.classes[:, result.class_names.index(result.useful_class)].sum())


def _accuracy(network: Network, outputs: NDArray[Any]) -> float | None:
    """Of the outputs of a labelled chain that was run whole; None of any other."""
    if not network.chained or network.test_labels is None or network.test_inputs is None:
        return None
    return float(np.mean(outputs.argmax(axis=1) == network.test_labels))


def _own(column: str, results: Sequence[SimResult]) -> Any:
    """A column that other units do not have: words joined with +, counts of events, cycles of a class; else None."""
    return next(_found(column, results), None)


def _found(column: str, results: Sequence[SimResult]) -> Iterator[Any]:
    named = [result.named[column] for result in results if column in result.named]
    if named:
        yield "+".join(dict.fromkeys(str(each) for each in named))
    stats = [result.stats for result in results]
    for name, kind in [(column, kind) for kind in stats[0]] + [(column.removesuffix("_cycles"), "classes")]:
        if name in stats[0][kind]:
            yield sum(each[kind][name] for each in stats)
