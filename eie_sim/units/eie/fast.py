"""The fast engine: completion times by recurrence, item by item, no cycle loop and no entry walked.

With n[k, p] the entries of item k on PE p, lost[k] the cycles the scan loses before it and Q the queue depth,

    T[k]    = max(T[k-1] + 1 + lost[k],  1 + max_p L[k-Q, p])            T[-1] = 1
    L[k, p] = max(T[k] + 1,              L[k-1, p] + max(1, n[k-1, p]))
    cycles  = last issue + drain,        last issue = max over n[k, p] > 0 of L[k, p] + n[k, p] - 1

where T is the cycle of a broadcast and L the cycle in which a PE takes the item: O(items x PEs).
Source: Han et al. 2016, section IV; the queue semantics are those of a credit that returns one cycle after a read.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.jit import kernel
from eie_sim.result import EieClass, EieEvent, EieTiming, Timeline
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.matrix import EieMatrix


class Schedule(NamedTuple):
    """When items are broadcast and PEs are done.

    broadcast_at : int32[n_item], T
    busy_until : int32[n_pe], the cycle after a PE's last entry; 0 where it issued none
    """

    broadcast_at: NDArray[np.int32]
    busy_until: NDArray[np.int32]

    @property
    def last_issue(self) -> int:
        """Cycle of the last entry on any PE; 0 where none was issued."""
        return max(int(self.busy_until.max()) - 1, 0)


class Tally(NamedTuple):
    """Sums over the items, int64[n_pe] each; they depend on the matrix and the items, not on time."""

    entries: NDArray[np.int64]
    padding: NDArray[np.int64]
    empty: NDArray[np.int64]
    spmat_reads: NDArray[np.int64]


def run(matrix: EieMatrix, activations: NDArray[np.int16], config: EieConfig, *, timeline: bool = False) -> EieTiming:
    """Cycles, counts, classes and, if asked, the timeline for raw activations int16[n_in]."""
    items = matrix.items(activations, config.active)
    lost = lost_cycles(items, matrix.n_in, config.n_pe)
    times = schedule(matrix, items, lost, config.queue_depth)
    sums = tally(matrix, items, config.entries_per_row)
    sent = len(items)
    blocked = int(times.broadcast_at[-1]) - 1 - sent - int(lost.sum()) if sent else 0
    return EieTiming(
        cycles=times.last_issue + DRAIN_CYCLES if times.last_issue else 0,
        counts=counts_of(matrix, sums, sent),
        classes=classes_of(matrix, items, times, sums),
        broadcast=np.array([sent, blocked, lost.sum()], dtype=np.int64),
        timeline=timeline_of(matrix, items, times) if timeline else None,
    )


def lost_cycles(items: NDArray[np.int32], n_in: int, n_pe: int) -> NDArray[np.int32]:
    """Cycles the leading-non-zero scan loses before each item, int32[n_item].

    Every lane row without an active input costs one, and every other one does after its last active input unless that
    sits in the last lane. A bias is a lane row of its own, in lane 0.
    """
    lane_row, lane = np.divmod(items, n_pe)
    is_bias = items == n_in
    lane_row[is_bias] = -(-n_in // n_pe)
    lane[is_bias] = 0
    skipped_before = np.diff(lane_row, prepend=np.int32(0))
    leaves_early = np.concatenate([[False], lane[:-1] != n_pe - 1])
    skipped_before[1:] -= lane_row[1:] != lane_row[:-1]
    skipped_before[leaves_early & (np.diff(lane_row, prepend=lane_row[:1]) > 0)] += 1
    return skipped_before.astype(np.int32)


def schedule(matrix: EieMatrix, items: NDArray[np.int32], lost: NDArray[np.int32], queue_depth: int) -> Schedule:
    """Solve the recurrence for the items."""
    broadcast_at = np.empty(len(items), dtype=np.int32)
    taken_by_all = np.empty(len(items), dtype=np.int32)
    free_at = np.zeros(matrix.n_pe, dtype=np.int32)
    busy_until = np.zeros(matrix.n_pe, dtype=np.int32)
    _solve(items, lost, matrix.pointers, queue_depth, broadcast_at, taken_by_all, free_at, busy_until)
    return Schedule(broadcast_at, busy_until)


def tally(matrix: EieMatrix, items: NDArray[np.int32], entries_per_row: int) -> Tally:
    """Add up what the items make each PE do."""
    sums = [np.zeros(matrix.n_pe, dtype=np.int32) for _ in Tally._fields]
    row_read_last = np.full(matrix.n_pe, -1, dtype=np.int32)
    _add_up(items, matrix.pointers, matrix.padding, 1.0 / entries_per_row, *sums, row_read_last)
    return Tally(*(total.astype(np.int64) for total in sums))


def counts_of(matrix: EieMatrix, sums: Tally, sent: int) -> NDArray[np.int64]:
    """The count matrix, int64[n_pe + 1, n_event]; its last row is the central control unit."""
    counts = np.zeros((matrix.n_pe + 1, len(EieEvent)), dtype=np.int64)
    counts[-1, EieEvent.BROADCASTS] = sent
    pes = counts[:-1]
    for event in (EieEvent.QUEUE_WRITES, EieEvent.QUEUE_READS, EieEvent.POINTER_READS):
        pes[:, event] = sent
    pes[:, EieEvent.SPMAT_READS] = sums.spmat_reads
    pes[:, EieEvent.CODEBOOK_READS] = sums.entries
    pes[:, EieEvent.PADDING_ENTRIES] = sums.padding
    for event in (EieEvent.MACS, EieEvent.ACCUMULATOR_READS, EieEvent.ACCUMULATOR_WRITES):
        pes[:, event] = sums.entries - sums.padding
    rows, more = divmod(matrix.n_out, matrix.n_pe)
    pes[:, EieEvent.OUTPUT_WRITES] = rows + (np.arange(matrix.n_pe) < more)
    return counts


def classes_of(matrix: EieMatrix, items: NDArray[np.int32], times: Schedule, sums: Tally) -> NDArray[np.int64]:
    """PE-cycles by class, int64[n_pe, n_class]."""
    classes = np.zeros((matrix.n_pe, len(EieClass)), dtype=np.int64)
    if times.last_issue == 0:
        return classes
    late = np.zeros(matrix.n_pe, dtype=np.int64)
    _count_late_empty(items, matrix.pointers, times.broadcast_at, times.busy_until, times.last_issue, late)
    classes[:, EieClass.WEIGHT] = sums.entries - sums.padding
    classes[:, EieClass.PADDING] = sums.padding
    classes[:, EieClass.EMPTY] = sums.empty - late
    classes[:, EieClass.DRAIN] = DRAIN_CYCLES
    classes[:, EieClass.WAITING] = times.last_issue + DRAIN_CYCLES - classes.sum(axis=1)
    return classes


def timeline_of(matrix: EieMatrix, items: NDArray[np.int32], times: Schedule) -> Timeline:
    """(T int64[n_item], L int64[n_item, n_pe])."""
    taken_at = np.empty((len(items), matrix.n_pe), dtype=np.int64)
    _take(items, matrix.pointers, times.broadcast_at, np.zeros(matrix.n_pe, dtype=np.int64), taken_at)
    return times.broadcast_at.astype(np.int64), taken_at


@kernel
def _solve(items, lost, pointers, queue_depth, broadcast_at, taken_by_all, free_at, busy_until):
    """Fill T, max over PEs of L, and the cycle after each PE's last entry. int32 throughout, so that PEs fill a vector."""
    previous = np.int32(1)
    for k in range(len(items)):
        at = np.int32(previous + 1 + lost[k])
        if k >= queue_depth:
            at = max(at, np.int32(taken_by_all[k - queue_depth] + 1))
        broadcast_at[k] = at
        previous = at
        visible = np.int32(at + 1)
        latest = np.int32(0)
        starts = pointers[items[k]]
        ends = pointers[items[k] + 1]
        for p in range(len(free_at)):
            n = np.int32(ends[p] - starts[p])
            taken = max(visible, free_at[p])
            latest = max(latest, taken)
            done = np.int32(taken + max(n, np.int32(1)))
            free_at[p] = done
            busy_until[p] = done if n > 0 else busy_until[p]
        taken_by_all[k] = latest


