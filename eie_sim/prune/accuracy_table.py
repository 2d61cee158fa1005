"""Accuracy against density: patterns x schedules x regularisers, on one trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from eie_sim.prune.mlp import Mlp, Samples, count_correct
from eie_sim.prune.pruned_training import Rule, prune, prune_and_train
from eie_sim.prune.steps import curve_of
from eie_sim.prune.train import TrainConfig

ITERATIVE_STEPS = 5

TABLE_SCHEDULES = ("one-shot", "iterative")

REGULARISERS = {
    "L1": TrainConfig(epochs=20, learning_rate=8e-3, l1=1e-4),
    "L2": TrainConfig(epochs=20, learning_rate=8e-3, l2=1e-4),
}
"""Training of survivors; the epochs are those of all steps together. Chosen by the accuracy on a fifth of the
digits' training images that the networks tried did not learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyRecord:
    """One pruned network.

    pattern, schedule, regulariser : names as given
    asked : density asked for
    kept, total : weights for each layer, biases left out of both
    correct_untrained : samples right after pruning straight to the density, before any training
    correct, n_sample : samples right after training, and all of them; held-back ones
    cost : of the trained network, in the unit of the cost function; None without one
    """

    pattern: str
    schedule: str
    regulariser: str
    asked: float
    kept: tuple[int, ...]
    total: tuple[int, ...]
    correct_untrained: int
    correct: int
    n_sample: int
    cost: float | None = None

    @property
    def density(self) -> float:
        """Weights kept over all weights."""
        return sum(self.kept) / sum(self.total)

    @property
    def accuracy(self) -> float:
        """Held-back samples right over all of them."""
        return self.correct / self.n_sample

    def to_dict(self) -> dict[str, object]:
        """Plain values by name, for JSON."""
        return {
            "pattern": self.pattern,
            "schedule": self.schedule,
            "regulariser": self.regulariser,
            "asked": self.asked,
            "density": self.density,
            "kept": sum(self.kept),
            "total": sum(self.total),
            "layers": [{"kept": kept, "total": total} for kept, total in zip(self.kept, self.total, strict=True)],
            "accuracy": self.accuracy,
            "accuracy_untrained": self.correct_untrained / self.n_sample,
            "correct": self.correct,
            "correct_untrained": self.correct_untrained,
            "n_sample": self.n_sample,
            "cost": self.cost,
        }


def accuracy_table(
    network: Mlp,
    training: Samples,
    held_back: Samples,
    *,
    patterns: Mapping[str, Rule],
    densities: Sequence[float],
    schedules: Sequence[str] = TABLE_SCHEDULES,
    regularisers: Mapping[str, TrainConfig] = REGULARISERS,
    cost_of: Callable[[Mlp], float] | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> list[AccuracyRecord]:
    """Prune and train a trained network in every combination, each from the network as it came in.

    training : what survivors learn from; held_back : what accuracy is measured on, and nothing else
    patterns : a rule by name, see `each_layer` and `hidden_neurons`
    schedules : names of those of a recipe, in ITERATIVE_STEPS steps
    regularisers : by name, how to train; its epochs are split evenly over the steps of a schedule, so that schedules
        are compared at equal training (a step has one epoch at least)
    cost_of : what a pruned network costs, as cycles on a design
    progress : told about each network before its turn

    Returns a record per network, in the order of patterns, densities, schedules, regularisers.
    Raises InputError where the training diverged.
    """
    records: list[AccuracyRecord] = []
    networks = len(patterns) * len(densities) * len(schedules) * len(regularisers)
    for (pattern, rule), density in product(patterns.items(), densities):
        cut, _ = prune(network, density=density, rule=rule)
        untrained = count_correct(cut, held_back)
        for schedule, (regulariser, config) in product(schedules, regularisers.items()):
            progress(f"{len(records) + 1} of {networks}: {pattern}, density {density:g}, {schedule}, {regulariser}")
            asked = curve_of(schedule, density, ITERATIVE_STEPS).densities
            epochs = max(config.epochs // len(asked), min(config.epochs, 1))  # of a step; none at all stays none
            each = replace(config, epochs=epochs)
            result = prune_and_train(network, training, schedule=asked, rule=rule, config=each)
            records.append(
                AccuracyRecord(
                    pattern=pattern,
                    schedule=schedule,
                    regulariser=regulariser,
                    asked=density,
                    kept=tuple(layer.kept for layer in result.steps[-1].layers.values()),
                    total=tuple(layer.total for layer in result.steps[-1].layers.values()),
                    correct_untrained=untrained,
                    correct=count_correct(result.network, held_back),
                    n_sample=len(held_back),
                    cost=None if cost_of is None else cost_of(result.network),
                )
            )
    return records
