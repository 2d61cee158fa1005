"""Numbers of tables: no negative zero, no 0.00 of what is not zero, a dash where there is nothing to divide by."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.html import Cell, figure, share
from eie_sim.core.numbers import number, percent
from eie_sim.report.network import decibels, energy
from eie_sim.study.showing import row_cells


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.0, 2, "0.00"),
        (-0.0, 4, "0.0000"),
        (0.000123456, 2, "0.000123"),
        (-0.00001234, 4, "-1.23e-05"),
        (0.005, 3, "0.005"),
        (12345.678, 1, "12,345.7"),
        (0.004, 0, "0.004"),
        ("-", 2, "-"),
    ],
)
def test_small_numbers_have_three_digits_and_zero_has_no_sign(value, decimals, shown):
    assert number(value, decimals) == shown


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 6))
def test_no_number_that_is_not_zero_looks_like_zero(value, decimals):
    shown = number(value, decimals)
    assert (float(shown.replace(",", "")) == 0) == (value == 0)
    assert value or not shown.startswith("-")


def test_shares_and_decibels_are_numbers_too():
    assert percent(0.0003) == "<0.1 %"
    assert percent(1e-12, 2) == "<0.01 %"
    assert percent(-0.0) == "0.0 %"
    assert percent(-1e-9) == "0.0 %"
    assert percent(0.0006) == "0.1 %"
    assert percent(0.9, 2) == "90.00 %"
    assert decibels(1.0) == "0.0"
    assert decibels(0.0) == "-"


def test_energy_per_effectual_mac_is_a_dash_where_none_took_place():
    per_mac = {"pj_per_effectual_mac": 0.0, "by_component_pj": {}, "total_nj_per_vector": 1.0, "power_mw_per_pe": 0.001}
    record = {"unit": "eie", "total": {"energy": per_mac}, "energy": per_mac, "effectual_macs": 0}
    columns = {column.heading: column for column in energy(record)}
    assert columns["pJ per\neffectual MAC"].cell(record) == "-"
    assert columns["mW/PE"].cell(record) == "0.001"
    some = record | {"effectual_macs": 3, "energy": per_mac | {"pj_per_effectual_mac": 0.0012345}}
    assert columns["pJ per\neffectual MAC"].cell(some) == "0.00123"


def test_cells_of_notebooks_and_pages_read_as_the_tables_do():
    assert figure(0.0000123, 3) == Cell("1.23e-05", 0.0000123)
    assert share(0.0003) == Cell("<0.1 %", 0.0003)
    assert share(0.5, 2) == Cell("50.00 %", 0.5)


def test_rows_of_a_sweep_show_no_zero_that_is_none():
    row = {"cycles": 12345, "time_us": 0.0000123, "energy_nj": -0.0, "bytes": 4, "accuracy": 0.0003, "unit": "eie"}
    headings, [cells] = row_cells([row], ())
    shown = dict(zip(headings, (cell.text for cell in cells), strict=True))
    assert shown["cycles"] == "12,345"
    assert shown["time\nus"] == "1.23e-05"
    assert shown["energy\nnJ"] == "0.0"
    assert shown["weights\nkB"] == "0.004"
    assert shown["accuracy"] == "<0.1 %"
