"""Pruning the parameters of a graph of operators by magnitude."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.nm_pattern import pattern_of
from eie_sim.network.graph import Graph
from eie_sim.network.lower import lower, steps_of
from eie_sim.network.products import Style
from eie_sim.prune.pattern import nm
from eie_sim.prune.select import magnitude


def pruned(graph: Graph, *, density: float | None = None, pattern: str | None = None) -> Graph:
    """Return the graph with the parameters of all products pruned by magnitude; biases are kept.

    density : of each parameter; pattern : N:M, as 2:4, along the inputs of a product, of a convolution its channels
    Raise InputError for a density outside 0..1, and for what is no pattern.
    """
    masks: dict[str, NDArray[np.bool_]] = {}
    if density is not None:
        of_products = {name for product in lower(graph) for name in product.parameters}
        for name in sorted(of_products):
            masks[name] = magnitude(graph.parameters[name].array.ravel(), density=density).mask
    if pattern is not None:
        kept, group = pattern_of("pattern", pattern)
        steps = steps_of(graph, Style(batched=True, m_group=group, fold=False))  # before folding
        for product in (product for step in steps for product in step.products):
            gone = product.elements[~nm(kept, group).prune(np.abs(product.weight)).mask]
            for name in product.parameters:
                mask = masks.setdefault(name, np.ones(graph.parameters[name].array.size, dtype=np.bool_))
                mask[graph.owned(gone, name)[1]] = False
    if not masks:
        return graph
    arrays = {name: graph.parameters[name].array for name in masks}
    return graph.with_parameters(
        {name: np.where(masks[name].reshape(array.shape), array, array.dtype.type(0)) for name, array in arrays.items()}
    )
