"""A row of a sweep as JSON text, one line, the key first. The parts that many rows share are written out once."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from eie_sim.core.record import VERSION
from eie_sim.core.result import config_hash
from eie_sim.energy.table import hashed
from eie_sim.recipe import Recipe
from eie_sim.study.axes import plain, text_of
from eie_sim.study.point import Point, Refused
from eie_sim.study.subject import Subject
from eie_sim.units import unit_of


def row_text(subject: Subject, point: Point, figures: str, error: str | None) -> str:
    """The row of a point. figures : members of a JSON object; error : the rule that the point breaks, or None"""
    weights = _weights_text(subject.name, subject.seed, point.layer, point.recipe)
    vector = '"all"' if point.vector is None else str(point.vector)
    ends = f'{figures}, "error": null' if error is None else f'"error": {json.dumps(error)}'
    design = _design_text(point.design, subject.table_sha256)
    return f'{{"key": "{point.key}", "version": {VERSION}, {weights}, "vector": {vector}, {design}, {ends}}}'


def chip_of(design: Any) -> str:
    """The preset that differs from a design in the fewest fields, the first of those."""
    unit, wanted = unit_of(design), design.to_dict()

    def differences(name: str) -> int:
        given = unit.config.preset(name).to_dict()
        return sum(given[field] != value for field, value in wanted.items())

    return min(unit.presets, key=differences)


def _flat(axis: str, value: Any) -> Any:
    """Tiles and the like as text, 16x8x16 or 64x64+32x32; all else as JSON has it."""
    if not isinstance(value, (list, tuple)):
        return plain(value)
    value = tuple(map(tuple, value)) if isinstance(value, list) and value and isinstance(value[0], list) else value
    value = tuple(value) if isinstance(value, list) else value
    return text_of(axis, value) if isinstance(value, tuple) else plain(value)


@lru_cache(maxsize=2**12)
def _weights_text(workload: str, seed: int, layer: str | None, recipe: Recipe | None) -> str:
    """Members of a JSON object: the workload, and how it is pruned where that is not the default."""
    members: dict[str, Any] = {"workload": workload, "seed": seed, "layer": layer or "all"}
    members |= {"pattern": None, "criterion": None, "density": None} if recipe is None else _recipe_members(recipe)
    return _members(members)


def _recipe_members(recipe: Recipe) -> dict[str, Any]:
    """All fields but the seed, which is the study's; pattern, criterion and density first."""
    given = recipe.to_dict()
    del given["seed"]
    return {name: given.pop(name) for name in ("pattern", "criterion", "density")} | given


@lru_cache(maxsize=2**14)
def _design_text(design: Any, table_sha256: str | None) -> str:
    """Members of a JSON object: all fields of the design, the hash of a user's energy table, and the config's."""
    if isinstance(design, Refused):
        return _members({"unit": design.unit, **{name: _flat(name, value) for name, value in design.values}})
    unit = unit_of(design)
    members = {name: _flat(name, value) for name, value in design.to_dict().items()}
    chip = {"chip": chip_of(design)} if unit.presets else {}
    table = {} if table_sha256 is None else {"energy_table": table_sha256}
    hashes = {**table, "config_hash": config_hash(unit.name, design.to_dict(), *hashed(table_sha256))}
    return _members({"unit": unit.name, **chip, **members, **hashes})


def _members(values: dict[str, Any]) -> str:
    return json.dumps(values)[1:-1]
