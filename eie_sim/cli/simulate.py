"""Commands that simulate and account: run, presets, footprint, energy."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from eie_sim.cli import EXIT_DIFFERS
from eie_sim.cli.designs import designed
from eie_sim.cli.shell import (
    ARRAYS,
    INPUTS,
    LOWERING,
    MODEL,
    Arrays,
    Energies,
    Engine,
    Full,
    Inputs,
    Json,
    Lowered,
    Model,
    Source,
    app,
    console,
    energies_of,
    graph_at,
    loaded,
    often,
    print_json,
    print_lines,
    require_layers,
    steps_shown,
)
from eie_sim.core.errors import InputError, require
from eie_sim.core.nm_pattern import pattern_of
from eie_sim.units import unit_of


@often("density", "pattern", "chain", "inputs", "out", "json")
@designed
def run(
    source: Source,
    /,
    *,
    layer: str | None = None,
    pattern: str | None = None,
    inputs: Inputs = INPUTS,
    density: float | None = None,
    everywhere: Annotated[bool, Parameter(name="--global")] = False,
    conv: Literal["im2col", "winograd"] = "im2col",
    seed: int = 0,
    engine: Engine = "fast",
    energy_table: Energies = None,
    out: Path | None = None,
    every: Annotated[bool, Parameter(name="--all")] = False,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
    lowering: Lowered = LOWERING,
    design: Any,
) -> int:
    """Simulate a network on a unit: cycles, energy, memory, verified.

    Example: eie-sim run model.onnx --density 0.3
    eie-sim run weights.npz --chain fc1,fc2,fc3
    eie-sim run digits-mlp --pattern 2:4 --unit nm --preset rtx3090

    Parameters
    ----------
    layer
        Run only this layer.
    pattern
        Prune each layer to N:M first, as 2:4. By magnitude: N are kept of each M inputs.
    density
        Prune each layer to this density first, 0 to 1. By magnitude.
    everywhere
        Rank the weights of all layers together: the density is that of the whole network.
    conv
        winograd runs 3x3 convolutions without strides and groups in transformed weights, which are what is pruned
        then, and shows them beside im2col.
    seed
        Of everything random.
    out
        Keep the run in this folder. Files are run.json, layers.csv, and, of --energy-table, energy_table.csv.
    every
        Print all products of a graph, also where they are more than 40, and all host work; files and --json always
        have all.
    """
    from eie_sim.network.loading import is_graph
    from eie_sim.pipeline import run_network
    from eie_sim.report.folder import require_run_folder, write_run
    from eie_sim.report.text import print_network

    if pattern is not None:
        pattern_of("pattern", pattern)
    if out is not None:
        require_run_folder(out)
    table = energies_of(energy_table, design)
    with steps_shown() as progress:
        given = {"layer": layer, "seed": seed, **asdict(inputs)}
        ranked: dict[str, Any] = {"density": density, "scope": "global"} if everywhere else {}
        prune: dict[str, Any] = {"pattern": pattern, "density": density, **ranked}
        if is_graph(source):
            network: Any = graph_at(source, model, progress, arrays, **given)
        else:
            require_layers(model)
            of_pattern = pattern is not None
            require(not of_pattern or density is None, "density", density, f"must be left out, {pattern} has its own")
            given |= {"before_pruning": True} if everywhere or of_pattern else {"density": density}
            network = loaded(source, progress, arrays, **given)
            prune = {"pattern": pattern, **ranked}
        options = {**prune, **lowering.options, "conv": conv}
        done = run_network(network, design, **options, engine=engine, table=table, progress=progress)
    record = done.to_dict()
    if out is not None:
        write_run(out, record)
    if json:
        print_json(record)
    else:
        print_network(record, console(full), every=every)
    return 0 if done.verified else EXIT_DIFFERS


@often("shape", "batch", "chain", "json")
@designed
def describe(
    source: Source,
    /,
    *,
    seed: int = 0,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
    design: Any,
) -> int:
    """Say what is in a network, and what of it a unit covers.

    Operators, parameters and MACs by kind; nothing is simulated.

    Example: eie-sim describe model.onnx --shape input=1x3x224x224
    eie-sim describe weights.npz

    Parameters
    ----------
    seed
        Of inputs that are drawn.
    """
    from eie_sim.graphs import description
    from eie_sim.network.layered import with_calibration
    from eie_sim.network.loading import is_graph
    from eie_sim.record import account_of
    from eie_sim.report.text import description_tables

    with steps_shown() as progress:
        if is_graph(source):
            record = description(graph_at(source, model, progress, arrays, seed=seed), design)
        else:
            require_layers(model)
            network = loaded(source, progress, arrays, seed=seed)
            record = description(with_calibration(network)[0], design)
            left = account_of(network, {})
            record |= {"not_simulated": left["not_simulated"], "coverage": left["coverage"] or record["coverage"]}
    if json:
        print_json(record)
    else:
        for one in description_tables(record):
            console(full).print(one)
    return 0


@often("json", "full")
@app.command
def presets(*, json: Json = False, full: Full = False) -> int:
    """List the networks and layers that come with the package.

    Example: eie-sim presets
    eie-sim run digits-mlp
    """
    from eie_sim.network import presets as known
    from eie_sim.report.text import presets_table

    records = [preset.to_dict() for preset in known()]
    if json:
        print_json(records)
    else:
        console(full).print(presets_table(records))
        measured = [f"{one['name']}: {one['inputs']}" for one in records if one["inputs"]]
        print_lines(["", f"inputs active (--full) are of {'; '.join(measured)}", "a run says which inputs it has"])
    return 0


@often("layer", "density", "pattern", "value_bits", "figure", "json")
@designed
def footprint(
    source: Source,
    /,
    *,
    layer: str | None = None,
    density: float | None = None,
    pattern: str | None = None,
    value_bits: int | None = None,
    figure: Path | None = None,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
    design: Any,
) -> int:
    """Count the bits of each layer in every storage format.

    The unit's encoding and, from the same mask, the usual formats; of an ONNX file also what stays floats, state, and
    the most live activations.

    Example: eie-sim footprint model.onnx --density 0.3
    eie-sim footprint weights.npz --figure bits.png

    Parameters
    ----------
    layer
        Count only this layer.
    density
        Prune each layer to this density first, 0 to 1. By magnitude.
    pattern
        Of the N:M format, as 2:4. N are kept of each M inputs; 2:4, or that of the unit's matrix, where left out.
    value_bits
        Width of a value in the uncompressed formats. 16, or that of the unit's matrix, where left out.
    figure
        Draw them into this file, png or svg. It has a picture for each layer.
    """
    from eie_sim.core.result import config_hash
    from eie_sim.formats import footprint as count
    from eie_sim.network.loading import is_graph
    from eie_sim.product_run import matrix_for
    from eie_sim.record import account_of
    from eie_sim.report.figures.bars import write_footprints
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.network import not_simulated
    from eie_sim.report.text import formats_table

    n_keep, m_group = (None, None) if pattern is None else pattern_of("pattern", pattern)
    if figure is not None:
        require_file("figure", figure)
    if is_graph(source):
        options = {"value_bits": value_bits, "n_keep": n_keep, "m_group": m_group}
        return _footprint_of_graph(source, density, options, figure, design, arrays, model, layer, json=json, full=full)
    require_layers(model)
    with steps_shown() as progress:
        network = loaded(source, progress, arrays, layer=layer, density=density)
        counted = {}
        for one in network.layers:
            progress(f"{one.name}: compressing")
            matrix = matrix_for(one, design)
            counted[one.name] = count(matrix, design, value_bits=value_bits, n_keep=n_keep, m_group=m_group)
    if figure is not None:
        write_footprints(counted, figure, config_hash=config_hash(unit_of(design).name, design.to_dict()))
    record = {
        "network": network.name,
        "source": network.source,
        "unit": unit_of(design).name,
        "design": unit_of(design).describe(design),
        "config": design.to_dict(),
        "config_hash": config_hash(unit_of(design).name, design.to_dict()),
        **account_of(network, {}),
        "layers": [
            {"name": name, "formats": [form.to_dict() for form in formats.values()]}
            for name, formats in counted.items()
        ],
    }
    if json:
        print_json(record)
    else:
        console(full).print(formats_table(record))
        print_lines([f"design: {record['design']}", *not_simulated(record)])
    return 0


def _footprint_of_graph(
    source: str,
    density: float | None,
    options: dict[str, Any],
    figure: Path | None,
    design: Any,
    arrays: Arrays,
    model: Model,
    layer: str | None,
    *,
    json: bool,
    full: bool,
) -> int:
    """`footprint` of an ONNX file."""
    from eie_sim.core.result import config_hash
    from eie_sim.footprints import footprint as count
    from eie_sim.graphs import description
    from eie_sim.prune import prune_network
    from eie_sim.prune.recipe import Recipe
    from eie_sim.report.figures.bars import write_footprints
    from eie_sim.report.graph_footprint import footprint_tables

    with steps_shown() as progress:
        graph = graph_at(source, model, progress, arrays, layer=layer)
        if density is not None:
            graph, _ = prune_network(graph, Recipe(density=density), design, progress=progress)
        counted = count(graph, design, progress=progress, **options)
    design_hash = config_hash(unit_of(design).name, design.to_dict())
    if figure is not None:
        write_footprints({one.name: one.formats for one in counted.products}, figure, config_hash=design_hash)
    said = description(graph, design)
    record = {
        **{name: said[name] for name in ("network", "source", "unit", "inputs", "outputs", "notes")},
        "design": unit_of(design).describe(design),
        "config": design.to_dict(),
        "config_hash": design_hash,
        "macs": said["macs"],
        "coverage": said["coverage"],
        **counted.to_dict(),
    }
    if json:
        print_json(record)
    else:
        for one in footprint_tables(record):
            console(full).print(one)
    return 0


@often("csv", "json")
@designed
def energy(
    *,
    csv: bool = False,
    json: Json = False,
    full: Full = False,
    design: Any,
) -> int:
    """Show the energy per event with its source, and the area.

    Example: eie-sim energy --csv > table.csv
    eie-sim run weights.npz --energy-table table.csv

    Parameters
    ----------
    csv
        Print the energies as CSV, to be edited and given to run.
    """
    from eie_sim.energy import EnergyTable, area
    from eie_sim.report.text import area_table, energy_table

    if csv and json:
        raise InputError("csv=True: must be left out with --json")
    table = EnergyTable.for_config(design)
    areas = None if unit_of(design).area is None else area(design).to_dict()
    records = [row._asdict() for row in table.rows]
    if csv:
        sys.stdout.write(table.to_csv())
    elif json:
        print_json({"energy": records, "area": areas})
    else:
        shown = console(full)
        shown.print(energy_table(records))
        if areas is not None:
            shown.print()
            shown.print(area_table(areas))
    return 0
