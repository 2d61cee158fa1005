"""Text files as they are or packed by gzip, which are unpacked no further than a file may be long."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from eie_sim.core.arrays import MAX_BYTES, one_line
from eie_sim.core.errors import InputError

GZIP = ".gz"
MOST_DEFLATED = 1032
"""Bytes that a deflated byte may stand for: 258 for each 2 bits."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """A stream of the file's bytes, unpacked where its name ends in .gz, and how many there are at most.

    Raises InputError, also for what the reading meets, where what is packed is damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        if path.suffix.lower() != GZIP:
            yield stream, size
            return
        try:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast(IO[bytes], unpacked), min(MAX_BYTES, size * MOST_DEFLATED)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"damaged gzip file ({one_line(error)})") from None
