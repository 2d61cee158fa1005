"""Search: a few hundred designs, chosen one after the other, where a grid is too large to run whole."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.errors import (
    InputError,
    is_number,
    require,
    require_all,
    require_callable,
    require_int,
    require_seed,
    require_type,
)
from eie_sim.study.pareto import costs, reason_left_out, require_objectives, undominated

__all__ = ["BATCH", "START", "optimize"]

Row = dict[str, Any]
Point = tuple[int, ...]
"""A design as the place of its value on each axis."""

Evaluate = Callable[[list[dict[str, Any]]], Sequence[Row]]
Progress = Callable[[str], None]

BATCH = 8
START = 20
"""Designs that are drawn at random before the sampler is asked."""

TURNS = ("sampler", "neighbour", "sampler", "random")
"""Where designs after those come from. Neighbours cost little and polish; random ones lead out of where both stick."""

MISSING = "needs optuna, which is not installed: pip install 'eie-sim[optuna]'"


def optimize(
    space: Mapping[str, Sequence[Any]],
    evaluate: Evaluate,
    objectives: Sequence[str],
    *,
    trials: int,
    seed: int = 0,
    batch: int = BATCH,
    progress: Progress = lambda step: None,
) -> list[Row]:
    """Rows of `trials` distinct designs that are chosen to come near the Pareto front, in the order they were run.

    space : the listed values of each axis, numbers, words, tuples or None; an axis of numbers has an order, others have
        none
    evaluate : takes up to `batch` designs, each axis to value, and returns a row of each, in order; best from a store,
        where a row is already, so that a search that was stopped goes on where it was
    objectives : two or more names of pareto.OBJECTIVES
    trials : distinct designs to run; all of the space, where it has fewer
    batch : designs chosen before any of them is run, such as one per worker

    The first 20 are random, but each value of an axis comes equally often. After them two in four are proposed by
    optuna, its multivariate TPE for several objectives, over the axes; one is a random one of the unseen neighbours of
    the front so far (one step along an axis of numbers, or any other word), and one is random. Where the sampler
    repeats itself a neighbour is taken, and where all of those were seen any random unseen design. Rows with an
    `error`, with `fits` false or without an objective count as trials, but front and sampler are not told of them.

    The same space, objectives, seed and batch choose the same designs in the same order (with the same release of
    optuna), and more trials only add to them. Nothing is kept on disk. Raises InputError for bad input, for rows that
    do not answer the designs, and where optuna is not installed.
    """
    names = require_objectives(objectives)
    axes = _axes_of(space)
    require_callable("evaluate", evaluate)
    require_int("trials", trials, 1)
    require_seed(seed)
    require_int("batch", batch, 1)
    require_callable("progress", progress)
    trials = min(trials, math.prod(len(axis.values) for axis in axes))
    rows: list[Row] = []
    with _quiet_optuna() as optuna:
        search = _Search(optuna, axes, names, int(seed))
        while len(rows) < trials:
            points = [search.propose() for _ in range(min(batch, trials - len(rows)))]
            found = _answers(evaluate([_design(axes, point) for point in points]), len(points))
            search.learn(points, found)
            rows += found
            progress(f"{len(rows)} of {trials} designs, {len(search.front)} on the front")
    return rows


class _Axis(NamedTuple):
    """values : in the sampler's order; ordered : whether two values that stand side by side are near."""

    name: str
    values: tuple[Any, ...]
    ordered: bool


