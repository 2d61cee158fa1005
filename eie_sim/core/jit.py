"""One way to compile kernels: cached on disk, in a folder named by a hash of the package's sources.

Numba keys a cached kernel by the file that defines it only. A kernel that calls another module's keeps running the old
code of that module after an edit, so every edit of the package gets a cache folder of its own. The same goes for
`NUMBA_BOUNDSCHECK`, which numba ignores when the cache is warm.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core import caching, config

SHARED = stat.S_IWGRP | stat.S_IWOTH

numba_config: Any = config  # its settings are made at run time
numba_caching: Any = caching  # it comes without types


def source_hash(package: Path) -> str:
    """First 16 hex digits of a hash over every `.py` file below `package`, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Return the folder of this version's compiled kernels: it exists, is writable, and nobody else may write to it.

    None where that fails, or where somebody else than we or root may write around it.
    """
    bounds = "-bounds" if numba_config.BOUNDSCHECK else ""
    name = f"kernels-{source_hash(Path(__file__).parents[1])}{bounds}"
    stated = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(stated) if stated else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "eie-sim"
    try:
        folder = (base.expanduser() / name).resolve()  # from here on no link is followed
        for each in (*reversed(folder.parents), folder):
            if not each.is_dir():
                each.mkdir(mode=0o700, exist_ok=True)
        return folder if _is_ours(folder) else None
    except (OSError, RuntimeError):  # not writable, or a user without a home
        return None


def _is_ours(folder: Path) -> bool:
    """True where only we may write into it, and nobody else can put another in its place: what numba finds, it runs."""
    if hasattr(os, "getuid"):
        me, status = os.getuid(), folder.stat()
        if status.st_uid != me or status.st_mode & SHARED:
            return False
        for above in (parent.stat() for parent in folder.parents):
            if above.st_uid not in (0, me) or (above.st_mode & SHARED and not above.st_mode & stat.S_ISVTX):
                return False  # of a sticky folder, as /tmp, only owners rename what is in it
    return os.access(folder, os.W_OK)


@cache
def say_compiling() -> None:
    """Say on a terminal, once, why the first run takes seconds; workers of a sweep leave it to the process above."""
    if sys.stderr is not None and sys.stderr.isatty() and parent_process() is None:
        kept = "once" if cache_folder() else "for this process: no folder to keep them in"
        with suppress(OSError, ValueError):
            sys.stderr.write(f"compiling kernels, {kept}\n")


class _Files(numba_caching.CompileResultCacheImpl):  # type: ignore[misc]  # numba has no types
    """Kernels in our folder, and never beside the sources, where an edit of another module would not be noticed."""

    _locator_classes: ClassVar = [numba_caching.UserProvidedCacheLocator]


class _Cache(numba_caching.FunctionCache):  # type: ignore[misc]  # numba has no types
    """Numba's cache, but one that is damaged, full or read-only costs time and never a run."""

    _impl_class = _Files

    def load_overload(self, *wanted: Any) -> Any:
        """The compiled kernel, or None; a damaged index is emptied, so that the next run finds a kernel again."""
        found = None
        try:
            found = super().load_overload(*wanted)
        except Exception:  # bytes that were overwritten can raise anything
            with suppress(OSError):
                self.flush()
        if found is None:
            say_compiling()
        return found

    def save_overload(self, *made: Any) -> None:
        """Keep a compiled kernel, where that is possible."""
        with suppress(Exception):  # a full disk, or a damaged index that could not be emptied
            super().save_overload(*made)


class _NoCache(numba_caching.NullCache):  # type: ignore[misc]  # numba has no types
    """A cache that keeps nothing, for a disk that takes nothing."""

    def load_overload(self, *wanted: Any) -> None:
        """Nothing is there."""
        say_compiling()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on its first call and keep the result in `cache_folder()`.

    Numba reads its global cache setting when it makes a cache, so the setting is ours for that moment only and other
    users of numba in the process keep theirs.
    """
    compiled: Any = numba.njit(nogil=True)(function)
    folder, before = cache_folder(), numba_config.CACHE_DIR
    if not hasattr(compiled, "enable_caching"):  # a plain function under NUMBA_DISABLE_JIT
        return compiled  # type: ignore[no-any-return]  # numba has no types
    compiled._cache = _NoCache()
    if folder is None:
        return compiled  # type: ignore[no-any-return]  # numba has no types
    numba_config.CACHE_DIR = str(folder)
    try:
        compiled._cache = _Cache(function)  # what enable_caching does, with our class
    except (OSError, RuntimeError):  # the disk is full
        pass
    finally:
        numba_config.CACHE_DIR = before
    return compiled  # type: ignore[no-any-return]  # numba has no types
