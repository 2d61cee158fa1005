"""Long mixed work holds its memory: what caches keep is bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GROWTH_MB = 30
"""Of the medians of the first and the last third after the warm-up; the allocator's own noise is about 10."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("seconds", [60, 600])
def test_memory_stays_flat(seconds):
    program = [sys.executable, str(Path(__file__).parent / "long_run.py"), str(seconds)]
    done = json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    assert done["rounds"] > 10
    assert done["last_third_mb"] - done["first_third_mb"] < GROWTH_MB, done
