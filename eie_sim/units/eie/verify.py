"""Check of a simulated layer against its weights and inputs, to the bit, and its distance from the float layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core import golden
from eie_sim.core.fixed import from_fixed, n_saturated, to_fixed
from eie_sim.core.result import SimResult
from eie_sim.core.verification import Verification, relative
from eie_sim.units.eie.matrix import EieMatrix

GOLDEN_VECTORS = 512
"""Most vectors the oracle takes at once."""

GOLDEN_NUMBERS = 2**19
"""Most inputs or outputs the oracle takes at once, where a single vector has no more; bounds its memory."""


def verify(
    layer: Any,
    matrix: EieMatrix,
    activations: NDArray[Any],
    result: SimResult,
    *,
    before: SimResult | None = None,
    relu: bool = True,
) -> Verification:
    """Compare stored weights, written-back inputs and outputs with the oracle's, in batches of vectors.

    layer : what the matrix was made from, as `network.Layer` has it
    activations : floats or raw words, [n_in] or [n_vector, n_in]
    before : the result that raw words were written back from; relu : whether one stands between
    """
    scales, config = result.scales, result.config
    rules = golden.Arithmetic(
        **scales, accumulator_bits=config.accumulator_bits, rounding=config.rounding, active=config.active
    )
    stored = golden.decoded(matrix.codes, matrix.gaps, matrix.pe_starts, matrix.pointers, matrix.n_out)
    own, wrong_weights = _own_weights(layer, matrix, stored)
    batch, outputs = np.atleast_2d(activations), np.atleast_2d(result.output)
    wrong = saturated = beyond = zeroed = 0
    error = bound = 0.0
    squares = np.zeros(4)
    at_once = max(1, min(GOLDEN_VECTORS, GOLDEN_NUMBERS // max(stored.shape)))
    parts = [slice(at, at + at_once) for at in range(0, len(batch), at_once)]
    lost, saturated_inputs = _lost_and_saturated(batch, before, relu, rules, parts)
    for part in parts:
        oracle = golden.matmul(stored, matrix.codebook, batch[part], rules)
        simulated, real = from_fixed(outputs[part], scales["accumulator"]), golden.product(own, oracle.x)
        wrong += int(np.count_nonzero(oracle.output != outputs[part]))
        saturated += int(np.count_nonzero(oracle.saturated))
        distance = np.abs(simulated - oracle.real)
        free = ~oracle.saturated
        beyond += int(np.count_nonzero((distance > oracle.bound) & free))
        error = max(error, float(distance[free].max(initial=0.0)))
        bound = max(bound, float(oracle.bound[free].max(initial=0.0)))
        zeroed += int(np.count_nonzero((outputs[part] == 0) & (real != 0)))
        squares += [float(np.square(of).sum()) for of in (real, simulated - real, oracle.real - real, distance)]
    of_outputs, of_stored, of_rounding = relative(squares)
    return Verification.of(
        weights=stored.shape[0] * stored.shape[1],
        wrong_weights=wrong_weights,
        outputs=outputs.size,
        wrong_inputs=0 if before is None else _wrong_inputs(activations, before, result, relu),
        wrong_outputs=wrong,
        saturated=saturated,
        error=error,
        bound=bound,
        beyond_bound=beyond,
        relative_error=of_outputs,
        stored_error=of_stored,
        rounding_error=of_rounding,
        zeroed=zeroed,
        silent=not outputs.any(),
        vectors=len(batch),
        inputs=batch.size,
        lost_vectors=lost,
        saturated_inputs=saturated_inputs,
    )


def _own_weights(layer: Any, matrix: EieMatrix, stored: golden.NonZeros) -> tuple[golden.NonZeros, int]:
    """The layer's weights, a bias as a last column, and how many of them are stored wrongly.

    Those of an archive are codes, which are compared as such, because a shared value may be 0.
    """
    if layer.stored is None:
        own = golden.nonzeros(layer.columns)
        return own, golden.misencoded(own, stored, matrix.codebook)
    codes = golden.nonzeros(layer.stored.columns)
    return codes._replace(values=layer.stored.codebook[codes.values]), golden.other_codes(codes, stored)


def _wrong_inputs(activations: NDArray[Any], before: SimResult, result: SimResult, relu: bool) -> int:
    expected = golden.write_back(before.output, before.scales["accumulator"], result.scales["activation"], relu=relu)
    return int(np.count_nonzero(activations != expected))


def _lost_and_saturated(
    batch: NDArray[Any], before: SimResult | None, relu: bool, rules: golden.Arithmetic, parts: list[slice]
) -> tuple[int, int]:
    """Vectors with inputs that take part, where no word does; inputs too large for one."""
    given, bits = batch, rules.activation
    if before is not None:
        given, bits = np.atleast_2d(before.output), before.scales["accumulator"]
        given = np.maximum(given, 0) if relu else given
    lost = saturated = 0
    for part in parts:
        real = given[part] if given.dtype.kind == "f" else from_fixed(given[part], bits)
        words = to_fixed(real, rules.activation)
        had, has = ((of > 0 if rules.active == "positive" else of != 0).any(axis=1) for of in (real, words))
        lost += int(np.count_nonzero(had & ~has))
        saturated += n_saturated(real, rules.activation)
    return lost, saturated