@kernel
def _add_up(items, pointers, padding, rows_per_entry, entries, padding_entries, empty, spmat_reads, row_read_last):
    """Sum entries, padding, items without entries and Spmat rows read, PE by PE; the last row read stays latched.

    Rows are found by a product with 1 / entries_per_row: half an entry from a boundary, it never rounds across one.
    """
    for k in range(len(items)):
        starts = pointers[items[k]]
        ends = pointers[items[k] + 1]
        fillers = padding[items[k]]
        for p in range(len(entries)):
            n = np.int32(ends[p] - starts[p])
            first = np.int32((starts[p] + 0.5) * rows_per_entry)
            last = np.int32((ends[p] - 0.5) * rows_per_entry)
            reads = np.int32(last - first + (first != row_read_last[p]))
            entries[p] = np.int32(entries[p] + n)
            padding_entries[p] = np.int32(padding_entries[p] + fillers[p])
            empty[p] = np.int32(empty[p] + (n == 0))
            spmat_reads[p] = np.int32(spmat_reads[p] + (reads if n > 0 else np.int32(0)))
            row_read_last[p] = last if n > 0 else row_read_last[p]


@kernel
def _count_late_empty(items, pointers, broadcast_at, busy_until, last_issue, late):
    """Items without entries that a PE takes after the last issue: they follow the PE's last entry, and count nowhere."""
    for p in range(len(late)):
        k = len(items)
        while k > 0 and pointers[items[k - 1] + 1, p] == pointers[items[k - 1], p]:
            k -= 1
        free_at = np.int64(busy_until[p])
        for later in range(k, len(items)):
            taken = max(np.int64(broadcast_at[later]) + 1, free_at)
            if taken > last_issue:
                late[p] += len(items) - later
                break
            free_at = taken + 1


@kernel
def _take(items, pointers, broadcast_at, free_at, taken_at):
    """Fill L, given T."""
    for k in range(len(items)):
        for p in range(len(free_at)):
            taken = max(np.int64(broadcast_at[k]) + 1, free_at[p])
            taken_at[k, p] = taken
            free_at[p] = taken + max(1, np.int64(pointers[items[k] + 1, p]) - pointers[items[k], p])
