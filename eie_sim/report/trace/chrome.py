"""A timeline as Chrome trace JSON, which the Perfetto UI opens: slices of what a part does, and counters.

Viewers know microseconds: one of them is one cycle, and a time is the number of the cycle.
Source: the Trace Event Format of Chrome (catapult), JSON object format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from eie_sim.core.activity import Activity, Slice

Event = dict[str, Any]

PROCESS = 1
FIRST = 1
"""Thread of the first track; the others follow. Viewers keep 0 for themselves."""

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
    yield _named("process_name", FIRST, name=activity.label)
    for thread, track in enumerate(activity.tracks(first, last), start=FIRST):
        yield _named("thread_name", thread, name=track.name)
        yield _named("thread_sort_index", thread, sort_index=thread)
        yield from _clipped(track.slices, thread, first, last)
        for name, cycle, values in track.counts:
            yield {"ph": "C", "pid": PROCESS, "name": name, "ts": cycle, "args": values}


def _named(what: str, thread: int, **args: Any) -> Event:
    return {"ph": "M", "pid": PROCESS, "tid": thread, "name": what, "args": args}


def _clipped(slices: Iterator[Slice], thread: int, first: int, last: int) -> Iterator[Event]:
    """Slices with the parts of them in the window; their args say where the whole begins and how long it is."""
    for kind, name, begins, cycles, about in slices:
        start, end = max(begins, first), min(begins + cycles, last + 1)
        if start < end:
            args = {"cycle": begins, "cycles": cycles, **about}
            what = {"cat": kind, "name": name, "ts": start, "dur": end - start}
            yield {"ph": "X", "pid": PROCESS, "tid": thread, **what, "args": args}
