"""The report of a network run: summary, layers, where cycles and energy go, storage, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from eie_sim.core.html import Cell, escape
from eie_sim.energy.table import given_lines
from eie_sim.report import graph
from eie_sim.report.network import (
    Column,
    Record,
    Section,
    fidelity,
    has_total,
    misfits,
    not_simulated,
    opening,
    percent,
    sections,
    total_name,
    verdict,
)
from eie_sim.report.page.frame import Fact, Page, document, figures, paragraphs, section, summary, titled
from eie_sim.report.page.pictures import Picture, run_pictures
from eie_sim.study.axes import known_axes


def run_page(record: Record) -> Page:
    """The report of a run. record : as `reading.read_run` gives it"""
    pictures, title = run_pictures(record), record["network"]
    told = ("config_hash", "seed", "inputs", "not_simulated", "coverage")
    about = {"network": title, **{name: record[name] for name in (*told, "graph") if name in record}}
    about |= {"sampled": record["total"]["sampled"]} if "sampled" in record["total"] else {}
    shown = document(f"{title}: eie-sim", _body(record, pictures))
    return Page(shown, list(pictures.values()), about, record["verified"])


def _body(record: Record, pictures: dict[str, Picture]) -> Iterator[str]:
    tables = {name: _layers_table(record, one) for name, one in sections(record).items()}
    if "graph" in record:
        kinds = titled("By kind, shares of the whole", graph.KINDS, graph.kinds(record))
        tables["cycles"] = _layers_table(record, graph.products(record), total=True) + kinds + _on_host(record)
    yield f"<h1>{escape(record['network'])}</h1>"
    yield paragraphs([record["source"], *opening(record)[1:3]], "quiet")
    wrong = [] if record["verified"] else ["NOT VERIFIED", *(f"differs: {text}" for text in record["differs"])]
    warnings = [f"warning: {text}" for text in record["warnings"]]
    yield paragraphs([*wrong, *warnings, *misfits(record)], "alarm")
    yield summary(_facts(record))
    shown = [tables[name] for name in ("cycles", "named", "throughput", "verification", "fidelity") if name in tables]
    yield section("Layers", *shown)
    yield section(
        "Where cycles and energy go",
        figures([pictures["classes"], pictures["energy"], pictures["roofline"]]),
        tables["classes"],
        tables["energy"],
        _events(record),
    )
    yield section("Storage", figures([pictures["storage"]]), tables["storage"], tables.get("memories", ""))
    yield section("Provenance", *_provenance(record))


def _on_host(record: Record) -> str:
    """What no unit computes of a graph."""
    left = [[one["name"], one["reason"]] for one in record["not_simulated"]]
    return titled("On the host, without cycles or energy", ["what", "why"], left) if left else ""


def _facts(record: Record) -> Iterator[Fact]:
    """The network as a whole; per vector where all layers ran the same vectors."""
    total, layers = record["total"], record["layers"]
    sampled = graph.sampled(total)
    if has_total(record) or len(layers) == 1:
        mean = total["cycles_per_vector"]["mean"]
        yield Fact(f"cycles per vector{sampled}", f"{mean:,.1f}", mean)
        yield Fact(f"time per vector{sampled}", f"{total['time_us_per_vector']:,.3f} us", total["time_us_per_vector"])
        energy = total["energy"]["total_nj_per_vector"]
        yield Fact(f"energy per vector{sampled}", f"{energy:,.3f} nJ", energy)
    else:
        yield Fact(f"cycles, all vectors{sampled}", f"{total['cycles']:,}", total["cycles"])
        yield Fact(f"time, all vectors{sampled}", f"{total['time_us']:,.3f} us", total["time_us"])
        energy = total["energy"]["total_pj"]
        yield Fact(f"energy, all vectors{sampled}", f"{energy / 1e3:,.3f} nJ", energy)
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


def _layers_table(record: Record, shown: Section, *, total: bool | None = None) -> str:
    """A row per layer, and a last one for the network where the layers add up."""
    rows = [[_name(layer), *(_cell(column, layer) for column in shown.columns)] for layer in record["layers"]]
    foot = [_total_name(record), *(_cell(column, record["total"]) for column in shown.columns)]
    total = shown.with_total and has_total(record) if total is None else total
    return titled(shown.title, ["layer", *(c.heading for c in shown.columns)], rows, foot=foot if total else ())


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


def _events(record: Record) -> str:
    """How often what took place, over all vectors."""
    totals = record["total"]["stats"]["events"]
    rows = [
        [_name(layer), *(Cell(f"{events[name]:,}", events[name]) for name in totals)]
        for layer in record["layers"]
        for events in [layer["stats"]["events"]]
    ]
    foot = [_total_name(record), *(Cell(f"{count:,}", count) for count in totals.values())]
    headings = ["layer", *(name.replace("_", "\n") for name in totals)]
    return titled("Events, all vectors", headings, rows, foot=foot if len(rows) > 1 else ())


def _provenance(record: Record) -> Iterator[str]:
    """Every field of the design, versions, and where weights and inputs come from."""
    energy = record["total"]["energy"]
    yield paragraphs(
        [
            f"engine {record['engine']}; seed {record['seed']}; config {record['config_hash']}; "
            f"energy table {energy['table']}, {energy['node_nm']} nm",
            *given_lines(record["energy_table"]),
            *(graph.distances(record) if "graph" in record else fidelity(record)),
            *(graph.provenance(record, len(record["not_simulated"])) if "graph" in record else not_simulated(record)),
        ]
    )
    sources = [[_name(layer), layer["weights"], layer["inputs"], _kind(layer)] for layer in record["layers"]]
    headings = ["layer", "weights", "inputs", "weights are"]
    yield titled("Weights and inputs", headings, sources)
    config = [[name, _value(value), known_axes()[name].help] for name, value in record["config"].items()]
    yield titled("Design", ["field", "value", "meaning"], config)
    yield titled("Versions", ["program", "version"], [[name, version] for name, version in record["versions"].items()])


def _kind(record: Record) -> str:
    return "synthetic" if record["synthetic"] else "real"


def _value(value: Any) -> Cell:
    if not isinstance(value, (int, float)):
        return Cell("none" if value is None else value if isinstance(value, str) else json.dumps(value))
    return Cell(f"{value:,g}" if value < 1e6 else f"{value:,}", value)
