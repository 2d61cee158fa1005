"""Layers to simulate, with weights and activations, and where each of them comes from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import (
    Floats,
    Weights,
    nonzero_fraction,
    require_floats,
    require_matrix_shape,
    require_name,
    require_plain,
    shown,
)
from eie_sim.core.brief import shows
from eie_sim.core.errors import require, require_one_of, require_seed, require_type, unknown
from eie_sim.core.sparse import checked, is_sparse
from eie_sim.network.shared import SharedWeights

NO_ACTIVATIONS = "none recorded"
FROM_LAYER_BEFORE = "computed by the layer before"

RELU, NONE = "relu", "none"
BETWEEN = (RELU, NONE)
"""Activation functions between the layers of a chain."""


class Left(NamedTuple):
    """Weights of a file that are not simulated.

    weights : numbers in arrays that are multiplied, convolutions and recurrent ones too; looked_up : in embeddings
    uncounted : arrays of weights whose numbers cannot be told, such as packed words
    """

    weights: int = 0
    looked_up: int = 0
    uncounted: int = 0


NOTHING_LEFT = Left()


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """One fully connected layer.

    weights : float32 or float64 [n_out, n_in], numpy array or scipy.sparse.csc_array; pruned weights are zeros
    bias : float [n_out], or None
    activations : float [n_vector, n_in], inputs of this layer to simulate, or None
    weights_source, activations_source : what they are, in words fit for a table
    synthetic : True where the values of the weights were drawn, not trained
    maps : dimensions of the maps of a 1x1 convolution, channels second, whose positions are vectors; 0 of other layers
    stored : the codes and codebook that weights and bias were decoded from, or None where they are yet to be compressed

    Raises InputError, naming the layer, for wrong shapes or types, NaN or infinity.
    """

    name: str
    weights: Weights
    bias: Floats | None = None
    activations: Floats | None = None
    weights_source: str
    activations_source: str = NO_ACTIVATIONS
    synthetic: bool
    stored: SharedWeights | None = None
    maps: int = 0

    __repr__ = shows("name", "n_out", "n_in", "density", "weights_source", "activations", "activations_source")

    def __post_init__(self) -> None:
        require_name("layer", self.name)
        for name, kind in (("weights_source", str), ("activations_source", str), ("synthetic", bool)):
            require_type(self._field(name), getattr(self, name), kind)
        self._check_weights()
        self._check_stored()
        if self.bias is not None:
            require_plain(self._field("bias"), self.bias)
            rule = f"must be ({self.n_out},), one per output"
            require(self.bias.shape == (self.n_out,), self._field("bias"), f"shape {self.bias.shape}", rule)
            require_floats(self._field("bias"), self.bias)
        if self.activations is not None:
            require_batch(self._field("activations"), self.activations, self.n_in)

    def _check_weights(self) -> None:
        field = self._field("weights")
        if is_sparse(self.weights):
            checked(field, self.weights)
            require(self.weights.format == "csc", field, self.weights.format, "must be a numpy array or a csc_array")
        else:
            require_plain(field, self.weights)
        require_matrix_shape(field, self.weights.shape)
        require_floats(field, self.weights)

    def _check_stored(self) -> None:
        if self.stored is None:
            return
        require_type(self._field("stored"), self.stored, SharedWeights)
        same = self.weights is self.stored.weights and self.bias is self.stored.bias
        require(same, self._field("stored"), "other weights", "must be left out where weights or bias change")

    def _field(self, part: str) -> str:
        return f"layer {self.name}: {part}"

    @property
    def n_out(self) -> int:
        """Outputs, rows of the weights."""
        return int(self.weights.shape[0])

    @property
    def n_in(self) -> int:
        """Inputs, columns of the weights."""
        return int(self.weights.shape[1])

    @property
    def columns(self) -> Weights:
        """The weights with the bias, where there is one, as a last column; a numpy array or csc_array as they are."""
        if self.bias is None:
            return self.weights
        if is_sparse(self.weights):
            from scipy.sparse import csc_array, hstack

            return hstack([self.weights, csc_array(self.bias[:, None])], format="csc")
        return np.column_stack([self.weights, self.bias])

    def outputs(self, inputs: NDArray[np.floating], *, bias: bool = True) -> NDArray[np.float64]:
        """The float product with inputs [n_vector, n_in], [n_vector, n_out]; bias : False to leave the bias out."""
        sums = np.asarray(inputs.astype(np.float64) @ self.weights.T)  # float32 could overflow on the way
        return sums + self.bias if bias and self.bias is not None else sums

    @cached_property
    def density(self) -> float:
        """Fraction of the weights that is not zero, the bias left out."""
        return nonzero_fraction(self.weights)

    @cached_property
    def activation_density(self) -> float | None:
        """Fraction of the activations that is not zero, over all vectors; None without activations."""
        return None if self.activations is None else nonzero_fraction(self.activations)


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """Layers that belong together.

    layers : in order
    chained : True where each layer's outputs are the next one's inputs
    between : what stands between the layers of a chain, "relu" or "none"
    source : where it comes from, in words fit for a table
    not_simulated : (name, reason) of what was there beside the layers
    left : how much that is, None where that was not counted, or where the layers are chosen among others
    test_inputs : float [n, n_in of the first layer], inputs with known answers, or None
    test_labels : int [n], the answers, or None
    train_inputs, train_labels : the same of what it was trained on, none of them among the test inputs
    dense_layers : the layers before pruning, or None
    calibration : float [n, n_in of the first layer], training data to choose fixed-point scales from, or None
    seed : what was drawn was drawn with it

    Raises InputError where the parts do not fit each other.
    """

    name: str
    layers: tuple[Layer, ...]
    chained: bool
    source: str
    not_simulated: tuple[tuple[str, str], ...] = ()
    left: Left | None = NOTHING_LEFT
    test_inputs: Floats | None = None
    test_labels: NDArray[np.integer] | None = None
    train_inputs: Floats | None = None
    train_labels: NDArray[np.integer] | None = None
    dense_layers: tuple[Layer, ...] | None = None
    calibration: Floats | None = None
    seed: int = 0
    between: str = RELU

    __repr__ = shows(
        "name",
        "source",
        "chained",
        "test_inputs",
        layers=lambda self: {one.name: f"{one.n_out}x{one.n_in}" for one in self.layers},
        weights=lambda self: sum(one.n_out * one.n_in for one in self.layers),
        not_simulated=lambda self: len(self.not_simulated),
    )

    def __post_init__(self) -> None:
        require_name("network", self.name)
        require_one_of("between", self.between, BETWEEN)
        require_seed(self.seed)
        require_type("chained", self.chained, bool)
        require_type("source", self.source, str)
        require_pairs("not_simulated", self.not_simulated)
        require_type("left", self.left, Left, type(None))
        require_layers("layers", self.layers)
        require(len(self.layers) > 0, "layers", "()", "must be at least one")
        twice = [name for name, count in Counter(layer.name for layer in self.layers).items() if count > 1]
        require(not twice, "layer", twice[:1], "two layers of one network must not share a name")
        if self.chained:
            for first, second in pairwise(self.layers):
                require_follows(second.name, second.n_in, first.name, first.n_out)
        self._check_inputs()
        if self.dense_layers is not None:
            require_layers("dense_layers", self.dense_layers)
            before = [(layer.name, *layer.weights.shape) for layer in self.dense_layers]
            after = [(layer.name, *layer.weights.shape) for layer in self.layers]
            require(before == after, "dense_layers", before, f"must have the names and shapes of the layers, {after}")

    def _check_inputs(self) -> None:
        n_in = self.layers[0].n_in
        for field in ("test_inputs", "train_inputs", "calibration"):
            batch = getattr(self, field)
            if batch is not None:
                require_batch(field, batch, n_in)
        for field, inputs, labels in (
            ("test_labels", self.test_inputs, self.test_labels),
            ("train_labels", self.train_inputs, self.train_labels),
        ):
            if labels is not None:
                require_plain(field, labels)
                require(labels.dtype.kind in "iu", field, f"dtype {labels.dtype}", "must be integers")
                fits = inputs is not None and labels.shape == (len(inputs),)
                require(fits, field, f"shape {labels.shape}", f"must be one per input, {field[:-6]}inputs")
                self._check_answers(field, labels)

    def _check_answers(self, field: str, labels: NDArray[np.integer]) -> None:
        low, high = int(labels.min()), int(labels.max())
        require(low >= 0, field, low, "must be >= 0, the number of the right output")
        most = self.layers[-1].n_out
        require(not self.chained or high < most, field, high, f"must be below the network's {most} outputs")

    @property
    def inputs(self) -> Floats | None:
        """Inputs that a run starts from, float [n, n_in]: the test inputs, or else the first layer's activations."""
        return self.layers[0].activations if self.test_inputs is None else self.test_inputs

    def takes_outputs(self, at: int) -> bool:
        """True where layer `at` reads what the one before puts out: in a chain, unless its own inputs are recorded.

        Beside test inputs recorded ones do not count, they are of other inputs.
        """
        recorded = self.layers[at].activations is not None and self.test_inputs is None
        return self.chained and at > 0 and not recorded

    @property
    def synthetic(self) -> bool:
        """True where any layer's weights are."""
        return any(layer.synthetic for layer in self.layers)

    def layer(self, name: str) -> Network:
        """The network of just the layer `name`, with that layer's own activations. Raises InputError: did you mean.

        Test inputs and labels stay behind, because one layer does not answer the network's question.
        """
        require_type("layer", name, str)
        names = [layer.name for layer in self.layers]
        if name not in names:
            raise unknown("layer", shown(name), names)
        at = names.index(name)
        return replace(
            self,
            name=self.name if len(names) == 1 else f"{self.name}/{name}",
            layers=(self.layers[at],),
            left=self.left if len(names) == 1 else None,
            chained=False,
            test_inputs=None,
            test_labels=None,
            train_inputs=None,
            train_labels=None,
            dense_layers=None if self.dense_layers is None else (self.dense_layers[at],),
            calibration=self.calibration if at == 0 else None,
        )


