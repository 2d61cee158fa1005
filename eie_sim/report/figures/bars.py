"""Stacked bars: where cycles, energy and bits go, a bar for each layer, design or format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eie_sim.core.errors import is_number, require, require_type
from eie_sim.core.storage import Format
from eie_sim.report.figures.style import (
    LETTER,
    PAGE,
    SMALL,
    by_colour,
    colour_of,
    drawing,
    finish,
    ink_on,
    named,
    nothing,
    on,
    short,
    unit_for,
    width_points,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Parts = Mapping[str, Mapping[str, float]]
"""Amounts by name and part: {"fc1": {"weight": 3, "padding": 1}}."""

PICOJOULES = ((1.0, "pJ"), (1e3, "nJ"), (1e6, "uJ"), (1e9, "mJ"), (1e12, "J"))
BITS = ((8.0, "bytes"), (8e3, "kB"), (8e6, "MB"), (8e9, "GB"))
MOST_WRITTEN = 40
"""Most bars that have a name and values each; of more, some have a name."""

LARGEST_AMOUNT = 1e300
"""Sums of some stay finite."""

MAX_PICTURES = 40
"""Pictures of one file, one below the other."""

UNFIT = "does not fit"


def classes(
    parts: Parts, axes: Axes | None = None, *, unfit: Collection[str] = (), config_hash: str | Collection[str] = ""
) -> Axes:
    """Share of PE-cycles in each class, a bar for each name.

    parts : PE-cycles by name and class, as `result.stats["classes"]`
    unfit : names of what does not fit the memories, which is said
    config_hash : of the design, or of each
    """
    title = "PE-cycles by class"
    parts = _checked(parts)
    totals = {name: sum(own.values()) for name, own in parts.items()}
    shares = {
        name: {part: 100 * value / totals[name] if totals[name] else 0.0 for part, value in own.items()}
        for name, own in parts.items()
    }
    axes = on(axes)
    if not any(totals.values()):
        return nothing(axes, "no cycles", title=title)
    ends = {name: f"{short(total)} PE-cycles" for name, total in totals.items()}
    _stack(axes, shares, ends, unfit, label=lambda share: f"{share:.1f}")
    axes.set_xlim(0, 100)
    return finish(axes, title=title, xlabel="share of PE-cycles, %", ylabel="", config_hash=config_hash)


def energy(
    parts: Parts,
    axes: Axes | None = None,
    *,
    unfit: Collection[str] = (),
    config_hash: str | Collection[str] = "",
    label: str = "energy",
) -> Axes:
    """Energy by component, a bar for each name.

    parts : pJ by name and component, as `EnergyReport.by_component`
    unfit, config_hash : as for `classes`
    label : what the energy is of, such as "energy per vector"
    """
    return _amounts(parts, axes, PICOJOULES, f"{label.capitalize()} by component", label, unfit, config_hash)


def storage(
    parts: Parts,
    axes: Axes | None = None,
    *,
    unfit: Collection[str] = (),
    config_hash: str | Collection[str] = "",
    title: str = "Storage of the compressed weights by part",
) -> Axes:
    """Size by part, a bar for each name. parts : bits by name and part, as `Format.parts`."""
    return _amounts(parts, axes, BITS, title, "size", unfit, config_hash)


def footprint(
    formats: Mapping[str, Format],
    axes: Axes | None = None,
    *,
    config_hash: str | Collection[str] = "",
    title: str = "Storage by format and part",
) -> Axes:
    """SRAM that one layer takes in each format, by part. formats : what `es.footprint` returns."""
    require_type("formats", formats, Mapping)
    for name, each in formats.items():
        require_type(f"formats[{name}]", each, Format)
    parts = {each.name if each.valid else f"{each.name} (cannot hold it)": each.parts for each in formats.values()}
    return storage(parts, axes, config_hash=config_hash, title=title)


@drawing()
def write_footprints(layers: Mapping[str, Mapping[str, Format]], path: Path, *, config_hash: str) -> None:
    """Write the footprints of layers by name, one below the other, as PNG or SVG. Raises InputError."""
    from matplotlib.figure import Figure

    require(
        len(layers) <= MAX_PICTURES, "figure", path, f"takes at most {MAX_PICTURES} layers, there are {len(layers)}"
    )
    figure = Figure(figsize=(PAGE, 4 * len(layers)), layout="constrained")
    for axes, (name, formats) in zip(figure.subplots(len(layers), squeeze=False).flat, layers.items(), strict=True):
        footprint(formats, axes, config_hash=config_hash, title=f"{named(name)}: storage by format and part")
    write_figure(figure, path)


def _amounts(
    parts: Parts,
    axes: Axes | None,
    units: tuple[tuple[float, str], ...],
    title: str,
    label: str,
    unfit: Collection[str],
    config_hash: str | Collection[str],
) -> Axes:
    parts, axes = _checked(parts), on(axes)
    totals = {name: sum(own.values()) for name, own in parts.items()}
    most = max(totals.values(), default=0)
    if most <= 0:
        return nothing(axes, f"no {label}", title=title)
    factor, unit = unit_for(most, units)
    scaled = {name: {part: value / factor for part, value in own.items()} for name, own in parts.items()}
    ends = {name: f"{short(total / factor)} {unit}" for name, total in totals.items()}
    _stack(axes, scaled, ends, unfit, label=short)
    axes.set_xlim(0, 1.16 * most / factor)
    return finish(axes, title=title, xlabel=f"{label}, {unit}", ylabel="", config_hash=config_hash)


def _stack(
    axes: Axes, parts: Parts, ends: Mapping[str, str], unfit: Collection[str], *, label: Callable[[float], str]
) -> None:
    """Draw horizontal bars, the first name on top: values on the parts that are long enough, `ends` behind the bars.

    Parts that share a colour share a place in the legend.
    """
    names = list(parts)
    every = -(-len(names) // MOST_WRITTEN)
    places = np.arange(len(names))[::-1]
    rows = [f"{named(name)}\n({UNFIT})" if name in unfit else named(name) for name in names]
    longest = max(sum(own.values()) for own in parts.values())
    per_point = max(longest / _longest_points(axes, rows), np.finfo(float).tiny)
    filled = np.zeros(len(names))
    drawn = by_colour(part for own in parts.values() for part, value in own.items() if value)
    for part in drawn:
        widths = np.array([parts[name].get(part, 0.0) for name in names])
        colour = colour_of(part)
        alike = [other for other in drawn if colour_of(other) == colour]
        words = ", ".join(map(named, alike)) if part == alike[0] else ""
        edge: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.6 / every}
        bars = axes.barh(places, widths, left=filled, color=colour, label=words, **edge)
        filled += widths
        if every == 1:
            room = widths / per_point
            texts = [
                text if space >= LETTER * SMALL * len(text) + 2 else ""
                for text, space in zip(map(label, widths), room, strict=True)
            ]
            axes.bar_label(bars, texts, label_type="center", fontsize=SMALL, color=ink_on(colour))
    for place, name, end in list(zip(places, names, filled, strict=True))[::every]:
        axes.annotate(ends[name], (end, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL)
    axes.set_yticks(places[::every], rows[::every], parse_math=False)
    axes.set_ylim(-0.6, len(names) - 0.4)


def _longest_points(axes: Axes, rows: Sequence[str]) -> float:
    """About how many points the longest bar has beside the names of its rows, and before what is written behind it."""
    letters = max(len(line) for row in rows for line in row.split("\n"))
    return max(1.0, 0.86 * (1.29 * width_points(axes) - 20 - LETTER * 8 * letters))


def _checked(parts: Parts) -> Parts:
    require_type("parts", parts, Mapping)
    for name, own in parts.items():
        require_type(f"parts[{name}]", own, Mapping)
        for part, value in own.items():
            ok = is_number(value) and 0 <= value < LARGEST_AMOUNT
            require(ok, f"parts[{name}][{part}]", value, "must be a finite number >= 0")
    return parts
