"""The reference engine: the array as SimPy processes that read like section IV of the paper.

A control unit scans the inputs for non-zeros and broadcasts them. Each processing element takes an activation from its
queue, reads the column's pair of pointers, walks the entries row by row of its Spmat SRAM, decodes each code and
accumulates. Times are where the clock stands when things happen; the pointer pair is read while the column before it is
walked, and takes no time of its own. The pipeline's depth is added at the end, when the last entry has been issued.

Source: Han et al. 2016, section IV (leading non-zero detection, activation queue, pointer read unit, sparse matrix read
unit, arithmetic unit, activation read/write unit).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from eie_sim.core.fixed import accumulator_range, half_and_shift, one, product, saturating_add
from eie_sim.units.channel import Channel
from eie_sim.units.eie.config import DRAIN_CYCLES, EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.words import EieClass, EieEvent, EieRun, EieTiming

Process = Generator[simpy.Event, None, None]


class Item(NamedTuple):
    """An item of the broadcast: the column, and the raw activation that drives it."""

    column: int
    value: int


END = Item(-1, 0)
"""Tells a PE that nothing follows. It is bookkeeping of the model, not an item of the machine."""


class PointerBanks:
    """The pointer SRAM: even and odd pointers in a bank each, so that a column's start and end come in one cycle."""

    def __init__(self, pointers: NDArray[np.int32]) -> None:
        self._banks = pointers[0::2].tolist(), pointers[1::2].tolist()

    def read_pair(self, column: int) -> tuple[int, int]:
        """Start and end of a column's entries."""
        return self._banks[column % 2][column // 2], self._banks[(column + 1) % 2][(column + 1) // 2]


class SpmatSram:
    """The entries of one PE in rows of several; the row read last stays latched."""

    def __init__(self, codes: NDArray[np.uint8], gaps: NDArray[np.uint8], entries_per_row: int) -> None:
        entries = list(zip(codes.tolist(), gaps.tolist(), strict=True))
        self._rows = [entries[at : at + entries_per_row] for at in range(0, len(entries), entries_per_row)]
        self._entries_per_row = entries_per_row
        self._latched_row = -1
        self._latch: list[tuple[int, int]] = []
        self.reads = 0

    def entry(self, at: int) -> tuple[int, int]:
        """Code and gap of entry `at`."""
        row, place = divmod(at, self._entries_per_row)
        if row != self._latched_row:
            self._latch, self._latched_row = self._rows[row], row
            self.reads += 1
        return self._latch[place]


class ProcessingElement:
    """One PE: its memories, its queue, its accumulators, and a log of what it did when."""

    def __init__(self, env: simpy.Environment, pe: int, matrix: EieMatrix, config: EieConfig) -> None:
        entries = slice(int(matrix.pe_starts[pe]), int(matrix.pe_starts[pe + 1]))
        self.env = env
        self.queue = Channel(env, depth=config.queue_depth)
        self.pointers = PointerBanks(matrix.col_ptr[pe])
        self.spmat = SpmatSram(matrix.codes[entries], matrix.gaps[entries], config.entries_per_row)
        self.codebook = matrix.codebook_raw.tolist()
        self.accumulators = [0] * len(range(pe, matrix.n_out, matrix.n_pe))
        self.half, self.shift = half_and_shift(config.rounding, matrix.scales.shift)
        self.range = accumulator_range(config.accumulator_bits)
        self.counts = [0] * len(EieEvent)
        self.taken_at: list[int] = []
        self.cycles_of: dict[EieClass, list[int]] = {kind: [] for kind in EieClass}

    def run(self) -> Process:
        """Take items until the end; one entry a cycle, and a cycle for a column without entries."""
        while (item := (yield from self.queue.take())) is not END:
            self.counts[EieEvent.QUEUE_READS] += 1
            self.taken_at.append(int(self.env.now))
            start, end = self.pointers.read_pair(item.column)
            self.counts[EieEvent.POINTER_READS] += 1
            if start == end:
                yield from self.spend_cycle(EieClass.EMPTY)
            row = -1
            for at in range(start, end):
                code, gap = self.spmat.entry(at)
                row += gap + 1
                if self.decode_and_accumulate(code, row, item.value):
                    yield from self.spend_cycle(EieClass.WEIGHT)
                else:
                    yield from self.spend_cycle(EieClass.PADDING)

    def decode_and_accumulate(self, code: int, row: int, activation: int) -> bool:
        """Look the code up and accumulate into local row `row`. False for a padding entry, which writes nothing."""
        self.counts[EieEvent.CODEBOOK_READS] += 1
        if code == 0:
            self.counts[EieEvent.PADDING_ENTRIES] += 1
            return False
        addend = product(self.codebook[code], activation, self.half, self.shift)
        self.counts[EieEvent.ACCUMULATOR_READS] += 1
        self.accumulators[row] = saturating_add(self.accumulators[row], addend, *self.range)
        self.counts[EieEvent.ACCUMULATOR_WRITES] += 1
        self.counts[EieEvent.MACS] += 1
        return True

    def spend_cycle(self, kind: EieClass) -> Process:
        """Be occupied for the current cycle."""
        self.cycles_of[kind].append(int(self.env.now))
        yield self.env.timeout(1)

    def write_back(self) -> None:
        """Write the accumulators out."""
        self.counts[EieEvent.OUTPUT_WRITES] += len(self.accumulators)


class ControlUnit:
    """The central control unit: scans lane rows of inputs and broadcasts active ones to all PEs at once."""

    def __init__(self, env: simpy.Environment, pes: list[ProcessingElement]) -> None:
        self.env = env
        self.pes = pes
        self.broadcast_at: list[int] = []
        self.blocked_cycles = 0
        self.idle_cycles = 0
        self.lost_cycles = 0

    def run(self, lane_rows: list[list[Item | None]]) -> Process:
        """Broadcast the active items of each lane row; moving on before the last lane costs a cycle."""
        for lane_row in lane_rows:
            active = [lane for lane, item in enumerate(lane_row) if item is not None]
            for lane in active:
                yield self.env.timeout(1)
                yield from self.broadcast(lane_row[lane])
            if not active or active[-1] != len(lane_row) - 1:
                yield self.env.timeout(1)
                self.idle_cycles += 1
        for pe in self.pes:
            pe.queue.send(END)

    def broadcast(self, item: Item | None) -> Process:
        """Collect a slot from every queue first, then send: one full queue stops the broadcast to all."""
        ready_at = self.env.now
        for pe in self.pes:
            yield from pe.queue.reserve()
        self.blocked_cycles += int(self.env.now - ready_at)
        self.lost_cycles = self.idle_cycles
        self.broadcast_at.append(int(self.env.now))
        for pe in self.pes:
            pe.queue.send(item)
            pe.counts[EieEvent.QUEUE_WRITES] += 1


def run(matrix: EieMatrix, activations: NDArray[np.int16], config: EieConfig) -> EieRun:
    """Simulate raw activations int16[n_in] and return everything, timeline included. The scales must be complete."""
    env = simpy.Environment(initial_time=1)
    pes = [ProcessingElement(env, pe, matrix, config) for pe in range(matrix.n_pe)]
    control = ControlUnit(env, pes)
    env.process(control.run(lane_rows_of(matrix, activations, config)))
    done = [env.process(pe.run()) for pe in pes]
    env.run(until=simpy.AllOf(env, done))
    for pe in pes:
        pe.write_back()
    issues = [cycle for pe in pes for kind in (EieClass.WEIGHT, EieClass.PADDING) for cycle in pe.cycles_of[kind][-1:]]
    cycles = max(issues) + DRAIN_CYCLES if issues else 0
    return EieRun(
        output=gather_output(pes, matrix.n_out),
        timing=EieTiming(
            cycles=cycles,
            counts=gather_counts(pes, control),
            classes=np.array([classify(pe, cycles) for pe in pes], dtype=np.int64),
            broadcast=np.array([len(control.broadcast_at), control.blocked_cycles, control.lost_cycles]),
            timeline=gather_timeline(pes, control),
        ),
    )


def lane_rows_of(matrix: EieMatrix, activations: NDArray[np.int16], config: EieConfig) -> list[list[Item | None]]:
    """Inputs in rows of n_pe lanes, None where nothing is to be sent. A bias is a row of its own, driven by 1.0."""
    assert matrix.scales.activation is not None
    lanes: list[Item | None] = [
        Item(column, value) if (value > 0 or (config.active == "nonzero" and value != 0)) else None
        for column, value in enumerate(activations.tolist())
    ]
    lanes += [None] * (-len(lanes) % config.n_pe)
    if matrix.has_bias:
        lanes += [Item(matrix.n_in, one(matrix.scales.activation))] + [None] * (config.n_pe - 1)
    return [lanes[at : at + config.n_pe] for at in range(0, len(lanes), config.n_pe)]


def classify(pe: ProcessingElement, cycles: int) -> list[int]:
    """Put each cycle 1..cycles of a PE into one class: what its log says, else waiting; the last ones drain."""
    kind_of = np.full(cycles + 1, EieClass.WAITING)
    for kind, at in pe.cycles_of.items():
        logged = np.array(at, dtype=np.int64)
        kind_of[logged[logged <= cycles]] = kind
    kind_of[cycles - DRAIN_CYCLES + 1 :] = EieClass.DRAIN
    return [int(np.count_nonzero(kind_of[1:] == kind)) for kind in EieClass]


def gather_output(pes: list[ProcessingElement], n_out: int) -> NDArray[np.int64]:
    """Raw accumulators in row order, int64[n_out]."""
    output = np.zeros(n_out, dtype=np.int64)
    for pe, element in enumerate(pes):
        output[pe :: len(pes)] = element.accumulators
    return output


def gather_counts(pes: list[ProcessingElement], control: ControlUnit) -> NDArray[np.int64]:
    """The count matrix int64[n_pe + 1, n_event]; its last row is the control unit."""
    counts = np.zeros((len(pes) + 1, len(EieEvent)), dtype=np.int64)
    counts[-1, EieEvent.BROADCASTS] = len(control.broadcast_at)
    for pe, element in enumerate(pes):
        counts[pe] = element.counts
        counts[pe, EieEvent.SPMAT_READS] = element.spmat.reads
    return counts


def gather_timeline(pes: list[ProcessingElement], control: ControlUnit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(T int64[n_item], L int64[n_item, n_pe])."""
    broadcast_at = np.array(control.broadcast_at, dtype=np.int64)
    taken_at = np.array([pe.taken_at for pe in pes], dtype=np.int64).T
    return broadcast_at, np.ascontiguousarray(taken_at).reshape(len(broadcast_at), len(pes))
