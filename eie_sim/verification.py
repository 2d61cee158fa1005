"""Whether a simulated layer is what its weights and inputs say, to the bit, and how far it is from the float layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core import golden
from eie_sim.core.fixed import from_fixed, n_saturated, to_fixed
from eie_sim.core.result import SimResult
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.workload import RELU, Layer

GOLDEN_VECTORS = 64
"""Most vectors the oracle takes at once."""

GOLDEN_NUMBERS = 2**23
"""Most inputs or outputs the oracle takes at once, where a single vector has no more; bounds its memory."""

MOST_ERROR = 0.5
"""Relative error above which a layer is warned of: half of what its outputs say is not so."""

MOST_SATURATED = 0.01
"""Share of saturated outputs, or inputs, above which a layer is warned of."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a simulated layer compares with its weights, with the oracle, and with the float layer of its own weights.

    wrong_weights : weights stored wrongly, out of `weights`
    wrong_inputs : inputs that differ from the oracle's write-back of the layer before
    wrong_outputs : outputs that differ from the oracle's integers, out of `outputs`
    saturated : outputs whose accumulator was clamped on the way; they are outside the float bound by design
    error, bound : largest distance from the codebook's float product where nothing was clamped, and what it may be, in
        real values
    beyond_bound : unclamped outputs farther from that product than their bound

    The float layer is the float64 product of the layer's own weights and bias, before codebook and rounding, with the
    inputs the layer got, as real values; negative ones that take no part in the design take none in it. Errors are
    root mean squares over all outputs and vectors, relative to that of the float layer; None where that is 0.

    relative_error : of the simulated outputs
    codebook_error : of the float product of the codebook's values, 0 for weights that came as a codebook
    rounding_error : of the simulated outputs from that product: words, shifts, saturation
    zeroed : outputs that are 0 where the float layer's, however small, are not; silent : whether all outputs are 0
    lost_vectors : vectors with inputs that take part, all of which became words of 0, out of `vectors`
    saturated_inputs : inputs too large for a word, out of `inputs`
    """

    weights: int
    wrong_weights: int
    wrong_inputs: int
    outputs: int
    wrong_outputs: int
    saturated: int
    error: float
    bound: float
    beyond_bound: int
    relative_error: float | None
    codebook_error: float | None
    rounding_error: float | None
    zeroed: int
    silent: bool
    vectors: int
    lost_vectors: int
    inputs: int
    saturated_inputs: int

    @property
    def ok(self) -> bool:
        """True where nothing differs."""
        return self.wrong_weights == self.wrong_inputs == self.wrong_outputs == self.beyond_bound == 0

    def differs(self) -> str:
        """What differs, in words; empty where nothing does."""
        faults = [
            (self.wrong_weights, f"of {self.weights} weights stored wrongly"),
            (self.wrong_inputs, "inputs differ from the golden write-back of the layer before"),
            (self.wrong_outputs, f"of {self.outputs} outputs differ from the golden product"),
            (self.beyond_bound, f"of {self.outputs} outputs are farther from the float product than the bound"),
        ]
        return "; ".join(f"{count} {text}" for count, text in faults if count)

    def warns(self) -> str:
        """Why the outputs mean little although nothing differs, in words; empty where they do not."""
        found = []
        if self.lost_vectors:
            found.append(f"all active inputs of {self.lost_vectors:,} of {self.vectors:,} vectors became 0")
        if self.saturated_inputs > MOST_SATURATED * self.inputs:
            found.append(f"{self.saturated_inputs:,} of {self.inputs:,} inputs saturated")
        if self.silent and self.zeroed:
            found.append(f"all outputs are 0, {self.zeroed:,} of {self.outputs:,} are not in floats")
        if self.saturated > MOST_SATURATED * self.outputs:
            found.append(f"{self.saturated:,} of {self.outputs:,} outputs saturated")
        if self.relative_error is not None and self.relative_error > MOST_ERROR:
            parts = [f"{100 * (part or 0.0):.3g} %" for part in (self.codebook_error, self.rounding_error)]
            off = f"outputs are {100 * self.relative_error:.3g} % off those of the layer's own weights in floats"
            found.append(f"{off} (codebook {parts[0]}, rounding {parts[1]})")
        return "; ".join(found)


def verify(
    layer: Layer,
    matrix: EieMatrix,
    activations: NDArray[Any],
    result: SimResult,
    *,
    before: SimResult | None = None,
    between: str = RELU,
) -> Verification:
    """Compare stored weights, written-back inputs and outputs with the oracle's, in batches of vectors.

    activations : floats or raw words, [n_in] or [n_vector, n_in]
    before : the result that raw words were written back from, and what stands between
    """
    scales, config = result.scales, result.config
    relu = between == RELU
    rules = golden.Arithmetic(
        **scales, accumulator_bits=config.accumulator_bits, rounding=config.rounding, active=config.active
    )
    stored = golden.decoded(matrix.codes, matrix.gaps, matrix.pe_starts, matrix.pointers, matrix.n_out)
    own, wrong_weights = _own_weights(layer, matrix, stored)
    batch, outputs = np.atleast_2d(activations), np.atleast_2d(result.output).astype(np.int64)
    wrong = saturated = beyond = zeroed = 0
    error = bound = 0.0
    squares = np.zeros(4)
    was = batch if batch.dtype.kind == "f" else from_fixed(batch, rules.activation)
    if before is not None:
        given = np.atleast_2d(before.output)
        was = from_fixed(np.maximum(given, 0) if relu else given, before.scales["accumulator"])
    lost, saturated_inputs = _lost_and_saturated(was, rules)
    at_once = max(1, min(GOLDEN_VECTORS, GOLDEN_NUMBERS // max(stored.shape)))
    for at in range(0, len(batch), at_once):
        part = slice(at, at + at_once)
        oracle = golden.matmul(stored, matrix.codebook, batch[part], rules)
        simulated, real = from_fixed(outputs[part], scales["accumulator"]), golden.product(own, batch[part], rules)
        wrong += int(np.count_nonzero(oracle.output != outputs[part]))
        saturated += int(np.count_nonzero(oracle.saturated))
        distance = np.abs(simulated - oracle.real)
        free = ~oracle.saturated
        beyond += int(np.count_nonzero((distance > oracle.bound) & free))
        error = max(error, float(distance[free].max(initial=0.0)))
        bound = max(bound, float(oracle.bound[free].max(initial=0.0)))
        zeroed += int(np.count_nonzero((outputs[part] == 0) & (real != 0)))
        squares += [float(np.square(of).sum()) for of in (real, simulated - real, oracle.real - real, distance)]
    relative, codebook, rounding = _relative(squares)
    return Verification(
        weights=stored.shape[0] * stored.shape[1],
        wrong_weights=wrong_weights,
        outputs=outputs.size,
        wrong_inputs=0 if before is None else _wrong_inputs(activations, before, result, relu),
        wrong_outputs=wrong,
        saturated=saturated,
        error=error,
        bound=bound,
        beyond_bound=beyond,
        relative_error=relative,
        codebook_error=codebook,
        rounding_error=rounding,
        zeroed=zeroed,
        silent=not outputs.any(),
        vectors=len(batch),
        inputs=batch.size,
        lost_vectors=lost,
        saturated_inputs=saturated_inputs,
    )


def relative_error(simulated: NDArray[np.floating], floats: NDArray[np.floating]) -> float | None:
    """Root mean square of the difference over that of `floats`; None where that is 0."""
    return _relative(np.array([np.square(of, dtype=np.float64).sum() for of in (floats, simulated - floats)]))[0]


def _relative(squares: NDArray[np.float64]) -> list[float | None]:
    """Roots of sums of squares, those after the first over the first; None where that is 0."""
    return [float(np.sqrt(of / squares[0])) if squares[0] else None for of in squares[1:]]


def _own_weights(layer: Layer, matrix: EieMatrix, stored: golden.NonZeros) -> tuple[golden.NonZeros, int]:
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


def _lost_and_saturated(real: NDArray[np.floating], rules: golden.Arithmetic) -> tuple[int, int]:
    """Vectors with inputs that take part, where no word does; inputs too large for one. real : as floats"""
    words = to_fixed(real, rules.activation)
    had, has = ((of > 0 if rules.active == "positive" else of != 0).any(axis=1) for of in (real, words))
    return int(np.count_nonzero(had & ~has)), n_saturated(real, rules.activation)
