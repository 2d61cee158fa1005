"""Readers that go away, full devices, closed streams, interrupts, terminals: how eie-sim ends."""

import os
import subprocess
from pathlib import Path

import pytest
from asking import start


@pytest.mark.parametrize(
    "arguments", [["--help"], ["presets"], ["presets", "--json"], ["energy", "--csv"], ["energy", "--json"]]
)
def test_a_reader_that_went_away_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    try:
        done = start(*arguments, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--json"]])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_2(arguments):
    with Path("/dev/full").open("w") as full:
        done = start(*arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--json"], ["--help"], ["run", "nothing"]])
@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_error_of_their_own(arguments, closed, tmp_path):
    code = start(*arguments, capture_output=True).returncode
    before = (
        f"import os, sys; [os.close(fd) for fd in {closed}]; sys.stdout = sys.stdout if 1 not in {closed} else None; "
    )
    before += f"sys.stderr = sys.stderr if 2 not in {closed} else None; "
    done = start(*arguments, before=before, capture_output=True)
    assert done.returncode == code == (2 if "nothing" in arguments else 0)
    assert b"Traceback" not in done.stderr
    assert closed != (1,) or code or done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_error_that_cannot_be_written_keeps_its_exit_code():
    with Path("/dev/full").open("w") as full:
        assert start("run", "nothing", stdout=subprocess.PIPE, stderr=full).returncode == 2


@pytest.mark.parametrize("module", ["cyclopts", "eie_sim.cli.simulate", "numpy", "numba"])
def test_an_interrupt_while_modules_load_is_answered_too(module):
    before = f"""
import sys
class Interrupt:
    def find_spec(name, *_):
        if name == "{module}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt)
"""
    done = start("run", "digits-mlp", before=before, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_ends_with_exit_code_130(ask, monkeypatch):
    def interrupted(*_given, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("eie_sim.pipeline.run_network", interrupted)
    assert ask("run", "digits-mlp") == (130, "", "interrupted\n")


def test_an_interrupt_while_writing_leaves_nothing_temporary(ask, chain, tmp_path, monkeypatch):
    def interrupted(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    assert ask("run", chain, "--out", tmp_path / "run") == (130, "", "interrupted\n")
    assert list((tmp_path / "run").iterdir()) == []


def test_progress_goes_to_a_terminal_only(ask, chain, monkeypatch):
    steps = []
    monkeypatch.setattr("rich.status.Status.update", lambda _status, step, **_options: steps.append(step))
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        assert ask("run", chain, "--json")[0] == 0
        assert bool(steps) == terminal
    assert str(steps[0]).endswith("chain.npz: loading")
    assert "fc2: compressing" in map(str, steps)


def test_a_narrow_terminal_cuts_no_figure(ask, chain, monkeypatch):
    wide = ask("run", chain)[1]
    monkeypatch.setenv("COLUMNS", "40")
    assert ask("run", chain)[1] == wide
