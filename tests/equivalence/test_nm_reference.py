"""The reference engine of the N:M unit: small cases worked by hand from the timing page, and a cycle-stepped model.

Unless a case says otherwise: 8 x 8 tiles in steps of 8, bytes, one tensor core of 16 MACs a cycle, two step buffers,
and nothing stays in L2 from wave to wave.
"""

from fractions import Fraction

from hypothesis import given
from nm_cycle_stepped import simulate
from nm_strategies import nm_cases

from eie_sim.units.nm import reference
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart, bound_of

BASE = {
    "n_core": 1,
    "tc_per_core": 1,
    "macs_per_cycle": 16,
    "mma": (4, 4, 4),
    "tiles": ((8, 8),),
    "bk": 8,
    "wm": 4,
    "wn": 4,
    "stages": 2,
    "smem_bytes_per_cycle": 32,
    "l2_bytes_per_cycle": 16,
    "l2_latency": 5,
    "store_bytes_per_cycle": 8,
    "mma_latency": 3,
    "elem_bytes": 1,
    "out_bytes": 2,
    "l2_bytes": 0,
}


def run(m, k, n, pattern=(1, 1), **changes):
    config = TensorCoreConfig(**{**BASE, **changes})
    return reference.run([(m, k, n)], pattern, config.tiles[0], config)


def busy_of(timing):
    return {part.name.lower(): timing.busy[part] for part in NmPart}


def counts_of(timing):
    return {event.name.lower(): timing.counts[event] for event in NmEvent}


def bound(timing):
    return bound_of(timing.cycles, timing.busy)


def test_three_dense_steps_bound_by_the_tensor_cores():
    timing = run(8, 24, 8)
    # Copy: 8*8 + 8*8 = 128 B at 16: 8. Reads: 4 warps of 4*8 + 8*4 = 64 B, 256 B at 32: 8.
    # Issue: 2*2*2 instructions of 64/16 = 4 cycles: 32.
    # Copies end at 8 and 16; data usable at 13 and 21; step 0 computes 13-45, step 1 45-77.
    # The third copy waits for a buffer until 45, ends at 53, usable at 58; step 2 computes 77-109.
    # Sums at 112; store 128 B at 8: 16 cycles.
    assert timing.cycles == 128
    assert busy_of(timing) == {"tensor": 96, "smem": 24, "l2": 24, "store": 16, "dram": 0}
    assert bound(timing) == "tensor"
    assert counts_of(timing) == {
        "macs": 3 * 512,
        "operand_selects": 0,
        "l2_bytes": 3 * 128,
        "l2_metadata_bytes": 0,
        "smem_bytes": 3 * 256,
        "smem_metadata_bytes": 0,
        "dram_bytes": 8 * 24 + 24 * 8 + 8 * 8 * 2,
        "dram_metadata_bytes": 0,
        "store_bytes": 128,
        "tiles": 1,
        "waves": 1,
        "idle_cores": 0,
    }


def test_the_same_at_two_of_four():
    timing = run(8, 24, 8, (2, 4))
    # Four values of eight and 8 bits of positions a row. Copy: 8*4 + 8 + 64 = 104 B at 16: 6.5, so 7.
    # Reads: 4 warps of 4*4 + 4 + 32 = 52 B, 208 B at 32: 6.5, so 7. Issue: 2*2*1 instructions: 16.
    # Usable at 7 + 5 = 12: step 0 computes 12-28, step 1 28-44; copy 2 runs 28-35, usable 40; step 2 44-60; + 3 + 16.
    assert timing.cycles == 79
    assert busy_of(timing) == {"tensor": 48, "smem": 21, "l2": 21, "store": 16, "dram": 0}
    counts = counts_of(timing)
    assert counts["macs"] == counts["operand_selects"] == 3 * 256
    assert (counts["l2_bytes"], counts["l2_metadata_bytes"]) == (312, 24)
    assert (counts["smem_bytes"], counts["smem_metadata_bytes"]) == (3 * 208, 3 * 16)
    # 8 rows of 12 values and 24 bits; 24 x 8 activations; 64 outputs of two bytes.
    assert (counts["dram_bytes"], counts["dram_metadata_bytes"]) == (96 + 24 + 192 + 128, 24)


