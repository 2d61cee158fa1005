"""The result of a simulation; each unit has the words for its own events and cycle classes.

Models only count. Ratios, energy, tables and figures are made from these counts afterwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.html import Cell, card, figure, share, table
from eie_sim.core.numbers import number, percent

Timeline = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(T int64[n_item], L int64[n_item, n_pe]): cycle of each broadcast, cycle in which each PE takes the item."""


class MemoryFit(NamedTuple):
    """Need of a layer for one memory of a PE, in the memory's unit, whether it fits, and the passes it would take."""

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
    """Output, cycles and counts of one layer on one unit, over one vector, or over a batch.

    A unit runs the vectors of a batch one after the other, or multiplies by all of them at once.

    output : raw accumulators before bias outside the unit and activation, [n_out] or [n_vector, n_out], in the unit's
        own type; None where a shape was timed without data
    cycles : total over the n_vector vectors; cycles_per_vector int64[n_vector], or [1], the total of all at once
    n_unit : processing elements that are counted one by one
    counts : int64[rows, n_event], columns `event_names`: a row per processing element and what is central, or one row
    classes : int64[n_unit, n_class] cycles, columns `class_names`; they add to cycles * n_unit
    useful_class : the class that counts as utilisation; busy_classes : those that count in load balance
    extra : further totals of the unit, by name
    named : choices and findings of the unit, such as its `bound`
    timeline : (T, L) per vector: one pair for a vector, a list of pairs for a batch; None when not asked
    scales : what the words of weights, activations and accumulators are in real values, as the unit counts it; empty of
        a unit whose words are floats
    output_scale : what an output times it is in real values
    active_inputs : inputs of all vectors that take part, the bias left out; None where a shape was timed
    active_per_vector : the same of each, int64[n_vector], of a sample of those drawn; None where they are not counted
    effectual_macs : MACs that count, as the unit counts them: operands that are not zero, or kept weights
    dense_macs : what a dense unit computes, n_out * n_in per vector; n_out more where there is a bias that the unit
        multiplies by 1.0, as effectual_macs has them. A bias that is added outside is in neither
    fits, memories : whether the layer fits the PE's memories, and each of them
    inputs : what the activations were, in words
    config_hash : identifies unit and config
    """

    unit: str
    engine: str
    config: Any
    output: Any
    cycles: int
    cycles_per_vector: NDArray[np.int64]
    n_vector: int
    n_unit: int
    event_names: tuple[str, ...]
    counts: NDArray[np.int64]
    class_names: tuple[str, ...]
    classes: NDArray[np.int64]
    useful_class: str
    busy_classes: tuple[str, ...]
    effectual_macs: int
    dense_macs: int
    inputs: str
    config_hash: str
    scales: dict[str, Any] = field(default_factory=dict)
    output_scale: float = 1.0
    active_inputs: int | None = None
    active_per_vector: NDArray[np.int64] | None = None
    memories: tuple[MemoryFit, ...] = ()
    extra: dict[str, dict[str, int]] = field(default_factory=dict)
    named: dict[str, Any] = field(default_factory=dict)
    timeline: Timeline | list[Timeline] | None = field(default=None, repr=False)

    __repr__ = shows(
        "unit",
        "engine",
        "cycles",
        "n_vector",
        "time_us",
        "utilisation",
        "load_balance",
        "fits",
        "output",
        "inputs",
        "config",
    )

    def __post_init__(self) -> None:
        """Numbers of numpy become Python's, so that every record of a result can be written."""
        for name in ("cycles", "n_vector", "n_unit", "effectual_macs", "dense_macs"):
            object.__setattr__(self, name, int(getattr(self, name)))

    @property
    def real_output(self) -> NDArray[np.float64]:
        """The outputs in real values, float64 of their shape."""
        return np.asarray(self.output, dtype=np.float64) * self.output_scale

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
        """Totals: `events` by name, `classes` in cycles of all units, and the unit's `extra`."""
        events = dict(zip(self.event_names, self.counts.sum(axis=0).tolist(), strict=True))
        classes = dict(zip(self.class_names, self.classes.sum(axis=0).tolist(), strict=True))
        return {"events": events, "classes": classes, **{name: dict(totals) for name, totals in self.extra.items()}}

    @property
    def bound(self) -> str | None:
        """The limit of the unit, such as its busiest part; None if the unit names none."""
        return self.named.get("bound")

    @property
    def utilisation(self) -> float:
        """Share of the units' cycles in the useful class, such as issuing a weight entry, 0 to 1."""
        return _ratio(self.stats["classes"][self.useful_class], self.cycles * self.n_unit)

    @property
    def busy(self) -> NDArray[np.int64]:
        """Busy cycles of each unit, int64[n_unit]."""
        columns = [self.class_names.index(name) for name in self.busy_classes]
        return np.asarray(self.classes[:, columns].sum(axis=1))

    @property
    def load_balance(self) -> float:
        """Mean busy over max busy unit; 1 where nothing is issued."""
        busy = self.busy
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
        split = ", ".join(f"{name} {percent(_ratio(count, total))}" for name, count in stats["classes"].items())
        fits = "fits" if self.fits else f"does not fit: {self.passes} passes"
        return "\n".join(
            [
                f"{self.unit}, {self.engine} engine: {self.cycles} cycles, "
                f"{number(self.time_us, 2)} us at {self.config.clock_mhz:g} MHz",
                f"inputs: {self.inputs}; {fits}; config {self.config_hash}",
                *([", ".join(f"{name} {_words(value)}" for name, value in self.named.items())] if self.named else []),
                f"cycles by class: {split}",
                f"utilisation {percent(self.utilisation)}, load balance {percent(self.load_balance)}",
                f"effective {number(self.effective_gops, 1)} GOP/s (effectual MACs), "
                f"dense-equivalent {number(self.dense_equivalent_gops, 1)} GOP/s (dense MACs)",
            ]
        )

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        classes = self.stats["classes"]
        total = sum(classes.values())
        figures = [
            Cell(f"{self.n_vector:,}", self.n_vector),
            Cell(f"{self.cycles:,}", self.cycles),
            figure(self.time_us, 3),
            share(self.utilisation),
            share(self.load_balance),
            figure(self.effective_gops, 2),
            figure(self.dense_equivalent_gops, 2),
            *(Cell(_words(value), value if isinstance(value, int) else None) for value in self.named.values()),
        ]
        headings = [*_HEADINGS, *(name.replace("_", " ") for name in self.named)]
        shares = [100 * _ratio(count, total) for count in classes.values()]
        return card(
            f"{self.unit}, {self.engine} engine",
            table(headings, [figures]),
            table([f"{name}\n% of cycles" for name in classes], [[figure(one, 1) for one in shares]]),
            lines=[f"inputs: {self.inputs}; {self.config.clock_mhz:g} MHz; config {self.config_hash}"],
            alarms=[] if self.fits else [f"does not fit: {self.passes} passes, whose cost no cycle contains"],
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON."""
        return {
            "unit": self.unit,
            "engine": self.engine,
            "config": self.config.to_dict(),
            "config_hash": self.config_hash,
            "inputs": self.inputs,
            "n_vector": self.n_vector,
            "cycles": self.cycles,
            "time_us": self.time_us,
            "scales": dict(self.scales),
            "stats": self.stats,
            **self.named,
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


def in_turn(results: Sequence[SimResult]) -> SimResult:
    """Return batches of vectors that run one after the other, on the same design, as one batch; no timeline."""
    if len(results) == 1:
        return results[0]
    active = [one.active_per_vector for one in results if one.active_per_vector is not None]
    extra = {
        group: {name: sum(one.extra[group][name] for one in results) for name in totals}
        for group, totals in results[0].extra.items()
    }
    return replace(
        results[0],
        output=None if results[0].output is None else np.concatenate([one.output for one in results]),
        cycles_per_vector=np.concatenate([one.cycles_per_vector for one in results]),
        counts=np.sum([one.counts for one in results], axis=0),
        classes=np.sum([one.classes for one in results], axis=0),
        active_inputs=sum(one.active_inputs or 0 for one in results),
        active_per_vector=np.concatenate(active) if len(active) == len(results) else None,
        extra=extra,
        timeline=None,
        **{name: sum(getattr(one, name) for one in results) for name in _SUMMED},
    )


def standing_for(sample: SimResult, n_vector: int, output: Any) -> SimResult:
    """Return the result of so many vectors of which those of `sample` were drawn: totals times their ratio, rounded.

    output : [n_vector, n_out], of all of them
    """
    ratio = Fraction(n_vector, sample.n_vector)
    return replace(
        sample,
        output=output,
        counts=np.rint(sample.counts * float(ratio)).astype(np.int64),
        classes=np.rint(sample.classes * float(ratio)).astype(np.int64),
        active_inputs=round((sample.active_inputs or 0) * ratio),
        extra={
            group: {name: round(count * ratio) for name, count in totals.items()}
            for group, totals in sample.extra.items()
        },
        timeline=None,
        **{name: round(getattr(sample, name) * ratio) for name in _SUMMED},
    )


_SUMMED = ("cycles", "n_vector", "effectual_macs", "dense_macs")

_HEADINGS = (
    "vectors",
    "cycles",
    "time us",
    "utilisation",
    "load\nbalance",
    "effective GOP/s\n(effectual MACs)",
    "dense-equivalent GOP/s\n(dense MACs)",
)


def _words(value: Any) -> str:
    """A choice of a unit as it may stand in a line."""
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0
