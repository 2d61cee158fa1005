"""A graph of operators on a design: every product compressed, simulated and checked, each on the outputs before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import to_builtins
from numpy.typing import NDArray

from eie_sim.core.arrays import MAX_NAME, shown
from eie_sim.core.errors import InputError
from eie_sim.core.nm_pattern import meets
from eie_sim.core.record import Coverage, GraphRun, MacShare, OutputError
from eie_sim.core.sparse import block_diagonal, is_sparse
from eie_sim.core.storage import Format
from eie_sim.core.verification import relative_error, together
from eie_sim.energy import EnergyTable, account
from eie_sim.engine import compress, simulate
from eie_sim.network import Layer, Network, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.lower import coverage, host_reason, steps_of
from eie_sim.network.operators import macs, operator_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.pipeline import LayerRun, Progress, Run
from eie_sim.prune.of_graph import pruned
from eie_sim.units import unit_of

if TYPE_CHECKING:
    from eie_sim.core.result import SimResult

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A product before it runs: its layer, the compressed weights with their scales, and a design for its inputs."""

    layer: Layer
    matrix: Any
    config: Any


def lower(graph: Graph, config: Any = None) -> list[Product]:
    """Return what the design's unit is handed of a graph: its products in order.

    config : a design; None for one product for each node, whose groups stand on the diagonal of its weights
    """
    steps = steps_of(graph) if config is None else steps_for(graph, config)
    return [product for step in steps for product in step.products]


def style_of(config: Any) -> Style:
    """How the design's unit wants its products."""
    return Style(**unit_of(config).style(config))


