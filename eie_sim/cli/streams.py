"""Standard output and error as they may be: closed, full, ASCII, or read by somebody who left."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO


def prepare() -> None:
    """Give closed streams a place to write to, and let characters that a stream cannot hold become escapes.

    Commands draw into files only, so matplotlib is told of no display, and what it says of its own folders is left out.
    """
    os.environ["MPLBACKEND"] = "agg"  # one that it does not know would end in its traceback
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(line: str) -> None:
    """Write a line to standard error, where that is possible."""
    try:
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        drop(sys.stderr)


def plain(text: str) -> str:
    """`text` on one line, characters that do not print as escapes: a terminal must not obey a file's name."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


def drop(stream: TextIO) -> None:
    """Send what is still in the buffer nowhere, or Python would trip over it when it ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
