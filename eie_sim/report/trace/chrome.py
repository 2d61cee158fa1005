"""A timeline as Chrome trace JSON, which the Perfetto UI opens: slices of broadcasts and items, counters of queues.

Viewers know microseconds: one of them is one cycle, and a time is the number of the cycle.
Source: the Trace Event Format of Chrome (catapult), JSON object format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from eie_sim.units.eie.activity import Activity

Event = dict[str, Any]

PROCESS = 1
CONTROL = 1
"""Thread of the central control unit; that of PE p is p + 2. Viewers keep 0 for themselves."""

AT_ONCE = 512
"""Events that are written together."""

TIME = "ts is the number of the cycle: 1 us shown is 1 cycle"


def write_chrome(file: BinaryIO, activity: Activity, first: int, last: int, about: dict[str, Any]) -> int:
    """Write what happens in the cycles first..last, bit by bit. Returns the number of slices.

    about : what ran, plain data that the file keeps under `otherData`
    """
    slices = 0
    file.write(b'{"otherData": ' + json.dumps({"time": TIME, **about}).encode() + b',\n"traceEvents": [\n')
    written = events(activity, first, last)
    separator = b""
    while some := list(islice(written, AT_ONCE)):
        slices += sum(event["ph"] == "X" for event in some)
        file.write(separator + b",\n".join(json.dumps(event).encode() for event in some))
        separator = b",\n"
    file.write(b"\n]}\n")
    return slices


def events(activity: Activity, first: int, last: int) -> Iterator[Event]:
    """Names of the tracks, then the slices that overlap the window, cut to it, and the counters, track by track."""
    yield _named("process_name", CONTROL, name=activity.label)
    yield from _track(CONTROL, "broadcast")
    yield from _clipped(_broadcasts(activity, first, last), CONTROL, first, last)
    for pe in range(activity.n_pe):
        thread = CONTROL + 1 + pe
        yield from _track(thread, f"PE {pe}")
        yield from _clipped(_items(activity, pe, first, last), thread, first, last)
        yield from _queue(activity, pe, first, last)


def _named(what: str, thread: int, **args: Any) -> Event:
    return {"ph": "M", "pid": PROCESS, "tid": thread, "name": what, "args": args}


def _track(thread: int, name: str) -> Iterator[Event]:
    yield _named("thread_name", thread, name=name)
    yield _named("thread_sort_index", thread, sort_index=thread)


def _clipped(slices: Iterator[Event], thread: int, first: int, last: int) -> Iterator[Event]:
    """Slices with the parts of them in the window; their args say where the whole begins and how long it is."""
    for each in slices:
        start, end = max(each["ts"], first), min(each["ts"] + each["dur"], last + 1)
        if start < end:
            args = {"cycle": each["ts"], "cycles": each["dur"], **each["args"]}
            yield {"ph": "X", "pid": PROCESS, "tid": thread, **each, "ts": start, "dur": end - start, "args": args}


def _slice(cat: str, name: str, start: int, cycles: int, **args: Any) -> Event:
    return {"cat": cat, "name": name, "ts": start, "dur": cycles, "args": args}


def _broadcasts(activity: Activity, first: int, last: int) -> Iterator[Event]:
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


def _items(activity: Activity, pe: int, first: int, last: int) -> Iterator[Event]:
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


def _queue(activity: Activity, pe: int, first: int, last: int) -> Iterator[Event]:
    """Items in the queue at the first cycle, and wherever their number changes."""
    times = np.concatenate([[first], activity.sent_at + 1, activity.taken_at[:, pe] + 1])
    at = np.unique(times[(times >= first) & (times <= last)])
    held = np.searchsorted(activity.sent_at, at) - np.searchsorted(activity.taken_at[:, pe], at)
    changes = np.concatenate([[True], held[1:] != held[:-1]])[: len(at)]
    for cycle, items in zip(at[changes].tolist(), held[changes].tolist(), strict=True):
        yield {"ph": "C", "pid": PROCESS, "name": f"PE {pe} queue", "ts": cycle, "args": {"items": items}}
