"""A command that reads an ONNX file runs in a process of its own, whose crash is one line."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = "import os, signal, sys, time, eie_sim.cli as cli; {}; sys.exit(cli.main())"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is there a process of its own")


def started(body, *words):
    """The program with something else in place of its commands."""
    program = PROGRAM.format(f"cli._answered = lambda arguments: {body}")
    return subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT"])
def test_a_crash_is_one_line_and_bad_input(name):
    program = started(f"os.kill(os.getpid(), signal.{name})", "run", "bad.ONNX")
    _, said = program.communicate(timeout=60)
    assert program.returncode == 2
    assert said == f"error: file=bad.ONNX: the process ended with {name}, as onnxruntime does over a damaged model\n"


@pytest.mark.parametrize("code", [0, 1, 2])
def test_another_end_is_passed_on(code):
    program = started(f"print(os.getpid(), os.getppid()) or {code}", "run", "some.onnx")
    said, error = program.communicate(timeout=60)
    own, parent = map(int, said.split())
    assert (program.returncode, error) == (code, "")
    assert own != parent == program.pid
    program = started(f"print(os.getpid()) or {code}", "run", "digits-mlp")
    assert int(program.communicate(timeout=60)[0]) == program.pid
    assert program.returncode == code


def test_a_process_that_is_killed_is_said_to_be():
    program = started("os.kill(os.getpid(), signal.SIGKILL)", "run", "some.onnx")
    assert program.communicate(timeout=60) == ("", "")
    assert program.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_end_that_is_asked_for_is_passed_on(number, code):
    program = started("print('ready', flush=True) or time.sleep(60)", "run", "some.onnx")
    assert program.stdout.readline() == "ready\n"
    program.send_signal(number)
    _, said = program.communicate(timeout=20)
    assert (program.returncode, said) == (code, "interrupted\n")


def test_nothing_is_left_running_when_the_first_is_killed():
    program = started("print(os.getpid(), flush=True) or time.sleep(60)", "run", "some.onnx")
    other = Path(f"/proc/{int(program.stdout.readline())}")
    program.kill()
    program.wait(timeout=20)
    end = time.monotonic() + 20
    while other.exists() and "Z" not in other.joinpath("stat").read_text().rpartition(")")[2].split()[:1]:
        assert time.monotonic() < end
        time.sleep(0.01)
    program.communicate()
