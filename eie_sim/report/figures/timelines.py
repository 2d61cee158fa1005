"""Figures of a timeline: how busy each PE is over time, and how full the queues are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.activity import Activity
from eie_sim.core.errors import require, require_int, require_type
from eie_sim.report.figures.style import BLUE, INK, RED, SKY, SMALL, finish, named, nothing, on

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 400
"""Most bins along the time axis, where no other number is asked for."""

MAX_BINS = 10_000


def occupancy(activity: Activity, axes: Axes | None = None, *, bins: int = BINS) -> Axes:
    """Heat map of PEs over time: the share of each bin's cycles in which a PE issues entries.

    activity : what `es.activity` returns
    """
    edges = _edges(activity, bins)
    title = f"Occupancy of {activity.n_pe} PEs"
    axes = on(axes)
    if activity.cycles == 0:
        return nothing(axes, "no cycles", title=title)
    shares = 100 * activity.busy(edges)
    mean = _over_time(shares.mean(axis=0), edges)
    extent = (0.5, activity.cycles + 0.5, activity.n_pe - 0.5, -0.5)
    image = axes.imshow(shares, aspect="auto", interpolation="nearest", extent=extent, cmap="cividis", vmin=0, vmax=100)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("cycles issuing entries, %", fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)
    if activity.n_pe <= 16:
        axes.set_yticks(range(activity.n_pe))
    return finish(
        axes,
        title=f"{title}: {named(activity.label)}, mean {mean:.1f} %",
        xlabel="cycle",
        ylabel="PE",
        config_hash=activity.config_hash,
    )


def queues(activity: Any, axes: Axes | None = None, *, bins: int = BINS) -> Axes:
    """Items in the activation queues over time, mean and range over the PEs, and the share of queues that are full.

    activity : what `es.activity` returns, of a unit that has queues
    """
    from matplotlib.ticker import MaxNLocator

    edges = _edges(activity, bins)
    require(hasattr(activity, "queue_depth"), "activity", activity.label, "must be of a unit that has queues")
    title = "Activation queues"
    axes = on(axes)
    if activity.cycles == 0:
        return nothing(axes, "no cycles", title=title)
    queued, full = activity.queued(edges), 100 * activity.full(edges).mean(axis=0)
    ends = edges - 0.5
    second = axes.twinx()
    second.stairs(full, ends, fill=True, color=RED, alpha=0.12)
    second.stairs(full, ends, color=RED, linewidth=1)
    second.set_ylabel("full queues, % of PEs", fontsize=9, color=RED)
    second.set_ylim(0, 102)
    second.tick_params(labelsize=SMALL)
    second.spines["top"].set_visible(False)
    axes.set_zorder(second.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.stairs(
        queued.max(axis=0),
        ends,
        baseline=queued.min(axis=0),
        fill=True,
        color=SKY,
        alpha=0.35,
        label="fewest to most of any PE",
    )
    axes.stairs(queued.mean(axis=0), ends, color=BLUE, linewidth=1.4, label="mean of all PEs")
    axes.stairs([], [0], color=RED, linewidth=1, label=f"full queues, {_over_time(full, edges):.1f} % over all")
    axes.axhline(activity.queue_depth, color=INK, linestyle=":", linewidth=1, label="queue depth")
    axes.set_ylim(0, 1.08 * activity.queue_depth)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, activity.cycles + 0.5)
    return finish(
        axes,
        title=f"{title}: {named(activity.label)}",
        xlabel="cycle",
        ylabel=f"items in a queue of {activity.queue_depth}",
        config_hash=activity.config_hash,
    )


def _over_time(values: NDArray[np.float64], edges: NDArray[np.int64]) -> float:
    """Mean over time of what is given by bin."""
    return float(values @ np.diff(edges) / (edges[-1] - edges[0]))


def _edges(activity: Activity, bins: int) -> NDArray[np.int64]:
    """Cycles in which bins begin, int64[n_bin + 1]."""
    require_type("activity", activity, Activity)
    require_int("bins", bins, 1, MAX_BINS)
    return activity.bins(bins)
