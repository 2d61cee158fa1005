"""The record of a unit: functions and words, `UNIT` of its folder; the registry has a line for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from eie_sim.core.brief import shows
from eie_sim.core.errors import unknown
from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.steps import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eie_sim.core.activity import Activity
    from eie_sim.core.published import Comparison, Details, Study
    from eie_sim.core.result import SimResult
    from eie_sim.core.storage import Format
    from eie_sim.core.verification import Verification
    from eie_sim.units.compared import Chip
    from eie_sim.units.energy import AreaReport, Components, EnergyRow
    from eie_sim.units.swept import Figures


class Word(IntEnum):
    """Something that a unit counts: its place in an array of counts, and its meaning; lower case is its name."""

    meaning: str

    def __new__(cls, place: int, meaning: str) -> Self:
        """Take `NAME = place, meaning`."""
        word = int.__new__(cls, place)
        word._value_, word.meaning = place, meaning
        return word

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All names, by place."""
        return tuple(word.name.lower() for word in cls)


class MapBuffer(NamedTuple):
    """Memory outside of the unit that vectors of a convolution are gathered from, an input for each tap and channel.

    event : of the energy, for an input that is read; word_bits : of an input
    """

    event: str
    word_bits: int


@dataclass(frozen=True, kw_only=True)
class Words:
    """Names of a unit for the things that it counts."""

    events: type[Word]
    classes: type[Word]  # what a processing element spends a cycle on
    totals: Mapping[str, type[Word]]  # further totals of a result, by the name that they stand under
    useful: Word  # the class that counts as utilisation
    busy: tuple[Word, ...]  # the classes that count in load balance
    components: Components  # of the energy, by event, in equal shares; clock and leakage last
    colours: Mapping[str, str]  # of classes and components: blue, sky, green, orange, red, ... or #rrggbb
    columns: Mapping[str, str]  # figures of a row of a sweep that other units do not have, and what they mean
    needed: tuple[str, ...] = ()  # numbers that such a row must have
    texts: tuple[str, ...] = ()  # words that it must have
    stored: str = "stored values"  # what weights are rounded to when they are compressed
    negative: str = "negative ones take part"  # what is said of inputs some of which are negative
    lane: str = "PE"  # what `Unit.lanes` counts
    cycles: str = "PE-cycles"  # of what the classes are
    scales: str = ""  # heading of a result's scales, in their order; none of a unit whose words are floats
    worded: tuple[str, ...] = ()  # those of the columns that hold words
    map_buffer: MapBuffer | None = None  # None where the unit's own events count the reads of gathered inputs


def late(place: str) -> Callable[..., Any]:
    """The function at `module:name`, whose module is imported when it is first called: asking for a unit is instant."""

    def call(*given: Any, **options: Any) -> Any:
        return found_at(place)(*given, **options)

    return call


