"""The one door to files: whether one may be read or written, and files that are whole or not there.

A file that the user names may be a link, which is followed. A name that we choose, such as `report.html` in a
run folder, is taken from nobody: whoever made the folder may have put a link, a second name of a file or a pipe there.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from eie_sim.core.errors import refused, require

BINARY = getattr(os, "O_BINARY", 0)  # Windows would write line feeds as two bytes
UNFOLLOWED = BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags to open a file with: no link is followed and no pipe waited for."""


def as_path(field: str, value: Any) -> Path:
    """Return what the user gave as a path. Raises InputError if it cannot be one."""
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


@contextmanager
def system_errors(field: str, path: object, doing: str) -> Iterator[None]:
    """Turn the system's errors into InputError: `out=run: cannot be written: No space left on device`.

    doing : written, read or another such word
    """
    try:
        yield
    except OSError as error:
        raise refused(field, path, f"cannot be {doing}: {error.strerror or type(error).__name__}") from error


def require_readable(field: str, path: Path) -> None:
    """Raise InputError unless an ordinary file is there: a pipe or device may never end."""
    with system_errors(field, path, "read"):
        require(path.exists(), field, path, "no such file")
        require(path.is_file(), field, path, "must be an ordinary file")


def read_bytes(field: str, given: Any, most: int) -> bytes:
    """Return what is in a file of at most `most` bytes. Raises InputError where it cannot be had, or is larger."""
    path = as_path(field, given)
    require_readable(field, path)
    with system_errors(field, path, "read"), path.open("rb") as stream:
        data = stream.read(most + 1)
    require(len(data) <= most, field, path, f"must be at most {most:,} bytes")
    return data


def read_text(field: str, given: Any, most: int) -> str:
    """Return the text of a file of at most `most` bytes. Raises InputError as `read_bytes`, and if it is no UTF-8."""
    data = read_bytes(field, given, most)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refused(field, given, f"must be UTF-8 text: line {line} is not") from error


def place_for(field: str, given: Any, *, replaced: bool = True) -> Path:
    """Return the file to write, where `given` may be a link to it. Raises InputError where no file can be written.

    replaced : a new file takes the place of one that is there; else that one is written to
    """
    said = as_path(field, given)
    with system_errors(field, said, "written"):
        file = Path(os.path.realpath(said))
        new = not (file.exists() or file.is_symlink())  # a link to itself leads nowhere
        require(new or file.is_file(), field, said, "must be an ordinary file, or new")
        require(file.parent.is_dir(), field, said, "must be in a folder that exists")
        free = not (new or replaced) or os.access(file.parent, os.W_OK)
        require(free, field, said, "must be in a folder that can be written to")
    return file


def require_folder(field: str, given: Any) -> None:
    """Raise InputError unless a folder is there, or a new one can be made in one that is."""
    said = as_path(field, given)
    with system_errors(field, said, "written"):
        ok = said.is_dir() or (not said.exists() and said.parent.is_dir())
        require(ok, field, said, "must be a folder, or new in a folder that exists")


def require_ours(field: str, path: Path, kind: str, ours: bool) -> None:
    """Raise InputError, so that nothing else is written over, where something is there that is not `kind`."""
    require(ours, field, path, f"must be new, or {kind}; something else is there and stays as it is")


def require_own(field: str, path: Path) -> None:
    """Raise InputError unless a name that we chose is free or an ordinary file, this user's, with no other name."""
    with system_errors(field, path, "written"):
        try:
            status = path.lstat()
        except FileNotFoundError:
            return
    ours = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    ok = stat.S_ISREG(status.st_mode) and status.st_nlink <= 1 and ours
    require(ok, field, path, "must be an ordinary file of yours with no other name, or new")


def write_file(field: str, given: Any, data: bytes) -> None:
    """Write a file where `place_for` allows one, whole or not at all. Raises InputError where it cannot be written."""
    file = place_for(field, given)
    with system_errors(field, given, "written"):
        write_whole({file: data})


def write_whole(contents: dict[Path, bytes]) -> None:
    """Write files to temporary names beside them, then rename all, so that none is ever half there.

    A new file has the permissions that the umask leaves, another keeps its own; a link is replaced, not followed.
    Raises OSError; whatever was there before then stays, unless one of several files was renamed already.
    """
    temporary = {path: _beside(path) for path in contents}
    try:
        for path, content in contents.items():
            with _created(temporary[path], path) as file:
                file.write(content)
                _sync(file)
        for path, whole in temporary.items():
            whole.replace(path)
    except BaseException:
        for left in temporary.values():
            left.unlink(missing_ok=True)
        raise


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write bit by bit as `write_whole` does; it gets its name when all is written. Raises OSError."""
    temporary = _beside(path)
    try:
        with _created(temporary, path) as file:
            yield file
            _sync(file)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    """A name that nobody has, known before there is a file, so that whatever ends the writing takes it away."""
    return path.parent / f".{path.name}.{secrets.token_hex(8)}"


def _created(temporary: Path, path: Path) -> BinaryIO:
    """A new file under a temporary name, with the permissions that `path` is to have."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        return temporary.open("xb")
    file = open(temporary, "xb", opener=partial(os.open, mode=status.st_mode & 0o777))  # noqa: SIM115  who asked closes
    keep_mode(file.fileno(), status)
    return file


def keep_mode(handle: int, status: os.stat_result) -> None:
    """Give an open file the permissions of another, where the system can."""
    if os.chmod in os.supports_fd:
        with suppress(OSError):
            os.chmod(handle, status.st_mode & 0o777)


def _sync(file: BinaryIO) -> None:
    """Have what was written outlive a power cut."""
    file.flush()
    os.fsync(file.fileno())


MAX_TRIES = 100
"""To lock a file that others keep replacing."""

LOCKED_AT = 2**31 - 2
"""The byte that is locked on Windows, where nobody can read a locked byte."""


def open_alone(path: Path) -> int:
    """Open a file to read it and append to it, made where it is missing, that nobody else has opened this way.

    The lock is on the file itself and ends with the process, however that ends. Raises BlockingIOError where somebody
    else has it, and OSError where the file cannot be opened or locked.
    """
    for _ in range(MAX_TRIES):
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | UNFOLLOWED, 0o666)
        try:
            _lock(handle)
            if is_at(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # somebody renamed another file over it before we locked it
    raise BlockingIOError


def is_at(path: Path, handle: int) -> bool:
    """True where an open file is the one that the path names. Raises OSError."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power cut, where the system can do that."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, LOCKED_AT, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
