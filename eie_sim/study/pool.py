"""The default engine: worker processes of our own, as an executor of `concurrent.futures`.

The library's pool shares one pipe between its workers. One that is killed takes all others with it, says nothing about
who it was, and leaves its readers waiting for the rest of a message when it dies halfway. Here every worker has a pipe
of its own: a death is noticed at once, concerns one task, and the next task of that seat starts another process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Set to 1 by every worker for itself: there is one for each core already."""

_starting = Lock()


class WorkerDiedError(RuntimeError):
    """The worker of a task ended before it answered; the executor goes on."""


@dataclass(frozen=True, kw_only=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


_Item = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Pool(Executor):
    """Spawned processes with one thread each; started by the first tasks.

    num_workers : most processes at the same time
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._tasks: SimpleQueue[_Item | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._lock = Lock()
        self._ended = False
        self._seats = [Thread(target=self._seat, daemon=True) for _ in range(num_workers)]
        for seat in self._seats:
            seat.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have a worker call `function(*arguments)`; its future raises WorkerDiedError where that one ends over it."""
        if self._ended or named:
            raise RuntimeError("the pool has ended" if self._ended else "the pool takes arguments without names")
        future: Future[Any] = Future()
        self._tasks.put((future, function, arguments))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all workers at once, busy or not: they own nothing, no file and no lock."""
        with self._lock:
            self._ended = True
            workers = list(self._workers)
            for worker in workers:
                worker.process.kill()
        with suppress(Empty):
            while True:
                item = self._tasks.get_nowait()
                if item is not None:
                    item[0].cancel()
        for _ in self._seats:
            self._tasks.put(None)
        for worker in workers:
            worker.process.join(5.0)

    def _seat(self) -> None:
        """Hand one task after the other to a process, and start another process where it ended.

        A task for a process that has just ended is an error of this thread, also where the program wants SIGPIPE to end
        it, as programs in shell pipes do.
        """
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        worker: _Worker | None = None
        while (item := self._tasks.get()) is not None:
            future, function, arguments = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                worker = worker or self._hired()
                worker.pipe.send((function, arguments))
                good, value = worker.pipe.recv()
            except (EOFError, OSError):  # the end of the pipe, between messages or within one
                future.set_exception(WorkerDiedError(self._buried(worker)))
                worker = None
            except Exception as error:  # what cannot be pickled, or a process that does not start
                future.set_exception(error)
            else:
                (future.set_result if good else future.set_exception)(value)

    def _hired(self) -> _Worker:
        here, there = multiprocessing.Pipe()
        with self._lock, there:
            if self._ended:
                raise RuntimeError("the pool has ended")
            process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
            try:
                with _starting, _fit_for_workers():
                    process.start()
            except OSError as error:
                raise WorkerDiedError(f"none could be started: {error.strerror}") from error
            worker = _Worker(process=process, pipe=here)
            self._workers.append(worker)
        return worker

    def _buried(self, worker: _Worker | None) -> str:
        """How a worker ended, in words; it is waited for."""
        if worker is None:
            return "it could not be started"
        with self._lock:
            worker.process.join(1.0)
            worker.process.kill()  # where it closed its pipe and nothing else
            worker.process.join(1.0)
            worker.pipe.close()
            self._workers.remove(worker)
        code = worker.process.exitcode
        return f"ended by signal {-code}" if code is not None and code < 0 else f"exit code {code}"


@contextmanager
def _fit_for_workers() -> Iterator[None]:
    """For as long as a process is started: no way to the user's script, no Ctrl-C.

    `multiprocessing` has every new process run the main script again, to find functions in it. Our tasks are made of
    this package only, and a script without `if __name__ == "__main__"` would start its sweep once more in each worker.
    It finds the script by these two attributes of the main module, so they are away for some milliseconds.

    Ctrl-C reaches all processes of a terminal. Signals blocked here stay so in the worker from its first moment, and
    the parent, which is not blocked for longer than a start, ends its workers. The library's own helper process has to
    run before: its start takes the block away again.
    """
    main = vars(sys.modules["__main__"])
    identity: dict[str, Any] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    blocks = hasattr(signal, "pthread_sigmask")
    if blocks:
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        main["__spec__"] = None
        main.pop("__file__", None)
        yield
    finally:
        main.update(identity)
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """A worker's life: calls come in, outcomes go out, until the parent closes the pipe or ends.

    How many threads linear algebra has is read when its library is loaded, which is by a call that comes in. The parent
    cannot set it: other threads of its program may read the environment at the same time.
    """
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where signals cannot be blocked
    Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        while True:
            good, value = _outcome(pipe)
            try:
                pipe.send((good, value))
            except ConnectionError:
                raise
            except Exception as error:  # a result that cannot be pickled
                pipe.send((False, RuntimeError(f"{type(value).__name__} cannot be sent: {error}")))


def _outcome(pipe: Connection) -> tuple[bool, Any]:
    """(True, result) of the next call or (False, error); raises only where the parent is gone."""
    try:
        function, arguments = pipe.recv()
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # a module that is not there, or not enough memory
        return False, error
    try:
        return True, function(*arguments)
    except Exception as error:
        return False, error


def _end_with_parent() -> None:
    """End this process when the parent does, whatever ends it.

    Its end closes a pipe. Other processes that the parent forked keep that pipe open, so its number is watched too.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(1.0)
    os._exit(1)
