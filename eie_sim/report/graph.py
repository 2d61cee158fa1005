"""A run of a graph of operators in words and columns: products, kinds, coverage, distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from eie_sim.core.arrays import shown
from eie_sim.core.errors import few
from eie_sim.core.numbers import number, percent, share, to
from eie_sim.report.network import MOST_NAMES, WEIGHTS, Column, Record, Section, decibels

MOST_ROWS = 40
LARGEST = 20
"""Rows of the text table where there are more than MOST_ROWS products; JSON and CSV have all."""
WHOLE = 0.99
"""Share of MACs below which the total says what it covers."""
ALL_ZERO = "vectors\nall 0"
FAR = 0.1
"""Relative distance above which more bits of the weights are named."""


def covers(record: Record) -> str:
    """Return the share of the MACs that totals cover, in words; empty if it is nearly all."""
    left = record["coverage"]["share_of_macs_not_simulated"]
    return f", covers {percent(1 - left)} of MACs" if 1 - left < WHOLE else ""


def products(record: Record) -> Section:
    """A row for each product, figures of all its vectors together."""
    columns = [
        Column("kind", lambda r: r["kind"]),
        Column("out x in", lambda r: [r["n_out"], r["n_in"]], lambda sides: "{}x{}".format(*sides), rank=1),
        Column("vectors", lambda r: r["n_vector"] if "name" in r else "", _count),
        WEIGHTS,
        Column("inputs active\n(p5-p95)", _active, _spread, rank=3),
        Column(ALL_ZERO, lambda r: r["positions"]["all_zero"] if "positions" in r else "", share, rank=4),
        Column("cycles", lambda r: r["cycles"], _count, rank=1),
        Column("utilisation", lambda r: r["utilisation"], percent, rank=1),
        Column("load\nbalance", lambda r: r["load_balance"], percent, rank=4),
        Column("time us", lambda r: r["time_us"], to(1), rank=3),
        Column("energy\nuJ", lambda r: r["energy"]["total_pj"] / 1e6, to(3), rank=1),
        Column("fits", lambda r: "yes" if r["fits"] else f"no: {r['passes']}"),
        Column("map, kB\n(outside)", lambda r: r.get("map_buffer_bits", ""), _kilobytes, rank=4),
        Column("", _checked, rank=1),
    ]
    if not any("map_buffer_bits" in layer for layer in record["layers"]):
        del columns[-2]
    if not any(layer["positions"]["all_zero"] for layer in record["layers"] if "positions" in layer):
        columns = [column for column in columns if column.heading != ALL_ZERO]
    sampled = f"; sampled {sample(record['total'])}" if "sampled" in record["total"] else ""
    return Section(f"Products, all vectors together, one after the other{covers(record)}{sampled}", columns, True)


def _active(row: Record) -> list[float]:
    """The mean of a layer's vectors, and between what most of them are."""
    spread = row.get("positions")
    return [row["activation_density"], *((spread["density_p5"], spread["density_p95"]) if spread else ())]


def _spread(shares: list[float]) -> str:
    mean, *most = shares
    return percent(mean) + (f" ({100 * most[0]:.0f}-{100 * most[1]:.0f})" if most else "")


def _checked(row: Record) -> str:
    if not row["verification"]["ok"]:
        return "DIFFERS"
    return f"checked {sample(row)}" if "sampled" in row else "verified"


def sample(row: Record) -> str:
    """Return how many positions stand for how many, and half of the interval of the cycles that this leaves."""
    half = row["sampled"]["cycles_half_interval"]
    interval = "" if half is None else f", cycles +-{percent(half / max(1, row['cycles']))}"
    return f"{row['sampled']['positions']:,} of {row['sampled']['of']:,}{interval}"


def sampled(row: Record) -> str:
    """Return the words after the name of a row whose figures are of a sample; empty if they are of all positions."""
    taken = row.get("sampled")
    return "" if taken is None else f", sampled {taken['positions']:,} of {taken['of']:,}"


def _kilobytes(bits: Any) -> str:
    return number(bits / 8e3, 1) if isinstance(bits, int) else bits


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def largest(
    layers: Sequence[Record], size: Callable[[Record], Any] = itemgetter("cycles"), most: int = MOST_ROWS
) -> tuple[list[Record], str]:
    """The rows of a text table, in order, and a line about the others; all of them where they are at most so many."""
    if len(layers) <= most:
        return list(layers), ""
    shown = sorted(sorted(range(len(layers)), key=lambda at: -size(layers[at]))[:LARGEST])
    return [layers[at] for at in shown], f"the {LARGEST} largest, and {len(layers) - LARGEST} more (--all)"


