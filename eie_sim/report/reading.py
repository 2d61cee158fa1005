"""Read the record of a run folder, and let nothing through that a page or a figure would trip over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from eie_sim.core.arrays import one_line
from eie_sim.core.errors import InputError, refused, require
from eie_sim.core.files import read_bytes, system_errors
from eie_sim.core.record import VERSION, Result
from eie_sim.core.verification import Verification
from eie_sim.report.folder import LAYERS, RECORD, layers_csv
from eie_sim.units import unit_named
from eie_sim.units.unit import Unit

MAX_BYTES = 2**26
"""Most bytes of a record; one of a thousand layers has a tenth of it."""


def read_run(folder: Path) -> dict[str, Any]:
    """The record of a run folder, as `folder.write_run` has written it.

    Raises InputError, one line: where there is no run; where its record cannot be read, is no JSON, is of another
    version, has not all that is relied on, or where the table beside it is of another run, as one whose writing was
    cut off between the two leaves it.
    """
    where = str(refused("run", folder, f"{RECORD} is damaged: "))
    with system_errors("run", folder, "read"):
        require(folder.exists(), "run", folder, "no such folder or file")
        require((folder / RECORD).exists(), "run", folder, f"must be a folder of eie-sim run --out (no {RECORD} in it)")
    text = read_bytes("run", folder / RECORD, MAX_BYTES)
    try:
        found = msgspec.json.decode(text, type=_Version).version
        if found != VERSION:
            again = f"eie-sim run NETWORK --out {folder}"
            rule = f"made by an eie-sim of record version {found or 1}, this one has {VERSION}: run again, {again}"
            raise refused("run", folder, rule)
        run = msgspec.json.decode(text, type=Result)
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$")
        raise InputError(f"{where}{field.strip('.`') or 'record'}: {what[0].lower()}{what[1:]}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}must be JSON with finite numbers: {one_line(error)}") from error
    record = run.to_dict()
    try:
        unit = unit_named(run.unit)
    except InputError as error:
        raise InputError(f"{where}{error}") from error
    _require_consistent(record, unit, where)
    layers = folder / LAYERS
    if layers.exists():
        same = read_bytes("run", layers, MAX_BYTES) == layers_csv(msgspec.json.decode(text)).encode()
        rule = f"of another run than {RECORD}, or changed: run again, or take it away"
        require(same, "run", layers, rule)
    return record


class _Version(msgspec.Struct):
    """Version of a record; those of version 1 have none."""

    version: int | None = None


def _require_consistent(record: dict[str, Any], unit: Unit, where: str) -> None:
    """Raise InputError if parts of a record contradict each other."""
    alike = set(record["config"]) == {field.name for field in fields(unit.config)}
    require(alike, f"{where}config", len(record["config"]), "must have the fields of a design")
    try:
        unit.config(**record["config"])
    except InputError as error:
        raise InputError(f"{where}config.{error}") from error
    words, parts = unit.words, [*record["layers"], record["total"]]
    first, others = parts[0], parts[1:]
    groups: dict[str, Any] = {"events": words.events, "classes": words.classes, **words.totals}
    names = {group: set(kind.names()) for group, kind in groups.items()}
    found = {group: set(totals) for group, totals in first["stats"].items()}
    require(found == names, f"{where}layers[0].stats", "other names", f"must be those of unit {unit.name}")
    shares = set(first["classes_percent"])
    require(shares == names["classes"], f"{where}layers[0].classes_percent", "other names", "must be the classes")
    for at, part in enumerate(others, start=1):
        name = f"layers[{at}]" if at < len(others) else "total"
        for field, of in _ALIKE.items():
            alike = field not in part or of(part[field]) == of(first[field])
            require(alike, f"{where}{name}.{field}", "other names", "must be those of the first layer")
    for at, layer in enumerate(record["layers"]):
        said = layer["verification"]
        right = Verification.of(**{name: value for name, value in said.items() if name != "ok"}).ok
        require(said["ok"] is right, f"{where}layers[{at}].verification.ok", said["ok"], f"must be {right}")
    ok = all(layer["verification"]["ok"] for layer in record["layers"])
    require(record["verified"] is ok, f"{where}verified", record["verified"], f"must be {ok}, as its layers have it")


_ALIKE: dict[str, Callable[[Any], Any]] = {
    "stats": lambda stats: {group: set(totals) for group, totals in stats.items()},
    "classes_percent": set,
    "energy": lambda energy: set(energy["by_component_pj"]),
    "storage": lambda storage: (set(storage["bits"]), set(storage["percent"])),
    "scales": set,
    "named": set,
    "memories": lambda memories: [(one["memory"], one["unit"]) for one in memories],
}
"""Fields whose names must be the same in all layers, and in the total if it has them."""
