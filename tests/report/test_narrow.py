"""Tables and lines within the terminal's width."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from eie_sim.cli import main
from eie_sim.report.text import Screen, TextTable

COMMANDS = [
    ["run", "digits-mlp"],
    ["run", "digits-mlp", "--unit", "nm-64"],
    ["compare", "digits-mlp", "--batches", "1"],
    ["footprint", "digits-mlp"],
    ["presets"],
    ["prune", "digits-mlp", "--density", "0.2"],
    ["energy"],
    ["sensitivity", "digits-mlp", "--densities", "0.5"],
]


def printed(capsys, *arguments):
    assert main([str(one) for one in arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_printed_fits_80_columns_and_ends_in_no_space(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, *command)
    assert max(map(cell_len, lines)) <= 80
    assert not any(line.endswith(" ") for line in lines)
    if any("more: --full" in line for line in lines):
        whole = printed(capsys, *command, "--full")
        assert len(max(whole, key=len)) > 80 and not any("more: --full" in line for line in whole)


def test_a_comparison_of_a_graph_names_its_rows(capsys, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(capsys, "compare", "digits-gru", "--patterns", "2:4", "--densities", "0.3")
    assert [line.split()[0] for line in lines[1:5]] == ["batch", "1", "2:4", "EIE"]
    assert lines[1].split()[1] == "unit" and lines[2].split()[1] == "dense"


def test_a_terminal_of_20_columns_has_a_name_and_a_figure(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    lines = printed(capsys, "run", "digits-mlp")
    assert max(map(cell_len, lines)) <= 20
    assert "fc1        58.5" in lines


cells = st.lists(st.lists(st.text("ab 1", max_size=12), min_size=4, max_size=4), min_size=1, max_size=4)


@given(cells, st.integers(20, 60), st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_columns_go_by_rank_and_figures_are_never_cut(body, width, ranks):
    headings = ["name", "one", "two", "three"]
    rank = dict(zip(headings[1:], ranks, strict=True))
    screen = Screen()
    screen.width = width
    screen.file = io.StringIO()
    screen.print(TextTable(headings, body, text={0}, rank=rank))
    lines = screen.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    there = [one for one in headings[1:] if re.search(rf"\b{one}\b", lines[0])]
    wide = {one: max(len(one), *(len(row[at]) for row in body)) for at, one in enumerate(headings)}
    gone = [one for one in headings[1:] if one not in there]
    assert (f"{len(gone)} column{'s' if len(gone) > 1 else ''} more: --full" in " ".join(lines)) == bool(gone)
    first = min(wide["name"], max(12, width * 2 // 5))
    for one in gone:  # there was no room for it beside those that matter more
        before = [other for other in there if (rank[other], headings.index(other)) < (rank[one], headings.index(one))]
        assert before and first + sum(2 + wide[other] for other in [*before, one]) > width


def test_a_terminal_of_unknown_width_is_80_wide(monkeypatch, capsys):
    found = {}
    for columns in ("0", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        found[columns] = printed(capsys, "run", "hand-8x8")
    assert "verified" in found["80"]
    assert found["0"] == found["80"]
