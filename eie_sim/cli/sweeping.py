"""The command that sweeps: grids, studies that are kept, and search."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eie_sim.cli.axes import NO_AXES, AxisOptions, given
from eie_sim.cli.shell import Json, app, console, print_json, print_lines
from eie_sim.errors import InputError, require

if TYPE_CHECKING:
    from eie_sim.sweep import Sweep, Tally

EXIT_FAILED = 1
STUDY_SUFFIX = ".toml"

Study = Annotated[
    str, Parameter(help="A preset (see eie-sim presets), a file or archive with weights, or a study (TOML).")
]
Objectives = Annotated[str | None, Parameter(help="Two or more of cycles, time_us, energy_nj, area_mm2, bytes, accuracy.")]


@app.command
def sweep(
    source: Study,
    /,
    *,
    axes: AxisOptions = NO_AXES,
    activations: Path | None = None,
    activation_density: float | None = None,
    seed: int | None = None,
    verify: bool = False,
    store: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    pareto: Objectives = None,
    optimize: Objectives = None,
    trials: int | None = None,
    unfit: bool = False,
    table: Path | None = None,
    json: Json = False,
) -> int:
    """Sweep pruning and hardware: a row of figures for every combination, kept in a file that a second run goes on from.

    Values are lists (1,2,8), ranges (1..16), so many even steps (0.02:0.5:20, 1:256:9:log), or go on as they begin
    (1,2,4,...,256).

    Example: eie-sim sweep alex-7 --density 0.02:0.5:20 --n-pe 1,2,4,...,256 --queue-depth 1..256

    Parameters
    ----------
    activations
        File with the inputs of the first layer, one vector or a trace of them (see --vector).
    activation_density
        Use independent random inputs of this density, 0 to 1; a lower-quality mode.
    seed
        Of everything random; 0 where left out.
    verify
        Encode every layer, multiply, and compare with the dense oracle; slower. Else entries are only counted.
    store
        File that keeps the rows, one JSON object a line; NAME.sweep.jsonl where left out.
    workers
        Processes; as many as there are cores where left out.
    scheduler
        Run on the Dask cluster at this address (tcp://host:port), or with this scheduler file.
    pareto
        Print the designs that no other beats in these, as cycles,energy_nj; those that fit.
    optimize
        Search the axes for such designs instead of running all of them (needs optuna).
    trials
        Designs that a search runs; 200 where left out.
    unfit
        Let designs that do not fit their memories take part in --pareto and --optimize.
    table
        Write the rows as a table too: csv or parquet.
    """
    asked = _asked(source, axes, activations, activation_density, seed, verify, store, optimize, trials)
    objectives = None if pareto is None else _listed("pareto", pareto)
    _require_table(table)
    with ExitStack() as stack:
        if scheduler is not None:
            from eie_sim.sweep.cluster import cluster

            require(workers is None, "workers", workers, "must be left out, the cluster at --scheduler has its own")
            asked["executor"] = stack.enter_context(cluster(scheduler)).executor
        else:
            asked["workers"] = workers
        asked["progress"] = stack.enter_context(_points_shown())
        found = _found(asked)
    return _shown(found, asked["source"], objectives or asked.get("objectives"), unfit=unfit, table=table, json=json)
