"""What must be so of every product, whichever engine timed it: checked always, from the counts alone."""

from __future__ import annotations

from eie_sim.errors import hold
from eie_sim.nm_pattern import Pattern, position_bits
from eie_sim.result import NmEvent, NmPart, NmTiming
from eie_sim.units.nm.config import TensorCoreConfig


def check(
    m: int, k: int, n: int, pattern: Pattern, tile: tuple[int, int], config: TensorCoreConfig, timing: NmTiming
) -> None:
    """Raise InvariantError where counts of A [m, k] times B [k, n] contradict each other, the design or the shape."""
    counts = {event: timing.counts[event] for event in NmEvent}
    for event, count in counts.items():
        hold(count >= 0, event.name.lower(), count, "must not be negative")
    _tiles_cover(m, n, tile, config, counts)
    _bytes_are_accesses(m, k, n, pattern, tile, config, counts)
    _cycles_are_enough(config, timing, counts[NmEvent.MACS])


def _tiles_cover(m: int, n: int, tile: tuple[int, int], config: TensorCoreConfig, counts: dict[NmEvent, int]) -> None:
    (bm, bn), tiles, waves = tile, counts[NmEvent.TILES], counts[NmEvent.WAVES]
    hold(tiles == -(-m // bm) * -(-n // bn), "tiles", tiles, f"must cover {m} x {n} in {bm} x {bn}")
    idle = counts[NmEvent.IDLE_CORES]
    hold(0 <= idle < config.n_core, "idle_cores", idle, f"must be fewer than the {config.n_core} cores")
    hold(tiles + idle == waves * config.n_core, "waves", waves, f"must hold {tiles} tiles on {config.n_core} cores")


def _bytes_are_accesses(
    m: int,
    k: int,
    n: int,
    pattern: Pattern,
    tile: tuple[int, int],
    config: TensorCoreConfig,
    counts: dict[NmEvent, int],
) -> None:
    """MACs and bytes are those of full tiles times their number, and at least all of A, B and the outputs of DRAM's."""
    (bm, bn), (kept, group), tiles = tile, pattern, counts[NmEvent.TILES]
    steps = tiles * -(-k // config.bk)
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
    least = m * -(-k // group) * kept * config.elem_bytes + k * n * config.elem_bytes + m * n * config.out_bytes
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
