"""Run folders: what eie-sim run keeps, twice, at once, and where writing fails."""

import csv
import io
import json
import os
import subprocess
import sys
import time

import pytest
from asking import contents, start

from eie_sim.report.folder import LAYERS, RECORD, layers_csv, write_run


def test_out_keeps_the_record_and_a_row_per_layer(ask, ask_json, chain, tmp_path):
    folder = tmp_path / "new" / "run"
    code, out, err = ask("run", chain, "--out", folder)
    assert (code, err, out.splitlines()[-2]) == (0, "", "verified")
    assert sorted(path.name for path in folder.iterdir()) == [LAYERS, RECORD]
    record = json.loads((folder / RECORD).read_text())
    assert record == ask_json("run", chain)
    assert (folder / LAYERS).read_text() == layers_csv(record)
    rows = list(csv.DictReader(io.StringIO((folder / LAYERS).read_text())))
    assert [row["name"] for row in rows] == ["fc1", "fc2"]
    for row, layer in zip(rows, record["layers"], strict=True):
        assert int(row["cycles"]) == layer["cycles"]
        assert int(row["stats.events.macs"]) == layer["stats"]["events"]["macs"]
        assert int(row["memories.register_file.needed"]) == layer["memories"][-1]["needed"]
        assert float(row["energy.total_pj"]) == layer["energy"]["total_pj"]
        assert row["inputs"] == layer["inputs"]
        assert row["verification.ok"] == "True"


def test_the_second_run_is_byte_identical(ask, chain, tmp_path):
    options = ["run", chain, "--activation-density", "0.5", "--seed", "3", "--out"]
    assert ask(*options, tmp_path / "a")[0] == 0
    first = contents(tmp_path / "a")
    assert ask(*options, tmp_path / "a")[0] == 0
    assert contents(tmp_path / "a") == first
    elsewhere = start(*options, tmp_path / "b", capture_output=True, cwd=tmp_path, env={"PYTHONHASHSEED": "5"})
    assert elsewhere.returncode == 0
    assert contents(tmp_path / "b") == first
    assert str(tmp_path) not in (tmp_path / "a" / RECORD).read_text(), "a record holds no path of the machine"


def test_an_empty_folder_and_an_earlier_run_may_be_written_to(ask, chain, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    assert ask("run", chain, "--out", folder)[0] == 0
    old = (folder / RECORD).read_text()
    (folder / "notes.txt").write_text("kept")
    assert ask("run", chain, "--n-pe", 4, "--out", folder)[0] == 0
    assert (folder / RECORD).read_text() != old
    assert (folder / "notes.txt").read_text() == "kept"


def test_a_run_that_was_cut_off_between_its_files_can_be_run_again(ask, chain, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LAYERS).write_text("name\n")
    (folder / f".{RECORD}.abc").write_text("half")
    assert ask("run", chain, "--out", folder)[0] == 0
    assert (folder / RECORD).exists()
    assert len((folder / LAYERS).read_text().splitlines()) == 3


@pytest.mark.parametrize("failing", ["replace", "fsync", "open"])
def test_a_write_that_fails_leaves_the_old_files_and_nothing_temporary(ask, chain, tmp_path, monkeypatch, failing):
    folder = tmp_path / "run"
    assert ask("run", chain, "--out", folder)[0] == 0
    before = contents(folder)

    def full(*_given, **_options):
        raise OSError(28, "No space left on device")

    real = os.open
    if failing == "open":  # what is there keeps its permissions, so that its mode is asked for
        monkeypatch.setattr("os.open", lambda path, *rest, **way: full() if way else real(path, *rest))
    else:
        monkeypatch.setattr({"replace": "pathlib.Path.replace", "fsync": "os.fsync"}[failing], full)
    code, out, err = ask("run", chain, "--n-pe", 4, "--out", folder)
    assert (code, out) == (2, "")
    assert err == f"error: out={folder}: cannot be written: No space left on device\n"
    assert contents(folder) == before


def test_runs_into_one_folder_at_once_take_turns(ask_json, chain, tmp_path):
    folder, first_run, second_run = tmp_path / "run", ask_json("run", chain), ask_json("run", chain, "--n-pe", 4)
    (tmp_path / "first.json").write_text(json.dumps(first_run))
    program = """
import json, sys, time
from pathlib import Path
from eie_sim.report.folder import write_run
real = Path.replace
def slow(self, target):
    real(self, target)
    time.sleep(0.5)  # between its two files
Path.replace = slow
write_run(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
"""
    with subprocess.Popen([sys.executable, "-c", program, folder, tmp_path / "first.json"]) as first:
        while not (folder / LAYERS).exists():
            assert first.poll() is None
            time.sleep(0.01)
        write_run(folder, second_run)
    assert first.returncode == 0
    assert (folder / LAYERS).read_text() == layers_csv(second_run) != layers_csv(first_run)
    assert json.loads((folder / RECORD).read_text()) == second_run
    assert sorted(path.name for path in folder.iterdir()) == [LAYERS, RECORD]


def test_a_folder_that_cannot_be_looked_into_is_one_line(ask, chain, tmp_path, monkeypatch):
    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    code, out, err = ask("run", chain, "--out", folder)
    assert (code, out, err) == (2, "", f"error: out={folder}: cannot be written: Permission denied\n")
