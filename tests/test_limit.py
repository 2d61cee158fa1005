"""The last line of a run: what limits it, and what other designs take, which are those designs' own runs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.core.record import Limit
from eie_sim.energy import EnergyTable
from eie_sim.network import Layer, Network
from eie_sim.report.network import limit as last_line
from eie_sim.units import unit

SIZES = st.integers(4, 80)


def chain_of(seed: int, n_out: int, n_in: int, density: float, n_vector: int, *, bias: bool = False) -> Network:
    """Two layers, the second as wide as the first is high."""
    rng = np.random.default_rng(seed)

    def layer(name: str, rows: int, columns: int) -> Layer:
        weights = rng.normal(size=(rows, columns)).astype(np.float32)
        weights[rng.random(weights.shape) > density] = 0
        return Layer(
            name=name,
            weights=weights,
            bias=rng.normal(size=rows).astype(np.float32) if bias else None,
            activations=np.maximum(rng.normal(size=(n_vector, columns)), 0).astype(np.float32),
            weights_source="drawn",
            synthetic=True,
        )

    layers = (layer("fc1", n_out, n_in), layer("fc2", n_in, n_out))
    return Network(name="drawn", layers=layers, chained=False, source="drawn", seed=seed)


def options_of(found: Limit, config: es.EieConfig) -> dict[str, es.EieConfig]:
    """The designs that were tried, by what the line calls them."""
    changed = {}
    for one in found.tried:
        name, value = one.option.removeprefix("--").split()
        changed[one.option] = replace(config, **{name.replace("-", "_"): int(value)})
    return changed


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 999), SIZES, SIZES, st.sampled_from([0.05, 0.3, 1.0]), st.integers(1, 8), st.booleans())
def test_designs_that_were_tried_take_what_their_own_runs_take(seed, n_out, n_in, density, n_vector, bias):
    network, config = chain_of(seed, n_out, n_in, density, n_vector, bias=bias), es.EieConfig(n_pe=16)
    run = es.run(network, config)
    found = run.record.limit
    assert (found is None) == (run.cycles == 0)
    for one in found.tried if found else ():
        other = es.run(network, options_of(found, config)[one.option])
        assert one.cycles_ratio == pytest.approx(other.cycles / run.cycles, rel=1e-12)
        energies = [sum(layer.energy.total_pj for layer in each.layers) for each in (other, run)]
        assert one.energy_ratio == pytest.approx(energies[0] / energies[1], rel=1e-9)


def test_nothing_is_said_to_limit_a_run_without_cycles():
    assert es.run(chain_of(0, 8, 8, -1.0, 2), es.EieConfig(n_pe=4)).record.limit is None


def test_a_pattern_that_was_tried_takes_what_its_own_run_takes():
    network, config = chain_of(0, 512, 256, 1.0, 128), es.TensorCoreConfig.preset("nm-64")
    run = es.run(network, config)
    (one,) = run.record.limit.tried
    assert one.option == "--pattern 2:4"
    other = es.run(network, config, pattern="2:4")
    assert one.cycles_ratio == pytest.approx(other.cycles / run.cycles, rel=1e-12)
    assert one.energy_ratio == pytest.approx(
        sum(layer.energy.total_pj for layer in other.layers) / sum(layer.energy.total_pj for layer in run.layers)
    )


def test_a_batch_that_was_tried_takes_what_its_own_run_takes():
    config = es.TensorCoreConfig.preset("rtx3090")
    run, other = (es.run(chain_of(0, 512, 256, 1.0, n), config, pattern="2:4") for n in (4, 32))
    (one,) = run.record.limit.tried
    assert (one.times, one.cycles_ratio) == (8, pytest.approx(other.cycles / run.cycles))


def test_vectors_beyond_the_sample_are_stood_for_by_it():
    network, config = chain_of(3, 64, 48, 0.2, 400), es.EieConfig(n_pe=64)
    run = es.run(network, config)
    found = run.record.limit
    for one in found.tried:
        other = es.run(network, options_of(found, config)[one.option])
        assert one.cycles_ratio == pytest.approx(other.cycles / run.cycles, rel=0.1)


def test_a_design_whose_memories_do_not_hold_a_layer_is_not_advised():
    network = chain_of(0, 64 * 64, 32, 0.02, 1)  # 64 rows a PE fill the register file
    found = es.run(network, es.EieConfig(n_pe=64)).record.limit
    assert "no weights" in found.said
    assert found.tried == []


def test_what_would_take_more_than_a_tenth_of_the_run_is_left_out(monkeypatch):
    network = chain_of(0, 32, 32, 0.1, 1)
    for config in (es.EieConfig(n_pe=2**15), es.TensorCoreConfig()):
        assert es.run(network, config).record.limit.tried
        with monkeypatch.context() as patched:
            patched.setattr(unit, "LEAST_US", 0.0)
            found = es.run(network, config).record.limit
        assert found.said
        assert found.tried == []


def test_energies_of_the_user_are_those_of_the_other_design_too():
    network, config = chain_of(1, 60, 40, 0.2, 4), es.EieConfig(n_pe=16)
    text = "event,energy_pj,source\npointer_reads,1000,mine\n"
    table = EnergyTable.from_csv(text, config)
    run = es.run(network, config, table=table)
    assert run.record.limit.tried
    for one in run.record.limit.tried:
        design = options_of(run.record.limit, config)[one.option]
        other = es.run(network, design, table=table.at(design))
        energies = [sum(layer.energy.total_pj for layer in each.layers) for each in (other, run)]
        assert one.energy_ratio == pytest.approx(energies[0] / energies[1], rel=1e-9)


def test_rows_of_a_run_time_no_other_design(monkeypatch):
    monkeypatch.setattr("eie_sim.record.limit_of", None)
    run = es.run(chain_of(0, 16, 16, 0.3, 2), es.EieConfig(n_pe=4))
    assert sum(row.cycles for row in run.rows) == run.cycles == run.by_kind["fc"]["cycles"]


def said(*tried: tuple[str, float, float]) -> list[str]:
    """The line of designs that took so many of the cycles and energy."""
    rows = [{"option": name, "cycles_ratio": c, "energy_ratio": e, "times": 1} for name, c, e in tried]
    return last_line({"verified": True, "limit": {"said": "PEs wait", "tried": rows}})


def test_the_line_names_the_best_design_where_one_is_better_and_all_where_none_is():
    assert said(("--n-pe 4", 1.4, 0.1)) == ["PEs wait: --n-pe 4 would take 1.4 x the cycles and 0.1 x the energy"]
    assert said(("--n-pe 4", 2, 0.5)) == [
        "PEs wait; no better: --n-pe 4 would take 2 x the cycles and 0.5 x the energy"
    ]
    assert said() == ["PEs wait"]
    assert last_line({"verified": True}) == last_line({"verified": True, "limit": None}) == []
    assert last_line({"verified": False, "limit": {"said": "PEs wait", "tried": []}}) == []


def test_of_a_run_without_a_cycle_nothing_is_said():
    run = es.run(chain_of(0, 8, 8, 0.0, 1), es.EieConfig(n_pe=4))
    assert run.verified
    assert run.record.limit is None
