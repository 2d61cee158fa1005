"""The reference engine: a chip of N:M tensor cores as SimPy processes that read like the timing page of the unit.

A core computes one output tile at a time, walking along K in steps. Its copier brings the values, metadata and
activations of a step through the core's L2 port into a free step buffer; `l2_latency` cycles after the copy ends the
data can be used, while the port has gone on. The step in the buffer is computed: operands are read from shared memory
for the warps while instructions are issued to the tensor cores, and the buffer is free from the cycle in which both are
done. After the last step the sums take `mma_latency` to be complete, and are stored. A scheduler hands the tiles to the
cores in waves, product after product, and DRAM moves meanwhile what the wave needs and L2 does not hold; the next wave
starts when both are through.

What a core's parts do costs the same in every tile of a product, so the cores of a wave that have tiles of the same
product run in lockstep: one of them is simulated in full, and what it does is counted for all. Core 0 has the first
tile of each wave.

A time is where the clock stands when something happens, in whole cycles. Only a port turns an amount into cycles:
amount over rate, both exact rationals, rounded up once.

What the page leaves to the reader, with (a, b) the pattern kept, f = a/b, (bm, bn) the tile:

* A step is ceil(bm/mm) * ceil(bn/mn) * ceil(bk*f/mk) instructions, each whole even where the tile is smaller than it.
* A step is read by ceil(bm/wm) * ceil(bn/wn) warps, with wm and wn capped to the tile.
* A row has (bk/b) * a positions in a step. Metadata of the copied bm rows are whole bytes, of the wm rows that a warp
  reads they need not be; only the bytes read in the whole product are rounded up.
* DRAM holds whole groups of the real K, ceil(K/b) * a values a row. Metadata of a block row need not be whole bytes;
  only the bytes of all waves are rounded up. It counts bytes where it has no limit too, and is then never busy.
* A block row or column that L2 cannot hold, or that left it within a wave, is read once in that wave all the same.
* A pattern that keeps all has no metadata and selects no operands.
"""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby, islice
from math import ceil
from typing import Any, NamedTuple

import simpy

from eie_sim.core.nm_pattern import Pattern, position_bits
from eie_sim.units.channel import Channel
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart, NmTiming

Process = Generator[simpy.Event, None, None]


class Product(NamedTuple):
    """D[m, n] = A[m, k] @ B[k, n] in output tiles of bm x bn; A is stored for the pattern it runs as."""

    m: int
    k: int
    n: int
    pattern: Pattern
    bm: int
    bn: int

    def kept(self, length: int) -> int:
        """Values stored of `length` inputs of a row: whole groups."""
        a, b = self.pattern
        return ceil(Fraction(length, b)) * a

    def metadata_bits(self, length: int) -> int:
        """Positions of the values stored of `length` inputs of a row, bits."""
        return self.kept(length) * position_bits(self.pattern)

    def steps(self, bk: int) -> int:
        """Steps of bk along K."""
        return ceil(Fraction(self.k, bk))

    def block_rows(self) -> int:
        """Tiles down the output."""
        return ceil(Fraction(self.m, self.bm))

    def tiles(self) -> int:
        """Tiles of the output, edges too."""
        return self.block_rows() * ceil(Fraction(self.n, self.bn))

    def place(self, tile: int) -> tuple[int, int]:
        """Block row and block column of a tile; tiles are numbered down the block rows first."""
        column, row = divmod(tile, self.block_rows())
        return row, column

    def real_rows(self, block_row: int) -> int:
        """Rows of a block row that exist."""
        return min(self.bm, self.m - block_row * self.bm)

    def real_columns(self, block_column: int) -> int:
        """Columns of a block column that exist."""
        return min(self.bn, self.n - block_column * self.bn)


class Tile(NamedTuple):
    """An output tile: which product it is of, counted from 0, and its block row and block column."""

    at: int
    product: Product
    place: tuple[int, int]


