"""Counts times a table, of both units."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from counted import alex_7, nm_result, result_with
from hypothesis import assume, given
from hypothesis import strategies as st

from eie_sim import study as sweep
from eie_sim.core.errors import InputError, InvariantError
from eie_sim.energy import EnergyTable, account, scaling, sram, total_of
from eie_sim.energy import report as energy_report
from eie_sim.energy.report import add_time, check, components_pj, events_pj
from eie_sim.units.eie import many as eie_many
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.words import EieEvent
from eie_sim.units.energy import LEAKAGE
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmEvent
from eie_sim.units.technology import LOW_LEAKAGE_CELLS


def test_energy_of_one_event_by_hand():
    report = account(result_with({"pointer_reads": 100}, cycles=800))
    assert report.by_event["pointer_reads"] == pytest.approx(1559.0)
    assert report.by_component["ptr_read"] == pytest.approx(1559.0)
    assert report.pe_cycle_pj == pytest.approx(800 * 64 * 1.8)
    assert report.by_component["arithm_unit"] == pytest.approx(800 * 64 * 0.9)
    assert report.leakage_pj == pytest.approx(0.04e-3 * 64 * 1e-6 * 1e12)  # 0.04 mW, 64 PEs, 1 us
    assert report.time_us == 1.0
    assert report.power_mw == pytest.approx(report.total_pj * 1e-12 / 1e-6 * 1e3)
    assert report.power_mw_per_pe == pytest.approx(report.power_mw / 64)


@given(st.fixed_dictionaries({event.name.lower(): st.integers(0, 10**9) for event in EieEvent}), st.integers(0, 10**9))
def test_events_clock_and_leakage_add_to_the_components(events, cycles):
    report = account(result_with(events, cycles=cycles))
    parts = math.fsum([*report.by_event.values(), report.pe_cycle_pj, report.leakage_pj])
    assert parts == pytest.approx(report.total_pj)
    assert report.total_pj == pytest.approx(sum(report.by_component.values()))
    pe = ["act_queue", "ptr_read", "spmat_read", "arithm_unit", "act_rw"]
    assert list(report.by_component) == [*pe, "map_buffer", "leakage"]
    assert (report.by_event["map_reads"], report.by_component["map_buffer"]) == (0, 0)


@given(
    st.fixed_dictionaries({event.name.lower(): st.integers(0, 10**9) for event in EieEvent}),
    st.integers(0, 10**6),
    st.data(),
)
def test_a_component_that_lost_energy_stops_the_run(events, cycles, data):
    result = result_with(events, cycles=cycles)
    table, time_us = EnergyTable.for_config(result.config), cycles / 800
    components = add_time(components_pj(events_pj(events, table), table), table, 64, cycles, time_us)
    check(components, events, table, 64, cycles, time_us)
    name = data.draw(st.sampled_from(list(components)))
    assume(components[name] > 0)
    lost = components | {name: components[name] - max(1.0, 1e-6 * sum(components.values()))}
    with pytest.raises(InvariantError, match=r"^broken invariant: energy="):
        check(lost, events, table, 64, cycles, time_us)


@pytest.mark.parametrize("name", ["alex-7", "nm-64"])
def test_every_account_is_checked(monkeypatch, name):
    result = alex_7() if name == "alex-7" else nm_result({"macs": 5})
    monkeypatch.setattr(energy_report, "add_time", lambda by_component, *rest: by_component)
    with pytest.raises(InvariantError, match=r"energy=.*: must be counts times the table"):
        account(result)


def test_every_point_of_a_sweep_is_checked(monkeypatch):
    monkeypatch.setattr(eie_many, "add_time", lambda by_component, *rest: by_component)
    with pytest.raises(InvariantError, match=r"energy=.*: must be counts times the table"):
        sweep.run("hand-8x8", grid={"n_pe": [2]}, workers=1)


def test_alex_7_draws_what_table_2_says():
    report = account(alex_7())
    assert report.power_mw_per_pe == pytest.approx(9.157, rel=0.01)
    assert report.by_component["spmat_read"] / report.total_pj == pytest.approx(4.955 / 9.157, rel=0.03)
    assert report.by_component["ptr_read"] / report.total_pj == pytest.approx(1.807 / 9.157, rel=0.05)


def test_nothing_done_costs_nothing():
    report = account(result_with({}, cycles=0))
    assert report.total_pj == report.pj_per_effectual_mac == report.power_mw == report.power_mw_per_pe == 0


def test_energy_per_mac():
    report = account(alex_7())
    assert report.pj_per_effectual_mac == pytest.approx(report.total_pj / alex_7().effectual_macs)


def test_slower_clock_leaks_longer_and_nothing_else():
    fast, slow = (account(result_with({"macs": 5}, config=EieConfig(clock_mhz=mhz))) for mhz in (800, 400))
    assert slow.leakage_pj == pytest.approx(2 * fast.leakage_pj)
    assert slow.total_pj - slow.leakage_pj == pytest.approx(fast.total_pj - fast.leakage_pj)


def test_a_report_is_json():
    record = account(alex_7()).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["by_component_pj"].keys() == account(alex_7()).by_component.keys()


def test_a_table_of_another_unit_is_refused():
    table = EnergyTable.for_config(TensorCoreConfig.preset("nm-64"))
    with pytest.raises(InputError, match=r"^table=nm-45nm: must be one for the eie unit"):
        account(result_with({}), table)


def test_every_event_of_the_nm_unit_has_an_energy_or_is_part_of_one():
    table = EnergyTable.for_config(TensorCoreConfig.preset("nm-64"))
    counted = {event.name.lower() for event in NmEvent}
    assert counted - set(table.energy_pj) == {"tiles", "waves", "idle_cores"}
    assert set(table.energy_pj) - counted == {"register_bytes"}


def test_energy_of_the_nm_unit_by_hand():
    """4x4x4 instructions read 2 x 16 words of 2 bytes and move 16 accumulators of 4 bytes twice: 3 bytes a MAC."""
    config = TensorCoreConfig.preset("nm-64", smem_bytes=64 * 1024, l2_bytes=1024 * 1024, dram="lpddr4")
    events = {"macs": 1000, "operand_selects": 1000, "smem_bytes": 300, "smem_metadata_bytes": 100}
    report = account(nm_result(events | {"dram_bytes": 50, "dram_metadata_bytes": 10}, config=config))
    smem_pj_per_byte = sram(64 * 1024, 128).read_pj / 16
    assert report.by_component["macs"] == pytest.approx(1000 * (1.1 + 0.9))
    assert report.by_component["registers"] == pytest.approx(3000 * 0.072)
    assert report.by_component["smem"] == pytest.approx(200 * smem_pj_per_byte)
    assert report.by_component["dram"] == pytest.approx(40 * 8 * 8)
    metadata = 100 * smem_pj_per_byte + 10 * 8 * 8 + 1000 * 0.02435
    assert report.by_component["metadata"] == pytest.approx(metadata)
    assert report.by_component["clock"] == pytest.approx(100 * 64 * 0.26)
    assert report.n_pe == 64
    assert report.total_pj == pytest.approx(math.fsum(report.by_component.values()))


def test_without_l2_its_accesses_and_leakage_cost_nothing():
    def energies(l2_bytes):
        table = EnergyTable.for_config(TensorCoreConfig.preset("nm-64", l2_bytes=l2_bytes))
        return {row.event: row.energy_pj for row in table.rows}

    found = {l2_bytes: energies(l2_bytes) for l2_bytes in (0, 64 * 1024)}
    of_l2 = {"l2_bytes", "l2_metadata_bytes", "store_bytes"}
    assert {found[0][event] for event in of_l2} == {0.0}
    assert min(found[64 * 1024][event] for event in of_l2) > 0
    leaks = sram(64 * 1024, 128, LOW_LEAKAGE_CELLS).leakage_mw * 1e3 / 800 / 64
    assert found[0][LEAKAGE] == pytest.approx(leaks)
    assert found[64 * 1024][LEAKAGE] == pytest.approx(2 * leaks)


def test_int8_macs_cost_less_and_dram_does_not_scale_with_the_node():
    energies = {}
    for name in ("stc-1024", "rtx3090", "a100-sxm", "h100-sxm"):
        energies[name] = EnergyTable.for_config(TensorCoreConfig.preset(name)).energy_pj
    assert energies["stc-1024"]["macs"] == pytest.approx(0.3)
    assert energies["a100-sxm"]["macs"] == pytest.approx(2.0 * scaling(7).energy_x)
    bits = {"stc-1024": 8.0, "rtx3090": 14.0, "a100-sxm": 3.9, "h100-sxm": 4.05}
    for name, pj_per_bit in bits.items():
        for event in ("dram_bytes", "dram_metadata_bytes"):
            assert energies[name][event] == pytest.approx(8 * pj_per_bit)
    chosen = {row.event for row in EnergyTable.for_config(TensorCoreConfig.preset("rtx3090")).rows if row.chosen}
    assert chosen == {"dram_bytes", "dram_metadata_bytes"}


def test_the_clock_of_a_tensor_cores_lane_is_what_its_sources_leave_and_eie_keeps_its_own():
    table = EnergyTable.for_config(TensorCoreConfig.preset("stc-1024"))
    mac_with_registers, multiply, add = 0.5608, 0.2, 0.1  # Sparseloop's STC MAC; Horowitz's 8-bit multiply, 32-bit add
    assert table.pe_cycle_pj["clock"] == pytest.approx(mac_with_registers - multiply - add, abs=0.001)
    source = next(row.source for row in table.rows if row.event == "pe_cycle")
    assert "0.5608 pJ" in source and "0.3 pJ" in source
    assert sum(EnergyTable.for_config(EieConfig()).pe_cycle_pj.values()) == pytest.approx(1.8)


def test_layers_add():
    one, two = account(alex_7()), account(result_with({"macs": 7, "broadcasts": 3}, cycles=500))
    total = total_of([one, two])
    assert total.total_pj == pytest.approx(one.total_pj + two.total_pj)
    assert total.time_us == one.time_us + two.time_us
    assert total.effectual_macs == one.effectual_macs + 7
    assert total.by_event["macs"] == pytest.approx(one.by_event["macs"] + two.by_event["macs"])
    assert total.power_mw == pytest.approx(total.total_pj / total.time_us / 1e3)
    assert total_of([one]) == one


def test_layers_of_different_arrays_do_not_add():
    one, two = account(alex_7()), account(result_with({}, config=EieConfig(n_pe=4)))
    with pytest.raises(InputError, match=r"4 PEs: must share"):
        total_of([one, two])
    with pytest.raises(InputError, match=r"^reports=none"):
        total_of([])


def test_energy_needs_no_compiler_and_no_engine():
    code = "import sys, eie_sim.energy; assert not {'numba', 'scipy', 'simpy', 'eie_sim.engine'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reports_are_frozen():
    report = account(alex_7())
    with pytest.raises(AttributeError):
        report.n_pe = 1
    assert replace(report, n_pe=1).n_pe == 1
