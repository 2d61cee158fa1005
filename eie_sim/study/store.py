"""The store of a sweep: finished rows in a file that is only ever appended to, and that one run at a time may have.

A row is a line (`eie_sim.study.lines`), found by its key. What may happen to a store:

* **The run is killed.** Every row whose `append` came back is with the operating system and stays. Of rows on their way
  the last may be cut in the middle.
* **The power is cut.** What was appended since the last sync may be lost as well. The first `append` syncs, then each
  that comes more than SYNC_S seconds after the last sync, and `close`. So it is the rows of the last SYNC_S seconds;
  or, where no append came after them, those that the operating system held back itself, on Linux for about half a
  minute. A call of `sync` ends that wait. What was synced stays, as far as the drive keeps its word.
* **The disk is full.** Rows that were written whole stay, and the store can be opened again.

Opening a store puts it right. Lines that are no rows go to a file beside it, `PATH.damaged`, byte for byte, and one
without a line feed gets one; of a row that is there twice one goes. Rows are never changed. Damage at the end is cut
off in place; where there is some before it, the rows are written to a new file, which is then renamed. An opening that
is killed on the way leaves all rows, and the next puts the same lines aside again.
"""

from __future__ import annotations

import math
import os
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

from eie_sim.core.errors import refused, require, require_type
from eie_sim.core.files import as_path, keep_mode, open_own, place_for, require_own
from eie_sim.study.lines import MAX_LINE, Found, Run, key_of, scan
from eie_sim.study.locking import is_at, open_alone, sync_folder

SYNC_S = 5.0
"""Seconds after a sync in which no append makes another."""
BLOCK = 2**20


class Store:
    """An open store, for one thread. A context manager; the lock is held until `close`.

    path : as given
    damaged : lines that this opening put aside
    aside : the file they are in, beside the store itself where `path` is a link; None where there were none

    A process made by fork has its copy closed, so that the lock ends with the run that took it.
    """

    path: Path
    damaged: int
    aside: Path | None

    def __init__(self, path: str | os.PathLike[str]):
        """Take the store at `path`, made where it is missing, and put it right; links are followed.

        Raises InputError, one line: for what is no path, no ordinary file, or a file that is no store, which stays as
        it is; where another run has the store; where it cannot be read, repaired or written.
        """
        self.path = as_path("store", path)
        self._file = place_for("store", self.path)
        self._handle: int | None = _opened(self.path, self._file)
        self._synced_s = -math.inf
        self._unsynced = True  # a run before us may have been killed
        try:
            self._load()
        except BaseException:
            self._release()
            raise
        _open_stores.add(self)

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

    def line(self, key: str) -> str:
        """The row of a key as JSON text, as it was appended, without its line feed.

        Raises KeyError for a key that is not there; InputError where the store is closed or cannot be read.
        """
        number = self._rows[key]
        start, end = self._bounds[number : number + 2]
        with _said(self.path, "cannot be read"):
            line = b"".join(_blocks(self._held(), (start, end)))
        require(key_of(line) == key, "store", self.path, CHANGED)
        return line.decode().removesuffix("\n")

    def append(self, lines: Sequence[tuple[str, str]]) -> None:
        """Add rows, (key, JSON text) each, in one write. What has a key that is there already is left out.

        Once it returns, a kill of the process loses none of them. Raises InputError for a text that is no row of its
        key; where the store is closed, or was changed, moved or removed meanwhile; and where it cannot be written, as
        on a full disk: then the rows that were written whole count as there.
        """
        new: dict[str, bytes] = {}
        for key, text in lines:
            data = _encoded(key, text)
            if key not in self._rows:
                new.setdefault(key, data)
        handle = self._held()
        if not new:
            return
        with _said(self.path, "cannot be written"):
            unchanged = is_at(self._file, handle) and os.fstat(handle).st_size == self._bounds[-1]
            require(unchanged, "store", self.path, CHANGED)
            self._unsynced = True
            try:
                _write(handle, b"".join(new.values()))
            finally:
                self._count(handle, new)
        if time.monotonic() - self._synced_s > SYNC_S:
            self.sync()

    def sync(self) -> None:
        """Have all rows outlive a power cut. Raises InputError where the system cannot write them."""
        if self._handle is not None and self._unsynced:
            with _said(self.path, "cannot be written"):
                os.fsync(self._handle)
            self._unsynced = False
            self._synced_s = time.monotonic()

    def close(self) -> None:
        """Sync and let go of the store; again is fine. Raises InputError as `sync`, and lets go of it all the same."""
        try:
            self.sync()
        finally:
            self._release()

    def _load(self) -> None:
        handle = self._held()
        with _said(self.path, "cannot be read"):
            found = scan(handle)
        require(found.is_store, "store", self.path, "must be a store of an earlier sweep, or new")
        self.damaged, self.aside = found.n_damaged, None
        require_own("store", _beside(self._file))
        if found.damage:
            self.aside = self._file.with_name(f"{self._file.name}.damaged")
            with _said(self.path, f"damaged lines cannot be kept in {self.aside.name}"):
                _keep(handle, found.damage, self.aside)
        with _said(self.path, "cannot be repaired"):
            self._repair(handle, found)
        self._rows = found.rows
        self._bounds = array("q", accumulate(found.lengths, initial=0))

    def _repair(self, handle: int, found: Found) -> None:
        """Make the file its rows and nothing else."""
        end = sum(found.lengths)
        if found.kept not in ([], [(0, end)]):
            self._rewrite(handle, found)
        elif end < found.size:
            os.ftruncate(handle, end)
            os.fsync(handle)
        if found.size == 0:
            sync_folder(self._file.parent)  # the name of a new store

    def _rewrite(self, handle: int, found: Found) -> None:
        """Rename a file of the rows over the store. Nobody else gets it: it is locked before it has the name."""
        beside = _beside(self._file)
        beside.unlink(missing_ok=True)  # of a repair that was killed
        new = open_alone(beside, os.O_EXCL)
        try:
            keep_mode(new, os.fstat(handle))
            _copy(handle, found.kept, new)
            if sys.platform != "win32":
                beside.replace(self._file)
        except BaseException:
            os.close(new)
            beside.unlink(missing_ok=True)
            raise
        self._release()
        self._handle = new
        if sys.platform == "win32":  # it renames no open file, so that another run may be faster
            self._release()
            beside.replace(self._file)
            self._handle = open_alone(self._file)
            if os.fstat(self._handle).st_size != sum(found.lengths):
                raise BlockingIOError
        sync_folder(self._file.parent)

    def _count(self, handle: int, new: dict[str, bytes]) -> None:
        """Enter the rows that came to be in the file whole, and cut off what is left of one that did not."""
        size = os.fstat(handle).st_size
        for key, data in new.items():
            end = self._bounds[-1] + len(data)
            if end > size:
                break
            self._rows[key] = len(self._rows)
            self._bounds.append(end)
        if size > self._bounds[-1]:
            with suppress(OSError):  # then the next append refuses, and the next opening repairs
                os.ftruncate(handle, self._bounds[-1])

    def _held(self) -> int:
        if self._handle is None:
            raise refused("store", self.path, "is closed")
        return self._handle

    def _release(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


CHANGED = "was changed, moved or removed while in use; run again"

_open_stores: WeakSet[Store] = WeakSet()


def _release_in_child() -> None:
    for store in _open_stores:
        store._release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)


