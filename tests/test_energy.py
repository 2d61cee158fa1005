import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eie_sim import sweep, tables
from eie_sim.energy import COMPONENTS, EnergyTable, account, area, scaling, sram, total_of
from eie_sim.energy import report as energy_report
from eie_sim.energy.report import add_time, check, components_pj, events_pj
from eie_sim.errors import InputError, InvariantError
from eie_sim.result import EieClass, EieEvent, NmEvent, SimResult
from eie_sim.sweep import eie as sweep_eie
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.nm.config import TensorCoreConfig

KIB = 1024
HEADER = "event,energy_pj,source\n"
PE_CYCLES = 64 * 10_000
ALEX_7_PER_PE_CYCLE = {
    "broadcasts": 0.0022,
    "queue_writes": 0.1411,
    "queue_reads": 0.1411,
    "pointer_reads": 0.1411,
    "spmat_reads": 0.1977,
    "codebook_reads": 0.9673,
    "macs": 0.8108,
    "padding_entries": 0.1565,
    "accumulator_reads": 0.8108,
    "accumulator_writes": 0.8108,
    "output_writes": 0.0063,
}


def result_with(events, *, cycles=10_000, config=None, unit="eie"):
    """A result whose counts all stand in the first PE's row."""
    config = config or EieConfig()
    counts = np.zeros((config.n_pe + 1, len(EieEvent)), dtype=np.int64)
    for name, count in events.items():
        counts[0, EieEvent[name.upper()]] = count
    return SimResult(
        unit=unit,
        engine="fast",
        config=config,
        output=np.zeros(1, dtype=np.int16),
        scales={"weight": 0, "activation": 0, "accumulator": 0},
        cycles=cycles,
        cycles_per_vector=np.array([cycles]),
        n_vector=1,
        n_unit=config.n_pe,
        event_names=tuple(event.name.lower() for event in EieEvent),
        counts=counts,
        class_names=tuple(kind.name.lower() for kind in EieClass),
        classes=np.zeros((config.n_pe, len(EieClass)), dtype=np.int64),
        useful_class="weight",
        busy_classes=("weight", "padding"),
        effectual_macs=events.get("macs", 0),
        dense_macs=0,
        memories=(),
        inputs="made up",
        config_hash="",
    )


def alex_7():
    return result_with({event: round(share * PE_CYCLES) for event, share in ALEX_7_PER_PE_CYCLE.items()})


# the default table


HAND_WORKED_PJ = {
    "queue_writes": 4 * 0.072,
    "queue_reads": 4 * 0.072,
    "pointer_reads": 15.59,
    "spmat_reads": 0.85 * 37.49,
    "codebook_reads": 2 * 0.072,
    "macs": 0.783 + 0.05,
    "padding_entries": 0.0,
    "accumulator_reads": 0.16654 * 16 / 20,
    "accumulator_writes": 0.16654 * 16 / 20,
    "output_writes": 1.78,
    "broadcasts": 1.97,
}


def test_default_energies_by_hand():
    table = EnergyTable.for_config(EieConfig())
    assert table.energy_pj == pytest.approx(HAND_WORKED_PJ)
    assert table.pe_cycle_pj == pytest.approx({"arithm_unit": 0.9, "act_rw": 0.9})
    assert table.leakage_mw == pytest.approx(0.03 + 0.01 + 0.0)


def test_every_event_has_a_row_and_every_row_a_source():
    rows = EnergyTable.for_config(EieConfig()).rows
    assert [row.event for row in rows] == list(COMPONENTS)
    assert {event.name.lower() for event in EieEvent} == set(COMPONENTS) - {"pe_cycle", "leakage"}
    assert all(row.source.strip() and row.component for row in rows)
    assert all(row["source"].strip() for row in tables.rows("eie_energy_45nm"))


def test_two_constants_are_chosen():
    assert [row.event for row in EnergyTable.for_config(EieConfig()).rows if row.chosen] == ["spmat_reads", "pe_cycle"]
    chosen = [row for row in tables.rows("eie_energy_45nm") if row["chosen"] == "yes"]
    assert [row["constant"] for row in chosen] == ["spmat_read_factor", "pe_cycle"]
    assert all(row["source"].startswith("chosen: ") for row in chosen)


@pytest.mark.parametrize("bits", [24, 32])
def test_accumulator_width_scales_adds_and_registers(bits):
    energy_pj = EnergyTable.for_config(EieConfig(accumulator_bits=bits)).energy_pj
    assert energy_pj["macs"] == pytest.approx(0.783 + 0.1 * bits / 32)
    assert energy_pj["accumulator_reads"] == pytest.approx(0.16654 * bits / 20)


