"""The eie-sim command: what it prints, keeps, refuses, and with which exit code it ends."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import eie_sim
from eie_sim import golden
from eie_sim.cli import commands
from eie_sim.report.folder import LAYERS, RECORD, layers_csv, write_run
from eie_sim.report.record import network_record
from eie_sim.run import run_network
from eie_sim.units.eie.config import EieConfig
from eie_sim.workload import load, preset_names

COMMANDS = sorted(name for name in commands() if not name.startswith("-"))
TITLES = [
    "Cycles per vector",
    "PE-cycles by class, % (add to 100)",
    "Throughput, GOP/s (1 MAC = 2 operations)",
    "Energy per vector, nJ, by component",
    "Storage of the compressed weights, all PEs (shares add to 100 %)",
    "On chip: needed / available on the fullest PE",
    "Verification against the dense golden product",
]


@pytest.fixture
def ask_json(ask):
    """What a command that succeeds prints with --json."""

    def ask_json(*arguments):
        code, out, err = ask(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return ask_json


def start(*arguments, **options):
    """Run the command in a process of its own, its output buffered as it is for a user."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = options.pop("before", "") + "import sys; from eie_sim.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
    return subprocess.run(command, env=environment | options.pop("env", {}), check=False, timeout=60, **options)


def weights(n_out, n_in, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < 0.5)).astype(np.float32)


@pytest.fixture
def chain(tmp_path):
    """A file with two matrices of chaining shapes, 9 -> 12 -> 5, and recorded inputs of the first, some negative."""
    path = tmp_path / "chain.npz"
    inputs = np.linspace(-1, 1, 27).reshape(3, 9)
    np.savez(path, **{"fc1.weight": weights(12, 9), "fc1.input": inputs, "fc2.weight": weights(5, 12, 1)})
    return path


def without(tree, *names):
    """Nested dicts without some keys."""
    if isinstance(tree, dict):
        return {key: without(value, *names) for key, value in tree.items() if key not in names}
    return [without(value, *names) for value in tree] if isinstance(tree, list) else tree


# a run


