"""ONNX to a graph: nodes are run once, a few at a time, which gives all shapes, constants and the branches taken."""

from __future__ import annotations

from collections import ChainMap, Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eie_sim.core.arrays import as_dtype, fresh, one_line, shown
from eie_sim.core.errors import InputError, as_array, require, require_int, require_seed, unknown
from eie_sim.network.floatrun import value_of
from eie_sim.network.graph import PRUNED, Array, Framework, Graph, Node, Value
from eie_sim.network.moves import MOVES
from eie_sim.network.operators import INSIDE, operator_of
from eie_sim.network.readers.assembling import Found, assembled
from eie_sim.network.readers.decomposing import FUSED, Plain, decomposed, why_unlike
from eie_sim.network.readers.onnx_file import NARROWED, Contents, captured, dtype_of, graphs_of, naming
from eie_sim.network.readers.onnx_runtime import libraries, run_nodes, save_graph

MOST_OF_NAME = 150
"""Characters of a node's name that are kept, so that names of its products fit in tables."""
MOST_OF_NOTE = 400
PENDING_BYTES = 2**25
MOST_NODES = 32
"""Nodes are run so many at once, or fewer where they read more than PENDING_BYTES: every value is looked at."""
MOST_DRAWN = 2**25
"""Most elements of an input that is drawn."""
DRAWN_AT_ONCE = 2**20

Sides = list[tuple[int | None, str]]
"""Sides of an input as a file says them: a number or None, and a name. An input of any shape has no list."""


