"""A chip small enough to be worked by hand, and what the fast engine says of it."""

from dataclasses import replace

from eie_sim.units.nm import fast
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart

DENSE = (1, 1)
TILE = (2, 2)
# A dense step of TILE: 2x4 weights and 4x2 activations of 2 bytes are 32 bytes, copied in 8 cycles and read in 4; two
# instructions of 8 MACs take 2 cycles each. A tile is stored in 4 cycles.
TINY = TensorCoreConfig(
    n_core=1,
    tc_per_core=1,
    macs_per_cycle=4,
    mma=(2, 2, 2),
    tiles=(TILE,),
    bk=4,
    wm=2,
    wn=2,
    stages=2,
    smem_bytes_per_cycle=8,
    l2_bytes_per_cycle=4,
    l2_latency=3,
    store_bytes_per_cycle=2,
    mma_latency=1,
    launch=10,
)


def cycles(m, k, n, pattern=DENSE, tile=TILE, **changes):
    return fast.run([(m, k, n)], pattern, tile, replace(TINY, **changes)).cycles


def counts(m, k, n, pattern, **changes):
    found = fast.run([(m, k, n)], pattern, TILE, replace(TINY, **changes)).counts
    return {event.name.lower(): found[event] for event in NmEvent}


def busy(m, k, n, pattern=DENSE, **changes):
    found = fast.run([(m, k, n)], pattern, TILE, replace(TINY, **changes)).busy
    return {part.name.lower(): found[part] for part in NmPart}


def timed(m, k, n, n_keep, m_group, config):
    """Timing of A [m, k], of pattern n_keep:m_group, times B [k, n]; the tile chosen; the pattern it runs as."""
    pattern = config.runs_as(n_keep, m_group)
    return *fast.fewest_cycles(fast.run, [(m, k, n)], pattern, config), pattern
