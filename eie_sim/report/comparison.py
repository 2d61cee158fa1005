"""Dense, N:M and EIE side by side: plain data, one table, one figure, and which is fastest when."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from rich.table import Table

from eie_sim.compare import Figures
from eie_sim.compare.eie import as_large_as, held_against
from eie_sim.compare.tensor_core import resident, with_dram
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
from eie_sim.units.nm import unit as nm
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.workload import Network

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
CLOSE = 0.01
"""Accuracy that may be lost and still count as kept."""


def comparison_record(
    figures: Sequence[Figures],
    network: Network,
    config: TensorCoreConfig,
    *,
    preset: str,
    layer: str | None,
    table: EnergyTable | None = None,
) -> Record:
    """The comparison with its provenance, and the fastest of each batch.

    config : the chip as asked for; config_sram, config_dram : the chips that the figures from SRAM and DRAM are of
    config_eie : of each array; table : the energies that `compare` took, of which `energy_table` is the trace
    """
    design, arrays = config.to_dict(), as_large_as(config)
    energies = table_for(with_dram(config), table)
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
        "eie_pes": arrays.design.n_pe,
        "eie_arrays": arrays.number,
        "macs_per_cycle": config.n_core * config.tc_per_core * config.macs_per_cycle,
        "config": design,
        "config_hash": config_hash("nm", design, *hashed(energies.sha256)),
        "energy_table": energies.trace,
        "config_sram": resident(config).to_dict(),
        "config_dram": with_dram(config).to_dict(),
        "config_eie": arrays.design.to_dict(),
        "held_against": {preset: nm.held_against(config), "EIE": held_against(arrays)},
        "versions": versions(),
        "rows": found,
        "fastest": [_fastest(found, batch) for batch in dict.fromkeys(row["batch"] for row in found)],
    }


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
    config, far = record["config"], record["config_dram"]
    rate = float(Fraction(far["dram_bytes_per_cycle"]))
    dram = f"{rate:,.4g}" + ("" if config["dram"] == far["dram"] else f" ({far['dram'].upper()})")
    layer = "" if record["layer"] is None else f"/{record['layer']}"
    lines = [
        f"{record['network']}{layer}: {record['source']}",
        *(f"{name}: weights {source}" for name, source in record["weights"].items()),
        *account_lines(record),
        f"{record['preset']}, and EIE of {record['eie_arrays']} x {record['eie_pes']} PEs: "
        f"{record['macs_per_cycle']:,} MACs a cycle each, {config['clock_mhz']:g} MHz, {config['node_nm']} nm; "
        f"DRAM {dram} bytes a cycle; seed {record['seed']}; config {record['config_hash']}",
        "SRAM: all weights where they are used, in EIE's PEs or the cores' shared memories. DRAM: read by EIE once a "
        "batch; by the cores through L2, which keeps what fits from one wave of tiles to the next",
        "accuracy: of the stored weights, pruned by magnitude and not trained again, inputs in floats. MACs used: of "
        "kept weights, on EIE of active inputs too. Tile and bound: from SRAM | from DRAM where they differ",
        "bias: a column of EIE's weights, in its kB, MACs, times and energies; added outside by the cores, in none of "
        "theirs",
    ]
    if config["board_watts"] is not None:
        watts = f"{config['board_watts']:g} W"
        lines.append(
            f"nJ of {record['preset']}: from its modelled parts alone to the whole board's {watts} for that time. "
            "nJ of EIE: modelled parts alone. What no model has: eie-sim validate nm"
        )
    held = "; ".join(f"{name}: {phrase}" for name, phrase in record["held_against"].items())
    lines.append(f"held against {held}. They are not equally well tested: a ratio of the two is no measurement")
    if table := given_lines(record["energy_table"]):
        dram = "the chip's DRAM, as given, and else " if "dram_bytes" not in record["energy_table"]["default"] else ""
        lines += [f"{record['preset']}: {table[0]}; EIE: {dram}default energies"]
    if any(row["scaled_from"] for row in record["rows"]):
        lines.append("from N: N vectors simulated and scaled, there are no more")
    lines.append("")
    for one in record["fastest"]:
        close = one["accuracy_kept_sram"], one["accuracy_kept_dram"]
        kept = f"; within {100 * CLOSE:g} point of dense accuracy {_pair(*close)}" if close[0] is not None else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: fastest {_pair(one['any_sram'], one['any_dram'])}{kept}")
        energy, bound = (_pair(one[f"{word}_sram"], one[f"{word}_dram"]) for word in ("energy", "bound"))
        board = f"; with the board's power {bound}" if config["board_watts"] is not None and bound != energy else ""
        lines.append(f"batch {one['batch']}, SRAM / DRAM: least energy {energy}{board}")
    return lines


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
    words = f"{given}: {record['macs_per_cycle']:,} MACs a cycle, {record['preset']} and EIE"
    drawn.suptitle(words, parse_math=False)
    write_figure(drawn, path)
