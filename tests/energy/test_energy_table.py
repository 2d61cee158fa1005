"""Energies of events: the default ones by hand, and those of the user."""

from dataclasses import replace

import pytest
from counted import HEADER, KIB, result_with

from eie_sim import tables
from eie_sim.core.errors import InputError
from eie_sim.energy import EnergyTable, account, sram
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.words import COMPONENTS, EieEvent
from eie_sim.units.nm.config import TensorCoreConfig

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
    "map_reads": 207.75 * 16 / 256,
}


def test_default_energies_by_hand():
    table = EnergyTable.for_config(EieConfig())
    assert table.energy_pj == pytest.approx(HAND_WORKED_PJ)
    assert table.pe_cycle_pj == pytest.approx({"arithm_unit": 0.9, "act_rw": 0.9})
    assert table.leakage_mw == pytest.approx(0.03 + 0.01 + 0.0)


def test_every_event_has_a_row_and_every_row_a_source():
    rows = EnergyTable.for_config(EieConfig()).rows
    assert [row.event for row in rows] == list(COMPONENTS)
    assert {event.name.lower() for event in EieEvent} == set(COMPONENTS) - {"map_reads", "pe_cycle", "leakage"}
    assert all(row.source.strip() and row.component for row in rows)
    assert all(row["source"].strip() for row in tables.rows("eie_energy_45nm"))


def test_what_is_chosen_says_so():
    found = [row.event for row in EnergyTable.for_config(EieConfig()).rows if row.chosen]
    assert found == ["spmat_reads", "map_reads", "pe_cycle"]
    chosen = [row for row in tables.rows("eie_energy_45nm") if row["chosen"] == "yes"]
    assert [row["constant"] for row in chosen] == ["spmat_read_factor", "pe_cycle", "map_bytes", "map_width"]
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
    assert [row.event for row in table.rows if row.chosen] == ["spmat_reads", "map_reads"]
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


@pytest.mark.parametrize("config", [EieConfig(), TensorCoreConfig()], ids=["eie", "nm"])
def test_a_table_without_a_clock_is_refused_and_a_users_has_the_default_one(config):
    default = EnergyTable.for_config(config)
    for event in ("pe_cycle", "macs"):
        with pytest.raises(InputError, match=rf"^rows=without {event}: must have one for every event, clock and leak"):
            replace(default, rows=tuple(row for row in default.rows if row.event != event))
    given = EnergyTable.from_csv(HEADER + "macs,1,\n", config)
    assert given.pe_cycle_pj == default.pe_cycle_pj
