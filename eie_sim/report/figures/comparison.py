"""A chip and the units beside it over the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import any_of, require, require_all, require_type
from eie_sim.report.figures.style import finish, named, nothing, on, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREYS, SHADES = "Greys", ("Blues", "Oranges", "Greens", "Purples")
"""Scales of colours: of dense rows, and of a unit's candidates, units in the order in which they come."""
MARKERS = ("o", "^", "D", "v")
PLACES = {"time_us": "weights in SRAM", "time_us_dram": "weights from DRAM"}


def batches(
    rows: Sequence[Mapping[str, Any]], axes: Axes | None = None, *, key: str = "time_us", config_hash: str = ""
) -> Axes:
    """Time per vector over the batch, a line per candidate: dense grey, each unit a colour; the sparser the darker.

    Where designs were listed, each has a colour, with its dense row.

    rows : to_dict() of the rows that `es.compare` returns, or the rows of `eie-sim compare --json`
    key : time_us (weights in SRAM) or time_us_dram
    """
    from matplotlib import colormaps

    require_type("rows", rows, list, tuple)
    require_all("rows", rows, dict)
    require(key in PLACES, "key", key, f"must be {any_of(PLACES)}")
    axes = on(axes)
    if not rows:
        return nothing(axes, "no candidates", title=PLACES[key])
    names: dict[str, list[str]] = {}
    for row in rows:
        own_names = names.setdefault(row.get("on", row["unit"]), [])
        own_names += [] if row["name"] in own_names else [row["name"]]
    units = [unit for unit in names if unit != "dense"]
    for unit, name in ((unit, name) for unit, each in names.items() for name in each):
        own = [row for row in rows if row["name"] == name and row.get("on", row["unit"]) == unit]
        at = 0 if unit == "dense" else units.index(unit) % len(SHADES)
        scale, marker = (GREYS, "s") if unit == "dense" else (SHADES[at], MARKERS[at])
        shade = colormaps[scale](0.4 + 0.5 * (names[unit].index(name) + 1) / len(names[unit]))
        times = [row[key] / row["batch"] for row in own]
        axes.plot(
            [row["batch"] for row in own],
            times,
            marker=marker,
            color=shade,
            label=named(name),
            linewidth=1.5,
            markersize=5,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis, [row["batch"] for row in rows])
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    return finish(
        axes, title=PLACES[key], xlabel="batch, vectors", ylabel="time per vector, us", config_hash=config_hash
    )
