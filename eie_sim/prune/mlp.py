"""A small fully connected network with ReLU between its layers, as plain arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.errors import as_array, require

Array = NDArray[np.floating]
Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Mlp:
    """Weights and biases, first layer first; y = ReLU(W x + b), the last layer without the ReLU.

    weights : one array (out, in) for each layer
    biases : one array (out,) for each layer

    Arrays are taken as they are where all are float64, and become float32 otherwise.
    Raises InputError naming layer, axis and size where a shape does not follow from the one before it.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def __post_init__(self) -> None:
        arrays = [as_array("network", array) for array in (*self.weights, *self.biases)]
        for array in arrays:
            require(array.dtype.kind in "fiub", "network", f"dtype {array.dtype}", "must hold real numbers")
        count = len(self.weights)
        require(count > 0, "weights", count, "must have one layer or more")
        require(len(self.biases) == count, "biases", len(self.biases), f"must be {count}, one per layer")
        kind = np.float64 if all(array.dtype == np.float64 for array in arrays) else np.float32
        arrays = [array.astype(kind, copy=False) for array in arrays]
        object.__setattr__(self, "weights", tuple(arrays[:count]))
        object.__setattr__(self, "biases", tuple(arrays[count:]))
        for at, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            require(weight.ndim == 2, f"weights[{at}]", f"shape {weight.shape}", "must be (out, in)")
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
    """What a network learns from or is judged on.

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
        object.__setattr__(self, "inputs", inputs if inputs.dtype.kind == "f" else inputs.astype(np.float32))
        object.__setattr__(self, "labels", labels.astype(np.intp, copy=False))

    def __len__(self) -> int:
        return len(self.labels)


def initial(widths: tuple[int, ...], rng: np.random.Generator) -> Mlp:
    """A float32 network of these widths with zero biases and the weights of He et al. (ICCV 2015), N(0, 2 / in)."""
    weights = []
    for n_in, n_out in pairwise(widths):
        weights.append((math.sqrt(2 / n_in) * rng.standard_normal((n_out, n_in))).astype(np.float32))
    return Mlp(tuple(weights), tuple(np.zeros(n_out, dtype=np.float32) for n_out in widths[1:]))


def forward(network: Mlp, inputs: ArrayLike) -> tuple[list[Array], Array]:
    """What each layer reads, and what the last one says.

    inputs : real (n, in)

    Returns (one array (n, in) for each layer, after the ReLU of the layer before; outputs (n, out) before any softmax).
    """
    first = network.weights[0]
    batch = as_array("inputs", inputs)
    rule = f"must be (n, {first.shape[1]})"
    require(batch.ndim == 2 and batch.shape[1] == first.shape[1], "inputs", f"shape {batch.shape}", rule)
    layer_inputs = [batch.astype(first.dtype, copy=False)]
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        layer_inputs.append(np.maximum(layer_inputs[-1] @ weight.T + bias, 0))
    return layer_inputs, layer_inputs[-1] @ network.weights[-1].T + network.biases[-1]


def count_correct(network: Mlp, samples: Samples) -> int:
    """Samples whose largest output is their label's; of equal outputs the first counts."""
    return int(np.count_nonzero(forward(network, samples.inputs)[1].argmax(axis=1) == samples.labels))


def accuracy(network: Mlp, samples: Samples) -> float:
    """Correct samples over all samples."""
    return count_correct(network, samples) / len(samples)
