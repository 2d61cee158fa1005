"""The registry of units: a line for each of ours; other packages add theirs as entry points of `eie_sim.units`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_type_hints

from eie_sim.core.errors import MAX_SAID, InputError, require, unknown
from eie_sim.units.unit import Unit, found_at

UNITS = {
    "eie": "eie_sim.units.eie:UNIT",
    "nm": "eie_sim.units.nm:UNIT",
}
GROUP = "eie_sim.units"
"""Entry points of this group are `name = "module:UNIT"`, with the name that the unit has itself."""


def unit_of(thing: Any, field: str = "config") -> Unit:
    """The unit that a design, or a compressed matrix, belongs to; of a result, ask for that of its config.

    field : config or matrix, which of the two is looked for, and how errors call it

    Raises InputError for anything else, and says which units cannot be used and why.
    """
    kind: Any = type(thing)
    found = _of_type(kind, field)
    if found is None:
        known = " or ".join(_name(unit, field).rpartition(":")[2] for unit in units())
        more = "".join(f"; {fault}" for fault in faults())
        raise InputError(f"{field}={type(thing).__name__}: must be {known}{more}")
    return found


@cache
def unit_named(name: str) -> Unit:
    """The unit of that name.

    Raises InputError, did you mean, for a name that there is not, for a unit whose package fails to load, which leaves
    the others usable, and for a name that two packages give to their units.
    """
    offers = _offers().get(name)
    if offers is None:
        raise unknown("unit", name, _offers())
    packages = " and ".join(package for package, _ in offers)
    require(len(offers) == 1, "unit", name, f"must be of one package, but {packages} both have a unit of this name")
    ((package, place),) = offers
    try:
        unit: Unit = found_at(place)
        fits = isinstance(unit, Unit) and unit.name == name
        require(fits, "unit", name, f"must be a Unit of this name, which {place} of package {package} is not")
        rule = f"must have a dataclass as config, which {unit.config!r:.100} of package {package} is not"
        require(is_dataclass(unit.config), "unit", name, rule)
        get_type_hints(unit.config)  # options and axes are made of them
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # another package's code, which may fail in any way
        why = " ".join(str(error).split())
        raise InputError(f"unit={name}: package {package} fails to load, {type(error).__name__}: {why}") from error
    return unit


@cache
def units() -> tuple[Unit, ...]:
    """All units, ours first, but for those that cannot be used: `unit_named` says why."""
    return tuple(unit for unit in _tried() if isinstance(unit, Unit))


def faults() -> tuple[str, ...]:
    """Return why units of other packages cannot be used, a line each."""
    return tuple(str(fault) for fault in _tried() if isinstance(fault, InputError))


def blamed(error: BaseException) -> str | None:
    """A line for an error that comes through the code of a unit of another package; None for any other."""
    modules, at = set(), error.__traceback__
    while at is not None:
        modules.add(at.tb_frame.f_globals.get("__name__", "").partition(".")[0])
        at = at.tb_next
    theirs = {name: offers for name, offers in _offers().items() if name not in UNITS}
    places = ((name, place.partition(":")[0].partition(".")[0]) for name in theirs for _, place in theirs[name])
    why = f"its own code fails, {type(error).__name__}: {' '.join(str(error).split())[:MAX_SAID]}"
    return next((f"unit={name}: {why}" for name, module in places if module in modules), None)


def _tried() -> Iterator[Unit | InputError]:
    """Every unit, or why it cannot be used; ours before any other package is loaded."""
    for name in _offers():
        try:
            yield unit_named(name)
        except InputError as error:
            yield error


@cache
def _of_type(kind: Hashable, field: str) -> Unit | None:
    names = {f"{each.__module__}:{each.__qualname__}" for each in getattr(kind, "__mro__", ())}
    return next((unit for unit in _tried() if isinstance(unit, Unit) and _name(unit, field) in names), None)


def _name(unit: Unit, field: str) -> str:
    return unit.matrix if field == "matrix" else f"{unit.config.__module__}:{unit.config.__qualname__}"


@cache
def _offers() -> dict[str, list[tuple[str, str]]]:
    """By name: the package that has a unit of it, and the place of the unit."""
    from importlib.metadata import entry_points

    found = {name: [("eie_sim", place)] for name, place in UNITS.items()}
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        package = point.dist.name if point.dist else point.module
        found.setdefault(point.name, []).append((package, f"{point.module}:{point.attr}"))
    return found
