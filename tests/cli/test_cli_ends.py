"""Commands that are ended from outside: what they say, what they keep, and that nothing temporary stays."""

import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from eie_sim import cli
from eie_sim.cli import main, streams

LONG = ("sweep", "digits-mlp", "--n-pe", "1..64", "--queue-depth", "1..40", "--index-bits", "2..6", "--workers", "1")


def started(folder, *words):
    program = "import sys\nfrom eie_sim.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_sweep_that_is_ended_says_what_it_kept(tmp_path, number, code):
    store = tmp_path / "digits-mlp.sweep.jsonl"
    running = started(tmp_path, *LONG)
    while not (store.exists() and store.stat().st_size) and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(number)
    out, said = running.communicate(timeout=30)
    rows = store.read_bytes().count(b"\n")
    assert (running.returncode, out) == (code, "")
    assert said == f"interrupted: {rows:,} rows kept in {store.name}; the same command goes on\n"
    assert [each.name for each in tmp_path.iterdir()] == [store.name]


def test_a_search_that_is_ended_says_what_all_its_batches_kept(tmp_path):
    pytest.importorskip("optuna")
    store = tmp_path / "digits-mlp.sweep.jsonl"
    running = started(tmp_path, *LONG, "--optimize", "cycles,energy_nj", "--trials", "2000")
    while not (store.exists() and store.read_bytes().count(b"\n") > 20) and running.poll() is None:
        time.sleep(0.02)
    running.terminate()
    _, said = running.communicate(timeout=30)
    rows = store.read_bytes().count(b"\n")
    assert running.returncode == 143
    assert said == f"interrupted: {rows:,} rows kept in {store.name}; the same command goes on\n"


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6, 0.9, 1.2])
def test_a_run_that_is_terminated_leaves_no_temporary_file(tmp_path, seconds):
    running = started(tmp_path, "run", "digits-mlp", "--out", "run")
    time.sleep(seconds)
    running.terminate()
    _, said = running.communicate(timeout=30)
    assert running.returncode in (143, -signal.SIGTERM, 0)
    assert "Traceback" not in said
    assert {each.name for each in tmp_path.rglob("*")} <= {"run", "run.json", "layers.csv"}


def test_a_signal_in_the_middle_of_a_write_leaves_no_temporary_file(tmp_path, monkeypatch, capsys):
    def ended(handle):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(os, "fsync", ended)
    assert main(["run", "digits-mlp", "--out", str(tmp_path / "run")]) == 143
    assert capsys.readouterr().err == "interrupted\n"
    assert list(tmp_path.rglob("*.*")) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


class Dropped:
    """Ends the command in a place whose errors Python drops."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_python_would_drop_ends_the_command(monkeypatch, capsys, number, code):
    def prepare():
        Dropped(number)
        time.sleep(5)

    monkeypatch.setattr(streams, "prepare", prepare)
    before, hook = signal.signal(signal.SIGINT, signal.default_int_handler), sys.unraisablehook
    try:
        assert main(["--version"]) == code
    finally:
        signal.signal(signal.SIGINT, before)
    assert (capsys.readouterr().err, sys.unraisablehook) == ("interrupted\n", hook)


@pytest.mark.parametrize("chained", [True, False])
def test_an_error_that_is_made_of_a_signal_is_no_traceback(monkeypatch, capsys, chained):
    def prepare():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:
            made = RuntimeError("Error calling __set_name__")
            made.__cause__ = error if chained else None
        if not chained:
            made = ImportError("failed to import")
        raise made

    monkeypatch.setattr(streams, "prepare", prepare)
    assert main(["--version"]) == 143
    assert capsys.readouterr().err == "interrupted\n"


def test_a_lack_of_memory_is_said_when_what_filled_it_is_free(monkeypatch):
    class Large:
        pass

    kept, alive = [], []

    def commands(asked=""):
        large = Large()
        kept.append(weakref.ref(large))
        raise MemoryError

    monkeypatch.setattr(cli, "commands", commands)
    monkeypatch.setattr(streams, "say", lambda line: alive.append(kept[0]()))
    assert main([]) == 2
    assert alive == [None]


def test_a_run_folder_of_two_runs_says_so(tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["run", "hand-8x8", "--out", str(first)]) == main(["run", "digits-mlp", "--out", str(second)]) == 0
    (second / "layers.csv").replace(first / "layers.csv")
    capsys.readouterr()
    assert main(["report", str(first)]) == 2
    said = capsys.readouterr().err
    assert (
        said == f"error: run={first}/layers.csv: of another run than run.json, or changed: run again, or take it away\n"
    )
    (first / "layers.csv").unlink()
    assert main(["report", str(first)]) == 0
