"""Where a report is read from and written to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eie_sim.core.errors import InputError, refused, require
from eie_sim.core.files import place_for, require_own, write_whole
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
    """What is to be shown: a run folder, also where its record was named, or a file. Raises InputError for neither."""
    try:
        require(run.exists(), "run", run, "no such folder or file")
    except OSError as error:
        raise refused("run", run, f"cannot be read: {error.strerror or type(error).__name__}") from error
    return run.parent if run.name == RECORD and run.is_file() else run


def page_of(run: Path, progress: Progress) -> Page:
    """The report of a run folder, or of the store of a sweep. Raises InputError as they are read."""
    with drawing():
        if run.is_dir():
            return run_page(read_run(run))
        return sweep_page(read_store(run, progress=progress), run.name, progress)


def report_path(run: Path, out: Path | None) -> Path:
    """Where the report goes: `out`, which may be a link, else into the run folder, or beside the store.

    Raises InputError, before anything is drawn, for another suffix, a missing folder, or what would be overwritten: the
    run itself, or, where no `out` was given, a file that is no report.
    """
    chosen = out
    if chosen is None:
        name = run.name.removesuffix(".jsonl").removesuffix(".sweep") + SUFFIX
        chosen = run / REPORT if run.is_dir() else run.with_name(name)
    try:
        require(chosen.suffix.lower() == SUFFIX, "out", chosen, f"must end in {SUFFIX}")
        if out is None:
            require_own("out", chosen)
        else:
            place_for("out", chosen)
        taken = {os.path.realpath(each) for each in (run, run / RECORD, run / LAYERS)}
        require(os.path.realpath(chosen) not in taken, "out", chosen, "must be another file than the run's own")
        if out is None and chosen.exists():
            with chosen.open(encoding="utf-8", errors="replace") as file:
                ours = MARK in file.read(HEAD)
            require(ours, "out", chosen, "is there and is no report; give --out")
    except OSError as error:
        raise refused("out", chosen, f"cannot be written: {error.strerror or type(error).__name__}") from error
    return chosen


def require_figures(folder: Path) -> None:
    """Raise InputError where `folder` is something other than a folder, or new in one that exists."""
    ok = folder.is_dir() or (not folder.exists() and folder.parent.is_dir())
    require(ok, "figures", folder, "must be a folder, or new in a folder that exists")


def write_page(page: Page, out: Path, figures: Path | None) -> list[Path]:
    """Write a report, whole, and its figures as PNG and SVG into a folder where one is given. Returns their paths.

    Raises InputError where they cannot be written.
    """
    try:
        for path in [] if figures is None else _figures_in(figures, page):
            require_own("figures", path)
        write_whole({out: page.html.encode()})
    except OSError as error:
        raise InputError(f"out={out}: cannot be written: {error.strerror}") from error
    return [] if figures is None else _write_figures(page, figures)


def _write_figures(page: Page, folder: Path) -> list[Path]:
    from eie_sim.report.figures import save

    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"figures={folder}: cannot be written: {error.strerror}") from error
    with drawing():
        return [save(axes, path) for path, axes in _figures_in(folder, page).items()]


def _figures_in(folder: Path, page: Page) -> dict[Path, Any]:
    """The Axes that each file of a folder of figures is drawn from."""
    return {folder / f"{one.name}{suffix}": one.axes for one in page.pictures for suffix in (".png", ".svg")}
