"""The axes of a sweep: every field of a pruning recipe and of the units' designs, and what of a workload to run.

A field that a recipe or a design gains is an axis by itself, with the help that stands in its docstring.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from eie_sim.core.errors import unknown
from eie_sim.recipe import CRITERIA, PATTERNS, SCHEDULES, SCOPES, Recipe
from eie_sim.study import kinds
from eie_sim.study.kinds import Kind
from eie_sim.study.listing import MAX_VALUES, values_in
from eie_sim.units import unit_named, units
from eie_sim.units.unit import Unit

__all__ = ["MAX_VALUES", "Axis", "groups", "known_axes", "plain", "text_of", "unit_names", "values_of"]

WORKLOAD, PRUNING = "Workload", "Pruning"

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
        One of `groups()`: of a design's field, that of the first unit that has it.
    help
        What it is, in a sentence or two.
    """

    name: str
    kind: Kind
    units: tuple[str, ...]
    group: str
    help: str


def unit_names() -> tuple[str, ...]:
    """All units that there are, by name."""
    return tuple(unit.name for unit in units())


def groups() -> tuple[str, ...]:
    """What axes are of: the workload, pruning, and each unit's design."""
    return WORKLOAD, PRUNING, *map(_group_of, units())


def _group_of(unit: Unit) -> str:
    return f"{unit.title} design"


def known_axes() -> dict[str, Axis]:
    """Every axis by name, in the order in which help lists them."""
    return _axes(unit_names())


def __getattr__(name: str) -> Any:
    """`AXES`: what `known_axes` gives when it is asked for."""
    if name == "AXES":
        return known_axes()
    raise AttributeError(f"module 'eie_sim.study.axes' has no attribute '{name}'")


def values_of(axis: str, given: Any) -> tuple[Any, ...]:
    """The values of an axis, each once, in order, as the recipe or design takes them.

    axis : a name of `known_axes()`
    given : a text (see `eie_sim.study.listing`), a value, or an iterable of both: list, tuple, range, numpy array.
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
    known = known_axes()
    if not isinstance(axis, str) or axis not in known:
        raise unknown("axis", axis, known)
    return known[axis]


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


def _kind(name: str, hint: Any, words: Mapping[str, tuple[str, ...]]) -> Kind | None:
    """By name where there is a list of words or a form of its own, else by type; None for a type of another form."""
    members = frozenset(get_args(hint) or {hint})
    with_none = type(None) in members
    kind: Kind | None
    if name in words:
        kind = kinds.word_kind(words[name])
    else:
        kind = _OF_NAME[name] if name in _OF_NAME else _OF_TYPE.get(members - {type(None)})
    return kinds.optional(kind) if with_none and kind is not None else kind


def _axes_of(
    of: Any, group: str, units: tuple[str, ...], words: Mapping[str, tuple[str, ...]] = MappingProxyType({})
) -> Iterator[Axis]:
    """An axis for every field of a type that it has values of. words : values of fields that are words"""
    hints, said = get_type_hints(of), _documented(of)
    for field in fields(of):
        kind = _kind(field.name, hints[field.name], words)
        if kind is not None:
            text = said.get(field.name, "") + _MORE_HELP.get(field.name, "")
            yield Axis(name=field.name, kind=kind, units=units, group=group, help=text)


def _workload_axes(names: tuple[str, ...]) -> Iterator[Axis]:
    known = [unit_named(name) for name in names]
    presets = tuple(preset for unit in known for preset in unit.presets)
    with_presets = tuple(unit.name for unit in known if unit.presets)
    named = (
        ("layer", kinds.name_kind(), names, "Layers by name; all at once where left out; each, one by one."),
        ("vector", kinds.FRAMES, names, "Frames of a trace from 0; all at once where left out; each, one by one."),
        ("unit", kinds.word_kind(names), names, f"{' or '.join(names)}."),
        ("chip", kinds.word_kind(presets), with_presets, f"Design to start from: {', '.join(presets)}."),
    )
    for name, kind, of, text in named:
        yield Axis(name=name, kind=kind, units=of, group=WORKLOAD, help=text)


def design_axes(unit: Unit) -> dict[str, Axis]:
    """The fields of the designs of one unit, with its own words and help, those of a type without a kind left out."""
    return {axis.name: axis for axis in _axes_of(unit.config, _group_of(unit), (unit.name,), unit.choices)}


@lru_cache(maxsize=2)
def _axes(names: tuple[str, ...]) -> dict[str, Axis]:
    """Of the units of these names; a field of several designs is one axis, of the first."""
    found = {axis.name: axis for axis in (*_workload_axes(names), *_axes_of(Recipe, PRUNING, names))}
    del found[_OWN_SEED]
    for unit in map(unit_named, names):
        for axis in design_axes(unit).values():
            first = found.get(axis.name)
            found[axis.name] = replace(first, units=(*first.units, unit.name)) if first else axis
    return found
