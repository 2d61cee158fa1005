"""The EIE paper (Han et al., ISCA 2016) beside the simulator: Tables II, IV and V, Figs 6 and 7."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from eie_sim import tables
from eie_sim.energy import MODULES, EnergyReport, account, area
from eie_sim.errors import require, unknown
from eie_sim.result import SimResult
from eie_sim.validate.rows import CALIBRATED, DERIVED, VALIDATED, Comparison

LAYERS = tuple(row["layer"] for row in tables.rows("eie_table4"))
"""The nine layers, as the paper writes them; the presets' names are the same in lower case."""

MEASURED_LAYER = "Alex-7"
"""The layer whose activity the two chosen energies are set at."""

_MODULE_NOTES = {
    "act_queue": "register energy of another design; the queue's control has no energy of its own",
    "ptr_read": "CACTI's read energy as it is",
    "spmat_read": "CACTI's read energy times a factor chosen for this row",
    "arithm_unit": "half of the clock energy, whose size is chosen for the total and whose split is not known",
    "act_rw": "half of the clock energy, whose size is chosen for the total and whose split is not known",
}

_LAYER_NOTES = {
    "Alex-8": "published theoretical time is 1.19 times what Table III gives, 7.5 us, and 16 rows a PE need no padding",
    "VGG-6": "published theoretical time equals Alex-6's and does not follow from Table III, 14.7 us before padding",
    "NT-We": "600 rows leave 9 or 10 to a PE, so over a third of its items have no entry and still take a cycle",
}


FITTED = ("spmat_read", "arithm_unit", "act_rw", "total")
"""Rows of Table II that the two chosen energies are set at, or that carry half of one each."""

SAME_ACTIVITY = 0.05
"""Most that reads in a cycle differ, as a share, between layers that draw the same power by construction."""

ROUNDING = 0.02
"""Most that a printed bar may be off Table IV's own ratio without a word."""

TIMES, POWERS, SPEEDUPS, EFFICIENCIES, ENERGIES, DERIVATIONS = (
    "EIE times",
    "EIE power",
    "EIE speedup over CPU",
    "EIE energy efficiency over CPU",
    "EIE energy per layer",
    "EIE arithmetic",
)
"""Groups of rows."""


class LayerResult(NamedTuple):
    """A simulated layer, and what its weights and activations were, in words."""

    result: SimResult
    inputs: str


def simulate_layers(names: Iterable[str] = LAYERS, *, seed: int = 0) -> dict[str, LayerResult]:
    """Simulate layers of the paper at its design: 64 PEs, queue depth 8, 800 MHz.

    names : of `LAYERS`; seed : of the synthetic weights and activations

    Raises InputError for a layer the paper does not have.
    """
    return {name: _simulate_layer(name, seed) for name in names}


def energy_table2(layers: Mapping[str, LayerResult] | None = None, *, seed: int = 0) -> list[Comparison]:
    """Power of one PE (mW): Table II's modules and total at Alex-7, then each other layer beside the same total.

    layers : from `simulate_layers`, Alex-7 among them; all nine are simulated when left out

    The paper uses one power for all layers. Raises InputError without Alex-7.
    """
    layers = simulate_layers(seed=seed) if layers is None else layers
    require(MEASURED_LAYER in layers, "layers", ", ".join(layers), f"must include {MEASURED_LAYER}")
    measured = layers[MEASURED_LAYER]
    others = {name: layer for name, layer in layers.items() if name != MEASURED_LAYER}
    return [*_modules(measured), *(_layer_power(name, layer, measured.result) for name, layer in others.items())]


def eie_times(layers: Mapping[str, LayerResult] | None = None, *, seed: int = 0) -> list[Comparison]:
    """Theoretical and actual time (us) of each layer beside Table IV.

    layers : from `simulate_layers`; all nine are simulated when left out

    The theoretical time is that of all entries, padding included, spread evenly over the PEs, one per cycle.
    """
    layers = simulate_layers(seed=seed) if layers is None else layers
    published = {row["layer"]: row for row in tables.rows("eie_table4")}
    return [
        _time(name, layer, quantity, float(published[name][f"{quantity}_us"]), time_us)
        for name, layer in layers.items()
        for quantity, time_us in (("theoretical", _theoretical_us(layer.result)), ("actual", layer.result.time_us))
    ]


