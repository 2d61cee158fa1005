"""Pruning of graphs of operators: groups, and what prune does to an ONNX file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eie_sim.cli import EXIT_DIFFERS
from eie_sim.cli.shell import (
    ARRAYS,
    MODEL,
    Full,
    Json,
    Lowering,
    Model,
    OfModel,
    Reading,
    app,
    console,
    graph_at,
    often,
    print_json,
    print_lines,
    steps_shown,
)
from eie_sim.core.errors import InputError, require
from eie_sim.core.files import place_for
from eie_sim.prune.group_recipe import GroupRecipe, require_goes_with
from eie_sim.prune.recipe import Recipe

if TYPE_CHECKING:
    from eie_sim.network.graph import Graph
    from eie_sim.pipeline import Progress
    from eie_sim.runs import Run

MOST_PERMUTED = 4
"""Weights in a group of a pattern that channels are permuted for."""
OnnxSource = Annotated[str, Parameter(help="An ONNX file, or a preset that is a graph: see eie-sim presets.")]


@often("pinned", "json", "full")
@app.command
def groups(
    source: OnnxSource,
    /,
    *,
    pinned: bool = False,
    json: Json = False,
    full: Full = False,
    model: Model = MODEL,
) -> int:
    """List what leaves a graph together: channels, heads. prune --structured removes units of these groups.

    Example: eie-sim groups model.onnx
    eie-sim groups digits-resnet --pinned

    Parameters
    ----------
    pinned
        List those too of which nothing can leave, with tensor, axis and reason.
    """
    from eie_sim.prune.groups import structure_of
    from eie_sim.report.groups import groups_lines, groups_record, groups_tables

    with steps_shown() as progress:
        graph = graph_of_operators(source, model, progress, ARRAYS)
        progress(f"{source}: groups")
        record = groups_record(graph, structure_of(graph).groups)
    if json:
        print_json(record)
    else:
        for shown in groups_tables(record, pinned=pinned):
            console(full).print(shown)
        print_lines(["", *groups_lines(record)])
    return 0


def graph_of_operators(source: str, model: OfModel, progress: Progress, arrays: Reading, **given: Any) -> Graph:
    """The graph of an ONNX file or preset. Raise InputError for layers, which have no groups. given : as `graph_at`"""
    from eie_sim.network.loading import is_graph

    if not is_graph(source):
        raise InputError(
            f"source={source}: must be an ONNX file or a preset that is a graph; neurons of layers leave by prune "
            "--pattern neuron --remove"
        )
    return graph_at(source, model, progress, arrays, **given)


@dataclass(frozen=True, kw_only=True)
class OnGraph:
    """Options of prune that have nothing to do with what is pruned."""

    out: Path | None
    design: Any
    model: OfModel
    lowering: Lowering
    arrays: Reading
    json: bool
    full: bool


def prune_weights(
    source: str, recipe: Recipe, densities: dict[str, float], how: OnGraph, given: dict[str, Any], *, permute: bool
) -> int:
    """`prune` of an ONNX file. densities : of parameters; permute : put channels first in an order for its pattern"""
    from eie_sim.prune import permute_graph, prune_network
    from eie_sim.report.pruned_graph import pruned_graph_lines, pruned_graph_record, pruned_graph_tables

    n_of_m = recipe.n_of_m
    fits = n_of_m is not None and n_of_m[1] <= MOST_PERMUTED
    require(not permute or fits, "pattern", recipe.pattern, "must be as 2:4, of groups of 2 to 4, with --permute")
    _require_onnx(how.out)
    with steps_shown() as progress:
        graph = graph_at(source, how.model, progress, how.arrays, **given)
        order = None
        if permute and n_of_m is not None:
            order = permute_graph(graph, n_of_m[1], n_of_m[0], seed=recipe.seed, progress=progress)
        ordered = graph if order is None else order.graph
        pruned, kept = prune_network(ordered, recipe, how.design, layer_density=densities, progress=progress)
        before, after, off = _both(graph, pruned, how, progress)
    record = pruned_graph_record(graph, before, after, kept, recipe, off, order)
    return _shown(record, pruned_graph_tables, pruned_graph_lines, how)


def prune_structured(
    source: str,
    units: GroupRecipe,
    recipe: Recipe,
    ratios: dict[str, float],
    how: OnGraph,
    given: dict[str, Any],
) -> int:
    """`prune --structured`. ratios : of groups by name"""
    from eie_sim.prune.shrinking import shrink
    from eie_sim.report.groups import shrunk_lines, shrunk_record, shrunk_tables

    require_goes_with(recipe)
    _require_onnx(how.out)
    with steps_shown() as progress:
        graph = graph_of_operators(source, how.model, progress, how.arrays, **given)
        shrunk = shrink(graph, units, recipe, ratios, progress)
        before, after, off = _both(graph, shrunk.graph, how, progress)
    record = shrunk_record(graph, shrunk, before, after, units, recipe, ratios, off)
    return _shown(record, shrunk_tables, shrunk_lines, how)


def _require_onnx(out: Path | None) -> None:
    if out is not None:
        require(out.suffix == ".onnx", "out", out, "must end in .onnx: a graph of operators is kept as one")
        place_for("out", out)


def _both(graph: Graph, pruned: Graph, how: OnGraph, progress: Progress) -> tuple[Run, Run, dict[str, float | None]]:
    """Run a graph before and after, and keep the second. Return the runs, and how far outputs are in floats."""
    from eie_sim.pipeline import run_network
    from eie_sim.prune.parameters import graph_outputs_off

    off = graph_outputs_off(graph, pruned)
    before, after = (
        run_network(each, how.design, **how.lowering.options, progress=progress) for each in (graph, pruned)
    )
    if how.out is not None:
        progress(f"{how.out}: writing")
        pruned.save(how.out)
    return before, after, off


def _shown(record: dict[str, Any], tables: Any, lines: Any, how: OnGraph) -> int:
    if how.json:
        print_json(record)
    else:
        for shown in tables(record):
            console(how.full).print(shown)
        print_lines(["", *lines(record)])
    return 0 if record["verified"] else EXIT_DIFFERS


def numbers_of(field: str, words: tuple[str, ...]) -> dict[str, float]:
    """Each fc1=0.3 as a name and a number."""
    found: dict[str, float] = {}
    for word in words:
        name, _, number = word.rpartition("=")
        if not re.fullmatch(r"[0-9.]+(e-?[0-9]+)?", number):
            raise InputError(f"{field}={word}: must be as fc1=0.3")
        if name in found:
            raise InputError(f"{field}={word}: {name} is there already")
        found[name] = float(number)
    return found
