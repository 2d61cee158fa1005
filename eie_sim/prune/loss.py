"""The loss a small network is trained on, and its gradients: softmax cross-entropy, penalties, a teacher's say."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from eie_sim.core.errors import InputError, require, require_int, require_one_of, require_seed, require_type
from eie_sim.prune.mlp import (
    TOO_LARGE,
    Array,
    Labels,
    Mlp,
    Samples,
    as_kind,
    forward,
    require_finite,
    unjudged_forward,
)
from eie_sim.prune.optimiser import OPTIMISERS
from eie_sim.prune.score import as_finite

_INTEGERS = ("epochs", "batch", "seed")
MAX_EPOCHS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Settings of a training. The loss is the mean over a batch of

    (1 - distillation) x cross-entropy with the labels
    + distillation x temperature**2 x cross-entropy with the teacher, both softened by temperature
    + activation_l1 x sum of the hidden activations,

    plus l1 x sum |w| + l2 / 2 x sum w**2 over the weights (never the biases).

    Raises InputError naming field, value and rule.
    """

    epochs: int = 15  # passes over the samples
    batch: int = 64  # samples; more than there are means all, and what is left after the last full batch waits
    learning_rate: float = 1e-3  # at the start of a cosine decay to zero
    optimiser: str = "adam"  # or momentum
    momentum: float = 0.9  # of optimiser momentum; Adam has constants of its own
    l1: float = 0.0
    l2: float = 0.0
    activation_l1: float = 0.0
    seed: int = 0  # order of the samples
    distillation: float = 0.0  # 0 to 1, weight of the teacher (Hinton, Vinyals, Dean, 2015)
    temperature: float = 4.0  # Hinton et al. used 1 to 20

    def __post_init__(self) -> None:
        require_int("epochs", self.epochs, 0, MAX_EPOCHS)
        require_int("batch", self.batch, 1)
        require_seed(self.seed)
        require_one_of("optimiser", self.optimiser, tuple(OPTIMISERS))
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in _INTEGERS:
                object.__setattr__(self, name, int(value))
            elif name in ("learning_rate", "temperature"):
                object.__setattr__(self, name, as_finite(name, value, above=0))
            elif name != "optimiser":
                # numpy's own scalars would turn float32 arithmetic into float64
                object.__setattr__(self, name, as_finite(name, value, least=0))
        require(self.momentum < 1, "momentum", self.momentum, "must be below 1")
        require(self.distillation <= 1, "distillation", self.distillation, "must be in 0..1")


def loss(network: Mlp, samples: Samples, config: TrainConfig, *, teacher: Mlp | None = None) -> float:
    """Return the loss of `TrainConfig`, which training lowers, over all samples at once.

    Raises InputError where samples or teacher do not fit the network, and for a loss that is not finite.
    """
    inputs = fitting_inputs(network, samples)
    soft = soft_targets(network, samples, config, teacher)
    with np.errstate(all="ignore"):  # refused on the next line
        value = unjudged_loss(network, inputs, samples.labels, config, soft)
    require(math.isfinite(value), "loss", value, TOO_LARGE)
    return value


def unjudged_loss(network: Mlp, inputs: Array, labels: Labels, config: TrainConfig, soft: Array | None) -> float:
    """`loss` of what fits, for callers that judge themselves what is too large; arguments as `write_gradients`."""
    layer_inputs, outputs = unjudged_forward(network, inputs)
    right = np.arange(len(labels)), labels
    total = -(1 - config.distillation) * float(_log_softmax(outputs)[right].mean())
    if soft is not None:
        against = (soft * _log_softmax(outputs / config.temperature)).sum(axis=1)
        total -= config.distillation * config.temperature**2 * float(against.mean())
    total += config.activation_l1 * sum(float(x.sum()) for x in layer_inputs[1:]) / len(labels)
    total += config.l1 * sum(float(np.abs(weight).sum()) for weight in network.weights)
    return total + config.l2 / 2 * sum(float((weight * weight).sum()) for weight in network.weights)


def gradients(network: Mlp, samples: Samples, config: TrainConfig, *, teacher: Mlp | None = None) -> Mlp:
    """Slope of `loss` in each weight and bias, in the network's shapes.

    Where a ReLU or a weight with an L1 penalty is exactly 0, the slope there is taken as 0.
    Raises InputError where samples or teacher do not fit the network, and for slopes that are not finite.
    """
    inputs = fitting_inputs(network, samples)
    slopes = Mlp(tuple(map(np.empty_like, network.weights)), tuple(map(np.empty_like, network.biases)))
    soft = soft_targets(network, samples, config, teacher)
    with np.errstate(all="ignore"):  # refused on the next line
        write_gradients(network, inputs, samples.labels, config, soft, into=slopes)
    require_finite("gradients", *slopes.weights, *slopes.biases)
    return slopes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreGradients:
    """Statistics over samples of each sample's own gradient g of the cross-entropy, one array (out, in) for each layer.

    mean : mean of g, for first-order scores |w x mean g|
    mean_magnitude : mean of |g|, for first-order scores that do not let samples cancel
    mean_square : mean of g**2, the diagonal of the empirical Fisher matrix, for second-order scores
    """

    mean: tuple[Array, ...]
    mean_magnitude: tuple[Array, ...]
    mean_square: tuple[Array, ...]


