"""A sweep as a whole: the store it goes on from, executors, what fails, and what a kill leaves behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.errors import InputError

GRID = {"n_pe": [4, 16, 64], "queue_depth": "1..10", "density": [0.1, 0.3]}
SWEEP = (
    "import sys\nfrom eie_sim.cli import main\n"
    "sys.exit(main(['sweep', 'digits-mlp', '--n-pe', '1..40', '--queue-depth', '1..20', '--index-bits', '2..5',"
    " '--clock-mhz', '100:800:5', '--workers', '2', '--store', sys.argv[1]]))"
)


def lines(path):
    return sorted(path.read_bytes().splitlines())


def test_a_second_run_takes_all_rows_from_the_store(tmp_path):
    store = tmp_path / "s.jsonl"
    tallies = []
    first = es.sweep.run("digits-mlp", grid=GRID, store=store, workers=1, progress=tallies.append)
    kept = store.read_bytes()
    assert (len(first.rows), first.reused, first.failed) == (60, 0, 0)
    assert tallies[0] == (60, 0, 0, 0)
    assert tallies[-1] == (60, 60, 0, 0)
    second = es.sweep.run("digits-mlp", grid=GRID, store=store, workers=1)
    assert (second.lines, second.reused) == (first.lines, 60)
    assert store.read_bytes() == kept
    assert [json.loads(line) for line in sorted(kept.splitlines())] == sorted(first.rows, key=lambda row: row["key"])


def test_a_larger_grid_computes_only_what_is_new(tmp_path):
    store = tmp_path / "s.jsonl"
    es.sweep.run("digits-mlp", grid={"n_pe": [4, 16]}, store=store, workers=1)
    more = es.sweep.run("digits-mlp", grid={"n_pe": [1, 4, 16, 64]}, store=store, workers=1)
    assert (len(more.rows), more.reused) == (4, 2)
    assert [row["n_pe"] for row in more.rows] == [1, 4, 16, 64]


def test_without_a_store_rows_are_the_same(tmp_path):
    grid = {"n_pe": [4, 16], "queue_depth": [1, 8]}
    kept = es.sweep.run("digits-mlp", grid=grid, store=tmp_path / "s.jsonl", workers=1)
    free = es.sweep.run("digits-mlp", grid=grid, workers=1)
    assert (free.lines, free.store) == (kept.lines, None)


def test_any_executor_gives_the_same_rows(tmp_path):
    alone = es.sweep.run("digits-mlp", grid=GRID, workers=1)
    with ThreadPoolExecutor(3) as threads:
        together = es.sweep.run("digits-mlp", grid=GRID, executor=threads, store=tmp_path / "s.jsonl")
    assert together.lines == alone.lines


def test_given_arrays_and_networks_are_swept(tmp_path):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((30, 40))
    found = es.sweep.run(weights, grid={"density": [0.1, 1.0], "n_pe": [2, 4]}, activation_density=0.5, workers=1)
    assert [row["workload"] for row in found.rows] == ["array"] * 4
    assert found.rows[0]["cycles"] < found.rows[2]["cycles"]


def test_points_that_the_machine_failed_are_rows_but_not_kept(tmp_path, monkeypatch):
    from eie_sim.units.eie import many

    def full(*arguments, **named):
        raise MemoryError

    store = tmp_path / "s.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(many.fast, "totals", full)
        found = es.sweep.run("digits-mlp", grid={"n_pe": [4, 8]}, store=store, workers=1)
    assert (found.failed, store.read_bytes()) == (2, b"")
    assert {row["error"] for row in found.rows} == {"not enough memory"}
    again = es.sweep.run("digits-mlp", grid={"n_pe": [4, 8]}, store=store, workers=1)
    assert (again.failed, again.reused) == (0, 0)


def test_points_that_break_a_rule_are_kept_and_not_tried_again(tmp_path):
    grid = {"node_nm": [45, 44]}
    first = es.sweep.run("digits-mlp", grid=grid, store=tmp_path / "s.jsonl", workers=1)
    again = es.sweep.run("digits-mlp", grid=grid, store=tmp_path / "s.jsonl", workers=1)
    assert (first.failed, again.failed, again.reused) == (1, 1, 2)


def test_a_front_of_a_sweep_leaves_out_what_does_not_fit():
    found = es.sweep.run("digits-mlp", grid={"n_pe": [1, 4, 16, 64]}, workers=1)
    best = es.sweep.front(found.rows, ["cycles", "energy_nj"])
    assert {row["n_pe"] for row in best.rows} <= {row["n_pe"] for row in found.rows if row["fits"]}
    assert best.left_out == {"fits": sum(not row["fits"] for row in found.rows)}


def test_a_search_goes_on_from_its_store(tmp_path):
    pytest.importorskip("optuna")
    options = {
        "grid": {"n_pe": [1, 2, 4, 8, 16, 32], "queue_depth": "1..8", "index_bits": "2..6"},
        "objectives": ["energy_nj", "area_mm2"],
        "store": tmp_path / "s.jsonl",
        "workers": 1,
    }
    short = es.sweep.search("digits-mlp", trials=24, **options)
    longer = es.sweep.search("digits-mlp", trials=40, **options)
    assert (len(short.rows), len(longer.rows), longer.reused) == (24, 40, 24)
    assert longer.lines[:24] == short.lines
    assert len(lines(tmp_path / "s.jsonl")) == len({row["key"] for row in longer.rows}) == 40


def test_a_search_needs_one_point_for_each_design():
    pytest.importorskip("optuna")
    with pytest.raises(InputError, match="grid=3 points: must leave one point for each design"):
        es.sweep.search("digits-mlp", grid={"layer": ["each"]}, objectives=["cycles", "energy_nj"], trials=2, workers=1)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path):
    whole, store = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    done = subprocess.run([sys.executable, "-c", SWEEP, str(whole)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    chosen, kills, before = random.Random(0), 0, 0
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", SWEEP, str(store)], stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=chosen.uniform(0.3, 1.2 + 0.1 * kills))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        now = store.read_bytes().count(b"\n") if store.exists() else 0
        assert now >= before  # no finished row is lost
        before = now
    assert process.returncode == 0
    assert kills >= 2
    assert lines(store) == lines(whole)


@pytest.mark.slow
def test_two_runs_on_one_store_are_refused(tmp_path):
    store = tmp_path / "s.jsonl"
    first = subprocess.Popen([sys.executable, "-c", SWEEP, str(store)], stdout=subprocess.DEVNULL)
    while not store.exists() or not store.stat().st_size:
        time.sleep(0.05)
    second = subprocess.run([sys.executable, "-c", SWEEP, str(store)], capture_output=True, text=True, check=False)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert "is in use by another run" in second.stderr
