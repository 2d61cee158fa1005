"""What a worker does with points: groups that share work, figures, and rows as JSON text."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from itertools import groupby

from eie_sim.core.errors import InputError, require
from eie_sim.sweep import eie, nm
from eie_sim.sweep.point import Point, Refused, unit_name
from eie_sim.sweep.row import row_text
from eie_sim.sweep.stages import Stages
from eie_sim.sweep.subject import Subject

GROUP = 256
"""Most points between two looks at the clock."""

_FIGURES: dict[str, type[eie.Figures] | type[nm.Figures]] = {"eie": eie.Figures, "nm": nm.Figures}
"""What computes the columns of a row, by unit."""

Rows = list[tuple[str, str]]
Faults = list[tuple[int, str]]


class Evaluator:
    """Computes the rows of points of one subject, and keeps what later points can share."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        stages = Stages(subject)
        self._figures = {unit: figures(stages) for unit, figures in _FIGURES.items()}

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
        except InputError as error:
            message = str(error)
            return [(point.key, row_text(self._subject, point, "", message)) for point in group]
        return [(point.key, self._text(point, figures_of)) for point in group]

    def _text(self, point: Point, figures_of: Callable[[Point], str]) -> str:
        try:
            return row_text(self._subject, point, figures_of(point), None)
        except InputError as error:
            return row_text(self._subject, point, "", str(error))

    def _figures_of(self, group: list[Point]) -> Callable[[Point], str]:
        """What gives the figures of the points of a group; what they share is computed here."""
        design = group[0].design
        if isinstance(design, Refused):
            raise InputError(design.message)
        name = unit_name(design)
        require(name in self._figures, "unit", name, "must be another, no columns of its rows are computed")
        return self._figures[name].of(group)


def shared_by(point: Point) -> tuple[Hashable, Hashable]:
    """What a point has in common with others: what is counted once, and what is run once; None for nothing."""
    figures = None if isinstance(point.design, Refused) else _FIGURES.get(unit_name(point.design))
    return (None, None) if figures is None else figures.shared_by(point)
