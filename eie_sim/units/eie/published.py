"""The paper (Han et al., ISCA 2016) beside the simulator: Tables II, IV and V, Figs 6 and 7."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from eie_sim import tables
from eie_sim.core.errors import require, unknown
from eie_sim.core.published import CALIBRATED, DERIVED, VALIDATED, Comparison, Draw, Progress
from eie_sim.core.result import SimResult
from eie_sim.energy import EnergyReport, account, area
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.energy import MODULES
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.unit import simulate

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

DENSITY_ROUNDING = 0.005
"""Table III prints densities of weights in whole percents."""

TIME_ROUNDING_US = 0.05
"""Table IV prints times to a tenth."""

TRAINED_LOSE = (1, 6)
"""Points of load balance that trained weights were seen to lose against independent ones of their density."""

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

FOLLOWS = {
    SPEEDUPS: f"the published CPU time over the actual time of {TIMES}, whose errors it repeats",
    EFFICIENCIES: f"{SPEEDUPS} times a ratio that is printed, so that it repeats the same errors",
    ENERGIES: f"the actual time of {TIMES} times the power of {POWERS}: errors of both, repeated or cancelled",
}
"""Groups that follow from rows of other groups, so that their errors are no evidence of their own."""


class LayerResult(NamedTuple):
    """A simulated layer.

    inputs : what its weights and activations were, in words
    shape : (n_out, n_in); weight_density, activation_density : as printed
    """

    result: SimResult
    inputs: str
    shape: tuple[int, int]
    weight_density: float
    activation_density: float


def rows(draw: Draw, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every figure of the paper: power, times, bars, energies, and what is derived."""
    layers: dict[str, LayerResult] = {}
    for name in LAYERS:
        progress(f"{name}: simulating")
        layers |= simulate_layers([name], draw=draw)
    return [*energy_table2(layers), *eie_times(layers), *bars(layers), *layer_energies(layers), *derived(layers)]


def simulate_layers(names: Iterable[str] = LAYERS, *, draw: Draw) -> dict[str, LayerResult]:
    """Simulate layers of the paper at its design: 64 PEs, queue depth 8, 800 MHz.

    names : of `LAYERS`

    Raises InputError for a layer the paper does not have.
    """
    return {name: _simulate_layer(name, draw) for name in names}


