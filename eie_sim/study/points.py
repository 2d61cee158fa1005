"""Points of a sweep: from values by axis, or single combinations, to points that share work with their neighbours.

A sweep has at most 2,000,000 points (`MAX_POINTS`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, refused, require, require_type, unknown
from eie_sim.core.nm_pattern import meant
from eie_sim.prune.recipe import Recipe
from eie_sim.study.axes import PRUNING, WORKLOAD, known_axes, plain, text_of, unit_names, values_of
from eie_sim.study.subject import Subject, digest_of
from eie_sim.units import unit_named, unit_of
from eie_sim.units.unit import Unit

MAX_POINTS = 2_000_000
"""Most points of a sweep, and rows of a report of one; a row takes about a kilobyte."""

KEY_BYTES = 16
ALL, EACH = "all", "each"

Values = dict[str, tuple[Any, ...]]


class Refused(NamedTuple):
    """A combination of values by axis that is no design, or no recipe, and the rule that they break."""

    unit: str
    values: tuple[tuple[str, Any], ...]
    message: str


class Point(NamedTuple):
    """A point of a sweep: the weights, the vectors and the design of one run."""

    key: str  # 32 hex digits
    layer: str | None  # None for all of them
    vector: int | None  # from 0; None for all of them
    recipe: Recipe | None  # None for the weights as they are
    design: Any  # of any unit, or a Refused


def key_of(study: bytes, layer: str | None, vector: int | None, recipe: Recipe | None, design: Any) -> str:
    """The key of a point. study : digest of the version, the workload and what is asked of every point."""
    digest = hashlib.blake2b(study, digest_size=KEY_BYTES)
    digest.update(_digest_of_weights(layer, recipe))
    digest.update(_digest_of_design(design))
    digest.update(b"all" if vector is None else str(vector).encode())
    return digest.hexdigest()


@lru_cache(maxsize=2**16)
def _digest_of_weights(layer: str | None, recipe: Recipe | None) -> bytes:
    return digest_of([layer, None if recipe is None else recipe.to_dict()])


@lru_cache(maxsize=2**16)
def _digest_of_design(design: Any) -> bytes:
    if isinstance(design, Refused):
        return digest_of([*design])
    return digest_of([type(design).__name__, design.to_dict()])


def shared_by(point: Point) -> tuple[Hashable, Hashable]:
    """Return what a point shares with others: what is counted once, and what is run once; None for nothing."""
    if isinstance(point.design, Refused):
        return None, None
    counted, run = unit_of(point.design).alike(point.design)
    return counted, None if run is None else (point.layer, point.vector, point.recipe, run)


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
    of which no combination is a design, and for more than MAX_POINTS.
    """
    found: dict[str, Point] = {}
    for study in studies:
        for point in _expanded(subject, study, keep_refused):
            found.setdefault(point.key, point)
        require(len(found) <= MAX_POINTS, "points", f"{len(found):,}", f"must be at most {MAX_POINTS:,}")
    return list(found.values())


def units_of(study: Values) -> tuple[str, ...]:
    """Units of a study by name: those asked for; else those that the axes are of, the first where they are of none."""
    known, names = known_axes(), unit_names()
    of_one = {axis: known[axis].units[0] for axis in study if len(known[axis].units) == 1}
    units = study.get("unit") or tuple(unit for unit in names if unit in of_one.values()) or names[:1]
    for axis, unit in of_one.items():
        said = ",".join(text_of(axis, value) for value in study[axis][:4])
        require(unit in units, axis, said, f"needs unit {unit}, which is not swept")
    return units


def bundles_of(subject: Subject, points: Iterable[Point]) -> list[list[Point]]:
    """Points that share a layer, or a pruned network, together: by recipe, what is counted once, what is run once."""
    bundles: dict[Hashable, list[Point]] = {}
    for point in points:
        alone = point.layer is not None and not subject.chained
        key: Hashable = (point.layer,) if alone else (point.layer, point.recipe)
        key = (point.recipe,) if subject.graph is not None else key  # all layers read what one run passes on
        bundles.setdefault(key, []).append(point)
    for bundle in bundles.values():
        places: dict[Hashable, int] = {}  # of groups, in order of first appearance

        def order(point: Point, places: dict[Hashable, int] = places) -> tuple[int, int, int]:
            counted, run = shared_by(point)
            pruned = places.setdefault((point.recipe,), len(places))
            once = places.setdefault((pruned, counted), len(places))
            return pruned, once, places.setdefault((pruned, once, run), len(places))

        bundle.sort(key=order)
    return list(bundles.values())


