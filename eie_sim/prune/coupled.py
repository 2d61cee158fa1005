"""Arrays of layers that are cut, and couplings that say which inputs of a layer are the outputs of another.

`couplings_of_chain` declares those of layers one after the other, flattening included; other graphs declare their own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import as_array, is_number, require, require_all, require_int, require_type, unknown

Mask = NDArray[np.bool_]
Vector = NDArray[Any]

NORM_VECTORS = ("gamma", "beta", "mean", "var")


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchNorm:
    """Normalisation of a layer's outputs at inference: gamma (x - mean) / sqrt(var + eps) + beta, output by output.

    gamma, beta, mean, var : real [n_out]; one left out is 1, 0, 0 or 1
    """

    gamma: Vector | None = None
    beta: Vector | None = None
    mean: Vector | None = None
    var: Vector | None = None
    eps: float = 1e-5

    @property
    def vectors(self) -> dict[str, Vector]:
        """The vectors that were given, by name."""
        return {name: getattr(self, name) for name in NORM_VECTORS if getattr(self, name) is not None}

    def changed(self, change: Callable[[str, Vector], Vector]) -> BatchNorm:
        """The same with `change(name, vector)` in place of each vector that was given."""
        found = {name: change(name, values) for name, values in self.vectors.items()}
        gamma, beta, mean, var = (found.get(name) for name in NORM_VECTORS)
        return BatchNorm(gamma=gamma, beta=beta, mean=mean, var=var, eps=self.eps)

    def affine(self, n_out: int) -> tuple[Vector, Vector]:
        """The same as one factor and one addend per output: float64[n_out] each."""
        gamma, beta, mean, var = (
            np.full(n_out, missing) if (given := getattr(self, name)) is None else np.asarray(given, np.float64)
            for name, missing in zip(NORM_VECTORS, (1.0, 0.0, 0.0, 1.0), strict=True)
        )
        factor = gamma / np.sqrt(var + self.eps)
        return factor, beta - mean * factor


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerArrays:
    """The arrays of one layer.

    weight : real [n_out, n_in] of a fully connected layer, or [n_out, n_in, *kernel] of a convolution
    bias : real [n_out], or None
    norm : batch normalisation between the layer and its activation function, or None

    Raises InputError, naming the layer, for wrong shapes or anything but real numbers.
    """

    name: str
    weight: Vector
    bias: Vector | None = None
    norm: BatchNorm | None = None

    def __post_init__(self) -> None:
        require_type("name", self.name, str)
        require_type(self._field("norm"), self.norm, BatchNorm, type(None))
        weight = _real(self._field("weight"), self.weight)
        rule = "must have 2 dimensions or more, (out, in, *kernel), none of them empty"
        require(weight.ndim >= 2 and weight.size > 0, self._field("weight"), f"shape {weight.shape}", rule)
        object.__setattr__(self, "weight", weight)
        if self.bias is not None:
            object.__setattr__(self, "bias", self._one_per_output("bias", self.bias))
        if self.norm is not None:
            object.__setattr__(self, "norm", self._checked_norm(self.norm))

    @property
    def n_out(self) -> int:
        """Neurons, or filters."""
        return int(self.weight.shape[0])

    @property
    def n_in(self) -> int:
        """Inputs, or input channels."""
        return int(self.weight.shape[1])

    def _field(self, part: str) -> str:
        return f"layer {self.name}: {part}"

    def _checked_norm(self, norm: BatchNorm) -> BatchNorm:
        norm = norm.changed(self._one_per_output)
        ok = is_number(norm.eps) and norm.eps < math.inf
        require(ok, self._field("eps"), norm.eps, "must be a finite number")
        spread = norm.eps + float(np.min(1.0 if norm.var is None else norm.var))
        require(spread > 0, self._field("var + eps"), spread, "must be above 0")
        return norm

    def _one_per_output(self, part: str, values: Any) -> Vector:
        array = _real(self._field(part), values)
        rule = f"must be ({self.n_out},), one per output"
        require(array.shape == (self.n_out,), self._field(part), f"shape {array.shape}", rule)
        return array


@dataclass(frozen=True, slots=True)
class Coupling:
    """Output i of `producer` feeds the `repeat` inputs of `consumer` from `offset + i * repeat` on.

    repeat : more than 1 where an image is flattened, its height times width
    offset : where the producer begins among inputs that are joined end to end

    Producers that are added feed the same inputs; they must keep the same neurons.
    """

    producer: str
    consumer: str
    repeat: int = 1
    offset: int = 0

    def inputs(self, n_out: int) -> slice:
        """The consumer's inputs fed by a producer of `n_out` outputs."""
        return slice(self.offset, self.offset + n_out * self.repeat)


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkArrays:
    """Layers, and which of them feed which. Outputs of a layer without consumers are the network's.

    Raises InputError, naming layer, axis and size, where a coupling does not fit.
    """

    layers: tuple[LayerArrays, ...]
    couplings: tuple[Coupling, ...]

    def __post_init__(self) -> None:
        require_all("layers", self.layers, LayerArrays)
        require_all("couplings", self.couplings, Coupling)
        twice = [name for name, count in Counter(layer.name for layer in self.layers).items() if count > 1]
        require(not twice, "layer", twice[:1], "two layers of one network must not share a name")
        for coupling in self.couplings:
            producer, consumer = self.layer(coupling.producer), self.layer(coupling.consumer)
            require_int(f"coupling {producer.name} to {consumer.name}: repeat", coupling.repeat, 1)
            require_int(f"coupling {producer.name} to {consumer.name}: offset", coupling.offset, 0)
            last = coupling.inputs(producer.n_out).stop
            rule = f"must be at least {last}: {producer.n_out} outputs of {producer.name}"
            rule += f" x {coupling.repeat} from input {coupling.offset} on"
            require(last <= consumer.n_in, f"layer {consumer.name}: weight axis 1", f"size {consumer.n_in}", rule)

    def layer(self, name: str) -> LayerArrays:
        """The layer so named. Raises InputError: did you mean."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown("layer", name, [layer.name for layer in self.layers])


def couplings_of_chain(layers: Sequence[LayerArrays]) -> tuple[Coupling, ...]:
    """Each layer feeds the next; a convolution before a fully connected layer is flattened, channel by channel.

    Raises InputError where the inputs of a layer are not the outputs of the one before, or no multiple of its filters.
    """
    require_all("layers", layers, LayerArrays)
    found = []
    for first, second in pairwise(layers):
        flattened = first.weight.ndim > 2 and second.weight.ndim == 2
        repeat = second.n_in // first.n_out if flattened else 1
        rule = f"must be {'a multiple of ' if flattened else ''}the {first.n_out} outputs of {first.name}"
        fits = repeat > 0 and second.n_in == repeat * first.n_out
        require(fits, f"layer {second.name}: weight axis 1", f"size {second.n_in}", rule)
        found.append(Coupling(first.name, second.name, repeat))
    return tuple(found)


def chain(layers: Sequence[LayerArrays]) -> NetworkArrays:
    """The network of layers one after the other. Raises InputError as `couplings_of_chain`."""
    couplings = couplings_of_chain(layers)
    return NetworkArrays(layers=tuple(layers), couplings=couplings)


def _real(field: str, values: Any) -> Vector:
    array = as_array(field, values)
    require(array.dtype.kind in "fiub", field, f"dtype {array.dtype}", "must hold real numbers")
    return array
