"""Text tables of a network run, made from its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import KW_ONLY, dataclass, field
from math import prod
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from eie_sim.core.arrays import shown
from eie_sim.core.numbers import number, percent
from eie_sim.energy.table import given_lines
from eie_sim.report import graph
from eie_sim.report.network import (
    MOST_NAMES,
    Column,
    Record,
    Section,
    closing,
    has_total,
    hints,
    limit,
    not_simulated,
    opening,
    sections,
    storage,
    total_name,
)

UNKNOWN_WIDTH = 80
ALL_COLUMNS = 2**20
"""Width of a table that shows all."""

NAME_WIDTH = 40
"""Most columns of a name; longer ones go on in the next line."""

FEWEST = 12
"""Columns of a name where the terminal is narrow."""

MOST_SIDES = 16
"""Inputs and outputs that a description lists."""

WRAPPED_WIDTH = 24
"""Fewest columns of text that may break lines."""

GAP = 2
"""Spaces between columns."""


@dataclass(frozen=True, eq=False)
class TextTable:
    """A plain table that fits its place: columns that matter less are left out where it is too narrow for all.

    cells : rows of one text for each heading; figures are aligned right and never broken
    text : places of columns that are aligned left, whose cells go on in the next line where they are long
    wrapped : of those, the ones that fill what is left
    rank : how soon a column goes, by its heading, those of 1 last; 2 where it is not said
    bold : places of rows that stand out
    beside : rows of other tables that this one lines up with
    """

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    _: KW_ONLY
    text: Set[int]
    wrapped: Set[int] = frozenset()
    rank: Mapping[str, int] = field(default_factory=dict)
    title: str | None = None
    bold: Set[int] = frozenset()
    beside: Sequence[Sequence[str]] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The table, and a line that says how many columns are left out."""
        widths, width = self._widths(options.max_width), options.max_width
        kept = {0}
        for at in sorted(range(1, len(widths)), key=lambda at: (self.rank.get(self.headings[at], 2), at)):
            if len(kept) == 1 or sum(widths[one] + GAP for one in (*kept, at)) - GAP <= width:
                kept.add(at)
        widths[0] = max(1, min(widths[0], width - sum(widths[at] + GAP for at in kept if at)))
        shown = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for at in sorted(kept):
            shown.add_column(
                self.headings[at],
                justify="left" if at in self.text else "right",
                width=None if at in self.wrapped else widths[at],
                min_width=widths[at] if at in self.wrapped else None,
                overflow="fold",
            )
        for place, row in enumerate(self.cells):
            shown.add_row(*(row[at] for at in sorted(kept)), style="bold" if place in self.bold else None)
        if self.title:
            yield Text(self.title, style="bold")
        yield shown
        left = len(widths) - len(kept)
        if left:
            yield Text(f"{left} column{'s' if left > 1 else ''} more: --full")

    def _widths(self, most: int) -> list[int]:
        """Return the width of each column: all that it needs, less for names if there is little room."""
        found = []
        for at, column in enumerate(zip(self.headings, *self.cells, *self.beside, strict=True)):
            needed = max(cell_len(line) for cell in column for line in cell.split("\n"))
            if at in self.wrapped:
                needed = min(needed, WRAPPED_WIDTH)
            elif at in self.text:
                needed = min(needed, NAME_WIDTH, max(FEWEST, most * 2 // 5))
            found.append(needed)
        return found


class Screen(Console):
    """A console that shows names as they are, with neither markup nor emoji, and leaves no space at the end of a line.

    full : tables have all columns, however wide the terminal is, which then wraps them
    """

    def __init__(self, *, full: bool = False) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)
        if self.width < 1:  # COLUMNS=0, as terminals of unknown size have it: nothing would be printed
            self.width = UNKNOWN_WIDTH
        self.full = full

    def print(self, *objects: Any, **options: Any) -> None:
        """Print tables and lines, both within the terminal's width."""
        before = self.width
        if self.full and any(isinstance(one, TextTable) for one in objects):
            self.width = ALL_COLUMNS
        with self.capture() as captured:
            super().print(*objects, **{"crop": False, "overflow": "fold", **options})
        self.width = before
        found = captured.get()
        self.file.write(found if self.is_terminal else "".join(f"{line.rstrip()}\n" for line in found.splitlines()))


def print_network(record: Record, console: Screen, *, every: bool = False) -> None:
    """Print a whole run: what it was, its tables, accuracy, and whether it is verified.

    every : of a graph all rows, however many they are
    """
    if "graph" in record:
        _print_graph(record, console, every=every)
        return
    for line in opening(record):
        console.print(line)
    for section in sections(record).values():
        console.print()
        console.print(table(section, record))
    console.print()
    *lines, last = closing(record)
    for line in (*lines, *hints(record), last, *limit(record)):
        console.print(line)


def _print_graph(record: Record, console: Screen, *, every: bool) -> None:
    """Print a run of a graph: distances first, then its products, kinds and what is left to the host."""
    for line in (*opening(record)[:3], *given_lines(record["energy_table"])):
        console.print(line)
    limits = (len(record["layers"]), len(record["not_simulated"])) if every else (graph.MOST_ROWS, MOST_NAMES)
    for line in (*graph.distances(record), *graph.advice(record), *graph.provenance(record, limits[1])):
        console.print(line)
    layers, more = graph.largest(record["layers"], most=limits[0])
    console.print()
    console.print(_table(graph.products(record), layers, record["total"], "network"))
    if more:
        console.print(more)
    console.print()
    console.print(TextTable(graph.KINDS, graph.kinds(record), text={0}, title="By kind, shares of the whole"))
    console.print()
    if "lowerings" in record["graph"]:
        cells, said = graph.lowerings(record)
        rank = {"im2col\ncycles": 1, "Winograd\ncycles": 1}
        title = "3x3 convolutions in two lowerings"
        console.print(TextTable(graph.LOWERINGS, cells, text={0}, rank=rank, title=title, bold={len(cells) - 1}))
        console.print(said)
        console.print()
    for line in (*closing({**record, "end_to_end_error": None}), *limit(record)):
        console.print(line)


def table(section: Section, record: Record) -> TextTable:
    """One row per layer, and one for the network where the layers add up."""
    total = record["total"] if section.with_total and has_total(record) else None
    return _table(section, record["layers"], total, total_name(record))


def _table(section: Section, layers: Sequence[Record], total: Record | None, name: str) -> TextTable:
    title, columns, _ = section
    cells = [[_marked(layer), *(column.cell(layer) for column in columns)] for layer in layers]
    if total is not None:
        cells.append([name, *(_or_blank(column, total) for column in columns)])
    return TextTable(
        ["layer", *(column.heading for column in columns)],
        cells,
        text={0},
        rank={column.heading: column.rank for column in columns},
        title=title,
        bold=frozenset() if total is None else {len(cells) - 1},
    )


def description_tables(record: Record) -> list[TextTable | str]:
    """Return the tables of a graph: its inputs, its operators, and MACs by kind."""
    sides = [
        f"{kind} {shown(one['name'])}: {' x '.join(map(str, one['shape'])) or 'one number'}"
        + (f", {one['what']}" if one.get("what") else "")
        for kind in ("input", "output")
        for one in record[f"{kind}s"]
    ]
    total = sum(one["macs"] for one in record["macs"])
    cells = [
        [
            one["kind"],
            f"{one['nodes']}",
            f"{one['macs']:,}",
            percent(one["macs"] / max(1, total)),
            f"host: {one['reason']}" if one["reason"] else record["unit"],
        ]
        for one in record["macs"]
    ]
    counts, found = record["coverage"], ", ".join(f"{count} {op}" for op, count in record["operators"].items())
    numbers, computed = sum(prod(one["shape"]) for one in record["parameters"]), counts["weights_simulated"]
    return [
        f"{record['network']}: {record['source']}",
        *sides[:MOST_SIDES],
        *([f"and {len(sides) - MOST_SIDES:,} more inputs and outputs (--json has all)"] if sides[MOST_SIDES:] else []),
        *record["notes"],
        f"operators: {found}",
        f"parameters: {len(record['parameters'])} arrays, {numbers:,} numbers; {computed:,} in products",
        TextTable(["kind", "nodes", "MACs", "share", "computed by"], cells, text={0, 4}, title="MACs by kind"),
        *not_simulated(record),
        f"covers {percent(1 - (counts['share_of_macs_not_simulated'] or 0.0))} of {total:,} MACs"
        + (" of these layers" if record["not_simulated"] else ""),
    ]


def storage_table(record: Record) -> TextTable:
    """Bits of the compressed weights by part."""
    return table(storage(record), record)


def _marked(layer: Record) -> str:
    """The layer's name, with a mark where the layer does not fit the PEs."""
    return layer["name"] if layer["fits"] else f"{layer['name']} !"


def _or_blank(column: Column, total: Record) -> str:
    try:
        return column.cell(total)
    except KeyError:  # a figure that layers have and a total has not, such as a shape
        return ""


def presets_table(records: list[Record]) -> TextTable:
    """Return the table of `eie-sim presets`, a row per layer."""
    headings = ["name", "kind", "layer", "out x in", "weights\nnon-zero", "inputs\nactive", "source"]
    cells = [
        [
            record["name"] if at == 0 else "",
            record["kind"],
            layer,
            f"{n_out}x{n_in}",
            percent(weights),
            "" if inputs is None else percent(inputs),
            record["source"] if at == 0 else "",
        ]
        for record in records
        for at, (layer, (n_out, n_in), weights, inputs) in enumerate(
            zip(*(record[key] for key in ("layers", "shapes", "weight_density", "activation_density")), strict=True)
        )
    ]
    return TextTable(headings, cells, text={0, 1, 2, 6}, wrapped={6}, rank={"source": 1, "kind": 3})


def energy_table(records: list[Record]) -> TextTable:
    """Energies per event with their sources; chosen constants are marked."""
    cells = [
        [r["event"], r["component"], number(r["energy_pj"], 4), "chosen" if r["chosen"] else "", r["source"]]
        for r in records
    ]
    return TextTable(["event", "component", "pJ", "", "source"], cells, text={0, 1, 3, 4}, wrapped={4})


def area_table(record: Record) -> TextTable:
    """Area of a design by module."""
    cells = [[module, number(mm2, 6)] for module, mm2 in record["by_module_mm2"].items()]
    cells += [["one PE", number(record["pe_mm2"], 6)], [f"{record['n_pe']} PEs", number(record["total_mm2"], 3)]]
    return TextTable(["module", "mm2"], cells, text={0})


def formats_table(record: Record) -> TextTable:
    """Bits of each layer in every storage format, by part."""
    cells = [
        [
            layer["name"] if at == 0 else "",
            one["name"],
            f"{one['total_bits']:,}",
            "" if one["ratio_to_dense"] is None else percent(one["ratio_to_dense"], 2),
            ", ".join(f"{part} {bits:,}" for part, bits in one["parts"].items()),
            "yes" if one["valid"] else f"no: {one['violations']:,} violations",
        ]
        for layer in record["layers"]
        for at, one in enumerate(layer["formats"])
    ]
    headings = ["layer", "format", "bits", "of dense", "by part", "holds the layer"]
    return TextTable(
        headings,
        cells,
        text={0, 1, 4, 5},
        wrapped={4},
        rank={"by part": 3},
        title="Bits of every format, the bias included",
    )
