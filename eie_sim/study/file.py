"""A study that is kept: the TOML file that says which workload to sweep over which axes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eie_sim.core.errors import (
    InputError,
    is_number,
    refused,
    require,
    require_int,
    require_seed,
    require_type,
    unknown,
)
from eie_sim.study.axes import values_of

MAX_BYTES = 2**20
MOST_PARTS = 100
"""Of a dotted key; the reader of TOML takes the square of it in time."""

KEYS = ("workload", "seed", "activations", "activation_density", "verify", "store", "grid", "points", "search")
SEARCH_KEYS = ("objectives", "trials")


def read_study(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A study from a TOML file, every key there, with its default where the file leaves it out.

    workload : a preset's name, or the path of a file
    seed : 0
    activations : path of a file, or None
    activation_density : fraction of drawn inputs that are not zero, or None
    verify : False
    store : path of the file that keeps the points, or None
    grid : values of each axis, all of whose combinations are run; a dict of tuples, {} for none
    points : single points besides; a tuple of dicts from axis to value
    search : objectives (a tuple of names) and trials (a number, or None), or None for no search

    Paths in the file are relative to its folder. Raises InputError with the file's name for a file that is missing,
    damaged (with the line) or none, and for keys and values that are wrong.
    """
    require_type("study", path, str, os.PathLike)
    file = Path(path)
    with _about(file):
        found = _parsed(_text(file))
        _require_keys(found, KEYS)
        return _study(found, file.parent)


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Put the file's name before whatever is wrong with it."""
    name = path.name if path.name.isprintable() else repr(path.name)
    try:
        yield
    except InputError as error:
        raise InputError(f"{name or path}: {error}") from None
    except OSError as error:
        raise InputError(f"{name or path}: cannot be read ({error.strerror or 'the system refuses'})") from None


def _text(path: Path) -> str:
    """The text of an ordinary file of at most MAX_BYTES."""
    _require_ordinary(path)
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    require(len(data) <= MAX_BYTES, "size", f"more than {MAX_BYTES}", f"must be at most {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refused("line", line, "must be UTF-8 text") from None


def _require_ordinary(path: Path) -> None:
    """Before it is opened: a pipe would never end."""
    try:
        there, folder, ordinary = path.exists(), path.is_dir(), path.is_file()
    except (OSError, ValueError):  # names no file can have
        there = folder = ordinary = False
    require(there, "study", "missing", "must be an existing file")
    require(ordinary, "study", "a folder" if folder else "a pipe or device", "must be an ordinary file")


def _parsed(text: str) -> dict[str, Any]:
    lines = text.split("\n")
    for at, line in enumerate(lines, start=1):
        for key in re.split(r"[][,={}#]", line):
            parts = sum(1 for part in key.split(".") if part.strip())
            require(parts <= MOST_PARTS, "line", at, f"must have keys of at most {MOST_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error).replace("at end of document", f"at the end, line {len(lines)}")
        raise InputError(f"no TOML: {said}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        raise InputError("no TOML that can be read: its numbers or lists are beyond any bounds") from None


def _study(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    require("workload" in found, "workload", "missing", "must be a preset or a file")
    require("grid" in found or "points" in found, "grid", "missing", "must be there, or [[points]], to say what to run")
    given = {name: _word(name, found[name]) for name in ("workload", "activations", "store") if name in found}
    study = {
        "workload": _workload(given["workload"], folder),
        "seed": found.get("seed", 0),
        "activations": _beside(folder, given.get("activations")),
        "activation_density": found.get("activation_density"),
        "verify": found.get("verify", False),
        "store": _within_folder(folder, given.get("store")),
        "grid": _grid(found.get("grid", {})),
        "points": _points(found.get("points", [])),
        "search": _search(found["search"]) if "search" in found else None,
    }
    require_seed(study["seed"])
    require_type("verify", study["verify"], bool)
    density = study["activation_density"]
    if density is not None:
        require(is_number(density) and 0 <= density <= 1, "activation_density", density, "must be in 0..1")
        require(study["activations"] is None, "activation_density", density, "must be left out beside activations")
    return study


def _workload(named: str, folder: Path) -> str:
    """A bare word is a preset; what has a suffix or a folder is a file."""
    path = Path(named)
    return named if path.name == named and not path.suffix else str(folder / path)


def _beside(folder: Path, named: str | None) -> str | None:
    return None if named is None else str(folder / named)


def _within_folder(folder: Path, named: str | None) -> str | None:
    """Where a study is written to: never elsewhere, whoever wrote the study."""
    if named is None:
        return None
    place = os.path.realpath(folder / named)  # links are followed
    inside = ".." not in Path(named).parts and Path(place).is_relative_to(os.path.realpath(folder))
    require(inside, "store", _said(named), "must be within the study's folder; only --store may name another")
    return str(folder / named)


def _word(key: str, value: Any) -> str:
    ok = isinstance(value, str) and value != "" and value.isprintable()
    require(ok, key, _said(value), "must be text, not empty, on one line")
    return str(value)


def _grid(table: Any) -> dict[str, tuple[Any, ...]]:
    _require_table("grid", table)
    with _within("[grid]"):
        return {axis: values_of(axis, value) for axis, value in table.items()}


def _points(tables: Any) -> tuple[dict[str, Any], ...]:
    require(isinstance(tables, list), "points", _said(tables), "must be tables, [[points]]")
    return tuple(_point(at, table) for at, table in enumerate(tables, start=1))


def _point(at: int, table: Any) -> dict[str, Any]:
    _require_table(f"[[points]] {at}", table)
    with _within(f"[[points]] {at}"):
        return {axis: _single(axis, value) for axis, value in table.items()}


def _single(axis: str, value: Any) -> Any:
    values = values_of(axis, value)
    require(len(values) == 1, axis, value, "must be a single value in a point")
    return values[0]


def _search(table: Any) -> dict[str, Any]:
    _require_table("search", table)
    with _within("[search]"):
        _require_keys(table, SEARCH_KEYS)
        objectives, trials = table.get("objectives", []), table.get("trials")
        named = isinstance(objectives, list) and all(isinstance(each, str) for each in objectives) and objectives
        require(bool(named), "objectives", _said(objectives), "must be a list of names")
        if trials is not None:
            require_int("trials", trials, 1)
        return {"objectives": tuple(objectives), "trials": trials}


@contextmanager
def _within(table: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{table} {error}") from None


def _require_keys(found: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in found:
        if key not in known:
            raise unknown("key", key, known)


def _require_table(name: str, value: Any) -> None:
    require(isinstance(value, dict), name, _said(value), "must be a table")


def _said(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else type(value).__name__
