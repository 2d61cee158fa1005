"""A graph of operators run on a design: every product compressed, simulated and checked, on the outputs before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eie_sim.core.arrays import MAX_NAME, shown
from eie_sim.core.errors import InputError
from eie_sim.core.record import GraphRun, OutputError, Sampled
from eie_sim.core.result import SimResult, in_turn, standing_for
from eie_sim.core.sparse import block_diagonal, is_sparse
from eie_sim.core.storage import Format
from eie_sim.core.verification import Verification, relative_error, together
from eie_sim.core.verification import in_turn as verified_in_turn
from eie_sim.energy import EnergyTable, account
from eie_sim.engine import compress, simulate
from eie_sim.graphs import covered, mac_shares, steps_for
from eie_sim.network import Layer, Network, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.lower import host_reason
from eie_sim.network.operators import macs
from eie_sim.network.products import Product, Step, Style
from eie_sim.prune.of_graph import pruned
from eie_sim.runs import LayerRun, Run
from eie_sim.units import unit_of

Arrays = Mapping[str, NDArray[Any]]

IN_95_PERCENT = 1.96
"""Standard errors on either side of a mean, of a normal distribution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A product before it runs: its layer, the compressed weights with their scales, and a design for its inputs."""

    layer: Layer
    matrix: Any
    config: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class How:
    """How products are run. positions : most of a product that are timed and checked, None for all"""

    engine: str
    table: EnergyTable
    positions: int | None
    seed: int = 0


def run_graph(
    graph: Graph,
    config: Any,
    *,
    density: float | None,
    pattern: str | None,
    style: Style,
    how: How,
    progress: Callable[[str], None],
) -> Run:
    """Run a graph as `pipeline.run` says; scales come from the float run of the pruned network."""
    masked = pruned(graph, density=density, pattern=pattern)
    said = "" if density is None else f"; pruned by magnitude to density {density:g}"
    said = said if pattern is None else f"; pruned by magnitude to {pattern}"
    steps = steps_for(masked, config, style)
    prepared: dict[str, Prepared] = {}
    errors: dict[str, float] = {}

    def calibrate(step: Step, values: Arrays) -> NDArray[Any]:
        progress(f"{step.node.name}: compressing")
        outputs = [product.multiply(values[step.reads]) for product in step.products]
        value = step.assemble(outputs, values)
        expected = floatrun.framework_value(masked, step, values)
        errors[step.node.name] = floatrun.require_lowered(step, value, expected)
        for product in step.products:
            prepared[product.name] = prepared_for(product, values[step.reads], config, said)
        return value

    runs: list[LayerRun] = []

    def simulated(step: Step, values: Arrays) -> NDArray[Any]:
        progress(f"{step.node.name}: simulating and verifying")
        x, where = values[step.reads], inputs_said(masked, step.reads)
        done = [_run_product(product, prepared.pop(product.name), x, where, how) for product in step.products]
        at_once = len(done) > 1 and unit_of(config).launch is not None
        runs.extend([_launched(step, done, x, how.table)] if at_once else done)
        return step.assemble([one.real_output for one in done], values)

    floats = floatrun.run(masked, steps, calibrate, masked.calibration)
    if masked.calibration is not None:
        floats = floatrun.run(masked, (), calibrate)
    outputs = floatrun.run(masked, steps, simulated)
    original = None if masked is graph else floatrun.run(graph, (), calibrate)
    node = max(errors, key=lambda name: errors[name])
    held = [digest_of(one.layer) for one in runs]  # the steps of a sequence have the same
    return Run(
        network=_network(masked, steps, style, runs),
        config=config,
        table=how.table,
        layers=tuple(replace(one, again=held.index(held[at]) < at) for at, one in enumerate(runs)),
        accuracy=None,
        end_to_end_error=_whole_error(outputs, floats),
        graph=GraphRun(
            lowered_error=errors[node],
            lowered_node=node,
            outputs=[_output_error(name, outputs, floats, original) for name in outputs],
            macs=mac_shares(masked, style),
            notes=list(graph.notes),
        ),
        covered=covered(masked, style),
        outputs=outputs,
    )


def digest_of(layer: Layer) -> bytes:
    """What tells the weights and the bias of a layer from others."""
    weights = layer.weights
    parts = (weights.indptr, weights.indices, weights.data) if is_sparse(weights) else (weights,)
    arrays = [np.ascontiguousarray(part) for part in (*parts, layer.bias) if part is not None]
    return sha256(b"".join(array.tobytes() for array in arrays)).digest()


def fitting(name: str) -> str:
    """A name of at most as many characters as tables take; its end tells products of a node from each other."""
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 19]}...{name[-16:]}"


def vectors_of(product: Product, x: NDArray[Any]) -> NDArray[Any]:
    """All vectors of a product, [positions, n_in]."""
    chunks = list(product.vectors(x))
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def prepared_for(product: Product, x: NDArray[Any], config: Any, said: str) -> Prepared:
    """Compress a product's weights for the vectors of `x`, those of the calibration."""
    unit, inputs = unit_of(config), vectors_of(product, x)
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


