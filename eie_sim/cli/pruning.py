"""Commands that prune and compress: prune, compress, sensitivity, allocate, accuracy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from eie_sim.cli import EXIT_DIFFERS
from eie_sim.cli.designs import designed
from eie_sim.cli.graphs import OnGraph, numbers_of, prune_structured, prune_weights
from eie_sim.cli.shell import (
    ARRAYS,
    INPUTS,
    LOWERING,
    MODEL,
    Arrays,
    Full,
    Inputs,
    Json,
    Layers,
    Lowered,
    Model,
    Names,
    Several,
    Source,
    console,
    loaded,
    loaded_from,
    often,
    on_given,
    print_json,
    print_lines,
    require_layers,
    steps_shown,
)
from eie_sim.core.errors import require
from eie_sim.prune.group_recipe import GroupRecipe
from eie_sim.prune.recipe import Recipe
from eie_sim.units import unit_of

if TYPE_CHECKING:
    from eie_sim.archive import Archive

Pruning = Annotated[Recipe, Parameter(name="*", group=Group("Pruning", sort_key=1))]
Units = Annotated[GroupRecipe, Parameter(name="*", group=Group("Pruning of units", sort_key=1))]

RECIPE = Recipe()
UNITS_LEFT = GroupRecipe()
SCANNED = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
TABLED = (0.5, 0.25, 0.1)
PATTERNS = ("element", "2:4", "1:4", "neuron")
STREAM_BITS = (5, 5)
"""Bits of codes and gaps in Deep Compression's stream (its section 5), for units that store neither."""


@often("density", "pattern", "criterion", "structured", "ratio", "out", "json")
@designed
def prune(
    source: Source,
    /,
    *,
    layer_density: Names = (),
    permute: bool = False,
    group_ratio: Names = (),
    out: Path | None = None,
    inputs: Inputs = INPUTS,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
    lowering: Lowered = LOWERING,
    recipe: Pruning = RECIPE,
    units: Units = UNITS_LEFT,
    design: Any,
) -> int:
    """Prune a network; show what it costs before and after. --out keeps it, compressed, in a file that run takes.

    Example: eie-sim prune model.onnx --density 0.3 --out pruned.onnx
    eie-sim prune model.onnx --structured --ratio 0.5 --out small.onnx
    eie-sim prune weights.npz --pattern 2:4

    Parameters
    ----------
    layer_density
        Densities of single layers, as fc1=0.3,fc2=0.1. Or of parameters; the others have --density.
    permute
        Put the channels of an ONNX file first in an order in which an N:M pattern keeps more.
    group_ratio
        Ratios of single groups of --structured, as stem.weight:0:0=0.3. The others have --ratio, or stay without it.
    out
        Keep the pruned network in this file. Layers are kept compressed, as an archive; an ONNX file as another one,
        weights as floats, which is for inputs of the shapes that it was pruned with.
    """
    from eie_sim.network.loading import is_graph
    from eie_sim.pipeline import run_network
    from eie_sim.prune import prune_network, unpruned
    from eie_sim.report.pruning import pruned_lines, pruned_record, pruned_table

    densities = numbers_of("layer_density", layer_density)
    how = OnGraph(out=out, design=design, model=model, lowering=lowering, arrays=arrays, json=json, full=full)
    given = {"seed": recipe.seed, **asdict(inputs)}
    if units.structured:
        require(not densities, "layer_density", ",".join(layer_density), "must be left out with --structured")
        require(not permute, "permute", permute, "must be left out with --structured")
        return prune_structured(source, units, recipe, numbers_of("group_ratio", group_ratio), how, given)
    require(not group_ratio, "group_ratio", ",".join(group_ratio), "must be given with --structured")
    if is_graph(source):
        return prune_weights(source, recipe, densities, how, given, permute=permute)
    require(not permute, "permute", permute, "must be left out: the network is no ONNX file")
    require_layers(model)
    _require_archive(out, design)
    with steps_shown() as progress:
        network, archive = loaded_from(source, progress, arrays, seed=recipe.seed, **asdict(inputs))
        pruned, kept = prune_network(network, recipe, design, layer_density=densities, progress=progress)
        before, after = (
            run_network(each, design, **lowering.options, progress=progress) for each in (unpruned(network), pruned)
        )
        _keep(out, after, {**recipe.to_dict(), "layer_density": densities}, archive, design, progress)
    record = pruned_record(before, after, kept, recipe)
    if json:
        print_json(record)
    else:
        console(full).print(pruned_table(record))
        print_lines(["", *pruned_lines(record)])
    return 0 if record["verified"] else EXIT_DIFFERS