def test_the_first_command_of_the_readme_prints_every_table_and_verified():
    done = start("run", "digits-mlp", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("digits-mlp: trained on the UCI digits")
    assert [line.strip() for line in lines if line.strip() in TITLES] == TITLES
    assert lines[-1] == "verified"
    for name in ("fc1", "fc2", "fc3"):
        assert sum(line.startswith(f"{name} ") for line in lines) == len(TITLES)
    assert sum(line.startswith("network ") for line in lines) == 5  # a total where a total makes sense
    assert any(re.match(r"accuracy on 360 held-back images: float 9\d\.\d\d %, pruned 9", line) for line in lines)
    assert "config" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_the_record_of_the_run(ask_json):
    record = network_record(run_network(load("digits-mlp"), EieConfig()))
    assert ask_json("run", "digits-mlp") == json.loads(json.dumps(record))


def test_the_table_shows_what_the_record_says(ask, ask_json, chain):
    record = ask_json("run", chain, "--n-pe", 4)
    out = ask("run", chain, "--n-pe", 4)[1]
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
    expected = network_record(run_network(load(str(chain)), EieConfig(**settings)))
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
    assert out.splitlines()[-1] == "verified"


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


def test_negative_inputs_that_take_no_part_are_said(ask, ask_json, chain):
    assert ask_json("run", chain)["layers"][0]["negative_inputs_ignored"] == 13
    assert "fc1: 13 negative inputs took no part (--active nonzero takes them)" in ask("run", chain)[1]
    assert "took no part" not in ask("run", chain, "--active", "nonzero")[1]


def test_inputs_from_a_file(ask_json, chain, tmp_path):
    np.save(tmp_path / "inputs.npy", np.eye(9, dtype=np.float32)[:4])
    record = ask_json("run", chain, "--activations", tmp_path / "inputs.npy")
    assert record["layers"][0]["inputs"] == "from file inputs.npy"
    assert record["layers"][0]["n_vector"] == record["layers"][1]["n_vector"] == 4
    assert record["layers"][0]["stats"]["broadcast"]["sent"] == 4


def test_two_matrices_of_chaining_shapes_run_as_a_network(ask_json, chain):
    record = ask_json("run", chain)
    assert (record["chained"], record["verified"]) == (True, True)
    assert record["source"] == "file chain.npz"
    assert [layer["inputs"] for layer in record["layers"]] == [
        "recorded activations from file",
        "simulated: outputs of fc1 after ReLU",
    ]


def test_the_readmes_commands_on_a_file_of_ones_own(ask, tmp_path):
    path = tmp_path / "my_network.safetensors"
    save_file({"a.weight": weights(12, 9), "a.bias": np.ones(12, np.float32), "b.weight": weights(5, 12)}, path)
    code, out, err = ask("run", path, "--density", 0.1, "--activation-density", 0.35)
    assert (code, err, out.splitlines()[-1]) == (0, "", "verified")
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
    assert "conv1.weight: convolution, shape (4, 3, 3, 3), not simulated yet" in lines
    assert "lstm.weight_ih_l0: recurrent, shape (8, 4), not simulated yet" in lines


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
    code, out, err = ask("run", chain)
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


# bad input


BAD_INPUT = [
    ("run", "Command"),
    ("rnu digits-mlp", 'Did you mean "run"?'),
    ("run digit-mlp", "workload=digit-mlp: unknown; did you mean digits-mlp?"),
    ("run nothing-like-it", "workload=nothing-like-it: unknown; must be one of"),
    ("run digits-mlp extra", "Unused Tokens: ['extra']"),
    ("run missing.npz", "missing.npz: file=missing: must be an existing file"),
    ("run .", ".: file=a folder: must be an ordinary file"),
    ("run empty.npz", "empty.npz: not a zip archive"),
    ("run text.npz", "text.npz: not a zip archive"),
    ("run text.npy", "text.npy: not a numpy array file"),
    ("run text.txt", "text.txt: suffix=.txt: must be one of .npz"),
    ("run nan.npy", "must be finite"),
    ("run digits-mlp --layer fc9", "layer=fc9: unknown; did you mean fc"),
    ("run digits-mlp --queue-dept 3", "Did you mean --queue-depth?"),
    ("run digits-mlp --queue-depth", "--queue-depth"),
    ("run digits-mlp --queue-depth 0", "queue_depth=0: must be an integer in 1..1048576"),
    ("run digits-mlp --n-pe 0", "n_pe=0: must be an integer in 1..65536"),
    ("run digits-mlp --n-pe -4", "n_pe=-4: must be an integer in 1..65536"),
    ("run digits-mlp --n-pe 1.5", 'Invalid value for --n-pe: unable to convert "1.5" into int'),
    ("run digits-mlp --n-pe many", 'Invalid value for --n-pe: unable to convert "many" into int'),
    ("run digits-mlp --n-pe 4 --n-pe 8", "--n-pe specified multiple times"),
    ("run digits-mlp --weight-bits 9", "weight_bits=9: must be an integer in 1..8"),
    ("run digits-mlp --index-bits 0", "index_bits=0: must be an integer in 1..8"),
    ("run digits-mlp --accumulator-bits 17", "accumulator_bits=17: must be 16, 24 or 32"),
    ("run digits-mlp --rounding up", "rounding=up: must be floor or nearest"),
    ("run digits-mlp --active some", "active=some: must be positive or nonzero"),
    ("run digits-mlp --spmat-width-bits 4", "spmat_width_bits=4: must hold an entry of weight_bits + index_bits = 8"),
    ("run digits-mlp --pointer-bits 40", "pointer_bits=40: must be an integer in 1..31"),
    ("run digits-mlp --clock-mhz nan", "clock_mhz=nan: must be a number >= 0.001"),
    ("run digits-mlp --clock-mhz 1e-310 --json", "clock_mhz=1e-310: must be a number >= 0.001 and below 1e6"),
    ("run digits-mlp --clock-mhz fast", 'Invalid value for --clock-mhz: unable to convert "fast" into float'),
    ("run digits-mlp --node-nm 3", "node_nm=3: no scaling factors; must be one of 7"),
    ("run digits-mlp --engine quick", 'Invalid value "quick" for --engine'),
    ("run digits-mlp --seed -1", "seed=-1: must be an integer >= 0"),
    ("run digits-mlp --seed 0.5", 'Invalid value for --seed: unable to convert "0.5" into int'),
    ("run digits-mlp --density 1.5", "density=1.5: must be in 0..1"),
    ("run digits-mlp --density nan", "density=nan: must be in 0..1"),
    ("run digits-mlp --activation-density -0.5", "activation_density=-0.5: must be in 0..1"),
    ("run digits-mlp --activation-density 0.5 --activations x.npy", "must be left out, activations are given"),
    ("run digits-mlp --activations missing.npy", "missing.npy: file=missing: must be an existing file"),
    ("run digits-mlp --activations nan.npy", "nan.npy: activations=shape (1, 2): must be (n_vector, 64) or (64,)"),
    ("run digits-mlp --energy-table missing.csv", "energy_table=missing.csv: No such file or directory"),
    ("run digits-mlp --energy-table .", "energy_table=.: must be an ordinary file"),
    ("run digits-mlp --energy-table text.txt", "energy_table=text.txt: line 1=not numbers: must be event"),
    ("run digits-mlp --energy-table fifo", "energy_table=fifo: must be an ordinary file"),
    ("run digits-mlp --energy-table /dev/zero", "energy_table=/dev/zero: must be an ordinary file"),
    ("run digits-mlp --energy-table long.csv", "energy_table=long.csv: must be at most 1048576 bytes"),
    ("run digits-mlp --energy-table binary.npy", "energy_table=binary.npy: must be UTF-8 text"),
    ("run digits-mlp --json=3", 'Invalid value for --json: unable to convert "3" into bool'),
    ("run good.npy --out text.txt", "out=text.txt: must be a folder"),
    ("run good.npy --out text.txt/inside", "out=text.txt/inside: cannot be written: Not a directory"),
    ("run good.npy --out foreign", "out=foreign: must be empty or an earlier run (no run.json in it)"),
    ("run good.npy --out ", "Invalid value for --out: must be a path, not empty."),
    ("run good.npy --out=", "Invalid value for --out: must be a path, not empty."),
    ("run digits-mlp --energy-table ", "Invalid value for --energy-table: must be a path, not empty."),
    ("run good.npy --activations ", "Invalid value for --activations: must be a path, not empty."),
    ("run good.npy --out odd", "out=odd: run.json in it must be an ordinary file"),
    (f"run good.npy --out {'long' * 80}", "cannot be written: File name too long"),
    ("presets extra", "Unused Tokens: ['extra']"),
    ("footprint", "Command"),
    ("footprint alexnet-7", "workload=alexnet-7: unknown; did you mean alex-7"),
    ("footprint digits-mlp --n-keep 5", "n_keep=5: must be an integer in 1..4"),
    ("footprint digits-mlp --m-group 0", "m_group=0: must be an integer in 1..2147483648"),
    ("footprint digits-mlp --value-bits 0", "value_bits=0: must be an integer in 1..64"),
    ("footprint digits-mlp --layer fc7", "layer=fc7: unknown; did you mean fc"),
    ("energy --node-nm 3", "node_nm=3: no scaling factors"),
    ("energy --table x", "Unknown option: --table"),
    ("validate --seed -1", "seed=-1: must be an integer >= 0"),
    ("validate nm --seed 1", "seed=1: must be left out for nm"),
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A working folder with files that are not what they seem, and a folder of somebody else's."""
    monkeypatch.chdir(tmp_path)
    for name in ("text.npz", "text.npy", "text.txt"):
        Path(name).write_text("not numbers\n")
    Path("empty.npz").touch()
    np.save("good.npy", weights(3, 2))
    np.save("nan.npy", np.array([[1.0, np.nan]]))
    Path("long.csv").write_bytes(bytes(2**20 + 1))
    os.mkfifo("fifo")
    Path("binary.npy").write_bytes(b"\x93NUMPY\xff\xfe")
    Path("foreign").mkdir()
    Path("odd/run.json").mkdir(parents=True)
    Path("foreign/thesis.txt").write_text("mine")
    return tmp_path


def contents(folder):
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize(("line", "message"), BAD_INPUT, ids=[line[:60] for line, _ in BAD_INPUT])
def test_bad_input_is_one_line_exit_code_2_and_nothing_else(ask, files, line, message):
    before = contents(files)
    code, out, err = ask(*line.split(" "))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert message in err
    assert contents(files) == before


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\rb", ""])
def test_odd_names_are_answered_in_one_line_too(ask, name):
    code, out, err = ask("run", name)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.strip().isprintable()


@pytest.mark.parametrize("words", [["run", "digits-mlp", "--x\x1b[31m"], ["\x1b[2J"], ["run", "a", "b\x9b31m\u202e"]])
def test_a_terminal_never_obeys_what_an_error_repeats(ask, words):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.removesuffix("\n").isprintable()
    assert r"\x" in err


def test_bad_input_in_a_process_of_its_own():
    done = start("run", "digits-mlp", "--n-pe", "0", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: n_pe=0: must be an integer in 1..65536\n"


# run folders


def test_out_keeps_the_record_and_a_row_per_layer(ask, ask_json, chain, tmp_path):
    folder = tmp_path / "new" / "run"
    code, out, err = ask("run", chain, "--out", folder)
    assert (code, err, out.splitlines()[-1]) == (0, "", "verified")
    assert sorted(path.name for path in folder.iterdir()) == [LAYERS, RECORD]
    record = json.loads((folder / RECORD).read_text())
    assert record == ask_json("run", chain)
    assert (folder / LAYERS).read_text() == layers_csv(record)
    rows = list(csv.DictReader(io.StringIO((folder / LAYERS).read_text())))
    assert [row["name"] for row in rows] == ["fc1", "fc2"]
    for row, layer in zip(rows, record["layers"], strict=True):
        assert int(row["cycles"]) == layer["cycles"]
        assert int(row["stats.events.macs"]) == layer["stats"]["events"]["macs"]
        assert int(row["memories.register_file.needed"]) == layer["memories"][-1]["needed"]
        assert float(row["energy.total_pj"]) == layer["energy"]["total_pj"]
        assert row["inputs"] == layer["inputs"]
        assert row["verification.ok"] == "True"


def test_the_second_run_is_byte_identical(ask, chain, tmp_path):
    options = ["run", chain, "--activation-density", "0.5", "--seed", "3", "--out"]
    assert ask(*options, tmp_path / "a")[0] == 0
    first = contents(tmp_path / "a")
    assert ask(*options, tmp_path / "a")[0] == 0
    assert contents(tmp_path / "a") == first
    elsewhere = start(*options, tmp_path / "b", capture_output=True, cwd=tmp_path, env={"PYTHONHASHSEED": "5"})
    assert elsewhere.returncode == 0
    assert contents(tmp_path / "b") == first
    assert str(tmp_path) not in (tmp_path / "a" / RECORD).read_text(), "a record holds no path of the machine"


def test_an_empty_folder_and_an_earlier_run_may_be_written_to(ask, chain, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    assert ask("run", chain, "--out", folder)[0] == 0
    old = (folder / RECORD).read_text()
    (folder / "notes.txt").write_text("kept")
    assert ask("run", chain, "--n-pe", 4, "--out", folder)[0] == 0
    assert (folder / RECORD).read_text() != old
    assert (folder / "notes.txt").read_text() == "kept"


def test_a_run_that_was_cut_off_between_its_files_can_be_run_again(ask, chain, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LAYERS).write_text("name\n")
    (folder / f".{RECORD}.abc").write_text("half")
    assert ask("run", chain, "--out", folder)[0] == 0
    assert (folder / RECORD).exists()
    assert len((folder / LAYERS).read_text().splitlines()) == 3


@pytest.mark.parametrize("failing", ["replace", "fsync", "mkstemp"])
def test_a_write_that_fails_leaves_the_old_files_and_nothing_temporary(ask, chain, tmp_path, monkeypatch, failing):
    folder = tmp_path / "run"
    assert ask("run", chain, "--out", folder)[0] == 0
    before = contents(folder)

    def full(*_given, **_options):
        raise OSError(28, "No space left on device")

    target = {"replace": "pathlib.Path.replace", "fsync": "os.fsync", "mkstemp": "tempfile.mkstemp"}[failing]
    monkeypatch.setattr(target, full)
    code, out, err = ask("run", chain, "--n-pe", 4, "--out", folder)
    assert (code, out) == (2, "")
    assert err == f"error: out={folder}: cannot be written: No space left on device\n"
    assert contents(folder) == before


def test_runs_into_one_folder_at_once_take_turns(tmp_path):
    folder = tmp_path / "run"
    program = """
import sys, time
from pathlib import Path
from eie_sim.report.folder import write_run
real = Path.replace
def slow(self, target):
    real(self, target)
    time.sleep(0.5)  # between its two files
Path.replace = slow
write_run(Path(sys.argv[1]), {"layers": [{"name": "first"}]})
"""
    with subprocess.Popen([sys.executable, "-c", program, str(folder)]) as first:
        while not (folder / LAYERS).exists():
            assert first.poll() is None
            time.sleep(0.01)
        write_run(folder, {"layers": [{"name": "second"}]})
    assert first.returncode == 0
    assert (folder / LAYERS).read_text() == "name\nsecond\n"
    assert json.loads((folder / RECORD).read_text()) == {"layers": [{"name": "second"}]}
    assert sorted(path.name for path in folder.iterdir()) == [LAYERS, RECORD]


def test_a_folder_that_cannot_be_looked_into_is_one_line(ask, chain, tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    code, out, err = ask("run", chain, "--out", folder)
    assert (code, out, err) == (2, "", f"error: out={folder}: cannot be written: Permission denied\n")


# other commands


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_shows_an_example(ask, command):
    code, out, err = ask(command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: eie-sim {command}" in out
    assert f"Example: eie-sim {command}" in " ".join(out.split())


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_lists_every_command(ask, arguments):
    code, out, err = ask(*arguments)
    assert (code, err) == (0, "")
    assert all(re.search(rf"^\W*{command}\b", out, re.MULTILINE) for command in COMMANDS)
    assert {"run", "presets", "footprint", "energy", "validate"} <= set(COMMANDS)


def test_version(ask):
    assert ask("--version") == (0, f"{eie_sim.__version__}\n", "")


def test_presets_lists_every_preset(ask, ask_json):
    records = ask_json("presets")
    assert [record["name"] for record in records] == list(preset_names())
    assert [record["name"] for record in records if record["kind"] == "real"] == ["digits-mlp", "lenet-300-100"]
    assert {record["kind"] for record in records} == {"real", "synthetic"}
    code, out, err = ask("presets")
    assert (code, err) == (0, "")
    for record in records:
        row = next(line for line in out.splitlines() if line.startswith(record["name"]))
        n_out, n_in = record["shapes"][0]
        assert f"{n_out}x{n_in}" in row
        assert record["kind"] in row


def test_footprint_counts_every_format_of_every_layer(ask, ask_json, chain):
    records = ask_json("footprint", chain, "--n-pe", 8)
    assert [record["name"] for record in records] == ["fc1", "fc2"]
    run = ask_json("run", chain, "--n-pe", 8)
    out = ask("footprint", chain, "--n-pe", 8)[1]
    for record, layer in zip(records, run["layers"], strict=True):
        formats = {one["name"]: one for one in record["formats"]}
        assert {"eie", "dense", "dense32", "csr", "csc", "coo", "bitmap", "run_length", "nm"} == set(formats)
        assert formats["eie"]["total_bits"] == layer["storage"]["total_bits"]
        assert formats["dense"]["parts"]["values"] == 16 * layer["n_out"] * layer["n_in"]
        for one in formats.values():
            assert sum(one["parts"].values()) == one["total_bits"]
            assert f"{one['total_bits']:,}" in out


def test_footprint_of_one_layer_pruned_to_fit_another_pattern(ask_json):
    options = ["--layer", "fc2", "--density", 0.05, "--n-keep", 4, "--m-group", 4, "--value-bits", 8]
    (record,) = ask_json("footprint", "digits-mlp", *options)
    formats = {one["name"]: one for one in record["formats"]}
    assert record["name"] == "fc2"
    assert formats["dense"]["parts"]["values"] == 8 * 128 * 256
    assert formats["csr"]["parts"]["values"] == pytest.approx(8 * 0.05 * 128 * 256, rel=0.01)
    assert formats["nm"]["valid"] is True
    assert formats["nm"]["parts"] == {"values": 8 * 128 * 256, "metadata": 2 * 128 * 256, "bias": 8 * 128}


def test_energy_shows_every_constant_with_its_source_and_the_area(ask, ask_json):
    shown = ask_json("energy")
    assert all(row["source"] and row["energy_pj"] >= 0 for row in shown["energy"])
    out = ask("energy")[1]
    for row in shown["energy"]:
        line = next(line for line in out.splitlines() if line.startswith(f"{row['event']} "))
        assert f"{row['energy_pj']:.4f}" in line
        assert (" chosen " in line) == row["chosen"]
    assert sum(row["chosen"] for row in shown["energy"]) == 2
    assert f"{shown['area']['total_mm2']:.3f}" in out.splitlines()[-1]
    assert "64 PEs" in out.splitlines()[-1]


def test_energies_can_be_printed_edited_and_given_back(ask, ask_json, chain, tmp_path):
    table = tmp_path / "table.csv"
    code, text, err = ask("energy", "--csv", "--n-pe", 4)
    assert (code, err) == (0, "")
    table.write_text(text)
    default = ask_json("run", chain, "--n-pe", 4)
    same = ask_json("run", chain, "--n-pe", 4, "--energy-table", table)
    assert {layer["energy"]["table"] for layer in same["layers"]} == {"given"}
    assert without(same, "table") == without(default, "table")

    row = next(line for line in text.splitlines() if line.startswith("macs,"))
    table.write_text(text.replace(row, "macs,1000,guessed"))
    edited = ask_json("run", chain, "--n-pe", 4, "--energy-table", table)
    for layer in edited["layers"]:
        assert layer["energy"]["by_event_pj"]["macs"] == 1000 * layer["stats"]["events"]["macs"]
    assert without(edited, "energy") == without(default, "energy"), "energy changes no cycle"


def test_a_smaller_node_takes_less_energy_and_area(ask_json):
    at_45, at_28 = ask_json("energy"), ask_json("energy", "--node-nm", 28)
    assert at_28["area"]["total_mm2"] < at_45["area"]["total_mm2"]
    for now, then in zip(at_28["energy"], at_45["energy"], strict=True):
        assert now["energy_pj"] < then["energy_pj"] or then["energy_pj"] == 0


def test_validate_nm_prints_each_product_the_errors_and_the_choices(ask, ask_json):
    record = ask_json("validate", "nm")
    assert len(record["rows"]) == 68
    for row in record["rows"]:
        assert row["error"] == pytest.approx(row["simulated_ms"] / row["measured_ms"] - 1)
    code, out, err = ask("validate", "nm")
    assert (code, err) == (0, "")
    table, rest = out.split("\n\n", 1)
    assert len({len(line.rstrip()) for line in table.splitlines()[2:]}) == 1  # figures line up
    assert all(f"{100 * row['error']:+.2f} %" in table for row in record["rows"])
    for summary in record["summary"]:
        errors = [abs(row["error"]) for row in record["rows"] if row["pattern"] == summary["pattern"]]
        assert summary["mean_error"] == pytest.approx(sum(errors) / len(errors))
        assert f"{summary['pattern']}: error {100 * summary['mean_error']:.2f} % mean" in rest
        assert f"{100 * max(errors):.2f} % worst" in rest
    assert all(note in rest for note in record["notes"])
    assert all(choice["reason"] in rest for choice in record["choices"])


# ends that are not the command's own


@pytest.mark.parametrize(
    "arguments", [["--help"], ["presets"], ["presets", "--json"], ["energy", "--csv"], ["energy", "--json"]]
)
def test_a_reader_that_went_away_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    try:
        done = start(*arguments, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--json"]])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_2(arguments):
    with Path("/dev/full").open("w") as full:
        done = start(*arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("arguments", [["presets"], ["presets", "--json"], ["--help"], ["run", "nothing"]])
@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_error_of_their_own(arguments, closed, tmp_path):
    code = start(*arguments, capture_output=True).returncode
    before = (
        f"import os, sys; [os.close(fd) for fd in {closed}]; sys.stdout = sys.stdout if 1 not in {closed} else None; "
    )
    before += f"sys.stderr = sys.stderr if 2 not in {closed} else None; "
    done = start(*arguments, before=before, capture_output=True)
    assert done.returncode == code == (2 if "nothing" in arguments else 0)
    assert b"Traceback" not in done.stderr
    assert closed != (1,) or code or done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_error_that_cannot_be_written_keeps_its_exit_code():
    with Path("/dev/full").open("w") as full:
        assert start("run", "nothing", stdout=subprocess.PIPE, stderr=full).returncode == 2


@pytest.mark.parametrize("module", ["cyclopts", "eie_sim.cli.simulate", "numpy", "numba"])
def test_an_interrupt_while_modules_load_is_answered_too(module):
    before = f"""
import sys
class Interrupt:
    def find_spec(name, *_):
        if name == "{module}":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt)
"""
    done = start("run", "digits-mlp", before=before, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_ends_with_exit_code_130(ask, monkeypatch):
    def interrupted(*_given, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("eie_sim.run.run_network", interrupted)
    assert ask("run", "digits-mlp") == (130, "", "interrupted\n")


def test_an_interrupt_while_writing_leaves_nothing_temporary(ask, chain, tmp_path, monkeypatch):
    def interrupted(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    assert ask("run", chain, "--out", tmp_path / "run") == (130, "", "interrupted\n")
    assert list((tmp_path / "run").iterdir()) == []


def test_progress_goes_to_a_terminal_only(ask, chain, monkeypatch):
    steps = []
    monkeypatch.setattr("rich.status.Status.update", lambda _status, step, **_options: steps.append(step))
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
        assert ask("run", chain, "--json")[0] == 0
        assert bool(steps) == terminal
    assert str(steps[0]).endswith("chain.npz: loading")
    assert "fc2: compressing" in map(str, steps)


def test_a_narrow_terminal_cuts_no_figure(ask, chain, monkeypatch):
    wide = ask("run", chain)[1]
    monkeypatch.setenv("COLUMNS", "40")
    assert ask("run", chain)[1] == wide
