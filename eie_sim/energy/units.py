"""Which energies belong to which unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, require
from eie_sim.core.result import SimResult
from eie_sim.energy import eie, nm
from eie_sim.energy.rows import Components, EnergyRow
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm.config import TensorCoreConfig


class UnitEnergies(NamedTuple):
    """What the energy of a unit is made of.

    unit : name, as results have it; config : type of its designs
    components : by event; rows : of a design, at 45 nm; counts : of a result, by event
    lanes : PEs, or MACs in a cycle, of a design
    """

    unit: str
    config: type
    components: Components
    rows: Callable[[Any], tuple[EnergyRow, ...]]
    counts: Callable[[SimResult], dict[str, float]]
    lanes: Callable[[Any], int]


UNITS = (
    UnitEnergies("eie", EieConfig, eie.COMPONENTS, eie.rows, eie.counts, eie.lanes),
    UnitEnergies("nm", TensorCoreConfig, nm.COMPONENTS, nm.rows, nm.counts, nm.lanes),
)


def energies_of(config: Any) -> UnitEnergies:
    """The energies of the unit that a design belongs to. Raises InputError for another type."""
    for unit in UNITS:
        if isinstance(config, unit.config):
            return unit
    known = " or ".join(unit.config.__name__ for unit in UNITS)
    raise InputError(f"config={type(config).__name__}: must be an {known}")


def require_eie(config: Any) -> None:
    """Raise InputError unless `config` is an EieConfig."""
    require(isinstance(config, EieConfig), "config", type(config).__name__, "must be an EieConfig")
