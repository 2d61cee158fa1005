"""What a unit is: one record of functions and words, `UNIT` of its folder; the registry has a line for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from eie_sim.core.result import SimResult
from eie_sim.units.energy import AreaReport, Components, EnergyRow


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An accelerator: everything that the rest of the house may ask of it.

    name : as results and options have it; title : as people write it
    config : type of its designs, a frozen keyword-only dataclass with `to_dict` and `clock_mhz`
    matrix : type of its compressed matrices, as `module:Type`, which is loaded only by those who have one
    presets : names of designs, of which `config.preset(name)` makes one
    takes_bias : whether a bias is compressed with the weights; else it is added to the outputs, outside the unit
    compress : (weights [n_out, n_in], config, *, bias=None) -> matrix
    bits : (matrix, config) -> bits of all that is stored
    for_inputs : (config, inputs) -> the design, changed where inputs of this kind would be dropped in silence
    patterns : config -> the N:M patterns it makes use of; None where any place may be pruned
    components : of the energy, by event: those that its energy belongs to, in equal shares
    energies : config -> a row of the energy table for every event of `components`, at 45 nm, with its source
    energy_counts : SimResult -> how often each of these events took place, but for clock and leakage
    lanes : config -> processing elements, or MACs in a cycle, which clock and leakage are counted by
    area : config -> AreaReport; None where no area is known
    simulate : (matrix, activations, config or None, *, engine, timeline, inputs) -> SimResult, its invariants checked
    """

    name: str
    title: str
    config: type
    matrix: str
    takes_bias: bool
    compress: Callable[..., Any]
    simulate: Callable[..., SimResult]
    bits: Callable[[Any, Any], int]
    components: Components
    energies: Callable[[Any], tuple[EnergyRow, ...]]
    energy_counts: Callable[[SimResult], dict[str, float]]
    lanes: Callable[[Any], int]
    area: Callable[[Any], AreaReport] | None = None
    for_inputs: Callable[[Any, Any], Any] = lambda config, inputs: config
    patterns: Callable[[Any], tuple[tuple[int, int], ...]] | None = None
    presets: tuple[str, ...] = ()


def late(place: str) -> Callable[..., Any]:
    """The function at `module:name`, whose module is imported when it is first called: asking for a unit is instant."""

    def call(*given: Any, **options: Any) -> Any:
        return found_at(place)(*given, **options)

    return call


def found_at(place: str) -> Any:
    """What is called `name` in the module of `module:name`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
