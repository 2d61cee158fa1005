"""The figures of a report: which there are, and what they are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eie_sim.report.graph import sampled
from eie_sim.report.network import Record
from eie_sim.study.pareto import Front
from eie_sim.study.showing import varying
from eie_sim.study.table import Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, BAR_HEIGHT = 5.8, 3.7, 0.4
"""Inches; of a figure, and of each bar in one."""

MOST_CURVES = 8
MOST_BARS = 40


class Picture(NamedTuple):
    """A figure that was drawn. name : of its files, without suffix; caption : what is to be seen, in a line"""

    name: str
    caption: str
    axes: Axes

    def svg(self) -> str:
        """It as an SVG element."""
        from eie_sim.report import figures

        return figures.svg(self.axes)


def run_pictures(record: Record) -> dict[str, Picture]:
    """Figures of a run by name: classes, energy, roofline and storage, of each layer, of the first where many are."""
    from eie_sim.report import figures

    first = record["layers"][:MOST_BARS]
    layers = {layer["name"] + sampled(layer): layer for layer in first}
    more = len(record["layers"]) - len(layers)
    cut = f"; the first {len(layers)} layers of {len(record['layers'])}" if more else ""
    unfit = {name for one in first if not one["fits"] for name in (one["name"], one["name"] + sampled(one))}
    of_bars: dict[str, Any] = {"unfit": unfit, "height": 1.5 + BAR_HEIGHT * len(layers)}
    per_vector = {name: max(layer["n_vector"], 1) for name, layer in layers.items()}
    energies = {
        name: {part: pj / per_vector[name] for part, pj in layer["energy"]["by_component_pj"].items()}
        for name, layer in layers.items()
    }
    cycles = {name: layer["stats"]["classes"] for name, layer in layers.items()}
    bits = {layer["name"]: layer["storage"]["bits"] for layer in first}
    roofs = {name: {**layer, "unit": record["unit"], "config": record["config"]} for name, layer in layers.items()}
    return {
        name: _drawn(name, f"{caption}{cut}", draw, shown, **options, config_hash=record["config_hash"])
        for name, caption, draw, shown, options in (
            ("classes", "What PEs spend their cycles on", figures.classes, cycles, of_bars),
            ("energy", "Where energy goes", figures.energy, energies, of_bars | {"label": "energy per vector"}),
            ("roofline", "What limits each layer", figures.roofline, roofs, {}),
            ("storage", "What the compressed weights consist of", figures.storage, bits, of_bars),
        )
    }


def sweep_pictures(rows: Rows, best: Front, knee: Record | None, prefix: str = "") -> Iterator[Picture]:
    """Figures of a sweep: its front first, then curves over each of density, queue depth and PEs that varies.

    rows : of one workload and layer, without those that failed; prefix : of their names
    """
    from eie_sim.report import figures

    yield _drawn(f"{prefix}pareto", "Designs that no other beats", figures.pareto, rows, best.objectives)
    of_pes = rows.take(np.flatnonzero(rows.having("n_pe")))
    axes = [axis for axis in varying(of_pes) if axis not in ("chip", "n_keep", "m_group")]
    for axis, name, caption, draw in (
        ("density", "sparsity", "Cycles as weights are pruned", figures.sparsity),
        ("queue_depth", "balance", "What deeper queues gain", figures.balance),
        ("n_pe", "scaling", "What more PEs gain", figures.scaling),
    ):
        if axis in axes:
            kept, said = _at_the_knee(of_pes, [other for other in axes if other != axis], knee)
            lines = np.flatnonzero(~rows.having("n_pe"))[: MOST_CURVES if axis == "density" else 0]
            shown = Rows.of([*kept, *rows.listed(lines)]) if len(lines) else kept
            yield _drawn(f"{prefix}{name}", f"{caption}{said}", draw, shown)


def _drawn(
    name: str, caption: str, draw: Callable[..., Axes], *given: Any, height: float = HEIGHT, **options: Any
) -> Picture:
    """Draw on an Axes of its own, that no display knows of."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(WIDTH, min(height, 24.0)), layout="constrained").subplots()
    return Picture(name, caption, draw(*given, axes=axes, **options))


def _at_the_knee(rows: Rows, others: Sequence[str], knee: Record | None) -> tuple[Rows, str]:
    """Rows whose curves a figure can hold: all, or those that agree with the knee in all other axes."""
    curves = rows.groups(others)
    if len(curves) <= MOST_CURVES:
        return rows, ""
    at = np.flatnonzero(rows.where("key", lambda key: knee is not None and key == knee["key"]))
    own = next(curve for curve in curves if (at[0] if len(at) else 0) in curve)
    first = rows[int(own[0])]
    where = ", ".join(f"{other} {first.get(other)}" for other in others)
    return rows.take(own), f"; one of {len(curves):,} curves, at {where}"
