"""Tables that the documents show, made of the code: fields of designs, axes, columns, limits, errors against papers.

A document asks for one by a line `<!-- table: NAME ARGUMENT -->`, and the table follows it.
"""

import contextlib
import io
import json
import re
from dataclasses import fields
from functools import cache

from eie_sim.cli import main
from eie_sim.core import arrays
from eie_sim.network.readers import files, onnx_file, unpacked
from eie_sim.network.synthetic import MAX_WEIGHTS
from eie_sim.study import FIGURES
from eie_sim.study import file as study_file
from eie_sim.study.axes import design_axes, known_axes
from eie_sim.study.pareto import OBJECTIVES
from eie_sim.study.points import MAX_POINTS
from eie_sim.units import unit_named

BINARY = {2**30: "GiB", 2**20: "MiB", 2**10: "KiB"}


def made(asked):
    """The table that a document asks for, as Markdown."""
    name, _, argument = asked.partition(" ")
    headings, rows = TABLES[name](argument) if argument else TABLES[name]()
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |\n" for line in lines)


def options(unit):
    """Fields of a unit's designs."""
    axes, config = design_axes(unit_named(unit)), unit_named(unit).config()
    rows = [
        [option(field.name), said(getattr(config, field.name), field.name), axes[field.name].help]
        for field in fields(config)
    ]
    return ["option", "default", "meaning"], rows


def presets(unit):
    """What the presets of a unit are, a column each."""
    names = unit_named(unit).presets
    designs = [unit_named(unit).config.preset(name).to_dict() for name in names]
    rows = [
        [f"`{field}`", *(said(design[field], field).replace("+", ", ") for design in designs)] for field in designs[0]
    ]
    return ["", *names], rows


def held(unit):
    """What the times of each preset were held against."""
    unit = unit_named(unit)
    rows = [[name, unit.held_against(unit.config.preset(name), 1)] for name in unit.presets]
    return ["preset", "times were held against"], rows


def axes(group):
    """Axes of a sweep of one group."""
    every = [axis for axis in known_axes().values() if axis.group.lower() == group]
    return ["axis", "meaning"], [[option(axis.name), axis.help] for axis in every]


def columns(of):
    """Figures in a row of a sweep: of every point, or of a unit's besides."""
    meanings = FIGURES if of == "every" else unit_named(of).words.columns
    return ["column", "meaning"], [[f"`{name}`", what] for name, what in meanings.items()]


def objectives():
    """What a front can be made of."""
    rows = [
        [f"`{name}`", one.unit, one.meaning, "more" if one.maximise else "less"] for name, one in OBJECTIVES.items()
    ]
    return ["objective", "unit", "meaning", "better"], rows


def words(unit):
    """Events and cycle classes of a unit, with the component that an event's energy belongs to."""
    told = unit_named(unit).words
    rows = [["event", f"`{word.name.lower()}`", word.meaning] for word in told.events]
    return ["", "name", "meaning"], rows + [["class", f"`{word.name.lower()}`", word.meaning] for word in told.classes]


def limits():
    """Limits of what is read."""
    rows = [
        ["file of arrays, and all its arrays together", size(arrays.MAX_BYTES)],
        ["arrays of a file", f"{arrays.MAX_ARRAYS:,}"],
        ["rows or columns of a matrix", f"{arrays.MAX_SIDE:,}"],
        ["numbers of an array", f"{arrays.MAX_NUMBERS:,}"],
        ["ONNX file, and all its arrays together", size(onnx_file.MAX_ONNX_BYTES)],
        ["nodes of an ONNX file", f"{onnx_file.MOST_NODES:,}"],
        ["lowest opset of an ONNX file", onnx_file.LOWEST_OPSET],
        ["bytes that a gzip file may hold, for each of its own", f"{unpacked.MOST_DEFLATED:,}"],
        ["weights of a layer that is drawn", f"{MAX_WEIGHTS:,}"],
        ["points of a sweep, and rows of a store that is read", f"{MAX_POINTS:,}"],
        ["study in TOML", size(study_file.MAX_STUDY_BYTES)],
    ]
    return ["what", "at most"], rows


def exports():
    """What is said of files that are not read."""
    said = {}
    for suffix, what in files.EXPORTS.items():
        said.setdefault(what, []).append(f"`{suffix}`")
    return ["suffix", "what the error says"], [[" ".join(of), what.replace("`", "")] for what, of in said.items()]


def errors(asked=""):
    """Errors of published figures by group. asked : a regular expression of its name, before it the kind or nothing"""
    kind, _, pattern = asked.partition(" ") if asked.startswith("validated ") else ("", "", asked)
    rows = [
        [
            *(one[name] for name in ("group", "kind", "n_row", "n_agree")),
            *(share(one[name]) for name in ("mean_error", "worst_error")),
            one["worst_row"],
        ]
        for one in validated()["groups"]
        if re.match(pattern, one["group"]) and kind in one["kind"]
    ]
    within = f"within {100 * validated()['agrees_within']:g} %"
    return ["group", "kind", "rows", within, "mean error", "worst", "worst row"], rows


def published(group):
    """Published and simulated figures of one group."""
    rows = [
        [
            *(one["row"], one["quantity"]),
            *(f"{one[name]:.4g}" for name in ("published", "simulated")),
            *(one["unit"], f"{100 * one['error']:+.1f} %"),
        ]
        for one in validated()["rows"]
        if one["group"] == group
    ]
    return ["row", "quantity", "published", "simulated", "unit", "error"], rows


def studies():
    """Published studies, rerun."""
    rows = [
        [f"Fig. {one['figure']}", "holds" if one["holds"] else "differs", one["says"], one["found"]]
        for one in validated()["studies"]
    ]
    return ["study", "", "the paper's text, in short", "rerun"], rows


def reasons():
    """Why studies differ."""
    rows = [[f"Fig. {one['figure']}", one["why"]] for one in validated()["studies"] if not one["holds"]]
    return ["study", "what is known of the reason"], rows


@cache
def validated():
    """All that `eie-sim validate --json` says."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["validate", "--json"]) == 0
    return json.loads(printed.getvalue())


def option(field):
    """A field as a command takes it."""
    return f"`--{field.replace('_', '-')}`"


def share(of_one):
    """A share in percent."""
    return f"{100 * of_one:.1f} %"


def size(n_bytes):
    """A size in the largest binary unit that divides it."""
    return next(f"{n_bytes // of} {unit}" for of, unit in BINARY.items() if n_bytes % of == 0)


def said(value, field):
    """A value of a field as the command line takes it."""
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        between = ":" if field == "patterns" else "x"
        return "+".join(between.join(map(str, one)) for one in (value if field in ("patterns", "tiles") else [value]))
    return f"{value:g}" if isinstance(value, float) else str(value)


TABLES = {one.__name__: one for one in (options, presets, held, axes, columns, objectives, words, limits, exports)}
RERUN = {one.__name__: one for one in (errors, published, studies, reasons)}
"""Those that need every published figure rerun, which takes half a minute."""
TABLES |= RERUN
