"""The store of a sweep: finished rows in a file that is only ever appended to, and that one run at a time may have.

A row is one JSON object on a line that has its key, 32 lower-case hex digits, and its error, null or a text. What may
happen to a store:

* **The run is killed.** Every row whose `append` came back is with the operating system and stays. Of rows on their way
  the last may be cut in the middle; the next opening drops that piece.
* **The power is cut.** What was appended since the last sync may be lost as well. The first `append` syncs, then each
  that comes more than SYNC_S seconds after the last sync, and `close`. So it is the rows of the last SYNC_S seconds;
  or, where no append came after them, those that the operating system held back itself, on Linux for about half a
  minute. A call of `sync` ends that wait. What was synced stays, as far as the drive keeps its word.
* **The disk is full.** Rows that were written whole stay, and the store can be opened again.
* **Somebody edits it.** Lines that are no rows, and rows whose key another has before them, stay where they are and are
  left out and counted. A row is never changed.
"""

from __future__ import annotations

import math
import os
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self
from weakref import WeakSet

import msgspec

from eie_sim.core.errors import refused, require
from eie_sim.core.files import as_path, is_at, open_alone, place_for, sync_folder, system_errors

SYNC_S = 5.0
"""Seconds after a sync in which no append makes another."""
MAX_LINE = 2**16
"""Bytes of a row, its line feed included."""
MAX_FOREIGN = 2**26
"""Bytes in which a store must have a row: no larger file is read to its end to learn that it is none."""

KEY = re.compile("[0-9a-f]{32}")
HEAD = b'{"key":"'
CHANGED = "was changed, moved or removed while in use; run again"

_decode = msgspec.json.Decoder().decode


def row_of(line: bytes) -> dict[str, Any] | None:
    """The row of a line, its line feed included; None for a line that is none."""
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    keyed = isinstance(row, dict) and isinstance(row.get("key"), str) and KEY.fullmatch(row["key"]) is not None
    ok = keyed and isinstance(row.get("error", 0), str | None) and line.endswith(b"\n") and len(line) <= MAX_LINE
    return row if ok else None


def pieces(stream: IO[bytes]) -> Iterator[tuple[bytes, dict[str, Any] | None, bool]]:
    """The lines of a file, at most MAX_LINE bytes at a time: each with its row, and whether it is inside a line.

    What goes on in a line that is too long is no row.
    """
    inside = False
    while line := stream.readline(MAX_LINE):
        yield line, None if inside else row_of(line), inside
        inside = not line.endswith(b"\n")


class Found(NamedTuple):
    """The content of a store's file.

    rows : place of each row in `starts` and `lengths`, bytes, by key; damaged : lines that are left out
    end : bytes up to a last line that was cut off, or all; unended : whether the last of these has no line feed
    is_store : False where there is something in the file but no row, unless a first write, cut off, may have left it
    """

    rows: dict[str, int]
    starts: array[int]
    lengths: array[int]
    damaged: int
    end: int
    unended: bool
    is_store: bool


def scan(handle: int) -> Found:
    """Read an open file from its beginning, at most MAX_LINE bytes at a time. Raises OSError."""
    rows: dict[str, int] = {}
    starts, lengths = array("q"), array("q")
    damaged = at = 0
    last = b""
    os.lseek(handle, 0, os.SEEK_SET)
    with os.fdopen(handle, "rb", closefd=False) as stream:
        for line, row, inside in pieces(stream):
            if row is not None and row["key"] not in rows:
                rows[row["key"]] = len(starts)
                starts.append(at)
                lengths.append(len(line))
            elif not inside:
                damaged += row is None or not _repeats(stream, starts[rows[row["key"]]], line)
            last, at = line, at + len(line)
            if not rows and at > MAX_FOREIGN:
                break
    first = last[: len(HEAD)].replace(b": ", b":")
    unended = last != b"" and not last.endswith(b"\n")
    cut = unended and (HEAD.startswith(first) or not last.strip(b"\0"))  # the beginning of a row, or NULs
    end = at - len(last) if cut else at
    return Found(rows, starts, lengths, damaged, end, unended and not cut, bool(rows) or end == 0)


def _repeats(stream: IO[bytes], start: int, line: bytes) -> bool:
    """True where `line` is also at `start`; the stream stays where it is."""
    here = stream.tell()
    stream.seek(start)
    same = stream.read(len(line)) == line
    stream.seek(here)
    return same


