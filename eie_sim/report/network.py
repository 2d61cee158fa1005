"""A network run in words and columns, made from its record: what its text tables and its page have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10
from typing import Any, NamedTuple

from eie_sim.core.errors import few
from eie_sim.core.numbers import number, percent, share, to
from eie_sim.energy.table import given_lines
from eie_sim.units import unit_named

Record = dict[str, Any]


class Column(NamedTuple):
    """A heading with its unit, what a layer's (or the total's) record has in it, and how that reads.

    value : a number of the record, several of them in a list, or text; KeyError where the total has none
    rank : how soon it goes where a terminal is too narrow, those of 1 last
    """

    heading: str
    value: Callable[[Record], Any]
    form: Callable[[Any], str] = str
    rank: int = 2

    def cell(self, record: Record) -> str:
        """The value as people read it."""
        return self.form(self.value(record))


class Section(NamedTuple):
    """A table of layers; with_total : whether a row for all of them makes sense."""

    title: str
    columns: list[Column]
    with_total: bool


def opening(record: Record) -> list[str]:
    """Return the first lines of a run: network, design, engine, sources of weights and inputs."""
    weights = "synthetic weights; " if record["synthetic"] else ""
    lines = [
        f"{record['network']}: {record['source']}",
        f"design: {record['design']}",
        f"{weights}engine {record['engine']}; seed {record['seed']}; config {record['config_hash']}",
    ]
    lines += given_lines(record["energy_table"])
    return [*lines, *source_lines(record), *not_simulated(record)]


def source_lines(record: Record) -> list[str]:
    """Return the sources of the weights and inputs of each layer, a line each."""
    return [f"{weights_line(layer['name'], layer['weights'])}; inputs {layer['inputs']}" for layer in record["layers"]]


def weights_line(name: str, source: str) -> str:
    """Return the source of a layer's weights; the layer itself may be called weights, as in a file of one matrix."""
    return f"{name}: {source}" if name == "weights" else f"{name}: weights {source}"


MOST_NAMES = 8
"""Most names of layers or arrays in one line."""


def account_lines(record: Record) -> list[str]:
    """Return the sources of the layers' inputs, equal ones in one line, and what of the file is not simulated."""
    layers: dict[str, list[str]] = {}
    for name, words in record["inputs"].items():
        layers.setdefault(words, []).append(name)
    return [
        *(f"inputs of {few(names, MOST_NAMES)}: {words}" for words, names in layers.items()),
        *not_simulated(record),
    ]


def not_simulated(record: Record) -> list[str]:
    """One line of what of the file is not simulated, and its share of the weights; none where nothing is left."""
    others, counts = [f"{one['name']} ({one['reason']})" for one in record["not_simulated"]], record["coverage"]
    if not others:
        return []
    said = [f"{len(others)} array{'s' if len(others) > 1 else ''}"]
    if "graph" in record:
        said = [f"{percent(counts['share_of_macs_not_simulated'])} of MACs"]
    elif counts is not None:
        unknown, looked_up = counts["arrays_not_counted"], counts["numbers_looked_up"]
        said.append(f"{'at least ' if unknown else ''}{percent(counts['share_not_simulated'], 2)} of the weights")
        said += ["of MACs an unknown share"] if counts["share_of_macs_not_simulated"] is None else []
        said += [f"weights of {unknown} not counted"] if unknown else []
        said += [f"{looked_up:,} numbers looked up in embeddings"] if looked_up else []
    return [f"not simulated: {', '.join(said)}: {few(others, MOST_NAMES, ' (--json has all)')}"]


def total_name(record: Record) -> str:
    """Return the name of the row of all layers: layers that are neither chain nor graph are no network."""
    return "network" if record["chained"] or "graph" in record else "all layers"


