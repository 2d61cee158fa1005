"""Trade-offs: Pareto fronts with their knee, and rooflines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import InputError, require_type
from eie_sim.core.result import SimResult
from eie_sim.report.figures.rows import MANY, as_rows, hash_of, held_fixed, words_for
from eie_sim.report.figures.style import (
    BLUE,
    INK,
    PALE,
    RED,
    SMALL,
    UNFIT_NOTE,
    finish,
    joint_hash,
    line_styles,
    named,
    nothing,
    on,
    plain_ticks,
    wrapped,
)
from eie_sim.study import Sweep, table
from eie_sim.study import front as front_of
from eie_sim.study import knee as knee_of
from eie_sim.study.pareto import OBJECTIVES, Front, require_objectives
from eie_sim.study.showing import SHARES, varying
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 2
"""Times that a roofline goes on to either side of its points and of the roof's edge."""

WRAPPED = 34
"""Characters of a line of the knee's name."""


def pareto(
    found: Any,
    objectives: Sequence[str] = ("cycles", "energy_nj"),
    axes: Axes | None = None,
    *,
    config_hash: str | None = None,
    unfit: bool = False,
) -> Axes:
    """All points in two objectives, the front of those that no other beats, and its knee by name.

    found : a Sweep, its rows, or a Front, which brings its own objectives; the third is drawn as a colour
    unfit : let designs whose memories do not hold the layer onto the front; else they are drawn hollow, and left out
    """
    if isinstance(found, Front):
        objectives = found.objectives
    names = require_objectives(list(objectives))
    rows = as_rows(found.rows if isinstance(found, Front | Sweep) else found)
    there = ~np.isnan(np.stack([rows.numbers(name) for name in names])).any(axis=0)
    rows = rows.take(np.flatnonzero(there))
    title = "Pareto front" if len(names) == 2 else f"Pareto front of {', '.join(map(_words, names))}"
    axes = on(axes)
    best = front_of(rows, names, all_rows=unfit).rows
    if not best:
        return nothing(axes, "no points" if not rows else "no point fits the memories", title=title)
    x, y = names[:2]
    fits, xs, ys = rows.where("fits", bool), _values(rows, x), _values(rows, y)
    pixels: dict[str, Any] = {"s": 12, "rasterized": len(rows) > MANY}
    axes.scatter(xs[fits], ys[fits], color=PALE, label=f"points: {fits.sum():,}", **pixels)
    axes.scatter(xs[~fits], ys[~fits], facecolors="none", edgecolors=PALE, label=f"_{UNFIT_NOTE}", **pixels)
    best_x, best_y = _values(best, x), _values(best, y)
    over: dict[str, Any] = {"zorder": 4}  # the knee's words, which hide no point of the front
    over |= {"label": f"not beaten: {len(best):,}", "rasterized": len(best) > MANY}
    if len(names) == 2:
        order = np.argsort(best_x, kind="stable")
        axes.plot(best_x[order], best_y[order], marker="o", markersize=4.5, color=BLUE, **over)
    else:
        third = _values(best, names[2])
        scale = "log" if _wide(names[2], third) else "linear"
        shown = axes.scatter(best_x, best_y, c=third, s=26, cmap="viridis", norm=scale, **over)
        bar = axes.figure.colorbar(shown, ax=axes, pad=0.02)
        bar.set_label(_label(names[2]), fontsize=9)
        bar.ax.tick_params(labelsize=SMALL)
        plain_ticks(bar.ax.yaxis)
    knee = knee_of(best, names)
    at = float(_values([knee], x)[0]), float(_values([knee], y)[0])
    axes.plot(*at, marker="*", markersize=13, color=RED, linestyle="none", label="knee")
    aside = (9, -16 if OBJECTIVES[y].maximise else 9)  # where the front does not go on
    words = "\n".join(wrapped(words_for(knee, varying(rows)), WRAPPED)) or "knee"
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    axes.annotate(words, at, xytext=aside, textcoords="offset points", fontsize=SMALL, color=RED, bbox=box)
    for axis, set_scale, name, values in ((axes.xaxis, axes.set_xscale, x, xs), (axes.yaxis, axes.set_yscale, y, ys)):
        if _wide(name, values):
            set_scale("log")
        plain_ticks(axis)
    axes.grid(alpha=0.25)
    beyond = f"not drawn: {'; '.join(map(_label, names[3:]))}" if names[3:] else ""
    return finish(
        axes,
        title=title,
        xlabel=_label(x),
        ylabel=_label(y),
        config_hash=hash_of(rows, config_hash),
        notes=["" if fits.all() else UNFIT_NOTE, beyond, held_fixed(rows)],
    )


def _wide(name: str, values: NDArray[np.float64]) -> bool:
    """True if a log scale shows more of the values of an objective."""
    return name not in SHARES and values.min() > 0 and bool(values.max() > 3 * values.min())


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return (100 if name in SHARES else 1) * table.as_rows(rows, (name,)).numbers(name)


