"""Parts of the fast engine of the N:M unit: whole numbers, the choice of a tile, and waves at the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.units.nm import fast, reference
from eie_sim.units.nm.words import NmEvent, NmPart, NmTiming

CONFIG = es.TensorCoreConfig(n_core=4, tiles=((2, 2),), wm=2, wn=2, dram_bytes_per_cycle=3, l2_bytes=0)


def test_timing_is_whole_python_numbers():
    """Floats would be equal for small products, and wrong from 2**53 on."""
    for engine in (fast, reference):
        timing = engine.run([(5, 4, 2)], (2, 4), (2, 2), CONFIG)
        assert {type(number) for number in (timing.cycles, *timing.counts, *timing.busy)} == {int}


def chosen(tiles, cycles, shapes=((1, 1, 1),), n_core=1):
    """The tile chosen where an engine finds these cycles, and counts less the later a tile is listed."""
    config = es.TensorCoreConfig(tiles=tiles, wm=1, wn=1, mma=(1, 1, 1), n_core=n_core)
    timings = {
        tile: NmTiming(cycles=found, counts=(-at,) * len(NmEvent), busy=(-at,) * len(NmPart))
        for at, (tile, found) in enumerate(zip(tiles, cycles, strict=True))
    }
    timing, tile = fast.fewest_cycles(lambda *arguments: timings[arguments[2]], shapes, (1, 1), config)
    assert timing == timings[tile]
    return tile


@pytest.mark.parametrize(
    ("cycles", "best"), [([9, 7, 8], 1), ([7, 7, 8], 0), ([8, 7, 7], 1), ([7, 8, 7], 0), ([9, 9, 9], 0)]
)
def test_of_the_tiles_taken_fewest_cycles_decide_and_nothing_else(cycles, best):
    tiles = (16, 4), (8, 8), (4, 16)
    assert chosen(tiles, cycles) == tiles[best]


TILES = (4, 4), (8, 4), (2, 2), (4, 8), (2, 4)
FASTER_IF_SMALLER = [7, 9, 5, 8, 6]


@pytest.mark.parametrize(
    ("shapes", "n_core", "best"),
    [
        ([(16, 1, 16)], 8, (4, 8)),  # eight tiles of the largest area
        ([(4, 1, 64)], 9, (4, 4)),  # eight of 4 x 8; sixteen of 8 x 4, but these are half empty
        ([(5, 1, 64)], 9, (4, 8)),
        ([(16, 1, 16)], 9, (4, 4)),  # too few of the largest, sixteen of the next
        ([(16, 1, 16)], 17, (2, 4)),
        ([(16, 1, 16)], 64, (2, 2)),
        ([(16, 1, 16)], 65, (2, 2)),  # none fills: all are taken
        ([(64, 1, 3)], 1, (4, 8)),  # 3 columns are more than half of 4, and 8x4 fills
        ([(64, 1, 2)], 1, (2, 2)),  # 2 columns are half of 4: neither of these, nor 4x4, nor 2x4
        ([(4, 1, 64)], 1, (4, 8)),
        ([(2, 1, 64)], 1, (2, 4)),  # 2 rows are half of 4
        ([(8, 1, 8)] * 4, 8, (4, 8)),  # tiles of all products
        ([(8, 1, 8)] * 3, 8, (4, 4)),
        ([(64, 1, 1), (1, 1, 5), (1, 1, 0)], 1, (4, 8)),  # the largest rows and columns
    ],
)
def test_larger_tiles_are_taken_while_they_fill_the_chip(shapes, n_core, best):
    assert chosen(TILES, FASTER_IF_SMALLER, shapes, n_core) == best


@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize("columns", range(1, 5))
def test_groups_of_alike_waves_are_all_waves(rows, columns):
    for n_core in range(1, 22):
        for first in range(min(n_core, rows * columns)):
            whole = (rows * columns - first) // n_core
            many = [count for _, count in fast.alike(rows, columns, first, whole, n_core)]
            assert sum(many) == whole
            assert min(many, default=1) > 0


@given(st.integers(0, 60), st.integers(0, 99), st.integers(-99, 99), st.integers(1, 30))
def test_a_sum_of_floors_is_that_of_a_loop(count, step, offset, size):
    assert fast.floor_sum(count, step, offset, size) == sum((step * i + offset) // size for i in range(count))


def test_a_wave_that_starts_within_a_narrow_last_column():
    # 6 x 3 in tiles of 2 x 2: three block rows, and two block columns, the last one of width 1. Of four cores, wave 1
    # has its last two tiles: 4 rows of 4 inputs, 4 inputs of a column, and 4 outputs, two bytes each.
    product = fast.in_tiles((6, 4, 3), (1, 1), (2, 2), CONFIG)
    assert fast.moved(product, 4, 6) == (16 * (4 * 4 + 4 + 4), 0)
    assert fast.moved(product, 0, 4) == (16 * (6 * 4 + 3 * 4 + 6 * 2 + 2), 0)
