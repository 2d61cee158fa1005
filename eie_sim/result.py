"""What a simulation returns, and the words for it: events, cycle classes, their units and meanings.

Models only count. Ratios, energy, tables and figures are made from these counts afterwards.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Timeline = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(T int64[n_item], L int64[n_item, n_pe]): cycle of each broadcast, cycle in which each PE takes the item."""


class EieEvent(IntEnum):
    """Counted events of the EIE array; the columns of a count matrix."""

    BROADCASTS = 0
    QUEUE_WRITES = 1
    QUEUE_READS = 2
    POINTER_READS = 3
    SPMAT_READS = 4
    CODEBOOK_READS = 5
    MACS = 6
    PADDING_ENTRIES = 7
    ACCUMULATOR_READS = 8
    ACCUMULATOR_WRITES = 9
    OUTPUT_WRITES = 10


class EieClass(IntEnum):
    """What a PE spends a cycle on; each cycle is in exactly one class."""

    WEIGHT = 0
    PADDING = 1
    EMPTY = 2
    WAITING = 3
    DRAIN = 4


EVENT_MEANINGS = {
    "broadcasts": "activations sent to all PEs",
    "queue_writes": "items put into an activation queue",
    "queue_reads": "items taken from an activation queue",
    "pointer_reads": "pairs of column pointers read, both banks at once",
    "spmat_reads": "rows read from the Spmat SRAM",
    "codebook_reads": "codes looked up in the codebook, padding too",
    "macs": "multiply-accumulates, one per weight entry",
    "padding_entries": "padding entries issued",
    "accumulator_reads": "accumulators read, one per MAC",
    "accumulator_writes": "accumulators written, one per MAC",
    "output_writes": "output rows written back",
}

CLASS_MEANINGS = {
    "weight": "issuing a weight entry",
    "padding": "issuing a padding entry",
    "empty": "occupied by an item without entries",
    "waiting": "nothing to do: queue empty, or work finished early",
    "drain": "the pipeline drains, the last cycles of the layer",
}

BROADCAST_MEANINGS = {
    "sent": "items broadcast",
    "blocked_cycles": "an item was ready and some queue was full",
    "lost_cycles": "spent in the scan for the next active input, before the last broadcast",
}


class EieTiming(NamedTuple):
    """When and how often, for one activation vector.

    cycles : length of the layer
    counts : int64[n_pe + 1, len(EieEvent)], a row per PE and a last one for the central control unit
    classes : int64[n_pe, len(EieClass)], PE-cycles
    broadcast : int64[3], sent, blocked_cycles, lost_cycles
    timeline : (T, L)
    """

    cycles: int
    counts: NDArray[np.int64]
    classes: NDArray[np.int64]
    broadcast: NDArray[np.int64]
    timeline: Timeline | None


class EieRun(NamedTuple):
    """What an engine returns for one activation vector: raw accumulators int64[n_out], and their timing."""

    output: NDArray[np.int64]
    timing: EieTiming


class MemoryFit(NamedTuple):
    """Whether one memory of a PE holds what the layer needs, in the memory's own unit, and the passes it would take."""

    memory: str
    needed: int
    available: int
    unit: str
    passes: int

    @property
    def fits(self) -> bool:
        """True where one pass is enough."""
        return self.needed <= self.available


