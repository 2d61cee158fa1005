"""Text tables of a network run, made from its record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

Record = dict[str, Any]

MIN_WIDTH = 120
"""Columns used where the output is not a terminal, so that tables line up in files and pipes."""

NAME_WIDTH = 40
"""Most columns of a name; longer ones go on in the next line."""

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
        for shown in objects:
            if isinstance(shown, Table):
                self.width = max(self.width, Measurement.get(self, unlimited, shown).minimum)
        super().print(*objects, **options)


class Column(NamedTuple):
    """A heading with its unit, and how a layer's (or the total's) record becomes a cell."""

    heading: str
    cell: Callable[[Record], str]


def print_network(record: Record, console: Screen) -> None:
    """Print a whole run: what it was, its tables, accuracy, and whether it is verified."""
    for line in heading(record):
        console.print(line, soft_wrap=True)
    for title, columns, with_total in sections(record):
        console.print()
        console.print(table(title, columns, record, with_total=with_total))
    console.print()
    for line in closing(record):
        console.print(line, soft_wrap=True)


def heading(record: Record) -> list[str]:
    """What ran on what."""
    config = record["config"]
    weights = "synthetic weights; " if record["synthetic"] else ""
    lines = [
        f"{record['network']}: {record['source']}",
        f"design: {config['n_pe']} PEs at {config['clock_mhz']:g} MHz, queue depth {config['queue_depth']}, "
        f"{config['weight_bits']}-bit codes, {config['index_bits']}-bit gaps, "
        f"{config['accumulator_bits']}-bit accumulators, {config['node_nm']} nm",
        f"{weights}engine {record['engine']}; seed {record['seed']}; config {record['config_hash']}",
    ]
    for layer in record["layers"]:
        lines.append(f"{layer['name']}: weights {layer['weights']}; inputs {layer['inputs']}")
        if layer["negative_inputs_ignored"]:
            ignored = layer["negative_inputs_ignored"]
            lines.append(f"{layer['name']}: {ignored} negative inputs took no part (--active nonzero takes them)")
    lines += [f"{other['name']}: {other['reason']}" for other in record["not_simulated"]]
    return lines


def sections(record: Record) -> list[tuple[str, list[Column], bool]]:
    """Title, columns, and whether a total row makes sense."""
    return [
        ("Cycles per vector", CYCLES, True),
        ("PE-cycles by class, % (add to 100)", classes(record), True),
        ("Throughput, GOP/s (1 MAC = 2 operations)", THROUGHPUT, True),
        ("Energy per vector, nJ, by component", energy(record), True),
        (STORAGE_TITLE, STORAGE, True),
        ("On chip: needed / available on the fullest PE", on_chip(record), False),
        ("Verification against the dense golden product", VERIFICATION, False),
    ]


def closing(record: Record) -> list[str]:
    """Accuracy, and `verified` or what differs."""
    lines = [
        f"! {layer['name']} does not fit: {_misfits(layer)}; {layer['passes']} passes, whose cost no cycle contains"
        for layer in record["layers"]
        if not layer["fits"]
    ]
    if record["accuracy"] is not None:
        shares = record["accuracy"]
        dense = "" if shares["dense"] is None else f"float {100 * shares['dense']:.2f} %, "
        lines.append(
            f"accuracy on {shares['images']} held-back images: {dense}pruned {100 * shares['pruned']:.2f} %, "
            f"compressed and simulated {100 * shares['compressed']:.2f} %"
        )
    lines += [f"differs: {text}" for text in record["differs"]]
    return [*lines, "verified" if record["verified"] else "NOT VERIFIED"]


def table(title: str, columns: Sequence[Column], record: Record, *, with_total: bool) -> Table:
    """One row per layer, and one for the network where several layers ran the same number of vectors."""
    cells = [[_marked(layer), *(column.cell(layer) for column in columns)] for layer in record["layers"]]
    vectors = {layer["n_vector"] for layer in record["layers"]}
    total = with_total and len(record["layers"]) > 1 and len(vectors) == 1
    if total:
        cells.append(["network", *(_or_blank(column, record["total"]) for column in columns)])
    shown = rows(["layer", *(column.heading for column in columns)], cells, text={0}, title=title)
    if total:
        shown.rows[-1].style = "bold"
    return shown


def storage_table(record: Record) -> Table:
    """Bits of the compressed weights by part."""
    return table(STORAGE_TITLE, STORAGE, record, with_total=True)


def _marked(layer: Record) -> str:
    """The layer's name, with a mark where the layer does not fit the PEs."""
    return layer["name"] if layer["fits"] else f"{layer['name']} !"


def _or_blank(column: Column, total: Record) -> str:
    try:
        return column.cell(total)
    except KeyError:  # a figure that layers have and a total has not, such as a shape
        return ""


def _range(layer: Record) -> str:
    cycles = layer["cycles_per_vector"]
    return f"{cycles['min']:,}-{cycles['max']:,}"


