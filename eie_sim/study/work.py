"""Who computes the points of a sweep: this process, worker processes of its own, or any executor.

Workers are sent the name of the subject with every task, and the subject itself where they answer that they lack it.
So the arrays travel about once to each worker, of whatever kind, and one that takes another's place gets them too. A
bundle of points that share work stays with one worker until another would have nothing to do. Points of a task whose
worker ended are tried again one by one, and one that ends a second worker alone is given up.
"""

from __future__ import annotations

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from math import ceil
from multiprocessing import current_process
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from eie_sim.core.errors import InputError, require_int, require_type
from eie_sim.study.pool import Pool, WorkerDiedError

OnRows = Callable[[list[tuple[str, bytes]]], None]
OnFaults = Callable[[list[tuple[Any, str]]], None]

SLICE_S = 0.15
"""Seconds after which a worker hands in what it has; with the way back it is written within 0.2 s."""

HERE_S = 0.3
"""Seconds that a sweep runs in this process before it starts workers."""

START_S = 1.0
"""Seconds until a worker is up and has made what points share: each must have more than that to do."""

TURN_S = 0.05
"""Seconds between two looks at whether workers are up."""

FIRST_POINTS, MOST_POINTS, GROWTH = 16, 4096, 4
"""Points of a task: of the first, before it is known how long they take, of any, and by what they grow."""

LONE_DEATHS = 2
"""Workers that a point may end, each alone, before it is given up."""

DEATHS = 3
"""Deaths without a row between them, for each worker, before the sweep is given up."""

MOST_WORKERS = 1024
KEPT_SUBJECTS = 4


class WorkersLostError(ChildProcessError):
    """Workers end, or do not start, faster than they answer. Earlier answers are kept."""


class Task(NamedTuple):
    """Some points of a subject, to be computed by one worker.

    token : names the subject, a digest of its content
    subject : the large thing itself, or None where the worker should have it already
    points : what to compute, in an order in which neighbours share work
    serial : makes every task another, for executors that answer equal calls once
    """

    token: str
    subject: Any | None
    points: tuple[Any, ...]
    serial: int = 0


class Done(NamedTuple):
    """The answer to a task.

    missing : the worker has no subject of that token; nothing was computed
    rows : (key, JSON line) of the first points, in their order
    faults : (place, message) of those among the points that broke
    seconds : time of the points
    """

    missing: bool
    rows: list[tuple[str, bytes]]
    faults: list[tuple[int, str]]
    seconds: float


_held: OrderedDict[str, tuple[Any, list[Any]]] = OrderedDict()
"""Subjects of a worker by token, each with evaluators that no thread uses now, the last used last."""
_lock = Lock()


def work(task: Task) -> Done:
    """Compute points of a task for SLICE_S seconds, one at least; a task without points only brings the subject."""
    with _lock:
        if task.token not in _held and task.subject is not None:
            _held[task.token] = task.subject, []
        if task.token not in _held:
            return Done(True, [], [], 0.0)
        _held.move_to_end(task.token)
        while len(_held) > KEPT_SUBJECTS:
            _held.popitem(last=False)
        subject, idle = _held[task.token]
        evaluator = idle.pop() if idle else None
    evaluator, began = evaluator or subject.evaluator(), perf_counter()
    rows, faults = evaluator.rows(task.points, began + SLICE_S) if task.points else ([], [])
    idle.append(evaluator)  # not where it raised: what it keeps could be half done
    return Done(False, rows, faults, perf_counter() - began)


def forget(token: str) -> None:
    """Drop a subject that this process keeps, and what was made of it."""
    with _lock:
        _held.pop(token, None)


@dataclass(kw_only=True, eq=False)
class _Stream:
    """Points that one worker computes in turn, and how many its next task has."""

    points: deque[Any] = field(default_factory=deque)
    size: int = FIRST_POINTS


class _Sent(NamedTuple):
    """Points on their way to a worker. deaths : workers that ended over its only point; None: it is not suspected"""

    stream: _Stream
    points: tuple[Any, ...]
    deaths: int | None = None


