"""Inputs of products in a run of a network: what nodes before put out as the unit computes them, nothing timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from eie_sim.core.nm_pattern import Pattern
from eie_sim.graphs import Source, made_by, read_by, source_of, steps_for, style_of, whole_error
from eie_sim.network import Network, floatrun
from eie_sim.network.graph import Graph
from eie_sim.network.layered import with_calibration
from eie_sim.network.products import Product, Step
from eie_sim.product_run import Prepared, at_run, calibrated, computed, one_by_one, vectors_of, with_bias
from eie_sim.units import unit_of

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiplied:
    """A product of a network as a run has it.

    ready : its layer, and the compressed weights with their scales
    value : what the step reads, of which vectors are made; inputs : where that comes from
    """

    step: Step
    product: Product
    ready: Prepared
    value: NDArray[Any]
    inputs: Source

    def vectors(self) -> NDArray[Any]:
        """All inputs, real [positions, n_in]; made when they are asked for."""
        return vectors_of(self.product, self.value)

    def words(self) -> NDArray[Any]:
        """The same as the unit keeps them: words of the value, gathered."""
        return vectors_of(self.product, unit_of(self.ready.config).words_of(self.ready.matrix, self.value))

    @property
    def design(self) -> Any:
        """One that drops none of the inputs."""
        unit, ready = unit_of(self.ready.config), self.ready
        return unit.for_inputs(ready.config, unit.words_of(ready.matrix, self.value))


@dataclass(frozen=True, kw_only=True, eq=False)
class PassedOn:
    """The products and outputs of a run of a network.

    products : in order; outputs : of the network, by name; floats : those of the float run
    accuracy : share of examples that the outputs classify as labelled; None without labels
    """

    products: tuple[Multiplied, ...]
    outputs: Arrays
    floats: Arrays
    accuracy: float | None

    def distance(self, floats: Arrays | None = None) -> float | None:
        """Root mean squares of all outputs together, relative to those of the float run, or of another one.

        None where that is none: outputs of other shapes, of no floats, all 0, or not finite.
        """
        return whole_error(self.outputs, self.floats if floats is None else floats)


def passed_on(
    network: Network | Graph, config: Any, *, pattern: Pattern | None = None, said: str = "", last: str | None = None
) -> PassedOn:
    """Run a network as `run` does, outputs alone; of a design, only what its outputs depend on matters.

    Scales come from the float run on its calibration inputs. Values are held as long as what is returned; vectors are
    made of one product at a time.

    pattern : the one that the weights were pruned to; said : what was done to them, for their source
    last : name of the last node to be computed; None for all

    Raises InputError as `run` does.
    """
    style, (graph, calibration) = style_of(config, pattern=pattern), with_calibration(network)
    steps = steps_for(graph, config, style)
    own = steps if calibration.values is graph.values else steps_for(calibration, config, style)
    if last is not None:
        step = next(step for step in steps if step.node.name == last)
        graph, calibration = (_up_to(each, step) for each in (graph, calibration))
        kept = {node.name for node in graph.nodes}
        steps, own = (tuple(step for step in each if step.node.name in kept) for each in (steps, own))
    ready, floats, _ = calibrated(graph, calibration, own, config, said=said)
    made_at = made_by(steps)
    found: list[Multiplied] = []

    def passed(step: Step, values: Arrays) -> tuple[NDArray[Any], ...]:
        inputs = source_of(graph, made_at, step.reads)
        met: dict[str, list[NDArray[Any]]] = {product.name: [] for product in step.products}

        def multiply(product: Product, x: NDArray[Any]) -> NDArray[Any]:
            met[product.name].append(x)
            if product.of_activations:
                ready[product.name] = at_run(ready[product.name], product)
            return with_bias(ready[product.name], computed(product, ready[product.name], x))

        made = step.compute(values, multiply)
        found.extend(
            Multiplied(
                step=step,
                product=ready[product.name].product if product.of_activations else product,
                ready=ready.pop(product.name),
                value=one_by_one(met[product.name]),
                inputs=read_by(step, product, inputs),
            )
            for product in step.products
        )
        return made

    outputs = floatrun.run(graph, steps, passed)
    judged = None if last is not None else graph.right(outputs)
    return PassedOn(products=tuple(found), outputs=outputs, floats=floats, accuracy=judged)


def _up_to(graph: Graph, last: Step) -> Graph:
    """The nodes that a step depends on, and its own."""
    needed, kept = set(last.makes), []
    for node in reversed(graph.nodes):
        if node.kind == "move" or needed.intersection(node.makes):
            kept.append(node)
            needed.update(node.reads)
    return replace(graph, nodes=tuple(reversed(kept)), outputs=last.makes)
