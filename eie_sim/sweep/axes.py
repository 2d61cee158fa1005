"""The axes of a sweep: every field of a pruning recipe and of the units' designs, and what of a workload to run.

A field that a recipe or a design gains is an axis by itself, with the help that stands in its docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, get_args, get_type_hints

from eie_sim.core.errors import unknown
from eie_sim.recipe import CRITERIA, PATTERNS, SCHEDULES, SCOPES, Recipe
from eie_sim.sweep import kinds
from eie_sim.sweep.kinds import Kind
from eie_sim.sweep.listing import MAX_VALUES, values_in
from eie_sim.units import units

__all__ = ["AXES", "GROUPS", "MAX_VALUES", "UNITS", "Axis", "plain", "text_of", "values_of"]

UNITS = tuple(unit.name for unit in units())
GROUPS = WORKLOAD, PRUNING, *DESIGNS = ("Workload", "Pruning", *(f"{unit.title} design" for unit in units()))

_OF_TYPE = {
    frozenset({int}): kinds.WHOLES,
    frozenset({float}): kinds.NUMBERS,
    frozenset({bool}): kinds.SWITCHES,
    frozenset({str}): kinds.name_kind(),
    frozenset({int, float, str, Fraction}): kinds.RATES,
}
_OF_NAME = {
    "pattern": kinds.pattern_kind(PATTERNS),
    "criterion": kinds.word_kind(CRITERIA),
    "scope": kinds.word_kind(SCOPES),
    "schedule": kinds.word_kind(SCHEDULES),
    **{field: kinds.word_kind(words) for unit in units() for field, words in unit.choices.items()},
    "mma": kinds.MMA,
    "tiles": kinds.TILES,
    "patterns": kinds.PATTERN_SETS,
}
_MORE_HELP = {
    "mma": " As 16x8x16.",
    "tiles": " As 64x64, or 256x128+128x256 for two.",
    "patterns": " As 2:4, or 2:4+1:4 for two.",
    "dram_bytes_per_cycle": " As 24, 936000/1395 or none.",
}
_OWN_SEED = "seed"
"""The field of a recipe that is no axis: a sweep has one seed for everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that a sweep can vary.

    Parameters
    ----------
    name
        Of the field, or layer, vector, unit or chip.
    kind
        What its values are.
    units
        Names of the units that it has a meaning for.
    group
        One of GROUPS: of a design's field, that of the first unit that has it.
    help
        What it is, in a sentence or two.
    """

    name: str
    kind: Kind
    units: tuple[str, ...]
    group: str
    help: str


def values_of(axis: str, given: Any) -> tuple[Any, ...]:
    """The values of an axis, each once, in order, as the recipe or design takes them.

    axis : a name in AXES
    given : a text (see `eie_sim.sweep.listing`), a value, or an iterable of both: list, tuple, range, numpy array.
        A value of tiles, patterns or mma that is no text is a tuple within that iterable.

    Whether a value is in range is for the recipe and the design to say. Raises InputError naming the axis.
    """
    return values_in(axis, _known(axis).kind, given)


def text_of(axis: str, value: Any) -> str:
    """A value as a table shows it, numbers with 6 digits; all but such a number `values_of` reads again."""
    return _known(axis).kind.show(value)


def plain(value: Any) -> Any:
    """A value as JSON holds it, and the designs' own to_dict: tuples as lists, a rate that is not whole as text."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    return [plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _known(axis: str) -> Axis:
    if not isinstance(axis, str) or axis not in AXES:
        raise unknown("axis", axis, AXES)
    return AXES[axis]


def _documented(of: type) -> dict[str, str]:
    """The help of each field, from the section Parameters of the class's docstring."""
    found: dict[str, list[str]] = {}
    words: list[str] = []
    section = inspect.cleandoc(of.__doc__ or "").partition("Parameters\n----------\n")[2]
    for line in section.splitlines():
        if line and not line.startswith(" "):
            words = found.setdefault(line, [])
        elif line:
            words.append(line.strip())
    return {name: " ".join(lines) for name, lines in found.items()}


def _kind(name: str, hint: Any) -> Kind:
    """By name where there is a list of words or a form of its own, else by type."""
    members = frozenset(get_args(hint) or {hint})
    with_none = type(None) in members
    kind = _OF_NAME[name] if name in _OF_NAME else _OF_TYPE[members - {type(None)}]
    return kinds.optional(kind) if with_none else kind


def _axes_of(of: Any, group: str, units: tuple[str, ...]) -> Iterator[Axis]:
    """An axis for every field."""
    hints, said = get_type_hints(of), _documented(of)
    for field in fields(of):
        text = said.get(field.name, "") + _MORE_HELP.get(field.name, "")
        yield Axis(name=field.name, kind=_kind(field.name, hints[field.name]), units=units, group=group, help=text)


def _workload_axes() -> Iterator[Axis]:
    presets = tuple(name for unit in units() for name in unit.presets)
    with_presets = tuple(unit.name for unit in units() if unit.presets)
    named = (
        ("layer", kinds.name_kind(), UNITS, "Layers by name; all at once where left out; each, one by one."),
        ("vector", kinds.FRAMES, UNITS, "Frames of a trace from 0; all at once where left out; each, one by one."),
        ("unit", kinds.word_kind(UNITS), UNITS, f"{' or '.join(UNITS)}."),
        ("chip", kinds.word_kind(presets), with_presets, f"Design to start from: {', '.join(presets)}."),
    )
    for name, kind, of, text in named:
        yield Axis(name=name, kind=kind, units=of, group=WORKLOAD, help=text)


def _all_axes() -> dict[str, Axis]:
    """In the order in which help lists them; a field of several designs is one axis, of the first."""
    found = {axis.name: axis for axis in (*_workload_axes(), *_axes_of(Recipe, PRUNING, UNITS))}
    del found[_OWN_SEED]
    for unit, group in zip(units(), DESIGNS, strict=True):
        for axis in _axes_of(unit.config, group, (unit.name,)):
            first = found.get(axis.name)
            found[axis.name] = replace(first, units=(*first.units, unit.name)) if first else axis
    return found


AXES = _all_axes()
"""Every axis by name."""
