"""Bytes of a network: products in the unit's format and the usual ones, and what is kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim import formats
from eie_sim.core.errors import InputError, require
from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.sparse import weights_digest
from eie_sim.core.storage import Footprint, Format
from eie_sim.engine import compress
from eie_sim.graphs import steps_for, style_of
from eie_sim.network.graph import Graph
from eie_sim.network.lower import steps_of
from eie_sim.network.memory import Peak, floats_of, peak_of, state_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.pipeline import Progress
from eie_sim.prune.measure import dense
from eie_sim.units import unit_of


@dataclass(frozen=True, kw_only=True, eq=False)
class ProductFootprint:
    """The weights of a product, or of all that a node's one launch has, in every format.

    n_weight : elements that are weights; kept : those that are not zero, both without the bias
    own : name of the unit's format; again : the same weights were counted before
    """

    name: str
    kind: str
    n_out: int
    n_in: int
    n_weight: int
    kept: int
    own: str
    formats: Footprint
    again: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        names = ("name", "kind", "n_out", "n_in", "n_weight", "kept", "own", "again")
        return {
            **{name: getattr(self, name) for name in names},
            "formats": [one.to_dict() for one in self.formats.values()],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphFootprint:
    """The footprint of a graph on a design.

    products : in order
    floats : bytes of what stays floats, by what it is
    state : bits of recurrent nodes, by name; peak : of live activations; both at word_bits a float
    """

    products: tuple[ProductFootprint, ...]
    floats: dict[str, int]
    state: dict[str, int]
    peak: Peak
    word_bits: int

    @property
    def own(self) -> str:
        """Name of the unit's format."""
        return self.products[0].own

    @property
    def weights(self) -> Footprint:
        """All products in every format, those that are shared once."""
        return _added([one.formats for one in self.products if not one.again])

    @property
    def total_bytes(self) -> float:
        """Weights in the unit's format, what stays floats, state, and the peak of live activations."""
        bits = self.weights[self.own].total_bits + sum(self.state.values()) + self.peak.bits
        return bits / 8 + sum(self.floats.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "layers": [one.to_dict() for one in self.products],
            "total": {"own": self.own, "formats": [one.to_dict() for one in self.weights.values()]},
            "float_bytes": dict(self.floats),
            "state_bytes": {name: bits / 8 for name, bits in self.state.items()},
            "peak_activations": {"bytes": self.peak.bits / 8, "node": self.peak.node, "values": list(self.peak.values)},
            "word_bits": self.word_bits,
            "total_bytes": self.total_bytes,
        }


def footprint(
    matrix_or_mask: Any, config: Any = None, *, progress: Progress = lambda step: None, **options: Any
) -> Any:
    """Bits by part of a layer in its unit's format and the usual ones; of a graph, of all that it keeps.

    matrix_or_mask : a compressed matrix, a mask or weights [n_out, n_in], or a Graph
    options : value_bits, n_keep, m_group, run_bits and fields of a design, as `formats.footprint` has them

    Returns a `Footprint`, formats by name; of a graph a `GraphFootprint`, for which a config is needed.
    """
    if not isinstance(matrix_or_mask, Graph):
        return formats.footprint(matrix_or_mask, config, **options)
    require(config is not None, "config", None, "must be a design, to count the footprint of a graph")
    graph, unit, style = matrix_or_mask, unit_of(config), style_of(config)
    steps = steps_for(graph, config, style)
    blocks = {step.node.name: step.products for step in steps_of(graph, Style(batched=True, fold=style.fold))}
    found: list[ProductFootprint] = []
    seen: dict[tuple[bytes, ...], list[tuple[Footprint, str, int]]] = {}
    outside = 0
    for step in steps:
        if step.weighs:
            continue
        progress(f"{step.node.name}: compressing")
        alone = unit.launch is None or not step.at_once
        for products in [[one] for one in step.products] if alone else [list(step.products)]:
            key = tuple(weights_digest(one.weight, one.bias) for one in products)
            at = step.products.index(products[0])
            again = key in seen
            if not again:
                stacked = (_stacked_blocks(blocks, step, at + i) for i in range(len(products)))
                seen[key] = [
                    _formats(*pair, step.pattern, config, options) for pair in zip(products, stacked, strict=True)
                ]
            parts = seen[key]
            if not (unit.takes_bias or again):
                outside += sum(one.bias.nbytes for one in products if one.bias is not None)
            found.append(
                ProductFootprint(
                    name=products[0].name if alone else step.node.name,
                    kind=products[0].kind,
                    n_out=sum(one.n_out for one in products),
                    n_in=sum(one.n_in for one in products),
                    n_weight=sum(one.n_weight for one in products),
                    kept=sum(kept for _, _, kept in parts),
                    own=parts[0][1],
                    formats=_added([one for one, _, _ in parts]),
                    again=again,
                )
            )
    require(len(found) > 0, "network", graph.name, "must have weights: both sides of its products are activations")
    word_bits = unit.word_bits(config)
    return GraphFootprint(
        products=tuple(found),
        floats={"biases outside the unit": outside, **floats_of(graph, steps)},
        state=state_of(graph, word_bits),
        peak=peak_of(graph, steps, word_bits),
        word_bits=word_bits,
    )


def _stacked_blocks(blocks: dict[str, tuple[Product, ...]], step: Step, at: int) -> NDArray[Any] | None:
    """The groups on the diagonal of a product, below each other; None where it has no zeros beside them."""
    n = step.products[at].blocks
    if n == 1:
        return None
    return np.concatenate([one.weight for one in blocks[step.node.name][at * n : (at + 1) * n]])


def _formats(
    product: Product, stacked: NDArray[Any] | None, pattern: Pattern | None, config: Any, options: dict[str, Any]
) -> tuple[Footprint, str, int]:
    """A product in every format, the name of the unit's own, and how many weights are kept.

    pattern : that of its step
    stacked : of a block-diagonal one, the blocks below each other: what the usual formats are of
    """
    unit, weight = unit_of(config), product.weight
    bias = product.bias if unit.takes_bias else None
    try:
        matrix = compress(weight, config, bias=bias, pattern=pattern)
        own = unit.storage(matrix, config)
        usual = matrix if stacked is None else compress(stacked, config, bias=bias)
        found = formats.footprint(usual, config, **options)
    except InputError as error:
        raise InputError(f"node {product.name}: {error}") from None
    if stacked is not None:
        found[own.name] = replace(own, dense_bits=found[own.name].dense_bits)
    return found, own.name, int(np.count_nonzero(dense(weight)))


def _added(each: Sequence[Footprint]) -> Footprint:
    """Footprints together, format by format."""
    found = Footprint()
    for name in each[0]:
        some = [one[name] for one in each]
        found[name] = Format(
            name=name,
            parts={part: sum(one.parts.get(part, 0) for one in some) for one in some for part in one.parts},
            dense_bits=sum(one.dense_bits for one in some),
            note=some[0].note if len(some) == 1 else f"{len(some)} matrices together",
            valid=all(one.valid for one in some),
            violations=sum(one.violations for one in some),
        )
    return found
