"""The style of all figures: one colour for each component, an Axes to draw on, the corner, and files.

Nothing here needs a display. Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart,
and greys for what is no work; parts of a kind, such as weights read and weights stored, share one.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import require, require_type
from eie_sim.core.files import as_path, place_for, write_file
from eie_sim.core.result import config_hash as hash_parts
from eie_sim.units import units

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = {
    "blue": "#0072b2",
    "sky": "#56b4e9",
    "green": "#009e73",
    "orange": "#e69f00",
    "red": "#d55e00",
    "purple": "#cc79a7",
    "yellow": "#f0e442",
    "grey": "#8c8c8c",
    "pale": "#bdbdbd",
}
"""Colours that the words of a unit may name."""

BLUE, SKY, GREEN, ORANGE, RED, PURPLE, YELLOW, GREY, PALE = NAMED.values()
INK, DARK, FAINT = "#222222", "#4d4d4d", "#e3e3e3"

COLOURS = {
    # cycles by class, bits by part, energy by component
    **{unit.words.useful.name.lower(): BLUE for unit in units()},  # work first; its own colour comes below
    "weights": BLUE,
    "values": BLUE,
    "index": SKY,
    "runs": SKY,
    "row_index": SKY,
    "column_index": GREEN,
    "padding": ORANGE,
    "pointers": GREEN,
    "bitmap": YELLOW,
    "metadata": YELLOW,
    "codebook": RED,
    "bias": PURPLE,
    **{name: NAMED.get(colour, colour) for unit in units() for name, colour in unit.words.colours.items()},
    "leakage": DARK,
}
"""The colour of each component, the same in every figure; stacked in this order."""

LINES = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, "#8c510a", "#a6d96a", "#5e3c99", "#f4b6c2", GREY)
"""Colours of lines that are no component, in order."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SUFFIXES = (".png", ".svg")
MOST_IN_TITLE = 120
"""Letters of a title, or of what is beside an axis."""

MOST_ROWS = 8
"""Lines of a legend above the axes; of more names than these hold, the first are shown."""

BACKENDS = {"png": "agg", "svg": "svg", "pdf": "pdf"}
"""Backend of each kind of file, whichever draws on the screen."""

DPI = 150
PAGE = 7.2
"""Inches; the width of a figure that fills a page of A4 or letter paper between its margins, printed as it is."""

SMALL = 8.0
"""Points of the smallest text, as printed."""

LETTER = 0.6
"""Width of a letter, or a digit, over the size of the text."""

LEGEND_ROW = 12.4
"""Points that a row of a legend takes."""

NOTE_ROW = 10.0
"""Points that a line of the notes takes."""

LONG = 40
"""Letters of a name from which its middle is left out."""

FEW = 12
"""Most values of an axis that have a tick each."""

NARROW = 300
"""Highest over lowest value of a log scale that has ticks between the powers of ten."""

HAIR_SPACE = "\u200a"
"""Goes before a name that a legend would leave out: one that is empty, or begins with an underscore."""

UNFIT_NOTE = "hollow: does not fit the memories"
"""Also the label of such points, which begins with an underscore: a legend leaves it out."""


@contextmanager
def drawing() -> Iterator[None]:
    """While a command draws: as matplotlib comes, whatever a file of settings says, so that the bytes are the same
    everywhere; what it has to say of signs that its fonts lack is for nobody.
    """
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.simplefilter("ignore", UserWarning)
        matplotlib.rcdefaults()
        yield


def on(axes: Axes | None) -> Axes:
    """The Axes that was given, or one of a figure of its own, which pyplot shows where there is a display."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if axes is not None:
        require_type("axes", axes, Axes)
        return axes
    try:
        from matplotlib import pyplot

        return pyplot.subplots(layout="constrained")[1]
    except ImportError:  # the display that was asked for is absent
        return Figure(layout="constrained").subplots()


def colour_of(name: str) -> str:
    """A component's colour; grey for one that has none."""
    return COLOURS.get(name, GREY)


