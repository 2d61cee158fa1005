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
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from eie_sim.jit import kernel
from eie_sim.result import EieClass, EieEvent, EieTiming, Timeline
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.matrix import EieMatrix

Counts = NDArray[np.int16] | NDArray[np.int32]


class Service(NamedTuple):
    """What every column asks of every PE, [n_column, n_pe] each; int16 where everything fits, so that more PEs share a
    vector register, else int32.

    entries, padding : entries, and padding entries among them
    first_row, rows : Spmat row of the first entry, and rows touched; NO_ROW and 0 where there are no entries
    safe_items : items whose sums fit the tables' type
    """

    entries: Counts
    padding: Counts
    first_row: Counts
    rows: Counts
    safe_items: int


NO_ROW = -2
"""Differs from every row and from the -1 of a PE that has read none yet."""


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
    asked = service(matrix, config.entries_per_row)
    items = matrix.items(activations, config.active)
    lost = lost_cycles(items, matrix.n_in, config.n_pe)
    times = schedule(asked, items, lost, config.queue_depth)
    sums = tally(asked, items)
    sent, lost_in_all = len(items), int(lost.sum())
    blocked = int(times.broadcast_at[-1]) - 1 - sent - lost_in_all if sent else 0
    return EieTiming(
        cycles=times.last_issue + DRAIN_CYCLES if times.last_issue else 0,
        counts=counts_of(matrix, sums, sent),
        classes=classes_of(asked, items, times, sums),
        broadcast=np.array([sent, blocked, lost_in_all], dtype=np.int64),
        timeline=timeline_of(asked, items, times) if timeline else None,
    )


def service(matrix: EieMatrix, entries_per_row: int) -> Service:
    """The tables of a matrix, made once for each width of the Spmat SRAM and kept as long as the matrix."""
    prepared = _PREPARED.setdefault(matrix, {})
    if entries_per_row not in prepared:
        prepared[entries_per_row] = _prepare(matrix, entries_per_row)
    return prepared[entries_per_row]


_PREPARED: WeakKeyDictionary[EieMatrix, dict[int, Service]] = WeakKeyDictionary()


