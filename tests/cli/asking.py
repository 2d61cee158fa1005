"""The command in a process of its own, weights to give it, and what it leaves in a folder."""

import os
import subprocess
import sys

import numpy as np


def start(*arguments, **options):
    """Run the command in a process of its own, its output buffered as it is for a user."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = options.pop("before", "") + "import sys; from eie_sim.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=environment | options.pop("env", {}), check=False, timeout=60, **options)


def weights(n_out, n_in, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < 0.5)).astype(np.float32)


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}
