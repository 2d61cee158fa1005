"""A chip and other units side by side: plain data, one table, one figure, and which is fastest when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eie_sim.core.numbers import number, percent
from eie_sim.core.result import config_hash
from eie_sim.energy.report import table_for
from eie_sim.energy.table import given_lines, hashed
from eie_sim.graphs import mac_share, made_by, source_of, style_of
from eie_sim.network import Network
from eie_sim.network.graph import Graph
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Style
from eie_sim.prune.measure import inputs_in_words
from eie_sim.record import account_of, versions
from eie_sim.report import figures
from eie_sim.report.figures.style import INK, PAGE, drawing, named, write_figure
from eie_sim.report.network import Record, account_lines, weights_line
from eie_sim.report.text import TextTable
from eie_sim.study.compare import Compared
from eie_sim.study.instances import Instances

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
JUDGED = (
    "accuracy: of held-back inputs, with weights, inputs and sums as each unit stores and computes them, pruned by "
    "magnitude and not trained again"
)
JUDGED_GRAPH = (
    "off: outputs of the network, root mean squares, from those in floats of the network pruned alike, and from those "
    "before pruning, by magnitude and without training"
)
UNLIKE = 1e-6
"""Difference of shares of MACs above which costs are not of the same work."""
CLOSE = 0.01
"""Accuracy that may be lost and still count as kept."""


def comparison_record(compared: Compared, *, preset: str | None = None) -> Record:
    """The comparison with its provenance, and the fastest of each batch.

    preset : how the design that sets the size is called, in place of its title
    config : of that design; config_sram, config_dram : the ones that its figures from SRAM and DRAM are of

    The others stand in `beside`; without a list also NAME_pes of an array of a unit, NAME_arrays, config_NAME. With a
    list `on` has all designs, and each row the title of its own.
    """
    size = compared.size
    others = [one for one in compared.designs if one is not size]
    near, far = (size.design, size.design) if size.chip is None else (size.chip.near, size.chip.far)
    design, energies = size.design.to_dict(), table_for(far, size.table)
    title = preset or size.title
    found = [one.to_dict() for one in compared.rows]
    network = compared.network
    record = {
        **(_of_graph(network, compared) if isinstance(network, Graph) else _of_layers(network, compared.layer)),
        "preset": title,
        "macs_per_cycle": size.macs_per_cycle,
        "unit": size.unit.name,
        "config": design,
        "config_hash": config_hash(size.unit.name, design, *hashed(energies.sha256)),
        "energy_table": energies.trace,
        "config_sram": near.to_dict(),
        "config_dram": far.to_dict(),
        "dram_bytes_per_cycle": float(size.dram_bytes_per_cycle),
        "beside": [
            {"unit": one.unit.name, "title": one.title, "arrays": one.number, "pes": one.unit.lanes(one.design)}
            | {"stores_bias": one.unit.takes_bias}
            for one in others
        ],
        "weights_in": _weights_in([*others, size]),
        "held_against": {
            (title if one is size else one.title): one.unit.held_against(one.design, one.number)
            for one in [size, *others]
        },
        "not_compared": compared.not_compared,
        "versions": versions(),
        "rows": found,
        "fastest": [_fastest(found, batch) for batch in dict.fromkeys(row["batch"] for row in found)],
    }
    if compared.listed:
        return record | {"on": [one.to_dict() for one in compared.designs]}
    for one in others:
        name, pes = one.unit.name, one.unit.lanes(one.design)
        record |= {f"{name}_pes": pes, f"{name}_arrays": one.number, f"config_{name}": one.design.to_dict()}
    return record


def _of_layers(network: Network, layer: str | None) -> Record:
    """Return the source of the compared layers, of their weights and of their inputs."""
    inputs = inputs_in_words(network)  # of the whole network, in which a layer reads what the ones before pass on
    part, before = network if layer is None else network.layer(layer), network.dense_layers or network.layers
    return {
        "network": network.name,
        "layer": layer,
        "source": network.source,
        "weights": {one.name: one.weights_source for one in before if layer in (None, one.name)},
        **account_of(part, {each.name: inputs[each.name] for each in part.layers}),
        "seed": network.seed,
    }


def _of_graph(graph: Graph, compared: Compared) -> Record:
    """The same of a graph; covers : by title, the share of its MACs that a design computes."""
    two = any(style_of(one.design).two_activations for one in compared.designs)
    steps = steps_of(graph, Style(two_activations=two))
    made = made_by(steps)
    reads = {step.node.name: step.reads for step in steps if compared.layer in (None, step.node.name)}
    return {
        "network": graph.name,
        "layer": compared.layer,
        "source": graph.source,
        "weights": {},
        **account_of(None, {name: source_of(graph, made, read).words for name, read in reads.items()}),
        "seed": graph.seed,
        "notes": list(graph.notes),
        "covers": {
            one.title: mac_share(graph, style_of(one.design)) if compared.layer is None else 1.0
            for one in compared.designs
        },
    }


def _weights_in(designs: Sequence[Instances]) -> Record:
    """Return the places of the weights in each design, in words."""
    chips = [one.chip for one in designs if one.chip is not None]
    arrays = [one for one in designs if one.chip is None]
    near = [f"{one.title}'s {one.unit.words.lane}s" for one in arrays] + [chip.near_words for chip in chips]
    far = [f"by {one.title} once a batch" for one in arrays] + [chip.far_words for chip in chips]
    return {"sram": f"in {' or '.join(dict.fromkeys(near))}", "dram": f"read {'; '.join(dict.fromkeys(far))}"}


def _fastest(found: Sequence[Record], batch: int) -> Record:
    """By name, from SRAM and from DRAM: fastest of all and of those that keep the accuracy, least energy of all.

    energy_* : of modelled parts; bound_* : with the board's bound of those that run on a board
    """
    own = [row for row in found if row["batch"] == batch]
    best = max((row["accuracy"] for row in own if row["unit"] == "dense" and row["accuracy"] is not None), default=None)
    kept = [row for row in own if best is not None and row["accuracy"] >= best - CLOSE]
    return {
        "batch": batch,
        **{
            f"{name}_{when}": min(among, key=lambda row: row[time])["name"] if among else None
            for name, among in (("any", own), ("accuracy_kept", kept))
            for when, time in (("sram", "time_us"), ("dram", "time_us_dram"))
        },
        "energy_sram": _least(own, "energy_nj"),
        "energy_dram": _least(own, "energy_nj_dram"),
        "bound_sram": _least(own, "board_nj", "energy_nj"),
        "bound_dram": _least(own, "board_nj_dram", "energy_nj_dram"),
    }


def _least(own: Sequence[Record], quantity: str, without: str = "") -> str:
    """The name of the row of the least of a quantity, of another one where a row has none."""
    return str(min(own, key=lambda row: row[without] if row[quantity] is None else row[quantity])["name"])


def comparison_table(record: Record) -> TextTable:
    """A row per batch and candidate; times and energies per vector."""
    of_graph = "covers" in record
    labelled = not of_graph or any(row["accuracy"] is not None for row in record["rows"])
    judged = ["accuracy"] * labelled + ["off\nfloats", "off before\npruning", "MACs\ncovered"] * of_graph
    headings = ["batch", "unit", "precision", "weights\nkept", "of sum\n|w|", *judged, "weights\nkB", "MACs\nused"]
    headings += [f"{unit}/vector\n{place}" for unit in ("us", "nJ") for place in ("SRAM", "DRAM")]
    headings += ["DRAM kB\n/vector", "tile", "bound", ""]
    headings = [one.replace("/vector", "") for one in headings] if of_graph else headings
    cells, before = [], None
    for row in record["rows"]:
        batch = row["batch"]
        own = ["" if batch == before else str(batch), row["name"], row["precision"]]
        own += [percent(row["density"]), percent(row["kept_l1"])]
        if labelled:
            own += ["" if row["accuracy"] is None else percent(row["accuracy"], 2)]
        if of_graph:
            own += ["-" if row[off] is None else percent(row[off], 2) for off in ("distance", "distance_unpruned")]
            own += [percent(row["covers"])]
        own += [number(row["weight_bytes"] / 1e3, 1), percent(row["utilisation"])]
        own += [number(row[time] / batch, 3) for time in ("time_us", "time_us_dram")]
        own += [_energy(row, where, batch) for where in ("", "_dram")]
        own += [number(row["dram_bytes"] / batch / 1e3, 2)]
        both = ((row[what], row[f"{what}_dram"]) for what in ("tile", "bound"))
        own += [sram if sram == dram else f"{sram} | {dram}" for sram, dram in both]
        cells.append([*own, "" if row["scaled_from"] is None else f"from {row['scaled_from']}"])
        before = batch
    least = {
        "unit": 0,
        "off before\npruning": 3,
        "MACs\ncovered": 3,
        "precision": 5,
        "of sum\n|w|": 4,
        "MACs\nused": 4,
        "tile": 4,
        "": 3,
        "weights\nkept": 4,
    }
    first = ("SRAM", "DRAM", "accuracy", "off\nfloats")
    rank = {one: 1 for one in headings if one.endswith(first)} | least
    return TextTable(headings, cells, text={1, 2, *range(len(headings) - 3, len(headings))}, rank=rank)


def _energy(row: Record, where: str, batch: int) -> str:
    """Return the energy of a vector: that of modelled parts, and the board's bound if it has one."""
    parts, bound = row[f"energy_nj{where}"], row[f"board_nj{where}"]
    return number(parts / batch, 1) + ("" if bound is None else f" to {number(bound / batch, 0)}")


