"""The N:M unit's timing, worked by hand from the page."""

from dataclasses import replace
from fractions import Fraction

import pytest
from tiny_chip import DENSE, TILE, TINY, busy, counts, cycles

import eie_sim as es
from eie_sim.units.nm import fast, reference
from eie_sim.units.nm.words import NmEvent

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
    chip = {"n_core": 4, "l2_bytes": 0}
    assert cycles(6, 4, 4, **chip, dram_bytes_per_cycle=1) == first + second + 10
    assert cycles(6, 4, 4, **chip, dram_bytes_per_cycle=4) == 28 + 20 + 10  # the second is bound by its tile
    assert busy(6, 4, 4, **chip, dram_bytes_per_cycle=4)["dram"] == 28 + 16
    assert busy(6, 4, 4, **chip, dram_bytes_per_cycle=100)["dram"] == 2 + 1  # rounded up for each wave
    assert counts(6, 4, 4, DENSE, **chip)["dram_bytes"] == first + second
    assert busy(6, 4, 4, **chip)["dram"] == 0
    # with all of A and B in L2, the second wave only stores
    assert counts(6, 4, 4, DENSE, n_core=4)["dram_bytes"] == first + 16
    assert busy(6, 4, 4, n_core=4, dram_bytes_per_cycle=4)["dram"] == 28 + 4


def test_dram_bytes_are_clipped_and_stored_groups_are_whole():
    # 3 rows of 6 inputs, 2:4: 4 values a row; block rows of 2 and 1 rows with 2 and 1 bytes of metadata; 6 x 1 x 2 of B
    found = counts(3, 6, 1, (2, 4), n_core=2)
    assert found["dram_metadata_bytes"] == 2 + 1
    assert found["dram_bytes"] == 3 * 4 * 2 + 3 + 12 + 3 * 2
    # apart, each wave needs B again, unless it stays: after the second block row, of 9 bytes, if both fit
    for l2_bytes, of_b in ((0, 2 * 12), (20, 2 * 12), (21, 12)):
        found = counts(3, 6, 1, (2, 4), n_core=1, l2_bytes=l2_bytes)
        assert found["dram_bytes"] == 3 * 4 * 2 + 3 + of_b + 3 * 2


@pytest.mark.parametrize("engine", [fast, reference])
def test_products_of_one_launch(engine):
    """Three tiles of four steps, none, and two of one step, on four cores: two waves, the first as long as four steps.

    A tile of TINY has 8 cycles a copy, then 3 + 4 + 1 + 4. In the first wave DRAM moves 6 x 16 weights and 16 x 2
    activations, 2 x 4 and 4 x 2, of 2 bytes, and 8 x 2 outputs; in the second, where core 0 has the last tile, 2 x 4
    and 2 x 2 outputs: the activations are held.
    """
    config = replace(TINY, n_core=4, dram_bytes_per_cycle=8)
    timing = engine.run([(6, 16, 2), (9, 9, 0), (4, 4, 2)], DENSE, TILE, config)
    first, second = 2 * (6 * 16 + 16 * 2 + 2 * 4 + 4 * 2 + 8 * 2), 2 * (2 * 4 + 2 * 2)
    assert timing.cycles == 10 + max(4 * 8 + 12, first // 8) + 8 + 12
    counts = dict(zip(NmEvent, timing.counts, strict=True))
    assert counts[NmEvent.DRAM_BYTES] == first + second
    assert (counts[NmEvent.TILES], counts[NmEvent.WAVES], counts[NmEvent.IDLE_CORES]) == (5, 2, 3)
    assert counts[NmEvent.MACS] == (3 * 4 + 2) * 16
    assert timing.busy == (5 * 4, 5 * 4, 5 * 8, 2 * 4, -(-first // 8) + -(-second // 8))


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
