"""Figures of designs that differ in nothing but queue depth, memories, clock and node: one run of the engine.

| designs and weights that differ in                     | share                                                     |
| ------------------------------------------------------ | --------------------------------------------------------- |
| queue depth, clock, node, sizes of memories            | entries counted by column and PE, and what PEs read       |
| Spmat width, which inputs are active                   | entries counted by column and PE                          |
| PEs, bits of a gap                                     | the places of the weights, which are counted again        |
| bits of a code or accumulator, in a chain of layers    | the pruned weights; activations are computed again        |

A layer that is no part of a chain needs no codes and no entries: its inputs are given, and time depends on where its
weights are, not on what they are. In a chain each layer reads what the 16-bit arithmetic makes of the layer before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import fsum
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core import quantize
from eie_sim.core.errors import InputError, require
from eie_sim.core.fixed import to_fixed
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import add_time, check, components_pj, events_pj
from eie_sim.units.eie import fast, invariants
from eie_sim.units.eie.config import EieConfig, alike
from eie_sim.units.eie.counts import EieCounts, counted
from eie_sim.units.eie.encoding import Columns, append_column, columns_of
from eie_sim.units.eie.energy import area
from eie_sim.units.eie.matrix import encoded
from eie_sim.units.eie.memories import memories
from eie_sim.units.eie.words import MAP_READS, EieClass, EieEvent
from eie_sim.units.swept import Figures, Swept, SweptLayer

SLICE_STEPS = 2e8
"""PE-steps of one call of the engine, about a tenth of a second, so that rows are never held back for long."""

FEWEST_DEPTHS = 8
"""Depths of one call all the same: of a long run, each further depth costs a part of the first."""

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

_OF_DEPTH = (
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
"""Columns that depend on the queue depth, in order."""


class _Places(NamedTuple):
    """Places of the weights of a layer, column by column, a bias being one more column.

    starts : int64[n_column + 1]; rows : int32[n_weight]
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    has_bias: bool


class _Layer(NamedTuple):
    """A layer of the group, its counts, and what the engine found.

    events : int64[len(EieEvent)], of all depths the same; classes : int64[n_depth, len(EieClass)], of all PEs
    """

    swept: SweptLayer
    counts: EieCounts
    found: fast.Totals
    events: NDArray[np.int64]
    classes: NDArray[np.int64]


