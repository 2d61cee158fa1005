"""The N:M unit's timing against plain loops over steps, tiles and waves."""

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from tiny_chip import DENSE, TILE, TINY, timed

from eie_sim.core.nm_pattern import position_bits
from eie_sim.units.nm import fast
from eie_sim.units.nm.config import MAX_SIDE, PRESETS, TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart


def plain_end(steps, copy, latency, compute, stages):
    copied, computed = [0], [0] * stages  # computed[i + stages] is of step i
    for step in range(steps):
        copied.append(max(copied[-1], computed[step]) + copy)
        computed.append(max(copied[-1] + latency, computed[-1]) + compute)
    return computed[-1]


few = st.integers(1, 40)


@given(st.integers(1, 200), few, st.integers(0, 200), few, st.integers(1, 9))
def test_the_closed_form_is_the_plain_recurrence(steps, copy, latency, compute, stages):
    assert fast.last_step_end(steps, copy, latency, compute, stages) == plain_end(steps, copy, latency, compute, stages)


def test_millions_of_steps_cost_nothing():
    longest = fast.run([(2, MAX_SIDE, 2)], DENSE, TILE, TINY).cycles
    assert longest == 8 * (MAX_SIDE // 4) + 3 + 4 + 1 + 4 + 10


def test_the_largest_product_costs_nothing():
    for name in PRESETS:
        timing, _, _ = timed(MAX_SIDE, MAX_SIDE, MAX_SIDE - 1, 2, 4, TensorCoreConfig.preset(name))
        assert timing.counts[NmEvent.MACS] >= MAX_SIDE**2 * (MAX_SIDE - 1) // 2


class Loops(NamedTuple):
    """What loops over waves and sets find where nothing stays in L2: cycles, and busy, bytes and metadata of DRAM."""

    cycles: int
    dram_busy: int
    dram_bytes: int
    dram_metadata: int


def loops(m, k, n, pattern, tile, config, tile_time):
    (bm, bn), (kept, group) = tile, pattern
    rows, columns = ceil(m / bm), ceil(n / bn)
    found = [config.launch, 0, Fraction(0), Fraction(0)]
    for start in range(0, rows * columns, config.n_core):
        tiles = [(t % rows, t // rows) for t in range(start, min(start + config.n_core, rows * columns))]
        high = {row: min(bm, m - row * bm) for row, _ in tiles}
        wide = {column: min(bn, n - column * bn) for _, column in tiles}
        stored = {row: height * ceil(k / group) * kept for row, height in high.items()}
        metadata = Fraction(sum(stored.values()) * position_bits(pattern), 8)
        operands = (sum(stored.values()) + k * sum(wide.values())) * config.elem_bytes
        size = operands + metadata + sum(high[r] * wide[c] for r, c in tiles) * config.out_bytes
        needed = 0 if config.dram_bytes_per_cycle is None else ceil(size / config.dram_bytes_per_cycle)
        found = [a + b for a, b in zip(found, (max(tile_time, needed), needed, size, metadata), strict=True)]
    return Loops(*map(ceil, found))


@st.composite
def designs(draw):
    rate = st.fractions(Fraction(1, 4), 64, max_denominator=7)
    return TensorCoreConfig(
        n_core=draw(st.integers(1, 30)),
        tc_per_core=draw(st.integers(1, 4)),
        macs_per_cycle=draw(st.integers(1, 64)),
        mma=(2, 2, draw(st.integers(1, 8))),
        tiles=((2, 2), (4, 2), (8, 4)),
        bk=8,
        wm=draw(st.sampled_from((1, 2, 4))),
        wn=draw(st.sampled_from((1, 2))),
        stages=draw(st.integers(1, 5)),
        smem_bytes_per_cycle=draw(rate),
        l2_bytes_per_cycle=draw(rate),
        l2_latency=draw(st.integers(0, 90)),
        store_bytes_per_cycle=draw(rate),
        dram_bytes_per_cycle=draw(st.none() | rate),
        mma_latency=draw(st.integers(0, 9)),
        launch=draw(st.integers(0, 99)),
        elem_bytes=draw(st.sampled_from((1, 2))),
        out_bytes=draw(st.integers(1, 4)),
        patterns=((2, 4), (1, 8), (1, 2)),
        l2_bytes=0,
    )


sizes = st.integers(1, 60)
patterns = st.sampled_from((DENSE, (2, 4), (1, 8), (1, 2)))


@given(sizes, sizes, sizes, patterns, designs())
def test_waves_are_those_of_plain_loops(m, k, n, pattern, config):
    for tile in config.tiles:
        timing = fast.run([(m, k, n)], pattern, tile, config)
        # one core, one tile, no DRAM: the tile's own time
        alone = replace(config, n_core=1, dram_bytes_per_cycle=None, launch=0)
        tile_time = fast.run([(1, k, 1)], pattern, tile, alone).cycles
        found = Loops(
            timing.cycles,
            timing.busy[NmPart.DRAM],
            timing.counts[NmEvent.DRAM_BYTES],
            timing.counts[NmEvent.DRAM_METADATA_BYTES],
        )
        assert found == loops(m, k, n, pattern, tile, config, tile_time)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.booleans(), st.booleans(), st.integers(0, 2000))
def test_alike_waves_move_the_bytes_of_their_group(rows, columns, n_core, short_row, short_column, l2_bytes):
    config = replace(TINY, l2_bytes=l2_bytes)
    product = fast.in_tiles((2 * rows - short_row, 9, 2 * columns - short_column), (2, 4), TILE, config)
    for first in (0, min(n_core, rows * columns) // 2):
        whole = (rows * columns - first) // n_core
        each = sorted(fast.moved(product, first + w * n_core, first + (w + 1) * n_core) for w in range(whole))
        grouped = [
            bits
            for start, many in fast.alike(rows, columns, first, whole, n_core)
            for bits in [fast.moved(product, start, start + n_core)] * many
        ]
        assert sorted(grouped) == each


@given(sizes, sizes, sizes, patterns, designs())
def test_more_work_is_not_faster_and_a_better_part_not_slower(m, k, n, pattern, config):
    tile = config.tiles[-1]

    def takes(k=k, n=n, **changes):
        return fast.run([(m, k, n)], pattern, tile, replace(config, **changes)).cycles

    now = takes()
    assert takes(k=k + 9) >= now
    assert takes(n=n + 3) >= now
    assert takes(stages=config.stages + 1) <= now
    assert takes(l2_latency=config.l2_latency + 1) >= now
    for name in ("smem", "l2", "store", "dram"):
        rate = getattr(config, f"{name}_bytes_per_cycle")
        assert rate is None or takes(**{f"{name}_bytes_per_cycle": rate * 2}) <= now
    assert takes(dram_bytes_per_cycle=None) <= now
    assert takes(macs_per_cycle=config.macs_per_cycle * 2) <= now
