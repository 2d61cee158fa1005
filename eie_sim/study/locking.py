"""Files that one run at a time may open."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from eie_sim.core.files import UNFOLLOWED

MAX_TRIES = 100
LOCKED_AT = 2**31 - 2
"""The byte that is locked on Windows, where nobody can read a locked byte."""


def open_alone(path: Path, flags: int = 0) -> int:
    """Open a file to read it and append to it, made where it is missing, that nobody else has opened this way.

    The lock is on the file itself and ends with the process, however that ends. Raises BlockingIOError where somebody
    else has it, and OSError where the file cannot be opened or locked.
    """
    for _ in range(MAX_TRIES):
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | UNFOLLOWED | flags, 0o666)
        try:
            _lock(handle)
            if is_at(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # another run renamed a repaired file over it before we locked it
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
