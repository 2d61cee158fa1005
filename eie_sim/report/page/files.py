"""Paths that a report is read from and written to."""

from __future__ import annotations

import os
from pathlib import Path

from eie_sim.core.errors import require
from eie_sim.core.files import place_for, require_ours, require_own, system_errors, write_whole
from eie_sim.report.figures.style import drawing
from eie_sim.report.folder import LAYERS, RECORD, REPORT
from eie_sim.report.page.frame import MARK, Page
from eie_sim.report.page.run import run_page
from eie_sim.report.page.sweep import sweep_page
from eie_sim.report.reading import read_run
from eie_sim.study.reading import Progress, read_store

SUFFIX = ".html"
HEAD = 500
"""Characters of a file in which a report says that it is one."""


def place_of(run: Path) -> Path:
    """Return the folder of a run, of which its record may be given, or a file. Raises InputError if there is none."""
    with system_errors("run", run, "read"):
        require(run.exists(), "run", run, "no such folder or file")
        return run.parent if run.name == RECORD and run.is_file() else run


def page_of(run: Path, progress: Progress) -> Page:
    """The report of a run folder, or of the store of a sweep. Raises InputError as they are read."""
    with drawing():
        if run.is_dir():
            return run_page(read_run(run))
        return sweep_page(read_store(run, progress=progress), run.name, progress)


def report_path(run: Path, out: Path | None) -> Path:
    """Return the path of the report: `out`, which may be a link, else in the run folder, or beside the store.

    Raises InputError, before anything is drawn, for another suffix, a missing folder, or what would be overwritten: the
    run itself, or, where no `out` was given, a file that is no report.
    """
    chosen = out
    if chosen is None:
        name = run.name.removesuffix(".jsonl").removesuffix(".sweep") + SUFFIX
        chosen = run / REPORT if run.is_dir() else run.with_name(name)
        require_own("out", chosen)
    require(chosen.suffix.lower() == SUFFIX, "out", chosen, f"must end in {SUFFIX}")
    file = place_for("out", chosen)
    taken = {os.path.realpath(each) for each in (run, run / RECORD, run / LAYERS)}
    require(str(file) not in taken, "out", chosen, "must be another file than the run's own")
    if out is None and chosen.exists():
        with system_errors("out", chosen, "read"), chosen.open(encoding="utf-8", errors="replace") as stream:
            ours = MARK in stream.read(HEAD)
        require_ours("out", chosen, "a report", ours)
    return chosen


def write_page(page: Page, out: Path, figures: Path | None) -> list[Path]:
    """Write a report, whole, and its figures as PNG and SVG into a folder where one is given. Returns their paths.

    Raises InputError where they cannot be written.
    """
    from eie_sim.report.figures import save

    drawn = {}
    if figures is not None:
        drawn = {figures / f"{one.name}{suffix}": one.axes for one in page.pictures for suffix in (".png", ".svg")}
    for path in drawn:
        require_own("figures", path)
    with system_errors("out", out, "written"):
        write_whole({out: page.html.encode()})
    if figures is not None:
        with system_errors("figures", figures, "written"):
            figures.mkdir(exist_ok=True)
    with drawing():
        return [save(axes, path) for path, axes in drawn.items()]
