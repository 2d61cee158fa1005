"""Files that are whole or not there have the permissions that their owner expects."""

import os

import pytest

from eie_sim.core.files import write_whole, written_whole

pytestmark = pytest.mark.skipif(os.name == "nt", reason="permissions as POSIX has them")


def at_once(path):
    write_whole({path: b"new"})


def bit_by_bit(path):
    with written_whole(path) as file:
        file.write(b"new")


@pytest.fixture(params=[at_once, bit_by_bit])
def write(request):
    return request.param


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_a_new_file_has_what_the_umask_leaves(write, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(write, tmp_path, mode):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(mode)
    write(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "a").stat().st_mode & 0o7777 == mode


def test_a_file_is_never_open_to_more_than_it_will_be(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o600)
    with written_whole(tmp_path / "a"):
        assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o600, 0o600]


def test_a_link_is_replaced_and_its_mode_is_not_taken(write, tmp_path):
    (tmp_path / "a").symlink_to("b")
    write(tmp_path / "a")
    assert not (tmp_path / "a").is_symlink()
    assert not (tmp_path / "a").stat().st_mode & 0o111
    assert not (tmp_path / "b").exists()
