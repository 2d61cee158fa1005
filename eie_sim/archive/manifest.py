"""The manifest of an archive: fields out, and back in with every one checked. `eie_sim.archive` says what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import NoneType
from typing import Any

from eie_sim.archive.content import Archive
from eie_sim.core.arrays import MAX_NUMBERS, one_line, require_matrix_shape, require_name, shown
from eie_sim.core.errors import InputError, require, require_int, require_one_of
from eie_sim.network import BETWEEN, RELU, Layer, Left

VERSION = 1

Fields = Mapping[str, tuple[type, ...]]

FIELDS: Fields = {
    "version": (int,),
    "package": (str,),
    "name": (str,),
    "source": (dict,),
    "recipe": (dict,),
    "seed": (int,),
    "chained": (bool,),
    "between": (str,),
    "not_simulated": (list,),
    "left": (list, NoneType),
    "layers": (list,),
    "tensors": (dict,),
}
SOURCE_FIELDS: Fields = {"name": (str,), "sha256": (str,)}
LAYER_FIELDS: Fields = {
    "name": (str,),
    "n_out": (int,),
    "n_in": (int,),
    "bias": (bool,),
    "weight_bits": (int,),
    "scales": (dict,),
    "source": (str,),
    "synthetic": (bool,),
}
SCALE_FIELDS: Fields = {"weight": (int,), "activation": (int, NoneType), "accumulator": (int, NoneType)}


def written(archive: Archive, hashes: dict[str, str]) -> str:
    """The manifest as JSON in ASCII; `hashes` are those of the tensors."""
    network = archive.network
    record = {
        "version": VERSION,
        "package": archive.package,
        "name": network.name,
        "source": {"name": network.source, "sha256": archive.source_sha256},
        "recipe": archive.recipe,
        "seed": int(network.seed),
        "chained": bool(network.chained),
        "between": network.between,
        "not_simulated": network.not_simulated,
        "left": network.left,
        "layers": [_layer(layer) for layer in network.layers],
        "tensors": hashes,
    }
    return json.dumps(record, allow_nan=False, separators=(",", ":"))


def _layer(layer: Layer) -> dict[str, Any]:
    assert layer.stored is not None
    return {
        "name": layer.name,
        "n_out": layer.n_out,
        "n_in": layer.n_in,
        "bias": layer.bias is not None,
        "weight_bits": layer.stored.weight_bits,
        "scales": layer.stored.scales.to_dict(),
        "source": layer.weights_source,
        "synthetic": bool(layer.synthetic),
    }


def read(text: str) -> dict[str, Any]:
    """The manifest's fields, complete and of the right types, sizes within bounds. Raises InputError."""
    try:
        record = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InputError(f"manifest: damaged ({one_line(error)})") from None
    if isinstance(record, dict) and type(record.get("version")) is int:
        version = record["version"]
        require(version == VERSION, "manifest: version", shown(version), f"must be {VERSION}")
    if isinstance(record, dict):
        record.setdefault("between", RELU)  # archives of before had nothing else
        record.setdefault("left", None)  # nor was it counted
    _check("manifest", record, FIELDS)
    require_one_of("manifest: between", record["between"], BETWEEN)
    _check("manifest: source", record["source"], SOURCE_FIELDS)
    _check_text("manifest: package", record["package"])
    _check_text("manifest: source", record["source"]["name"])
    require_int("manifest: seed", record["seed"], 0)
    for pair in record["not_simulated"]:
        ok = isinstance(pair, list) and len(pair) == 2
        require(ok, "manifest: not_simulated", shown(pair), "must be [name, reason]")
        for each in pair:
            _check_text("manifest: not_simulated", each)
    if record["left"] is not None:
        require(len(record["left"]) == len(Left._fields), "manifest: left", shown(record["left"]), "must be 3 counts")
        for count in record["left"]:
            require_int("manifest: left", count, 0)
    _check_layers(record["layers"])
    return dict(record)


def _check_layers(layers: list[Any]) -> None:
    total = 0
    for at, layer in enumerate(layers):
        where = f"manifest: layer {at}"
        _check(where, layer, LAYER_FIELDS)
        _check(f"{where}: scales", layer["scales"], SCALE_FIELDS)
        require_name(f"{where}: name", layer["name"])
        _check_text(f"{where}: source", layer["source"])
        require_int(f"{where}: weight_bits", layer["weight_bits"], 1, 8)
        require_matrix_shape(where, (layer["n_out"], layer["n_in"]))
        total += layer["n_out"] * (layer["n_in"] + layer["bias"])
    require(total <= MAX_NUMBERS, "manifest: layers", f"{total} weights", f"must be at most {MAX_NUMBERS}")


def _check(where: str, record: Any, fields: Fields) -> None:
    require(isinstance(record, dict), where, shown(record), "must be a JSON object")
    missing, unknown = fields.keys() - record.keys(), record.keys() - fields.keys()
    require(not missing, where, shown(sorted(missing)), "must not be missing")
    require(not unknown, where, shown(sorted(unknown)), "must not be there")
    for name, kinds in fields.items():
        value = record[name]
        wanted = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
        require(type(value) in kinds, f"{where}: {name}", shown(repr(value)), f"must be {wanted}")


def _check_text(where: str, text: Any) -> None:
    require(isinstance(text, str) and text.isprintable(), where, shown(repr(text)), "must be printable text")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")
