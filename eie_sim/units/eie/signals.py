"""A timeline as lines of a waveform: the central control unit's, then every PE's, with a value in each cycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.activity import NOTHING, Signal
from eie_sim.units.eie.cycles import Control, control_cycles, pe_cycles
from eie_sim.units.eie.words import EieClass

if TYPE_CHECKING:
    from eie_sim.units.eie.activity import Activity

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


def signals(activity: Activity) -> list[Signal]:
    """All lines, in the order of `values`."""
    return [*CONTROL, *(signal for pe in range(activity.n_pe) for signal in of_pe(pe))]


def notes(activity: Activity) -> list[str]:
    """Return notes that a reader of the waveform needs."""
    states = ", ".join(f"{kind.value} {kind.name.lower()}" for kind in EieClass)
    return [
        f"state of a PE: {states}",
        f"column {activity.matrix.n_in} is the bias" if activity.matrix.has_bias else "no bias",
        "column holds the last one; broadcast and taken say when it is new",
    ]


def values(activity: Activity, first: int, last: int) -> Iterator[NDArray[np.int64]]:
    """Values of all signals in the cycles first..last, int64[n_cycle] each; NOTHING is a column before the first."""
    yield from _control(activity, first, last)
    for pe in range(activity.n_pe):
        yield from _pe(activity, pe, first, last)


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


def _pe(activity: Activity, pe: int, start: int, end: int) -> Iterator[NDArray[np.int64]]:
    """Values of a PE's signals in each cycle."""
    columns = np.append(activity.columns, NOTHING)
    found = pe_cycles(activity, pe, start, end)
    yield found.queued
    yield (found.queued == activity.queue_depth).astype(np.int64)
    yield found.kind
    yield columns[found.item]
    yield ((found.item >= 0) & (found.entry == 0)).astype(np.int64)
