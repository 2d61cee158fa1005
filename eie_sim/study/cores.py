"""How many cores there are for us, which is often less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """Cores that this process may use: at least 1, at most those of its affinity and of its container's quota."""
    return max(1, min(_scheduled(), *_quotas()))


def _scheduled() -> int:
    """Cores of our affinity, as `os.process_cpu_count` of Python 3.13 has it."""
    count = getattr(os, "process_cpu_count", None)
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> Iterator[int]:
    """What our control group and those around it grant, in whole cores, rounded up."""
    yield _scheduled()
    for folder in _groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()  # "max 100000" is without a limit
            yield ceil(int(quota) / int(period))
    with suppress(OSError, ValueError):  # the first version of control groups
        quota, period = ((GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            yield ceil(int(quota) / int(period))


def _groups() -> list[Path]:
    """Our control group's folder and those above it."""
    with suppress(OSError):
        for line in OWN_GROUP.read_text().splitlines():
            if line.startswith("0::/"):
                own = GROUPS / line.removeprefix("0::/")
                return [own, *(parent for parent in own.parents if parent.is_relative_to(GROUPS))]
    return [GROUPS]
