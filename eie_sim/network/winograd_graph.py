"""A graph whose 3x3 convolutions are in the transformed weights of Winograd: these are what is pruned."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from eie_sim.core.arrays import fresh
from eie_sim.core.errors import InputError
from eie_sim.network.convolution import conv_geometry
from eie_sim.network.floatrun import Constants, framework_values, require_lowered, run
from eie_sim.network.graph import Array, Framework, Graph, Node, Parameter, Value
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Product, Step, Style
from eie_sim.network.winograd import DOMAIN, KERNEL, OP, PATCHES, convolved, shape_of_patches, transformed


def is_eligible(graph: Graph, node: Node) -> bool:
    """Return True for a 3x3 convolution of stride, dilation and group 1, with constant weights."""
    if (node.op, node.domain, node.kind) != ("Conv", "", "conv"):
        return False
    x, w, y = (graph.values[name].shape for name in (*node.inputs[:2], node.outputs[0]))
    if w[2:] != (KERNEL, KERNEL) or node.attributes.get("group", 1) != 1:
        return False
    strides, dilations, _ = conv_geometry(node, x[2:], w[2:], y[2:])
    return {*strides, *dilations} == {1}


def with_winograd(graph: Graph) -> Graph:
    """Return the graph with its eligible convolutions in transformed weights U, which are parameters of their own.

    Raise InputError where there is none.
    """
    nodes, parameters, values = [], dict(graph.parameters), dict(graph.values)
    names = {*values, *(node.name for node in graph.nodes)}
    made: dict[str, str] = {}
    patches: dict[tuple[object, ...], str] = {}
    for node in graph.nodes:
        if not is_eligible(graph, node):
            nodes.append(node)
            continue
        weight = node.inputs[1]
        if weight not in made:
            made[weight] = fresh(f"{weight}.winograd", names)
            u = transformed(graph.array(weight))
            axes = ("kernel0", "kernel1", "out", "in")
            parameters[made[weight]] = Parameter(name=made[weight], array=u, axes=axes, derived=True)
            values[made[weight]] = Value(made[weight], u.shape, u.dtype.name)
        x, y = (graph.values[name] for name in (node.inputs[0], node.outputs[0]))
        _, _, pads = conv_geometry(node, x.shape[2:], (KERNEL, KERNEL), y.shape[2:])
        given = {"pads": list(pads), "size": list(y.shape[2:])}  # zeros before the first input, and outputs, by axis
        read = x.name, *given["pads"], *given["size"]
        if read not in patches:
            patches[read] = fresh(f"{x.name}.patches", names)
            maker = Node(
                name=fresh(f"{node.name}.patches", names),
                op=PATCHES,
                domain=DOMAIN,
                kind="host",
                inputs=(x.name,),
                outputs=(patches[read],),
                attributes=given,
            )
            nodes.append(maker)
            values[patches[read]] = Value(patches[read], shape_of_patches(maker, x.shape), x.dtype)
        inputs = (patches[read], made[weight], *node.inputs[2:])
        nodes.append(replace(node, op=OP, domain=DOMAIN, inputs=inputs, attributes=given))
    if not made:
        raise InputError("conv=winograd: the network has no 3x3 convolution of stride, dilation and group 1")
    still = {name for node in nodes for name in node.reads}
    count, left = (sum(node.op == op for node in nodes) for op in (OP, "Conv"))
    found = replace(
        graph,
        nodes=tuple(nodes),
        parameters={name: one for name, one in parameters.items() if name in still or name not in made},
        values=values,
        framework=replace(graph.framework, run_nodes=partial(_run_nodes, graph.framework), save=_refuse),
        notes=(
            *graph.notes,
            f"Winograd: {count} of {count + left} convolutions, those of 3x3 without strides or groups",
        ),
    )
    _require_alike(graph, found)
    return found


def _require_alike(before: Graph, after: Graph) -> None:
    """Raise InputError where a convolution in transformed weights is not, in floats, what it was."""
    style = Style(fold=False)
    ours = {step.node.name: step for step in steps_of(after, style) if step.node.op == OP}

    def compute(step: Step, values: Mapping[str, Array]) -> tuple[Array, ...]:
        expected = framework_values(before, step, values)
        one = ours[step.node.name]
        v = convolved(after.makers[one.reads], values)
        # a ChainMap is written to in its first map alone, so that the others may be read-only, which its stub denies
        known: ChainMap[str, Array] = ChainMap({one.reads: v}, values, Constants(after))  # type: ignore[arg-type]
        require_lowered(one, known, one.compute(known, Product.multiply), expected)
        return expected

    run(before, [step for step in steps_of(before, style) if step.node.name in ours], compute)


def _run_nodes(
    framework: Framework,
    nodes: Sequence[Node],
    values: Mapping[str, Array],
    wanted: Sequence[str],
    opsets: Mapping[str, int],
) -> dict[str, Array]:
    """Values that nodes make: those of Winograd's here, all others by the framework."""
    found: dict[str, Array] = {}
    known: ChainMap[str, Array] = ChainMap(found, values)  # type: ignore[arg-type]  # as in `_require_alike`
    groups = [(ours, list(own)) for ours, own in groupby(nodes, lambda node: node.domain == DOMAIN)]
    for place, (ours, own) in enumerate(groups):
        if ours:
            found.update((node.outputs[0], convolved(node, known)) for node in own)
            continue
        later = {name for _, rest in groups[place + 1 :] for node in rest for name in node.reads}
        needed = [name for node in own for name in node.makes if name in later or name in wanted]
        found.update(framework.run(own, known, needed))
    return {name: found[name] for name in wanted}


def _refuse(graph: Graph, file: Path) -> None:
    raise InputError(f"file={file}: cannot hold transformed weights: ONNX has no Winograd convolution; use im2col")
