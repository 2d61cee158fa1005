"""The validation as data, tables and a figure: published beside simulated, by group, and the paper's studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.table import Table

from eie_sim.core.result import config_hash
from eie_sim.record import versions
from eie_sim.report import figures
from eie_sim.report.figures.style import write_figure
from eie_sim.report.network import Record
from eie_sim.report.text import Screen, rows
from eie_sim.units.eie.config import EieConfig
from eie_sim.validate import AGREES, FOLLOWS, KIND_MEANINGS, Comparison, Study, by_group

_part = itemgetter("group", "source", "quantity")
"""Of a row: what has a table of its own."""


def rows_record(compared: Sequence[Comparison]) -> Record:
    """Every row with its error and verdict, and errors by group.

    Rows of one group stand together, and in a group those of one source and quantity.
    """
    groups = list(dict.fromkeys(one.group for one in compared))
    compared = sorted(compared, key=lambda one: groups.index(one.group))
    found = [one.to_dict() for one in compared]
    parts = list(dict.fromkeys(map(_part, found)))
    return {
        "agrees_within": AGREES,
        "rows": sorted(found, key=lambda row: parts.index(_part(row))),
        "groups": [group._asdict() for group in by_group(compared)],
    }


def validation_record(compared: Sequence[Comparison], rerun: Sequence[Study], *, seed: int) -> Record:
    """Every row and the errors by group, see `rows_record`, and the studies with what was found."""
    groups = {one.group for one in compared}
    return {
        "seed": seed,
        "config_hash": config_hash("eie", EieConfig().to_dict()),
        "versions": versions(),
        "kinds": dict(KIND_MEANINGS),
        "follows": {group: rule for group, rule in FOLLOWS.items() if group in groups},
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


def validation_tables(record: Record) -> list[Table]:
    """A table for each group, source and quantity, all of the same widths: a row for each published figure."""
    number = {note: at for at, note in enumerate(notes_of(record), start=1)}
    whole = _rows(record["rows"], number)
    tables = []
    for (group, source, quantity), own in groupby(record["rows"], key=_part):
        shown = _rows(own, number, title=f"{group}: {quantity}, {source}")
        for column, of_all in zip(shown.columns, whole.columns, strict=True):
            column.width = of_all.width
        tables.append(shown)
    return tables


def _rows(own: Iterable[Record], number: Mapping[str, int], title: str | None = None) -> Table:
    headings = ["row", "unit", "published", "simulated", "error", "verdict", "fits", "note"]
    cells = [
        [
            r["row"],
            r["unit"],
            _number(r["published"]),
            _number(r["simulated"]),
            f"{100 * r['error']:+.1f} %",
            r["verdict"],
            "" if r["fits"] else "no",
            f"[{number[r['note']]}]",
        ]
        for r in own
    ]
    return rows(headings, cells, text={0, 1, 5, 6}, title=title)


def groups_table(record: Record, title: str | None = None) -> Table:
    """Errors of each group, validated, calibrated and derived rows apart."""
    headings = [
        "group",
        "kind",
        "rows",
        f"within\n{100 * record['agrees_within']:g} %",
        "mean\nerror",
        "worst\nerror",
        "worst row",
    ]
    cells = [
        [
            one["group"],
            one["kind"],
            str(one["n_row"]),
            str(one["n_agree"]),
            f"{100 * one['mean_error']:.1f} %",
            f"{100 * one['worst_error']:.1f} %",
            one["worst_row"],
        ]
        for one in record["groups"]
    ]
    return rows(headings, cells, text={0, 1, 6}, title=title)


def studies_table(record: Record) -> Table:
    """What the paper's text says of its studies, and what the rerun shows."""
    cells = [
        [f"Fig. {one['figure']}", "holds" if one["holds"] else "differs", one["says"], one["found"]]
        for one in record["studies"]
    ]
    return rows(["study", "", "the paper's text, in short", "rerun"], cells, text={0, 1, 2, 3}, wrapped={2, 3})


def validation_lines(record: Record, *, notes: bool = True) -> list[str]:
    """What kinds and verdicts mean, which groups follow from others, what was simulated, and the notes."""
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


FEW = 12
"""Most rows that are named one by one."""


def _number(value: float) -> str:
    """Four digits, and all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def notes_of(record: Record) -> list[str]:
    """The notes of the rows, each once, in order."""
    return list(dict.fromkeys(r["note"] for r in record["rows"]))


def draw_validation(compared: Sequence[Comparison], rerun: Sequence[Study], path: Path) -> None:
    """Published against simulated, and the paper's studies rerun, as PNG or SVG. Raises InputError."""
    from matplotlib.figure import Figure

    hashed = config_hash("eie", EieConfig().to_dict())
    drawn = Figure(figsize=(20, 11), layout="constrained")
    places = drawn.subplot_mosaic([["rows", "rows", "8"], ["9", "11", "13"]])
    figures.parity(compared, places["rows"], config_hash=hashed)
    drawings: dict[str, Callable[..., Any]] = {
        "8": figures.balance,
        "9": figures.widths,
        "11": figures.scaling,
        "13": partial(figures.balance, by="n_pe"),
    }
    swept = {study.figure: list(study.rows) for study in rerun}
    for figure, draw in drawings.items():
        if figure in swept:
            named = "Figs 11 and 12" if figure == "11" else f"Fig. {figure}"
            draw(swept[figure], places[figure], title=f"{named} of the paper, rerun")
        else:
            places[figure].axis("off")
    write_figure(drawn, path)
