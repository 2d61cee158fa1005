"""All that is to be said of the presets: products measured and simulated, chips, watts, the source of every value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import eie_sim
from eie_sim.core.errors import require
from eie_sim.core.numbers import number
from eie_sim.core.published import Comparison, Details, Groups, Progress, Rows, Table, notes_of, rows_record
from eie_sim.units.nm.measured import (
    PRESET,
    GemmComparison,
    Summary,
    calibration_note,
    choices,
    dense_note,
    gemm_times,
    summaries,
)
from eie_sim.units.nm.provenance import HELD_AGAINST
from eie_sim.units.nm.published import BEFORE, LEFT_OUT, ChipPower, chips, power

Record = dict[str, Any]


def details(seed: int, *, progress: Progress) -> Details:
    """Return what `eie-sim validate nm` says. Raises InputError for another seed than 0."""
    require(seed == 0, "seed", seed, "must be left out for nm, where nothing is random")
    record = gemm_record(gemm_times())
    found = record["chips"] = chips_record(chips(), chips(BEFORE), power())
    shown: list[Table | Rows | Groups | list[str]] = [
        gemm_table(record),
        [*summary_lines(record), ""],
        Rows(found),
        Groups(found, "errors"),
        Groups(
            {**found, "groups": found["groups_before"]},
            "errors with the presets' first values, before any was chosen; L2 and clock as now",
        ),
        power_table(found),
        [*chips_lines(found), "", *choice_lines(record)],
    ]
    return Details(record, shown)


def gemm_record(compared: Sequence[GemmComparison]) -> Record:
    """Products measured and simulated, their errors, the values of every preset with reasons, what is to be known."""
    return {
        "preset": PRESET,
        "rows": [one.to_dict() for one in compared],
        "summary": [summary._asdict() for summary in summaries(compared)],
        "choices": [choice._asdict() for choice in choices()],
        "notes": [calibration_note(compared), dense_note(compared)],
        "version": eie_sim.__version__,
    }


def gemm_table(record: Record) -> Table:
    """A row per shape: the patterns' measured and simulated times, the tile, what bounds it."""
    patterns = [summary["pattern"] for summary in record["summary"]]
    headings = ["figure", "M", "K", "N"]
    for name in patterns:
        headings += [f"{name} ms\nmeasured", "\nsimulated", "\nerror", "\ntile", "\nbound"]
    cells = [
        [
            together[0]["figure"],
            *(str(together[0][size]) for size in "mkn"),
            *(c for one in together for c in _times(one)),
        ]
        for together in zip(*([iter(record["rows"])] * len(patterns)), strict=True)
    ]
    return Table(headings, cells, [0, *(at for at, heading in enumerate(headings) if heading.strip() == "bound")])


def chips_record(compared: Sequence[Comparison], before: Sequence[Comparison], watts: Sequence[ChipPower]) -> Record:
    """Rows of the other presets and their errors, errors before any value was chosen, watts, what each is held against.

    before : the same rows at the values of `BEFORE`
    """
    return {
        **rows_record(compared),
        "groups_before": rows_record(before)["groups"],
        "power": [one._asdict() | {"modelled_watts": one.modelled_watts} for one in watts],
        "left_out": LEFT_OUT,
        "held_against": HELD_AGAINST,
    }


def power_table(record: Record) -> Table:
    """Tabulate the watts of modelled parts, the board's limit and what was measured, a row for each board."""
    parts = list(record["power"][0]["parts_watts"])
    headings = [
        "preset",
        "product",
        "time ms",
        *parts,
        "all parts",
        "board's\nlimit",
        "board\nmeasured",
        "pJ/FLOP\nmeasured",
    ]
    cells = [
        [
            one["preset"],
            one["product"],
            number(one["time_us"] / 1e3, 3),
            *(number(one["parts_watts"][part], 1) for part in parts),
            number(one["modelled_watts"], 0),
            number(one["board_watts"], 0),
            *("" if one[name] is None else number(one[name], digits) for name, digits in MEASURED_COLUMNS.items()),
        ]
        for one in record["power"]
    ]
    return Table(headings, cells, [0, 1], "watts of modelled parts, and of the board")


def chips_lines(record: Record) -> list[str]:
    """Say what watts leave out, what each preset is held against, and the notes of the rows."""
    return [
        f"watts: {record['left_out']}. A measured board: power.csv beside the H100's times",
        *(f"held against: {preset}: {held}" for preset, held in record["held_against"].items()),
        "",
        *(f"[{at}] {note}" for at, note in enumerate(notes_of(record), start=1)),
    ]


MEASURED_COLUMNS = {"measured_watts": 0, "measured_pj_per_flop": 2}
"""Columns of a measured board, and their decimals."""


def summary_lines(record: Record) -> list[str]:
    """Mean and worst absolute error of each pattern, then what is to be known about them."""
    return [*(str(Summary(**one)) for one in record["summary"]), *record["notes"]]


def choice_lines(record: Record) -> list[str]:
    """Every value of every preset, where it comes from and why; presets that share all of it are in one line."""
    fields = list(dict.fromkeys(one["field"] for one in record["choices"]))
    shared: dict[tuple[str, ...], list[str]] = {}
    for one in sorted(record["choices"], key=lambda one: fields.index(one["field"])):
        shared.setdefault((one["field"], _value(one), one["kind"], one["reason"]), []).append(one["preset"])
    width = max(map(len, fields))
    return [
        f"{field:<{width}}  {value} ({', '.join(presets)}), {kind}: {reason}"
        for (field, value, kind, reason), presets in shared.items()
    ]


def _times(one: Record) -> list[str]:
    bm, bn = one["tile"]
    times = (*(number(one[name], 4) for name in ("measured_ms", "simulated_ms")), f"{100 * one['error']:+.2f} %")
    return [*times, f"{bm}x{bn}", one["bound"]]


def _value(choice: Record) -> str:
    """A value as people write it: 16x8x16, 2:4, and one after the other where there are several."""
    value, joint = choice["value"], ":" if choice["field"] == "patterns" else "x"
    if not isinstance(value, list):
        return "no limit" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    several = value if isinstance(value[0], list) else [value]
    return ", ".join(joint.join(map(str, one)) for one in several)
