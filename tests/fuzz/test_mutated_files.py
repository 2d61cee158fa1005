"""Whatever is in a file, it is read, or refused in one line, and nothing else happens; and the trials would notice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loaders import LOADERS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory as Linux has them")


def counted(program, *words):
    """Counts by loader that a program printed."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, HERE / program, *map(str, words)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    counts = [json.loads(line) for line in done.stdout.splitlines()]
    return {each["loader"]: each for each in counts}, done


def all_fine(each):
    counts, done = counted("trials.py", "--each", each)
    found = {name: each["found"] for name, each in counts.items() if each["found"]}
    assert not found, found
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert counts.keys() == LOADERS.keys()
    for each_loader in counts.values():
        assert each_loader["tried"] >= each
        assert min(each_loader[name] for name in ("accepted", "refused", "commands")) > 0, each_loader


def test_files_that_were_mutated_are_read_or_refused_in_one_line():
    all_fine(200)


@pytest.mark.slow
def test_many_files_that_were_mutated():
    all_fine(20_000)


def test_trials_notice_what_no_loader_may_do():
    counts, _ = counted("misdeeds.py")
    said = {name: str(each["found"]) for name, each in counts.items()}
    assert "unpickled" in said["unpickles"]
    assert "pickle.find_class" in said["unpickles"]
    assert "does not fit into memory" in said["allocates"]
    assert "open" in said["writes outside"]
    assert "os.remove" in said["removes outside"]
    assert "open /etc" in said["reads outside"]
    assert "os.system" in said["starts a program"]
    assert "refused, and changed" in said["changes what it refuses"]
    assert "refused, and changed" in said["leaves a file"]
    assert "KeyError" in said["has a traceback"]
    assert "RuntimeWarning" in said["warns"]
    assert "says 'two\\\\nlines'" in said["says two lines"]
    assert "says 'xxx" in said["says much"]
    assert "took" in said["takes long"]
    assert "command ends with 0" in said["has another command"]
    assert said["is fine"] == "[]"
