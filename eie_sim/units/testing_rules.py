"""Rules for a record, its fields and its words: each yields a line for each fault in one example."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.units import unit_named, unit_of, units
from eie_sim.units.energy import LEAKAGE, PE_CYCLE
from eie_sim.units.testing_cases import Bad, Faults, short
from eie_sim.units.unit import Unit, Word

COLOURS = ("blue", "sky", "green", "orange", "red", "purple", "yellow", "grey", "pale")
"""Names that figures know; any other colour is #rrggbb."""

MOST_PJ = 1e9


def record(unit: Unit, _: None) -> Faults:
    """The unit is registered; its config is a frozen keyword-only dataclass that says what each field is."""
    try:
        if unit_named(unit.name) is not unit or unit_of(unit.config()) is not unit:
            yield f"{unit.name} is the name, or has the config, of another unit"
    except InputError as error:
        yield f"is not found by its name, which an entry point of eie_sim.units must give: {error}"
    config, names = unit.config(), [field.name for field in fields(unit.config)]
    if not all(field.kw_only for field in fields(config)):
        yield f"{unit.config.__name__} has fields that are not keyword-only"
    try:
        setattr(config, names[0], getattr(config, names[0]))
        yield f"{unit.config.__name__} is not frozen"
    except (FrozenInstanceError, TypeError):
        pass
    for name in ("clock_mhz", "node_nm"):
        if name not in names:
            yield f"{unit.config.__name__} has no field {name}"
    for name in names:
        if not re.search(rf"^\s*{name}\n\s+\S", unit.config.__doc__ or "", re.MULTILINE):
            yield f"the docstring of {unit.config.__name__} does not say what {name} is"
    for name, choices in unit.choices.items():
        if name not in names or getattr(config, name) not in choices:
            yield f"choices of {name}: must have the default of a field of this name"
    if unit.start and unit.start not in unit.presets:
        yield f"start={unit.start}: must be one of the presets"
    if not (unit.name.isidentifier() and unit.name.islower() and unit.title.strip()):
        yield f"name={unit.name}: must be in lower case, and the title not empty"


def presets(unit: Unit, _: None) -> Faults:
    """Every preset makes a design, with changes of single fields too; another name is refused."""
    if not unit.presets:
        return
    for name in unit.presets:
        design, changed = unit.config.preset(name), unit.config.preset(name, clock_mhz=123.0)
        if not isinstance(design, unit.config) or changed != replace(design, clock_mhz=123.0):
            yield f"preset {name} does not make a {unit.config.__name__} with clock_mhz=123.0"
    yield from refused("preset", "preset 'no such'", lambda: unit.config.preset("no such"))


def words(unit: Unit, _: None) -> Faults:
    """Whatever a result counts has a name, a meaning, a component of the energy, and a colour."""
    told = unit.words
    for kind, members in (("events", told.events), ("classes", told.classes), *told.totals.items()):
        if [word.value for word in members] != list(range(len(members.__members__))):
            yield f"{kind}: must count from 0, each place once"
        yield from (f"{kind}: {word.name.lower()} has no meaning" for word in members if not word.meaning.strip())
    if told.useful not in told.busy or not set(told.busy) <= set(told.classes):
        yield "useful must be one of busy, and busy of the classes"
    parts = {part for event in told.components.values() for part in event}
    if list(told.components)[-2:] != [PE_CYCLE, LEAKAGE] or told.components[LEAKAGE] != (LEAKAGE,):
        yield f"components: the last two must be {PE_CYCLE} and {LEAKAGE}, this of its own component"
    for name in sorted({*told.classes.names(), *parts} - {LEAKAGE}):
        colour = told.colours.get(name, "none")
        if colour not in COLOURS and not re.fullmatch("#[0-9a-f]{6}", colour):
            yield f"colour of {name} is {colour}: must be {', '.join(COLOURS)} or #rrggbb"
    yield from (f"column {name} has no meaning" for name, meaning in told.columns.items() if not meaning.strip())
    config = unit.config()
    shared = [field.name for field in fields(config) if field.name in told.columns]
    yield from (f"column {name} is a field of the design already" for name in shared)
    result = unit.simulate(unit.compress(np.eye(4, dtype=np.float32), config), np.ones(4), config)
    yield from _unnamed("event", result.event_names, told.events)
    yield from _unnamed("class", result.class_names, told.classes)
    if list(result.extra) != list(told.totals):
        yield f"totals are {', '.join(result.extra)}, words have {', '.join(told.totals)}"
    for name in result.extra.keys() & told.totals.keys():
        yield from _unnamed(f"total of {name}", tuple(result.extra[name]), told.totals[name])
    counted, costed = set(unit.energy_counts(result)), set(told.components) - {PE_CYCLE, LEAKAGE}
    counted |= set() if told.map_buffer is None else {told.map_buffer.event}
    yield from (f"event {name}: words lack its component of the energy" for name in sorted(counted - costed))
    yield from (f"component of event {name}: no result counts it" for name in sorted(costed - counted))


