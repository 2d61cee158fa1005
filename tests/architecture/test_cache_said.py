"""Compiling kernels is said on a terminal, once, and only where it takes place."""

import os
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty")

MODULE = """
from eie_sim.core.jit import kernel

@kernel
def inner(x):
    return x + 1

@kernel
def outer(x):
    return inner(x) * 2
"""
PROGRAM = "import kernels; print(kernels.outer(1), kernels.outer(1.5))"
SAID = "compiling kernels, once"


def said_on_terminal(folder, program=PROGRAM, **variables):
    """Standard output, and what a terminal shows of standard error."""
    (folder / "kernels.py").write_text(MODULE)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), **variables}
    environment.pop("NUMBA_CACHE_DIR", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 4096)
        except OSError:  # so does a terminal end that nobody holds any more
            break
        if not read:
            break
        shown += read
    os.close(ours)
    return done.stdout.decode().strip(), shown.decode().split("\r\n")[:-1]


@pytest.mark.compiled
def test_it_is_said_once_and_never_again_when_kernels_are_kept(tmp_path):
    assert said_on_terminal(tmp_path) == ("4 5.0", [SAID])
    assert said_on_terminal(tmp_path) == ("4 5.0", [])


@pytest.mark.compiled
def test_where_nothing_is_kept_it_says_so(tmp_path):
    (tmp_path / "file").touch()
    where = str(tmp_path / "file")
    for _ in range(2):
        out, lines = said_on_terminal(tmp_path, XDG_CACHE_HOME=where)
        assert (out, lines) == ("4 5.0", ["compiling kernels, for this process: no folder to keep them in"])


def test_kernels_that_are_not_compiled_say_nothing(tmp_path):
    assert said_on_terminal(tmp_path, NUMBA_DISABLE_JIT="1") == ("4 5.0", [])


@pytest.mark.compiled
def test_a_pipe_and_a_worker_are_told_nothing(tmp_path):
    (tmp_path / "kernels.py").write_text(MODULE)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == ("4 5.0", "")
    worker = "import multiprocessing as m, kernels\nif __name__ == '__main__':\n p = m.get_context('spawn').Pool(1)\n"
    (tmp_path / "main.py").write_text(worker + " print(p.map(kernels.outer, [1]))\n p.close(); p.join()\n")
    run = "import runpy; runpy.run_path('main.py', run_name='__main__')"
    assert said_on_terminal(tmp_path, run, XDG_CACHE_HOME=str(tmp_path / "fresh")) == ("[4]", [])