def colours(number: int) -> list[str]:
    """Return as many different colours: those of LINES for a few, else along a scale."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if number <= len(LINES):
        return list(LINES[:number])
    return [to_hex(colormaps["viridis"](at / (number - 1))) for at in range(number)]


def line_styles(number: int) -> list[dict[str, Any]]:
    """Return a colour of its own and a marker for each of so many lines."""
    return [
        {"color": colour, "marker": MARKERS[at % len(MARKERS)], "markersize": 4.5, "linewidth": 1.5}
        for at, colour in enumerate(colours(number))
    ]


def printable(text: str) -> str:
    """Text with what does not print written out."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shortened(text: str, most: int) -> str:
    """Text without its middle, where it is longer than `most` letters."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[3 - most // 2 :]}"


def named(name: str) -> str:
    """A name as figures have it: what does not print is written out, the middle of a long one left out."""
    shown = shortened(printable(name), LONG)
    return HAIR_SPACE + shown if shown[:1] in ("", "_") else shown


def wrapped(text: str, letters: int) -> list[str]:
    """Lines of at most so many letters, broken behind commas and semicolons, and elsewhere where there are too few."""
    lines = [""]
    for part in re.split("(?<=[,;]) ", text):
        if lines[-1] and len(lines[-1]) + 1 + len(part) > letters:
            lines.append(part)
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return [part for line in lines for part in (textwrap.wrap(line, letters) if len(line) > letters else [line])]


def joint_hash(hashes: str | Collection[str]) -> str:
    """The hash of one design as it is, of several designs a hash of all together, of none nothing."""
    distinct = sorted({hashes} if isinstance(hashes, str) else set(hashes))
    return distinct[0] if len(distinct) == 1 else hash_parts(*distinct) if distinct else ""


def finish(
    axes: Axes,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    config_hash: str | Collection[str] = "",
    notes: Iterable[str] = (),
) -> Axes:
    """Title, axes with units, a quiet frame, and a legend where it hides nothing; below, notes and the config hash.

    notes : what kinds of lines mean and what is held fixed; empty ones are left out

    No text becomes a formula, whatever signs the names in it have.
    """
    pad = 6.0
    handles, names = axes.get_legend_handles_labels()
    if names:
        letters = int(width_points(axes) / (LETTER * SMALL))
        names = [shortened(name, letters) for name in names]
        columns = _columns(axes, names)
        handles, names = _fewer(handles, names, columns * MOST_ROWS)
        pad += LEGEND_ROW * -(-len(names) // columns)
        placed: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.0), "borderaxespad": 0.1}
        found = axes.legend(
            handles, names, ncols=columns, columnspacing=1.2, frameon=False, fontsize=SMALL, handlelength=1.4, **placed
        )
        for text in found.get_texts():
            text.set_parse_math(False)
    title, xlabel, ylabel = (shortened(printable(text), MOST_IN_TITLE) for text in (title, xlabel, ylabel))
    letters = max(20, int(1.2 * width_points(axes) / (10 * LETTER)))
    axes.set_title("\n".join(wrapped(title, letters)), loc="left", fontsize=10, color=INK, pad=pad, parse_math=False)
    axes.set_xlabel(xlabel, fontsize=9, parse_math=False)
    axes.set_ylabel(ylabel, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=SMALL, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    _below(axes, [printable(note) for note in notes if note], joint_hash(config_hash))
    for text in axes.texts:
        text.set_parse_math(False)
    return axes


def _below(axes: Axes, notes: Sequence[str], config_hash: str) -> None:
    """Write the notes, and at the right end of the line after them the config hash, below the label of the x axis."""
    beside = LETTER * SMALL * max((len(text.get_text()) for text in axes.get_yticklabels()), default=0)
    room = min(width_points(axes), 1.29 * width_points(axes) - beside - 20)
    letters = max(20, int(room / (0.85 * LETTER * SMALL)))
    lines = [line for note in notes for line in wrapped(note, letters)]
    said = [(0, 0, "\n".join(lines), DARK, "notes")] if lines else []
    said += [(1, len(lines), f"config {named(config_hash)}", GREY, "config-hash")] if config_hash else []
    for side, before, words, colour, gid in said:
        axes.annotate(
            words,
            (side, 0),
            xytext=(0, -2 - NOTE_ROW * before),
            xycoords=("axes fraction", axes.xaxis.label),
            textcoords="offset points",
            ha="right" if side else "left",
            va="top",
            fontsize=SMALL,
            color=colour,
            gid=gid,
        )


def _columns(axes: Axes, names: Sequence[str]) -> int:
    """Columns of a legend that are no wider than the axes, as wide as these are before anything is laid out."""
    longest = max(len(name) for name in names)
    return min(len(names), 6, max(1, int(1.1 * width_points(axes) / (28 + LETTER * SMALL * longest))))


def width_points(axes: Axes) -> float:
    """Width of an Axes in points before anything is laid out."""
    figure: Any = axes.figure
    return float(72 * axes.get_position().width * figure.bbox.width / figure.dpi)


def _fewer(handles: list[Any], names: list[str], most: int) -> tuple[list[Any], list[str]]:
    """The first of more entries than a legend holds, and behind them how many more there are."""
    if len(names) <= most:
        return handles, names
    from matplotlib.lines import Line2D

    return [*handles[: most - 1], Line2D([], [], alpha=0)], [*names[: most - 1], f"... {len(names) - most + 1:,} more"]


def nothing(axes: Axes, why: str, *, title: str) -> Axes:
    """An empty picture that says why it is empty."""
    axes.set_title(shortened(printable(title), MOST_IN_TITLE), loc="left", fontsize=10, color=INK, parse_math=False)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    words = axes.text(0.5, 0.5, printable(why), transform=axes.transAxes, ha="center", va="center", color=GREY)
    words.set_wrap(True)
    words.set_parse_math(False)
    return axes


def short(value: float) -> str:
    """A number of three digits with k, M or G: 12.3k; negative zero is 0."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * power:
            return f"{value / power:.3g}{letter}"
    return f"{value + 0.0:.3g}"


