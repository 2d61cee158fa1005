"""One product on a unit: its weights compressed, its vectors run and checked, in chunks, by a sample, or at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim.archive import matrix_of
from eie_sim.core.arrays import shown
from eie_sim.core.errors import InputError
from eie_sim.core.nm_pattern import Pattern
from eie_sim.core.record import Positions, Sampled
from eie_sim.core.result import SimResult, in_turn, standing_for
from eie_sim.core.verification import Verification
from eie_sim.core.verification import in_turn as verified_in_turn
from eie_sim.energy import EnergyTable, account
from eie_sim.engine import compress, simulate
from eie_sim.network import Layer, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.products import Product, Step, chunks_of, taking
from eie_sim.runs import LayerRun
from eie_sim.units import unit_of
from eie_sim.units.unit import Sample

TRIED_VECTORS = 8
"""Vectors of a product that other designs are timed on."""

IN_95_PERCENT = 1.96
"""Standard errors on either side of a mean, of a normal distribution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunOptions:
    """Options of a run of products.

    positions : most of a product that are timed and checked, None for all; seed : which of them
    """

    engine: str
    table: EnergyTable
    positions: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A product before it runs: its layer, the compressed weights with their scales, and a design for its inputs.

    about : what errors are about; kind : of operation
    """

    product: Product
    layer: Layer
    matrix: Any
    config: Any
    about: str
    kind: str


@dataclass(frozen=True, kw_only=True, eq=False)
class DirectInput:
    """A direct input of a product: the result of the product before, each row a vector, perhaps after a ReLU."""

    result: SimResult
    relu: bool


def vectors_of(product: Product, x: NDArray[Any]) -> NDArray[Any]:
    """All vectors of a product, [positions, n_in]."""
    return one_by_one(list(product.vectors(x)))


def one_by_one(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Chunks of vectors, or what vectors of steps are made of, as one array; the only one itself."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def extremes_of(product: Product, x: NDArray[Any]) -> NDArray[Any]:
    """The vectors of a product where one chunk holds them, or else the least and largest inputs of each chunk."""
    ends: list[NDArray[Any]] = []
    for chunk in product.vectors(x):
        if len(chunk) == product.positions:
            return chunk
        ends += [chunk.min(axis=0), chunk.max(axis=0)]
        del chunk  # before the next is made
    return np.stack(ends)


def matrix_for(layer: Layer, config: Any, pattern: Pattern | None = None) -> Any:
    """A layer in the format of the design: as it is stored, where it comes from an archive, or else compressed now.

    pattern : as for `engine.compress`
    """
    if layer.stored is not None and unit_of(config).unpack is not None:
        return matrix_of(layer, config)
    return compress(layer.weights, config, bias=layer.bias if unit_of(config).takes_bias else None, pattern=pattern)


def prepared(
    product: Product,
    x: NDArray[Any],
    sums: NDArray[Any],
    config: Any,
    *,
    layer: Layer | None,
    said: str,
    pattern: Pattern | None = None,
) -> Prepared:
    """Compress a product's weights for the vectors of `x`, all those of the calibration.

    sums : their product with the weights in floats, [positions, n_out], without the bias
    layer : what the product was made of, where that was a layer; said : how its parameters were pruned
    pattern : that of its step
    """
    unit, inputs = unit_of(config), extremes_of(product, x)
    about = f"node {product.name}" if layer is None else f"layer {product.name}"
    try:
        own = layer or Layer(
            name=product.name,
            weights=product.weight,
            bias=product.bias,
            weights_source=f"{', '.join(map(shown, product.parameters)) or 'constant'}{said}",
            synthetic=False,
        )
        matrix = matrix_for(own, config, pattern)
        if unit.opened is not None:
            design = unit.for_inputs(config, -np.abs(inputs))  # as if some were negative, which run inputs may be
            matrix = unit.opened(matrix, inputs, design, outputs=product.with_bias(sums) if unit.takes_bias else sums)
    except InputError as error:
        if layer is not None and layer.stored is not None:  # what is wrong with its codes names it
            raise
        raise InputError(f"{about}: {error}") from None
    return Prepared(
        product=product,
        layer=own,
        matrix=matrix,
        config=unit.for_inputs(config, inputs),
        about=about,
        kind=product.kind if layer is None else "fc",
    )


Ends = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""The least and largest weights and inputs [2, n_in] and outputs [2, n_out] of a product, column by column."""


def ends_of(product: Product, x: NDArray[Any], sums: NDArray[Any]) -> Ends:
    """Return the ends of a product whose weights are activations. sums : as for `prepared`"""
    weights, inputs, outputs = (np.stack([each.min(axis=0), each.max(axis=0)]) for each in (product.weight, x, sums))
    return weights, inputs, outputs


