"""Same inputs, same bytes out: on one or two workers, whatever PYTHONHASHSEED, with cached kernels or fresh ones."""

import os
import subprocess
import sys

import pytest

COMMANDS = (
    "run digits-mlp --n-pe 16 --out run",
    "prune digits-mlp --density 0.2 --out pruned.eie.safetensors",
    "sweep digits-mlp --density 0.1,0.3 --n-pe 4,16 --store {store} --out rows.csv",
    "report run --figures figures",
    "report {store} --out sweep.html",
    "trace hand-8x8 --n-pe 4 --out trace.json.gz",
    "trace hand-8x8 --n-pe 4 --out trace.json",
    "footprint digits-mlp --figure footprint.svg",
)
PROGRAM = "import sys; from eie_sim.cli import main\nfor line in sys.stdin: assert main(line.split()) == 0, line"


def outputs(folder, **environment):
    """Everything that the commands print and write, run in a folder: bytes by name."""
    folder.mkdir()
    lines = "\n".join(COMMANDS).format(store="rows.jsonl")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return found | {"printed": done.stdout.encode()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_any_hash_seed_gives_the_same_bytes(tmp_path):
    one, other = (outputs(tmp_path / seed, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert len(one) >= 18
    assert_same(one, other)


@pytest.mark.slow
def test_fresh_kernels_give_the_same_bytes_as_cached_ones(tmp_path):
    cached = outputs(tmp_path / "cached")
    fresh = outputs(tmp_path / "fresh", XDG_CACHE_HOME=str(tmp_path / "cache"), NUMBA_CACHE_DIR="")
    assert_same(cached, fresh)


@pytest.mark.parametrize("grid", [{"density": [0.1, 0.3], "n_pe": [4, 16], "queue_depth": [1, 8]}])
def test_one_worker_and_two_give_the_same_rows(grid, tmp_path):
    import eie_sim as es

    one, two = (es.sweep.run("digits-mlp", grid=grid, workers=workers) for workers in (1, 2))
    assert one.lines == two.lines