def sections(record: Record) -> dict[str, Section]:
    """The tables of a run, in order."""
    unit, layers = unit_named(record["unit"]), record["layers"]
    bias = "MACs of the bias included" if unit.takes_bias else "the bias is added outside the unit"
    scales = unit.words.scales if layers[0]["scales"] else ""
    return {
        "cycles": Section("Cycles per vector", CYCLES, True),
        **({"named": Section("What the unit chose and found", named(layers), False)} if layers[0]["named"] else {}),
        "classes": Section(f"{unit.words.cycles} by class, % (add to 100)", classes(record), True),
        "throughput": Section(f"Throughput, GOP/s (1 MAC = 2 operations; {bias})", THROUGHPUT, True),
        "energy": Section("Energy per vector, nJ, by component", energy(record), True),
        "storage": storage(record),
        **({"memories": Section(MEMORIES, on_chip(record), False)} if layers[0]["memories"] else {}),
        "verification": Section("Verification against the golden product", verification(scales), False),
        "fidelity": Section(
            "Error against the float product of the layer's own weights (rms)", fidelity_of(unit.words.stored), False
        ),
    }


WORTH = 0.95
"""Cycles x energy, of those of the run, below which another design is worth a try."""

MEMORIES = "On chip: needed / available on the fullest PE"


def has_total(record: Record) -> bool:
    """True if the layers add up: there are several, and they ran the same number of vectors."""
    return len(record["layers"]) > 1 and len({layer["n_vector"] for layer in record["layers"]}) == 1


def closing(record: Record) -> list[str]:
    """Accuracy, error end to end, what the outputs are not worth, and `verified` or what differs."""
    lines = [f"! {line}" for line in misfits(record)]
    lines += fidelity(record)
    lines += [f"warning: {text}" for text in record["warnings"]]
    lines += [f"differs: {text}" for text in record["differs"]]
    sample = record["total"].get("sampled")
    lines.append(verdict(verified=record["verified"], warnings=record["warnings"], sample=sample))
    return lines


def limit(record: Record) -> list[str]:
    """Return the last line: what limits the run, and what the best of the designs that were timed would take."""
    found = record.get("limit")
    if found is None or not record["verified"]:
        return []
    shown = [
        f"{one['option']} would take {one['cycles_ratio']:.2g} x the cycles and {one['energy_ratio']:.2g} x the energy"
        for one in found["tried"]
    ]
    better = [one["cycles_ratio"] * one["energy_ratio"] / one["times"] ** 2 < WORTH for one in found["tried"]]
    if not shown:
        return [str(found["said"])]
    if better[0]:
        return [f"{found['said']}: {shown[0]}"]
    return [f"{found['said']}; no better: {', '.join(shown)}"]


def hints(record: Record) -> list[str]:
    """Return options that bring the run nearer to the user's network."""
    drawn = [one["name"] for one in record["layers"] if one["inputs"].startswith("drawn")]
    lines = unit_named(record["unit"]).advice(record)
    if drawn:
        whose = f"inputs of {few(drawn)}" if len(record["layers"]) > 1 else "the inputs"
        lines.append(f"{whose} are drawn, all active: give --activations, or --activation-density")
    return lines


def verdict(*, verified: bool, warnings: Sequence[str], sample: Record | None = None) -> str:
    """The last line: whether all is as the golden product has it, and whether there is more to say.

    sample : how many positions were checked, of how many, where those are not all
    """
    if not verified:
        return "NOT VERIFIED"
    done = "verified" if sample is None else f"checked {sample['positions']:,} of {sample['of']:,} positions"
    return f"{done}, but {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else done


def fidelity(record: Record) -> list[str]:
    """Accuracy and error end to end, where the network has them."""
    error = record["end_to_end_error"]
    lines = [] if record["accuracy"] is None else [accuracy(record)]
    if error is not None:
        off = f"{percent(error, 2)} off those of the float network (signal to noise {decibels(error)} dB)"
        lines.append(f"end to end: outputs are {off}")
    return lines


