"""eie-sim sweep: what it prints, keeps and exits with."""

import csv
import json

import pytest

from eie_sim.study.file import read_study

STUDY = """
workload = "digits-mlp"
store = "kept.jsonl"

[grid]
n_pe = [4, 16]
queue_depth = "1,2,4,...,16"

[[points]]
n_pe = 64
density = 0.1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_small_sweep_is_a_table_of_all_points(ask, folder):
    code, out, err = ask("sweep", "digits-mlp", "--n-pe", "4,16", "--queue-depth", "1,8", "--workers", "1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["n_pe", "queue_depth"]
    assert [line.split()[:2] for line in lines[2:6]] == [["4", "1"], ["4", "8"], ["16", "1"], ["16", "8"]]
    assert "digits-mlp: 4 points, 0 of them reused, 0 failed; seed 0" in lines
    assert "rows in digits-mlp.sweep.jsonl; the same command goes on from there" in lines
    assert len((folder / "digits-mlp.sweep.jsonl").read_text().splitlines()) == 4
    _, again, _ = ask("sweep", "digits-mlp", "--n-pe", "4,16", "--queue-depth", "1,8", "--workers", "1")
    assert again == out.replace("4 points, 0 of them reused", "4 points, 4 of them reused")


def test_a_large_sweep_shows_the_fastest_and_the_front(ask, folder):
    code, out, _ = ask(
        *("sweep", "digits-mlp", "--n-pe", "1,2,4,...,64", "--queue-depth", "1..8", "--workers", "1"),
        *("--pareto", "cycles,area_mm2"),
    )
    assert code == 0
    assert "fewest cycles for each n_pe, of 56 points" in out
    assert "not beaten in cycles, area_mm2: " in out
    fastest = out.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in fastest[3:]] == ["1", "2", "4", "8", "16", "32", "64"] or "register" in out


def test_json_has_all_rows_with_their_provenance(ask, folder):
    code, out, _ = ask(
        *("sweep", "digits-mlp", "--density", "0.1,0.2", "--unit", "eie,nm", "--workers", "1", "--json"),
        *("--store", "x.jsonl", "--seed", "3"),
    )
    record = json.loads(out)
    assert code == 0
    assert (record["workload"], record["seed"], record["store"]) == ("digits-mlp", 3, "x.jsonl")
    assert (record["points"], record["failed"], record["axes"]) == (4, 0, ["unit", "density"])
    assert [row["unit"] for row in record["rows"]] == ["eie", "nm", "eie", "nm"]
    assert set(record["front"]) <= {row["key"] for row in record["rows"]}
    assert all(len(row["config_hash"]) == 12 for row in record["rows"])
    assert record["versions"]["eie_sim"]


def test_rows_are_written_as_a_table(ask, folder):
    code, _, _ = ask("sweep", "digits-mlp", "--n-pe", "4,16", "--workers", "1", "--out", "t.csv")
    with (folder / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert [row["n_pe"] for row in rows] == ["4", "16"]
    assert ask("sweep", "digits-mlp", "--n-pe", "4", "--out", "t.xls") == (
        2,
        "",
        "error: out=t.xls: must end in .csv or .parquet\n",
    )


def test_a_study_is_kept_in_a_file(ask, folder):
    (folder / "study.toml").write_text(STUDY)
    code, out, _ = ask("sweep", "study.toml", "--json", "--workers", "1")
    record = json.loads(out)
    assert code == 0
    assert (record["workload"], record["points"]) == ("digits-mlp", 11)
    assert (record["rows"][-1]["n_pe"], record["rows"][-1]["density"]) == (64, 0.1)
    assert (folder / "kept.jsonl").exists()
    code, out, _ = ask("sweep", "study.toml", "--json", "--workers", "1", "--queue-depth", "1", "--seed", "1")
    assert [row["n_pe"] for row in json.loads(out)["rows"]] == [4, 16, 64]
    assert json.loads(out)["seed"] == 1
    assert read_study(folder / "study.toml")["seed"] == 0


def test_points_that_fail_are_told_and_the_exit_code_is_1(ask, folder):
    code, out, err = ask("sweep", "digits-mlp", "--node-nm", "45,44", "--workers", "1")
    assert (code, err) == (1, "")
    assert "2 points, 0 of them reused, 1 failed" in out
    assert "! 1 failed: node_nm=44: no scaling factors" in out


def test_a_search_runs_as_many_designs_as_asked(ask, folder):
    pytest.importorskip("optuna")
    code, out, _ = ask(
        *("sweep", "digits-mlp", "--n-pe", "1,2,4,...,64", "--queue-depth", "1..16", "--index-bits", "2..6"),
        *("--optimize", "energy_nj,area_mm2", "--trials", "30", "--workers", "1"),
    )
    assert code == 0
    assert "digits-mlp: 30 points, 0 of them reused, 0 failed" in out
    assert "not beaten in energy_nj, area_mm2" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["digits-mlp"], "axes=none: must vary something, as --queue-depth 1..16 does"),
        (["digits-ml", "--n-pe", "4"], "workload=digits-ml: unknown; did you mean digits-mlp"),
        (["digits-mlp", "--n-pe", "0"], "n_pe=0: must be an integer in 1..65536"),
        (["digits-mlp", "--n-pe", "4", "--pareto", "cycles"], "pareto=cycles: must be two or more"),
        (["digits-mlp", "--n-pe", "4", "--pareto", "cycles,enrgy"], "did you mean energy_nj"),
        (["digits-mlp", "--n-pe", "4", "--trials", "9"], "trials=9: needs --optimize"),
        (["digits-mlp", "--n-pe", "4", "--workers", "0"], "workers=0: must be an integer in 1..1024"),
        (["study.toml"], "study.toml"),
        (["digits-mlp", "--n-pe", "4", "--store", "."], "store=.: "),
        (["digits-mlp", "--layer", "fc9"], "layer=fc9: unknown; did you mean fc"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(ask, folder, options, message):
    code, out, err = ask("sweep", *options)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert not [path for path in folder.iterdir() if path.stat().st_size]
