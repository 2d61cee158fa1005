"""GRU, LSTM, also of integers, and RNN as products: inputs of all steps at once, states step by step, cells between.

Gates stand one after the other in the rows of W, R and the biases: z r h of a GRU, i o f c of an LSTM (ONNX, GRU and
LSTM). Where ONNX is silent, or onnxruntime differs from it, the cells are onnxruntime's: an LSTM does not clip its cell
state; alpha and beta that are left out are 0 of Affine, ScaledTanh and ThresholdedRelu; states of an empty sequence are
0. DynamicQuantizeLSTM rounds the vectors of each product to 8 bits; weights and vectors here are what these stand for.
The range of inputs is that of all steps up to the longest sequence, the range of states that of all sequences that had
the step before, or of the last states of all where Y is left out: as onnxruntime on one thread; on several it rounds
parts of a batch apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.errors import require, unknown
from eie_sim.core.steps import Steps
from eie_sim.network.graph import Array, Graph, Node
from eie_sim.network.integers import dequantised, integers_of, left_because, plain, rounded
from eie_sim.network.products import Multiply, Product, Step, Style, chunks_of

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
X, W, R, B, LENGTHS, H0, C0, PEEPHOLES = range(8)
"""Places of inputs; C0 and PEEPHOLES are of an LSTM alone."""
WAYS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""True for each direction that reads time backwards."""
DEFAULTS = {"GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "RNN": ("Tanh",)}


class Activation(NamedTuple):
    """(x, alpha, beta) -> y, float32. alpha, beta : where they are not said; None of one that takes none"""

    function: Callable[..., Array]
    alpha: float | None = None
    beta: float | None = None


def _sigmoid(x: Array, alpha: Any, beta: Any) -> Array:
    return np.tanh(x * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)


def _elu(x: Array, alpha: Any, beta: Any) -> Array:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


ACTIVATIONS = {
    "Relu": Activation(lambda x, alpha, beta: np.maximum(x, 0)),
    "Tanh": Activation(lambda x, alpha, beta: np.tanh(x)),
    "Sigmoid": Activation(_sigmoid),
    "Softsign": Activation(lambda x, alpha, beta: x / (1 + np.abs(x))),
    "Softplus": Activation(lambda x, alpha, beta: np.logaddexp(x, np.float32(0))),
    "Affine": Activation(lambda x, alpha, beta: alpha * x + beta, 0.0, 0.0),
    "LeakyRelu": Activation(lambda x, alpha, beta: np.where(x < 0, alpha * x, x), 0.01),
    "ThresholdedRelu": Activation(lambda x, alpha, beta: np.where(x > alpha, x, np.float32(0)), 0.0),
    "ScaledTanh": Activation(lambda x, alpha, beta: alpha * np.tanh(beta * x), 0.0, 0.0),
    "HardSigmoid": Activation(lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), 0.2, 0.5),
    "Elu": Activation(_elu, 1.0),
}
SMALL = {name.lower(): one for name, one in ACTIVATIONS.items()}
"""Names are read in small letters, but for an RNN, in which onnxruntime wants them as they are spelled."""

