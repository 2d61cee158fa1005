"""What units say where they are compared: of a chip that others are as large as, of layers as they hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """Pruned layers as a unit holds them.

    name : of the pattern, and what it runs as where that is another
    weight_bytes : of the weights with all that belongs to them
    outputs : (layer, inputs float [n_vector, n_in]) -> what the unit makes of them, in real values [n_vector, n_out],
        with the bias
    figures : batch -> fields of `eie_sim.compare.Figures` by name, but for the batch and the candidate
    """

    name: str
    weight_bytes: float
    outputs: Callable[[str, NDArray[Any]], NDArray[Any]]
    figures: Callable[[int], dict[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chip:
    """A chip with weights where they are used, and with DRAM.

    near, far : its designs
    near_words, far_words : where weights are then, and how they are read, in words
    dram_bytes_per_cycle, dram_pj_per_byte : of its DRAM
    held : (pruned weights, biases, inputs float [n_vector, n_in], all by layer, pattern) -> the layers as it holds
        them, with products that were checked. Raises InputError where one is wrong
    """

    near: Any
    far: Any
    near_words: str
    far_words: str
    dram_bytes_per_cycle: Fraction
    dram_pj_per_byte: float
    held: Callable[[Arrays, Mapping[str, Any], Arrays, tuple[int, int]], Held]