def _run_product(product: Product, ready: Prepared, x: NDArray[Any], where: str, how: How) -> LayerRun:
    """Simulate a product on the vectors of `x`, check it, and account for it.

    Vectors that a unit runs one after the other are made in chunks; of these, a sample may stand for all.
    """
    unit = unit_of(ready.config)
    chunks = product.vectors(x) if unit.in_turn else iter([vectors_of(product, x)])
    try:
        design = unit.for_inputs(ready.config, x)
        if unit.in_turn and how.positions is not None and how.positions < product.positions:
            result, verification, sampled = _sampled(product, ready, chunks, design, how)
        else:
            sampled = None
            parts = [_part(product, ready, chunk, design, how.engine) for chunk in chunks]
            result = in_turn([part for part, _, _ in parts])
            verification = verified_in_turn([part for _, part, _ in parts], [part for _, _, part in parts])
        return LayerRun(
            layer=ready.layer,
            matrix=ready.matrix,
            inputs=where + (f"; {unit.words.negative}" if bool((x < 0).any()) else ""),
            result=result,
            energy=account(result, how.table),
            storage=unit.storage(ready.matrix, ready.config),
            verification=verification,
            kind=product.kind,
            n_weight=product.n_weight,
            sampled=sampled,
        )
    except InputError as error:
        raise InputError(f"node {product.name}: {error}") from None


def _part(
    product: Product, ready: Prepared, inputs: NDArray[Any], design: Any, engine: str
) -> tuple[SimResult, Verification, float]:
    """The result of some vectors, how it compares, and the sum of squares of their float outputs."""
    result = simulate(ready.matrix, inputs, design, engine=engine)
    found = unit_of(design).verify(ready.layer, ready.matrix, inputs, result, before=None, relu=False)
    if len(inputs) == product.positions:
        return result, found, 0.0  # of use for several parts only
    floats = inputs @ ready.layer.weights.T + (0.0 if ready.layer.bias is None else ready.layer.bias)
    return result, found, float(np.square(floats, dtype=np.float64).sum())


def _sampled(
    product: Product, ready: Prepared, chunks: Iterator[NDArray[Any]], design: Any, how: How
) -> tuple[SimResult, Verification, Sampled]:
    """Run a sample of the vectors, and compute the outputs of all."""
    unit, n_position = unit_of(design), product.positions
    assert how.positions is not None
    wanted = stratified(how.positions, n_position, how.seed)
    taken, outputs, first = [], [], 0
    for chunk in chunks:
        taken.append(chunk[wanted[(wanted >= first) & (wanted < first + len(chunk))] - first])
        first += len(chunk)
        if unit.output_of is None:
            outputs.append(simulate(ready.matrix, chunk, design).real_output)
        else:
            outputs.append(unit.output_of(ready.matrix, unit.words_of(ready.matrix, chunk), design))
    result, verification, _ = _part(product, ready, np.concatenate(taken), design, how.engine)
    words = np.concatenate(outputs) / result.output_scale  # exact, a power of two
    each = result.cycles_per_vector
    half = None
    if len(each) > 1:
        left_out = 1 - len(each) / n_position
        half = IN_95_PERCENT * float(each.std(ddof=1)) * n_position * (left_out / len(each)) ** 0.5
    sampled = Sampled(positions=len(each), of=n_position, cycles_half_interval=half)
    return standing_for(result, n_position, words.astype(result.output.dtype)), verification, sampled


def stratified(n: int, n_position: int, seed: int) -> NDArray[np.int64]:
    """Return n of the positions, ascending, one drawn from each of n equal stretches: over the batch, over each map."""
    bounds = np.arange(n + 1, dtype=np.int64) * n_position // n
    return np.random.default_rng(seed).integers(bounds[:-1], bounds[1:])


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


def inputs_said(graph: Graph, name: str) -> str:
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
        seed=graph.seed,
        not_simulated=(*left, *host),
        left=None,
    )


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
