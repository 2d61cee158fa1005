"""Every loader where there is no file, or something else under its name: one line, nothing made, nothing waited for."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from loaders import LOADERS

from eie_sim import InputError
from eie_sim.cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links and pipes as POSIX has them")


def a_link_to(target):
    return lambda path: path.symlink_to(target)


PLACES = {
    "nothing": lambda path: None,
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": a_link_to("nothing"),
    "a link to nothing outside": a_link_to("../nothing"),
    "a link to a folder": a_link_to("/"),
    "a link to a device without end": a_link_to("/dev/zero"),
    "an empty file": Path.touch,
    "a sparse file of terabytes": lambda path: (path.touch(), os.truncate(path, 2**42)),
}


def contents(folder):
    return {(each.relative_to(folder), each.lstat().st_size) for each in folder.rglob("*")}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", LOADERS)
def test_what_is_no_file_is_refused_in_one_line(kind, place, tmp_path, capsys):
    loader = LOADERS[kind]
    path = tmp_path / "inside" / loader.file
    path.parent.mkdir()
    PLACES[place](path)
    before = contents(tmp_path)
    with pytest.raises(InputError) as error:
        loader.read(path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= 500
    assert main(loader.command(str(path.parent if kind == "run" else path))) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\u202e", "x" * 300, "a\0b", "\ud800", "-rf", "~", "$HOME", "%s"])
@pytest.mark.parametrize("kind", LOADERS)
def test_names_are_only_names(kind, name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loader = LOADERS[kind]
    path = Path(name) / loader.file if kind == "run" else Path(f"{name}{loader.file}")
    with suppress(OSError, ValueError):  # names that no file can have
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0")
    before = contents(tmp_path)
    with pytest.raises(InputError) as error:
        loader.read(path)
    assert str(error.value).isprintable()
    assert contents(tmp_path) == before


def test_a_link_to_a_file_is_followed(tmp_path):
    loader = LOADERS["smtx"]
    (tmp_path / "elsewhere.smtx").write_bytes(loader.made(tmp_path)[0])
    (tmp_path / loader.file).symlink_to("elsewhere.smtx")
    assert loader.read(tmp_path / loader.file).layers[0].weights.shape == (6, 9)
