"""Sweeps through the public interface. Run: pytest tests/benchmarks/test_sweep_speed.py -m slow --benchmark-enable

Ratios compare two things measured in one run; rates and seconds are printed beside them for this machine as it is now.
"""

import contextlib
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import eie_sim as es
from eie_sim.study.points import points_of, read_axes
from eie_sim.study.subject import subject_of
from eie_sim.units.eie import fast
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.unit import raw_activations

pytestmark = pytest.mark.slow

POWERS = "1,2,4,...,256"


@pytest.fixture(scope="module")
def pool():
    """Two worker processes that are up and have their kernels."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as workers:
        layer = np.random.default_rng(0).standard_normal((64, 64))
        for _ in range(3):
            es.sweep.run(layer, grid={"queue_depth": "1..64", "n_pe": "1..16"}, executor=workers)
        yield workers


@pytest.fixture(scope="module")
def trace():
    """Alex-7 with 100 independent activation vectors of its published density."""
    rng = np.random.default_rng(0)
    vectors = np.abs(rng.standard_normal((100, 4096), dtype=np.float32)) * (rng.random((100, 4096)) < 0.353)
    return es.load("alex-7", activations=vectors)


def timed(function):
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def said(label, seconds, points):
    return f"{label}: {points:,} points in {seconds:.2f} s, {points / seconds:,.0f} points/s"


def test_depths_times_vectors(trace, pool, tmp_path, ratio, note):
    """64 queue depths x 100 vectors on Alex-7, a row each, store included; against the bare kernel on one core."""
    grid = {"queue_depth": "1..64", "vector": "each"}
    stores = (tmp_path / f"{at}.jsonl" for at in range(1000))

    def sweep():
        found = es.sweep.run(trace, grid=grid, executor=pool, store=next(stores))
        assert found.failed == 0
        assert len(found.lines) == 6400

    sweep()
    seconds = statistics.median(timed(sweep)[0] for _ in range(5))
    note(said("64 depths x 100 vectors, two workers that are up", seconds, 6400))
    cold, _ = timed(lambda: es.sweep.run(trace, grid=grid, store=next(stores)))
    note(said("the same from nothing, pool started where it pays", cold, 6400))
    layer = trace.layers[0]
    matrix = EieMatrix.from_dense(layer.weights).with_scales_for(layer.activations)
    raw, depths = raw_activations(matrix, layer.activations), np.arange(1, 65)

    def kernel():
        for vector in raw:
            fast.totals(matrix.counts, vector[None], EieConfig(), depths)

    ratio("64 depths x 100 vectors / bare kernel, one core", sweep, kernel, at_most=10, aim=3, rounds=3)


def test_all_studies_of_the_paper(tmp_path, note):
    """Nine layers x 9 queue depths x 9 PE counts, with padding and balance; and Spmat widths."""

    def studies():
        grid = {"n_pe": POWERS, "queue_depth": POWERS}
        one = es.sweep.run("eie-paper", grid=grid, store=tmp_path / "studies.jsonl")
        other = es.sweep.run(
            "eie-paper", grid={"spmat_width_bits": "32,64,128,256,512"}, store=tmp_path / "studies.jsonl"
        )
        assert one.failed == other.failed == 0
        return len(one.lines) + len(other.lines)

    seconds, points = timed(studies)
    note(said("all studies of the paper (limit 60 s, aim 10 s)", seconds, points))
    assert points == 9 * 81 + 9 * 5


def test_density_sweep_of_a_4096_square_layer(tmp_path, note):
    weights = np.random.default_rng(0).standard_normal((4096, 4096), dtype=np.float32)
    grid = {"density": "0.02:0.5:20", "n_pe": POWERS}
    seconds, found = timed(
        lambda: es.sweep.run(weights, grid=grid, activation_density=0.35, store=tmp_path / "d.jsonl")
    )
    note(said("20 densities x 9 PE counts of 4096 x 4096 (limit 20 s, aim 5 s)", seconds, len(found.lines)))
    assert found.failed == 0


STUDY = """
workload = "llama-2-7b-block"
verify = true
store = "block.jsonl"
[[points]]
density = 0.1
unit = "eie"
[[points]]
pattern = "2:4"
unit = "nm"
"""


def test_a_llama_block_on_both_units(tmp_path, note):
    """Pruned, encoded or packed, simulated, verified, layer after layer; peak memory of all processes together."""
    (tmp_path / "block.toml").write_text(STUDY)
    program = "import sys\nfrom eie_sim.cli import main\nsys.exit(main(['sweep', 'block.toml', '--json']))"
    start, peak = time.perf_counter(), 0
    with (tmp_path / "out.json").open("w") as out:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=out, cwd=tmp_path)
        while process.poll() is None:
            peak = max(peak, resident_of(process.pid))
            time.sleep(0.1)
    seconds = time.perf_counter() - start
    record = json.loads((tmp_path / "out.json").read_text())
    assert process.returncode == 0
    assert [row["verified"] for row in record["rows"]] == [True] * 14
    note(said("LLaMA-2-7B block, EIE and N:M, verified (limit 60 s, aim 20 s)", seconds, len(record["rows"])))
    note(f"peak resident memory of all processes {peak / 2**30:.2f} GiB (limit 4 GB)")


def resident_of(pid):
    """Bytes resident of a process and all that it started."""
    parents, pages = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)], pages[int(stat.parent.name)] = int(fields[1]), int(fields[21])
    family = {pid}
    for each in sorted(parents):  # children have higher numbers, but for those after the last one of all
        if parents[each] in family:
            family.add(each)
    return sum(pages.get(each, 0) for each in family) * os.sysconf("SC_PAGESIZE")


SPIN = "import time\nbegan = time.perf_counter()\nfor _ in range(60_000_000): pass\nprint(time.perf_counter() - began)"


def spun(count):
    """Mean seconds of so many bare loops at the same time, each a process of its own."""
    loops = [subprocess.Popen([sys.executable, "-c", SPIN], stdout=subprocess.PIPE) for _ in range(count)]
    return statistics.mean(float(loop.communicate()[0]) for loop in loops)


def test_two_cores_against_one(note):
    """Of a sweep of more than ten seconds; bare loops beside it tell what two cores are worth now."""
    grid = {"n_pe": "1..128", "queue_depth": "1..32", "index_bits": "2..5"}
    alone, together = spun(1), spun(2)
    one, found = timed(lambda: es.sweep.run("digits-mlp", grid=grid, workers=1))
    two, _ = timed(lambda: es.sweep.run("digits-mlp", grid=grid, workers=2))
    note(said("one core", one, len(found.lines)))
    note(said("two cores", two, len(found.lines)))
    note(f"two cores are {one / two:.2f} times one (limit 1.7); bare loops {2 * alone / together:.2f} times")


def test_two_points_of_a_new_file(tmp_path, note):
    """In a process of its own, as a user has it: imports, kernels that were compiled before, no workers."""
    np.savez(tmp_path / "new.npz", fc=np.random.default_rng(0).standard_normal((1024, 1024)))
    program = "import sys\nfrom eie_sim.cli import main\nsys.exit(main(sys.argv[1:]))"
    words = ["sweep", "new.npz", "--n-pe", "16,64", "--density", "0.1", "--activation-density", "0.4", "--json"]
    for label in ("first", "again"):
        command = [sys.executable, "-c", program, *words, "--store", f"{label}.jsonl"]
        seconds, done = timed(
            lambda command=command: subprocess.run(command, check=False, cwd=tmp_path, capture_output=True)
        )
        assert done.returncode == 0
        note(said(f"two points of a new file, {label} (limit 2 s)", seconds, 2))


def test_overhead_of_pool_and_store(trace, pool, tmp_path, note):
    """Seconds of two workers less half of what the same evaluator takes by itself, for each point."""
    subject = subject_of(trace)
    points = points_of(subject, read_axes({"queue_depth": "1..64", "vector": "each"}, None))
    evaluator = subject.evaluator()
    evaluator.rows(points[:64], math.inf)
    alone = statistics.median(timed(lambda: evaluator.rows(points, math.inf))[0] for _ in range(3))
    stores = iter(range(10))

    def sweep():
        grid = {"queue_depth": "1..64", "vector": "each"}
        return es.sweep.run(trace, grid=grid, executor=pool, store=tmp_path / f"{next(stores)}.jsonl")

    together = statistics.median(timed(sweep)[0] for _ in range(5))
    overhead_us = (together - alone / 2) / len(points) * 1e6
    own_us = alone / len(points) * 1e6
    note(f"overhead of pool and store {overhead_us:.0f} us a point (limit 50); a point takes {own_us:.0f} us itself")


def test_time_grows_linearly(tmp_path, note):
    """Over three decades of points, and of active entries."""
    rng = np.random.default_rng(0)
    layer = rng.standard_normal((512, 512), dtype=np.float32)
    by_points = []
    for n_point in (30, 300, 3000, 30000):
        grid = {"n_pe": [64], "queue_depth": f"1..{n_point // 10}", "clock_mhz": "100:1000:10"}
        store = tmp_path / f"{n_point}.jsonl"
        seconds, _ = timed(lambda grid=grid, store=store: es.sweep.run(layer, grid=grid, workers=1, store=store))
        by_points.append((n_point, seconds))
    by_entries = []
    for side in (128, 405, 1280, 4050):
        weights = rng.standard_normal((side, side), dtype=np.float32)
        subject = subject_of(weights, densities=(0.5,))
        points = points_of(subject, read_axes({"density": [0.5], "n_pe": [16], "vector": ["all"]}, None))

        def evaluate(subject=subject, points=points):
            return subject.evaluator().rows(points, math.inf)

        evaluate()
        seconds = statistics.median(timed(evaluate)[0] for _ in range(5))
        by_entries.append((side * side // 2, seconds))
    for name, measured in (("points", by_points), ("active entries", by_entries)):
        slope = np.polyfit(*np.log(measured[1:]).T, 1)[0]
        note(f"{name}: " + ", ".join(f"{count:,} in {seconds * 1e3:.1f} ms" for count, seconds in measured))
        note(f"time grows with {name} to the power of {slope:.2f}")
