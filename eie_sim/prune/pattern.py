"""Patterns: what may be pruned together. A pattern turns scores into a mask.

Two kinds. A `Grouped` pattern (element, block, kernel, filter, channel, neuron, input) keeps or drops groups of weights
whole: it gives scores of groups, and expands the groups kept to a mask, so any of them can be chosen within a layer or
across layers. A `Quota` pattern (nm, per_row, balanced) keeps so many weights in every segment.

Weights are (out, in), or (out, in, kh, kw) of a convolution. Order is (score, index), stable, everywhere: of equal
scores the lower index is pruned first. Counts are exact (see `counts`). A pattern of your own is one function that
returns one of the two kinds with a layout, from a weight array's shape to the axes that lie within a group.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require, require_int, require_one_of
from eie_sim.prune.counts import Counts, keep_count, require_survivors, share
from eie_sim.prune.kinds import Grouped, Pattern, Quota
from eie_sim.prune.layout import Layout, Shape, whole
from eie_sim.prune.order import CountOfRow, Rows, kth_largest, top

__all__ = [
    "Grouped",
    "Pattern",
    "Quota",
    "balanced",
    "block",
    "channel",
    "check_nm",
    "element",
    "filter",
    "input",
    "is_nm",
    "kernel",
    "neuron",
    "nm",
    "per_row",
]


def element() -> Grouped:
    """Every weight on its own, of an array of any shape."""
    return Grouped("element", _elements)


def block(rows: int, cols: int, *, reduce: str = "sum") -> Grouped:
    """Blocks of rows x cols of (out, in). Raises InputError, when used, where the blocks leave a ragged edge."""
    require_int("rows", rows, 1)
    require_int("cols", cols, 1)
    return Grouped(f"block({rows}, {cols})", partial(_blocks, rows=int(rows), cols=int(cols)), reduce)


def neuron(*, reduce: str = "sum") -> Grouped:
    """Rows of (out, in): an output neuron with all its weights."""
    return Grouped("neuron", partial(_axes_inside, name="neuron", n_dim=2, members=(1,)), reduce)


def input(*, reduce: str = "sum") -> Grouped:
    """Columns of (out, in): all that reads one input."""
    return Grouped("input", partial(_axes_inside, name="input", n_dim=2, members=(0,)), reduce)


def kernel(*, reduce: str = "sum") -> Grouped:
    """The kh x kw weights between one input and one output channel of (out, in, kh, kw)."""
    return Grouped("kernel", partial(_axes_inside, name="kernel", n_dim=4, members=(2, 3)), reduce)


def filter(*, reduce: str = "sum") -> Grouped:
    """All that makes one output channel of (out, in, kh, kw)."""
    return Grouped("filter", partial(_axes_inside, name="filter", n_dim=4, members=(1, 2, 3)), reduce)


def channel(*, reduce: str = "sum") -> Grouped:
    """All that reads one input channel of (out, in, kh, kw)."""
    return Grouped("channel", partial(_axes_inside, name="channel", n_dim=4, members=(0, 2, 3)), reduce)


def nm(n_keep: int = 2, m_group: int = 4) -> Quota:
    """N:M: the best n_keep of every m_group neighbours along the reduction axis. **N is the number kept.**

    The reduction axis is `in`, of a convolution too: groups are of m_group input channels at one place of the kernel.
    2:4 keeps the masks that ASP calls m4n2_1d, up to ties. The density is n_keep / m_group, and is left out. With
    `within`, a group whose survivors are fewer keeps those. A last group of fewer than m_group inputs keeps the best
    n_keep of them, or all.

    Raises InputError for n_keep above m_group.
    """
    require_int("m_group", m_group, 1)
    require_int("n_keep", n_keep, 1)
    require(n_keep <= m_group, "n_keep", n_keep, f"must be at most m_group={m_group}; N of N:M is the number kept")
    n, m = int(n_keep), int(m_group)
    return Quota(f"{n}:{m}", partial(_groups_of, m=m), partial(_at_most, n=n), math.prod, Fraction(n, m))


def per_row(*, rule: str = "torch") -> Quota:
    """As many weights in every row of (out, in), or of every filter: Wanda's comparison group, with rule="wanda".

    rule : how the count pruned in a row becomes whole, see `counts.prune_count`
    """
    require_one_of("rule", rule, ("torch", "wanda"))  # sparsegpt counts in blocks, not rows
    return Quota("per_row", _rows, partial(_same_in_every_row, rule=rule), _row_length)


def balanced(config: Any, window: int | None = None) -> Quota:
    """Equal counts for every processing element, so that none waits for another for want of weights.

    config : a design with `n_pe`; row i of (out, in) belongs to PE i % n_pe

    With `window`, counts are also equal for every PE and window of so many
    columns next to each other; a narrower last window has a share by its width.

    Equal means: the weights kept in all are exact; counts of PEs differ by at most one, and those with one more are
    the PEs with the largest next score (of equals the higher PE); and so do, within a PE, the counts of its windows. A
    PE or window with fewer weights than its share keeps all of them, and the others share the rest.

    Raises InputError for a design without processing elements, and when used for weights that are not (out, in).
    """
    require(hasattr(config, "n_pe"), "config", type(config).__name__, "must have n_pe")
    if window is not None:
        require_int("window", window, 1)
    name = f"balanced(n_pe={config.n_pe}, window={window})"
    segments = partial(_pes_and_windows, n_pe=config.n_pe, window=window)
    return Quota(name, segments, partial(_balanced_counts, n_pe=config.n_pe, window=window), math.prod)


def is_nm(mask: ArrayLike, n_keep: int = 2, m_group: int = 4) -> bool:
    """Return True where no group of m_group along the reduction axis has more than n_keep non-zeros (see `nm`).

    mask : a mask or weights, (out, in) or (out, in, kh, kw); a last group may have fewer than m_group inputs
    """
    return _first_too_full(mask, n_keep, m_group) is None


def check_nm(mask: ArrayLike, n_keep: int = 2, m_group: int = 4) -> None:
    """Raise InputError with row, group and count of the first group that breaks N:M; see `is_nm`.

    The rows of (out, in, kh, kw) are numbered over (out, kh, kw).
    """
    broken = _first_too_full(mask, n_keep, m_group)
    if broken is not None:
        row, group, count = broken
        raise InputError(
            f"mask: row {row}, group {group} has {count} non-zeros, {n_keep}:{m_group} keeps at most {n_keep}"
        )


def _first_too_full(mask: ArrayLike, n_keep: int, m_group: int) -> tuple[int, int, int] | None:
    pattern = nm(n_keep, m_group)
    given = as_array("mask", mask)
    require(given.dtype.kind in "biuf", "mask", f"dtype {given.dtype}", "must be bool or real numbers")
    values: NDArray[Any] = given != 0
    layout = pattern.layout(values.shape)
    filled = np.zeros(layout.padded, dtype=np.bool_)
    filled[:, : values.shape[1]] = values
    # rows of groups, the groups of a row next to each other
    counts = np.moveaxis(np.count_nonzero(filled.reshape(layout.view), axis=2), 1, -1)
    counts = counts.reshape(-1, layout.view[1])
    bad = np.argwhere(counts > n_keep)
    return (int(bad[0, 0]), int(bad[0, 1]), int(counts[tuple(bad[0])])) if bad.size else None


def _elements(shape: Shape) -> Layout:
    return whole(shape, shape, ())


def _axes_inside(shape: Shape, *, name: str, n_dim: int, members: tuple[int, ...]) -> Layout:
    expected = {2: "(out, in)", 4: "(out, in, kh, kw)"}[n_dim]
    require(len(shape) == n_dim, "scores", f"shape {shape}", f"must be {expected} for pattern {name}")
    return whole(shape, shape, members)


def _blocks(shape: Shape, *, rows: int, cols: int) -> Layout:
    require(len(shape) == 2, "scores", f"shape {shape}", "must be (out, in) for pattern block")
    ok = shape[0] % rows == 0 and shape[1] % cols == 0
    rule = (
        f"must be a multiple of the block, {rows} x {cols}; pad {-shape[0] % rows} rows and {-shape[1] % cols} columns"
    )
    require(ok, "scores", f"shape {shape}", rule)
    return whole(shape, (shape[0] // rows, rows, shape[1] // cols, cols), (1, 3))


def _groups_of(shape: Shape, *, m: int) -> Layout:
    require(len(shape) in (2, 4), "scores", f"shape {shape}", "must be (out, in) or (out, in, kh, kw) for pattern nm")
    n_group = -(-shape[1] // m)
    return Layout((shape[0], n_group * m, *shape[2:]), (shape[0], n_group, m, *shape[2:]), (2,))


def _at_most(density: Fraction, shape: Shape, rows: Rows, capacity: CountOfRow, *, n: int) -> CountOfRow:
    return np.minimum(capacity, n)


def _rows(shape: Shape) -> Layout:
    require(len(shape) >= 2, "scores", f"shape {shape}", "must be (out, in) or (out, in, kh, kw) for pattern per_row")
    return whole(shape, shape, tuple(range(1, len(shape))))


def _row_length(shape: Shape) -> int:
    return math.prod(shape[1:])


def _same_in_every_row(density: Fraction, shape: Shape, rows: Rows, capacity: CountOfRow, *, rule: str) -> CountOfRow:
    return np.minimum(capacity, keep_count(density, _row_length(shape), rule=rule))


def _pes_and_windows(shape: Shape, *, n_pe: int, window: int | None) -> Layout:
    require(len(shape) == 2, "scores", f"shape {shape}", "must be (out, in) for pattern balanced")
    n_pe, width = min(n_pe, shape[0]), min(window or shape[1], shape[1])  # PEs without rows have no part in it
    n_row, n_window = -(-shape[0] // n_pe), -(-shape[1] // width)
    return Layout((n_row * n_pe, n_window * width), (n_row, n_pe, n_window, width), (0, 3))


def _balanced_counts(
    density: Fraction, shape: Shape, rows: Rows, capacity: CountOfRow, *, n_pe: int, window: int | None
) -> CountOfRow:
    """Counts of PEs first, then of the windows of each, so that both are equal."""
    n_pe = min(n_pe, shape[0])
    starts = np.arange(0, shape[1], window or shape[1])
    widths = np.diff(starts, append=shape[1])
    room = np.broadcast_to(capacity, len(rows)).reshape(n_pe, -1).astype(np.int64)
    total = keep_count(density, math.prod(shape))
    require_survivors("density", density, total, int(room.sum()), math.prod(shape))
    every_pe = np.ones(n_pe, dtype=np.int64)
    of_pe = _share_out(np.array([total]), every_pe, room.sum(axis=1)[None], rows.reshape(n_pe, -1))[0]
    return _share_out(of_pe, widths, room, rows).ravel()


def _share_out(total: Counts, weight: Counts, capacity: Counts, rows: Rows) -> Counts:
    """Shares of every total, int64[n, m]; what is left over goes, one each, where the next score is largest.

    rows : scores, a row for each share
    """
    parts, over = share(total, weight, capacity)
    if over.any():
        following = kth_largest(rows, parts.ravel() + 1).reshape(parts.shape)
        # a full share takes no more; of the others there are more than is left over
        parts += top(np.where(parts < capacity, following, following.dtype.type(-np.inf)), over)
    return parts
