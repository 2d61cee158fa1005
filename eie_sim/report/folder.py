"""Run folders: a run's record as JSON, its layers as CSV, and the user's energies, the same bytes for the same run.

Runs that end at the same time take turns, so a folder holds the files of one run, of the one that ended last.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert

from eie_sim.core.errors import InvariantError, require
from eie_sim.core.files import require_ours, require_own, system_errors, write_whole
from eie_sim.core.record import Result
from eie_sim.core.spreadsheet import csv_text
from eie_sim.energy.table import entries_csv

RECORD = "run.json"
LAYERS = "layers.csv"
REPORT = "report.html"
ENERGIES = "energy_table.csv"
"""File of the energies that the user gave, which repeats the run; absent if all were default."""


def require_run_folder(folder: Path) -> None:
    """Raise InputError where `folder` is no folder, or holds something other than a run."""
    with system_errors("out", folder, "written"):
        if not folder.exists():
            return
        require(folder.is_dir(), "out", folder, "must be a folder, or new")
        for name in (RECORD, LAYERS, ENERGIES):
            require_own("out", folder / name)
        ours = (folder / RECORD).exists() or all(_is_ours(path.name) for path in folder.iterdir())
    require_ours("out", folder, f"an empty folder, or an earlier run (with {RECORD} in it)", ours)


def write_run(folder: Path, record: dict[str, Any]) -> list[Path]:
    """Write run.json, layers.csv and, of a run with an energy table, energy_table.csv: all whole or none of them.

    Takes away the energy table of an earlier run. Returns the paths.

    Raises InputError where the folder holds something other than a run.
    """
    require_run_folder(folder)
    try:
        convert(record, Result)
    except ValidationError as error:  # a unit of another package can count what nothing can be
        raise InvariantError(f"broken invariant: record: {error}; please report this to who wrote the unit") from error
    texts = {folder / LAYERS: layers_csv(record), folder / RECORD: json.dumps(record, indent=2, allow_nan=False) + "\n"}
    trace = record["energy_table"]
    if trace is not None:
        entries = ((one["event"], one["given_pj"], one["source"]) for one in trace["given"])
        texts[folder / ENERGIES] = entries_csv(entries)  # after the record, by which the folder is known as a run's
    with system_errors("out", folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            write_whole({path: text.encode() for path, text in texts.items()})
            if trace is None:
                (folder / ENERGIES).unlink(missing_ok=True)
    return list(texts)


def _is_ours(name: str) -> bool:
    """True for what is left of a run that was cut off before its record was there, and of a report."""
    return name in (LAYERS, REPORT) or name.startswith(
        tuple(f".{each}." for each in (LAYERS, RECORD, REPORT, ENERGIES))
    )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other run writes into the folder; where the system locks no folders, go on at once."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network drives
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def layers_csv(record: dict[str, Any]) -> str:
    """One row per layer; nested figures have dotted names."""
    rows = [dict(_flat(layer)) for layer in record["layers"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text([names, *([row.get(name) for name in names] for row in rows)])


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _flat(inner, f"{name}.{key}" if name else key)]
    if isinstance(value, list):
        if not all(isinstance(inner, dict) for inner in value):  # a tile
            return [(name, "x".join(map(str, value)))]
        return [pair for inner in value for pair in _flat(inner, f"{name}.{inner['memory']}")]
    return [(name, value)]
