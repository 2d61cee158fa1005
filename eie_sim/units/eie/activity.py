"""One vector on the array, in bins of cycles: when PEs were busy, how much was queued, where cycles went.

Everything follows from the timeline of a result and the matrix it ran. Times come in order on every PE, so that sums up
to any cycle take a binary search, and no array of cycles times PEs is ever made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.brief import shows
from eie_sim.core.errors import as_array, require, require_int, require_type
from eie_sim.core.fixed import one
from eie_sim.core.result import SimResult
from eie_sim.units.eie import signals as waveform
from eie_sim.units.eie import spelled
from eie_sim.units.eie import tracks as parts
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.unit import checked_activations, config_for, raw_activations, simulate
from eie_sim.units.eie.words import EieClass

Cycles = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """One vector on the EIE array, item by item. Build one with `eie_sim.activity`.

    Cycles are numbered 1 to `cycles`. Items taken after the last issue may lie beyond. `edges` of the methods are cycle
    numbers int64[n_bin + 1], ascending within 1..cycles + 1: bin i has the cycles edges[i] <= cycle < edges[i + 1].

    columns : int64[n_item], the broadcast column of each item; n_in is the bias
    values : int64[n_item], raw activation that drives it
    sent_at : int64[n_item], cycle of the broadcast
    taken_at : int64[n_item, n_pe], cycle in which the PE takes the item
    entries, padding : int32[n_item, n_pe], entries of the item on the PE, and padding entries among them
    matrix : what ran, with complete scales
    result : of the one vector
    label : what ran, in words
    """

    columns: NDArray[np.int64]
    values: NDArray[np.int64]
    sent_at: Cycles
    taken_at: Cycles
    entries: NDArray[np.int32]
    padding: NDArray[np.int32]
    matrix: EieMatrix
    result: SimResult
    label: str

    __repr__ = shows("label", "cycles", "n_item", "n_pe", "queue_depth", "config_hash")

    @property
    def n_pe(self) -> int:
        """PEs of the design."""
        return self.matrix.n_pe

    @property
    def queue_depth(self) -> int:
        """Places in the queue of a PE."""
        return int(self.result.config.queue_depth)

    @property
    def cycles(self) -> int:
        """Length of the layer; 0 where no entry was issued."""
        return self.result.cycles

    @property
    def config_hash(self) -> str:
        """Hash of the design, as the result has it."""
        return self.result.config_hash

    @property
    def n_item(self) -> int:
        """Items broadcast."""
        return len(self.columns)

    @property
    def last_issue(self) -> int:
        """Cycle in which the last entry is issued; 0 where none is."""
        return max(self.cycles - DRAIN_CYCLES, 0)

    @property
    def ready_at(self) -> Cycles:
        """Cycle in which each item would be sent if no queue were full, int64[n_item].

        From the cycle after the item before it on, the scan loses cycles up to this one; then the item is blocked.
        """
        lane_row, lane = np.divmod(self.columns, self.n_pe)
        is_bias = self.columns == self.matrix.n_in
        lane_row = np.where(is_bias, -(-self.matrix.n_in // self.n_pe), lane_row)  # a lane row of its own
        before = np.concatenate([[-1], lane_row])[:-1]
        in_last_lane = np.concatenate([[True], lane == self.n_pe - 1])[:-1]
        lost = np.where(lane_row > before, lane_row - before - in_last_lane, 0)
        return np.asarray(np.concatenate([[1], self.sent_at])[:-1] + 1 + lost)

    def bins(self, n_bin: int) -> Cycles:
        """Edges of at most `n_bin` bins of about equal width over all cycles, int64; of no bin where cycles is 0."""
        require_int("n_bin", n_bin, 1)
        n_bin = min(n_bin, max(self.cycles, 1))
        return np.unique(1 + np.arange(n_bin + 1, dtype=np.int64) * self.cycles // n_bin)

    def busy(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Share of each bin's cycles in which the PE issues an entry, float64[n_pe, n_bin], 0 to 1."""
        at = self._edges(edges)
        return self._shares(at, lambda pe: _covered(self.taken_at[:, pe], self.entries[:, pe], at))

    def queued(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Mean number of items in the queue, float64[n_pe, n_bin]; one sits in it from the cycle after its broadcast
        to the one in which it is taken.
        """
        at = self._edges(edges)
        sent = _since(self.sent_at + 1, at)
        return self._shares(at, lambda pe: sent - _since(self.taken_at[:, pe] + 1, at))

    def full(self, edges: ArrayLike) -> NDArray[np.float64]:
        """Share of each bin's cycles in which the queue holds `queue_depth` items, float64[n_pe, n_bin], 0 to 1.

        With item k sent, it is full until item k - queue_depth + 1 is taken; before that, item k + 1 is not sent.
        """
        at = self._edges(edges)
        newest = self.sent_at[self.queue_depth - 1 :]
        oldest = self.taken_at[: len(newest)]
        return self._shares(at, lambda pe: _covered(newest + 1, np.maximum(oldest[:, pe] - newest, 0), at))

    def classes(self, edges: ArrayLike) -> NDArray[np.int64]:
        """PE-cycles of all PEs by class, int64[n_class, n_bin], rows by `EieClass`; columns add to n_pe times width."""
        total = np.zeros((len(EieClass), len(self._edges(edges)) - 1), dtype=np.int64)
        for pe in range(self.n_pe):
            total += self.classes_of(pe, edges)
        return total

    def classes_of(self, pe: int, edges: ArrayLike) -> NDArray[np.int64]:
        """Cycles of one PE by class, int64[n_class, n_bin], rows by `EieClass`; columns add to the bin's width."""
        require_int("pe", pe, 0, self.n_pe - 1)
        at = self._edges(edges)
        taken_at, entries = self.taken_at[:, pe], self.entries[:, pe]
        issued = _covered(taken_at, entries, at)
        padding = self._padding_before(pe, at)
        nothing = taken_at[entries == 0]
        before = np.zeros((len(EieClass), len(at)), dtype=np.int64)
        before[EieClass.WEIGHT] = issued - padding
        before[EieClass.PADDING] = padding
        before[EieClass.EMPTY] = np.searchsorted(nothing, np.minimum(at, self.last_issue + 1))
        before[EieClass.DRAIN] = np.maximum(at - self.last_issue - 1, 0)
        before[EieClass.WAITING] = at - before.sum(axis=0)  # from cycle 0, which no bin holds
        return np.diff(before)

    def first_entry(self, pe: int) -> NDArray[np.int64]:
        """Return the first place of each item's entries on a PE in the matrix's `codes` and `gaps`, int64[n_item]."""
        return np.asarray(self.matrix.pe_starts[pe] + self.matrix.pointers[self.columns, pe])

    # What `eie_sim.core.activity` asks for beside all this.
    tracks = parts.tracks
    signals = waveform.signals
    signalled = waveform.values
    notes = waveform.notes
    words = spelled.words
    legend = spelled.legend
    blocks = spelled.blocks
    outputs = spelled.outputs

    @cached_property
    def _fillers(self) -> NDArray[np.int32]:
        """Padding entries among the first so many of the matrix, int32[n_entry + 1]."""
        return _before(self.matrix.codes == 0, np.int32)

    def _padding_before(self, pe: int, at: Cycles) -> NDArray[np.int64]:
        """Padding entries that a PE issues before each cycle: of the items before, and of the part of the last one."""
        if not self.n_item:
            return np.zeros(len(at), dtype=np.int64)
        taken_at = self.taken_at[:, pe]
        begun = np.searchsorted(taken_at, at)
        last = np.maximum(begun - 1, 0)
        issued = np.where(begun > 0, np.minimum(at - taken_at[last], self.entries[last, pe]), 0)
        first = self.first_entry(pe)[last]
        return _before(self.padding[:, pe])[last] + self._fillers[first + issued] - self._fillers[first]

    def _shares(self, at: Cycles, before: Any) -> NDArray[np.float64]:
        """A quantity of each PE, summed `before(pe)` every edge, as its mean over each bin's cycles."""
        means = np.empty((self.n_pe, len(at) - 1))
        for pe in range(self.n_pe):
            means[pe] = np.diff(before(pe)) / np.diff(at)
        return means

    def _edges(self, edges: ArrayLike) -> Cycles:
        given = as_array("edges", edges)
        ok = given.dtype.kind in "iu" and given.ndim == 1 and len(given) > 0
        require(ok, "edges", f"{given.dtype} of shape {given.shape}", "must be a list of cycle numbers")
        at = given.astype(np.int64)
        rule = f"must ascend within 1..{self.cycles + 1}, one after the last cycle"
        ok = bool((np.diff(at) > 0).all()) and at[0] >= 1 and at[-1] <= self.cycles + 1
        require(ok, "edges", f"{at[0]}..{at[-1]}", rule)
        return at


def activity(
    matrix: EieMatrix,
    activations: ArrayLike,
    config: EieConfig | None = None,
    *,
    vector: int = 0,
    engine: str = "fast",
) -> Activity:
    """Run one vector through a compressed layer on the EIE array, and return what happens in which cycle.

    activations : [n_in] or [n_vector, n_in], as `simulate` takes them; open scales are chosen for all of them
    vector : which of them
    engine : "fast" or "reference"

    Raises InputError as `simulate` does, and for a vector that is not there.
    """
    require_type("matrix", matrix, EieMatrix)
    require_type("config", config, EieConfig, NoneType)
    config = config or config_for(matrix)
    batch = np.atleast_2d(checked_activations(matrix, activations))
    require(len(batch) > 0, "activations", f"shape {batch.shape}", "must be at least one vector")
    require_int("vector", vector, 0, len(batch) - 1)
    matrix = matrix.with_scales_for(batch, active=config.active)
    result = simulate(matrix, batch[vector], config, engine=engine, timeline=True)
    return activity_of(matrix, batch[vector], result, label=f"{matrix.n_out}x{matrix.n_in}, vector {vector}")


def activity_of(matrix: EieMatrix, activations: NDArray[Any], result: SimResult, *, label: str) -> Activity:
    """Return the activity behind a result with a timeline, of one vector, float or raw [n_in].

    matrix : with complete scales, those of the result; label : what ran, in words
    """
    assert isinstance(result.timeline, tuple)
    assert matrix.scales.activation is not None
    raw = raw_activations(matrix, activations)
    columns = matrix.items(raw, result.config.active).astype(np.int64)
    sent_at, taken_at = result.timeline
    return Activity(
        columns=columns,
        values=np.append(raw.astype(np.int64), one(matrix.scales.activation))[columns],
        sent_at=sent_at,
        taken_at=taken_at,
        entries=matrix.pointers[columns + 1] - matrix.pointers[columns],
        padding=matrix.padding[columns],
        matrix=matrix,
        result=result,
        label=label,
    )


def _covered(starts: Cycles, lengths: NDArray[np.integer], at: Cycles) -> NDArray[np.int64]:
    """Cycles before each of `at` that lie in intervals, which come in order and do not overlap."""
    starts = np.concatenate([[0], starts])  # an interval of no cycle before all, so that one has always begun
    lengths = np.concatenate([[0], lengths])
    last = np.searchsorted(starts, at) - 1
    return np.asarray(_before(lengths)[last] + np.minimum(at - starts[last], lengths[last]))


def _since(starts: Cycles, at: Cycles) -> NDArray[np.int64]:
    """Cycles before each of `at` since the starts, ascending, that lie before it: the sum over all of them."""
    begun = np.searchsorted(starts, at)
    return np.asarray(begun * at - _before(starts)[begun])


def _before(values: NDArray[Any], dtype: Any = np.int64) -> NDArray[Any]:
    """Sums of the first 0, 1, ... n values, [n + 1]."""
    sums = np.zeros(len(values) + 1, dtype=dtype)
    np.cumsum(values, out=sums[1:])
    return sums
