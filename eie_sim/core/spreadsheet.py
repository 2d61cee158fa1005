"""CSV in which a spreadsheet finds no formula: a text that begins like one has a single quote before it, as OWASP says.

CSV Injection, owasp.org: cells that begin with `=`, `+`, `-`, `@`, a tab or a carriage return.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

FORMULA = re.compile("'*[=+\\-@\t\r]")
"""Beginnings of a text that get a quote; those with quotes get one more, so that reading takes off exactly one."""


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV, line feeds at their ends; numbers stay numbers, also below 0, and None is empty."""
    lines: list[str] = []
    writer = csv.writer(_Lines(lines.append), lineterminator="\r\n")  # else it leaves a carriage return unquoted
    writer.writerows([_quoted(value) for value in row] for row in rows)
    return "".join(f"{line[:-2]}\n" for line in lines)


class _Lines(NamedTuple):
    """A file in the eyes of the csv writer, which writes a row at a time to it."""

    write: Callable[[str], None]


def unquoted(cell: str) -> str:
    """A cell as it was before `csv_text` wrote it."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _quoted(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value
