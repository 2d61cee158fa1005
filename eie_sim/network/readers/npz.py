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
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import (
    MAX_ARRAYS,
    MAX_BYTES,
    MAX_DIMENSIONS,
    Unread,
    as_weights,
    fit_names,
    one_line,
    require_matrix_shape,
    shown,
)
from eie_sim.core.errors import InputError, require
from eie_sim.core.sparse import from_parts
from eie_sim.network.readers.unpacked import MOST_DEFLATED

CHUNK = 2**24
ENDING = ".npy"
OF_MACOS = "__MACOSX/"
"""Folder of what a Mac's archives have beside every file, under the file's own name."""
ENCRYPTED = 1
"""Bit of a member's flags."""
PACKINGS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}

INDICES = {
    "csc": ("indices", "indptr"),
    "csr": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "coo": ("row", "col"),
    "dia": ("offsets",),
}
"""Beside the data, what a sparse matrix of each format consists of."""
SPARSE_PARTS = {"format", "shape", "data", "_is_array", *chain.from_iterable(INDICES.values())}

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


def read_npy(path: Path, name: str) -> dict[str, Any]:
    """The one array of a .npy file, as `name`; `Unread` where it holds no numbers or text. Raises InputError."""
    with path.open("rb") as stream:
        return {name: _read_array(stream, path.stat().st_size)}


def read_npz(path: Path, name: str) -> dict[str, Any]:
    """The members of a .npz file by name, in file order, `Unread` where one is no array that can be read.

    The parts of a file of scipy.sparse become one matrix, called `name`. Raises InputError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
    except ZIP_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"damaged zip archive ({one_line(error)})") from None
    if {"format", "shape", "data"} <= members.keys():
        others = {each: member for each, member in members.items() if each not in SPARSE_PARTS}
        require(name not in others, f"array {shown(name)}", "twice", "names must differ")
        members = {name: _scipy_matrix(members), **others}
    return fit_names(members)


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The members of an archive of `size` bytes."""
    listed = archive.infolist()
    require(len(listed) <= MAX_ARRAYS, "members", len(listed), f"must be at most {MAX_ARRAYS}")
    packed = sum(member.compress_size for member in listed)
    require(packed <= size, "packed size", packed, f"must be at most the {size} bytes of the file")
    reasons = [_unread(member) for member in listed]
    declared = sum(member.file_size for member, reason in zip(listed, reasons, strict=True) if reason is None)
    require(declared <= MAX_BYTES, "declared size", declared, f"must be at most {MAX_BYTES} bytes over all arrays")
    members: dict[str, Any] = {}
    for member, reason in zip(listed, reasons, strict=True):
        name = member.filename.removesuffix(ENDING)
        require(name not in members, f"array {shown(name)}", "twice", "names must differ")
        members[name] = _member(archive, member, f"array {shown(name)}") if reason is None else Unread(reason)
    return members


def _unread(member: zipfile.ZipInfo) -> str | None:
    """Return why a member of an archive is no array that can be read, by its entry in the directory."""
    if not member.filename.endswith(ENDING) or member.filename.startswith(OF_MACOS):
        return "not an array"
    if member.flag_bits & ENCRYPTED:
        return "encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"packed by {PACKINGS.get(member.compress_type, 'an unknown method')}, not read"
    return None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, said: str) -> NDArray[Any] | Unread:
    most = member.compress_size * (MOST_DEFLATED if member.compress_type == zipfile.ZIP_DEFLATED else 1)
    rule = f"must be at most {most} bytes, its {member.compress_size} packed ones hold no more"
    require(member.file_size <= most, f"{said}: size", member.file_size, rule)
    try:
        with archive.open(member) as stream:
            return _read_array(stream, member.file_size)
    except InputError as error:
        raise InputError(f"{said}: {error}") from None


def _read_array(stream: IO[bytes], size: int) -> NDArray[Any] | Unread:
    """One array in .npy format that fills a stream of `size` bytes exactly."""
    shape, fortran, dtype = _header(stream)
    rule = f"must be integers >= 0, at most {MAX_DIMENSIONS} of them"
    ok = len(shape) <= MAX_DIMENSIONS and all(type(side) is int and side >= 0 for side in shape)
    require(ok, "shape", shown(shape), rule)
    if dtype.hasobject:
        return Unread("Python objects, never unpickled")
    if dtype.kind == "V" or not dtype.itemsize:
        return Unread(f"dtype {shown(dtype)}, not numbers")
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
    for name, part in arrays.items():
        if name in SPARSE_PARTS and isinstance(part, Unread):
            raise InputError(f"sparse matrix: array {name}: {part.reason}")
    kind = _text(arrays["format"])
    needed = INDICES.get(kind)
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
