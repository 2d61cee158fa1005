"""Training of small networks in numpy, pruned weights staying pruned."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, as_array, require, require_type
from eie_sim.prune.loss import (
    ScoreGradients,
    TrainConfig,
    fitting_inputs,
    gradients,
    loss,
    score_gradients,
    soft_targets,
    write_gradients,
)
from eie_sim.prune.mlp import Array, Mlp, Samples, accuracy, count_correct, forward, initial
from eie_sim.prune.optimiser import OPTIMISERS

__all__ = [
    "Mlp",
    "Samples",
    "ScoreGradients",
    "TrainConfig",
    "accuracy",
    "count_correct",
    "fit",
    "forward",
    "gradients",
    "initial",
    "loss",
    "score_gradients",
]

Mask = NDArray[np.bool_]


def fit(
    network: Mlp,
    samples: Samples,
    config: TrainConfig,
    *,
    masks: Sequence[Any] | None = None,
    teacher: Mlp | None = None,
    rng: np.random.Generator | None = None,
) -> Mlp:
    """A trained copy of `network`.

    masks : for each layer, bool of its weights' shape, or None; weights where it is False are 0 throughout
    teacher : the network to learn from, where config.distillation is above 0; same inputs and outputs
    rng : draws the order of the samples, default_rng(config.seed) when left out

    The same arguments give the same bytes on one machine with one numpy.
    Raises InputError where shapes do not fit, and where the training diverged.
    """
    inputs = fitting_inputs(network, samples)
    masks = checked_masks(network, masks)
    soft = soft_targets(network, samples, config, teacher)
    vector, live = one_vector(network)
    slope, slopes = one_vector(network)
    require(bool(np.isfinite(vector).all()), "network", "NaN or infinity", "must be finite")
    kept = np.concatenate([*(mask.ravel() for mask in masks), *(np.ones(b.shape, bool) for b in network.biases)])
    vector[~kept] = 0  # a product would leave -0.0
    # what is pruned is left out of the steps altogether, which makes them faster too
    free = slice(None) if kept.all() else np.flatnonzero(kept)
    moving = vector[free]
    optimiser = OPTIMISERS[config.optimiser](moving, config.momentum)
    with np.errstate(over="ignore", invalid="ignore"):  # judged once, below
        for epoch in epochs(len(samples), config, rng):
            for rows, rate in epoch:
                targets = None if soft is None else soft[rows]
                write_gradients(live, inputs[rows], samples.labels[rows], config, targets, into=slopes)
                optimiser.step(slope[free], rate)
                vector[free] = moving
    require_converged(vector, config)
    return Mlp(tuple(map(np.copy, live.weights)), tuple(map(np.copy, live.biases)))


def epochs(
    n_sample: int, config: TrainConfig, rng: np.random.Generator | None
) -> Iterator[list[tuple[NDArray[np.intp], float]]]:
    """For each epoch, its batches in order: rows of the samples, and the learning rate there."""
    require_type("rng", rng, np.random.Generator, type(None))
    rng = np.random.default_rng(config.seed) if rng is None else rng
    size = min(config.batch, n_sample)
    count = n_sample // size
    for epoch in range(config.epochs):
        order = rng.permutation(n_sample)[: count * size].reshape(count, size)
        done = [(epoch * count + at) / (config.epochs * count) for at in range(count)]
        rates = [config.learning_rate * (0.5 + 0.5 * math.cos(math.pi * part)) for part in done]
        yield list(zip(order, rates, strict=True))


def one_vector(network: Mlp) -> tuple[Array, Mlp]:
    """A copy of all weights, then all biases, in one vector, and a network whose arrays are views of it."""
    arrays = (*network.weights, *network.biases)
    vector = np.concatenate([array.ravel() for array in arrays])
    ends = np.cumsum([array.size for array in arrays])
    views = [vector[end - array.size : end].reshape(array.shape) for end, array in zip(ends, arrays, strict=True)]
    return vector, Mlp(tuple(views[: len(network.weights)]), tuple(views[len(network.weights) :]))


def checked_masks(network: Mlp, masks: Sequence[Any] | None) -> list[Mask]:
    """A bool array for each layer's weights, all True where none is given."""
    require_type("network", network, Mlp)
    require_type("masks", masks, list, tuple, type(None))
    given = [None] * len(network.weights) if masks is None else list(masks)
    rule = f"must be {len(network.weights)}, one per layer"
    require(len(given) == len(network.weights), "masks", len(given), rule)
    found = []
    for at, (mask, weight) in enumerate(zip(given, network.weights, strict=True)):
        array = np.ones(weight.shape, dtype=np.bool_) if mask is None else as_array(f"masks[{at}]", mask)
        require(array.dtype == np.bool_, f"masks[{at}]", f"dtype {array.dtype}", "must be bool")
        rule = f"must be the weights' {weight.shape}"
        require(array.shape == weight.shape, f"masks[{at}]", f"shape {array.shape}", rule)
        found.append(array)
    return found


def require_converged(vector: Array, config: TrainConfig) -> None:
    """Raise InputError where training left NaN or infinity."""
    if not np.isfinite(vector).all():
        given = f"learning_rate={config.learning_rate}, l1={config.l1}, l2={config.l2}"
        raise InputError(f"{given}: the training diverged; try a smaller learning_rate or penalty")
