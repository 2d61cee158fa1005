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

from eie_sim.core.errors import InputError
from eie_sim.prune import PruneResult, Selection, keep_count
from eie_sim.prune.measure import Arrays, Biases, mlp_of
from eie_sim.prune.mlp import Array, Mlp, Samples
from eie_sim.prune.neurons import most_parts, n_kept, with_columns
from eie_sim.prune.steps import LayerDensities, Masks, in_steps
from eie_sim.prune.train import Mask, TrainConfig, fit

MaskOf = Callable[[Array, float], NDArray[Any]]
"""Weights (out, in) of a layer and the density to keep, to a bool mask (out, in)."""

Rule = Callable[[Sequence[Array], float], Sequence[NDArray[Any]]]
"""Weights of all layers, first layer first, and the density to keep, to the masks of all layers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrunedNetwork:
    """A network pruned and trained, and what each step kept of its layers, by number; biases are never pruned."""

    network: Mlp
    steps: tuple[Selection, ...]


def prune_and_train(
    network: Mlp,
    samples: Samples | None,
    *,
    schedule: Sequence[float],
    rule: Rule,
    config: TrainConfig,
    rng: np.random.Generator | None = None,
) -> PrunedNetwork:
    """Prune to each density of the schedule in turn, and train the survivors for config.epochs after each.

    samples : what survivors learn from; None for no epochs
    schedule : densities 0 to 1, the last of them the one wanted; a single one is one-shot pruning
    rule : which weights to keep; it sees those already pruned as 0, so scores of magnitude never bring one back
    config : of each training; with distillation, `network` as it came in is the teacher
    rng : draws the order of the samples, default_rng(config.seed) when left out
    """
    numbers = [str(at) for at in range(len(network.weights))]
    biases: Biases = dict(zip(numbers, network.biases, strict=True))
    steps: list[Selection] = []

    def select(weights: Arrays, asked: LayerDensities, before: Selection | None) -> Selection:
        density = asked[numbers[0]] or 0.0
        masks = rule(tuple(weights.values()), density)
        layers = {
            name: PruneResult(mask=mask, asked=density, kept=int(np.count_nonzero(mask)), total=mask.size)
            for name, mask in zip(numbers, masks, strict=True)
        }
        steps.append(Selection(layers=layers, asked=density))
        return steps[-1]

    rng = np.random.default_rng(config.seed) if rng is None else rng
    weights, _ = in_steps(
        dict(zip(numbers, network.weights, strict=True)),
        [dict.fromkeys(numbers, density) for density in schedule],
        select,
        train=training_of(biases, lambda: samples, [config] * len(schedule), network, rng),
    )
    return PrunedNetwork(network=mlp_of(weights, biases), steps=tuple(steps))


def prune(network: Mlp, *, density: float, rule: Rule) -> tuple[Mlp, Selection]:
    """The network with the weights that `rule` does not keep at exactly 0, and what is kept."""
    found = prune_and_train(network, None, schedule=[density], rule=rule, config=TrainConfig(epochs=0))
    return found.network, found.steps[-1]


def training_of(
    biases: Biases,
    samples: Callable[[], Any],
    configs: Sequence[TrainConfig],
    teacher: Mlp | None,
    rng: np.random.Generator,
) -> Callable[[int, Arrays, Masks], Arrays]:
    """Return the training for `in_steps`: of the survivors, step by step as `configs` say, and of `biases` in place.

    samples : () -> what to learn from, asked where there are epochs
    """

    def train(step: int, weights: Arrays, masks: Masks) -> Arrays:
        if not configs[step].epochs:
            return weights
        start = mlp_of(weights, biases)
        learnt = fit(start, samples(), configs[step], masks=list(masks.values()), teacher=teacher, rng=rng)
        biases.update(zip(weights, learnt.biases, strict=True))
        return dict(zip(weights, learnt.weights, strict=True))

    return train


def each_layer(mask_of: MaskOf) -> Rule:
    """The rule that prunes every layer to the same density."""
    return lambda weights, density: [mask_of(weight, density) for weight in weights]


def hidden_neurons(mask_of: MaskOf) -> Rule:
    """The rule that removes whole hidden neurons, so that the network could be stored as a smaller dense one.

    mask_of : keeps or drops whole rows; its density is a fraction of the rows

    A neuron that goes takes its row and its column in the next layer along; outputs all stay. Every hidden layer keeps
    the same fraction of its neurons: the largest for which the weights left are not more than the density asked for.
    The rule raises InputError, naming the least density there is, where a hidden layer would keep no neuron.
    """

    def rule(weights: Sequence[Array], density: float) -> list[Mask]:
        total = sum(weight.size for weight in weights)
        parts = max([weight.shape[0] for weight in weights[:-1]], default=1)
        shapes = {str(at): weight.shape for at, weight in enumerate(weights)}

        def kept_at(part: int) -> Masks:
            hidden = zip(shapes, weights[:-1], strict=False)
            stays = {name: mask_of(one, part / parts) for name, one in hidden}
            rows = {name: np.asarray(mask.any(axis=1, keepdims=True)) for name, mask in stays.items()}
            return with_columns({name: np.repeat(row, shapes[name][1], axis=1) for name, row in rows.items()}, shapes)

        low = most_parts(parts, kept_at, keep_count(density, total))
        masks = kept_at(low)
        if not _all_there(masks):
            found = (kept_at(part) for part in range(low + 1, parts + 1))
            least = next((n_kept(masks) / total for masks in found if _all_there(masks)), 1.0)
            rule = f"must be at least {least:.6g}, or a hidden layer keeps no neuron"
            raise InputError(f"density={density:g}: {rule}")
        return list(masks.values())

    return rule


def _all_there(masks: Masks) -> bool:
    """Return True where every layer but the last keeps something; the last one keeps what it reads."""
    return all(mask.any() for mask in list(masks.values())[:-1])
