"""The channel that all reference engines share: bounded, with a latency, and credits that take time to return.

Waiting lives here. A sender reserves a slot and sends; a receiver takes. Neither asks whether the other is ready, and
the times do not depend on the order in which processes of one cycle run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any

import simpy


class Channel:
    """A queue of `depth` usable slots between one sender and one receiver.

    depth : slots, >= 1
    latency_cycles : from `send` to the cycle in which the item can be taken
    credit_cycles : from `take` or `release` to the cycle in which the slot is free again
    """

    def __init__(self, env: simpy.Environment, *, depth: int, latency_cycles: int = 1, credit_cycles: int = 1) -> None:
        self._env = env
        self._latency_cycles = latency_cycles
        self._credit_cycles = credit_cycles
        self._free_slots = depth
        self._visible: deque[Any] = deque()
        self._sender_waits: simpy.Event | None = None
        self._receiver_waits: simpy.Event | None = None

    def reserve(self) -> Generator[simpy.Event, None, None]:
        """Wait until a slot is free, and claim it."""
        while self._free_slots == 0:
            self._sender_waits = self._env.event()
            yield self._sender_waits
        self._free_slots -= 1

    def send(self, item: Any) -> None:
        """Put an item into the slot reserved before."""
        self._later(self._latency_cycles, self._arrive, item)

    def take(self) -> Generator[simpy.Event, None, Any]:
        """Wait for the next item, and take it; its slot is free again `credit_cycles` later."""
        item = yield from self.receive()
        self.release()
        return item

    def receive(self) -> Generator[simpy.Event, None, Any]:
        """Wait for the next item, and work on it in its slot, until `release`."""
        while not self._visible:
            self._receiver_waits = self._env.event()
            yield self._receiver_waits
        return self._visible.popleft()

    def release(self) -> None:
        """Give up the slot of an item received; it is free again `credit_cycles` later."""
        self._later(self._credit_cycles, self._free)

    def _arrive(self, event: simpy.Event) -> None:
        self._visible.append(event.value)
        if self._receiver_waits is not None and not self._receiver_waits.triggered:
            self._receiver_waits.succeed()

    def _free(self, _event: simpy.Event) -> None:
        self._free_slots += 1
        if self._sender_waits is not None and not self._sender_waits.triggered:
            self._sender_waits.succeed()

    def _later(self, cycles: int, callback: Any, value: Any = None) -> None:
        timeout = self._env.timeout(cycles, value)
        assert timeout.callbacks is not None
        timeout.callbacks.append(callback)
