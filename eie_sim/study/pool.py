"""Worker processes, as an executor of `concurrent.futures`.

The library's own pool runs the user's script again in every process that it spawns, and breaks whole where one process
ends. A worker here is another interpreter that imports this module and answers over its standard streams. Where it ends
one task is lost, and the next one starts another; the script, the environment and the signals of the user's program
are left alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any

ONE_THREAD = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Set to 1 for every worker: there is one for each core already."""

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from eie_sim.study.pool import serve; serve()"
LENGTH_BYTES = 8
"""Bytes of the length that goes before every message."""

Process = subprocess.Popen[bytes]


class WorkerDiedError(RuntimeError):
    """The worker of a task ended before it answered; the executor goes on."""


class Pool(Executor):
    """Processes that are started by the first tasks and ended by `shutdown`.

    num_workers : most processes at the same time
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._tasks: SimpleQueue[tuple[Future[Any], Any] | None] = SimpleQueue()
        self._processes: set[Process] = set()
        self._lock = Lock()
        self._ended = False
        self._threads = [Thread(target=self._run_tasks, daemon=True) for _ in range(num_workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Have a worker call `function`; its future raises WorkerDiedError where the worker ends before it answers."""
        if self._ended:
            raise RuntimeError("the pool has ended")
        future: Future[Any] = Future()
        self._tasks.put((future, (function, arguments, named)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = True) -> None:
        """End all workers at once, busy or not: they own nothing, no file and no lock."""
        with self._lock:
            self._ended = True
            processes = list(self._processes)
            for process in processes:
                process.kill()
        with suppress(Empty):
            while True:
                item = self._tasks.get_nowait()
                if item is not None:
                    item[0].cancel()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(5.0)

    def _run_tasks(self) -> None:
        """Hand one task after the other to a process; where it ended the next task starts another one.

        A pipe to a process that has just ended is an error here, also where the program wants SIGPIPE to end it.
        """
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        process: Process | None = None
        while (item := self._tasks.get()) is not None:
            future, call = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                data = ForkingPickler.dumps(call)
                process = process or self._started()
                _send(process.stdin, data)
                good, value = ForkingPickler.loads(_received(process.stdout))
            except (EOFError, OSError) as error:
                how = f"none could be started: {error}" if process is None else _end(process)
                future.set_exception(WorkerDiedError(how))
                with self._lock:
                    self._processes -= {process}
                process = None
            except Exception as error:  # a call that cannot be sent, or an answer that cannot be read here
                future.set_exception(error)
            else:
                (future.set_result if good else future.set_exception)(value)
        if process is not None:
            _end(process)

    def _started(self) -> Process:
        """Start a process, in a session of its own, which Ctrl-C in a terminal does not reach."""
        with self._lock:
            if self._ended:
                raise EOFError
            folders = [each for each in sys.path if isinstance(each, str)]  # Python passes over what else is in it
            process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(folders)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **dict.fromkeys(ONE_THREAD, "1")},
                start_new_session=True,
            )
            self._processes.add(process)
        return process


def _end(process: Process) -> str:
    """Wait for a process whose pipes are of no more use, and say how it ended."""
    with suppress(OSError):
        process.stdin.close()  # type: ignore[union-attr]  # what was in its buffer is lost with the reader
    process.stdout.close()  # type: ignore[union-attr]
    try:
        code = process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def serve() -> None:
    """Answer calls that come in on standard input, until the program that started this one closes it or ends.

    Text that the calls print goes to standard error: standard output belongs to the answers.
    """
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            data = _received(calls)
            try:
                function, arguments, named = ForkingPickler.loads(data)
                answer = True, function(*arguments, **named)
            except Exception as error:  # of the call, or of a module that is not here
                answer = False, error
            try:
                _send(answers, ForkingPickler.dumps(answer))
            except OSError:
                raise
            except Exception as error:
                why = RuntimeError(f"{type(answer[1]).__name__} cannot be sent: {error}")
                _send(answers, ForkingPickler.dumps((False, why)))


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, in the middle of a call too."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _send(stream: IO[bytes] | None, data: Any) -> None:
    assert stream is not None
    stream.write(len(data).to_bytes(LENGTH_BYTES, "little"))
    stream.write(data)
    stream.flush()


def _received(stream: IO[bytes] | None) -> bytes:
    """The next message. Raises EOFError where the stream ends before it is whole."""
    assert stream is not None
    length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    data = stream.read(length)
    if not length or len(data) < length:
        raise EOFError
    return data
