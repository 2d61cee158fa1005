"""Read the record of a run folder, and let nothing through that a page or a figure would trip over."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import eie_sim
from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError, refused, require
from eie_sim.report.folder import RECORD
from eie_sim.report.network import PARTS
from eie_sim.report.schema import AMOUNT, COUNT, FLAG, NUMBER, TEXT, TEXT_OR_NUMBER, Each, Maybe, Named, require_shape
from eie_sim.units import unit_named
from eie_sim.units.unit import Unit

MAX_BYTES = 2**26
"""Of a record; one of a thousand layers has a tenth of it."""

_ENERGY = {
    "table": TEXT,
    "table_sha256": Maybe(TEXT),
    "node_nm": COUNT,
    "by_component_pj": Named(AMOUNT),
    "total_pj": AMOUNT,
    "pj_per_effectual_mac": AMOUNT,
    "power_mw_per_pe": AMOUNT,
    "total_nj_per_vector": AMOUNT,
}
_TABLE = {
    "name": TEXT,
    "node_nm": COUNT,
    "sha256": TEXT,
    "given": Each({"event": TEXT, "default_pj": Maybe(AMOUNT), "given_pj": AMOUNT, "source": TEXT}, least=1),
    "changed": Each(TEXT),
    "default": Each(TEXT),
}
_STORAGE = {
    "bits": dict.fromkeys(PARTS, COUNT),
    "percent": dict.fromkeys(PARTS, AMOUNT),
    "total_bits": COUNT,
    "dense16_bits": COUNT,
    "compression_vs_dense32": AMOUNT,
    "compression_vs_dense16": AMOUNT,
}
_MEMORY = {"memory": TEXT, "needed": COUNT, "available": COUNT, "unit": TEXT, "passes": COUNT, "fits": FLAG}
_VERIFICATION = {
    "wrong_weights": COUNT,
    "wrong_inputs": COUNT,
    "outputs": COUNT,
    "wrong_outputs": COUNT,
    "saturated": COUNT,
    "error": AMOUNT,
    "bound": AMOUNT,
    "relative_error": Maybe(AMOUNT),
    "codebook_error": Maybe(AMOUNT),
    "rounding_error": Maybe(AMOUNT),
    "zeroed": COUNT,
    "inputs": COUNT,
    "saturated_inputs": COUNT,
    "ok": FLAG,
}
_FIGURES = {
    "n_vector": COUNT,
    "n_weight": COUNT,
    "cycles": COUNT,
    "time_us": AMOUNT,
    "time_us_per_vector": AMOUNT,
    "utilisation": AMOUNT,
    "load_balance": AMOUNT,
    "effectual_macs": COUNT,
    "dense_macs": COUNT,
    "effective_gops": AMOUNT,
    "dense_equivalent_gops": AMOUNT,
    "energy": _ENERGY,
    "storage": _STORAGE,
    "fits": FLAG,
    "passes": COUNT,
}
"""What a layer has, and all layers together."""

_LAYER = {
    **_FIGURES,
    "name": TEXT,
    "n_out": COUNT,
    "n_in": COUNT,
    "weights": TEXT,
    "inputs": TEXT,
    "synthetic": FLAG,
    "weight_density": AMOUNT,
    "activation_density": AMOUNT,
    "cycles_per_vector": {"mean": AMOUNT, "min": COUNT, "max": COUNT},
    "scales": dict.fromkeys(("weight", "activation", "accumulator"), NUMBER),
    "memories": Each(_MEMORY),
    "verification": _VERIFICATION,
}
_COVERAGE = {
    "weights_simulated": COUNT,
    "weights_not_simulated": COUNT,
    "share_not_simulated": AMOUNT,
    "numbers_looked_up": COUNT,
    "arrays_not_counted": COUNT,
}
_RUN = {
    "network": TEXT,
    "source": TEXT,
    "chained": FLAG,
    "synthetic": FLAG,
    "seed": COUNT,
    "engine": TEXT,
    "unit": TEXT,
    "config": Named(TEXT_OR_NUMBER),
    "config_hash": TEXT,
    "energy_table": Maybe(_TABLE),
    "versions": Named(TEXT),
    "accuracy": Maybe({"images": COUNT, "dense": Maybe(AMOUNT), "pruned": AMOUNT, "compressed": AMOUNT}),
    "end_to_end_error": Maybe(AMOUNT),
    "inputs": Named(TEXT),
    "not_simulated": Each({"name": TEXT, "reason": TEXT}),
    "coverage": Maybe(_COVERAGE),
    "verified": FLAG,
    "differs": Each(TEXT),
    "warnings": Each(TEXT),
}
"""What is relied on in a record of `eie-sim run`, but for layers and total."""


def layout(unit: Unit) -> dict[str, Any]:
    """All that is relied on in a record of a unit."""
    words = unit.words
    classes = words.classes.names()
    stats = {"events": dict.fromkeys(words.events.names(), COUNT), "classes": dict.fromkeys(classes, COUNT)}
    totals = {name: dict.fromkeys(total.names(), COUNT) for name, total in words.totals.items()}
    figures = _FIGURES | {"pe_cycles_percent": dict.fromkeys(classes, AMOUNT)}
    return {
        **_RUN,
        "layers": Each(_LAYER | figures | {"stats": stats | totals}, least=1),
        "total": {**figures, "cycles_per_vector": {"mean": AMOUNT}, "stats": stats},
    }


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a run folder, as `folder.write_run` has written it.

    Raises InputError, one line: where there is no run; where its record cannot be read, is no JSON, is of another
    version, or has not all that is relied on.
    """
    where = str(refused("run", folder, f"{RECORD} is damaged: "))
    record = _parsed(_text(folder), where)
    if not isinstance(record, dict):
        raise InputError(f"{where}must be an object")
    _require_version(folder, record, where)
    require_shape(record, {"unit": TEXT}, where)
    unit = unit_named(record["unit"])
    require_shape(record, layout(unit), where)
    _require_consistent(record, unit, where)
    return record


