"""What is swept: from values by axis, or single combinations, to points that share their work with their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import prod
from typing import Any

from eie_sim.core.errors import InputError, require, require_type, unknown
from eie_sim.core.nm_pattern import meant
from eie_sim.recipe import Recipe
from eie_sim.study.axes import PRUNING, WORKLOAD, known_axes, plain, text_of, unit_names, values_of
from eie_sim.study.evaluator import shared_by
from eie_sim.study.point import Point, Refused, key_of, unit_name
from eie_sim.study.subject import Subject
from eie_sim.units import unit_named
from eie_sim.units.unit import Unit

MAX_POINTS = 2_000_000
"""Of one sweep; a row takes about a kilobyte."""

ALL, EACH = "all", "each"

Values = dict[str, tuple[Any, ...]]
Combination = dict[str, Any]


def read_axes(grid: Mapping[str, Any] | None, points: Sequence[Mapping[str, Any]] | None) -> list[Values]:
    """Values by axis: of the grid, all of whose combinations are run, and of each single point.

    Raises InputError for unknown axes and for values that cannot be read.
    """
    require_type("grid", grid, Mapping, type(None))
    require_type("points", points, list, tuple, type(None))
    given = [{axis: values_of(axis, value) for axis, value in (grid or {}).items()}] if grid or not points else []
    for at, point in enumerate(points or ()):
        require_type(f"points[{at}]", point, Mapping)
        one = {axis: values_of(axis, (value,)) for axis, value in point.items()}
        for axis, values in one.items():
            require(len(values) == 1, f"points[{at}]: {axis}", point[axis], "must be a single value")
        given.append(one)
    return given


def densities_of(studies: Iterable[Values]) -> tuple[float, ...]:
    """All densities that are pruned to, ascending."""
    return tuple(sorted({float(density) for study in studies for density in study.get("density", ()) if density}))


def points_of(subject: Subject, studies: Sequence[Values], *, keep_refused: bool = False) -> list[Point]:
    """Every point once, in the order of the axes.

    keep_refused : have points also of values of which no combination here is a design

    Raises InputError for layers and vectors that are not there, for an axis that no unit of the study has, for values
    of which no combination is a design, and for too many points.
    """
    found: dict[str, Point] = {}
    for study in studies:
        for point in _expanded(subject, study, keep_refused):
            found.setdefault(point.key, point)
    return list(found.values())


def bundles_of(subject: Subject, points: Iterable[Point]) -> list[list[Point]]:
    """Points that share a layer, or a pruned network, together; neighbours share most."""
    bundles: dict[Hashable, list[Point]] = {}
    for point in points:
        key = (point.layer,) if point.layer is not None and not subject.chained else (point.layer, point.recipe)
        bundles.setdefault(key, []).append(point)
    return [_in_streams(bundle) for bundle in bundles.values()]


def _in_streams(bundle: list[Point]) -> list[Point]:
    """In order of first appearance: recipes, then what is counted once, then the vectors."""
    streams: dict[tuple[Recipe | None, Hashable], dict[Hashable, list[Point]]] = {}
    for point in bundle:
        counted, stream = shared_by(point)
        streams.setdefault((point.recipe, counted), {}).setdefault(stream, []).append(point)
    by_recipe: dict[Hashable, list[Point]] = {}
    for (recipe, _), groups in streams.items():
        by_recipe.setdefault(recipe, []).extend(point for group in groups.values() for point in group)
    return [point for group in by_recipe.values() for point in group]


def _expanded(subject: Subject, study: Values, keep_refused: bool) -> Iterator[Point]:
    layers = _layers(subject, study.get("layer", (ALL if subject.chained else EACH,)))
    vectors = _vectors(subject, study.get("vector", (ALL,)))
    units = units_of(study)
    if subject.table is not None:
        for unit in units:
            fits = subject.table.components == unit_named(unit).words.components
            require(fits, "table", subject.table.name, f"must be one for the {unit} unit, which is swept")
    pruning = [axis for axis in study if known_axes()[axis].group == PRUNING]
    n_design = sum(_combinations(study, _of_unit(study, unit)) for unit in units)
    n_point = len(layers) * len(vectors) * n_design * _combinations(study, pruning)
    require(n_point <= MAX_POINTS, "points", f"{n_point:,}", f"must be at most {MAX_POINTS:,}")
    recipes: list[Any] = [None]
    if pruning:
        recipes = _built(study, pruning, partial(_recipe, subject.seed), "weights", keep_refused)
    designs = [
        design
        for unit in units
        for design in _built(study, _of_unit(study, unit), partial(_design, unit_named(unit)), unit, keep_refused)
    ]
    for layer, recipe, design, vector in product(layers, recipes, designs, vectors):
        if isinstance(recipe, Refused):  # no weights, whatever the design is
            values = design.values if isinstance(design, Refused) else _kept(design.to_dict())
            refused = Refused(unit_name(design), (*recipe.values, *values), recipe.message)
            yield Point(key_of(subject.study, layer, vector, None, refused), layer, vector, None, refused)
        else:
            yield Point(key_of(subject.study, layer, vector, recipe, design), layer, vector, recipe, design)


def _layers(subject: Subject, given: Sequence[str]) -> list[str | None]:
    found: list[str | None] = []
    for name in given:
        if name == ALL:
            found.append(None)
        elif name == EACH:
            found += subject.layers
        elif name in subject.layers:
            found.append(name)
        else:
            raise unknown("layer", name, (*subject.layers, ALL, EACH))
    only = len(subject.layers) == 1
    return list(dict.fromkeys(subject.layers[0] if only else name for name in found))


def _vectors(subject: Subject, given: Sequence[Any]) -> list[int | None]:
    found: list[int | None] = []
    for vector in given:
        if vector == EACH:
            found += range(subject.n_vector)
        else:
            rule = f"must be in 0..{subject.n_vector - 1}, there are {subject.n_vector} vectors; or all, or each"
            require(vector == ALL or vector < subject.n_vector, "vector", vector, rule)
            found.append(None if vector == ALL else vector)
    return list(dict.fromkeys(found))


def units_of(study: Values) -> tuple[str, ...]:
    """Units of a study by name: those asked for; else those that the axes are of, the first where they are of none."""
    known, names = known_axes(), unit_names()
    of_one = {axis: known[axis].units[0] for axis in study if len(known[axis].units) == 1}
    units = study.get("unit") or tuple(unit for unit in names if unit in of_one.values()) or names[:1]
    for axis, unit in of_one.items():
        said = ",".join(text_of(axis, value) for value in study[axis][:4])
        require(unit in units, axis, said, f"needs unit {unit}, which is not swept")
    return units


def _of_unit(study: Values, unit: str) -> list[str]:
    """Axes of a unit's design; chip is among the workload's."""
    known = known_axes()
    designs = [axis for axis in study if known[axis].group not in (PRUNING, WORKLOAD) and unit in known[axis].units]
    return (["chip"] if "chip" in study and unit in known["chip"].units else []) + designs


def _combinations(study: Values, names: Iterable[str]) -> int:
    return prod(len(study[name]) for name in names)


def _built(
    study: Values, names: list[str], make: Callable[[Combination], Any], unit: str, keep_refused: bool
) -> list[Any]:
    """What is made of every combination of the axes, once each; refused ones too, but for values that never work."""
    found: list[Any] = []
    works: set[tuple[str, Any]] = set()
    why: dict[tuple[str, Any], InputError] = {}
    for values in product(*(study[name] for name in names)):
        combination = dict(zip(names, values, strict=True))
        try:
            found.append(make(combination))
            works.update(combination.items())
        except InputError as error:
            found.append(Refused(unit, _kept(combination), str(error)))
            for pair in combination.items():
                why.setdefault(pair, error)
    never = [pair for pair in why if pair not in works]
    if never and not keep_refused:
        raise why[never[0]]
    return list(dict.fromkeys(found))


def _recipe(seed: int, values: Combination) -> Recipe:
    given = dict(values)
    if meant(given.get("pattern", "")):
        given.pop("density", None)  # N of M says it
    else:
        rule = "must be given, a fraction of the weights to keep"
        require(given.get("density") is not None, "density", "none", rule)
    return Recipe(**given, seed=seed)


def _design(unit: Unit, values: Combination) -> Any:
    given = dict(values)
    return unit.config.preset(given.pop("chip", unit.start), **given) if unit.presets else unit.config(**given)


def _kept(values: Combination) -> tuple[tuple[str, Any], ...]:
    """Values as JSON has them, but lists as tuples: keys are made of them."""
    return tuple((axis, _frozen(plain(value))) for axis, value in values.items())


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