@cache
def found_at(place: str) -> Any:
    """Return the object that `module:name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


_VERIFY_FLOATS = late("eie_sim.core.verification:verify_floats")


def described(config: Any) -> str:
    """Fields and values of a design."""
    return ", ".join(f"{name} {value}" for name, value in config.to_dict().items())


class Sample(NamedTuple):
    """A product that was run, as another design may time it.

    matrix : compressed; None of two activations, neither of which is kept
    words : a sample of its vectors [n, n_in] as the unit keeps them; None of a unit that runs all vectors at once
    n_vector : how many vectors it has; steps : how they wait for each other
    """

    matrix: Any
    shape: tuple[int, int]
    words: NDArray[Any] | None
    n_vector: int
    steps: Steps | None

    def __repr__(self) -> str:
        return shows(*self._fields)(self)


class Try(NamedTuple):
    """Another design for the same products. option : as the command line has it, or in words

    pattern : N:M that weights are pruned to; None as they are; times : vectors at once, of those of the run
    """

    option: str
    config: Any
    pattern: Pattern | None = None
    times: int = 1


class Timed(NamedTuple):
    """Cycles of the vectors of a launch, and how often what costs energy took place. fits : whether memories hold it"""

    cycles: int
    counts: dict[str, float]
    fits: bool = True


LEAST_US = 20_000.0
"""Time that a run may always spend on other designs, as nobody notices it."""


def spare_us(run_us: float) -> float:
    """Return how long a run of so many us may spend on other designs: a tenth of that, or what nobody notices."""
    return max(LEAST_US, run_us / 10)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An accelerator: everything that the rest of the house may ask of it. What may be left out stands last.

    A compressed matrix has n_out, n_in, n_weight, density and `decode()`.
    """

    name: str  # as results and options have it
    title: str  # as people write it
    config: type[Any]  # of its designs: a frozen keyword-only dataclass with `to_dict`, `clock_mhz` and `node_nm`
    matrix: str  # type of its compressed matrices, as `module:Type`, loaded only by those who have one
    words: Words
    takes_bias: bool  # compressed with the weights; else it is added to the outputs, outside the unit
    compress: Callable[..., Any]  # (weights [n_out, n_in], config, *, bias=None) -> matrix; see `runs_as`
    simulate: Callable[..., SimResult]  # (matrix, activations, config or None, *, engine, timeline, inputs), checked
    energies: Callable[[Any], tuple[EnergyRow, ...]]  # config -> a row for each of words.components, at 45 nm
    lanes: Callable[[Any], int]  # config -> PEs, or MACs in a cycle, which clock and leakage are counted by
    roof: Callable[[Mapping[str, Any], Mapping[str, int]], Roof]  # (config, events) as plain values
    storage: Callable[[Any, Any], Format]  # (matrix, config) -> bits by part
    verify: Callable[..., Verification] = _VERIFY_FLOATS  # (layer, matrix, activations, result, *, before, relu)
    describe: Callable[[Any], str] = described  # config -> a design in a line
    opened: Callable[..., Any] | None = (
        None  # (matrix, vectors or extremes [n, n_in], config, *, outputs) -> with scales that were open chosen
    )
    repacked: Callable[[Any, Any], Any] | None = (
        None  # (matrix, weights [n_out, n_in]) -> these, dense, at its scales; of a unit that takes two activations
    )
    words_of: Callable[[Any, Any], Any] = lambda matrix, real: real  # real activations as the unit keeps them
    output_of: Callable[..., Any] | None = None  # (matrix, words, config) -> real [n_vector, n_out], nothing timed
    advice: Callable[[Mapping[str, Any]], list[str]] = lambda record: []  # a run's record -> lines of what to try
    limit: Callable[..., tuple[str, tuple[Try, ...]]] | None = (
        None  # (config, [SimResult], samples) -> what limits a run, and what to try that takes a tenth of its time
    )
    timed: Callable[..., Timed] | None = None  # (samples of one launch, `Try`, config of the run) -> of their samples
    codes: Callable[[Any], tuple[int, int] | None] = lambda config: None  # bits of a code and of a gap, where there are
    energy_counts: Callable[[SimResult], dict[str, float]] = lambda result: dict(result.stats["events"])
    area: Callable[[Any], AreaReport] | None = None
    timeline: Callable[..., Activity] | None = None  # (matrix, inputs, result, *, label) -> what happened when
    for_inputs: Callable[[Any, Any], Any] = lambda config, inputs: config  # a design that drops none of these inputs
    patterns: Callable[[Any], tuple[Pattern, ...] | None] = lambda config: None  # N:M; None: any weight may go
    runs_as: Callable[[Any, Pattern], Pattern] | None = (
        None  # (config, N:M) -> the one of its `patterns` that it runs as, or dense; `compress` then takes pattern=N:M
    )
    style: Callable[[Any], Mapping[str, Any]] = lambda config: {}  # fields of `network.Style` that differ from its own
    word_bits: Callable[[Any], int] = lambda config: 16  # config -> bits of a value that stands between products
    in_turn: bool = False  # vectors run one after the other: a batch may be cut, and a sample of it stands for it
    stepped: Callable[..., SimResult] | None = (
        None  # (matrix, vectors, config, *, engine, outputs that `output_of` gave, steps); None: a `simulate` a step
    )
    launch: Callable[..., SimResult] | None = None  # ([(matrix, its result)], config, *, engine) -> all at once, as one
    presets: tuple[str, ...] = ()  # names of designs, of which `config.preset(name)` makes one
    start: str = ""  # the preset that a sweep starts from
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # values of fields that are words, by field
    storage_of_mask: Callable[..., Format] | None = None  # (positions, (n_out, n_in), config); nothing is compressed
    placed: Callable[..., Placed] | None = None  # (matrix, n_out, n_in) -> which PE owns which of the first weights
    pack: Callable[[Any], dict[str, Any]] | None = None  # matrix -> codes, codebook, scales, bias_codes of an archive
    unpack: Callable[[Any, Any], Any] | None = None  # (the same as attributes, config) -> matrix
    published: Callable[..., list[Comparison]] | None = None  # (draw, *, progress) -> published figures and simulated
    studies: Callable[..., list[Study]] | None = None  # (sweep, *, progress) -> published studies, rerun
    details: Callable[..., Details] | None = None  # (seed, *, progress) -> more to say of published figures than rows
    many: Callable[..., Callable[[Any], Figures]] | None = None  # (alike designs, `Swept`) -> (design -> figures)
    alike: Callable[[Any], Alike] = lambda config: (None, None)  # config -> what a sweep can share between designs
    sized: Callable[[int, float, int], tuple[Any, int]] | None = None  # (lanes, MHz, nm) -> (design, how many of it)
    chip: Callable[..., Chip] | None = (
        None  # (config, bytes a cycle of a shared DRAM or None) -> its memories, products
    )
    held_against: Callable[[Any, int], str] = lambda config, number: "nothing"  # what their times were held against
    precision: Callable[[Any], str] = lambda config: ""  # of weights and of what they are multiplied with
    examples: Callable[[Any], tuple[Any, Any, Any]] | None = None  # rng -> a small config, weights, activations


class Placed(NamedTuple):
    """The weights of a window [n_out, n_in] of a matrix, and the PE that each position belongs to.

    kept : bool, where a weight is kept; values : float64, of those; owner : int64, the PE of each position
    rule : which PE owns what, in a phrase; a row belongs to one PE
    """

    kept: NDArray[Any]
    values: NDArray[Any]
    owner: NDArray[Any]
    rule: str


Roof = tuple[float, float, str, float]
"""Peak GOP/s, bytes per us of the memory that limits, its name, and the bytes read from it."""

Alike = tuple[Hashable, Hashable]
"""Designs equal in the first are run in turn, those equal in both by one call of `many`; None is equal to none."""

ENGINES = ("fast", "reference")


def require_engine(engine: object) -> None:
    """Raise InputError, did you mean, unless `engine` is the name of one."""
    if not isinstance(engine, str) or engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