@often("codebook_epochs", "chain", "out", "json")
@designed
def compress(
    source: Layers,
    /,
    *,
    codebook_epochs: int = 0,
    out: Path | None = None,
    inputs: Inputs = INPUTS,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    design: Any,
) -> int:
    """Compress a pruned network in the unit's format. Deep Compression's stream of the same weights stands beside it.

    Example: eie-sim compress weights.npz --out small.eie.safetensors
    eie-sim run small.eie.safetensors

    Parameters
    ----------
    codebook_epochs
        Epochs of training the codebooks, 0 for none. On the labelled training inputs, codes staying as they are.
    out
        Keep the compressed network in this file.
    """
    from eie_sim.deep_compression import compress_layer
    from eie_sim.pipeline import run_network
    from eie_sim.prune import with_trained_codebooks
    from eie_sim.report.network import closing, not_simulated, source_lines
    from eie_sim.report.pruning import compressed_record, streams_table
    from eie_sim.report.text import storage_table

    _require_archive(out, design)
    with steps_shown() as progress:
        network, archive = loaded_from(source, progress, arrays, **asdict(inputs))
        codes = unit_of(design).codes(design)
        if codebook_epochs:
            rule = f"must be 0 for unit {unit_of(design).name}, which stores no codes"
            require(codes is not None, "codebook_epochs", codebook_epochs, rule)
            progress(f"{source}: training codebooks")
            network = with_trained_codebooks(network, design, epochs=codebook_epochs)
        run = run_network(network, design, progress=progress)
        streams = {}
        for layer in run.network.layers:
            progress(f"{layer.name}: Huffman coding")
            weight_bits, index_bits = codes or STREAM_BITS
            packed = compress_layer(layer.columns, weight_bits=weight_bits, index_bits=index_bits)
            streams[layer.name] = packed.sizes()
        _keep(out, run, {"codebook_epochs": codebook_epochs}, archive, design, progress)
    record = compressed_record(run, streams)
    if json:
        print_json(record)
    else:
        console(full).print(storage_table(record))
        console(full).print()
        console(full).print(streams_table(record))
        print_lines(["", f"design: {record['design']}", *source_lines(record)])
        print_lines([*not_simulated(record), *closing(record)])
    return 0 if record["verified"] else EXIT_DIFFERS


@often("densities", "quantity", "quality", "figure", "chain", "json")
@designed
def sensitivity(
    source: Layers,
    /,
    *,
    densities: Several | None = None,
    quantity: str = "cycles",
    quality: str | None = None,
    figure: Path | None = None,
    inputs: Inputs = INPUTS,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    design: Any,
) -> int:
    """Prune one layer at a time: accuracy, or error, beside its cost.

    Example: eie-sim sensitivity weights.npz --densities 0.1,0.5
    eie-sim sensitivity digits-mlp --quantity energy

    Parameters
    ----------
    densities
        Densities to try. Left out, ten of them, or those of the unit's patterns.
    quantity
        Cost: weights, bytes, cycles or energy. Energy is in pJ; it and cycles are per vector.
    quality
        accuracy, loss or outputs. Left out, accuracy where the network has labelled inputs, else outputs.
    figure
        Draw them into this file, png or svg. Quality and cost stand against sparsity.
    """
    from eie_sim.prune import default_quality, scan_network
    from eie_sim.prune.budget import densities_of
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.pruning import draw_points, measured_lines, points_record, points_table

    if figure is not None:
        require_file("figure", figure)

    with steps_shown() as progress:
        network = on_given(loaded(source, progress, arrays, **asdict(inputs)), inputs)
        quality = default_quality(network, "accuracy") if quality is None else quality
        densities = densities or densities_of(design) or SCANNED
        points = scan_network(network, densities, quantity, design, quality=quality, progress=progress)
    record = points_record(points, network, design, quantity=quantity, quality=quality)
    if figure is not None:
        draw_points(points, record, figure)
    if json:
        print_json(record)
    else:
        console(full).print(points_table(record))
        print_lines(["", *measured_lines(record)])
    return 0