def require_follows(name: str, n_in: int, before: str, n_out: int) -> None:
    """Raise InputError unless a layer of a chain has as many inputs as the one before it has outputs."""
    require(n_in == n_out, f"layer {name}: n_in", n_in, f"must be the {n_out} outputs of {before}")


def require_batch(field: str, batch: Floats, n_in: int) -> None:
    """Raise InputError unless `batch` is finite float [n >= 1, n_in]."""
    require_plain(field, batch)
    ok = batch.ndim == 2 and batch.shape[1] == n_in and len(batch) > 0
    require(ok, field, f"shape {batch.shape}", f"must be (n_vector, {n_in}), n_vector at least 1")
    require_floats(field, batch)


def require_layers(field: str, layers: Any) -> None:
    """Raise InputError unless `layers` is a tuple of `Layer`."""
    require_type(field, layers, tuple)
    for at, layer in enumerate(layers):
        require_type(f"{field}[{at}]", layer, Layer)


def require_pairs(field: str, pairs: Any) -> None:
    """Raise InputError unless `pairs` is a tuple of pairs of text."""
    require_type(field, pairs, tuple)
    for at, pair in enumerate(pairs):
        ok = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        require(ok, f"{field}[{at}]", type(pair).__name__, "must be a pair of texts, (name, reason)")
