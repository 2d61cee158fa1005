"""Rules that hold in every run, whichever engine ran it: checked always, from the counts alone.

Nothing here computes what an engine computes; each rule sets counts of a result beside each other, or beside a bound
that no design can beat. The reference engine counts each event where it happens, so every rule can catch it. The fast
one takes some counts from others, as waiting from the cycles that are left: there what bites is that none is negative,
and the bounds; `tests/equivalence` sets it beside the other engine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import hold
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.counts import EieCounts
from eie_sim.units.eie.words import EieClass, EieEvent

Counts = NDArray[np.int64]

FIRST_ISSUE = 3
"""Earliest cycle of an entry's issue: the first broadcast is in cycle 2, and seen in the next."""


def check(
    matrix: EieCounts,
    activations: NDArray[np.int16],
    config: EieConfig,
    *,
    cycles: Counts,
    counts: Counts,
    classes: Counts,
    broadcast: Counts,
) -> None:
    """Raise InvariantError where counts of raw activations int16[n_vector, n_in] contradict each other.

    cycles : int64[n_vector]; counts : int64[n_pe + 1, len(EieEvent)]; classes : int64[n_pe, len(EieClass)];
    broadcast : int64[3], sent, blocked and lost; the last three summed over the vectors
    """
    _classes_add_up(classes, np.full(len(classes), cycles.sum()))
    _events_agree(counts, int(broadcast[0]), config)
    _entries_take_a_cycle(classes, counts[:-1])
    bound(matrix, activations, config, cycles[None], most_entries=int(counts[:-1, EieEvent.CODEBOOK_READS].max()))
    hold(bool((broadcast >= 0).all()), "broadcast", broadcast.tolist(), "must not be negative")


def check_depths(
    matrix: EieCounts,
    activations: NDArray[np.int16],
    config: EieConfig,
    *,
    cycles: Counts,
    counts: Counts,
    classes: Counts,
    sent: int,
) -> None:
    """Raise InvariantError as `check` does, for several queue depths, on which counts do not depend.

    cycles : int64[n_depth, n_vector]; counts : int64[n_pe + 1, len(EieEvent)], of all vectors;
    classes : int64[n_depth, len(EieClass)], of all vectors and PEs; sent : items broadcast to all vectors
    """
    _classes_add_up(classes, matrix.n_pe * cycles.sum(axis=1))
    _events_agree(counts, sent, config)
    _entries_take_a_cycle(classes, np.broadcast_to(counts.sum(axis=0), (len(classes), len(EieEvent))))
    bound(matrix, activations, config, cycles, most_entries=int(counts[:-1, EieEvent.CODEBOOK_READS].max()))


def check_times(broadcast_at: Counts, taken_at: Counts, entries: NDArray[np.integer], cycles: int) -> None:
    """Raise InvariantError where times do not end when the run does, int64[n_item] and int64[n_item, n_pe].

    entries : [n_item, n_pe], of each item on each PE
    """
    last = int(np.where(entries > 0, taken_at + entries + (DRAIN_CYCLES - 1), 0).max(initial=0))
    hold(last == cycles, "times", last, f"must end with the run, {cycles}")
    late = taken_at > broadcast_at[:, None]
    hold(bool(late.all()), "times", _first(taken_at, ~late), "must be after the broadcast of what is taken")


def _classes_add_up(classes: Counts, cycles: Counts) -> None:
    """Each PE is in one class in each cycle."""
    hold(bool((classes >= 0).all()), "classes", int(classes.min()), "must not be negative")
    _hold_everywhere("classes", classes.sum(axis=1), cycles, "must add to the cycles")


def _entries_take_a_cycle(classes: Counts, counts: Counts) -> None:
    """One cycle of a PE, or of all, is one weight or one padding entry; rows of both are of the same."""
    for kind, event in ((EieClass.WEIGHT, EieEvent.MACS), (EieClass.PADDING, EieEvent.PADDING_ENTRIES)):
        _hold_everywhere(f"{kind.name.lower()} cycles", classes[:, kind], counts[:, event], "must be one per entry")


