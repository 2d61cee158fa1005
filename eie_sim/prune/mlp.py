"""A small fully connected network with ReLU between its layers, as plain arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from eie_sim.core.errors import as_array, require, require_int, require_type
from eie_sim.prune.score import refuse

Array = NDArray[np.floating]
Labels = NDArray[np.intp]

TOO_LARGE = "must be finite; inputs or weights are too large"


@dataclass(frozen=True, slots=True, eq=False)
class Mlp:
    """Weights and biases, first layer first; y = ReLU(W x + b), the last layer without the ReLU.

    weights : one array (out, in) for each layer
    biases : one array (out,) for each layer

    Arrays are taken as they are where all are float64, and become float32 otherwise.
    Raises InputError naming layer, axis and size where a shape does not follow from the one before it, and for numbers
    too large for float32 that have to become it.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __post_init__(self) -> None:
        require_type("weights", self.weights, list, tuple)
        require_type("biases", self.biases, list, tuple)
        arrays = [as_array("network", array) for array in (*self.weights, *self.biases)]
        for array in arrays:
            require(array.dtype.kind in "fiub", "network", f"dtype {array.dtype}", "must hold real numbers")
        count = len(self.weights)
        require(count > 0, "weights", count, "must have one layer or more")
        require(len(self.biases) == count, "biases", len(self.biases), f"must be {count}, one per layer")
        kind = np.float64 if all(array.dtype == np.float64 for array in arrays) else np.float32
        for field, given in (("weights", arrays[:count]), ("biases", arrays[count:])):
            cast = tuple(as_kind(f"{field}[{at}]", array, kind) for at, array in enumerate(given))
            object.__setattr__(self, field, cast)
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            ok = weight.ndim == 2 and weight.size > 0
            require(ok, f"weights[{at}]", f"shape {weight.shape}", "must be (out, in), both above 0")
            n_in = weight.shape[1] if at == 0 else self.weights[at - 1].shape[0]
            rule = f"axis 1 must be {n_in}, the outputs of layer {at - 1}"
            require(weight.shape[1] == n_in, f"weights[{at}]", f"shape {weight.shape}", rule)
            require(
                bias.shape == weight.shape[:1], f"biases[{at}]", f"shape {bias.shape}", f"must be {weight.shape[:1]}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs of the network, then the outputs of each layer."""
        return (self.weights[0].shape[1], *(weight.shape[0] for weight in self.weights))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Inputs with labels: a network learns from them, or is judged on them.

    inputs : float (n, in), finite
    labels : int (n,), the number of the right output, from 0

    Raises InputError for other shapes or types.
    """

    inputs: Array
    labels: Labels

    def __post_init__(self) -> None:
        inputs, labels = as_array("inputs", self.inputs), as_array("labels", self.labels)
        require(inputs.dtype.kind in "fiub", "inputs", f"dtype {inputs.dtype}", "must be real numbers")
        require(inputs.ndim == 2, "inputs", f"shape {inputs.shape}", "must be (n, in)")
        require(len(inputs) > 0, "inputs", f"shape {inputs.shape}", "must have one sample or more")
        require(bool(np.isfinite(inputs).all()), "inputs", "NaN or infinity", "must be finite")
        require(labels.dtype.kind in "iu", "labels", f"dtype {labels.dtype}", "must be integers")
        require(labels.shape == (len(inputs),), "labels", f"shape {labels.shape}", f"must be ({len(inputs)},)")
        require(int(labels.min()) >= 0, "labels", int(labels.min()), "must be >= 0")
        require(int(labels.max()) < 2**63, "labels", int(labels.max()), "must be below 2**63")
        object.__setattr__(self, "inputs", inputs if inputs.dtype.kind == "f" else inputs.astype(np.float32))
        object.__setattr__(self, "labels", labels.astype(np.intp, copy=False))

    def __len__(self) -> int:
        return len(self.labels)


def initial(widths: tuple[int, ...], rng: np.random.Generator) -> Mlp:
    """A float32 network of these widths with zero biases and the weights of He et al. (ICCV 2015), N(0, 2 / in)."""
    require_type("widths", widths, list, tuple)
    require(len(widths) > 1, "widths", widths, "must be two or more")
    for width in widths:
        require_int("widths", width, 1)
    require_type("rng", rng, np.random.Generator)
    weights = []
    for n_in, n_out in pairwise(widths):
        weights.append((math.sqrt(2 / n_in) * rng.standard_normal((n_out, n_in))).astype(np.float32))
    return Mlp(tuple(weights), tuple(np.zeros(n_out, dtype=np.float32) for n_out in widths[1:]))


def forward(network: Mlp, inputs: ArrayLike) -> tuple[list[Array], Array]:
    """Return the inputs of each layer, and the outputs of the last.

    inputs : real (n, in)

    Returns (one array (n, in) for each layer, after the ReLU of the layer before; outputs (n, out) before any softmax).
    Raises InputError where the inputs do not fit the network, and for outputs that are not finite.
    """
    require_type("network", network, Mlp)
    first = network.weights[0]
    batch = as_array("inputs", inputs)
    rule = f"must be (n, {first.shape[1]})"
    require(batch.ndim == 2 and batch.shape[1] == first.shape[1], "inputs", f"shape {batch.shape}", rule)
    with np.errstate(over="ignore", invalid="ignore"):  # refused on the next line
        layer_inputs, outputs = unjudged_forward(network, as_kind("inputs", batch, first.dtype))
    require_finite("outputs of the network", outputs)
    return layer_inputs, outputs


def unjudged_forward(network: Mlp, batch: Array) -> tuple[list[Array], Array]:
    """`forward` of inputs that fit, of the network's type, for callers that judge themselves what is too large."""
    layer_inputs = [batch]
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        layer_inputs.append(np.maximum(layer_inputs[-1] @ weight.T + bias, 0))
    return layer_inputs, layer_inputs[-1] @ network.weights[-1].T + network.biases[-1]


def as_kind(field: str, array: NDArray[Any], kind: DTypeLike) -> Array:
    """Real numbers as floats of a type. Raises InputError for others, and for those that are too large for the type."""
    require(array.dtype.kind in "fiub", field, f"dtype {array.dtype}", "must be real numbers")
    with np.errstate(over="ignore"):  # refused below
        cast: Array = array.astype(kind, copy=False)
    if cast is not array:
        lost = np.isinf(cast) & np.isfinite(array)
        if lost.any():
            refuse(field, array, lost, f"must be within {cast.dtype}")
    return cast


def require_finite(field: str, *arrays: Array) -> None:
    """Raise InputError where what was computed has become NaN or infinity."""
    require(all(bool(np.isfinite(array).all()) for array in arrays), field, "NaN or infinity", TOO_LARGE)


def count_correct(network: Mlp, samples: Samples) -> int:
    """Samples whose largest output is their label's; of equal outputs the first counts."""
    require_type("samples", samples, Samples)
    return int(np.count_nonzero(forward(network, samples.inputs)[1].argmax(axis=1) == samples.labels))


def accuracy(network: Mlp, samples: Samples) -> float:
    """Correct samples over all samples."""
    return count_correct(network, samples) / len(samples)