def energy_table2(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """Power of one PE (mW): Table II's modules and total at Alex-7, then each other layer beside the same total.

    layers : from `simulate_layers`, Alex-7 among them

    The paper uses one power for all layers. Raises InputError without Alex-7.
    """
    require(MEASURED_LAYER in layers, "layers", ", ".join(layers), f"must include {MEASURED_LAYER}")
    measured = layers[MEASURED_LAYER]
    others = {name: layer for name, layer in layers.items() if name != MEASURED_LAYER}
    return [*_modules(measured), *(_layer_power(name, layer, measured.result) for name, layer in others.items())]


def eie_times(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """Theoretical and actual time (us) of each layer beside Table IV.

    The theoretical time is that of all entries, padding included, spread evenly over the PEs, one per cycle.
    """
    return [row for name, layer in layers.items() for row in _times(name, layer)]


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
    table_us = _published_times()[name]["actual"]
    note = f"Table IV's CPU time over the actual time of EIE times, which is {_off(layer.result.time_us, table_us)}"
    if abs(cpu_us / table_us / printed["speedup"] - 1) > ROUNDING:
        note += f"; Table IV's own times give {cpu_us / table_us:.1f}, not the {printed['speedup']:g} that is printed"
    yield _compared(
        layer, note, group=SPEEDUPS, follows=FOLLOWS[SPEEDUPS], source="Fig. 6", row=name, quantity="speedup", unit="x",
        published=printed["speedup"], simulated=speedup,
    )  # fmt: skip
    power_ratio = printed["energy_efficiency"] / printed["speedup"]
    yield Comparison(
        group=EFFICIENCIES, follows=FOLLOWS[EFFICIENCIES], source="Fig. 7", row=name, quantity="energy efficiency",
        unit="x", kind=DERIVED,
        published=printed["energy_efficiency"], simulated=speedup * power_ratio,
        inputs=layer.inputs, fits=layer.result.fits,
        note="speedup times the ratio of powers that the bars of Figs 6 and 7 imply",
    )  # fmt: skip


def layer_energies(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """Energy of each layer beside the paper's: its time times its one power."""
    return [_energy(name, layer) for name, layer in layers.items()]


def _energy(name: str, layer: LayerResult) -> Comparison:
    published_us, published_mw = _published_times()[name]["actual"], _published_total_mw()
    report = account(layer.result)
    note = (
        "published: time times the one power of 64 PEs; simulated: the actual time of EIE times, "
        f"{_off(layer.result.time_us, published_us)}, times the power of EIE power, "
        f"{_off(report.power_mw_per_pe, published_mw)}"
    )
    return _compared(
        layer, note, group=ENERGIES, follows=FOLLOWS[ENERGIES], source="Tables II, IV", row=name, quantity="energy",
        unit="uJ",
        published=published_us * 64 * published_mw / 1e3, simulated=report.total_pj / 1e6,
    )  # fmt: skip


def derived(layers: Mapping[str, LayerResult]) -> list[Comparison]:
    """Compute from our figures what the paper computes from its own: area, power, peak, frame rates."""
    layer = layers[MEASURED_LAYER]
    config, watts = layer.result.config, account(layer.result).power_mw / 1e3
    frames, mm2 = 1e6 / layer.result.time_us, area(config).total_mm2
    design = f"the design alone: {config.n_pe} PEs at {config.clock_mhz:g} MHz"
    found = {
        "area of 64 PEs": (
            mm2,
            design,
            "64 times the PE of Table II, as the simulator's area is at the default design",
        ),
        "power of 64 PEs": (watts, layer.inputs, f"64 times the simulated power of a PE at {MEASURED_LAYER}"),
        "peak throughput": (config.peak_gops, design, "64 PEs x 800 MHz x 2 operations"),
        "frame rate": (frames, layer.inputs, f"one over the simulated time of {MEASURED_LAYER}"),
        "area efficiency": (frames / mm2, layer.inputs, f"the frame rate of {MEASURED_LAYER} over the area"),
        "energy efficiency": (frames / watts, layer.inputs, f"the frame rate of {MEASURED_LAYER} over the power"),
    }
    return [_arithmetic(row, *found[row["item"]]) for row in tables.rows("eie_derived")]


def _arithmetic(row: Mapping[str, str], simulated: float, inputs: str, note: str) -> Comparison:
    return Comparison(
        group=DERIVATIONS, source=row["source"], row=row["item"], quantity="arithmetic", unit=row["unit"], kind=DERIVED,
        published=float(row["value"]), simulated=simulated, inputs=inputs, note=note,
    )  # fmt: skip


def _simulate_layer(name: str, draw: Draw) -> LayerResult:
    if name not in LAYERS:
        raise unknown("layer", name, LAYERS)
    config, layer = EieConfig(), draw(name.lower())
    matrix = EieMatrix.from_dense(layer.weights, n_pe=config.n_pe)
    result = simulate(matrix, layer.activations, config)
    return LayerResult(result, layer.inputs, matrix.shape, layer.weight_density, layer.activation_density)


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


def _times(name: str, layer: LayerResult) -> Iterator[Comparison]:
    simulated = {"theoretical": _theoretical_us(layer.result), "actual": layer.result.time_us}
    notes = {"theoretical": _theoretical_note(name, layer), "actual": _actual_note(name, layer.result)}
    for quantity, published_us in _published_times()[name].items():
        yield _compared(
            layer, notes[quantity], group=TIMES, source="Table IV", row=name, quantity=f"{quantity} time", unit="us",
            published=published_us, simulated=simulated[quantity],
        )  # fmt: skip


def _theoretical_note(name: str, layer: LayerResult) -> str:
    """Say what Table III allows for the time of all entries, and whether that is the difference."""
    result, (n_out, n_in) = layer.result, layer.shape
    macs = n_in * layer.activation_density * n_out * layer.weight_density
    before_us = macs / result.n_unit / float(result.config.clock_mhz)
    left_open = DENSITY_ROUNDING / layer.weight_density
    events = result.stats["events"]
    padding = events["padding_entries"] / events["codebook_reads"]
    published = _published_times()
    n_row = -(-n_out // result.n_unit)
    needs = f"{100 * padding:.0f} % of the entries are padding" if padding else f"{n_row} rows a PE need no padding"
    note = (
        f"Table III gives {before_us:.1f} us before padding, to within {100 * left_open:.1f} %, because it rounds the "
        f"density of the weights; with an independent mask {needs}"
    )
    if abs(_theoretical_us(result) / published[name]["theoretical"] - 1) > left_open:
        note += "; the difference is larger than rounding leaves, and no reason is known"
        same = [other for other, times in published.items() if times["theoretical"] == published[name]["theoretical"]]
        note += "".join(f"; the same time is printed for {other}" for other in same if other != name)
    return note


def _actual_note(name: str, result: SimResult) -> str:
    """Say whether an actual time is off because the theoretical one is, or because PEs wait more in the paper."""
    published, theoretical_us = _published_times()[name], _theoretical_us(result)
    low = (published["theoretical"] - TIME_ROUNDING_US) / (published["actual"] + TIME_ROUNDING_US)
    high = (published["theoretical"] + TIME_ROUNDING_US) / (published["actual"] - TIME_ROUNDING_US)
    here, there = theoretical_us / result.time_us, published["theoretical"] / published["actual"]
    lost = 100 * (here - there)
    note = (
        f"the theoretical time is {_off(theoretical_us, published['theoretical'])}; {100 * here:.0f} % of the "
        f"PE-cycles have an entry, in the paper {100 * there:.0f} %"
    )
    if low <= here <= high:
        return f"{note}, the same but for rounding"
    if lost < 0:
        return f"{note}; no reason known"
    least, most = TRAINED_LOSE
    note += f"; trained weights were seen to balance {least} to {most} points worse than independent ones"
    return note if lost <= most else f"{note}, here {lost:.1f}: no reason is known for that much"


def _compared(layer: LayerResult, note: str, **figures: Any) -> Comparison:
    """A figure of a layer, whose note says which memories do not hold it. figures : other fields of a Comparison."""
    result = layer.result
    if tight := ", ".join(memory.memory for memory in result.memories if not memory.fits):
        note += f"; does not fit {tight}, {result.passes} passes"
    return Comparison(inputs=layer.inputs, fits=result.fits, note=note, **figures)


def _off(simulated: float, published: float) -> str:
    return f"{100 * (simulated / published - 1):+.1f} % off"


def _published_times() -> dict[str, dict[str, float]]:
    """Theoretical and actual time (us) of each layer, Table IV."""
    return {
        row["layer"]: {quantity: float(row[f"{quantity}_us"]) for quantity in ("theoretical", "actual")}
        for row in tables.rows("eie_table4")
    }


def _published_total_mw() -> float:
    return next(float(row["power_mw"]) for row in tables.rows("eie_table2") if row["group"] == "total")


def _theoretical_us(result: SimResult) -> float:
    return result.stats["events"]["codebook_reads"] / result.n_unit / float(result.config.clock_mhz)


def _per_pe_cycle(result: SimResult, event: str) -> float:
    pe_cycles = result.cycles * result.n_unit
    return result.stats["events"][event] / pe_cycles if pe_cycles else 0.0


def _per_pe_mw(report: EnergyReport, energy_pj: float) -> float:
    return energy_pj / report.time_us / report.n_pe / 1e3 if report.time_us else 0.0
