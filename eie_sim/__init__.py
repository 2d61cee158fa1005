"""Cycle-level simulation of sparse neural-network accelerators, fed by real pruned networks.

import eie_sim as es

w = weights * es.prune.magnitude(weights, density=0.1).mask        # (out, in)
matrix = es.EieMatrix.from_dense(w, n_pe=64)
result = es.simulate(matrix, activations, es.EieConfig(queue_depth=8))
print(result.summary())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eie_sim import archive as archive
    from eie_sim import deep_compression as deep_compression
    from eie_sim import energy as energy
    from eie_sim import network as network
    from eie_sim import prune as prune
    from eie_sim import study as sweep  # noqa: F401  a public name, as those around it
    from eie_sim.core.errors import InputError as InputError
    from eie_sim.core.quantize import Scales as Scales
    from eie_sim.core.result import SimResult as SimResult
    from eie_sim.engine import simulate as simulate
    from eie_sim.footprints import footprint as footprint
    from eie_sim.graphs import lower as lower
    from eie_sim.inputs import compare_inputs as compare_inputs
    from eie_sim.network.loading import load as load
    from eie_sim.network.presets import presets as presets
    from eie_sim.network.readers.torch_reader import from_torch as from_torch
    from eie_sim.network.torch_module import save_state_dict as save_state_dict
    from eie_sim.network.torch_module import to_torch as to_torch
    from eie_sim.pipeline import run as run
    from eie_sim.pipeline import run_network as run_network
    from eie_sim.prune.groups import groups as groups
    from eie_sim.report import figures as figures
    from eie_sim.report import trace as trace
    from eie_sim.study import validate as validate
    from eie_sim.study.compare import compare as compare
    from eie_sim.units.eie.activity import Activity as Activity
    from eie_sim.units.eie.activity import activity as activity
    from eie_sim.units.eie.config import EieConfig as EieConfig
    from eie_sim.units.eie.matrix import EieMatrix as EieMatrix
    from eie_sim.units.nm.config import TensorCoreConfig as TensorCoreConfig
    from eie_sim.units.nm.matrix import NmMatrix as NmMatrix
    from eie_sim.units.nm.unit import simulate_gemm as simulate_gemm
    from eie_sim.units.nm.unit import simulate_gemms as simulate_gemms

__version__ = "0.1.0"

_HOME = {
    "Activity": "eie_sim.units.eie.activity",
    "EieConfig": "eie_sim.units.eie.config",
    "EieMatrix": "eie_sim.units.eie.matrix",
    "InputError": "eie_sim.core.errors",
    "NmMatrix": "eie_sim.units.nm.matrix",
    "Scales": "eie_sim.core.quantize",
    "SimResult": "eie_sim.core.result",
    "TensorCoreConfig": "eie_sim.units.nm.config",
    "activity": "eie_sim.units.eie.activity",
    "compare": "eie_sim.study.compare",
    "compare_inputs": "eie_sim.inputs",
    "footprint": "eie_sim.footprints",
    "from_torch": "eie_sim.network.readers.torch_reader",
    "groups": "eie_sim.prune.groups",
    "load": "eie_sim.network.loading",
    "lower": "eie_sim.graphs",
    "presets": "eie_sim.network",
    "run": "eie_sim.pipeline",
    "run_network": "eie_sim.pipeline",
    "save_state_dict": "eie_sim.network.torch_module",
    "simulate": "eie_sim.engine",
    "simulate_gemm": "eie_sim.units.nm.unit",
    "simulate_gemms": "eie_sim.units.nm.unit",
    "to_torch": "eie_sim.network.torch_module",
}
_MODULES = {name: f"eie_sim.{name}" for name in ("archive", "deep_compression", "energy", "network", "prune")} | {
    "figures": "eie_sim.report.figures",
    "sweep": "eie_sim.study",
    "trace": "eie_sim.report.trace",
    "validate": "eie_sim.study.validate",
}

__all__ = ["__version__", *_HOME, *_MODULES]  # noqa: PLE0604  keys of the dict above, all strings


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import eie_sim` is instant."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'eie_sim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
