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

Waves. Bytes of a wave depend on where it starts within a block column, and on clipped tiles. Waves that must have the
same bytes are counted, and one of them is worked out (`alike`).

Readings of the page, each in one place: an instruction is whole where a tile is smaller (`_step`); what warps read is
an exact sum, rounded up in the time, and once for the whole product in the count (`_step`, `_counts`); stored rows are
whole groups, and metadata of a block row is whole bytes (`_block_row`); DRAM is busy for the sum of the waves' times,
each rounded up, and its bytes are counted even where it has no limit (`_dram`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from math import gcd
from typing import NamedTuple

from eie_sim.nm_pattern import Pattern, position_bits
from eie_sim.result import NmTiming
from eie_sim.units.nm.config import Rate, TensorCoreConfig

Tile = tuple[int, int]
Run = Callable[[int, int, int, Pattern, Tile, TensorCoreConfig], NmTiming]
"""An engine: rows, inputs, columns, the pattern it runs as, the tile, the design."""


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


class _Bytes(NamedTuple):
    """Bytes, and the metadata among them."""

    total: int
    metadata: int


class _Product(NamedTuple):
    """A product in tiles: tile t has block row t mod rows and block column t div rows.

    block_row, last_block_row : what the full block rows of A and the last, clipped one take
    column_bytes : of one column of B
    """

    m: int
    n: int
    bm: int
    bn: int
    rows: int
    columns: int
    block_row: _Bytes
    last_block_row: _Bytes
    column_bytes: int
    out_bytes: int


def timed(
    m: int, k: int, n: int, n_keep: int, m_group: int, config: TensorCoreConfig
) -> tuple[NmTiming, Tile, Pattern]:
    """Timing of A [m, k], of pattern n_keep:m_group, times B [k, n]; the tile chosen; the pattern it runs as."""
    pattern = config.runs_as(n_keep, m_group)
    timing, tile = fewest_cycles(run, m, k, n, pattern, config)
    return timing, tile, pattern


def fewest_cycles(
    engine: Run, m: int, k: int, n: int, pattern: Pattern, config: TensorCoreConfig
) -> tuple[NmTiming, Tile]:
    """Timing and tile of the fewest cycles among the design's tiles, the first on a tie."""
    every = [(engine(m, k, n, pattern, tile, config), tile) for tile in config.tiles]
    return min(every, key=lambda each: each[0].cycles)


def run(m: int, k: int, n: int, pattern: Pattern, tile: Tile, config: TensorCoreConfig) -> NmTiming:
    """Time A [m, k] times B [k, n] in tiles of (bm, bn); `pattern` is the one A runs as, (1, 1) for dense.

    Source: the timing section of the unit's page. Sizes are 1 or more; nothing is checked here.
    """
    bm, bn = tile
    product = in_tiles(m, k, n, pattern, tile, config)
    tiles = product.rows * product.columns
    waves = _up(tiles, config.n_core)
    steps = _up(k, config.bk)
    step = _step(pattern, tile, config)
    store = _cycles(bm * bn * config.out_bytes, config.store_bytes_per_cycle)
    end = last_step_end(steps, step.copy, config.l2_latency, max(step.reads, step.issue), config.stages)
    cycles, dram_busy, dram = _dram(product, config, end + config.mma_latency + store)
    of_steps = waves * steps
    return NmTiming(
        cycles=cycles + config.launch,
        counts=(
            *_counts(step, tiles * steps, sparse=pattern[0] < pattern[1]),
            dram.total,
            dram.metadata,
            tiles * bm * bn * config.out_bytes,
            tiles,
            waves,
            waves * config.n_core - tiles,
        ),
        busy=(step.issue * of_steps, step.reads * of_steps, step.copy * of_steps, store * waves, dram_busy),
    )


def in_tiles(m: int, k: int, n: int, pattern: Pattern, tile: Tile, config: TensorCoreConfig) -> _Product:
    """The product of A [m, k] and B [k, n], with the bytes of its parts."""
    bm, bn = tile
    rows, size = _up(m, bm), config.elem_bytes
    full, clipped = (_block_row(height, k, pattern, size) for height in (bm, m - (rows - 1) * bm))
    return _Product(m, n, bm, bn, rows, _up(n, bn), full, clipped, k * size, config.out_bytes)


def last_step_end(steps: int, copy: int, latency: int, compute: int, stages: int) -> int:
    """Cycle in which the last of `steps` >= 1 steps is computed. Derived at the top of this module."""
    through = copy + latency + compute
    slower = max(copy, compute)
    most = (steps - 1) // stages
    return max((returns + 1) * through + (steps - 1 - returns * stages) * slower for returns in (0, most))


def alike(rows: int, columns: int, n_core: int) -> Iterator[tuple[int, int]]:
    """Groups of waves with the same bytes: (one of them, how many); each wave is in one group.

    rows, columns : blocks of the product

    Wave `edge` is the first with tiles of the last block column, whose width may be clipped. It and the last wave,
    which may be partial, stand alone. Waves between them have n_core tiles of that column, never of the last block row.
    """
    last = _up(rows * columns, n_core) - 1
    edge = rows * (columns - 1) // n_core
    yield from _before(edge, rows, n_core)
    yield edge, 1
    if last > edge:
        yield last, 1
    if last > edge + 1:
        yield edge + 1, last - edge - 1


def _before(edge: int, rows: int, n_core: int) -> Iterator[tuple[int, int]]:
    """The same for waves 0..edge-1, of n_core tiles and of block columns of full width.

    Wave w starts in block row s = w * rest mod rows, where rest = n_core mod rows. Beyond the whole columns that every
    wave holds, it ends before the end of a block column, at it, or behind it: s + rest against rows. It reaches the end
    where (w + 1) rest div rows is one more than w rest div rows, which adds up to edge * rest div rows waves; it ends
    there where rows divides (w + 1) rest, once a period.
    """
    rest = n_core % rows
    if rest == 0:
        groups = [(0, edge)]
    else:
        period = rows // gcd(rest, rows)
        at_end = edge // period
        behind = edge * rest // rows - at_end
        groups = [(0, edge - at_end - behind), (period - 1, at_end), ((rows - 1) // rest, behind)]
    yield from (group for group in groups if group[1])


def wave_bytes(wave: int, product: _Product, n_core: int) -> _Bytes:
    """Distinct bytes of one wave, clipped to the real product: block rows of A, block columns of B, tiles of D."""
    rows = product.rows
    start = wave * n_core
    stop = min(start + n_core, rows * product.columns)
    distinct = min(stop - start, rows)
    short = start % rows + stop - start >= rows  # holds a tile of the last block row, which may be clipped
    full, clipped = product.block_row, product.last_block_row
    weights = (distinct - short) * full.total + short * clipped.total
    metadata = (distinct - short) * full.metadata + short * clipped.metadata
    left, right = start // rows * product.bn, min(((stop - 1) // rows + 1) * product.bn, product.n)
    activations = (right - left) * product.column_bytes
    outputs = (_area(stop, product) - _area(start, product)) * product.out_bytes
    return _Bytes(weights + activations + outputs, metadata)


def _block_row(height: int, k: int, pattern: Pattern, elem_bytes: int) -> _Bytes:
    """Stored values and metadata of `height` rows of A: whole groups, and whole bytes of metadata."""
    kept, group = pattern
    values = height * _up(k, group) * kept
    metadata = _up(values * position_bits(pattern), 8)
    return _Bytes(values * elem_bytes + metadata, metadata)


def _area(tile: int, product: _Product) -> int:
    """Outputs of the tiles before `tile`."""
    column, row = divmod(tile, product.rows)
    left = min(column * product.bn, product.n)
    return left * product.m + min(product.bn, product.n - left) * row * product.bm


def _dram(product: _Product, config: TensorCoreConfig, tile_time: int) -> tuple[int, int, _Bytes]:
    """Cycles of all waves, cycles that DRAM is busy in them, and its bytes; without a limit it is never busy."""
    cycles = busy = total = metadata = 0
    rate = config.dram_bytes_per_cycle
    for wave, many in alike(product.rows, product.columns, config.n_core):
        wave_total, wave_metadata = wave_bytes(wave, product, config.n_core)
        needed = 0 if rate is None else _cycles(wave_total, rate)
        cycles += many * max(tile_time, needed)
        busy += many * needed
        total += many * wave_total
        metadata += many * wave_metadata
    return cycles, busy, _Bytes(total, metadata)


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
    """How many of `size` cover `amount`."""
    return -(-amount // size)


def _cycles(amount: int, rate: Rate, per: int = 1) -> int:
    """Cycles for `amount` / `per` bytes at `rate` bytes per cycle, rounded up once."""
    assert isinstance(rate, Fraction)  # TensorCoreConfig makes it one
    return _up(amount * rate.denominator, rate.numerator * per)