def _unnamed(kind: str, counted: tuple[str, ...], named: type[Word]) -> Faults:
    yield from (f"{kind} {name}: words lack it" for name in counted if name not in named.names())
    yield from (f"{kind} {name}: no result counts it" for name in named.names() if name not in counted)
    if set(counted) == set(named.names()) and counted != named.names():
        yield f"{kind}: must be counted in the order of the words"


def bad_fields(unit: Unit, bad: Bad) -> Faults:
    """A value that a field cannot have raises an InputError of one line that begins with the field's name."""
    given = f"{bad.field}={short(bad.value)}"
    yield from refused(bad.field, given, lambda: unit.config(**{bad.field: bad.value}), or_taken=not bad.must_fail)


def refused(field: str, given: str, call: Callable[[], Any], *, or_taken: bool = False) -> Faults:
    """Yield a fault if `call` is not refused with an InputError. field : how the line must begin"""
    try:
        call()
    except InputError as error:
        if not str(error).startswith(field) or not str(error).isprintable():
            yield f"{given} is refused by a line that does not begin with {field}: {short(str(error))}"
    except Exception as error:  # whatever it is, it is the fault that is looked for
        yield f"{given} raises {type(error).__name__}, must be an InputError"
    else:
        if not or_taken:
            yield f"{given} is taken, must be refused"


def round_trip(unit: Unit, config: Any) -> Faults:
    """A design is the same after to_dict and JSON, with the same hash, whatever kind of number it was given."""
    plain = config.to_dict()
    text = json.dumps(plain, allow_nan=False)
    if json.loads(text) != plain or list(plain) != [field.name for field in fields(config)]:
        yield "to_dict is not plain: it must be what JSON gives back, a value for each field in order"
    again = unit.config(**json.loads(text))
    if again != config or hash(again) != hash(config) or json.dumps(again.to_dict()) != text:
        yield f"is {short(again)} after to_dict and JSON"
    for name, value in ((field.name, getattr(config, field.name)) for field in fields(config)):
        alike: tuple[Any, ...] = ()
        if type(value) is int:
            alike = (np.int64(value),)
        elif type(value) is float:
            alike = (np.float64(value), *([int(value)] if value.is_integer() else []))
        for other in alike:
            same = replace(config, **{name: other})
            if same != config or json.dumps(same.to_dict(), default=repr) != text:
                yield f"{name}={other!r} gives another hash than {name}={value!r}: it must become plain"


def energies(unit: Unit, config: Any) -> Faults:
    """There is an energy of each component's event, no less than 0, with its source; areas and lanes are positive."""
    rows, components = unit.energies(config), unit.words.components
    for event in components:
        if event not in [row.event for row in rows]:
            yield f"event {event}: has no energy"
    for row in rows:
        if row.component != " and ".join(components.get(row.event, ())):
            yield f"event {row.event}: its energy is of {row.component}, which is not its component"
        if not 0 <= row.energy_pj <= MOST_PJ:
            yield f"event {row.event}: energy is {row.energy_pj} pJ, must be in 0..{MOST_PJ:g}"
        if not row.source.strip() or not row.source.isprintable():
            yield f"event {row.event}: its energy has no source"
    if len(rows) == len(components) and [row.event for row in rows] != list(components):
        yield "must be in the order of words.components"
    if not any(row.energy_pj > 0 for row in rows):
        yield "nothing takes energy"
    if not (isinstance(unit.lanes(config), int) and unit.lanes(config) >= 1):
        yield f"lanes={unit.lanes(config)!r}: must be an integer >= 1"
    area = unit.area(config) if unit.area is not None else None
    if area is not None and not (area.total_mm2 > 0 and min(area.by_module_mm2.values()) >= 0):
        yield f"area is {area.total_mm2} mm2"


def strangers(unit: Unit, _: None) -> Faults:
    """A matrix or design of another unit is refused by the doors that take any."""
    from eie_sim.engine import simulate

    other = next(each for each in units() if each.name != unit.name)
    ours, theirs = (one.compress(np.eye(4, dtype=np.float32), one.config()) for one in (unit, other))
    yield from refused("config", f"a design of {other.name}", lambda: simulate(ours, np.ones(4), other.config()))
    yield from refused("config", f"a matrix of {other.name}", lambda: simulate(theirs, np.ones(4), unit.config()))
    if simulate(ours, np.ones(4)).unit != unit.name:
        yield "a matrix alone is not run on a default design"
