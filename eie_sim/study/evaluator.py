"""What a worker does with points: groups that share work, figures, and rows as JSON text."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from itertools import groupby
from math import isfinite
from typing import Any

from eie_sim.core.errors import InputError
from eie_sim.study.looping import looped
from eie_sim.study.point import Point, Refused
from eie_sim.study.row import row_text
from eie_sim.study.stages import Stages
from eie_sim.study.subject import Subject
from eie_sim.units import blamed, unit_of
from eie_sim.units.swept import Kept

GROUP = 256
"""Most points between two looks at the clock."""

NUMBERS = frozenset({int, float})
"""Types of plain numbers; a bool is none."""

Rows = list[tuple[str, str]]
Faults = list[tuple[int, str]]


class Evaluator:
    """Computes the rows of points of one subject, and keeps what later points can share."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._stages = Stages(subject)
        self._kept: dict[str, Kept] = {}

    def rows(self, points: Sequence[Point], deadline: float) -> tuple[Rows, Faults]:
        """(key, JSON object) of the first points, at least of one, until `deadline` of time.perf_counter() is over.

        A point that breaks a rule has a row that says so. Faults are (place, what went wrong) of those of the points
        that the machine failed; they have no row.
        """
        rows: Rows = []
        faults: Faults = []
        for _, same in groupby(points, lambda point: shared_by(point)[1] or point.key):
            group = list(same)
            for start in range(0, len(group), GROUP):
                some = group[start : start + GROUP]
                try:
                    rows += self._texts(some)
                except MemoryError:
                    first = len(rows) + len(faults)
                    faults += [(first + at, "not enough memory") for at in range(len(some))]
                if time.perf_counter() > deadline:
                    return rows, faults
        return rows, faults

    def _texts(self, group: list[Point]) -> Rows:
        try:
            figures_of = self._figures_of(group)
        except Exception as error:  # `_said` raises again what is neither a rule nor another package's
            message = _said(error)
            return [(point.key, row_text(self._subject, point, "", message)) for point in group]
        return [(point.key, self._text(point, figures_of)) for point in group]

    def _text(self, point: Point, figures_of: Callable[[Point], str]) -> str:
        try:
            return row_text(self._subject, point, figures_of(point), None)
        except Exception as error:  # `_said` raises again what is neither a rule nor another package's
            return row_text(self._subject, point, "", _said(error))

    def _figures_of(self, group: list[Point]) -> Callable[[Point], str]:
        """What gives the figures of points, as members of a JSON object; what a group of them shares is made here."""
        first = group[0]
        if isinstance(first.design, Refused):
            raise InputError(first.design.message)
        unit = unit_of(first.design)
        if unit.many is None:
            return lambda point: _members(looped(self._stages, point))
        kept = self._kept.setdefault(unit.name, Kept())
        figures_of = unit.many([point.design for point in group], self._stages.swept(first, kept))
        texts: dict[int, tuple[dict[str, Any], str]] = {}  # of what points share, by its identity, and so kept alive

        def text_of(point: Point) -> str:
            own, shared = figures_of(point.design)
            if not shared:
                return _members(own)
            kept = texts.get(id(shared))
            if kept is None:
                texts[id(shared)] = kept = shared, _members(shared)
            return f"{_members(own)}, {kept[1]}"

        return text_of


def shared_by(point: Point) -> tuple[Hashable, Hashable]:
    """What a point has in common with others: what is counted once, and what is run once; None for nothing."""
    if isinstance(point.design, Refused):
        return None, None
    counted, run = unit_of(point.design).alike(point.design)
    return counted, None if run is None else (point.layer, point.vector, point.recipe, run)


def _members(figures: dict[str, Any]) -> str:
    """Members of a JSON object. Numbers, which most rows have alone, are written as Python and JSON both do."""
    values = (*figures.values(),)
    if NUMBERS.issuperset(map(type, values)) and isfinite(sum(values)):
        return _template((*figures,)) % values
    return json.dumps(figures, allow_nan=False)[1:-1]


@lru_cache(maxsize=2**6)
def _template(names: tuple[str, ...]) -> str:
    return ", ".join(f"{json.dumps(name)}: %r".replace("%", "%%").replace("%%r", "%r") for name in names)


def _said(error: Exception) -> str:
    """What a row says of an error: the rule that a point breaks, or whose code fails. Raises any other error."""
    line = str(error) if isinstance(error, InputError) else None if isinstance(error, MemoryError) else blamed(error)
    if line is None:
        raise error
    return line
