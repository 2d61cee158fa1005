"""Published figures beside simulated ones, rerun: every row is shown, those that miss too, with what is known of why.

from eie_sim import validate

rows = validate.everything()
validate.by_group(rows)
"""

from __future__ import annotations

from collections.abc import Callable

from eie_sim.validate.chips import chips, power
from eie_sim.validate.eie import (
    FOLLOWS,
    LAYERS,
    LayerResult,
    bars,
    derived,
    eie_times,
    energy_table2,
    layer_energies,
    simulate_layers,
)
from eie_sim.validate.others import products, sizes
from eie_sim.validate.rows import AGREES, KIND_MEANINGS, Comparison, GroupErrors, by_group
from eie_sim.validate.studies import Study, studies

__all__ = [
    "AGREES",
    "FOLLOWS",
    "KIND_MEANINGS",
    "LAYERS",
    "Comparison",
    "GroupErrors",
    "LayerResult",
    "Study",
    "bars",
    "by_group",
    "chips",
    "derived",
    "eie_rows",
    "eie_times",
    "energy_table2",
    "everything",
    "layer_energies",
    "power",
    "products",
    "simulate_layers",
    "sizes",
    "studies",
]


def eie_rows(seed: int = 0, *, progress: Callable[[str], None] = lambda step: None) -> list[Comparison]:
    """Every figure of the EIE paper: power, times, bars, energies, and what is derived. seed : of what is drawn."""
    layers: dict[str, LayerResult] = {}
    for name in LAYERS:
        progress(f"{name}: simulating")
        layers |= simulate_layers([name], seed=seed)
    return [
        *energy_table2(layers),
        *eie_times(layers),
        *bars(layers),
        *layer_energies(layers),
        *derived(layers),
    ]


def everything(seed: int = 0, *, progress: Callable[[str], None] = lambda step: None) -> list[Comparison]:
    """Every figure that the project is held against: EIE's, chips of N:M tensor cores, Deep Compression's sizes."""
    rows = eie_rows(seed, progress=progress)
    progress("N:M products: timing")
    return [*rows, *products(), *chips(), *sizes(seed, progress=progress)]
