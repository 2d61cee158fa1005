"""A chip and other units side by side: plain data, one table, one figure, and which is fastest when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from eie_sim.compare import Figures, Rival, chip_of, rivals
from eie_sim.core.result import config_hash
from eie_sim.energy import EnergyTable
from eie_sim.energy.report import table_for
from eie_sim.energy.table import given_lines, hashed
from eie_sim.pruning.measure import inputs_in_words
from eie_sim.record import account_of, versions
from eie_sim.report import figures
from eie_sim.report.figures.style import drawing, named, require_file, write_figure
from eie_sim.report.network import Record, account_lines, percent
from eie_sim.report.text import rows
from eie_sim.units import faults, unit_of, units
from eie_sim.units.compared import Chip
from eie_sim.workload import Network

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
CLOSE = 0.01
"""Accuracy that may be lost and still count as kept."""


def comparison_record(
    figures: Sequence[Figures],
    network: Network,
    config: Any,
    *,
    preset: str,
    layer: str | None,
    table: EnergyTable | None = None,
) -> Record:
    """The comparison with its provenance, and the fastest of each batch.

    config : the chip as asked for; config_sram, config_dram : the chips that the figures from SRAM and DRAM are of
    table : the energies that `compare` took, of which `energy_table` is the trace

    Of each unit beside the chip: NAME_pes of an array, NAME_arrays, config_NAME; and together in `beside`.
    """
    unit, chip, others = unit_of(config), chip_of(config, table), rivals(config)
    design, energies = config.to_dict(), table_for(chip.far, table)
    found = [one.to_dict() for one in figures]
    inputs = inputs_in_words(network)  # of the whole network, in which a layer reads what the ones before pass on
    compared = network if layer is None else network.layer(layer)
    return {
        "network": network.name,
        "layer": layer,
        "source": network.source,
        "weights": {
            each.name: each.weights_source
            for each in network.dense_layers or network.layers
            if layer in (None, each.name)
        },
        **account_of(compared, {each.name: inputs[each.name] for each in compared.layers}),
        "seed": network.seed,
        "preset": preset,
        "macs_per_cycle": unit.lanes(config),
        "unit": unit.name,
        "config": design,
        "config_hash": config_hash(unit.name, design, *hashed(energies.sha256)),
        "energy_table": energies.trace,
        "config_sram": chip.near.to_dict(),
        "config_dram": chip.far.to_dict(),
        "dram_bytes_per_cycle": float(chip.dram_bytes_per_cycle),
        **_others(others, chip),
        "held_against": {
            preset: unit.held_against(config, 1),
            **{each.unit.title: each.held_against for each in others},
        },
        "not_compared": [*faults(), *(f"unit={name}: has no design as large as a chip" for name in _unsized())],
        "versions": versions(),
        "rows": found,
        "fastest": [_fastest(found, batch) for batch in dict.fromkeys(row["batch"] for row in found)],
    }


def _unsized() -> list[str]:
    """Units that cannot stand beside a chip, and are none."""
    return [unit.name for unit in units() if unit.sized is None and unit.chip is None]


def _others(others: Sequence[Rival], chip: Chip) -> Record:
    """The units beside the chip, and where weights are in each of them, in words."""
    titles = [rival.unit.title for rival in others]
    found: Record = {
        "beside": [
            {
                "unit": each.unit.name,
                "title": each.unit.title,
                "arrays": each.number,
                "pes": each.unit.lanes(each.design),
                "stores_bias": each.unit.takes_bias,
            }
            for each in others
        ],
        "weights_in": {
            "sram": "in " + "".join(f"{title}'s PEs or " for title in titles) + chip.near_words,
            "dram": "".join(f"read by {title} once a batch; " for title in titles) + chip.far_words,
        },
    }
    for each in others:
        name = each.unit.name
        found |= {f"{name}_pes": each.unit.lanes(each.design), f"{name}_arrays": each.number}
        found[f"config_{name}"] = each.design.to_dict()
    return found


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


def comparison_table(record: Record) -> Table:
    """A row per batch and candidate; times and energies per vector."""
    headings = [
        "batch",
        "unit",
        "precision",
        "weights\nkept",
        "of sum\n|w|",
        "accuracy",
        "weights\nkB",
        "MACs\nused",
        "us/vector\nSRAM",
    ]
    headings += ["us/vector\nDRAM", "nJ/vector\nSRAM", "nJ/vector\nDRAM", "DRAM kB\n/vector", "tile", "bound", ""]
    cells, before = [], None
    for row in record["rows"]:
        batch = row["batch"]
        cells.append(
            [
                "" if batch == before else str(batch),
                row["name"],
                row["precision"],
                percent(row["density"]),
                percent(row["kept_l1"]),
                "" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f} %",
                f"{row['weight_bytes'] / 1e3:,.1f}",
                percent(row["utilisation"]),
                f"{row['time_us'] / batch:,.3f}",
                f"{row['time_us_dram'] / batch:,.3f}",
                _energy(row, "", batch),
                _energy(row, "_dram", batch),
                f"{row['dram_bytes'] / batch / 1e3:,.2f}",
                _both(row["tile"], row["tile_dram"]),
                _both(row["bound"], row["bound_dram"]),
                "" if row["scaled_from"] is None else f"from {row['scaled_from']}",
            ]
        )
        before = batch
    return rows(headings, cells, text={1, 2, 13, 14, 15})


def _energy(row: Record, where: str, batch: int) -> str:
    """Of a vector: modelled parts, up to the board's bound where there is one."""
    parts, bound = row[f"energy_nj{where}"], row[f"board_nj{where}"]
    return f"{parts / batch:,.1f}" + ("" if bound is None else f" to {bound / batch:,.0f}")


