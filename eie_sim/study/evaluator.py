"""The work of a worker on points: groups that share work, their figures, and a row of each as a line of JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from math import isfinite
from operator import or_
from typing import Any

import msgspec

from eie_sim.core.errors import InputError
from eie_sim.core.record import VERSION, LayerResult
from eie_sim.core.result import config_hash
from eie_sim.energy import area
from eie_sim.energy.table import hashed
from eie_sim.prune.recipe import Recipe
from eie_sim.record import total_of_layers
from eie_sim.study.axes import plain, text_of
from eie_sim.study.graph_stages import GraphStages
from eie_sim.study.points import Point, Refused, shared_by
from eie_sim.study.stages import Stages
from eie_sim.study.subject import Subject
from eie_sim.units import blamed, unit_of
from eie_sim.units.swept import Kept

GROUP = 256
"""Most points between two looks at the clock."""

Row = dict[str, Any]
Rows = list[tuple[str, bytes]]
Faults = list[tuple[int, str]]

_encode = msgspec.json.Encoder(enc_hook=lambda number: number.item()).encode  # of numpy, as other units may have it


class Evaluator:
    """Computes the rows of points of one subject, and keeps what later points can share."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._stages = _stages_of(subject)
        self._kept: dict[str, Kept] = {}

    def rows(self, points: Sequence[Point], deadline: float) -> tuple[Rows, Faults]:
        """(key, line of JSON) of the first points, at least of one, until `deadline` of time.perf_counter() is over.

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
                    rows += self._lines(some)
                except MemoryError:
                    self._stages, self._kept = _stages_of(self._subject), {}  # so that the next points have room
                    first = len(rows) + len(faults)
                    faults += [(first + at, "not enough memory") for at in range(len(some))]
                if time.perf_counter() > deadline:
                    return rows, faults
        return rows, faults

    def _lines(self, group: list[Point]) -> Rows:
        try:
            figures_of = self._figures_of(group)
        except Exception as error:  # `_message_of` raises again what is neither a rule nor another package's
            message = _message_of(error)
            return [(point.key, line_of(self._subject, point, {}, message)) for point in group]
        return [(point.key, self._line(point, figures_of)) for point in group]

    def _line(self, point: Point, figures_of: Callable[[Point], Row]) -> bytes:
        try:
            return line_of(self._subject, point, figures_of(point), None)
        except Exception as error:  # as above
            return line_of(self._subject, point, {}, _message_of(error))

    def _figures_of(self, group: list[Point]) -> Callable[[Point], Row]:
        """Return a function to the figures of a point; all that a group of points shares is made here."""
        first = group[0]
        if isinstance(first.design, Refused):
            raise InputError(first.design.message)
        unit = unit_of(first.design)
        if unit.many is None:
            return lambda point: looped(self._stages, point)
        kept = self._kept.setdefault(unit.name, Kept())
        figures_of = unit.many([point.design for point in group], self._stages.swept(first, kept))
        return lambda point: or_(*figures_of(point.design))


def _stages_of(subject: Subject) -> Stages | GraphStages:
    return Stages(subject) if subject.graph is None else GraphStages(subject)


def looped(stages: Stages | GraphStages, point: Point) -> dict[str, Any]:
    """Columns of the row of a point. Raises InputError for what the unit cannot run, and where outputs are wrong.

    Layers of a chain read the outputs of those before. Accuracy is that of their last outputs, and None of one vector.
    """
    design, unit = point.design, unit_of(point.design)
    done, names = stages.run(point)
    layers = [layer for layer in done.layers if layer.layer.name in names]
    total, rows = total_of_layers(layers), [row for row in done.rows if row.name in names]
    unfit = [memory.memory for row in rows for memory in row.memories if not memory.fits]
    return {
        "n_vector": total.n_vector,
        "cycles": total.cycles,
        "time_us": total.time_us,
        "energy_nj": total.energy.total_pj / 1e3,
        "power_mw": total.energy.power_mw,
        "area_mm2": None if unit.area is None else area(design).total_mm2,
        "bytes": total.storage.total_bits / 8,
        "accuracy": None if done.accuracy is None else done.accuracy.compressed,
        "n_weight": total.n_weight,
        "weight_density": sum(one.matrix.density * one.layer.n_out * one.layer.n_in for one in layers)
        / max(1, sum(one.layer.n_out * one.layer.n_in if one.n_weight is None else one.n_weight for one in layers)),
        "effectual_macs": total.effectual_macs,
        "dense_macs": total.dense_macs,
        "utilisation": total.utilisation,
        "load_balance": total.load_balance,
        "effective_gops": total.effective_gops,
        "fits": total.fits,
        "passes": total.passes,
        "misfit": ", ".join(dict.fromkeys(unfit)),
        "verified": True,
        **{column: next(_unit_column(column, rows, total.stats), None) for column in unit.words.columns},
    }


def _unit_column(column: str, rows: Sequence[LayerResult], stats: dict[str, dict[str, int]]) -> Iterator[Any]:
    """A column that other units do not have: words joined with +, counts of events, cycles of a class."""
    words = [str(row.named[column]) for row in rows if column in row.named]
    if words:
        yield "+".join(dict.fromkeys(words))
    yield from (totals[column] for totals in stats.values() if column in totals)
    yield from (count for name, count in stats["classes"].items() if column == f"{name}_cycles")


def line_of(subject: Subject, point: Point, figures: Row, error: str | None) -> bytes:
    """The row of a point as a line of JSON, the key first. error : the rule that the point breaks, or None

    Raises ValueError for a figure that JSON does not have.
    """
    for name, value in figures.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{name}={value}: must be finite")
    row = {
        "key": point.key,
        "version": VERSION,
        **_workload_columns(subject.name, subject.seed, point.layer, point.recipe),
        "vector": "all" if point.vector is None else point.vector,
        **_design_columns(point.design, subject.table_sha256),
        **figures,
        "error": error,
    }
    return _encode(row) + b"\n"


@lru_cache(maxsize=2**12)
def _workload_columns(workload: str, seed: int, layer: str | None, recipe: Recipe | None) -> Row:
    """The workload, and how it is pruned: all fields but the seed, which is the study's."""
    named = workload.encode("utf-8", "backslashreplace").decode()  # names of files may hold halves of characters
    row = {"workload": named, "seed": seed, "layer": layer or "all"}
    row |= {"pattern": None, "criterion": None, "density": None}
    given = {} if recipe is None else recipe.to_dict()
    return row | {name: value for name, value in given.items() if name != "seed"}


