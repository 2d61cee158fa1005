"""One network from several .safetensors files of a folder: those that an index names, or all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eie_sim.core.arrays import MAX_BYTES, Unread, fit_names, one_line, shown
from eie_sim.core.errors import InputError, require
from eie_sim.network.readers.safetensors_file import (
    MAX_HEADER,
    Header,
    counted,
    once,
    require_few,
    tensors_in,
    weights_header,
)

SHARD = ".safetensors"
INDEX = f"{SHARD}.index.json"


def read_folder(folder: Path) -> dict[str, Any]:
    """The tensors of all .safetensors files of a folder, or of those that its index names. Raises InputError."""
    files = [each for each in folder.iterdir() if not each.name.startswith(".")]
    indices = sorted(each.name for each in files if each.name.endswith(INDEX))
    require(len(indices) <= 1, "indices", shown(", ".join(indices)), f"must be at most one file {INDEX}")
    if indices:
        return read_index(folder / indices[0], "")
    shards = sorted((each.name for each in files if each.suffix.lower() == SHARD), key=counted)
    require(len(shards) > 0, "folder", "no weights", f"must hold {SHARD} files, with or without a {INDEX}")
    return _merged(folder, shards)


def read_index(path: Path, name: str) -> dict[str, Any]:
    """The tensors that an index, `weight_map` from names to files beside it, names. Raises InputError."""
    size = path.stat().st_size
    require(size <= MAX_HEADER, "size", size, f"must be at most {MAX_HEADER} bytes")
    try:
        fields = json.loads(path.read_bytes().decode(), object_pairs_hook=once)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged index ({one_line(error)})") from None
    weight_map = fields.get("weight_map") if isinstance(fields, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise InputError("weight_map: must be a table from names of tensors to names of files")
    require_few("tensors", len(weight_map))
    shards = sorted(set(weight_map.values()), key=counted)
    for shard in shards:
        plain = Path(shard).name == shard and shard.endswith(SHARD) and shard.isprintable() and "\\" not in shard
        require(plain, "weight_map", shown(shard), f"must be the name of a {SHARD} file in the same folder")
    return _merged(path.parent, shards, weight_map)


def _merged(folder: Path, shards: list[str], weight_map: dict[str, str] | None = None) -> dict[str, Any]:
    """The tensors of all shards, names sorted as people count. A shard's others, not in the map, are `Unread`."""
    paths = {shard: folder / shard for shard in shards}  # which may be links, as caches of models have them
    for shard, path in paths.items():
        require(path.is_file(), f"file {shown(shard)}", "missing", "must be an ordinary file in the same folder")
    sizes = {shard: path.stat().st_size for shard, path in paths.items()}
    total = sum(sizes.values())
    require(total <= MAX_BYTES, "size", total, f"must be at most {MAX_BYTES} bytes over all {len(shards)} files")
    headers: dict[str, Header] = {}
    owner: dict[str, str] = {}
    for shard, path in paths.items():
        with _about(shard), path.open("rb") as stream:
            headers[shard] = weights_header(stream, sizes[shard])
        for name in headers[shard].tensors:
            other = owner.setdefault(name, shard)
            require(other == shard, f"tensor {shown(name)}", f"in {shown(other)} and {shown(shard)}", "must be in one")
        require_few("tensors", len(owner))
    named = owner if weight_map is None else weight_map
    for name, shard in named.items():
        require(owner.get(name) == shard, f"tensor {shown(name)}", "missing", f"must be in {shown(shard)}")
    found: dict[str, Any] = {name: Unread(f"in {shown(owner[name])}, not in the index") for name in owner}
    for shard, path in paths.items():
        tensors = {name: tensor for name, tensor in headers[shard].tensors.items() if name in named}
        with _about(shard), path.open("rb") as stream:
            found |= tensors_in(stream, headers[shard]._replace(tensors=tensors))
    return fit_names({name: found[name] for name in sorted(found, key=counted)})


@contextmanager
def _about(shard: str) -> Iterator[None]:
    """Put the shard's name before whatever is said about it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{shown(shard)}: {error}") from None
