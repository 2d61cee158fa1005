import json

import pytest
from networks import chain

import eie_sim as es
from eie_sim.cli import main
from eie_sim.pipeline import run_network
from eie_sim.report.page.pictures import Picture


@pytest.fixture(scope="session")
def made():
    """The record of a run of two layers, as text."""
    return json.dumps(run_network(chain((8, 12, 4)), es.EieConfig(n_pe=4)).to_dict())


@pytest.fixture
def record(made):
    """A record of a test's own."""
    return json.loads(made)


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """The store of a sweep over three axes, with points that fail and points that do not fit."""
    path = tmp_path_factory.mktemp("swept") / "random.sweep.jsonl"
    grid = {"n_pe": [2, 4, 8], "queue_depth": [1, 8], "density": [0.2, 0.6], "weight_bits": [4, 8]}
    grid["spmat_width_bits"] = [8, 64]
    unfit = [{"n_pe": 2, "register_entries": 2}]
    found = es.sweep.run(chain((8, 12, 4)), grid=grid, points=unfit, store=path, workers=1)
    assert (len(found.rows), found.failed) == (49, 12)
    return path


@pytest.fixture
def undrawn(monkeypatch):
    """Pages without their figures, which take a second."""
    monkeypatch.setattr(Picture, "svg", lambda picture: "<svg></svg>")


@pytest.fixture
def ask(capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def ask(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return ask
