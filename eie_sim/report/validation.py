"""The validation as data, tables and a figure: published beside simulated, by group, and published studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from eie_sim.core.numbers import percent
from eie_sim.core.published import (
    KIND_MEANINGS,
    Comparison,
    Details,
    Groups,
    Rows,
    Study,
    notes_of,
    part_of,
    rows_record,
)
from eie_sim.core.published import Table as PlainTable
from eie_sim.record import versions
from eie_sim.report import figures
from eie_sim.report.figures.style import PAGE, drawing, write_figure
from eie_sim.report.network import Record
from eie_sim.report.text import Screen, TextTable


def validation_record(compared: Sequence[Comparison], rerun: Sequence[Study], *, seed: int, config_hash: str) -> Record:
    """Every row and the errors by group, see `rows_record`, and the studies with what was found.

    config_hash : of the default design of the first unit
    """
    return {
        "seed": seed,
        "config_hash": config_hash,
        "versions": versions(),
        "kinds": dict(KIND_MEANINGS),
        "follows": {one.group: one.follows for one in compared if one.follows},
        **rows_record(compared),
        "studies": [study.to_dict() for study in rerun],
    }


def print_validation(record: Record, console: Screen, *, summary: bool = False) -> None:
    """Print rows, errors by group, studies, and what is known of the differences; of a summary no rows and no notes."""
    if not summary:
        for table in validation_tables(record):
            console.print(table)
            console.print()
    console.print(groups_table(record))
    if record["studies"]:
        console.print()
        console.print(studies_table(record))
    console.print()
    for line in validation_lines(record, notes=not summary):
        console.print(line)


def print_details(details: Details, console: Screen) -> None:
    """Print all that a unit has to say of its published figures: lines, and tables with a blank line after each."""
    for part in details.shown:
        match part:
            case Rows(record):
                tables = validation_tables(record)
            case Groups(record, title):
                tables = [groups_table(record, title)]
            case PlainTable(headings, cells, text, title, bold):
                tables = [TextTable(headings, cells, text=set(text), title=title, bold=set(bold))]
            case lines:
                tables = []
                for line in lines:
                    console.print(line)
        for table in tables:
            console.print(table)
            console.print()


def validation_tables(record: Record) -> list[TextTable]:
    """A table for each group, source and quantity, all lined up: a row for each published figure."""
    number = {note: at for at, note in enumerate(notes_of(record), start=1)}
    headings = ["row", "unit", "published", "simulated", "error", "verdict", "fits", "note"]
    every = _cells(record["rows"], number)
    return [
        TextTable(
            headings,
            _cells(own, number),
            text={0, 1, 5, 6},
            title=f"{group}: {quantity}, {source}",
            beside=every,
        )
        for (group, source, quantity), own in groupby(record["rows"], key=part_of)
    ]


def _cells(own: Iterable[Record], number: Mapping[str, int]) -> list[list[str]]:
    return [
        [
            r["row"],
            r["unit"],
            _number(r["published"]),
            _number(r["simulated"]),
            f"{round(100 * r['error'], 1) + 0.0:+.1f} %",
            r["verdict"],
            "" if r["fits"] else "no",
            f"[{number[r['note']]}]",
        ]
        for r in own
    ]


def groups_table(record: Record, title: str | None = None) -> TextTable:
    """Errors of each group, validated, calibrated and derived rows apart."""
    within = f"within\n{100 * record['agrees_within']:g} %"
    headings = ["group", "kind", "rows", within, "mean\nerror", "worst\nerror", "worst row"]
    cells = [
        [one["group"], one["kind"], str(one["n_row"]), str(one["n_agree"])]
        + [percent(one[error]) for error in ("mean_error", "worst_error")]
        + [one["worst_row"]]
        for one in record["groups"]
    ]
    return TextTable(headings, cells, text={0, 1, 6}, title=title)


def studies_table(record: Record) -> TextTable:
    """Return a table of claims in the text of the publication, and what the rerun shows."""
    cells = [
        [f"Fig. {one['figure']}", "holds" if one["holds"] else "differs", one["says"], one["found"]]
        for one in record["studies"]
    ]
    return TextTable(["study", "", "the paper's text, in short", "rerun"], cells, text={0, 1, 2, 3}, wrapped={2, 3})


def validation_lines(record: Record, *, notes: bool = True) -> list[str]:
    """Return the meaning of kinds and verdicts, which groups follow from others, what was simulated, and the notes."""
    lines = [f"{kind}: {meaning}" for kind, meaning in record["kinds"].items()]
    lines.append(
        f"agrees: error of at most {100 * record['agrees_within']:g} %; seed {record['seed']}; "
        f"config {record['config_hash']}"
    )
    lines += [f"{group}: {rule}" for group, rule in record["follows"].items()]
    for one in record["studies"]:
        if not one["holds"]:
            lines.append(f"Fig. {one['figure']} differs: {one['why'] or 'no reason known'}")
    if notes:
        lines += ["", *(f"[{at}] {note}" for at, note in enumerate(notes_of(record), start=1)), ""]
        for inputs in dict.fromkeys(r["inputs"] for r in record["rows"]):
            own = [r["row"] for r in record["rows"] if r["inputs"] == inputs]
            named = list(dict.fromkeys(own))
            some = ", ".join(named) if len(named) <= FEW else f"{named[0]} to {named[-1]}"
            lines.append(f"{some}: {inputs}")
    return lines


ROW_HEIGHT, STUDY_HEIGHT = 0.15, 3.2
"""Inches of a group in the figure, and of a study."""

FEW = 12
"""Most rows that are named one by one."""


def _number(value: float) -> str:
    """Four digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@drawing()
def draw_validation(
    compared: Sequence[Comparison], rerun: Sequence[Study], path: Path, *, config_hash: str = ""
) -> None:
    """Published against simulated, and below it the studies rerun, as PNG or SVG; those of one sweep are drawn once.

    Raises InputError.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawings: dict[tuple[str, str], list[Study]] = {}
    for study in rerun:
        drawings.setdefault((study.drawn, study.varies), []).append(study)
    high, rows = 1.5 + ROW_HEIGHT * len({row.group for row in compared}), -(-len(drawings) // 2)
    apart = ConstrainedLayoutEngine(w_pad=0.12)  # labels of a second axis and of the figure to its right
    drawn = Figure(figsize=(PAGE, high + STUDY_HEIGHT * rows), layout=apart)
    parts = drawn.subfigures(1 + rows, 1, height_ratios=[high, *[STUDY_HEIGHT] * rows], squeeze=False)[:, 0]
    figures.parity(compared, parts[0].subplots(), config_hash=config_hash)
    for at, ((draw, varies), own) in enumerate(drawings.items()):
        numbers = " and ".join(study.figure for study in own)
        title = f"Fig{'s' if len(own) > 1 else '.'} {numbers} of the paper, rerun"
        by = {"by": varies} if draw == "balance" else {}
        axes = parts[1 + at // 2].add_subplot(1, 2, 1 + at % 2)
        getattr(figures, draw)(list(own[0].rows), axes, title=title, **by)
    write_figure(drawn, path)
