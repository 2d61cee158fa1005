"""No text of a CSV file is a formula to a spreadsheet, and all of them come back."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.core.spreadsheet import csv_text, unquoted
from eie_sim.energy import EnergyTable
from eie_sim.report.folder import layers_csv

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.from_regex("^'*[=+@\t\r-].?")


def cells(text):
    return list(csv.reader(io.StringIO(text, newline="")))


@given(texts)
@example("'=1")
@example("''")
@example("\r")
def test_a_text_comes_back_and_begins_no_formula(text):
    ((cell, _),) = cells(csv_text([(text, 1)]))
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert unquoted(cell) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_what_begins_like_a_formula_is_quoted(text):
    assert cells(csv_text([[text]])) == [["'" + text]]


def test_numbers_stay_numbers_and_other_texts_as_they_are():
    assert csv_text([(-1.5, 2, None, True, "fc1", "a=b", "'tis", "'")]) == "-1.5,2,,True,fc1,a=b,'tis,'\n"


HOSTILE = '=HYPERLINK("http://x")'


def test_every_csv_of_the_package_quotes(tmp_path):
    es.sweep.write_csv([{HOSTILE: HOSTILE, "load": -1.5}], tmp_path / "rows.csv")
    assert cells((tmp_path / "rows.csv").read_text()) == [["'" + HOSTILE, "load"], ["'" + HOSTILE, "-1.5"]]
    assert cells(layers_csv({"layers": [{"name": HOSTILE, "bits": -2}]})) == [["name", "bits"], ["'" + HOSTILE, "-2"]]


def test_a_table_of_energies_comes_back():
    config = es.EieConfig(n_pe=4)
    table = EnergyTable.for_config(config)
    row = table.rows[0]
    given = EnergyTable.from_csv(csv_text([("event", "energy_pj", "source"), (row.event, 2.0, HOSTILE)]), config)
    assert given.rows[0].source == HOSTILE
    assert "'" + HOSTILE.replace('"', '""') in given.to_csv()
    again = EnergyTable.from_csv(given.to_csv(), config)
    assert [(row.event, row.energy_pj, row.source) for row in again.rows] == [
        (row.event, row.energy_pj, row.source) for row in given.rows
    ]
