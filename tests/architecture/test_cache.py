"""Compiled kernels are never stale, and a cache that fails never ends a run."""

import os
import pickle
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path

import numba
import pytest

import eie_sim
from eie_sim.core import jit

PROGRAM = """
import numpy as np
from eie_sim.core.quantize import Scales
from eie_sim.units.eie import functional
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
scales = Scales(weight=0, activation=0, accumulator=0)
matrix = EieMatrix.from_codes([[1]], np.array([0, 3], dtype=np.int16), n_pe=1, scales=scales)
print(functional.accumulate(matrix, np.array([5], dtype=np.int16), EieConfig(n_pe=1, weight_bits=1))[0])
"""


PACKAGE = Path(eie_sim.__file__).parent


IGNORED = shutil.ignore_patterns("__pycache__", "models", "traces")


def output_of(copy: Path, cache: Path, program: str = PROGRAM, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= variables
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=copy, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_helper_edited_in_another_module_is_compiled_again(tmp_path):
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    shutil.copytree(PACKAGE, copy / "eie_sim", ignore=IGNORED)
    assert output_of(copy, cache) == "15"
    assert list(cache.rglob("*.nbi")), "kernels are cached in the folder we name"
    fixed = copy / "eie_sim" / "core" / "fixed.py"
    edited = fixed.read_text().replace("* np.int64(activation) + half)", "* np.int64(activation) + half + 100)")
    assert edited != fixed.read_text()
    fixed.write_text(edited)
    assert output_of(copy, cache) == "115"


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache with every kernel of the program in it."""
    cache = tmp_path_factory.mktemp("cache")
    assert output_of(PACKAGE.parent, cache) == "15"
    return cache


def files_of(cache: Path) -> dict[Path, bytes]:
    return {path.relative_to(cache): path.read_bytes() for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc")}


DAMAGE = [
    lambda data: b"",
    lambda data: b"junk" * 100,
    lambda data: data[: len(data) // 2],
    lambda data: pickle.dumps(["no", "cache"]),
    lambda data: pickle.dumps(numba.__version__) + pickle.dumps(3),
]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_compiled_again_and_repaired(warm, tmp_path, suffix):
    cache = shutil.copytree(warm, tmp_path / "cache")
    files = [name for name in files_of(cache) if name.suffix == suffix]
    for name, damage in zip(files, cycle(DAMAGE), strict=False):
        path = cache / name
        path.write_bytes(damage(path.read_bytes()))
    damaged = files_of(cache)
    assert output_of(PACKAGE.parent, cache) == "15"
    repaired = files_of(cache)
    assert {name for name in repaired if repaired[name] != damaged.get(name)} >= set(files)
    assert output_of(PACKAGE.parent, cache) == "15"
    assert files_of(cache) == repaired


FULL_DISK = """
import builtins, errno, tempfile
real = builtins.open
def full(file, mode="r", *rest, **options):
    if "w" in mode and ".nb" in str(file):
        raise OSError(errno.ENOSPC, "No space left on device")
    return real(file, mode, *rest, **options)
builtins.open = full
"""
READ_ONLY = """
import os
os.access = lambda *_: False
"""
NO_FILE_AT_ALL = """
import tempfile
def full(*_, **__):
    raise OSError(28, "No space left on device")
tempfile.TemporaryFile = tempfile.mkdtemp = full
"""


@pytest.mark.parametrize("disk", [FULL_DISK, READ_ONLY, NO_FILE_AT_ALL], ids=["full", "read-only", "no file at all"])
def test_a_disk_that_takes_nothing_costs_no_run(tmp_path, disk):
    (tmp_path / "temporary").mkdir()
    (tmp_path / "cache").mkdir()
    sources = shutil.copytree(PACKAGE, tmp_path / "copy" / "eie_sim", ignore=IGNORED).parent
    program = disk + "from eie_sim.core.fixed import product; print(product(6, 5, 0, 1))"
    assert output_of(sources, tmp_path / "cache", program=program, TMPDIR=str(tmp_path / "temporary")) == "15"
    assert list((tmp_path / "temporary").iterdir()) == []
    assert list(tmp_path.rglob("*.nb[ic]")) == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_a_cache_that_others_may_write_to_is_left_alone(warm, tmp_path):
    cache = shutil.copytree(warm, tmp_path / "cache")
    (folder,) = (cache / "eie-sim").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    for name in files_of(cache):
        (cache / name).write_bytes(b"junk")
    assert output_of(PACKAGE.parent, cache) == "15"
    assert set(files_of(cache).values()) == {b"junk"}


def cached_below(folder, monkeypatch):
    """Where kernels would be kept, in a folder of our own two below another."""
    (folder / "own").mkdir(mode=0o700)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "own"))
    return jit.cache_folder.__wrapped__()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
@pytest.mark.parametrize(
    ("mode", "safe"), [(0o777, False), (0o770, False), (0o702, False), (0o1777, True), (0o755, True), (0o700, True)]
)
def test_a_folder_around_the_cache_that_others_may_write_to(tmp_path, monkeypatch, mode, safe):
    around = tmp_path / "around"
    around.mkdir()
    around.chmod(mode)
    found = cached_below(around, monkeypatch)
    assert (found is not None) == safe
    if safe:
        assert found.parent == around / "own"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_a_folder_around_the_cache_that_belongs_to_somebody_else(tmp_path, monkeypatch):
    around, real = (tmp_path / "around").resolve(), Path.stat
    around.mkdir()

    def given_away(path, **options):
        status = real(path, **options)
        if path != around:
            return status
        return os.stat_result((*status[:4], os.getuid() + 1, *status[5:]))

    monkeypatch.setattr(Path, "stat", given_away)
    assert cached_below(around, monkeypatch) is None


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_a_link_into_the_cache_is_followed_once(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "link"))
    assert jit.cache_folder.__wrapped__().parent == (tmp_path / "real").resolve()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_folders_that_are_made_for_the_cache_are_ours_whatever_the_umask(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "a" / "b"))
    before = os.umask(0o002)
    try:
        assert jit.cache_folder.__wrapped__().parent == (tmp_path / "a" / "b").resolve()
    finally:
        os.umask(before)