def test_memories_follow_the_config():
    wide = EnergyTable.for_config(EieConfig(spmat_width_bits=128))
    assert wide.energy_pj["spmat_reads"] == pytest.approx(0.85 * 46.62)
    other = EnergyTable.for_config(EieConfig(pointer_bits=17))
    assert other.energy_pj["pointer_reads"] == pytest.approx(sram(32 * KIB, 34).read_pj)
    sources = {row.event: row.source for row in other.rows}
    assert "interpolated" in sources["pointer_reads"]
    assert "interpolated" not in sources["spmat_reads"]


def test_codes_and_gaps_change_no_energy_per_event():
    assert (
        EnergyTable.for_config(EieConfig(weight_bits=3, index_bits=5)).rows == EnergyTable.for_config(EieConfig()).rows
    )


# technology


def test_another_node_scales_every_energy():
    at_45, at_28 = (EnergyTable.for_config(EieConfig(node_nm=node)) for node in (45, 28))
    for before, after in zip(at_45.rows, at_28.rows, strict=True):
        assert after.energy_pj == pytest.approx(0.5066 * before.energy_pj)
        assert "28 nm" in after.source and "Stillmaker" in after.source
    assert at_28.leakage_mw == pytest.approx(0.5066 * at_45.leakage_mw)
    assert at_28.name == "eie-28nm"


def test_an_unknown_node_is_one_line_that_lists_the_nodes():
    rule = "no scaling factors; must be one of 7, 10, 14, 16, 20, 22, 28, 32, 40, 45, 65"
    for call in (EnergyTable.for_config, area):
        with pytest.raises(InputError, match=f"^node_nm=90: {rule}$"):
            call(EieConfig(node_nm=90))


def test_45_nm_is_the_reference():
    assert scaling(45) == (1.0, 1.0)


@pytest.mark.parametrize("row", tables.rows("sram_45nm"), ids=lambda row: "-".join(list(row.values())[:3]))
def test_sram_is_exact_where_the_table_has_it(row):
    found = sram(int(row["capacity_kib"]) * KIB, int(row["width_bits"]), row["cells"])
    expected = tuple(float(row[name]) for name in ("read_pj", "write_pj", "leakage_mw", "area_mm2"))
    assert (found.read_pj, found.write_pj, found.leakage_mw, found.area_mm2) == expected
    assert not found.interpolated


def test_sram_between_two_widths_and_two_capacities():
    between_widths = sram(128 * KIB, 90)
    expected = 37.49 * (46.62 / 37.49) ** (math.log(90 / 64) / math.log(2))
    assert between_widths.read_pj == pytest.approx(expected)
    assert between_widths.interpolated
    assert sram(96 * KIB, 64).read_pj == pytest.approx(21.20 * (37.49 / 21.20) ** (math.log(96 / 64) / math.log(2)))
    assert sram(96 * KIB, 64, "itrs-lstp").leakage_mw == pytest.approx(0.025)


def test_sram_beyond_the_table_keeps_the_end_slope():
    assert sram(128 * KIB, 2048).read_pj == pytest.approx(134.57 * 134.57 / 91.90)
    assert sram(128 * KIB, 8).read_pj == pytest.approx(15.16 * 15.16 / 22.45)
    assert sram(2 * 6144 * KIB, 512, "itrs-lstp").leakage_mw == pytest.approx(2 * 1.49)


@given(st.integers(1, 8 * KIB), st.integers(1, 4096), st.integers(1, 512))
def test_reads_and_writes_grow_with_width(capacity_kib, width_bits, more_bits):
    narrow, wide = sram(capacity_kib * KIB, width_bits), sram(capacity_kib * KIB, width_bits + more_bits)
    assert 0 < narrow.read_pj < wide.read_pj
    assert 0 < narrow.write_pj < wide.write_pj


@given(st.integers(1, 16 * KIB), st.integers(1, KIB), st.sampled_from(["itrs-hp", "itrs-lstp"]))
def test_at_64_bits_everything_grows_with_capacity(capacity_kib, more_kib, cells):
    small, large = sram(capacity_kib * KIB, 64, cells), sram((capacity_kib + more_kib) * KIB, 64, cells)
    assert small.read_pj < large.read_pj
    assert small.area_mm2 < large.area_mm2
    assert small.leakage_mw <= large.leakage_mw


@given(st.integers(1, 8 * KIB), st.integers(1, 2048))
def test_sram_has_no_cliffs_at_the_rows_of_the_table(capacity_kib, width_bits):
    here, next_to_it = sram(capacity_kib * KIB, width_bits), sram(capacity_kib * KIB + 1, width_bits)
    assert next_to_it.read_pj == pytest.approx(here.read_pj, rel=0.01)


@pytest.mark.parametrize(("size", "field"), [((0, 64), "capacity_bytes=0"), ((1024, 0), "width_bits=0")])
def test_an_sram_of_no_size_is_refused(size, field):
    with pytest.raises(InputError, match=f"^{field}: "):
        sram(*size)


