"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = pytest.mark.slow

PARTS = ("import", "float run", "lowered", "prune", "compress", "scales", "simulate", "golden")


def measured(folder):
    """What a run in a process of its own, on one thread, says of itself."""
    script, threads = Path(__file__).parent / "resnet_run.py", {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, script, folder], capture_output=True, text=True, check=True, env=os.environ | threads
    )
    return json.loads(run.stdout)


def test_a_network_of_the_shapes_of_resnet_18(tmp_path, note):
    """All positions at density 0.3, verified; its weights and its image are drawn."""
    told = measured(tmp_path)
    seconds = told["seconds"]
    rest = seconds["all"] - sum(seconds[part] for part in PARTS)
    note(f"synthetic: {told['macs']:,} MACs in the shapes of ResNet-18, density 0.3, {told['positions']:,} positions")
    for part, took in [*((part, seconds[part]) for part in PARTS), ("vectors, records, the rest", rest)]:
        note(f"    {part:30} {took:6.2f} s {100 * took / seconds['all']:5.1f} %")
    note(f"    {'all':30} {seconds['all']:6.2f} s, at most 30, aim 10; peak {told['peak_mb']:,.0f} MB, at most 2,000")
    unit = sum(seconds[part] for part in ("compress", "scales", "simulate"))
    note(f"    unit side / its calls of simulate: {unit / seconds['simulate']:.2f}, at most 2")
    assert told["verified"]
    assert told["positions"] > 30_000
    assert seconds["import"] + seconds["float run"] < 0.1 * seconds["all"]
    assert unit <= 2 * seconds["simulate"]
    assert seconds["all"] < 30
    assert told["peak_mb"] < 2000