class _Search:
    """What has been chosen and found so far.

    waiting : points that the sampler proposed, whose rows are not in yet, and its trials
    points, costs : feasible ones in order, and their objectives; front : those that no other beats
    """

    def __init__(self, optuna: Any, axes: tuple[_Axis, ...], objectives: tuple[str, ...], seed: int) -> None:
        own, theirs = np.random.SeedSequence(seed).spawn(2)
        self.rng = np.random.default_rng(own)
        self.optuna, self.axes, self.objectives = optuna, axes, objectives
        self.study = _study(optuna, len(objectives), int(theirs.generate_state(1)[0]))
        self.distributions = {axis.name: _distribution(optuna, axis) for axis in axes}
        self.decks: list[list[int]] = [[] for _ in axes]
        self.seen: set[Point] = set()
        self.waiting: dict[Point, Any] = {}
        self.points: list[Point] = []
        self.costs = np.empty((0, len(objectives)))
        self.front: list[Point] = []

    def propose(self) -> Point:
        """A point that was not proposed before."""
        turn = "random" if len(self.seen) < START else TURNS[len(self.seen) % len(TURNS)]
        point = {"sampler": self._asked, "neighbour": self._near_front, "random": self._dealt}[turn]()
        point = point or self._near_front() or self._unseen()
        self.seen.add(point)
        return point

    def learn(self, points: Sequence[Point], rows: Sequence[Row]) -> None:
        """Tell the sampler what proposed points came to."""
        feasible = [reason_left_out(row, self.objectives) is None for row in rows]
        good = [point for point, ok in zip(points, feasible, strict=True) if ok]
        found = costs([row for row, ok in zip(rows, feasible, strict=True) if ok], self.objectives)
        for point, values in zip(good, found.tolist(), strict=True):
            trial = self.waiting.pop(point, None)
            if trial is None:
                self._add(point, values)
            else:
                self.study.tell(trial, values)
        for trial in self.waiting.values():
            self._forget(trial)
        self.waiting.clear()
        self.points += good
        self.costs = np.concatenate([self.costs, found])
        self.front = [self.points[at] for at in np.flatnonzero(undominated(self.costs))]

    def _dealt(self) -> Point:
        """A random point, from a shuffled deck of the values of each axis; where it was seen, from no deck."""
        for deck, axis in zip(self.decks, self.axes, strict=True):
            if not deck:
                deck.extend(self.rng.permutation(len(axis.values)).tolist())
        point = tuple(deck.pop() for deck in self.decks)
        return self._unseen() if point in self.seen else point

    def _asked(self) -> Point | None:
        """What the sampler proposes; None where it was seen."""
        trial = self.study.ask(self.distributions)
        point = tuple(trial.params[axis.name] for axis in self.axes)
        if point in self.seen:
            self._forget(trial)
            return None
        self.waiting[point] = trial
        return point

    def _near_front(self) -> Point | None:
        """A random one of the unseen neighbours of the front; None where there is none."""
        near = sorted({other for point in self.front for other in _neighbours(self.axes, point)} - self.seen)
        return near[self.rng.integers(len(near))] if near else None

    def _unseen(self) -> Point:
        """A random one of the unseen points."""
        sizes = [len(axis.values) for axis in self.axes]
        for _ in range(100):  # most often the first is one
            point = tuple(self.rng.integers(sizes).tolist())
            if point not in self.seen:
                return point
        left = [point for point in itertools.product(*map(range, sizes)) if point not in self.seen]
        return left[self.rng.integers(len(left))]

    def _add(self, point: Point, values: list[float]) -> None:
        """Tell the sampler of a point that it did not propose."""
        params = {axis.name: at for axis, at in zip(self.axes, point, strict=True)}
        trial = self.optuna.trial.create_trial(params=params, distributions=self.distributions, values=values)
        self.study.add_trial(trial)

    def _forget(self, trial: Any) -> None:
        self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)


def _axes_of(space: Any) -> tuple[_Axis, ...]:
    require_type("space", space, Mapping)
    require(len(space) > 0, "space", "none", "must have at least one axis")
    return tuple(_axis_of(name, values) for name, values in space.items())


def _axis_of(name: Any, values: Any) -> _Axis:
    """One axis; numbers are put in order. Raises InputError for values that are none, twice, or of another kind."""
    require_type("space", name, str)
    require_type(f"space[{name}]", values, list, tuple, range)
    require(len(values) > 0, f"space[{name}]", "none", "must be at least one value")
    seen: set[Any] = set()
    for value in values:
        ok = is_number(value) and -math.inf < value < math.inf
        ok = ok or isinstance(value, (str, bool, tuple, type(None)))
        require(ok, f"space[{name}]", value, "must be finite numbers, words, tuples or None")
        require(value not in seen, f"space[{name}]", value, "must not be listed twice")
        seen.add(value)
    ordered = all(map(is_number, values))
    return _Axis(name, tuple(sorted(values) if ordered else values), ordered)


def _design(axes: tuple[_Axis, ...], point: Point) -> dict[str, Any]:
    return {axis.name: axis.values[at] for axis, at in zip(axes, point, strict=True)}


def _neighbours(axes: tuple[_Axis, ...], point: Point) -> Iterator[Point]:
    """Points that differ on one axis: by one step where it has an order, by any other word where it has none."""
    for at, axis in enumerate(axes):
        here = point[at]
        others = (here - 1, here + 1) if axis.ordered else range(len(axis.values))
        for other in others:
            if other != here and 0 <= other < len(axis.values):
                yield (*point[:at], other, *point[at + 1 :])


def _answers(rows: Any, asked: int) -> list[Row]:
    require_all("evaluate", rows, dict)
    require(len(rows) == asked, "evaluate", f"{len(rows)} rows", f"must be {asked}, one for each design")
    return list(rows)


def _distribution(optuna: Any, axis: _Axis) -> Any:
    """Places on an axis, as optuna has them."""
    if axis.ordered:
        return optuna.distributions.IntDistribution(0, len(axis.values) - 1)
    return optuna.distributions.CategoricalDistribution(range(len(axis.values)))


def _study(optuna: Any, n_objective: int, seed: int) -> Any:
    with warnings.catch_warnings():  # optuna 4 calls the first two options experimental; their meaning did not change
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(multivariate=True, constant_liar=True, n_startup_trials=1, seed=seed)
    return optuna.create_study(directions=["minimize"] * n_objective, sampler=sampler)


@contextmanager
def _quiet_optuna() -> Iterator[Any]:
    """Optuna, saying nothing meanwhile. Raises InputError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise InputError(f"optimize: {MISSING}") from error
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)
