"""eie-sim run: what it prints, of which inputs, and that a run that is not verified says so."""

import json
import re

import numpy as np
import pytest
from asking import start, weights
from safetensors.numpy import save_file

from eie_sim.core import golden
from eie_sim.network import load
from eie_sim.pipeline import run_network
from eie_sim.report.folder import RECORD
from eie_sim.units.eie.config import EieConfig

TITLES = [
    "Cycles per vector",
    "PE-cycles by class, % (add to 100)",
    "Throughput, GOP/s (1 MAC = 2 operations; MACs of the bias included)",
    "Energy per vector, nJ, by component",
    "Storage of the compressed weights (shares add to 100 %; bias included, in dense too)",
    "On chip: needed / available on the fullest PE",
    "Verification against the golden product",
    "Error against the float product of the layer's own weights (rms)",
]


def test_the_first_command_of_the_readme_prints_every_table_and_verified():
    done = start("run", "digits-mlp", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("digits-mlp: trained on the UCI digits")
    assert [line.strip() for line in lines if line.strip() in TITLES] == TITLES
    assert lines[-2] == "verified"
    for name in ("fc1", "fc2", "fc3"):
        assert sum(line.startswith(f"{name} ") for line in lines) == len(TITLES)
    assert sum(line.startswith("network ") for line in lines) == 5  # a total where a total makes sense
    assert any(re.match(r"accuracy on 360 held-back images: float 9\d\.\d\d %, pruned 9", line) for line in lines)
    assert "config" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_the_record_of_the_run(ask_json):
    record = run_network(load("digits-mlp"), EieConfig()).to_dict()
    assert ask_json("run", "digits-mlp") == json.loads(json.dumps(record))


def test_the_table_shows_what_the_record_says(ask, ask_json, chain):
    record = ask_json("run", chain, "--chain", "fc1,fc2", "--n-pe", 4)
    out = ask("run", chain, "--chain", "fc1,fc2", "--n-pe", 4)[1]
    rows = {title: out.split(title)[1].split("\n\n")[0] for title in TITLES}
    first, total = record["layers"][0], record["total"]
    cells = next(line.split() for line in rows[TITLES[0]].splitlines() if line.startswith("fc1"))
    cycles = first["cycles_per_vector"]
    assert cells[1:3] == ["12x9", f"{100 * first['weight_density']:.1f}"]
    assert cells[6:9] == ["3", f"{cycles['mean']:,.1f}", f"{cycles['min']}-{cycles['max']}"]
    assert f"{total['cycles_per_vector']['mean']:,.1f}" in rows[TITLES[0]].splitlines()[-1]
    assert f"{total['energy']['total_nj_per_vector']:.3f}" in rows[TITLES[3]].splitlines()[-1]
    assert f"{total['storage']['total_bits']:,}" in rows[TITLES[4]].splitlines()[-1]
    assert "0 of 36" in rows[TITLES[6]]
    assert "0 of 15" in rows[TITLES[6]]


def test_settings_of_the_design_reach_the_simulation(ask_json, chain):
    settings = {
        "n_pe": 3,
        "queue_depth": 2,
        "weight_bits": 3,
        "index_bits": 2,
        "accumulator_bits": 24,
        "rounding": "nearest",
        "active": "nonzero",
        "spmat_width_bits": 32,
        "spmat_bytes": 64,
        "pointer_bytes": 64,
        "activation_bytes": 64,
        "pointer_bits": 8,
        "register_entries": 4,
        "clock_mhz": 400.5,
        "node_nm": 28,
    }
    options = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    record = ask_json("run", chain, *options)
    assert record["config"] == settings
    assert EieConfig(**settings).to_dict() == settings, "every setting is here"
    expected = run_network(load(str(chain)), EieConfig(**settings)).to_dict()
    assert record == json.loads(json.dumps(expected))


def test_both_engines_print_the_same(ask, chain):
    fast, reference = (ask("run", chain, "--n-pe", 4, "--engine", engine) for engine in ("fast", "reference"))
    assert fast[0] == reference[0] == 0
    assert fast[1] == reference[1].replace("engine reference", "engine fast")
    assert fast[1] != reference[1]


def test_one_layer_of_a_network(ask_json):
    record = ask_json("run", "digits-mlp", "--layer", "fc2")
    assert [layer["name"] for layer in record["layers"]] == ["fc2"]
    assert record["accuracy"] is None
    assert record["layers"][0]["inputs"] == "recorded, 64 held-back images"


@pytest.mark.parametrize("name", [pytest.param("alex-7", marks=pytest.mark.slow), "nt-we"])
def test_a_layer_of_the_paper_by_name_is_labelled_synthetic(ask, name):
    code, out, err = ask("run", name, "--layer", name)
    assert (code, err) == (0, "")
    assert "synthetic weights" in out
    said = rf"^{name}: weights synthetic, density [\d.]+, seed 0; inputs synthetic, density"
    assert re.search(said, out, re.MULTILINE)
    assert not any(line.startswith("network ") for line in out.splitlines()), "one layer needs no total"
    assert out.splitlines()[-2] == "verified"


def test_drawn_inputs_are_labelled_synthetic_and_follow_the_seed(ask, ask_json):
    options = ["run", "digits-mlp", "--activation-density", 0.3, "--seed", 7]
    record = ask_json(*options)
    assert record["layers"][0]["inputs"] == "synthetic, density 0.3, seed 7"
    assert record["accuracy"] is None
    assert record["seed"] == 7
    assert record["layers"][0]["activation_density"] == pytest.approx(0.3, abs=0.15)
    assert "fc1: weights real, trained and pruned; inputs synthetic, density 0.3, seed 7" in ask(*options)[1]
    assert ask_json(*options[:-1], 8)["layers"][0]["stats"] != record["layers"][0]["stats"]


def test_density_prunes_first_and_says_so(ask_json):
    record = ask_json("run", "digits-mlp", "--density", 0.05)
    for layer in record["layers"]:
        assert layer["weight_density"] == pytest.approx(0.05, abs=0.01)
        assert layer["weights"].endswith("pruned by magnitude to density 0.05")
    assert record["accuracy"]["dense"] > record["accuracy"]["pruned"]


def test_negative_inputs_take_part_and_that_is_said(ask, ask_json, chain):
    said = "recorded: array fc1.input; negative ones take part (active nonzero)"
    first, second = ask_json("run", chain)["layers"]
    assert first["inputs"] == said
    assert second["inputs"] == "drawn, none given: synthetic, density 1, seed 0"
    assert f"fc1: weights from file; inputs {said}" in ask("run", chain)[1]
    assert first["stats"] == ask_json("run", chain, "--active", "nonzero")["layers"][0]["stats"]


def test_a_network_far_from_the_users_own_is_verified_but_warned_of(ask, ask_json, chain, tmp_path):
    np.save(tmp_path / "tiny.npy", np.full(9, 1e-12))
    options = ("run", chain, "--chain", "fc1,fc2", "--activations", tmp_path / "tiny.npy")
    code, out, err = ask(*options)
    record, lines = ask_json(*options), out.splitlines()
    assert (code, err, lines[-1], record["verified"]) == (0, "", "verified, but 2 warnings", True)
    assert lines[-3:-1] == [f"warning: {line}" for line in record["warnings"]]
    assert lines[-3].startswith("warning: fc1: all active inputs of 1 of 1 vectors became 0; all outputs are 0")
    assert lines[-2] == "warning: end to end: outputs are 100 % off those of the float network"
    near = ask("run", chain, "--chain", "fc1,fc2")[1].splitlines()
    assert near[-2] == "verified"
    assert near[-3].startswith("end to end: outputs are ")


def test_the_error_of_each_layer_is_in_its_table(ask, ask_json, chain):
    out, record = ask("run", chain)[1], ask_json("run", chain)
    rows = out.split(TITLES[-1])[1].split("\n\n")[0].splitlines()
    for layer in record["layers"]:
        found, own = layer["verification"], next(row.split() for row in rows if row.startswith(layer["name"]))
        errors = [f"{100 * found[f'{part}_error']:.2f}" for part in ("relative", "stored", "rounding")]
        assert [own[1], own[4], own[6]] == errors
        assert float(own[3]) == pytest.approx(-20 * np.log10(found["relative_error"]), abs=0.051)


def test_inputs_from_a_file(ask_json, chain, tmp_path):
    np.save(tmp_path / "inputs.npy", np.eye(9, dtype=np.float32)[:4])
    record = ask_json("run", chain, "--chain", "fc1,fc2", "--activations", tmp_path / "inputs.npy")
    assert record["layers"][0]["inputs"] == "from file inputs.npy"
    assert record["layers"][0]["n_vector"] == record["layers"][1]["n_vector"] == 4
    assert record["layers"][0]["stats"]["broadcast"]["sent"] == 4


def test_a_chain_is_what_the_user_declares(ask, ask_json, chain):
    assert ask_json("run", chain)["chained"] is False
    record = ask_json("run", chain, "--chain", "fc1,fc2")
    assert (record["chained"], record["verified"]) == (True, True)
    assert record["source"] == "file chain.npz"
    assert record["layers"][1]["inputs"] == "simulated: outputs of fc1 after ReLU"
    linear = ask_json("run", chain, "--chain", "fc1,fc2", "--between", "none")
    assert linear["layers"][1]["inputs"] == "simulated: outputs of fc1; negative ones take part (active nonzero)"
    code, out, err = ask("run", chain, "--chain", "fc2,fc1")
    assert (code, out, err) == (2, "", "error: chain.npz: layer fc1: n_in=9: must be the 5 outputs of fc2\n")


@pytest.mark.parametrize("command", ["footprint", "prune --density 0.5", "compress", "sensitivity"])
def test_other_commands_take_chains_too(ask, chain, command):
    code, out, err = ask(*command.split(), chain, "--chain", "fc1,fc2")
    assert (code, err) == (0, "")
    assert "fc2" in out
    assert ask(*command.split(), chain, "--chain", "fc1,fc3")[0] == 2


def test_the_readmes_commands_on_a_file_of_ones_own(ask, tmp_path):
    path = tmp_path / "my_network.safetensors"
    save_file({"a.weight": weights(12, 9), "a.bias": np.ones(12, np.float32), "b.weight": weights(5, 12)}, path)
    code, out, err = ask("run", path, "--density", 0.1, "--activation-density", 0.35)
    assert (code, err, out.splitlines()[-2]) == (0, "", "verified")
    code, out, err = ask("footprint", path, "--density", 0.1)
    assert (code, err) == (0, "")
    assert "eie" in out


def test_convolutions_and_recurrent_layers_are_listed_as_not_simulated_yet(ask, ask_json, tmp_path):
    path = tmp_path / "mixed.npz"
    arrays = {
        "conv1.weight": np.ones((4, 3, 3, 3), np.float32),
        "lstm.weight_ih_l0": np.ones((8, 4), np.float32),
        "fc.weight": weights(3, 4),
    }
    np.savez(path, **arrays)
    record = ask_json("run", path)
    assert [layer["name"] for layer in record["layers"]] == ["fc"]
    assert record["not_simulated"] == [
        {"name": "conv1.weight", "reason": "convolution, shape (4, 3, 3, 3), not simulated yet"},
        {"name": "lstm.weight_ih_l0", "reason": "recurrent, shape (8, 4), not simulated yet"},
    ]
    lines = ask("run", path)[1].splitlines()
    assert (
        "not simulated: 2 arrays, 92.11 % of the weights, of MACs an unknown share: conv1.weight (convolution, "
        "shape (4, 3, 3, 3), not simulated yet), lstm.weight_ih_l0 (recurrent, shape (8, 4), not simulated yet)"
        in lines
    )


def test_a_layer_that_does_not_fit_is_marked_in_its_row(ask, chain):
    out = ask("run", chain, "--n-pe", 4, "--register-entries", 2)[1]
    first, second = [line.rstrip() for line in out.split(TITLES[5])[1].splitlines() if line.startswith("fc")][:2]
    assert "48/32 !" in first
    assert first.endswith("no: 2 passes")
    assert second.endswith("yes")


def test_names_in_a_file_cannot_style_the_tables(ask, tmp_path):
    path = tmp_path / "odd.npz"
    np.savez(path, **{"[red]fc[/red].weight": weights(3, 4)})
    out = ask("run", path)[1]
    assert sum(line.startswith("[red]fc[/red] ") for line in out.splitlines()) == len(TITLES)


@pytest.mark.parametrize("name", [":smile:", "ends in \\", "[link=x]", "größe", "\u6f22\u5b57"])
def test_names_are_shown_as_they_are(ask, tmp_path, name):
    path = tmp_path / "odd.npz"
    np.savez(path, **{f"{name}.weight": weights(3, 4), "b.weight": weights(2, 3)})
    for command, tables in (("run", len(TITLES)), ("footprint", 1), ("compress", 2)):
        code, out, err = ask(command, path)
        assert (code, err) == (0, "")
        assert sum(line.startswith(f"{name} ") for line in out.splitlines()) == tables


@pytest.mark.parametrize("command", ["run", "footprint", "compress"])
def test_a_long_name_folds_and_cuts_no_figure(ask, tmp_path, command):
    for name in ("fc", "long" * 45):
        arrays = {f"{name}.weight": weights(12, 9), f"{name}.input": np.eye(9), "b.weight": weights(5, 12)}
        np.savez(tmp_path / f"{name[:4]}.npz", **arrays)
    short, long = (ask(command, tmp_path / f"{name}.npz")[1] for name in ("fc", "long"))
    assert "…" not in long
    figures = [re.findall(r"\b\d[\d,.]*\b", out.split("\n\n", 1)[-1]) for out in (short, long)]
    assert sorted(figures[0]) == sorted(figures[1])
    assert len(figures[0]) > 20


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_stream_without_the_characters_of_a_name_gets_escapes(tmp_path, environment):
    np.savez(tmp_path / "odd.npz", **{"größe.weight": weights(3, 4)})
    done = start("run", tmp_path / "odd.npz", env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"gr\xf6\xdfe: weights" in done.stdout


# a run that is not verified


@pytest.fixture
def wrong_oracle(monkeypatch):
    """A golden product that is off by one in the first output."""
    real = golden.matmul

    def off_by_one(*case):
        found = real(*case)
        found.output[0, 0] += 1
        return found

    monkeypatch.setattr(golden, "matmul", off_by_one)


@pytest.mark.usefixtures("wrong_oracle")
def test_outputs_that_differ_end_in_not_verified_and_exit_code_1(ask, chain):
    code, out, err = ask("run", chain, "--chain", "fc1,fc2")
    assert (code, err) == (1, "")
    assert out.splitlines()[-3:] == [
        "differs: fc1: 1 of 36 outputs differ from the golden product",
        "differs: fc2: 1 of 15 outputs differ from the golden product",
        "NOT VERIFIED",
    ]
    assert out.count("DIFFERS") == 2


@pytest.mark.usefixtures("wrong_oracle")
def test_outputs_that_differ_are_in_the_record_and_in_the_folder(ask, chain, tmp_path):
    code, out, _ = ask("run", chain, "--json", "--out", tmp_path / "kept")
    record = json.loads(out)
    assert (code, record["verified"]) == (1, False)
    assert [layer["verification"]["wrong_outputs"] for layer in record["layers"]] == [1, 1]
    assert json.loads((tmp_path / "kept" / RECORD).read_text()) == record
