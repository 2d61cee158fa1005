"""One small file of each format, for the tests of this folder."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from safetensors.numpy import save_file

SHAPE = (6, 9)


def matrix(seed: int = 0, shape: tuple[int, int] = SHAPE) -> Any:
    """A sparse-ish float32 matrix with a zero column."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=shape).astype(np.float32)
    w[rng.random(shape) < 0.5] = 0
    w[:, 2] = 0
    return w


def two_layers() -> dict[str, Any]:
    """fc1 (6, 9) and fc2 (4, 6), with biases and recorded inputs of fc1."""
    return {
        "fc1.weight": matrix(),
        "fc1.bias": np.arange(6, dtype=np.float32),
        "fc2.weight": matrix(1, (4, 6)),
        "fc2.bias": np.arange(4, dtype=np.float32),
        "fc1.input": np.ones((3, 9), dtype=np.float32),
    }


def smtx_text(w: Any) -> str:
    rows = scipy.sparse.csr_array(w)
    offsets, columns = (" ".join(map(str, part)) for part in (rows.indptr, rows.indices))
    return f"{w.shape[0]}, {w.shape[1]}, {rows.nnz}\n{offsets}\n{columns}\n"


def _npz(path: Path) -> None:
    np.savez(path, **two_layers())


def _npz_deflated(path: Path) -> None:
    np.savez_compressed(path, **two_layers())


def _npz_scipy(path: Path) -> None:
    scipy.sparse.save_npz(path, scipy.sparse.csr_array(matrix()))


def _npy(path: Path) -> None:
    np.save(path, matrix())


def _safetensors(path: Path) -> None:
    save_file(two_layers(), path)


def _mtx(path: Path) -> None:
    scipy.io.mmwrite(path, scipy.sparse.coo_array(matrix()), precision=9)


def _mtx_dense(path: Path) -> None:
    scipy.io.mmwrite(path, matrix(), precision=9)


def _mtx_pattern(path: Path) -> None:
    scipy.io.mmwrite(path, scipy.sparse.coo_array(matrix()), field="pattern")


def _mtx_packed(path: Path) -> None:
    with gzip.open(path, "wb") as stream:
        scipy.io.mmwrite(stream, scipy.sparse.coo_array(matrix()), precision=9)


def _smtx(path: Path) -> None:
    path.write_text(smtx_text(matrix()))


def _smtx_packed(path: Path) -> None:
    path.write_bytes(gzip.compress(smtx_text(matrix()).encode()))


WRITERS: dict[str, Callable[[Path], None]] = {
    "stored.npz": _npz,
    "deflated.npz": _npz_deflated,
    "scipy.npz": _npz_scipy,
    "array.npy": _npy,
    "tensors.safetensors": _safetensors,
    "coordinates.mtx": _mtx,
    "dense.mtx": _mtx_dense,
    "packed.mtx.gz": _mtx_packed,
    "pattern.mtx": _mtx_pattern,
    "pattern.smtx": _smtx,
    "packed.smtx.gz": _smtx_packed,
}

_CONTENT: dict[str, bytes] = {}


def content(name: str, folder: Path) -> bytes:
    """The bytes of a sample, written once."""
    if name not in _CONTENT:
        WRITERS[name](folder / name)
        _CONTENT[name] = (folder / name).read_bytes()
    return _CONTENT[name]
