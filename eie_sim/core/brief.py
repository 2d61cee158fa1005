"""Short text of a value, for `__repr__`: arrays as dtype and shape, what is long as how many items it has."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

WIDTH, LINES = 100, 10
LONGEST, MOST = 240, 12
"""Characters of one value, and items of a list or mapping that are written out."""


def shows(*names: str, **others: str | Callable[[Any], Any]) -> Callable[[Any], str]:
    """Return a `__repr__` of at most 10 lines of 100 characters.

    names : of fields and properties; all fields of a dataclass where nothing is named
    others : by the name that is shown, the place, as `network="network.name"`, or a function of the object
    """

    def text_of(self: Any) -> str:
        shown = names or (() if others else tuple(one.name for one in fields(self) if one.repr))
        found = {name: getattr(self, name) for name in shown}
        for name, place in others.items():
            found[name] = attrgetter(place)(self) if isinstance(place, str) else place(self)
        text = f"{type(self).__name__}({', '.join(f'{name}={brief(value)}' for name, value in found.items())})"
        lines = textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 1], "    ...)"])

    return text_of


def brief(value: Any) -> str:
    """`value` in at most 240 characters."""
    if hasattr(value, "dtype") and value.shape:
        return f"{value.dtype}{[*value.shape]}"
    if isinstance(value, float) or hasattr(value, "dtype"):
        return f"{float(value):.6g}"
    if isinstance(value, Mapping):
        items = {name if str(name).isprintable() else repr(name): brief(one) for name, one in value.items()}
        text = f"{{{', '.join(f'{name}: {one}' for name, one in items.items())}}}"
    elif isinstance(value, tuple | list):
        opened, closed = "()" if isinstance(value, tuple) else "[]"
        text = opened + ", ".join(map(brief, value[: MOST + 1])) + ("," * (opened == "(" and len(value) == 1)) + closed
    else:
        text = " ".join(repr(value).split())
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return text if len(value) <= MOST and len(text) <= LONGEST else f"<{len(value):,} item{'s' * (len(value) != 1)}>"