class Load(NamedTuple):
    """Something to move: bytes in all, and the metadata within them."""

    total_bytes: int | Fraction
    metadata_bytes: int | Fraction


class StepWork(NamedTuple):
    """Work that one step asks of the parts of a core.

    copy : through the L2 port
    operands : read from shared memory by all warps
    tensor_cycles : cycles of one tensor core that the instructions hold
    macs : multiplications by kept values of the full tile
    selects : rows of B that they select by a position
    """

    copy: Load
    operands: Load
    tensor_cycles: int
    macs: int
    selects: int

    @classmethod
    def of(cls, product: Product, config: TensorCoreConfig) -> StepWork:
        """Every step of a product costs as much as a full one."""
        bm, bn, bk = product.bm, product.bn, config.bk
        kept = product.kept(bk)
        mm, mn, mk = config.mma
        instructions = ceil(Fraction(bm, mm)) * ceil(Fraction(bn, mn)) * ceil(Fraction(kept, mk))
        macs = bm * bn * kept
        return cls(
            copy=tile_copy(product, config),
            operands=warp_reads(product, config),
            tensor_cycles=instructions * ceil(Fraction(mm * mn * mk, config.macs_per_cycle)),
            macs=macs,
            selects=macs if position_bits(product.pattern) > 0 else 0,
        )


def tile_copy(product: Product, config: TensorCoreConfig) -> Load:
    """Values and metadata of bm rows, and bn columns of activations, for one step; metadata in whole bytes."""
    values = product.bm * product.kept(config.bk) * config.elem_bytes
    metadata = ceil(Fraction(product.bm * product.metadata_bits(config.bk), 8))
    activations = config.bk * product.bn * config.elem_bytes
    return Load(values + metadata + activations, metadata)


def warp_reads(product: Product, config: TensorCoreConfig) -> Load:
    """Operands of all warps for one step: each reads its own rows of A, metadata too, and its own columns of B."""
    wm, wn = min(config.wm, product.bm), min(config.wn, product.bn)
    values = wm * product.kept(config.bk) * config.elem_bytes
    metadata = Fraction(wm * product.metadata_bits(config.bk), 8)
    activations = config.bk * wn * config.elem_bytes
    warps = ceil(Fraction(product.bm, wm)) * ceil(Fraction(product.bn, wn))
    return Load(warps * (values + metadata + activations), warps * metadata)


class Port:
    """A part that works at an exact rate, and knows how long it has.

    rate : of whatever it works on, a cycle; None has no limit
    """

    def __init__(self, env: simpy.Environment, rate: Any) -> None:
        self._env = env
        self._rate = None if rate is None else Fraction(rate)
        self.busy_cycles = 0

    def work(self, amount: int | Fraction) -> Process:
        """Be busy for as many cycles as the amount takes, rounded up."""
        if self._rate is None:
            return
        started = int(self._env.now)
        yield self._env.timeout(ceil(amount / self._rate))
        self.busy_cycles += int(self._env.now) - started


class Tally:
    """Counts by NmEvent, exact; bytes of metadata need not be whole before the end."""

    def __init__(self) -> None:
        self._counts: list[int | Fraction] = [0] * len(NmEvent)

    def add(self, event: NmEvent, amount: int | Fraction) -> None:
        """Count something that happened."""
        self._counts[event] += amount

    def whole(self) -> tuple[int, ...]:
        """All counts, rounded up."""
        return tuple(ceil(count) for count in self._counts)


