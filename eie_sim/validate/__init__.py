"""Published figures beside simulated ones, rerun: every row is shown, those that miss too, with what is known of why.

from eie_sim import validate

rows = validate.everything()
validate.by_group(rows)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from eie_sim.core.published import (
    AGREES,
    KIND_MEANINGS,
    Comparison,
    Drawn,
    GroupErrors,
    Progress,
    Study,
    by_group,
)
from eie_sim.units import units
from eie_sim.units.unit import Unit
from eie_sim.validate.sizes import sizes

__all__ = [
    "AGREES",
    "KIND_MEANINGS",
    "Comparison",
    "GroupErrors",
    "Study",
    "by_group",
    "drawn",
    "everything",
    "published_units",
    "rows_of",
    "sizes",
    "studies_of",
]


def published_units() -> list[Unit]:
    """Units of which figures are published."""
    return [unit for unit in units() if unit.published is not None]


def rows_of(named: Sequence[Unit], seed: int = 0, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every published figure of units, beside the simulated one. seed : of what is drawn"""
    draw = partial(drawn, seed=seed)
    return [row for unit in named if unit.published for row in unit.published(draw, progress=progress)]


def studies_of(named: Sequence[Unit], seed: int = 0, *, progress: Progress = lambda step: None) -> list[Study]:
    """Every published study of units, rerun. seed : of what is drawn"""

    def sweep(unit: str, network: str, **axes: Any) -> Sequence[dict[str, Any]]:
        from eie_sim.study import run

        return run(network, grid={"unit": unit, **axes}, seed=seed, workers=1).rows

    told = [unit.studies(partial(sweep, unit.name), progress=progress) for unit in named if unit.studies]
    return [study for own in told for study in own]


def everything(seed: int = 0, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every figure that the project is held against: those of units, and Deep Compression's sizes."""
    return [*rows_of(published_units(), seed, progress=progress), *sizes(seed, progress=progress)]


def drawn(preset: str, *, seed: int = 0) -> Drawn:
    """The layer of a preset of which only shape and densities are published.

    Raises InputError for a name that is no preset.
    """
    from eie_sim.workload import load
    from eie_sim.workload.published import drawn as presets

    layer = load(preset, seed=seed).layers[0]
    (row, *_) = presets()[preset].rows
    inputs = f"weights {layer.weights_source}; activations {layer.activations_source}"
    return Drawn(layer.weights, layer.activations, inputs, row.weight_density, row.activation_density)
