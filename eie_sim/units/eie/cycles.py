"""The array in a window of cycles, cycle by cycle: for waveforms and for text, which show every one."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.units.eie.words import EieClass

if TYPE_CHECKING:
    from eie_sim.units.eie.activity import Activity


class Control(IntEnum):
    """Actions of the central control unit, one a cycle."""

    STARTS = 0
    LOSES = 1
    WAITS = 2
    SENDS = 3
    IS_DONE = 4


class ControlCycles(NamedTuple):
    """The central control unit, int64[n_cycle] each.

    does : by `Control`
    item : the item it sends or is about to send; n_item when all are sent
    """

    does: NDArray[np.int64]
    item: NDArray[np.int64]


class PeCycles(NamedTuple):
    """One PE, int64[n_cycle] each.

    kind : by `EieClass`
    item : the item it took last, -1 before the first
    entry : which of the item's entries, from 0, it is at; beyond the last where it is done with it
    oldest : the oldest item in its queue; queued : how many there are. They are in order, and an item is among them
        from the cycle after its broadcast to the one in which it is taken
    """

    kind: NDArray[np.int64]
    item: NDArray[np.int64]
    entry: NDArray[np.int64]
    oldest: NDArray[np.int64]
    queued: NDArray[np.int64]


def control_cycles(activity: Activity, first: int, last: int) -> ControlCycles:
    """The central control unit in the cycles first..last."""
    at = np.arange(first, last + 1)
    item = np.searchsorted(activity.sent_at, at)
    never = np.iinfo(np.int64).max
    sent_at, ready_at = (np.append(times, never)[item] for times in (activity.sent_at, activity.ready_at))
    does = np.select(
        [at == 1, item == activity.n_item, at == sent_at, at >= ready_at],
        [Control.STARTS, Control.IS_DONE, Control.SENDS, Control.WAITS],
        default=Control.LOSES,
    )
    return ControlCycles(does.astype(np.int64), item)


def pe_cycles(activity: Activity, pe: int, first: int, last: int) -> PeCycles:
    """One PE in the cycles first..last."""
    at = np.arange(first, last + 1)
    taken_at = activity.taken_at[:, pe]
    item = np.searchsorted(taken_at, at, side="right") - 1
    oldest = np.searchsorted(taken_at, at)
    queued = np.searchsorted(activity.sent_at, at) - oldest
    entry = at - np.append(taken_at, 0)[item]  # item -1 reads what is appended
    entries = np.append(activity.entries[:, pe], 0)[item]
    place = np.append(activity.first_entry(pe), 0)[item] + entry
    issues = (item >= 0) & (entry < entries)
    fills = issues.copy()
    fills[issues] = activity.matrix.codes[place[issues]] == 0
    kind = np.select(
        [at > activity.last_issue, fills, issues, (item >= 0) & (entries == 0) & (entry == 0)],
        [EieClass.DRAIN, EieClass.PADDING, EieClass.WEIGHT, EieClass.EMPTY],
        default=EieClass.WAITING,
    )
    return PeCycles(kind.astype(np.int64), item, entry, oldest, queued)


def blockers(activity: Activity, item: int, cycle: int) -> NDArray[np.int64]:
    """PEs whose queue is full at the start of a cycle in which an item waits to be sent."""
    return np.flatnonzero(activity.taken_at[item - activity.queue_depth] >= cycle)
