"""A sweep as plain data and as tables: its points, or of many the best ones, and what failed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from eie_sim.core.numbers import counted, percent
from eie_sim.energy.table import given_lines
from eie_sim.graphs import mac_share, style_of
from eie_sim.network.graph import Graph
from eie_sim.record import account_of, versions
from eie_sim.report.network import Record, account_lines
from eie_sim.report.text import Screen, TextTable
from eie_sim.study import Sweep, front
from eie_sim.study.axes import PRUNING, WORKLOAD, known_axes
from eie_sim.study.showing import axis_cell, heading, row_cells
from eie_sim.study.table import Rows
from eie_sim.units import units

SHOWN = 40
"""Most rows of a table; all are in the store."""

FAILURES_SHOWN = 5


def sweep_record(found: Sweep, *, workload: str, objectives: Sequence[str], unfit: bool) -> Record:
    """All rows with what they come from, and those on the front of the objectives."""
    best, subject = front(found.rows, objectives, all_rows=unfit), found.subject
    words = {} if subject is None else subject.input_words()
    network = None if subject is None else subject.network
    return {
        "workload": workload,
        "seed": found.seed,
        **account_of(network, words),
        **({} if subject is None or subject.graph is None else {"covers": _covers(subject.graph, found)}),
        "axes": list(found.axes),
        "points": len(found.lines),
        "reused": found.reused,
        "failed": found.failed,
        "store": None if found.store is None else str(found.store),
        "damaged": found.damaged,
        "energy_table": found.energy_table,
        "versions": versions(),
        "objectives": list(objectives),
        "front": [row["key"] for row in best.rows],
        "left_out": best.left_out,
        "rows": found.rows,
    }


def _covers(graph: Graph, found: Sweep) -> dict[str, float]:
    """Share of the MACs of a graph that each unit of the rows computes."""
    used = [unit for unit in units() if unit.name in found.rows.values("unit")]
    starts = {unit.name: unit.config.preset(unit.start) if unit.start else unit.config() for unit in used}
    return {name: mac_share(graph, style_of(design)) for name, design in starts.items()}


def write_json(record: Record, out: IO[str]) -> None:
    """Write the record as indented JSON, its rows, which are last, one at a time: there may be millions."""
    out.write(json.dumps({**record, "rows": []}, indent=2, allow_nan=False).removesuffix("]\n}"))
    for at, row in enumerate(record["rows"]):
        text = json.dumps(row, indent=2, allow_nan=False).replace("\n", "\n    ")
        out.write(f"{',' if at else ''}\n    {text}")
    out.write("\n  ]\n}\n" if record["rows"] else "]\n}\n")


def print_sweep(record: Record, console: Screen, *, with_front: bool) -> None:
    """Print all rows of a small sweep, the fastest of a large one, the front where it is wanted, and what failed."""
    found, axes = record["rows"], record["axes"]
    if len(found) <= SHOWN:
        console.print(sweep_table(found[:], axes))
    else:
        by, fastest = fastest_rows(found, axes)
        title = f"fewest cycles for each {', '.join(by)}, of {len(found):,} points"
        title = title if by else f"the first {SHOWN} of {len(found):,} points"
        console.print(sweep_table(fastest, axes, title))
    if with_front:
        best = _distinct(record)
        shown = [best[at * (len(best) - 1) // (SHOWN - 1)] for at in range(SHOWN)] if len(best) > SHOWN else best
        fewer = f", {SHOWN} of them from end to end" if len(best) > SHOWN else ""
        console.print()
        title = f"not beaten in {', '.join(record['objectives'])}: {len(best)}{fewer}"
        console.print(sweep_table(shown, axes, title, record["objectives"]) if shown else title)
    console.print()
    for line in (*sweep_lines(record), *failure_lines(found)):
        console.print(line)


def fastest_rows(found: Rows, axes: Sequence[str]) -> tuple[list[str], list[Record]]:
    """The fastest row of each kind of weights, or of the values of the first axis that has few; and those axes.

    Rows that fit come before others, and of rows as fast the one given first.
    """
    failed, unfit = found.where("error", lambda error: error is not None), ~found.where("fits", bool)
    ranks = np.argsort(np.lexsort((found.numbers("cycles"), unfit, failed)))
    varying = [axis for axis in dict.fromkeys(["layer", *axes]) if len(_texts(found, axis)) > 1]
    weights = [axis for axis in varying if known_axes()[axis].group in (WORKLOAD, PRUNING)]
    for by in (weights, *([axis] for axis in varying)):
        groups = found.groups(by)
        if by and len(groups) <= SHOWN:
            fastest = found.listed(np.array([own[ranks[own].argmin()] for own in groups]))
            numbers = all(isinstance(row.get(axis), (int, float)) for row in fastest for axis in by)
            return list(by), sorted(fastest, key=lambda row: [row[axis] for axis in by]) if numbers else fastest
    return [], found[:SHOWN]


def _texts(found: Rows, axis: str) -> set[str]:
    """The values of an axis as they are shown, among them nothing where a row has none."""
    texts = {axis_cell(axis, value).text for value in found.values(axis)}
    return texts if found.having(axis).all() else texts | {""}


def _distinct(record: Record) -> list[Record]:
    """Rows of the front, the first of those that are equal in all objectives."""
    rows, keys = record["rows"], set(record["front"])
    by_key = {row["key"]: row for row in rows.listed(np.flatnonzero(rows.where("key", keys.__contains__)))}
    kept: dict[tuple[Any, ...], Record] = {}
    for key in record["front"]:
        row = by_key[key]
        kept.setdefault(tuple(row[name] for name in record["objectives"]), row)
    return list(kept.values())


def default_objectives(found: Rows) -> tuple[str, ...]:
    """Cycles and energy, and accuracy where it differs from row to row."""
    several = len({*found.values("accuracy")} - {None}) > 1
    return ("cycles", "energy_nj", "accuracy") if several else ("cycles", "energy_nj")


def sweep_table(
    shown: Sequence[Record], axes: Sequence[str], title: str | None = None, objectives: Sequence[str] = ()
) -> TextTable:
    """Return a row for each point: the axes that were given, then figures that any of them has, then what is wrong.

    objectives : figures that a narrow terminal shows before the others, as it does the faults of points
    """
    headings, cells = row_cells(shown, axes, objectives)
    words = {at for row in cells for at, cell in enumerate(row) if cell.text and cell.value is None}
    last = len(headings) - 1
    texts = [[cell.text for cell in row] for row in cells]
    first = [heading(name) for name in objectives] + [headings[last]] * any(row[last] for row in texts)
    rank = dict.fromkeys(first, 1)
    return TextTable(headings, texts, text=words | {last}, wrapped={last}, rank=rank, title=title)


def sweep_lines(record: Record) -> list[str]:
    """Return the lines below the tables: the sources, how many points failed or were reused, and the store."""
    points, failed = record["points"], record["failed"]
    lines = [
        f"{record['workload']}: {counted(points, 'point')}, {record['reused']:,} of them reused, {failed:,} failed; "
        f"seed {record['seed']}"
    ]
    lines += [*together_lines(record["rows"]), *standing_lines(record["rows"])]
    lines += given_lines(record["energy_table"], swept=True)
    lines += account_lines(record)
    if "covers" in record:
        said = ", ".join(f"{percent(share)} of MACs on {unit}" for unit, share in record["covers"].items())
        lines.append(f"covers {said}; the host does the rest, without cycles or energy")
    lines += [f"! {line}" for line in damaged_lines(record["damaged"])]
    if record["store"] is not None:
        lines.append(f"rows in {record['store']}; the same command goes on from there")
    return lines


def together_lines(found: Rows) -> list[str]:
    """Return a line that says how many vectors figures are of; none if it is one."""
    most = max((value or 0 for value in found.values("n_vector")), default=0)
    return [f"cycles, time and energy are of all {most:,} input vectors together"] if most > 1 else []


def damaged_lines(number: int) -> list[str]:
    """Return a line that says how many lines of a store are left out; none if all are read."""
    return [f"{counted(number, 'line')} of the store left out: damaged, or not written to the end"] if number else []


def standing_lines(found: Rows) -> list[str]:
    """Return what times of the presets were held against, and what their energies leave out."""
    firsts = found.groups(("chip", "held_against")) if found.values("held_against") else []
    shown = (found[int(own[0])] for own in firsts)
    held = [f"{row['chip']}: {row['held_against']}" for row in shown if row.get("held_against")]
    tested = "Not all are equally well tested: no ratio is a measurement"
    lines = [f"held against {'; '.join(held)}. {tested}"] if held else []
    if any(value is not None for value in found.values("board_nj")):
        lines.append("energy is of modelled parts; board nJ: of the whole board at its power's limit for that time")
    return lines


def error_counts(found: Rows) -> Counter[str]:
    """Return each error and its number of points."""
    errors, codes = found.distinct("error")
    numbers = np.bincount(codes + 1, minlength=len(errors) + 1)[1:].tolist()
    return Counter({error: number for error, number in zip(errors, numbers, strict=True) if error is not None})


def failure_lines(found: Rows) -> list[str]:
    """The first errors, each once, with how many points they are of."""
    errors = error_counts(found)
    lines = [f"! {count:,} failed: {error}" for error, count in list(errors.items())[:FAILURES_SHOWN]]
    more = len(errors) - FAILURES_SHOWN
    return lines + ([f"! and {more:,} other errors"] if more > 0 else [])