def scaled(step: Step, ends: Sequence[Ends], config: Any) -> dict[str, Prepared]:
    """The scales of a step of two activations, the same for all of its products; its weights come when it runs.

    ends : of each product of the calibration
    """
    weights, inputs, outputs = (np.concatenate(each) for each in zip(*ends, strict=True))
    whole = replace(
        step.products[0],
        positions=len(inputs),
        make_weight=lambda: np.stack([weights.min(axis=0), weights.max(axis=0)]),
        make_vectors=chunks_of,
    )
    one = prepared(whole, inputs, outputs, config, layer=None, said="", pattern=step.pattern)
    one = replace(one, layer=replace(one.layer, weights_source=f"activations: {shown(step.weighs)}"))
    return {product.name: one for product in step.products}


def at_run(ready: Prepared, product: Product) -> Prepared:
    """A product as it runs: where its weights are activations, they are there now and packed at its scales."""
    if not product.of_activations:
        return replace(ready, product=product)
    unit, weights, about = unit_of(ready.config), product.weight, f"node {product.name}"
    assert unit.repacked is not None
    try:
        layer = replace(ready.layer, name=product.name, weights=weights)
        return replace(ready, product=product, layer=layer, matrix=unit.repacked(ready.matrix, weights), about=about)
    except InputError as error:
        raise InputError(f"{about}: {error}") from None


class Calibrated(NamedTuple):
    """Products whose scales are chosen, by name. floats : outputs of the graph; lowered : distances by node"""

    ready: dict[str, Prepared]
    floats: dict[str, NDArray[Any]]
    lowered: dict[str, float]


