"""The report of a network run: summary, layers, where cycles and energy go, storage, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from eie_sim.core.html import Cell, Table, table
from eie_sim.core.numbers import number, percent
from eie_sim.energy.table import given_lines
from eie_sim.report import graph
from eie_sim.report.network import (
    Column,
    Record,
    Section,
    fidelity,
    has_total,
    limit,
    misfits,
    not_simulated,
    opening,
    sections,
    total_name,
    verdict,
)
from eie_sim.report.page.frame import Fact, Page, Part, document
from eie_sim.report.page.pictures import Picture, run_pictures
from eie_sim.study.axes import known_axes


def run_page(record: Record) -> Page:
    """The report of a run. record : as `reading.read_run` gives it"""
    pictures, name = run_pictures(record), record["network"]
    told = ("config_hash", "seed", "inputs", "not_simulated", "coverage")
    about = {"network": name, **{field: record[field] for field in (*told, "graph") if field in record}}
    about |= {"sampled": record["total"]["sampled"]} if "sampled" in record["total"] else {}
    wrong = [] if record["verified"] else ["NOT VERIFIED", *(f"differs: {text}" for text in record["differs"])]
    alarms = [*wrong, *(f"warning: {text}" for text in record["warnings"]), *misfits(record)]
    lines = [record["source"], *opening(record)[1:3], *limit(record)]
    html = document(name, "eie-sim", lines, alarms, _facts(record), _parts(record, pictures))
    return Page(html, list(pictures.values()), about, record["verified"])


def _parts(record: Record, pictures: dict[str, Picture]) -> Iterator[Part]:
    tables = {name: [_layers_table(record, one)] for name, one in sections(record).items()}
    if "graph" in record:
        kinds = table(graph.KINDS, graph.kinds(record), title="By kind, shares of the whole")
        left = [[one["name"], one["reason"]] for one in record["not_simulated"]]
        host = table(["what", "why"], left, title="On the host, without cycles or energy")
        products = _layers_table(record, graph.products(record), total=True)
        tables["cycles"] = [products, kinds, *([host] if left else [])]

    def shown(*names: str) -> list[Table]:
        return [one for name in names for one in tables.get(name, [])]

    yield Part("Layers", tables=shown("cycles", "named", "throughput", "verification", "fidelity"))
    spent = [pictures["classes"], pictures["energy"], pictures["roofline"]]
    yield Part("Where cycles and energy go", pictures=spent, tables=[*shown("classes", "energy"), _events(record)])
    yield Part("Storage", pictures=[pictures["storage"]], tables=shown("storage", "memories"))
    yield _provenance(record)


def _facts(record: Record) -> Iterator[Fact]:
    """The network as a whole; per vector where all layers ran the same vectors."""
    total, layers = record["total"], record["layers"]
    sampled = graph.sampled(total)
    if has_total(record) or len(layers) == 1:
        mean = total["cycles_per_vector"]["mean"]
        yield Fact(f"cycles per vector{sampled}", number(mean, 1), mean)
        yield Fact(
            f"time per vector{sampled}", f"{number(total['time_us_per_vector'], 3)} us", total["time_us_per_vector"]
        )
        energy = total["energy"]["total_nj_per_vector"]
        yield Fact(f"energy per vector{sampled}", f"{number(energy, 3)} nJ", energy)
    else:
        yield Fact(f"cycles, all vectors{sampled}", f"{total['cycles']:,}", total["cycles"])
        yield Fact(f"time, all vectors{sampled}", f"{number(total['time_us'], 3)} us", total["time_us"])
        energy = total["energy"]["total_pj"]
        yield Fact(f"energy, all vectors{sampled}", f"{number(energy / 1e3, 3)} nJ", energy)
    stored = total["storage"]["total_bits"] / 8
    yield Fact("compressed weights", f"{stored:,.0f} bytes", stored)
    if record["accuracy"] is not None:
        share = record["accuracy"]["compressed"]
        yield Fact("accuracy, simulated", f"{100 * share:.2f} %", share)
    if "graph" in record:
        share = 1 - record["coverage"]["share_of_macs_not_simulated"]
        yield Fact("MACs covered", percent(share), share, state="" if share >= graph.WHOLE else "alarm")
        off = record["end_to_end_error"]
        yield Fact("off the floats", "-" if off is None else percent(off, 2), off)
    yield Fact("weights", _kind(record))
    yield Fact("memories", "fits", state="good") if total["fits"] else Fact("memories", "does not fit", state="alarm")
    sample = record["total"].get("sampled")
    said = verdict(verified=record["verified"], warnings=record["warnings"], sample=sample)
    yield Fact("golden product", said, state="good" if said == "verified" else "alarm")


def _layers_table(record: Record, shown: Section, *, total: bool | None = None) -> Table:
    """A row per layer, and a last one for the network where the layers add up."""
    rows = [[_name(layer), *(_cell(column, layer) for column in shown.columns)] for layer in record["layers"]]
    foot = [_total_name(record), *(_cell(column, record["total"]) for column in shown.columns)]
    total = shown.with_total and has_total(record) if total is None else total
    headings = ["layer", *(column.heading for column in shown.columns)]
    return table(headings, rows, foot=foot if total else (), title=shown.title)


def _name(layer: Record) -> Cell:
    """A layer's name, with what is wrong with it, and what sample its figures are of."""
    faults = [] if layer["fits"] else ["does not fit"]
    faults += [] if layer["verification"]["ok"] else ["NOT VERIFIED"]
    return Cell(", ".join([layer["name"], *faults]) + graph.sampled(layer), alarming=bool(faults))


