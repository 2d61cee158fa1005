"""Arrays from a file, by the suffix of its name and only if its first bytes agree. Pickles are never read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eie_sim.errors import InputError, require, require_type
from eie_sim.workload.arrays import MAX_BYTES, one_line, shown
from eie_sim.workload.matrix_market import read_mtx
from eie_sim.workload.npz import read_npy, read_npz
from eie_sim.workload.safetensors_file import LENGTH_BYTES, read_safetensors
from eie_sim.workload.smtx import read_smtx


class Kind(NamedTuple):
    """A kind of file: what to call it, how to tell it from its first bytes, how to read it."""

    called: str
    begins: Callable[[bytes], bool]
    read: Callable[[Path], dict[str, Any]]


KINDS = {
    ".npz": Kind("a zip archive", lambda head: head.startswith((b"PK\x03\x04", b"PK\x05\x06")), read_npz),
    ".npy": Kind("a numpy array file", lambda head: head.startswith(b"\x93NUMPY"), read_npy),
    ".safetensors": Kind(
        "a safetensors file", lambda head: head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{", read_safetensors
    ),
    ".mtx": Kind("a MatrixMarket file", lambda head: head.lower().startswith(b"%%matrixmarket"), read_mtx),
    ".smtx": Kind("a DLMC pattern", lambda head: head[:1].isdigit(), read_smtx),
}

UNREAD = (
    (b"\x80", "a pickle, which is never read"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
)
"""First bytes of what people hand in by mistake."""

HEAD_BYTES = 32
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

    Values are numpy arrays, or `scipy.sparse.csc_array` for a sparse matrix, which holds booleans where the file has a
    pattern without values. A file with one matrix and no names has it under the file's stem.
    Raises InputError for a file that is missing, damaged, hostile, or not what its name says.
    """
    require_type("file", path, str, os.PathLike)
    file = Path(path)
    with about(file):
        kind = _kind(file)
        return kind.read(file)


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    _require_file(path)
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
    """What the first bytes are instead, ready to append."""
    if not head:
        return "; it is empty"
    for called, begins in [(kind.called, kind.begins) for kind in KINDS.values()]:
        if begins(head):
            return f"; it looks like {called}"
    return next((f"; it looks like {called}" for begin, called in UNREAD if head.startswith(begin)), "")


def _require_file(path: Path) -> None:
    if is_file(path):
        return
    try:
        kind = "a folder" if path.is_dir() else "a pipe or device" if path.exists() else None
    except (OSError, ValueError):  # names no file can have
        kind = None
    raise InputError(MISSING if kind is None else f"file={kind}: must be an ordinary file")


def is_file(path: Path) -> bool:
    """True for an ordinary file; False, not an error, for names no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
