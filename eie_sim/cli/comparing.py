"""The command that sets dense, N:M and EIE side by side: compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from eie_sim.cli.shell import (
    ARRAYS,
    INPUTS,
    Arrays,
    Counts,
    Energies,
    Inputs,
    Json,
    Names,
    Several,
    Source,
    app,
    console,
    energies_of,
    loaded,
    on_given,
    print_json,
    print_lines,
    steps_shown,
)
from eie_sim.core.nm_pattern import pattern_of


@app.command
def compare(
    source: Source,
    /,
    *,
    layer: str | None = None,
    preset: str = "nm-64",
    patterns: Names = ("2:4", "1:4"),
    densities: Several = (0.5, 0.25, 0.1),
    batches: Counts = (1, 8, 64, 256),
    energy_table: Energies = None,
    inputs: Inputs = INPUTS,
    seed: int = 0,
    figure: Path | None = None,
    json: Json = False,
    arrays: Arrays = ARRAYS,
) -> int:
    """Dense, N:M and EIE from the same trained weights, with as many MACs: time, energy, bytes and accuracy.

    Example: eie-sim compare digits-mlp --layer fc2 --figure compare.png

    Parameters
    ----------
    layer
        Compare only this layer.
    preset
        The chip for dense and N:M: nm-64, stc-1024, stc-1024-flexible, rtx3090, a100-sxm or h100-sxm. EIE has as many
        PEs as it has MACs in a cycle, in arrays of at most 256, at its clock and node.
    patterns
        N:M to prune to, N kept, as 2:4.
    densities
        Densities to prune to by magnitude for EIE.
    batches
        Vectors at once; each EIE array takes its share one after the other.
    energy_table
        CSV with the columns event, energy_pj, source that replaces energies of the chip, as macs, smem_bytes or
        dram_bytes. They are taken as given at its node; the others, and EIE's but for DRAM, stay default ones, scaled.
    seed
        Of whatever is drawn.
    figure
        Draw time per vector over the batch into this file: png, svg or pdf.
    """
    from eie_sim.compare import compare as compared
    from eie_sim.report.comparison import (
        comparison_lines,
        comparison_record,
        comparison_table,
        draw_comparison,
        require_figure,
    )
    from eie_sim.units.nm.config import TensorCoreConfig

    config = TensorCoreConfig.preset(preset)
    table = energies_of(energy_table, config)
    shapes = [pattern_of("patterns", word) for word in patterns]
    if figure is not None:
        require_figure(figure)
    with steps_shown() as progress:
        network = on_given(loaded(source, progress, arrays, seed=seed, **asdict(inputs)), inputs)
        figures = compared(
            network,
            config,
            layer=layer,
            patterns=shapes,
            densities=densities,
            batches=batches,
            table=table,
            progress=progress,
        )
    record = comparison_record(figures, network, config, preset=preset, layer=layer, table=table)
    if figure is not None:
        draw_comparison(record, figure)
    if json:
        print_json(record)
    else:
        console().print(comparison_table(record))
        print_lines(["", *comparison_lines(record)])
    return 0
