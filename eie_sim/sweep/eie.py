"""Figures of points on EIE that differ in nothing but queue depth, memories, clock and node: one run of the engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import fsum
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.energy import EnergyTable, area
from eie_sim.energy.report import add_time, check, components_pj, events_pj
from eie_sim.pipeline import Run, run_network
from eie_sim.sweep.point import Point
from eie_sim.sweep.stages import Last, Stages
from eie_sim.units.eie import fast, invariants
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import EieCounts
from eie_sim.units.eie.matrix import encoded
from eie_sim.units.eie.memories import memories
from eie_sim.units.eie.words import EieClass, EieEvent
from eie_sim.workload import Network

SLICE_STEPS = 2e8
"""PE-steps of one call of the engine, about a tenth of a second, so that rows are never held back for long."""

_STREAM = attrgetter("n_pe", "index_bits", "weight_bits", "accumulator_bits", "rounding", "active", "entries_per_row")

SIZES = (
    "spmat_width_bits",
    "spmat_bytes",
    "pointer_bytes",
    "activation_bytes",
    "pointer_bits",
    "register_entries",
    "accumulator_bits",
    "clock_mhz",
    "node_nm",
)
"""All that energies and capacities depend on but PEs and queue depth."""

_sizes = attrgetter(*SIZES)

_OF_DEPTH = "".join(
    f'"{name}": %r, '
    for name in (
        "cycles",
        "time_us",
        "energy_nj",
        "power_mw",
        "area_mm2",
        "utilisation",
        "effective_gops",
        "blocked_cycles",
        *(f"{kind.name.lower()}_cycles" for kind in EieClass),
    )
)
"""Members of a JSON object, to be filled with plain numbers, which are written as Python and JSON both do."""


class _Layer(NamedTuple):
    """A layer of the group: its counts, and what the engine found.

    events : int64[len(EieEvent)], of all depths the same; classes : int64[n_depth, len(EieClass)], of all PEs
    """

    counts: EieCounts
    found: fast.Totals
    events: NDArray[np.int64]
    classes: NDArray[np.int64]


class _Shared(NamedTuple):
    """What all points of a group have in common, over their layers.

    cycles : by depth; classes : PE-cycles by depth and class; blocked : by depth
    figures : columns that do not depend on the depth
    """

    layers: list[_Layer]
    depths: dict[int, int]
    cycles: list[int]
    classes: list[list[int]]
    blocked: list[int]
    events: dict[str, int]
    figures: dict[str, Any]


class _Sized(NamedTuple):
    """What a design's sizes, clock and node decide: energy of the events, and what fits.

    text : all figures that do not depend on the queue depth, as members of a JSON object
    """

    table: EnergyTable
    components: dict[str, float]
    text: str


class Figures:
    """Figures of groups of points, with what was verified before."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._runs = Last(1)

    @staticmethod
    def shared_by(point: Point) -> tuple[Hashable, Hashable]:
        """What points have in common whose entries are counted once; whose vectors go through them in the same way."""
        design = point.design
        stream = point.layer, point.vector, point.recipe, _STREAM(design)
        return (design.n_pe, design.index_bits), stream

    def of(self, points: Sequence[Point]) -> Callable[[Point], str]:
        """What gives the figures of each point of a group that is run together, as members of a JSON object.

        The engine has run when it returns. Raises InputError where none can be run; a figure does where its point
        cannot.
        """
        by_depth = sorted({point.design.queue_depth for point in points})
        size = max(1, int(SLICE_STEPS / max(self._steps(points[0]), 1.0)))
        parts = [self._shared(points[0], by_depth[at : at + size]) for at in range(0, len(by_depth), size)]
        sized: dict[tuple[int, Hashable], _Sized] = {}
        given = self._stages.subject.table

        def figures_of(point: Point) -> str:
            depth = point.design.queue_depth
            at, shared = next((at, part) for at, part in enumerate(parts) if depth in part.depths)
            key = at, _sizes(point.design)
            if key not in sized:
                sized[key] = _sized(shared, point.design, given)
            return _figures(shared, sized[key], point.design)

        return figures_of

    def _steps(self, point: Point) -> float:
        """Steps of PEs that one depth may take."""
        subject = self._stages.subject
        n_in = sum(n_in for _, (_, n_in) in zip(*self._named(point), strict=True))
        return float((1 if point.vector is not None else max(subject.n_vectors)) * n_in * point.design.n_pe)

    def _named(self, point: Point) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        subject = self._stages.subject
        if point.layer is None:
            return subject.layers, subject.shapes
        return (point.layer,), (subject.shapes[subject.layers.index(point.layer)],)

    def _shared(self, point: Point, depths: Sequence[int]) -> _Shared:
        stages = self._stages
        encoded_of = self._verified(point) if stages.subject.verify else None
        layers, accuracy, dense_macs = [], None, 0
        for name in self._named(point)[0]:
            counts = stages.counts(name, point.recipe, point.design) if encoded_of is None else encoded_of[name]
            inputs = stages.inputs(name, point.recipe, point.design)
            raw, accuracy = inputs.raw[name], inputs.accuracy
            raw = raw if point.vector is None else raw[point.vector : point.vector + 1]
            config = point.design.for_inputs(inputs.raw[name])
            found = fast.totals(counts, raw, config, np.array(depths, dtype=np.int64))
            events, classes = fast.counts_of(found, counts.n_pe, counts.n_out), fast.class_totals(found)
            invariants.check_depths(
                counts,
                raw,
                config,
                cycles=found.cycles,
                counts=events,
                classes=classes,
                sent=found.items,
            )
            layers.append(_Layer(counts, found, events.sum(axis=0), classes))
            dense_macs += counts.n_out * counts.n_column * len(raw)
        return _added_up(layers, depths, dense_macs, accuracy, None if encoded_of is None else True)

    def _verified(self, point: Point) -> dict[str, EieCounts]:
        """Counts of the layers as they were encoded, multiplied and compared with the oracle: one run for all depths.

        Raises InputError, which says what differs, where anything does.
        """
        config = replace(point.design, queue_depth=1)
        run = self._runs.get((point.layer, point.recipe, _STREAM(config)), lambda: self._run(point, config))
        if not run.verified:
            said = [f"{each.layer.name}: {each.verification.differs()}" for each in run.layers]
            raise InputError(f"outputs: differ from the golden product: {'; '.join(said)}")
        return {done.layer.name: done.matrix.counts for done in run.layers}

    def _run(self, point: Point, config: EieConfig) -> Run:
        stages, names = self._stages, self._named(point)[0]
        if stages.subject.chained:
            return run_network(stages.network(point.recipe, config), config)
        layers = tuple(stages.pruned(name, point.recipe, config) for name in names)
        network = Network(name=stages.subject.name, layers=layers, chained=False, source="", seed=stages.subject.seed)
        return run_network(network, config)


