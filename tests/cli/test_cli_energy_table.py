"""--energy-table leaves a trace in text, JSON, run folder, config hash and store, and its run can be repeated."""

import json

import pytest
from pytest import approx

import eie_sim as es
from eie_sim.core.result import config_hash
from eie_sim.energy import EnergyTable, account
from eie_sim.report.reading import read_run

HEADER = "event,energy_pj,source\n"
SWEEP = ("--queue-depth", "1,8", "--node-nm", "45,28", "--workers", "1", "--store", "s.jsonl")


@pytest.fixture(autouse=True)
def tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(HEADER + "macs,2.5,=mine\npadding_entries,0,\nspmat_reads,100,a data sheet\n")
    (tmp_path / "other.csv").write_text(HEADER + "macs,2.6,=mine\npadding_entries,0,\nspmat_reads,100,a data sheet\n")
    (tmp_path / "chip.csv").write_text(HEADER + "macs,0.5,\ndram_bytes,100,\n")


def test_a_run_can_be_repeated_from_its_folder(ask, ask_json, tmp_path):
    run = "run", "hand-8x8", "--node-nm", "28"
    record = ask_json(*run, "--energy-table", "mine.csv", "--out", "first")
    again = ask_json(*run, "--energy-table", "first/energy_table.csv", "--out", "again")
    assert again == record == read_run(tmp_path / "first")
    for name in ("run.json", "layers.csv", "energy_table.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    table = record["energy_table"]
    assert [(one["event"], one["given_pj"], one["source"]) for one in table["given"]] == [
        ("spmat_reads", 100, "a data sheet"),
        ("macs", 2.5, "=mine"),
        ("padding_entries", 0, "given without a source"),
    ]
    assert table["changed"] == ["spmat_reads", "macs"]
    assert {"pe_cycle", "leakage"} <= set(table["default"])
    scaled = EnergyTable.for_config(es.EieConfig(node_nm=28)).energy_pj
    assert {one["event"]: one["default_pj"] for one in table["given"]}["macs"] == scaled["macs"]
    energy = record["total"]["energy"]
    assert (energy["table"], energy["table_sha256"]) == ("given", table["sha256"])
    events = record["total"]["stats"]["events"]
    assert energy["by_event_pj"]["macs"] == approx(2.5 * events["macs"])
    assert energy["by_event_pj"]["pointer_reads"] == approx(scaled["pointer_reads"] * events["pointer_reads"])
    said = ask(*run, "--energy-table", "mine.csv")[1]
    assert f"sha256 {table['sha256'][:12]}: 3 entries of the table as given, the others scaled from 45 to 28 nm" in said
    assert "spmat_reads 16.14 -> 100, macs 0.422 -> 2.5\n" in said
    assert ask("report", "first")[0] == 0
    assert f"sha256 {table['sha256'][:12]}: 3 entries" in (tmp_path / "first" / "report.html").read_text()


def test_the_config_hash_tells_tables_apart_and_is_as_ever_without_one(ask_json):
    records = [ask_json("run", "hand-8x8", *options) for options in ([], ["--energy-table", "mine.csv"])]
    records.append(ask_json("run", "hand-8x8", "--energy-table", "other.csv"))
    assert len({record["config_hash"] for record in records}) == 3
    assert records[0]["energy_table"] is None
    assert records[0]["config_hash"] == config_hash("eie", es.EieConfig().to_dict())


def test_a_run_without_a_table_takes_away_that_of_an_earlier_one(ask, tmp_path):
    for options, there in ((["--energy-table", "mine.csv"], True), ([], False)):
        assert ask("run", "hand-8x8", "--out", "run", *options)[0] == 0
        assert (tmp_path / "run" / "energy_table.csv").exists() is there


def test_a_users_own_table_in_a_folder_without_a_run_is_not_touched(ask, tmp_path):
    own = tmp_path / "run" / "energy_table.csv"
    own.parent.mkdir()
    own.write_text(HEADER)
    code, out, err = ask("run", "hand-8x8", "--out", "run")
    rule = "must be new, or an empty folder, or an earlier run (with run.json in it)"
    assert (code, out) == (2, "")
    assert err == f"error: out=run: {rule}; something else is there and stays as it is\n"
    assert own.read_text() == HEADER


def test_a_sweep_reuses_no_row_of_another_table(ask, ask_json, tmp_path):
    sweep = "sweep", "digits-mlp", *SWEEP
    plain, mine, other, again = (
        ask_json(*sweep, *options)
        for options in ([], *(["--energy-table", name] for name in ("mine.csv", "other.csv", "mine.csv")))
    )
    assert [record["reused"] for record in (plain, mine, other, again)] == [0, 0, 0, 4]
    assert plain["energy_table"] is None
    assert "energy_table" not in plain["rows"][0]
    assert {row["energy_table"] for row in mine["rows"]} == {mine["energy_table"]["sha256"]}
    assert len({row["config_hash"] for record in (plain, mine, other) for row in record["rows"]}) == 12
    for row in mine["rows"]:
        options = "--queue-depth", row["queue_depth"], "--node-nm", row["node_nm"]
        run = ask_json("run", "digits-mlp", *options, "--energy-table", "mine.csv")
        assert row["energy_nj"] == approx(run["total"]["energy"]["total_pj"] / 1e3)
        assert row["config_hash"] == run["config_hash"]
    assert (
        ": 3 entries of the table as given, the others the default ones of each design"
        in ask(*sweep, "--energy-table", "mine.csv")[1]
    )
    assert ask("report", "s.jsonl")[0] == 0
    page = (tmp_path / "s.html").read_text()
    for record in (mine, other):
        assert f"energy table {record['energy_table']['sha256'][:12]}" in page, "rows of two tables share no picture"


def test_a_study_names_its_table_and_the_option_comes_before_it(ask, ask_json, tmp_path):
    (tmp_path / "studies" / "tables").mkdir(parents=True)
    (tmp_path / "mine.csv").rename(tmp_path / "studies" / "tables" / "mine.csv")
    study = 'workload = "digits-mlp"\nenergy_table = "tables/mine.csv"\n[grid]\nqueue_depth = [1, 8]\n'
    (tmp_path / "studies" / "study.toml").write_text(study)
    sweep = "sweep", "studies/study.toml", "--workers", "1", "--store", "s.jsonl"
    of_study, own = ask_json(*sweep), ask_json(*sweep, "--energy-table", "other.csv")
    for record, macs_pj in ((of_study, 2.5), (own, 2.6)):
        assert {one["event"]: one["given_pj"] for one in record["energy_table"]["given"]}["macs"] == macs_pj
    assert (own["points"], own["reused"]) == (2, 0)
    (tmp_path / "studies" / "tables" / "mine.csv").unlink()
    code, out, err = ask(*sweep)
    assert (code, out) == (2, "")
    assert err == "error: energy_table=studies/tables/mine.csv: no such file\n"


def test_workers_and_the_nm_unit_take_it_too(ask_json, tmp_path):
    options = "--chip", "a100-sxm", "--pattern", "2:4", "--energy-table", "chip.csv", "--store", "s.jsonl"
    record = ask_json("sweep", "digits-mlp", *options)
    config = es.TensorCoreConfig.preset("a100-sxm")
    table = EnergyTable.from_csv((tmp_path / "chip.csv").read_text(), config)
    shapes = [layer.weights.shape for layer in es.load("digits-mlp").layers]
    results = [es.simulate_gemm(*shape, 360, config, n_keep=2, m_group=4) for shape in shapes]
    assert record["rows"][0]["energy_nj"] == approx(sum(account(result, table).total_pj for result in results) / 1e3)
    one, two = (
        es.sweep.run(
            "digits-mlp",
            grid={"queue_depth": range(1, 9)},
            table=EnergyTable.from_csv((tmp_path / "mine.csv").read_text(), es.EieConfig()),
            workers=workers,
        )
        for workers in (1, 2)
    )
    assert one.lines == two.lines
    assert one.energy_table["changed"] == ["spmat_reads", "macs"]


def test_a_search_takes_it(ask_json):
    pytest.importorskip("optuna")
    options = "--queue-depth", "1..4", "--optimize", "cycles,energy_nj", "--trials", "2", "--energy-table", "mine.csv"
    record = ask_json("sweep", "digits-mlp", *options, "--store", "s.jsonl")
    assert {row["energy_table"] for row in record["rows"]} == {record["energy_table"]["sha256"]}


def test_a_comparison_takes_it_for_the_chip_and_eie_reads_the_same_dram(ask, ask_json):
    compare = "compare", "digits-mlp", "--layer", "fc3", "--batches", "1", "--densities", "0.1"
    plain, own = ask_json(*compare), ask_json(*compare, "--energy-table", "chip.csv")
    assert plain["energy_table"] is None
    assert plain["config_hash"] != own["config_hash"]
    assert set(own["energy_table"]["changed"]) == {"macs", "dram_bytes"}
    for before, after in zip(plain["rows"], own["rows"], strict=True):
        eie = after["unit"] == "eie"
        assert (after["energy_nj"] < before["energy_nj"]) is not eie, "cheaper MACs, and no DRAM"
        assert after["energy_nj"] <= before["energy_nj"]
        assert {name for name in after if after[name] != before[name]} <= {"energy_nj", "energy_nj_dram"}
        if eie:
            dearer = (100 - 64) * after["dram_bytes"] / 1e3
            assert after["energy_nj_dram"] - before["energy_nj_dram"] == approx(dearer)
    assert "nm-64: energy table given, sha256" in (said := ask(*compare, "--energy-table", "chip.csv")[1])
    assert "EIE: the chip's DRAM, as given, and else default energies\n" in said


@pytest.mark.parametrize(
    ("command", "extra"),
    [("run", []), ("sweep", list(SWEEP)), ("compare", ["--layer", "fc3"])],
    ids=["run", "sweep", "compare"],
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("mac,1,\n", "line 2: event=mac: unknown; did you mean macs?"),
        ("macs,-1,\n", "line 2: energy_pj=-1: must be a number of pJ in 0..1e+09"),
        ("macs,nan,\n", "line 2: energy_pj=nan: must be a number of pJ in 0..1e+09"),
        ("macs,1,\nmacs,1,\n", "line 3: event=macs: is there already"),
    ],
)
def test_bad_tables_are_one_line_and_leave_nothing(ask, tmp_path, command, extra, text, said):
    if text is not None:
        (tmp_path / "bad.csv").write_text(HEADER + text)
    before = sorted(tmp_path.iterdir())
    code, out, err = ask(command, "digits-mlp", *extra, "--energy-table", "bad.csv")
    assert (code, out, err) == (2, "", f"error: energy_table=bad.csv: {said}\n")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "digits-mlp"], "energy_table=mine.csv: line 3: event=padding_entries: unknown"),
        (
            ["sweep", "digits-mlp", "--unit", "nm", "--clock-mhz", "800"],
            "energy_table=mine.csv: line 3: event=padding_",
        ),
        (
            ["sweep", "digits-mlp", "--unit", "eie,nm", "--clock-mhz", "800"],
            "table=given: must be one for the nm unit, wh",
        ),
    ],
)
def test_a_table_of_eie_is_none_for_the_nm_unit(ask, tmp_path, arguments, said):
    before = sorted(tmp_path.iterdir())
    code, out, err = ask(*arguments, "--energy-table", "mine.csv")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {said}")
    assert sorted(tmp_path.iterdir()) == before


def test_a_record_whose_trace_is_damaged_is_one_line(ask, tmp_path):
    assert ask("run", "hand-8x8", "--energy-table", "mine.csv", "--out", "run")[0] == 0
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["energy_table"]["given"][0]["given_pj"] = -1
    path.write_text(json.dumps(record))
    code, out, err = ask("report", "run")
    assert (code, out) == (2, "")
    assert err == "error: run=run: run.json is damaged: energy_table.given[0].given_pj: expected `float` >= 0.0\n"
