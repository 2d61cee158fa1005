"""Text tables of a network run, made from its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from math import prod
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from eie_sim.core.arrays import shown
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
    not_simulated,
    opening,
    percent,
    sections,
    storage,
    total_name,
)

MIN_WIDTH = 120
"""Columns used where the output is not a terminal, so that tables line up in files and pipes."""

NAME_WIDTH = 40
"""Most columns of a name; longer ones go on in the next line."""

MOST_SIDES = 16
"""Inputs and outputs that a description lists."""

WRAPPED_WIDTH = 24
"""Fewest columns of text that may break lines."""


class Screen(Console):
    """A console that shows names as they are, with neither markup nor emoji, and cuts no table.

    Where a table is wider than the terminal, it is the terminal that wraps it.
    """

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)
        self.width = max(self.width, MIN_WIDTH)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as any console, as wide as the tables need."""
        unlimited = self.options.update(width=2**20)
        for one in objects:
            if isinstance(one, Table):
                self.width = max(self.width, Measurement.get(self, unlimited, one).minimum)
        super().print(*objects, **options)


def print_network(record: Record, console: Screen, *, every: bool = False) -> None:
    """Print a whole run: what it was, its tables, accuracy, and whether it is verified.

    every : of a graph all rows, however many they are
    """
    if "graph" in record:
        _print_graph(record, console, every=every)
        return
    for line in opening(record):
        console.print(line, soft_wrap=True)
    for section in sections(record).values():
        console.print()
        console.print(table(section, record))
    console.print()
    *lines, last = closing(record)
    for line in (*lines, *hints(record), last):
        console.print(line, soft_wrap=True)


def _print_graph(record: Record, console: Screen, *, every: bool) -> None:
    """Print a run of a graph: distances first, then its products, kinds and what is left to the host."""
    for line in (*opening(record)[:3], *given_lines(record["energy_table"])):
        console.print(line, soft_wrap=True)
    limits = (len(record["layers"]), len(record["not_simulated"])) if every else (graph.MOST_ROWS, MOST_NAMES)
    for line in (*graph.distances(record), *graph.advice(record), *graph.provenance(record, limits[1])):
        console.print(line, soft_wrap=True)
    layers, more = graph.largest(record["layers"], most=limits[0])
    console.print()
    console.print(_table(graph.products(record), layers, record["total"], "network"))
    if more:
        console.print(more, soft_wrap=True)
    console.print()
    console.print(rows(graph.KINDS, graph.kinds(record), text={0}, title="By kind, shares of the whole"))
    console.print()
    for line in closing({**record, "end_to_end_error": None}):
        console.print(line, soft_wrap=True)


def table(section: Section, record: Record) -> Table:
    """One row per layer, and one for the network where the layers add up."""
    total = record["total"] if section.with_total and has_total(record) else None
    return _table(section, record["layers"], total, total_name(record))


def _table(section: Section, layers: Sequence[Record], total: Record | None, name: str) -> Table:
    title, columns, _ = section
    cells = [[_marked(layer), *(column.cell(layer) for column in columns)] for layer in layers]
    if total is not None:
        cells.append([name, *(_or_blank(column, total) for column in columns)])
    shown = rows(["layer", *(column.heading for column in columns)], cells, text={0}, title=title)
    if total is not None:
        shown.rows[-1].style = "bold"
    return shown


def description_tables(record: Record) -> list[Table | str]:
    """What a graph is: its inputs, its operators, and MACs by kind."""
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
        rows(["kind", "nodes", "MACs", "share", "computed by"], cells, text={0, 4}, title="MACs by kind"),
        *not_simulated(record),
        f"covers {percent(1 - (counts['share_of_macs_not_simulated'] or 0.0))} of {total:,} MACs"
        + (" of these layers" if record["not_simulated"] else ""),
    ]


def storage_table(record: Record) -> Table:
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


def rows(
    headings: Sequence[str],
    cells: Iterable[Sequence[str]],
    *,
    text: set[int],
    wrapped: Set[int] = frozenset(),
    title: str | None = None,
) -> Table:
    """A plain table. Figures are aligned right and never broken.

    Columns in `text` are aligned left, and names longer than `NAME_WIDTH` fold; those in `wrapped` fill what is left.
    """
    shown = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    body = [list(row) for row in cells]
    for at, (heading, *column) in enumerate(zip(headings, *body, strict=True)):
        needed = max(cell_len(line) for cell in (heading, *column) for line in cell.split("\n"))
        shown.add_column(
            heading,
            justify="left" if at in text else "right",
            width=None if at in wrapped else min(needed, NAME_WIDTH) if at in text else needed,
            min_width=min(needed, WRAPPED_WIDTH) if at in wrapped else None,
            overflow="fold",
        )
    for row in body:
        shown.add_row(*row)
    return shown


def presets_table(records: list[Record]) -> Table:
    """What `eie-sim presets` lists: a row per layer."""
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
    return rows(headings, cells, text={0, 1, 2, 6}, wrapped={6})


def energy_table(records: list[Record]) -> Table:
    """Energies per event with their sources; chosen constants are marked."""
    cells = [
        [r["event"], r["component"], f"{r['energy_pj']:.4f}", "chosen" if r["chosen"] else "", r["source"]]
        for r in records
    ]
    return rows(["event", "component", "pJ", "", "source"], cells, text={0, 1, 3, 4}, wrapped={4})


def area_table(record: Record) -> Table:
    """Area of a design by module."""
    cells = [[module, f"{mm2:.6f}"] for module, mm2 in record["by_module_mm2"].items()]
    cells += [["one PE", f"{record['pe_mm2']:.6f}"], [f"{record['n_pe']} PEs", f"{record['total_mm2']:.3f}"]]
    return rows(["module", "mm2"], cells, text={0})


def formats_table(record: Record) -> Table:
    """Bits of each layer in every storage format, by part."""
    cells = [
        [
            layer["name"] if at == 0 else "",
            one["name"],
            f"{one['total_bits']:,}",
            "" if one["ratio_to_dense"] is None else f"{100 * one['ratio_to_dense']:.2f} %",
            ", ".join(f"{part} {bits:,}" for part, bits in one["parts"].items()),
            "yes" if one["valid"] else f"no: {one['violations']:,} violations",
        ]
        for layer in record["layers"]
        for at, one in enumerate(layer["formats"])
    ]
    headings = ["layer", "format", "bits", "of dense", "by part", "holds the layer"]
    return rows(headings, cells, text={0, 1, 4, 5}, wrapped={4}, title="Bits of every format, the bias included")
