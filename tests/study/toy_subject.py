"""Subjects of nothing but points, for tests of who computes them; in a module that spawned workers find."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

NOTHING, BUSY, WAIT, KILL, KILL_ONCE, FAIL, FAULT, WHO = range(8)
"""What a point (kind, seconds, number) has its worker do."""


@dataclass
class Toy:
    """A subject; `folder` is where its copies and its evaluators leave traces."""

    folder: str = ""
    ballast: bytes = b""

    def __setstate__(self, state):
        self.__dict__ = state
        self.note("came")

    def note(self, what):
        if self.folder:
            (Path(self.folder) / f"{what}-{os.getpid()}-{time.perf_counter_ns()}").touch()

    def evaluator(self):
        self.note("evaluator")
        return Evaluator(self)


class Evaluator:
    def __init__(self, toy):
        self.toy = toy

    def rows(self, points, deadline):
        rows, faults = [], []
        for place, point in enumerate(points):
            if point[0] == FAULT:
                faults.append((place, "not enough memory"))
            else:
                rows.append((str(point[2]), self.done(*point)))
            if time.perf_counter() > deadline:
                break
        return rows, faults

    def done(self, kind, seconds, number):
        if kind == WAIT:
            time.sleep(seconds)
        elif kind == BUSY:
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass
        elif kind == KILL or (kind == KILL_ONCE and self.first_time(number)):
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == FAIL:
            raise ArithmeticError("a mistake in an evaluator")
        return f'{{"pid": {os.getpid()}}}'

    def first_time(self, number):
        mark = Path(self.toy.folder) / f"once-{number}"
        before = mark.exists()
        mark.touch()
        return not before
