"""Published figures beside simulated ones, rerun: Tables II and IV of the EIE paper (Han et al., ISCA 2016).

Every row is shown, those that miss too, with what is known of the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eie_sim import tables
from eie_sim.energy import MODULES, EnergyReport, account
from eie_sim.errors import require, unknown
from eie_sim.result import SimResult

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


class LayerResult(NamedTuple):
    """A simulated layer, and what its weights and activations were, in words."""

    result: SimResult
    inputs: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One published figure and the simulated one.

    table : of the paper
    row, quantity, unit : what it is
    published, simulated : in `unit`
    inputs : what was simulated, in words
    fits : False where the layer does not fit a PE's memories in one pass; times contain no cost for passes
    note : what is known about the difference
    """

    table: str
    row: str
    quantity: str
    unit: str
    published: float
    simulated: float
    inputs: str
    fits: bool
    note: str

    @property
    def error(self) -> float:
        """Simulated over published, less 1."""
        return self.simulated / self.published - 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "table": self.table,
            "row": self.row,
            "quantity": self.quantity,
            "unit": self.unit,
            "published": self.published,
            "simulated": self.simulated,
            "error": self.error,
            "inputs": self.inputs,
            "fits": self.fits,
            "note": self.note,
        }


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
        yield _power(module, layer, float(published_mw[MODULES[module]]), power_mw, note)
    leakage_mw = _per_pe_mw(report, report.leakage_pj)
    note = f"{leakage_mw:.2f} mW of leakage included; two energies of the table are chosen for this row"
    yield _power("total", layer, _published_total_mw(), report.power_mw_per_pe, note)


def _layer_power(name: str, layer: LayerResult, measured: SimResult) -> Comparison:
    """A layer beside the one published power, and the activity that sets it apart."""
    pointers, spmat = _per_pe_cycle(layer.result, "pointer_reads"), _per_pe_cycle(layer.result, "spmat_reads")
    there = f"{_per_pe_cycle(measured, 'pointer_reads'):.2f} and {_per_pe_cycle(measured, 'spmat_reads'):.2f}"
    note = (
        f"the paper has one power for all layers; per PE and cycle {pointers:.2f} pointer and {spmat:.2f} Spmat reads, "
        f"at {MEASURED_LAYER} {there}"
    )
    return _power(name, layer, _published_total_mw(), account(layer.result).power_mw_per_pe, note)


def _power(row: str, layer: LayerResult, published_mw: float, simulated_mw: float, note: str) -> Comparison:
    return Comparison(
        table="II",
        row=row,
        quantity="power per PE",
        unit="mW",
        published=published_mw,
        simulated=simulated_mw,
        inputs=layer.inputs,
        fits=layer.result.fits,
        note=_with_passes(note, layer.result),
    )


def _time(name: str, layer: LayerResult, quantity: str, published_us: float, simulated_us: float) -> Comparison:
    note = "independent weights; trained ones balance 1 to 6 points worse"
    if name in _LAYER_NOTES:
        note += f"; {_LAYER_NOTES[name]}"
    return Comparison(
        table="IV",
        row=name,
        quantity=f"{quantity} time",
        unit="us",
        published=published_us,
        simulated=simulated_us,
        inputs=layer.inputs,
        fits=layer.result.fits,
        note=_with_passes(note, layer.result),
    )


def _with_passes(note: str, result: SimResult) -> str:
    tight = ", ".join(memory.memory for memory in result.memories if not memory.fits)
    return f"{note}; does not fit {tight}, {result.passes} passes" if tight else note


def _published_total_mw() -> float:
    return next(float(row["power_mw"]) for row in tables.rows("eie_table2") if row["group"] == "total")


def _theoretical_us(result: SimResult) -> float:
    return result.stats["events"]["codebook_reads"] / result.n_unit / float(result.config.clock_mhz)


def _per_pe_cycle(result: SimResult, event: str) -> float:
    pe_cycles = result.cycles * result.n_unit
    return result.stats["events"][event] / pe_cycles if pe_cycles else 0.0


def _per_pe_mw(report: EnergyReport, energy_pj: float) -> float:
    return energy_pj / report.time_us / report.n_pe / 1e3 if report.time_us else 0.0
