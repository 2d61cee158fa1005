"""Killed anywhere: what is written is the old file or the new one, and nothing else, fifty times for each kind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 50

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills of POSIX")


def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    program = [sys.executable, str(Path(__file__).parent / "killing.py"), str(tmp_path), "7"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert [line.split(":")[0] for line in said] == ["run", "archive", "table", "report", "trace"]
    assert all(f": {KILLS} kills, " in line for line in said)


def command(*words):
    program = [sys.executable, "-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *words]
    return subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("run", "digits-mlp", "--out", "{}/run"), "run/run.json"),
        (("prune", "digits-mlp", "--density", "0.2", "--out", "{}/a.eie.safetensors"), "a.eie.safetensors"),
        (("sweep", "digits-mlp", "--n-pe", "4,8", "--store", "{}/s.jsonl", "--out", "{}/rows.csv"), "rows.csv"),
    ],
)
def test_a_command_killed_at_any_moment_leaves_a_whole_file_or_none(words, name, tmp_path):
    """The same command each time: once it has written its file, that file is there, whole, for good.

    What a killed sweep leaves of its store the next one goes on with, until one is done.
    """
    words, chance = [word.format(tmp_path) for word in words], random.Random(3)
    store = tmp_path / "s.jsonl"
    start = time.perf_counter()
    assert command(*words).wait() == 0
    longest, whole = time.perf_counter() - start, (tmp_path / name).read_bytes()
    rows = sorted(store.read_bytes().splitlines()) if store.exists() else []
    (tmp_path / name).unlink()
    store.unlink(missing_ok=True)
    for _ in range(KILLS):
        running = command(*words)
        time.sleep(chance.uniform(0, 1.1 * longest))
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        if (tmp_path / name).exists():
            assert (tmp_path / name).read_bytes() == whole
            (tmp_path / name).unlink()
            store.unlink(missing_ok=True)
    assert command(*words).wait() == 0
    assert (tmp_path / name).read_bytes() == whole
    assert (sorted(store.read_bytes().splitlines()) if store.exists() else []) == rows
