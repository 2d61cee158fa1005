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

from eie_sim.core.jit import kernel
from eie_sim.core.result import Timeline
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.counts import EieCounts
from eie_sim.units.eie.words import EieClass, EieEvent, EieTiming


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


STRIP = 2**17
"""Columns times PEs whose tables are made at a time."""


def service(matrix: EieCounts, entries_per_row: int) -> Service:
    """The tables of a matrix, made once for each width of the Spmat SRAM and kept with the matrix."""
    key = "fast", entries_per_row
    if key not in matrix.prepared:
        matrix.prepared[key] = _prepare(matrix, entries_per_row)
    tables: Service = matrix.prepared[key]
    return tables


def _prepare(matrix: EieCounts, entries_per_row: int) -> Service:
    """Tables as narrow as their figures allow: the engine waits for memory more than it computes.

    Made some columns at a time, so that a matrix of millions of columns takes little memory beside them.
    """
    starts, ends, shape = matrix.pointers[:-1], matrix.pointers[1:], matrix.padding.shape
    strip = max(1, STRIP // matrix.n_pe)
    strips = [slice(at, at + strip) for at in range(0, len(starts), strip)]
    most = max((int((ends[some] - starts[some]).max()) for some in strips), default=1)
    last_row = (int(ends[-1:].max(initial=0)) - 1) // entries_per_row
    narrow = most <= np.iinfo(np.uint8).max and last_row < np.iinfo(np.int16).max - 255
    count_type, row_type = (np.uint8, np.int16) if narrow else (np.int32, np.int32)
    entries, rows, first_row = np.empty(shape, count_type), np.empty(shape, count_type), np.empty(shape, row_type)
    for some in strips:
        entries[some] = ends[some] - starts[some]
        there = entries[some] > 0
        first_row[some] = np.where(there, starts[some] // entries_per_row, NO_ROW)
        rows[some] = np.where(there, (ends[some] - 1) // entries_per_row - first_row[some] + 1, 0)
    return Service(
        entries=entries,
        padding=matrix.padding.astype(count_type),
        rows=rows,
        first_row=first_row,
        safe_items=int(np.iinfo(row_type).max // max(most, 1)),
    )


class Totals(NamedTuple):
    """What several vectors come to at several queue depths; nothing but cycles and waiting depends on the depth.

    cycles : int64[n_depth, n_vector]
    sums : int64[4, n_pe], entries, padding entries, items without entries and Spmat rows read, over all vectors
    empty : int64[n_depth, n_pe], cycles taken by items without entries, up to the end of each vector
    blocked : int64[n_depth], cycles in which an item was ready and a queue was full
    items, lost : items broadcast, and cycles lost in the scan before the last of them, over all vectors
    """

    cycles: NDArray[np.int64]
    sums: NDArray[np.int64]
    empty: NDArray[np.int64]
    blocked: NDArray[np.int64]
    items: int
    lost: int


def totals(
    matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig, depths: NDArray[np.int64] | None = None
) -> Totals:
    """Run raw activations int16[n_vector, n_in] one after the other, at each queue depth from a clean start.

    depths : int64[n_depth], ascending; the config's own when left out
    """
    asked = service(matrix, config.entries_per_row)
    depths = np.array([config.queue_depth], dtype=np.int64) if depths is None else depths
    n_pe, n_depth = matrix.n_pe, len(depths)
    found = Totals(
        cycles=np.zeros((n_depth, len(activations)), dtype=np.int64),
        sums=np.zeros((4, n_pe), dtype=np.int64),
        empty=np.zeros((n_depth, n_pe), dtype=np.int64),
        blocked=np.zeros(n_depth, dtype=np.int64),
        items=0,
        lost=0,
    )
    items, lost = _run_vectors(
        activations,
        config.active == "nonzero",
        matrix.has_bias,
        depths,
        *asked,
        np.empty((4, matrix.n_column), dtype=np.int32),
        np.empty((2, n_pe), dtype=np.int32),
        np.empty((5, n_pe), dtype=asked.first_row.dtype),
        *(np.empty(of_all.shape, dtype=np.int64) for of_all in found[1:4]),
        *found[:4],
    )
    return found._replace(items=int(items), lost=int(lost))  # numpy's where nothing is compiled


def counts_of(found: Totals, n_pe: int, n_out: int) -> NDArray[np.int64]:
    """Events of all vectors, int64[n_pe + 1, len(EieEvent)]: a row per PE, then the central control unit."""
    n_vector = found.cycles.shape[1]
    entries, padding, _, rows = found.sums
    counts = np.zeros((n_pe + 1, len(EieEvent)), dtype=np.int64)
    of_pe = counts[:n_pe].T
    of_pe[[EieEvent.QUEUE_WRITES, EieEvent.QUEUE_READS, EieEvent.POINTER_READS]] = found.items
    of_pe[EieEvent.SPMAT_READS], of_pe[EieEvent.CODEBOOK_READS], of_pe[EieEvent.PADDING_ENTRIES] = (
        rows,
        entries,
        padding,
    )
    of_pe[[EieEvent.MACS, EieEvent.ACCUMULATOR_READS, EieEvent.ACCUMULATOR_WRITES]] = entries - padding
    of_pe[EieEvent.OUTPUT_WRITES] = n_vector * ((n_out - np.arange(n_pe) + n_pe - 1) // n_pe)
    counts[n_pe, EieEvent.BROADCASTS] = found.items
    return counts


def classes_of(found: Totals, at: int = 0) -> NDArray[np.int64]:
    """Cycles by class at one of the depths, int64[n_pe, len(EieClass)]."""
    entries, padding = found.sums[:2]
    cycles = found.cycles[at]
    drain = DRAIN_CYCLES * int(np.count_nonzero(cycles))
    classes = np.empty((len(EieClass), len(entries)), dtype=np.int64)
    classes[EieClass.WEIGHT] = entries - padding
    classes[EieClass.PADDING] = padding
    classes[EieClass.EMPTY] = found.empty[at]
    classes[EieClass.WAITING] = int(cycles.sum()) - drain - entries - found.empty[at]
    classes[EieClass.DRAIN] = drain
    return classes.T


def class_totals(found: Totals) -> NDArray[np.int64]:
    """Cycles of all PEs by class at every depth, int64[n_depth, len(EieClass)]."""
    n_pe = found.sums.shape[1]
    entries, padding = found.sums[:2].sum(axis=1)
    totals = np.empty((len(EieClass), len(found.cycles)), dtype=np.int64)
    totals[EieClass.WEIGHT] = entries - padding
    totals[EieClass.PADDING] = padding
    totals[EieClass.EMPTY] = found.empty.sum(axis=1)
    totals[EieClass.DRAIN] = DRAIN_CYCLES * n_pe * np.count_nonzero(found.cycles, axis=1)
    totals[EieClass.WAITING] = 0
    totals[EieClass.WAITING] = n_pe * found.cycles.sum(axis=1) - totals.sum(axis=0)
    return totals.T


def broadcast_of(found: Totals, at: int = 0) -> NDArray[np.int64]:
    """int64[3]: sent, blocked_cycles and lost_cycles at one of the depths."""
    return np.array([found.items, found.blocked[at], found.lost], dtype=np.int64)


def run(matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig, *, timeline: bool = False) -> EieTiming:
    """Cycles, counts, classes and, if asked, the timeline for raw activations int16[n_in]."""
    found = totals(matrix, activations[None], config)
    return EieTiming(
        cycles=int(found.cycles[0, 0]),
        counts=counts_of(found, matrix.n_pe, matrix.n_out),
        classes=classes_of(found),
        broadcast=broadcast_of(found),
        timeline=_timeline(matrix, activations, config) if timeline else None,
    )


def _timeline(matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig) -> Timeline:
    """(T int64[n_item], L int64[n_item, n_pe])."""
    asked, n_pe = service(matrix, config.entries_per_row), matrix.n_pe
    scratch = np.empty((4, matrix.n_column), dtype=np.int32)
    n_item = _scan(activations, config.active == "nonzero", matrix.has_bias, n_pe, *scratch[:2])
    items, lost, broadcast_at, taken_by_all = scratch[:, :n_item]
    pe_times = np.zeros((2, n_pe), dtype=np.int32)
    _solve(items, lost, asked.entries, config.queue_depth, broadcast_at, taken_by_all, *pe_times)
    taken_at = np.empty((n_item, n_pe), dtype=np.int64)
    _take(items, asked.entries, broadcast_at, np.zeros(n_pe, dtype=np.int64), taken_at)
    return broadcast_at.astype(np.int64), taken_at


@kernel
def _run_vectors(
    activations,
    any_sign,
    has_bias,
    depths,
    entries,
    padding,
    rows,
    first_row,
    safe_items,
    scratch,
    pe_times,
    narrow_sums,
    vector_sums,
    vector_empty,
    vector_blocked,
    cycles,
    sums,
    empty,
    blocked,
):
    """Fill cycles, sums, empty and blocked; returns the items and the cycles lost of all vectors.

    What a PE reads and issues is added up once for all depths. Where no item ever waits for a queue, none waits for a
    deeper one either, and the times are the same. So are all figures of a vector whose items are those of the one
    before, whatever their values, as dense inputs have it.
    """
    n_pe = entries.shape[1]
    all_items = np.int64(0)
    all_lost = np.int64(0)
    n_item, vector_lost = 0, np.int64(0)
    for v in range(len(activations)):
        if v > 0 and _same_items(activations[v - 1], activations[v], any_sign):
            cycles[:, v] = cycles[:, v - 1]
        else:
            n_item = _scan(activations[v], any_sign, has_bias, n_pe, scratch[0], scratch[1])
            items, lost = scratch[0, :n_item], scratch[1, :n_item]
            vector_lost = np.int64(lost.sum())
            vector_sums[:] = 0
            vector_empty[:] = 0
            _add_up(items, entries, padding, rows, first_row, safe_items, narrow_sums, vector_sums)
            _at_depths(
                (items, lost, scratch[2, :n_item], scratch[3, :n_item]),
                vector_lost,
                depths,
                entries,
                vector_sums[2],
                pe_times,
                cycles[:, v],
                vector_empty,
                vector_blocked,
            )
        all_items += n_item
        all_lost += vector_lost
        sums += vector_sums
        empty += vector_empty
        blocked += vector_blocked
    return all_items, all_lost


@kernel
def _at_depths(of_items, vector_lost, depths, entries, empty_items, pe_times, cycles, empty, blocked):
    """Fill cycles[n_depth], empty[n_depth, n_pe] and blocked[n_depth] of one vector."""
    items, lost, broadcast_at, taken_by_all = of_items
    n_item = len(items)
    waited = np.int64(1)
    last_issue = np.int64(0)
    for d in range(len(depths)):
        if waited > 0:
            pe_times[:] = 0
            _solve(items, lost, entries, depths[d], broadcast_at, taken_by_all, pe_times[0], pe_times[1])
            waited = broadcast_at[n_item - 1] - 1 - n_item - vector_lost if n_item > 0 else np.int64(0)
            last_issue = max(np.int64(pe_times[1].max()) - 1, np.int64(0))
        blocked[d] = waited
        if last_issue > 0:
            cycles[d] = last_issue + DRAIN_CYCLES
            for p in range(entries.shape[1]):
                late = _late_empty(items, entries, p, broadcast_at, pe_times[1, p], last_issue)
                empty[d, p] = empty_items[p] - late


@kernel
def _same_items(before, now, any_sign):
    """Whether two vectors have the same active inputs."""
    for j in range(len(now)):
        was = before[j] != 0 if any_sign else before[j] > 0
        is_now = now[j] != 0 if any_sign else now[j] > 0
        if was != is_now:
            return False
    return True


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
