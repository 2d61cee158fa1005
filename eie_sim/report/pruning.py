"""Effects of pruning and compressing on a network, as plain data and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eie_sim.core.errors import few
from eie_sim.core.numbers import number, percent
from eie_sim.core.result import config_hash
from eie_sim.deep_compression import Sizes
from eie_sim.network import Network
from eie_sim.pipeline import outputs_off
from eie_sim.prune import QUALITIES, Choice, Selection, costed_on, measured_on, training
from eie_sim.prune.accuracy_table import AccuracyRecord
from eie_sim.prune.measure import inputs_in_words
from eie_sim.prune.recipe import Recipe
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.record import account_of, versions
from eie_sim.report import figures
from eie_sim.report.figures.style import PAGE, drawing, write_figure
from eie_sim.report.network import (
    MOST_NAMES,
    Record,
    account_lines,
    not_simulated,
    source_lines,
    total_name,
    verdict,
)
from eie_sim.report.text import TextTable
from eie_sim.runs import Run
from eie_sim.units import unit_of

SHOWN_AS = {"accuracy": "accuracy", "loss": "minus\nloss", "outputs": "minus error\nof outputs"}
"""Headings of qualities, of which more is better."""


def pruned_record(before: Run, after: Run, kept: Selection, recipe: Recipe) -> Record:
    """A network before and after pruning, layer by layer and in total, both compressed and simulated."""
    old, new = before.to_dict(), after.to_dict()
    return {
        **_provenance(old),
        "recipe": recipe.to_dict(),
        "asked": kept.asked,
        "achieved": kept.achieved,
        "kept": kept.kept,
        "total_weights": kept.total,
        "warnings": [*kept.warnings, *new["warnings"]],
        "layers": [
            {
                "name": was["name"],
                "weights": now["weights"],
                "inputs": now["inputs"],
                **{of: getattr(kept.layers[was["name"]], of) for of in ("asked", "achieved", "kept", "total")},
                "before": _size(was),
                "after": _size(now),
            }
            for was, now in zip(old["layers"], new["layers"], strict=True)
        ],
        "total": {"before": _size(old["total"]), "after": _size(new["total"])},
        "accuracy": {"before": old["accuracy"], "after": new["accuracy"]},
        "outputs_off": outputs_off(before.network, after.network),
        "verified": old["verified"] and new["verified"],
    }


def pruned_table(record: Record) -> TextTable:
    """A row per layer and one for the network, before => after; an `!` marks what does not fit."""
    headings = ["layer", "out x in", "asked", "kept", "weights and biases", "compressed bits", "cycles/vector"]
    total = {"asked": record["asked"], "achieved": record["achieved"], **record["total"]}
    named = [*((row["name"], row) for row in record["layers"]), (total_name(record), total)]
    cells = [
        [name, _shape(row), _percent(row["asked"]), _percent(row["achieved"]), *_changes(row)] for name, row in named
    ]
    rank = {"weights and biases": 1, "cycles/vector": 1, "energy nJ/vector": 1, "out x in": 3, "asked": 4}
    return TextTable([*headings, "energy nJ/vector"], cells, text={0}, rank=rank)


def pruned_lines(record: Record) -> list[str]:
    """Return the lines below the table: counts, accuracy, warnings."""
    recipe = record["recipe"]
    lines = [
        f"{record['network']}: {recipe['pattern']}, {recipe['criterion']}, {recipe['scope']}; "
        f"{record['kept']:,} of {record['total_weights']:,} weights kept, {_percent(record['achieved'])}",
        f"design: {record['design']}",
        *source_lines(record),
        *not_simulated(record),
        *(accuracy_lines(record["accuracy"]) or [_off(record["outputs_off"])]),
    ]
    return [*lines, *_closing(record, record["warnings"])]


def _off(errors: Mapping[str, float | None]) -> str:
    """Return the distance of outputs from those before pruning, for a network without labels."""
    said = {name: "-" if error is None else percent(error, 2) for name, error in errors.items()}
    listed = said.get("end to end") or few([f"{name} {share}" for name, share in said.items()], MOST_NAMES)
    return f"outputs {listed} off those before pruning (rms, in floats)"


def accuracy_lines(accuracy: Mapping[str, Any], judged: str = "held-back images") -> list[str]:
    """Accuracy before => after, in floats and as compressed and simulated; nothing without labelled images."""
    if accuracy["before"] is None or accuracy["after"] is None:
        return []
    images = accuracy["after"]["images"]
    floats, simulated = (
        " => ".join(f"{100 * accuracy[when][kind]:.2f} %" for when in ("before", "after"))
        for kind in ("pruned", "compressed")
    )
    return [f"accuracy on {images} {judged}: float {floats}, compressed and simulated {simulated}"]


def compressed_record(run: Run, streams: Mapping[str, Sizes]) -> Record:
    """A compressed network: its unit's format by part, and Deep Compression's single stream of the same layers."""
    record = run.to_dict()
    shown = ("name", "fits", "n_vector", "weights", "inputs", "n_weight", "storage")
    return {
        **_provenance(record),
        "layers": [
            {name: layer[name] for name in shown} | {"deep_compression": streams[layer["name"]].to_dict()}
            for layer in record["layers"]
        ],
        "total": {"storage": record["total"]["storage"], "deep_compression": _summed(list(streams.values()))},
        **{name: record[name] for name in ("accuracy", "end_to_end_error", "warnings", "differs", "verified")},
    }


def streams_table(record: Record) -> TextTable:
    """Deep Compression's format of each layer, part by part, in bits, before and after Huffman coding."""
    headings = ["layer", "weights", "fillers", "codes", "indices", "codebook", "total", "times\nsmaller"]
    headings += ["Huffman\ncodes", "Huffman\nindices", "code\ntables", "total", "times\nsmaller"]
    parts = ["n_weight", "n_filler", "codes_bits", "indices_bits", "codebook_bits", "total_bits", "ratio_vs_dense32"]
    parts += ["huffman_codes_bits", "huffman_indices_bits", "huffman_tables_bits", "huffman_total_bits"]
    parts += ["huffman_ratio_vs_dense32"]
    named = [(layer["name"], layer["deep_compression"]) for layer in record["layers"]]
    if len(named) > 1:
        named.append((total_name(record), record["total"]["deep_compression"]))
    cells = [
        [name, *(f"{sizes[part]:,.2f}" if "ratio" in part else f"{sizes[part]:,}" for part in parts)]
        for name, sizes in named
    ]
    title = "Deep Compression's stream of the same weights, bits (times smaller than 32-bit dense; bias included)"
    return TextTable(headings, cells, text={0}, title=title)


