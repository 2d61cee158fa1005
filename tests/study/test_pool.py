"""Worker processes: what they see of their parent, and that none outlives it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from eie_sim.study import pool as pool_module
from eie_sim.study.pool import ONE_THREAD, Pool, WorkerDiedError

HERE = Path(__file__).parent
SCRIPT = """
import os, signal, sys, time
import numpy
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background ignore it
sys.path.insert(0, {here!r})
from toy_subject import Toy, WAIT
from eie_sim.study.work import execute

print("main", flush=True)
points = [(WAIT, 0.01, number) for number in range({count})]
execute([points], Toy(), "toy", workers=2, on_rows=lambda rows: print(rows[0][1], flush=True))
print("over", flush=True)
"""


def script(tmp_path, count):
    path = tmp_path / "sweep_script.py"
    path.write_text(SCRIPT.format(here=str(HERE), count=count))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def workers_of(running):
    """Waits until two workers have answered. Returns their process numbers."""
    pids = set()
    while len(pids - {running.pid}) < 2:
        line = running.stdout.readline()
        assert line, running.stderr.read()
        if line.startswith("{"):
            pids.add(json.loads(line)["pid"])
    return pids - {running.pid}


def here_and(*names):
    return os.getpid(), [name in sys.modules for name in names], {name: os.environ.get(name) for name in ONE_THREAD}


def end(code):
    os._exit(code)


def die_within_the_answer():
    def half(stream, message):
        stream.write(len(message).to_bytes(pool_module.LENGTH_BYTES, "little") + bytes(message[: len(message) // 2]))
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    pool_module._send = half


def unreadable():
    return lambda: None


@pytest.fixture
def pool():
    with Pool(2) as pool:
        yield pool


def test_workers_have_one_thread_and_nothing_of_main(pool):
    before = dict(os.environ), vars(sys.modules["__main__"]).copy()
    futures = [pool.submit(here_and, "numpy", "pytest") for _ in range(4)]
    for future in futures:
        pid, loaded, environment = future.result()
        assert pid != os.getpid() and loaded == [False, True]  # this module imports pytest
        assert environment == dict.fromkeys(ONE_THREAD, "1")
    assert (dict(os.environ), vars(sys.modules["__main__"])) == before


def test_the_environment_of_the_program_is_left_alone_while_workers_start(monkeypatch):
    for name in ONE_THREAD:
        monkeypatch.setenv(name, "2")
    changes = []
    monkeypatch.setattr(os, "putenv", lambda *change: changes.append(change))
    monkeypatch.setattr(os, "unsetenv", changes.append)
    with Pool(1) as pool:
        _, (loaded,), environment = pool.submit(here_and, "numpy").result()
    assert (changes, loaded, environment) == ([], False, dict.fromkeys(ONE_THREAD, "1"))


def test_a_death_concerns_one_task_and_says_how(pool):
    futures = [pool.submit(time.sleep, 0.5), pool.submit(end, 3), pool.submit(os.getpid)]
    with pytest.raises(WorkerDiedError, match=r"^exit code 3$"):
        futures[1].result()
    assert futures[0].result() is None
    assert futures[2].result() != os.getpid()


def test_a_death_within_the_answer_is_a_death(pool):
    with pytest.raises(WorkerDiedError, match=r"^ended by signal 9$"):
        pool.submit(die_within_the_answer).result(timeout=20)
    assert pool.submit(int, "7").result() == 7


def test_errors_come_back_as_they_are(pool):
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "seven").result()
    with pytest.raises(RuntimeError, match="function cannot be sent"):
        pool.submit(unreadable).result()
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        pool.submit(lambda: None).result()
    assert pool.submit(int, "7").result() == 7


def test_an_end_is_quick_and_leaves_nobody(ended):
    pool = Pool(2)
    pids = {pool.submit(os.getpid).result()}
    busy = [pool.submit(time.sleep, 60) for _ in range(5)]
    time.sleep(0.1)
    began = time.perf_counter()
    pool.shutdown()
    pool.shutdown()
    assert time.perf_counter() - began < 2
    assert all(ended(pid, 0.1) for pid in pids)
    assert all(future.cancelled() or future.exception(timeout=5) for future in busy)
    with pytest.raises(RuntimeError, match="the pool has ended"):
        pool.submit(os.getpid)


def test_a_script_without_a_guard_runs_once(tmp_path):
    running = script(tmp_path, 250)
    out, error = running.communicate(timeout=60)
    assert (running.returncode, error) == (0, "")
    lines = out.splitlines()
    assert lines.count("main") == 1 and lines[-1] == "over"
    assert len({line for line in lines if line.startswith("{")}) == 3


def test_a_killed_parent_leaves_no_workers(tmp_path, ended):
    running = script(tmp_path, 10**6)
    workers = workers_of(running)
    running.kill()
    running.communicate()
    assert all(ended(pid, 3) for pid in workers)


@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_ctrl_c_ends_all_soon_and_says_so_once(tmp_path, ended, kill):
    running = script(tmp_path, 10**6)
    workers = workers_of(running)
    began = time.perf_counter()
    kill(running.pid, signal.SIGINT)  # a terminal sends it to the whole group
    _, error = running.communicate(timeout=10)
    assert time.perf_counter() - began < 2
    assert error.count("Traceback") == 1, "the script's own"
    assert error.splitlines()[-1] == "KeyboardInterrupt"
    assert all(ended(pid, 1) for pid in workers)


def test_ctrl_c_while_workers_start():
    """It reaches a process at most in the instant before it has a session of its own, and ends it without a word."""
    program = textwrap.dedent("""
        import os, signal, threading
        from eie_sim.study.pool import Pool, WorkerDiedError
        signal.signal(signal.SIGINT, lambda *_: None)
        with Pool(2) as pool:
            futures = [pool.submit(os.getpid) for _ in range(2)]
            for delay in range(20):
                threading.Event().wait(0.01)
                os.killpg(0, signal.SIGINT)
            died = [future for future in futures if isinstance(future.exception(), WorkerDiedError)]
            print({str(future.exception()) for future in died} <= {"ended by signal 2"}, pool.submit(int, "7").result())
    """)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
        timeout=30,
        start_new_session=True,
    )
    assert (ran.stdout, ran.stderr) == ("True 7\n", "")


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs SIGPIPE")
def test_a_program_that_a_broken_pipe_ends_outlives_its_workers():
    """Workers are killed between tasks, so that the next task is written to a pipe that nobody reads."""
    program = textwrap.dedent(f"""
        import os, signal, sys
        sys.path.insert(0, {str(HERE)!r})
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        from eie_sim.study.pool import Pool, WorkerDiedError
        deaths = 0
        with Pool(1) as pool:
            for _ in range(5):
                pid = pool.submit(os.getpid).result()
                os.kill(pid, signal.SIGSTOP)
                os.kill(pid, signal.SIGKILL)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
                try:
                    pool.submit(os.getpid).result()
                except WorkerDiedError:
                    deaths += 1
        print(deaths)
    """)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "5\n", "")


def test_a_path_that_python_passes_over_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "path", [Path("no text"), *sys.path])
    pool = Pool(1)
    try:
        assert pool.submit(os.getpid).result(30) != os.getpid()
    finally:
        pool.shutdown()
