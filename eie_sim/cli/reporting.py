"""The command that shows: a run or a sweep as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eie_sim.cli import EXIT_DIFFERS
from eie_sim.cli.shell import Json, app, often, print_json, print_lines, steps_shown

Shown = Annotated[Path, Parameter(help="A folder of eie-sim run --out, or a sweep (NAME.sweep.jsonl).")]


@often("out", "figures", "json")
@app.command
def report(
    run: Shown,
    /,
    *,
    out: Path | None = None,
    figures: Path | None = None,
    json: Json = False,
) -> int:
    """Show a run or a sweep as one HTML file that needs no network.

    It has a summary, tables that sort, figures and provenance. A sweep may have 2,000,000 rows, as many as it may have
    points: the page of so many takes minutes and is small.

    Example: eie-sim run weights.npz --out mine
    eie-sim report mine

    Parameters
    ----------
    out
        The file, NAME.html. report.html in the run folder, or NAME.html beside a store, where left out.
    figures
        Write each figure into this folder too, as PNG and SVG.
    """
    from eie_sim.core.files import place_for, require_folder
    from eie_sim.report.network import account_lines, verdict
    from eie_sim.report.page import files

    run = files.place_of(run)
    path = files.report_path(run, out)
    if figures is not None:
        require_folder("figures", figures)
    with steps_shown() as progress:
        progress(f"{run}: reading and drawing")
        page = files.page_of(run, progress)
        drawn = files.write_page(page, path if out is None else place_for("out", out), figures)
    if json:
        written = {"report": str(path), "figures": [str(one) for one in drawn]}
        print_json({**written, **page.about, "verified": page.verified})
    else:
        print_lines([f"report: {path}", *([f"figures: {len(drawn)} files in {figures}"] if drawn else [])])
        print_lines(account_lines(page.about) if "inputs" in page.about else [])  # no store of a sweep keeps them
        if page.verified is None:
            print_lines(["not verified: not asked for"])
        else:
            print_lines([verdict(verified=page.verified, warnings=(), sample=page.about.get("sampled"))])
    return EXIT_DIFFERS if page.verified is False else 0
