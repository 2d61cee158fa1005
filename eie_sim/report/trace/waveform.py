"""A timeline as VCD (IEEE 1364), which waveform viewers open: in real time, by the clock of the design."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError
from eie_sim.report.trace.cycles import Control, control_cycles, pe_cycles
from eie_sim.units.eie.activity import Activity
from eie_sim.units.eie.words import EieClass

if TYPE_CHECKING:
    pass

AT_ONCE = 2**16
"""Most cycles times PEs that are looked at together."""

MISSING = "out: a .vcd needs pyvcd, which is not installed: pip install 'eie-sim[vcd]'"

STATES = ", ".join(f"{kind.value} {kind.name.lower()}" for kind in EieClass)


class Signal(NamedTuple):
    """A line of the waveform: where it belongs, its name, type and bits."""

    scope: str
    name: str
    kind: str
    size: int


CONTROL = (
    Signal("eie", "cycle", "integer", 64),
    Signal("eie", "broadcast", "wire", 1),
    Signal("eie", "column", "integer", 32),
    Signal("eie", "value", "integer", 16),
    Signal("eie", "blocked", "wire", 1),
)


def of_pe(pe: int) -> tuple[Signal, ...]:
    """The lines of a PE."""
    scope = f"eie.pe{pe}"
    return (
        Signal(scope, "queue", "integer", 32),
        Signal(scope, "full", "wire", 1),
        Signal(scope, "state", "reg", 3),
        Signal(scope, "column", "integer", 32),
        Signal(scope, "taken", "wire", 1),
    )


def require_writer() -> None:
    """Raise InputError where the package that writes VCD is not installed."""
    try:
        import vcd  # noqa: F401  only to see whether it can be
    except ImportError:
        raise InputError(MISSING) from None


def start_ps(cycle: int, clock_mhz: float) -> int:
    """When a cycle starts, in whole picoseconds; cycle 1 at 0."""
    return round((cycle - 1) * 1e6 / clock_mhz)


def write_waveform(file: BinaryIO, activity: Activity, first: int, last: int, about: dict[str, Any]) -> int:
    """Write what changes in the cycles first..last, bit by bit. Returns the number of changes.

    about : what ran, with the design under `config`; the header has what a comment can
    """
    from vcd import VCDWriter

    clock_mhz = float(about["config"]["clock_mhz"])
    lines = (
        f"{activity.label}, config {about['config_hash']}, cycles {first}..{last} of {activity.cycles}",
        f"state of a PE: {STATES}",
        f"column {activity.matrix.n_in} is the bias" if activity.matrix.has_bias else "no bias",
        "column holds the last one; broadcast and taken say when it is new",
    )
    text = io.TextIOWrapper(file, encoding="ascii", errors="backslashreplace", write_through=True)
    start = start_ps(first, clock_mhz)
    version = f"eie-sim {about['versions']['eie_sim']}"
    written = 0
    with VCDWriter(
        text, timescale="1 ps", date="", comment="\n".join(lines), version=version, init_timestamp=start
    ) as writer:
        every = [*CONTROL, *(signal for pe in range(activity.n_pe) for signal in of_pe(pe))]
        signals = [writer.register_var(*signal) for signal in every]
        for cycle, signal, value in changes(activity, first, last):
            writer.change(signals[signal], start_ps(cycle, clock_mhz), value)
            written += 1
        writer.close(start_ps(last + 1, clock_mhz))
    text.detach()
    return written


def changes(activity: Activity, first: int, last: int) -> Iterator[tuple[int, int, int | str]]:
    """(cycle, place of the signal, new value) in order of time: CONTROL's signals come first, then each PE's.

    Values in the first cycle are all there; `x` is a column before the first.
    """
    width = max(AT_ONCE // (activity.n_pe + 1), 1)
    before: list[NDArray[np.int64]] = []
    for start in range(first, last + 1, width):
        end = min(start + width - 1, last)
        values = [*_control(activity, start, end), *_pes(activity, start, end)]
        found = [_changes(each, before[at] if before else None) for at, each in enumerate(values)]
        yield from _in_order(found, values, start)
        before = [each[-1:] for each in values]


def _changes(values: NDArray[np.int64], before: NDArray[np.int64] | None) -> NDArray[np.intp]:
    """Where a signal changes, given its last value before."""
    earlier = values[:1] - 1 if before is None else before
    return np.flatnonzero(np.diff(values, prepend=earlier))


def _in_order(
    found: list[NDArray[np.intp]], values: list[NDArray[np.int64]], start: int
) -> Iterator[tuple[int, int, int | str]]:
    """Changes of all signals in order of time, and of the signals in a cycle."""
    at = np.concatenate(found)
    signal = np.repeat(np.arange(len(found)), [len(each) for each in found])
    new = np.concatenate([each[where] for each, where in zip(values, found, strict=True)])
    order = np.argsort(at, kind="stable")
    for cycle, which, value in zip(
        (start + at[order]).tolist(), signal[order].tolist(), new[order].tolist(), strict=True
    ):
        yield cycle, which, "x" if value == NOTHING else value


NOTHING = -(2**40)
"""Stands for the column and value before the first."""


def _control(activity: Activity, start: int, end: int) -> list[NDArray[np.int64]]:
    """Values of CONTROL's signals in each cycle."""
    control = control_cycles(activity, start, end)
    sends = control.does == Control.SENDS
    newest = control.item - 1 + sends
    return [
        np.arange(start, end + 1),
        sends.astype(np.int64),
        np.append(activity.columns, NOTHING)[newest],  # -1 reads what is appended
        np.append(activity.values, NOTHING)[newest],
        (control.does == Control.WAITS).astype(np.int64),
    ]


def _pes(activity: Activity, start: int, end: int) -> Iterator[NDArray[np.int64]]:
    """Values of every PE's signals in each cycle."""
    columns = np.append(activity.columns, NOTHING)
    for pe in range(activity.n_pe):
        found = pe_cycles(activity, pe, start, end)
        yield found.queued
        yield (found.queued == activity.queue_depth).astype(np.int64)
        yield found.kind
        yield columns[found.item]
        yield ((found.item >= 0) & (found.entry == 0)).astype(np.int64)
