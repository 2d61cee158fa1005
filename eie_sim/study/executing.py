"""Who computes the points of a sweep: this process, a pool of its own, or any executor; and what happens when one dies.

Workers are sent the name of the subject with every task, and the subject itself where they answer that they lack it.
So the arrays travel about once to each worker, of whatever kind, and one that takes another's place gets them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from itertools import count
from multiprocessing import current_process
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

from eie_sim.core.errors import InputError, require_int, require_type
from eie_sim.study.cores import cores
from eie_sim.study.plan import Parcel, Plan
from eie_sim.study.pool import Pool, WorkerDiedError
from eie_sim.study.work import SLICE_S, Done, Task, forget, work

OnRows = Callable[[list[tuple[str, str]]], None]
OnFaults = Callable[[list[tuple[Any, str]]], None]

HERE_S = 0.3
"""Seconds that a sweep runs in this process before it starts a pool."""

WORTH_S = 0.5
"""A pool is started where more seconds than these seem to be left: its processes take about as long to start."""

TURN_S = 0.05
"""Seconds between two looks at whether the pool is up."""

LIVES = 3
"""Deaths without a row between them, for each worker, before the sweep is given up."""


MOST_WORKERS = 1024
"""Of one sweep; each is a process here or on a cluster."""


class WorkersLostError(ChildProcessError):
    """Workers end, or do not start, faster than they answer. What was answered before is kept."""


def execute(
    bundles: Sequence[Sequence[Any]],
    subject: Any,
    token: str,
    *,
    on_rows: OnRows,
    on_faults: OnFaults = lambda faults: None,
    executor: Executor | None = None,
    workers: int | None = None,
    heavy: bool = False,
) -> None:
    """Compute all points, each once, and hand over what comes of them, in this thread and within 0.2 s or one point.

    bundles : lists of points; neighbours in a list share work, so a list stays with one worker if it can
    subject : what the points are about; its `evaluator()` has `rows(points, deadline)`, which returns (key, line) of
        the first points and (place, message) of those among them that broke; it may stop after `deadline`, a time of
        `perf_counter`, but not before the first point
    token : a digest of the subject
    on_rows : takes (key, line) of points, in the order in which they were done
    on_faults : takes (point, message) of those that broke
    executor : who computes; None: this process and, where it takes longer, a pool of our own. Never shut down
    workers : most processes of the pool, or tasks in flight; None: as many as there are cores, or the executor has
    heavy : single points take long: start the pool at once and compute nothing here

    Raises InputError where the executor takes no work, WorkersLostError where workers keep on ending, whatever an
    evaluator raises, and whatever `on_rows` raises; the pool has ended then.
    """
    require_workers(executor, workers)
    run = _Run(Plan(bundles), subject, token, on_rows, on_faults)
    try:
        if executor is None:
            _with_own_pool(run, cores() if workers is None else workers, heavy)
        else:
            _drive(run, executor, workers)
    finally:
        run.cancel()
        forget(token)


def require_workers(executor: Any, workers: Any) -> None:
    """Raise InputError for what is no executor, and for no number of workers."""
    if workers is not None:
        require_int("workers", workers, 1, MOST_WORKERS)
    require_type("executor", executor, Executor, type(None))


class _Run:
    """A sweep under way: what is left, what is in flight, and whom to tell."""

    def __init__(self, plan: Plan, subject: Any, token: str, on_rows: OnRows, on_faults: OnFaults) -> None:
        self.plan, self.subject, self.token = plan, subject, token
        self.on_rows, self.on_faults = on_rows, on_faults
        self.in_flight: dict[Future[Done], Parcel] = {}
        self.over: SimpleQueue[Future[Done]] = SimpleQueue()
        self.deaths = 0
        self._serial = count()

    def task(self, points: tuple[Any, ...], subject: Any = None) -> Task:
        return Task(self.token, subject, points, SLICE_S, next(self._serial))

    def send(self, executor: Executor, parcel: Parcel, subject: Any = None) -> None:
        """Put a parcel in flight. Raises InputError where the executor takes no work."""
        try:
            future = executor.submit(work, self.task(parcel.points, subject))
        except BrokenExecutor as error:
            raise _broken(executor, error) from error
        except RuntimeError as error:
            raise InputError(f"executor={type(executor).__name__}: takes no work: {error}") from error
        self.in_flight[future] = parcel
        future.add_done_callback(self.over.put)

    def keep(self, parcel: Parcel, done: Done) -> None:
        """Pass on what a worker answered."""
        self.plan.answered(parcel, done)
        self.deaths = 0
        if done.rows:
            self.on_rows(done.rows)
        if done.faults:
            self.on_faults([(parcel.points[at], message) for at, message in done.faults])

    def mourn(self, parcel: Parcel, error: WorkerDiedError, workers: int) -> None:
        """Have the points of a worker that ended done again, or give up: the point or, after many deaths, the sweep."""
        self.deaths += 1
        given_up = self.plan.died(parcel)
        if given_up:
            self.deaths = 0
            self.on_faults([(point, f"a worker ended while it computed this point: {error}") for point in given_up])
        if self.deaths >= LIVES * workers:
            raise WorkersLostError(f"workers: {self.deaths} ended in a row without a result; the last: {error}")

    def cancel(self) -> None:
        for future in self.in_flight:
            future.cancel()


def _drive(run: _Run, executor: Executor, workers: int | None = None) -> None:
    """Keep every worker of an executor busy with one task until nothing is left.

    Not with more: whoever ends a task then gets the next of the same bundle, and still has what its points share.
    """
    while run.plan.left or run.in_flight:
        width = _width(executor) if workers is None else workers
        while len(run.in_flight) < width and (parcel := run.plan.parcel(width)):
            run.send(executor, parcel)
        try:
            future = run.over.get(timeout=1.0)  # with an end, as Ctrl-C is not seen without one everywhere
        except Empty:
            continue
        _settle(run, executor, future, width)


def _settle(run: _Run, executor: Executor, future: Future[Done], width: int) -> None:
    """Take a task's outcome, or send the task again."""
    parcel = run.in_flight.pop(future)
    try:
        done = future.result()
    except WorkerDiedError as error:
        run.mourn(parcel, error, width)
    except (BrokenExecutor, CancelledError) as error:
        raise _broken(executor, error) from error
    else:
        if done.missing:
            run.send(executor, parcel, run.subject)
        else:
            run.keep(parcel, done)


