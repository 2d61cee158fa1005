"""A study that is kept: the TOML file that says which workload to sweep over which axes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eie_sim.core.arrays import require_fraction
from eie_sim.core.errors import InputError, require, require_int, require_seed, require_type, unknown
from eie_sim.core.files import as_path, read_text
from eie_sim.study.axes import values_of

MAX_STUDY_BYTES = 2**20
"""Most bytes of a study, which is written by hand."""
MAX_KEY_PARTS = 100
"""Most parts of a dotted key; the reader of TOML takes the square of it in time."""

Read = Callable[[str, Any, Path], Any]  # (key, what the file says, the file's folder) -> what the study has


def read_study(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A study from a TOML file, as a dict that has every key; what the file leaves out is None but where said.

    workload : a preset's name, or the path of a file
    activations, energy_table, store, inputs, calibration, labels : paths of files
    shapes : of inputs of an ONNX file that are drawn, a table of lists by name
    seed, activation_density, verify : as `run` takes them; 0, None and False where left out
    grid : values of each axis, all of whose combinations are run; a dict of tuples, {} where left out
    points : single points besides; a tuple of dicts from axis to value, () where left out
    search : objectives, a tuple of names, and trials, a number or None

    Paths in the file are relative to its folder. Raises InputError with the file's name for a file that is missing,
    damaged (with the line) or none, and for keys and values that are wrong.
    """
    file = as_path("study", path)
    text = read_text("study", file, MAX_STUDY_BYTES)
    name = file.name if file.name.isprintable() else repr(file.name)
    with _within(f"{name}:"):
        table = _parsed(text)
        study = _read({"seed": 0, "verify": False, "grid": {}, "points": [], **table}, _KEYS, file.parent)
        require("workload" in table, "workload", "missing", "must be a preset or a file")
        rule = "must be there, or [[points]], to say what to run"
        require("grid" in table or "points" in table, "grid", "missing", rule)
        density, alone = study["activation_density"], study["activations"] is None
        require(alone or density is None, "activation_density", density, "must be left out beside activations")
    return study


@contextmanager
def _within(place: str) -> Iterator[None]:
    """Put the name of a file or table before whatever is wrong in it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{place} {error}") from None


def _parsed(text: str) -> dict[str, Any]:
    lines = text.split("\n")
    for at, line in enumerate(lines, start=1):
        for key in re.split(r"[][,={}#]", line):
            parts = sum(1 for part in key.split(".") if part.strip())
            require(parts <= MAX_KEY_PARTS, "line", at, f"must have keys of at most {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error).replace("at end of document", f"at the end, line {len(lines)}")
        raise InputError(f"no TOML: {said}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists in lists
        raise InputError("no TOML that can be read: its numbers or lists are beyond any bounds") from None


def _read(table: Mapping[str, Any], keys: Mapping[str, Read], folder: Path) -> dict[str, Any]:
    """Return the value of each key of a table, None where the table does not have it."""
    for key in table:
        if key not in keys:
            raise unknown("key", key, keys)
    return {key: read(key, table[key], folder) if key in table else None for key, read in keys.items()}


def _value_or_type(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else type(value).__name__


def _checked(check: Callable[[str, Any], object]) -> Read:
    """A value as it is, where `check` raises nothing."""

    def read(key: str, value: Any, folder: Path) -> Any:
        check(key, value)
        return value

    return read


def _path(key: str, value: Any, folder: Path) -> str:
    ok = isinstance(value, str) and value != "" and value.isprintable()
    require(ok, key, _value_or_type(value), "must be text, not empty, on one line")
    return str(folder / value)


def _workload(key: str, value: Any, folder: Path) -> str:
    """A bare word is a preset; what has a suffix or a folder is a file."""
    place = _path(key, value, folder)
    return str(value) if Path(value).name == value and not Path(value).suffix else place


def _store(key: str, value: Any, folder: Path) -> str:
    """Return the path of the store: never outside the study's folder, whoever wrote the study."""
    place = _path(key, value, folder)
    inside = Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))  # links are followed
    rule = "must be within the study's folder; only --store may name another"
    require(inside and ".." not in Path(value).parts, key, value, rule)
    return place


@contextmanager
def _table(key: str, value: Any) -> Iterator[dict[str, Any]]:
    """A table, and its name before whatever is wrong in it."""
    require(isinstance(value, dict), key, _value_or_type(value), "must be a table")
    with _within(key if key.startswith("[") else f"[{key}]"):
        yield value


def _grid(key: str, value: Any, folder: Path) -> dict[str, tuple[Any, ...]]:
    with _table(key, value) as table:
        return {axis: values_of(axis, given) for axis, given in table.items()}


def _points(key: str, value: Any, folder: Path) -> tuple[dict[str, Any], ...]:
    require(isinstance(value, list), key, _value_or_type(value), "must be tables, [[points]]")
    points = [(table, _grid(f"[[points]] {at}", table, folder)) for at, table in enumerate(value, start=1)]
    for at, (table, values) in enumerate(points, start=1):
        for axis, (_, *more) in values.items():
            require(not more, f"[[points]] {at} {axis}", table[axis], "must be a single value in a point")
    return tuple({axis: one for axis, (one,) in values.items()} for _, values in points)


def _search(key: str, value: Any, folder: Path) -> dict[str, Any]:
    with _table(key, value) as table:
        return _read({"objectives": [], **table}, _SEARCH_KEYS, folder)


def _shapes(key: str, value: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    with _table(key, value) as table:
        for name, sides in table.items():
            whole = isinstance(sides, list) and all(isinstance(side, int) and side > 0 for side in sides)
            require(whole, name, _value_or_type(sides), "must be a list of sides, as [1, 3, 224, 224]")
        return {name: tuple(sides) for name, sides in table.items()}


def _objectives(key: str, value: Any, folder: Path) -> tuple[str, ...]:
    named = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
    require(bool(named), key, _value_or_type(value), "must be a list of names")
    return tuple(value)


_KEYS: dict[str, Read] = {
    "workload": _workload,
    "seed": _checked(lambda key, value: require_seed(value)),
    "inputs": _path,
    "shapes": _shapes,
    "calibration": _path,
    "labels": _path,
    "activations": _path,
    "activation_density": _checked(require_fraction),
    "verify": _checked(lambda key, value: require_type(key, value, bool)),
    "energy_table": _path,
    "store": _store,
    "grid": _grid,
    "points": _points,
    "search": _search,
}
_SEARCH_KEYS: dict[str, Read] = {
    "objectives": _objectives,
    "trials": _checked(lambda key, value: require_int(key, value, 1)),
}