def plain_ticks(axis: Any, values: Sequence[float] | None = None) -> None:
    """Numbers as people write them: at each value of an axis that has few, and of a log scale also at 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    distinct = sorted(set(values or ()))
    if 0 < len(distinct) <= FEW:
        axis.set_ticks(distinct)
        axis.set_ticks([], minor=True)
    elif axis.get_scale() == "log" and axis.get_transform().base == 10:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < NARROW * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())


def by_colour(parts: Iterable[str]) -> list[str]:
    """Parts in the order of COLOURS, so that bars are stacked alike everywhere; unknown ones last, as they come."""
    order = {name: at for at, name in enumerate(COLOURS)}
    return sorted(dict.fromkeys(parts), key=lambda part: order.get(part, len(order)))


def unit_for(most: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """The largest of ascending (factor, name) whose number of `most` is one or more; the first for smaller ones."""
    return next((unit for unit in reversed(units) if most >= unit[0]), units[0])


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"


def require_file(field: str, path: Any, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """The path, where a figure can be written. Raises InputError for another suffix or no folder to write to."""
    found = as_path(field, path)
    require(found.suffix.lower() in suffixes, field, found, f"must end in {', '.join(suffixes)}")
    place_for(field, found)
    return found


def save(axes: Axes, path: str | Path) -> Path:
    """Write the figure of an Axes as PNG or SVG, whole; drawn anew, it is the same bytes. Raises InputError."""
    from matplotlib.axes import Axes

    require_type("axes", axes, Axes)
    path = require_file("figure", path)
    write_figure(_figure_of(axes), path)
    return path


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix: png, svg or pdf. Raises InputError where that cannot be."""
    write_file("figure", path, _drawn(figure, path.suffix.lower().removeprefix(".")))


def svg(axes: Axes) -> str:
    """The figure of an Axes as an SVG element to be put into HTML: text as text, and no id that nothing refers to."""
    text = _drawn(_figure_of(axes), "svg", **{"svg.fonttype": "none"}).decode()
    text = text[text.index("<svg ") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    return re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)


def _figure_of(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    require(figure is not None, "axes", "removed from its figure", "must be in a figure")
    assert figure is not None
    return figure


def _drawn(figure: Figure, kind: str, **settings: Any) -> bytes:
    """The bytes of a figure; no date, and ids that do not change from run to run.

    What matplotlib has to say of signs that its fonts lack is for nobody.
    """
    import matplotlib

    made = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    given: Any = {"svg.hashsalt": "eie-sim", **settings}
    with matplotlib.rc_context(given), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(made, format=kind, backend=BACKENDS[kind], dpi=DPI, metadata=metadata)
    return made.getvalue()
