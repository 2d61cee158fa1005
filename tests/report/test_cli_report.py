"""eie-sim report: what it writes, prints and exits with, and what it refuses before anything is written."""

import json
import os
import re
import subprocess
import sys

import pytest

from eie_sim.report.folder import write_run
from eie_sim.report.page import files


@pytest.fixture
def run(tmp_path, record):
    write_run(tmp_path / "run", record)
    return tmp_path / "run"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_run_is_reported_into_its_folder(ask, run, record, undrawn):
    code, out, err = ask("report", run)
    assert (code, err) == (0, "")
    first, *inputs, last = out.splitlines()
    assert (first, last) == (f"report: {run / 'report.html'}", "verified")
    assert inputs == [f"inputs of {layer['name']}: {layer['inputs']}" for layer in record["layers"]]
    assert names(run) == ["layers.csv", "report.html", "run.json"]
    before = (run / "report.html").read_bytes()
    assert ask("report", run / "run.json")[0] == 0
    assert (run / "report.html").read_bytes() == before


def test_json_says_what_was_written(ask, run, record, tmp_path, undrawn):
    out, figures = tmp_path / "page.html", tmp_path / "figures"
    code, printed, err = ask("report", run, "--out", out, "--figures", figures, "--json")
    assert (code, err) == (0, "")
    said = json.loads(printed)
    assert said.pop("figures") == [
        str(figures / f"{name}{suffix}")
        for name in ("classes", "energy", "roofline", "storage")
        for suffix in (".png", ".svg")
    ]
    assert said == {
        "report": str(out),
        "network": "random",
        "config_hash": record["config_hash"],
        "seed": 0,
        **{name: record[name] for name in ("inputs", "not_simulated", "coverage")},
        "verified": True,
    }
    assert names(run) == ["layers.csv", "run.json"]
    assert (figures / "classes.png").read_bytes().startswith(b"\x89PNG")
    assert (figures / "classes.svg").read_text().startswith("<?xml")


def test_what_is_not_verified_ends_in_exit_code_1(ask, run, record, undrawn):
    record["layers"][0]["verification"] |= {"ok": False, "wrong_outputs": 3}
    record["verified"] = False
    write_run(run, record)
    code, out, err = ask("report", run)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "NOT VERIFIED"


def test_a_sweep_is_reported_beside_its_store(ask, swept, tmp_path, undrawn):
    store = tmp_path / "fc.sweep.jsonl"
    store.write_bytes(swept.read_bytes() + b"damaged\n")
    code, out, err = ask("report", store)
    assert (code, err) == (0, "")
    assert out == f"report: {tmp_path / 'fc.html'}\nnot verified: not asked for\n"
    assert "1 line of the store left out" in (tmp_path / "fc.html").read_text()
    assert names(tmp_path) == ["fc.html", "fc.sweep.jsonl"]


def test_a_run_goes_into_a_folder_that_has_a_report(ask, run, record, tmp_path, undrawn):
    assert ask("report", run)[0] == 0
    before = (run / "run.json").read_bytes()
    write_run(run, record)
    assert (run / "run.json").read_bytes() == before
    (run / "run.json").unlink()
    (run / ".report.html.x7").touch()  # of a report that was cut off
    write_run(run, record)
    assert ask("report", run)[0] == 0


def test_bad_input_is_one_line_and_exit_code_2(ask, run, swept, tmp_path):
    (tmp_path / "empty.sweep.jsonl").touch()
    (tmp_path / "notes.txt").write_text("no store\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken.html").mkdir()
    (tmp_path / "theirs.sweep.jsonl").write_bytes(swept.read_bytes())
    (tmp_path / "theirs.html").write_text("<html>mine</html>\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for arguments, said in [
        (["none"], "run=.*none: no such folder or file"),
        (["empty"], r"run=.*empty: must be a folder of eie-sim run --out \(no run.json in it\)"),
        (["empty.sweep.jsonl"], "store=.*: holds no rows"),
        (["notes.txt"], "store=.*: must be the store of a sweep"),
        (["run", "--out", "page.txt"], "out=.*: must end in .html"),
        (["run", "--out", "taken.html"], "out=.*: must be an ordinary file"),
        (["run", "--out", "none/page.html"], "out=.*: must be in a folder that exists"),
        (["run", "--figures", "notes.txt"], "figures=.*: must be a folder"),
        (["run", "--figures", "none/figures"], "figures=.*: must be a folder"),
        (
            ["theirs.sweep.jsonl"],
            "out=.*theirs.html: must be new, or a report; something else is there",
        ),
    ]:
        given = [word if word.startswith("--") else str(tmp_path / word) for word in arguments]
        code, out, err = ask("report", *given)
        assert (code, out) == (2, "")
        assert re.fullmatch(f"error: {said}.*\n", err), err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 3}', "\xff"])
def test_a_damaged_run_is_one_line_and_no_page(ask, run, text):
    (run / "run.json").write_text(text)
    code, out, err = ask("report", run)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: run={run}: ")
    assert names(run) == ["layers.csv", "run.json"]


def test_a_file_that_the_user_names_is_replaced_also_through_a_link(ask, run, tmp_path, undrawn):
    (tmp_path / "old.html").write_text("old")
    (tmp_path / "page.html").symlink_to("old.html")
    assert ask("report", run, "--out", tmp_path / "page.html")[0] == 0
    assert (tmp_path / "old.html").read_text().endswith("</html>\n")
    assert (tmp_path / "page.html").is_symlink() and names(tmp_path) == ["old.html", "page.html", "run"]


def test_a_store_is_never_written_over(ask, swept, tmp_path):
    store = tmp_path / "fc.html"
    store.write_bytes(swept.read_bytes())
    code, _, err = ask("report", store, "--out", store)
    assert code == 2
    assert "must be another file than the run's own" in err
    assert store.read_bytes() == swept.read_bytes()


def test_a_full_disk_is_one_line(ask, run, monkeypatch, undrawn):
    def full(contents):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    code, _, err = ask("report", run)
    assert (code, err) == (2, f"error: out={run / 'report.html'}: cannot be written: No space left on device\n")
    assert names(run) == ["layers.csv", "run.json"]


def test_neither_settings_nor_displays_nor_hash_seeds_change_a_byte(ask, run, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 30\nno setting\n")
    elsewhere = {"MPLBACKEND": "nonsense", "MPLCONFIGDIR": os.devnull, "PYTHONHASHSEED": "7"}
    program = "import sys; from eie_sim.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "report", "run", "--out", "page.html"]
    given = {"cwd": tmp_path, "env": os.environ | elsewhere, "timeout": 120}
    done = subprocess.run(words, check=False, capture_output=True, text=True, **given)
    assert (done.returncode, done.stdout.splitlines()[0], done.stderr) == (0, "report: page.html", "")
    assert ask("report", run)[0] == 0
    assert (tmp_path / "page.html").read_bytes() == (run / "report.html").read_bytes()
