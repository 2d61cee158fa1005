"""Run a sweep: points that are in the store already are taken from it, all others are computed and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eie_sim.core.brief import shows
from eie_sim.core.errors import refused, require_callable, require_type
from eie_sim.core.numbers import counted
from eie_sim.energy.table import EnergyTable, given_lines
from eie_sim.study.evaluator import line_of
from eie_sim.study.points import Point, bundles_of, densities_of, points_of, read_axes
from eie_sim.study.reading import require_version, shown
from eie_sim.study.showing import FIRST_ROWS, rows_card
from eie_sim.study.store import Store
from eie_sim.study.subject import Subject, subject_of
from eie_sim.study.table import Rows
from eie_sim.study.work import execute, require_workers


class Tally(NamedTuple):
    """Progress of a sweep: points in all, done, of them reused from the store, and failed."""

    total: int
    done: int
    reused: int
    failed: int


Progress = Callable[[Tally], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sweep:
    """The rows of a sweep, and where they come from. Build one with `run`.

    lines : a row of JSON for each point, in the order of the study
    axes : names of the axes that were given
    reused : points taken from the store; failed : points with an error
    store : its path, or None; damaged : lines of it that are left out
    seed : of whatever was drawn
    energy_table : what the user gave of the energies, as `EnergyTable.trace` has it, or None
    subject : what was swept, where that is known
    """

    lines: tuple[bytes, ...]
    axes: tuple[str, ...]
    reused: int
    failed: int
    seed: int
    subject: Subject | None = None
    store: Path | None = None
    damaged: int = 0
    energy_table: dict[str, Any] | None = None

    __repr__ = shows("axes", "reused", "failed", "store", "seed", points=lambda self: len(self.lines))

    @cached_property
    def rows(self) -> Rows:
        """A dict for each point: what it is, its figures (see `FIGURES`), and its error, None for none.

        Raises InputError for a row of the store that somebody changed so that nobody could show it.
        """
        return self._read(self.lines)

    def _repr_html_(self) -> str:
        """Return the table of a notebook: the first rows, and how many there are; all others stay text."""
        first = self._read(self.lines[:FIRST_ROWS])
        name = first[0].get("workload", "") if first else "sweep"
        counts = f"{counted(len(self.lines), 'point')}, {self.reused:,} of them reused, {self.failed:,} failed"
        lines = [f"{counts}; seed {self.seed}; " + ("no store" if self.store is None else f"rows in {self.store}")]
        lines += given_lines(self.energy_table, swept=True)
        return rows_card(name, first, self.axes, total=len(self.lines), lines=lines)

    def _read(self, lines: Sequence[bytes]) -> Rows:
        rows = Rows.of(lines)
        if self.reused and not (good := shown(rows)).all():
            key = rows[int(good.argmin())]["key"]
            rule = f"row {key} is none of a sweep's; take its line out to have it run again"
            raise refused("store", self.store, rule)
        return rows


def run(
    source: Any,
    *,
    grid: Mapping[str, Any] | None = None,
    points: Sequence[Mapping[str, Any]] | None = None,
    inputs: Any = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    calibration: Any = None,
    labels: Any = None,
    activations: Any = None,
    activation_density: float | None = None,
    seed: int = 0,
    verify: bool = False,
    table: EnergyTable | None = None,
    store: str | Path | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress = lambda tally: None,
) -> Sweep:
    """Sweep a workload over axes of pruning and hardware.

    source, activations, activation_density, seed : as `load` takes them
    inputs, shapes, calibration, labels : of a graph of operators, or of its file, as `load` takes them
    grid : values by axis, all of whose combinations are run: lists, ranges, arrays, or text such as "0.02:0.5:20"
    points : single combinations besides, a value by axis each
    verify : encode every layer, multiply, and compare with the golden product; else entries are only counted
    table : energies for the designs, all of the table's unit; what the user gave in it is taken as given at every
        node and clock, and all else is default and scaled to the design's node
    store : file that keeps the rows, one JSON object a line; what is in it is not computed again
    executor : who computes; else this process and, where it takes longer, a pool of `workers` processes

    Raises InputError for what cannot be read, and for a store that is in use. A point that breaks a rule has a row
    with its error.
    """
    require_callable("progress", progress)
    studies = read_axes(grid, points)
    subject = subject_of(
        source,
        inputs=inputs,
        shapes=shapes,
        calibration=calibration,
        labels=labels,
        activations=activations,
        activation_density=activation_density,
        seed=seed,
        densities=densities_of(studies),
        verify=verify,
        table=table,
    )
    wanted = points_of(subject, studies)  # before the store: what is refused leaves none behind
    with ExitStack() as stack:
        runner = runner_of(stack, subject, store, executor=executor, workers=workers)
        axes = tuple(dict.fromkeys(axis for study in studies for axis in study))
        return runner.run(wanted, axes=axes, progress=progress)


def runner_of(stack: ExitStack, subject: Subject, store: Any, *, executor: Any, workers: Any) -> Runner:
    """Return a runner of points, its store open until the stack ends. Raises InputError before there is a store."""
    require_type("store", store, str, Path, type(None))
    require_workers(executor, workers)
    kept = None if store is None else stack.enter_context(Store(Path(store)))
    if kept is not None and len(kept):
        require_version(kept.path, msgspec.json.decode(kept.line(next(iter(kept)))))
    if kept is not None:
        stack.push(partial(_say_what_is_kept, kept))
    return Runner(subject, kept, executor=executor, workers=workers)


def _say_what_is_kept(store: Store, kind: Any, error: BaseException | None, trace: Any) -> None:
    """Have an interrupt say how many rows are in the store."""
    if isinstance(error, KeyboardInterrupt):
        error.args = (f"{len(store):,} rows kept in {store.path}; the same command goes on",)


class Runner:
    """Runs points of one subject, with one store: a sweep, or the batches of a search."""

    def __init__(
        self, subject: Subject, store: Store | None, *, executor: Executor | None = None, workers: int | None = None
    ) -> None:
        self.subject = subject
        self._store = store
        self._executor, self._workers = executor, workers

    def run(
        self, points: Sequence[Point], *, axes: tuple[str, ...] = (), progress: Progress = lambda tally: None
    ) -> Sweep:
        """Rows of points, each computed or taken from the store."""
        store, subject = self._store, self.subject
        found: dict[str, bytes] = {}
        if store is not None:
            found = {point.key: store.line(point.key) for point in points if point.key in store}
        reused, failed = len(found), sum(map(_failed, found.values()))
        left = [point for point in points if point.key not in found]

        def take(rows: list[tuple[str, bytes]]) -> None:
            nonlocal failed
            found.update(rows)
            failed += sum(_failed(line) for _, line in rows)
            progress(Tally(len(points), len(found), reused, failed))

        def keep(rows: list[tuple[str, bytes]]) -> None:
            if store is not None:
                store.append(rows)
            take(rows)

        def fail(faults: list[tuple[Point, str]]) -> None:
            take([(point.key, line_of(subject, point, {}, message)) for point, message in faults])

        take([])
        execute(
            bundles_of(subject, left),
            subject,
            subject.token,
            on_rows=keep,
            on_faults=fail,
            executor=self._executor,
            workers=self._workers,
        )
        return Sweep(
            lines=tuple(found[point.key] for point in points),
            axes=axes,
            reused=reused,
            failed=failed,
            seed=subject.seed,
            subject=subject,
            store=None if store is None else store.path,
            damaged=0 if store is None else store.damaged,
            energy_table=None if subject.table is None else subject.table.trace,
        )


def _failed(line: bytes) -> bool:
    """Return True where a row has an error, which is its last member."""
    return not line.endswith(b'"error":null}\n') and msgspec.json.decode(line)["error"] is not None
