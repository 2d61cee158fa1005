"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

from timeit import repeat

import pytest

from eie_sim.units.nm import fast
from eie_sim.units.nm.config import TensorCoreConfig

pytestmark = pytest.mark.slow
SIDE = 4096


@pytest.mark.parametrize("preset", ["rtx3090", "a100-sxm", "h100-sxm", "stc-1024", "nm-64"])
def test_a_product_is_timed_in_less_than_a_millisecond(preset, benchmark):
    """All tiles of the design; the least of many times, so that a busy machine does not count."""
    config = TensorCoreConfig.preset(preset)

    def time_it():
        return fast.fewest_cycles(fast.run, [(SIDE, SIDE, SIDE)], config.runs_as(2, 4), config)

    assert min(repeat(time_it, number=10, repeat=20)) / 10 < 1e-3
    benchmark(time_it)
