"""The N:M unit's timing: worked by hand from the page, and against plain loops over steps, tiles and waves."""

import csv
import sys
import types
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.errors import InputError
from eie_sim.result import NmEvent, NmPart, bound_of
from eie_sim.units.nm import fast, unit
from eie_sim.units.nm.config import MAX_SIDE, PRESETS, TensorCoreConfig, position_bits

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
    return fast.run(m, k, n, pattern, tile, replace(TINY, **changes)).cycles


def counts(m, k, n, pattern, **changes):
    found = fast.run(m, k, n, pattern, TILE, replace(TINY, **changes)).counts
    return {event.name.lower(): found[event] for event in NmEvent}


def busy(m, k, n, pattern=DENSE, **changes):
    found = fast.run(m, k, n, pattern, TILE, replace(TINY, **changes)).busy
    return {part.name.lower(): found[part] for part in NmPart}


# One tile, by hand


def test_a_single_step_is_copied_waits_is_computed_and_stored():
    assert cycles(2, 4, 2) == 8 + 3 + 4 + 1 + 4 + 10


def test_a_sparse_step_copies_kept_values_and_whole_bytes_of_metadata():
    # 8 bytes of values, 2 rows x 1 group x 2 positions x 2 bits = 1 byte, 16 bytes of activations: 25 bytes
    assert cycles(2, 4, 2, (2, 4)) == 7 + 3 + 4 + 1 + 4 + 10
    # alone, issue takes one instruction of twice the K: 2 cycles
    assert cycles(2, 4, 2, (2, 4), smem_bytes_per_cycle=1000) == 7 + 3 + 2 + 1 + 4 + 10


def test_an_inner_size_below_a_step_costs_a_full_step():
    assert cycles(2, 1, 2) == cycles(2, 4, 2)
    assert cycles(2, 5, 2) == cycles(2, 8, 2)


def test_two_buffers_fill_and_the_third_copy_waits_for_the_first():
    # long latency: copies end at 8 and 16, steps at 8+20+4=32 and 40; the third is copied from 32 to 40, usable at 60
    assert cycles(2, 12, 2, l2_latency=20) == 64 + 1 + 4 + 10
    assert cycles(2, 16, 2, l2_latency=20) == 72 + 1 + 4 + 10
    assert cycles(2, 12, 2, l2_latency=20, stages=3) == (8 * 3 + 20 + 4) + 1 + 4 + 10
    assert cycles(2, 12, 2, l2_latency=20, stages=1) == 3 * (8 + 20 + 4) + 1 + 4 + 10


def test_copies_bind():
    # 8 cycles a copy, 4 a compute: steps end 8 cycles apart
    assert cycles(2, 4 * 100, 2, stages=4) == 100 * 8 + 3 + 4 + 1 + 4 + 10


def test_operand_reads_bind():
    # 32 bytes at 8/5 a cycle: 20 cycles
    assert cycles(2, 4 * 100, 2, stages=4, smem_bytes_per_cycle=Fraction(8, 5)) == 8 + 3 + 100 * 20 + 1 + 4 + 10


def test_issue_binds():
    # an instruction of 8 MACs at one a cycle: 16 cycles a step
    assert cycles(2, 4 * 100, 2, stages=4, macs_per_cycle=1) == 8 + 3 + 100 * 16 + 1 + 4 + 10


def test_stores_bind():
    assert cycles(2, 4, 2, store_bytes_per_cycle=Fraction(1, 100)) == 8 + 3 + 4 + 1 + 800 + 10


