"""What pruning one layer at a time does to a network, and what the layer then costs.

Source: Han et al. 2015, section 3.1 (sensitivity to pruning, layer by layer).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require, require_callable, require_type
from eie_sim.prune.counts import fractions
from eie_sim.prune.layout import as_mask
from eie_sim.prune.score import as_finite, as_reals

Weights = NDArray[Any]
Progress = Callable[[str], None]


class Point(NamedTuple):
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
    densities: Sequence[float],
    *,
    mask_of: Callable[[Weights, float], NDArray[np.bool_]],
    quality_of: Callable[[Mapping[str, Weights]], float],
    cost_of: Callable[[str, Weights], float],
    progress: Progress = lambda step: None,
) -> list[Point]:
    """Prune every layer to every density, alone, and measure.

    weights : [n_out, n_in] by layer
    mask_of(weights, density) : what to keep; quality_of(weights by layer) : of the whole network
    cost_of(layer, pruned weights) : of that layer

    Returns the points layer by layer, in the order of the densities.
    Raises InputError for no density or one outside 0..1, and for a quality or cost that is not finite.
    """
    require_type("weights", weights, Mapping)
    functions = {"mask_of": mask_of, "quality_of": quality_of, "cost_of": cost_of, "progress": progress}
    for field, function in functions.items():
        require_callable(field, function)
    asked = fractions("density", densities)
    require(len(asked) > 0, "densities", 0, "must be at least one")
    points = []
    for layer, dense in {layer: as_reals(f"weights of {layer}", w) for layer, w in weights.items()}.items():
        for density in asked:
            progress(f"{layer}: density {density:g}")
            mask = as_mask("mask_of", mask_of(dense, density), dense.shape)
            pruned = np.where(mask, dense, dense.dtype.type(0))
            kept = int(np.count_nonzero(mask))
            quality = as_finite("quality", quality_of({**weights, layer: pruned}))
            cost = as_finite("cost", cost_of(layer, pruned))
            points.append(Point(layer, density, kept / mask.size, kept, quality, cost))
    return points


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