def test_one_buffer_exposes_copy_and_latency_of_every_step():
    # Each step: copy 8, latency 5, compute 32, one after the other: 45. Three of them, 3 and 16.
    assert run(8, 24, 8, stages=1).cycles == 3 * 45 + 19


def test_a_third_buffer_lets_the_third_copy_follow_at_once():
    # Copies at 0, 8 and 16, usable at 13, 21 and 29, issue of 4 cycles (macs_per_cycle 512 holds a core for 1 cycle,
    # 8 instructions on two cores) but reads of 8: compute 13-21, 21-29, 29-37.
    fast_issue = {"macs_per_cycle": 512, "tc_per_core": 2}
    timing = run(8, 24, 8, stages=3, **fast_issue)
    assert (timing.cycles, busy_of(timing)["tensor"]) == (37 + 19, 12)
    # With two, the third copy waits for the buffer of step 0 until 21: 21-29, usable 34, compute 34-42.
    assert run(8, 24, 8, stages=2, **fast_issue).cycles == 42 + 19


def test_a_slow_port():
    timing = run(8, 24, 8, l2_bytes_per_cycle=2)
    # Copies of 64: 0-64, 64-128, 128-192 (the buffer of step 0 was free at 101); usable 197; 32; 3; 16.
    assert timing.cycles == 197 + 32 + 19
    assert (busy_of(timing)["l2"], bound(timing)) == (192, "l2")


def test_slow_operand_reads():
    timing = run(8, 24, 8, smem_bytes_per_cycle=4)
    # 256 B at 4: 64 cycles a step, more than the 32 of issue.
    assert timing.cycles == 13 + 3 * 64 + 19
    assert (busy_of(timing)["smem"], busy_of(timing)["tensor"], bound(timing)) == (192, 96, "smem")


def test_slow_stores_and_long_latency():
    timing = run(8, 8, 8, store_bytes_per_cycle=1)
    assert timing.cycles == 13 + 32 + 3 + 128
    assert bound(timing) == "store"
    assert bound(run(8, 8, 8, l2_latency=500)) == "latency"


def test_data_are_usable_in_the_cycle_the_latency_ends():
    # Without latency a copy's data are used in the cycle in which the port turns to the next.
    assert run(8, 8, 8, l2_latency=0, mma_latency=0).cycles == 8 + 32 + 16


def test_rates_are_exact_and_rounded_once():
    # 128 B at 128/9 are 9 cycles exactly; at 127/9 9.07, so 10.
    assert run(8, 8, 8, l2_bytes_per_cycle=Fraction(128, 9)).cycles == 9 + 5 + 32 + 19
    assert run(8, 8, 8, l2_bytes_per_cycle=Fraction(127, 9)).cycles == 10 + 5 + 32 + 19
    # 8 instructions of 4 cycles on 3 tensor cores: 32/3, so 11, not 3 rounds of 4.
    assert busy_of(run(8, 8, 8, tc_per_core=3))["tensor"] == 11
    # An instruction of 64 MACs at 60 a cycle holds a core for 2 cycles, and 8 of them 16.
    assert busy_of(run(8, 8, 8, macs_per_cycle=60))["tensor"] == 16


