"""The parts of a unit that a comparison asks for: its memories, and products of its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.result import SimResult
from eie_sim.core.steps import Steps
from eie_sim.units.energy import constants

LPDDR4_BYTES_PER_CYCLE = 32
"""DRAM bytes a cycle of designs without DRAM, for figures with it: 25.6 GB/s at 800 MHz, as LPDDR4 gives on 64 bits."""


def lpddr4_pj_per_byte() -> float:
    """Energy of a byte from or to it."""
    return constants("nm_energy_45nm")["lpddr4"].energy_pj(8)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chip:
    """A chip that multiplies by all vectors of a batch at once, with weights where they are used, and with DRAM.

    near, far : its designs; of the second, `dram_bytes` of a result's events are all bytes that its DRAM moves
    near_words, far_words : where weights are then, and by whom they are read, in words
    dram_bytes_per_cycle : of its DRAM
    copies : events of `near` that take no energy, since nothing is copied
    board_watts : power limit of its board; None of a design that is no board
    packed : (weights [n_out, n_in], pattern, inputs float [n_vector, n_in]) -> matrix as it stores it, its product
        checked on these inputs. Raises InvariantError where that is wrong
    timed : (matrix, vectors, near or far) -> result of their product, without data
    later : (the same, steps) -> of a later one of these, which may find weights where the first left them; None where
        each is as the first
    """

    near: Any
    far: Any
    near_words: str
    far_words: str
    dram_bytes_per_cycle: Fraction
    copies: tuple[str, ...]
    board_watts: float | None
    packed: Callable[[NDArray[Any], Pattern, NDArray[Any]], Any]
    timed: Callable[[Any, int, Any], SimResult]
    later: Callable[[Any, int, Any, Steps], SimResult] | None = None
