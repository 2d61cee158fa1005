"""Curves over an axis of a sweep: sparsity, queue depth, number of PEs; and of a sensitivity scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require_all, require_one_of, require_type, unknown
from eie_sim.prune.accuracy_table import AccuracyRecord
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.report.figures.rows import MANY, Series, as_rows, hash_of, held_fixed, of_pes, series_of
from eie_sim.report.figures.style import (
    GREY,
    INK,
    SMALL,
    UNFIT_NOTE,
    finish,
    line_styles,
    named,
    nothing,
    on,
    plain_ticks,
    printable,
)
from eie_sim.study.showing import varying
from eie_sim.study.table import Rows
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

BESIDE = (((6, 6), "left"), ((-6, -24), "right"), ((6, 30), "left"))
"""Offsets of the words beside crossings, in order, so that several at one place can be read; more are only marked."""

DASHES = ("--", "-.", (0, (7, 1.5, 1, 1.5, 1, 1.5)), (0, (2, 1)))
"""Level lines, in order; each has a colour of its own besides."""

BALANCED_OVER = {"queue_depth": ("queue depth", "queue depth, entries"), "n_pe": ("PEs", "PEs")}
"""Axes of `balance`: in titles, and at the axis."""


KINDS = {"solid": "-", "dashed": "--"}
MARKS = {"circles": "o", "squares": "s"}
"""Lines of the schedules and marks of the penalties of recipes, in order."""


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
    each, levels = series_of(curves, "density", by="weight_density"), _levels(lines, quantity)
    styles = line_styles(len(each) + len(levels))
    crossings = []
    for series, style in zip(each, styles, strict=False):
        x, y = 100 * (1 - series.rows.numbers("weight_density")), series.rows.numbers(quantity)
        ideal = series.rows.numbers("effectual_macs") / series.rows.numbers("n_pe")
        ideal = ideal / series.rows.numbers("clock_mhz") if quantity == "time_us" else ideal
        _line(axes, x, y, series, style, f"{unit_named(series.rows[0]['unit']).title}{series.named}")
        _beside(axes, x, ideal, style, linestyle=":", linewidth=1.2)
        crossings += [(meets, *level) for level in levels for meets in _crossings(x, y, level[0])]
    for at, (level, line) in enumerate(levels):
        colour, dashes = styles[len(each) + at]["color"], DASHES[at % len(DASHES)]
        axes.axhline(level, color=colour, linestyle=dashes, linewidth=1.2, label=line)
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
        notes=_notes(curves, "dotted: ideal, effectual MACs / PEs"),
    )


def _levels(rows: Rows, quantity: str) -> list[tuple[float, str]]:
    """A level and a name for each kind of product of other units; one level for those that are as fast."""
    names: dict[float, list[str]] = {}
    chips = [rows.take(own) for own in rows.groups(["chip"])]
    of_chips = [name for name in varying(rows) if all(len(own.distinct(name)[0]) < 2 for own in chips)]
    for series in series_of(rows, "density", "pattern", "n_keep", "m_group", "chip", *of_chips):
        for row in series.rows:
            unit = unit_named(row["unit"])
            told = " ".join(str(row[name]) for name in unit.words.texts) or unit.title
            names.setdefault(float(row[quantity]), []).append(named(told) + series.named)
    return [(level, "; ".join(dict.fromkeys(own))) for level, own in names.items()]


def _crossings(x: Floats, y: Floats, level: float) -> list[float]:
    """Return where a curve through points meets a level; it is straight between them on the log scale of the figure."""
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
    each = series_of(curves, by)
    for series, style in zip(each, line_styles(len(each)), strict=True):
        x = series.rows.numbers(by)
        working = sum(series.rows.numbers(name) for name in WORKING)
        waiting = series.rows.numbers("waiting_cycles")
        _line(axes, x, 100 * _share(working, working + waiting), series, style, series.named[2:] or "not waiting")
        _beside(axes, x, 100 * series.rows.numbers("load_balance"), style, linestyle="--")
    axes.set_xscale("log", base=2)
    plain_ticks(axes.xaxis, curves.values(by))
    axes.set_ylim(max(0.0, axes.dataLim.y0 - 10), 102)
    axes.grid(alpha=0.25)
    return finish(
        axes,
        title=title,
        xlabel=unit,
        ylabel="not waiting; load balance, %",
        config_hash=hash_of(rows, config_hash),
        notes=_notes(curves, "solid: PE-cycles not lost to waiting; dashed: load balance"),
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
    each = series_of(curves, "n_pe")
    for series, style in zip(each, line_styles(len(each)), strict=True):
        x, cycles = series.rows.numbers("n_pe"), series.rows.numbers("cycles")
        _line(axes, x, cycles[0] / cycles, series, style, series.named[2:] or "speedup")
        axes.plot(x, x / x[0], color=GREY, linestyle=":", linewidth=1)
        weight, padding = series.rows.numbers("weight_cycles"), series.rows.numbers("padding_cycles")
        _beside(second, x, 100 * _share(padding, padding + weight), style, linestyle="-.")
        _beside(second, x, 100 * series.rows.numbers("load_balance"), style, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    plain_ticks(axes.xaxis, curves.values("n_pe"))
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    _second(second, "load balance; padding, %", (0, 102))
    fewest = min(curves.values("n_pe"))
    return finish(
        axes,
        title=title,
        xlabel="PEs",
        ylabel=f"speedup over {fewest} PE{'' if fewest == 1 else 's'}",
        config_hash=hash_of(rows, config_hash),
        notes=_notes(curves, "solid: speedup; dotted: ideal; dashed: load balance; dash-dotted: padding of entries"),
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
    layers = list(dict.fromkeys(point.layer for point in points))
    for layer, style in zip(layers, line_styles(len(layers)), strict=True):
        own = sorted((point for point in points if point.layer == layer), key=lambda point: point.achieved)
        x = [100 * (1 - point.achieved) for point in own]
        axes.plot(x, [scale * point.quality for point in own], label=named(layer), **style)
        second.plot(x, [point.cost for point in own], color=style["color"], linestyle="--", linewidth=1)
    axes.grid(alpha=0.25)
    _second(second, f"{cost} of the layer", (0, None))
    return finish(
        axes,
        title=title,
        xlabel="sparsity of the layer, %",
        ylabel=f"{quality} of the network{', %' if scale == 100 else ''}",
        config_hash=config_hash,
        notes=[f"solid: {named(quality)} of the network; dashed: {cost} of the layer; other layers unpruned"],
    )


def accuracy(
    records: Sequence[AccuracyRecord], axes: Axes | None = None, *, against: str = "density", config_hash: str = ""
) -> Axes:
    """Accuracy of pruned and trained networks: a colour for each pattern, a line for each recipe.

    records : what `es.prune.accuracy_table` returns
    against : density, or cycles, which the records then need as their cost

    Raises InputError for another axis.
    """
    title = f"Accuracy against {against}"
    require_one_of("against", against, ("density", "cycles"))
    require_type("records", records, list, tuple)
    require_all("records", records, AccuracyRecord)
    axes = on(axes)
    shown = [one for one in records if against == "density" or one.cost is not None]
    if not shown:
        return nothing(axes, "no pruned networks", title=title)
    recipes: dict[tuple[str, str, str], list[AccuracyRecord]] = {}
    for one in shown:
        recipes.setdefault((one.pattern, one.schedule, one.regulariser), []).append(one)
    patterns, schedules, penalties = (list(dict.fromkeys(names)) for names in zip(*recipes, strict=True))
    styles = dict(zip(patterns, line_styles(len(patterns)), strict=True))
    for pattern, style in styles.items():
        axes.plot([], [], color=style["color"], linewidth=2.5, label=named(pattern))
    dashes, markers = dict(zip(schedules, KINDS, strict=False)), dict(zip(penalties, MARKS, strict=False))
    for (pattern, schedule, penalty), own in sorted(
        recipes.items(), key=lambda one: -len(one[1])
    ):  # single ones on top
        own.sort(key=lambda one: one.density)
        x = np.array([100 * one.density if against == "density" else one.cost for one in own], np.float64)
        kind = {"linestyle": KINDS[dashes[schedule]], "marker": MARKS[markers[penalty]], "linewidth": 1.2}
        axes.plot(x, [100 * one.accuracy for one in own], **styles[pattern] | kind)
    axes.grid(alpha=0.25)
    kinds = [f"{word}: {name}" for name, word in (*dashes.items(), *markers.items())]
    return finish(
        axes,
        title=title,
        xlabel="density of the weights, %" if against == "density" else "cycles per vector",
        ylabel="accuracy after training, %",
        config_hash=config_hash,
        notes=["; ".join(kinds)],
    )


def _second(axes: Axes, label: str, limits: tuple[float, float | None]) -> None:
    """The second axis: its label, and no frame of its own."""
    axes.set_ylabel(printable(label), fontsize=9, parse_math=False)
    axes.set_ylim(*limits)
    axes.tick_params(labelsize=SMALL, colors=INK)
    axes.spines["top"].set_visible(False)


def _line(axes: Axes, x: Floats, y: Floats, series: Series, style: dict[str, Any], label: str) -> None:
    """A curve; points that do not fit the memories are hollow."""
    axes.plot(x, y, label=label, rasterized=len(x) > MANY, **style)
    unfit = ~series.rows.where("fits", bool)
    if unfit.any():
        hollow = {**style, "markerfacecolor": "white", "linestyle": "none"}
        axes.plot(x[unfit], y[unfit], label=f"_{UNFIT_NOTE}", rasterized=len(x) > MANY, **hollow)


def _notes(rows: Rows, kinds: str) -> list[str]:
    """Return the meaning of lines and marks, and what is held fixed."""
    return [kinds if rows.where("fits", bool).all() else f"{kinds}; {UNFIT_NOTE}", held_fixed(rows)]


def _beside(axes: Axes, x: Floats, y: Floats, style: dict[str, Any], *, linestyle: str, linewidth: float = 1) -> None:
    """A thin line in the colour of a curve."""
    axes.plot(x, y, color=style["color"], linestyle=linestyle, linewidth=linewidth, rasterized=len(x) > MANY)


def _share(part: Floats | float, whole: Floats | float) -> Floats:
    """Share of a part in the whole, 0 where there is nothing."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
