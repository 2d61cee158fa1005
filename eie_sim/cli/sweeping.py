"""The command that sweeps: grids, studies that are kept, and search."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eie_sim.cli import EXIT_FAILED
from eie_sim.cli.axes import NO_AXES, AxisOptions, given
from eie_sim.cli.shell import (
    ARRAYS,
    MODEL,
    Arrays,
    Energies,
    Full,
    Json,
    Model,
    Reading,
    app,
    console,
    energies_of,
    often,
    shapes_of,
)
from eie_sim.core.errors import InputError, require
from eie_sim.core.files import require_own
from eie_sim.units import unit_named

if TYPE_CHECKING:
    from eie_sim.study import Sweep, Tally

STUDY_SUFFIX = ".toml"

Study = Annotated[
    str, Parameter(help="A preset, a file (onnx, npz, ...), or a study (TOML). Or an archive; see eie-sim presets.")
]


@often("density", "pattern", "unit", "n_pe", "queue_depth", "pareto", "optimize", "store", "out", "json")
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
    energy_table: Energies = None,
    store: Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    pareto: str | None = None,
    optimize: str | None = None,
    trials: int | None = None,
    unfit: bool = False,
    out: Path | None = None,
    json: Json = False,
    full: Full = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
) -> int:
    """Run every combination of pruning and hardware; keep the rows. The same command goes on from the file.

    Values are lists (1,2,8), ranges (1..16), so many even steps (0.02:0.5:20, 1:256:9:log), or go on as they begin
    (1,2,4,...,256).

    Example: eie-sim sweep model.onnx --n-pe 16,32,64 --density 0.1,0.3
    eie-sim sweep weights.npz --queue-depth 1..16 --out rows.csv
    eie-sim sweep alex-7 --density 0.02:0.5:20 --n-pe 1,2,4,...,256

    Parameters
    ----------
    activations
        File with the inputs of the first layer, one vector or a trace of them (see --vector).
    activation_density
        Use independent random inputs of this density, 0 to 1; a lower-quality mode.
    seed
        Of everything random; 0 where left out.
    verify
        Encode every layer, multiply, and compare with the golden product; slower. Else entries are only counted.
    store
        File that keeps the rows. One JSON object a line; NAME.sweep.jsonl where left out.
    workers
        Most worker processes, as many as there are cores where left out; they start where they save time.
    scheduler
        Run on the Dask cluster at this address (tcp://host:port, tls://host:port), or with this scheduler file. Dask
        pickles both ways: who reaches the scheduler runs code on its workers, and here. Use tls:// on a shared network.
    pareto
        Print designs that no other beats in cycles,energy_nj. Two or more of cycles, time_us, energy_nj, area_mm2,
        bytes, accuracy, load_balance, effective_gops, utilisation.
    optimize
        Search for such designs instead of running all. It needs optuna.
    trials
        Designs that a search runs; 200 where left out.
    unfit
        Let designs that do not fit their memories take part in --pareto and --optimize.
    out
        Write the rows as a table too, csv or parquet.
    """
    require(model.batch is None, "batch", model.batch, "must be left out of a sweep: --shape says it")
    options: dict[str, Any] = {
        "activations": None if activations is None else str(activations),
        "activation_density": activation_density,
        "seed": seed,
        "inputs": None if model.inputs is None else str(model.inputs),
        "shapes": shapes_of(model),
        "calibration": None if model.calibration is None else str(model.calibration),
        "labels": None if model.labels is None else str(model.labels),
        "verify": verify or None,
        "energy_table": energy_table,
        "store": store,
    }
    asked = _asked(source, axes, options, optimize, trials)
    table = asked.pop("energy_table", None)  # of the options, or of a study
    if table is not None:
        asked["table"] = energies_of(Path(table), _first_design(asked))
    objectives = None if pareto is None else _listed("pareto", pareto)
    _require_table(out, asked["store"])
    with ExitStack() as stack:
        if scheduler is not None:
            from eie_sim.study.cluster import cluster

            require(workers is None, "workers", workers, "must be left out, the cluster at --scheduler has its own")
            asked["executor"] = stack.enter_context(cluster(scheduler))
        else:
            asked["workers"] = workers
        if "objectives" in asked:
            asked["unfit"] = unfit
        asked["progress"] = stack.enter_context(_points_shown())
        found = _found(asked, arrays)
    return _shown(
        found, asked["source"], objectives or asked.get("objectives"), unfit=unfit, out=out, json=json, full=full
    )


def _asked(source: str, axes: Any, options: dict[str, Any], optimize: str | None, trials: int | None) -> dict[str, Any]:
    """Return the arguments of `run` and `search`: those of the study, if the source is one, replaced by options given.

    options : None where one was not given
    """
    from eie_sim.study import read_study

    study: dict[str, Any] = read_study(source) if source.lower().endswith(STUDY_SUFFIX) else {"workload": source}
    asked: dict[str, Any] = {**study, **{name: value for name, value in options.items() if value is not None}}
    asked["source"] = asked.pop("workload")
    asked["grid"] = {**study.get("grid", {}), **given(axes)}
    rule = "must vary something, as --queue-depth 1..16 does (see eie-sim sweep --help)"
    require(bool(asked["grid"] or asked.get("points")), "axes", "none", rule)
    if asked.get("store") is None:
        asked["store"] = Path(f"{Path(source).stem}.sweep.jsonl")
        require_own("store", asked["store"])
    sought: dict[str, Any] = asked.pop("search", None) or {}
    sought |= {} if optimize is None else {"objectives": _listed("optimize", optimize)}
    sought |= {} if trials is None else {"trials": trials}
    require(not sought or "objectives" in sought, "trials", trials, "needs --optimize")
    if sought:
        require(not asked.pop("points", None), "points", "given", "must be left out in a search, which has a grid")
        asked |= {name: value for name, value in sought.items() if value is not None}
    return asked


def _first_design(asked: dict[str, Any]) -> Any:
    """A design of the unit that is swept, of the first where there are several: its events are a table's."""
    from eie_sim.study.points import read_axes, units_of

    unit = unit_named(units_of(read_axes(asked["grid"], asked.get("points"))[0])[0])
    return unit.config.preset(unit.start) if unit.presets else unit.config()


def _listed(option: str, text: str) -> tuple[str, ...]:
    """Names between commas, known ones, two or more."""
    from eie_sim.study.pareto import require_objectives

    try:
        return require_objectives([word.strip() for word in text.split(",")])
    except InputError as error:
        raise InputError(str(error).replace("objectives=", f"{option}=", 1)) from None


def _require_table(path: Path | None, store: str | Path) -> None:
    """Before anything is run. Raises InputError for a table that could not be written, or that is the store."""
    if path is not None:
        from eie_sim.study.export import require_table

        require_table(path)
        same = os.path.realpath(path) == os.path.realpath(store)
        require(not same, "out", path, "must be another file than --store, which keeps the rows")


def _found(asked: dict[str, Any], arrays: Reading) -> Sweep:
    """Run all points, or search among them."""
    from eie_sim.archive import opened
    from eie_sim.network import load
    from eie_sim.network.loading import is_graph
    from eie_sim.study import run, search

    source = asked["source"] if is_graph(asked["source"]) else opened(asked["source"])
    if is_graph(source):
        for name, value in asdict(arrays).items():
            rule = "must be left out, a graph of operators has none"
            require(value == getattr(ARRAYS, name), name, value, rule)
    elif arrays != ARRAYS:
        source = load(source, seed=asked.get("seed", 0), **asdict(arrays))
    options = {name: value for name, value in asked.items() if name != "source"}
    return search(source, **options) if "objectives" in asked else run(source, **options)


def _shown(found: Sweep, source: str, objectives: Any, *, unfit: bool, out: Path | None, json: bool, full: bool) -> int:
    """Print a sweep, write its table, and tell by the exit code whether a point failed."""
    from eie_sim.report import sweep as report

    chosen = objectives or report.default_objectives(found.rows)
    record = report.sweep_record(found, workload=source, objectives=chosen, unfit=unfit)
    if out is not None:
        from eie_sim.study import write_csv, write_parquet

        (write_csv if out.suffix.lower() == ".csv" else write_parquet)(found.rows, out)
    if json:
        report.write_json(record, sys.stdout)
    else:
        report.print_sweep(record, console(full), with_front=bool(objectives))
    return EXIT_FAILED if found.failed else 0


@contextmanager
def _points_shown() -> Iterator[Callable[[Tally], None]]:
    """A bar on a terminal's standard error, with points done, reused and failed, the rate and the time left."""
    if not sys.stderr.isatty():
        yield lambda tally: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]} points/s, {task.fields[reused]} reused, {task.fields[failed]} failed, left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("points", total=None, rate="0", reused=0, failed=0)

        def show(tally: Tally) -> None:
            own = bar.tasks[0]
            computed, elapsed = tally.done - tally.reused, own.elapsed or 0.0
            rate = f"{computed / elapsed:,.0f}" if elapsed else "0"
            bar.update(
                task, total=tally.total, completed=tally.done, rate=rate, reused=tally.reused, failed=tally.failed
            )

        yield show
