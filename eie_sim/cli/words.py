"""Errors of the parser in the form of every other error: field=value: rule."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args, get_origin

from cyclopts import CoercionError, UnknownOptionError, UnusedCliTokensError

from eie_sim.core.errors import any_of, refused

RULES = {
    bool: "must be true or false",
    int: "must be an integer",
    float: "must be a number",
    Path: "must be a path, not empty",
}


def said(error: Exception) -> str:
    """One line about `error`; where a word is at fault, with the name its value has in the library."""
    if isinstance(error, UnusedCliTokensError) and all(word[:1].isdecimal() for word in error.unused_tokens or ()):
        return f"{error} Values of a list have commas between them: 1,64"
    if isinstance(error, UnknownOptionError) and (unit := _with_option(error)) is not None:
        return f"Unknown option: {error.token.keyword}. It is one of --unit {unit}."
    if not isinstance(error, CoercionError) or error.token is None or error.argument is None:
        return str(error)
    rule = _rule(error.target_type)
    field = error.argument.name.lstrip("-").replace("-", "_").lower()
    return str(error) if rule is None else str(refused(field, error.token.value, rule))


def _with_option(error: UnknownOptionError) -> str | None:
    """Name of another unit that has the option, where the command takes designs; else None."""
    from eie_sim.study.axes import design_axes  # which --help need not wait for
    from eie_sim.units import units

    if not any("--unit" in argument.names for argument in error.argument_collection):
        return None
    name = (error.token.keyword or "").partition("=")[0].removeprefix("--").replace("-", "_")
    has = (unit.name for unit in units() if name in design_axes(unit) or (name == "preset" and unit.presets))
    return next(has, None)


def _rule(kind: object) -> str | None:
    """Return the rule for a word of this type, or of one of the types of a union or tuple."""
    if get_origin(kind) is Literal:
        return f"must be {any_of(get_args(kind))}"
    kinds = (kind, *get_args(kind))
    return next((rule for known, rule in RULES.items() if known in kinds), None)
