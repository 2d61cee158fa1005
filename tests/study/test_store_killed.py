"""Runs that are killed, at any moment and at every step, and runs that want the same store."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_rows import expected, row, text

import eie_sim
from eie_sim import InputError
from eie_sim.study.store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits of POSIX")

ROWS = [row(n) for n in range(6)]
WHOLE = text(ROWS)
N_SWEEP = 2000

SWEEP = """
import sys, time
from store_rows import row
from eie_sim.study.store import Store
with Store(sys.argv[1]) as store:
    print("open", store.damaged, flush=True)
    todo = [n for n in range(int(sys.argv[2])) if row(n)[0] not in store]
    for start in range(0, len(todo), 30):
        store.append([row(n, design="x" * 3000) for n in todo[start : start + 30]])
        time.sleep(0.002)
"""

TORN = """
import os, signal, sys
from store_rows import row
from eie_sim.study.store import Store
def torn(handle, data, write=os.write):
    write(handle, data[: int(sys.argv[2])])
    os.kill(os.getpid(), signal.SIGKILL)
store = Store(sys.argv[1])
store.append([row(n) for n in range(2)])
os.write = torn
store.append([row(n) for n in range(2, 6)])
"""

HOLDS = """
import os, sys, time
from eie_sim.study.store import Store
store = Store(sys.argv[1])
if "fork" not in sys.argv:
    print("open", 0, flush=True)
elif os.fork() == 0:
    print("open", os.getpid(), flush=True)
time.sleep(60)
"""

LIMITED = """
import resource, sys
from store_rows import row
from eie_sim import InputError
from eie_sim.study.store import Store
with Store(sys.argv[1]) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        store.append([row(n) for n in range(6)])
    except InputError as error:
        print(error)
"""

SHARES = """
import sys
from store_rows import row
from eie_sim import InputError
from eie_sim.study.store import Store
mine = [row(n) for n in range(int(sys.argv[2]), 24, 4)]
while mine:
    try:
        with Store(sys.argv[1]) as store:
            store.append([mine.pop()])
            with store.path.open("ab") as file:  # damage before a row
                file.write(f"damage {len(mine)}\\n".encode() + mine.pop()[1])
    except InputError as error:
        assert "in use by another run" in str(error), error
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.jsonl"


def started(program, *arguments):
    paths = [Path(__file__).parent, Path(eie_sim.__file__).parent.parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
    )


def ended(program, *arguments):
    """Exit status and output of a program."""
    with started(program, *arguments) as process:
        said, _ = process.communicate(timeout=60)
    return process.returncode, said


def in_order(path):
    return sorted(path.read_bytes().splitlines(keepends=True))


def killed_until_done(path, n_kill, n_row, rng):
    """Start a sweep, kill it, start it again; let it end after `n_kill` kills. Returns how often it was killed."""
    killed = 0
    while True:
        with started(SWEEP, path, n_row) as process:
            if killed < n_kill:
                if rng.random() < 0.8:
                    process.stdout.readline()
                time.sleep(rng.uniform(0, 0.06))
                process.kill()
            process.communicate(timeout=60)
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0
            return killed
        killed += 1
        whole, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        assert not expected(whole + b"\n" * bool(whole))[1]


def killed_at_random(path, n_kill, n_row):
    undisturbed = path.with_name("undisturbed.jsonl")
    assert ended(SWEEP, undisturbed, n_row)[0] == 0
    killed = killed_until_done(path, n_kill, n_row, random.Random(n_kill))
    assert in_order(path) == in_order(undisturbed)
    return killed


def test_killed_at_random_it_ends_with_the_same_rows(path):
    assert killed_at_random(path, 15, N_SWEEP) > 5


@pytest.mark.slow
def test_killed_at_random_many_times(path):
    assert killed_at_random(path, 150, 10 * N_SWEEP) > 75


@pytest.mark.parametrize("n_byte", [0, 1, 60, 125, len(text(ROWS[2:])) - 1, len(text(ROWS[2:]))])
def test_killed_in_the_middle_of_a_write(n_byte, path):
    assert ended(TORN, path, n_byte)[0] == -signal.SIGKILL
    rows, damaged, _ = expected(path.read_bytes())
    assert len(rows) == 2 + text(ROWS[2:])[:n_byte].count(b"\n")
    with Store(path) as again:
        assert (len(again), again.damaged) == (len(rows), len(damaged))
        again.append(ROWS)
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_run_that_is_killed_lets_go_of_its_store(how, path):
    with started(HOLDS, path, how) as first:
        _, child = first.stdout.readline().split()
        try:
            with pytest.raises(InputError, match="is in use by another run; wait for it, or give another store"):
                Store(path)
            first.kill()
            first.wait()
            with Store(path) as second:  # what it forked lives on, without the store
                second.append(ROWS)
        finally:
            first.kill()
            if int(child):
                os.kill(int(child), signal.SIGKILL)
    assert path.read_bytes() == WHOLE


def test_a_full_disk_leaves_a_store(path):
    limit = len(text(ROWS[:3])) + 20
    status, said = ended(LIMITED, path, limit)
    assert (status, said) == (0, f"store={path}: cannot be written: File too large\n")
    with Store(path) as again:
        assert (len(again), again.damaged) == (3, 0)
        again.append(ROWS)
    assert path.read_bytes() == WHOLE


def test_runs_that_take_turns_lose_nothing(path):
    with Store(path) as fresh:
        fresh.append([row(24)])
    processes = [started(SHARES, path, n) for n in range(4)]
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 4
    with Store(path) as after:
        assert {after.line(name) for name in after} == {row(n)[1] for n in range(25)}
