"""Published figures beside simulated ones, rerun: every row is shown, those that miss too, with what is known of why.

from eie_sim import validate

rows = validate.everything()
validate.by_group(rows)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from eie_sim.core.published import AGREES, KIND_MEANINGS, Comparison, Drawn, GroupErrors, Progress, Study, by_group  # noqa: F401  found here too
from eie_sim.deep_compression.published import PUBLICATION, sizes  # noqa: F401  found here too
from eie_sim.units import units


class Draw(NamedTuple):
    """Draws the layer of a preset of which only shape and densities are published. seed : of what is drawn"""

    seed: int = 0

    def __call__(self, preset: str) -> Drawn:
        """Raise InputError for a name that is no preset."""
        from eie_sim.network import load
        from eie_sim.network.published import drawn

        layer = load(preset, seed=self.seed).layers[0]
        (row, *_) = drawn()[preset].rows
        inputs = f"weights {layer.weights_source}; activations {layer.activations_source}"
        return Drawn(layer.weights, layer.activations, inputs, row.weight_density, row.activation_density)


def publications() -> list[Any]:
    """All that figures are published of: units, and a `Publication` of what belongs to none."""
    return [*(unit for unit in units() if unit.published is not None), PUBLICATION]


def rows_of(named: Sequence[Any], seed: int = 0, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every published figure of these, beside the simulated one. seed : of what is drawn"""
    return [row for one in named for row in one.published(Draw(seed), progress=progress)]


def studies_of(named: Sequence[Any], seed: int = 0, *, progress: Progress = lambda step: None) -> list[Study]:
    """Every published study of these, rerun. seed : of what is drawn"""

    def sweep(unit: str, network: str, **axes: Any) -> Sequence[dict[str, Any]]:
        from eie_sim.study import run

        return run(network, grid={"unit": unit, **axes}, seed=seed, workers=1).rows

    told = [one.studies(partial(sweep, one.name), progress=progress) for one in named if one.studies is not None]
    return [study for own in told for study in own]


def everything(seed: int = 0, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every figure that the project is held against."""
    return rows_of(publications(), seed, progress=progress)
