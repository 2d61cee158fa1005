"""Steps down a gradient, on one vector in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from eie_sim.prune.mlp import Array

BLOCK = 2**14
"""Numbers handled at a time: a handful of blocks fits a core's cache, which halves the time of Adam."""


class Optimiser(Protocol):
    """Moves the vector it was made for."""

    def step(self, gradient: Array, rate: float) -> None:
        """Go down `gradient`, of the vector's length, at the learning rate `rate`."""


class Adam:
    """Adam (Kingma, Ba, ICLR 2015) with the constants of its paper."""

    def __init__(self, vector: Array, momentum: float) -> None:
        del momentum  # Adam's is among its constants
        self.vector = vector
        self.mean, self.square = np.zeros_like(vector), np.zeros_like(vector)
        self.room, self.move = np.empty_like(vector[:BLOCK]), np.empty_like(vector[:BLOCK])
        self.steps = 0

    def step(self, gradient: Array, rate: float) -> None:
        """Go down `gradient`, of the vector's length, at the learning rate `rate`."""
        self.steps += 1
        for start in range(0, len(self.vector), BLOCK):
            self._step_block(slice(start, start + BLOCK), gradient[start : start + BLOCK], rate)

    def _step_block(self, block: slice, gradient: Array, rate: float) -> None:
        mean, square = self.mean[block], self.square[block]
        room, move = self.room[: len(gradient)], self.move[: len(gradient)]
        np.subtract(gradient, mean, out=room)
        room *= 0.1
        mean += room
        np.multiply(gradient, gradient, out=room)
        room -= square
        room *= 0.001
        square += room
        np.divide(square, 1 - 0.999**self.steps, out=room)
        np.sqrt(room, out=room)
        room += 1e-8
        np.divide(mean, 1 - 0.9**self.steps, out=move)
        move *= rate
        move /= room
        self.vector[block] -= move


class Momentum:
    """Stochastic gradient descent with momentum: v = momentum v + gradient, w = w - rate v."""

    def __init__(self, vector: Array, momentum: float) -> None:
        self.vector, self.momentum = vector, momentum
        self.velocity = np.zeros_like(vector)

    def step(self, gradient: Array, rate: float) -> None:
        """Go down `gradient`, of the vector's length, at the learning rate `rate`."""
        self.velocity *= self.momentum
        self.velocity += gradient
        self.vector -= rate * self.velocity


OPTIMISERS: dict[str, Callable[[Array, float], Optimiser]] = {"adam": Adam, "momentum": Momentum}
"""By the name that a `TrainConfig` gives; made from the vector and the config's momentum."""
