"""The engines of the N:M unit agree on cycles, busy cycles, counts and bound."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nm_cycle_stepped import bytes_of_waves, waves_of
from nm_strategies import nm_cases

from eie_sim.core.nm_pattern import DENSE
from eie_sim.units.nm import fast, reference
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart, bound_of


def assert_engines_agree(*arguments):
    ours, theirs = reference.run(*arguments), fast.run(*arguments)
    assert ours.cycles == theirs.cycles
    assert ours.busy == theirs.busy
    assert ours.counts == theirs.counts
    assert bound_of(ours.cycles, ours.busy) == bound_of(theirs.cycles, theirs.busy)


@given(nm_cases(), st.booleans())
def test_reference_and_fast_return_the_same(case, a_held):
    assert_engines_agree(*case.arguments, a_held)


def dram_of(timing):
    counts = timing.counts[NmEvent.DRAM_BYTES], timing.counts[NmEvent.DRAM_METADATA_BYTES]
    return timing.busy[NmPart.DRAM], *counts


def dram_walked(shapes, pattern, tile, config, a_held=False):
    """The same, of a third walk over all tiles, without the cores."""
    waves = bytes_of_waves(waves_of(shapes, tile, config.n_core), shapes, pattern, config, a_held)
    rate = config.dram_bytes_per_cycle
    busy = sum(ceil(Fraction(moved) / rate) for moved, _ in waves) if rate else 0
    return busy, ceil(sum(moved for moved, _ in waves)), ceil(sum(metadata for _, metadata in waves))


@given(nm_cases(blocks=range(1, 14), steps=(1, 2)), st.booleans())
def test_dram_of_many_tiles_is_that_of_a_walk_over_them(case, a_held):
    for engine in (fast, reference):
        assert dram_of(engine.run(*case.arguments, a_held)) == dram_walked(*case.arguments, a_held)


@pytest.mark.parametrize("tile", [(2, 5), (5, 2), (4, 5)])
@pytest.mark.parametrize("n_core", [1, 2, 3, 4, 5, 6, 7, 11, 13])
def test_every_size_of_l2_at_clipped_edges(tile, n_core):
    """Of 42 to 48 tiles; last block rows and columns are of 1 to 3, so that there are L2s that hold only these."""
    for l2_bytes in range(11 + 2 * 5 + 1):
        config = TensorCoreConfig(
            n_core=n_core,
            tiles=(tile,),
            wm=1,
            wn=1,
            mma=(1, 1, 1),
            elem_bytes=1,
            dram_bytes_per_cycle=3,
            l2_bytes=l2_bytes,
        )
        product = [(11, 1, 31)], DENSE, tile, config
        assert dram_of(fast.run(*product)) == dram_walked(*product), l2_bytes


@pytest.mark.parametrize("engine", [fast, reference])
@pytest.mark.parametrize(
    ("l2_bytes", "n_core", "read"),
    [
        (0, 1, 2 * (2 * 192 + 96) + 3 * 192 + 3 * 96),  # both for every tile
        (0, 6, 2 * 192 + 96 + 192 + 96),  # once in the one wave, though nothing is held
        (10**6, 1, 2 * 192 + 96 + 192 + 96),
        # the last ones alone may stay: column 1 until block row 2 comes
        (96, 1, 2 * (2 * 192 + 96) + 3 * 192 + 2 * 96),
        # columns stay, block rows leave before they are needed again
        (384, 1, 2 * (2 * 192 + 96) + 192 + 96),
        # block rows and column 0: block row 0 is found in column 1, block rows 1 and 2 have made room
        (672, 1, (2 * 192 + 96) + 192 + 96 + (192 + 96)),
        (671, 1, 2 * (2 * 192 + 96) + 192 + 96),
        (767, 1, (2 * 192 + 96) + 192 + 96 + (192 + 96)),
        (768, 1, 2 * 192 + 96 + 192 + 96),
    ],
)
def test_what_stays_in_l2(engine, l2_bytes, n_core, read):
    """Block rows of 192, 192 and 96 bytes, block columns of 192 and 96, in tiles of 8 x 8."""
    config = TensorCoreConfig(n_core=n_core, tiles=((8, 8),), wm=8, wn=8, elem_bytes=1, l2_bytes=l2_bytes)
    timing = engine.run([(20, 24, 12)], DENSE, (8, 8), config)
    assert timing.counts[NmEvent.DRAM_BYTES] == read + 20 * 12 * 2


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("m", "k", "n"), [(300, 330, 20), (64, 5000, 1)])
@pytest.mark.compiled
def test_engines_agree_on_presets(name, m, k, n):
    config = TensorCoreConfig.preset(name)
    for pattern in ((1, 1), *config.patterns):
        for tile in config.tiles:
            assert_engines_agree([(m, k, n)], pattern, tile, config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rtx3090", "a100-sxm", "h100-sxm", "stc-1024-flexible"])
def test_engines_agree_on_a_large_product(name):
    config = TensorCoreConfig.preset(name)
    for pattern in ((1, 1), *config.patterns):
        assert_engines_agree([(3072, 12288, 300)], pattern, config.tiles[0], config)
