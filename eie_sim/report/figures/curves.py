"""Curves over an axis of a sweep: sparsity, queue depth, number of PEs; and of a sensitivity scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require_all, require_type, unknown
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.report.figures.rows import MANY, Series, as_rows, hash_of, of_pes, series_of
from eie_sim.report.figures.style import (
    DARK,
    GREY,
    INK,
    SMALL,
    UNFIT_NOTE,
    finish,
    line_style,
    named,
    nothing,
    on,
    plain_ticks,
    printable,
)
from eie_sim.study.table import Rows
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

BESIDE = (((6, 6), "left"), ((-6, -24), "right"), ((6, 30), "left"))
"""Where the words go beside crossings, in order, so that those at one place can be read; more are only marked."""

DASHES = ("--", "-.", (0, (7, 1.5, 1, 1.5, 1, 1.5)), (0, (2, 1)))
SHADES = (INK, GREY, DARK)
"""Of level lines, in order: together 12 kinds, of which no two look alike."""


BALANCED_OVER = {"queue_depth": ("queue depth", "queue depth, entries"), "n_pe": ("PEs", "PEs")}
"""Axes of `balance`: in titles, and at the axis."""


WORKING = ("weight_cycles", "padding_cycles", "empty_cycles")
"""Columns of the PE-cycles that are not lost."""


def sparsity(
    found: Any, axes: Axes | None = None, *, config_hash: str | None = None, title: str = "Cycles against sparsity"
) -> Axes:
    """Cycles against sparsity of the weights, the ideal beside them, and where other units are crossed.

    found : a Sweep, or its rows: of units with PEs a curve for each design and layer, of others a level line each.
        Where clocks differ, time is drawn in place of cycles. The ideal has every PE issue a weight in every cycle.
    """
    rows = as_rows(found)
    axes = on(axes)
    some = rows.take(np.flatnonzero(rows.numbers("cycles")))
    curves, lines = of_pes(some), some.take(np.flatnonzero(~some.having("n_pe")))
    if not curves:
        return nothing(axes, "no points of units with PEs", title=title)
    several = len(set(rows.values("clock_mhz"))) > 1
    quantity, name = ("time_us", "time, us") if several else ("cycles", "cycles")
    levels = _levels(axes, lines, quantity)
    crossings = []
    for at, series in enumerate(series_of(curves, "density", by="weight_density")):
        x, y = 100 * (1 - series.rows.numbers("weight_density")), series.rows.numbers(quantity)
        ideal = series.rows.numbers("effectual_macs") / series.rows.numbers("n_pe")
        ideal = ideal / series.rows.numbers("clock_mhz") if quantity == "time_us" else ideal
        style = line_style(at)
        _line(axes, x, y, series, style, f"{unit_named(series.rows[0]['unit']).title}{series.named}")
        _beside(axes, x, ideal, style, linestyle=":", linewidth=1.2)
        crossings += [(meets, *level) for level in levels for meets in _crossings(x, y, level[0])]
    axes.plot([], [], color=INK, linestyle=":", linewidth=1.2, label="ideal: effectual MACs / PEs")
    for at, (meets, level, line) in enumerate(crossings):
        axes.plot(meets, level, marker="o", markersize=8, fillstyle="none", color=INK)
        if len(crossings) <= len(BESIDE):
            place, side = BESIDE[at]
            words = f"as fast as {line}\nat {meets:.0f} %"
            axes.annotate(words, (meets, level), xytext=place, textcoords="offset points", ha=side, fontsize=SMALL)
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    return finish(
        axes,
        title=title,
        xlabel="sparsity of the weights, %",
        ylabel=f"{name} (all vectors)",
        config_hash=hash_of(rows, config_hash),
    )


def _levels(axes: Axes, rows: Rows, quantity: str) -> list[tuple[float, str]]:
    """Draw a level line for each kind of product of other units, one for those as fast; their values and names."""
    names: dict[float, list[str]] = {}
    for series in series_of(rows, "density", "pattern", "n_keep", "m_group", "chip"):
        for row in series.rows:
            unit = unit_named(row["unit"])
            told = " ".join(str(row[name]) for name in unit.words.texts) or unit.title
            names.setdefault(float(row[quantity]), []).append(named(told) + series.named)
    levels = [(level, "; ".join(dict.fromkeys(own))) for level, own in names.items()]
    for at, (level, name) in enumerate(levels):
        style: dict[str, Any] = {"color": SHADES[at % len(SHADES)], "linestyle": DASHES[at % len(DASHES)]}
        axes.axhline(level, linewidth=1.2, label=name, **style)
    return levels


def _crossings(x: Floats, y: Floats, level: float) -> list[float]:
    """Where a curve through points meets a level; straight in between on the log scale that it is drawn on."""
    above = np.log(y) - np.log(level)
    left = np.flatnonzero(above[:-1] * above[1:] < 0)
    share = above[left] / (above[left] - above[left + 1])
    return (x[left] + share * (x[left + 1] - x[left])).tolist()  # type: ignore[no-any-return]  # of an array of floats


def balance(
    found: Any,
    axes: Axes | None = None,
    *,
    by: str = "queue_depth",
    config_hash: str | None = None,
    title: str | None = None,
) -> Axes:
    """Load balance against queue depth or PEs: PE-cycles not lost to waiting, a curve for each layer and design.

    found : a Sweep, or its rows, of units with PEs. Solid: busy over busy and waiting PE-cycles, drain left out, as
        Figs 8 and 13 of Han et al. 2016 have it. Dashed: mean over max busy PE, which no queue changes.
    by : the axis, `queue_depth` or `n_pe`

    Raises InputError for another axis.
    """
    if by not in tuple(BALANCED_OVER):
        raise unknown("by", by, BALANCED_OVER)
    over, unit = BALANCED_OVER[by]
    title = f"Load balance against {over}" if title is None else title
    rows = as_rows(found)
    axes = on(axes)
    curves = of_pes(rows, *WORKING, "waiting_cycles", "load_balance")
    if not curves:
        return nothing(axes, "no points of units with PEs", title=title)
    for at, series in enumerate(series_of(curves, by)):
        x, style = series.rows.numbers(by), line_style(at)
        working = sum(series.rows.numbers(name) for name in WORKING)
        waiting = series.rows.numbers("waiting_cycles")
        _line(axes, x, 100 * _share(working, working + waiting), series, style, f"not waiting{series.named}")
        _beside(axes, x, 100 * series.rows.numbers("load_balance"), style, linestyle="--")
    axes.plot([], [], color=INK, linestyle="--", linewidth=1, label="mean over max busy PE")
    axes.set_xscale("log", base=2)
    plain_ticks(axes.xaxis, curves.values(by))
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.25)
    return finish(
        axes, title=title, xlabel=unit, ylabel="share of PE-cycles, %", config_hash=hash_of(rows, config_hash)
    )


def scaling(
    found: Any, axes: Axes | None = None, *, config_hash: str | None = None, title: str = "Scaling with PEs"
) -> Axes:
    """Speedup against the number of PEs beside the ideal, with padding and load balance on the second axis.

    found : a Sweep, or its rows, of units with PEs; a curve for each layer and other design. Speedup is of cycles over
        those of the fewest PEs; padding is of the entries issued.
    """
    rows = as_rows(found)
    axes = on(axes)
    curves = of_pes(rows, "weight_cycles", "padding_cycles", "load_balance")
    curves = curves.take(np.flatnonzero(curves.numbers("cycles")))
    if not curves:
        return nothing(axes, "no points of units with PEs", title=title)
    second = axes.twinx()
    for at, series in enumerate(series_of(curves, "n_pe")):
        x, cycles, style = series.rows.numbers("n_pe"), series.rows.numbers("cycles"), line_style(at)
        _line(axes, x, cycles[0] / cycles, series, style, f"speedup{series.named}")
        axes.plot(x, x / x[0], color=GREY, linestyle=":", linewidth=1)
        weight, padding = series.rows.numbers("weight_cycles"), series.rows.numbers("padding_cycles")
        _beside(second, x, 100 * _share(padding, padding + weight), style, linestyle="-.")
        _beside(second, x, 100 * series.rows.numbers("load_balance"), style, linestyle="--")
    for linestyle, label in ((":", "ideal"), ("--", "load balance"), ("-.", "padding")):
        axes.plot([], [], color=INK, linestyle=linestyle, linewidth=1, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    plain_ticks(axes.xaxis, curves.values("n_pe"))
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    _second(second, "load balance; padding of entries issued, %", (0, 102))
    fewest = min(curves.values("n_pe"))
    return finish(
        axes,
        title=title,
        xlabel="PEs",
        ylabel=f"speedup over {fewest} PE{'' if fewest == 1 else 's'}",
        config_hash=hash_of(rows, config_hash),
    )


def sensitivity(
    points: Sequence[Sensitivity],
    axes: Axes | None = None,
    *,
    quality: str = "accuracy",
    cost: str = "cycles per vector",
    config_hash: str = "",
) -> Axes:
    """Quality of the network as one layer at a time is pruned, and what the layer then costs on the second axis.

    points : what `es.prune.scan_network` returns; quality, cost : what it measured, with the unit of the cost
    """
    title = "Sensitivity to pruning, one layer at a time"
    require_type("points", points, list, tuple)
    require_all("points", points, Sensitivity)
    axes = on(axes)
    if not points:
        return nothing(axes, "no points", title=title)
    second, cost = axes.twinx(), named(cost)
    scale = 100 if quality == "accuracy" else 1
    for at, layer in enumerate(dict.fromkeys(point.layer for point in points)):
        own = sorted((point for point in points if point.layer == layer), key=lambda point: point.achieved)
        x, style = [100 * (1 - point.achieved) for point in own], line_style(at)
        axes.plot(x, [scale * point.quality for point in own], label=named(layer), **style)
        second.plot(x, [point.cost for point in own], color=style["color"], linestyle="--", linewidth=1)
    axes.plot([], [], color=INK, linestyle="--", linewidth=1, label=printable(f"{cost} of the layer"))
    axes.grid(alpha=0.25)
    _second(second, f"{cost} of the layer", (0, None))
    return finish(
        axes,
        title=title,
        xlabel="sparsity of the layer, %",
        ylabel=f"{quality} of the network{', %' if scale == 100 else ''}",
        config_hash=config_hash,
    )


def _second(axes: Axes, label: str, limits: tuple[float, float | None]) -> None:
    """The second axis: its label, and no frame of its own."""
    axes.set_ylabel(printable(label), fontsize=9, parse_math=False)
    axes.set_ylim(*limits)
    axes.tick_params(labelsize=8, colors=INK)
    axes.spines["top"].set_visible(False)


def _line(axes: Axes, x: Floats, y: Floats, series: Series, style: dict[str, Any], label: str) -> None:
    """A curve; points that do not fit the memories are hollow, and the legend says so once."""
    axes.plot(x, y, label=label, rasterized=len(x) > MANY, **style)
    unfit = ~series.rows.where("fits", bool)
    if unfit.any():
        noted = UNFIT_NOTE in axes.get_legend_handles_labels()[1]
        hollow = {**style, "markerfacecolor": "white", "linestyle": "none"}
        axes.plot(x[unfit], y[unfit], label=None if noted else UNFIT_NOTE, rasterized=len(x) > MANY, **hollow)


def _beside(axes: Axes, x: Floats, y: Floats, style: dict[str, Any], *, linestyle: str, linewidth: float = 1) -> None:
    """A thin line in the colour of a curve."""
    axes.plot(x, y, color=style["color"], linestyle=linestyle, linewidth=linewidth, rasterized=len(x) > MANY)


def _share(part: Floats | float, whole: Floats | float) -> Floats:
    """Share of a part in the whole, 0 where there is nothing."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
