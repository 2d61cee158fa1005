"""Products: what a unit is handed of a network. One is Y[p, m] = sum over k of X[p, k] * W[m, k] + bias[m]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.brief import shows
from eie_sim.core.nm_pattern import DENSE, Pattern, whole_groups
from eie_sim.core.sparse import is_sparse
from eie_sim.core.steps import Steps
from eie_sim.network.graph import Array, Node
from eie_sim.network.integers import Sums

Multiply = Callable[["Product", Array], Array]
"""(product, what its vectors are made of) -> outputs [n_vector, n_out] as nodes read them, the bias included."""

CHUNK_BYTES = 2**26
"""Most bytes of the vectors that are made at once."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """A unit's wishes for its products.

    batched : True for one product for each group of a convolution, False for one whose weights are block-diagonal
    depthwise : False where a convolution of one channel a group is left to the host
    pattern : the N:M pattern that weights are compressed as: channels per tap are padded with zeros to a multiple of M,
        so that no group spans two taps, dense ones are not; None where there is none, or it is yet to be chosen
    fold : False where a BatchNorm is left to the host
    persistent : True where all steps of a recurrent product are one launch
    two_activations : True where a product of two activations is taken too, False where it is left to the host
    """

    batched: bool = False
    depthwise: bool = True
    pattern: Pattern | None = None
    fold: bool = True
    persistent: bool = False
    two_activations: bool = False

    def padded(self, channels: int) -> int:
        """Channels of a tap with the zeros that fill up its last group."""
        return whole_groups(channels, self.pattern or DENSE)


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """One product of a node, before its weights are there.

    suffix : what its name ends in; "" for the only one
    n_in : columns of its weights; n_weight : how many of its elements are weights, neither padding nor between blocks
    channels : int64 [n_out], the channel of the node's output that each row makes
    blocks : groups on the diagonal of its weights
    arrange : (the node's weights or their element numbers, what stands elsewhere) -> [n_out, n_in]
    vectors : (the node's input, most rows) -> chunks [rows, n_in] in order of positions, `positions` rows in all
    """

    suffix: str
    n_in: int
    n_weight: int
    channels: NDArray[np.int64]
    positions: int
    arrange: Callable[[Array, Any], Array]
    vectors: Callable[[Array, int], Iterator[Array]]
    blocks: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Form:
    """A node as products.

    reads, weight, bias : names of its input, of its weights, and of what is added to its outputs, "" if nothing is
    alpha, beta : what weights and bias are multiplied with
    group_axes, out_axes : axes of the output that its channels stand on, outermost first
    join : (outputs [positions, n_out] of the parts, bias of the channels or None) -> the node's output
    bias_on_host : True where the bias is no part of the products: `join` adds it
    host : what is computed around the products, in words, and how many numbers that makes
    integer : of a node on integers, what stands before and after its products
    """

    kind: str
    reads: str
    weight: str
    parts: tuple[Part, ...]
    group_axes: tuple[int, ...]
    out_axes: tuple[int, ...]
    join: Callable[[Sequence[Array], Array | None], Array]
    bias: str = ""
    alpha: float = 1.0
    beta: float = 1.0
    bias_on_host: bool = False
    host: tuple[tuple[str, int], ...] = ()
    integer: Sums | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Product:
    """Weights that meet vectors.

    name : of its node and what tells it from others of that node
    kind : in words fit for a table, such as "kxk conv2d"
    n_out, n_in : rows and columns of its weights
    n_weight : how many elements are weights, the others being padding and what stands outside of blocks; 0 where they
        are activations, which `weight` has only while the step runs
    positions : vectors; blocks : groups on the diagonal of the weights
    launch : products that share it depend on none of each other and are one batched launch
    parameters : names of those that the weights are made of
    depends_on : names of products of the same node that come before
    steps : how vectors are made of outputs of those before; None where all are there at once
    whole : True where weights and vectors are whole numbers, so that float64 has their sums exactly
    map_size : numbers of the map that a vector is gathered from, of one input of a batch; 0 where it lies as it is read
    bias : float32 [n_out], float64 of whole numbers, or None; a bias that is all zero is one
    make_weight, make_elements, make_vectors : what `weight`, `elements` and `vectors` call
    """

    name: str
    kind: str
    n_out: int
    n_in: int
    n_weight: int
    positions: int
    blocks: int
    launch: str
    parameters: tuple[str, ...]
    bias: NDArray[np.float32] | None
    make_weight: Callable[[], NDArray[np.float32]]
    make_elements: Callable[[], NDArray[np.int64]]
    make_vectors: Callable[[Array, int], Iterator[Array]]
    depends_on: tuple[str, ...] = ()
    steps: Steps | None = None
    map_size: int = 0
    whole: bool = False

    __repr__ = shows("name", "kind", "n_out", "n_in", "n_weight", "positions")

    @property
    def weight(self) -> NDArray[np.float32]:
        """float32 [n_out, n_in]; of a convolution, taps are outside and channels inside. Made when it is asked for.

        A numpy array in C order, which may be the parameter itself; a csc_array where a layer's weights are one.
        """
        weight = self.make_weight()
        return weight if is_sparse(weight) else np.ascontiguousarray(weight)

    @property
    def elements(self) -> NDArray[np.int64]:
        """Number of the parameter's element that each weight is (`Graph.owned`); -1 where it is none."""
        return self.make_elements()

    @property
    def of_activations(self) -> bool:
        """True where the weights are activations: nothing that is stored, pruned, or shared."""
        return self.n_weight == 0

    @property
    def macs(self) -> int:
        """Weights, or the activations in their place, times positions."""
        return (self.n_weight or self.n_out * self.n_in) * self.positions

    def gathered(self, n_vector: int) -> int:
        """Numbers that so many vectors are gathered of, one for each tap and channel; 0 where they lie as they are."""
        return n_vector * self.n_in if self.map_size else 0

    def vectors(self, x: Array) -> Iterator[Array]:
        """Yield all vectors of `x`, what the step multiplies: chunks [n, n_in] of at most CHUNK_BYTES."""
        most = max(1, CHUNK_BYTES // max(1, self.n_in * x.itemsize))
        return self.make_vectors(x, most)

    def multiply(self, x: Array) -> Array:
        """The float product with its bias, [positions, n_out], float32."""
        return self.with_bias(self.sums(x))

    def sums(self, x: Array) -> Array:
        """The float product without its bias, float64 of whole numbers, and where float32 would overflow."""
        weight = self.make_weight().T
        if self.whole:
            weight = weight.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.concatenate([chunk @ weight for chunk in self.vectors(x)])
            if np.isfinite(sums).all():
                return sums
            return np.concatenate([chunk.astype(np.float64) @ weight for chunk in self.vectors(x)])

    def with_bias(self, sums: Array) -> Array:
        """Sums [positions, n_out] with the bias, where there is one."""
        with np.errstate(over="ignore", invalid="ignore"):
            return sums if self.bias is None else sums + self.bias


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """A node that is computed, and those right after it that are in its weights and bias.

    node : what is lowered; nodes : the same and the bias or BatchNorm that went into it
    reads : the value that vectors are made of; makes : the values that come out
    host : work around the products, in words, and how many numbers each makes
    weighs : the value that weights are made of, where they are activations; "" where they are constant
    rounded : True where sums are rounded to 8 bits unseen, which are one step apart where sums differ a little
    run : what `compute` calls
    follow : (products, values, multiply, the step's values as others have them) -> those values again, each state made
        of the others' state before; None where they have none
    pattern : what weights of all its products are padded for and compressed as; None of a unit that has none
    """

    node: Node
    nodes: tuple[Node, ...]
    reads: str
    makes: tuple[str, ...]
    products: tuple[Product, ...]
    run: Callable[[Sequence[Product], Mapping[str, Array], Multiply], tuple[Array, ...]]
    pattern: Pattern | None = None
    weighs: str = ""
    host: tuple[tuple[str, int], ...] = ()
    rounded: bool = False
    follow: Callable[[Sequence[Product], Mapping[str, Array], Multiply, Array], tuple[Array, ...]] | None = None

    @property
    def macs(self) -> int:
        """MACs of all its products."""
        return sum(product.macs for product in self.products)

    @property
    def at_once(self) -> bool:
        """True for several products none of which depends on another: one batched launch."""
        return len(self.products) > 1 and len({product.launch for product in self.products}) == 1

    def compute(self, values: Mapping[str, Array], multiply: Multiply) -> tuple[Array, ...]:
        """Return the values that the step makes, in order, float32, or float64 where outputs of products are.

        values : what the nodes read, by name
        multiply : is asked for each product in order, for one that runs in `steps` once a step
        """
        return tuple(np.asarray(value, order="C") for value in self.run(self.products, values, multiply))


def chunks_of(rows: Array, most: int) -> Iterator[Array]:
    """Vectors [n, n_in] as they are, at most so many at once."""
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def taking(chunks: Iterator[Array], wanted: Array, taken: list[Array]) -> Iterator[Array]:
    """Yield chunks of vectors, and add those at the wanted positions, int64 and ascending, to `taken`."""
    first = 0
    for chunk in chunks:
        taken.append(chunk[wanted[(wanted >= first) & (wanted < first + len(chunk))] - first])
        first += len(chunk)
        yield chunk
        del chunk  # before the next is made


def blocks_of(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Cut an array of positions into blocks of at most `most`, each whole along all inner axes but one, in C order."""
    if not shape:
        yield ()
        return
    inner = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    axis = next(axis for axis, size in enumerate(inner) if size <= most)
    step = most // max(1, inner[axis])
    for outer in np.ndindex(shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*(slice(at, at + 1) for at in outer), slice(start, start + step))
