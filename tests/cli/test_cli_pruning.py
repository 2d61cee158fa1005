"""prune, compress, sensitivity and allocate, as a person types them."""

import json

import numpy as np
import pytest

from eie_sim import archive
from eie_sim.network import load


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
    code, out, _ = ask("prune", "digits-mlp", "--pattern", "2:4", "--json")
    assert code == 0
    weights = {layer["name"]: layer["after"]["weights"] for layer in json.loads(out)["layers"]}
    biases = {layer.name: np.count_nonzero(layer.bias) for layer in load("digits-mlp").layers}
    assert weights == {"fc1": 8192 + biases["fc1"], "fc2": 16384 + biases["fc2"], "fc3": 640 + biases["fc3"]}


def test_the_table_says_before_and_after(ask):
    code, out, _ = ask("prune", "digits-mlp", "--density", "0.2", "--criterion", "taylor", "--scope", "global")
    assert code == 0
    assert "50,823 => " in out
    assert "10,086 of 50,432 weights kept, 20.00 %" in out
    assert "held-back images: float 98.33 % => " in out


def test_an_archive_knows_what_it_was_made_of(ask, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    ask("prune", "digits-mlp", "--density", "0.3", "--pattern", "balanced", "--n-pe", "16", "--out", first)
    assert ask("compress", first, "--n-pe", "8", "--out", second)[0] == 0
    made, again = archive.load(first), archive.load(second)
    assert made.source_sha256 == again.source_sha256 == archive.hash_of(load("digits-mlp").dense_layers)
    assert made.recipe["design"]["n_pe"] == 16
    assert again.recipe["before"] == made.recipe
    assert again.recipe["design"]["n_pe"] == 8


@pytest.mark.parametrize(
    "command", [["prune", "--density", "0.1"], ["compress"], ["sensitivity", "--densities", "0.1"]]
)
def test_synthetic_data_says_so(ask, command):
    code, out, _ = ask(command[0], "alex-8", *command[1:])
    assert code == 0
    assert "synthetic, density 0.375, seed 0" in out


def test_compress_writes_the_same_bytes_each_time(ask, tmp_path):
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        assert ask("compress", "digits-mlp", "--out", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_sensitivity_lists_every_layer_at_every_density(ask):
    code, out, _ = ask("sensitivity", "digits-mlp", "--densities", "0.1", "0.5", "--quantity", "bytes", "--json")
    assert code == 0
    record = json.loads(out)
    points = record["points"]
    assert (record["quantity"], record["quality"], len(record["config_hash"])) == ("bytes", "accuracy", 12)
    assert [(point["layer"], point["asked"]) for point in points] == [
        (layer, density) for layer in ("fc1", "fc2", "fc3") for density in (0.1, 0.5)
    ]
    assert all(0 < point["quality"] <= 1 and point["cost"] > 0 for point in points)


def test_an_allocation_is_within_its_budget_beside_its_rivals(ask, tmp_path):
    kept = tmp_path / "chosen.eie.safetensors"
    code, out, _ = ask("allocate", "digits-mlp", "--budget", "230", "--out", kept, "--json")
    assert code == 0
    record = json.loads(out)
    assert [choice["name"] for choice in record["choices"]] == ["budgeted", "uniform", "global"]
    assert all(choice["cost"] <= record["budget"] == 230 for choice in record["choices"])
    assert record["verified"]
    densities = record["choices"][0]["densities"]
    code, out, _ = ask("run", kept, "--activation-density", "0.5", "--json")
    biases = {layer.name: np.count_nonzero(layer.bias) for layer in load("digits-mlp").dense_layers}
    for layer in json.loads(out)["layers"]:
        total = layer["n_out"] * layer["n_in"]
        assert layer["n_weight"] == round(densities[layer["name"]] * total) + biases[layer["name"]]


def test_an_allocation_as_a_table(ask):
    code, out, _ = ask("allocate", "digits-mlp", "--budget", "215", "--quality", "accuracy")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["budgeted", "uniform", "global"]
    assert "budget 215 cycles" in out
    assert "accuracy: share of the labelled inputs classified as labelled; on 1,437 training inputs" in out


def test_layers_may_have_densities_of_their_own(ask):
    words = ["--density", "0.5", "--layer-density", "fc1=0.25", "fc3=1", "--json"]
    code, out, _ = ask("prune", "digits-mlp", *words)
    assert code == 0
    assert [layer["kept"] for layer in json.loads(out)["layers"]] == [4096, 16384, 1280]


def test_removed_neurons_leave_smaller_layers(ask, tmp_path):
    kept = tmp_path / "small.eie.safetensors"
    words = ["--density", "0.25", "--pattern", "neuron", "--remove", "--epochs", "2", "--out", kept]
    code, out, _ = ask("prune", "digits-mlp", *words)
    assert code == 0
    assert "256x64 => 104x64" in out
    code, out, _ = ask("run", kept, "--activation-density", "0.5", "--json")
    assert [(layer["n_out"], layer["n_in"]) for layer in json.loads(out)["layers"]] == [(104, 64), (52, 104), (10, 52)]


def test_a_layer_that_collapses_is_a_warning(ask):
    code, out, _ = ask("prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc3=0")
    assert code == 0
    assert "warning: fc3: all 1280 weights are pruned" in out
    n_warning = out.count("warning: ")
    assert out.splitlines()[-1] == f"verified, but {n_warning} warning{'s' if n_warning > 1 else ''}"


def test_compress_lists_the_parts_of_both_formats(ask):
    code, out, _ = ask("compress", "digits-mlp", "--json")
    assert code == 0
    record = json.loads(out)
    stored = [(layer["n_weight"], layer["deep_compression"]["n_weight"]) for layer in record["layers"]]
    assert all(ours == theirs for ours, theirs in stored), "the bias is in both"
    for layer in [*record["layers"], record["total"]]:
        stream = layer["deep_compression"]
        assert stream["total_bits"] == stream["codes_bits"] + stream["indices_bits"] + stream["codebook_bits"]
        assert sum(layer["storage"]["bits"].values()) == layer["storage"]["total_bits"]
    assert record["verified"]
    code, out, _ = ask("compress", "digits-mlp")
    assert "Deep Compression's stream" in out
    assert out.rstrip().endswith("verified")


def test_codebooks_are_trained_before_they_are_kept(ask, tmp_path):
    kept = tmp_path / "trained.eie.safetensors"
    code, out, _ = ask("compress", "digits-mlp", "--weight-bits", "2", "--codebook-epochs", "2", "--out", kept)
    assert code == 0
    assert "codebook trained 2 epochs" in out
    assert archive.load(kept).recipe["codebook_epochs"] == 2
    assert ask("run", kept, "--weight-bits", "2", "--activation-density", "0.5", "--json")[0] == 0
    code, _, err = ask("compress", "digits-mlp", "--codebook-epochs", "-1")
    assert (code, err) == (2, "error: epochs=-1: must be an integer in 1..1000000\n")


def test_the_accuracy_table(ask):
    words = ["--patterns", "element", "2:4", "--densities", "0.5", "0.1", "--epochs", "5", "--penalties", "L2"]
    code, out, err = ask("accuracy", "digits-mlp", *words)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[:4] for line in lines[2:8]] == [
        [pattern, schedule, "L2", asked]
        for pattern, asked in (("element", "50.00"), ("element", "10.00"), ("2:4", "50.00"))
        for schedule in ("one-shot", "iterative")
    ]
    code, out, _ = ask("accuracy", "digits-mlp", *words, "--json")
    record = json.loads(out)
    assert {"seed", "config_hash", "left_out", "records"} <= record.keys()
    assert all(0 < one["accuracy"] <= 1 and one["cost"] > 0 for one in record["records"])


def test_the_published_record_of_deep_compression(ask):
    code, out, _ = ask("validate", "deep-compression")
    assert code == 0
    assert out.count("\n") > 31 + 8
    assert "unknown: without the trained weights" in out
    code, out, _ = ask("validate", "deep-compression", "--json")
    records = json.loads(out)
    assert len(records) == 35
    assert {record["network"] for record in records} == {"LeNet300", "LeNet5", "AlexNet", "VGG16"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prune", "digits-mlp"], "density"),
        (["prune", "digits-mlp", "--density", "1.5"], "density=1.5: must be in 0..1"),
        (
            ["prune", "digits-mlp", "--density", "0.1", "--pattern", "blok"],
            "pattern=blok: unknown; did you mean block?",
        ),
        (["prune", "digits-mlp", "--pattern", "nm"], "pattern=nm: must be N:M, N kept of each M, as 2:4"),
        (["prune", "digits-mlp", "--pattern", "2:0"], "pattern=2:0: must be N:M, N kept of each M, as 2:4"),
        (["prune", "digits-mlp", "--density", "0.1", "--out", "x.txt"], "must end in .safetensors"),
        (["sensitivity", "digits-mlp", "--quantity", "watts"], "quantity=watts: unknown"),
        (["sensitivity", "digits-mlp", "--densities", "2"], "density=2.0: must be in 0..1"),
        (["allocate", "digits-mlp", "--budget", "1"], "budget=1: must be at least"),
        (["allocate", "digits-mlp", "--budget", "nan"], "budget=nan: must be finite"),
        (["allocate", "digits-mlp", "--budget", "230", "--quality", "los"], "quality=los: unknown; did you mean loss?"),
        (
            ["prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc1"],
            "layer_density=fc1: must be as fc1=0.3",
        ),
        (
            ["prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc9=1"],
            "layer_density=fc9: unknown; did you mean",
        ),
        (
            ["prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc1=1_0"],
            "layer_density=fc1=1_0: must be as",
        ),
        (
            ["prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc1=0.1", "fc1=0.2"],
            "layer_density=fc1=0.2: fc1 is there already",
        ),
        (["accuracy", "digits-mlp", "--patterns", "4:2"], "patterns=4:2: must be N:M, N kept of each M, as 2:4"),
        (["prune", "alex-8", "--density", "0.5", "--epochs", "2"], "train_labels=none: epochs=2 needs a chain"),
        (["prune", "alex-8", "--density", "0.5", "--remove"], "remove=True: must be left out"),
        (["accuracy", "alex-8"], "train_labels=none: accuracy table needs a chain"),
        (["accuracy", "digits-mlp", "--patterns", "elements"], "patterns=elements: unknown; did you mean element?"),
        (["accuracy", "digits-mlp", "--penalties", "L3"], "penalties=L3: unknown; did you mean"),
        (["accuracy", "digits-mlp", "--densities", "2"], "densities=2.0: must be in 0..1"),
        (["validate", "vgg"], "vgg"),
        (["energy", "--csv", "--json"], "csv=True"),
    ],
)
def test_bad_input_is_one_line_and_code_2(ask, words, message):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