def steps_for(graph: Graph, config: Any) -> tuple[Step, ...]:
    """Return the nodes that the unit computes.

    Of the patterns that a node's weights meet, channels are padded to groups of the one that keeps the fewest of them.
    """
    style, patterns = style_of(config), unit_of(config).patterns(config) or ()
    padded = {group: steps_of(graph, replace(style, m_group=group)) for _, group in patterns}

    def chosen(at: int, plain: Step) -> Step:
        best, fewest = plain, sum(one.n_in for one in plain.products)
        made: dict[tuple[int, ...], list[NDArray[Any]]] = {}

        def weights_of(step: Step) -> list[NDArray[Any]]:
            sides = tuple(one.n_in for one in step.products)  # padded alike where they are equal
            if sides not in made:
                made[sides] = [one.weight for one in step.products]
            return made[sides]

        for kept, group in sorted(patterns, key=itemgetter(1)):
            step = padded[group][at]
            count = sum(one.n_in // group * kept for one in step.products)
            if count < fewest and all(meets(one, (kept, group)) for one in weights_of(step)):
                best, fewest = step, count
        return best

    return tuple(chosen(at, step) for at, step in enumerate(steps_of(graph, style)))


def run_graph(
    graph: Graph,
    config: Any,
    *,
    density: float | None,
    pattern: str | None,
    engine: str,
    table: EnergyTable,
    progress: Progress,
) -> Run:
    """Run a graph as `pipeline.run` says; scales come from the float run of the pruned network."""
    masked = pruned(graph, density=density, pattern=pattern)
    said = "" if density is None else f"; pruned by magnitude to density {density:g}"
    said = said if pattern is None else f"; pruned by magnitude to {pattern}"
    steps = steps_for(masked, config)
    prepared: dict[str, Prepared] = {}
    errors: dict[str, float] = {}

    def calibrate(step: Step, values: Arrays) -> NDArray[Any]:
        progress(f"{step.node.name}: compressing")
        value = floatrun.float_value(step, values)
        expected = floatrun.framework_value(masked, step, values)
        errors[step.node.name] = floatrun.require_lowered(step, value, expected)
        for product in step.products:
            prepared[product.name] = _prepared(product, vectors_of(product, values[step.reads]), config, said)
        return value

    runs: list[LayerRun] = []

    def simulated(step: Step, values: Arrays) -> NDArray[Any]:
        progress(f"{step.node.name}: simulating and verifying")
        x = values[step.reads]
        where = _where(masked, step.reads)
        done = [_run_product(product, prepared.pop(product.name), x, where, engine, table) for product in step.products]
        at_once = len(done) > 1 and unit_of(config).launch is not None
        runs.extend([_launched(step, done, x, table)] if at_once else done)
        return step.assemble([one.real_output for one in done], values)

    floats = floatrun.run(masked, steps, calibrate)
    outputs = floatrun.run(masked, steps, simulated)
    original = None if masked is graph else floatrun.run(graph, (), calibrate)
    node = max(errors, key=lambda name: errors[name])
    held = [_digest(one.layer) for one in runs]  # the steps of a sequence have the same
    return Run(
        network=_network(masked, steps, style_of(config), runs),
        config=config,
        table=table,
        layers=tuple(replace(one, again=held.index(held[at]) < at) for at, one in enumerate(runs)),
        accuracy=None,
        end_to_end_error=_whole_error(outputs, floats),
        graph=GraphRun(
            lowered_error=errors[node],
            lowered_node=node,
            outputs=[_output_error(name, outputs, floats, original) for name in outputs],
            macs=mac_shares(masked, style_of(config)),
            notes=list(graph.notes),
        ),
        covered=covered(masked, style_of(config)),
        outputs=outputs,
    )


def _digest(layer: Layer) -> bytes:
    """What tells the weights and the bias of a layer from others."""
    weights = layer.weights
    parts = (weights.indptr, weights.indices, weights.data) if is_sparse(weights) else (weights,)
    arrays = [np.ascontiguousarray(part) for part in (*parts, layer.bias) if part is not None]
    return sha256(b"".join(array.tobytes() for array in arrays)).digest()


def vectors_of(product: Product, x: NDArray[Any]) -> NDArray[Any]:
    """All vectors of a product, [positions, n_in]."""
    chunks = list(product.vectors(x))
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def fitting(name: str) -> str:
    """A name of at most as many characters as tables take; its end tells products of a node from each other."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 19]}...{name[-16:]}"


def _prepared(product: Product, inputs: NDArray[Any], config: Any, said: str) -> Prepared:
    """Compress a product's weights for `inputs`, float [positions, n_in], those of the calibration."""
    unit = unit_of(config)
    try:
        layer = Layer(
            name=fitting(product.name),
            weights=product.weight,
            bias=product.bias,
            weights_source=f"{', '.join(map(shown, product.parameters)) or 'constant'}{said}",
            synthetic=False,
        )
        matrix = compress(layer.weights, config, bias=layer.bias if unit.takes_bias else None)
        if unit.opened is not None:
            matrix = unit.opened(matrix, inputs, unit.for_inputs(config, -np.abs(inputs)))  # as of a chain
    except InputError as error:
        raise InputError(f"node {product.name}: {error}") from None
    return Prepared(layer=layer, matrix=matrix, config=unit.for_inputs(config, inputs))


def _run_product(
    product: Product, ready: Prepared, x: NDArray[Any], where: str, engine: str, table: EnergyTable
) -> LayerRun:
    """Simulate a product on all vectors of `x`, check it, and account for it."""
    unit, inputs = unit_of(ready.config), vectors_of(product, x)
    try:
        result: SimResult = simulate(ready.matrix, inputs, unit.for_inputs(ready.config, inputs), engine=engine)
        return LayerRun(
            layer=ready.layer,
            matrix=ready.matrix,
            inputs=where + (f"; {unit.words.negative}" if bool((inputs < 0).any()) else ""),
            result=result,
            energy=account(result, table),
            storage=unit.storage(ready.matrix, ready.config),
            verification=unit.verify(ready.layer, ready.matrix, inputs, result, before=None, relu=False),
            kind=product.kind,
            n_weight=product.n_weight,
        )
    except InputError as error:
        raise InputError(f"node {product.name}: {error}") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Launched:
    """Compressed matrices of products that run at once."""

    matrices: tuple[Any, ...]
    n_out: int
    n_in: int

    @property
    def n_weight(self) -> int:
        """Weights that are kept."""
        return sum(matrix.n_weight for matrix in self.matrices)

    @property
    def density(self) -> float:
        """Of the matrix that has all of them on its diagonal."""
        return self.n_weight / (self.n_out * self.n_in)


def _launched(step: Step, runs: list[LayerRun], x: NDArray[Any], table: EnergyTable) -> LayerRun:
    """All products of a step, none of which depends on another, as the one launch that they are.

    The layer has their weights on its diagonal. runs : of each alone
    """
    first, config = runs[0], runs[0].result.config
    launch = unit_of(config).launch
    assert launch is not None
    biases = [one.layer.bias for one in runs if one.layer.bias is not None]
    layer = replace(
        first.layer,
        name=step.node.name,
        weights=block_diagonal([one.layer.weights for one in runs]),
        bias=np.concatenate(biases) if biases else None,
    )
    matrices = tuple(one.matrix for one in runs)
    result = launch([(one.matrix, one.result) for one in runs], config, engine=first.result.engine)
    squares = [float(np.square(product.multiply(x), dtype=np.float64).sum()) for product in step.products]
    return replace(
        first,
        layer=layer,
        matrix=Launched(matrices=matrices, n_out=layer.n_out, n_in=layer.n_in),
        result=result,
        energy=account(result, table),
        storage=Format(
            name=first.storage.name,
            parts={part: sum(one.storage.parts[part] for one in runs) for part in first.storage.parts},
            dense_bits=sum(one.storage.dense_bits for one in runs),
            note=first.storage.note,
        ),
        verification=together([one.verification for one in runs], squares),
        n_weight=sum(one.n_weight or 0 for one in runs),
    )


def _where(graph: Graph, name: str) -> str:
    """What a value is, in words."""
    if name not in graph.inputs:
        return "simulated: outputs of the nodes before"
    return f"synthetic: {shown(name)}" if name in graph.drawn else f"given: {shown(name)}"


def _network(graph: Graph, steps: tuple[Step, ...], style: Style, runs: list[LayerRun]) -> Network:
    """What the record of a run asks of a network."""
    computed = {node.name for step in steps for node in step.nodes}
    left = [
        (fitting(node.name), f"{node.op}, {host_reason(graph, node, style)}")
        for node in graph.nodes
        if node.name not in computed and (macs(graph, node) or node.reason)
    ]
    others: dict[str, list[int]] = {}
    for node in graph.nodes:
        if node.name not in computed and node.kind != "move" and not (macs(graph, node) or node.reason):
            sizes = [graph.values[name].size for name in node.makes if name in graph.values]
            others.setdefault(node.op, []).append(sum(sizes))
    host = [(op, f"host, {len(sizes)} nodes that make {sum(sizes):,} numbers") for op, sizes in others.items()]
    return Network(
        name=graph.name,
        layers=tuple(run.layer for run in runs),
        chained=False,
        source=graph.source,
        not_simulated=(*left, *host),
        left=None,
    )


def mac_shares(graph: Graph, style: Style) -> list[MacShare]:
    """MACs of every kind of node, the largest first."""
    return [
        MacShare(kind=share.kind, reason=share.reason, nodes=share.nodes, macs=share.macs)
        for share in coverage(graph, style)
    ]


def covered(graph: Graph, style: Style) -> Coverage:
    """How much of a graph products are of. Weights of one that is shared count once."""
    inside: set[str] = set()
    outside: set[str] = set()
    tables: set[str] = set()
    for node in graph.nodes:
        if node.kind == "lookup":
            tables.update(graph.origins(node.inputs[0]))
        elif macs(graph, node) or node.reason:
            sides = [node.reading(place) for place in operator_of(node).sides or range(len(node.inputs))]
            weights = {owner for one in sides if one and graph.is_constant(one) for owner in graph.origins(one)}
            (inside if host_reason(graph, node, style) is None else outside).update(weights)

    def size(names: set[str]) -> int:
        return sum(graph.parameters[name].array.size for name in names)

    shares = coverage(graph, style)
    total, left = sum(share.macs for share in shares), sum(share.macs for share in shares if share.reason)
    simulated, not_simulated = size(inside), size(outside - inside)
    return Coverage(
        weights_simulated=simulated,
        weights_not_simulated=not_simulated,
        share_not_simulated=not_simulated / max(1, simulated + not_simulated),
        share_of_macs_not_simulated=left / max(1, total),
        numbers_looked_up=size(tables - inside - outside),
        arrays_not_counted=0,
    )


def description(graph: Graph, config: Any) -> dict[str, Any]:
    """Return what a graph is, and what of it the design's unit covers, as plain data; nothing is simulated."""
    style, ops = style_of(config), Counter(node.op for node in graph.nodes if node.kind != "move")
    return {
        "network": graph.name,
        "source": graph.source,
        "unit": unit_of(config).name,
        "inputs": [
            {"name": name, "shape": list(graph.values[name].shape), "synthetic": name in graph.drawn}
            for name in graph.inputs
        ],
        "outputs": [{"name": name, "shape": list(graph.values[name].shape)} for name in graph.outputs],
        "notes": list(graph.notes),
        "operators": dict(ops.most_common()),
        "parameters": [
            {"name": name, "shape": list(one.array.shape), "axes": list(one.axes), "derived": one.derived}
            for name, one in graph.parameters.items()
        ],
        "macs": [to_builtins(share) for share in mac_shares(graph, style)],
        "coverage": to_builtins(covered(graph, style)),
    }


def _whole_error(outputs: Arrays, floats: Arrays) -> float | None:
    """Of all outputs together that are floats."""
    names = [name for name, array in floats.items() if array.dtype.kind == "f"]
    none = [np.empty(0)]
    return _error(*(np.concatenate([of[name].ravel() for name in names] or none) for of in (outputs, floats)))


def _output_error(name: str, outputs: Arrays, floats: Arrays, original: Arrays | None) -> OutputError:
    found, wanted = outputs[name], floats[name]
    classes = wanted.dtype.kind == "f" and wanted.ndim == 2 and wanted.shape[1] > 1
    same = found.shape == wanted.shape  # data may choose it
    difference = np.abs(found.astype(np.float64) - wanted).max(initial=0.0) if same else np.inf
    return OutputError(
        name=name,
        error=_error(found, wanted),
        original_error=None if original is None else _error(found, original[name]),
        largest_difference=float(difference) if np.isfinite(difference) else 0.0,
        top1_agreement=float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1))) if classes and same else None,
    )


def _error(found: NDArray[Any], wanted: NDArray[Any]) -> float | None:
    """Relative; None where it is of no floats, of other shapes as data choose them, or not finite."""
    if wanted.dtype.kind != "f" or found.shape != wanted.shape:
        return None
    error = relative_error(found, wanted)
    return error if error is not None and np.isfinite(error) else None