@often("quantity", "floor", "densities", "quality", "out", "json")
@designed
def allocate(
    source: Layers,
    /,
    *,
    budget: float,
    quantity: str = "cycles",
    floor: float = 0.0,
    densities: Several | None = None,
    quality: str | None = None,
    out: Path | None = None,
    inputs: Inputs = INPUTS,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    design: Any,
) -> int:
    """Choose each layer's density for a budget of the network. By magnitude, with the simulator as cost.

    Beside it, plain magnitude pruning of the same budget: one density for all layers, and one threshold for all.

    Example: eie-sim allocate weights.npz --budget 70000 --quantity bytes
    eie-sim allocate digits-mlp --budget 230

    Parameters
    ----------
    budget
        Most that all layers together may cost.
    quantity
        Of weights, bytes, cycles or energy. Energy is in pJ; it and cycles are per vector.
    floor
        Least density of any layer.
    densities
        Densities to choose from at first. Those around the chosen ones are tried next.
    quality
        What to keep: accuracy, loss or outputs. On the training inputs where there are some; left out, loss where
        inputs are labelled, else outputs.
    out
        Keep the network that is found in this file. It is compressed.
    """
    from eie_sim.pipeline import run_network
    from eie_sim.prune import allocate_network, default_quality
    from eie_sim.prune.budget import DENSITIES, densities_of
    from eie_sim.report.pruning import choices_lines, choices_record, choices_table

    _require_archive(out, design)
    with steps_shown() as progress:
        network, archive = loaded_from(source, progress, arrays, **asdict(inputs))
        network = on_given(network, inputs)
        quality = default_quality(network, "loss") if quality is None else quality
        choices = allocate_network(
            network,
            budget,
            quantity,
            design,
            densities=densities or densities_of(design) or DENSITIES,
            floor=floor,
            quality=quality,
            progress=progress,
        )
        runs = [run_network(choice.network, design, progress=progress) for choice in choices]
        recipe = {"budget": budget, "quantity": quantity, "quality": quality, "densities": choices[0].densities}
        _keep(out, runs[0], recipe, archive, design, progress)
    record = choices_record(choices, runs, network, budget=budget, quantity=quantity, quality=quality)
    if json:
        print_json(record)
    else:
        console(full).print(choices_table(record))
        print_lines(["", *choices_lines(record)])
    return 0 if record["verified"] else EXIT_DIFFERS


@often("patterns", "densities", "schedules", "penalties", "epochs", "json")
@designed
def accuracy(
    source: Layers,
    /,
    *,
    patterns: Names = (),
    densities: Several = TABLED,
    schedules: Names = ("one-shot", "iterative"),
    penalties: Names = ("L1", "L2"),
    epochs: int | None = None,
    figure: Path | None = None,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    design: Any,
) -> int:
    """Prune in every combination, train, and show accuracy and cycles.

    Example: eie-sim accuracy weights.npz --chain fc1,fc2 --densities 0.25,0.1
    eie-sim accuracy digits-mlp --patterns element,balanced

    Parameters
    ----------
    patterns
        element, block, neuron, input, balanced, N:M as 2:4. An N:M pattern has its own density; left out, element,
        2:4, 1:4, neuron and, on a unit of PEs that weights can be balanced over, balanced.
    densities
        Fractions of the weights to keep.
    schedules
        one-shot, iterative. The second keeps the same fraction of the survivors in each of 5 steps, with as much
        training in all.
    penalties
        L1 or L2 on the weights in training.
    epochs
        Epochs of training, a multiple of 5. In all steps together; 20 when left out.
    figure
        Draw accuracy against density, and against cycles, into this file: png or svg.
    """
    from eie_sim.prune import table_of
    from eie_sim.report.figures.style import require_file
    from eie_sim.report.network import account_lines
    from eie_sim.report.pruning import accuracies_record, accuracies_table, draw_accuracies

    if figure is not None:
        require_file("figure", figure)
    with steps_shown() as progress:
        network = loaded(source, progress, arrays)
        tried = patterns or (*PATTERNS, *(("balanced",) if hasattr(design, "n_pe") else ()))
        asked: dict[str, Any] = {"densities": densities, "schedules": schedules, "penalties": penalties}
        records, left_out = table_of(network, design, patterns=tried, **asked, epochs=epochs, progress=progress)
    record = accuracies_record(records, left_out, network, design)
    if figure is not None:
        draw_accuracies(records, figure, config_hash=record["config_hash"])
    if json:
        print_json(record)
    else:
        console(full).print(accuracies_table(record))
        print_lines(["", *account_lines(record), *(f"left out: {words}" for words in left_out)])
    return 0


def _require_archive(out: Path | None, design: Any) -> None:
    """Complain of a file that could not be written before the work is done."""
    if out is not None:
        unit = unit_of(design)
        require(unit.pack is not None, "out", out, f"must be left out for unit {unit.name}: archives hold codebooks")
        from eie_sim.archive import require_archive_path

        require_archive_path(out)


def _keep(
    out: Path | None, run: Any, recipe: dict[str, Any], before: Archive | None, design: Any, progress: Any
) -> None:
    """Write a run's network, compressed, as an archive that knows how it was made, and from which one before."""
    from eie_sim.archive import archive_of, save

    if out is None:
        return
    progress(f"{out}: writing")
    recipe = {**recipe, "design": design.to_dict()} | ({} if before is None else {"before": dict(before.recipe)})
    matrices = [layer.matrix for layer in run.layers]
    first = None if before is None else before.source_sha256
    save(out, archive_of(run.network, matrices, recipe=recipe, source_sha256=first))
