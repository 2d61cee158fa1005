"""A timeline as VCD (IEEE 1364), which waveform viewers open: in real time, by the clock of the design."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.activity import NOTHING, Activity
from eie_sim.core.errors import InputError

AT_ONCE = 2**16
"""Most cycles times PEs that are looked at together."""

MISSING = "out: a .vcd needs pyvcd, which is not installed: pip install 'eie-sim[vcd]'"


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
        *activity.notes(),
    )
    text = io.TextIOWrapper(file, encoding="ascii", errors="backslashreplace", write_through=True)
    start = start_ps(first, clock_mhz)
    version = f"eie-sim {about['versions']['eie_sim']}"
    written = 0
    with VCDWriter(
        text, timescale="1 ps", date="", comment="\n".join(lines), version=version, init_timestamp=start
    ) as writer:
        signals = [writer.register_var(*signal) for signal in activity.signals()]
        for cycle, signal, value in changes(activity, first, last):
            writer.change(signals[signal], start_ps(cycle, clock_mhz), value)
            written += 1
        writer.close(start_ps(last + 1, clock_mhz))
    text.detach()
    return written


def changes(activity: Activity, first: int, last: int) -> Iterator[tuple[int, int, int | str]]:
    """(cycle, place of the signal, new value) in order of time, and of the signals in a cycle.

    Values in the first cycle are all there; `x` is one that there is not yet.
    """
    width = max(AT_ONCE // (activity.n_pe + 1), 1)
    before: list[NDArray[np.int64]] = []
    for start in range(first, last + 1, width):
        end = min(start + width - 1, last)
        values = list(activity.signalled(start, end))
        found = [_changes(each, before[at] if before else None) for at, each in enumerate(values)]
        yield from _in_order(found, values, start)
        before = [each[-1:] for each in values]


def _changes(values: NDArray[np.int64], before: NDArray[np.int64] | None) -> NDArray[np.intp]:
    """Return the places at which a signal changes, given its last value before."""
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