class Core:
    """One core: step buffers, L2 port, shared memory, tensor cores and stores, working on one tile."""

    def __init__(self, env: simpy.Environment, config: TensorCoreConfig, tally: Tally) -> None:
        self.env = env
        self.config = config
        self.tally = tally
        self.buffers = Channel(env, depth=config.stages, latency_cycles=config.l2_latency, credit_cycles=0)
        self.l2 = Port(env, config.l2_bytes_per_cycle)
        self.smem = Port(env, config.smem_bytes_per_cycle)
        self.tensor = Port(env, config.tc_per_core)
        self.stores = Port(env, config.store_bytes_per_cycle)
        self.step: StepWork
        self.in_lockstep: int  # with this core in this wave, itself included

    def run_tile(self, product: Product, in_lockstep: int) -> Process:
        """Compute and store a tile, as do all `in_lockstep` cores that have one of the product in this wave."""
        self.step = StepWork.of(product, self.config)
        self.in_lockstep = in_lockstep
        steps = range(product.steps(self.config.bk))
        self.env.process(self.copy_steps(steps))
        for step in steps:
            yield from self.compute_step(step)
        yield self.env.timeout(self.config.mma_latency)
        yield from self.store(product.bm * product.bn * self.config.out_bytes)

    def copy_steps(self, steps: range) -> Process:
        """The copier: wait for a free buffer, fill it; one copy after the other on the port."""
        for step in steps:
            yield from self.buffers.reserve()
            yield from self.l2.work(self.step.copy.total_bytes)
            self.count(NmEvent.L2_BYTES, self.step.copy.total_bytes)
            self.count(NmEvent.L2_METADATA_BYTES, self.step.copy.metadata_bytes)
            self.buffers.send(step)

    def compute_step(self, expected: int) -> Process:
        """Wait for the data of a step; read operands and issue at the same time; then the buffer is free."""
        step = yield from self.buffers.receive()
        assert step == expected
        yield self.env.process(self.read_operands()) & self.env.process(self.issue())
        self.buffers.release()

    def read_operands(self) -> Process:
        """Shared memory feeds the warps."""
        yield from self.smem.work(self.step.operands.total_bytes)
        self.count(NmEvent.SMEM_BYTES, self.step.operands.total_bytes)
        self.count(NmEvent.SMEM_METADATA_BYTES, self.step.operands.metadata_bytes)

    def issue(self) -> Process:
        """The tensor cores share the instructions; in a sparse one each MAC selects its row of B."""
        yield from self.tensor.work(self.step.tensor_cycles)
        self.count(NmEvent.MACS, self.step.macs)
        self.count(NmEvent.OPERAND_SELECTS, self.step.selects)

    def store(self, output_bytes: int) -> Process:
        """Write the output tile back."""
        yield from self.stores.work(output_bytes)
        self.count(NmEvent.STORE_BYTES, output_bytes)

    def count(self, event: NmEvent, amount: int | Fraction) -> None:
        """Count an event of this core, and so of all in lockstep with it."""
        self.tally.add(event, amount * self.in_lockstep)


class L2:
    """Contents of the chip's L2: objects by name with their bytes, the least recently touched first."""

    def __init__(self, size_bytes: int) -> None:
        self.free_bytes: int | Fraction = size_bytes
        self.size_bytes = size_bytes
        self.held: dict[Hashable, int | Fraction] = {}

    def touch(self, name: Hashable, size: int | Fraction) -> bool:
        """Use an object, and hold it if it can be; whether it was held already."""
        found = name in self.held
        if found:
            self.free_bytes += self.held.pop(name)
        if size <= self.size_bytes:
            self.held[name] = size
            self.free_bytes -= size
        while self.free_bytes < 0:
            self.free_bytes += self.held.pop(next(iter(self.held)))
        return found


