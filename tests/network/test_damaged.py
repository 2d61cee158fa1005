"""Damaged ONNX files, read in a process of their own: onnxruntime may end it, which is a finding too."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
SCRIPT = Path(__file__).parent / "fuzzing.py"


def findings(first, count):
    """What went wrong with the files of these numbers, and how many could be used all the same."""
    run = subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, str(first), str(count)], capture_output=True, text=True, check=False
    )
    *lines, last = run.stdout.splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    if run.returncode or not last.startswith("used"):
        wrong.append(f"ended with {run.returncode} at {last}: {run.stderr[-500:]}")
    return wrong, last


def test_damaged_files_are_refused_in_one_line_or_run():
    wrong, last = findings(0, 300)
    assert wrong == []
    used = int(last.split()[1])
    assert 0 < used < 150  # some damage hits nothing, and most does


@pytest.mark.slow
def test_ten_thousand_damaged_files():
    wrong, _ = findings(100_000, 10_000)
    assert wrong == []
