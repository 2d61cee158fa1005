"""Nothing left out in silence: what of a file is not simulated, its share of the weights, and what the inputs were."""

import json

import numpy as np
import pytest
from asking import weights

COMMANDS = {
    "run": [],
    "footprint": [],
    "prune": ["--density", "0.5"],
    "compress": [],
    "sensitivity": ["--densities", "0.5"],
    "allocate": ["--budget", "20", "--quantity", "weights"],
    "compare": ["--batches", "1", "--densities", "0.5"],
    "sweep": ["--n-pe", "1,2", "--workers", "1"],
    "accuracy": ["--patterns", "element", "--densities", "0.5", "--schedules", "one-shot", "--epochs", "1"],
}
DRAWN = "drawn, none given: synthetic, density 1, seed 0"
TAKE_INPUTS = ["run", "prune", "compress", "sensitivity", "allocate", "compare", "sweep"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a network of 47 weights, 9 convolutions of 4, an embedding and packed words; inputs."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {"fc1.weight": weights(5, 4), "fc2.weight": weights(3, 5, 1), "fc3.weight": weights(4, 3, 2)}
    arrays |= {f"conv{at}.weight": np.ones((2, 2, 1, 3), np.float32) for at in range(9)}
    arrays |= {"embedding.weight": weights(50, 8), "q.qweight": np.ones((4, 4), np.int32)}
    labelled = {
        "test_inputs": rng.random((6, 4), np.float32),
        "test_labels": np.arange(6) % 4,
        "train_inputs": rng.random((6, 4), np.float32),
        "train_labels": np.arange(6) % 4,
    }
    np.savez("net.npz", **arrays)
    np.savez("labelled.npz", **arrays, **labelled)
    np.save("x.npy", rng.random((2, 4), np.float32))
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_left_out(ask, folder, command):
    source = "labelled.npz" if command == "accuracy" else "net.npz"
    given = [command, source, "--chain", "fc1,fc2,fc3", *COMMANDS[command]]
    code, out, err = ask(*given, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    left = {one["name"]: one["reason"] for one in record["not_simulated"]}
    assert set(left) == {*(f"conv{at}.weight" for at in range(9)), "embedding.weight", "q.qweight"}
    assert record["coverage"] == {
        "weights_simulated": 47,
        "weights_not_simulated": 108,
        "share_not_simulated": 108 / 155,
        "share_of_macs_not_simulated": None,
        "numbers_looked_up": 400,
        "arrays_not_counted": 1,
    }
    (line,) = [line for line in ask(*given)[1].splitlines() if line.startswith("not simulated: ")]
    assert line.startswith(
        "not simulated: 11 arrays, at least 69.68 % of the weights, of MACs an unknown share, weights of 1 not "
        "counted, 400 numbers looked up in "
        "embeddings: conv0.weight (convolution, shape (2, 2, 1, 3), not simulated yet), "
    )
    assert line.endswith(
        "conv7.weight (convolution, shape (2, 2, 1, 3), not simulated yet) and 3 more (--json has all)"
    )
    if command != "footprint":  # which needs none
        assert list(record["inputs"]) == ["fc1", "fc2", "fc3"]
        assert (DRAWN in record["inputs"]["fc1"]) == (command != "accuracy")
        assert "outputs of fc1" in record["inputs"]["fc2"]


def test_a_trace_and_a_report_say_it_too(ask, ask_json, folder):
    record = ask_json("trace", "net.npz", "--chain", "fc1,fc2,fc3", "--layer", "fc2", "--n-pe", 4)
    run = ask_json("run", "net.npz", "--chain", "fc1,fc2,fc3", "--n-pe", 4, "--out", "kept")
    assert record["not_simulated"] == run["not_simulated"]
    assert record["coverage"] == run["coverage"]
    assert record["inputs"] == run["inputs"]["fc2"]
    said = ask_json("report", "kept")
    assert all(said[name] == run[name] for name in ("inputs", "not_simulated", "coverage"))
    assert "69.68 % of the weights" in ask("report", "kept")[1]
    assert "69.68 % of the weights" in (folder / "kept" / "report.html").read_text()


@pytest.mark.parametrize("command", TAKE_INPUTS)
@pytest.mark.parametrize(
    ("given", "said"),
    [(["--activations", "x.npy"], "from file x.npy"), (["--activation-density", "0.5"], "synthetic, density 0.5")],
)
def test_every_command_that_depends_on_inputs_takes_them(ask_json, folder, command, given, said):
    record = ask_json(command, "net.npz", "--chain", "fc1,fc2,fc3", *COMMANDS[command], *given)
    assert said in record["inputs"]["fc1"]
    assert "outputs of fc2" in record["inputs"]["fc3"]


@pytest.mark.parametrize("command", [name for name in TAKE_INPUTS if name != "sweep"])
def test_two_kinds_of_inputs_are_refused_by_every_command(ask, folder, command):
    both = ["--activations", "x.npy", "--activation-density", "0.5"]
    code, out, err = ask(command, "net.npz", "--chain", "fc1,fc2,fc3", *COMMANDS[command], *both)
    assert (code, out) == (2, "")
    assert "activation_density=0.5: must be left out, activations are given" in err


def test_inputs_decide_what_a_comparison_costs(ask_json, folder):
    def cycles(density):
        given = ["--activation-density", density, "--chain", "fc1,fc2,fc3", *COMMANDS["compare"]]
        return [row["cycles"] for row in ask_json("compare", "net.npz", *given)["rows"] if row["unit"] == "eie"]

    assert cycles(0) < cycles(1)


@pytest.mark.parametrize("command", ["compare", "sensitivity", "allocate"])
def test_inputs_that_are_given_go_before_those_of_calibration(ask_json, command):
    """Of a network that has some: digits-mlp has training images."""
    given = {"compare": ["--batches", "1"], "sensitivity": ["--densities", "0.5"], "allocate": ["--budget", "400"]}
    source = [command, "digits-mlp", *given[command]]

    def measured_on(record):
        return record["cost_on"] if "cost_on" in record else record["inputs"]["fc1"]

    assert measured_on(ask_json(*source)) == "256 calibration inputs"
    record = ask_json(*source, "--activation-density", "0.25")
    assert measured_on(record) == "1 input vector, synthetic, density 0.25, seed 0"
    assert "synthetic, density 0.25, seed 0" in record["inputs"]["fc1"]


def test_a_layer_of_its_own_has_no_share(ask, ask_json, folder):
    record = ask_json("run", "net.npz", "--layer", "fc2")
    assert record["coverage"] is None
    assert len(record["not_simulated"]) == 11
    assert "not simulated: 11 arrays: conv0.weight (" in ask("run", "net.npz", "--layer", "fc2")[1]


def test_a_network_of_which_nothing_is_left_says_nothing(ask):
    assert "not simulated" not in ask("run", "digits-mlp", "--layer", "fc3")[1]


def test_inputs_that_are_alike_share_a_line(ask, folder):
    lines = ask("sensitivity", "net.npz", *COMMANDS["sensitivity"])[1].splitlines()
    assert f"inputs of fc1, fc2, fc3: {DRAWN}" in lines


def test_a_drawn_preset_says_what_its_inputs_are(ask_json, folder):
    def inputs(*given):
        return ask_json("sweep", "alex-7", "--n-pe", "64", "--workers", 1, *given)["inputs"]

    assert inputs("--activation-density", "0.1") == {"alex-7": "synthetic, density 0.1, seed 0"}
    own = ask_json("run", "alex-7")["inputs"]
    assert inputs() == own


@pytest.mark.parametrize(("chained", "name"), [(True, "network"), (False, "all layers")])
def test_layers_that_are_no_chain_are_no_network(ask, folder, chained, name):
    other = "all layers" if chained else "network"
    given = ["--chain", "fc1,fc2,fc3"] if chained else []
    for command in ("run", "prune", "compress"):
        lines = ask(command, "net.npz", *given, *COMMANDS[command])[1].splitlines()
        assert any(line.startswith(f"{name} ") for line in lines), command
        assert not any(line.startswith(f"{other} ") for line in lines), command


def test_pruning_without_labels_says_how_far_the_outputs_are_off(ask, ask_json, folder):
    with np.load("net.npz") as file:
        w = [file[f"fc{at}.weight"] for at in (1, 2, 3)]
    x = np.load("x.npy")
    given = ["prune", "net.npz", "--chain", "fc1,fc2,fc3", "--activations", "x.npy"]
    assert ask_json(*given, "--density", 1)["outputs_off"] == {"end to end": 0}
    none = ask_json(*given, "--density", 0)  # of weights that are all 0 nothing is left
    assert none["outputs_off"] == {"end to end": 1}
    kept = [np.where(np.abs(one) >= np.sort(np.abs(one), axis=None)[-one.size // 4], one, 0) for one in w]
    assert [np.count_nonzero(one) for one in kept] == [5, 4, 3]

    def outputs(first, second, third):
        return np.maximum(np.maximum(x @ first.T, 0) @ second.T, 0) @ third.T

    off = np.sqrt(np.square(outputs(*kept) - outputs(*w)).sum() / np.square(outputs(*w)).sum())
    densities = ["--density", 0.25, "--layer-density", "fc2=0.2667"]
    assert ask_json(*given, *densities)["outputs_off"] == {"end to end": pytest.approx(off, rel=1e-5)}
    line = f"outputs {100 * off:.2f} % off those before pruning (rms, in floats)"
    assert line in ask(*given, *densities)[1].splitlines()


def test_outputs_of_layers_by_themselves_are_off_one_by_one(ask, ask_json, folder):
    record = ask_json("prune", "net.npz", "--density", 0.5)
    assert list(record["outputs_off"]) == ["fc1", "fc2", "fc3"]
    said = ", ".join(f"{name} {100 * off:.2f} %" for name, off in record["outputs_off"].items())
    assert f"outputs {said} off those before pruning" in ask("prune", "net.npz", "--density", 0.5)[1]


def test_labels_speak_for_themselves(ask, folder):
    out = ask("prune", "digits-mlp", "--density", 0.5)[1]
    assert "accuracy on" in out and "off those before" not in out


def test_help_names_chains_archives_shards_and_packed_text(ask):
    out = " ".join(ask("run", "--help", "--full")[1].split())
    assert "eie-sim run weights.npz --chain fc1,fc2,fc3" in out
    assert all(word in out for word in ("archive", "shards", "mtx.gz", "smtx.gz"))
