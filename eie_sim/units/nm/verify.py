"""Check of a product on tensor cores against its weights and inputs, on every vector, and its distance from floats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.result import SimResult
from eie_sim.core.sparse import is_sparse
from eie_sim.core.verification import Verification, relative
from eie_sim.units.nm.functional import error_bound
from eie_sim.units.nm.matrix import INT8_MAX, NmMatrix

VECTORS, NUMBERS = 512, 2**22
"""Most vectors, and most weights, that are checked at once; bounds the memory."""


def verify(
    layer: Any,
    matrix: NmMatrix,
    activations: NDArray[Any],
    result: SimResult,
    *,
    before: SimResult | None = None,
    relu: bool = True,
) -> Verification:
    """Compare stored weights and all outputs with plain float64 products; int8 to the bit, float16 within its bound.

    layer : what the matrix was made from, as `network.Layer` has it; its bias is added outside the unit
    activations : real values or int8 words, [n_in] or [n_vector, n_in]; nothing that was written back in words
    """
    weights = layer.weights.toarray() if is_sparse(layer.weights) else layer.weights
    held, exact = matrix.decode(), matrix.element == "int8"
    bias = np.zeros(len(weights)) if layer.bias is None else layer.bias.astype(np.float64)
    step, scale = matrix.activation_scale or 1.0, result.output_scale
    batch, outputs = np.atleast_2d(activations), np.atleast_2d(result.output)
    floats = batch.dtype.kind == "f"
    wrong = wrong_weights = zeroed = lost = saturated = 0
    error = bound = 0.0
    squares = np.zeros(4)
    height = max(1, NUMBERS // max(1, matrix.n_in))
    blocks = [slice(top, top + height) for top in range(0, matrix.n_out, height)]
    for rows in blocks:
        expected, beyond = _as_stored(weights[rows], matrix)
        wrong_weights += int(np.count_nonzero(held[rows] != expected))
        saturated += beyond
    for at in range(0, len(batch), VECTORS):
        part = slice(at, at + VECTORS)
        real = batch[part].astype(np.float64) * (1.0 if floats else step)
        words = np.clip(np.rint(real / step), -INT8_MAX, INT8_MAX) if exact and floats else real / step
        lost += int(np.count_nonzero(real.any(axis=1) & ~words.any(axis=1)))
        saturated += int(np.count_nonzero(np.abs(real) > (INT8_MAX + 0.5) * step)) if exact else 0
        allowed = np.zeros((1, matrix.n_out)) if exact else error_bound(matrix, batch[part].T).T
        bound = max(bound, scale * float(allowed.max(initial=0.0)))
        for rows in blocks:
            own, decoded, found = weights[rows].astype(np.float64), held[rows].astype(np.float64), outputs[part, rows]
            distance = np.abs(found - words @ decoded.T)
            wrong += int(np.count_nonzero(~(distance <= allowed[:, rows])))
            error = max(error, scale * float(distance.max(initial=0.0)))
            product, coded = real @ own.T, real @ decoded.T * matrix.weight_scale
            simulated = found * scale
            zeroed += int(np.count_nonzero((found == 0) & (product != 0)))
            parts = (product + bias[rows], simulated - product, coded - product, simulated - coded)
            squares += [float(np.square(of).sum()) for of in parts]
    of_outputs, of_stored, of_rounding = relative(squares)
    return Verification.of(
        weights=matrix.n_out * matrix.n_in,
        wrong_weights=wrong_weights,
        outputs=outputs.size,
        wrong_outputs=wrong,
        error=error,
        bound=bound,
        relative_error=of_outputs,
        stored_error=of_stored,
        rounding_error=of_rounding,
        zeroed=zeroed,
        silent=not outputs.any(),
        vectors=len(batch),
        lost_vectors=lost,
        inputs=batch.size,
        saturated_inputs=saturated,
    )


def _as_stored(weights: NDArray[Any], matrix: NmMatrix) -> tuple[NDArray[Any], int]:
    """Return weights as a matrix has to hold them, and how many are beyond its type."""
    if matrix.element == "float16":
        return weights.astype(np.float64).astype(np.float16), 0
    words = np.rint(weights.astype(np.float64) / matrix.weight_scale)
    if weights.dtype.kind != "f":
        return words, 0
    return np.clip(words, -INT8_MAX, INT8_MAX), int(np.count_nonzero(np.abs(words) > INT8_MAX))
