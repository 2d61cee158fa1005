"""A pruned graph of operators as plain data and as tables: parameters, and products before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eie_sim.core.arrays import shown
from eie_sim.core.numbers import number, percent
from eie_sim.network.graph import Graph
from eie_sim.prune import Selection
from eie_sim.prune.recipe import Recipe
from eie_sim.report import graph
from eie_sim.report.network import Record, decibels, not_simulated, verdict
from eie_sim.report.pruning import accuracy_lines
from eie_sim.report.text import TextTable
from eie_sim.runs import Run

SHARED = ("network", "source", "chained", "seed", "unit", "design", "config", "config_hash", "versions", "inputs")


def pruned_graph_record(
    masked: Graph, before: Run, after: Run, kept: Selection, recipe: Recipe, off: Mapping[str, float | None]
) -> Record:
    """Parameters of a pruned graph, and its products before and after, both compressed and simulated.

    off : distance of the float outputs to those before pruning, by name of output
    """
    old, new = before.to_dict(), after.to_dict()
    return {
        **{name: old[name] for name in (*SHARED, "not_simulated", "coverage")},
        "notes": list(masked.notes),
        "recipe": recipe.to_dict(),
        "asked": kept.asked,
        "achieved": kept.achieved,
        "kept": kept.kept,
        "total_weights": kept.total,
        "warnings": [*kept.warnings, *new["warnings"]],
        "parameters": [
            {
                "name": name,
                "shape": list(one.mask.shape),
                "asked": one.asked,
                "achieved": one.achieved,
                "kept": one.kept,
                "total": one.total,
            }
            for name, one in kept.layers.items()
        ],
        "layers": [
            {
                "name": now["name"],
                "kind": now["kind"],
                "weights": now["weights"],
                "inputs": now["inputs"],
                "before": _costs(was),
                "after": _costs(now),
            }
            for was, now in zip(old["layers"], new["layers"], strict=True)
        ],
        "total": {"before": _costs(old["total"]), "after": _costs(new["total"])},
        "accuracy": {"before": old["accuracy"], "after": new["accuracy"]},
        "outputs_off": dict(off),
        "end_to_end_error": {"before": old["end_to_end_error"], "after": new["end_to_end_error"]},
        "differs": [*old["differs"], *new["differs"]],
        "verified": old["verified"] and new["verified"],
    }


def _costs(record: Record) -> Record:
    """Return the costs of all vectors together."""
    return {
        **({"shape": [record["n_out"], record["n_in"]]} if "n_out" in record else {}),
        "vectors": record["n_vector"],
        "weights": record["n_weight"],
        "bits": record["storage"]["total_bits"],
        "cycles": record["cycles"],
        "energy_nj": record["energy"]["total_pj"] / 1e3,
        "fits": record["fits"],
        **({"sampled": record["sampled"]} if "sampled" in record else {}),
    }


def pruned_graph_tables(record: Record) -> list[TextTable | str]:
    """Return a table of what is kept of each parameter, then one of products and the network, before => after."""
    parameters, more = graph.largest(record["parameters"], lambda one: one["total"])
    cells = [
        [
            shown(one["name"]),
            "x".join(map(str, one["shape"])),
            *(percent(one[which], 2) for which in ("asked", "achieved")),
            *(f"{one[which]:,}" for which in ("kept", "total")),
        ]
        for one in [*parameters, {**record, "name": "network", "shape": [], "total": record["total_weights"]}]
    ]
    found: list[TextTable | str] = [
        TextTable(
            ["parameter", "shape", "asked", "kept", "weights kept", "weights"],
            cells,
            text={0},
            title="Parameters",
        ),
        *([more] if more else []),
        "",
    ]
    layers, more = graph.largest(record["layers"], lambda one: one["before"]["cycles"])
    headings = ["product", "out x in", "vectors", "weights and biases", "compressed bits", "cycles", "energy uJ"]
    cells = [[one["name"], *_changes(one)] for one in [*layers, {"name": "network", **record["total"]}]]
    sampled = f"; sampled {graph.sample(record['total']['after'])}" if "sampled" in record["total"]["after"] else ""
    title = f"Before => after, all vectors together, one product after the other{graph.covers(record)}{sampled}"
    rank = {"cycles": 1, "energy uJ": 1, "out x in": 3, "vectors": 3}
    return [*found, TextTable(headings, cells, text={0}, title=title, rank=rank), *([more] if more else [])]


def _changes(row: Record) -> list[str]:
    old, new = row["before"], row["after"]
    shapes = ["x".join(map(str, one.get("shape", []))) for one in (old, new)]
    mark = "" if new["fits"] else " !"
    return [
        shapes[1] if shapes[0] == shapes[1] else " => ".join(shapes),
        "" if not shapes[1] else f"sampled {graph.sample(new)}" if "sampled" in new else f"{new['vectors']:,}",
        f"{old['weights']:,} => {new['weights']:,}",
        f"{old['bits']:,} => {new['bits']:,}{mark}",
        f"{old['cycles']:,} => {new['cycles']:,}",
        f"{number(old['energy_nj'] / 1e3, 3)} => {number(new['energy_nj'] / 1e3, 3)}",
    ]


def pruned_graph_lines(record: Record) -> list[str]:
    """Counts, how far outputs are from those before, what is left to the host, warnings."""
    recipe = record["recipe"]
    errors = {when: record["end_to_end_error"][when] for when in ("before", "after")}
    said = " => ".join("-" if error is None else percent(error, 2) for error in errors.values())
    return [
        f"{record['network']}: {record['source']}",
        f"{recipe['pattern']}, {recipe['criterion']}, {recipe['scope']}; "
        f"{record['kept']:,} of {record['total_weights']:,} weights kept, {percent(record['achieved'], 2)}",
        f"design: {record['design']}",
        *record["notes"],
        *(_off(name, error) for name, error in record["outputs_off"].items()),
        f"compressed and simulated, outputs {said} off those in floats",
        *accuracy_lines(record["accuracy"], "labelled inputs"),
        *not_simulated({**record, "graph": {}}),
        *(f"warning: {text}" for text in record["warnings"]),
        *(f"differs: {text}" for text in record["differs"]),
        verdict(verified=record["verified"], warnings=record["warnings"]),
    ]


def _off(name: str, error: Any) -> str:
    if error is None:
        return f"output {shown(name)}: not compared with that before pruning"
    return f"output {shown(name)}: {percent(error, 2)} off that before pruning (rms, in floats, {decibels(error)} dB)"