def config_hash(*parts: object) -> str:
    """12 hex digits that identify what determines a result: configs, shapes, seeds, in order."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimResult:
    """Output, cycles and counts of one layer on one unit, over one vector or a batch run one after the other.

    output : raw accumulators before ReLU, [n_out] or [n_vector, n_out]; int16, or int32 for wider accumulators
    cycles : total over the vectors; cycles_per_vector int64[n_vector]
    n_unit : processing elements
    counts : int64[n_unit + 1, n_event], a row per PE and a last one for the central control unit, columns `event_names`
    classes : int64[n_unit, n_class] PE-cycles, columns `class_names`; they add to cycles * n_unit
    broadcast : sent, blocked_cycles, lost_cycles
    timeline : (T, L) per vector: one pair for a vector, a list of pairs for a batch; None when not asked
    scales : fractional bits of weight, activation and accumulator; value = raw / 2**bits
    dense_macs : n_out * n_in per vector, what a dense unit computes (bias not counted)
    fits, memories : whether the layer fits the PE's memories, and each of them
    inputs : what the activations were, in words
    config_hash : identifies unit and config
    """

    unit: str
    engine: str
    config: Any
    output: NDArray[np.integer]
    scales: dict[str, int]
    cycles: int
    cycles_per_vector: NDArray[np.int64]
    n_unit: int
    event_names: tuple[str, ...]
    counts: NDArray[np.int64]
    class_names: tuple[str, ...]
    classes: NDArray[np.int64]
    broadcast: dict[str, int]
    dense_macs: int
    memories: tuple[MemoryFit, ...]
    inputs: str
    config_hash: str
    timeline: Timeline | list[Timeline] | None = field(default=None, repr=False)

    @property
    def time_us(self) -> float:
        """Time at the config's clock, microseconds."""
        return self.cycles / float(self.config.clock_mhz)

    @property
    def fits(self) -> bool:
        """True where every memory holds the layer in one pass."""
        return all(memory.fits for memory in self.memories)

    @property
    def passes(self) -> int:
        """Passes the layer would take through the memories; the cycles contain no cost for them."""
        return max((memory.passes for memory in self.memories), default=1)

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """Totals: `events` by name, `classes` in PE-cycles, `broadcast`."""
        events = dict(zip(self.event_names, self.counts.sum(axis=0).tolist(), strict=True))
        classes = dict(zip(self.class_names, self.classes.sum(axis=0).tolist(), strict=True))
        return {"events": events, "classes": classes, "broadcast": dict(self.broadcast)}

    @property
    def effectual_macs(self) -> int:
        """MACs executed: both operands non-zero (a bias included)."""
        return self.stats["events"]["macs"]

    @property
    def utilisation(self) -> float:
        """Share of PE-cycles that issue a weight entry, 0 to 1."""
        return _ratio(self.stats["classes"]["weight"], self.cycles * self.n_unit)

    @property
    def load_balance(self) -> float:
        """Mean busy over max busy PE, busy being cycles that issue an entry; 1 where nothing is issued."""
        busy = self.classes[:, EieClass.WEIGHT] + self.classes[:, EieClass.PADDING]
        return float(busy.mean() / busy.max()) if busy.max() else 1.0

    @property
    def effective_gops(self) -> float:
        """2 x effectual MACs over time, GOP/s."""
        return _ratio(2 * self.effectual_macs, self.time_us * 1e3)

    @property
    def dense_equivalent_gops(self) -> float:
        """2 x dense MACs over time, GOP/s: the rate a dense unit would need for the same time."""
        return _ratio(2 * self.dense_macs, self.time_us * 1e3)

    def summary(self) -> str:
        """A few lines for a person, figures with units."""
        stats = self.stats
        total = sum(stats["classes"].values())
        split = ", ".join(f"{name} {100 * _ratio(count, total):.1f} %" for name, count in stats["classes"].items())
        fits = "fits" if self.fits else f"does not fit: {self.passes} passes"
        return "\n".join(
            [
                f"{self.unit}, {self.engine} engine: {self.cycles} cycles, "
                f"{self.time_us:.2f} us at {self.config.clock_mhz:g} MHz",
                f"inputs: {self.inputs}; {fits}; config {self.config_hash}",
                f"PE-cycles: {split}",
                f"utilisation {100 * self.utilisation:.1f} %, load balance {100 * self.load_balance:.1f} %",
                f"effective {self.effective_gops:.1f} GOP/s (effectual MACs), "
                f"dense-equivalent {self.dense_equivalent_gops:.1f} GOP/s (dense MACs)",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON."""
        return {
            "unit": self.unit,
            "engine": self.engine,
            "config": self.config.to_dict(),
            "config_hash": self.config_hash,
            "inputs": self.inputs,
            "n_vector": len(self.cycles_per_vector),
            "cycles": self.cycles,
            "time_us": self.time_us,
            "scales": dict(self.scales),
            "stats": self.stats,
            "effectual_macs": self.effectual_macs,
            "dense_macs": self.dense_macs,
            "utilisation": self.utilisation,
            "load_balance": self.load_balance,
            "effective_gops": self.effective_gops,
            "dense_equivalent_gops": self.dense_equivalent_gops,
            "fits": self.fits,
            "passes": self.passes,
            "memories": [{**memory._asdict(), "fits": memory.fits} for memory in self.memories],
        }


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
