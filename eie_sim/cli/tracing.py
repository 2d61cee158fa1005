"""The command that shows what happens when: trace."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eie_sim.cli import EXIT_DIFFERS
from eie_sim.cli.designs import designed
from eie_sim.cli.shell import (
    ARRAYS,
    INPUTS,
    MODEL,
    Arrays,
    Engine,
    Inputs,
    Json,
    Model,
    Source,
    graph_at,
    often,
    print_json,
    print_lines,
    require_layers,
    steps_shown,
)
from eie_sim.cli.streams import say
from eie_sim.core.errors import InputError
from eie_sim.core.files import require_own

if TYPE_CHECKING:
    from eie_sim.report.trace.record import Window
    from eie_sim.tracing import Traced


@often("layer", "vector", "density", "first", "last", "out", "text", "json")
@designed
def trace(
    source: Source,
    /,
    *,
    layer: str | None = None,
    vector: Annotated[int, Parameter(name=("--vector", "--position"))] = 0,
    inputs: Inputs = INPUTS,
    density: float | None = None,
    seed: int = 0,
    engine: Engine = "fast",
    first: int | None = None,
    last: int | None = None,
    out: Path | None = None,
    text: bool = False,
    step: bool = False,
    json: Json = False,
    arrays: Arrays = ARRAYS,
    model: Model = MODEL,
    design: Any,
) -> int:
    """Show what happens in which cycle, for one vector. Broadcasts, queues and PEs over time, as a file or as text.

    Example: eie-sim trace model.onnx --layer conv1 --position 100
    eie-sim trace hand-8x8 --n-pe 4 --queue-depth 2 --text

    Parameters
    ----------
    layer
        The layer, or the product of a graph. The first where none is named.
    vector
        Which vector of the layer, from 0. Of those that a run gives it; of a convolution its positions: batch, then
        output rows and columns.
    density
        Prune each layer to this density first, 0 to 1. By magnitude.
    seed
        Of everything random.
    first
        First cycle to show, from 1.
    last
        Last cycle to show.
    out
        File: .json.gz, .json (for Perfetto) or .vcd. Chrome trace JSON, which the Perfetto UI opens, or a file for
        waveform viewers, which needs pyvcd. Without it, and without --text, NAME.trace.json.gz in the current folder.
    text
        Print every cycle to be read, on at most 16 PEs.
    step
        With --text on a terminal, wait for Enter before each further cycle.
    """
    from eie_sim import archive, tracing
    from eie_sim.network import load_for_layer
    from eie_sim.network.loading import is_graph
    from eie_sim.report import trace as report

    _require_agreement(text=text, step=step, json=json)
    if out is not None:
        report.require_trace_file(out)
    if text:
        report.require_few_pes(design)
    with steps_shown() as progress:
        progress(f"{source}: loading")
        if is_graph(source):
            network: Any = graph_at(source, model, progress, arrays, seed=seed, **asdict(inputs))
            pruning: dict[str, Any] = {"density": density}
        else:
            require_layers(model)
            given = {"density": density, "seed": seed, **asdict(arrays), **asdict(inputs)}
            network, pruning = load_for_layer(archive.opened(source), layer, **given), {}
        traced = tracing.trace(network, design, layer=layer, vector=vector, **pruning, engine=engine, progress=progress)
        window = report.window_of(traced.result.cycles, first, last)
        if text:
            report.require_few_cycles(*window)
        written = {}
        if out is not None or not text:
            file = report.default_file(traced.name) if out is None else out
            if out is None:
                require_own("out", Path(file))
            progress(f"{file}: writing")
            written = report.write_trace(file, traced.activity, *window, report.about(traced, window))
    record = report.trace_record(traced, window, written)
    if json:
        print_json(record)
    else:
        _show(traced, window, record, text=text, step=step)
    return 0 if traced.verification.ok else EXIT_DIFFERS


def _require_agreement(*, text: bool, step: bool, json: bool) -> None:
    if text and json:
        raise InputError("text=True: must be left out with --json")
    if step and not text:
        raise InputError("step=True: needs --text")


def _show(traced: Traced, window: Window, record: dict[str, Any], *, text: bool, step: bool) -> None:
    from eie_sim.report import trace as report

    activity = traced.activity
    print_lines(report.heading(record, activity))
    if text:
        print_lines(["", *activity.legend(), ""])
        whole = _print_blocks(activity.blocks(*window), wait=step)
        if whole:
            print_lines(["", *activity.outputs()])
    print_lines(report.closing(record))


def _print_blocks(blocks: Iterable[list[str]], *, wait: bool) -> bool:
    """Print one after the other, each further one when Enter is pressed on a terminal; False where somebody left."""
    wait = wait and sys.stdin is not None and sys.stdin.isatty()
    if wait:
        say("Enter: the next cycle; q: leave")
    for at, block in enumerate(blocks):
        if wait and at > 0:
            sys.stdout.flush()
            answer = sys.stdin.readline()
            if not answer or answer.strip().lower() == "q":
                return False
        sys.stdout.write("\n".join(block) + "\n")
    return True
