"""The timeline of one vector on any unit, for files, text and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from numpy.typing import ArrayLike, NDArray

NOTHING = -(2**40)
"""Stands in a signal for a value that there is not yet."""


class Slice(NamedTuple):
    """Something that takes `cycles` from cycle `start` on. kind : what it is coloured by; about : plain values."""

    kind: str
    name: str
    start: int
    cycles: int
    about: Mapping[str, Any]


class Count(NamedTuple):
    """From a cycle on there are so many, by what they are."""

    name: str
    cycle: int
    values: Mapping[str, int]


class Track(NamedTuple):
    """A part of the unit: its slices in order of time, which do not overlap, and what is counted beside them."""

    name: str
    slices: Iterator[Slice]
    counts: Iterator[Count]


class Signal(NamedTuple):
    """A line of a waveform: where it belongs, with dots, its name, its type as VCD has it, and bits."""

    scope: str
    name: str
    kind: str
    size: int


@runtime_checkable
class Activity(Protocol):
    """One vector on a unit. Cycles are numbered 1 to `cycles`; first..last are a part of them, both within.

    A unit with queues also has `queue_depth`, `queued(edges)`, the mean number of items in each queue, and
    `full(edges)`, the share of each bin's cycles in which the queue is full, both float64[n_pe, n_bin].
    """

    @property
    def label(self) -> str:
        """Name of the vector that ran, as `256x64, vector 0`."""

    @property
    def config_hash(self) -> str:
        """Hash of the design, as the result has it."""

    @property
    def cycles(self) -> int:
        """Cycles of the vector; 0 if nothing happened."""

    @property
    def n_pe(self) -> int:
        """Processing elements."""

    def words(self) -> tuple[str, str]:
        """The design and the totals, each in a phrase."""

    def bins(self, n_bin: int) -> NDArray[Any]:
        """Cycles in which at most `n_bin` bins begin, and the one after the last, int64[n_bin + 1]."""

    def busy(self, edges: ArrayLike) -> NDArray[Any]:
        """Share of each bin's cycles in which the PE works, float64[n_pe, n_bin], 0 to 1."""

    def tracks(self, first: int, last: int) -> Iterator[Track]:
        """Tracks that overlap the cycles, part by part."""

    def signals(self) -> Sequence[Signal]:
        """Lines of a waveform."""

    def signalled(self, first: int, last: int) -> Iterator[NDArray[Any]]:
        """The value of each signal in each cycle, int64[n_cycle]."""

    def notes(self) -> Sequence[str]:
        """Notes for the reader of the waveform, a line each."""

    def legend(self) -> list[str]:
        """Explanation of `blocks`, a line each."""

    def blocks(self, first: int, last: int) -> Iterator[list[str]]:
        """The lines of each cycle, to be read."""

    def outputs(self) -> list[str]:
        """The sums at the end, a line for some."""
