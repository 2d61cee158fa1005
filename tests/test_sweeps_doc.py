"""docs/sweeps.md and docs/clusters.md tell the truth: commands, columns, and scripts, with stand-ins for clusters."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import types
from importlib.util import find_spec

import pytest
from readme import CLUSTERS, ROOT, SWEEPS

import eie_sim as es
from eie_sim.cli import main
from eie_sim.prune.recipe import Recipe
from eie_sim.study.showing import FIGURES
from eie_sim.units import unit_named, unit_of

TEXT = SWEEPS.read_text() + CLUSTERS.read_text()
FENCED = re.compile(r"(?:<!-- (?P<mark>[^\n]+?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)```\n", re.DOTALL)
POINT = ["key", "version", "workload", "seed", "layer", "pattern", "criterion", "density", "vector", "unit"]


def blocks(language, mark=None):
    """Blocks of a language that have a mark, or none."""
    return [found["text"] for found in FENCED.finditer(TEXT) if (found["language"], found["mark"]) == (language, mark)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the study of the document, as the current one."""
    (tmp_path / "study.toml").write_text(*blocks("toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(mark=None):
    return [line for block in blocks("sh", mark) for line in block.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_commands_run(command, folder, capsys):
    if "--optimize" in command:
        pytest.importorskip("optuna")
    program, *arguments = command.split()
    assert program == "eie-sim" and main(arguments) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert " 0 failed" in printed and ".jsonl; the same command goes on from there" in printed
    assert str(folder) not in printed.replace(str(folder / "digits.jsonl"), "")  # a study's store is beside the study


@pytest.mark.slow
@pytest.mark.parametrize("command", commands("slow"))
def test_commands_on_large_layers_run(command, folder, capsys):
    assert main(command.split()[1:]) == 0, capsys.readouterr().err


def test_nothing_escapes_the_tests():
    """Every block is output, run, or of a kind that only a cluster understands."""
    known = {("sh", None), ("sh", "slow"), ("toml", None), ("python", None), ("python", "dask"), ("bash", "dask")}
    known |= {("bash", "slurm"), ("dockerfile", None), ("yaml", None), ("console", None)}
    found = {(block["language"], block["mark"]) for block in FENCED.finditer(TEXT)}
    assert {each for each in found if not (each[1] or "").startswith("output: ")} == known
    assert len(commands()) >= 5 and len(commands("slow")) == 2 and len(blocks("python", "dask")) == 3


def test_python_examples_run(folder):
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, names)
    assert len(names["found"].rows) == 4 and (folder / "rows.csv").exists()
    assert printed.getvalue().startswith("96 0 0\n")


def test_columns_are_those_of_rows():
    found = es.sweep.run(
        "digits-mlp", points=[{"density": 0.25, "n_pe": 4}, {"density": 0.25, "unit": "nm"}, {"pattern": "2:4"}]
    )
    eie, nm, two_of_four = found.rows
    recipe = {*Recipe().to_dict()} - {*POINT}
    for row, config in ((eie, es.EieConfig()), (nm, es.TensorCoreConfig())):
        identity = [name for name in row if name in POINT]
        assert identity == POINT and list(row)[-1] == "error"
        rest = {*recipe, *config.to_dict(), "config_hash", *FIGURES, *unit_of(config).words.columns, "error"}
        assert {*row} - {*POINT} == rest | ({"chip"} if row is nm else set())
    assert (two_of_four["pattern"], two_of_four["density"]) == ("2:4", None)


def test_an_unpruned_point_has_no_other_fields_of_a_recipe():
    row = es.sweep.run("digits-mlp", points=[{"n_pe": 4}]).rows[0]
    assert set(Recipe().to_dict()) & set(row) == {"pattern", "criterion", "density", "seed"}


def test_a_point_with_an_error_has_no_figures(folder, capsys):
    options = re.search(r"`(--weight-bits 4,8 --spmat-width-bits 8,64)`", TEXT)[1].split()
    assert main(["sweep", "digits-mlp", *options, "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    errors = [row for row in rows if row["error"]]
    assert len(errors) == 1 and not {*FIGURES, *unit_named("eie").words.columns} & set(errors[0])


def test_the_manifest_is_one():
    yaml = pytest.importorskip("yaml")
    manifest = yaml.safe_load(*blocks("yaml"))
    worker, scheduler = manifest["spec"]["worker"], manifest["spec"]["scheduler"]
    containers = [*worker["spec"]["containers"], *scheduler["spec"]["containers"]]
    assert {each["image"] for each in containers} == {f"registry.example/eie-sim:{es.__version__}"}
    assert [each["args"][:2] for each in containers] == [["dask", "worker"], ["dask", "scheduler"]]
    ports = {port["name"]: port["containerPort"] for port in containers[1]["ports"]}
    assert {port["targetPort"]: port["port"] for port in scheduler["service"]["ports"]} == ports
    assert scheduler["service"]["selector"]["dask.org/cluster-name"] == manifest["metadata"]["name"] == "sweeps"


def programs(folder):
    """A folder with `eie-sim` and `dask` of this environment, and an `srun` that runs its command here."""
    folder.mkdir()
    lines = {
        "eie-sim": f'exec {sys.executable} -c "import sys; from eie_sim.cli import main; sys.exit(main())" "$@"',
        "dask": f'exec {sys.executable} -m dask "$@"',
        "srun": 'exec "$@"',
    }
    for name, line in lines.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("mark", "points"), [("dask", 4), ("slurm", 46)])
def test_scripts_run(mark, points, folder):
    """Without Slurm: `srun` is a stand-in."""
    if find_spec("distributed") is None:
        pytest.skip("needs Dask")
    path = os.pathsep.join([str(programs(folder / "bin")), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": "17"}
    with (folder / "printed").open("wb") as printed:
        run = subprocess.Popen(
            ["bash", "-c", *blocks("bash", mark)], env=environment, cwd=folder, stdout=printed, start_new_session=True
        )
        try:
            assert run.wait(120) == 0
        finally:  # the first leaves its cluster running
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGTERM)
    assert f"digits-mlp: {points} points, 0 of them reused, 0 failed" in (folder / "printed").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask tries out ports and leaves sockets open
@pytest.mark.parametrize("code", blocks("python", "dask"))
def test_python_on_clusters_runs(code, folder, monkeypatch):
    """Without Slurm and Kubernetes: a local cluster stands in for theirs."""
    distributed = pytest.importorskip("distributed")
    small = {"processes": True, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}

    class Local(distributed.LocalCluster):
        def __init__(self, **asked):
            super().__init__(n_workers=2, **small)

        def scale(self, n=None, jobs=None):
            return super().scale(0) if n == 0 else None  # as it does when it closes

    monkeypatch.setitem(sys.modules, "dask_jobqueue", types.SimpleNamespace(SLURMCluster=Local))
    monkeypatch.setitem(sys.modules, "dask_kubernetes", types.ModuleType("dask_kubernetes"))
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", types.SimpleNamespace(KubeCluster=Local))
    names = {"es": es, "grid": {"density": [0.1, 0.2], "n_pe": [4, 16]}}
    with contextlib.ExitStack() as stack:
        if "scheduler.json" in code:
            local = stack.enter_context(Local())
            (folder / "scheduler.json").write_text(json.dumps({"address": local.scheduler_address}))
        exec(code, names)
    assert names["found"].failed == 0 and len(names["found"].rows) >= 4