def _words(name: str) -> str:
    return name.removesuffix("_nj").removesuffix("_us").removesuffix("_mm2").replace("_", " ")


def _label(name: str) -> str:
    words = _words(name)
    unit = "%" if name in SHARES else OBJECTIVES[name].unit
    return words if unit == words else f"{words}, {unit}"


class Roof(NamedTuple):
    """The peak of a design, and the rate that a layer reached on it."""

    peak_gops: float  # every MAC unit in every cycle, dense
    bytes_per_us: float  # of `memory`
    memory: str  # that the weights come from
    ops_per_byte: float  # 2 x effectual MACs over the bytes read from it
    gops: float  # of effectual MACs
    dense_gops: float  # of dense MACs
    dense_peak_gops: float  # of dense MACs, reachable
    config_hash: str


def roofline(results: Mapping[str, Any], axes: Axes | None = None, *, config_hash: str | None = None) -> Axes:
    """Operations against intensity under the roofs of a design: the dense one, and the effective one of skipped zeros.

    results : by name, each a SimResult or its to_dict(), all of one design. Filled: 2 x effectual MACs over time, below
        the roof of the MAC units. Hollow: 2 x dense MACs over time, below the effective ceiling, the roof times dense
        over effectual MACs. Bytes are those read from the memory that the weights come from, as the unit's `roof` says.
    config_hash : where it is left out, that of the results
    """
    title = "Roofline"
    require_type("results", results, Mapping)
    roofs = {name: _roof(name, result) for name, result in results.items()}
    designs = {(roof.peak_gops, roof.bytes_per_us, roof.memory) for roof in roofs.values()}
    if len(designs) > 1:
        raise InputError("results: must be of one design; peak or bandwidth differ")
    roofs = {name: roof for name, roof in roofs.items() if roof.gops > 0 and roof.ops_per_byte > 0}
    axes = on(axes)
    if not roofs:
        return nothing(axes, "no operations", title=title)
    peak, bandwidth, memory = designs.pop()
    intensities = [roof.ops_per_byte for roof in roofs.values()] + [peak / bandwidth * 1e3]
    x = np.geomspace(min(intensities) / MARGIN, max(intensities) * MARGIN, 200)
    axes.plot(
        x,
        np.minimum(peak, x * bandwidth / 1e3),
        color=INK,
        label=f"dense: {peak:,.1f} GOP/s, {memory} {bandwidth / 1e3:,.1f} GB/s",
    )
    for (name, roof), style in zip(roofs.items(), line_styles(len(roofs)), strict=True):
        style["linestyle"] = "none"
        words = f"{named(name)}: {roof.gops:,.3g}, hollow {roof.dense_gops:,.3g}"
        axes.plot(roof.ops_per_byte, roof.gops, label=words, **style | {"markersize": 6})
        hollow = {"markersize": 9, "markerfacecolor": "none"}  # around the other, where no zero is skipped
        axes.plot(roof.ops_per_byte, roof.dense_gops, **style | hollow)
        ceiling = np.minimum(roof.dense_peak_gops, x * bandwidth / 1e3 * roof.dense_peak_gops / peak)
        axes.plot(x, ceiling, color=style["color"], linestyle="--", linewidth=0.9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.grid(alpha=0.25)
    if config_hash is None:
        config_hash = joint_hash([roof.config_hash for roof in roofs.values() if roof.config_hash])
    return finish(
        axes,
        title=title,
        xlabel=f"effectual operations per byte of {memory}",
        ylabel="GOP/s (1 MAC = 2 operations)",
        config_hash=config_hash,
        notes=[
            "Filled marks count effectual MACs and stay below the black roof.",
            "Hollow marks count dense MACs in the same time, as if no zero were skipped, and stay below the dashed "
            "line of their colour.",
        ],
    )


def _roof(name: str, result: Any) -> Roof:
    given = result.to_dict() if isinstance(result, SimResult) else result
    require_type(f"results[{name}]", given, Mapping)
    try:
        peak, bandwidth, memory, read = unit_named(given["unit"]).roof(given["config"], given["stats"]["events"])
        effectual, dense = given["effectual_macs"], given["dense_macs"]
        return Roof(
            peak_gops=peak,
            bytes_per_us=bandwidth,
            memory=memory,
            ops_per_byte=2 * effectual / read if read else 0.0,
            gops=given["effective_gops"],
            dense_gops=given["dense_equivalent_gops"],
            dense_peak_gops=peak * dense / effectual if effectual else 0.0,
            config_hash=str(given.get("config_hash", "")),
        )
    except KeyError as error:
        raise InputError(f"results[{name}]: must be a result, {error.args[0]} is missing") from None
