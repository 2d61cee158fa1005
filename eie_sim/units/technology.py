"""Costs of SRAM at 45 nm, and scaling to other nodes; both from package data with sources."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim import tables
from eie_sim.core.errors import require, require_int, unknown

Floats = NDArray[np.float64]

FAST_CELLS = "itrs-hp"
"""CACTI's high-performance cells: 128 KB cycles in 0.92 ns, so 800 MHz is met; they leak 190 mW a PE."""

LOW_LEAKAGE_CELLS = "itrs-lstp"
"""CACTI's low-standby-power cells: 0.04 mW of leakage a PE, but 128 KB cycles in 1.81 ns, which misses 800 MHz."""


REFERENCE_NM = 45
"""The node that all constants are for, from which they are scaled."""


class Sram(NamedTuple):
    """One SRAM at 45 nm: energy per access, leakage, area; `interpolated` where the table has no row for it."""

    read_pj: float
    write_pj: float
    leakage_mw: float
    area_mm2: float
    interpolated: bool


class Scaling(NamedTuple):
    """Factors from 45 nm at 0.9 V to another node at its nominal voltage."""

    energy_x: float
    area_x: float


class _Grid(NamedTuple):
    """Logarithms of a quantity, float64[n_capacity, n_width], over logarithms of capacity and width, ascending."""

    capacity: Floats
    width: Floats
    value: Floats


def scaling(node_nm: int) -> Scaling:
    """Energy and area factors of a node (Stillmaker and Baas 2017). They are for logic, and are used for SRAM too.

    Raises InputError for a node the table does not have.
    """
    require_int("node_nm", node_nm, 1)
    by_node = _scalings()
    if node_nm not in by_node:
        known = ", ".join(str(node) for node in sorted(by_node))
        require(False, "node_nm", node_nm, f"no scaling factors; must be one of {known}")
    return by_node[int(node_nm)]


@cache
def _scalings() -> dict[int, Scaling]:
    """By node in nm."""
    return {
        int(row["node_nm"]): Scaling(float(row["energy_x_nominal_vs_45nm_0.9V"]), float(row["area_x"]))
        for row in tables.rows("tech_scaling")
    }


def sram(capacity_bytes: int, width_bits: int, cells: str = FAST_CELLS) -> Sram:
    """Energy per access (pJ), leakage (mW) and area (mm2) of an SRAM at 45 nm with one read/write port.

    capacity_bytes, width_bits : 1 to 2**40 and 1 to 2**20
    cells : "itrs-hp" or "itrs-lstp"

    Exact where the table (CACTI 7) has the pair. Elsewhere energies and area are linear between logarithms, first in
    width, then in capacity, with the end slopes beyond the table. Where the table has a capacity at few widths, the
    shape over the others is that of 128 KB, or, with one width only, of its neighbours. Leakage is linear in capacity,
    whatever the width. CACTI reorganises an array as it grows, so its numbers have steps that no interpolation has.

    Raises InputError for other sizes and unknown cells.
    """
    require_int("capacity_bytes", capacity_bytes, 1, 2**40)
    require_int("width_bits", width_bits, 1, 2**20)
    if not isinstance(cells, str):
        raise unknown("cells", cells, (FAST_CELLS, LOW_LEAKAGE_CELLS))
    return _sram(int(capacity_bytes), int(width_bits), cells)


@cache
def _sram(capacity_bytes: int, width_bits: int, cells: str) -> Sram:
    known = _known(cells)
    exact = known.get((capacity_bytes, width_bits))
    if exact is not None:
        return exact
    return Sram(
        read_pj=_at(_grid(cells, "read_pj"), capacity_bytes, width_bits),
        write_pj=_at(_grid(cells, "write_pj"), capacity_bytes, width_bits),
        leakage_mw=_leakage_mw(known, capacity_bytes),
        area_mm2=_at(_grid(cells, "area_mm2"), capacity_bytes, width_bits),
        interpolated=True,
    )


@cache
def _known(cells: str) -> dict[tuple[int, int], Sram]:
    """The table by capacity in bytes and width in bits."""
    table = tables.rows("sram_45nm")
    if cells not in {row["cells"] for row in table}:
        raise unknown("cells", cells, {row["cells"] for row in table})
    return {
        (int(row["capacity_kib"]) * 1024, int(row["width_bits"])): Sram(
            read_pj=float(row["read_pj"]),
            write_pj=float(row["write_pj"]),
            leakage_mw=float(row["leakage_mw"]),
            area_mm2=float(row["area_mm2"]),
            interpolated=False,
        )
        for row in table
        if row["cells"] == cells
    }


@cache
def _grid(cells: str, quantity: str) -> _Grid:
    """The table with its gaps filled, in logarithms."""
    by_capacity: dict[int, dict[int, float]] = {}
    for (capacity_bytes, width_bits), found in sorted(_known(cells).items()):
        by_capacity.setdefault(capacity_bytes, {})[width_bits] = float(np.log(getattr(found, quantity)))
    fullest = max(by_capacity.values(), key=len)
    width = np.log(sorted(fullest))
    shape = np.array([fullest[width_bits] for width_bits in sorted(fullest)])
    several = {c: _fill(own, width, shape) for c, own in by_capacity.items() if len(own) > 1}
    frame = _Grid(np.log(list(several)), width, np.array(list(several.values())))
    filled = [
        several[c] if c in several else _fill(own, width, _row_at(frame, np.log(c))) for c, own in by_capacity.items()
    ]
    return _Grid(np.log(list(by_capacity)), width, np.array(filled))


def _fill(own: dict[int, float], width: Floats, shape: Floats) -> Floats:
    """Values at all widths: between a capacity's own ones, and beyond its first and last by the given shape."""
    own_width = np.log(list(own))
    nearest = np.clip(width, own_width[0], own_width[-1])
    inside = np.interp(nearest, own_width, list(own.values()))
    return np.asarray(inside + shape - np.interp(nearest, width, shape))


def _row_at(grid: _Grid, capacity: float) -> Floats:
    """Values at all widths for one capacity, from the nearest one beyond the ends: a shape is not extrapolated."""
    return np.array([np.interp(capacity, grid.capacity, column) for column in grid.value.T])


def _at(grid: _Grid, capacity_bytes: int, width_bits: int) -> float:
    by_capacity = np.array([_line(np.log(width_bits), grid.width, row) for row in grid.value])
    return float(np.exp(_line(np.log(capacity_bytes), grid.capacity, by_capacity)))


def _line(x: float, xs: Floats, ys: Floats) -> float:
    """Linear between points, and with the end slopes beyond them."""
    at = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    return float(ys[at] + (x - xs[at]) * (ys[at + 1] - ys[at]) / (xs[at + 1] - xs[at]))


def _leakage_mw(known: dict[tuple[int, int], Sram], capacity_bytes: int) -> float:
    """Linear in capacity between means over the widths, from 0 for no capacity; in proportion beyond the largest."""
    capacities = sorted({capacity for capacity, _ in known})
    means = [float(np.mean([s.leakage_mw for (c, _), s in known.items() if c == capacity])) for capacity in capacities]
    beyond = max(1.0, capacity_bytes / capacities[-1])
    return float(np.interp(capacity_bytes, [0, *capacities], [0.0, *means])) * beyond
