"""Whether plain data has the shape that is relied on: said once, and checked where the data comes in.

A shape is a `Plain` (a number, a text), a dict of fields and their shapes, `Each(shape)` for a list, `Named(shape)` for
an object with any names, or `Maybe(shape)` where there may be nothing. Fields that a shape does not have are let
through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from eie_sim.core.arrays import shown
from eie_sim.core.errors import is_number, refused


class Plain(NamedTuple):
    """A value without parts: what it must be, in words, and whether one is."""

    rule: str
    ok: Callable[[Any], bool]


class Each(NamedTuple):
    """A list of `least` or more of one shape."""

    shape: Any
    least: int = 0


class Named(NamedTuple):
    """An object whose names may be any; each has the same shape."""

    shape: Any


class Maybe(NamedTuple):
    """A shape, or null."""

    shape: Any


LARGEST_NUMBER = 1e30
"""Sums, ratios and powers of some stay finite."""

NUMBER = Plain("must be a finite number", lambda v: is_number(v) and abs(v) < LARGEST_NUMBER)
AMOUNT = Plain("must be a finite number >= 0", lambda v: is_number(v) and 0 <= v < LARGEST_NUMBER)
TEXT_OR_NUMBER = Plain("must be text or a finite number", lambda v: isinstance(v, str) or NUMBER.ok(v))
COUNT = Plain("must be an integer >= 0", lambda v: type(v) is int and 0 <= v < LARGEST_NUMBER)
TEXT = Plain("must be text", lambda v: isinstance(v, str))
FLAG = Plain("must be true or false", lambda v: isinstance(v, bool))


def require_shape(value: Any, shape: Any, where: str) -> None:
    """Raise InputError, which names the first field that is not as its shape says. where : stands before its name"""
    for field, part, rule in _faults(value, shape, ""):
        raise refused(f"{where}{field.lstrip('.')}", part, rule)


def _faults(value: Any, shape: Any, field: str) -> Iterator[tuple[str, Any, str]]:
    """(field, value, rule) of all that is not as it should be, in order."""
    if isinstance(shape, Maybe):
        if value is not None:
            yield from _faults(value, shape.shape, field)
    elif isinstance(shape, Plain):
        if not shape.ok(value):
            yield field, value, shape.rule
    elif not isinstance(value, list if isinstance(shape, Each) else dict):
        kind = "none" if value is None else type(value).__name__
        yield field, kind, f"must be {'a list' if isinstance(shape, Each) else 'an object'}"
    elif isinstance(shape, Each) and len(value) < shape.least:
        yield field, len(value), f"must be a list of {shape.least} or more"
    else:
        for name, part, each in _parts(value, shape):
            yield from _faults(part, each, f"{field}{name}")


def _parts(value: Any, shape: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, value, shape) of all parts of a list or an object."""
    if isinstance(shape, Each):
        yield from ((f"[{at}]", part, shape.shape) for at, part in enumerate(value))
    else:
        fields = dict.fromkeys(value, shape.shape) if isinstance(shape, Named) else shape
        yield from ((f".{shown(name)}", value.get(name), each) for name, each in fields.items())
