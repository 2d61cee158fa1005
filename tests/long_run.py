"""Mixed work for a while, and how much memory it holds on to. `python tests/long_run.py SECONDS` prints it as JSON."""

import gc
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.cli import main

WARM_UP = 0.2
"""Share of the time after which memory must not grow any more."""

digits = es.load("digits-mlp")


def simulate(chance):
    shape, n_pe = (chance.randint(1, 600), chance.randint(1, 600)), chance.choice([1, 4, 16, 64])
    rng = np.random.default_rng(chance.randint(0, 10**6))
    weights = np.where(rng.random(shape) < 0.1, rng.normal(size=shape), 0.0)
    matrix = es.EieMatrix.from_dense(weights, n_pe=n_pe)
    result = es.simulate(matrix, np.maximum(rng.normal(size=shape[1]), 0), es.EieConfig(n_pe=n_pe), timeline=True)
    return es.energy.account(result).total_pj, es.footprint(matrix), result._repr_html_()


def network(chance):
    return es.run_network(digits, es.EieConfig(n_pe=chance.choice([4, 16, 64]))).to_dict()


def sweep(chance):
    grid = {"density": [chance.uniform(0.05, 0.9)], "n_pe": [4, 16], "queue_depth": "1,2,4,8"}
    found = es.sweep.run("digits-mlp", grid=grid, workers=1, seed=chance.randint(0, 9))
    return es.sweep.front(found.rows, ["cycles", "energy_nj"])


def product(chance):
    sides = (chance.randint(1, 3000), 4 * chance.randint(1, 800), chance.randint(1, 300))
    return es.simulate_gemm(*sides, es.TensorCoreConfig.preset(chance.choice(["nm-64", "rtx3090"])))


def figure(chance):
    axes = Figure().subplots()
    es.figures.classes({"fc": {"weight": chance.randint(1, 99), "empty": 3}}, axes)
    return es.figures.svg(axes)


def command(chance):
    """Files are written and read again."""
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        printed, sys.stdout = sys.stdout, nowhere
        try:
            out = f"{folder}/run"
            codes = [main(["run", "hand-8x8", "--n-pe", "4", "--out", out]), main(["report", out])]
            codes.append(main(["run", f"{folder}/missing.npz"]))
        finally:
            sys.stdout = printed
    assert codes == [0, 0, 2]


WORK = (simulate, simulate, network, sweep, product, product, figure, command)


def resident_mb():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(seconds, seed=0):
    """Rounds of all kinds of work; resident memory after the warm-up, at the end, and at most in between."""
    chance, start = random.Random(seed), time.monotonic()
    rounds, seen = 0, []
    while (now := time.monotonic() - start) < seconds:
        for work in WORK:
            work(chance)
        rounds += 1
        if now > WARM_UP * seconds:
            seen.append(resident_mb())
    third = max(1, len(seen) // 3)
    return {
        "seconds": seconds,
        "rounds": rounds,
        "first_third_mb": round(float(np.median(seen[:third])), 1),
        "last_third_mb": round(float(np.median(seen[-third:])), 1),
        "most_mb": round(max(seen), 1),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(float(sys.argv[1]))) + "\n")
