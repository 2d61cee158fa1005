import json

import numpy as np
import pytest
from asking import weights

from eie_sim.cli import main


@pytest.fixture
def ask(capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def ask(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return ask


@pytest.fixture
def ask_json(ask):
    """What a command that succeeds prints with --json."""

    def ask_json(*arguments):
        code, out, err = ask(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return ask_json


@pytest.fixture
def chain(tmp_path):
    """A file with two matrices of chaining shapes, 9 -> 12 -> 5, and recorded inputs of the first, some negative."""
    path = tmp_path / "chain.npz"
    inputs = np.linspace(-1, 1, 27).reshape(3, 9)
    np.savez(path, **{"fc1.weight": weights(12, 9), "fc1.input": inputs, "fc2.weight": weights(5, 12, 1)})
    return path
