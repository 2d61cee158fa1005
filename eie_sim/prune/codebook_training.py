"""Shared weights that learn: each value of a codebook moves by the summed gradients of the weights that use it.

Source: Han, Mao, Dally, "Deep Compression" (ICLR 2016), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eie_sim.prune.loss import TrainConfig, fitting_inputs, loss, soft_targets, unjudged_loss, write_gradients
from eie_sim.prune.mlp import Array, Mlp, Samples
from eie_sim.prune.optimiser import OPTIMISERS
from eie_sim.prune.train import epochs, require_converged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedLayer:
    """A layer whose weights are codebook[codes].

    codes : uint8 (out, in), 0 where there is no weight
    codebook : float (n_code,), 2 to 256 values; codebook[0] is 0 and stays 0
    bias_codes : uint8 (out,), the biases being codebook[bias_codes]
    """

    codes: NDArray[np.uint8]
    codebook: Array
    bias_codes: NDArray[np.uint8]


def share(network: Mlp, *, weight_bits: int = 4) -> list[CodedLayer]:
    """Cluster each layer's non-zero weights and biases by k-means into 2**weight_bits - 1 values and the value 0."""
    from eie_sim.core import quantize  # loads numba, which `import eie_sim` must not

    layers = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        values = np.concatenate([weight.ravel(), bias])
        centroids, thresholds = quantize.cluster(values[values != 0], 2**weight_bits - 1)
        codes = np.where(values == 0, np.uint8(0), quantize.assign(values, thresholds) + np.uint8(1)).astype(np.uint8)
        layers.append(
            CodedLayer(
                codes=codes[: weight.size].reshape(weight.shape),
                codebook=np.concatenate([[0.0], centroids]).astype(weight.dtype),
                bias_codes=codes[weight.size :],
            )
        )
    return layers


def expand(layers: Sequence[CodedLayer]) -> Mlp:
    """Return the network in floats that the layers stand for."""
    biases = tuple(layer.codebook[layer.bias_codes] for layer in layers)
    return Mlp(tuple(layer.codebook[layer.codes] for layer in layers), biases)


def train_codebook(
    layers: Sequence[CodedLayer],
    samples: Samples,
    config: TrainConfig,
    *,
    teacher: Mlp | None = None,
    rng: np.random.Generator | None = None,
) -> list[CodedLayer]:
    """The same codes with codebooks trained; code 0 keeps the value 0.

    Returned are the codebooks with the lowest loss over all samples, at the start and after each epoch, the earliest of
    equals: never worse on the samples than what came in. Deterministic as `fit` is.
    Raises InputError where samples or teacher do not fit the layers, and where the training diverged.
    """
    network = expand(layers)
    inputs, dtype = fitting_inputs(network, samples), network.weights[0].dtype
    vector = np.concatenate([layer.codebook for layer in layers]).astype(dtype)
    best, best_loss = vector.copy(), loss(network, samples, config, teacher=teacher)
    soft = soft_targets(network, samples, config, teacher)
    optimiser = OPTIMISERS[config.optimiser](vector, config.momentum)
    slopes = Mlp(tuple(map(np.empty_like, network.weights)), tuple(map(np.empty_like, network.biases)))
    with np.errstate(over="ignore", invalid="ignore"):  # judged after each epoch
        for epoch in epochs(len(samples), config, rng):
            for rows, rate in epoch:
                targets = None if soft is None else soft[rows]
                now = _with(layers, vector)[1]
                write_gradients(now, inputs[rows], samples.labels[rows], config, targets, into=slopes)
                by_code = [sum_by_code(*each) for each in zip(layers, slopes.weights, slopes.biases, strict=True)]
                optimiser.step(np.concatenate(by_code).astype(dtype), rate)
            require_converged(vector, config)
            lost = unjudged_loss(_with(layers, vector)[1], inputs, samples.labels, config, soft)
            if lost < best_loss:  # never where it is NaN
                best, best_loss = vector.copy(), lost
    return _with(layers, best)[0]


def sum_by_code(layer: CodedLayer, weight_slope: Array, bias_slope: Array) -> Array:
    """Gradient of each value of the codebook: the sum over the weights and biases that use it.

    weight_slope : (out, in); bias_slope : (out,)
    Summed in float64; 0 for code 0, which stands for no weight.
    """
    n_code = layer.codebook.size
    total: Array = np.bincount(layer.codes.ravel(), weights=weight_slope.ravel(), minlength=n_code).astype(np.float64)
    total += np.bincount(layer.bias_codes, weights=bias_slope, minlength=n_code)
    total[0] = 0
    return total


def _with(layers: Sequence[CodedLayer], vector: Array) -> tuple[list[CodedLayer], Mlp]:
    """The layers with codebooks read from `vector`, and the network they stand for."""
    ends = np.cumsum([layer.codebook.size for layer in layers])
    found = [
        replace(layer, codebook=vector[end - layer.codebook.size : end])
        for layer, end in zip(layers, ends, strict=True)
    ]
    return found, expand(found)