def _events_agree(counts: Counts, sent: int, config: EieConfig) -> None:
    """Items pushed are popped, entries visited are weights or padding, and accumulators read are written back.

    Rows of the Spmat SRAM, whose width times reads is its traffic, hold the entries: at most one is read for each.
    """
    pes, broadcasts = counts[:-1], int(counts[-1, EieEvent.BROADCASTS])
    hold(broadcasts == sent, "broadcasts", broadcasts, f"must be the {sent} sent")
    for event in (EieEvent.QUEUE_WRITES, EieEvent.QUEUE_READS, EieEvent.POINTER_READS):
        _hold_everywhere(event.name.lower(), pes[:, event], np.full(len(pes), sent), "must be one per broadcast")
    visited = pes[:, EieEvent.MACS] + pes[:, EieEvent.PADDING_ENTRIES]
    _hold_everywhere("codebook_reads", pes[:, EieEvent.CODEBOOK_READS], visited, "must be MACs and padding entries")
    for event in (EieEvent.ACCUMULATOR_READS, EieEvent.ACCUMULATOR_WRITES):
        _hold_everywhere(event.name.lower(), pes[:, event], pes[:, EieEvent.MACS], "must be one per MAC")
    reads, entries = pes[:, EieEvent.SPMAT_READS], pes[:, EieEvent.CODEBOOK_READS]
    enough = (reads * config.entries_per_row >= entries) & (reads <= entries)
    rule = f"must be rows of {config.entries_per_row} entries for the entries read"
    hold(bool(enough.all()), "spmat_reads", _first(reads, ~enough), rule)


def bound(
    matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig, cycles: Counts, *, most_entries: int
) -> None:
    """Raise InvariantError where vectors took fewer cycles than the busiest PE, or than the broadcasts it waited for.

    cycles : int64[n_depth, n_vector], by ascending queue depth, of which none is slower than the one before
    most_entries : of any PE, over all vectors
    """
    needed = broadcasts_to_last_issue(matrix, activations, config)
    around = FIRST_ISSUE - 1 + DRAIN_CYCLES
    least = np.broadcast_to(np.where(needed > 0, needed + around, 0), cycles.shape)
    _hold_everywhere("cycles", cycles, np.maximum(cycles, least), "must hold the broadcasts up to the last issue")
    silent = np.where(needed == 0, 0, cycles)
    _hold_everywhere("cycles", cycles, silent, "must be 0 where no entry is issued")
    total = cycles.sum(axis=1)
    enough = np.maximum(total, most_entries + around * np.count_nonzero(needed))
    _hold_everywhere("cycles", total, enough, "must hold the entries of the busiest PE")
    _hold_everywhere("cycles", cycles[1:], np.minimum(cycles[1:], cycles[:-1]), "must not grow with the queue depth")


def broadcasts_to_last_issue(matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig) -> Counts:
    """Broadcasts of each vector up to the last one that any PE has entries for, int64[n_vector]."""
    active = activations != 0 if config.active == "nonzero" else activations > 0
    if matrix.has_bias and matrix.used[-1]:
        everything: Counts = np.count_nonzero(active, axis=1) + 1
        return everything
    place = np.arange(1, matrix.n_in + 1, dtype=np.int32)
    last = np.max((active & matrix.used[: matrix.n_in]) * place, axis=1, initial=0)
    found: Counts = np.count_nonzero(active & (place <= last[:, None]), axis=1)
    return found


def _hold_everywhere(what: str, found: Counts, expected: Counts, rule: str) -> None:
    """Raise InvariantError, which names the first place that differs, unless arrays are equal."""
    wrong = found != expected
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        hold(False, f"{what}{list(at)}", int(found[at]), f"{rule}, {int(expected[at])}")


def _first(values: Counts, wrong: NDArray[np.bool_]) -> int:
    return int(values[wrong][0]) if wrong.any() else 0
