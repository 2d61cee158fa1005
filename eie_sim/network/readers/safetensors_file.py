"""Tensors from .safetensors files. All that the header says is checked before a tensor is read into an array."""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import MAX_ARRAYS, MAX_DIMENSIONS, Unread, fit_names, one_line, shown
from eie_sim.core.errors import InputError, require

LENGTH_BYTES = 8
MAX_HEADER = 2**24
"""Longest header read; a hundred thousand tensors need less."""

MANIFEST = "eie_sim.manifest"
"""Name, in the metadata, of what tells an archive from other files."""

METADATA = "__metadata__"
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


class Tensor(NamedTuple):
    """A tensor as the header has it. begin, end : its bytes, counted from the first byte of all tensors."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """The header of a file.

    tensors : by name, names sorted as people count, fc2 before fc10: the format keeps no order of its own
    texts : the metadata
    begin : where in the file the bytes of all tensors begin
    """

    tensors: dict[str, Tensor]
    texts: dict[str, str]
    begin: int


def read_safetensors(path: Path, name: str) -> dict[str, Any]:
    """The tensors of a .safetensors file by name, bfloat16 widened to float32, `Unread` where numpy has no such type.

    Raises InputError, also for an archive, whose tensors are packed.
    """
    with path.open("rb") as stream:
        header = weights_header(stream, path.stat().st_size)
        require_few("tensors", len(header.tensors))
        return fit_names(tensors_in(stream, header))


def require_few(field: str, count: int) -> None:
    """Raise InputError for more than `MAX_ARRAYS`."""
    require(count <= MAX_ARRAYS, field, count, f"must be at most {MAX_ARRAYS}")


def weights_header(stream: io.BufferedIOBase, size: int) -> Header:
    """The header of a file of weights as they are. Raises InputError as `read_header`, and for an archive."""
    header = read_header(stream, size)
    if MANIFEST in header.texts:
        raise InputError("an archive of compressed weights: open it with eie_sim.archive.load")
    return header


def read_header(stream: io.BufferedIOBase, size: int) -> Header:
    """The header of a file of `size` bytes, whose tensors fill the rest without gaps. Raises InputError."""
    length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    require(length <= MAX_HEADER, "header length", length, f"must be at most {MAX_HEADER} bytes")
    rest = size - LENGTH_BYTES
    require(length <= rest, "header length", length, f"must be at most the {rest} bytes left; is the file cut short?")
    try:
        fields = json.loads(stream.read(length).decode(), object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise _damaged(one_line(error)) from None
    if not isinstance(fields, dict):
        raise _damaged("the header is no table of tensors")
    texts = _texts(fields.pop(METADATA, None))
    tensors = {name: _tensor(name, fields[name]) for name in sorted(fields, key=counted)}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if tensor.begin != end:
            raise _damaged(f"tensor {shown(name)} begins at byte {tensor.begin}, not {end}")
        end = tensor.end
    if end != rest - length:
        raise _damaged(f"the tensors take {end} bytes of {rest - length}; is the file cut short?")
    return Header(tensors, texts, LENGTH_BYTES + length)


def tensors_in(stream: io.BufferedIOBase, header: Header) -> dict[str, Any]:
    """The tensors of a file by name, or `Unread`. Raises InputError where the file ends early."""
    return {name: _array(stream, header.begin, name, tensor) for name, tensor in header.tensors.items()}


def tensors_of(data: bytes) -> dict[str, Any]:
    """The tensors in the bytes of a safetensors file, whatever they mean, or `Unread`. Raises InputError."""
    stream = io.BytesIO(data)
    return tensors_in(stream, read_header(stream, len(data)))


def metadata_of(data: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file, or in its beginning up to there; none where it is no such file."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
    except (ValueError, RecursionError):
        return {}
    return _texts(header.get(METADATA)) if isinstance(header, dict) else {}


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON; two values of one name are refused, where JSON would keep the last."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise InputError(f"name {shown(name)}=twice: names must differ")
    return fields


def counted(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that compares digits as numbers, eighteen at a time: Python refuses to read thousands at once."""
    pieces = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return tuple((int(piece), "") if piece.isascii() and piece.isdigit() else (-1, piece) for piece in pieces)


def _texts(metadata: Any) -> dict[str, str]:
    items = metadata.items() if isinstance(metadata, dict) else ()
    return {name: text for name, text in items if isinstance(text, str)}


def _tensor(name: str, fields: Any) -> Tensor:
    """Return the header's entry of one tensor, checked."""
    parts = (fields.get(part) for part in ("dtype", "shape", "data_offsets")) if isinstance(fields, dict) else ()
    match [*parts]:
        case [str(dtype), [*shape], [begin, end]] if _are_sizes([*shape, begin, end]) and begin <= end:
            tensor = Tensor(dtype, tuple(shape), begin, end)
        case _:
            raise _damaged(f"tensor {shown(name)}: must have dtype, shape and data_offsets")
    if dtype in DTYPES and len(shape) <= MAX_DIMENSIONS:
        needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        if needed != end - begin:
            raise _damaged(f"tensor {shown(name)}: {_dtype_and_shape(tensor)} needs {needed} bytes, not {end - begin}")
    return tensor


def _are_sizes(numbers: list[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _array(stream: io.BufferedIOBase, begin: int, name: str, tensor: Tensor) -> NDArray[Any] | Unread:
    if tensor.dtype not in DTYPES or len(tensor.shape) > MAX_DIMENSIONS:
        return Unread(f"{_dtype_and_shape(tensor)}, not read")
    stream.seek(begin + tensor.begin)
    flat = np.empty(math.prod(tensor.shape), dtype=DTYPES[tensor.dtype])
    found = stream.readinto(flat.view(np.uint8).data)
    require(found == flat.nbytes, f"tensor {shown(name)}", f"{found} bytes", f"must be {flat.nbytes}")
    if tensor.dtype == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)  # bfloat16 is the upper half of a float32
    try:
        return flat.reshape(tensor.shape)
    except (ValueError, OverflowError):  # a side of 0 beside one beyond all bounds
        return Unread(f"{_dtype_and_shape(tensor)}, not read")


def _dtype_and_shape(tensor: Tensor) -> str:
    return f"dtype {shown(tensor.dtype)}, shape {shown(tensor.shape)}"


def _damaged(reason: str) -> InputError:
    return InputError(f"damaged safetensors file ({reason})")