def _total_name(record: Record) -> str:
    return total_name(record) + graph.sampled(record["total"])


def _cell(column: Column, record: Record) -> Cell:
    try:
        value = column.value(record)
    except KeyError:  # a figure that layers have and a total has not, such as a shape
        return Cell("")
    return Cell(column.form(value)) if isinstance(value, str) else Cell(column.form(value), value)


def _events(record: Record) -> Table:
    """Return the table of event counts, over all vectors."""
    totals = record["total"]["stats"]["events"]
    rows = [
        [_name(layer), *(Cell(f"{events[name]:,}", events[name]) for name in totals)]
        for layer in record["layers"]
        for events in [layer["stats"]["events"]]
    ]
    foot = [_total_name(record), *(Cell(f"{count:,}", count) for count in totals.values())]
    headings = ["layer", *(name.replace("_", "\n") for name in totals)]
    return table(headings, rows, foot=foot if len(rows) > 1 else (), title="Events, all vectors")


def _provenance(record: Record) -> Part:
    """Every field of the design, versions, and where weights and inputs come from."""
    energy = record["total"]["energy"]
    lines = [
        f"engine {record['engine']}; seed {record['seed']}; config {record['config_hash']}; "
        f"energy table {energy['table']}, {energy['node_nm']} nm",
        *given_lines(record["energy_table"]),
        *(graph.distances(record) if "graph" in record else fidelity(record)),
        *(graph.provenance(record, len(record["not_simulated"])) if "graph" in record else not_simulated(record)),
    ]
    sources = [[_name(layer), layer["weights"], layer["inputs"], _kind(layer)] for layer in record["layers"]]
    config = [[name, _value(value), known_axes()[name].help] for name, value in record["config"].items()]
    tables = [
        table(["layer", "weights", "inputs", "weights are"], sources, title="Weights and inputs"),
        table(["field", "value", "meaning"], config, title="Design"),
        table(["program", "version"], list(record["versions"].items()), title="Versions"),
    ]
    return Part("Provenance", lines=lines, tables=tables)


def _kind(record: Record) -> str:
    return "synthetic" if record["synthetic"] else "real"


def _value(value: Any) -> Cell:
    if not isinstance(value, (int, float)):
        return Cell("none" if value is None else value if isinstance(value, str) else json.dumps(value))
    return Cell(f"{value:,g}" if value < 1e6 else f"{value:,}", value)