def _judged(record: Record) -> str:
    """Return the meaning of the columns about outputs."""
    if "covers" not in record:
        return JUDGED
    labelled = any(row["accuracy"] is not None for row in record["rows"])
    return "accuracy: of labelled inputs, as each unit computes the network; " * labelled + JUDGED_GRAPH


def comparison_lines(record: Record, compared: Compared) -> list[str]:
    """Return the lines below the table: what was compared, and which design is fastest at which batch."""
    designs = [(record["preset"] if one is compared.size else one.title, one) for one in compared.designs]
    layer = "" if record["layer"] is None else f"/{record['layer']}"
    held = "; ".join(f"{name}: {phrase}" for name, phrase in record["held_against"].items())
    lines = [
        f"{record['network']}{layer}: {record['source']}",
        *(weights_line(name, source) for name, source in record["weights"].items()),
        *account_lines(record),
        *_size_lines(record, designs, listed=compared.listed),
        f"SRAM: all weights where they are used, {record['weights_in']['sram']}. DRAM: {record['weights_in']['dram']}",
        *(_graph_lines(record) if "covers" in record else []),
        f"{_judged(record)}. Tile and bound: from SRAM | from DRAM where they differ",
        "MACs used: of kept weights, and only of active inputs where a unit skips the others",
        *_bias_lines(designs, listed=compared.listed),
        *(f"not compared: {why}" for why in record["not_compared"]),
        *_board_lines(designs),
        f"held against {held}. They are not equally well tested: a ratio of two is no measurement",
    ]
    if table := given_lines(record["energy_table"]):
        given = any(one["event"] == "dram_bytes" for one in record["energy_table"]["given"])
        dram = "the chip's DRAM, as given, and else " if given else ""
        others = " and ".join(one["title"] for one in record["beside"])
        lines += [f"{record['preset']}: {table[0]}" + (f"; {others}: {dram}default energies" if others else "")]
    if any(row["scaled_from"] for row in record["rows"]):
        lines.append("from N: N vectors simulated and scaled, there are no more")
    lines.append("")
    on_board = any(row["board_nj"] is not None for row in record["rows"])
    for one in record["fastest"]:
        close = one["accuracy_kept_sram"], one["accuracy_kept_dram"]
        kept = f"; within {100 * CLOSE:g} point of dense accuracy {_pair(*close)}" if close[0] is not None else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: fastest {_pair(one['any_sram'], one['any_dram'])}{kept}")
        energy, bound = (_pair(one[f"{word}_sram"], one[f"{word}_dram"]) for word in ("energy", "bound"))
        board = f"; with the board's power {bound}" if on_board and bound != energy else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: least energy {energy}{board}")
    return lines


