"""Quality of a network as one layer at a time is pruned, and the cost that is left of the layer.

Source: Han et al. 2015, section 3.1 (sensitivity to pruning, layer by layer).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require

Weights = NDArray[Any]
Progress = Callable[[str], None]


class Sensitivity(NamedTuple):
    """One layer at one density, the others as they are.

    asked, achieved : density; kept : weights
    quality : of the network, higher is better: accuracy, or minus an error
    cost : of the layer, in the unit of the cost function: weights, bytes, cycles, pJ
    """

    layer: str
    asked: float
    achieved: float
    kept: int
    quality: float
    cost: float


def scan(
    weights: Mapping[str, Weights],
    others: Mapping[str, Weights],
    grids: Mapping[str, Sequence[float]],
    *,
    mask_of: Callable[[Weights, float], NDArray[np.bool_]],
    quality_of: Callable[[Mapping[str, Weights]], float],
    cost_of: Callable[[str, Weights], float],
    progress: Progress = lambda step: None,
) -> list[Sensitivity]:
    """Prune each layer alone to densities of its own, and measure.

    weights : [n_out, n_in] by layer, pruned from; others : weights of the layers that are not pruned
    grids : densities by layer
    mask_of(weights, density) : what to keep; quality_of(weights by layer) : of the whole network
    cost_of(layer, pruned weights) : of that layer

    Returns the measurements layer by layer, in the order of the densities.
    """
    found = []
    for layer, densities in grids.items():
        dense = weights[layer]
        for density in densities:
            progress(f"{layer}: density {density:g}")
            mask = mask_of(dense, density)
            pruned = np.where(mask, dense, dense.dtype.type(0))
            kept = int(np.count_nonzero(mask))
            quality, cost = quality_of({**others, layer: pruned}), cost_of(layer, pruned)
            found.append(Sensitivity(layer, density, kept / mask.size, kept, quality, cost))
    return found


def reconstruction_error(dense: Weights, pruned: Weights, inputs: NDArray[Any]) -> float:
    """Relative squared error of a layer's outputs on `inputs` [n_vector, n_in]; 0 where the dense outputs are 0.

    Computed in float64. Raises InputError where the squares of the outputs are beyond it.
    """
    power = _power(inputs, dense)
    return _power(inputs, np.subtract(dense, pruned, dtype=np.float64)) / power if power else 0.0


def _power(inputs: NDArray[Any], weights: Weights) -> float:
    """Sum of the squares of a layer's outputs."""
    with np.errstate(over="ignore", invalid="ignore"):  # refused on the next lines
        outputs = np.matmul(inputs, weights.T, dtype=np.float64)
        power = float(np.vdot(outputs, outputs))
    require(math.isfinite(power), "power of the outputs", power, "must be finite; weights or inputs are too large")
    return power
