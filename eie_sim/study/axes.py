"""The axes of a sweep: every field of a pruning recipe and of the units' designs, and what of a workload to run.

A field that a recipe or a design gains is an axis by itself, with the help that stands in its docstring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from eie_sim.core.docstrings import parameters_of
from eie_sim.core.errors import unknown
from eie_sim.prune.recipe import CRITERIA, SCHEDULES, SCOPES, Recipe
from eie_sim.study.values import FRAMES, KIND_OF_NAME, KIND_OF_TYPE, NAMES, Kind, values_in, word_kind
from eie_sim.units import unit_named, units
from eie_sim.units.unit import Unit

WORKLOAD, PRUNING = "Workload", "Pruning"
_RECIPE_WORDS = {"criterion": CRITERIA, "scope": SCOPES, "schedule": SCHEDULES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One thing that a sweep can vary."""

    name: str  # of the field, or layer, vector, unit or chip
    kind: Kind  # what its values are
    units: tuple[str, ...]  # names of the units that it has a meaning for
    group: str  # one of `groups()`: of a design's field, that of the first unit that has it
    help: str  # what it is, in a sentence or two


def unit_names() -> tuple[str, ...]:
    """All units that there are, by name."""
    return tuple(unit.name for unit in units())


def groups() -> tuple[str, ...]:
    """Return the groups of axes: the workload, pruning, and each unit's design."""
    return WORKLOAD, PRUNING, *(f"{unit.title} design" for unit in units())


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
    given : a text (see `eie_sim.study.values`), a value, or an iterable of both: list, tuple, range, numpy array.
        A value of tiles, patterns or mma that is no text is a tuple within that iterable.

    Whether a value is in range is for the recipe and the design to say. Raises InputError naming the axis.
    """
    return values_in(axis, _kind_of(axis), given)


def text_of(axis: str, value: Any) -> str:
    """A value as a table shows it, numbers with 6 digits; all but such a number `values_of` reads again."""
    kind = _kind_of(axis)
    return "none" if value is None and kind.optional else kind.show(value)


def plain(value: Any) -> Any:
    """A value as JSON holds it, and the designs' own to_dict: tuples as lists, a rate that is not whole as text."""
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else str(value)
    return [plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def design_axes(unit: Unit) -> dict[str, Axis]:
    """The fields of the designs of one unit, with its own words and help, those of a type without a kind left out."""
    return {axis.name: axis for axis in _axes_of(unit.config, f"{unit.title} design", (unit.name,), unit.choices)}


def _kind_of(axis: str) -> Kind:
    known = known_axes()
    if not isinstance(axis, str) or axis not in known:
        raise unknown("axis", axis, known)
    return known[axis].kind


def _axes_of(of: Any, group: str, units: tuple[str, ...], words: Mapping[str, tuple[str, ...]]) -> Iterator[Axis]:
    """An axis for every field of a type that there is a kind for, with its help from the section Parameters.

    words : values of fields that are words
    """
    helps, hints = parameters_of(of), get_type_hints(of)
    for name, hint in ((field.name, hints[field.name]) for field in fields(of)):
        members = frozenset(get_args(hint) if get_origin(hint) in (Union, UnionType) else {hint})
        kind = (
            word_kind(words[name])
            if name in words
            else KIND_OF_NAME.get(name, KIND_OF_TYPE.get(members - {type(None)}))
        )
        if kind is not None and type(None) in members:
            kind = replace(kind, rule=f"{kind.rule}, or none", words={"none": None, **kind.words})
        if kind is not None:
            yield Axis(name=name, kind=kind, units=units, group=group, help=helps.get(name, ""))


@lru_cache(maxsize=2)
def _axes(names: tuple[str, ...]) -> dict[str, Axis]:
    """Return the axes of the units of these names; a field of several designs is one axis, of the first."""
    known = [unit_named(name) for name in names]
    presets = tuple(preset for unit in known for preset in unit.presets)
    with_presets = tuple(unit.name for unit in known if unit.presets)
    of_workload = (
        ("layer", NAMES, names, "Layers by name, all at once, or each; left out, all of a chain, else each."),
        ("vector", FRAMES, names, "Frames of a trace from 0, all at once, or each; all where left out."),
        ("unit", word_kind(names), names, f"{' or '.join(names)}; left out, that of the other axes, else the first."),
        ("chip", word_kind(presets), with_presets, f"Design to start from: {', '.join(presets)}."),
    )
    every = [Axis(name=name, kind=kind, units=of, group=WORKLOAD, help=text) for name, kind, of, text in of_workload]
    every += [
        axis for axis in _axes_of(Recipe, PRUNING, names, _RECIPE_WORDS) if axis.name != "seed"
    ]  # a sweep has one
    found: dict[str, Axis] = {}
    for axis in (*every, *(axis for unit in known for axis in design_axes(unit).values())):
        first = found.get(axis.name)
        found[axis.name] = replace(first, units=(*first.units, *axis.units)) if first else axis
    return found