def _text(folder: Path) -> bytes:
    path = folder / RECORD
    try:
        require(folder.exists(), "run", folder, "no such folder or file")
        require(path.exists(), "run", folder, f"must be a folder of eie-sim run --out (no {RECORD} in it)")
        require(path.is_file(), "run", folder, f"{RECORD} in it must be an ordinary file")
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise refused("run", folder, f"cannot be read: {error.strerror or type(error).__name__}") from error
    require(len(text) <= MAX_BYTES, "run", folder, f"{RECORD} in it must be at most {MAX_BYTES:,} bytes")
    return text


def _parsed(text: bytes, where: str) -> Any:
    try:
        return json.loads(text.decode(), parse_constant=_never)
    except UnicodeDecodeError as error:
        raise InputError(f"{where}must be UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{where}line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # NaN, an integer of thousands of digits, brackets without end
        raise InputError(f"{where}must be JSON with finite numbers") from error


def _never(text: str) -> NoReturn:
    raise ValueError(text)


def _require_version(folder: Path, record: dict[str, Any], where: str) -> None:
    """A record has the fields of its version, which the numbers before the last dot tell apart."""
    require_shape(record, {"versions": Named(TEXT)}, where)
    theirs, ours = record["versions"].get("eie_sim", "an unknown version"), eie_sim.__version__
    rule = f"made by eie-sim {shown(theirs)}, this is {ours}: run again"
    if theirs.rpartition(".")[0] != ours.rpartition(".")[0]:
        raise refused("run", folder, rule)


def _require_consistent(record: dict[str, Any], unit: Unit, where: str) -> None:
    """What one part of a record says must be what another says."""
    alike = set(record["config"]) == {field.name for field in fields(unit.config)}
    require(alike, f"{where}config", len(record["config"]), "must have the fields of a design")
    try:
        unit.config(**record["config"])
    except InputError as error:
        raise InputError(f"{where}config.{error}") from error
    layers, total = record["layers"], record["total"]
    for at, layer in enumerate(layers):
        memories = [(one["memory"], one["unit"]) for one in layer["memories"]]
        alike = memories == [(one["memory"], one["unit"]) for one in layers[0]["memories"]]
        require(alike, f"{where}layers[{at}].memories", len(memories), "must be those of the first layer")
    for at, part in enumerate([*layers[1:], total], start=1):
        name = f"layers[{at}]" if at < len(layers) else "total"
        alike = set(part["energy"]["by_component_pj"]) == set(layers[0]["energy"]["by_component_pj"])
        require(alike, f"{where}{name}.energy", "other components", "must be those of the first layer")
    ok = all(layer["verification"]["ok"] for layer in layers)
    require(record["verified"] is ok, f"{where}verified", record["verified"], f"must be {ok}, as its layers have it")
