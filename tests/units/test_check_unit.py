"""eie-sim check-unit: a table and a last line, and what is wrong in one line each."""

import json
import os
import subprocess
import sys

import pytest
from readme import NEW_UNIT
from registering import install, path_with

import eie_sim as es
from eie_sim.cli import main
from eie_sim.units import testing, testing_runs

COMMAND = "import sys; from eie_sim.cli import main; sys.exit(main())"


@pytest.fixture
def ask(capsys, tmp_path, monkeypatch):
    """Run the command in this process, in an empty folder: (exit code, standard output, standard error)."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def ask(*arguments):
        code = main(["check-unit", *arguments])
        assert list(folder.iterdir()) == [], "hypothesis keeps what it finds elsewhere"
        return code, *capsys.readouterr()

    return ask


@pytest.fixture
def few_rules(monkeypatch):
    """Only the rules that take no time."""
    quick = {rule: kind for rule, kind in testing.RULES.items() if kind == "once"}
    monkeypatch.setattr(testing, "RULES", {**quick, testing_runs.engines: "cases"})


def test_a_table_within_80_columns_and_a_last_line(toy, ask):
    code, out, err = ask("toy", "--examples", "4")
    assert (code, err) == (0, "")
    heading, *rows, _, last = out.splitlines()
    assert heading.split() == ["check", "examples", "found"]
    assert [row.split()[-1] for row in rows] == ["passed"] * len(testing.RULES)
    assert last == f"unit toy: {len(testing.RULES)} checks, all passed"
    assert all(len(line) <= 80 for line in out.splitlines())


def test_what_fails_is_said_and_ends_with_exit_code_1(installed, few_rules, ask):
    installed(toy="broken_toys:A_CYCLE_MORE")
    code, out, err = ask("toy", "--examples", "4")
    assert (code, err) == (1, "")
    *_, fault, last = out.splitlines()
    assert fault == ("engines: default design, weights 1x1, activations 1: cycles 2 and 1 of fast and reference")
    assert f"    {fault}\n" in NEW_UNIT.read_text(), "the document shows this one"
    assert last == f"unit toy: {len(testing.RULES)} checks, 1 of them failed"
    assert "engines" in next(line for line in out.splitlines() if "1 fault" in line)


def test_a_package_that_ends_the_program_is_named_and_the_others_work(tmp_path):
    (tmp_path / "ends.py").write_text("raise SystemExit(3)")
    install(tmp_path / "installed", {"ends": "ends:UNIT"}, "ends")
    environment = {**os.environ, "PYTHONPATH": path_with(tmp_path / "installed", tmp_path)}
    for arguments, code, said in (
        (["run", "hand-8x8", "--n-pe", "4"], 0, ""),
        (["compare", "hand-8x8", "--batches", "1", "--json"], 0, ""),
        (
            ["compare", "hand-8x8", "--on", "eie,ends"],
            2,
            "error: unit=ends: package ends fails to load, SystemExit: 3\n",
        ),
        (["check-unit", "ends"], 2, "error: unit=ends: package ends fails to load, SystemExit: 3\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (code, said)
        if "--json" in arguments:
            assert json.loads(done.stdout)["not_compared"] == ["unit=ends: package ends fails to load, SystemExit: 3"]


def test_an_error_of_a_unit_is_one_line_that_names_it(installed, capsys):
    installed(toy="broken_toys:AN_ERROR")
    assert main(["run", "digits-mlp", "--unit", "toy"]) == 2
    assert capsys.readouterr().err == "error: unit=toy: its own code fails, AssertionError: too many\n"
    swept = es.sweep.run("digits-mlp", points=[{"unit": "toy"}, {"n_pe": 4}], workers=1)
    assert [row["error"] for row in swept.rows] == ["unit=toy: its own code fails, AssertionError: too many", None]


def test_the_same_as_json(installed, few_rules, ask):
    installed(toy="broken_toys:WORDS_WITHOUT_AN_EVENT")
    code, out, err = ask("toy", "--json")
    record = json.loads(out)
    assert (code, err, record["unit"], record["ok"]) == (1, "", "toy", False)
    by_name = {one["name"]: one for one in record["checks"]}
    assert by_name["words"]["faults"] == ["event row_starts: words lack it"]
    assert by_name["engines"]["n_example"] == 25
    assert all(one["meaning"] for one in record["checks"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ei"], "error: unit=ei: unknown; did you mean eie?"),
        (["eie", "--examples", "0"], "error: examples=0: must be an integer in 1..100000"),
        (["eie", "--examples", "many"], "error: examples=many: must be an integer"),
        ([], 'error: Command "check-unit" parameter NAME requires an argument.'),
    ],
)
def test_bad_input_is_one_line(ask, words, said):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert len(err.splitlines()) == 1


def test_without_hypothesis_it_says_what_to_install(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    code, out, err = ask("eie")
    assert (code, out) == (2, "")
    assert err == "error: hypothesis=missing: must be installed, as by pip install 'eie-sim[test]'\n"


def test_progress_names_the_checks(toy, few_rules, ask, monkeypatch):
    steps = []
    monkeypatch.setattr("rich.status.Status.update", lambda _status, step, **_options: steps.append(str(step)))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    ask("toy", "--examples", "1")
    assert steps == [f"toy: {rule.__name__}" for rule in testing.RULES]


def in_a_process(folder, *words):
    """The command in a process that finds packages in a folder."""
    command = [sys.executable, "-c", COMMAND, *words]
    environment = {"PYTHONPATH": path_with(folder)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_a_package_that_fails_to_load_leaves_the_other_units(tmp_path):
    install(tmp_path, {"lost": "no_such_module:UNIT"}, "lost-units")
    install(tmp_path)
    code, _, err = in_a_process(tmp_path, "check-unit", "lost")
    assert code == 2
    assert err.startswith("error: unit=lost: package lost-units fails to load, ModuleNotFoundError: No module named")
    assert len(err.splitlines()) == 1
    code, out, err = in_a_process(tmp_path, "check-unit", "toy", "--examples", "2")
    assert (code, err) == (0, "")
    assert out.endswith("all passed\n")


def test_two_packages_with_a_unit_of_one_name_are_both_named(tmp_path):
    install(tmp_path)
    install(tmp_path, package="other")
    code, out, err = in_a_process(tmp_path, "check-unit", "toy")
    assert (code, out) == (2, "")
    assert err == "error: unit=toy: must be of one package, but toy and other both have a unit of this name\n"
