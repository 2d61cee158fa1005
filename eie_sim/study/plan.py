"""Which points go into the next task: a bundle stays with its worker until another would have nothing to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from eie_sim.study.work import SLICE_S, Done

FIRST_POINTS = 16
MOST_POINTS = 4096
"""Points of a task: of the first, before it is known how long they take, and of any, so that messages stay small."""

GROWTH = 4
LONE_DEATHS = 2
"""Workers that a point may take with it, each alone, before it is given up."""


@dataclass(kw_only=True)
class Lane:
    """What one worker is about to do.

    rest : points of its bundle that are in no task yet
    points : how many its next task has
    """

    rest: deque[Any] = field(default_factory=deque)
    points: int = FIRST_POINTS


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """Points that are on their way, and the lane they belong to.

    lone_deaths : workers that ended over the only point of it; None where it is under no suspicion
    """

    lane: Lane
    points: tuple[Any, ...]
    lone_deaths: int | None = None


class Plan:
    """The points that nobody has answered yet."""

    def __init__(self, bundles: Iterable[Sequence[Any]]) -> None:
        self._waiting = deque(deque(bundle) for bundle in bundles if len(bundle))
        self._suspects: deque[tuple[Any, int]] = deque()
        self._lanes: list[Lane] = []
        self._idle: list[Lane] = []
        self.left = sum(map(len, self._waiting))
        """Points in no parcel."""

    def parcel(self, workers: int) -> Parcel | None:
        """The next task's points, for one of `workers` workers; None where nothing is left to hand out.

        The lane that ended last goes on first, as its worker is the one without work. Few points are shared out
        evenly, however short they may be.
        """
        if not self.left:
            return None
        lane = self._idle.pop() if self._idle else self._new_lane()
        if self._suspects:
            point, deaths = self._suspects.popleft()
            self.left -= 1
            return Parcel(lane=lane, points=(point,), lone_deaths=deaths)
        points: list[Any] = []
        most = min(lane.points, max(1, self.left // workers))
        while len(points) < most and (lane.rest or self._refill(lane, alone=not points)):
            points.append(lane.rest.popleft())
        self.left -= len(points)
        return Parcel(lane=lane, points=tuple(points))

    def answered(self, parcel: Parcel, done: Done) -> None:
        """Take back what the worker had no time for, and choose how many points its next task has."""
        count = len(done.rows) + len(done.faults)
        if not count:
            raise RuntimeError("an evaluator must answer one point at least")
        lane = parcel.lane
        lane.rest.extendleft(reversed(parcel.points[count:]))
        self.left += len(parcel.points) - count
        if parcel.lone_deaths is None:
            in_time = count * SLICE_S / max(done.seconds, 1e-6)
            lane.points = int(min(max(in_time, 1), lane.points * GROWTH, MOST_POINTS))
        self._idle.append(lane)

    def died(self, parcel: Parcel) -> list[Any]:
        """Hand the points of a worker that ended out one by one. Returns those that are given up."""
        deaths = 0 if parcel.lone_deaths is None and len(parcel.points) > 1 else (parcel.lone_deaths or 0) + 1
        self._idle.append(parcel.lane)
        if deaths >= LONE_DEATHS:
            return list(parcel.points)
        self._suspects.extend((point, deaths) for point in parcel.points)
        self.left += len(parcel.points)
        return []

    def returned(self) -> None:
        """Take the rests of all lanes back, for others to be handed out to."""
        self._waiting.extendleft(lane.rest for lane in self._lanes if lane.rest)
        self._lanes, self._idle = [], []

    def _new_lane(self) -> Lane:
        self._lanes.append(Lane())
        return self._lanes[-1]

    def _refill(self, lane: Lane, *, alone: bool) -> bool:
        """Give a lane the next bundle or, where it has nothing else to do, half of what the busiest has before it."""
        if self._waiting:
            lane.rest = self._waiting.popleft()
        elif alone:
            busiest = max(self._lanes, key=lambda other: len(other.rest)).rest
            lane.rest.extendleft([busiest.pop() for _ in range((len(busiest) + 1) // 2)])
        return bool(lane.rest)
