"""Weights as the chip's elements hold them, and whether packed ones multiply as they should."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.matrix import NmMatrix

INT8_MAX = 127
CHECKED_VECTORS = 8


def numbers(weights: NDArray[Any], config: TensorCoreConfig) -> tuple[NDArray[Any], float]:
    """What the chip's elements hold of weights, and the factor back."""
    largest = float(np.abs(weights).max())
    if config.elem_bytes != 1 or largest == 0:
        return weights if config.elem_bytes != 1 else weights.astype(np.int8), 1.0
    scale = largest / INT8_MAX
    return np.rint(weights / scale).astype(np.int8), scale


def stored(weights: NDArray[Any], config: TensorCoreConfig) -> NDArray[Any]:
    """Weights rounded as the chip stores them."""
    held, scale = numbers(weights, config)
    if config.elem_bytes == 1:
        return (held * scale).astype(weights.dtype)
    return held.astype(np.float16).astype(weights.dtype)


def check_product(name: str, matrix: NmMatrix, vectors: NDArray[Any]) -> None:
    """Raise InputError where the packed product is not exact (int8), or beyond its derived bound (float16).

    vectors : float [n_vector, n_in]
    """
    from eie_sim.units.nm.functional import wrong_outputs

    read = vectors.T
    if matrix.element == "int8":
        b = np.rint(read * (INT8_MAX / max(float(np.abs(read).max()), 1e-30))).astype(np.int8)
    else:
        b = read.astype(np.float32)
    wrong = wrong_outputs(matrix, b)
    require(not wrong, f"layer {name}: outputs", wrong, "differ from the dense product")
