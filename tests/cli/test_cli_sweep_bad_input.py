"""The sweep command refuses bad input before it runs anything, and leaves no file behind."""

import os

import numpy as np
import pytest

SWEEP = ("sweep", "digits-mlp", "--queue-depth", "1,2", "--layer", "fc3", "--workers", "1")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "none/x.csv"], "out=none/x.csv: must be in a folder that exists"),
        (["--out", "x.txt"], "out=x.txt: must end in .csv or .parquet"),
        (["--out", "s.csv", "--store", "s.csv"], "out=s.csv: must be another file than --store, which keeps the rows"),
        (["--vector", "999"], "vector=999: must be in 0..359, there are 360 vectors; or all, or each"),
    ],
)
def test_one_line_and_no_file(ask, tmp_path, arguments, said):
    code, out, err = ask(*SWEEP, *arguments)
    assert (code, out, err) == (2, "", f"error: {said}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("kind", ["pipe", "endless", "text"])
def test_a_scheduler_file_that_is_none(ask, tmp_path, kind):
    pytest.importorskip("distributed")
    file = tmp_path / "x.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    else:
        file.write_text("[" * 10_000)
    code, _, err = ask(*SWEEP[:-2], "--scheduler", "x.json")
    rule = "has no scheduler's address" if kind == "text" else "must be an ordinary file"
    assert (code, err) == (2, f"error: scheduler=x.json: {rule}\n")
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]


def test_a_front_of_nothing_is_one_line(ask):
    np.savez("w.npz", w=np.eye(8))
    code, out, _ = ask("sweep", "w.npz", "--queue-depth", "1,2", "--pareto", "cycles,accuracy")
    assert code == 0
    assert "\nnot beaten in cycles, accuracy: 0\n" in out
