"""Weights: which PE owns which, and how large they are before and after pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_floats, require, require_int
from eie_sim.report.figures.style import (
    BLUE,
    FAINT,
    GREY,
    SMALL,
    colours,
    finish,
    ink_on,
    nothing,
    on,
    plain_ticks,
    short,
)
from eie_sim.units import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WRITTEN = 16
"""Most rows and columns whose values are written into their cells."""

LARGEST_WEIGHT = 1e300
"""The range of some stays finite."""

BINS = 81
"""Bins of a histogram; odd, so that zero is in the middle of one."""


def spy(matrix: Any, axes: Axes | None = None, *, window: int = 128, config_hash: str = "") -> Axes:
    """The weights that are kept, each in the colour of the PE that owns it.

    matrix : of a unit whose PEs own rows of the weights
    window : most rows and columns shown, from the first on; small matrices have their values written into the cells
    """
    unit = unit_of(matrix, "matrix")
    if unit.placed is None:
        raise InputError(f"matrix={type(matrix).__name__}: must be of another unit, PEs of {unit.title} own no rows")
    require_int("window", window, 1, 2048)
    n_out, n_in = (min(side, window) for side in matrix.shape)
    title = f"Weights by owning PE, {matrix.n_pe} PEs"
    if (n_out, n_in) != matrix.shape:
        title += f"; the first {n_out} x {n_in} of {matrix.n_out:,} x {matrix.n_in:,}"
    axes = on(axes)
    placed = unit.placed(matrix, n_out, n_in)
    if not placed.kept.any():
        return nothing(axes, "no weights", title=title)
    inks = colours(int(placed.owner.max()) + 1)
    painted = _painted(np.where(placed.kept, placed.owner, -1), inks)
    few = max(placed.kept.shape) <= WRITTEN
    axes.imshow(painted, interpolation="nearest", aspect="equal" if few else "auto")
    ylabel = "row (output)" if few else f"row (output), {placed.rule}"
    if few:
        for row, column in np.argwhere(placed.kept):
            value, ink = placed.values[row, column], ink_on(inks[placed.owner[row, column]])
            axes.text(column, row, short(float(value)), ha="center", va="center", fontsize=SMALL, color=ink)
        axes.set_xticks(range(n_in))
        axes.set_yticks(range(n_out), [f"{row}  PE {placed.owner[row, 0]}" for row in range(n_out)])
    kept = matrix.density
    return finish(
        axes, title=f"{title}; {100 * kept:.1f} % kept", xlabel="column (input)", ylabel=ylabel, config_hash=config_hash
    )


def _painted(owner: NDArray[np.int64], inks: list[str]) -> NDArray[np.float64]:
    from matplotlib.colors import to_rgb

    return np.array([to_rgb(colour) for colour in [*inks, "white"]])[owner]


def weights(before: ArrayLike, after: ArrayLike, axes: Axes | None = None, *, config_hash: str = "") -> Axes:
    """Histogram of the weights before and after: pruned ones are zero and counted in words, not drawn.

    before, after : real arrays of one shape, dense and pruned, or dense and the values of a compressed matrix
    """
    title = "Weights before and after"
    first = as_floats("before", before, below=LARGEST_WEIGHT)
    second = as_floats("after", after, below=LARGEST_WEIGHT)
    require(
        first.shape == second.shape, "after", f"shape {second.shape}", f"must have the shape of before, {first.shape}"
    )
    axes = on(axes)
    kept = second[second != 0]
    largest = max(float(np.abs(values).max(initial=0.0)) for values in (first, second))
    if largest == 0:
        return nothing(axes, "no weights", title=title)
    edges = np.linspace(-largest, largest, BINS + 1)
    counts, _ = np.histogram(first, edges)
    axes.stairs(counts, edges, fill=True, color=FAINT, label=f"before: {first.size:,} weights")
    axes.stairs(counts, edges, color=GREY, linewidth=0.8)
    share = 100 * kept.size / second.size
    after_counts, _ = np.histogram(kept, edges)
    distinct = len(np.unique(kept))
    words = f"after: {kept.size:,} not zero, {share:.1f} %, {distinct:,} different value{'' if distinct == 1 else 's'}"
    axes.stairs(after_counts, edges, fill=True, color=BLUE, alpha=0.8, label=words)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)
    plain_ticks(axes.yaxis)
    return finish(axes, title=title, xlabel="weight", ylabel="weights in a bin", config_hash=config_hash)