def _graph_lines(record: Record) -> list[str]:
    """Return how positions are shared out, and which designs compute unlike shares of the MACs."""
    covers = record["covers"]
    said = ", ".join(f"{name} {percent(share)}" for name, share in covers.items())
    lines = [
        *record["notes"],
        "patterns: one that a design does not list runs as the sparsest listed one that its weights are sure to meet, "
        "else dense, as in a run",
        "positions of each product are shared out, and each node waits for those before; inputs are read and outputs "
        "written for every position, by all designs alike",
        f"covers of the MACs: {said}; the host does the rest, without cycles or energy",
    ]
    if max(covers.values()) - min(covers.values()) > UNLIKE:
        lines.append("! cycles and energies are of unlike shares of the MACs: they tell no design that is faster")
    return lines


Designs = Sequence[tuple[str, Instances]]
"""With what they are called."""


def _size_lines(record: Record, designs: Designs, *, listed: bool) -> list[str]:
    """Return the sizes of the designs, and the DRAM that they share."""
    own, dram = (record[name].get("dram") for name in ("config", "config_dram"))
    kind = f"({(dram or 'lpddr4').upper()}) " if own != dram or dram is None else ""
    rate = f"{kind}{record['dram_bytes_per_cycle']:,.4g} bytes"
    end = f"; seed {record['seed']}; config {record['config_hash']}"
    clocks = [f"{one.design.clock_mhz:g} MHz, {one.design.node_nm} nm" for _, one in designs]
    macs = [f"{one.macs_per_cycle:,} MACs a cycle" for _, one in designs]
    if not listed and len({*clocks}) == len({*macs}) == 1:
        beside = "".join(f", and {one['title']} of {one['arrays']} x {one['pes']} PEs" for one in record["beside"])
        return [f"{record['preset']}{beside}: {macs[0]} each, {clocks[0]}; DRAM {rate} a cycle{end}"]
    sizes = [
        f"{one.number} x {title}: {size}, {clock}"
        for (title, one), size, clock in zip(designs, macs, clocks, strict=True)
    ]
    share = "each of several chips reads weights of its own, with an equal share of the rate"
    return [*sizes, f"one DRAM for all: {rate} in a cycle of {record['preset']}; {share}{end}"]


