"""Tensors from .safetensors files: the library checks the file, this module turns its bytes into arrays."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.errors import InputError, require
from eie_sim.workload.arrays import one_line, shown

LENGTH_BYTES = 8
MAX_HEADER = 2**24
"""Longest header read; a hundred thousand tensors need less."""

MANIFEST = "eie_sim.manifest"
"""Name, in the metadata, of what tells an archive from other files."""

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


def read_safetensors(path: Path) -> dict[str, Any]:
    """The tensors of a .safetensors file, bfloat16 widened to float32, by name.

    The format keeps no order of its own, so names are sorted as people count: fc2 before fc10. Raises InputError, also
    for an archive, whose tensors are packed.
    """
    data = path.read_bytes()
    tensors = tensors_of(data)
    if MANIFEST in metadata_of(data):
        raise InputError("an archive of compressed weights: open it with eie_sim.archive.load")
    return tensors


def tensors_of(data: bytes) -> dict[str, Any]:
    """The tensors in the bytes of a safetensors file, as `read_safetensors`, whatever they mean. Raises InputError."""
    from safetensors import SafetensorError, deserialize

    _check_header_length(data)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call,unused-ignore]  # a compiled library
    except SafetensorError as error:
        raise InputError(f"damaged safetensors file ({one_line(error)})") from None
    return {name: _array(name, tensor) for name, tensor in sorted(tensors, key=lambda item: _counted(item[0]))}


def metadata_of(data: bytes) -> dict[str, str]:
    """The texts in the header of a safetensors file, or in its beginning up to there; none where it is no such file."""
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    try:
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + length])
    except (ValueError, RecursionError):
        return {}
    texts = header.get("__metadata__") if isinstance(header, dict) else None
    items = texts.items() if isinstance(texts, dict) else ()
    return {name: text for name, text in items if isinstance(text, str)}


def _check_header_length(data: bytes) -> None:
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    require(length <= MAX_HEADER, "header length", length, f"must be at most {MAX_HEADER} bytes")
    rest = len(data) - LENGTH_BYTES
    require(length <= rest, "header length", length, f"must be at most the {rest} bytes left; is the file cut short?")


def _array(name: str, tensor: dict[str, Any]) -> NDArray[Any]:
    dtype = DTYPES.get(tensor["dtype"])
    if dtype is None:
        raise InputError(f"tensor {shown(name)}: dtype={shown(tensor['dtype'])}: must be one of {', '.join(DTYPES)}")
    flat = np.frombuffer(tensor["data"], dtype=dtype)
    if tensor["dtype"] == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)  # bfloat16 is the upper half of a float32
    try:
        return flat.reshape(tensor["shape"])
    except (ValueError, OverflowError) as error:
        raise InputError(f"tensor {shown(name)}: shape={shown(tensor['shape'])}: {one_line(error)}") from None


def _counted(name: str) -> tuple[tuple[int, str], ...]:
    """A sort key that compares digits as numbers, eighteen at a time: Python refuses to read thousands at once."""
    pieces = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return tuple((int(piece), "") if piece.isascii() and piece.isdigit() else (-1, piece) for piece in pieces)
