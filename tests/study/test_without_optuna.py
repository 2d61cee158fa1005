"""Fronts need no optuna, and search says what to install."""

import subprocess
import sys

import pytest

from eie_sim.core.errors import InputError
from eie_sim.study.searching import optimize


def test_importing_loads_no_optuna():
    program = "import sys\nimport eie_sim.study.pareto, eie_sim.study.searching\nprint('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_search_without_optuna_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"^optimize: needs optuna, .*pip install 'eie-sim\[optuna\]'$"):
        optimize({"n_pe": [1, 2]}, lambda designs: [], ["cycles", "bytes"], trials=1)
