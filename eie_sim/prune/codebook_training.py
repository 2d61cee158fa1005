"""Shared weights that learn: each value of a codebook moves by the summed gradients of the weights that use it.

Source: Han, Mao, Dally, "Deep Compression" (ICLR 2016), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import as_array, require, require_all, require_int, require_type
from eie_sim.prune.loss import TrainConfig, fitting_inputs, loss, soft_targets, unjudged_loss, write_gradients
from eie_sim.prune.mlp import Array, Mlp, Samples
from eie_sim.prune.optimiser import OPTIMISERS
from eie_sim.prune.train import epochs, require_converged

MAX_CODES = 256
"""Values that a code of one byte can name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SharedLayer:
    """A layer whose weights are codebook[codes].

    codes : uint8 (out, in), 0 where there is no weight
    codebook : float (n_code,), 2 to 256 values; codebook[0] is 0 and stays 0
    bias_codes : uint8 (out,), the biases being codebook[bias_codes]

    Raises InputError for wrong shapes and codes out of range.
    """

    codes: NDArray[np.uint8]
    codebook: Array
    bias_codes: NDArray[np.uint8]

    def __post_init__(self) -> None:
        book, codes = as_array("codebook", self.codebook), as_array("codes", self.codes)
        ok = book.ndim == 1 and 2 <= book.size <= MAX_CODES
        require(ok, "codebook", f"shape {book.shape}", f"must be 1-D with 2 to {MAX_CODES} values")
        require(book.dtype.kind == "f", "codebook", f"dtype {book.dtype}", "must be floats")
        require(book[0] == 0, "codebook[0]", book[0], "must be 0, code 0 stands for no weight")
        require(codes.ndim == 2, "codes", f"shape {codes.shape}", "must be (out, in)")
        object.__setattr__(self, "codebook", book)
        object.__setattr__(self, "codes", _checked_codes("codes", codes, book.size))
        given = as_array("bias_codes", self.bias_codes)
        require(given.shape == codes.shape[:1], "bias_codes", f"shape {given.shape}", f"must be {codes.shape[:1]}")
        object.__setattr__(self, "bias_codes", _checked_codes("bias_codes", given, book.size))


def share(network: Mlp, *, weight_bits: int = 4) -> list[SharedLayer]:
    """Cluster each layer's non-zero weights and biases by k-means into 2**weight_bits - 1 values and the value 0.

    Raises InputError for weight_bits outside 1..8, NaN or infinity.
    """
    from eie_sim.core import quantize  # loads numba, which `import eie_sim` must not

    require_type("network", network, Mlp)
    require_int("weight_bits", weight_bits, 1, 8)
    layers = []
    for at, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = np.concatenate([weight.ravel(), bias])
        require(bool(np.isfinite(values).all()), f"layer {at}", "NaN or infinity", "must be finite")
        centroids, thresholds = quantize.cluster(values[values != 0], 2**weight_bits - 1)
        codes = np.where(values == 0, np.uint8(0), quantize.assign(values, thresholds) + np.uint8(1)).astype(np.uint8)
        layers.append(
            SharedLayer(
                codes=codes[: weight.size].reshape(weight.shape),
                codebook=np.concatenate([[0.0], centroids]).astype(weight.dtype),
                bias_codes=codes[weight.size :],
            )
        )
    return layers


def expand(layers: Sequence[SharedLayer]) -> Mlp:
    """The network that the layers stand for. Raises InputError for anything else than layers that fit each other."""
    require_all("layers", layers, SharedLayer)
    biases = tuple(layer.codebook[layer.bias_codes] for layer in layers)
    return Mlp(tuple(layer.codebook[layer.codes] for layer in layers), biases)


def train_codebook(
    layers: Sequence[SharedLayer],
    samples: Samples,
    config: TrainConfig,
    *,
    teacher: Mlp | None = None,
    rng: np.random.Generator | None = None,
) -> list[SharedLayer]:
    """The same codes with codebooks trained; code 0 keeps the value 0.

    Of the codebooks at the start and after each epoch, those with the lowest loss over all samples are returned, the
    earliest of equals: never worse on the samples than what came in. Deterministic as `fit` is.
    Raises InputError where the layers, samples or teacher do not fit each other.
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
                optimiser.step(_summed(layers, slopes), rate)
            require_converged(vector, config)
            lost = unjudged_loss(_with(layers, vector)[1], inputs, samples.labels, config, soft)
            if lost < best_loss:  # never where it is NaN
                best, best_loss = vector.copy(), lost
    return _with(layers, best)[0]


def sum_by_code(layer: SharedLayer, weight_slope: Array, bias_slope: Array) -> Array:
    """Gradient of each value of the codebook: the sum over the weights and biases that use it.

    weight_slope : (out, in); bias_slope : (out,)
    Summed in float64; 0 for code 0, which stands for no weight.
    """
    n_code = layer.codebook.size
    total: Array = np.bincount(layer.codes.ravel(), weights=weight_slope.ravel(), minlength=n_code).astype(np.float64)
    total += np.bincount(layer.bias_codes, weights=bias_slope, minlength=n_code)
    total[0] = 0
    return total


def _checked_codes(field: str, codes: object, n_code: int) -> NDArray[np.uint8]:
    array = as_array(field, codes)
    require(array.dtype.kind in "iu", field, f"dtype {array.dtype}", "must be integers, 0 for no weight")
    if array.size:
        require(int(array.min()) >= 0, field, int(array.min()), "must be >= 0")
        require(int(array.max()) < n_code, field, int(array.max()), f"must be below the codebook's {n_code} values")
    return array.astype(np.uint8, copy=False)


def _with(layers: Sequence[SharedLayer], vector: Array) -> tuple[list[SharedLayer], Mlp]:
    """The layers with codebooks read from `vector`, and the network they stand for."""
    ends = np.cumsum([layer.codebook.size for layer in layers])
    found = [
        replace(layer, codebook=vector[end - layer.codebook.size : end])
        for layer, end in zip(layers, ends, strict=True)
    ]
    return found, expand(found)


def _summed(layers: Sequence[SharedLayer], slopes: Mlp) -> Array:
    """The gradient of everything trained, in the order of `_with`."""
    parts = [sum_by_code(*each) for each in zip(layers, slopes.weights, slopes.biases, strict=True)]
    return np.concatenate(parts).astype(slopes.weights[0].dtype)