def bars(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """EIE's bars of Figs 6 and 7 from simulated times: speedup and energy efficiency over the CPU, dense, batch 1.

    The CPU's time is Table IV's. Its power is not printed for each layer: the ratio of powers is that of the two bars,
    so that what Fig. 7 adds to Fig. 6 is arithmetic.
    """
    return [
        row for bar in tables.rows("eie_bars") if bar["layer"] in layers for row in _bars(bar, layers[bar["layer"]])
    ]


def _bars(bar: Mapping[str, str], layer: LayerResult) -> Iterator[Comparison]:
    name, cpu_us = bar["layer"], float(bar["cpu_dense_us"])
    printed = {quantity: float(bar[quantity]) for quantity in ("speedup", "energy_efficiency")}
    speedup = cpu_us / layer.result.time_us
    table_us = next(float(row["actual_us"]) for row in tables.rows("eie_table4") if row["layer"] == name)
    note = "the CPU's time is Table IV's"
    if abs(cpu_us / table_us / printed["speedup"] - 1) > ROUNDING:
        note += f"; Table IV's own times give {cpu_us / table_us:.1f}, not the {printed['speedup']:g} that is printed"
    yield _compared(
        layer, note, group=SPEEDUPS, source="Fig. 6", row=name, quantity="speedup", unit="x",
        published=printed["speedup"], simulated=speedup,
    )  # fmt: skip
    power_ratio = printed["energy_efficiency"] / printed["speedup"]
    yield Comparison(
        group=EFFICIENCIES, source="Fig. 7", row=name, quantity="energy efficiency", unit="x", kind=DERIVED,
        published=printed["energy_efficiency"], simulated=speedup * power_ratio,
        inputs=layer.inputs, fits=layer.result.fits,
        note="speedup times the ratio of powers that the bars of Figs 6 and 7 imply",
    )  # fmt: skip


def layer_energies(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """Energy of each layer beside the paper's: its time times its one power."""
    published_us = {row["layer"]: float(row["actual_us"]) for row in tables.rows("eie_table4")}
    watts = 64 * _published_total_mw() / 1e3
    note = "published: time of the layer times the one power of 64 PEs; simulated: counts times energies"
    return [
        _compared(
            layer, note, group=ENERGIES, source="Tables II, IV", row=name, quantity="energy", unit="uJ",
            published=published_us[name] * watts, simulated=account(layer.result).total_pj / 1e6,
        )
        for name, layer in layers.items()
    ]  # fmt: skip


def derived(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """What the paper computes from other figures of its own, computed from ours: area, power, peak, frame rates."""
    layer = layers[MEASURED_LAYER]
    config, watts = layer.result.config, account(layer.result).power_mw / 1e3
    frames, mm2 = 1e6 / layer.result.time_us, area(config).total_mm2
    found = {
        "area of 64 PEs": (mm2, "64 times the PE of Table II, as the simulator's area is at the default design"),
        "power of 64 PEs": (watts, f"64 times the simulated power of a PE at {MEASURED_LAYER}"),
        "peak throughput": (config.peak_gops, "64 PEs x 800 MHz x 2 operations"),
        "frame rate": (frames, f"one over the simulated time of {MEASURED_LAYER}"),
        "area efficiency": (frames / mm2, "the frame rate over the area"),
        "energy efficiency": (frames / watts, "the frame rate over the power"),
    }
    return [
        Comparison(
            group=DERIVATIONS,
            source=row["source"],
            row=row["item"],
            quantity="arithmetic",
            unit=row["unit"],
            published=float(row["value"]),
            simulated=found[row["item"]][0],
            kind=DERIVED,
            inputs=layer.inputs,
            note=found[row["item"]][1],
        )
        for row in tables.rows("eie_derived")
    ]


def _simulate_layer(name: str, seed: int) -> LayerResult:
    # loaded here, because they bring numba and this module's tables do not need it
    from eie_sim import workload
    from eie_sim.engine import simulate
    from eie_sim.units.eie.config import EieConfig
    from eie_sim.units.eie.matrix import EieMatrix

    if name not in LAYERS:
        raise unknown("layer", name, LAYERS)
    config = EieConfig()
    layer = workload.load(name.lower(), seed=seed).layers[0]
    matrix = EieMatrix.from_dense(layer.weights, n_pe=config.n_pe)
    inputs = f"weights {layer.weights_source}; activations {layer.activations_source}"
    return LayerResult(simulate(matrix, layer.activations, config), inputs)


def _modules(layer: LayerResult) -> Iterator[Comparison]:
    published_mw = {row["item"]: row["power_mw"] for row in tables.rows("eie_table2")}
    report = account(layer.result)
    for module, note in _MODULE_NOTES.items():
        power_mw = _per_pe_mw(report, report.by_component[module])
        kind = CALIBRATED if module in FITTED else VALIDATED
        yield _power(module, layer, float(published_mw[MODULES[module]]), power_mw, note, kind=kind)
    leakage_mw = _per_pe_mw(report, report.leakage_pj)
    note = f"{leakage_mw:.2f} mW of leakage included; two energies of the table are chosen for this row"
    yield _power("total", layer, _published_total_mw(), report.power_mw_per_pe, note, kind=CALIBRATED)


def _layer_power(name: str, layer: LayerResult, measured: SimResult) -> Comparison:
    """A layer beside the one published power, and the activity that sets it apart."""
    reads = {event: _per_pe_cycle(layer.result, event) for event in ("pointer_reads", "spmat_reads")}
    there = {event: _per_pe_cycle(measured, event) for event in reads}
    note = (
        f"per PE and cycle {reads['pointer_reads']:.2f} pointer and {reads['spmat_reads']:.2f} Spmat reads, at "
        f"{MEASURED_LAYER} {there['pointer_reads']:.2f} and {there['spmat_reads']:.2f}; "
    )
    if all(abs(reads[event] / there[event] - 1) <= SAME_ACTIVITY for event in reads):
        note += "the energies are set at this activity, so that it could hardly miss"
    else:
        note += f"the paper has one power for all layers; {_most_apart(layer.result, measured)}"
    return _power(
        name, layer, _published_total_mw(), account(layer.result).power_mw_per_pe, note,
        source="Table II, one power for all layers",
    )  # fmt: skip


def _most_apart(result: SimResult, measured: SimResult) -> str:
    """The module whose power is furthest from what it is at the measured layer, in words."""
    here, there = (
        {module: _per_pe_mw(report, energy_pj) for module, energy_pj in report.by_component.items()}
        for report in (account(result), account(measured))
    )
    module = max(here, key=lambda name: abs(here[name] - there[name]))
    return f"{module} draws {here[module]:.2f} mW, at {MEASURED_LAYER} {there[module]:.2f}"


def _power(
    row: str, layer: LayerResult, published_mw: float, simulated_mw: float, note: str, **others: str
) -> Comparison:
    figures = {"source": f"Table II, at {MEASURED_LAYER}"} | others
    return _compared(
        layer, note, group=POWERS, row=row, quantity="power per PE", unit="mW",
        published=published_mw, simulated=simulated_mw, **figures,
    )  # fmt: skip


def _time(name: str, layer: LayerResult, quantity: str, published_us: float, simulated_us: float) -> Comparison:
    note = "independent weights; trained ones balance 1 to 6 points worse"
    if name in _LAYER_NOTES:
        note += f"; {_LAYER_NOTES[name]}"
    return _compared(
        layer, note, group=TIMES, source="Table IV", row=name, quantity=f"{quantity} time", unit="us",
        published=published_us, simulated=simulated_us,
    )  # fmt: skip


def _compared(layer: LayerResult, note: str, **figures: Any) -> Comparison:
    """A figure of a layer, whose note says which memories do not hold it. figures : other fields of a Comparison."""
    result = layer.result
    if tight := ", ".join(memory.memory for memory in result.memories if not memory.fits):
        note += f"; does not fit {tight}, {result.passes} passes"
    return Comparison(inputs=layer.inputs, fits=result.fits, note=note, **figures)


def _published_total_mw() -> float:
    return next(float(row["power_mw"]) for row in tables.rows("eie_table2") if row["group"] == "total")


def _theoretical_us(result: SimResult) -> float:
    return result.stats["events"]["codebook_reads"] / result.n_unit / float(result.config.clock_mhz)


def _per_pe_cycle(result: SimResult, event: str) -> float:
    pe_cycles = result.cycles * result.n_unit
    return result.stats["events"][event] / pe_cycles if pe_cycles else 0.0


def _per_pe_mw(report: EnergyReport, energy_pj: float) -> float:
    return energy_pj / report.time_us / report.n_pe / 1e3 if report.time_us else 0.0
