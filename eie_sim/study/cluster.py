"""A Dask cluster that somebody else runs, as an executor of `concurrent.futures`.

Dask's own executor does for small things. Ours differs in three ways. A subject goes to a worker outside of tasks;
Dask would send it with every task, and warn. A task goes to one worker and no other: Dask would hand one that ends its
worker to the next worker, and so on. And a task always has an outcome: Dask's executor leaves a future open for ever
where a worker ends after its last point and before it hands the result over.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import eie_sim
from eie_sim.core.errors import InputError, require
from eie_sim.study.pool import WorkerDiedError
from eie_sim.study.work import Done, Task, forget, hold, holds

CONNECT_S = 10
WORKERS_S = 30
"""Seconds to wait for the scheduler, and for its first worker."""

COUNT_S = 1.0
"""Seconds between two looks at how many workers there are."""

AWAY_S = 60
"""Seconds that a scheduler may be too busy to answer; where its connection is cut Dask gives up after `CONNECT_S`."""

MOST_BYTES = 2**20
"""Of a scheduler file, which has a few thousand."""

GONE = "the scheduler is gone"


class ClusterExecutor(Executor):
    """Calls on the workers of a connected `distributed.Client`, which stays the caller's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._tokens: set[str] = set()
        self._threads: dict[str, int] = client.nthreads()
        self._flying: dict[Future[Any], tuple[Any, str | None]] = {}
        self._ended = False
        client.loop.add_callback(self._watch)

    @property
    def num_workers(self) -> int:
        """Threads of the cluster, at most a second ago; 1 while it has none."""
        return max(1, sum(self._threads.values()))

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have the worker with the least to do call `function`; where the first argument is a task with a subject, it
        gets that before.

        The future raises WorkerDiedError where that worker ends. Raises BrokenExecutor where the scheduler is gone.
        """
        if self._ended:
            raise BrokenExecutor(GONE)
        try:
            worker = self._free()
            task = arguments[0] if arguments and isinstance(arguments[0], Task) else None
            if task is not None and task.subject is not None and worker is not None:
                self._bring(task, worker)
                arguments = (task._replace(subject=None), *arguments[1:])
            only = None if worker is None else [worker]
            theirs = self._client.submit(function, *arguments, **named, pure=False, workers=only)
        except Exception as error:
            if self._client.status == "running" and not isinstance(error, OSError):
                raise
            raise BrokenExecutor(GONE) from error
        ours: Future[Any] = Future()
        self._flying[ours] = theirs, worker
        ours.add_done_callback(self._flying.pop)
        brought = task is not None and task.subject is not None
        self._client.loop.add_callback(_hand_over, theirs, ours, brought)
        return ours

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Have the workers drop the subjects that we brought, and look after the cluster no longer."""
        self._ended = True
        for token in self._tokens:
            self._client.run(forget, token, on_error="ignore")
        self._tokens.clear()

    async def _watch(self) -> None:
        """Look at the cluster every second, until it has not answered for a while; runs in the client's event loop."""
        answered = monotonic()
        while not self._ended and self._client.status != "closed" and monotonic() - answered < AWAY_S:
            with suppress(Exception):  # of many kinds; it may be back at the next look
                await asyncio.wait_for(self._count(), AWAY_S)
                answered = monotonic()
            await asyncio.sleep(COUNT_S)
        if not self._ended:
            self._ended = True
            for ours in list(self._flying):
                _settle(ours, BrokenExecutor(GONE))

    async def _count(self) -> None:
        """See which workers there are, and end the tasks of those that left: they wait for them to come back."""
        self._threads = await self._client.nthreads()
        for theirs, worker in list(self._flying.values()):
            if worker is not None and worker not in self._threads:
                await theirs.cancel()

    def _free(self) -> str | None:
        """The worker with most threads that have no task of ours. None: there are none, so it is whoever comes."""
        threads, busy = self._threads, Counter(worker for _, worker in list(self._flying.values()))
        return max(threads, key=lambda worker: threads[worker] - busy[worker], default=None)

    def _bring(self, task: Task, worker: str) -> None:
        """Send a worker the subject, unless another of its threads has it since."""
        self._tokens.add(task.token)
        if any(self._client.run(holds, task.token, workers=[worker], on_error="ignore").values()):
            return
        for error in self._client.run(hold, *task[:2], workers=[worker], on_error="return").values():
            if isinstance(error, Exception) and not isinstance(error, OSError):  # which is a worker that has ended
                raise error


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster we are connected to.

    executor : computes on its workers
    """

    executor: ClusterExecutor

    @property
    def workers(self) -> int:
        """Threads of the cluster now."""
        return self.executor.num_workers


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """Connect to a Dask scheduler, and leave it and its workers running afterwards.

    address : such as tcp://host:8786, or the path of a scheduler file, which ends in .json

    Raises InputError where Dask is not installed, nothing answers, there are no workers, or theirs is another eie_sim.
    """
    with _quiet(), closing(_connected(address)) as client:
        _require_workers(client, address)
        executor = ClusterExecutor(client)
        try:
            yield Cluster(executor=executor)
        finally:
            with suppress(Exception):  # a scheduler that is gone has forgotten
                executor.shutdown()


def _connected(address: str) -> Any:
    """A client of the scheduler. Raises InputError where there is none, before Dask sees what is no address at all: a
    client that failed for that reason stays behind half alive.
    """
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise InputError(f"scheduler={address}: needs Dask: pip install 'eie-sim[dask]'") from error
    made: Any = Client
    parsed: Any = get_address_host_port
    where = _address_in(address) if address.endswith(".json") else address
    require("://" in where, "scheduler", address, "must be tcp://host:port, or the path of a scheduler file, .json")
    try:
        parsed(where)
        return made(where, timeout=CONNECT_S, set_as_default=False, name="eie-sim")
    except Exception as error:  # as many kinds as Dask has transports
        raise InputError(f"scheduler={address}: cannot be reached: {_line(error)}") from error


def _address_in(path: str) -> str:
    """The address in a scheduler file. Raises InputError where there is none."""
    try:
        ordinary = Path(path).is_file() or not Path(path).exists()  # a pipe would never end
        with Path(path if ordinary else os.devnull).open("rb") as file:
            return str(json.loads(file.read(MOST_BYTES))["address"])
    except OSError as error:
        raise InputError(f"scheduler={path}: {error.strerror or 'cannot be read'}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"scheduler={path}: has no scheduler's address") from error


def _require_workers(client: Any, address: str) -> None:
    """Raise InputError where no worker comes, or one has not the same eie_sim."""

    def version() -> str | None:  # here, so that it is sent as code: workers may not have the package it is in
        try:
            import eie_sim
        except ImportError:
            return None
        return eie_sim.__version__

    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        raise InputError(f"scheduler={address}: has no workers") from error
    for worker, theirs in client.run(version, on_error="return").items():
        if isinstance(theirs, OSError):  # it has just ended
            continue
        has = "no eie_sim" if theirs is None else f"eie_sim {theirs}"
        has = _line(theirs) if isinstance(theirs, Exception) else has
        ok = theirs == eie_sim.__version__
        require(ok, "scheduler", address, f"worker {worker} has {has}, and here is {eie_sim.__version__}")


async def _hand_over(theirs: Any, ours: Future[Any], brought: bool) -> None:
    """Pass the outcome of a Dask future on; runs in the client's event loop.

    brought : the worker had the subject when it got the task; where it has not, another process took its place
    """
    from distributed import KilledWorker

    try:
        outcome = await theirs
    except KilledWorker as error:
        outcome = WorkerDiedError(f"Dask gave it up after {error.allowed_failures + 1} workers")
    except CancelledError:
        outcome = WorkerDiedError("the worker left the cluster")
    except Exception as error:
        outcome = error
    if brought and isinstance(outcome, Done) and outcome.missing:
        outcome = WorkerDiedError("the worker was started again")
    _settle(ours, outcome)


def _settle(ours: Future[Any], outcome: Any) -> None:
    """Give a future its outcome, unless it has one; all is done in one thread, so nothing comes between."""
    if ours.done() or not ours.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        ours.set_exception(outcome)
    else:
        ours.set_result(outcome)


@contextmanager
def _quiet() -> Iterator[None]:
    """What Dask's client logs about tasks and connections that are lost, we see as outcomes of these tasks."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
