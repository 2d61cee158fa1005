"""Cases that a unit is checked on: designs near those that it has, small workloads, and bad values of every field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from fractions import Fraction
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from eie_sim.core.errors import InputError
from eie_sim.core.nm_pattern import Pattern
from eie_sim.units.unit import Unit

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

NODES_NM = (45, 28, 7)
"""Technology nodes that there are factors for."""

MOST_SIDE, MOST_VECTORS, MOST_CHANGES = 24, 3, 3
IN_ANOTHER_PROCESS = 12
"""Most cases that are run again in another process."""

Faults = Iterator[str]
"""A line for each fault."""

Rule = Callable[[Unit, Any], Faults]
"""Looks for faults of a unit on one example."""


class UnfitError(Exception):
    """A workload that the unit refuses, as it may: another one is drawn."""


class Case(NamedTuple):
    """A design, weights [n_out, n_in], and activations [n_in] or [n_vector, n_in]."""

    config: Any
    weights: Any
    activations: Any


class Bad(NamedTuple):
    """A value of one field; `must_fail` where no design could have it."""

    field: str
    value: Any
    must_fail: bool


def said(example: Any) -> str:
    """A design, or a case, in words: what of the design is not the default."""
    if isinstance(example, Case):
        weights, activations = ("x".join(map(str, given.shape)) for given in example[1:])
        return f"{said(example.config)}, weights {weights}, activations {activations}"
    default = {field.name: field.default for field in fields(example)}
    changed = {name: getattr(example, name) for name in default if getattr(example, name) != default[name]}
    return " ".join(f"{name}={value}" for name, value in changed.items()) or "default design"


def short(value: Any) -> str:
    """A bad value in a message."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python refuses to write out integers of thousands of digits
        return "10**5000"
    return text if len(text) <= 40 else f"{text[:37]}..."


def for_all(examples: SearchStrategy[Any], test: Callable[[Any], None], number: int) -> None:
    """Call `test` on so many examples, the same every time; what it raises comes for the smallest that was found."""
    import hypothesis

    @hypothesis.settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(examples)
    def each(example: Any) -> None:
        try:
            test(example)
        except UnfitError:
            hypothesis.reject()

    each()


def designs(unit: Unit) -> SearchStrategy[Any]:
    """The default, a preset, and either with a few fields changed to values near theirs."""
    from hypothesis import strategies as st

    return st.sampled_from(bases(unit)).flatmap(lambda config: near(unit, config))


def near(unit: Unit, config: Any) -> SearchStrategy[Any]:
    """A design with at most MOST_CHANGES fields changed; changes that it refuses are left out."""
    from hypothesis import strategies as st

    def changed(changes: list[tuple[str, Any]]) -> Any:
        design = config
        for name, value in changes:
            with suppress(InputError):
                design = replace(design, **{name: value})
        return design

    steps = [(field.name, value) for field in fields(config) for value in beside(unit, config, field.name)]
    return st.lists(st.sampled_from(steps), max_size=MOST_CHANGES).map(changed)


def cases(unit: Unit) -> SearchStrategy[Case]:
    """A small workload for any of the designs, or an example of the unit's own on a design near that of the example."""
    from hypothesis import strategies as st

    any_case = designs(unit).flatmap(lambda config: workloads(unit, config))
    examples = unit.examples
    if examples is None:
        return any_case
    own = st.integers(0, 2**32 - 1).map(lambda seed: Case(*examples(np.random.default_rng(seed))))
    return any_case | own.flatmap(lambda case: near(unit, case.config).map(lambda config: case._replace(config=config)))


def workloads(unit: Unit, config: Any) -> SearchStrategy[Case]:
    """Small integers, as floats or integers; pruned at random, or to a pattern that the design makes use of."""
    from hypothesis import strategies as st

    patterns = (None, *(unit.patterns(config) or ()))

    @st.composite
    def drawn(draw: Any) -> Case:
        n_out, n_in = draw(st.integers(1, MOST_SIDE)), draw(st.integers(1, MOST_SIDE))
        n_vector, pattern = draw(st.integers(0, MOST_VECTORS)), draw(st.sampled_from(patterns))
        kind, density = draw(st.sampled_from((np.float32, np.int64))), draw(st.sampled_from((0.4, 0.1, 1.0, 0.0)))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        kept = rng.random((n_out, n_in)) < density if pattern is None else _first_of(pattern, n_out, n_in)
        weights = np.where(kept, rng.integers(-8, 9, (n_out, n_in)), 0)
        shape = (n_vector, n_in) if n_vector else (n_in,)
        active = rng.random(shape) < draw(st.sampled_from((0.7, 1.0, 0.0)))
        activations = np.where(active, rng.integers(-3, 9, shape), 0)
        return Case(config, weights.astype(kind), activations.astype(kind))

    built: SearchStrategy[Case] = drawn()
    return built


