"""N:M is written 2:4 in every command that takes a pattern, and refused in one line where it is none."""

import numpy as np
import pytest

from eie_sim.network import load
from eie_sim.prune import prune_network
from eie_sim.prune.pattern import is_nm
from eie_sim.prune.recipe import Recipe
from eie_sim.units.eie.config import EieConfig

COMMANDS = {
    "run": "run digits-mlp --pattern {}",
    "prune": "prune digits-mlp --pattern {}",
    "footprint": "footprint digits-mlp --pattern {}",
    "accuracy": "accuracy digits-mlp --patterns element {}",
    "compare": "compare digits-mlp --patterns {}",
    "sweep": "sweep digits-mlp --pattern element,{}",
    "sweep a unit's": "sweep digits-mlp --unit nm --patterns {}",
}


@pytest.mark.parametrize("bad", ["4:2", "2:0", "2", "a:b", "2:4:8", "0:0", "2:257", "nm", "²:4"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_n_of_m_is_one_line_with_the_rule(ask, tmp_path, monkeypatch, command, bad):
    monkeypatch.chdir(tmp_path)
    code, out, err = ask(*COMMANDS[command].format(bad).split())
    field = "patterns" if "--patterns" in COMMANDS[command] else "pattern"
    rule = "must be N:M, N kept of each M, as 2:4, with 1 <= N <= M <= 256"
    assert (code, out, err) == (2, "", f"error: {field}={bad}: {rule}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "prune", "footprint", "accuracy", "compare", "sweep", "sensitivity"])
def test_help_knows_no_other_spelling(ask, command):
    _, out, _ = ask(command, "--help", "--full")
    assert not {"--n-keep", "--m-group"} & set(out.split())
    assert "2:4" in out or command == "sensitivity"


def test_a_run_prunes_first(ask_json):
    ran = ask_json("run", "digits-mlp", "--pattern", "2:4")
    network, _ = prune_network(load("digits-mlp"), Recipe(pattern="2:4"), EieConfig())
    assert all(is_nm(layer.weights, 2, 4) for layer in network.layers)
    pruned = ask_json("prune", "digits-mlp", "--pattern", "2:4")
    assert [layer["n_weight"] for layer in ran["layers"]] == [layer["after"]["weights"] for layer in pruned["layers"]]
    assert ran["verified"]


def test_a_run_has_a_density_or_a_pattern(ask):
    code, _, err = ask("run", "digits-mlp", "--pattern", "2:4", "--density", "0.1")
    assert (code, err) == (2, "error: density=0.1: must be left out, 2:4 has its own\n")


def test_inputs_that_m_does_not_divide_are_padded_in_every_command(ask_json, tmp_path, monkeypatch):
    """10 inputs in groups of 4: 2 + 2 + 2 kept in each of 6 rows, and 12 stored for 10."""
    monkeypatch.chdir(tmp_path)
    np.savez("net.npz", fc=np.arange(1, 61, dtype=np.float32).reshape(6, 10))
    given = ["--activation-density", "1"]
    (ran,) = ask_json("run", "net.npz", "--pattern", "2:4", *given)["layers"]
    (pruned,) = ask_json("prune", "net.npz", "--pattern", "2:4")["layers"]
    (counted,) = ask_json("footprint", "net.npz", "--pattern", "2:4")["layers"]
    rows = ask_json("sweep", "net.npz", "--unit", "eie,nm", "--pattern", "2:4", "--verify", "--workers", "1", *given)[
        "rows"
    ]
    assert ran["n_weight"] == pruned["after"]["weights"] == 36
    assert [row["n_weight"] for row in rows] == [36, 36]
    assert [row["verified"] for row in rows] == [True, True]
    parts = {form["name"]: form["parts"] for form in counted["formats"]}["nm"]
    assert parts == {"values": 6 * 6 * 16, "metadata": 6 * 6 * 2}
    assert rows[1]["bytes"] == 6 * 6 * (16 + 2) / 8
