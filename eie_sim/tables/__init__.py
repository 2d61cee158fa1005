"""Published numbers as CSV files; README.md beside them says where each comes from."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files


@cache
def _rows(name: str, package: str) -> tuple[dict[str, str], ...]:
    text = files(package).joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def rows(name: str, package: str = __name__) -> list[dict[str, str]]:
    """Rows of the table `name` (no suffix) in the file's order, text by column; the caller may change them.

    package : whose data the table is, this one where left out
    """
    return [dict(row) for row in _rows(name, package)]
