"""A Dask cluster that somebody else runs, as an executor of `concurrent.futures`.

Dask's own executor would send a subject with every task, hand a task that ends its worker to the next worker, and so
on, and leave a future open for ever where a worker ends after its last point and before it hands the result over. Here
a subject goes to a worker once, a task goes to one worker and no other, and every task has an outcome.

Who can reach a scheduler can run any code on its workers, and what they answer is unpickled here: use a cluster of your
own, and `tls://` where others are on the network.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import closing, contextmanager, suppress
from time import monotonic
from typing import Any

import eie_sim
from eie_sim.core.errors import InputError, require
from eie_sim.core.files import read_text
from eie_sim.study.pool import WorkerDiedError
from eie_sim.study.work import Done, Task, forget, work

CONNECT_S = 10
WORKERS_S = 30
"""Seconds to wait for the scheduler, and for its first worker."""

COUNT_S, AWAY_S = 1.0, 60
"""Seconds between two looks at how many workers there are, and until one is given up."""

MAX_SCHEDULER_FILE_BYTES = 2**20
"""Most bytes of a scheduler file, which has a few thousand."""


class ClusterExecutor(Executor):
    """Calls on the workers of a connected `distributed.Client`, which stays the caller's."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._tokens: set[str] = set()
        self._threads: dict[str, int] = client.nthreads()
        self._counted_s = monotonic()
        self._in_flight: dict[Future[Any], tuple[Any, str | None]] = {}

    @property
    def num_workers(self) -> int:
        """Threads of the cluster, at most a second ago; 1 while it has none.

        Each look ends the tasks of workers that left: Dask waits for these to come back.
        """
        if monotonic() - self._counted_s > COUNT_S:
            try:
                self._threads = self._client.sync(self._client.scheduler.ncores, callback_timeout=AWAY_S)
            except TimeoutError as error:
                raise BrokenExecutor(f"the scheduler has not answered for {AWAY_S} s") from error
            except Exception:  # of many kinds, of a scheduler that is away: its tasks say whether it is gone
                pass
            for theirs, worker in list(self._in_flight.values()):
                if worker is not None and worker not in self._threads:
                    theirs.cancel()
            self._counted_s = monotonic()
        return max(1, sum(self._threads.values()))

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have the worker with the least to do call `function`; it gets the subject of a task that has one before.

        The future raises WorkerDiedError where that worker ends. Raises BrokenExecutor where the scheduler is gone.
        """
        busy = Counter(worker for _, worker in list(self._in_flight.values()))
        worker = max(self._threads, key=lambda each: self._threads[each] - busy[each], default=None)
        task = arguments[0] if arguments and isinstance(arguments[0], Task) else None
        brought = task is not None and task.subject is not None and worker is not None
        try:
            if task is not None and brought:
                self._bring(task, worker)
                arguments = (task._replace(subject=None), *arguments[1:])
            only = None if worker is None else [worker]
            theirs = self._client.submit(function, *arguments, **named, pure=False, workers=only)
        except Exception as error:
            if self._client.status == "running" and not isinstance(error, OSError):
                raise
            raise BrokenExecutor("the scheduler is gone") from error
        ours: Future[Any] = Future()
        ours.set_running_or_notify_cancel()
        self._in_flight[ours] = theirs, worker
        ours.add_done_callback(self._in_flight.pop)
        theirs.add_done_callback(lambda theirs: self._settle(ours, theirs, brought))
        return ours

    def _bring(self, task: Task, worker: str | None) -> None:
        """Send a worker the subject of a task, unless another of its threads has it since."""
        self._tokens.add(task.token)
        for asked in (task._replace(subject=None, points=()), task._replace(points=())):
            for done in self._client.run(work, asked, workers=[worker], on_error="return").values():
                if isinstance(done, Done) and not done.missing:
                    return
                if isinstance(done, Exception) and not isinstance(done, OSError):  # which is a worker that has ended
                    raise done

    def _settle(self, ours: Future[Any], theirs: Any, brought: bool) -> None:
        """Give a future of ours the outcome of Dask's; runs in a thread of Dask's.

        brought : the worker had the subject when it got the task; where it has not, another process took its place
        """
        from distributed import KilledWorker

        try:
            outcome = theirs.result()
            if brought and isinstance(outcome, Done) and outcome.missing:
                raise WorkerDiedError("the worker was started again")
        except KilledWorker as error:
            ours.set_exception(WorkerDiedError(f"Dask gave it up after {error.allowed_failures + 1} workers"))
        except CancelledError:
            gone = self._client.status != "running"
            left = WorkerDiedError("the worker left the cluster")
            ours.set_exception(BrokenExecutor("the scheduler is gone") if gone else left)
        except BaseException as error:
            ours.set_exception(error)
        else:
            ours.set_result(outcome)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Have the workers drop the subjects that they were sent."""
        for token in self._tokens:
            self._client.run(forget, token, on_error="ignore")
        self._tokens.clear()


@contextmanager
def cluster(address: str) -> Iterator[ClusterExecutor]:
    """Connect to a Dask scheduler, and leave it and its workers running afterwards.

    address : such as tcp://host:8786 or tls://host:8786, or the path of a scheduler file, which ends in .json

    Raises InputError where Dask is not installed, nothing answers, there are no workers, or theirs is another eie_sim.
    """
    with suppress(ImportError):  # `_connected` says so
        import distributed  # noqa: F401  sets the level itself when it is imported
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)  # tasks and connections that are lost are outcomes of our tasks
    try:
        with closing(_connected(address)) as client:
            _require_workers(client, address)
            executor = ClusterExecutor(client)
            try:
                yield executor
            finally:
                with suppress(Exception):  # a scheduler that is gone has forgotten
                    executor.shutdown()
    finally:
        log.setLevel(level)


def _connected(address: str) -> Any:
    """A client of the scheduler. Raises InputError where there is none."""
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise InputError(f"scheduler={address}: needs Dask: pip install 'eie-sim[dask]'") from error
    where = _address_in(address) if address.endswith(".json") else address
    require("://" in where, "scheduler", address, "must be tcp://host:port, or the path of a scheduler file, .json")
    try:
        get_address_host_port(where)  # a client of what is no address at all would stay behind half alive
        return Client(where, timeout=CONNECT_S, set_as_default=False, name="eie-sim")  # type: ignore[no-untyped-call]  # untyped
    except Exception as error:  # as many kinds as Dask has transports
        raise InputError(f"scheduler={address}: cannot be reached: {_one_line(error)}") from error


def _address_in(path: str) -> str:
    """The address in a scheduler file. Raises InputError where there is none."""
    text = read_text("scheduler", path, MAX_SCHEDULER_FILE_BYTES)
    try:
        return str(json.loads(text)["address"])
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
        has = _one_line(theirs) if isinstance(theirs, Exception) else has
        ok = theirs == eie_sim.__version__
        require(ok, "scheduler", address, f"worker {worker} has {has}, and here is {eie_sim.__version__}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
