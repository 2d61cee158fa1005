"""Rows for stores under test, and what a store must make of any bytes, written apart from it."""

import json
import math
import re

MAX_LINE = 65536


def key(n):
    return f"{(n + 1) * 0x9E3779B97F4A7C15 % 2**128:032x}"


def row(n, **more):
    fields = {"key": key(n), "design": "64 PEs", "cycles": 17 * n, "energy_nj": n / 7, "tile": [64, n], "error": None}
    return key(n), f"{json.dumps({**fields, **more})}\n".encode()


def text(rows):
    """The file of a store that holds `rows`."""
    return b"".join(line for _, line in rows)


def finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def key_of(line):
    """The key of a row, None for damage."""
    try:
        row = json.loads(line.decode(), parse_float=finite, parse_constant=finite)
        key, error = row["key"], row["error"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    fine = isinstance(key, str) and re.fullmatch("[0-9a-f]{32}", key) and isinstance(error, str | None)
    return key if fine and line.endswith(b"\n") and len(line) <= MAX_LINE else None


def expected(data):
    """Rows of a file by key, its damaged lines, and its rows that are there again, all as bytes in file order."""
    rows, damaged, again = {}, [], []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        found = key_of(line)
        if found is None or (found in rows and rows[found] != line):
            damaged.append(line)
        elif found in rows:
            again.append(line)
        else:
            rows[found] = line
    return rows, damaged, again
