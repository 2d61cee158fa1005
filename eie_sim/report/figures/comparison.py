"""A chip and the units beside it over the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import any_of, require, require_all, require_type
from eie_sim.report.figures.style import finish, named, nothing, on, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DENSE = ("#8c8c8c",)
SHADES = (
    ("#9ecae1", "#4292c6", "#08519c"),
    ("#fdae6b", "#f16913", "#a63603"),
    ("#a1d99b", "#41ab5d", "#006d2c"),
    ("#bcbddc", "#807dba", "#54278f"),
)
"""Of a unit's candidates, units in the order in which they come: blue, orange, green, purple."""
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
    require_type("rows", rows, list, tuple)
    require_all("rows", rows, dict)
    require(key in PLACES, "key", key, f"must be {any_of(PLACES)}")
    axes = on(axes)
    if not rows:
        return nothing(axes, "no candidates", title=PLACES[key])
    seen: dict[str, int] = {}
    units = [unit for unit in dict.fromkeys(row.get("on", row["unit"]) for row in rows) if unit != "dense"]
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        unit = own[0].get("on", own[0]["unit"])
        at = 0 if unit == "dense" else units.index(unit) % len(SHADES)
        shades, marker = (DENSE, "s") if unit == "dense" else (SHADES[at], MARKERS[at])
        shade = shades[min(seen.get(unit, 0), len(shades) - 1)]
        seen[unit] = seen.get(unit, 0) + 1
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
