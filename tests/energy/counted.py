"""Results with counts made up for tests of energy."""

import numpy as np

from eie_sim.core.result import SimResult
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.words import EieClass, EieEvent
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent

KIB = 1024
HEADER = "event,energy_pj,source\n"
PE_CYCLES = 64 * 10_000
ALEX_7_PER_PE_CYCLE = {
    "broadcasts": 0.0022,
    "queue_writes": 0.1411,
    "queue_reads": 0.1411,
    "pointer_reads": 0.1411,
    "spmat_reads": 0.1977,
    "codebook_reads": 0.9673,
    "macs": 0.8108,
    "padding_entries": 0.1565,
    "accumulator_reads": 0.8108,
    "accumulator_writes": 0.8108,
    "output_writes": 0.0063,
}


def result_with(events, *, cycles=10_000, config=None, unit="eie"):
    """A result whose counts all stand in the first PE's row."""
    config = config or EieConfig()
    counts = np.zeros((config.n_pe + 1, len(EieEvent)), dtype=np.int64)
    for name, count in events.items():
        counts[0, EieEvent[name.upper()]] = count
    return SimResult(
        unit=unit,
        engine="fast",
        config=config,
        output=np.zeros(1, dtype=np.int16),
        scales={"weight": 0, "activation": 0, "accumulator": 0},
        cycles=cycles,
        cycles_per_vector=np.array([cycles]),
        n_vector=1,
        n_unit=config.n_pe,
        event_names=tuple(event.name.lower() for event in EieEvent),
        counts=counts,
        class_names=tuple(kind.name.lower() for kind in EieClass),
        classes=np.zeros((config.n_pe, len(EieClass)), dtype=np.int64),
        useful_class="weight",
        busy_classes=("weight", "padding"),
        effectual_macs=events.get("macs", 0),
        dense_macs=0,
        memories=(),
        inputs="made up",
        config_hash="",
    )


def alex_7():
    return result_with({event: round(share * PE_CYCLES) for event, share in ALEX_7_PER_PE_CYCLE.items()})


def nm_result(events, *, cycles=100, config=None):
    """A result of the N:M unit with these counts."""
    config = config or TensorCoreConfig.preset("nm-64")
    counts = np.zeros((1, len(NmEvent)), dtype=np.int64)
    for name, count in events.items():
        counts[0, NmEvent[name.upper()]] = count
    return SimResult(
        unit="nm",
        engine="fast",
        config=config,
        output=None,
        cycles=cycles,
        cycles_per_vector=np.array([cycles]),
        n_vector=1,
        n_unit=1,
        event_names=tuple(event.name.lower() for event in NmEvent),
        counts=counts,
        class_names=("tensor", "waiting"),
        classes=np.array([[40, cycles - 40]]),
        useful_class="tensor",
        busy_classes=("tensor",),
        effectual_macs=events.get("macs", 0),
        dense_macs=0,
        inputs="made up",
        config_hash="",
    )
