"""Shared weights that learn: each value of a codebook moves by the summed gradients of the weights that use it.

Source: Han, Mao, Dally, "Deep Compression" (ICLR 2016), section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import as_array, require, require_all, require_int, require_one_of, require_type
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
    bias_codes : uint8 (out,) where the biases are codebook[bias_codes], else None
    bias : float (out,) where they are numbers of their own, else None

    Raises InputError for wrong shapes, codes out of range, and where not exactly one of bias_codes and bias is given.
    """

    codes: NDArray[np.uint8]
    codebook: Array
    bias_codes: NDArray[np.uint8] | None = None
    bias: Array | None = None

    def __post_init__(self) -> None:
        book, codes = as_array("codebook", self.codebook), as_array("codes", self.codes)
        ok = book.ndim == 1 and 2 <= book.size <= MAX_CODES
        require(ok, "codebook", f"shape {book.shape}", f"must be 1-D with 2 to {MAX_CODES} values")
        require(book.dtype.kind == "f", "codebook", f"dtype {book.dtype}", "must be floats")
        require(book[0] == 0, "codebook[0]", book[0], "must be 0, code 0 stands for no weight")
        require(codes.ndim == 2, "codes", f"shape {codes.shape}", "must be (out, in)")
        n_given = (self.bias_codes is not None) + (self.bias is not None)
        require(n_given == 1, "bias_codes and bias", f"{n_given} given", "must be exactly one of them")
        object.__setattr__(self, "codebook", book)
        object.__setattr__(self, "codes", _checked_codes("codes", codes, book.size))
        field = "bias" if self.bias_codes is None else "bias_codes"
        given = as_array(field, getattr(self, field))
        require(given.shape == codes.shape[:1], field, f"shape {given.shape}", f"must be {codes.shape[:1]}")
        object.__setattr__(self, field, given if field == "bias" else _checked_codes(field, given, book.size))


def share(network: Mlp, *, weight_bits: int = 4, biases: str = "shared") -> list[SharedLayer]:
    """Cluster each layer's non-zero weights by k-means into 2**weight_bits - 1 values and the value 0.

    biases : shared, non-zero biases are clustered along with the weights; or own

    Raises InputError for weight_bits outside 1..8, unknown words, NaN or infinity.
    """
    from eie_sim.core import quantize  # loads numba, which `import eie_sim` must not

    require_type("network", network, Mlp)
    require_int("weight_bits", weight_bits, 1, 8)
    require_one_of("biases", biases, ("shared", "own"))
    layers = []
    for at, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = np.concatenate([weight.ravel(), bias]) if biases == "shared" else weight.ravel()
        require(bool(np.isfinite(values).all()), f"layer {at}", "NaN or infinity", "must be finite")
        centroids, thresholds = quantize.cluster(values[values != 0], 2**weight_bits - 1)
        codes = np.where(values == 0, np.uint8(0), quantize.assign(values, thresholds) + np.uint8(1)).astype(np.uint8)
        layers.append(
            SharedLayer(
                codes=codes[: weight.size].reshape(weight.shape),
                codebook=np.concatenate([[0.0], centroids]).astype(weight.dtype),
                bias_codes=codes[weight.size :] if biases == "shared" else None,
                bias=bias if biases == "own" else None,
            )
        )
    return layers


def expand(layers: Sequence[SharedLayer]) -> Mlp:
    """The network that the layers stand for. Raises InputError for anything else than layers that fit each other."""
    require_all("layers", layers, SharedLayer)
    biases = (layer.bias if layer.bias_codes is None else layer.codebook[layer.bias_codes] for layer in layers)
    return Mlp(
        tuple(layer.codebook[layer.codes] for layer in layers), tuple(bias for bias in biases if bias is not None)
    )


def train_codebook(
    layers: Sequence[SharedLayer],
    samples: Samples,
    config: TrainConfig,
    *,
    teacher: Mlp | None = None,
    rng: np.random.Generator | None = None,
) -> list[SharedLayer]:
    """The same codes with codebooks, and biases of their own, trained; code 0 keeps the value 0.

    Of the codebooks at the start and after each epoch, those with the lowest loss over all samples are returned, the
    earliest of equals: never worse on the samples than what came in. Deterministic as `fit` is.
    Raises InputError where the layers, samples or teacher do not fit each other.
    """
    network = expand(layers)
    inputs, dtype = fitting_inputs(network, samples), network.weights[0].dtype
    vector = np.concatenate([part for layer in layers for part in _free(layer)]).astype(dtype)
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
    """Gradient of each value of the codebook: the sum over the weights, and shared biases, that use it.

    weight_slope : (out, in); bias_slope : (out,)
    Summed in float64; 0 for code 0, which stands for no weight.
    """
    n_code = layer.codebook.size
    total: Array = np.bincount(layer.codes.ravel(), weights=weight_slope.ravel(), minlength=n_code).astype(np.float64)
    if layer.bias_codes is not None:
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


def _free(layer: SharedLayer) -> list[Array]:
    """What is trained of a layer: its codebook, and its bias where that is its own."""
    return [layer.codebook] if layer.bias is None else [layer.codebook, layer.bias]


def _with(layers: Sequence[SharedLayer], vector: Array) -> tuple[list[SharedLayer], Mlp]:
    """The layers with codebooks and own biases read from `vector`, and the network they stand for."""
    found, at = [], 0
    for layer in layers:
        book, at = vector[at : at + layer.codebook.size], at + layer.codebook.size
        bias = layer.bias
        if bias is not None:
            bias, at = vector[at : at + bias.size], at + bias.size
        found.append(replace(layer, codebook=book, bias=bias))
    return found, expand(found)


def _summed(layers: Sequence[SharedLayer], slopes: Mlp) -> Array:
    """The gradient of everything trained, in the order of `_with`."""
    parts = []
    for layer, weight, bias in zip(layers, slopes.weights, slopes.biases, strict=True):
        parts.append(sum_by_code(layer, weight, bias))
        if layer.bias is not None:
            parts.append(bias)
    return np.concatenate(parts).astype(slopes.weights[0].dtype)
