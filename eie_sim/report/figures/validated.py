"""Published figures against simulated ones, and the width of the Spmat SRAM, which the paper chose by such a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eie_sim.core.errors import require_all, require_type
from eie_sim.core.published import AGREES, VALIDATED, Comparison
from eie_sim.energy import EnergyTable
from eie_sim.report.figures.rows import as_rows, hash_of, series_of
from eie_sim.report.figures.style import GREY, INK, SMALL, finish, line_style, nothing, on, plain_ticks
from eie_sim.study.table import Row
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 4
"""Worst rows that are named."""


def parity(compared: Sequence[Comparison], axes: Axes | None = None, *, config_hash: str = "") -> Axes:
    """Simulated over published, a column for each group: on the line where they are equal; derived rows hollow.

    compared : rows of `validate.everything`
    """
    title = "Simulated over published"
    require_type("compared", compared, list, tuple)
    require_all("compared", compared, Comparison)
    axes = on(axes)
    if not compared:
        return nothing(axes, "no rows", title=title)
    groups = list(dict.fromkeys(row.group for row in compared))
    worst = sorted(compared, key=lambda row: -abs(row.error))[:NAMED]
    beside: dict[str, Any] = {"xytext": (3, 4), "textcoords": "offset points", "fontsize": SMALL}
    for at, group in enumerate(groups):
        own = [row for row in compared if row.group == group]
        places = at + np.linspace(-0.3, 0.3, len(own) + 2)[1:-1]
        ratios = [100 * (1 + row.error) for row in own]
        colour = line_style(at)["color"]
        faces = [colour if row.kind == VALIDATED else "none" for row in own]
        axes.scatter(places, ratios, s=18, facecolors=faces, edgecolors=colour, linewidths=0.9)
        for place, ratio, row in zip(places, ratios, own, strict=True):
            if row in worst:
                axes.annotate(row.row, (place, ratio), **beside)
    axes.axhline(100, color=INK, linewidth=1)
    axes.axhspan(100 * (1 - AGREES), 100 * (1 + AGREES), color=GREY, alpha=0.15, label=f"within {100 * AGREES:g} %")
    axes.scatter([], [], s=18, facecolors="none", edgecolors=INK, label="calibrated or derived")
    axes.set_xticks(range(len(groups)), groups, rotation=30, ha="right")
    axes.grid(axis="y", alpha=0.25)
    return finish(axes, title=title, xlabel="group", ylabel="simulated over published, %", config_hash=config_hash)


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
    curves = [row for row in rows if row.get("spmat_reads")]
    if not curves:
        return nothing(axes, "no reads of an Spmat SRAM", title=title)
    for at, series in enumerate(series_of(curves, "spmat_width_bits")):
        bits = [row["spmat_width_bits"] for row in series.rows]
        energies = np.array([_energy_of_reads(row) for row in series.rows])
        reads = np.array([row["spmat_reads"] for row in series.rows], dtype=np.float64)
        style = line_style(at)
        axes.plot(bits, energies / energies[0], label=f"energy{series.named}", **style)
        axes.plot(bits, reads / reads[0], color=style["color"], linestyle="--", linewidth=1)
    axes.plot([], [], color=INK, linestyle="--", linewidth=1, label="reads")
    axes.set_xscale("log", base=2)
    plain_ticks(axes.xaxis, [row["spmat_width_bits"] for row in curves])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    return finish(
        axes,
        title=title,
        xlabel="width of a row, bits",
        ylabel="over those of the narrowest",
        config_hash=hash_of(rows, config_hash),
    )


def _energy_of_reads(row: Row) -> float:
    """PJ of the reads alone, which Fig. 9 of Han et al. 2016 is of."""
    design = unit_named(row["unit"]).config(spmat_width_bits=row["spmat_width_bits"])
    return float(row["spmat_reads"] * EnergyTable.for_config(design).energy_pj["spmat_reads"])