def _expanded(subject: Subject, study: Values, keep_refused: bool) -> Iterator[Point]:
    """The points of a grid, or of a single combination."""
    layers = _layers(subject, study.get("layer", (ALL if subject.chained else EACH,)))
    vectors = _vectors(subject, study.get("vector", (ALL,)))
    units = [unit_named(name) for name in units_of(study)]
    for unit in units:
        if subject.table is not None and subject.table.components != unit.words.components:
            raise refused("table", subject.table.name, f"must be one for the {unit.name} unit, which is swept")
    pruning = [axis for axis in study if known_axes()[axis].group == PRUNING]
    of_units = [_axes_of_unit(study, unit) for unit in units]
    n_design = sum(prod(len(study[axis]) for axis in axes) for axes in of_units)
    n_point = len(layers) * len(vectors) * n_design * prod(len(study[axis]) for axis in pruning)
    require(n_point <= MAX_POINTS, "points", f"{n_point:,}", f"must be at most {MAX_POINTS:,}")
    recipes: list[Any] = [None]
    if pruning:
        recipes = _built(study, pruning, partial(_recipe, subject.seed), "weights", keep_refused)
    designs: list[Any] = []
    for unit, axes in zip(units, of_units, strict=True):
        designs += _built(study, axes, partial(_design, unit), unit.name, keep_refused)
    for layer, recipe, design, vector in product(layers, recipes, designs, vectors):
        weights, on = recipe, design
        if isinstance(recipe, Refused):  # no weights, whatever the design is
            of = design[:2] if isinstance(design, Refused) else (unit_of(design).name, _frozen_items(design.to_dict()))
            weights, on = None, Refused(of[0], (*recipe.values, *of[1]), recipe.message)
        yield Point(key_of(subject.study, layer, vector, weights, on), layer, vector, weights, on)


def _layers(subject: Subject, given: Iterable[str]) -> list[str | None]:
    """Layers in the order asked for, None for all at once."""
    found: dict[str | None, None] = {}
    for name in given:
        if name not in (ALL, EACH, *subject.layers):
            raise unknown("layer", name, (*subject.layers, ALL, EACH))
        found |= dict.fromkeys([None] if name == ALL else subject.layers if name == EACH else [name])
    return [*subject.layers] if len(subject.layers) == 1 else [*found]


def _vectors(subject: Subject, given: Iterable[Any]) -> list[int | None]:
    """Vectors in the order in which they are asked for, None for all at once."""
    n_vector, found = subject.n_vector, dict[int | None, None]()
    if subject.graph is not None:
        given = tuple(given)
        rule = "must be all for a graph of operators, each product has positions of its own; eie-sim trace shows one"
        require(given == (ALL,), "vector", ",".join(map(str, given)), rule)
    rule = f"must be in 0..{n_vector - 1}, there are {n_vector} vectors; or all, or each"
    for frame in given:
        require(frame in (ALL, EACH) or frame < n_vector, "vector", frame, rule)
        found |= dict.fromkeys([None] if frame == ALL else range(n_vector) if frame == EACH else [frame])
    return [*found]


def _axes_of_unit(study: Values, unit: Unit) -> list[str]:
    """Axes of a unit's designs: the preset to start from first, then fields."""
    known = {axis: known_axes()[axis] for axis in sorted(study, key=lambda axis: axis != "chip")}
    fields = [axis for axis in known if axis == "chip" or known[axis].group not in (PRUNING, WORKLOAD)]
    return [axis for axis in fields if unit.name in known[axis].units]


def _built(
    study: Values, names: list[str], make: Callable[[dict[str, Any]], Any], unit: str, keep_refused: bool
) -> list[Any]:
    """Make something of every combination of the axes, once each; refused ones too, if their values work elsewhere."""
    found: dict[Any, None] = {}
    works: set[tuple[str, Any]] = set()
    why: dict[tuple[str, Any], InputError] = {}
    for values in product(*(study[name] for name in names)):
        combination = dict(zip(names, values, strict=True))
        try:
            found[make({**combination})] = None
            works.update(combination.items())
        except InputError as error:
            found[Refused(unit, _frozen_items(combination), str(error))] = None
            for pair in combination.items():
                why.setdefault(pair, error)
    never = [pair for pair in why if pair not in works]
    if never and not keep_refused:
        raise why[never[0]]
    return [*found]


def _recipe(seed: int, values: dict[str, Any]) -> Recipe:
    if meant(values.get("pattern", "")):
        values.pop("density", None)  # N of M says it
    elif values.get("density") is None:
        raise refused("density", "none", "must be given, a fraction of the weights to keep")
    return Recipe(**values, seed=seed)


def _design(unit: Unit, values: dict[str, Any]) -> Any:
    return unit.config.preset(values.pop("chip", unit.start), **values) if unit.presets else unit.config(**values)


def _frozen_items(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Values as JSON has them, but lists as tuples: keys are made of them."""
    return tuple((axis, _frozen(plain(value))) for axis, value in values.items())


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