def _added_up(
    layers: list[_Layer], depths: Sequence[int], dense_macs: int, accuracy: float | None, verified: bool | None
) -> _Shared:
    events = np.sum([each.events for each in layers], axis=0).tolist()
    named = {event.name.lower(): count for event, count in zip(EieEvent, events, strict=True)}
    busy = [each.found.sums[0] for each in layers]
    most = sum(int(entries.max()) for entries in busy)
    n_weight = sum(each.counts.n_weight for each in layers)
    return _Shared(
        layers=layers,
        depths={depth: at for at, depth in enumerate(depths)},
        cycles=sum(each.found.cycles.sum(axis=1) for each in layers).tolist(),
        classes=np.sum([each.classes for each in layers], axis=0).tolist(),
        blocked=np.sum([each.found.blocked for each in layers], axis=0).tolist(),
        events=named,
        figures={
            "n_vector": max(each.found.cycles.shape[1] for each in layers),
            "accuracy": accuracy,
            "n_weight": n_weight,
            "weight_density": _weight_density(layers),
            "effectual_macs": named["macs"],
            "dense_macs": dense_macs,
            "load_balance": sum(float(entries.mean()) for entries in busy) / most if most else 1.0,
            "n_entry": sum(each.counts.n_entry for each in layers),
            "padding_entries": named["padding_entries"],
            "spmat_reads": named["spmat_reads"],
            "broadcasts": named["broadcasts"],
            "lost_cycles": sum(each.found.lost for each in layers),
            "verified": verified,
        },
    )


def _weight_density(layers: list[_Layer]) -> float:
    """A bias is one more column, whose weights are among the entries of the last column of pointers."""
    kept = total = 0
    for counts in (each.counts for each in layers):
        kept += counts.n_weight
        if counts.has_bias:
            entries = counts.pointers[-1] - counts.pointers[-2]
            kept -= int(entries.sum()) - int(counts.padding[-1].sum())
        total += counts.n_out * counts.n_in
    return kept / total if total else 0.0


def _sized(shared: _Shared, config: EieConfig, given: EnergyTable | None) -> _Sized:
    table = _table(_sizes(config)) if given is None else given.at(config)
    found = [memory for each in shared.layers for memory in memories(each.counts, config)]
    bits = sum(encoded(each.counts, pointer_bits=config.pointer_bits).total_bits for each in shared.layers)
    figures = {
        "bytes": bits / 8,
        "fits": all(memory.fits for memory in found),
        "passes": max(memory.passes for memory in found),
        "misfit": ", ".join(dict.fromkeys(memory.memory for memory in found if not memory.fits)),
    }
    text = json.dumps(shared.figures | figures, allow_nan=False)[1:-1]
    return _Sized(table, components_pj(events_pj(shared.events, table), table), text)


def _figures(shared: _Shared, sized: _Sized, config: EieConfig) -> str:
    at = shared.depths[config.queue_depth]
    cycles, classes = shared.cycles[at], shared.classes[at]
    time_us = cycles / config.clock_mhz
    by_component = add_time(sized.components, sized.table, config.n_pe, cycles, time_us)
    check(by_component, shared.events, sized.table, config.n_pe, cycles, time_us)
    energy_pj = fsum(by_component.values())
    macs, total = shared.figures["effectual_macs"], sum(classes)
    of_depth = (
        cycles,
        time_us,
        energy_pj / 1e3,
        energy_pj / time_us / 1e3 if time_us else 0.0,
        config.n_pe * _pe_mm2(config.queue_depth, _sizes(config)),
        classes[EieClass.WEIGHT] / total if total else 0.0,
        2 * macs / (time_us * 1e3) if time_us else 0.0,
        shared.blocked[at],
        *classes,
    )
    return _OF_DEPTH % of_depth + sized.text


@lru_cache(maxsize=2**12)
def _table(sizes: tuple[Any, ...]) -> EnergyTable:
    return EnergyTable.for_config(_with_sizes(sizes))


@lru_cache(maxsize=2**16)
def _pe_mm2(queue_depth: int, sizes: tuple[Any, ...]) -> float:
    return area(replace(_with_sizes(sizes), queue_depth=queue_depth)).pe_mm2


def _with_sizes(sizes: tuple[Any, ...]) -> EieConfig:
    """A design of these sizes; codes and gaps of one bit fit any width of row."""
    return EieConfig(weight_bits=1, index_bits=1, **dict(zip(SIZES, sizes, strict=True)))