Times = Callable[[str, Array], Array]
"""(suffix of a product, vectors [n, hidden]) -> its outputs, float32."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One step of one direction.

    activations : f, g and h as ONNX names them; peepholes : float32 [3, hidden] of the gates i, o and f
    """

    op: str
    activations: tuple[Callable[[Array], Array], ...]
    clip: np.float32 | None = None
    peepholes: Array | None = None
    linear_before_reset: bool = False
    input_forget: bool = False

    def step(self, x: Array, state: tuple[Array, ...], times: Times) -> tuple[Array, ...]:
        """The state after a step. x : of `.W`, [n, gates * hidden]; state : h, and c of an LSTM, [n, hidden]"""
        if self.op == "LSTM":
            return self._lstm(x, state[0], state[1], times)
        return (self._gru(x, state[0], times) if self.op == "GRU" else self._rnn(x, state[0], times),)

    def _clipped(self, x: Array) -> Array:
        """Return the input of an activation, clipped."""
        return x if self.clip is None else np.asarray(np.clip(x, -self.clip, self.clip))

    def _rnn(self, x: Array, h: Array, times: Times) -> Array:
        return self.activations[0](self._clipped(x + times("R", h)))

    def _gru(self, x: Array, h: Array, times: Times) -> Array:
        f, g = self.activations
        n = h.shape[1]
        if self.linear_before_reset:
            of_h = times("R", h)
            z_r = f(self._clipped(x[:, : 2 * n] + of_h[:, : 2 * n]))
            candidate = z_r[:, n:] * of_h[:, 2 * n :]
        else:
            z_r = f(self._clipped(x[:, : 2 * n] + times("Rzr", h)))
            candidate = times("Rh", z_r[:, n:] * h)
        z = z_r[:, :n]
        return np.asarray((1 - z) * g(self._clipped(x[:, 2 * n :] + candidate)) + z * h)

    def _lstm(self, x: Array, h: Array, c: Array, times: Times) -> tuple[Array, Array]:
        f, g, out = self.activations
        n = h.shape[1]
        gates = x + times("R", h)
        i, o, forget, new = (gates[:, at * n : (at + 1) * n] for at in range(4))
        p_i, p_o, p_f = np.zeros(3, np.float32) if self.peepholes is None else self.peepholes
        i = f(self._clipped(i + p_i * c))
        forget = 1 - i if self.input_forget else f(self._clipped(forget + p_f * c))
        c = forget * c + i * g(self._clipped(new))
        return f(self._clipped(o + p_o * c)) * out(c), c


def require_known(node: Node) -> None:
    """Raise InputError, which names it, for an attribute that onnxruntime does not take."""
    where, given = f"node {node.name}", node.attributes
    require(not given.get("layout"), f"{where}: layout", given.get("layout"), "must be 0: time before batch")
    way = given.get("direction", "forward")
    if way not in WAYS:
        raise unknown(f"{where}: direction", way, WAYS)
    names, count = _activation_names(node), len(DEFAULTS[plain(node).op]) * len(WAYS[way])
    require(len(names) == count, f"{where}: activations", ", ".join(names), f"must be {count}")
    for name in names:
        if name.lower() not in SMALL or (node.op == "RNN" and name not in ACTIVATIONS):
            raise unknown(f"{where}: activations", name, ACTIVATIONS)


def why_left(graph: Graph, node: Node) -> str:
    """Return "" for a node that becomes products, else why it is left to the host."""
    if not all(graph.is_constant(node.inputs[place]) for place in (W, R)):
        return "its weights are computed"
    if node.reading(B) and not graph.is_constant(node.reading(B)):
        return "its biases are computed"
    lengths = node.reading(LENGTHS)
    if lengths and not graph.is_constant(lengths) and lengths not in graph.inputs:
        return "its sequence_lens are computed"
    if not lengths_of(graph, node).any() or not all(graph.values[name].size for name in node.reads[:3]):
        return "it has no elements"
    if integers_of(node) is not None and not node.outputs[0] and not lengths_of(graph, node).all():
        return "a sequence is empty and Y is left out: onnxruntime reads states that nobody wrote"
    return left_because(graph, node)


def lengths_of(graph: Graph, node: Node) -> NDArray[np.int64]:
    """Steps of each sequence of a batch, for the inputs that the graph is for."""
    n_step, batch, _ = graph.values[node.inputs[X]].shape
    name = node.reading(LENGTHS)
    if not name:
        return np.full(batch, n_step)
    known = graph.is_constant(name)
    given = graph.array(name) if known else graph.examples.get(name, np.full(batch, n_step))
    return given.astype(np.int64)


def lower_recurrent(graph: Graph, node: Node, style: Style) -> Step:
    """Return `.W` of each direction, of all steps, and `.R`, step by step; `.Rzr`, `.Rh` where a GRU resets first.

    With two directions `.forward` or `.reverse` stands before. Steps beyond a sequence are not multiplied.
    """
    turned = WAYS[node.attributes.get("direction", "forward")]
    ways = ("",) if len(turned) == 1 else (".forward", ".reverse")
    return Step(
        node=node,
        nodes=(node,),
        reads=node.inputs[X],
        makes=node.makes,
        products=tuple(one for at, way in enumerate(ways) for one in _products(graph, node, style, at, way)),
        run=partial(_run, node),
        pattern=style.pattern,
        rounded=integers_of(node) is not None and not node.outputs[0],
        follow=partial(_run, node) if integers_of(node) is not None and node.outputs[0] else None,
    )