class _Shared(NamedTuple):
    """Figures that all points of a group share, over their layers.

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
    """Figures that a design's sizes, clock and node decide: energy of the events, and what fits.

    figures : all columns that do not depend on the queue depth
    """

    table: EnergyTable
    components: dict[str, float]
    figures: dict[str, Any]


def many(designs: Sequence[EieConfig], swept: Swept) -> Callable[[EieConfig], Figures]:
    """Return a function that gives the figures of each of some designs that are `alike`.

    The engine has run when it returns. Raises InputError where none can be run; a figure does where its design cannot.
    """
    design, by_depth = designs[0], sorted({each.queue_depth for each in designs})
    steps = sum((1 if swept.vector is not None else layer.n_vector) * layer.shape()[1] for layer in swept.layers)
    size = max(FEWEST_DEPTHS, int(SLICE_STEPS / max(steps * design.n_pe, 1)))
    parts = [_shared(swept, design, by_depth[at : at + size]) for at in range(0, len(by_depth), size)]
    part_of = {depth: (at, part) for at, part in enumerate(parts) for depth in part.depths}
    sized: dict[tuple[int, Any], _Sized] = {}

    def figures_of(design: EieConfig) -> Figures:
        at, shared = part_of[design.queue_depth]
        sizes = _sizes(design)
        key = at, sizes
        if key not in sized:
            sized[key] = _sized(shared, design, swept.table)
        found = sized[key]
        return _of_depth(shared, found, design, _pe_mm2(design.queue_depth, sizes)), found.figures

    return figures_of


# All designs of a group run the same items through the same counts: what differs by queue depth is cycles, classes and
# blocked alone, which one call of the engine gives for all depths. A layer's figures are checked before the next runs.
def _shared(swept: Swept, design: EieConfig, depths: Sequence[int]) -> _Shared:
    encoded_of = _verified(swept, design) if swept.verify else None
    layers, accuracy, dense_macs = [], None, 0
    for layer in swept.layers:
        counts = _counts(layer, swept, design) if encoded_of is None else encoded_of[layer.name]
        every, accuracy = _inputs(layer, swept, design)
        raw = every if swept.vector is None else every[swept.vector : swept.vector + 1]
        config = design.for_inputs(every)
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
        layers.append(_Layer(layer, counts, found, events.sum(axis=0), classes))
        dense_macs += counts.n_out * counts.n_column * len(raw)
    return _added_up(layers, depths, dense_macs, accuracy, None if encoded_of is None else True)


def _verified(swept: Swept, design: EieConfig) -> dict[str, EieCounts]:
    """Counts of the layers as they were encoded, multiplied and compared with the oracle: one run for all depths."""
    config, names = replace(design, queue_depth=1), tuple(layer.name for layer in swept.layers)
    key = names, swept.recipe, alike(config)
    found = swept.kept.get("verified", key, lambda: swept.verified(config))
    return {name: matrix.counts for name, matrix in found.items()}


def _counts(layer: SweptLayer, swept: Swept, design: EieConfig) -> EieCounts:
    """Entries by column and PE of a layer in the format of a design."""
    if layer.stored is not None:
        ours, theirs = layer.stored.weight_bits, design.weight_bits
        rule = f"must be equal to the stored weight_bits={ours} of layer {layer.name}"
        require(ours == theirs, "config.weight_bits", theirs, rule)
    most = 1 + len(swept.layers)

    def count() -> EieCounts:
        places = swept.kept.get("places", (layer.name, swept.weights), lambda: _places(layer), most=most)
        return counted(
            places.starts,
            places.rows,
            layer.shape(),
            n_pe=design.n_pe,
            weight_bits=design.weight_bits,
            index_bits=design.index_bits,
            has_bias=places.has_bias,
        )

    def of_width() -> EieCounts:
        return replace(swept.kept.get("counts", key, count, most=most), weight_bits=design.weight_bits)

    key = layer.name, swept.weights, design.n_pe, design.index_bits
    return swept.kept.get("counts of a width", (*key, design.weight_bits), of_width, most=most)


def _places(layer: SweptLayer) -> _Places:
    known = layer.places()
    if known is not None:
        (starts, rows), bias = known, layer.before().bias
    else:
        found, held = layer.pruned(), layer.stored  # whose shared values may be 0
        weights, bias = (found.weights, found.bias) if held is None else (held.codes, held.bias_codes)
        (starts, rows, _), _ = columns_of(weights)
    if bias is None:
        return _Places(starts, rows, has_bias=False)
    whole = append_column(Columns(starts, rows, np.ones(len(rows), dtype=np.bool_)), np.asarray(bias) != 0)
    return _Places(whole.starts, whole.rows, has_bias=True)


def _inputs(layer: SweptLayer, swept: Swept, design: EieConfig) -> tuple[NDArray[np.int16], float | None]:
    """Return the inputs of a layer, raw words int16[n_vector, n_in], and the accuracy of a labelled chain."""
    if not swept.chained:
        return swept.kept.get("inputs", layer.name, lambda: _own_inputs(layer), most=len(swept.layers)), None
    arithmetic = design.weight_bits, design.accumulator_bits, design.rounding, design.active
    raw, accuracy = swept.kept.get("chain", (swept.weights, arithmetic), lambda: swept.passed_on(design), most=2)
    return raw[layer.name], accuracy


def _own_inputs(layer: SweptLayer) -> NDArray[np.int16]:
    """At the scale that a run of the same vectors chooses."""
    found = layer.before()
    if found.activations is None:
        raise InputError(f"activations=none: layer {layer.name} needs some")
    scale = None if found.stored is None else found.stored.scales.activation
    if scale is None:
        scale = quantize.activation_scale(found.activations, has_bias=found.bias is not None)
    return to_fixed(found.activations, scale)


def _added_up(
    layers: list[_Layer], depths: Sequence[int], dense_macs: int, accuracy: float | None, verified: bool | None
) -> _Shared:
    events = np.sum([each.events for each in layers], axis=0).tolist()
    named = {event.name.lower(): count for event, count in zip(EieEvent, events, strict=True)}
    busy = [each.found.sums[0] for each in layers]
    most = sum(int(entries.max()) for entries in busy)
    n_weight = sum(each.counts.n_weight for each in _stored(layers))
    return _Shared(
        layers=layers,
        depths={depth: at for at, depth in enumerate(depths)},
        cycles=sum(each.found.cycles.sum(axis=1) for each in layers).tolist(),
        classes=np.sum([each.classes for each in layers], axis=0).tolist(),
        blocked=np.sum([each.found.blocked for each in layers], axis=0).tolist(),
        events=named | {MAP_READS: sum(each.swept.gathered for each in layers)},
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


def _stored(layers: list[_Layer]) -> list[_Layer]:
    """Those whose weights are not stored for one before."""
    return [each for each in layers if not each.swept.again] or layers


def _weight_density(layers: list[_Layer]) -> float:
    """A bias is one more column, whose weights are among the entries of the last column of pointers."""
    kept = total = 0
    for layer, counts in ((each.swept, each.counts) for each in layers):
        kept += counts.n_weight
        if counts.has_bias:
            entries = counts.pointers[-1] - counts.pointers[-2]
            kept -= int(entries.sum()) - int(counts.padding[-1].sum())
        total += counts.n_out * counts.n_in if layer.n_weight is None else layer.n_weight
    return kept / total if total else 0.0


def _sized(shared: _Shared, config: EieConfig, given: EnergyTable | None) -> _Sized:
    table = _table(_sizes(config)) if given is None else given.at(config)
    found = [memory for each in shared.layers for memory in memories(each.counts, config)]
    stored = _stored(shared.layers)
    bits = sum(encoded(each.counts, pointer_bits=config.pointer_bits).total_bits for each in stored)
    figures = {
        "bytes": bits / 8,
        "fits": all(memory.fits for memory in found),
        "passes": max(memory.passes for memory in found),
        "misfit": ", ".join(dict.fromkeys(memory.memory for memory in found if not memory.fits)),
    }
    return _Sized(table, components_pj(events_pj(shared.events, table), table), shared.figures | figures)


def _of_depth(shared: _Shared, sized: _Sized, config: EieConfig, pe_mm2: float) -> dict[str, Any]:
    at = shared.depths[config.queue_depth]
    cycles, classes = shared.cycles[at], shared.classes[at]
    time_us = cycles / config.clock_mhz
    by_component = add_time(sized.components, sized.table, config.n_pe, cycles, time_us)
    check(by_component, shared.events, sized.table, config.n_pe, cycles, time_us)
    energy_pj = fsum(by_component.values())
    macs, total = shared.figures["effectual_macs"], config.n_pe * cycles
    values = (
        cycles,
        time_us,
        energy_pj / 1e3,
        energy_pj / time_us / 1e3 if time_us else 0.0,
        config.n_pe * pe_mm2,
        classes[EieClass.WEIGHT] / total if total else 0.0,
        2 * macs / (time_us * 1e3) if time_us else 0.0,
        shared.blocked[at],
        *classes,
    )
    return dict(zip(_OF_DEPTH, values, strict=True))


@lru_cache(maxsize=2**12)
def _table(sizes: tuple[Any, ...]) -> EnergyTable:
    return EnergyTable.for_config(_with_sizes(sizes))


@lru_cache(maxsize=2**16)
def _pe_mm2(queue_depth: int, sizes: tuple[Any, ...]) -> float:
    return area(replace(_with_sizes(sizes), queue_depth=queue_depth)).pe_mm2


def _with_sizes(sizes: tuple[Any, ...]) -> EieConfig:
    """A design of these sizes; codes and gaps of one bit fit any width of row."""
    return EieConfig(weight_bits=1, index_bits=1, **dict(zip(SIZES, sizes, strict=True)))