def test_warps_may_read_parts_of_metadata_bytes():
    timing = run(
        9, 4, 1, (1, 4), tiles=((3, 1),), mma=(1, 1, 1), bk=4, wm=1, wn=1, patterns=((1, 4),), smem_bytes_per_cycle=1
    )
    # A step keeps one value and 2 bits a row. A warp reads 1 + 1/4 + 4 bytes; three warps 15.75, so 16 cycles.
    # Copy: 3 + ceil(6/8) + 4 = 8 B. Three tiles in three waves.
    assert busy_of(timing)["smem"] == 3 * 16
    counts = counts_of(timing)
    assert (counts["smem_bytes"], counts["smem_metadata_bytes"]) == (48, 3)  # 47.25 and 2.25
    assert (counts["l2_bytes"], counts["l2_metadata_bytes"]) == (24, 3)
    assert (counts["dram_bytes"], counts["dram_metadata_bytes"]) == (42, 3)  # 3 * (3 + 3/4 + 4 + 6) is 41.25


def test_instructions_and_warps_larger_than_the_tile():
    timing = run(2, 8, 1, tiles=((2, 1),), wm=64, wn=64)
    # One by one by two instructions of 4 cycles; one warp reads 2*8 + 8*1 = 24 B, one cycle; the copy is 24 B, two.
    assert busy_of(timing) == {"tensor": 8, "smem": 1, "l2": 2, "store": 1, "dram": 0}
    assert timing.cycles == 2 + 5 + 8 + 3 + 1


def test_less_than_a_step_costs_a_step_and_moves_whole_groups():
    timing = run(3, 5, 2, (2, 4))
    assert timing.cycles == 7 + 5 + 16 + 3 + 16
    # 3 rows of two groups: 4 values and 8 bits each; 5 x 2 activations; 6 outputs of two bytes.
    assert counts_of(timing)["dram_bytes"] == 12 + 3 + 10 + 12
    assert counts_of(timing)["macs"] == 256


def test_waves_share_rows_and_columns():
    timing = run(20, 24, 12, n_core=4, dram_bytes_per_cycle=8, launch=10)
    # Three block rows (8, 8, 4) and two block columns (8, 4). Wave 0 has tiles (0,0) (1,0) (2,0) (0,1): all 20 rows
    # and 12 columns once, 480 + 288 B, and (64 + 64 + 32 + 32) outputs, 384 B: 1152 B, 144 cycles, more than the 128 of
    # a tile. Wave 1 has (1,1) (2,1): 12 rows, 4 columns, 32 + 16 outputs: 288 + 96 + 96 = 480 B, 60 cycles, less.
    assert timing.cycles == 10 + 144 + 128
    assert busy_of(timing) == {"tensor": 192, "smem": 48, "l2": 48, "store": 32, "dram": 204}
    counts = counts_of(timing)
    assert (counts["tiles"], counts["waves"], counts["idle_cores"]) == (6, 2, 2)
    assert (counts["dram_bytes"], counts["l2_bytes"], counts["store_bytes"]) == (1632, 6 * 384, 6 * 128)
    assert bound(timing) == "dram"


def test_a_tile_of_a_graphics_processor():
    config = TensorCoreConfig.preset("rtx3090")
    timing = reference.run([(1024, 768, 4096)], (2, 4), (256, 128), config)
    # Copy: 256*32*2 + 256*64/8 + 64*128*2 = 34816 B at 24: 1451. Reads: 8 warps of 4096 + 512 + 8192 B at 128: 800.
    # Issue: 16*16*2 instructions of 2048/64 = 32 cycles on 4 cores: 4096. Copies hide behind it.
    # 12 steps from 1451 + 500 on, 33, and 65536 B at 8: 8192. 128 tiles on 82 cores: two waves, DRAM in its shade.
    assert timing.cycles == 5000 + 2 * (1951 + 12 * 4096 + 33 + 8192)
    assert busy_of(timing)["tensor"] == 2 * 12 * 4096
    assert counts_of(timing)["idle_cores"] == 36


@given(nm_cases())
def test_time_and_counts_are_those_of_the_cycle_stepped_model(case):
    timing = reference.run(*case.arguments)
    cycles, busy, counts = simulate(*case.arguments)
    assert timing.cycles == cycles
    assert busy_of(timing) == busy
    assert counts_of(timing) == counts
