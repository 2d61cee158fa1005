"""prune, compress, sensitivity and allocate, as a person types them."""

import json

import numpy as np
import pytest

from eie_sim.cli import main
from eie_sim.workload import load


@pytest.fixture
def ask(capsys):
    def ask(*words):
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return ask


@pytest.mark.parametrize("pattern", ["element", "block", "neuron", "input", "balanced"])
def test_prune_keeps_what_it_says_and_run_takes_the_archive(ask, tmp_path, pattern):
    kept = tmp_path / "net.eie.safetensors"
    options = ["--density", "0.25", "--pattern", pattern, "--block-rows", "2", "--block-cols", "2"]
    code, out, err = ask("prune", "digits-mlp", *options, "--out", kept, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["verified"]
    after = [layer["after"] for layer in record["layers"]]
    code, out, _ = ask("run", kept, "--activation-density", "0.5", "--json")
    assert code == 0
    ran = json.loads(out)
    assert [layer["n_weight"] for layer in ran["layers"]] == [layer["weights"] for layer in after]
    assert [layer["storage"]["total_bits"] for layer in ran["layers"]] == [layer["bits"] for layer in after]
    assert ran["verified"]


def test_nm_pruning_keeps_half(ask):
    code, out, _ = ask("prune", "digits-mlp", "--pattern", "nm", "--json")
    assert code == 0
    weights = {layer["name"]: layer["after"]["weights"] for layer in json.loads(out)["layers"]}
    biases = {layer.name: np.count_nonzero(layer.bias) for layer in load("digits-mlp").layers}
    assert weights == {"fc1": 8192 + biases["fc1"], "fc2": 16384 + biases["fc2"], "fc3": 640 + biases["fc3"]}


def test_the_table_says_before_and_after(ask):
    code, out, _ = ask("prune", "digits-mlp", "--density", "0.2", "--criterion", "wanda", "--scope", "global")
    assert code == 0
    assert "5,434 => " in out
    assert "98.33 % => " in out


def test_compress_writes_the_same_bytes_each_time(ask, tmp_path):
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        assert ask("compress", "digits-mlp", "--out", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_balanced_masks_take_fewer_cycles_at_equal_weights(ask):
    cycles = {}
    for pattern in ("element", "balanced"):
        _, out, _ = ask("prune", "digits-mlp", "--density", "0.25", "--pattern", pattern, "--json")
        cycles[pattern] = json.loads(out)["total"]["after"]["cycles_per_vector"]
    assert cycles["balanced"] < cycles["element"]


def test_sensitivity_lists_every_layer_at_every_density(ask):
    code, out, _ = ask("sensitivity", "digits-mlp", "--densities", "0.1", "0.5", "--quantity", "bytes", "--json")
    assert code == 0
    points = json.loads(out)
    assert [(point["layer"], point["asked"]) for point in points] == [
        (layer, density) for layer in ("fc1", "fc2", "fc3") for density in (0.1, 0.5)
    ]
    assert all(0 < point["quality"] <= 1 and point["cost"] > 0 for point in points)


def test_an_allocation_is_within_its_budget(ask):
    code, out, _ = ask("allocate", "digits-mlp", "--budget", "230", "--json")
    assert code == 0
    chosen = json.loads(out)
    assert chosen["cost"] <= chosen["budget"] == 230
    assert [layer["layer"] for layer in chosen["layers"]] == ["fc1", "fc2", "fc3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prune", "digits-mlp"], "density"),
        (["prune", "digits-mlp", "--density", "1.5"], "density=1.5: must be in 0..1"),
        (
            ["prune", "digits-mlp", "--density", "0.1", "--pattern", "blok"],
            "pattern=blok: unknown; did you mean block?",
        ),
        (["prune", "digits-mlp", "--pattern", "nm", "--n-keep", "5"], "n_keep=5"),
        (["prune", "digits-mlp", "--pattern", "nm", "--m-group", "5"], "must be a multiple of m_group=5"),
        (["prune", "digits-mlp", "--density", "0.1", "--out", "x.txt"], "must end in .safetensors"),
        (["sensitivity", "digits-mlp", "--quantity", "watts"], "quantity=watts: unknown"),
        (["sensitivity", "digits-mlp", "--densities", "2"], "density=2.0: must be in 0..1"),
        (["allocate", "digits-mlp", "--budget", "1"], "budget=1: must be at least"),
        (["allocate", "digits-mlp", "--budget", "nan"], "budget=nan: must be finite"),
        (["energy", "--csv", "--json"], "csv=True"),
    ],
)
def test_bad_input_is_one_line_and_code_2(ask, words, message):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
