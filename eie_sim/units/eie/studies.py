"""The paper's studies of one parameter at a time, rerun as sweeps, beside what its text says of them.

Source: Han et al. 2016, section VI, Figs 8, 9, 11, 12 and 13; their curves are not printed as numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from eie_sim.core.published import Progress, Study, Sweep
from eie_sim.energy import EnergyTable
from eie_sim.units.eie.config import EieConfig

Rows = Sequence[dict[str, Any]]

DEPTHS = "1,2,4,...,256"
WIDTHS = "32,64,128,256,512"
PES = "1,2,4,...,256"
DESIGN_DEPTH, DESIGN_PES, DESIGN_WIDTH = 8, 64, 64
FEW_ROWS = "nt-we"
"""The layer with 600 rows, which the paper names as the one that scales and balances worse."""

ABOUT_HALF = (0.4, 0.6)
"""Idle shares that are taken for about half: limits of ours, as the paper prints none."""

NEAR_LINEAR = 0.8
"""Share of the ideal speedup from which scaling is taken for near-linear: a limit of ours, as the paper prints none."""

CLASSES = tuple(f"{name}_cycles" for name in ("weight", "padding", "empty", "waiting", "drain"))

SHOWN = ("layer", "cycles", *CLASSES, "spmat_reads")
"""Columns of the rows of a study that are judged."""

SLOT_KEPT = (
    "section IV has a PE process the item at the head of its queue, here it takes the item out, so that a queue of one "
    "entry holds an item beside the one in work; with the slot kept until the item is done, about half would be idle "
    f"at 1, and little would change at {DESIGN_DEPTH}"
)

READ_ANEW = (
    f"were a row read anew for every item, the energy would rise with each doubling beyond {DESIGN_WIDTH} bits, and be "
    "least at 32"
)


def studies(sweep: Sweep, *, progress: Progress = lambda step: None) -> list[Study]:
    """All five, on the nine layers: three sweeps."""
    progress("studies: queue depths")
    depths = sweep("eie-paper", queue_depth=DEPTHS)
    progress("studies: widths of the Spmat SRAM")
    widths = sweep("eie-paper", spmat_width_bits=WIDTHS)
    progress("studies: PEs")
    pes = sweep("eie-paper", n_pe=PES)
    return [_queues(depths), _widths(widths), _speedups(pes), _padding(pes), _balance(pes)]


def spmat_energy_nj(row: Mapping[str, Any]) -> float:
    """Energy of the Spmat reads of a row alone, which Fig. 9 is of."""
    table = EnergyTable.for_config(EieConfig(spmat_width_bits=row["spmat_width_bits"]))
    return float(row["spmat_reads"] * table.energy_pj["spmat_reads"] / 1e3)


def _queues(rows: Rows) -> Study:
    idle = {depth: 1 - _mean(rows, _working, queue_depth=depth) for depth in (1, DESIGN_DEPTH, 256)}
    gained = idle[DESIGN_DEPTH] - idle[256]
    least, most = ABOUT_HALF
    worst = min((row for row in rows if row["queue_depth"] == DESIGN_DEPTH), key=_working)["layer"]
    found = (
        f"idle {100 * idle[1]:.0f} % at 1, {100 * idle[DESIGN_DEPTH]:.0f} % at {DESIGN_DEPTH}, {100 * idle[256]:.0f} % "
        f"at 256 (means of the layers); {worst} is worst at {DESIGN_DEPTH}; about half is taken as "
        f"{100 * least:.0f} to {100 * most:.0f} %, limits of ours"
    )
    says = f"about half of the cycles are idle with one entry, little is gained beyond {DESIGN_DEPTH}, NT-We is worse"
    about_half = least <= idle[1] <= most
    holds = about_half and gained < idle[1] - idle[DESIGN_DEPTH] and worst == FEW_ROWS
    return Study("8", "queue_depth", says, found, holds, rows, SHOWN, "balance", "" if about_half else SLOT_KEPT)


def _widths(rows: Rows) -> Study:
    widths = sorted({row["spmat_width_bits"] for row in rows})
    energy = {width: _mean(rows, spmat_energy_nj, spmat_width_bits=width) for width in widths}
    reads = {width: _mean(rows, lambda row: float(row["spmat_reads"]), spmat_width_bits=width) for width in widths}
    best = min(energy, key=lambda width: energy[width])
    falls = _falls(list(reads.values()))
    found = (
        f"reads {'fall' if falls else 'do not fall'} with each doubling; least energy at {best} bits, with CACTI 7's "
        "energy of a read"
    )
    says = f"wider rows are read less often, and the energy of all reads is least at {DESIGN_WIDTH} bits"
    dearer = energy[best] / reads[best] * reads[DESIGN_WIDTH] / energy[DESIGN_WIDTH]
    why = (
        f"a row stays latched from item to item, so that {best} bits are read {reads[DESIGN_WIDTH] / reads[best]:.1f} "
        f"times less often than {DESIGN_WIDTH}, while CACTI 7's read takes {dearer:.1f} times the energy; {READ_ANEW}"
    )
    as_said = best == DESIGN_WIDTH
    return Study("9", "spmat_width_bits", says, found, falls and as_said, rows, SHOWN, "widths", "" if as_said else why)


def _speedups(rows: Rows) -> Study:
    share = {
        layer: _of(rows, layer, 1)["cycles"] / _of(rows, layer, DESIGN_PES)["cycles"] / DESIGN_PES
        for layer in dict.fromkeys(row["layer"] for row in rows)
    }
    rest = min(value for layer, value in share.items() if layer != FEW_ROWS)
    few = share[FEW_ROWS]
    found = (
        f"{DESIGN_PES} PEs reach {100 * few:.0f} % of ideal on {FEW_ROWS}, {100 * rest:.0f} % or more on others; "
        f"near-linear is taken as above {100 * NEAR_LINEAR:.0f} %, a limit of ours"
    )
    says = "near-linear in the number of PEs, but for NT-We"
    return Study("11", "n_pe", says, found, rest > NEAR_LINEAR > few, rows, SHOWN, "scaling")


def _padding(rows: Rows) -> Study:
    def share(row: dict[str, Any]) -> float:
        return float(row["padding_cycles"] / (row["padding_cycles"] + row["weight_cycles"]))

    shares = [_mean(rows, share, n_pe=n_pe) for n_pe in sorted({row["n_pe"] for row in rows})]
    found = (
        f"padding of entries issued {100 * shares[0]:.0f} % with one PE, {100 * shares[-1]:.1f} % with 256 (means of "
        "the layers)"
    )
    return Study("12", "n_pe", "padding falls as PEs are added", found, _falls(shares), rows, SHOWN, "scaling")


def _balance(rows: Rows) -> Study:
    balance = [_mean(rows, _working, n_pe=n_pe) for n_pe in sorted({row["n_pe"] for row in rows})]
    found = (
        f"PE-cycles not waiting {100 * balance[0]:.0f} % with one PE, {100 * balance[-1]:.0f} % with 256 (means of the "
        "layers)"
    )
    rising = [layer for layer in dict.fromkeys(row["layer"] for row in rows) if not _falls(_over_pes(rows, layer))]
    found += f"; not at every step on {', '.join(rising)}" if rising else ""
    return Study("13", "n_pe", "load balance worsens as PEs are added", found, _falls(balance), rows, SHOWN, "balance")


def _over_pes(rows: Rows, layer: str) -> list[float]:
    """PE-cycles not lost to waiting of a layer, from the fewest PEs on."""
    own = sorted((row for row in rows if row["layer"] == layer), key=lambda row: int(row["n_pe"]))
    return [_working(row) for row in own]


def _working(row: dict[str, Any]) -> float:
    """Share of PE-cycles that are not lost to waiting, drain left out."""
    working = row["weight_cycles"] + row["padding_cycles"] + row["empty_cycles"]
    return float(working / (working + row["waiting_cycles"]))


def _mean(rows: Rows, figure: Callable[[dict[str, Any]], float], **where: Any) -> float:
    chosen = [row for row in rows if all(row[name] == value for name, value in where.items())]
    return float(np.mean([figure(row) for row in chosen]))


def _of(rows: Rows, layer: str, n_pe: int) -> dict[str, Any]:
    return next(row for row in rows if row["layer"] == layer and row["n_pe"] == n_pe)


def _falls(values: Sequence[float]) -> bool:
    return all(after <= before for before, after in pairwise(values))
