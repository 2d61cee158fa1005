"""The tools of a sweep for a unit's member `many`, which gives the figures of many designs at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.steps import Steps

Made = TypeVar("Made")
Figures = tuple[dict[str, Any], dict[str, Any]]
"""Columns of a row as plain values: those of one design, and those of others too, one dict for all of them."""


class Kept:
    """The last few things made of each kind, by what they were made from."""

    def __init__(self) -> None:
        self._kinds: dict[str, OrderedDict[Hashable, Any]] = {}

    def get(self, kind: str, key: Hashable, make: Callable[[], Made], *, most: int = 1) -> Made:
        """Return the value of a key, which is made now if it is not kept; at most `most` of the kind are kept."""
        kept = self._kinds.setdefault(kind, OrderedDict())
        if key not in kept:
            while len(kept) >= most:
                kept.popitem(last=False)  # before the next is made, so that both never fill memory
            kept[key] = make()
        kept.move_to_end(key)
        found: Made = kept[key]
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class SweptLayer:
    """A layer of the points. What is a function is made when it is called, and may be large.

    name : of the layer; n_vector : vectors that it reads
    stored : the codes that it comes with, where it comes from an archive and is not pruned again; else None
    shape : () -> (n_out, n_in), smaller than those of the network where neurons were removed
    pruned : () -> the layer: weights [n_out, n_in], a numpy array or csc_array, bias [n_out] or None, activations
    before : () -> the same before it is pruned
    places : () -> (starts int64[n_in + 1], rows int32[n_weight]) of the pruned weights, column by column, where they
        are known without the weights, from one ordering for all densities; else None
    reads : () -> what it reads in the pruned network in floats, [n_vector, n_in], of at most 256 vectors

    Of a product of a graph of operators:
    n_weight : elements of the matrix that are weights, neither padding nor between blocks; 0 where activations stand
        for them, which `pruned` does not have; None of a layer
    launch : products that share it depend on none of each other; "" of one alone
    again : its weights are those of a layer before, and are stored once
    gathered : inputs that all vectors are gathered of, from a map outside of the unit
    steps : how vectors wait for those before; None where all are there at once
    pattern : the N:M that its weights are compressed as, the same for all of a launch; None of a unit that has none
    """

    name: str
    n_vector: int
    stored: Any
    shape: Callable[[], tuple[int, int]]
    pruned: Callable[[], Any]
    before: Callable[[], Any]
    places: Callable[[], tuple[NDArray[np.int64], NDArray[np.int32]] | None]
    reads: Callable[[], NDArray[Any]]
    n_weight: int | None = None
    launch: str = ""
    again: bool = False
    gathered: int = 0
    steps: Steps | None = None
    pattern: Pattern | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Swept:
    """The common part of points that differ in their designs alone.

    layers : run one after the other on the same design
    vector : the one input vector that is run, by its index; None for all
    recipe : how the weights were pruned, a `Recipe`; None where they are as they came
    weights : names the pruned weights: what is made of them alone can be kept under it
    chained : whether layers read the outputs of those before, also of those that are not among the points'
    table : energies that the user gave, an `EnergyTable` of any design; None for default ones
    verify : whether stored weights and outputs are to be compared with the golden product
    passed_on : design -> inputs of all layers of the chain by name, each made when it is asked for, in words of the
        unit as its arithmetic has them, and the accuracy
    accuracy : (weights -> weights as stored) -> that of the whole network, inputs in floats; None without labels
    verified : design -> compressed layers by name, run and compared with the golden product. Raises InputError
    kept : for what the unit makes, from one call to the next
    """

    layers: tuple[SweptLayer, ...]
    vector: int | None
    recipe: Any
    weights: Hashable
    chained: bool
    table: Any
    verify: bool
    passed_on: Callable[[Any], tuple[Mapping[str, NDArray[Any]], float | None]]
    accuracy: Callable[[Callable[[NDArray[Any]], NDArray[Any]]], float | None]
    verified: Callable[[Any], dict[str, Any]]
    kept: Kept
