"""Timelines on disk: the suffix says which kind; a file is whole or not there."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from eie_sim.core.activity import Activity
from eie_sim.core.errors import any_of, refused
from eie_sim.core.files import as_path, place_for, system_errors, written_whole
from eie_sim.report.trace.chrome import write_chrome
from eie_sim.report.trace.waveform import require_writer, write_waveform

MAX_STEM = 100


class Kind(NamedTuple):
    """A kind of file: what is counted in it, how it is written, and a viewer."""

    counted: str
    write: Callable[[BinaryIO, Activity, int, int, dict[str, Any]], int]
    viewer: str


def _write_compressed(file: BinaryIO, *given: Any) -> int:
    """Without name and date, so that the same run has the same bytes."""
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        return write_chrome(packed, *given)  # type: ignore[arg-type]  # it writes bytes, which is all that is asked


PERFETTO = "the Perfetto UI (ui.perfetto.dev)"

KINDS = {
    ".json.gz": Kind("slices", _write_compressed, PERFETTO),
    ".json": Kind("slices", write_chrome, PERFETTO),
    ".vcd": Kind("changes", write_waveform, "a waveform viewer"),
}


def default_file(name: str) -> Path:
    """Return the file of a timeline if the user names none: in the current folder."""
    return Path(f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)[:MAX_STEM]}.trace.json.gz")


def kind_of(path: Path) -> Kind:
    """Raises InputError for a suffix that says nothing."""
    for suffix, kind in KINDS.items():
        if path.name.lower().endswith(suffix):
            return kind
    raise refused("out", path, f"must end in {any_of(KINDS)}")


def require_trace_file(path: str | os.PathLike[str]) -> None:
    """Raise InputError where `write_trace` could not write the file."""
    said = as_path("out", path)
    if kind_of(said).write is write_waveform:
        require_writer()
    place_for("out", said)


def write_trace(
    path: str | os.PathLike[str], activity: Activity, first: int, last: int, about: dict[str, Any]
) -> dict[str, Any]:
    """Write the cycles first..last, bit by bit. Returns `out`, its `viewer`, and in `written` a count by name.

    about : what ran, plain data, with `config`, `config_hash` and `versions`

    Raises InputError for a suffix that is none of KINDS, and where the file cannot be written.
    """
    require_trace_file(path)
    said = as_path("out", path)
    kind = kind_of(said)
    with system_errors("out", said, "written"), written_whole(place_for("out", said)) as file:
        count = kind.write(file, activity, first, last, about)
    return {"out": str(said), "viewer": kind.viewer, "written": {kind.counted: count}}
