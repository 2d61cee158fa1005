"""Source of each value of each preset of tensor cores: a data sheet, a measurement of ours, or a choice.

Rates of MACs, core counts and DRAM of the GPUs are facts. What their makers do not publish is chosen, and so is
which of several published values is taken: a clock, an instruction. The designs that are no product are
chosen throughout, but for what they take from another simulator's. `HELD_AGAINST` says what the times of each preset
were held against; `eie-sim validate nm` prints both.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

DATA_SHEET, MEASURED, CHOSEN = "data sheet", "measured by us", "chosen"

HELD_AGAINST = {
    "rtx3090": "34 products measured elsewhere",
    "a100-sxm": "2 products measured elsewhere",
    "h100-sxm": "35 shapes measured by us, each dense and 2:4, in fp16",
    "stc-1024": "another simulator's 4 layers",
    "stc-1024-flexible": "another simulator's 4 layers",
    "nm-64": "ours, held against nothing",
}
"""Preset: what its times were held against, in a phrase."""

NOT_MEASURED = "not measured"
"""The phrase of every other design."""


class Reason(NamedTuple):
    """kind : `DATA_SHEET`, `MEASURED` or `CHOSEN`; reason : the source, or why this value."""

    kind: str
    reason: str


_fact, _choice = partial(Reason, DATA_SHEET), partial(Reason, CHOSEN)


_GPU = {
    "tc_per_core": _fact("4 tensor cores an SM, NVIDIA's white papers"),
    "mma": _choice("the largest shape that mma.sync has for fp16, PTX ISA; a sparse one covers twice the K"),
    "bk": _choice("64 of K a step, a step of the library's kernels (CUTLASS)"),
    "wm": _choice("64x64 a warp, a warp tile of CUTLASS"),
    "wn": _choice("64x64 a warp, a warp tile of CUTLASS"),
    "elem_bytes": _choice("fp16, as the measured products are"),
    "out_bytes": _choice("outputs are stored as fp16, as the measured products are"),
    "patterns": _fact("2:4 is the only pattern of sparse tensor cores for fp16"),
}

_GPU_BIG = {
    "tiles": _choice("CUTLASS's tiles, the RTX 3090's; small ones so that small batches do not pay for empty columns"),
    "stages": _choice("4 step buffers of 2:4 operands of the largest tile are 136 KiB and fit shared memory"),
    "l2_bytes_per_cycle": _choice("64 bytes a cycle, the width of an SM's port; all SMs at once may get less"),
    "store_bytes_per_cycle": _choice("32 bytes a cycle and SM, a sector"),
}

_DESIGN = {
    "n_core": _choice("one core, to be set beside one EIE"),
    "clock_mhz": _choice("0.8 to 1 GHz, attainable at 45 nm; EIE has 0.8"),
    "bk": _choice("a multiple of every group the design runs, and of the instruction"),
    "stages": _choice("two: one is filled while the other is used"),
    "l2_bytes_per_cycle": _choice("32 bytes a cycle, an SRAM port of 256 bits"),
    "out_bytes": _choice("outputs are stored in 16 bits"),
    "board_watts": _choice("none: a design, and no board"),
    "launch": _choice("an accelerator of its own has no kernels to launch"),
    "node_nm": _choice("45 nm, EIE's node"),
    "smem_bytes": _choice("64 KiB, holds the step buffers of the largest tile"),
    "l2_bytes": _choice("64 KiB, as much as its shared memory"),
}

_STC = {
    **_DESIGN,
    "tc_per_core": _choice("4 units of 256, 1024 int8 MACs a cycle, as the other simulator's"),
    "macs_per_cycle": _choice("4 units of 256, 1024 int8 MACs a cycle, as the other simulator's"),
    "mma": _choice("16x8x8, 4 cycles of a unit: K cut finely, so that what a step of 48 keeps is whole instructions"),
    "tiles": _choice(
        "128x128, within whose 2:4 compute DRAM can read a block column of B, as it cannot within 64x128's; then down "
        "to 64x16, so that small batches do not pay for empty columns"
    ),
    "smem_bytes_per_cycle": _choice(
        "42 bytes a cycle, as the other simulator's: what 2:4 asks for at 1024 MACs a cycle"
    ),
    "wm": _choice(
        "64x128 outputs share what is read: 2:4 then asks for 32 bytes of B, 8 of A and 2 of metadata in a cycle, 42 "
        "together, and 2:8 for 75, so that it takes 75/42/4 = 0.446 of dense (the other simulator: 19/42 = 0.452)"
    ),
    "wn": _choice("see wm"),
    "l2_latency": _choice("20 cycles to an on-chip SRAM of this size"),
    "l2_bytes_per_cycle": _choice(
        "128 bytes a cycle: the other simulator hides fills behind compute, here a tile waits for its first step"
    ),
    "store_bytes_per_cycle": _choice("128 bytes a cycle: likewise, a tile waits for its stores"),
    "dram_bytes_per_cycle": _choice("32 bytes a cycle, as the other simulator's; about 64 bits of LPDDR4-4266"),
    "mma_latency": _choice("8 cycles, a pipeline of multiply, tree and accumulate"),
    "elem_bytes": _choice("int8"),
    "out_bytes": _choice(
        "outputs are stored in 8 bits: the other simulator's energies of K 128 and 256 then leave the same energy a MAC"
    ),
    "patterns": _choice("2:4, as the GPUs"),
    "dram": _choice("LPDDR4, an edge design's; 8 pJ a bit is the other simulator's 512 pJ for 64 bits"),
    "l2_bytes": _choice("256 KiB, the other simulator's shared memory, which stands before DRAM"),
}

PROVENANCE: dict[str, dict[str, Reason]] = {
    "rtx3090": {
        **_GPU,
        "smem_bytes_per_cycle": _fact("32 banks of 4 bytes an SM, CUDA programming guide"),
        "board_watts": _fact("350 W, NVIDIA GeForce RTX 3090 data sheet"),
        "n_core": _fact("82 SMs, NVIDIA GA102 white paper"),
        "macs_per_cycle": _fact("256 fp16 MACs an SM with fp32 sums, half of those with fp16 sums, GA102 white paper"),
        "tiles": _choice(
            "CUTLASS's tiles; the measured 2:4 products, which ask cuSPARSELt for one fixed algorithm, all take 256x128"
        ),
        "stages": _choice("3, as the kernels of this generation (CUTLASS); enough to hide l2_latency"),
        "l2_bytes_per_cycle": _choice("24 bytes a cycle an SM, 2.7 TB/s for all; no measured product is bound by it"),
        "l2_latency": _choice(
            "500 cycles, a round trip to L2 or DRAM under load; hidden by 3 stages but for the first"
        ),
        "store_bytes_per_cycle": _choice("8: 82 SMs together then store 915 GB/s, no more than DRAM takes"),
        "dram_bytes_per_cycle": _fact("936 GB/s of GDDR6X, at the clock"),
        "mma_latency": _choice("33 cycles; Accel-Sim has 32 for an RTX 3070"),
        "launch": _choice(
            "5000 cycles, 3.6 us. Lines through the measured times, extended to K = 0, ask for 6700 to 7100 on 2:4 and "
            "0 to 3000 on dense, of this tile; with 5000 the shortest K misses by 1 to 2 %, from below on 2:4 and from "
            "above on dense. 2:4 error with 2000: 1.56 % mean, 4.48 % worst; with 5000: 0.95 %, 2.11 %, and each "
            "figure of the artifact improves by itself"
        ),
        "clock_mhz": _choice(
            "1395 MHz, the base clock, and not the boost clock of 1695: the slope of the measured 2:4 times over K "
            "(fig9) asks for 1388 MHz"
        ),
        "node_nm": _choice("7: made in 8 nm, which the scaling table lacks"),
        "dram": _fact("GDDR6X"),
        "smem_bytes": _fact("100 KiB an SM, CUDA programming guide, compute capability 8.6"),
        "l2_bytes": _fact("6 MiB, NVIDIA GA102 white paper"),
    },
    "a100-sxm": {
        **_GPU,
        **_GPU_BIG,
        "smem_bytes_per_cycle": _choice(
            "78 bytes a cycle are left for operand reads of the 128 that 32 banks give: copies into shared memory "
            "pass the same banks, and 2:4 reads twice as often. Chosen with the one measured 2:4 product (with 128 "
            "21 % too fast, with 78 0.6 % too slow); dense stays bound by issue. About 26 bytes a cycle of L2 would "
            "meet the three times as well, but an H100 is met better with less shared memory (9.8 % mean of the half "
            "that it was chosen with) than with less L2 (at best, with 46, 11.1 %: small tiles up to 38 % too slow); "
            "less DRAM would slow dense too. Nor is it power: at its limit an H100's 2:4 product of 8192 cubed takes "
            "11 % longer than alone, its dense one 7 %"
        ),
        "launch": _choice("5600 cycles, 4 us: carried over from the RTX 3090 (3.6 us) and the H100 (4.2 us measured)"),
        "board_watts": _fact("400 W, NVIDIA A100 data sheet, SXM"),
        "n_core": _fact("108 SMs, NVIDIA A100 data sheet"),
        "macs_per_cycle": _fact("256 a tensor core: 312 TFLOP/s dense, NVIDIA A100 data sheet"),
        "l2_latency": _choice("500 cycles, a round trip to L2 or DRAM under load"),
        "dram_bytes_per_cycle": _fact("1555 GB/s of HBM2, NVIDIA A100 data sheet, 40 GB"),
        "mma_latency": _choice("25 cycles; 24.7 measured, quoted after Sun et al., TPDS 2023"),
        "clock_mhz": _choice(
            "1410 MHz, the boost clock, at which the data sheet has 312 TFLOP/s; a power limit may leave less"
        ),
        "node_nm": _fact("7 nm"),
        "dram": _fact("HBM2"),
        "smem_bytes": _fact("164 KiB an SM, CUDA programming guide, compute capability 8.0"),
        "l2_bytes": _fact("40 MiB, NVIDIA A100 white paper"),
    },
    "h100-sxm": {
        **_GPU,
        **_GPU_BIG,
        "n_core": _fact("132 SMs, NVIDIA H100 data sheet"),
        "macs_per_cycle": _fact("512 a tensor core: 989 TFLOP/s dense at 1830 MHz, NVIDIA H100 data sheet"),
        "mma": _choice("64x8x16, the narrowest wgmma for fp16, PTX ISA; a sparse one covers twice the K"),
        "smem_bytes_per_cycle": _choice(
            "112 bytes a cycle are left for operand reads of the 128 that 32 banks give, as on the A100, but chosen "
            "with own fp16 products: every other one of the 35, by size. 64x64 a warp is carried over from the A100, "
            "though a wgmma of four warps reads operands once, so that 112 stands for both"
        ),
        "l2_latency": _choice(
            "800 cycles from cold DRAM; chosen with the same half of own products (600: 10.5 % mean, 800: 9.8 %)"
        ),
        "launch": Reason(MEASURED, "7413 cycles, 4.224 us: the smallest launch by CUDA events, units/nm/data/h100_sxm"),
        "board_watts": _fact("700 W, NVIDIA H100 data sheet, SXM; the measured board was limited to it"),
        "dram_bytes_per_cycle": _fact("3350 GB/s of HBM3, NVIDIA H100 data sheet"),
        "mma_latency": _choice("33 cycles, carried over from the RTX 3090; no product at hand shows it"),
        "clock_mhz": _choice(
            "1755 MHz, as a power limit may leave. About 1900 MHz were measured around single products; in a row of "
            "them at the board's 700 W, 8192 cubed takes 1.61 ms in place of 1.50: one clock cannot meet both"
        ),
        "node_nm": _choice("7: made in 4 nm, which the scaling table lacks"),
        "dram": _fact("HBM3"),
        "smem_bytes": _fact("228 KiB an SM, CUDA programming guide, compute capability 9.0"),
        "l2_bytes": _fact("50 MiB, NVIDIA H100 white paper"),
    },
    "stc-1024": _STC,
    "stc-1024-flexible": {**_STC, "patterns": _choice("2:4 and the sparser 1:4, 2:6 and 2:8 of flexible designs")},
    "nm-64": {
        **_DESIGN,
        "tc_per_core": _choice("64 MACs a cycle, as many as the 64 PEs of EIE"),
        "macs_per_cycle": _choice("64 MACs a cycle, as many as the 64 PEs of EIE"),
        "mma": _choice("4x4x4, 64 MACs: one instruction a cycle"),
        "tiles": _choice("down to 64x1, so that one vector does not pay for empty columns"),
        "wm": _choice("16x16 outputs, a whole tile, share the operands that are read"),
        "wn": _choice("16x16 outputs, a whole tile, share the operands that are read"),
        "smem_bytes_per_cycle": _choice("64 bytes a cycle, a memory of 512 bits"),
        "l2_latency": _choice("4 cycles: everything is in on-chip SRAM"),
        "store_bytes_per_cycle": _choice("8 bytes a cycle, 4 outputs"),
        "dram_bytes_per_cycle": _choice("none: everything is in on-chip SRAM, as in EIE"),
        "mma_latency": _choice("4 cycles, a short pipeline: 64 MACs at 0.8 GHz"),
        "elem_bytes": _choice("fp16"),
        "patterns": _choice("the patterns a user is likely to compare; give others with patterns="),
        "dram": _choice("none: everything is in on-chip SRAM, as in EIE"),
    },
}
"""Preset, field of TensorCoreConfig, where the value comes from. Every field of every preset is here."""