def misfits(record: Record) -> list[str]:
    """Layers that do not fit the PEs, and why."""
    lines = []
    for layer in (layer for layer in record["layers"] if not layer["fits"]):
        unfit = [one for one in layer["memories"] if not one["fits"]]
        needs = [f"{one['memory']} needs {one['needed']:,} of {one['available']:,} {one['unit']}" for one in unfit]
        passes = f"{layer['passes']} passes, whose cost no cycle contains"
        lines.append(f"{layer['name']} does not fit: {', '.join(needs)}; {passes}")
    return lines


def accuracy(record: Record) -> str:
    """Accuracy of a network that has labelled inputs, before and after."""
    shares = record["accuracy"]
    of_graph = "graph" in record  # whose own weights are not known to be pruned, nor its inputs to be held back
    floats = [] if shares["dense"] is None else [f"float {100 * shares['dense']:.2f} %"]
    floats.append(f"{'pruned' if floats or not of_graph else 'float'} {100 * shares['pruned']:.2f} %")
    return (
        f"accuracy on {shares['images']} {'labelled inputs' if of_graph else 'held-back images'}: {', '.join(floats)}, "
        f"compressed and simulated {100 * shares['compressed']:.2f} %"
    )


def decibels(error: float | None) -> str:
    """Signal to noise of a relative error, 20 log10 of its inverse; nothing where there is no error, or no signal."""
    return number(round(-20 * log10(error), 1), 1) if error else "-"


def per_vector(record: Record, figure: float) -> float:
    """A figure of all vectors of a layer, for one of them."""
    return figure / max(int(record["n_vector"]), 1)


WEIGHTS = Column("weights\nnon-zero", lambda r: "-" if r["weight_density"] is None else r["weight_density"], share)
CYCLES = [
    Column("out x in", lambda r: [r["n_out"], r["n_in"]], lambda sides: "{}x{}".format(*sides)),
    WEIGHTS,
    Column("inputs\nactive", lambda r: r["activation_density"], percent),
    Column("vectors", lambda r: r["n_vector"], rank=3),
    Column("cycles", lambda r: r["cycles_per_vector"]["mean"], to(1), rank=1),
    Column(
        "min-max",
        lambda r: [r["cycles_per_vector"]["min"], r["cycles_per_vector"]["max"]],
        lambda ends: "" if None in ends else "{:,}-{:,}".format(*ends),
    ),
    Column("time us", lambda r: r["time_us_per_vector"], to(3)),
    Column("utilisation", lambda r: r["utilisation"], percent),
    Column("load\nbalance", lambda r: r["load_balance"], percent),
]

THROUGHPUT = [
    Column("effectual\nMACs/vector", lambda r: per_vector(r, r["effectual_macs"]), to(1)),
    Column("dense\nMACs/vector", lambda r: per_vector(r, r["dense_macs"]), "{:,.0f}".format),
    Column("effective\n(effectual MACs)", lambda r: r["effective_gops"], to(2)),
    Column("dense-equivalent\n(dense MACs)", lambda r: r["dense_equivalent_gops"], to(2)),
]


def classes(record: Record) -> list[Column]:
    """A column per cycle class."""

    def share(name: str) -> Column:
        return Column(name, lambda r: r["classes_percent"][name], to(1))

    return [share(name) for name in record["layers"][0]["classes_percent"]]


def named(layers: Sequence[Record]) -> list[Column]:
    """A column per choice and finding of the unit."""

    def column(name: str) -> Column:
        return Column(name.replace("_", " "), lambda r: r["named"][name], _chosen)

    return [column(name) for name in layers[0]["named"]]


