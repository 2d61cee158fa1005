"""Costs of a layer's own activations beside independent ones, on the same compressed weights."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from eie_sim.core.arrays import Floats
from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, require_type
from eie_sim.engine import simulate
from eie_sim.network import Network, independent, independent_by_column
from eie_sim.product_run import matrix_for
from eie_sim.units import unit_of

INPUTS: MappingProxyType[str, Callable[[Floats, int], Floats]] = MappingProxyType(
    {
        "own": lambda activations, seed: activations,
        "independent by column": lambda activations, seed: independent_by_column(activations, seed=seed),
        "independent": lambda activations, seed: independent(activations, seed=seed),
    }
)
"""From a layer's activations and a seed to what it reads, the nearest to its own first."""


class InputCost(NamedTuple):
    """One layer with one kind of inputs; figures per vector are means.

    inputs : own, independent by column (each column's firing rate) or independent (the batch's density)
    activation_density : fraction of the inputs not zero
    macs_per_vector : MACs with both operands non-zero
    cycles_ratio : cycles of the layer's own inputs over these; 1.25: the own ones take a quarter more
    """

    layer: str
    inputs: str
    n_vector: int
    activation_density: float
    macs_per_vector: float
    cycles_per_vector: float
    load_balance: float
    cycles_ratio: float

    def __repr__(self) -> str:
        """In short."""
        return shows(*self._fields)(self)


def compare_inputs(network: Network, config: Any, *, seed: int = 0) -> list[InputCost]:
    """Run each layer with its own activations, and with independent ones drawn from them (see `network.independent`).

    seed : of the drawn ones

    Returns three rows per layer, in the order of INPUTS. The bias counts among MACs and cycles. Raises InputError,
    naming the layer, where one has no activations of its own.
    """
    require_type("network", network, Network)
    unit = unit_of(config)
    rows: list[InputCost] = []
    for layer in network.layers:
        if layer.activations is None:
            raise InputError(f"layer {layer.name}: activations=none: needs its own to be compared with")
        matrix = matrix_for(layer, config)
        own = 0
        for name, inputs in INPUTS.items():
            read = inputs(layer.activations, seed)
            result = simulate(matrix, read, unit.for_inputs(config, read))
            own = own or result.cycles
            rows.append(
                InputCost(
                    layer=layer.name,
                    inputs=name,
                    n_vector=result.n_vector,
                    activation_density=float(np.mean(read != 0)),
                    macs_per_vector=result.stats["events"]["macs"] / result.n_vector,
                    cycles_per_vector=result.cycles / result.n_vector,
                    load_balance=result.load_balance,
                    cycles_ratio=own / result.cycles if result.cycles else 1.0,
                )
            )
    return rows
