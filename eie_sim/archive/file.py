"""Archives as bytes, and as files that are whole or not there. `eie_sim.archive` describes the layout."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.archive import manifest
from eie_sim.archive.content import Archive
from eie_sim.archive.packing import pack, unpack
from eie_sim.core.arrays import MAX_BYTES, Unread, shown
from eie_sim.core.errors import InputError, require, require_type
from eie_sim.core.files import as_path, place_for, require_ours, write_file
from eie_sim.core.quantize import Scales
from eie_sim.network import Layer, Left, Network, SharedWeights
from eie_sim.network.readers.files import about, is_file
from eie_sim.network.readers.safetensors_file import LENGTH_BYTES, MANIFEST, MAX_HEADER, metadata_of, tensors_of

SHA256 = "eie_sim.sha256"
SUFFIX = ".safetensors"
CALIBRATION = "calibration"
DTYPES = {"<f8": "F64", "<f4": "F32", "<i2": "I16", "|u1": "U8"}
ALIGNMENT = 8
"""Bytes that the first tensor in the file is aligned to, by spaces after the header."""

Tensors = dict[str, NDArray[Any]]


def save(path: str | os.PathLike[str], archive: Archive) -> None:
    """Write an archive: the same bytes for the same content, and an older file stays until the new one is whole.

    Raises InputError as `require_archive_path`, for another type, and where the file cannot be written.
    """
    file = require_archive_path(path)
    write_file("archive", file, to_bytes(archive))


def require_archive_path(path: str | os.PathLike[str]) -> Path:
    """The path, if an archive may be written there. Ask before long work; `save` asks again.

    Raises InputError for a name that does not end in .safetensors, a folder that is missing or may not be written to,
    and for what is there already and no archive of ours: weights that somebody trained are never overwritten.
    """
    file = as_path("archive", path)
    require(file.suffix == SUFFIX, "archive", shown(file.name), f"must end in {SUFFIX}")
    place_for("archive", file)
    require_ours("archive", file, "an archive", not file.exists() or _is_archive(file))
    return file


def load(path: str | os.PathLike[str]) -> Archive:
    """Read an archive, every part of it checked.

    Raises InputError, one line, for a file that is missing, no archive, cut short, edited, or of another version.
    """
    file = as_path("path", path)
    with about(file):
        require(is_file(file), "file", "missing", "must be an existing file")
        size = file.stat().st_size
        require(size <= MAX_BYTES, "size", size, f"must be at most {MAX_BYTES} bytes")
        return from_bytes(file.read_bytes())


def opened(source: Any) -> Any:
    """The network of an archive where `source` is the path of one; anything else as it is, for `network.load`.

    Raises InputError for a damaged archive.
    """
    archive = archive_at(source)
    return source if archive is None else archive.network


def archive_at(source: Any) -> Archive | None:
    """The archive at a path, whose network says so; None for anything that is none.

    Raises InputError for a damaged one.
    """
    if not isinstance(source, (str, os.PathLike)) or not _is_archive(Path(source)):
        return None
    archive = load(source)
    words = f"archive {shown(Path(source).name)} of {archive.network.source}"
    return replace(archive, network=replace(archive.network, source=words))


def to_bytes(archive: Archive) -> bytes:
    """The file of an archive. Raises InputError for texts and sizes that `from_bytes` would not take."""
    require_type("archive", archive, Archive)
    tensors = _tensors(archive)
    # widest first, so that each is aligned, then by name: the order in which the safetensors library writes
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    blobs = {name: array.tobytes() for name, array in ordered}
    text = manifest.written(archive, {name: _sha256(blob) for name, blob in blobs.items()})
    manifest.read(text)  # what cannot be read again must not be written
    header: dict[str, Any] = {"__metadata__": {MANIFEST: text, SHA256: _sha256(text.encode())}}
    at = 0
    for name, array in ordered:
        header[name] = {"dtype": DTYPES[array.dtype.str], "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % ALIGNMENT)
    require(len(head) <= MAX_HEADER, "header length", len(head), f"must be at most {MAX_HEADER} bytes")
    size = LENGTH_BYTES + len(head) + at
    require(size <= MAX_BYTES, "size", size, f"must be at most {MAX_BYTES} bytes")
    return b"".join([len(head).to_bytes(LENGTH_BYTES, "little"), head, *blobs.values()])


def from_bytes(data: bytes) -> Archive:
    """The archive in the bytes of its file. Raises InputError as `load`."""
    require_type("data", data, bytes)
    tensors, texts = tensors_of(data), metadata_of(data)
    if MANIFEST not in texts:
        raise InputError(f"no archive: a safetensors file without {MANIFEST} in its metadata")
    record = manifest.read(texts[MANIFEST])
    _check_hash("manifest", texts[MANIFEST].encode("utf-8", "surrogatepass"), texts.get(SHA256))
    for name in sorted(tensors.keys() | record["tensors"].keys()):
        where, tensor = f"tensor {shown(name)}", tensors.get(name)
        if isinstance(tensor, Unread):
            raise InputError(f"{where}: {tensor.reason}")
        require(
            name in tensors and name in record["tensors"], where, "missing or foreign", "must be as in the manifest"
        )
        _check_hash(where, tensors[name].tobytes(), record["tensors"][name])
    calibration = tensors.pop(CALIBRATION, None)
    layers = tuple(_layer(fields, tensors) for fields in record["layers"])
    require(not tensors, "tensor", shown(sorted(tensors)), "must belong to a layer")
    network = Network(
        name=record["name"],
        layers=layers,
        chained=record["chained"],
        between=record["between"],
        source=record["source"]["name"],
        not_simulated=tuple((name, reason) for name, reason in record["not_simulated"]),
        left=None if record["left"] is None else Left(*record["left"]),
        calibration=calibration,
        seed=record["seed"],
    )
    sha256 = record["source"]["sha256"]
    return Archive(network=network, source_sha256=sha256, recipe=record["recipe"], package=record["package"])


def _tensors(archive: Archive) -> Tensors:
    tensors: Tensors = {}
    for name, stored in archive.stored.items():
        codes = stored.columns.ravel()
        tensors[f"mask/{name}"] = pack((codes != 0).astype(np.uint8), 1)
        tensors[f"codes/{name}"] = pack(codes[codes != 0], stored.weight_bits)
        tensors[f"codebook/{name}"] = stored.codebook.astype("<f8", copy=False)
        tensors[f"codebook_raw/{name}"] = stored.codebook_raw.astype("<i2", copy=False)
    if (inputs := archive.network.calibration) is not None:
        tensors[CALIBRATION] = np.ascontiguousarray(inputs, dtype=inputs.dtype.newbyteorder("<"))
    return tensors


def _layer(fields: dict[str, Any], tensors: Tensors) -> Layer:
    """A layer from its fields of the manifest and from its tensors, which it takes out of `tensors`."""
    name, bits, shape = fields["name"], fields["weight_bits"], (fields["n_out"], fields["n_in"] + fields["bias"])
    mask = unpack(f"tensor mask/{name}", _taken(tensors, f"mask/{name}", np.uint8), shape[0] * shape[1], 1)
    n_weight = int(np.count_nonzero(mask))
    kept = unpack(f"tensor codes/{name}", _taken(tensors, f"codes/{name}", np.uint8), n_weight, bits)
    require(bool(kept.all()), f"tensor codes/{name}", 0, "must be 1 or more, a code of 0 is no weight")
    mask[mask != 0] = kept
    columns = mask.reshape(shape)
    stored = SharedWeights(
        codes=np.ascontiguousarray(columns[:, : fields["n_in"]]),
        codebook=_taken(tensors, f"codebook/{name}", np.float64),
        scales=Scales(**fields["scales"]),
        bias_codes=columns[:, -1].copy() if fields["bias"] else None,
    )
    require(stored.weight_bits == bits, f"tensor codebook/{name}", stored.codebook.shape, f"must be ({2**bits},)")
    raw = _taken(tensors, f"codebook_raw/{name}", np.int16)
    rule = f"must be the codebook at {stored.scales.weight} fractional bits"
    require(np.array_equal(raw, stored.codebook_raw), f"tensor codebook_raw/{name}", shown(raw), rule)
    return Layer(
        name=name,
        weights=stored.weights,
        bias=stored.bias,
        weights_source=fields["source"],
        synthetic=fields["synthetic"],
        stored=stored,
    )


def _taken(tensors: Tensors, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    array = tensors.pop(name, None)
    if array is None:
        raise InputError(f"tensor {shown(name)}: missing")
    require(array.dtype == dtype, f"tensor {shown(name)}", f"dtype {array.dtype}", f"must be {np.dtype(dtype)}")
    return array


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check_hash(where: str, data: bytes, told: Any) -> None:
    if told != _sha256(data):
        raise InputError(f"{where}: its sha256 is another one; the file is damaged or was edited")


def _is_archive(path: Path) -> bool:
    """True where the header of a file has a manifest; False, not an error, for whatever else there is or is not."""
    if path.suffix.lower() != SUFFIX or not is_file(path):
        return False
    with about(path), path.open("rb") as stream:
        begin = stream.read(LENGTH_BYTES)
        length = int.from_bytes(begin, "little")
        return length <= MAX_HEADER and MANIFEST in metadata_of(begin + stream.read(length))
