import os
import time
from contextlib import ExitStack

import pytest
from toy_subject import Toy

from eie_sim.study.pool import Pool
from eie_sim.study.work import execute


class Sweep:
    """Runs points of a toy subject and keeps what comes back, with the time of each batch."""

    def __init__(self, folder):
        self.toy = Toy(str(folder))
        self.folder = folder
        self.rows, self.faults, self.batches = [], [], []

    def __call__(self, points, *, bundle=50, on_rows=lambda rows: None, pool=0, **options):
        """Run the points; pool : on so many worker processes from the first point on."""

        def keep(rows):
            self.batches.append(time.perf_counter())
            self.rows += rows
            on_rows(rows)

        bundles = [points[at : at + bundle] for at in range(0, len(points), bundle)]
        with ExitStack() as stack:
            if pool:
                options["executor"] = stack.enter_context(Pool(pool))
            execute(bundles, self.toy, "toy", on_rows=keep, on_faults=self.faults.extend, **options)
        return self

    @property
    def pids(self):
        return {int(line.split(":")[1].strip(" }")) for _, line in self.rows}

    def came(self):
        return len(list(self.folder.glob("came-*")))

    def each_once(self, count):
        return sorted(int(key) for key, _ in self.rows) == list(range(count))


@pytest.fixture
def sweep(tmp_path):
    return Sweep(tmp_path)


def _ended(pid, within_s):
    end = time.perf_counter() + within_s
    while time.perf_counter() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def ended():
    """Whether a process is gone within some seconds."""
    return _ended


@pytest.fixture
def path(tmp_path):
    """Where a store may be."""
    return tmp_path / "sweep.jsonl"
