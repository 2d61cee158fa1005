"""A timeline as tracks: the central control unit with its broadcasts, then every PE with its items and its queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from eie_sim.core.activity import Count, Slice, Track

if TYPE_CHECKING:
    from eie_sim.units.eie.activity import Activity


def tracks(activity: Activity, first: int, last: int) -> Iterator[Track]:
    """Yield the tracks of what overlaps the cycles first..last."""
    yield Track("broadcast", _broadcasts(activity, first, last), iter(()))
    for pe in range(activity.n_pe):
        yield Track(f"PE {pe}", _items(activity, pe, first, last), _queue(activity, pe, first, last))


def _slice(kind: str, name: str, start: int, cycles: int, **about: Any) -> Slice:
    return Slice(kind, name, start, cycles, about)


def _broadcasts(activity: Activity, first: int, last: int) -> Iterator[Slice]:
    """Cycles lost in the scan, cycles blocked, and the broadcast, item by item."""
    before, ready_at = np.concatenate([[1], activity.sent_at])[:-1] + 1, activity.ready_at
    overlapping = range(int(np.searchsorted(activity.sent_at, first)), int(np.searchsorted(before, last, side="right")))
    for k in overlapping:
        ready, sent = int(ready_at[k]), int(activity.sent_at[k])
        name = _name(activity, k)
        if ready > before[k]:
            yield _slice("lost", "lost", int(before[k]), ready - int(before[k]), before=name)
        if sent > ready:
            slowest = int(activity.taken_at[k - activity.queue_depth].argmax())
            yield _slice("blocked", "blocked", ready, sent - ready, before=name, slowest_pe=slowest)
        yield _slice("broadcast", name, sent, 1, item=k, column=int(activity.columns[k]), value=int(activity.values[k]))


def _items(activity: Activity, pe: int, first: int, last: int) -> Iterator[Slice]:
    taken_at, entries = activity.taken_at[:, pe], activity.entries[:, pe]
    ends = taken_at + np.maximum(entries, 1)
    for k in range(int(np.searchsorted(ends, first, side="right")), int(np.searchsorted(taken_at, last, side="right"))):
        n, padding = int(entries[k]), int(activity.padding[k, pe])
        yield _slice(
            "item" if n else "empty",
            _name(activity, k) if n else "empty",
            int(taken_at[k]),
            max(n, 1),
            item=k,
            column=int(activity.columns[k]),
            entries=n,
            padding=padding,
            weight=n - padding,
            sent=int(activity.sent_at[k]),
        )


def _name(activity: Activity, item: int) -> str:
    column = int(activity.columns[item])
    return "bias" if column == activity.matrix.n_in else f"column {column}"


def _queue(activity: Activity, pe: int, first: int, last: int) -> Iterator[Count]:
    """Items in the queue at the first cycle, and wherever their number changes."""
    times = np.concatenate([[first], activity.sent_at + 1, activity.taken_at[:, pe] + 1])
    at = np.unique(times[(times >= first) & (times <= last)])
    held = np.searchsorted(activity.sent_at, at) - np.searchsorted(activity.taken_at[:, pe], at)
    changes = np.concatenate([[True], held[1:] != held[:-1]])[: len(at)]
    for cycle, items in zip(at[changes].tolist(), held[changes].tolist(), strict=True):
        yield Count(f"PE {pe} queue", cycle, {"items": items})
