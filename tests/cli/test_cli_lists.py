"""Lists on the command line: commas or spaces between their values, names with commas as they are."""

import numpy as np
import pytest
from asking import weights

from eie_sim.cli.shell import listed


@pytest.mark.parametrize(
    "given",
    [
        ("compare", "--layer", "fc3", "--on", "eie,nm", "--batches"),
        ("compare", "--layer", "fc3", "--batches", "1", "--densities"),
    ],
)
def test_commas_and_spaces_are_the_same(ask_json, given):
    command, *options = given
    values = ("1", "8") if options[-1] == "--batches" else ("0.5", "0.1")
    spaced = ask_json(command, "digits-mlp", *options, *values)
    assert ask_json(command, "digits-mlp", *options, ",".join(values)) == spaced
    assert ask_json(command, "digits-mlp", *options, f"{values[0]},", values[1]) == spaced


def test_words_and_names_with_values_too(ask_json):
    asked = ("digits-mlp", "--densities", "0.5", "--schedules", "one-shot", "--epochs", "5", "--penalties", "L2")
    assert ask_json("accuracy", *asked, "--patterns", "neuron,2:4") == ask_json(
        "accuracy", *asked, "--patterns", "neuron", "2:4"
    )
    pruned = ask_json("prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc1=0.3,fc2=0.1")
    assert pruned == ask_json("prune", "digits-mlp", "--density", "0.5", "--layer-density", "fc1=0.3", "fc2=0.1")


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("1", ["1"]),
        ("1,64", ["1", "64"]),
        ("1,", ["1"]),
        ("1,,2", ["1", "", "2"]),
        ("", [""]),
        ("fc1=0.3,fc2=0.1", ["fc1=0.3", "fc2=0.1"]),
        ("a,b=0.3,c=1", ["a,b=0.3", "c=1"]),
        ("x=y=0.3", ["x=y=0.3"]),
        ("a=1,b", ["a=1,b"]),
        ("x=1x3x8,y=2x2", ["x=1x3x8", "y=2x2"]),
    ],
)
def test_a_word_is_taken_apart_at_commas_between_values(word, values):
    assert listed(word) == values


def test_a_layer_of_a_file_named_weights_is_not_called_so_twice(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("weights.npy", weights(6, 4))
    for command in ("run", "compress"):
        out = ask(command, "weights.npy")[1]
        assert "weights: from file; inputs drawn" in out