def _board_lines(designs: Designs) -> list[str]:
    """Return which energies are of modelled parts alone, and which have a board's limit beside them."""
    watts = {title: one.number * one.chip.board_watts for title, one in designs if one.chip and one.chip.board_watts}
    others = " and ".join(title for title, _ in designs if title not in watts)
    alone = f" nJ of {others}: modelled parts alone." if others else ""
    words = (f"nJ of {title}: from its modelled parts alone to the whole board's {w:g} W" for title, w in watts.items())
    unit = next((one.unit.name for title, one in designs if title in watts), "")
    said = "; ".join(f"{each} for that time" for each in words)
    return [f"{said}.{alone} What no model has: eie-sim validate {unit}"] if watts else []


def _bias_lines(designs: Designs, *, listed: bool) -> list[str]:
    """Return which units have a bias in their figures."""
    inside = " and ".join(f"{title}'s" for title, one in designs if one.unit.takes_bias)
    outside = " and ".join(title for title, one in designs if not one.unit.takes_bias)
    outside = "the chip" if not listed and outside == designs[0][0] else outside
    rest = f"; added outside by {outside}, in none of its own" if outside else ""
    return [f"bias: among {inside} weights, in their kB, MACs, times and energies{rest}"] if inside else []


def _pair(sram: str, dram: str) -> str:
    return f"{sram} / {dram}"


@drawing()
def draw_comparison(record: Record, path: Path) -> None:
    """Time per vector over the batch, a line per candidate, weights in SRAM and from DRAM. Raises InputError."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(PAGE, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    figures.batches(record["rows"], left, key="time_us")
    figures.batches(record["rows"], right, key="time_us_dram", config_hash=record["config_hash"])
    right.set_ylabel("")
    right.get_legend().remove()
    layer = "" if record["layer"] is None else f"/{record['layer']}"
    given = named(f"{record['network']}{layer}")
    words = f"{given}: {record['macs_per_cycle']:,} MACs a cycle, {' and '.join(record['held_against'])}"
    drawn.suptitle(words, fontsize=10, color=INK, parse_math=False)
    write_figure(drawn, path)
