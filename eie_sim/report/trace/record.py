"""Description of a timeline as plain data: kept in the file itself, printed as JSON, and as a few lines."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import to_builtins

from eie_sim.core.activity import Activity
from eie_sim.core.errors import require, require_int
from eie_sim.record import account_of, versions
from eie_sim.report.network import not_simulated, verdict
from eie_sim.tracing import Traced
from eie_sim.units import unit_of

Record = dict[str, Any]


MAX_PE = 16
MAX_CYCLES = 10_000


def require_few_pes(config: Any) -> None:
    """Raise InputError for more PEs than anybody reads."""
    n_pe = unit_of(config).lanes(config)
    require(n_pe <= MAX_PE, "n_pe", n_pe, f"must be at most {MAX_PE} to be read as text, as --n-pe 4")


def require_few_cycles(first: int, last: int) -> None:
    """Raise InputError for more cycles than anybody reads."""
    rule = f"must be at most {MAX_CYCLES} cycles from first={first} on to be read as text"
    require(last - first < MAX_CYCLES, "last", last, rule)


class Window(NamedTuple):
    """The cycles first..last; 1..0 where there is none."""

    first: int
    last: int


def window_of(cycles: int, first: int | None, last: int | None) -> Window:
    """A part of the cycles 1..cycles, all of them where neither end is given. Raises InputError outside them."""
    for name, given in (("first", first), ("last", last)):
        if given is not None:
            require(cycles > 0, name, given, "must be left out, the run has no cycle: no entry is issued")
            require_int(name, given, 1, cycles)
    window = Window(1 if first is None else int(first), cycles if last is None else int(last))
    require(window.first <= window.last or cycles == 0, "first", window.first, f"must be at most last={window.last}")
    return window


def about(traced: Traced, window: Window) -> Record:
    """Return what ran on which design, and which cycles are kept."""
    result, layer = traced.result, traced.layer
    return {
        "name": traced.name,
        "source": traced.network.source,
        "layer": layer.name,
        "n_out": layer.n_out,
        "n_in": layer.n_in,
        "weights": layer.weights_source,
        "synthetic": layer.synthetic,
        "inputs": traced.inputs,
        "vector": traced.vector,
        "n_vector": traced.n_vector,
        "engine": result.engine,
        "unit": result.unit,
        "seed": traced.network.seed,
        "config": result.config.to_dict(),
        "config_hash": result.config_hash,
        "versions": versions(),
        "cycles": result.cycles,
        "time_us": result.time_us,
        "fits": result.fits,
        "passes": result.passes,
        **{name: dict(totals) for name, totals in result.extra.items()},
        "window": window._asdict(),
    }


def trace_record(traced: Traced, window: Window, file: Record) -> Record:
    """All of that, the file as `write_trace` says it, and whether the output is the golden product."""
    checked, name = traced.verification, traced.layer.name
    warning = checked.warns(unit_of(traced.result.config).words.stored)
    return {
        **about(traced, window),
        **{key: value for key, value in account_of(traced.network, {}).items() if key != "inputs"},
        **file,
        "verification": to_builtins(checked),
        "verified": checked.ok,
        "differs": [] if checked.ok else [f"{name}: {checked.differs()}"],
        "warnings": [f"{name}: {warning}"] if warning else [],
    }


def heading(record: Record, activity: Activity) -> list[str]:
    """Return the lines above a timeline."""
    window, (design, totals) = record["window"], activity.words()
    whole = window["first"] == 1 and window["last"] == record["cycles"]
    shown = "" if whole else f"; shown {window['first']}..{window['last']}"
    return [
        f"{record['name']}: {record['source']}",
        f"{record['n_out']}x{record['n_in']} on {design}; engine {record['engine']}; seed {record['seed']}; "
        f"config {record['config_hash']}",
        f"layer {record['layer']}, vector {record['vector']} of {record['n_vector']}; weights {record['weights']}; "
        f"inputs {record['inputs']}",
        *not_simulated(record),
        f"{record['cycles']} cycles, {record['time_us']:.3f} us; {totals}{shown}",
    ]


def closing(record: Record) -> list[str]:
    """The file and what opens it, where there is one; `verified`, or what differs."""
    written = record.get("written", {})
    counts = ", ".join(f"{count:,} {name}" for name, count in written.items())
    passes = f"! does not fit: {record['passes']} passes, whose cost no cycle contains"
    return [
        *([] if record["fits"] else [passes]),
        *([f"wrote {record['out']}: {counts}; it opens in {record['viewer']}"] if written else []),
        *(f"warning: {text}" for text in record["warnings"]),
        *(f"differs: {text}" for text in record["differs"]),
        verdict(verified=record["verified"], warnings=record["warnings"]),
    ]
