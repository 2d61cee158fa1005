"""The engines of the N:M unit agree on cycles, busy cycles, counts and bound."""

import pytest
from hypothesis import given
from nm_strategies import nm_cases

from eie_sim.result import bound_of
from eie_sim.units.nm import fast, reference
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig


def assert_engines_agree(*arguments):
    ours, theirs = reference.run(*arguments), fast.run(*arguments)
    assert ours.cycles == theirs.cycles
    assert ours.busy == theirs.busy
    assert ours.counts == theirs.counts
    assert bound_of(ours.cycles, ours.busy) == bound_of(theirs.cycles, theirs.busy)


@given(nm_cases())
def test_reference_and_fast_return_the_same(case):
    assert_engines_agree(*case.arguments)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("m", "k", "n"), [(300, 330, 20), (64, 5000, 1)])
@pytest.mark.compiled
def test_engines_agree_on_presets(name, m, k, n):
    config = TensorCoreConfig.preset(name)
    for pattern in ((1, 1), *config.patterns):
        for tile in config.tiles:
            assert_engines_agree(m, k, n, pattern, tile, config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rtx3090", "a100-sxm", "h100-sxm", "stc-1024-flexible"])
def test_engines_agree_on_a_large_product(name):
    config = TensorCoreConfig.preset(name)
    for pattern in ((1, 1), *config.patterns):
        assert_engines_agree(3072, 12288, 300, pattern, config.tiles[0], config)