def test_unknown_cells_are_refused():
    with pytest.raises(InputError, match=r"^cells=itrs-hpp: unknown; did you mean itrs-hp"):
        sram(1024, 64, "itrs-hpp")


@pytest.mark.parametrize(
    "odd", [None, 3, "x", b"x", [], {}, [None], object(), np.eye(2), EieConfig], ids=lambda odd: f"{type(odd).__name__}"
)
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (account, "result"),
        (lambda odd: account(result_with({}), odd), "table"),
        (area, "config"),
        (EnergyTable.for_config, "config"),
        (lambda odd: EnergyTable.from_csv(HEADER, odd), "config"),
        (lambda odd: EnergyTable.from_csv(odd, EieConfig()), "text"),
        (lambda odd: EnergyTable.from_csv(HEADER, EieConfig(), name=odd), "name"),
        (lambda odd: sram(odd, 64), "capacity_bytes"),
        (lambda odd: sram(1024, odd), "width_bits"),
        (lambda odd: sram(1024, 64, odd), "cells"),
        (scaling, "node_nm"),
        (total_of, "report"),
        (lambda odd: total_of([odd]), "report"),
    ],
)
def test_another_type_is_one_line_that_names_the_argument(call, field, odd):
    takes = {"table": (type(None),), "name": (str,), "width_bits": (int,), "capacity_bytes": (int,)}
    if isinstance(odd, takes.get(field, ())):
        return
    with pytest.raises(InputError, match=f"^{field}s?[=:]") as caught:
        call(odd)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("number", [10**5000, 2**70, -1, float("nan")], ids=["huge", "large", "negative", "nan"])
def test_sizes_and_nodes_beyond_reason_are_one_line_too(number):
    for call in (lambda: sram(number, 64), lambda: sram(1024, number), lambda: scaling(number)):
        with pytest.raises(InputError) as caught:
            call()
        assert len(str(caught.value)) < 400


# accounting


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
    assert list(report.by_component) == ["act_queue", "ptr_read", "spmat_read", "arithm_unit", "act_rw", "leakage"]


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
    monkeypatch.setattr(sweep_eie, "add_time", lambda by_component, *rest: by_component)
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


# the N:M unit


def nm_result(events, *, cycles=100, config=None):
    """A result of the N:M unit with these counts."""
    config = config or TensorCoreConfig.preset("nm-64")
    counts = np.zeros((1, len(NmEvent)), dtype=np.int64)
    for name, count in events.items():
        counts[0, NmEvent[name.upper()]] = count
    return SimResult(
        unit="nm",
        engine="fast",
        config=config,
        output=None,
        cycles=cycles,
        cycles_per_vector=np.array([cycles]),
        n_vector=1,
        n_unit=1,
        event_names=tuple(event.name.lower() for event in NmEvent),
        counts=counts,
        class_names=("tensor", "waiting"),
        classes=np.array([[40, cycles - 40]]),
        useful_class="tensor",
        busy_classes=("tensor",),
        effectual_macs=events.get("macs", 0),
        dense_macs=0,
        inputs="made up",
        config_hash="",
    )


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
    assert report.by_component["clock"] == pytest.approx(100 * 64 * 1.8)
    assert report.n_pe == 64
    assert report.total_pj == pytest.approx(math.fsum(report.by_component.values()))


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
    assert chosen == {"dram_bytes", "dram_metadata_bytes", "pe_cycle"}


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


# the user's table


def test_the_default_table_survives_a_round_trip():
    config = EieConfig(node_nm=28, pointer_bits=17, clock_mhz=700)
    default = EnergyTable.for_config(config)
    again = EnergyTable.from_csv(default.to_csv(), config)
    assert again.energy_pj == default.energy_pj
    assert (again.pe_cycle_pj, again.leakage_mw) == (default.pe_cycle_pj, default.leakage_mw)
    assert [row.source for row in again.rows] == [row.source for row in default.rows]


def test_given_energies_replace_and_the_rest_stays():
    text = "event,energy_pj,source\nmacs,2.5,a data sheet\n\nleakage,1,measured\npe_cycle,4,\n"
    table = EnergyTable.from_csv(text, EieConfig())
    assert table.energy_pj == pytest.approx({**HAND_WORKED_PJ, "macs": 2.5})
    assert table.leakage_mw == pytest.approx(0.8)  # 1 pJ in each cycle of 1.25 ns
    assert table.pe_cycle_pj == {"arithm_unit": 2.0, "act_rw": 2.0}
    assert {row.event: row.source for row in table.rows}["macs"] == "a data sheet"
    assert [row.event for row in table.rows if row.chosen] == ["spmat_reads"]
    report = account(result_with({"macs": 4}), table)
    assert (report.table, report.by_event["macs"]) == ("given", 10.0)