def _chosen(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def energy(record: Record) -> list[Column]:
    """A column per component that took some, the total, and per effectual MAC."""

    def component(name: str) -> Column:
        return Column(name, lambda r: per_vector(r, r["energy"]["by_component_pj"][name] / 1e3), to(3))

    def per_mac(layer: Record) -> Any:
        return layer["energy"]["pj_per_effectual_mac"] if layer["effectual_macs"] else "-"

    per_lane = f"mW/{unit_named(record['unit']).words.lane}"
    return [
        *(component(name) for name, pj in record["total"]["energy"]["by_component_pj"].items() if pj),
        Column("total nJ", lambda r: r["energy"]["total_nj_per_vector"], to(3), 1),
        Column("pJ per\neffectual MAC", per_mac, to(2)),
        Column(per_lane, lambda r: r["energy"]["power_mw_per_pe"], to(2)),
    ]


def on_chip(record: Record) -> list[Column]:
    """A column per memory, and whether the layer fits."""

    def memory(at: int, name: str, unit: str) -> Column:
        sides = ("needed", "available")
        return Column(f"{name}\n{unit}", lambda r: [r["memories"][at][side] for side in sides], _needed)

    memories = record["layers"][0]["memories"]
    columns = [memory(at, one["memory"], one["unit"]) for at, one in enumerate(memories)]
    return [*columns, Column("fits", lambda r: "yes" if r["fits"] else f"no: {r['passes']} passes", rank=1)]


def _needed(memory: list[int]) -> str:
    needed, available = memory
    return f"{needed:,}/{available:,}" + ("" if needed <= available else " !")


def storage(record: Record) -> Section:
    """A column per part of the unit's format, and how the whole compares with dense weights."""
    bias = "bias included, in dense too" if unit_named(record["unit"]).takes_bias else "the bias in neither"

    def share(part: str) -> Column:
        return Column(f"{part}\n%", lambda r: r["storage"]["percent"][part], to(1))

    def smaller(bits: int, rank: int) -> Column:
        heading = f"times smaller\nthan {bits}-bit dense"
        return Column(heading, lambda r: r["storage"][f"compression_vs_dense{bits}"], to(2), rank)

    total = Column("total\nbits", lambda r: r["storage"]["total_bits"], "{:,}".format, 1)
    return Section(
        f"Storage of the compressed weights (shares add to 100 %; {bias})",
        [total, *map(share, record["total"]["storage"]["bits"]), smaller(32, 3), smaller(16, 1)],
        True,
    )


def verification(scales: str) -> list[Column]:
    """Return the table of what was compared and what differs. scales : heading of the layers' scales, empty for none"""
    shown = Column(scales, lambda r: list(r["scales"].values()), lambda each: " / ".join(f"{one:.4g}" for one in each))
    return [*VERIFICATION[:3], *([shown] if scales else []), *VERIFICATION[3:]]


VERIFICATION = [
    Column("wrong\nweights", lambda r: r["verification"]["wrong_weights"], "{:,}".format),
    Column("wrong\ninputs", lambda r: r["verification"]["wrong_inputs"], "{:,}".format),
    Column(
        "wrong\noutputs",
        lambda r: [r["verification"]["wrong_outputs"], r["verification"]["outputs"]],
        lambda counts: "{:,} of {:,}".format(*counts),
    ),
    Column("saturated", lambda r: r["verification"]["saturated"], "{:,}".format),
    Column("distance\nfrom float", lambda r: r["verification"]["error"], "{:.2e}".format),
    Column("derived\nbound", lambda r: r["verification"]["bound"], "{:.2e}".format),
    Column("", lambda r: "verified" if r["verification"]["ok"] else "DIFFERS", rank=1),
]


def _part(heading: str, name: str) -> Column:
    return Column(heading, lambda r: r["verification"][name], lambda e: "-" if e is None else percent(e, 2))


def _part_of(heading: str, name: str, whole: str = "outputs") -> Column:
    return Column(heading, lambda r: r["verification"][name] / max(r["verification"][whole], 1), percent)


def fidelity_of(stored: str) -> list[Column]:
    """Return the table of the outputs' distance from floats, by cause. stored : what weights are rounded to"""
    return [
        _part("error", "relative_error"),
        Column("signal to\nnoise dB", lambda r: r["verification"]["relative_error"], decibels),
        _part(f"of the\n{stored}", "stored_error"),
        _part("of\nrounding", "rounding_error"),
        _part_of("inputs\nsaturated", "saturated_inputs", "inputs"),
        _part_of("outputs\nsaturated", "saturated"),
        _part_of("outputs\nfallen to 0", "zeroed"),
    ]
