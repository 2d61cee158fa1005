"""Tables of what a graph of operators takes: products in several formats, and all that is kept, in 80 columns."""

from __future__ import annotations

from eie_sim.core.arrays import shown
from eie_sim.core.errors import few
from eie_sim.core.numbers import number, percent
from eie_sim.report import graph
from eie_sim.report.network import MOST_NAMES, Record
from eie_sim.report.text import TextTable

SHOWN = ("csr", "bitmap")
"""Formats beside the unit's own and the dense one; JSON has all."""
NAME = 20
"""Columns of a name."""


def footprint_tables(record: Record) -> list[TextTable | str]:
    """A row for each product in kB, then what the network keeps, and what of it no product is of."""
    own, peak = record["total"]["own"], record["peak_activations"]
    names = list(dict.fromkeys([own, "dense", *SHOWN]))
    layers, more = graph.largest(record["layers"], lambda one: 0 if one["again"] else one["n_weight"])
    cells = [
        [
            _short(one["name"]),
            f"{one['n_out']}x{one['n_in']}",
            percent(one["kept"] / max(1, one["n_weight"])),
            *(("again" if at == 0 else "") if one["again"] else _kilobytes(one, name) for at, name in enumerate(names)),
        ]
        for one in layers
    ]
    cells.append(["network", "", "", *(_kilobytes(record["total"], name) for name in names)])
    invalid = [one["name"] for one in record["total"]["formats"] if one["name"] in names and not one["valid"]]
    return [
        f"{record['network']}: {record['source']}",
        f"design: {record['design']}",
        *record["notes"],
        "",
        TextTable(
            ["product", "out x in", "kept", *names],
            cells,
            text={0},
            title="Weights by format, kB (1,000 bytes)",
        ),
        *([more] if more else []),
        *(f"{name} cannot hold all of them (--json says which)" for name in invalid),
        "",
        TextTable(["kept", "bytes"], _kept(record), text={0}, title="The network, weights that are shared once"),
        f"peak at {_short(peak['node'] or 'the inputs', 40)}: {few([_short(one, 40) for one in peak['values']], 4)}",
        *_left(record),
    ]


def _short(name: str, most: int = NAME) -> str:
    text = shown(name, len(name))
    return text if len(text) <= most else f"{text[: most - 14]}...{text[-11:]}"


def _kilobytes(one: Record, name: str) -> str:
    (bits,) = (each["total_bits"] for each in one["formats"] if each["name"] == name)
    return number(bits / 8e3, 1)


def _kept(record: Record) -> list[list[str]]:
    own = record["total"]["own"]
    (bits,) = (one["total_bits"] for one in record["total"]["formats"] if one["name"] == own)
    found = [(f"weights of products as {own}", bits / 8)]
    found += [(f"{kind}, floats", size) for kind, size in record["float_bytes"].items() if size]
    if record["state_bytes"]:
        said = f"state of {len(record['state_bytes'])} recurrent nodes, {record['word_bits']}-bit words"
        found.append((said, sum(record["state_bytes"].values())))
    found.append((f"most live activations, {record['word_bits']}-bit words", record["peak_activations"]["bytes"]))
    found.append(("together", record["total_bytes"]))
    return [[said, f"{size:,.0f}"] for said, size in found]


def _left(record: Record) -> list[str]:
    """Return the share of the MACs that products have, and the operators left to the host."""
    total = max(1, sum(one["macs"] for one in record["macs"]))
    left = [
        f"{one['kind']} ({one['reason']}, {percent(one['macs'] / total)})" for one in record["macs"] if one["reason"]
    ]
    lines = [f"covers {percent(1 - record['coverage']['share_of_macs_not_simulated'])} of {total:,} MACs"]
    return [*lines, *([f"not simulated: {few(left, MOST_NAMES, ' (--json has all)')}"] if left else [])]
