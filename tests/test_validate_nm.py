"""Measured products beside simulated ones, and the source or reason of every value of every preset."""

import csv
import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import eie_sim.tables
from eie_sim import simulate_gemm
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig
from eie_sim.units.nm.details import choice_lines, gemm_record
from eie_sim.units.nm.measured import calibration_note, choices, dense_note, gemm_times, summaries
from eie_sim.units.nm.provenance import CHOSEN, DATA_SHEET, MEASURED, PROVENANCE

FIELDS = [field.name for field in fields(TensorCoreConfig)]
GPUS = ("rtx3090", "a100-sxm", "h100-sxm")
FACTS = {"n_core", "tc_per_core", "macs_per_cycle", "dram_bytes_per_cycle"}
BEFORE = TensorCoreConfig.preset("rtx3090", launch=2000)


@pytest.fixture(scope="module")
def compared():
    return gemm_times()


@pytest.fixture(scope="module")
def before():
    return gemm_times(BEFORE)


def by_pattern(compared):
    return {summary.pattern: summary for summary in summaries(compared)}


def test_2_of_4_is_near_what_was_measured(compared):
    two_of_four = by_pattern(compared)["2:4"]
    assert two_of_four.n_row == 34
    assert two_of_four.mean_error <= 0.0105
    assert two_of_four.worst_error <= 0.022


def test_dense_is_near_where_the_library_takes_the_same_tile(compared):
    dense = [one for one in compared if one.pattern == "dense"]
    assert by_pattern(compared)["dense"].worst_error < 0.15
    assert all(abs(one.error) < 0.007 for one in dense if one.k >= 9984)
    assert {one.tile for one in compared} == {(256, 128)}


def test_every_error_follows_from_the_table(compared):
    text = (Path(eie_sim.tables.__file__).parent / "gemm24_rtx3090.csv").read_text()
    config = TensorCoreConfig.preset("rtx3090")
    found = iter(compared)
    for row in csv.DictReader(text.splitlines()):
        for column, kept, group in (("sparse_ms", 2, 4), ("dense_ms", 1, 1)):
            one = next(found)
            m, k, n = (int(row[size]) for size in ("m", "k", "n"))
            result = simulate_gemm(m, k, n, config, n_keep=kept, m_group=group)
            assert (one.figure, one.m, one.k, one.n) == (row["figure"], m, k, n)
            assert one.measured_ms == float(row[column])
            assert one.error == pytest.approx(result.cycles / config.clock_mhz / 1e3 / float(row[column]) - 1)
            assert json.loads(json.dumps(one.to_dict(), allow_nan=False)) == one.to_dict()
    assert next(found, None) is None


@pytest.mark.parametrize("figure", ["fig9", "fig12", "fig13"])
def test_the_changed_launch_improves_each_figure_by_itself(compared, before, figure):
    new, old = (
        by_pattern([one for one in rows if one.figure == figure and one.pattern == "2:4"])
        for rows in (compared, before)
    )
    assert new["2:4"].mean_error < 0.7 * old["2:4"].mean_error
    assert new["2:4"].worst_error < 0.6 * old["2:4"].worst_error


def test_the_reason_of_the_changed_launch_has_the_errors_of_now(compared, before):
    reason = PROVENANCE["rtx3090"]["launch"].reason
    for rows in (compared, before):
        two_of_four = by_pattern(rows)["2:4"]
        assert f"{100 * two_of_four.mean_error:.2f} %" in reason
        assert f"{100 * two_of_four.worst_error:.2f} %" in reason


def test_the_reason_of_the_clock_has_the_slope_of_the_measured_times(compared):
    """More K takes as many more cycles on the model; the clock at which they take the measured time."""
    fig9 = [one for one in compared if (one.figure, one.pattern) == ("fig9", "2:4")]
    k = [one.k for one in fig9]
    cycles = np.polyfit(k, [one.simulated_ms * 1395 for one in fig9], 1)[0]
    asked_mhz = cycles / np.polyfit(k, [one.measured_ms for one in fig9], 1)[0]
    clock = PROVENANCE["rtx3090"]["clock_mhz"]
    assert clock.kind == CHOSEN
    assert f"{asked_mhz:.0f} MHz" in clock.reason


def test_clocks_of_gpus_are_chosen_among_published_ones():
    assert {PROVENANCE[name]["clock_mhz"].kind for name in GPUS} == {CHOSEN}


def test_the_note_of_calibration_counts_what_is_distinct(compared):
    values = {one.simulated_ms for one in compared if one.pattern == "2:4"}
    assert f"34 rows of a pattern are {len(values)} distinct simulated values" in calibration_note(compared)


def test_the_dense_note_has_the_fall_of_the_measured_throughput(compared):
    note = dense_note(compared)
    assert "from 51.6 to 45.0 TFLOP/s between K = 9216 and 9984" in note


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_every_preset_has_its_source_or_reason(name):
    assert set(PROVENANCE) == set(PRESETS)
    assert set(PROVENANCE[name]) == set(FIELDS)
    for choice in choices([name]):
        assert choice.kind in (DATA_SHEET, MEASURED, CHOSEN)
        assert choice.reason
    assert [choice.field for choice in choices([name])] == FIELDS


def test_rates_of_macs_and_dram_of_gpus_are_facts_and_our_own_designs_are_chosen():
    for name in PRESETS:
        kinds = {choice.field: choice.kind for choice in choices([name])}
        if name in GPUS:
            assert all(kinds[field] == DATA_SHEET for field in FACTS)
        else:
            assert set(kinds.values()) == {CHOSEN}


@pytest.mark.parametrize(
    ("name", "gbyte_per_s", "tflops"), [("rtx3090", 936, 71.2), ("a100-sxm", 1555, 311.9), ("h100-sxm", 3350, 989.4)]
)
def test_facts_are_the_data_sheets(name, gbyte_per_s, tflops):
    boost_mhz = {"rtx3090": 1695, "a100-sxm": 1410, "h100-sxm": 1830}[name]
    config = TensorCoreConfig.preset(name)
    assert config.dram_bytes_per_cycle * int(config.clock_mhz) == 1000 * gbyte_per_s
    macs = config.n_core * config.tc_per_core * config.macs_per_cycle
    assert 2 * macs * boost_mhz / 1e6 == pytest.approx(tflops, abs=0.1)


def test_lines_of_choices_have_every_field_of_every_preset(compared):
    record = gemm_record(compared)
    lines = choice_lines(record)
    for field in FIELDS:
        of_field = [line for line in lines if line.split()[0] == field]
        named = [name for line in of_field for name in line.split("(")[1].split(")")[0].split(", ")]
        assert sorted(named) == sorted(PRESETS), field