def _prepare(matrix: EieMatrix, entries_per_row: int) -> Service:
    starts, ends = matrix.pointers[:-1], matrix.pointers[1:]
    entries = ends - starts
    first_row = np.where(entries > 0, starts // entries_per_row, NO_ROW)
    rows = np.where(entries > 0, (ends - 1) // entries_per_row - first_row + 1, 0)
    largest = max(int(table.max(initial=0)) for table in (entries, first_row + rows))
    dtype = np.int16 if largest < np.iinfo(np.int16).max else np.int32
    tables = [np.ascontiguousarray(table, dtype=dtype) for table in (entries, matrix.padding, first_row, rows)]
    return Service(*tables, safe_items=int(np.iinfo(dtype).max // max(1, entries.max(initial=0))))


def lost_cycles(items: NDArray[np.int32], n_in: int, n_pe: int) -> NDArray[np.int32]:
    """Cycles the leading-non-zero scan loses before each item, int32[n_item].

    Every lane row without an active input costs one, and every other one does after its last active input unless that
    sits in the last lane. A bias is a lane row of its own, in lane 0.
    """
    lost = np.empty(len(items), dtype=np.int32)
    _scan(items, n_in, n_pe, lost)
    return lost


def schedule(asked: Service, items: NDArray[np.int32], lost: NDArray[np.int32], queue_depth: int) -> Schedule:
    """Solve the recurrence for the items."""
    broadcast_at = np.empty(len(items), dtype=np.int32)
    taken_by_all = np.empty(len(items), dtype=np.int32)
    free_at, busy_until = (np.zeros(asked.entries.shape[1], dtype=np.int32) for _ in range(2))
    _solve(items, lost, asked.entries, queue_depth, broadcast_at, taken_by_all, free_at, busy_until)
    return Schedule(broadcast_at, busy_until)


def tally(asked: Service, items: NDArray[np.int32]) -> Tally:
    """Add up what the items make each PE do."""
    n_pe, dtype = asked.entries.shape[1], asked.entries.dtype
    sums = np.zeros((len(Tally._fields), n_pe), dtype=np.int64)
    row_read_last = np.full(n_pe, -1, dtype=dtype)
    tables = asked.entries, asked.padding, asked.first_row, asked.rows
    for at in range(0, len(items), asked.safe_items):  # narrow sums are moved on before they could overflow
        partial = [np.zeros(n_pe, dtype=dtype) for _ in Tally._fields]
        _add_up(items[at : at + asked.safe_items], *tables, *partial, row_read_last)
        sums += partial
    return Tally(*sums)


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


def classes_of(asked: Service, items: NDArray[np.int32], times: Schedule, sums: Tally) -> NDArray[np.int64]:
    """PE-cycles by class, int64[n_pe, n_class]."""
    classes = np.zeros((len(times.busy_until), len(EieClass)), dtype=np.int64)
    if times.last_issue == 0:
        return classes
    late = np.zeros(len(classes), dtype=np.int64)
    _count_late_empty(items, asked.entries, times.broadcast_at, times.busy_until, times.last_issue, late)
    classes[:, EieClass.WEIGHT] = sums.entries - sums.padding
    classes[:, EieClass.PADDING] = sums.padding
    classes[:, EieClass.EMPTY] = sums.empty - late
    classes[:, EieClass.DRAIN] = DRAIN_CYCLES
    classes[:, EieClass.WAITING] = times.last_issue + DRAIN_CYCLES - classes.sum(axis=1)
    return classes


def timeline_of(asked: Service, items: NDArray[np.int32], times: Schedule) -> Timeline:
    """(T int64[n_item], L int64[n_item, n_pe])."""
    n_pe = len(times.busy_until)
    taken_at = np.empty((len(items), n_pe), dtype=np.int64)
    _take(items, asked.entries, times.broadcast_at, np.zeros(n_pe, dtype=np.int64), taken_at)
    return times.broadcast_at.astype(np.int64), taken_at


@kernel
def _scan(items, n_in, n_pe, lost):
    """Fill the cycles lost before each item."""
    row, lane = 0, n_pe - 1  # as if a row had just ended in its last lane
    row_before = -1
    for k in range(len(items)):
        is_bias = items[k] == n_in
        row = -(-n_in // n_pe) if is_bias else items[k] // n_pe
        lost[k] = 0 if row == row_before else row - row_before - 1 + (lane != n_pe - 1)
        lane = 0 if is_bias else items[k] % n_pe
        row_before = row


@kernel
def _solve(items, lost, entries, queue_depth, broadcast_at, taken_by_all, free_at, busy_until):
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
        of_item = entries[items[k]]
        for p in range(len(free_at)):
            n = np.int32(of_item[p])
            taken = max(visible, free_at[p])
            latest = max(latest, taken)
            done = np.int32(taken + max(n, np.int32(1)))
            free_at[p] = done
            busy_until[p] = done if n > 0 else busy_until[p]
        taken_by_all[k] = latest


@kernel
def _add_up(items, entries, padding, first_row, rows, sum_entries, sum_padding, sum_empty, sum_rows, row_read_last):
    """Sum entries, padding, items without entries and Spmat rows read, PE by PE.

    The last row read stays latched: a row in which an item begins is not read again. Entries come in order, so the row
    read last only grows. Every step stays as narrow as the tables, so that many PEs share a vector register.
    """
    narrow = sum_entries.dtype.type
    for k in range(len(items)):
        j = items[k]
        of_item, fillers, first, touched = entries[j], padding[j], first_row[j], rows[j]
        for p in range(len(row_read_last)):
            latched = row_read_last[p]
            sum_entries[p] = narrow(sum_entries[p] + of_item[p])
            sum_padding[p] = narrow(sum_padding[p] + fillers[p])
            sum_empty[p] = narrow(sum_empty[p] + narrow(of_item[p] == 0))
            sum_rows[p] = narrow(sum_rows[p] + narrow(touched[p] - narrow(first[p] == latched)))
            row_read_last[p] = max(latched, narrow(narrow(first[p] + touched[p]) - 1))


@kernel
def _count_late_empty(items, entries, broadcast_at, busy_until, last_issue, late):
    """Items without entries that a PE takes after the last issue: they follow the PE's last entry, and count nowhere."""
    for p in range(len(late)):
        k = len(items)
        while k > 0 and entries[items[k - 1], p] == 0:
            k -= 1
        free_at = np.int64(busy_until[p])
        for later in range(k, len(items)):
            taken = max(np.int64(broadcast_at[later]) + 1, free_at)
            if taken > last_issue:
                late[p] += len(items) - later
                break
            free_at = taken + 1


@kernel
def _take(items, entries, broadcast_at, free_at, taken_at):
    """Fill L, given T."""
    for k in range(len(items)):
        for p in range(len(free_at)):
            taken = max(np.int64(broadcast_at[k]) + 1, free_at[p])
            taken_at[k, p] = taken
            free_at[p] = taken + max(1, np.int64(entries[items[k], p]))