class Store:
    """An open store, for one thread. A context manager; the lock is held until `close`.

    path : as given
    damaged : lines that are left out, one that was cut off and dropped among them

    A process made by fork has its copy closed, so that the lock ends with the run that took it.
    """

    path: Path
    damaged: int

    def __init__(self, path: str | os.PathLike[str]):
        """Take the store at `path`, made where it is missing; links are followed.

        Raises InputError, one line: for what is no path, no ordinary file, or a file that is no store, which stays as
        it is; where another run has the store; where it cannot be read or written.
        """
        self.path = as_path("store", path)
        self._file = place_for("store", path, replaced=False)
        with _said(self.path, "opened"):
            self._handle: int | None = open_alone(self._file)
        try:
            self._load()
        except BaseException:
            self._release()
            raise
        self._synced_s = -math.inf
        self._unsynced = True  # a run before us may have been killed
        _open_stores.add(self)

    def _load(self) -> None:
        handle = self._held()
        with _said(self.path, "read"):
            found = scan(handle)
            size = os.fstat(handle).st_size
        require(found.is_store, "store", self.path, "must be a store of an earlier sweep, or new")
        self._rows, self._starts, self._lengths, self.damaged = found[:4]
        self._end = found.end
        with _said(self.path, "repaired"):
            if found.end < size:
                os.ftruncate(handle, found.end)
            elif found.unended:  # a line of somebody else's, which stays
                self._end += os.write(handle, b"\n")
            if size == 0:
                sync_folder(self._file.parent)  # the name of a new store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        """Keys, in the order of the file."""
        return iter(self._rows)

    def line(self, key: str) -> bytes:
        """The row of a key, as it was appended.

        Raises KeyError for a key that is not there; InputError where the store is closed, changed or cannot be read.
        """
        place = self._rows[key]
        with _said(self.path, "read"):
            os.lseek(self._held(), self._starts[place], os.SEEK_SET)
            line = os.read(self._held(), self._lengths[place])
        row = row_of(line)
        require(row is not None and row["key"] == key, "store", self.path, CHANGED)
        return line

    def append(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """Add rows, (key, JSON with its line feed) each, in one write. What has a key that is there is left out.

        Once it returns, a kill of the process loses none of them. Raises InputError where the store is closed, or was
        changed, moved or removed meanwhile; and where it cannot be written, as on a full disk: then the rows that were
        written whole count as there.
        """
        new: dict[str, bytes] = {}
        for key, line in rows:
            if key not in self._rows:
                new.setdefault(key, line)
        handle = self._held()
        if not new:
            return
        with _said(self.path, "written"):
            unchanged = is_at(self._file, handle) and os.fstat(handle).st_size == self._end
            require(unchanged, "store", self.path, CHANGED)
            self._unsynced = True
            try:
                rest = memoryview(b"".join(new.values()))
                while rest:
                    rest = rest[os.write(handle, rest) :]
            finally:
                size = os.fstat(handle).st_size
                for key, line in new.items():
                    if self._end + len(line) > size:
                        break
                    self._rows[key] = len(self._starts)
                    self._starts.append(self._end)
                    self._lengths.append(len(line))
                    self._end += len(line)
                if size > self._end:
                    with suppress(OSError):  # then the next append refuses, and the next opening drops it
                        os.ftruncate(handle, self._end)
        if time.monotonic() - self._synced_s > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Have all rows outlive a power cut. Raises InputError where the system cannot write them."""
        if self._handle is not None and self._unsynced:
            with _said(self.path, "written"):
                os.fsync(self._handle)
            self._unsynced = False
            self._synced_s = time.monotonic()

    def close(self) -> None:
        """Sync and let go of the store; again is fine. Raises InputError as `sync`, and lets go of it all the same."""
        try:
            self.sync()
        finally:
            self._release()

    def _held(self) -> int:
        if self._handle is None:
            raise refused("store", self.path, "is closed")
        return self._handle

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


_open_stores: WeakSet[Store] = WeakSet()


def _release_in_child() -> None:
    for store in _open_stores:
        store._release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


@contextmanager
def _said(path: Path, doing: str) -> Iterator[None]:
    """Turn the system's own errors into one line about a store."""
    with system_errors("store", path, doing):
        try:
            yield
        except BlockingIOError as error:
            raise refused("store", path, "is in use by another run; wait for it, or give another store") from error