class Plan:
    """The points that nobody has answered yet; `left` of them are in no task."""

    def __init__(self, bundles: Sequence[Sequence[Any]]) -> None:
        self._waiting = deque(deque(bundle) for bundle in bundles if len(bundle))
        self._suspects: deque[tuple[Any, int]] = deque()
        self._streams: list[_Stream] = []
        self._idle: list[_Stream] = []
        self.left = sum(map(len, self._waiting))

    def take(self, workers: int) -> _Sent | None:
        """The points of the next task, for one of `workers` workers; None where none are left.

        The stream that ended last goes on first, as its worker is the one without work. Few points are shared out
        evenly, however short they may be.
        """
        if not self.left:
            return None
        if self._idle:
            stream = self._idle.pop()
        else:
            self._streams.append(stream := _Stream())
        if self._suspects:
            point, deaths = self._suspects.popleft()
            self.left -= 1
            return _Sent(stream, (point,), deaths)
        points: list[Any] = []
        most = min(stream.size, max(1, self.left // workers))
        while len(points) < most:
            if not stream.points and self._waiting:
                stream.points = self._waiting.popleft()
            elif not stream.points and not points:  # half of what the busiest has before it
                busiest = max(self._streams, key=lambda other: len(other.points)).points
                stream.points.extendleft([busiest.pop() for _ in range((len(busiest) + 1) // 2)])
            elif not stream.points:
                break
            points.append(stream.points.popleft())
        self.left -= len(points)
        return _Sent(stream, tuple(points))

    def answered(self, sent: _Sent, done: Done) -> None:
        """Take back what a worker had no time for, and choose how many points its next task has."""
        answers = len(done.rows) + len(done.faults)
        if not answers:
            raise RuntimeError("an evaluator must answer one point at least")
        stream = sent.stream
        stream.points.extendleft(reversed(sent.points[answers:]))
        self.left += len(sent.points) - answers
        if sent.deaths is None:
            in_time = answers * SLICE_S / max(done.seconds, 1e-6)
            size = 2 * in_time  # so that time ends the next task, between groups that share work, and not its points
            stream.size = int(min(max(size, 1), stream.size * GROWTH, MOST_POINTS))
        self._idle.append(stream)

    def died(self, sent: _Sent) -> tuple[Any, ...]:
        """Have the points of a worker that ended tried one by one. Returns those that are given up."""
        deaths = (sent.deaths or 0) + (len(sent.points) == 1)
        self._idle.append(sent.stream)
        if deaths >= LONE_DEATHS:
            return sent.points
        self._suspects.extend((point, deaths) for point in sent.points)
        self.left += len(sent.points)
        return ()

    def returned(self) -> None:
        """Take the points of all streams back, for others to be handed out to."""
        self._waiting.extendleft(stream.points for stream in self._streams if stream.points)
        self._streams, self._idle = [], []


def execute(
    bundles: Sequence[Sequence[Any]],
    subject: Any,
    token: str,
    *,
    on_rows: OnRows,
    on_faults: OnFaults = lambda faults: None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> None:
    """Compute all points, each once, and hand over what comes of them, in this thread and within 0.2 s or one point.

    bundles : lists of points; neighbours in a list share work
    subject : what the points are about; its `evaluator()` has `rows(points, deadline)`, which returns (key, line) of
        the first points and (place, message) of those among them that broke; it may stop after `deadline`, a time of
        `perf_counter`, but not before the first point
    token : a digest of the subject
    on_rows : takes (key, line) of points, in the order in which they were done
    on_faults : takes (point, message) of those that broke
    executor : who computes; None: this process and, where it takes longer, workers of our own. Never shut down
    workers : most worker processes, or tasks in flight; None: as many as there are cores, or the executor has

    Raises InputError where the executor takes no work, WorkersLostError where workers keep on ending, whatever an
    evaluator raises, and whatever `on_rows` raises; all workers have ended then.
    """
    run = _Execution(Plan(bundles), subject, token, on_rows, on_faults)
    try:
        if executor is None:
            run.here(cores() if workers is None else workers)
        else:
            run.drive(executor, workers)
    finally:
        for future in run.in_flight:
            future.cancel()
        forget(token)


def require_workers(executor: Any, workers: Any) -> None:
    """Raise InputError for what is no executor, and for no number of workers."""
    if workers is not None:
        require_int("workers", workers, 1, MOST_WORKERS)
    require_type("executor", executor, Executor, type(None))


class _Execution:
    """A sweep under way: what is left, what is in flight, and whom to tell."""

    def __init__(self, plan: Plan, subject: Any, token: str, on_rows: OnRows, on_faults: OnFaults) -> None:
        self.plan, self.subject, self.token = plan, subject, token
        self.on_rows, self.on_faults = on_rows, on_faults
        self.in_flight: dict[Future[Done], _Sent] = {}
        self.over: SimpleQueue[Future[Done]] = SimpleQueue()
        self.deaths = 0
        self._serial = count()

    def here(self, workers: int) -> None:
        """Begin in this process; where workers would save time, go on until they are up, and have them do the rest."""
        evaluator, began = self.subject.evaluator(), perf_counter()
        workers = 1 if current_process().daemon else workers  # which may start no processes
        pool: Pool | None = None
        up: list[Future[Done]] = []
        try:
            while (sent := self.plan.take(1)) is not None:
                turn = perf_counter()
                rows, faults = evaluator.rows(sent.points, turn + (TURN_S if up else SLICE_S))
                done = Done(False, rows, faults, perf_counter() - turn)
                self.keep(sent, done)
                point_s = done.seconds / (len(rows) + len(faults))
                most = min(workers, self.plan.left, int(self.plan.left * point_s / START_S))
                if pool is None and most > 1 and perf_counter() - began > HERE_S:
                    pool = Pool(most)
                    task = Task(self.token, self.subject, ())
                    up = [pool.submit(work, task._replace(serial=next(self._serial))) for _ in range(most)]
                elif pool is not None and all(future.done() for future in up):
                    evaluator = None
                    self.plan.returned()
                    self.drive(pool)
        finally:
            if pool is not None:
                pool.shutdown()

    def drive(self, executor: Executor, workers: int | None = None) -> None:
        """Keep every worker of an executor busy with one task until nothing is left.

        Not with more: whoever ends a task then gets the next of the same bundle, and still has what its points share.
        """
        try:
            while self.plan.left or self.in_flight:
                stated = _width(executor)  # asked each time: a cluster sees then which workers have left
                width = stated if workers is None else workers
                while len(self.in_flight) < width and (sent := self.plan.take(width)):
                    self.send(executor, sent)
                try:
                    future = self.over.get(timeout=1.0)  # with an end, as Ctrl-C is not seen without one everywhere
                except Empty:
                    continue
                sent = self.in_flight.pop(future)
                try:
                    done = future.result()
                except WorkerDiedError as error:
                    self.died(sent, error, width)
                    continue
                if done.missing:
                    self.send(executor, sent, self.subject)
                else:
                    self.keep(sent, done)
        except (BrokenExecutor, CancelledError) as error:  # of an executor that is not our own
            said = " ".join(str(error).split()) or "its tasks were cancelled"
            raise WorkersLostError(f"executor={type(executor).__name__}: ended before the sweep: {said}") from error

    def send(self, executor: Executor, sent: _Sent, subject: Any = None) -> None:
        """Put points in flight. Raises InputError where the executor takes no work."""
        try:
            future = executor.submit(work, Task(self.token, subject, sent.points, next(self._serial)))
        except BrokenExecutor:  # which is a RuntimeError
            raise
        except RuntimeError as error:
            raise InputError(f"executor={type(executor).__name__}: takes no work: {error}") from error
        self.in_flight[future] = sent
        future.add_done_callback(self.over.put)

    def keep(self, sent: _Sent, done: Done) -> None:
        """Pass on what a worker answered."""
        self.plan.answered(sent, done)
        self.deaths = 0
        if done.rows:
            self.on_rows(done.rows)
        if done.faults:
            self.on_faults([(sent.points[at], message) for at, message in done.faults])

    def died(self, sent: _Sent, error: WorkerDiedError, workers: int) -> None:
        """Have the points of a worker that ended done again, or give up: the point or, after many deaths, the sweep."""
        self.deaths += 1
        given_up = self.plan.died(sent)
        if given_up:
            self.deaths = 0
            self.on_faults([(point, f"a worker ended while it computed this point: {error}") for point in given_up])
        if self.deaths >= DEATHS * workers:
            raise WorkersLostError(f"workers: {self.deaths} ended in a row without a result; the last: {error}")


def _width(executor: Executor) -> int:
    """Workers of an executor, as those of the library, of Dask and of MPI state them; else as many as there are cores.

    Changes while a cluster grows or shrinks.
    """
    for name in ("num_workers", "_max_workers"):
        stated = getattr(executor, name, None)
        if isinstance(stated, int):
            return max(1, stated)
    return cores()


GROUPS, OWN_GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may use: at least 1, at most those of its affinity and of its container's quota."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    groups = [GROUPS]
    with suppress(OSError, ValueError):
        for line in OWN_GROUP.read_text().splitlines():
            if line.startswith("0::/"):
                group = GROUPS / line.removeprefix("0::/")
                groups = [group, *(each for each in group.parents if each.is_relative_to(GROUPS))]
    for group in groups:
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()  # "max 100000" is without a limit
            most = min(most, ceil(int(quota) / int(period)))
    with suppress(OSError, ValueError):  # the first version of control groups
        quota, period = ((GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            most = min(most, ceil(int(quota) / int(period)))
    return max(1, most)
