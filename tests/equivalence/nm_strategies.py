"""Random chips of N:M tensor cores and products for them, each resource in turn the slow one."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

from hypothesis import strategies as st

from eie_sim.core.nm_pattern import DENSE, position_bits
from eie_sim.units.nm.config import TensorCoreConfig

PATTERNS = st.sampled_from([((2, 4),), ((1, 2),), ((1, 4), (2, 4)), ((2, 6),), ((3, 5), (1, 3)), ((4, 16),), ((1, 1),)])
SLOW = st.sampled_from(["tensor", "smem", "l2", "store", "dram", "latency", "nothing"])
SIDES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


@dataclass(frozen=True)
class NmCase:
    shapes: list[tuple[int, int, int]]
    pattern: tuple[int, int]
    tile: tuple[int, int]
    config: TensorCoreConfig

    @property
    def arguments(self):
        return self.shapes, self.pattern, self.tile, self.config


@st.composite
def rates(draw, slow, most=8):
    """Bytes per cycle, whole or not; at most `most` where the port is to be the slow one."""
    return Fraction(
        draw(st.integers(1, most) if slow else st.integers(16, 300)), draw(st.sampled_from([1, 1, 2, 3, 7]))
    )


@st.composite
def sides(draw, warp, instruction):
    """A side of a tile: whole warps and whole instructions, or smaller than one."""
    fits = [side for side in SIDES if side % min(warp, side) == 0 and (side % instruction == 0 or side < instruction)]
    return draw(st.sampled_from(fits))


@st.composite
def nm_designs(draw):
    """A design with one tile."""
    slow = draw(SLOW)
    patterns = draw(PATTERNS)
    mma = tuple(draw(st.sampled_from([1, 2, 3, 4, 8])) for _ in range(3))
    wm, wn = draw(st.sampled_from([1, 2, 3, 4, 8, 16])), draw(st.sampled_from([1, 2, 4, 8, 16]))
    tile = draw(sides(wm, mma[0])), draw(sides(wn, mma[1]))
    macs_per_cycle = draw(st.integers(4, 16)) if slow == "tensor" else draw(st.sampled_from([16, 64, 100, 512]))
    return TensorCoreConfig(
        n_core=draw(st.integers(1, 6)),
        tc_per_core=1 if slow == "tensor" else draw(st.integers(1, 5)),
        macs_per_cycle=macs_per_cycle,
        mma=mma,
        tiles=(tile,),
        bk=lcm(*(group for _, group in patterns)) * draw(st.integers(1, 4)),
        wm=wm,
        wn=wn,
        stages=draw(st.integers(1, 3) | st.integers(4, 9)),
        smem_bytes_per_cycle=draw(rates(slow == "smem")),
        l2_bytes_per_cycle=draw(rates(slow == "l2")),
        l2_latency=draw(st.integers(100, 200) if slow == "latency" else st.sampled_from([0, 1, 5, 30])),
        store_bytes_per_cycle=draw(rates(slow == "store", 1)),
        dram_bytes_per_cycle=draw(rates(True, 4) if slow == "dram" else rates(False) | st.none()),
        mma_latency=draw(st.sampled_from([0, 1, 7])),
        launch=draw(st.sampled_from([0, 0, 3, 100])),
        elem_bytes=draw(st.sampled_from([1, 2])),
        out_bytes=draw(st.sampled_from([1, 2, 4])),
        patterns=patterns,
    )


@st.composite
def lengths(draw, block, counts):
    """So many blocks, the last one full or not."""
    return draw(st.sampled_from(counts)) * block - draw(st.just(0) | st.integers(0, block - 1))


@st.composite
def kept_bytes(draw, shape, pattern, tile, config):
    """L2 of nothing, of all, and of what some of a product's blocks take, full or clipped, or hardly more or less."""
    (bm, bn), (m, k, n) = tile, shape
    row = -(-k // pattern[1]) * pattern[0] * (8 * config.elem_bytes + position_bits(pattern))
    rows, columns = (min(bm, m), m % bm, m - m % bm, m), (min(bn, n), n % bn, 2 * bn, bn + n % bn)
    bits = draw(st.sampled_from(rows)) * row + draw(st.sampled_from((0, *columns))) * 8 * k * config.elem_bytes
    some = max(0, -(-bits // 8) + draw(st.integers(-1, 1)))
    return draw(st.sampled_from([0, some, some, some, 10**9]))


@st.composite
def nm_cases(draw, blocks=(1, 2, 3, 4), steps=(1, 2, 3, 5, 8, 13)):
    """A design and products of at most a few waves: less than a step or tile, exactly full ones, and ragged edges."""
    config = draw(nm_designs())
    (bm, bn), bk = config.tiles[0], config.bk
    shape = st.tuples(lengths(bm, blocks), lengths(bk, steps), lengths(bn, blocks))
    shapes = [draw(shape), *draw(st.just([]) | st.lists(shape | shape.map(without_columns), max_size=3))]
    pattern, tile = draw(st.sampled_from([*config.patterns, DENSE])), config.tiles[0]
    config = replace(config, l2_bytes=draw(kept_bytes(shapes[0], pattern, tile, config)))
    return NmCase(shapes=shapes, pattern=pattern, tile=tile, config=config)


def without_columns(shape):
    """The product that an expert without tokens has."""
    return *shape[:2], 0
