"""Results of a pruning step: masks, and the density asked against the one reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.html import Cell, Row, card, share, table


@dataclass(frozen=True, kw_only=True, eq=False)
class PruneResult:
    """The weights of a layer that a pruning step kept.

    mask : bool array of the weights' shape, True where a weight is kept
    asked : density asked for, 0 to 1
    kept, total : counts of weights
    """

    mask: NDArray[np.bool_]
    asked: float
    kept: int
    total: int

    __repr__ = shows("asked", "achieved", "kept", "total", "mask")

    @property
    def achieved(self) -> float:
        """Density reached, kept / total."""
        return self.kept / self.total

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        shape = "x".join(map(str, self.mask.shape))
        return card(f"pruned weights, {shape}", table(_HEADINGS, [_figures(self)]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The weights of several layers that a pruning step kept.

    layers : by name, in the order given
    asked : density asked for over all weights of all layers
    warnings : one line each: layers that were pruned away, densities raised to a floor
    """

    layers: dict[str, PruneResult]
    asked: float
    warnings: tuple[str, ...] = ()

    __repr__ = shows(
        "asked",
        "achieved",
        "kept",
        "total",
        "warnings",
        layers=lambda self: {name: one.achieved for name, one in self.layers.items()},
    )

    @property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """By layer, True where a weight is kept."""
        return {name: layer.mask for name, layer in self.layers.items()}

    @property
    def kept(self) -> int:
        """Weights kept in all layers."""
        return sum(layer.kept for layer in self.layers.values())

    @property
    def total(self) -> int:
        """Weights of all layers."""
        return sum(layer.total for layer in self.layers.values())

    @property
    def achieved(self) -> float:
        """Density reached over all layers, kept / total."""
        return self.kept / self.total

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        rows = [[name, *_figures(layer)] for name, layer in self.layers.items()]
        shown = table(["layer", *_HEADINGS], rows, foot=["network", *_figures(self)])
        return card("pruned layers", shown, lines=self.warnings)


_HEADINGS = ("asked", "kept", "weights\nkept", "weights")


def _figures(result: PruneResult | Selection) -> Row:
    achieved = result.kept / result.total if result.total else 0.0
    shares = [share(one, 2) for one in (float(result.asked), achieved)]
    return [*shares, *(Cell(f"{n:,}", n) for n in (result.kept, result.total))]
