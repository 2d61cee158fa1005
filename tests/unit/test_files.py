"""The door to files: what may be read and written, one set of words for what may not, and nothing half there."""

import os
from pathlib import Path

import pytest

from eie_sim.core import files
from eie_sim.core.errors import InputError
from eie_sim.core.files import (
    place_for,
    read_bytes,
    read_text,
    require_folder,
    require_ours,
    require_own,
    system_errors,
    write_file,
)

WRITING = (place_for, lambda field, path: write_file(field, path, b"new"))
READING = (lambda field, path: read_bytes(field, path, 9), lambda field, path: read_text(field, path, 9))
LONG = "x" * 300


def names(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def refused(call, path, rule):
    with pytest.raises(InputError) as error:
        call("out", path)
    assert str(error.value).endswith(f": {rule}") and str(error.value).startswith("out=")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("loop").symlink_to("loop")
    Path("link").symlink_to("folder/target")
    return tmp_path


@pytest.mark.parametrize("call", WRITING)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(call):
    for path, rule in (
        ("none/a", "must be in a folder that exists"),
        *((path, "must be an ordinary file, or new") for path in ("folder", "pipe", "loop", "/dev/null")),
        (LONG, "cannot be written: File name too long"),
        *((path, "must be a path") for path in ("", "a\0b", 3, None, "a\ud800")),
    ):
        refused(call, path, rule)
    assert names() == ["folder", "link", "loop", "pipe"]


def test_a_folder_that_cannot_be_written_to_is_refused_unless_the_file_in_it_is_only_opened(monkeypatch):
    Path("folder/a").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    refused(place_for, "folder/a", "must be in a folder that can be written to")
    assert place_for("out", "folder/a", replaced=False).read_bytes() == b"old"
    with pytest.raises(InputError, match="can be written to"):
        place_for("out", "folder/b", replaced=False)


def test_a_link_is_followed_and_stays():
    write_file("out", "link", b"new")
    assert Path("folder/target").read_bytes() == b"new"
    assert Path("link").is_symlink() and names("folder") == ["target"]


def test_what_the_system_says_is_one_line_and_the_old_file_stays(monkeypatch):
    Path("a").write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    refused(WRITING[1], "a", "cannot be written: No space left on device")
    assert Path("a").read_bytes() == b"old"
    assert names() == ["a", "folder", "link", "loop", "pipe"]


def test_an_error_of_the_system_without_words_is_named():
    with (
        pytest.raises(InputError, match=r"^run=x: cannot be opened: TimeoutError$"),
        system_errors("run", "x", "opened"),
    ):
        raise TimeoutError


@pytest.mark.parametrize("call", READING)
def test_what_cannot_be_read_is_refused(call, monkeypatch):
    Path("large").write_bytes(b"x" * 10)
    for path, rule in (
        *((path, "no such file") for path in ("none", "none/a", "link")),
        *((path, "must be an ordinary file") for path in ("folder", "pipe", "/dev/zero")),
        ("large", "must be at most 9 bytes"),
        (LONG, "cannot be read: File name too long"),
        *((path, "must be a path") for path in ("", "a\0b", 3)),
    ):
        refused(call, path, rule)

    def refuse(*given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    refused(call, "large", "cannot be read: Permission denied")


def test_as_much_as_may_be_is_read():
    Path("a").write_bytes(b"123456\xc3\xa4")
    assert (read_bytes("in", "a", 8), read_text("in", "a", 8)) == (b"123456\xc3\xa4", "123456\u00e4")
    Path("a").write_bytes(b"1\n2\n\xff")
    refused(READING[1], "a", "must be UTF-8 text: line 3 is not")


def test_folders_to_write_into():
    for path in ("folder", "new"):
        require_folder("out", path)
    Path("a").touch()
    for path in ("a", "pipe", "none/new"):
        refused(require_folder, path, "must be a folder, or new in a folder that exists")
    refused(require_folder, LONG, "cannot be written: File name too long")
    assert not Path("new").exists()


def test_names_that_we_choose_are_not_followed_and_others_files_stay():
    require_own("out", Path("new"))
    refused(lambda field, path: require_own(field, Path(path)), LONG, "cannot be written: File name too long")
    with pytest.raises(InputError, match=r"^out=link: must be an ordinary file of yours with no other name, or new$"):
        require_own("out", Path("link"))
    require_ours("out", Path("a"), "a report", True)
    rule = "must be new, or a report; something else is there and stays as it is"
    refused(lambda field, path: require_ours(field, Path(path), "a report", False), "a", rule)
