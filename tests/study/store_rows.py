"""Rows for stores under test, and what a store must make of any bytes, written apart from it."""

import json
import math
import re

MAX_LINE = 65536


def key(n):
    return f"{(n + 1) * 0x9E3779B97F4A7C15 % 2**128:032x}"


def row(n, **more):
    fields = {"key": key(n), "design": "64 PEs", "cycles": 17 * n, "energy_nj": n / 7, "tile": [64, n], "error": None}
    return key(n), json.dumps({**fields, **more})


def text(rows):
    """The file of a store that holds `rows`."""
    return "".join(f"{line}\n" for _, line in rows).encode()


def finite(value):
    if isinstance(value, (list, dict)):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def key_of(line):
    """The key of a row, None for damage."""
    found = re.fullmatch(rb'\{"key": "([0-9a-f]{32})".*\}\n', line, re.DOTALL)
    try:
        fields = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    fine = found and len(line) <= MAX_LINE and finite(fields) and isinstance(fields.get("error", 1), (str, type(None)))
    return found[1].decode() if fine else None


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
