"""Comparison of a simulated layer with its own weights and with the oracle: counted by units, judged here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import hold
from eie_sim.core.sparse import is_sparse

MOST_ERROR = 0.5
"""Relative error above which a layer is warned of: half of what its outputs say is not so."""

MOST_SATURATED = 0.01
"""Share of saturated outputs, or inputs, above which a layer is warned of."""


Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Amount = Annotated[float, msgspec.Meta(ge=0, lt=1e200)]


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of a simulated layer with its weights, with the oracle, and with the float layer of its own weights.

    wrong_weights : weights stored wrongly, out of `weights`
    wrong_inputs : inputs that differ from the oracle's write-back of the layer before
    wrong_outputs : outputs that differ from the oracle's, out of `outputs`: other integers, or floats beyond the bound
    saturated : outputs whose accumulator was clamped on the way; they are outside the float bound by design
    error, bound : largest distance from the float product of the stored values where nothing was clamped, and what it
        may be, in real values
    beyond_bound : unclamped outputs farther from that product than their bound
    ok : whether nothing differs

    The float layer is the float64 product of the layer's own weights and bias, before they are stored and rounded, with
    the inputs the layer got, as real values; inputs that take no part in the design take none in it. Errors are root
    mean squares over all outputs and vectors, relative to that of the float layer; None where that is 0.

    relative_error : of the simulated outputs
    stored_error : of the float product of the stored values: of a codebook, or of a narrower type
    rounding_error : of the simulated outputs from that product: words, shifts, saturation
    zeroed : outputs that are 0 where the float layer's, however small, are not; silent : whether all outputs are 0
    lost_vectors : vectors with inputs that take part, all of which became words of 0, out of `vectors`
    saturated_inputs : inputs too large for a word, out of `inputs`
    """

    weights: Count
    wrong_weights: Count
    wrong_inputs: Count = 0
    outputs: Count
    wrong_outputs: Count
    saturated: Count = 0
    error: Amount
    bound: Amount
    beyond_bound: Count = 0
    relative_error: Amount | None
    stored_error: Amount | None
    rounding_error: Amount | None
    zeroed: Count
    silent: bool
    vectors: Count
    lost_vectors: Count = 0
    inputs: Count
    saturated_inputs: Count = 0
    ok: bool

    @classmethod
    def of(cls, **counts: Any) -> Verification:
        """All but `ok`, which is judged."""
        wrong = sum(counts.get(name, 0) for name in ("wrong_weights", "wrong_inputs", "wrong_outputs", "beyond_bound"))
        return cls(ok=wrong == 0, **counts)

    def differs(self) -> str:
        """Return the differences in words; empty if there are none."""
        faults = [
            (self.wrong_weights, f"of {self.weights} weights stored wrongly"),
            (self.wrong_inputs, "inputs differ from the golden write-back of the layer before"),
            (self.wrong_outputs, f"of {self.outputs} outputs differ from the golden product"),
            (self.beyond_bound, f"of {self.outputs} outputs are farther from the float product than the bound"),
        ]
        return "; ".join(f"{count} {text}" for count, text in faults if count)

    def warns(self, stored: str) -> str:
        """Return the reasons why outputs mean little although nothing differs, in words; empty without any.

        stored : what stored values are rounded to
        """
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
            parts = [f"{100 * (part or 0.0):.3g} %" for part in (self.stored_error, self.rounding_error)]
            off = f"outputs are {100 * self.relative_error:.3g} % off those of the layer's own weights in floats"
            found.append(f"{off} ({stored} {parts[0]}, rounding {parts[1]})")
        return "; ".join(found)


def verify_floats(
    layer: Any, matrix: Any, activations: NDArray[Any], result: Any, *, before: Any = None, relu: bool = True
) -> Verification:
    """Verification of a unit that multiplies what `decode()` gives in the type of its outputs, in whatever order.

    Real outputs must be as near as n products and n - 1 sums can be, here doubled (Higham 2002, section 4.2); of
    integers that is below 1, so that any other integer is wrong.

    layer : what the matrix was made from, its bias added outside; matrix : `decode()` gives its weights [n_out, n_in]
    activations : float [n_in] or [n_vector, n_in]
    """
    decoded, batch = matrix.decode(), np.atleast_2d(activations).astype(np.float64)
    own = (layer.weights.toarray() if is_sparse(layer.weights) else layer.weights).astype(np.float64)
    bias, outputs = 0.0 if layer.bias is None else layer.bias.astype(np.float64), np.atleast_2d(result.output)
    stored, expected = decoded.astype(np.float64), own.astype(decoded.dtype if decoded.dtype.kind == "f" else float)
    shape = len(batch), len(own)
    hold(outputs.shape == shape, "output", f"shape {outputs.shape}", f"must be {shape}")
    outputs = outputs * result.output_scale
    product, coded = batch @ own.T, batch @ stored.T
    distance = np.abs(outputs - coded)
    unit_error = float(np.finfo(outputs.dtype).eps) / 2
    allowed = 2 * (own.shape[1] + 1) * unit_error * (np.abs(batch) @ np.abs(stored.T))
    parts = (product + bias, outputs - product, coded - product, outputs - coded)
    of_outputs, of_stored, of_rounding = relative(np.array([np.square(of).sum() for of in parts]))
    return Verification.of(
        weights=own.size,
        wrong_weights=int(np.count_nonzero(decoded != expected)),
        outputs=outputs.size,
        wrong_outputs=int(np.count_nonzero(~(distance <= allowed))),
        error=float(distance.max(initial=0.0)),
        bound=float(allowed.max(initial=0.0)),
        relative_error=of_outputs,
        stored_error=of_stored,
        rounding_error=of_rounding,
        zeroed=int(np.count_nonzero((outputs == 0) & (product != 0))),
        silent=not outputs.any(),
        vectors=len(batch),
        inputs=batch.size,
    )


def together(parts: Sequence[Verification], squares: Sequence[float]) -> Verification:
    """Several products as one. squares : of the float outputs of each, which its relative errors are relative to"""
    names = [name for name in Verification.__struct_fields__ if name not in ("ok", "silent")]
    merged: dict[str, Any] = {"silent": all(part.silent for part in parts)}
    for name in names:
        values = [getattr(part, name) for part in parts]
        if name in ("error", "bound"):
            merged[name] = max(values)
        elif name.endswith("_error"):
            whole = sum(squares)
            sums = sum((value or 0.0) ** 2 * of for value, of in zip(values, squares, strict=True))
            merged[name] = float(np.sqrt(sums / whole)) if whole else None
        else:
            merged[name] = sum(values)
    return Verification.of(**merged)


def in_turn(parts: Sequence[Verification], squares: Sequence[float]) -> Verification:
    """Batches of vectors of one product as one. squares : as for `together`"""
    first, *others = parts
    if not others:
        return first
    return together([first, *(msgspec.structs.replace(part, weights=0, wrong_weights=0) for part in others)], squares)


def relative_error(simulated: NDArray[np.floating], floats: NDArray[np.floating]) -> float | None:
    """Root mean square of the difference over that of `floats`; None where that is 0, or one is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.array([np.square(of, dtype=np.float64).sum() for of in (floats, simulated - floats)])
    return relative(squares)[0] if np.isfinite(squares).all() else None


def relative(squares: NDArray[np.float64]) -> list[float | None]:
    """Roots of sums of squares, those after the first over the first; None where that is 0."""
    return [float(np.sqrt(of / squares[0])) if squares[0] else None for of in squares[1:]]