def _suffixes(node: Node) -> tuple[str, ...]:
    """Return the suffixes of the products of a direction, those of the state after the one of the inputs."""
    split = node.op == "GRU" and not node.attributes.get("linear_before_reset")
    return ("W", "Rzr", "Rh") if split else ("W", "R")


def _products(graph: Graph, node: Node, style: Style, at: int, way: str) -> list[Product]:
    """The products of a direction."""
    lengths = lengths_of(graph, node)
    n_in, hidden = sides_of(graph, node)
    whole = slice(0, GATES[plain(node).op] * hidden)
    biases = _biases(graph, node, at)
    sizes = tuple(int((lengths > step).sum()) for step in range(lengths.max()))
    steps = Steps(sizes, rows=whole.stop, persistent=style.persistent)
    found: list[Product] = []
    for suffix in _suffixes(node):
        cut = {"Rzr": slice(0, 2 * hidden), "Rh": slice(2 * hidden, whole.stop)}.get(suffix, whole)
        place = W if suffix == "W" else R
        n_out, n_vector = cut.stop - cut.start, n_in if suffix == "W" else hidden
        name = f"{node.name}{way}.{suffix}"
        found.append(
            Product(
                name=name,
                kind=node.op,
                n_out=n_out,
                n_in=n_vector,
                n_weight=n_out * n_vector,
                positions=int(lengths.sum()),
                blocks=1,
                launch=name,
                parameters=graph.origins(node.inputs[place]),
                bias=None if biases is None else biases[int(place == R)][cut],
                make_weight=cache(partial(_rows, partial(_weights, graph, node), place, at, cut)),
                make_elements=partial(_rows, partial(_elements, graph, node), place, at, cut),
                make_vectors=chunks_of,
                depends_on=tuple(one.name for one in found),
                steps=None if suffix == "W" else steps,
            )
        )
    return found


def sides_of(graph: Graph, node: Node) -> tuple[int, int]:
    """Inputs and hidden units of a direction."""
    columns = 2 if integers_of(node) is None else 1
    return graph.values[node.inputs[W]].shape[columns], graph.values[node.inputs[R]].shape[columns]


def _rows(given: Callable[[int], Array], place: int, at: int, cut: slice) -> Array:
    """Rows of a direction."""
    return given(place)[at, cut]


def _weights(graph: Graph, node: Node, place: int) -> Array:
    """W or R, float32 [direction, gates * hidden, inputs]; those of integers are stored turned."""
    if integers_of(node) is None:
        return graph.array(node.inputs[place])
    return dequantised(graph, node, place - W).swapaxes(1, 2)


def _elements(graph: Graph, node: Node, place: int) -> Array:
    """Which elements those are."""
    numbers = graph.elements(node.inputs[place])
    return numbers if integers_of(node) is None else numbers.swapaxes(1, 2)


def _biases(graph: Graph, node: Node, at: int) -> Array | None:
    """Return the biases of W and of R, float32 [2, gates * hidden]; exporters write zeros where a module has none."""
    name = node.reading(B)
    if not name or (name in graph.constants and not graph.constants[name].any()):
        return None
    both: Array = graph.array(name)[at].reshape(2, -1)
    return both


def _run(
    node: Node,
    products: Sequence[Product],
    values: Mapping[str, Array],
    multiply: Multiply,
    expected: Array | None = None,
) -> tuple[Array, ...]:
    """Y [n_step, direction, batch, hidden] and the last states [direction, batch, hidden], those that have a name.

    expected : Y as others have it, of which each h is read by the step after it; None for what is made here
    """
    n_step, batch, _ = values[node.inputs[X]].shape
    lengths = values[node.reading(LENGTHS)] if node.reading(LENGTHS) else np.full(batch, n_step)
    require(bool(lengths.any()), f"node {node.name}: sequence_lens", "0", "must be above 0 for a sequence")
    suffixes = _suffixes(node)
    n = len(suffixes)
    each = [dict(zip(suffixes, products[first : first + n], strict=True)) for first in range(0, len(products), n)]
    ways = [
        _direction(node, at, own, lengths, values, multiply, None if expected is None else expected[:, at])
        for at, own in enumerate(each)
    ]
    states = zip(*(state for _, state in ways), strict=True)
    made = (np.stack([y for y, _ in ways], axis=1), *map(np.stack, states))
    return tuple(value for name, value in zip(node.outputs, made, strict=False) if name)


