"""The fast engine of the N:M unit: closed forms in whole numbers; neither steps, tiles nor waves are walked.

Steps of a tile. With copy time g, latency l, compute time p and q step buffers, for step i = 0..S-1,

    copied[i]   = max(copied[i-1], computed[i-q]) + g        the port, and a free buffer
    computed[i] = max(copied[i] + l, computed[i-1]) + p      usable data, and the order of steps

This is max-plus: computed[S-1] is the longest path from the first copy. A path goes back from computing to copying r
times, each time q steps further on, so r <= (S-1) div q. It copies, waits l and computes r + 1 times; each of the
S-1 - r q other steps moves on along the copies (g) or along the computations (p), whichever is longer, and both are
there whatever r is:

    computed[S-1] = max over r of (r + 1) (g + l + p) + (S-1 - r q) max(g, p)

That is linear in r, so the longest path has either r = 0 or all the returns there is room for (`last_step_end`).

What stays in L2. Held are the objects touched last that fit: one is found again just where it and all that were touched
since, those that never fit left out, are no more than l2_bytes. Between a block row's tiles of two block columns every
other block row is touched once, the block column it left, and the one it comes to, but by block row 0, which comes
first. Between a block column's tiles lies one block row. So a tile's place says what it reads (`_Product.reads_row`,
`reads_column`), a wave reads what any of its tiles does, and products share no objects.

Waves. What a wave reads depends on where it starts within a block column, and on whether it has tiles of the first one,
all of whose block rows are new, or of the last, which may be clipped. Waves that must read the same are counted, and
one of them is worked out (`alike`).

Readings of the page, each in one place: an instruction is whole where a tile is smaller (`_step`); what warps read is
an exact sum, rounded up in the time, and once for all products in the count (`_step`, `_counts`), and so is what DRAM
moves (`run`); stored rows are whole groups (`in_tiles`); DRAM is busy for the sum of the waves' times, each rounded
up, and its bytes are counted even where it has no limit (`run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from typing import NamedTuple

from eie_sim.core.nm_pattern import Pattern, position_bits
from eie_sim.units.nm.config import Rate, TensorCoreConfig
from eie_sim.units.nm.words import NmTiming

Tile = tuple[int, int]
Shape = tuple[int, int, int]
"""Rows of A, inputs, columns of B."""

Engine = Callable[[Sequence[Shape], Pattern, Tile, TensorCoreConfig, bool], NmTiming]
"""An engine: products of one launch, the pattern they run as, the tile, the design, whether L2 has every A already."""


class _Step(NamedTuple):
    """One step of a tile: cycles of its copy, operand reads and issue, and what they move."""

    copy: int
    reads: int
    issue: int
    macs: int
    l2_bytes: int
    l2_metadata_bytes: int
    smem_bits: int
    smem_metadata_bits: int


class _Product(NamedTuple):
    """A product in tiles: tile t has block row t mod rows and block column t div rows. Sizes are bits, and exact.

    row, row_metadata : of one stored row of A, and the metadata within it
    column : of one column of B
    output : of one output
    l2, held_rows : of all that stays, and of all block rows that may
    steps : of a tile
    a_held : whether L2 has A already
    """

    m: int
    n: int
    bm: int
    bn: int
    rows: int
    columns: int
    row: int
    row_metadata: int
    column: int
    output: int
    l2: int
    held_rows: int
    steps: int
    a_held: bool

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    def height(self, row: int) -> int:
        """Rows of A in a block row."""
        return min(self.bm, self.m - row * self.bm)

    def width(self, column: int) -> int:
        """Columns of B in a block column."""
        return min(self.bn, self.n - column * self.bn)

    def held(self, size: int) -> int:
        """Return the bytes of L2 that an object takes: none where it never fits."""
        return size if size <= self.l2 else 0

    def reads_row(self, row: int, column: int) -> bool:
        """True if a tile reads its block row; else it has it from the block column before."""
        if self.a_held:
            return False
        if column == 0 or self.height(row) * self.row > self.l2:
            return True
        since = self.held_rows + self.held(self.width(column - 1) * self.column)
        return since + (row > 0) * self.held(self.width(column) * self.column) > self.l2

    def reads_column(self, row: int, column: int) -> bool:
        """True if a tile reads its block column; else it has it from the block row above."""
        return row == 0 or self.width(column) * self.column + self.held(self.height(row) * self.row) > self.l2


Part = tuple[_Product, int, int]
"""Tiles start..stop-1 of a product, in one wave."""


def fewest_cycles(
    engine: Engine, shapes: Sequence[Shape], pattern: Pattern, config: TensorCoreConfig, a_held: bool = False
) -> tuple[NmTiming, Tile]:
    """Timing and tile of the fewest cycles among the tiles to be taken, the first on a tie.

    Taken are groups of tiles of equal area, largest first, until one holds a tile that fills the chip; in the largest
    of the products, it is more than half full. Libraries keep to large tiles where these fill.
    """

    def area(tile: Tile) -> int:
        return tile[0] * tile[1]

    def fills(tile: Tile) -> bool:
        bm, bn = tile
        n_tile = sum(_up(m, bm) * _up(n, bn) for m, _, n in shapes)
        return n_tile >= config.n_core and max(2 * n for *_, n in shapes) > bn and max(2 * m for m, *_ in shapes) > bm

    taken: set[Tile] = set()
    for _, group in groupby(sorted(config.tiles, key=area, reverse=True), area):
        alike = list(group)
        taken.update(alike)
        if any(fills(tile) for tile in alike):
            break
    every = [(engine(shapes, pattern, tile, config, a_held), tile) for tile in config.tiles if tile in taken]
    return min(every, key=lambda each: each[0].cycles)


def run(
    shapes: Sequence[Shape], pattern: Pattern, tile: Tile, config: TensorCoreConfig, a_held: bool = False
) -> NmTiming:
    """Time products A [m, k] times B [k, n] of one launch in tiles of (bm, bn).

    shapes : (m, k, n) of each; m and k 1 or more; without columns there are no tiles; at least one has columns
    pattern : the one that every A runs as, (1, 1) for dense
    a_held : L2 has every A from a launch before; B and what else stays are as without

    Source: the timing section of the unit's page. Nothing is checked here.
    """
    bm, bn = tile
    step = _step(pattern, tile, config)
    store = _cycles(bm * bn * config.out_bytes, config.store_bytes_per_cycle)
    products = [in_tiles(shape, pattern, tile, config, a_held) for shape in shapes if shape[2]]
    tiles = sum(each.tiles for each in products)
    compute = max(step.reads, step.issue)
    ends = {
        each.steps: last_step_end(each.steps, step.copy, config.l2_latency, compute, config.stages) for each in products
    }
    rate = config.dram_bytes_per_cycle
    cycles = config.launch
    waves = steps = dram_busy = dram_bits = metadata_bits = 0
    for parts, many in _waves(products, config.n_core):
        bits = [moved(*part) for part in parts]
        total = sum(all_bits for all_bits, _ in bits)
        needed = 0 if rate is None else _cycles(total, rate, per=8)
        slowest = max(ends[product.steps] for product, _, _ in parts) + config.mma_latency + store
        cycles += many * max(needed, slowest)
        waves += many
        steps += many * parts[0][0].steps  # of core 0
        dram_busy += many * needed
        dram_bits += many * total
        metadata_bits += many * sum(metadata for _, metadata in bits)
    return NmTiming(
        cycles=cycles,
        counts=(
            *_counts(step, sum(each.tiles * each.steps for each in products), sparse=pattern[0] < pattern[1]),
            _up(dram_bits, 8),
            _up(metadata_bits, 8),
            tiles * bm * bn * config.out_bytes,
            tiles,
            waves,
            waves * config.n_core - tiles,
        ),
        busy=(step.issue * steps, step.reads * steps, step.copy * steps, store * waves, dram_busy),
    )


def in_tiles(shape: Shape, pattern: Pattern, tile: Tile, config: TensorCoreConfig, a_held: bool = False) -> _Product:
    """The product of A [m, k] and B [k, n] in tiles; rows of A are stored in whole groups."""
    (m, k, n), (bm, bn), (kept, group) = shape, tile, pattern
    values, rows, l2 = _up(k, group) * kept, _up(m, bm), 8 * config.l2_bytes
    row = values * (8 * config.elem_bytes + position_bits(pattern))
    last_row = (m - (rows - 1) * bm) * row
    return _Product(
        m=m,
        n=n,
        bm=bm,
        bn=bn,
        rows=rows,
        columns=_up(n, bn),
        row=row,
        row_metadata=values * position_bits(pattern),
        column=8 * k * config.elem_bytes,
        output=8 * config.out_bytes,
        l2=l2,
        held_rows=(rows - 1) * bm * row * (bm * row <= l2) + last_row * (last_row <= l2),
        steps=_up(k, config.bk),
        a_held=a_held,
    )


def last_step_end(steps: int, copy: int, latency: int, compute: int, stages: int) -> int:
    """Cycle in which the last of `steps` >= 1 steps is computed. Derived at the top of this module."""
    through = copy + latency + compute
    slower = max(copy, compute)
    most = (steps - 1) // stages
    return max((returns + 1) * through + (steps - 1 - returns * stages) * slower for returns in (0, most))


# `parts` is the wave under way, with `free` cores left; it is empty where a wave ends. A product first fills it, then
# has whole waves of its own, counted by kind, and its rest begins the next: every tile is in one wave, in order.
def _waves(products: Sequence[_Product], n_core: int) -> Iterator[tuple[list[Part], int]]:
    """Waves over all products, those that move the same together: (the parts of one of them, how many)."""
    parts: list[Part] = []
    free = n_core
    for product in products:
        first = min(free, product.tiles) if parts else 0  # join the wave under way
        if first:
            parts.append((product, 0, first))
            free -= first
            if not free:
                yield parts, 1
                parts, free = [], n_core
        whole = (product.tiles - first) // n_core
        for start, many in alike(product.rows, product.columns, first, whole, n_core):
            yield [(product, start, start + n_core)], many
        rest = first + whole * n_core
        if rest < product.tiles:
            parts.append((product, rest, product.tiles))
            free -= product.tiles - rest
    if parts:
        yield parts, 1


def alike(rows: int, columns: int, first: int, whole: int, n_core: int) -> Iterator[tuple[int, int]]:
    """Groups of the `whole` full waves from tile `first` on that move the same: (first tile of one, how many).

    rows, columns : blocks of the product

    Wave `head` is the last to start in the first block column, `tail` the first with tiles of the last. These, the
    first and the last wave stand alone. Between the first and `head`, and between `tail` and the last, are n_core tiles
    of one block column, never of block row 0 or the last. Between `head` and `tail` block columns are all alike.
    """
    if not whole:
        return
    last = whole - 1
    head = min(max((rows - 1 - first) // n_core, 0), last)
    tail = min(max((rows * (columns - 1) - first) // n_core, head), last)
    groups = [(wave, 1) for wave in {0, head, tail, last}]
    groups += [(1, head - 1), (tail + 1, last - tail - 1)]
    yield from ((first + wave * n_core, many) for wave, many in groups if many > 0)
    if tail - head > 1:
        yield from _between(rows, first + (head + 1) * n_core, tail - head - 1, n_core)


def _between(rows: int, start: int, waves: int, n_core: int) -> Iterator[tuple[int, int]]:
    """The same for so many waves from tile `start` on, with no tiles of the first or last block column.

    They start at block row s = start + w * n_core mod rows. Beyond the whole columns that every wave holds, one
    ends before the end of a block column, at it, or behind it; and one starts with block row 0, the last, or another.
    """
    at_end = rows - n_core % rows
    places = sorted({0, 1, at_end, at_end + 1, rows - 1, rows})
    for place, end in pairwise(place for place in places if place <= rows):
        # floor((x - place) / rows) - floor((x - end) / rows) is 1 where place <= x mod rows < end, else 0
        many = floor_sum(waves, n_core, start - place, rows) - floor_sum(waves, n_core, start - end, rows)
        if many:
            yield rows + place, many


def floor_sum(count: int, step: int, offset: int, size: int) -> int:
    """Sum of floor((step * i + offset) / size) for i in 0..count-1, as Euclid finds a divisor."""
    # total and the sum of what is left make the sum asked for; size shrinks as in Euclid's algorithm.
    total = 0
    while count > 0:
        total += count * (count - 1) // 2 * (step // size) + count * (offset // size)
        step, offset = step % size, offset % size
        count, offset = divmod(step * count + offset, size)  # points below the line, counted along the other axis
        step, size = size, step
    return total


def moved(product: _Product, start: int, stop: int) -> tuple[int, int]:
    """Bits that DRAM moves for tiles start..stop-1 of a wave, clipped to the real product, and the metadata in them."""
    rows = product.rows
    read = 0  # rows of A
    for row, end in pairwise(sorted({0, 1 % rows, start % rows, stop % rows, rows - 1, rows})):
        # the block columns that it is touched in; those between read it only where the first does
        first, last = -((row - start) // rows), (stop - 1 - row) // rows
        if first <= last and (product.reads_row(row, first) or product.reads_row(row, last)):
            read += min(end * product.bm, product.m) - row * product.bm
    (left, row), (right, _) = divmod(start, rows), divmod(stop - 1, rows)
    bottom = min(rows - 1, row + stop - 1 - start)
    if not (product.reads_column(row, left) or product.reads_column(bottom, left)):
        left += 1
    columns = min((right + 1) * product.bn, product.n) - min(left * product.bn, product.n)
    outputs = _area(stop, product) - _area(start, product)
    metadata = read * product.row_metadata
    return read * product.row + columns * product.column + outputs * product.output, metadata


def _area(tile: int, product: _Product) -> int:
    """Outputs of the tiles before `tile`."""
    column, row = divmod(tile, product.rows)
    left = min(column * product.bn, product.n)
    return left * product.m + min(product.bn, product.n - left) * row * product.bm


def _step(pattern: Pattern, tile: Tile, config: TensorCoreConfig) -> _Step:
    """One step. `bk` is a multiple of the group, so that a row has a whole number of values and of metadata bits."""
    (bm, bn), (mm, mn, mk), bk, size = tile, config.mma, config.bk, config.elem_bytes
    kept = bk // pattern[1] * pattern[0]
    row_bits = kept * position_bits(pattern)
    wm, wn = min(config.wm, bm), min(config.wn, bn)
    warps = _up(bm, wm) * _up(bn, wn)
    smem_bits = warps * (8 * size * (wm * kept + bk * wn) + wm * row_bits)
    instructions = _up(bm, mm) * _up(bn, mn) * _up(kept, mk)
    l2_metadata = _up(bm * row_bits, 8)
    l2_bytes = size * (bm * kept + bk * bn) + l2_metadata
    return _Step(
        copy=_cycles(l2_bytes, config.l2_bytes_per_cycle),
        reads=_cycles(smem_bits, config.smem_bytes_per_cycle, per=8),
        issue=_up(instructions * _up(mm * mn * mk, config.macs_per_cycle), config.tc_per_core),
        macs=bm * bn * kept,
        l2_bytes=l2_bytes,
        l2_metadata_bytes=l2_metadata,
        smem_bits=smem_bits,
        smem_metadata_bits=warps * wm * row_bits,
    )


def _counts(step: _Step, times: int, *, sparse: bool) -> tuple[int, ...]:
    """Events of all steps of all tiles, in the order of NmEvent from MACS to SMEM_METADATA_BYTES."""
    macs = step.macs * times
    return (
        macs,
        macs if sparse else 0,
        step.l2_bytes * times,
        step.l2_metadata_bytes * times,
        _up(step.smem_bits * times, 8),
        _up(step.smem_metadata_bits * times, 8),
    )


def _up(amount: int, size: int) -> int:
    """Return how many pieces of `size` cover `amount`."""
    return -(-amount // size)


def _cycles(amount: int, rate: Rate, per: int = 1) -> int:
    """Cycles for `amount` / `per` bytes at `rate` bytes per cycle, rounded up once."""
    assert isinstance(rate, Fraction)  # TensorCoreConfig makes it one
    return _up(amount * rate.denominator, rate.numerator * per)
