"""Paths, and files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from eie_sim.errors import refused, require


def as_path(field: str, value: Any) -> Path:
    """What somebody gave as a path. Raises InputError for what can be none."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    ok = isinstance(text, str) and text != "" and "\0" not in text and _has_bytes(text)
    require(ok, field, type(value).__name__ if text is None else repr(text), "must be a path")
    return Path(text)


def _has_bytes(name: str) -> bool:
    """False for half a character, which no file system takes."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def place_for(field: str, said: Path) -> Path:
    """The file to write, where `said` may be a link to it. Raises InputError for what is no place for a file."""
    try:
        file = Path(os.path.realpath(said))
        require(file.is_file() or not file.exists(), field, said, "must be an ordinary file, or new")
        require(file.parent.is_dir(), field, said, "must be in a folder that exists")
    except OSError as error:
        raise refused(field, said, f"cannot be written: {error.strerror}") from error
    return file


def write_whole(contents: dict[Path, bytes]) -> None:
    """Write files to temporary names beside them, then rename all, so that none is ever half there.

    Raises OSError; whatever was there before then stays, unless one of several files was renamed already.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary[path].chmod(0o644)
        for path, whole in temporary.items():
            whole.replace(path)
    except BaseException:
        for left in temporary.values():
            left.unlink(missing_ok=True)
        raise


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write bit by bit under a temporary name beside `path`; it gets its name when all is written.

    Raises OSError. Where anything fails, whatever was there before stays.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
