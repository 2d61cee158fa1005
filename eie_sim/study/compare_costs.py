"""A row of a comparison, and what chips and arrays of one size cost on given products: cycles, energy, bytes.

What is multiplied is a list of phases, one after the other: each waits until the one before has ended everywhere. The
layers of a chain are one phase, since a vector goes through them on one design; each node of a graph is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.brief import shows
from eie_sim.core.nm_pattern import Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.energy import account, total_of
from eie_sim.study.instances import Instances
from eie_sim.units.compared import Chip

WORD_BYTES = 2
"""Bytes of an input or output that is read from or written to DRAM."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A pruned network on one of the designs at one batch; cycles, times and energies of the batch and all layers.

    unit : its name, or dense; name : with its pattern, what that runs as where it is another, or its density
    density : weights kept over all weights; kept_l1 : their share of the sum of magnitudes
    accuracy : on the held-back inputs, without training after pruning, with weights, inputs and sums as the unit stores
        and computes them; None without labels; accuracy_of : on how many inputs, with which layers in which precision
    weight_bytes : with the bias where the unit stores it
    *_dram : with weights read from DRAM, else they are where they are used; dram_bytes : read and written then
    utilisation : MACs that count (of kept weights and stored biases, zero inputs left out where the unit skips them)
        over what the MACs could do in `cycles`
    board_nj : the power limit of a chip's board over the time, a bound on the energy; None of a design that is no board
    tile, bound : of the layers, in order; empty where a unit has none
    scaled_from : vectors simulated, where the network has fewer than the batch; else None
    on : title of the design in a list; else None, and `to_dict` leaves it out
    covers : of a graph, share of its MACs that the unit computes, whose costs these are; else None, and `to_dict`
        leaves it out with the two after it
    distance, distance_unpruned : of a graph's outputs from those in floats of the network pruned alike, and of the one
        before pruning: root mean squares, relative; None where those are all 0
    """

    unit: str
    name: str
    precision: str
    density: float
    kept_l1: float
    accuracy: float | None
    accuracy_of: str | None
    weight_bytes: float
    batch: int
    cycles: int
    time_us: float
    energy_nj: float
    cycles_dram: int
    time_us_dram: float
    energy_nj_dram: float
    dram_bytes: int
    utilisation: float
    board_nj: float | None = None
    board_nj_dram: float | None = None
    tile: str = ""
    bound: str = ""
    tile_dram: str = ""
    bound_dram: str = ""
    scaled_from: int | None = None
    on: str | None = None
    covers: float | None = None
    distance: float | None = None
    distance_unpruned: float | None = None

    __repr__ = shows(
        "name", "batch", "density", "accuracy", "cycles", "time_us", "energy_nj", "dram_bytes", "utilisation"
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        left_out = {name for name in ("on", "covers") if getattr(self, name) is None}
        left_out |= {"distance", "distance_unpruned"} if "covers" in left_out else set()
        return {name: value for name, value in asdict(self).items() if name not in left_out}


Phases = list[list[tuple[int, list[SimResult]]]]
"""For each phase, how many chips do the same, and the results of what each of them does, most of it first."""


def at_once(one: Instances, chip: Chip, phases_of: Callable[[Any], Phases], macs: int) -> dict[str, Any]:
    """Figures of chips of which each multiplies by its share of the vectors at once, timed by shape.

    phases_of : near or far design -> what is done on it; macs : of kept weights and all vectors
    """
    clock = one.design.clock_mhz
    found: dict[str, Any] = {}
    results: list[tuple[int, SimResult]] = []
    for suffix, design, left_out in (("", chip.near, chip.copies), ("_dram", chip.far, ())):
        phases = phases_of(design)
        cycles = sum(max(sum(each.cycles for each in done) for _, done in shares) for shares in phases)
        results = [(count, each) for shares in phases for count, done in shares for each in done]
        idle = one.number * cycles - sum(count * each.cycles for count, each in results)
        reports = [(count, account(each, one.table)) for count, each in results]
        working_pj = sum(n * (each.total_pj - sum(map(each.by_event.__getitem__, left_out))) for n, each in reports)
        board_nj = None if chip.board_watts is None else 1e3 * chip.board_watts * one.number * cycles / clock
        largest = [each for shares in phases for each in shares[0][1]]
        found |= {
            f"cycles{suffix}": cycles,
            f"time_us{suffix}": cycles / clock,
            f"energy_nj{suffix}": (working_pj + idle * one.idle_pj) / 1e3,
            f"board_nj{suffix}": board_nj,
            f"tile{suffix}": _distinct_words("x".join(map(str, each.named.get("tile", ()))) for each in largest),
            f"bound{suffix}": _distinct_words(each.bound or "" for each in largest),
        }
    moved = sum(count * each.stats["events"]["dram_bytes"] for count, each in results)
    return found | {"dram_bytes": moved, "utilisation": macs / (found["cycles"] * one.macs_per_cycle)}


def _distinct_words(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


class InTurn(NamedTuple):
    """A phase of arrays that take vectors in turn: vectors wanted, and results of those that there are.

    gathered : inputs that the vectors of each result are gathered of, from a map outside
    steps : vectors of each step, which arrays share out before the next; () for all vectors at once
    """

    wanted: int
    results: Sequence[SimResult]
    gathered: int = 0
    steps: tuple[int, ...] = ()


def in_turn(one: Instances, phases: Sequence[InTurn], weight_bytes: int, words: int) -> dict[str, Any]:
    """Figures of arrays that take vectors in turn, scaled where there are fewer than wanted.

    From DRAM the compressed weights once, inputs and outputs stream while the arrays work: the slower of both counts.
    Arrays that wait burn clock and leakage.

    words : read and written of all vectors
    """
    design, number, rate = one.design, one.number, one.dram_bytes_per_cycle
    cycles, worked, working_pj, macs = 0, Fraction(0), 0.0, 0.0
    for wanted, results, gathered, steps in phases:
        scale = Fraction(wanted, results[0].n_vector)
        cycles += _cycles_in_turn(wanted, results, number, steps)
        worked += sum(each.cycles for each in results) * scale
        working_pj += total_of([account(each, one.table, gathered=gathered) for each in results]).total_pj * float(
            scale
        )
        macs += float(sum(each.effectual_macs for each in results) * scale)
    moved = weight_bytes + words * WORD_BYTES
    cycles_dram = max(cycles, -(-moved * rate.denominator // rate.numerator))
    waiting_pj = [float(number * each - worked) * one.idle_pj for each in (cycles, cycles_dram)]
    fewer = next((results[0].n_vector for wanted, results, *_ in phases if results[0].n_vector != wanted), None)
    return {
        "cycles": cycles,
        "time_us": cycles / design.clock_mhz,
        "energy_nj": (working_pj + waiting_pj[0]) / 1e3,
        "cycles_dram": cycles_dram,
        "time_us_dram": cycles_dram / design.clock_mhz,
        "energy_nj_dram": (working_pj + waiting_pj[1] + moved * one.dram_pj_per_byte) / 1e3,
        "dram_bytes": moved,
        "utilisation": macs / (cycles * one.macs_per_cycle) if cycles else 0.0,
        "scaled_from": fewer,
    }


def _cycles_in_turn(wanted: int, results: Sequence[SimResult], number: int, steps: tuple[int, ...]) -> int:
    """Return the cycles of the array with most, each with its share of the vectors; of mean ones where too few ran."""
    per_vector = np.sum([each.cycles_per_vector for each in results], axis=0)
    if len(per_vector) == wanted:
        shares = np.split(per_vector, np.cumsum(steps)[:-1]) if steps else [per_vector]
        return sum(max(int(one[at::number].sum()) for at in range(min(number, len(one)))) for one in shares)
    return round(Fraction(int(per_vector.sum()), results[0].n_vector) * -(-wanted // number))


def target_in_words(to: Pattern | float) -> str:
    """Return the pattern or density that weights are pruned to, in words."""
    return said(to) if isinstance(to, tuple) else f"{100 * to:.3g} %"
