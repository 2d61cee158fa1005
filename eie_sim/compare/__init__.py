"""One network on a chip, dense and in its patterns, and pruned freely on other units with as many MACs.

Patterns run on the chip; a unit that is as large, at its clock and node, is beside it. All start from the same trained
weights. Each figure is given twice. With all weights where they are used; and read from DRAM: by the chip as it does,
by the others once a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from eie_sim.compare.arrays import Rival, held, rivals
from eie_sim.compare.figures import Candidate, Figures, candidate_of
from eie_sim.core.errors import InputError, require, require_int, require_type
from eie_sim.core.nm_pattern import DENSE, Pattern, require_pattern, said
from eie_sim.energy import EnergyTable
from eie_sim.prune import pattern, score
from eie_sim.prune.counts import fraction
from eie_sim.pruning.measure import dense, inputs_of, weights_of
from eie_sim.pruning.network import prune_network
from eie_sim.recipe import Recipe
from eie_sim.units import unit_of, units
from eie_sim.units.compared import Chip, Held
from eie_sim.workload import Network

__all__ = ["BATCHES", "DENSITIES", "Candidate", "Figures", "Rival", "chip_of", "compare", "rivals"]

Progress = Callable[[str], None]

BATCHES = (1, 8, 64, 256)
DENSITIES = (0.5, 0.25, 0.1)


def compare(
    network: Network,
    config: Any,
    *,
    layer: str | None = None,
    patterns: Sequence[Pattern] = ((2, 4), (1, 4)),
    densities: Sequence[float] = DENSITIES,
    batches: Sequence[int] = BATCHES,
    table: EnergyTable | None = None,
    progress: Progress = lambda step: None,
) -> list[Figures]:
    """A chip and other units on the same trained weights, at the same MACs in a cycle, clock and node.

    config : the chip, which runs patterns; its DRAM, or LPDDR4 where it has none, for the figures with DRAM
    layer : compare only this one, on what the layers before it pass on; accuracy is that of the network all the same
    patterns : N:M to prune to, N kept; inputs that a group does not divide are padded with zeros, and a pattern that
        the chip does not list runs as another, which the name says
    densities : to prune to by magnitude for the other units; those above the weights' own make one row of that
    batches : vectors multiplied at once; each array of another unit takes its share one after the other
    table : energies of the chip, as `energy.account` takes them; what the user gave of its DRAM holds for the others
        too, whose other energies are the default ones

    Returns a row per batch and candidate, in order. Raises InputError for a network without inputs and for values out
    of range.
    """
    require_type("network", network, Network)
    chip = chip_of(config, table)
    for field, values in (("patterns", patterns), ("densities", densities), ("batches", batches)):
        require(isinstance(values, (list, tuple)), field, type(values).__name__, "must be a list")
        require(len(values) > 0, field, "none", "must be at least one")
    for batch in batches:
        require_int("batches", batch, 1, 2**20)
    for density in densities:
        fraction("densities", density)
    for shape in patterns:
        require(isinstance(shape, (list, tuple)) and len(shape) == 2, "patterns", shape, "must be pairs, N kept of M")
        require_pattern(shape)
    whole, network = network, _layer_of(network, layer)
    shapes = list(dict.fromkeys([DENSE, *((int(n), int(m)) for n, m in patterns)]))
    rows, wanted = [], list(dict.fromkeys(batches))
    for pruned, found, name, precision in (
        *_on_chip(chip, network, shapes, progress),
        *_beside(chip, rivals(config), network, _distinct(network, densities), progress),
    ):
        candidate = candidate_of(whole, network, pruned, found, unit=name, precision=precision)
        rows += [Figures(batch=batch, candidate=candidate, **found.figures(batch)) for batch in wanted]
    return sorted(rows, key=lambda row: wanted.index(row.batch))


def chip_of(config: Any, table: EnergyTable | None = None) -> Chip:
    """What a comparison is on. Raises InputError for the design of a unit that is no chip, or of none."""
    unit = unit_of(config)
    if unit.chip is None:
        known = " or ".join(each.config.__name__ for each in units() if each.chip is not None)
        raise InputError(f"config={type(config).__name__}: must be {known}")
    return unit.chip(config, table)


Ran = tuple[dict[str, Any], Held, str, str]
"""Pruned weights by layer, the layers as the unit holds them, what the row's unit is called, and its precision."""


def _on_chip(chip: Chip, network: Network, shapes: Sequence[Pattern], progress: Progress) -> Iterator[Ran]:
    """The network in each pattern, by magnitude; the product of each layer is checked on real inputs."""
    unit = unit_of(chip.far)
    before, biases = weights_of(network)
    inputs = inputs_of(network, before, biases)
    for shape in shapes:
        progress(f"{said(shape)}: pruning and checking the product")
        pruned = {name: w * pattern.nm(*shape).prune(score.l1(w)).mask for name, w in before.items()}
        name = "dense" if shape == DENSE else unit.name
        yield pruned, chip.held(pruned, biases, inputs, shape), name, unit.precision(chip.far)


def _beside(
    chip: Chip, others: Sequence[Rival], network: Network, densities: Sequence[float], progress: Progress
) -> Iterator[Ran]:
    """The network at each density, by magnitude, on each unit beside the chip."""
    for rival in others:
        unit = rival.unit
        for density in densities:
            progress(f"{unit.title}, density {density:.3g}: pruning and simulating")
            pruned, _ = prune_network(network, Recipe(density=density), rival.design)
            weights = {layer.name: dense(layer.weights) for layer in pruned.layers}
            found = held(rival, chip, pruned, f"{unit.title} {100 * density:.3g} %")
            yield weights, found, unit.name, unit.precision(rival.design)


def _distinct(network: Network, densities: Sequence[float]) -> list[float]:
    """Densities, those above what the weights have anyway as one."""
    before, _ = weights_of(network)
    own = sum(np.count_nonzero(w) for w in before.values()) / sum(w.size for w in before.values())
    return list(dict.fromkeys(min(float(density), own) for density in densities))


def _layer_of(network: Network, name: str | None) -> Network:
    """The network, or just one of its layers with what the layers before pass on. Raises InputError: did you mean."""
    if name is None:
        return network
    before, biases = weights_of(network)
    one = network.layer(name)
    if not network.chained:
        return one
    try:
        read = inputs_of(network, before, biases)[name]
    except InputError:
        return one
    label = f"{len(read)} vectors passed on by the layers before, in floats"
    return replace(one, layers=(replace(one.layers[0], activations=read, activations_source=label),))
