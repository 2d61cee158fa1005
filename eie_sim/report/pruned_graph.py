"""A pruned graph of operators as plain data and as tables: parameters, and products before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eie_sim.core.arrays import shown
from eie_sim.core.numbers import number, percent
from eie_sim.network.graph import Graph
from eie_sim.prune import Selection
from eie_sim.prune.permuting import Reordered
from eie_sim.prune.recipe import Recipe
from eie_sim.report import graph
from eie_sim.report.network import Record, decibels, not_simulated, verdict
from eie_sim.report.pruning import accuracy_lines
from eie_sim.report.text import TextTable
from eie_sim.runs import Run

SHARED = ("network", "source", "chained", "seed", "unit", "design", "config", "config_hash", "versions", "inputs")


def pruned_graph_record(
    masked: Graph,
    before: Run,
    after: Run,
    kept: Selection,
    recipe: Recipe,
    off: Mapping[str, float | None],
    order: Reordered | None = None,
) -> Record:
    """Parameters of a pruned graph, and its products before and after, both compressed and simulated.

    off : distance of the float outputs to those before pruning, by name of output
    order : of channels, where they were permuted first
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
        **changes(old, new, off),
        **({} if order is None else {"permuted": _permuted(order)}),
    }


def _permuted(order: Reordered) -> Record:
    kept = [{"group": name, "before": was, "after": now} for name, (was, now) in order.kept.items()]
    return {"groups": kept, "left": dict(order.left)}


def changes(old: Record, new: Record, off: Mapping[str, float | None]) -> Record:
    """Products of two runs by name, before and after, None where a network has none of it; then what is of all.

    off : distance of the float outputs to those before, by name of output
    """
    before, after = ({one["name"]: one for one in record["layers"]} for record in (old, new))
    return {
        "layers": [
            {
                **{of: (after.get(name) or before[name])[of] for of in ("name", "kind", "weights", "inputs")},
                "before": costs(before[name]) if name in before else None,
                "after": costs(after[name]) if name in after else None,
            }
            for name in {**before, **after}
        ],
        "total": {"before": costs(old["total"]), "after": costs(new["total"])},
        "accuracy": {"before": old["accuracy"], "after": new["accuracy"]},
        "outputs_off": dict(off),
        "end_to_end_error": {"before": old["end_to_end_error"], "after": new["end_to_end_error"]},
        "differs": [*old["differs"], *new["differs"]],
        "verified": old["verified"] and new["verified"],
    }


def costs(record: Record) -> Record:
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
    return [*found, *changes_table(record)]


def changes_table(record: Record) -> list[TextTable | str]:
    """A row per product and one for the network, before => after, and a line of those that have none."""
    layers, more = graph.largest(record["layers"], lambda one: (one["before"] or one["after"])["cycles"])
    headings = ["product", "out x in", "vectors", "weights and biases", "compressed bits", "cycles", "energy uJ"]
    cells = [[one["name"], *_changes(one)] for one in [*layers, {"name": "network", **record["total"]}]]
    sampled = f"; sampled {graph.sample(record['total']['after'])}" if "sampled" in record["total"]["after"] else ""
    title = f"Before => after, all vectors together, one product after the other{graph.covers(record)}{sampled}"
    rank = {"cycles": 1, "energy uJ": 1, "out x in": 3, "vectors": 3}
    return [TextTable(headings, cells, text={0}, title=title, rank=rank), *([more] if more else [])]


def _changes(row: Record) -> list[str]:
    both = row["before"], row["after"]
    sides = ["-" if one is None else "x".join(map(str, one.get("shape", []))) for one in both]
    new = row["after"] or row["before"]
    mark = "" if new["fits"] else " !"
    figures = [("" if one is None else f"{one[of]:,}" for one in both) for of in ("weights", "bits", "cycles")] + [
        ("" if one is None else number(one["energy_nj"] / 1e3, 3) for one in both)
    ]
    weights, bits, cycles, energy = (" => ".join(said or "-" for said in pair) for pair in figures)
    return [
        sides[1] if sides[0] == sides[1] else " => ".join(sides),
        "" if not sides[1] else f"sampled {graph.sample(new)}" if "sampled" in new else f"{new['vectors']:,}",
        weights,
        f"{bits}{mark}",
        cycles,
        energy,
    ]


def pruned_graph_lines(record: Record) -> list[str]:
    """Counts, how far outputs are from those before, what is left to the host, warnings."""
    recipe = record["recipe"]
    return [
        f"{record['network']}: {record['source']}",
        f"{recipe['pattern']}, {recipe['criterion']}, {recipe['scope']}; "
        f"{record['kept']:,} of {record['total_weights']:,} weights kept, {percent(record['achieved'], 2)}",
        *_permuted_lines(record),
        *ending(record),
    ]


def _permuted_lines(record: Record) -> list[str]:
    if "permuted" not in record:
        return []
    groups, left = record["permuted"]["groups"], record["permuted"]["left"]
    kept = [sum(one[when] for one in groups) for when in ("before", "after")]
    gain = percent(kept[1] / kept[0] - 1, 2) if kept[0] else "none"
    return [
        f"permuted: channels of groups in another order, {len(groups)} of them; {record['recipe']['pattern']} keeps "
        f"{kept[0]:,.1f} => {kept[1]:,.1f} of |w| of their readers ({gain} more); outputs are the same",
        *(f"not permuted: {name}: {reason}" for name, reason in left.items()),
    ]


def ending(record: Record) -> list[str]:
    """Lines that follow what was pruned: design, distances, accuracy, what is left to the host, whether verified."""
    errors = (record["end_to_end_error"][when] for when in ("before", "after"))
    said = " => ".join("-" if error is None else percent(error, 2) for error in errors)
    return [
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
