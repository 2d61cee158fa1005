"""Search the axes for the designs that no other beats, where there are too many to run them all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from eie_sim.core.errors import require, require_callable
from eie_sim.energy import EnergyTable
from eie_sim.study.optimize import optimize
from eie_sim.study.point import Point
from eie_sim.study.points import densities_of, points_of, read_axes
from eie_sim.study.running import Progress, Runner, Sweep, Tally, runner_of
from eie_sim.study.subject import Subject, subject_of

TRIALS = 200


def search(
    source: Any,
    *,
    grid: Mapping[str, Any],
    objectives: Sequence[str],
    trials: int = TRIALS,
    activations: Any = None,
    activation_density: float | None = None,
    seed: int = 0,
    verify: bool = False,
    table: EnergyTable | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    unfit: bool = False,
    progress: Progress = lambda tally: None,
) -> Sweep:
    """Run at most `trials` of the combinations of a grid, chosen as `optimize` does, for the front of the objectives.

    All else as `run` has it. Started again with the same store, seed and trials it proposes the same designs, and takes
    those that were run from the store; with more trials it goes on. Designs that do not fit their memories count as
    infeasible, but where `unfit` is True.

    Raises InputError as `run` does, for unknown objectives, and where optuna is not installed.
    """
    require_callable("progress", progress)
    studies = read_axes(grid, None)
    subject = subject_of(
        source,
        activations=activations,
        activation_density=activation_density,
        seed=seed,
        densities=densities_of(studies),
        verify=verify,
        table=table,
    )
    with ExitStack() as stack:
        batches: list[Sweep] = []

        @cache
        def opened() -> Runner:
            return runner_of(stack, subject, store, executor=executor, workers=workers)

        def evaluate(designs: list[dict[str, Any]]) -> list[dict[str, Any]]:
            points = [_point_of(subject, design) for design in designs]
            runner = opened()  # not before: what is refused leaves no store behind
            batches.append(runner.run(points, axes=tuple(studies[0])))
            done, reused, failed = (sum(each) for each in zip(*map(_counted, batches), strict=True))
            progress(Tally(max(trials, done), done, reused, failed))
            return [{**row, "fits": True} for row in batches[-1].rows] if unfit else batches[-1].rows

        rows = optimize(studies[0], evaluate, objectives, trials=trials, seed=seed)
    return _together(batches, rows)


def _point_of(subject: Subject, design: Mapping[str, Any]) -> Point:
    points = points_of(subject, [{axis: (value,) for axis, value in design.items()}], keep_refused=True)
    rule = "must leave one point for each design: choose a layer, a vector and a unit"
    require(len(points) == 1, "grid", f"{len(points)} points", rule)
    return points[0]


def _counted(batch: Sweep) -> tuple[int, int, int]:
    return len(batch.texts), batch.reused, batch.failed


def _together(batches: list[Sweep], rows: list[dict[str, Any]]) -> Sweep:
    """All batches as one sweep, rows in the order in which they were proposed."""
    texts = {json.loads(text)["key"]: text for batch in batches for text in batch.texts}
    first = batches[0]
    return Sweep(
        texts=tuple(texts[row["key"]] for row in rows),
        axes=first.axes,
        reused=sum(batch.reused for batch in batches),
        failed=sum(batch.failed for batch in batches),
        seed=first.seed,
        subject=first.subject,
        store=first.store,
        damaged=first.damaged,
        aside=first.aside,
        energy_table=first.energy_table,
    )