def points_record(
    points: Sequence[Sensitivity], network: Network, config: Any, *, quantity: str, quality: str
) -> Record:
    """A sensitivity scan."""
    return {
        **_of(network, config),
        "quantity": quantity,
        "quality": quality,
        "quality_is": QUALITIES[quality],
        "quality_on": measured_on(quality, network),
        "cost_on": costed_on(network),
        "points": [point._asdict() for point in points],
    }


def measured_lines(record: Record) -> list[str]:
    """Return the meaning of quality and cost, and what they were measured on."""
    return [
        f"{record['quality']}: {record['quality_is']}; on {record['quality_on']}",
        f"{record['quantity']}: on {record['cost_on']}; {record['source']}",
        f"design: {record['design']}",
        *account_lines(record),
    ]


def points_table(record: Record) -> TextTable:
    """Layers at densities: what is kept, the quality of the network, the cost of the layer."""
    cells = [
        [
            r["layer"],
            percent(r["asked"]),
            _percent(r["achieved"]),
            f"{r['kept']:,}",
            quality_of(record, r),
            number(r["cost"], 1),
        ]
        for r in record["points"]
    ]
    headings = ["layer", "asked", "density", "weights kept", SHOWN_AS[record["quality"]]]
    headings.append(heading_of(record["quantity"]))
    return TextTable(headings, cells, text={0})