class Dram:
    """The chip's memory: in a wave it moves each block row of A and block column of B not held in L2, and outputs."""

    def __init__(self, env: simpy.Environment, config: TensorCoreConfig, tally: Tally, a_held: bool) -> None:
        self.config = config
        self.tally = tally
        self.a_held = a_held
        self.port = Port(env, config.dram_bytes_per_cycle)
        self.l2 = L2(config.l2_bytes)

    def serve(self, wave: Sequence[Tile]) -> Process:
        """Move what the tiles of a wave need, clipped to the real products; what several need is moved once."""
        read: dict[Hashable, Load] = {}
        outputs = 0
        for at, product, (row, column) in wave:
            rows, columns = product.real_rows(row), product.real_columns(column)
            outputs += rows * columns * self.config.out_bytes
            metadata = Fraction(rows * product.metadata_bits(product.k), 8)
            weights = Load(rows * product.kept(product.k) * self.config.elem_bytes + metadata, metadata)
            activations = Load(product.k * columns * self.config.elem_bytes, 0)
            touched: dict[Hashable, Load] = {(at, "row", row): weights, (at, "column", column): activations}
            missing = {name: load for name, load in touched.items() if not self.l2.touch(name, load.total_bytes)}
            if self.a_held:
                missing.pop((at, "row", row), None)
            read |= missing
        moved = outputs + sum(load.total_bytes for load in read.values())
        yield from self.port.work(moved)
        self.tally.add(NmEvent.DRAM_BYTES, moved)
        self.tally.add(NmEvent.DRAM_METADATA_BYTES, sum(load.metadata_bytes for load in read.values()))


class Chip:
    """Cores, DRAM, and the scheduler that hands out the tiles of all products in waves."""

    def __init__(
        self, env: simpy.Environment, products: Sequence[Product], config: TensorCoreConfig, a_held: bool
    ) -> None:
        self.env = env
        self.config = config
        self.tally = Tally()
        self.core = Core(env, config, self.tally)
        self.dram = Dram(env, config, self.tally, a_held)
        self.tiles = (
            Tile(at, product, product.place(tile))
            for at, product in enumerate(products)
            for tile in range(product.tiles())
        )

    def run(self) -> Process:
        """Launch; then wave after wave, each over when its tiles are stored and DRAM has moved its bytes."""
        yield self.env.timeout(self.config.launch)
        while wave := list(islice(self.tiles, self.config.n_core)):
            yield self.env.all_of([self.env.process(self.dram.serve(wave)), *self.compute(wave)])
            self.tally.add(NmEvent.TILES, len(wave))
            self.tally.add(NmEvent.WAVES, 1)
            self.tally.add(NmEvent.IDLE_CORES, self.config.n_core - len(wave))  # none but in the last wave

    def compute(self, wave: Sequence[Tile]) -> Iterator[simpy.Process]:
        """A core at work for each product of the wave: core 0 for that of the first tile."""
        core = self.core
        for _, tiles in groupby(wave, lambda tile: tile.at):
            in_lockstep = list(tiles)
            yield self.env.process(core.run_tile(in_lockstep[0].product, len(in_lockstep)))
            core = Core(self.env, self.config, self.tally)

    def busy(self) -> tuple[int, ...]:
        """Busy cycles by NmPart: of core 0 over its tiles, and of DRAM over the waves."""
        ports = {
            NmPart.TENSOR: self.core.tensor,
            NmPart.SMEM: self.core.smem,
            NmPart.L2: self.core.l2,
            NmPart.STORE: self.core.stores,
            NmPart.DRAM: self.dram.port,
        }
        return tuple(ports[part].busy_cycles for part in NmPart)


def run(
    shapes: Sequence[tuple[int, int, int]],
    pattern: Pattern,
    tile: tuple[int, int],
    config: TensorCoreConfig,
    a_held: bool = False,
) -> NmTiming:
    """Time products D[m, n] = A[m, k] @ B[k, n] of one launch.

    shapes : (m, k, n) of each: rows of the weights A, inputs, each at least 1, and columns of the activations B
    pattern : (a, b) that every A runs and is stored as, listed in the config, or (1, 1) for dense
    tile : (bm, bn), one of the config's
    a_held : L2 has every A already, as a launch before left it: no block row is read from DRAM
    """
    env = simpy.Environment()
    chip = Chip(env, [Product(*shape, pattern, *tile) for shape in shapes], config, a_held)
    env.run(until=env.process(chip.run()))
    return NmTiming(cycles=int(env.now), counts=chip.tally.whole(), busy=chip.busy())
