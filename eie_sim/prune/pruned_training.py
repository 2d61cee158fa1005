"""Prune, train the survivors, prune further (Han, Pool, Tran, Dally, NeurIPS 2015, section 3).

A rule says which weights stay: from the weights of all layers and a density to the masks of all layers. `each_layer`
and `hidden_neurons` make one from a pattern's function for a single layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require, require_callable, require_type
from eie_sim.prune.counts import fraction, fractions, keep_count
from eie_sim.prune.layout import as_mask
from eie_sim.prune.mlp import Array, Mlp, Samples
from eie_sim.prune.train import Mask, TrainConfig, checked_masks, fit

MaskOf = Callable[[Array, float], NDArray[Any]]
"""Weights (out, in) of a layer and the density to keep, to a bool mask (out, in)."""

Rule = Callable[[Sequence[Array], float], Sequence[NDArray[Any]]]
"""Weights of all layers, first layer first, and the density to keep, to the masks of all layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneStep:
    """What one step kept.

    asked : density asked for
    kept, total : counts of weights for each layer; biases are never pruned
    """

    asked: float
    kept: tuple[int, ...]
    total: tuple[int, ...]

    @property
    def achieved(self) -> float:
        """Weights kept over all weights."""
        return sum(self.kept) / max(sum(self.total), 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunedNetwork:
    """A network pruned and trained, the masks of its layers and the steps that led there."""

    network: Mlp
    masks: tuple[Mask, ...]
    steps: tuple[PruneStep, ...]


def prune_and_train(
    network: Mlp,
    samples: Samples,
    *,
    schedule: Sequence[float],
    rule: Rule,
    config: TrainConfig,
    rng: np.random.Generator | None = None,
) -> PrunedNetwork:
    """Prune to each density of the schedule in turn, and train the survivors for config.epochs after each.

    schedule : densities 0 to 1, the last of them the one wanted; a single one is one-shot pruning
    rule : which weights to keep; it sees those already pruned as 0, so scores of magnitude never bring one back
    config : of each training; with distillation, `network` as it came in is the teacher
    rng : draws the order of the samples, default_rng(config.seed) when left out

    Raises InputError for an empty schedule, densities out of range, masks of the wrong shape or type.
    """
    densities = fractions("schedule", schedule)
    require(len(densities) > 0, "schedule", densities, "must have one density or more")
    require_type("config", config, TrainConfig)
    rng = np.random.default_rng(config.seed) if rng is None else rng
    teacher, steps, masks = network, [], checked_masks(network, None)
    for density in densities:
        network, masks, step = prune(network, density=density, rule=rule)
        network = fit(network, samples, config, masks=masks, teacher=teacher, rng=rng)
        steps.append(step)
    return PrunedNetwork(network=network, masks=tuple(masks), steps=tuple(steps))


def prune(network: Mlp, *, density: float, rule: Rule) -> tuple[Mlp, list[Mask], PruneStep]:
    """The network with the weights that `rule` does not keep at exactly 0, the masks, and the counts.

    Raises InputError for masks of the wrong shape or type.
    """
    require_type("network", network, Mlp)
    require_callable("rule", rule)
    density = float(fraction("density", density))
    masks = checked_masks(network, rule(network.weights, density))
    weights = [
        np.where(mask, weight, weight.dtype.type(0)) for mask, weight in zip(masks, network.weights, strict=True)
    ]
    kept = tuple(int(np.count_nonzero(mask)) for mask in masks)
    step = PruneStep(asked=density, kept=kept, total=tuple(mask.size for mask in masks))
    return Mlp(tuple(weights), network.biases), masks, step


def each_layer(mask_of: MaskOf) -> Rule:
    """The rule that prunes every layer to the same density."""
    require_callable("mask_of", mask_of)
    return lambda weights, density: [mask_of(weight, density) for weight in weights]


def hidden_neurons(mask_of: MaskOf) -> Rule:
    """The rule that removes whole hidden neurons, so that the network could be stored as a smaller dense one.

    mask_of : keeps or drops whole rows; its density is a fraction of the rows

    A neuron that goes takes its row and its column in the next layer along; outputs all stay. Every hidden layer keeps
    the same fraction of its neurons: the largest for which the weights left are not more than the density asked for.
    The rule raises InputError, naming the least density there is, where a hidden layer would keep no neuron.
    """
    require_callable("mask_of", mask_of)

    def rule(weights: Sequence[Array], density: float) -> list[Mask]:
        total = sum(weight.size for weight in weights)
        most = keep_count(density, total)
        parts = max([weight.shape[0] for weight in weights[:-1]], default=1)
        low, high = 0, parts  # of `parts` parts of the neurons, `low` fit; the weights left grow with the neurons
        while low < high:
            middle = (low + high + 1) // 2
            fits = _count(_without_neurons(weights, mask_of, middle / parts)) <= most
            low, high = (middle, high) if fits else (low, middle - 1)
        masks = _without_neurons(weights, mask_of, low / parts)
        if not _all_there(masks):
            found = (_without_neurons(weights, mask_of, part / parts) for part in range(low + 1, parts + 1))
            least = next((_count(masks) / total for masks in found if _all_there(masks)), 1.0)
            rule = f"must be at least {least:.6g}, or a hidden layer keeps no neuron"
            raise InputError(f"density={density:g}: {rule}")
        return masks

    return rule


def _without_neurons(weights: Sequence[Array], mask_of: MaskOf, fraction: float) -> list[Mask]:
    """Masks that keep about `fraction` of every hidden layer's rows, and the columns that read from them."""
    masks = [np.ones(weight.shape, dtype=np.bool_) for weight in weights]
    for at, weight in enumerate(weights[:-1]):
        stays = as_mask("mask_of", mask_of(weight, fraction), weight.shape).any(axis=1)
        masks[at][~stays] = False
        masks[at + 1][:, ~stays] = False
    return masks


def _all_there(masks: Sequence[Mask]) -> bool:
    """Whether every layer but the last keeps something; what the last one reads, it keeps."""
    return all(mask.any() for mask in masks[:-1])


def _count(masks: Sequence[Mask]) -> int:
    return sum(int(np.count_nonzero(mask)) for mask in masks)