def _first_of(pattern: Pattern, n_out: int, n_in: int) -> Any:
    """The first n_keep inputs of every m_group."""
    n_keep, m_group = pattern
    return np.tile(np.arange(n_in) % m_group < n_keep, (n_out, 1))


def bases(unit: Unit) -> list[Any]:
    """The default design and the presets, but for those that make none: the check of presets says so."""
    found = [unit.config()]
    for name in unit.presets:
        with suppress(Exception):
            found.append(unit.config.preset(name))
    return found


def beside(unit: Unit, config: Any, field: str) -> Iterable[Any]:
    """Values of a field that are near its own; not all of them are valid."""
    value = getattr(config, field)
    if field == "node_nm" or field in unit.choices:
        return unit.choices.get(field, NODES_NM)
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return sorted({1, 2, 3, value // 2, value - 1, value + 1, 2 * value})
    if isinstance(value, (float, Fraction)):
        return value / 2, value * 2, value + 1
    return (value[:1], value[1:], value[::-1]) if isinstance(value, tuple) else (1, 3)


def bad_values(unit: Unit) -> list[Bad]:
    """Return bad values of every field: other types, no numbers, numbers out of range, and words that are no choice."""
    kinds = {name: set(_kinds(hint)) for name, hint in get_type_hints(unit.config).items()}
    return [
        Bad(field.name, value, must_fail)
        for field in fields(unit.config)
        for value, must_fail in _bad(kinds[field.name], field.name in unit.choices)
    ]


def _kinds(hint: Any) -> Iterator[Any]:
    """The types that a hint allows; of `tuple[int, ...]` tuple alone."""
    origin = get_origin(hint)
    if origin is None or (isinstance(origin, type) and issubclass(origin, (tuple, list, dict))):
        yield origin or (hint if isinstance(hint, type) else type(hint))  # a word of a Literal is text
    else:
        for inner in get_args(hint):
            yield from _kinds(inner)


def _bad(kinds: set[Any], is_choice: bool) -> Iterator[tuple[Any, bool]]:
    """Values, and whether each must be refused: that a quantity is zero may be right."""
    yield from ((value, True) for value in (object(), {}, np.zeros(2)))
    yield None, NoneType not in kinds
    if bool not in kinds:
        yield from ((value, True) for value in (True, False))
    if kinds & {int, float}:
        huge = (2**70, 10**5000) if int in kinds else (1e300, 10**5000)
        yield from ((value, True) for value in (float("nan"), float("inf"), -1, -0.5, "many", "nan", *huge))
        yield 0, False
        if not kinds & {float, str}:
            yield from ((value, True) for value in (1.5, "1"))
    elif str in kinds:
        yield from ((value, True) for value in (1, float("nan")))
        yield from ((value, True) for value in ("no such choice", "") if is_choice)
    elif kinds & {tuple, list}:
        yield from ((value, True) for value in (1, float("nan"), "many", (object(),), (float("nan"),), ("many",)))
    elif bool in kinds:
        yield from ((value, True) for value in (2, "true", float("nan")))


def _once(unit: Unit, examples: int) -> list[Any]:
    return [None]


def _several(unit: Unit, examples: int) -> list[Any]:
    """Cases, in one list."""
    found: list[Case] = []
    for_all(cases(unit), found.append, min(examples, IN_ANOTHER_PROCESS))
    return [found]


LISTED: dict[str, Callable[[Unit, int], list[Any]]] = {
    "once": _once,
    "bad values": lambda unit, examples: bad_values(unit),
    "several cases": _several,
}
"""Examples of a kind that are all tried."""

DRAWN: dict[str, Callable[[Unit], SearchStrategy[Any]]] = {"designs": designs, "cases": cases}
"""Examples of a kind that are drawn."""
