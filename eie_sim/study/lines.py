"""What a line of a store is: a row, or damage.

A row is one JSON object on one line, UTF-8, that begins with its key, of 32 lower-case hex digits, and says its error,
null or a text: `{"key": "00ff...", ..., "error": null, ...}` and a line feed. It has at most MAX_LINE bytes, and no NaN
or infinity.
"""

from __future__ import annotations

import math
import os
import re
from array import array
from dataclasses import dataclass
from json import JSONDecoder
from typing import IO, Any, NoReturn

HEAD = b'{"key": "'
N_HEX = 32
KEY = slice(len(HEAD), len(HEAD) + N_HEX)
MAX_LINE = 2**16
"""Bytes of a row, its line feed included."""
MAX_FOREIGN = 2**26
"""Bytes in which a store must have a row: no larger file is read to its end to learn that it is none."""

Run = tuple[int, int]
"""Bytes of a file that lie side by side: where they begin and where they end."""

HEX = re.compile(f"[0-9a-f]{{{N_HEX}}}")


def _plain() -> re.Pattern[bytes]:
    """Rows as json.dumps writes them, flat and without escapes, recognised without building a value: 3 times as fast.

    Whatever it leaves out is only slower to read. Exponents end at 99, so that no number here is infinite.
    """
    number = rb"-?+(?:[1-9][0-9]{0,17}+|0)(?:\.[0-9]{1,30}+)?+(?:e(?:-[0-9]{2,3}+|\+[0-9]{2}))?+"
    text = rb'"[ !#-\[\]-~]*+"'
    value = rb"(?:%b|%b|null|true|false|\[(?:%b(?:, %b)*+)?+\])" % (number, text, number, number)
    return re.compile(rb'%b[0-9a-f]{%d}"(?:, %b: %b)*+\}\n' % (re.escape(HEAD), N_HEX, text, value))


PLAIN = _plain()
ERROR = b', "error": '


def key_of(line: bytes) -> str | None:
    """The key of a row, None for bytes that are none; `line` includes its line feed."""
    if PLAIN.fullmatch(line) and len(line) <= MAX_LINE:
        _, said, rest = line.rpartition(ERROR)  # the last, as JSON has it where a member is there twice
        if said and rest[:1] in (b"n", b'"'):
            return str(line[KEY], "ascii")
    return parsed_key_of(line)


def parsed_key_of(line: bytes) -> str | None:
    """What `key_of` says, by reading the JSON."""
    one_line = line.endswith(b"}\n") and line.count(b"\n") == 1
    if not (line.startswith(HEAD) and one_line and len(line) <= MAX_LINE):
        return None
    try:
        text = line.decode()
        row = _decoder.decode(text)
    except (ValueError, RecursionError):
        return None
    key = text[KEY]
    ok = HEX.fullmatch(key) is not None and isinstance(row.get("error", 0), (str, type(None)))
    return key if ok else None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _never(text: str) -> NoReturn:
    raise ValueError(text)


_decoder: Any = JSONDecoder(parse_float=_finite, parse_constant=_never)  # its constants are NaN and the infinities


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a file holds.

    rows : key of each row and how many rows come before it, in the order of the file
    lengths : bytes of each row
    kept, damage : runs of bytes that are rows, and that are none; what is in neither repeats a row byte for byte
    n_damaged : lines of damage
    size : bytes of the file
    is_store : False where there is something in the file but no row, unless a first write, cut off, may have left it
    """

    rows: dict[str, int]
    lengths: array[int]
    kept: list[Run]
    damage: list[Run]
    n_damaged: int
    size: int
    is_store: bool


def scan(handle: int) -> Found:
    """Read an open file from its beginning, at most MAX_LINE bytes at a time. Raises OSError.

    A key that comes again with other content is damage: the first is kept.
    """
    rows: dict[str, int] = {}
    lengths, starts = array("q"), array("q")
    kept: list[Run] = []
    damage: list[Run] = []
    n_damaged = at = 0
    first, inside = b"", False
    os.lseek(handle, 0, os.SEEK_SET)
    with os.fdopen(handle, "rb", closefd=False) as stream:
        while piece := stream.readline(MAX_LINE):
            start, at = at, at + len(piece)
            key = None if inside else key_of(piece)
            if key is not None and key not in rows:
                rows[key] = len(starts)
                starts.append(start)
                lengths.append(len(piece))
                _join(kept, start, at)
            elif key is None or not _repeats(stream, starts[rows[key]], piece):
                _join(damage, start, at)
                n_damaged += not inside
            first = first or piece
            inside = not piece.endswith(b"\n")  # of a line that is too long; what follows in it is no row
            if not rows and at > MAX_FOREIGN:
                break
    is_store = bool(rows) or (at == len(first) and _may_be_cut(first))
    return Found(rows=rows, lengths=lengths, kept=kept, damage=damage, n_damaged=n_damaged, size=at, is_store=is_store)


def _repeats(stream: IO[bytes], start: int, line: bytes) -> bool:
    """True where `line` is also at `start`; the stream stays where it is."""
    here = stream.tell()
    stream.seek(start)
    same = stream.read(len(line)) == line
    stream.seek(here)
    return same


def _join(runs: list[Run], start: int, end: int) -> None:
    """Add bytes to the last run where they follow it, or as a run of their own."""
    if runs and runs[-1][1] == start:
        runs[-1] = (runs[-1][0], end)
    else:
        runs.append((start, end))


def _may_be_cut(line: bytes) -> bool:
    """True for nothing, NULs only, and what begins like a row."""
    begins = HEAD.startswith(line[: len(HEAD)]) and re.fullmatch(rb"[0-9a-f]*", line[KEY]) is not None
    return begins or not line.strip(b"\0")
