"""Compiled kernels are never stale: an edit in one module reaches kernels of others that call it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import eie_sim

PROGRAM = """
import numpy as np
from eie_sim.quantize import Scales
from eie_sim.units.eie import functional
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
scales = Scales(weight=0, activation=0, accumulator=0)
matrix = EieMatrix.from_codes([[1]], np.array([0, 3], dtype=np.int16), n_pe=1, scales=scales)
print(functional.accumulate(matrix, np.array([5], dtype=np.int16), EieConfig(n_pe=1, weight_bits=1))[0])
"""


def output_of(copy: Path, cache: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=copy, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_helper_edited_in_another_module_is_compiled_again(tmp_path):
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(
        Path(eie_sim.__file__).parent,
        copy / "eie_sim",
        ignore=shutil.ignore_patterns("__pycache__", "models", "traces"),
    )
    assert output_of(copy, cache) == "15"
    assert list(cache.rglob("*.nbi")), "kernels are cached in the folder we name"
    fixed = copy / "eie_sim" / "fixed.py"
    edited = fixed.read_text().replace("* np.int64(activation) + half)", "* np.int64(activation) + half + 100)")
    assert edited != fixed.read_text()
    fixed.write_text(edited)
    assert output_of(copy, cache) == "115"
