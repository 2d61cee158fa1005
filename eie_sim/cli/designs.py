"""Commands that take a design: their options are the fields of the unit that `--unit` names, of ours where none is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, make_dataclass, replace
from inspect import Parameter as Argument
from inspect import signature
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

from cyclopts import Parameter

from eie_sim.cli.shell import DESIGN, UNIT, Command, app
from eie_sim.core.errors import InputError, require, unknown
from eie_sim.units import UNITS, faults, unit_named, units
from eie_sim.units.unit import Unit

_COMMANDS: dict[str, Command] = {}
_HELP = (
    f"{' or '.join(UNITS)}, or a preset of one. Another than {UNIT.name} has other options: try --unit "
    f"{[*UNITS][-1]} --help."
)


def designed(command: Command) -> Command:
    """Register a command, whose `design` comes from options."""
    _COMMANDS[command.__name__] = command
    app.command(_with_options(command, UNIT))
    return command


@contextmanager
def options_for(arguments: Sequence[str]) -> Iterator[str | None]:
    """Give the command that is asked for the options of the unit that is, and give the unit's name, None for ours.

    Raises InputError, did you mean.
    """
    named = [after for word, after in pairwise(arguments) if word == "--unit"]
    named += [word.partition("=")[2] for word in arguments if word.startswith("--unit=")]
    command = _COMMANDS.get(next((word for word in arguments if not word.startswith("-")), ""))
    if command is None or not named or named[-1] == UNIT.name:
        yield None
        return
    unit = _asked(named[-1])
    try:
        del app[command.__name__]
        app.command(_with_options(command, unit))
        yield named[-1]
    finally:
        del app[command.__name__]
        app.command(_with_options(command, UNIT))


def _asked(name: str) -> Unit:
    """A unit by its name, or by that of one of its presets, the only one that it has then. Raises InputError."""
    named = next((unit for unit in units() if name in unit.presets), None)
    if named is not None:
        return replace(named, start=name, presets=())
    try:
        return unit_named(name)
    except InputError as error:
        if str(error) in faults():
            raise
        known = [each for unit in units() for each in (unit.name, *unit.presets)]
        near, all_of_them = str(unknown("unit", name, known)), f"units and presets: {', '.join(known)}"
        raise InputError(f"{near} {all_of_them}" if near.endswith("?") else near) from None


def _with_options(command: Command, unit: Unit) -> Command:
    """The command with `--unit`, `--preset` of a unit that has some, and the fields of its design, in place of one."""
    hints = get_type_hints(command, include_extras=True)
    kept = [one.replace(annotation=hints[one.name]) for one in signature(command).parameters.values()]
    ours = unit is UNIT
    kind = unit.config if ours else _texts(unit)
    none = kind()
    presets = f"{', '.join(unit.presets)}. {unit.start} where left out."
    options = {
        "unit": (Annotated[str, Parameter(help=_HELP, group=DESIGN)], UNIT.name),
        "preset": (Annotated[str | None, Parameter(help=presets, group=DESIGN)], None),
        "options": (Annotated[kind, Parameter(name="*", group=DESIGN)], none),
    }
    if not unit.presets:
        del options["preset"]
    added = [
        Argument(name, Argument.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in options.items()
    ]

    def run(*given: Any, preset: str | None = None, options: Any = none, **named: Any) -> int:
        named.pop("unit", None)
        return command(*given, design=options if ours else _design(unit, preset, options), **named)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    shown = [one for one in kept if one.name != "design"] + added
    run.__annotations__ = {**{one.name: one.annotation for one in shown}, "return": int}
    told = signature(command).replace(parameters=shown, return_annotation=int)
    run.__signature__ = told  # type: ignore[attr-defined]  # which `inspect.signature` reads
    return run


def _texts(unit: Unit) -> type:
    """An option of text for each field of a design, with the field's own help; None where it is not given."""
    from eie_sim.study.axes import design_axes

    return make_dataclass(
        "Options",
        [(axis.name, Annotated[str | None, Parameter(help=axis.help)], None) for axis in design_axes(unit).values()],
        frozen=True,
        kw_only=True,
        namespace={"__module__": __name__},
    )


def _design(unit: Unit, preset: str | None, options: Any) -> Any:
    """The design of a preset, or that which sweeps start from, with the fields that were given. Raises InputError."""
    from eie_sim.study.axes import design_axes
    from eie_sim.study.values import values_in

    axes = design_axes(unit)
    given = {}
    for field in fields(options):
        text = getattr(options, field.name)
        if text is not None:
            values = values_in(field.name, axes[field.name].kind, text)
            require(len(values) == 1, field.name, text, "must be one value")
            given[field.name] = values[0]
    if preset is not None and preset not in unit.presets:
        raise unknown("preset", preset, unit.presets)
    start = preset or unit.start
    return unit.config.preset(start, **given) if start else unit.config(**given)