@drawing()
def draw_points(points: Sequence[Sensitivity], record: Record, path: Path) -> None:
    """Quality and cost of a scan against sparsity, as PNG or SVG. Raises InputError."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(PAGE, 4.5), layout="constrained")
    cost = heading_of(record["quantity"])
    figures.sensitivity(
        list(points), drawn.subplots(), quality=record["quality"], cost=cost, config_hash=record["config_hash"]
    )
    write_figure(drawn, path)


def quality_of(record: Record, point: Record) -> str:
    """A quality in its unit."""
    return f"{100 * point['quality']:.2f} %" if record["quality"] == "accuracy" else number(point["quality"], 4)


def heading_of(quantity: str) -> str:
    """A quantity of a budget with its unit."""
    return {"cycles": "cycles/vector", "energy": "energy pJ/vector"}.get(quantity, quantity)


def choices_record(
    choices: Sequence[Choice], runs: Sequence[Run], network: Network, *, budget: float, quantity: str, quality: str
) -> Record:
    """Networks pruned for one budget, each simulated as a whole."""
    records = [run.to_dict() for run in runs]
    return {
        **_provenance(records[0]),
        "budget": budget,
        "quantity": quantity,
        "quality": quality,
        "quality_is": QUALITIES[quality],
        "quality_on": measured_on(quality, network, training(network)),
        "cost_on": costed_on(network),
        "choices": [
            {
                "name": choice.name,
                "densities": choice.densities,
                "cost": choice.cost,
                "quality": choice.quality,
                **_size(record["total"]),
                "accuracy": record["accuracy"],
                "warnings": [*choice.warnings, *record["warnings"]],
            }
            for choice, record in zip(choices, records, strict=True)
        ],
        "differs": [line for record in records for line in record["differs"]],
        "verified": all(record["verified"] for record in records),
    }


def choices_lines(record: Record) -> list[str]:
    """The budget, what the choice was made for, warnings."""
    warnings = [f"{one['name']}: {text}" for one in record["choices"] for text in one["warnings"]]
    said = measured_lines(record)
    return [f"budget {record['budget']:,g} {record['quantity']}", *said, *_closing(record, warnings)]


def choices_table(record: Record) -> TextTable:
    """A row per choice: densities, what was budgeted, and what the whole network takes when it is simulated."""
    layers = list(record["choices"][0]["densities"])
    headings = ["choice", *(f"{layer}\ndensity" for layer in layers), f"budgeted\n{heading_of(record['quantity'])}"]
    headings += [
        SHOWN_AS[record["quality"]],
        "weights\nand biases",
        "cycles/\nvector",
        "energy\nnJ/vector",
    ]
    headings += ["accuracy\nfloat", "accuracy\nsimulated"]
    cells = [
        [
            choice["name"],
            *(f"{choice['densities'][layer]:.3f}" for layer in layers),
            number(choice["cost"], 1),
            quality_of(record, choice),
            f"{choice['weights']:,}",
            number(choice["cycles_per_vector"], 1),
            number(choice["energy_nj_per_vector"], 2),
            *(
                "" if choice["accuracy"] is None else _percent(choice["accuracy"][kind])
                for kind in ("pruned", "compressed")
            ),
        ]
        for choice in record["choices"]
    ]
    return TextTable(headings, cells, text={0})


def accuracies_record(
    records: Sequence[AccuracyRecord], left_out: Sequence[str], network: Network, config: Any
) -> Record:
    """Accuracy and cycles against density."""
    return {**_of(network, config), "left_out": list(left_out), "records": [record.to_dict() for record in records]}


def accuracies_table(record: Record) -> TextTable:
    """A row per pruned network; of cycles, those of the trained network."""
    headings = ["pattern", "schedule", "penalty", "asked", "weights\nkept", "density", "accuracy\nuntrained"]
    cells = [
        [
            one["pattern"],
            one["schedule"],
            one["regulariser"],
            _percent(one["asked"]),
            f"{one['kept']:,}",
            _percent(one["density"]),
            _percent(one["accuracy_untrained"]),
            _percent(one["accuracy"]),
            number(one["cost"], 1),
        ]
        for one in record["records"]
    ]
    rank = {"accuracy\ntrained": 1, "cycles/\nvector": 1, "asked": 3, "penalty": 3}
    return TextTable([*headings, "accuracy\ntrained", "cycles/\nvector"], cells, text={0, 1, 2}, rank=rank)


@drawing()
def draw_accuracies(records: Sequence[AccuracyRecord], path: Path, *, config_hash: str) -> None:
    """Draw accuracy against density, and beside it against cycles, as PNG or SVG. Raises InputError."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(PAGE, 4.2), layout="constrained")
    left, right = drawn.subplots(1, 2, sharey=True)
    figures.accuracy(records, left)
    figures.accuracy(records, right, against="cycles", config_hash=config_hash)
    right.set_ylabel("")
    if (twice := right.get_legend()) is not None:
        twice.remove()
    write_figure(drawn, path)