def test_given_energies_hold_at_the_configs_node():
    table = EnergyTable.from_csv("event,energy_pj,source\nmacs,2.5,mine\n", EieConfig(node_nm=28))
    assert table.energy_pj["macs"] == 2.5
    assert table.energy_pj["pointer_reads"] == pytest.approx(15.59 * 0.5066)


def test_a_table_as_spreadsheets_write_it():
    text = '\ufeffevent,energy_pj,source\r\nmacs, 2.5 ,"mine, and yours"\r\n'
    assert EnergyTable.from_csv(text, EieConfig()).energy_pj["macs"] == 2.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1=: must be event,energy_pj,source"),
        ("event;energy_pj;source\n", "line 1=event;energy_pj;source: must be event,energy_pj,source"),
        (HEADER + "mac,1,x\n", "line 2: event=mac: unknown; did you mean macs"),
        (HEADER + "macs,1,x\nmacs,2,x\n", "line 3: event=macs: is there already"),
        (HEADER + "macs,-1,x\n", "line 2: energy_pj=-1: must be a number of pJ in 0..1e+09"),
        (HEADER + "macs,nan,x\n", "line 2: energy_pj=nan: must be"),
        (HEADER + "macs,inf,x\n", "line 2: energy_pj=inf: must be"),
        (HEADER + "macs,1e10,x\n", "line 2: energy_pj=1e10: must be"),
        (HEADER + "macs,,x\n", "line 2: energy_pj=: must be"),
        (HEADER + "macs,one,x\n", "line 2: energy_pj=one: must be"),
        (HEADER + "macs,1\n", "line 2: cells=2: must be 3"),
        (HEADER + "macs,1,Horowitz, 2014\n", "line 2: cells=4: must be 3; a source with a comma needs quotes"),
        (HEADER + '"ma\ncs",1,x\n', "line 3: event='ma\\ncs': unknown"),
        (HEADER + f"macs,1,{'x' * 200_000}\n", "line 2: not valid CSV"),
        (HEADER + 'macs,1,"left open\nleakage,2,x\n', "line 3: not valid CSV: unexpected end of data"),
        (HEADER + 'macs,1,"left open\nleakage,2,"x"\n', "line 3: not valid CSV"),
        (HEADER + 'macs,1,"left open\nleakage,2,x"\n', "line 3: source='left open\\nleakage,2,x': must be one line"),
        (HEADER + "macs,1,\x1b[31mred\n", "line 2: source='\\x1b[31mred': must be one line of printable text"),
    ],
)
def test_a_bad_table_is_one_line_that_names_its_line(text, message):
    with pytest.raises(InputError) as caught:
        EnergyTable.from_csv(text, EieConfig())
    assert str(caught.value).startswith(f"text: {message}")
    assert "\n" not in str(caught.value)


# area


def test_the_default_area_is_the_papers():
    report = area(EieConfig())
    assert report.total_mm2 == pytest.approx(40.8, rel=0.001)
    assert report.pe_mm2 == pytest.approx(0.638024)
    assert report.by_module_mm2["spmat_read"] == pytest.approx(0.469412)
    assert report.by_module_mm2["act_rw"] == pytest.approx(0.018934)
    assert json.loads(json.dumps(report.to_dict()))["total_mm2"] == report.total_mm2


def test_area_follows_the_design():
    default = area(EieConfig()).by_module_mm2
    larger = area(EieConfig(spmat_bytes=256 * KIB)).by_module_mm2
    assert larger["spmat_read"] == pytest.approx(0.469412 * 0.8948 / 0.4355)
    assert larger["ptr_read"] == default["ptr_read"]
    assert larger["filler"] / sum(larger.values()) == pytest.approx(23961 / 638024)
    assert area(EieConfig(queue_depth=16)).by_module_mm2["act_queue"] == pytest.approx(2 * 758e-6)
    sram_mm2, registers_mm2 = 0.0079, 0.018934 - 0.0079
    more, wider = area(EieConfig(register_entries=128)), area(EieConfig(accumulator_bits=32))
    assert more.by_module_mm2["act_rw"] == pytest.approx(sram_mm2 + 2 * registers_mm2)
    assert wider.by_module_mm2["act_rw"] == pytest.approx(sram_mm2 + 1.5 * registers_mm2)
    assert area(EieConfig(n_pe=256)).total_mm2 == pytest.approx(4 * 64 * 0.638024)
    assert area(EieConfig(node_nm=28)).total_mm2 == pytest.approx(64 * 0.638024 * 0.3767)


def test_energy_needs_no_compiler_and_no_engine():
    code = "import sys, eie_sim.energy; assert not {'numba', 'scipy', 'simpy', 'eie_sim.engine'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reports_are_frozen():
    report = account(alex_7())
    with pytest.raises(AttributeError):
        report.n_pe = 1
    assert replace(report, n_pe=1).n_pe == 1