def graph_of(
    contents: Contents,
    inputs: Mapping[str, Any] | Any = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> Graph:
    """Return the graph of an ONNX file's contents, for inputs of one shape.

    inputs : arrays by name, or one array where there is one input; those not given are drawn, and the graph says so
    shapes : sides of inputs that are drawn, by name; a side that neither they nor the file say is 1
    batch : the first side of inputs that are drawn, where the file leaves it free
    Raise InputError, one line with file and reason.
    """
    require_seed(seed)
    require(shapes is None or isinstance(shapes, Mapping), "shapes", type(shapes).__name__, "must be given by name")
    with naming(contents.source):
        examples, drawn, notes = _examples(contents, inputs, dict(shapes or {}), batch, np.random.default_rng(seed))
        reading = Reading(
            contents=contents, framework=Framework(run_nodes=run_nodes, save=save_graph, opsets=contents.opsets)
        )
        reading.start(examples)
        try:
            reading.read()
        except InputError as error:
            opened = [note for note in notes if " is 1" in note]
            raise InputError(f"{error}; {', '.join(opened)}: give shapes or inputs") if opened else error from None
        return replace(reading.graph(examples, drawn, notes), seed=seed)


@dataclass(kw_only=True)
class Reading:
    """A file on its way to a graph.

    roots : arrays that were there, of which some are named; fixed : those made of them alone
    held : values that later nodes read; depends : names of all that depend on an input
    pending, pending_bytes : nodes yet to be run, and what they read; uses : how many nodes read a value from here on
    made : values that are there now; defined, names : names of values and nodes that are taken
    replaced : how many fused nodes are plain ones, by operator
    """

    contents: Contents
    framework: Framework
    held: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    depends: set[str] = field(default_factory=set)
    fixed: dict[str, Array] = field(default_factory=dict)
    roots: dict[str, Array] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    constant_nodes: list[Node] = field(default_factory=list)
    pending: list[Node] = field(default_factory=list)
    pending_bytes: int = 0
    uses: Counter[str] = field(default_factory=Counter)
    made: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    replaced: Counter[str] = field(default_factory=Counter)

    def start(self, examples: Mapping[str, Array]) -> None:
        """Take inputs and initializers. An input that is one whole number, or true or false, is a constant."""
        self.roots.update({name: array for name, array in self.contents.arrays.items() if name not in examples})
        self.named.update(self.roots)
        self.depends.update(name for name, array in examples.items() if array.ndim or array.dtype.kind == "f")
        self.roots.update({name: array for name, array in examples.items() if name not in self.depends})
        self.held.update({name: examples[name] for name in self.depends})
        self.values.update({name: value_of(name, array) for name, array in {**self.roots, **self.held}.items()})
        self.made.update(self.values)
        self.defined.update(self.values, (name for node in self.contents.nodes for name in node.output))

    def read(self) -> None:
        """Run all nodes: those of branches that are taken in place of their If, plain ones in place of fused ones."""
        waiting = deque(self.contents.nodes)
        self.uses.update(name for node in waiting for name in _reads(node))
        while waiting:
            proto = waiting.popleft()
            missing = [shown(name) for name in _reads(proto) if name not in self.made]
            if missing:
                raise InputError(f"node {_label(proto)}: reads {missing[0]}, which is made by no node before it")
            if proto.op_type == "If":
                require(len(proto.input) == 1, f"node {_label(proto)}", "If", "must have one input")
            reason, taken = "", None
            if proto.op_type == "If" and proto.input[0] not in self.depends:
                self._run()
                taken = self._branch(proto)
            elif _operator(proto) in FUSED:
                reason, taken = self._decomposed(proto)
            if taken is not None:
                self.uses.update(name for node in taken for name in _reads(node))
                self.uses.subtract(_reads(proto))
                waiting.extendleft(reversed(taken))
            elif not self._take_array(proto):
                self._take(proto, reason)
        self._run()
        for name in self.contents.outputs:
            require(name in self.made, "output", shown(name), "is made by no node")

    def _take_array(self, proto: Any) -> bool:
        """Take the array of a Constant node; return False for any other."""
        if proto.op_type != "Constant" or proto.domain:
            return False
        name, value = next(iter(_attributes(proto).items()), ("value", None))
        require(name.startswith("value") and value is not None, f"node {_label(proto)}", name, "must be its value")
        array = value if isinstance(value, np.ndarray) else np.array(value, object if "string" in name else None)
        array = array.astype(np.float32) if name.startswith("value_float") else array
        self.made.add(proto.output[0])
        self.roots[proto.output[0]] = array
        self.values[proto.output[0]] = value_of(proto.output[0], array)
        return True

    def _decomposed(self, proto: Any) -> tuple[str, list[Any] | None]:
        """Plain nodes in place of a fused one, or why there are none."""
        self._run()  # for the shapes of what it reads
        found = decomposed(
            _operator(proto),
            Plain(
                name=_label(proto),
                inputs=proto.input,
                makes=proto.output,
                given=_attributes(proto),
                values=self.values,
                taken=self.defined,
                opset=self.contents.opsets.get("", 0),
            ),
        )
        if isinstance(found, str):
            return found, None
        known = ChainMap({}, self.held, self.fixed, self.roots)
        reason = why_unlike(self.framework, _node(proto, _label(proto)), [_node(one, one.name) for one in found], known)
        if reason:
            return reason, None
        self.replaced[proto.op_type] += 1
        return "", found

    def _take(self, proto: Any, reason: str) -> None:
        """Reason : why it is not decomposed"""
        node = replace(_node(proto, fresh(_label(proto), self.names)), reason=reason)
        operator_of(node).require(node)
        inner = sorted(set(_ops_inside(proto)) & INSIDE)
        if inner:
            raise InputError(f"node {node.name}: {node.op} with {', '.join(inner)} inside is not supported")
        by_value = {"Shape": (), "Size": (), "CastLike": node.inputs[:1]}.get(node.op, node.reads)
        depends = any(name in self.depends for name in by_value)
        (self.nodes if depends else self.constant_nodes).append(node)
        if depends:
            self.depends.update(node.makes)
        self.made.update(node.makes)
        self.pending.append(node)
        arrays = (one.get(name) for name in node.reads for one in (self.roots, self.fixed, self.held))
        self.pending_bytes += sum(array.nbytes for array in arrays if array is not None)
        if len(self.pending) >= MOST_NODES or self.pending_bytes >= PENDING_BYTES:
            self._run()

    def _run(self) -> None:
        """Run the nodes that wait, and forget what no later node reads."""
        if not self.pending:
            return
        known = ChainMap({}, self.held, self.fixed, self.roots)
        try:
            made = self.framework.run(self.pending, known, [name for node in self.pending for name in node.makes])
        except InputError:
            for node in self.pending:  # one by one, to name the one that fails
                known.update(self.framework.run([node], known, node.makes))
            raise
        for name, array in made.items():
            self.values[name] = value_of(name, array)
            (self.held if name in self.depends else self.fixed)[name] = array
        for node in self.pending:
            self._share(node)
        self.uses.subtract(name for node in self.pending for name in dict.fromkeys(node.reads))
        for name in [name for name in self.held if self.uses[name] <= 0]:
            del self.held[name]
        self.pending.clear()
        self.pending_bytes = 0

    def _share(self, node: Node) -> None:
        """Keep constants that a node only moves as views of what it moves."""
        if node.op in MOVES and not node.domain and node.outputs[0] in self.fixed:
            known = ChainMap(self.fixed, self.roots)
            shapes = [self.values[name].shape if name else () for name in node.outputs]
            views = MOVES[node.op]([known[name] if name else None for name in node.inputs], node.attributes, shapes)
            self.fixed.update((name, view) for name, view in zip(node.outputs, views, strict=False) if name)

    def _branch(self, proto: Any) -> list[Any]:
        """Nodes of the branch that an If takes, its values renamed where their names are in use."""
        onnx, _ = libraries()
        condition = self.roots.get(proto.input[0], self.fixed.get(proto.input[0]))
        assert condition is not None
        wanted = "then_branch" if bool(np.all(condition)) else "else_branch"
        graph = next((one.g for one in proto.attribute if one.name == wanted), None)
        fits = graph is not None and len(graph.output) == len(proto.output)
        require(fits, f"node {_label(proto)}: {wanted}", "missing", f"must give {len(proto.output)} values")
        assert graph is not None
        taken = [onnx.helper.make_node("Constant", [], [one.name], value=one) for one in graph.initializer]
        taken += graph.node
        made = {name for node in taken for name in node.output}
        outputs = dict(zip((one.name for one in graph.output), proto.output, strict=True))
        names = {old: new for old, new in outputs.items() if old in made}
        for old in made - names.keys():
            names[old] = fresh(old, self.defined)
        taken = [_renamed(onnx, node, names) for node in taken]
        moved = [(names.get(one.name, one.name), new) for one, new in zip(graph.output, proto.output, strict=True)]
        return taken + [onnx.helper.make_node("Identity", [old], [new]) for old, new in moved if old != new]

    def graph(self, examples: Mapping[str, Array], drawn: Sequence[str], notes: Sequence[str]) -> Graph:
        """The graph of what was read."""
        notes = [*notes, *(f"{kind} is computed as float32" for kind in sorted(self.contents.narrowed))]
        notes += [f"{count} {op} decomposed into plain operators" for op, count in self.replaced.items()]
        pinned = [name for name in examples if name not in self.depends]
        notes += [f"{shown(name)}: is the constant {examples[name]}, and no input of a saved file" for name in pinned]
        if PRUNED in self.contents.metadata:
            notes.append(f"the file says of itself: pruned, {shown(self.contents.metadata[PRUNED], MOST_OF_NOTE)}")
        found = Found(
            nodes=self.nodes,
            constant_nodes={name: node for node in self.constant_nodes for name in node.makes},
            values=self.values,
            roots=self.roots,
            named=self.named,
            fixed=self.fixed,
        )
        return assembled(
            found,
            name=self.contents.name,
            source=self.contents.source,
            inputs=tuple(name for name in examples if name in self.depends),
            outputs=tuple(self.contents.outputs),
            examples={name: array for name, array in examples.items() if name in self.depends},
            framework=self.framework,
            drawn=tuple(drawn),
            notes=tuple(notes),
            metadata=self.contents.metadata,
        )


def _label(proto: Any) -> str:
    name = proto.name or next((name for name in proto.output if name), proto.op_type)
    return shown(shown(name, MOST_OF_NAME), MOST_OF_NAME)  # what does not print is longer where it is quoted


def _operator(proto: Any) -> str:
    return f"{proto.domain}.{proto.op_type}" if proto.domain else str(proto.op_type)


def _reads(proto: Any) -> list[str]:
    return [name for name in dict.fromkeys((*proto.input, *captured(proto))) if name]


def _ops_inside(proto: Any) -> list[str]:
    return [op for graph in graphs_of(proto) for node in graph.node for op in (node.op_type, *_ops_inside(node))]


def _attributes(proto: Any) -> dict[str, Any]:
    """Attributes as plain values and arrays. Raise InputError for damaged ones."""
    onnx, _ = libraries()
    found: dict[str, Any] = {}
    try:
        for one in proto.attribute:
            value = onnx.helper.get_attribute_value(one)
            if isinstance(value, onnx.TensorProto):
                value = onnx.numpy_helper.to_array(value)
            elif isinstance(value, bytes):
                value = value.decode()
            elif one.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS):
                value = [item.decode() if isinstance(item, bytes) else item for item in value]
            found[one.name] = value
    except (ValueError, TypeError) as error:
        raise InputError(f"node {_label(proto)}: attribute {shown(one.name)} is damaged: {one_line(error)}") from error
    return found


