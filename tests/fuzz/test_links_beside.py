"""Folders that somebody else made: no name that a command chooses itself leads to another file of the user."""

import os
import shutil
from contextlib import chdir
from typing import NamedTuple

import numpy as np
import pytest

from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.core.files import require_own

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as POSIX has them")

SECRET = b"mine\n"

PLACES = {
    "a link": lambda path, theirs: path.symlink_to(theirs),
    "a link to nothing": lambda path, theirs: path.symlink_to(theirs.with_name("new")),
    "a second name": lambda path, theirs: path.hardlink_to(theirs),
    "a pipe": lambda path, theirs: os.mkfifo(path),
    "a folder": lambda path, theirs: path.mkdir(),
}


class Beside(NamedTuple):
    """A name that a command chooses.

    name : of the file, in the folder that the command runs in
    words : the command
    """

    name: str
    words: str


SWEEP = "sweep net.npz --n-pe 1,2 --workers 1 --activation-density 0.5"
RUN = "run net.npz --activation-density 0.5 --n-pe 2 --out run"
FILES = {
    "a store without --store": Beside("net.sweep.jsonl", SWEEP),
    "a run's record": Beside("run/run.json", RUN),
    "a run's layers": Beside("run/layers.csv", RUN),
    "the report of a run": Beside("run/report.html", "report run"),
    "the report of a sweep": Beside("net.html", "report net.sweep.jsonl"),
    "a timeline without --out": Beside("net.trace.json.gz", "trace net.npz --activation-density 0.5 --n-pe 2"),
    "a figure of a report": Beside("figures/classes.svg", "report run --out page.html --figures figures"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with weights, a store, a run, a report's figures, and what each command needs."""
    folder = tmp_path_factory.mktemp("made")
    with chdir(folder):
        np.savez("net.npz", fc=np.arange(32, dtype=np.float32).reshape(4, 8) % 3 - 1)
        (folder / "figures").mkdir()
        assert [main(words.split()) for words in (SWEEP, RUN)] == [0, 0]
    return folder


def contents(folder):
    """Kind, size and what is in each file, links not followed."""
    found = {}
    for each in folder.rglob("*"):
        plain = each.is_file() and not each.is_symlink()
        found[each.relative_to(folder)] = (each.lstat().st_mode, plain and each.read_bytes())
    return found


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "unpacked")
    (tmp_path / "theirs").write_bytes(SECRET)
    monkeypatch.chdir(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("file", FILES)
def test_a_name_that_is_taken_is_refused_in_one_line(file, place, folder, capsys):
    name, words = FILES[file]
    path = folder / name
    path.unlink(missing_ok=True)
    PLACES[place](path, folder.parent / "theirs")
    before = contents(folder.parent)
    assert main(words.split()) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert f"{path.name}: must be an ordinary file of yours with no other name, or new" in said.err
    assert contents(folder.parent) == before


@pytest.mark.parametrize("file", FILES)
def test_a_name_that_is_free_is_written(file, folder, capsys):
    name, words = FILES[file]
    (folder / name).unlink(missing_ok=True)
    assert main(words.split()) == 0
    assert (folder / name).exists()
    assert (folder.parent / "theirs").read_bytes() == SECRET


def test_a_name_that_is_too_long_is_one_line(folder, capsys):
    assert main(["sweep", f"{'x' * 300}.npz", "--n-pe", "1"]) == 2
    said = capsys.readouterr().err
    assert said.endswith("cannot be written: File name too long\n")
    assert said.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(folder):
    (folder / "aside").touch()
    require_own("store", folder / "aside")
    os.chown(folder / "aside", 12345, 12345)
    with pytest.raises(InputError, match="an ordinary file of yours"):
        require_own("store", folder / "aside")