def calibrated(
    graph: Graph,
    calibration: Graph,
    steps: Sequence[Step],
    config: Any,
    *,
    said: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> Calibrated:
    """Choose the scales of all products in the float run of a graph on its calibration inputs.

    calibration : the same graph for those inputs; steps : of it; said : what was done to the weights
    Raise InputError where a product is not what the framework computes.
    """
    ready: dict[str, Prepared] = {}
    lowered: dict[str, float] = {}

    def calibrate(step: Step, values: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        progress(f"{step.node.name}: compressing")
        layer = graph.layers.get(step.node.name)
        met: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {product.name: [] for product in step.products}
        ends: list[Ends] = []

        def multiply(product: Product, x: NDArray[Any]) -> NDArray[Any]:
            sums = product.sums(x)
            if product.of_activations:
                ends.append(ends_of(product, x, sums))
            else:
                met[product.name].append((x, sums))
            return product.with_bias(sums)

        made = step.compute(values, multiply)
        if layer is None:
            expected = floatrun.framework_values(calibration, step, values)
            lowered[step.node.name] = floatrun.require_lowered(step, values, made, expected)
        if step.weighs:
            ready.update(scaled(step, ends, config))
        for product in step.products if not step.weighs else ():
            x, sums = (one_by_one(arrays) for arrays in zip(*met.pop(product.name), strict=True))
            ready[product.name] = prepared(product, x, sums, config, layer=layer, said=said, pattern=step.pattern)
        return made

    floats = floatrun.run(calibration, steps, calibrate)
    return Calibrated(ready, floats if calibration is graph else floatrun.run(graph), lowered)


def run_product(
    ready: Prepared,
    x: NDArray[Any],
    where: str,
    how: RunOptions,
    before: DirectInput | None = None,
    outputs: NDArray[Any] | None = None,
) -> LayerRun:
    """Simulate a product on the vectors of `x`, check it, and account for it.

    Vectors that a unit runs one after the other are made in chunks; of these, a sample may stand for all.

    outputs : of a product in steps, what `computed` made of these vectors
    """
    unit, product = unit_of(ready.config), ready.product
    chunks = product.vectors(x) if unit.in_turn else iter([vectors_of(product, x)])
    taken: list[NDArray[Any]] = []
    if unit.in_turn and unit.timed is not None:
        wanted = stratified(min(TRIED_VECTORS, product.positions), product.positions, 0)
        if product.steps is None:
            chunks = taking(chunks, wanted, taken)
        else:
            taken.append(x[wanted])
    try:
        design = unit.for_inputs(ready.config, unit.words_of(ready.matrix, x))
        sample: Sampled | None = None
        if product.steps is not None:
            result = _stepped(ready, x, design, how.engine, outputs)
            verification = unit.verify(ready.layer, ready.matrix, x, result)
        elif unit.in_turn and how.positions is not None and how.positions < product.positions:
            result, verification, sample = _sampled(ready, chunks, design, how)
        else:
            parts, first = [], 0
            for chunk in chunks:
                parts.append(_part(ready, chunk, design, how.engine, before, first))
                first += len(chunk)
                del chunk  # before the next is made
            result = in_turn([part for part, _, _ in parts])
            verification = verified_in_turn([part for _, part, _ in parts], [part for _, _, part in parts])
        words = unit.words_of(ready.matrix, one_by_one(taken)) if taken else None
        gathered = product.gathered(result.n_vector)
        return LayerRun(
            layer=ready.layer,
            matrix=ready.matrix,
            inputs=where + (f"; {unit.words.negative}" if bool((x < 0).any()) else ""),
            result=result,
            energy=account(result, how.table, gathered=gathered),
            storage=unit.storage(ready.matrix, ready.config),
            verification=verification,
            kind=ready.kind,
            n_weight=product.n_weight,
            map_size=product.map_size,
            sampled=sample,
            positions=positions_of([(result, product.n_in)]),
            steps=result.inputs if product.steps is not None and unit.stepped is not None and not unit.in_turn else "",
            samples=(Sample(ready.matrix, (product.n_out, product.n_in), words, result.n_vector, product.steps),),
            gathered=gathered,
        )
    except InputError as error:
        raise InputError(f"{ready.about}: {error}") from None


def _stepped(
    ready: Prepared, vectors: NDArray[Any], design: Any, engine: str, outputs: NDArray[Any] | None
) -> SimResult:
    """The result of vectors each of which is made of outputs of those before. outputs : as for `run_product`"""
    unit, steps = unit_of(design), ready.product.steps
    assert steps is not None
    if unit.stepped is not None:
        return unit.stepped(ready.matrix, vectors, design, engine=engine, outputs=outputs, steps=steps)
    of_steps = [vectors] if unit.in_turn else np.split(vectors, np.cumsum(steps.sizes)[:-1])
    return in_turn([simulate(ready.matrix, one, design, engine=engine) for one in of_steps])


def positions_of(results: Sequence[tuple[SimResult, int]]) -> Positions | None:
    """Return how vectors of (result, inputs of a vector) differ; None for one vector, or where nothing counts it."""
    shares = [one.active_per_vector / n_in for one, n_in in results if one.active_per_vector is not None]
    if len(shares) < len(results) or sum(map(len, shares)) < 2:
        return None
    found = np.concatenate(shares)
    low, high = np.percentile(found, [5, 95])
    return Positions(density_p5=float(low), density_p95=float(high), all_zero=float(np.mean(found == 0)))


def outputs_of(run: LayerRun) -> NDArray[Any]:
    """Outputs [n_vector, n_out] as nodes read them: float32, or float64 where that alone holds all sums exactly."""
    outside = None if unit_of(run.result.config).takes_bias else run.layer.bias
    return as_read(np.atleast_2d(run.result.real_output), outside)


def computed(product: Product, ready: Prepared, x: NDArray[Any]) -> NDArray[Any]:
    """Outputs [n_vector, n_out] of the vectors of `x` as `as_read` has them, the bias only where the unit adds it.

    Nothing is timed.
    """
    matrix, unit = ready.matrix, unit_of(ready.config)
    design = unit.for_inputs(ready.config, x)
    if product.steps is not None:  # vectors as they are, and few
        return as_read(_real_outputs(matrix, x, design), None)
    return as_read(one_by_one([_real_outputs(matrix, chunk, design) for chunk in product.vectors(x)]), None)


def with_bias(ready: Prepared, outputs: NDArray[Any]) -> NDArray[Any]:
    """The same as nodes read it."""
    outside = None if unit_of(ready.config).takes_bias else ready.layer.bias
    return outputs if outside is None else outputs + outside


def _real_outputs(matrix: Any, inputs: NDArray[Any], design: Any) -> NDArray[np.float64]:
    unit = unit_of(design)
    words = unit.words_of(matrix, inputs)
    if unit.output_of is None:
        return np.atleast_2d(simulate(matrix, words, design).real_output)
    return np.asarray(unit.output_of(matrix, words, design))


def as_read(exact: NDArray[np.float64], outside: NDArray[Any] | None) -> NDArray[Any]:
    """The same of real outputs [n_vector, n_out]. outside : the bias, where the unit does not add it"""
    with np.errstate(over="ignore"):
        single = exact.astype(np.float32)
    sums = single if bool((single == exact).all()) else exact
    return sums if outside is None else sums + outside


def _part(
    ready: Prepared, inputs: NDArray[Any], design: Any, engine: str, before: DirectInput | None, first: int
) -> tuple[SimResult, Verification, float]:
    """The result of some vectors, how it compares, and the sum of squares of their float outputs.

    first : the number of the first vector among those of `before`
    """
    unit, layer, real, read, relu = unit_of(design), ready.layer, inputs, None, False
    if before is not None:  # its words, written back, are these inputs
        inputs, relu = unit.words_of(ready.matrix, inputs), before.relu
        outputs = np.atleast_2d(before.result.output)
        read = replace(before.result, output=outputs[first : first + len(inputs)])
    result = simulate(ready.matrix, inputs, design, engine=engine)
    found = unit.verify(layer, ready.matrix, inputs, result, before=read, relu=relu)
    if len(inputs) == ready.product.positions:
        return result, found, 0.0  # of use for several parts only
    return result, found, float(np.square(layer.outputs(real)).sum())


def _sampled(
    ready: Prepared, chunks: Iterator[NDArray[Any]], design: Any, how: RunOptions
) -> tuple[SimResult, Verification, Sampled]:
    """Run a sample of the vectors, and compute the outputs of all."""
    n_position = ready.product.positions
    assert how.positions is not None
    wanted = stratified(how.positions, n_position, how.seed)
    taken: list[NDArray[Any]] = []
    outputs = [_real_outputs(ready.matrix, chunk, design) for chunk in taking(chunks, wanted, taken)]
    result, verification, _ = _part(ready, np.concatenate(taken), design, how.engine, None, 0)
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