def _node(proto: Any, name: str) -> Node:
    return Node(
        name=name,
        op=proto.op_type,
        domain=proto.domain,
        kind="host",
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes=_attributes(proto),
        captured=tuple(captured(proto)),
    )


def _renamed(onnx: Any, node: Any, names: Mapping[str, str]) -> Any:
    """A copy of a node with other names of values, in graphs within it too unless they have values of these names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    for place, name in enumerate(copy.input):
        copy.input[place] = names.get(name, name)
    for place, name in enumerate(copy.output):
        copy.output[place] = names.get(name, name)
    for graph in graphs_of(copy):
        inner = {*(one.name for one in (*graph.initializer, *graph.input)), *(o for n in graph.node for o in n.output)}
        left = {old: new for old, new in names.items() if old not in inner}
        changed = [_renamed(onnx, one, left) for one in graph.node]
        del graph.node[:]
        graph.node.extend(changed)
        for output in graph.output:
            output.name = left.get(output.name, output.name)
    return copy


def _examples(
    contents: Contents, inputs: Any, shapes: dict[str, Sequence[int]], batch: int | None, rng: np.random.Generator
) -> tuple[dict[str, Array], list[str], list[str]]:
    """Arrays of all inputs, those that were drawn, and notes on the sides that nobody said."""
    if batch is not None:
        require_int("batch", batch, 1)
    asked = {info.name: info for info in contents.inputs}
    free = [name for name in asked if name not in contents.arrays]
    if inputs is not None and not isinstance(inputs, Mapping):
        require(len(free) == 1, "inputs", type(inputs).__name__, f"must be arrays by name: {', '.join(free)}")
        inputs = {free[0]: inputs}
    given = dict(inputs or {})
    for field_name, names in (("inputs", given), ("shapes", shapes)):
        for name in names:
            if name not in asked:
                raise unknown(field_name, name, asked)
    examples, drawn, notes = {}, [], []
    for name, info in asked.items():
        if name not in given and name in contents.arrays:
            continue  # a default that older files list as an input
        dtype, sides = _declared(info, contents.narrowed)
        if name in given:
            examples[name] = _fitting(name, given[name], dtype, sides)
            rule = f"must be left out: inputs give an array of {examples[name].shape}"
            require(name not in shapes, f"shape of {name}", shapes.get(name), rule)
            continue
        asked_for = shapes.get(name)
        if batch is not None and asked_for is None and sides and sides[0][0] is None:
            sides[0] = (batch, sides[0][1])
            notes.append(f"{shown(name)}: side {sides[0][1] or 0} is {batch}")
        examples[name] = _drawn(name, dtype, sides, asked_for, rng)
        drawn.append(name)
        if asked_for is None:
            free_sides = [said or axis for axis, (n, said) in enumerate(sides or ()) if n is None]
            notes += [f"{shown(name)}: side {side} is 1" for side in free_sides]
    rule = "must be left out: no input that is drawn has a free first side"
    require(batch is None or any(f"is {batch}" in note for note in notes), "batch", batch, rule)
    if drawn:
        notes.append(f"synthetic inputs: {', '.join(map(shown, drawn))}")
    return examples, drawn, notes


def _declared(info: Any, narrowed: set[str]) -> tuple[np.dtype[Any], Sides | None]:
    """Type and sides of an input, each a number or None and a name."""
    onnx, _ = libraries()
    field_name, kind = f"input {shown(info.name)}", info.type.tensor_type
    plain = info.type.WhichOneof("value") == "tensor_type"
    require(plain, field_name, info.type.WhichOneof("value"), "must be an array")
    require(kind.elem_type != onnx.TensorProto.STRING, field_name, "texts", "must be numbers")
    dtype = dtype_of(onnx, kind.elem_type, field_name)
    if dtype.name in NARROWED:
        narrowed.add(dtype.name)
        dtype = np.dtype(np.float32)
    require(dtype.kind in "fiub", field_name, dtype, "must be numbers")
    sides = [(d.dim_value if d.dim_value > 0 else None, d.dim_param) for d in kind.shape.dim]
    return dtype, sides if kind.HasField("shape") else None


def _fitting(name: str, given: Any, dtype: np.dtype[Any], sides: Sides | None) -> Array:
    """An array that was given, as the input wants it."""
    array = as_array(f"inputs {name}", given)
    _require_sides(f"inputs {name}", f"shape {array.shape}", array.shape, sides)
    require(array.size > 0, f"inputs {name}", f"shape {array.shape}", "must not be empty")
    return as_dtype(f"inputs {name}", array, dtype)


def _require_sides(field_name: str, value: object, shape: Sequence[int], sides: Sides | None) -> None:
    if sides is None:
        return
    fits = len(shape) == len(sides) and all(n in (None, side) for (n, _), side in zip(sides, shape, strict=True))
    wanted = ", ".join(str(said or "any" if n is None else n) for n, said in sides)
    require(fits, field_name, value, f"must be ({wanted})")


def _drawn(
    name: str,
    dtype: np.dtype[Any],
    sides: Sides | None,
    asked: Sequence[int] | None,
    rng: np.random.Generator,
) -> Array:
    """A drawn input: normal numbers, or ones where it is of whole numbers."""
    if sides is None and asked is None:
        raise InputError(f"input {shown(name)}: the file does not say its shape: give shapes or inputs")
    require(asked is None or isinstance(asked, Iterable), f"shape of {name}", asked, "must be whole numbers above 0")
    shape = tuple(n or 1 for n, _ in sides or ()) if asked is None else tuple(asked)
    whole = all(isinstance(side, (int, np.integer)) and side > 0 for side in shape)
    require(whole, f"shape of {name}", shape, "must be whole numbers above 0")
    _require_sides(f"shape of {name}", shape, shape, sides)
    count = int(np.prod(shape, dtype=object))
    require(count <= MOST_DRAWN, f"input {shown(name)}", f"{count:,} elements", "must be given: too many to draw")
    if dtype.kind == "f":
        made = np.empty(count, dtype)
        for start in range(0, count, DRAWN_AT_ONCE):  # float64, whose numbers a run with the same seed has had before
            made[start : start + DRAWN_AT_ONCE] = rng.standard_normal(min(DRAWN_AT_ONCE, count - start))
        return made.reshape(shape)
    return np.ones(shape, dtype)  # 0 is often padding, above 1 may be no token
