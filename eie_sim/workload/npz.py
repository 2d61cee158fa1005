"""Arrays from .npy and .npz files, read with numpy's header parser and never with pickle.

What a header declares is checked against the bytes that are there and against `MAX_BYTES` before anything is allocated.
"""

from __future__ import annotations

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.errors import InputError, require
from eie_sim.sparse import from_parts
from eie_sim.workload.arrays import MAX_BYTES, as_weights, one_line, require_matrix_shape, shown

CHUNK = 2**24
MOST_DEFLATED = 1032
"""Bytes that a byte of a deflated member may stand for: 258 for each 2 bits."""
ENDING = ".npy"

MAX_HEADER = 10_000
"""Longest header of an array, as numpy has it."""


class Version(NamedTuple):
    """A version of the format: how many bytes state the length of a header, and what reads the header."""

    length_bytes: int
    read: Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]


VERSIONS = {
    (1, 0): Version(2, np.lib.format.read_array_header_1_0),
    (2, 0): Version(4, np.lib.format.read_array_header_2_0),
}

HEADER_ERRORS = (
    # numpy reads a header as Python source, so a damaged one fails in as many ways as source can
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
)
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError)


def read_npy(path: Path) -> dict[str, Any]:
    """The one array of a .npy file, under the file's stem. Raises InputError."""
    with path.open("rb") as stream:
        return {path.stem: _read_array(stream, path.stat().st_size)}


def read_npz(path: Path) -> dict[str, Any]:
    """The arrays of a .npz file by name, in file order; a scipy.sparse file gives one matrix under the file's stem.

    Raises InputError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _members(archive, path.stat().st_size)
    except ZIP_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"damaged zip archive ({one_line(error)})") from None
    if {"format", "shape", "data"} <= arrays.keys():
        return {path.stem: _scipy_matrix(arrays)}
    return arrays


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The arrays of an archive of `size` bytes."""
    members = archive.infolist()
    packed = sum(member.compress_size for member in members)
    require(packed <= size, "packed size", packed, f"must be at most the {size} bytes of the file")
    declared = sum(member.file_size for member in members)
    require(declared <= MAX_BYTES, "declared size", declared, f"must be at most {MAX_BYTES} bytes over all arrays")
    arrays: dict[str, Any] = {}
    for member in members:
        name = member.filename.removesuffix(ENDING)
        said = f"array {shown(name)}"
        require(member.filename.endswith(ENDING), "member", shown(member.filename), "must be an array, ending in .npy")
        require(name not in arrays, said, "twice", "names must differ")
        plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        require(plain, said, f"compression {member.compress_type}", "must be stored or deflated")
        most = member.compress_size * (MOST_DEFLATED if member.compress_type == zipfile.ZIP_DEFLATED else 1)
        rule = f"must be at most {most} bytes, its {member.compress_size} packed ones hold no more"
        require(member.file_size <= most, f"{said}: size", member.file_size, rule)
        try:
            with archive.open(member) as stream:
                arrays[name] = _read_array(stream, member.file_size)
        except InputError as error:
            raise InputError(f"{said}: {error}") from None
    return arrays


def _read_array(stream: IO[bytes], size: int) -> NDArray[Any]:
    """One array in .npy format that fills a stream of `size` bytes exactly."""
    shape, fortran, dtype = _header(stream)
    require(not dtype.hasobject, "dtype", "object", "must be numbers, pickled objects are never read")
    rule = "must be integers >= 0, at most 32 of them"
    ok = len(shape) <= 32 and all(type(side) is int and side >= 0 for side in shape)
    require(ok, "shape", shown(shape), rule)
    plain = dtype.itemsize > 0 and dtype.subdtype is None
    require(plain, "dtype", shown(dtype), "must have a size, and no shape of its own")
    n_bytes = math.prod(shape) * dtype.itemsize
    there = size - stream.tell()
    if n_bytes != there:
        trouble = "the file is cut short" if n_bytes > there else "more bytes follow the array"
        needed = n_bytes if n_bytes < 2**64 else "2**64 or more"  # Python may refuse to write out the product
        raise InputError(f"shape={shown(shape)} of {shown(dtype)}: needs {needed} bytes, found {there}: {trouble}")
    flat = _bytes(stream, n_bytes).view(dtype)
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except (ValueError, OverflowError) as error:  # a side of 0 beside one beyond all bounds
        raise InputError(f"shape={shown(shape)}: {one_line(error)}") from None


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        known = VERSIONS.get(version)
        if known is None:
            raise InputError(f"format version={version}: must be 1.0 or 2.0")
        _check_header_length(stream, known.length_bytes)
        with warnings.catch_warnings(action="ignore"):  # about headers that Python 2 wrote, which are read all the same
            return known.read(stream)
    except InputError:
        raise
    except HEADER_ERRORS as error:
        raise InputError(f"damaged array header ({one_line(error)})") from None


def _check_header_length(stream: IO[bytes], length_bytes: int) -> None:
    """Look ahead at the length, because numpy reads all of a header before it finds it too long."""
    at = stream.tell()
    length = int.from_bytes(stream.read(length_bytes), "little")
    stream.seek(at)
    require(length <= MAX_HEADER, "header length", length, f"must be at most {MAX_HEADER} bytes")


def _bytes(stream: IO[bytes], count: int) -> NDArray[np.uint8]:
    """The next `count` bytes, in pieces, so that memory fills only as data really arrives."""
    data = np.empty(count, dtype=np.uint8)
    at = 0
    while at < count:
        piece = stream.read(min(CHUNK, count - at))
        require(len(piece) > 0, "data", f"{at} bytes", f"must be {count} bytes, the file is cut short")
        data[at : at + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        at += len(piece)
    return data


def _scipy_matrix(arrays: dict[str, Any]) -> Any:
    """The matrix of `scipy.sparse.save_npz` from its parts, as csc_array."""
    kind = _text(arrays["format"])
    parts = {"csc": ("indices", "indptr"), "csr": ("indices", "indptr"), "bsr": ("indices", "indptr")}
    needed = (parts | {"coo": ("row", "col"), "dia": ("offsets",)}).get(kind)
    if needed is None:
        raise InputError(f"format={shown(kind)}: must be csc, csr, bsr, coo or dia")
    missing = [name for name in needed if name not in arrays]
    require(not missing, "sparse matrix", kind, f"must have the array {' and '.join(missing)}")
    stated = arrays["shape"]
    require(stated.dtype.kind in "iu" and stated.ndim == 1, "shape", shown(stated.tolist()), "must be integers")
    shape = tuple(int(side) for side in stated)
    require_matrix_shape("shape", shape)
    indices = tuple(_integers(name, arrays[name]) for name in needed)
    return as_weights("sparse matrix", from_parts("sparse matrix", kind, arrays["data"], indices, (shape[0], shape[1])))


def _integers(name: str, array: NDArray[Any]) -> NDArray[Any]:
    require(array.dtype.kind in "iu", name, f"dtype {shown(array.dtype)}", "must hold integers")
    return array


def _text(array: NDArray[Any]) -> str:
    """The word that `save_npz` keeps as a 0-d array of bytes or text; "" for anything else."""
    if array.ndim != 0 or array.dtype.kind not in "SU":
        return ""
    value = array.item()
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
