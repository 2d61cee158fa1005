"""One way to compile kernels: cached on disk, in a folder named by a hash of the package's sources.

Numba keys a cached kernel by the file that defines it only. A kernel that calls another module's keeps running the old
code of that module after an edit, so every edit of the package gets a cache folder of its own. The same goes for
`NUMBA_BOUNDSCHECK`, which numba ignores when the cache is warm.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config

numba_config: Any = config  # its settings are made at run time


def source_hash(package: Path) -> str:
    """First 16 hex digits of a hash over every `.py` file below `package`, names and contents."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where this version of the package keeps its compiled kernels; created, and writable."""
    bounds = "-bounds" if numba_config.BOUNDSCHECK else ""
    name = f"kernels-{source_hash(Path(__file__).parent)}{bounds}"
    stated = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(stated) if stated else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "eie-sim"
    try:
        folder = base.expanduser() / name
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # not writable, or a user without a home
        pass
    # Never a folder with a name others can guess: what numba finds in its cache, it runs.
    return Path(tempfile.mkdtemp(prefix="eie-sim-"))


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` on its first call and keep the result in `cache_folder()`.

    Numba reads its global cache setting when it decorates, so the setting is ours for that moment only and other
    users of numba in the process keep theirs.
    """
    before = numba_config.CACHE_DIR
    numba_config.CACHE_DIR = str(cache_folder())
    try:
        return numba.njit(cache=True, nogil=True)(function)
    finally:
        numba_config.CACHE_DIR = before
