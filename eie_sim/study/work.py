"""What a worker does: it keeps the subjects it was sent, and answers points until its time is over.

Nothing heavy is imported here, so that a worker is up soon; the subject brings what it needs with it.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

SLICE_S = 0.15
"""Seconds after which a worker hands in what it has; with the way back it is written within 0.2 s."""

KEPT_SUBJECTS = 4


class Task(NamedTuple):
    """Some points of a subject, to be computed by one worker.

    token : names the subject, a digest of its content
    subject : the large thing itself, or None where the worker should have it already
    points : what to compute, in an order in which neighbours share work
    budget_s : the worker stops after the first point that ends beyond it, seconds
    serial : makes every task another, for executors that answer equal calls once
    """

    token: str
    subject: Any | None
    points: tuple[Any, ...]
    budget_s: float = SLICE_S
    serial: int = 0


class Done(NamedTuple):
    """What came of a task.

    missing : the worker has no subject of that token; nothing was computed
    rows : (key, line) of the first points, in their order
    faults : (place in the task, message) of points among them that broke for reasons that are not their own
    seconds : time of the points
    """

    missing: bool
    rows: list[tuple[str, str]]
    faults: list[tuple[int, str]]
    seconds: float


class _Held:
    """A subject and the evaluators made of it: one for each thread that works at the same time."""

    def __init__(self, subject: Any) -> None:
        self.subject = subject
        self.idle: list[Any] = []

    def evaluator(self) -> Any:
        """An evaluator that nobody uses, the last used first: it knows most about what comes next."""
        try:
            return self.idle.pop()
        except IndexError:
            return self.subject.evaluator()


_held: OrderedDict[str, _Held] = OrderedDict()
_lock = Lock()


def work(task: Task) -> Done:
    """Compute the points of a task until its budget is used up; a task without points only brings the subject."""
    held = _held_for(task.token, task.subject)
    if held is None:
        return Done(True, [], [], 0.0)
    evaluator, rows, faults, began = held.evaluator(), [], [], perf_counter()
    if task.points:
        rows, faults = evaluator.rows(task.points, began + task.budget_s)
    held.idle.append(evaluator)  # not where it raised: what it keeps could be half done
    return Done(False, rows, faults, perf_counter() - began)


def hold(token: str, subject: Any) -> None:
    """Keep a subject for tasks that name it."""
    _held_for(token, subject)


def holds(token: str) -> bool:
    """Whether this process has the subject."""
    with _lock:
        return token in _held


def forget(token: str) -> None:
    """Drop a subject that this process keeps, and what was made of it."""
    with _lock:
        _held.pop(token, None)


def _held_for(token: str, subject: Any | None) -> _Held | None:
    with _lock:
        if token not in _held and subject is not None:
            _held[token] = _Held(subject)
        if token not in _held:
            return None
        _held.move_to_end(token)
        while len(_held) > KEPT_SUBJECTS:
            _held.popitem(last=False)
        return _held[token]