def kinds(record: Record) -> list[list[str]]:
    """Kind, products, share of MACs, of cycles, of energy, bytes of the weights; then what is left to the host."""
    total, macs = record["total"], record["graph"]["macs"]
    all_macs = max(1, sum(one["macs"] for one in macs))
    rows = []
    for name in dict.fromkeys(layer["kind"] for layer in record["layers"]):
        layers = [layer for layer in record["layers"] if layer["kind"] == name]
        share = sum(one["macs"] for one in macs if one["kind"] == name and not one["reason"]) / all_macs
        cycles = sum(layer["cycles"] for layer in layers) / max(1, total["cycles"])
        energy = sum(layer["energy"]["total_pj"] for layer in layers) / max(1e-30, total["energy"]["total_pj"])
        stored = sum(layer["storage"]["total_bits"] for layer in layers if not layer.get("again")) // 8
        rows.append([name, f"{len(layers)}", percent(share), percent(cycles), percent(energy), f"{stored:,}"])
    for one in macs:
        if one["reason"]:
            left = [f"{one['kind']} (host: {one['reason']})", f"{one['nodes']}", percent(one["macs"] / all_macs)]
            rows.append([*left, "", "", ""])
    return rows


KINDS = ["kind", "products", "MACs", "cycles", "energy", "bytes of\nweights"]


LOWERINGS = ["node", "im2col\ncycles", "Winograd\ncycles", "of\nim2col", "im2col\nuJ", "Winograd\nuJ", "of im2col"]


def lowerings(record: Record) -> tuple[list[list[str]], str]:
    """Return cycles and energy of convolutions as im2col and as Winograd, the last row of all, and a line on them."""
    each = record["graph"]["lowerings"]
    names = ("im2col_cycles", "winograd_cycles", "im2col_pj", "winograd_pj")
    whole = {"node": "all of them", **{name: sum(one[name] for one in each) for name in names}}
    shown, _ = largest(each, itemgetter("im2col_cycles"))
    cells = [
        [
            one["node"],
            *(f"{one[name]:,}" for name in names[:2]),
            percent(one["winograd_cycles"] / max(1, one["im2col_cycles"])),
            *(number(one[name] / 1e6, 3) for name in names[2:]),
            percent(one["winograd_pj"] / max(1e-30, one["im2col_pj"])),
        ]
        for one in (*shown, whole)
    ]
    cycles, energy = (whole[f"winograd_{of}"] / max(1e-30, whole[f"im2col_{of}"]) for of in ("cycles", "pj"))
    better = "Winograd is faster" if cycles < 1 else "im2col is faster"
    more = f", {len(each) - len(shown)} nodes more (--json)" if len(shown) < len(each) else ""
    return cells, f"{better} here: Winograd takes {cycles:.2f} x the cycles and {energy:.2f} x the energy{more}"


def distances(record: Record) -> list[str]:
    """End to end, said first: how far outputs are from floats, and what would bring them nearer."""
    lines = []
    for one in record["graph"]["outputs"]:
        if "first_not_finite" in one:
            where = one["first_not_finite"]
            lines.append(
                f"end to end, {shown(one['name'])}: NaN or infinite first at {where}, so that no distance is known"
            )
        if one["error"] is None:
            continue
        noise = f"signal to noise {decibels(one['error'])} dB, largest difference {one['largest_difference']:.3g}"
        parts = [f"{percent(one['error'], 2)} off those of the float network ({noise})"]
        if one["original_error"] is not None:
            parts.append(f"{percent(one['original_error'], 2)} off those before pruning")
        if one["top1_agreement"] is not None:
            parts.append(f"top-1 agrees in {percent(one['top1_agreement'])}")
        lines.append(f"end to end, {shown(one['name'])}: {'; '.join(parts)}")
    return lines


def advice(record: Record) -> list[str]:
    """Return what brings outputs nearer to floats if they are far, by which error of the products is the largest."""
    far = max((one["error"] or 0.0 for one in record["graph"]["outputs"]), default=0.0) > FAR
    checks = [layer["verification"] for layer in record["layers"]]
    stored, rounded = (max(one[of] or 0.0 for one in checks) for of in ("stored_error", "rounding_error"))
    lines = []
    if any(one["saturated_inputs"] for one in checks):
        lines.append("inputs saturate: --calibration with larger inputs gives them room")
    if far and stored >= rounded and record["config"].get("weight_bits", 8) < 8:
        lines.append(
            "stored weights are the largest error: --weight-bits 8, or training what is stored, brings outputs nearer"
        )
    if far and stored < rounded and record["config"].get("accumulator_bits", 32) < 32:
        lines.append("rounding is the largest error: --accumulator-bits 32 brings outputs nearer")
    return lines


def provenance(record: Record, most: int = MOST_NAMES) -> list[str]:
    """Return the sources of the inputs, the difference of products from the framework, and parts left to the host."""
    graph, coverage = record["graph"], record["coverage"]
    lines = list(graph["notes"])
    lines.append(
        f"lowered: products differ from the framework by at most {graph['lowered_error']:.1e} of a node's largest "
        f"output, at {graph['lowered_node']}"
    )
    stepped: dict[str, list[str]] = {}
    for layer in record["layers"]:
        stepped.setdefault(layer.get("steps", ""), []).append(layer["name"])
    lines += [f"{few(names, most, ' (--all)')}: {said}" for said, names in stepped.items() if said]
    left = [f"{one['name']} ({one['reason']})" for one in record["not_simulated"]]
    share = percent(1 - coverage["share_of_macs_not_simulated"])
    host = few(left, most, " (--all)") if left else "none"
    lines.append(f"covers {share} of MACs; on the host, without cycles or energy: {host}")
    return lines