def _of(network: Network, config: Any) -> Record:
    """Provenance of figures that come without a run."""
    design = config.to_dict()
    return {
        "network": network.name,
        "source": network.source,
        "seed": network.seed,
        "unit": unit_of(config).name,
        "design": unit_of(config).describe(config),
        "config": design,
        "config_hash": config_hash(unit_of(config).name, design),
        "versions": versions(),
        **account_of(network, inputs_in_words(network)),
    }


def _provenance(record: Record) -> Record:
    names = ("network", "source", "chained", "seed", "unit", "design", "config", "config_hash", "versions")
    return {key: record[key] for key in (*names, "inputs", "not_simulated", "coverage")}


def _size(record: Record) -> Record:
    return {
        **({"shape": [record["n_out"], record["n_in"]]} if "n_out" in record else {}),
        "weights": record["n_weight"],
        "bits": record["storage"]["total_bits"],
        "cycles_per_vector": record["cycles_per_vector"]["mean"],
        "energy_nj_per_vector": record["energy"]["total_nj_per_vector"],
        "fits": record["fits"],
    }


def _shape(row: Record) -> str:
    if "shape" not in row["after"]:
        return ""
    old, new = ("x".join(map(str, row[when]["shape"])) for when in ("before", "after"))
    return new if old == new else f"{old} => {new}"


def _changes(row: Record) -> list[str]:
    old, new = row["before"], row["after"]
    mark = "" if new["fits"] else " !"
    return [
        f"{old['weights']:,} => {new['weights']:,}",
        f"{old['bits']:,} => {new['bits']:,}{mark}",
        " => ".join(number(one["cycles_per_vector"], 1) for one in (old, new)),
        " => ".join(number(one["energy_nj_per_vector"], 2) for one in (old, new)),
    ]


def _closing(record: Record, warnings: Sequence[str]) -> list[str]:
    return [*(f"warning: {text}" for text in warnings), verdict(verified=record["verified"], warnings=warnings)]


def _summed(sizes: Sequence[Sizes]) -> Record:
    """The layers together; ratios are of the sums."""
    each = [one.to_dict() for one in sizes]
    total: Record = {part: sum(one[part] or 0 for one in each) for part in each[0] if not part.endswith("_dense32")}
    entries = total["n_weight"] + total["n_filler"]
    return total | {
        "filler_share": total["n_filler"] / entries if entries else 0.0,
        "ratio_vs_dense32": total["dense32_bits"] / total["total_bits"],
        "huffman_ratio_vs_dense32": total["dense32_bits"] / total["huffman_total_bits"],
    }


def _percent(share: float) -> str:
    return percent(share, 2)