CYCLES = [
    Column("out x in", lambda r: f"{r['n_out']}x{r['n_in']}"),
    Column("weights\nnon-zero", lambda r: f"{100 * r['weight_density']:.1f} %"),
    Column("inputs\nactive", lambda r: f"{100 * r['activation_density']:.1f} %"),
    Column("vectors", lambda r: f"{r['n_vector']}"),
    Column("cycles", lambda r: f"{r['cycles_per_vector']['mean']:,.1f}"),
    Column("min-max", _range),
    Column("time us", lambda r: f"{r['time_us_per_vector']:.3f}"),
    Column("utilisation", lambda r: f"{100 * r['utilisation']:.1f} %"),
    Column("load\nbalance", lambda r: f"{100 * r['load_balance']:.1f} %"),
]

THROUGHPUT = [
    Column("effectual\nMACs/vector", lambda r: f"{r['effectual_macs'] / max(r['n_vector'], 1):,.1f}"),
    Column("dense\nMACs/vector", lambda r: f"{r['dense_macs'] / max(r['n_vector'], 1):,.0f}"),
    Column("effective\n(effectual MACs)", lambda r: f"{r['effective_gops']:.2f}"),
    Column("dense-equivalent\n(dense MACs)", lambda r: f"{r['dense_equivalent_gops']:.2f}"),
]


def classes(record: Record) -> list[Column]:
    """A column per cycle class."""
    names = record["layers"][0]["pe_cycles_percent"]
    return [Column(name, lambda r, name=name: f"{r['pe_cycles_percent'][name]:.1f}") for name in names]  # type: ignore[misc]


def energy(record: Record) -> list[Column]:
    """A column per component, the total, and per effectual MAC."""
    names = record["layers"][0]["energy"]["by_component_pj"]

    def component(name: str) -> Column:
        return Column(name, lambda r: f"{r['energy']['by_component_pj'][name] / 1e3 / max(r['n_vector'], 1):.3f}")

    return [
        *(component(name) for name in names),
        Column("total nJ", lambda r: f"{r['energy']['total_nj_per_vector']:.3f}"),
        Column("pJ per\neffectual MAC", lambda r: f"{r['energy']['pj_per_effectual_mac']:.2f}"),
        Column("mW/PE", lambda r: f"{r['energy']['power_mw_per_pe']:.2f}"),
    ]


def on_chip(record: Record) -> list[Column]:
    """A column per memory, and whether the layer fits."""

    def memory(at: int, name: str, unit: str) -> Column:
        return Column(f"{name}\n{unit}", lambda r: _needed(r["memories"][at]))

    memories = record["layers"][0]["memories"]
    columns = [memory(at, one["memory"], one["unit"]) for at, one in enumerate(memories)]
    return [*columns, Column("fits", lambda r: "yes" if r["fits"] else f"no: {r['passes']} passes")]


def _scales(layer: Record) -> str:
    return " / ".join(str(layer["scales"][name]) for name in ("weight", "activation", "accumulator"))


def _misfits(layer: Record) -> str:
    return ", ".join(
        f"{one['memory']} needs {one['needed']:,} of {one['available']:,} {one['unit']}"
        for one in layer["memories"]
        if not one["fits"]
    )


def _needed(memory: Record) -> str:
    return f"{memory['needed']:,}/{memory['available']:,}" + ("" if memory["fits"] else " !")


def _share(part: str) -> Column:
    return Column(f"{part}\n%", lambda r: f"{r['storage']['percent'][part]:.1f}")


STORAGE_TITLE = "Storage of the compressed weights, all PEs (shares add to 100 %)"
STORAGE = [
    Column("total\nbits", lambda r: f"{r['storage']['total_bits']:,}"),
    *(_share(part) for part in ("weights", "index", "padding", "pointers", "codebook")),
    Column("times smaller\nthan 32-bit dense", lambda r: f"{r['storage']['compression_vs_dense32']:.2f}"),
    Column("times smaller\nthan 16-bit dense", lambda r: f"{r['storage']['compression_vs_dense16']:.2f}"),
]


VERIFICATION = [
    Column("wrong\nweights", lambda r: f"{r['verification']['wrong_weights']:,}"),
    Column("wrong\ninputs", lambda r: f"{r['verification']['wrong_inputs']:,}"),
    Column("wrong\noutputs", lambda r: f"{r['verification']['wrong_outputs']:,} of {r['verification']['outputs']:,}"),
    Column("fractional bits\nw / a / acc", _scales),
    Column("saturated", lambda r: f"{r['verification']['saturated']:,}"),
    Column("distance\nfrom float", lambda r: f"{r['verification']['error']:.2e}"),
    Column("derived\nbound", lambda r: f"{r['verification']['bound']:.2e}"),
    Column("", lambda r: "verified" if r["verification"]["ok"] else "DIFFERS"),
]


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


def formats_table(layers: list[Record]) -> Table:
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
        for layer in layers
        for at, one in enumerate(layer["formats"])
    ]
    headings = ["layer", "format", "bits", "of dense", "by part", "holds the layer"]
    return rows(headings, cells, text={0, 1, 4, 5}, wrapped={4})


def percent(share: float, decimals: int = 1) -> str:
    """A share of one, in percent."""
    return f"{100 * share:.{decimals}f} %"
