"""The limit of a run, and the times and energies of other designs on a sample of its vectors."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import fsum
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import InputError
from eie_sim.core.record import Limit, Tried
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import add_time, components_pj, events_pj
from eie_sim.units import unit_of
from eie_sim.units.unit import Try

if TYPE_CHECKING:
    from eie_sim.runs import LayerRun


def limit_of(layers: Sequence[LayerRun], config: Any, table: EnergyTable) -> Limit | None:
    """Return what limits a run, and the designs that its unit would try, by cycles x energy of a vector.

    None where the unit does not say it, or no cycle was run. Designs that the memories of the run's own hold better
    are left out. table : energies of the run
    """
    unit = unit_of(config)
    if unit.limit is None or unit.timed is None or not all(layer.samples for layer in layers):
        return None
    if not any(layer.result.cycles for layer in layers):  # nothing limits what takes no time
        return None
    said, tries = unit.limit(config, [layer.result for layer in layers], [layer.samples for layer in layers])
    own = _cost(layers, Try("", config), table) if tries else None
    tried = []
    for one in tries:
        cost = _cost(layers, one, table)
        if own is None or cost is None or 0 in own:
            continue
        tried.append(
            Tried(option=one.option, cycles_ratio=cost[0] / own[0], energy_ratio=cost[1] / own[1], times=one.times)
        )
    return Limit(said=said, tried=sorted(tried, key=lambda one: one.cycles_ratio * one.energy_ratio / one.times**2))


def _cost(layers: Sequence[LayerRun], one: Try, table: EnergyTable) -> tuple[float, float] | None:
    """Cycles and pJ of all layers on another design; None where it cannot run them, or its memories do not hold one."""
    unit, cycles, energies = unit_of(one.config), Fraction(0), []
    assert unit.timed is not None
    try:
        priced = table.at(one.config)
        for layer in layers:
            timed = unit.timed(layer.samples, one, layer.result.config)
            if layer.result.fits and not timed.fits:
                return None
            words, n_vector = layer.samples[0].words, layer.samples[0].n_vector
            ratio = Fraction(1) if words is None else Fraction(n_vector, max(1, len(words)))
            counts = {event: float(count * ratio) for event, count in timed.counts.items()}
            if unit.words.map_buffer is not None:
                counts[unit.words.map_buffer.event] = float(layer.gathered)
            taken = timed.cycles * ratio
            parts = components_pj(events_pj(counts, priced), priced)
            time_us = float(taken) / float(one.config.clock_mhz)
            energies.append(fsum(add_time(parts, priced, unit.lanes(one.config), float(taken), time_us).values()))
            cycles += taken
    except InputError:
        return None
    return float(cycles), fsum(energies)
