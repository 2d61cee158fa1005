"""The command that sets a chip and other units side by side: compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from eie_sim.cli.shell import (
    ARRAYS,
    INPUTS,
    MODEL,
    Arrays,
    Counts,
    Full,
    Inputs,
    Json,
    Model,
    Names,
    Several,
    Source,
    app,
    console,
    energies_of,
    graph_at,
    loaded,
    often,
    on_given,
    print_json,
    print_lines,
    require_layers,
    steps_shown,
)
from eie_sim.core.errors import require, unknown
from eie_sim.core.nm_pattern import pattern_of
from eie_sim.units import UNITS, units

CHIPS = [unit for unit in units() if unit.chip is not None]
"""Units of which a preset can be the chip that all others stand beside."""

PRESETS = [name for unit in CHIPS for name in unit.presets]
BESIDE = " and ".join(unit.title for unit in units() if unit.sized is not None)
NAMES = ", ".join(name for unit in units() for name in (unit.name, *unit.presets))

Preset = Annotated[
    str | None,
    Parameter(
        help=f"The chip, {CHIPS[0].start} where left out. One of {', '.join(PRESETS)}. {BESIDE} beside it: as many PEs "
        "as it has MACs in a cycle, at its clock and node."
    ),
]
On = Annotated[
    str | None,
    Parameter(
        help=f"Only these units and presets, as {','.join(UNITS)}. All are {NAMES}. The one with the most MACs a "
        "cycle sets the size, and the DRAM of all; the others stand as often as it takes to be as large."
    ),
]


@often("layer", "preset", "on", "patterns", "densities", "batches", "figure", "json")
@app.command
def compare(
    source: Source,
    /,
    *,
    layer: str | None = None,
    preset: Preset = None,
    on: On = None,
    elem_bytes: int | None = None,
    patterns: Names = ("2:4", "1:4"),
    densities: Several = (0.5, 0.25, 0.1),
    batches: Counts | None = None,
    energy_table: Path | None = None,
    inputs: Inputs = INPUTS,
    seed: int = 0,
    figure: Path | None = None,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
) -> int:
    """Set designs of one size side by side on the same weights.

    Dense, in patterns, and by density: time, energy, bytes, accuracy. Accuracy is on the held-back inputs, with
    weights, inputs and sums as each unit stores and computes them, without training after pruning.

    Example: eie-sim compare model.onnx --patterns 2:4 --densities 0.3
    eie-sim compare weights.npz --chain fc1,fc2 --batches 1,64
    eie-sim compare digits-mlp --layer fc2 --figure compare.png

    Parameters
    ----------
    layer
        Compare only this layer.
    elem_bytes
        Bytes of the chip's elements in place of the preset's: 2 (fp16) or 1 (int8).
    patterns
        Patterns for chips that have some. 2:4 keeps 2 of 4.
    densities
        Densities for the other units. Weights are pruned by magnitude.
    batches
        Vectors at once, as 1,64. 1, 8, 64 and 256 where left out; each array of another unit takes its share one
        after the other. Of a graph only 1, the batch of its inputs.
    energy_table
        CSV with the columns event, energy_pj, source that replaces energies of the design that sets the size, as
        macs or dram_bytes. They are taken as given at its node; all others, but for other designs' DRAM, stay default
        ones, scaled.
    seed
        Of whatever is drawn.
    figure
        Draw time over the batch: png, svg or pdf. Time is per vector.
    """
    from eie_sim.network.loading import is_graph
    from eie_sim.report import comparison as shown
    from eie_sim.report.figures.style import require_file
    from eie_sim.study.compare import compare as compared
    from eie_sim.study.instances import equal_size

    require(on is None or preset is None, "preset", preset, "must be left out with --on")
    require(on is None or elem_bytes is None, "elem_bytes", elem_bytes, "must be left out with --on")
    preset = preset or CHIPS[0].start
    designs = _chip(preset, elem_bytes) if on is None else [name.strip() for name in on.split(",")]
    _, size, _ = equal_size(designs)
    table = energies_of(energy_table, size.design)
    if figure is not None:
        require_file("figure", figure, shown.FIGURE_SUFFIXES)
    with steps_shown() as progress:
        network: Any
        if is_graph(source):
            network = graph_at(source, model, progress, arrays, seed=seed, **asdict(inputs))
        else:
            require_layers(model)
            network = on_given(loaded(source, progress, arrays, seed=seed, **asdict(inputs)), inputs)
        found = compared(
            network,
            designs,
            layer=layer,
            patterns=[pattern_of("patterns", word) for word in patterns],
            densities=densities,
            batches=batches,
            table=table,
            progress=progress,
        )
    record = shown.comparison_record(found, preset=preset if on is None else None)
    if figure is not None:
        shown.draw_comparison(record, figure)
    if json:
        print_json(record)
    else:
        console(full).print(shown.comparison_table(record))
        print_lines(["", *shown.comparison_lines(record, found)])
    return 0


def _chip(preset: str, elem_bytes: int | None) -> Any:
    """The design of a preset, with elements of another size where one is given."""
    unit = next((unit for unit in CHIPS if preset in unit.presets), None)
    if unit is None:
        raise unknown("preset", preset, PRESETS)
    return unit.config.preset(preset, **({} if elem_bytes is None else {"elem_bytes": elem_bytes}))
