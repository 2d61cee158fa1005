"""A network as a graph of operators, whatever it was read from: values, parameters, constants and nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import as_dtype, shown
from eie_sim.core.brief import shows
from eie_sim.core.errors import InputError, as_array, as_floats, require, unknown
from eie_sim.core.sparse import is_sparse
from eie_sim.network.layers import Layer
from eie_sim.network.moves import MOVES, moves_data

Array = NDArray[Any]

PRUNED = "eie_sim.pruned"
"""Name of the metadata that say how a network was pruned."""


class Value(NamedTuple):
    """An array that a node reads or makes. dtype : as numpy names it"""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def is_classes(self) -> bool:
        """True where it looks like a score for each of several classes, float [n, classes]."""
        return self.dtype.startswith("float") and len(self.shape) == 2 and self.shape[0] > 0 and self.shape[1] > 1


class Labels(NamedTuple):
    """The right classes int64 [n] of what an output of scores [n, classes] is of."""

    output: str
    classes: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Parameter:
    """An array that was trained: what is pruned.

    name : as in the file or the state_dict
    axes : what each axis is: out, in, group, kernel0, kernel1, .., gate_out, hidden, row or norm; "" if unknown
    derived : True for the result of arithmetic on constants, such as a dequantised weight
    """

    name: str
    array: Array
    axes: tuple[str, ...]
    derived: bool = False


COMPUTED = ("gemm", "matmul", "einsum", "conv", "conv_transpose", "integer", "recurrent")
"""Kinds of nodes that become products."""
KINDS = (*COMPUTED, "two_activations", "lookup", "move", "host")


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """An operator with its inputs and outputs, by name of value.

    op, domain : the operator as ONNX names it
    kind : one of KINDS; all but the computed ones are run by the framework, moves of parameters by numpy
    inputs : "" stands for one that is left out
    attributes : by name: numbers, texts, lists of them, arrays; subgraphs as the framework has them
    captured : values that its subgraphs read from outside
    reason : why a node that multiplies with weights is host work
    """

    name: str
    op: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    domain: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    captured: tuple[str, ...] = ()
    reason: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all values that it reads."""
        return tuple(name for name in (*self.inputs, *self.captured) if name)

    @property
    def makes(self) -> tuple[str, ...]:
        """Names of all values that it makes."""
        return tuple(name for name in self.outputs if name)

    def reading(self, place: int) -> str:
        """Name of an input, or "" where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""


@dataclass(frozen=True, kw_only=True)
class Framework:
    """The framework that runs nodes which are not computed here.

    run_nodes : (nodes in order, values by name, names, opsets) -> the named values that the nodes make
    save : (graph, file) -> None
    opsets : versions of the operators, by domain

    Other processes get it with a graph: both are functions of modules.
    """

    run_nodes: Callable[[Sequence[Node], Mapping[str, Array], Sequence[str], Mapping[str, int]], dict[str, Array]]
    save: Callable[[Graph, Path], None]
    opsets: Mapping[str, int]

    def run(self, nodes: Sequence[Node], values: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Values by name that nodes make of others. Raise InputError, which names the node, where that fails."""
        return self.run_nodes(nodes, values, wanted, self.opsets)


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A network for inputs of one shape.

    inputs, outputs : names of values
    values : every value that nodes read or make
    nodes : in an order in which they can be run; moves of parameters among them
    parameters, constants : arrays that depend on no input
    examples : an array for each input; drawn : which of them were drawn, not given, with the seed
    calibration : inputs to choose scales from, of the same names and shapes; None for the examples
    notes : what was assumed, such as a free axis that is 1
    metadata : texts that a file has by name, which are saved again
    layers : those that nodes were made of, by name of node; about : what inputs are, in words, where that is known
    labels : the right classes of the examples; None where nobody says
    """

    name: str
    source: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    nodes: tuple[Node, ...]
    parameters: Mapping[str, Parameter]
    constants: Mapping[str, Array]
    examples: Mapping[str, Array]
    framework: Framework
    calibration: Mapping[str, Array] | None = None
    drawn: tuple[str, ...] = ()
    seed: int = 0
    notes: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    layers: Mapping[str, Layer] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    labels: Labels | None = None

    __repr__ = shows(
        "name",
        "source",
        "notes",
        inputs=lambda self: {name: self.values[name].shape for name in self.inputs},
        outputs=lambda self: {name: self.values[name].shape for name in self.outputs},
        nodes=lambda self: len(self.nodes),
        weights=lambda self: sum(one.array.size for one in self.parameters.values()),
    )

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        """Nodes that read a value, by its name."""
        found: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.reads):
                found[name] = (*found.get(name, ()), node)
        return found

    @cached_property
    def makers(self) -> dict[str, Node]:
        """The node that makes a value, by its name."""
        return {name: node for node in self.nodes for name in node.makes}

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that identify what is computed: nodes, arrays and inputs, not where they were read."""
        found = sha256(repr((self.inputs, self.outputs, sorted(self.framework.opsets.items()))).encode())
        for node in self.nodes:
            said = (node.name, node.op, node.kind, node.inputs, node.outputs, node.domain)
            found.update(
                repr((said, *((name, _identity(one)) for name, one in sorted(node.attributes.items())))).encode()
            )
        own = {name: parameter.array for name, parameter in self.parameters.items()}
        for group in (own, self.constants, self.examples, self.calibration or {}):
            for name, array in group.items():
                found.update(repr((name, _identity(array))).encode())
        if self.labels is not None:
            found.update(repr(_identity(list(self.labels))).encode())
        return found.digest()

    def is_constant(self, name: str) -> bool:
        """True for a parameter, a constant, and what is moved from them."""
        maker = self.makers.get(name)
        return name in self.parameters or name in self.constants or (maker is not None and maker.kind == "move")

    def array(self, name: str) -> Array:
        """The array of a parameter, of a constant, or of what moves make of them."""
        if name in self.parameters:
            return self.parameters[name].array
        if name in self.constants:
            return self.constants[name]
        return self._moved(name, self.array)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """The number of the first element of each parameter. All elements of all parameters are numbered in order."""
        sizes = [prod(parameter.array.shape) for parameter in self.parameters.values()]
        return dict(zip(self.parameters, np.cumsum([0, *sizes]).tolist(), strict=False))

    def elements(self, name: str) -> Array:
        """Which element of which parameter each element of `array(name)` is: its number, int64; -1 where it is none."""
        if name in self.parameters:
            shape = self.parameters[name].array.shape
            return self.offsets[name] + np.arange(prod(shape)).reshape(shape)
        if name in self.constants:
            return np.full(self.constants[name].shape, -1, dtype=np.int64)
        return self._moved(name, self.elements)

    def _moved(self, name: str, given: Callable[[str], Array]) -> Array:
        """A value that a move makes of the `given` arrays; what says whereto is a constant."""
        node = self.makers[name]
        sources = [
            (given if moves_data(node.op, place) else self.array)(one) if one else None
            for place, one in enumerate(node.inputs)
        ]
        shapes = [self.values[one].shape if one else () for one in node.outputs]
        return MOVES[node.op](sources, node.attributes, shapes)[node.outputs.index(name)]

    def origins(self, name: str) -> tuple[str, ...]:
        """Names of the parameters that are in `array(name)`."""
        if name in self.parameters or name in self.constants:
            return (name,) if name in self.parameters else ()
        node = self.makers[name]
        data = [one for place, one in enumerate(node.inputs) if one and moves_data(node.op, place)]
        return tuple(dict.fromkeys(owner for one in data for owner in self.origins(one)))

    def owned(self, numbers: Array, name: str) -> tuple[Array, Array]:
        """Return where element numbers are of a parameter, and which of its elements, flat, those are."""
        first = self.offsets[name]
        inside = (numbers >= first) & (numbers < first + prod(self.parameters[name].array.shape))
        return inside, numbers[inside] - first

    def with_parameters(
        self,
        arrays: Mapping[str, Any],
        *,
        constants: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Graph:
        """Return the same graph with other arrays, by name of parameter; shapes may change together.

        constants : other constants by name, such as targets of reshapes
        attributes : other attributes by name of node
        Raise InputError for an unknown name, an array of another rank, NaN or infinity, and shapes that do not fit.
        """
        constants, attributes = constants or {}, attributes or {}
        _require_known("parameter", arrays, self.parameters)
        _require_known("constant", constants, self.constants)
        _require_known("node", attributes, [node.name for node in self.nodes])
        parameters = dict(self.parameters)
        for name, given in arrays.items():
            old, field = parameters[name].array, f"parameter {name}"
            array = as_dtype(field, as_floats(field, given) if old.dtype.kind == "f" else given, old.dtype)
            rule = f"must be of {old.ndim} axes, as it was"
            require(array.ndim == old.ndim, field, f"shape {array.shape}", rule)
            parameters[name] = replace(parameters[name], array=array)
        plain = {name: as_array(name, array).astype(self.constants[name].dtype) for name, array in constants.items()}
        nodes = tuple(
            replace(node, attributes={**node.attributes, **attributes[node.name]}) if node.name in attributes else node
            for node in self.nodes
        )
        left = {} if arrays else self.layers  # they have the arrays that were there
        graph = replace(self, parameters=parameters, constants={**self.constants, **plain}, nodes=nodes, layers=left)
        same = all(parameter.array.shape == self.parameters[name].array.shape for name, parameter in parameters.items())
        return graph if same and not plain and not attributes else graph.reshaped()

    def with_calibration(self, arrays: Mapping[str, Any]) -> Graph:
        """Return the same graph whose scales are chosen from these arrays, one for each input, by name.

        Raise InputError for an unknown or missing name, another shape or kind of numbers, NaN or infinity.
        """
        _require_known("calibration", arrays, self.inputs)
        found = {}
        for name, example in self.examples.items():
            require(name in arrays, "calibration", name, "must be given")
            field = f"calibration {name}"
            array = as_array(field, arrays[name])
            rule = f"must be {example.shape}, as the input is"
            require(array.shape == example.shape, field, f"shape {array.shape}", rule)
            found[name] = as_dtype(field, array, example.dtype)
            finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
            require(finite, field, "not finite", "must be finite numbers")
        return replace(self, calibration=found)

    def with_labels(self, given: Any) -> Graph:
        """Return the same graph with the right classes of its examples, from which a run has its accuracy.

        given : whole numbers [n], or such by the name of the output [n, classes] that they are for
        Raise InputError where no output, or more than one, looks like classes, and for other numbers than it has rows.
        """
        found = [name for name in self.outputs if self.values[name].is_classes]
        if isinstance(given, Mapping):
            _require_known("labels", given, self.outputs)
            require(len(given) == 1, "labels", f"{len(given)} outputs", "must be for one output")
            ((name, given),) = given.items()
            if name not in found:
                raise InputError(f"labels={shown(name)}: is no output of classes, float [n, classes]")
        else:
            shapes = ", ".join(f"{shown(name)} {list(self.values[name].shape)}" for name in found or self.outputs)
            rule = "one output" if len(found) > 1 else "an output of classes, float [n, classes]"
            require(len(found) == 1, "labels", "given", f"must be for {rule}: the network has {shapes}")
            name = found[0]
        n, n_class = self.values[name].shape
        array = as_array("labels", given)
        require(
            array.shape == (n,),
            "labels",
            f"shape {array.shape}",
            f"must be ({n},), a class for each row of {shown(name)}",
        )
        require(array.dtype.kind in "iu", "labels", array.dtype.name, "must be whole numbers")
        outside = array[(array < 0) | (array >= n_class)]
        if len(outside):
            raise InputError(f"labels={outside[0]}: must be 0 to {n_class - 1}, a class of {shown(name)}")
        return replace(self, labels=Labels(name, array.astype(np.int64)))

    def metadata_with(self, pruned: str) -> dict[str, str]:
        """Return the metadata, where what was done to the weights comes after what was done before."""
        earlier = [self.metadata[PRUNED]] if PRUNED in self.metadata else []
        return {**self.metadata, PRUNED: "; then ".join([*earlier, pruned])}

    def right(self, outputs: Mapping[str, Array]) -> float | None:
        """Share of examples that outputs, by name, classify as labelled; None without labels."""
        if self.labels is None:
            return None
        return float(np.mean(outputs[self.labels.output].argmax(axis=1) == self.labels.classes))

    def reshaped(self) -> Graph:
        """Return the graph with the shapes of all values as its framework finds them. Raise InputError if it fails."""
        from eie_sim.network.floatrun import shapes_of

        return replace(self, values=shapes_of(self))

    def save(self, file: str | Path) -> None:
        """Write an ONNX file: the same name, nodes, parameters, outputs and metadata, for inputs of these shapes.

        An input that was taken as a constant, as a note says, or that has a default, is none of the file's. A weight
        that was computed from others, as a dequantised one, is written as what it is now.
        Raise InputError for a file that cannot be written, and for arrays of more than ONNX files hold.
        """
        from eie_sim.core.files import place_for

        self.framework.save(self, place_for("file", file))


def _identity(value: Any) -> Any:
    """Return a key that tells a value from others: of arrays and of subgraphs a digest."""
    if isinstance(value, (list, tuple)):
        return [_identity(one) for one in value]
    if hasattr(value, "SerializeToString"):
        return sha256(value.SerializeToString(deterministic=True)).hexdigest()
    if is_sparse(value):
        return [value.shape, *map(_identity, (value.indptr, value.indices, value.data))]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, sha256(np.ascontiguousarray(value).data).hexdigest()
    return value


def _require_known(field: str, given: Mapping[str, Any], known: Any) -> None:
    require(isinstance(given, Mapping), field, type(given).__name__, "must be given by name")
    for name in given:
        if name not in known:
            raise unknown(field, name, known)
