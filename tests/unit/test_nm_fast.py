"""Parts of the fast engine of the N:M unit: whole numbers, the choice of a tile, and waves at the edges."""

import pytest

import eie_sim as es
from eie_sim.result import NmEvent, NmPart, NmTiming
from eie_sim.units.nm import fast, reference

CONFIG = es.TensorCoreConfig(n_core=4, tiles=((2, 2),), wm=2, wn=2, dram_bytes_per_cycle=3)


def test_timing_is_whole_python_numbers():
    """Floats would be equal for small products, and wrong from 2**53 on."""
    for engine in (fast, reference):
        timing = engine.run(5, 4, 2, (2, 4), (2, 2), CONFIG)
        assert {type(number) for number in (timing.cycles, *timing.counts, *timing.busy)} == {int}


@pytest.mark.parametrize(
    ("cycles", "best"), [([9, 7, 8], 1), ([7, 7, 8], 0), ([8, 7, 7], 1), ([7, 8, 7], 0), ([9, 9, 9], 0)]
)
def test_fewest_cycles_decide_and_nothing_else(cycles, best):
    """The engine here counts less the later a tile is listed."""
    tiles = (16, 16), (8, 8), (4, 4)
    config = es.TensorCoreConfig(tiles=tiles, wm=4, wn=4)
    timings = {
        tile: NmTiming(cycles=found, counts=(-at,) * len(NmEvent), busy=(-at,) * len(NmPart))
        for at, (tile, found) in enumerate(zip(tiles, cycles, strict=True))
    }
    found = fast.fewest_cycles(lambda *arguments: timings[arguments[4]], 1, 1, 1, (1, 1), config)
    assert found == (timings[tiles[best]], tiles[best])


@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize("columns", range(1, 5))
def test_groups_of_alike_waves_are_all_waves(rows, columns):
    for n_core in range(1, 22):
        many = [count for _, count in fast.alike(rows, columns, n_core)]
        assert sum(many) == -(-rows * columns // n_core)
        assert min(many) > 0


def test_a_wave_that_starts_within_a_narrow_last_column():
    # 6 x 3 in tiles of 2 x 2: three block rows, and two block columns, the last one of width 1. Of four cores, wave 1
    # has its last two tiles: 4 rows of 4 inputs, 4 inputs of a column, and 4 outputs, two bytes each.
    product = fast.in_tiles(6, 4, 3, (1, 1), (2, 2), CONFIG)
    assert fast.wave_bytes(1, product, 4) == (2 * (4 * 4 + 4 + 4), 0)
    assert fast.wave_bytes(0, product, 4) == (2 * (6 * 4 + 3 * 4 + 6 * 2 + 2), 0)