def _with_own_pool(run: _Run, workers: int, heavy: bool) -> None:
    """Begin here; where much is left after a while, hand the rest to a pool."""
    here, workers = _Here(run), min(workers, run.plan.left)
    if current_process().daemon:  # one that `multiprocessing` allows no processes of its own
        workers = 1
    while run.plan.left:
        if workers > 1 and (heavy or here.wants_help()):
            _in_pool(run, here, workers, heavy)
        else:
            here.turn(SLICE_S)


def _in_pool(run: _Run, here: _Here, workers: int, heavy: bool) -> None:
    """Start a pool, go on here until its workers are up and have the subject, and have them do the rest."""
    with Pool(workers) as pool:
        up = [pool.submit(work, run.task((), run.subject)) for _ in range(workers)]
        while run.plan.left and not heavy and not all(future.done() for future in up):
            here.turn(TURN_S)
        here.end()
        _drive(run, pool)


class _Here:
    """Our own process, as the worker that is there at once."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._evaluator: Any = None
        self._began = perf_counter()
        self._point_s = 0.0

    def turn(self, budget_s: float) -> None:
        """Compute points for `budget_s` seconds."""
        parcel = self._run.plan.parcel(1)
        if parcel is None:
            return
        if self._evaluator is None:
            self._evaluator = self._run.subject.evaluator()
        began = perf_counter()
        rows, faults = self._evaluator.rows(parcel.points, began + budget_s)
        done = Done(False, rows, faults, perf_counter() - began)
        self._run.keep(parcel, done)
        self._point_s = done.seconds / (len(rows) + len(faults))

    def wants_help(self) -> bool:
        """True once a pool would be of use, if the points left take as long as the last ones."""
        return perf_counter() - self._began > HERE_S and self._run.plan.left * self._point_s > WORTH_S

    def end(self) -> None:
        """Leave the rest to others, and drop what was kept for it."""
        self._evaluator = None
        self._run.plan.returned()


def _width(executor: Executor) -> int:
    """Workers of an executor, as those of the library, of Dask and of MPI state them; else as many as there are cores.

    Changes while a cluster grows or shrinks.
    """
    for name in ("num_workers", "_max_workers"):
        stated = getattr(executor, name, None)
        if isinstance(stated, int):
            return max(1, stated)
    return cores()


def _broken(executor: Executor, error: BaseException) -> WorkersLostError:
    """The error for an executor, not of our own, that cannot go on."""
    said = " ".join(str(error).split()) or "its tasks were cancelled"
    return WorkersLostError(f"executor={type(executor).__name__}: ended before the sweep: {said}")
