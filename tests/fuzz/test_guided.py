"""The coverage-guided fuzzer runs for seconds here, and finds what is there to find."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from guided import MISSING, NEEDED, guided

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec(NEEDED) is None, reason=MISSING)]


def test_a_loader_is_fuzzed():
    result = guided("smtx", 5)
    assert result["found"] == []
    assert result["folder"] is None
    assert result["executions"] > 500
    assert result["new"] > 0, "coverage is measured"


def test_what_is_found_is_kept_and_said_in_a_line():
    result = guided("careless", 3, table="misdeeds")
    folder = Path(result["folder"])
    kept = (folder / "KeyError-1").read_bytes()
    shutil.rmtree(folder)
    assert b"\0" in kept
    assert result["found"][0].startswith("KeyError-1: ")
    assert all("\n" not in line for line in result["found"])
