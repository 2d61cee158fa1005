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


def inputs_as(element: str, vectors: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Inputs as elements that are multiplied: int8 with one scale, or what float16 is made of; and the factor back."""
    if element != "int8":
        return vectors.astype(np.float32), 1.0
    largest = max(float(np.abs(vectors).max()), 1e-30)
    return np.rint(vectors * (INT8_MAX / largest)).astype(np.int8), largest / INT8_MAX


def check_product(name: str, matrix: NmMatrix, vectors: NDArray[Any]) -> None:
    """Raise InputError where the packed product is not exact (int8), or beyond its derived bound (float16).

    vectors : float [n_vector, n_in]
    """
    from eie_sim.units.nm.functional import wrong_outputs

    wrong = wrong_outputs(matrix, inputs_as(matrix.element, vectors)[0].T)
    require(not wrong, f"layer {name}: outputs", wrong, "differ from the dense product")