def test_each_time_is_rounded_up_once():
    assert cycles(2, 4, 2, l2_bytes_per_cycle=Fraction(32, 7)) == cycles(2, 4, 2) - 1
    assert cycles(2, 4, 2, l2_bytes_per_cycle="4.5714285") == cycles(2, 4, 2)
    # 3 cycles for an instruction; two of them on two tensor cores are 3, on four tensor cores 1.5
    alone = {"smem_bytes_per_cycle": 1000, "macs_per_cycle": 3}
    assert cycles(2, 4, 2, tc_per_core=2, **alone) == 8 + 3 + 3 + 1 + 4 + 10
    assert cycles(2, 4, 2, tc_per_core=4, **alone) == 8 + 3 + 2 + 1 + 4 + 10


def test_an_instruction_is_whole_where_the_tile_is_smaller():
    assert busy(2, 4, 2, mma=(4, 8, 2))["tensor"] == 2 * (4 * 8 * 2 // 4)


def test_warps_read_the_operands_again_and_are_capped_to_the_tile():
    # four warps of 1x1: each reads 8 + 8 bytes and, sparse, half of the weights and half a byte of metadata
    assert busy(2, 4, 2, wm=1, wn=1)["smem"] == 4 * 16 // 8
    assert counts(2, 4, 2, (2, 4), wm=1, wn=1)["smem_bytes"] == 4 * (4 + 8) + 2
    assert busy(2, 4, 2, wm=64, wn=64) == busy(2, 4, 2)


def test_metadata_of_warps_is_exact_until_the_time():
    # 1:4 keeps 1 of 4 with 2 bits: a warp of one row reads 2 + 1/4 + 8 bytes, four of them 41
    design = {"wm": 1, "wn": 1, "patterns": ((1, 4),)}
    assert busy(2, 4, 2, (1, 4), **design, smem_bytes_per_cycle=41)["smem"] == 1
    assert busy(2, 4, 2, (1, 4), **design, smem_bytes_per_cycle=40)["smem"] == 2
    assert counts(2, 4, 2, (1, 4), **design)["smem_bytes"] == 41


# Waves, by hand


def test_waves_follow_each_other_and_the_last_may_be_partial():
    tile = 8 + 3 + 4 + 1 + 4
    assert cycles(6, 4, 4) == 6 * tile + 10
    assert cycles(6, 4, 4, n_core=4) == 2 * tile + 10
    assert cycles(6, 4, 4, n_core=6) == cycles(6, 4, 4, n_core=100) == tile + 10
    found = counts(6, 4, 4, DENSE, n_core=4)
    assert (found["tiles"], found["waves"], found["idle_cores"]) == (6, 2, 2)


def test_edge_tiles_cost_as_much_as_full_ones():
    assert cycles(5, 4, 3) == cycles(6, 4, 4)


def test_a_wave_takes_what_dram_needs_for_its_distinct_bytes():
    # 3 x 2 tiles, 4 to a wave: wave 0 has all 3 block rows, 2 block columns, 4 tiles: 6*4*2 + 4*4*2 + 4*8 bytes;
    # wave 1 has tiles 4 and 5: block rows 1 and 2, block column 1: 4*4*2 + 2*4*2 + 2*8
    first, second = 48 + 32 + 32, 32 + 16 + 16
    assert cycles(6, 4, 4, n_core=4, dram_bytes_per_cycle=1) == first + second + 10
    assert cycles(6, 4, 4, n_core=4, dram_bytes_per_cycle=4) == 28 + 20 + 10  # the second is bound by its tile
    assert busy(6, 4, 4, n_core=4, dram_bytes_per_cycle=4)["dram"] == 28 + 16
    assert busy(6, 4, 4, n_core=4, dram_bytes_per_cycle=100)["dram"] == 2 + 1  # rounded up for each wave
    assert counts(6, 4, 4, DENSE, n_core=4)["dram_bytes"] == first + second
    assert busy(6, 4, 4, n_core=4)["dram"] == 0


def test_dram_bytes_are_clipped_and_stored_groups_are_whole():
    # 3 rows of 6 inputs, 2:4: 4 values a row; block rows of 2 and 1 rows with 2 and 1 bytes of metadata; 6 x 1 x 2 of B
    found = counts(3, 6, 1, (2, 4), n_core=2)
    assert found["dram_metadata_bytes"] == 2 + 1
    assert found["dram_bytes"] == 3 * 4 * 2 + 3 + 12 + 3 * 2
    # apart, each wave needs B again
    assert counts(3, 6, 1, (2, 4), n_core=1)["dram_bytes"] == 3 * 4 * 2 + 3 + 2 * 12 + 3 * 2


def test_counts_of_full_tiles():
    # 2 x 2 tiles of 2 steps: 8 steps of 2 x 2 x 2 kept MACs
    found = counts(3, 8, 3, (2, 4))
    assert found["macs"] == found["operand_selects"] == 8 * 8
    assert (found["l2_bytes"], found["l2_metadata_bytes"]) == (8 * 25, 8)
    assert (found["smem_bytes"], found["smem_metadata_bytes"]) == (8 * 25, 8)
    assert found["store_bytes"] == 4 * 8
    dense = counts(3, 8, 3, DENSE)
    assert (dense["macs"], dense["operand_selects"]) == (8 * 16, 0)
    assert dense["l2_metadata_bytes"] == dense["smem_metadata_bytes"] == dense["dram_metadata_bytes"] == 0


def test_busy_cycles_are_those_of_core_0():
    # 6 tiles on 4 cores: core 0 has a tile in both waves, of 2 steps
    found = busy(6, 8, 4, (2, 4), n_core=4)
    assert found == {"tensor": 2 * 2 * 2, "smem": 4 * 2 * 2, "l2": 7 * 2 * 2, "store": 4 * 2, "dram": 0}


@pytest.mark.parametrize(
    ("bound", "changes"),
    [
        ("tensor", {"macs_per_cycle": 1}),
        ("smem", {"smem_bytes_per_cycle": 1}),
        ("l2", {"l2_bytes_per_cycle": 1}),
        ("store", {"store_bytes_per_cycle": Fraction(1, 500)}),
        ("dram", {"dram_bytes_per_cycle": Fraction(1, 500)}),
        ("latency", {"l2_latency": 1000}),
    ],
)
def test_each_part_may_be_the_bound(bound, changes):
    assert es.simulate_gemm(2, 64, 2, replace(TINY, **changes), n_keep=1, m_group=1).bound == bound


# Against plain loops


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
    longest = fast.run(2, MAX_SIDE, 2, DENSE, TILE, TINY).cycles
    assert longest == 8 * (MAX_SIDE // 4) + 3 + 4 + 1 + 4 + 10


def test_the_largest_product_costs_nothing():
    for name in PRESETS:
        timing, _, _ = fast.timed(MAX_SIDE, MAX_SIDE, MAX_SIDE - 1, 2, 4, TensorCoreConfig.preset(name))
        assert timing.counts[NmEvent.MACS] >= MAX_SIDE**2 * (MAX_SIDE - 1) // 2


class Loops(NamedTuple):
    """What loops over waves and sets find: cycles, and busy, bytes and metadata of DRAM."""

    cycles: int
    dram_busy: int
    dram_bytes: int
    dram_metadata: int


def loops(m, k, n, pattern, tile, config, tile_time):
    (bm, bn), (kept, group) = tile, pattern
    rows, columns = ceil(m / bm), ceil(n / bn)
    found = [config.launch, 0, 0, 0]
    for start in range(0, rows * columns, config.n_core):
        tiles = [(t % rows, t // rows) for t in range(start, min(start + config.n_core, rows * columns))]
        high = {row: min(bm, m - row * bm) for row, _ in tiles}
        wide = {column: min(bn, n - column * bn) for _, column in tiles}
        stored = {row: height * ceil(k / group) * kept for row, height in high.items()}
        metadata = sum(ceil(values * position_bits(pattern) / 8) for values in stored.values())
        operands = (sum(stored.values()) + k * sum(wide.values())) * config.elem_bytes
        size = operands + metadata + sum(high[r] * wide[c] for r, c in tiles) * config.out_bytes
        needed = 0 if config.dram_bytes_per_cycle is None else ceil(Fraction(size) / config.dram_bytes_per_cycle)
        found = [a + b for a, b in zip(found, (max(tile_time, needed), needed, size, metadata), strict=True)]
    return Loops(*found)


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
    )


sizes = st.integers(1, 60)
patterns = st.sampled_from((DENSE, (2, 4), (1, 8), (1, 2)))


@given(sizes, sizes, sizes, patterns, designs())
def test_waves_are_those_of_plain_loops(m, k, n, pattern, config):
    for tile in config.tiles:
        timing = fast.run(m, k, n, pattern, tile, config)
        # one core, one tile, no DRAM: the tile's own time
        alone = replace(config, n_core=1, dram_bytes_per_cycle=None, launch=0)
        tile_time = fast.run(1, k, 1, pattern, tile, alone).cycles
        found = Loops(
            timing.cycles,
            timing.busy[NmPart.DRAM],
            timing.counts[NmEvent.DRAM_BYTES],
            timing.counts[NmEvent.DRAM_METADATA_BYTES],
        )
        assert found == loops(m, k, n, pattern, tile, config, tile_time)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.booleans(), st.booleans())
def test_alike_waves_have_the_bytes_of_their_group(rows, columns, n_core, short_row, short_column):
    config = replace(TINY, n_core=n_core)
    product = fast.in_tiles(2 * rows - short_row, 9, 2 * columns - short_column, (2, 4), TILE, config)
    waves = ceil(rows * columns / n_core)
    each = sorted(fast.wave_bytes(wave, product, n_core) for wave in range(waves))
    grouped = [
        bytes_
        for wave, many in fast.alike(rows, columns, n_core)
        for bytes_ in [fast.wave_bytes(wave, product, n_core)] * many
    ]
    assert sorted(grouped) == each


@given(sizes, sizes, sizes, patterns, designs())
def test_more_work_is_not_faster_and_a_better_part_not_slower(m, k, n, pattern, config):
    tile = config.tiles[-1]

    def takes(k=k, n=n, **changes):
        return fast.run(m, k, n, pattern, tile, replace(config, **changes)).cycles

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


# The choice of a tile


def test_the_tile_of_fewest_cycles_is_chosen_the_first_on_a_tie():
    config = replace(TINY, tiles=((2, 2), (4, 4), (2, 4)), n_core=4)
    every = {tile: fast.run(16, 8, 16, DENSE, tile, config).cycles for tile in config.tiles}
    timing, tile, pattern = fast.timed(16, 8, 16, 1, 1, config)
    assert (timing.cycles, tile, pattern) == (min(every.values()), min(every, key=every.get), DENSE)
    assert fast.timed(16, 8, 16, 1, 1, replace(config, tiles=((2, 2), (2, 2))))[1] == (2, 2)
    # square tiles mirrored, a square product: equal cycles
    mirrored = replace(TINY, tiles=((2, 4), (4, 2)))
    assert fast.run(8, 8, 8, DENSE, (2, 4), mirrored).cycles == fast.run(8, 8, 8, DENSE, (4, 2), mirrored).cycles
    assert fast.timed(8, 8, 8, 1, 1, mirrored)[1] == (2, 4)


def test_a_pattern_that_is_not_listed_runs_as_a_listed_one():
    assert fast.timed(8, 8, 8, 1, 4, TINY)[2] == (2, 4)
    assert fast.timed(8, 8, 8, 1, 4, TINY)[0] == fast.run(8, 8, 8, (2, 4), TILE, TINY)
    assert fast.timed(9, 9, 8, 3, 4, TINY)[2] == DENSE


# simulate_gemm


def test_simulate_gemm_says_what_it_found():
    config = TensorCoreConfig.preset("rtx3090")
    result = es.simulate_gemm(1024, 4096, 4096, config)
    timing, tile, _ = fast.timed(1024, 4096, 4096, 2, 4, config)
    assert result.cycles == timing.cycles == result.cycles_per_vector.sum()
    assert result.output is None
    assert result.timeline is None
    assert result.counts.dtype == np.int64
    assert result.stats["events"]["tiles"] == 128
    assert result.stats["busy"]["tensor"] == timing.busy[NmPart.TENSOR]
    assert result.stats["classes"]["tensor"] + result.stats["classes"]["waiting"] == result.cycles
    named = {"tile": list(tile), "runs_as": "2:4", "n_keep": 2, "m_group": 4, "bound": "tensor"}
    assert result.named == named
    assert result.bound == bound_of(timing.cycles, timing.busy)
    assert result.dense_macs == 2 * result.effectual_macs == 1024 * 4096 * 4096
    assert result.to_dict()["tile"] == [256, 128]
    assert "1024 x 4096 x 4096" in result.summary()


def test_kept_values_are_counted_of_the_pattern_asked_for():
    result = es.simulate_gemm(8, 8, 8, TINY, n_keep=1, m_group=4)
    assert (result.effectual_macs, result.stats["events"]["macs"]) == (128, 256)
    assert (result.named["runs_as"], result.named["n_keep"]) == ("2:4", 1)
    dense = es.simulate_gemm(8, 7, 8, TINY, n_keep=4, m_group=4)
    assert (dense.named["runs_as"], dense.effectual_macs, dense.dense_macs) == ("dense", 448, 448)


def test_numpy_integers_are_integers():
    large = np.int32(2**20)
    assert es.simulate_gemm(large, large, large, TINY).cycles == es.simulate_gemm(2**20, 2**20, 2**20, TINY).cycles


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: es.simulate_gemm(0, 8, 8, TINY), "m=0: must be an integer in 1..2147483648"),
        (lambda: es.simulate_gemm(8, 8, 2**31 + 1, TINY), "n=2147483649: must be an integer in 1..2147483648"),
        (lambda: es.simulate_gemm(8, 8.0, 8, TINY), "k=8.0: must be an integer in 1..2147483648"),
        (
            lambda: es.simulate_gemm(8, 10, 8, TINY),
            "k=10: must be a multiple of m_group=4; pad A and B with zeros to k=12",
        ),
        (
            lambda: es.simulate_gemm(8, 8, 8, TINY, n_keep=5),
            "n_keep=5: must be at most m_group=4; N of N:M is the number kept",
        ),
        (lambda: es.simulate_gemm(8, 8, 8, TINY, m_group=0), "m_group=0: must be an integer in 1..256"),
        (lambda: es.simulate_gemm(8, 8, 8, None), "config=NoneType: must be TensorCoreConfig"),
        (lambda: es.simulate_gemm(8, 8, 8, TINY, engine="fats"), "engine=fats: unknown; did you mean fast?"),
        (
            lambda: es.simulate_gemm(2**31, 2**31, 2**31, TINY),
            "m x k x n=2147483648 x 2147483648 x 2147483648: must be smaller, its counts exceed 9223372036854775807",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == said


# simulate and compress, with stand-ins for the matrix and its arithmetic


class Matrix(NamedTuple):
    n_out: int
    n_in: int
    n_keep: int
    m_group: int
    element: str
    dense: np.ndarray

    @classmethod
    def from_dense(cls, dense, *, n_keep, m_group, element):
        return cls(*dense.shape, n_keep, m_group, element, dense)


@pytest.fixture
def stand_ins(monkeypatch):
    def module(name, **members):
        made = types.ModuleType(f"eie_sim.units.nm.{name}")
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, made.__name__, made)
        monkeypatch.setattr(sys.modules["eie_sim.units.nm"], name, made, raising=False)

    module("matrix", NmMatrix=Matrix)
    module("functional", multiply=lambda matrix, b: matrix.dense @ b)


WEIGHTS = np.array([[1, 0, 0, 2], [0, 3, 0, 0]], dtype=np.float32)


@pytest.mark.usefixtures("stand_ins")
def test_a_batch_is_one_product_and_its_columns_are_the_vectors():
    matrix = unit.compress(WEIGHTS, TINY)
    assert (matrix.n_keep, matrix.m_group, matrix.element) == (2, 4, "float16")
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    result = unit.simulate(matrix, batch, TINY)
    np.testing.assert_array_equal(result.output, batch @ WEIGHTS.T)
    assert result.cycles == es.simulate_gemm(2, 4, 3, TINY).cycles
    assert (result.inputs, unit.simulate(matrix, batch, TINY, inputs="said").inputs) == ("given, 3 vectors", "said")
    single = unit.simulate(matrix, batch[0])
    assert single.output.shape == (2,)
    assert single.config == TensorCoreConfig()


@pytest.mark.usefixtures("stand_ins")
def test_weights_are_packed_as_the_sparsest_listed_pattern_they_satisfy():
    def packed(weights, *listed):
        matrix = unit.compress(weights, replace(TINY, patterns=listed, elem_bytes=1))
        return matrix.n_keep, matrix.m_group, matrix.element

    assert packed(WEIGHTS, (1, 2), (2, 4), (1, 4)) == (1, 2, "int8")
    assert packed(WEIGHTS[1:], (1, 2), (2, 4), (1, 4)) == (1, 4, "int8")
    assert packed(np.ones((2, 4)), (1, 2), (2, 4)) == (1, 1, "int8")
    assert packed(np.zeros((2, 6)), (2, 4)) == (1, 1, "int8")
    with pytest.raises(InputError, match="bias=given: must be added to the outputs after the product"):
        unit.compress(WEIGHTS, TINY, bias=np.zeros(2))
    with pytest.raises(InputError, match="weights=shape \\(4,\\): must be \\(n_out, n_in\\)"):
        unit.compress(np.zeros(4), TINY)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activations": np.zeros(5)}, r"activations=shape \(5,\): must be \(4,\) or \(n_vector, 4\)"),
        ({"activations": np.zeros((0, 4))}, r"activations=shape \(0, 4\): must be"),
        ({"activations": 1.0}, r"activations=shape \(\): must be"),
        ({"config": replace(TINY, elem_bytes=1)}, "config.elem_bytes=1: is int8, but the matrix's element is float16"),
        ({"timeline": True}, "timeline=True: must be False"),
        ({"engine": "slow"}, "engine=slow: unknown"),
    ],
)
def test_what_does_not_fit_the_matrix_is_refused(changes, said):
    given = {"matrix": unit.compress(WEIGHTS, TINY), "activations": np.zeros(4), "config": TINY, **changes}
    with pytest.raises(InputError, match=said):
        unit.simulate(**given)


# Measured times: mean of 100 runs on one GPU, fp16 with fp32 sums; rows of the VENOM artifact with M=1024, N=4096

MEASURED = """k,sparse_ms,dense_ms
768,0.09025,0.157503
1536,0.161153,0.293444
3072,0.303003,0.510385
6144,0.586218,1.00438
12288,1.15283,2.28813
"""


def test_the_rtx3090_is_near_measured_times():
    config = TensorCoreConfig.preset("rtx3090")
    for row in csv.DictReader(MEASURED.splitlines()):
        sparse, dense = (
            es.simulate_gemm(1024, int(row["k"]), 4096, config, n_keep=kept, m_group=group).time_us / 1e3
            for kept, group in ((2, 4), DENSE)
        )
        assert sparse == pytest.approx(float(row["sparse_ms"]), rel=0.046)
        assert dense == pytest.approx(float(row["dense_ms"]), rel=0.15)