def _both(sram: str, dram: str) -> str:
    """What is so from SRAM, and from DRAM where that differs."""
    return sram if sram == dram else f"{sram} | {dram}"


def comparison_lines(record: Record) -> list[str]:
    """What was compared, and which is fastest when."""
    config, beside = record["config"], record["beside"]
    before, after = (record[name].get("dram") for name in ("config", "config_dram"))
    dram = f"{record['dram_bytes_per_cycle']:,.4g}" + ("" if before == after else f" ({after.upper()})")
    layer = "" if record["layer"] is None else f"/{record['layer']}"
    titles = _titles(record)
    sizes = "".join(f", and {one['title']} of {one['arrays']} x {one['pes']} PEs" for one in beside)
    lines = [
        f"{record['network']}{layer}: {record['source']}",
        *(f"{name}: weights {source}" for name, source in record["weights"].items()),
        *account_lines(record),
        f"{record['preset']}{sizes}: {record['macs_per_cycle']:,} MACs a cycle each, {config['clock_mhz']:g} MHz, "
        f"{config['node_nm']} nm; DRAM {dram} bytes a cycle; seed {record['seed']}; config {record['config_hash']}",
        f"SRAM: all weights where they are used, {record['weights_in']['sram']}. DRAM: {record['weights_in']['dram']}",
        "accuracy: of held-back inputs, with weights, inputs and sums as each unit stores and computes them, pruned by "
        "magnitude and not trained again. Tile and bound: from SRAM | from DRAM where they differ",
        "MACs used: of kept weights, and only of active inputs where a unit skips the others",
        *_bias_lines(record),
        *(f"not compared: {why}" for why in record["not_compared"]),
    ]
    if config.get("board_watts") is not None:
        watts = f"{config['board_watts']:g} W"
        lines.append(
            f"nJ of {record['preset']}: from its modelled parts alone to the whole board's {watts} for that time. "
            f"nJ of {titles}: modelled parts alone. What no model has: eie-sim validate {record['unit']}"
        )
    held = "; ".join(f"{name}: {phrase}" for name, phrase in record["held_against"].items())
    lines.append(f"held against {held}. They are not equally well tested: a ratio of two is no measurement")
    if table := given_lines(record["energy_table"]):
        dram = "the chip's DRAM, as given, and else " if "dram_bytes" not in record["energy_table"]["default"] else ""
        lines += [f"{record['preset']}: {table[0]}; {titles}: {dram}default energies"]
    if any(row["scaled_from"] for row in record["rows"]):
        lines.append("from N: N vectors simulated and scaled, there are no more")
    lines.append("")
    for one in record["fastest"]:
        close = one["accuracy_kept_sram"], one["accuracy_kept_dram"]
        kept = f"; within {100 * CLOSE:g} point of dense accuracy {_pair(*close)}" if close[0] is not None else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: fastest {_pair(one['any_sram'], one['any_dram'])}{kept}")
        energy, bound = (_pair(one[f"{word}_sram"], one[f"{word}_dram"]) for word in ("energy", "bound"))
        board = f"; with the board's power {bound}" if config.get("board_watts") is not None and bound != energy else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: least energy {energy}{board}")
    return lines


def _titles(record: Record) -> str:
    return " and ".join(one["title"] for one in record["beside"])


def _bias_lines(record: Record) -> list[str]:
    """Which units have a bias in their figures."""
    inside = " and ".join(f"{one['title']}'s" for one in record["beside"] if one["stores_bias"])
    outside = "added outside by the chip, in none of its own"
    return [f"bias: among {inside} weights, in their kB, MACs, times and energies; {outside}"] if inside else []


def _pair(sram: str, dram: str) -> str:
    return f"{sram} / {dram}"


def require_figure(path: Path) -> Path:
    """The path, where a figure can be written. Raises InputError for another suffix or a missing folder."""
    return require_file("figure", path, FIGURE_SUFFIXES)


@drawing()
def draw_comparison(record: Record, path: Path) -> None:
    """Time per vector over the batch, a line per candidate, weights in SRAM and from DRAM. Raises InputError."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    figures.batches(record["rows"], left, key="time_us")
    figures.batches(record["rows"], right, key="time_us_dram", config_hash=record["config_hash"])
    right.set_ylabel("")
    right.get_legend().remove()
    layer = "" if record["layer"] is None else f"/{record['layer']}"
    given = named(f"{record['network']}{layer}")
    words = f"{given}: {record['macs_per_cycle']:,} MACs a cycle, {record['preset']} and {_titles(record)}"
    drawn.suptitle(words, parse_math=False)
    write_figure(drawn, path)