def _direction(
    node: Node,
    at: int,
    products: Mapping[str, Product],
    lengths: NDArray[Any],
    values: Mapping[str, Array],
    multiply: Multiply,
    expected: Array | None,
) -> tuple[Array, tuple[Array, ...]]:
    """Y of a direction [n_step, batch, hidden], and its last states [batch, hidden]."""
    x, cell = values[node.inputs[X]], _cell(node, at, values)
    n_step, batch, _ = x.shape
    of_8_bits, lstm = integers_of(node) is not None, plain(node).op == "LSTM"

    def times(suffix: str, vectors: Array, among: Array) -> Array:
        if of_8_bits:
            words, scale = rounded(vectors, among)
            vectors = words * scale
        return multiply(products[suffix], vectors).astype(np.float32, copy=False)

    inside = np.arange(n_step)[:, None] < lengths
    gates = np.zeros((n_step, batch, products["W"].n_out), np.float32)
    gates[inside] = times("W", x[inside], x[: lengths.max()])
    y = np.zeros((n_step, batch, products["W"].n_out // GATES[plain(node).op]), np.float32)
    given = [node.reading(place) for place in ((H0, C0) if lstm else (H0,))]
    before = values[given[0]][at] if given[0] else y[0]
    state = tuple(np.where(lengths[:, None] > 0, values[name][at] if name else y[0], np.float32(0)) for name in given)
    for now, live in _order(lengths, n_step, WAYS[node.attributes.get("direction", "forward")][at]):
        after = cell.step(gates[now, live], tuple(each[live] for each in state), partial(times, among=before))
        y[now, live] = after[0]
        after = after if expected is None else (expected[now, live], *after[1:])
        state = tuple(_written(each, live, new) for each, new in zip(state, after, strict=True))
        before = after[0] if node.outputs[0] else state[0]
    return y, state


def _order(lengths: NDArray[Any], n_step: int, turned: bool) -> Iterator[tuple[Any, Any]]:
    """For each step the times, and the sequences that are so long."""
    if (lengths == n_step).all():
        yield from ((n_step - 1 - step if turned else step, slice(None)) for step in range(n_step))
        return
    for step in range(lengths.max()):
        live = np.flatnonzero(lengths > step)
        yield lengths[live] - 1 - step if turned else np.full(len(live), step), live


def _written(state: Array, live: Any, new: Array) -> Array:
    """The state with rows written anew, in a copy: those who were asked to multiply it keep the old one."""
    if isinstance(live, slice):  # all of them
        return new
    state = state.copy()
    state[live] = new
    return state


def _activation_names(node: Node) -> list[str]:
    """Names of the activations of all directions."""
    n_direction = len(WAYS[node.attributes.get("direction", "forward")])
    return list(node.attributes.get("activations") or DEFAULTS[plain(node).op] * n_direction)


def _cell(node: Node, at: int, values: Mapping[str, Array]) -> Cell:
    given = node.attributes
    alphas, betas = (iter(given.get(f"activation_{name}") or ()) for name in ("alpha", "beta"))
    functions = []
    for name in _activation_names(node):  # in order, each takes the next of what it needs
        one = SMALL[name.lower()]
        alpha, beta = (
            None if default is None else np.float32(next(left, default))
            for default, left in ((one.alpha, alphas), (one.beta, betas))
        )
        functions.append(partial(one.function, alpha=alpha, beta=beta))
    op = plain(node).op
    n = len(DEFAULTS[op])
    peepholes = op == "LSTM" and node.reading(PEEPHOLES)
    return Cell(
        op=op,
        activations=tuple(functions[at * n : (at + 1) * n]),
        clip=np.float32(given["clip"]) if "clip" in given else None,
        peepholes=values[node.inputs[PEEPHOLES]][at].reshape(3, -1) if peepholes else None,
        linear_before_reset=bool(given.get("linear_before_reset")),
        input_forget=bool(given.get("input_forget")),
    )
