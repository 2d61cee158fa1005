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

from eie_sim.core.jit import kernel
from eie_sim.core.result import Timeline
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.counts import EieCounts
from eie_sim.units.eie.words import EieClass, EieEvent, EieTiming


class Service(NamedTuple):
    """Entries that every column asks of every PE, [n_column, n_pe] each.

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


_SERVICES: WeakKeyDictionary[EieCounts, dict[int, Service]] = WeakKeyDictionary()
"""Tables by entries of a Spmat row. This module makes them once; they live as long as the counts they are made of."""


def service(matrix: EieCounts, entries_per_row: int) -> Service:
    """Return the tables of a matrix for a width of the Spmat SRAM."""
    made = _SERVICES.setdefault(matrix, {})
    if entries_per_row not in made:
        made[entries_per_row] = _service(matrix, entries_per_row)
    return made[entries_per_row]


def _service(matrix: EieCounts, entries_per_row: int) -> Service:
    """Make the tables as narrow as their figures allow: the engine waits for memory more than it computes.

    They are made some columns at a time, so that a matrix of millions of columns takes little memory beside them.
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
    """Time and events of several vectors at several queue depths; only cycles and waiting depend on the depth.

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
    items: int = 0
    lost: int = 0


class Items(NamedTuple):
    """Items of one vector in the order of their broadcast, int32[n_item] each; T and L as at the top of this module.

    columns : the column of each
    lost : cycles the scan loses before each
    broadcast_at : T
    taken_by_all : max over PEs of L
    """

    columns: NDArray[np.int32]
    lost: NDArray[np.int32]
    broadcast_at: NDArray[np.int32]
    taken_by_all: NDArray[np.int32]


class PeTimes(NamedTuple):
    """Cycles of each PE, int32[n_pe] each.

    free_at : first cycle in which it can take its next item
    busy_until : cycle after its last entry, 0 where it has issued none
    """

    free_at: NDArray[np.int32]
    busy_until: NDArray[np.int32]


class Scratch(NamedTuple):
    """Memory that every vector uses again.

    items : int32[4, n_column], rows as in `Items`
    pes : PeTimes
    narrow : [5, n_pe] in the type of `Service.first_row`: the sums of `Totals`, and the Spmat row that is latched
    vector : Totals of the one vector
    """

    items: NDArray[np.int32]
    pes: PeTimes
    narrow: NDArray[np.integer]
    vector: Totals


def totals(
    matrix: EieCounts, activations: NDArray[np.int16], config: EieConfig, depths: NDArray[np.int64] | None = None
) -> Totals:
    """Run raw activations int16[n_vector, n_in] one after the other, at each queue depth from a clean start.

    depths : int64[n_depth], ascending; the config's own when left out
    """
    asked, n_pe = service(matrix, config.entries_per_row), matrix.n_pe
    depths = np.array([config.queue_depth], dtype=np.int64) if depths is None else depths
    found, vector = (
        Totals(
            cycles=np.zeros((len(depths), n_vector), dtype=np.int64),
            sums=np.zeros((4, n_pe), dtype=np.int64),
            empty=np.zeros((len(depths), n_pe), dtype=np.int64),
            blocked=np.zeros(len(depths), dtype=np.int64),
        )
        for n_vector in (len(activations), 1)
    )
    scratch = Scratch(
        items=np.empty((4, matrix.n_column), dtype=np.int32),
        pes=PeTimes(*np.empty((2, n_pe), dtype=np.int32)),
        narrow=np.empty((5, n_pe), dtype=asked.first_row.dtype),
        vector=vector,
    )
    items, lost = _run_vectors(activations, config.active == "nonzero", depths, asked, scratch, found)
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
    items = _scan(activations, config.active == "nonzero", matrix.has_bias, n_pe, scratch)
    _solve(items, asked.entries, config.queue_depth, PeTimes(*np.zeros((2, n_pe), dtype=np.int32)))
    taken_at = np.empty((len(items.columns), n_pe), dtype=np.int64)
    _take(items, asked.entries, np.zeros(n_pe, dtype=np.int64), taken_at)
    return items.broadcast_at.astype(np.int64), taken_at


# A vector whose active inputs are those of the vector before leaves scratch.vector as it is: values do not count, only
# which inputs are active. So after each vector, scratch.vector holds that vector's figures, and `found` the sum so far.
@kernel
def _run_vectors(activations, any_sign, depths, asked, scratch, found):
    """Add up every vector into `found`; returns the items and the cycles lost of all vectors."""
    has_bias = len(asked.entries) > activations.shape[1]
    vector, sums, empty, blocked = scratch.vector, found.sums, found.empty, found.blocked
    all_items, all_lost = np.int64(0), np.int64(0)
    n_item, n_lost = np.int64(0), np.int64(0)
    for v in range(len(activations)):
        if v == 0 or not _same_items(activations[v - 1], activations[v], any_sign):
            items = _scan(activations[v], any_sign, has_bias, asked.entries.shape[1], scratch.items)
            n_item, n_lost = np.int64(len(items.columns)), np.int64(items.lost.sum())
            _add_up(items.columns, asked, scratch.narrow, vector.sums)
            _at_depths(items, depths, asked.entries, scratch.pes, vector)
        all_items += n_item
        all_lost += n_lost
        for d in range(len(depths)):
            found.cycles[d, v] = vector.cycles[d, 0]
        sums += vector.sums
        empty += vector.empty
        blocked += vector.blocked
    return all_items, all_lost


# Times shrink as the depth grows, and stay once no item waits for a queue. So the times in `items` and `pes` are those
# of every deeper queue too, and they are solved again only while items wait: T of the last item is then later than
# 1 + n_item + the cycles lost, by just the cycles in which it and those before it were blocked.
@kernel
def _at_depths(items, depths, entries, pes, vector):
    """Fill cycles, empty and blocked of one vector, whose sums are known, at every depth."""
    n_item, n_lost = len(items.columns), np.int64(items.lost.sum())
    waited = np.int64(1)
    last_issue = np.int64(0)
    for d in range(len(depths)):
        if waited > 0:
            pes.free_at[:] = 0
            pes.busy_until[:] = 0
            _solve(items, entries, depths[d], pes)
            waited = items.broadcast_at[n_item - 1] - 1 - n_item - n_lost if n_item > 0 else np.int64(0)
            last_issue = max(np.int64(pes.busy_until.max()) - 1, np.int64(0))
        vector.blocked[d] = waited
        vector.cycles[d, 0] = 0
        vector.empty[d] = 0
        if last_issue > 0:
            vector.cycles[d, 0] = last_issue + DRAIN_CYCLES
            for p in range(len(pes.busy_until)):
                late = _late_empty(items.columns, items.broadcast_at, entries[:, p], pes.busy_until[p], last_issue)
                vector.empty[d, p] = vector.sums[2, p] - late


@kernel
def _same_items(before, now, any_sign):
    """Say whether two vectors have the same active inputs."""
    for j in range(len(now)):
        was = before[j] != 0 if any_sign else before[j] > 0
        is_now = now[j] != 0 if any_sign else now[j] > 0
        if was != is_now:
            return False
    return True


# Every lane row without an active input costs a cycle, and every other one does after its last active input, unless
# that sits in the last lane. lost_since holds the cycles lost since the last item; the next item takes them over, and
# those after the last item delay nothing. A bias is a lane row of its own, in lane 0.
@kernel
def _scan(activations, any_sign, has_bias, n_pe, scratch):
    """Return the Items of a vector in scratch int32[4, n_column]: columns and lost are filled, times are not."""
    columns, lost = scratch[0], scratch[1]
    n_in = len(activations)
    n_item = 0
    lost_since = 0
    for row_start in range(0, n_in, n_pe):
        row_end = min(row_start + n_pe, n_in)
        last_active = -1
        for j in range(row_start, row_end):
            if activations[j] > 0 or (any_sign and activations[j] != 0):
                columns[n_item] = j
                lost[n_item] = lost_since
                lost_since = 0
                last_active = j
                n_item += 1
        if last_active != row_start + n_pe - 1:
            lost_since += 1
    if has_bias:
        columns[n_item] = n_in
        lost[n_item] = lost_since
        n_item += 1
    return Items(columns[:n_item], lost[:n_item], scratch[2, :n_item], scratch[3, :n_item])


# Before item k, `previous` is T[k-1], free_at[p] = L[k-1, p] + max(1, n[k-1, p]), the second term of L[k, p], and
# taken_by_all holds max_p L of all items before, of which T[k] needs that of item k - Q: its leaving every queue frees
# the place that item k takes. One pass over the PEs then gives L[k, p] of each, and no L is kept.
@kernel
def _solve(items, entries, queue_depth, pes):
    """Fill T and max over PEs of L, given zeros in `pes`; int32 throughout, for vector registers."""
    free_at, busy_until = pes.free_at, pes.busy_until
    previous = np.int32(1)
    for k in range(len(items.columns)):
        at = np.int32(previous + 1 + items.lost[k])
        if k >= queue_depth:
            at = max(at, np.int32(items.taken_by_all[k - queue_depth] + 1))
        items.broadcast_at[k] = at
        previous = at
        visible = np.int32(at + 1)
        latest = np.int32(0)
        of_item = entries[items.columns[k]]
        for p in range(len(free_at)):
            n = np.int32(of_item[p])
            taken = max(visible, free_at[p])
            latest = max(latest, taken)
            done = np.int32(taken + max(n, np.int32(1)))
            free_at[p] = done
            busy_until[p] = done if n > 0 else busy_until[p]
        items.taken_by_all[k] = latest


# Before each block, sums hold the items before it, and narrow sums are 0: safe_items is how many items surely fit their
# type. The latched row stays from block to block.
@kernel
def _add_up(columns, asked, narrow, sums):
    """Sum entries, padding, items without entries and Spmat rows read, PE by PE, into sums int64[4, n_pe]."""
    sums[:] = 0
    narrow[4] = -1
    for start in range(0, len(columns), asked.safe_items):
        narrow[:4] = 0
        _add_block(columns[start : start + asked.safe_items], asked, narrow)
        sums += narrow[:4]


# latched[p] is the Spmat row that PE p has read last: the largest so far, as entries lie in the order of the items. An
# item touches the rows first[p] .. first[p] + touched[p] - 1, and does not read the first of them where it is latched.
# Every step stays as narrow as the sums, so that many PEs share a vector register.
@kernel
def _add_block(columns, asked, narrow):
    """Add up a few items, whose sums fit the type of `narrow`."""
    of_type = narrow.dtype.type
    sum_entries, sum_padding, sum_empty, sum_rows, latched = narrow[0], narrow[1], narrow[2], narrow[3], narrow[4]
    for k in range(len(columns)):
        j = columns[k]
        of_item, fillers, touched, first = asked.entries[j], asked.padding[j], asked.rows[j], asked.first_row[j]
        for p in range(len(latched)):
            n, row, row_before = of_type(of_item[p]), first[p], latched[p]
            sum_entries[p] = of_type(sum_entries[p] + n)
            sum_padding[p] = of_type(sum_padding[p] + of_type(fillers[p]))
            sum_empty[p] = of_type(sum_empty[p] + of_type(n == 0))
            sum_rows[p] = of_type(sum_rows[p] + of_type(of_type(touched[p]) - of_type(row == row_before)))
            latched[p] = max(row_before, of_type(of_type(row + of_type(touched[p])) - 1))


# The items a PE takes after the last issue of all PEs are without entries, and a tail of those that follow its own last
# entry: it takes one in each cycle from busy_until on, or later as they come. The first one taken too late tells how
# many are, as those behind it are later still. They count in no class, for the cycles after the last issue drain.
@kernel
def _late_empty(columns, broadcast_at, entries, busy_until, last_issue):
    """Return how many items without entries a PE takes after the last issue; entries : [n_column], of the PE."""
    n_item = len(columns)
    k = n_item
    while k > 0 and entries[columns[k - 1]] == 0:
        k -= 1
    free_at = np.int64(busy_until)
    for later in range(k, n_item):
        taken = max(np.int64(broadcast_at[later]) + 1, free_at)
        if taken > last_issue:
            return n_item - later
        free_at = taken + 1
    return 0


@kernel
def _take(items, entries, free_at, taken_at):
    """Fill L, given T."""
    for k in range(len(items.columns)):
        of_item = entries[items.columns[k]]
        for p in range(len(free_at)):
            taken = max(np.int64(items.broadcast_at[k]) + 1, free_at[p])
            taken_at[k, p] = taken
            free_at[p] = taken + max(1, np.int64(of_item[p]))
