"""Arrays from a file, by the suffix of its name and only if its first bytes agree. Pickles are never read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eie_sim.core.arrays import MAX_BYTES, one_line, shown
from eie_sim.core.errors import InputError, require, require_type
from eie_sim.network.readers.matrix_market import BANNER, read_mtx
from eie_sim.network.readers.npz import read_npy, read_npz
from eie_sim.network.readers.safetensors_file import LENGTH_BYTES, read_safetensors
from eie_sim.network.readers.shards import INDEX, read_folder, read_index
from eie_sim.network.readers.smtx import COMMENTS, read_smtx


class Kind(NamedTuple):
    """A kind of file: what to call it, how to tell it from its first bytes, how to read it under a name."""

    called: str
    begins: Callable[[bytes], bool]
    read: Callable[[Path, str], dict[str, Any]]


GZIP_MAGIC = b"\x1f\x8b"
KINDS = {
    ".npz": Kind("a zip archive", lambda head: head.startswith((b"PK\x03\x04", b"PK\x05\x06")), read_npz),
    ".npy": Kind("a numpy array file", lambda head: head.startswith(b"\x93NUMPY"), read_npy),
    ".safetensors": Kind(
        "a safetensors file", lambda head: head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{", read_safetensors
    ),
    ".mtx": Kind("a MatrixMarket file", lambda head: BANNER.match(head) is not None, read_mtx),
    ".smtx": Kind(
        "a DLMC pattern", lambda head: head.lstrip()[:1].isdigit() or head.lstrip()[:1] in COMMENTS, read_smtx
    ),
    ".mtx.gz": Kind("a gzip file", lambda head: head.startswith(GZIP_MAGIC), read_mtx),
    ".smtx.gz": Kind("a gzip file", lambda head: head.startswith(GZIP_MAGIC), read_smtx),
    INDEX: Kind("an index in JSON", lambda head: head.lstrip().startswith(b"{"), read_index),
}

MISTAKEN = (
    (b"\x80", "a pickle, which is never read"),
    (b"\x89HDF", "an HDF5 file"),
)
"""First bytes of what people hand in by mistake."""

TORCH = (
    "a file of PyTorch, maybe a pickle, never read; torch.onnx.export(model, (x,), 'net.onnx', dynamo=True), "
    "or save its state_dict as safetensors: "
    "import torch, safetensors.torch as st; "
    "d = torch.load(PATH, weights_only=True, map_location='cpu'); "
    "st.save_file({k: v.clone().contiguous() for k, v in d.get('state_dict', d).items()}, 'weights.safetensors')"
)
KERAS = (
    "a file of Keras, not read; with KERAS_BACKEND=torch: m = keras.models.load_model(PATH); m(m.inputs); "
    "m.export('net.onnx', format='onnx'), or save its weights: "
    "import keras, numpy; "
    "numpy.savez('weights.npz', **{w.path: w.numpy() for w in keras.models.load_model(PATH).weights})"
)
TENSORFLOW = "a file of TensorFlow, not read; export it: python -m tf2onnx.convert {} --output net.onnx"
EXPORTS = {
    **dict.fromkeys((".pt", ".pth", ".jit", ".bin", ".ckpt"), TORCH),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), KERAS),
    ".pb": TENSORFLOW.format("--saved-model FOLDER"),
    ".tflite": TENSORFLOW.format("--tflite PATH"),
    **dict.fromkeys((".pkl", ".pickle"), "a pickle, which is never read; save its arrays with numpy.savez"),
    ".onnx": (
        "a graph of operators, which run, describe, prune, footprint, sweep, compare and trace take, not layers; to "
        "have these save its weights: import numpy, "
        "onnx.numpy_helper; numpy.savez('weights.npz', **{t.name: onnx.numpy_helper.to_array(t) for t in "
        "onnx.load(PATH).graph.initializer})"
    ),
}
"""Files of other tools by their suffix, with the line of Python that makes one that is read."""

HEAD_BYTES = 64
MAX_SHOWN_NAME = 40
MISSING = "file=missing: must be an existing file"


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is said about it, and turn the system's own errors into InputError."""
    name = shown(path.name or path)
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or one_line(error)})") from None
    except MemoryError:
        raise InputError(f"{name}: does not fit into memory") from None


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays of a .npz, .npy, .safetensors, .mtx or .smtx file by name, in file order.

    path : a file; .mtx and .smtx may be packed by gzip, .mtx.gz; or several .safetensors files that are one network:
        their .safetensors.index.json, or their folder

    Values are numpy arrays; `scipy.sparse.csc_array` for a sparse matrix, which holds booleans where the file has a
    pattern without values; or `Unread`, with the reason, for a member that cannot be used. A file with one matrix and
    no names has it under `stem_of(path)`. Raises InputError for a file that is missing, damaged, hostile, or not what
    its name says.
    """
    require_type("file", path, str, os.PathLike)
    file = Path(path)
    with about(file):
        return read_folder(file) if is_folder(file) else _kind(file).read(file, stem_of(file))


def suffix_of(path: Path) -> str:
    """The end of a file's name that says its kind, in small letters: of KINDS, such as `.mtx.gz`, or else the last."""
    name = path.name.lower()
    known = [suffix for suffix in KINDS if name.endswith(suffix) and name != suffix]
    return max(known, key=len, default=path.suffix.lower())


def stem_of(path: Path) -> str:
    """The name of a file without its suffix, as `suffix_of` has it, or of a folder."""
    return path.resolve().name if is_folder(path) else path.name[: len(path.name) - len(suffix_of(path))]


def _kind(path: Path) -> Kind:
    suffix = suffix_of(path)
    _require_file(path)
    if suffix in EXPORTS:
        name = path.name if len(path.name) <= MAX_SHOWN_NAME else f"PATH{suffix}"
        raise InputError(f"suffix={suffix}: {EXPORTS[suffix].replace('PATH', repr(name))}")
    kind = KINDS.get(suffix)
    if kind is None:
        raise InputError(f"suffix={shown(suffix)}: must be one of {', '.join(KINDS)}; pickles are never read")
    size = path.stat().st_size
    require(size <= MAX_BYTES, "size", size, f"must be at most {MAX_BYTES} bytes")
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not kind.begins(head):
        raise InputError(f"not {kind.called}, though its name ends in {suffix}{_guess(head)}")
    return kind


def _guess(head: bytes) -> str:
    """Return the kind of file that the first bytes are of instead, ready to append."""
    if not head:
        return "; it is empty"
    for kind in KINDS.values():
        if kind.begins(head):
            return f"; it looks like {kind.called}"
    return next((f"; it looks like {called}" for begin, called in MISTAKEN if head.startswith(begin)), "")


def _require_file(path: Path) -> None:
    if is_file(path):
        return
    try:
        there = path.exists()
    except (OSError, ValueError):  # names no file can have
        there = False
    raise InputError("file=a pipe or device: must be an ordinary file" if there else MISSING)


def is_file(path: Path) -> bool:
    """True for an ordinary file; False, not an error, for names no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """True for a folder; False, not an error, for names no folder can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