def score_gradients(network: Mlp, samples: Samples) -> ScoreGradients:
    """Gradients for Taylor scores, over all samples, without a penalty.

    A sample's gradient is the outer product of a layer's output slope and its input, so that means of |g| and g**2
    are products of two matrices as the mean of g is, and no sample's gradient is ever stored.
    Raises InputError where the samples do not fit the network, and for gradients or squares that are not finite.
    """
    layer_inputs, outputs = forward(network, fitting_inputs(network, samples))
    with np.errstate(all="ignore"):  # refused below
        # the slope of the mean, times n, is each sample's own
        own = _output_slope(outputs, samples.labels, TrainConfig(), None) * len(samples)
        pairs = list(zip(_layer_slopes(network, layer_inputs, own, 0.0), layer_inputs, strict=True))
        found = ScoreGradients(
            mean=tuple(slope.T @ x / len(samples) for slope, x in pairs),
            mean_magnitude=tuple(np.abs(slope).T @ np.abs(x) / len(samples) for slope, x in pairs),
            mean_square=tuple((slope * slope).T @ (x * x) / len(samples) for slope, x in pairs),
        )
    require_finite("gradients", *found.mean, *found.mean_magnitude, *found.mean_square)
    return found


def write_gradients(
    network: Mlp, inputs: Array, labels: Labels, config: TrainConfig, soft: Array | None, *, into: Mlp
) -> None:
    """Write the gradients of a batch over the arrays of `into`: inputs (n, in), labels (n,), soft targets (n, out).

    The inputs are of the network's type; what is too large is for the caller to judge.
    """
    layer_inputs, outputs = unjudged_forward(network, inputs)
    slopes = _layer_slopes(
        network, layer_inputs, _output_slope(outputs, labels, config, soft), config.activation_l1 / len(labels)
    )
    for at, (weight, x, slope) in enumerate(zip(network.weights, layer_inputs, slopes, strict=True)):
        np.matmul(slope.T, x, out=into.weights[at])
        np.sum(slope, axis=0, out=into.biases[at])
        if config.l2:
            into.weights[at][...] += config.l2 * weight
        if config.l1:
            into.weights[at][...] += config.l1 * np.sign(weight)


def fitting_inputs(network: Mlp, samples: Samples) -> Array:
    """The samples' inputs in the network's type.

    Raises InputError where the network has other inputs than the samples, or no output for a label.
    """
    require_type("network", network, Mlp)
    require_type("samples", samples, Samples)
    n_in, n_out = network.widths[0], network.widths[-1]
    shape = f"shape {samples.inputs.shape}"
    require(samples.inputs.shape[1] == n_in, "inputs", shape, f"must be (n, {n_in})")
    most = int(samples.labels.max())
    require(most < n_out, "labels", most, f"must be below the network's {n_out} outputs")
    return as_kind("inputs", samples.inputs, network.weights[0].dtype)


def _log_softmax(outputs: Array) -> Array:
    shifted: Array = outputs - outputs.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def _softmax(outputs: Array) -> Array:
    exp: Array = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    exp /= exp.sum(axis=1, keepdims=True)
    return exp


def soft_targets(network: Mlp, samples: Samples, config: TrainConfig, teacher: Mlp | None) -> Array | None:
    """The teacher's softened probabilities (n, out), None without distillation."""
    require_type("config", config, TrainConfig)
    require_type("teacher", teacher, Mlp, type(None))
    if config.distillation == 0:
        return None
    if teacher is None:
        raise InputError(f"distillation={config.distillation}: must be 0 without a teacher")
    ends = (network.widths[0], network.widths[-1])
    rule = f"must have the network's {ends[0]} inputs and {ends[1]} outputs"
    require((teacher.widths[0], teacher.widths[-1]) == ends, "teacher", f"widths {teacher.widths}", rule)
    with np.errstate(all="ignore"):  # refused on the next line
        soft = _softmax(forward(teacher, samples.inputs)[1] / config.temperature)
    rule = "must be larger for the outputs of the teacher"
    require(bool(np.isfinite(soft).all()), "temperature", config.temperature, rule)
    return soft.astype(network.weights[0].dtype, copy=False)


def _output_slope(outputs: Array, labels: Labels, config: TrainConfig, soft: Array | None) -> Array:
    """Slope (n, out) of the mean loss in the outputs before the softmax."""
    slope = _softmax(outputs)
    slope[np.arange(len(labels)), labels] -= 1
    slope /= len(labels)
    if soft is not None:
        # one of the loss's two factors temperature goes into the slope of outputs / temperature
        weight = config.distillation * config.temperature / len(labels)
        slope *= 1 - config.distillation
        slope += weight * (_softmax(outputs / config.temperature) - soft)
    return slope


def _layer_slopes(network: Mlp, layer_inputs: list[Array], slope: Array, push: float) -> list[Array]:
    """Slope (n, out) of the loss in each layer's outputs before the ReLU, first layer first.

    push : the slope that a penalty adds to every hidden activation; they are >= 0, so their L1 norm rises by 1 each
    """
    slopes = [slope]
    for weight, x in zip(network.weights[:0:-1], layer_inputs[:0:-1], strict=True):
        slopes.append((slopes[-1] @ weight + push) * (x > 0))
    return slopes[::-1]