def _beside(file: Path) -> Path:
    """Where a store is written that is to be repaired."""
    return file.with_name(f".{file.name}.repair")


@contextmanager
def _said(path: Path, what: str) -> Iterator[None]:
    """Turn the system's own errors into one line about a store."""
    try:
        yield
    except BlockingIOError as error:
        raise refused("store", path, "is in use by another run; wait for it, or give another store") from error
    except OSError as error:
        raise refused("store", path, f"{what}: {error.strerror or type(error).__name__}") from error


def _opened(path: Path, file: Path) -> int:
    with _said(path, "cannot be opened"):
        return open_alone(file)


def _encoded(key: str, text: str) -> bytes:
    require_type("key", key, str)
    require_type("row", text, str)
    rule = f"must be one line of JSON that begins with its key, says its error, and has at most {MAX_LINE - 1} bytes"
    try:
        data = f"{text}\n".encode()
    except UnicodeEncodeError as error:  # half a character
        raise refused("row", key, rule) from error
    require(key_of(data) == key, "row", key, rule)
    return data


def _write(handle: int, data: bytes) -> None:
    """Write all of it: the system may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _blocks(handle: int, run: Run) -> Iterator[bytes]:
    """The bytes of a run, in blocks; fewer where the file ends before it."""
    start, end = run
    while start < end:
        os.lseek(handle, start, os.SEEK_SET)
        block = os.read(handle, min(BLOCK, end - start))
        if not block:
            return
        yield block
        start += len(block)


def _keep(handle: int, damage: list[Run], aside: Path) -> None:
    """Append damage to a file, each run on lines of its own."""
    with os.fdopen(open_own("store", aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as out:
        for run in damage:
            block = b""
            for block in _blocks(handle, run):
                out.write(block)
            if not block.endswith(b"\n"):
                out.write(b"\n")
        out.flush()
        os.fsync(out.fileno())
    sync_folder(aside.parent)


def _copy(handle: int, kept: list[Run], new: int) -> None:
    """Write runs of one file to another, and have them outlive a power cut."""
    for run in kept:
        for block in _blocks(handle, run):
            _write(new, block)
    os.fsync(new)