@lru_cache(maxsize=2**14)
def _design_columns(design: Any, table_sha256: str | None) -> Row:
    """All fields of a design with the preset that it is nearest to, the hash of a user's energy table, and its own."""
    if isinstance(design, Refused):
        return {"unit": design.unit, **{name: _json_value(name, value) for name, value in design.values}}
    unit = unit_of(design)
    given = design.to_dict()

    def differences(preset: str) -> int:
        its = unit.config.preset(preset).to_dict()
        return sum(its[field] != value for field, value in given.items())

    return {
        "unit": unit.name,
        **({"chip": min(unit.presets, key=differences)} if unit.presets else {}),
        **{name: _json_value(name, value) for name, value in given.items()},
        **({} if table_sha256 is None else {"energy_table": table_sha256}),
        "config_hash": config_hash(unit.name, given, *hashed(table_sha256)),
    }


def _json_value(axis: str, value: Any) -> Any:
    """Tiles and the like as text, 16x8x16 or 64x64+32x32; all else as JSON has it."""
    if not isinstance(value, (list, tuple)):
        return plain(value)
    return text_of(axis, tuple(tuple(part) if isinstance(part, (list, tuple)) else part for part in value))


def _message_of(error: Exception) -> str:
    """Return an error as a row has it: the rule that a point breaks, or whose code fails. Raise any other error."""
    line = str(error) if isinstance(error, InputError) else None if isinstance(error, MemoryError) else blamed(error)
    if line is None:
        raise error
    return line
