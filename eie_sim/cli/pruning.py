"""Commands that prune and compress: prune, compress, sensitivity, allocate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from eie_sim.cli.shell import DESIGN, Design, app, console, print_json, steps_shown

DENSITIES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@app.command
def prune(
    source: str,
    /,
    *,
    density: float | None = None,
    pattern: str = "element",
    criterion: str = "l1",
    scope: str = "local",
    floor: float = 0.0,
    n_keep: int = 2,
    m_group: int = 4,
    block_rows: int = 4,
    block_cols: int = 4,
    window: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
    design: Design = DESIGN,
) -> int:
    """Prune a network and compress it; show each layer before and after, and keep it as an archive that run takes.

    Example: eie-sim prune digits-mlp --density 0.2 --pattern balanced --out pruned.eie.safetensors

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    density
        Fraction of the weights to keep, 0 to 1; the nm pattern fixes its own.
    pattern
        element, nm, block, neuron, input, or balanced (as many weights for every PE of the design).
    criterion
        l1, l2, wanda (needs recorded activations), or random.
    scope
        local (every layer to the density) or global (one threshold over all layers).
    floor
        Least density of any layer.
    n_keep
        Weights kept in each group of the nm pattern.
    m_group
        Weights in a group of the nm pattern, along the inputs.
    block_rows
        Rows of a block.
    block_cols
        Columns of a block.
    window
        Columns over which balanced counts are equal; all where left out.
    seed
        Of the random criterion.
    out
        Keep the pruned and compressed network in this file.
    json
        Print the table as JSON.
    """
    from eie_sim.archive import opened
    from eie_sim.pruning import Recipe, prune_network
    from eie_sim.workload import load

    recipe = Recipe(
        density=density,
        pattern=pattern,
        criterion=criterion,
        scope=scope,
        floor=floor,
        n_keep=n_keep,
        m_group=m_group,
        block_rows=block_rows,
        block_cols=block_cols,
        window=window,
        seed=seed,
    )
    with steps_shown() as progress:
        progress(f"{source}: loading")
        network = load(opened(source), seed=seed)
        progress(f"{source}: pruning")
        pruned, _ = prune_network(network, recipe, design)
    return _compared(network, pruned, design, recipe.to_dict(), out=out, json=json)


@app.command
def compress(
    source: str,
    /,
    *,
    out: Path | None = None,
    json: bool = False,
    design: Design = DESIGN,
) -> int:
    """Compress a pruned network: cluster its weights, choose fixed point, and keep codes and codebooks as an archive.

    Example: eie-sim compress digits-mlp --out digits.eie.safetensors, and eie-sim run digits.eie.safetensors

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    out
        Keep the compressed network in this file.
    json
        Print the table as JSON.
    """
    from eie_sim.archive import opened
    from eie_sim.workload import load

    with steps_shown() as progress:
        progress(f"{source}: loading")
        network = load(opened(source))
    return _compared(network, network, design, {}, out=out, json=json)


@app.command
def sensitivity(
    source: str,
    /,
    *,
    densities: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = DENSITIES,
    quantity: str = "cycles",
    json: bool = False,
    design: Design = DESIGN,
) -> int:
    """Prune one layer at a time by magnitude: accuracy, or error of the layer's outputs, beside its simulated cost.

    Example: eie-sim sensitivity digits-mlp --quantity energy

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    densities
        Densities to try.
    quantity
        Cost of a layer: weights, bytes, cycles or energy, the last two per vector.
    json
        Print the points as JSON.
    """
    from eie_sim.report.text import points_table

    points = _scanned(source, densities, quantity, design)
    records = [point._asdict() for point in points]
    if json:
        print_json(records)
    else:
        console().print(points_table(records, quantity))
    return 0


@app.command
def allocate(
    source: str,
    /,
    *,
    budget: float,
    quantity: str = "cycles",
    floor: float = 0.0,
    densities: Annotated[tuple[float, ...], Parameter(consume_multiple=True)] = DENSITIES,
    json: bool = False,
    design: Design = DESIGN,
) -> int:
    """Choose a density for each layer for a budget of the whole network, by magnitude, with the simulator as cost.

    Example: eie-sim allocate digits-mlp --budget 230 --quantity cycles

    Parameters
    ----------
    source
        A preset (see eie-sim presets) or a file: npz, npy, safetensors, mtx, smtx. Weights are (out, in).
    budget
        Most that all layers together may cost.
    quantity
        What is budgeted: weights, bytes, cycles or energy (pJ), the last two per vector.
    floor
        Least density of any layer.
    densities
        Densities to choose from.
    json
        Print the choice as JSON.
    """
    from eie_sim.prune.allocate import allocate as choose
    from eie_sim.report.text import points_table

    chosen = choose(_scanned(source, densities, quantity, design), budget, floor=floor)
    records = [point._asdict() for point in chosen.points]
    if json:
        print_json({"budget": chosen.budget, "cost": chosen.cost, "loss": chosen.loss, "layers": records})
    else:
        shown = console()
        shown.print(points_table(records, quantity))
        shown.print(f"{quantity}: {chosen.cost:,.1f} of {chosen.budget:,.1f}")
    return 0


def _scanned(source: str, densities: tuple[float, ...], quantity: str, design: Any) -> Any:
    from eie_sim.archive import opened
    from eie_sim.pruning import scan_network
    from eie_sim.workload import load

    with steps_shown() as progress:
        progress(f"{source}: loading")
        return scan_network(load(opened(source)), densities, quantity, design, progress=progress)


def _compared(before: Any, after: Any, design: Any, recipe: dict[str, Any], *, out: Path | None, json: bool) -> int:
    """Show both networks, simulated; keep the second."""
    from eie_sim.archive import archive_of, save
    from eie_sim.report.record import before_after
    from eie_sim.report.text import before_after_table
    from eie_sim.run import run_network

    with steps_shown() as progress:
        runs = [run_network(network, design, progress=progress) for network in (before, after)]
        if out is not None:
            progress(f"{out}: writing")
            save(out, archive_of(after, [layer.matrix for layer in runs[1].layers], recipe=recipe))
    record = before_after(*runs)
    if json:
        print_json(record)
    else:
        console().print(before_after_table(record))
    return 0
