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


class Service(NamedTuple):
    """What every column asks of every PE, [n_column, n_pe] each.

    entries, padding : entries, and padding entries among them; uint8, or int32 where a figure is above 255
    rows : Spmat rows touched; likewise
    first_row : Spmat row of the first entry, NO_ROW where there is none; int16, or int32 where rows are many
    safe_items : items whose sums surely fit the type of first_row
    """

    entries: NDArray[np.integer]
    padding: NDArray[np.integer]
    rows: NDArray[np.integer]
    first_row: NDArray[np.integer]
    safe_items: int


NO_ROW = -2
"""Differs from every row, and from the -1 of a PE that has read none yet."""


def service(matrix: EieMatrix, entries_per_row: int) -> Service:
    """The tables of a matrix, made once for each width of the Spmat SRAM and kept with the matrix."""
    key = "fast", entries_per_row
    if key not in matrix.prepared:
        matrix.prepared[key] = _prepare(matrix, entries_per_row)
    tables: Service = matrix.prepared[key]
    return tables


def _prepare(matrix: EieMatrix, entries_per_row: int) -> Service:
    """Tables as narrow as their figures allow: the engine waits for memory more than it computes."""
    starts, ends = matrix.pointers[:-1], matrix.pointers[1:]
    entries = ends - starts
    first_row = np.where(entries > 0, starts // entries_per_row, NO_ROW)
    rows = np.where(entries > 0, (ends - 1) // entries_per_row - first_row + 1, 0)
    most = int(entries.max(initial=1))
    narrow = most <= np.iinfo(np.uint8).max and first_row.max(initial=0) < np.iinfo(np.int16).max - 255
    count_type, row_type = (np.uint8, np.int16) if narrow else (np.int32, np.int32)
    return Service(
        entries=entries.astype(count_type),
        padding=matrix.padding.astype(count_type),
        rows=rows.astype(count_type),
        first_row=first_row.astype(row_type),
        safe_items=int(np.iinfo(row_type).max // most),
    )


def run(matrix: EieMatrix, activations: NDArray[np.int16], config: EieConfig, *, timeline: bool = False) -> EieTiming:
    """Cycles, counts, classes and, if asked, the timeline for raw activations int16[n_in]."""
    asked = service(matrix, config.entries_per_row)
    n_pe, n_column = matrix.n_pe, matrix.n_column
    items, lost, broadcast_at, taken_by_all = np.empty((4, n_column), dtype=np.int32)
    pe_times = np.zeros((2, n_pe), dtype=np.int32)
    narrow_sums, sums = np.empty((5, n_pe), dtype=asked.first_row.dtype), np.zeros((4, n_pe), dtype=np.int64)
    counts = np.zeros((n_pe + 1, len(EieEvent)), dtype=np.int64)
    classes = np.zeros((n_pe, len(EieClass)), dtype=np.int64)
    broadcast = np.zeros(3, dtype=np.int64)

    n_item = _scan(activations, config.active == "nonzero", matrix.has_bias, n_pe, items, lost)
    items, lost, broadcast_at = items[:n_item], lost[:n_item], broadcast_at[:n_item]
    _solve(items, lost, asked.entries, config.queue_depth, broadcast_at, taken_by_all, *pe_times)
    _add_up(items, *asked, narrow_sums, sums)
    last_issue = _report(
        items, lost, asked.entries, broadcast_at, pe_times[1], sums, matrix.n_out, counts, classes, broadcast
    )
    return EieTiming(
        cycles=int(last_issue) + DRAIN_CYCLES if last_issue else 0,
        counts=counts,
        classes=classes,
        broadcast=broadcast,
        timeline=_timeline(asked, items, broadcast_at) if timeline else None,
    )


def _timeline(asked: Service, items: NDArray[np.int32], broadcast_at: NDArray[np.int32]) -> Timeline:
    """(T int64[n_item], L int64[n_item, n_pe])."""
    n_pe = asked.entries.shape[1]
    taken_at = np.empty((len(items), n_pe), dtype=np.int64)
    _take(items, asked.entries, broadcast_at, np.zeros(n_pe, dtype=np.int64), taken_at)
    return broadcast_at.astype(np.int64), taken_at


@kernel
def _scan(activations, any_sign, has_bias, n_pe, items, lost):
    """Fill the items and the cycles lost before each; returns how many items there are.

    Every lane row without an active input costs a cycle, and every other one does after its last active input unless
    that sits in the last lane. A bias is a lane row of its own, in lane 0.
    """
    n_in = len(activations)
    n_item = 0
    lost_since = 0
    for row_start in range(0, n_in, n_pe):
        row_end = min(row_start + n_pe, n_in)
        last_active = -1
        for j in range(row_start, row_end):
            if activations[j] > 0 or (any_sign and activations[j] != 0):
                items[n_item] = j
                lost[n_item] = lost_since
                lost_since = 0
                last_active = j
                n_item += 1
        if last_active != row_start + n_pe - 1:
            lost_since += 1
    if has_bias:
        items[n_item] = n_in
        lost[n_item] = lost_since
        n_item += 1
    return n_item


@kernel
def _solve(items, lost, entries, queue_depth, broadcast_at, taken_by_all, free_at, busy_until):
    """Fill T, max over PEs of L, and the cycle after each PE's last entry; int32 throughout, for vector registers."""
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
def _add_up(items, entries, padding, rows, first_row, safe_items, narrow_sums, sums):
    """Sum entries, padding, items without entries and Spmat rows read, PE by PE, into sums int64[4, n_pe].

    Narrow sums are moved on before a PE's entries could overflow them. The row read last stays latched: a row in which
    an item begins is not read again. Entries come in order, so the row read last only grows.
    """
    latched = narrow_sums[4]
    latched[:] = -1
    for start in range(0, len(items), safe_items):
        narrow_sums[:4] = 0
        _add_block(
            items[start : start + safe_items],
            entries,
            padding,
            rows,
            first_row,
            narrow_sums[0],
            narrow_sums[1],
            narrow_sums[2],
            narrow_sums[3],
            latched,
        )
        sums += narrow_sums[:4]


@kernel
def _add_block(items, entries, padding, rows, first_row, sum_entries, sum_padding, sum_empty, sum_rows, latched):
    """Add up a few items. Every step stays as narrow as the sums, so that many PEs share a vector register."""
    narrow = sum_entries.dtype.type
    for k in range(len(items)):
        j = items[k]
        of_item, fillers, touched, first = entries[j], padding[j], rows[j], first_row[j]
        for p in range(len(latched)):
            n, row, row_before = narrow(of_item[p]), first[p], latched[p]
            sum_entries[p] = narrow(sum_entries[p] + n)
            sum_padding[p] = narrow(sum_padding[p] + narrow(fillers[p]))
            sum_empty[p] = narrow(sum_empty[p] + narrow(n == 0))
            sum_rows[p] = narrow(sum_rows[p] + narrow(narrow(touched[p]) - narrow(row == row_before)))
            latched[p] = max(row_before, narrow(narrow(row + narrow(touched[p])) - 1))


@kernel
def _report(items, lost, entries, broadcast_at, busy_until, sums, n_out, counts, classes, broadcast):
    """Fill counts, classes and broadcast from times and sums; returns the cycle of the last issue, 0 for none."""
    n_item, n_pe = len(items), len(busy_until)
    last_issue = max(np.int64(busy_until.max()) - 1, 0)
    counts[n_pe, EieEvent.BROADCASTS] = n_item
    for p in range(n_pe):
        n_entry, n_padding, n_empty, n_read = sums[0, p], sums[1, p], sums[2, p], sums[3, p]
        n_weight = n_entry - n_padding
        counts[p, EieEvent.QUEUE_WRITES] = n_item
        counts[p, EieEvent.QUEUE_READS] = n_item
        counts[p, EieEvent.POINTER_READS] = n_item
        counts[p, EieEvent.SPMAT_READS] = n_read
        counts[p, EieEvent.CODEBOOK_READS] = n_entry
        counts[p, EieEvent.MACS] = n_weight
        counts[p, EieEvent.PADDING_ENTRIES] = n_padding
        counts[p, EieEvent.ACCUMULATOR_READS] = n_weight
        counts[p, EieEvent.ACCUMULATOR_WRITES] = n_weight
        counts[p, EieEvent.OUTPUT_WRITES] = (n_out - p + n_pe - 1) // n_pe
        if last_issue > 0:
            n_empty -= _late_empty(items, entries, p, broadcast_at, busy_until[p], last_issue)
            classes[p, EieClass.WEIGHT] = n_weight
            classes[p, EieClass.PADDING] = n_padding
            classes[p, EieClass.EMPTY] = n_empty
            classes[p, EieClass.WAITING] = last_issue - n_entry - n_empty
            classes[p, EieClass.DRAIN] = DRAIN_CYCLES
    broadcast[0] = n_item
    broadcast[2] = lost.sum()
    broadcast[1] = broadcast_at[n_item - 1] - 1 - n_item - broadcast[2] if n_item > 0 else 0
    return last_issue


@kernel
def _late_empty(items, entries, p, broadcast_at, busy_until, last_issue):
    """Items without entries that a PE takes after the last issue: they follow its last entry, and count in no class."""
    k = len(items)
    while k > 0 and entries[items[k - 1], p] == 0:
        k -= 1
    free_at = np.int64(busy_until)
    for later in range(k, len(items)):
        taken = max(np.int64(broadcast_at[later]) + 1, free_at)
        if taken > last_issue:
            return len(items) - later
        free_at = taken + 1
    return 0


@kernel
def _take(items, entries, broadcast_at, free_at, taken_at):
    """Fill L, given T."""
    for k in range(len(items)):
        for p in range(len(free_at)):
            taken = max(np.int64(broadcast_at[k]) + 1, free_at[p])
            taken_at[k, p] = taken
            free_at[p] = taken + max(1, np.int64(entries[items[k], p]))
