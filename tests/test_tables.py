import ast
from pathlib import Path

import pytest

import eie_sim.tables
from eie_sim import tables

FOLDER = Path(eie_sim.tables.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.csv"))


def test_the_tables_are_there():
    assert NAMES == [
        "deep_compression_layers",
        "eie_bars",
        "eie_derived",
        "eie_energy_45nm",
        "eie_table2",
        "eie_table4",
        "gemm24_a100",
        "gemm24_rtx3090",
        "nm_energy_45nm",
        "sparseloop_stc",
        "sram_45nm",
        "tech_scaling",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_complete(name):
    found = tables.rows(name)
    assert found
    assert all(None not in row and None not in row.values() for row in found)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_names_a_source_for_every_table(name):
    row = next(line for line in (FOLDER / "README.md").read_text().splitlines() if f"`{name}.csv`" in line)
    assert row.split("|")[-2].strip()


def test_rows_are_the_callers_to_change():
    tables.rows("eie_table4")[0]["layer"] = "changed"
    assert tables.rows("eie_table4")[0]["layer"] == "Alex-6"


def test_published_values():
    by_layer = {row["layer"]: (row["theoretical_us"], row["actual_us"]) for row in tables.rows("eie_table4")}
    assert len(by_layer) == 9
    assert by_layer["Alex-7"] == ("11.7", "12.2")
    table2 = tables.rows("eie_table2")
    assert table2[0]["power_mw"] == "9.157" and table2[0]["area_um2"] == "638024"


def test_table_2_adds_up():
    table2 = tables.rows("eie_table2")
    for group in ("component", "module"):
        parts = [row for row in table2 if row["group"] == group]
        assert sum(float(row["power_mw"] or 0) for row in parts) == pytest.approx(9.157, abs=0.0011)
        assert sum(int(row["area_um2"]) for row in parts) == 638024


def test_only_the_folder_of_tables_is_read():
    imported = {
        name.name
        for node in ast.walk(ast.parse((FOLDER / "__init__.py").read_text()))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert imported == {"csv"}
