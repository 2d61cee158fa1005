"""What a unit is: one record of functions and words, `UNIT` of its folder; the registry has a line for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from eie_sim.core.errors import unknown

if TYPE_CHECKING:
    from eie_sim.core.result import SimResult
    from eie_sim.units.energy import AreaReport, Components, EnergyRow


class Word(IntEnum):
    """Something that a unit counts: its place in an array of counts, and its meaning; lower case is its name."""

    meaning: str

    def __new__(cls, place: int, meaning: str) -> Self:
        """A member of a class of words, written `NAME = place, meaning`."""
        word = int.__new__(cls, place)
        word._value_, word.meaning = place, meaning
        return word

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All names, by place."""
        return tuple(word.name.lower() for word in cls)


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a unit calls the things that it counts.

    events, classes : counted events; what each processing element spends a cycle on
    totals : further totals of a result, by the name they stand under
    useful, busy : the class that counts as utilisation; those that count in load balance
    components : of the energy, by event, those that its energy belongs to, in equal shares; clock and leakage last
    colours : of classes and of components of the energy: blue, sky, green, orange, red, purple, yellow, pale or grey
    columns : figures of a row of a sweep that other units do not have, and what they mean
    needed, texts : numbers, and words, that such a row must have
    """

    events: type[Word]
    classes: type[Word]
    totals: Mapping[str, type[Word]]
    useful: Word
    busy: tuple[Word, ...]
    components: Components
    colours: Mapping[str, str]
    columns: Mapping[str, str]
    needed: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An accelerator: everything that the rest of the house may ask of it.

    name : as results and options have it; title : as people write it
    config : type of its designs, a frozen keyword-only dataclass with `to_dict` and `clock_mhz`
    matrix : type of its compressed matrices, as `module:Type`, which is loaded only by those who have one
    presets : names of designs, of which `config.preset(name)` makes one; start : the one that a sweep starts from
    choices : the values of fields that are words, by field
    takes_bias : whether a bias is compressed with the weights; else it is added to the outputs, outside the unit
    compress : (weights [n_out, n_in], config, *, bias=None) -> matrix
    bits : (matrix, config) -> bits of all that is stored
    for_inputs : (config, inputs) -> the design, changed where inputs of this kind would be dropped in silence
    patterns : config -> the N:M patterns it makes use of; None where any place may be pruned
    energies : config -> a row of the energy table for every event of `words.components`, at 45 nm, with its source
    energy_counts : SimResult -> how often each of these events took place, but for clock and leakage
    lanes : config -> processing elements, or MACs in a cycle, which clock and leakage are counted by
    roof : (config and events, as a result's `to_dict` has them) -> peak GOP/s, bytes per us of the memory that
        weights come from, its name, and the bytes read from it
    area : config -> AreaReport; None where no area is known
    timeline : (matrix, inputs, result with a timeline, *, label) -> what happened when; None where nothing is kept
    words : what it calls the things that it counts
    simulate : (matrix, activations, config or None, *, engine, timeline, inputs) -> SimResult, its invariants checked
    """

    name: str
    title: str
    config: type[Any]
    matrix: str
    takes_bias: bool
    compress: Callable[..., Any]
    simulate: Callable[..., SimResult]
    bits: Callable[[Any, Any], int]
    energies: Callable[[Any], tuple[EnergyRow, ...]]
    lanes: Callable[[Any], int]
    words: Words
    roof: Callable[[Mapping[str, Any], Mapping[str, int]], tuple[float, float, str, float]]
    energy_counts: Callable[[SimResult], dict[str, float]] = lambda result: dict(result.stats["events"])
    area: Callable[[Any], AreaReport] | None = None
    timeline: Callable[..., Any] | None = None
    for_inputs: Callable[[Any, Any], Any] = lambda config, inputs: config
    patterns: Callable[[Any], tuple[tuple[int, int], ...]] | None = None
    presets: tuple[str, ...] = ()
    start: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ENGINES = ("fast", "reference")


def require_engine(engine: object) -> None:
    """Raise InputError, did you mean, unless `engine` is the name of one."""
    if not isinstance(engine, str) or engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)


def late(place: str) -> Callable[..., Any]:
    """The function at `module:name`, whose module is imported when it is first called: asking for a unit is instant."""

    def call(*given: Any, **options: Any) -> Any:
        return found_at(place)(*given, **options)

    return call


def found_at(place: str) -> Any:
    """What is called `name` in the module of `module:name`."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
