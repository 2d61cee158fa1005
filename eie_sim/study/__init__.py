"""Sweeps over pruning and hardware: grids and lists of designs, shared work, a store that survives, fronts, search.

import eie_sim as es

found = es.sweep.run("alex-7", grid={"density": "0.02:0.5:20", "n_pe": [1, 4, 16, 64]}, store="alex-7.jsonl")
best = es.sweep.front(found.rows, ["cycles", "energy_nj"])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eie_sim.study.axes import AXES as AXES
    from eie_sim.study.export import to_pandas as to_pandas
    from eie_sim.study.export import write_csv as write_csv
    from eie_sim.study.export import write_parquet as write_parquet
    from eie_sim.study.file import read_study as read_study
    from eie_sim.study.pareto import front as front
    from eie_sim.study.pareto import hypervolume as hypervolume
    from eie_sim.study.pareto import knee as knee
    from eie_sim.study.reading import Stored as Stored
    from eie_sim.study.reading import read_store as read_store
    from eie_sim.study.searching import search as search
    from eie_sim.study.showing import FIGURES as FIGURES
    from eie_sim.study.sweep import Sweep as Sweep
    from eie_sim.study.sweep import Tally as Tally
    from eie_sim.study.sweep import run as run

_NAMES = {
    "axes": ["AXES"],
    "export": ["to_pandas", "write_csv", "write_parquet"],
    "file": ["read_study"],
    "pareto": ["front", "hypervolume", "knee"],
    "reading": ["Stored", "read_store"],
    "searching": ["search"],
    "showing": ["FIGURES"],
    "sweep": ["Sweep", "Tally", "run"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_HOME]  # noqa: PLE0604  keys of the dict above, all strings


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: the command line asks for the axes alone."""
    if name in _HOME:
        return getattr(importlib.import_module(f"eie_sim.study.{_HOME[name]}"), name)
    raise AttributeError(f"module 'eie_sim.study' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
