"""Rules that hold for every product, whichever engine timed it: checked always, from the counts alone."""

from __future__ import annotations

from collections.abc import Sequence

from eie_sim.core.errors import hold
from eie_sim.core.nm_pattern import Pattern, position_bits
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent, NmPart, NmTiming

Shapes = Sequence[tuple[int, int, int]]
"""Rows of A, inputs and columns of B of each product."""


def check(
    shapes: Shapes,
    pattern: Pattern,
    tile: tuple[int, int],
    config: TensorCoreConfig,
    timing: NmTiming,
    a_held: bool = False,
) -> None:
    """Raise InvariantError where counts of products A [m, k] times B [k, n] contradict each other or what is given.

    a_held : L2 has every A already
    """
    counts = {event: timing.counts[event] for event in NmEvent}
    for event, count in counts.items():
        hold(count >= 0, event.name.lower(), count, "must not be negative")
    _tiles_cover(shapes, tile, config, counts)
    _bytes_are_accesses(shapes, pattern, tile, config, counts, a_held)
    _cycles_are_enough(config, timing, counts[NmEvent.MACS])


def _tiles_of(m: int, n: int, tile: tuple[int, int]) -> int:
    return -(-m // tile[0]) * -(-n // tile[1])


def _tiles_cover(shapes: Shapes, tile: tuple[int, int], config: TensorCoreConfig, counts: dict[NmEvent, int]) -> None:
    tiles, waves = counts[NmEvent.TILES], counts[NmEvent.WAVES]
    said = " and ".join(f"{m} x {n}" for m, _, n in shapes)
    hold(
        tiles == sum(_tiles_of(m, n, tile) for m, _, n in shapes),
        "tiles",
        tiles,
        f"must cover {said} in {tile[0]} x {tile[1]}",
    )
    idle = counts[NmEvent.IDLE_CORES]
    hold(0 <= idle < config.n_core, "idle_cores", idle, f"must be fewer than the {config.n_core} cores")
    hold(tiles + idle == waves * config.n_core, "waves", waves, f"must hold {tiles} tiles on {config.n_core} cores")


def _bytes_are_accesses(
    shapes: Shapes,
    pattern: Pattern,
    tile: tuple[int, int],
    config: TensorCoreConfig,
    counts: dict[NmEvent, int],
    a_held: bool,
) -> None:
    """MACs and bytes are those of full tiles times their number; DRAM's at least all of A, B and the outputs."""
    (bm, bn), (kept, group), tiles = tile, pattern, counts[NmEvent.TILES]
    steps = sum(_tiles_of(m, n, tile) * -(-k // config.bk) for m, k, n in shapes)
    of_step = config.bk // group * kept
    macs = steps * bm * bn * of_step
    _equal(counts, NmEvent.MACS, macs, f", those of {tiles} full tiles")
    _equal(counts, NmEvent.OPERAND_SELECTS, macs if kept < group else 0)
    _equal(counts, NmEvent.STORE_BYTES, tiles * bm * bn * config.out_bytes)
    bits = position_bits(pattern)
    a_reads, b_reads = bn // min(config.wn, bn), bm // min(config.wm, bm)  # by warps side by side
    copied = steps * -(-bm * of_step * bits // 8)  # whole bytes in every copy
    read = -(-steps * a_reads * bm * of_step * bits // 8)
    for level, a_times, b_times, metadata in (("L2", 1, 1, copied), ("SMEM", a_reads, b_reads, read)):
        values = steps * (a_times * bm * of_step + b_times * config.bk * bn)
        _equal(counts, NmEvent[f"{level}_METADATA_BYTES"], metadata)
        _equal(counts, NmEvent[f"{level}_BYTES"], values * config.elem_bytes + metadata)
    metadata, moved = counts[NmEvent.DRAM_METADATA_BYTES], counts[NmEvent.DRAM_BYTES]
    hold(metadata <= moved, "dram_metadata_bytes", metadata, "must be within dram_bytes")
    least = sum(
        (m * -(-k // group) * kept * (not a_held) + k * n) * config.elem_bytes + m * n * config.out_bytes
        for m, k, n in shapes
        if n
    )
    hold(moved >= least, "dram_bytes", moved, f"must be at least {least}")


def _cycles_are_enough(config: TensorCoreConfig, timing: NmTiming, macs: int) -> None:
    """No part is busy for longer than the product takes, and no more is multiplied than the cores can."""
    for part, busy in zip(NmPart, timing.busy, strict=True):
        inside = 0 <= busy <= timing.cycles
        hold(inside, f"busy {part.name.lower()}", busy, f"must be in the {timing.cycles} cycles")
    most = timing.cycles * config.n_core * config.tc_per_core * config.macs_per_cycle
    hold(macs <= most, "cycles", timing.cycles, f"must be enough for {macs} MACs")


def _equal(counts: dict[NmEvent, int], event: NmEvent, expected: int, why: str = "") -> None:
    """Raise InvariantError unless there are as many of an event as expected."""
    hold(counts[event] == expected, event.name.lower(), counts[event], f"must be {expected}{why}")
