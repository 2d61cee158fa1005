"""The options of a sweep, one for each axis, with the axis' own help."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from eie_sim.study.axes import Axis, groups, known_axes, unit_names, values_of
from eie_sim.units import unit_named

if TYPE_CHECKING:
    AxisOptions = Any  # a class that is made below, which no type checker follows

_HELP_GROUPS = {name: Group(name, sort_key=at) for at, name in enumerate(groups(), start=1)}


def given(options: AxisOptions) -> dict[str, tuple[Any, ...]]:
    """The values of each axis whose option was given, in the order of help. Raises InputError naming the axis."""
    texts = {field.name: getattr(options, field.name) for field in fields(options)}
    return {axis: values_of(axis, text) for axis, text in texts.items() if text is not None}


def _help(axis: Axis) -> str:
    """The axis' own, and the units it is for where its group does not say so."""
    of_design = axis.group in groups()[2:]
    more = axis.units[1:] if of_design else axis.units if axis.units != unit_names() else ()
    titles = ", ".join(unit_named(name).title for name in more)
    return f"{axis.help} ({titles} {'too' if of_design else 'only'})" if more else axis.help


_Options = make_dataclass(
    "AxisOptions",
    [
        (axis.name, Annotated[str | None, Parameter(help=_help(axis), group=_HELP_GROUPS[axis.group])], None)
        for axis in known_axes().values()
    ],
    frozen=True,
    kw_only=True,
    namespace={"__doc__": "What was given for each axis, as text.", "__module__": __name__},
)

if not TYPE_CHECKING:
    AxisOptions = Annotated[_Options, Parameter(name="*")]

NO_AXES: Any = _Options()
"""The default of a command: no axis given; frozen, so that commands may share it."""
