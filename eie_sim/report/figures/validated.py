"""Published figures against simulated ones, and the width of the Spmat SRAM, which the paper chose by such a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eie_sim.core.errors import require_all, require_type
from eie_sim.core.published import AGREES, VALIDATED, Comparison
from eie_sim.energy import EnergyTable
from eie_sim.report.figures.rows import as_rows, hash_of, held_fixed, series_of
from eie_sim.report.figures.style import BLUE, GREY, INK, finish, line_styles, named, nothing, on, plain_ticks
from eie_sim.study.table import Row
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 4
"""Groups whose rows are farthest from what is published, of which that row is named."""


def parity(compared: Sequence[Comparison], axes: Axes | None = None, *, config_hash: str = "") -> Axes:
    """Simulated over published, a row for each group: on the line where they are equal; derived ones hollow.

    compared : rows of `validate.everything`
    """
    title = "Simulated over published"
    require_type("compared", compared, list, tuple)
    require_all("compared", compared, Comparison)
    axes = on(axes)
    if not compared:
        return nothing(axes, "no rows", title=title)
    groups = list(dict.fromkeys(row.group for row in compared))
    for at, group in enumerate(groups):
        own = [row for row in compared if row.group == group]
        places = at + np.linspace(-0.3, 0.3, len(own) + 2)[1:-1]
        ratios = [100 * (1 + row.error) for row in own]
        faces = [BLUE if row.kind == VALIDATED else "none" for row in own]
        axes.scatter(ratios, places, s=16, facecolors=faces, edgecolors=BLUE, linewidths=0.9)
    axes.axvline(100, color=INK, linewidth=1)
    axes.axvspan(100 * (1 - AGREES), 100 * (1 + AGREES), color=GREY, alpha=0.15)
    axes.set_yticks(range(len(groups)), list(map(named, groups)), parse_math=False)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.25)
    worst = [max((row for row in compared if row.group == group), key=_distance) for group in groups]
    farthest = sorted(worst, key=_distance, reverse=True)[:NAMED]
    told = "; ".join(f"{row.group}, {row.row}: {100 * (1 + row.error):.0f} %" for row in farthest)
    return finish(
        axes,
        title=title,
        xlabel="simulated over published, %",
        ylabel="",
        config_hash=config_hash,
        notes=[
            f"filled: validated; hollow: calibrated or derived; grey: within {100 * AGREES:g} %",
            f"farthest: {told}",
        ],
    )


def _distance(row: Comparison) -> float:
    return abs(row.error)


def widths(
    found: Any,
    axes: Axes | None = None,
    *,
    config_hash: str | None = None,
    title: str = "Reads of the Spmat SRAM against its width",
) -> Axes:
    """Reads of the Spmat SRAM and their energy against its width, both over those of the narrowest.

    found : a Sweep over spmat_width_bits, or its rows. Solid: energy of the reads. Dashed: reads.
    """
    rows = as_rows(found)
    axes = on(axes)
    curves = rows.take(np.flatnonzero(rows.where("spmat_reads", bool)))
    if not curves:
        return nothing(axes, "no reads of an Spmat SRAM", title=title)
    each = series_of(curves, "spmat_width_bits")
    for series, style in zip(each, line_styles(len(each)), strict=True):
        bits = [row["spmat_width_bits"] for row in series.rows]
        energies = np.array([_energy_of_reads(row) for row in series.rows])
        reads = np.array([row["spmat_reads"] for row in series.rows], dtype=np.float64)
        axes.plot(bits, energies / energies[0], label=series.named[2:] or "energy", **style)
        axes.plot(bits, reads / reads[0], color=style["color"], linestyle="--", linewidth=1)
    axes.set_xscale("log", base=2)
    plain_ticks(axes.xaxis, curves.values("spmat_width_bits"))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    return finish(
        axes,
        title=title,
        xlabel="width of a row, bits",
        ylabel="times those of the narrowest",
        config_hash=hash_of(rows, config_hash),
        notes=["solid: energy of the reads; dashed: reads", held_fixed(curves)],
    )


def _energy_of_reads(row: Row) -> float:
    """PJ of the reads alone, which Fig. 9 of Han et al. 2016 is of."""
    design = unit_named(row["unit"]).config(spmat_width_bits=row["spmat_width_bits"])
    return float(row["spmat_reads"] * EnergyTable.for_config(design).energy_pj["spmat_reads"])
